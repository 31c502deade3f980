"""In a worker process: has an item changed what only the caller's process should have?

What may live here: the same looks as around the first items, for branches that these did not take. An effect
that is found only here has happened to a copy, and is lost: that is an error which names it.
"""

from __future__ import annotations

from ..introspect import name_of
from ..introspect.layers import MISSING
from ..own_time import time
from .effects import BUDGET_S, Effects
from .memos import added, is_memo
from .reach import kinds_of, put_back, reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .look import Look
    from .memos import Entries, Home

__all__ = ["Watch"]

KINDS = 64  # classes of arguments for which notes are taken anew

_kept: list[Any] = []  # the caller's connections and the like: here they must not even be closed


class Watch:
    """Stands around the tasks of one function in one worker; see `CallSpec.surround`.

    Args:
        func: the function.
        paths: of its memos.
        made: what the caller's first item has made for itself; see `Effects.made`.
        home: where these are filled, in the caller's process.
    """

    __slots__ = ("_before", "_func", "_kinds", "_look", "_made", "_memos", "_paths", "home")

    def __init__(
        self,
        func: Callable[..., Any],
        paths: tuple[str, ...] = (),
        made: tuple[tuple[str, str, tuple[Any, ...]], ...] = (),
        home: Home | None = None,
    ) -> None:
        self._func, self._paths, self._made, self.home = func, paths, made, home
        self._look: Look | None = None
        self._memos: dict[str, dict[Any, Any]] = {}
        self._before: dict[str, int] = {}
        self._kinds: dict[Any, Any] = {}  # classes of arguments, and functions, that the notes know of

    def __reduce__(self) -> tuple[Any, ...]:
        return Watch, (self._func, self._paths, self._made)

    def begin(self, args: tuple[Any, ...]) -> None:
        """A task begins, with these arguments; notes are taken once, as long as nothing changes.

        And once more where the arguments are of classes that nobody has seen.
        """
        new = {key: kind for key, kind in kinds_of(args).items() if key not in self._kinds}
        if new and len(self._kinds) < KINDS:
            self._kinds.update(new)
            self._look, self._memos = None, {}
        if self._look is None:
            from .look import look

            try:
                self._empty(args)
                self._look = look(self._func, args, time.thread_time() + BUDGET_S, self._kinds.values())
                self._find_memos(self._look)
            except Exception:  # it resists being looked at
                self._look = None
        self._before = {path: len(memo) for path, memo in self._memos.items()}

    def _empty(self, args: tuple[Any, ...]) -> None:
        """Let a forked worker make what its caller's first item has made for that process alone."""
        made, self._made = self._made, ()
        if not made:
            return
        for place in reach(self._func, args, until=time.thread_time() + BUDGET_S).places:
            for within, name, old in made:
                if place.path == within and name in place.named():
                    _kept.append(put_back(place, name, old[0] if old else MISSING))

    def _find_memos(self, notes: Look) -> None:
        for place in notes.reached.places if self._paths else ():
            if place.path in self._paths and place.owner is None and is_memo(place.obj):
                self._memos.setdefault(place.path, place.obj)

    def end(self) -> tuple[str, Entries]:
        """It has ended; what it changed, in words, or "", and what it has added to memos."""
        notes = self._look
        if notes is None:
            return "", []
        found = {path: added(memo, self._before[path]) for path, memo in self._memos.items()}
        memos = {id(memo): memo for path, memo in self._memos.items() if found[path] is not None}
        try:
            lost = Effects(self._func).lost(notes, memos)
        except Exception:
            lost = []
        if lost:
            self._forget()
            return f"{name_of(self._func)} {lost[0].kind}: {lost[0].name!r}", []
        return "", [(path, new) for path, new in found.items() if new]

    def came(self, place: int, entries: Entries) -> str:
        """In the caller's process: what a task has added elsewhere; what is wrong with it, or ""."""
        return self._words("" if self.home is None else self.home.take(place, entries))

    def over(self) -> str:
        """In the caller's process: the run has ended, and what came goes where it belongs; as `came`."""
        return self._words("" if self.home is None else self.home.deliver())

    def _words(self, path: str) -> str:
        if not path:
            return ""
        return f"{name_of(self._func)} fills {path!r} with what does not follow from the key alone"

    def rest(self) -> None:
        """The worker's call is over; the next one may find another state."""
        self._forget()

    def _forget(self) -> None:
        self._look, self._memos, self._kinds = None, {}, {}
