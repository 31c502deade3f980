"""Standard input in a worker: it is the caller's, and who reads it is told so.

Several processes that read one input would each get some of it, and a worker whose input is at its end would
answer with that. An error is neither.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["leave_to_caller"]

REFUSED = (
    "standard input is the caller's, and cannot be read in a worker process: read it before the map, "
    "or use backend='serial'"
)


class _Refusing(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise io.UnsupportedOperation(REFUSED)

    def fileno(self) -> int:
        return 0


def leave_to_caller() -> None:
    """From now on this process has no standard input; programs that it starts find an empty one."""
    if sys.__stdin__ is not None and not sys.__stdin__.closed:  # else that number may be anybody's
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    if sys.stdin is not None:
        refusing: Any = _Refusing()
        sys.stdin = io.TextIOWrapper(io.BufferedReader(refusing), encoding="utf-8")
        sys.__stdin__ = sys.stdin  # type: ignore[misc]
