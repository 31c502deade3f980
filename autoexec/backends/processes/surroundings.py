"""What a worker has around it: what items have printed.

What the caller has set for its process is in `worker.process_state`, what it has open in `handles`.
"""

from __future__ import annotations

import sys

__all__ = ["flush"]


def flush() -> None:
    """Write out what was printed; the program may have put anything in place of a stream."""
    for stream in {id(one): one for one in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)}.values():
        try:
            stream.flush()  # type: ignore[union-attr]
        except Exception:  # none, closed, broken, or an object that knows nothing of it
            continue
