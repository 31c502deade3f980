"""A progress bar that counts items; tqdm draws it."""

from __future__ import annotations

import sys
from typing import Protocol

from ..errors import MissingExtra

__all__ = ["Bar", "open_bar"]


class Bar(Protocol):
    """What a run tells a bar."""

    def update(self, n: float = 1) -> bool | None:
        """So many more results were delivered."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """What stands behind the counts: concurrency now, and what went wrong."""

    def close(self) -> None:
        """The run is over."""


def open_bar(total: int | None) -> Bar:
    """A bar on standard error, in a notebook in its own style; silent where nobody would see it.

    Raises:
        MissingExtra: if tqdm is not installed.
    """
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise MissingExtra("progress=True needs tqdm: pip install 'autoexec-futures[progress]'") from error
    nowhere = sys.stderr is None or getattr(sys.stderr, "closed", False)
    bar: Bar = tqdm(total=total, unit="item", disable=nowhere or None)
    return bar
