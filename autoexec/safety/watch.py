"""In a worker process: has an item changed what only the caller's process should have?

What may live here: the same looks as around the first items, for branches that these did not take. An effect
that is found only here has happened to a copy, and is lost: that is an error which names it.
"""

from __future__ import annotations

from ..introspect import name_of
from ..own_time import time
from .effects import BUDGET_S, Effects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .look import Look

__all__ = ["Watch"]


class Watch:
    """Stands around the tasks of one function in one worker; see `CallSpec.surround`.

    Args:
        func: the function.
    """

    __slots__ = ("_func", "_look")

    def __init__(self, func: Callable[..., Any]) -> None:
        self._func = func
        self._look: Look | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Watch, (self._func,)

    def begin(self, args: tuple[Any, ...]) -> None:
        """A task begins, with these arguments; notes are taken once, as long as nothing changes."""
        if self._look is None:
            from .look import look

            try:
                self._look = look(self._func, args, time.thread_time() + BUDGET_S)
            except Exception:  # it resists being looked at
                self._look = None

    def end(self) -> str:
        """It has ended; what it changed, in words, or ""."""
        notes = self._look
        if notes is None:
            return ""
        try:
            lost = Effects(self._func).lost(notes)
        except Exception:
            lost = []
        if lost:
            self._look = None
            return f"{name_of(self._func)} {lost[0].kind}: {lost[0].name!r}"
        return ""

    def rest(self) -> None:
        """The worker's call is over; the next one may find another state."""
        self._look = None
