"""Where items come from: taken in order, a few at a time, and never before they are wanted."""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Feed", "open_feed"]

AHEAD_ITEMS = 256  # items pulled ahead from an iterator while the first item runs
AHEAD_S = 0.001  # and the seconds that may take

_gil_enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)


class Feed:
    """The items of one call with their indices.

    A single list, tuple or range is sliced; anything else is pulled from its iterator, and only by the
    thread that consumes the results, as the loop it replaces would do. Not thread-safe: its users hold a
    lock or take turns.

    Args:
        iterables: one for `func(item)`, several for `func(a, b, ...)` (as `zip`), or one of tuples.
        star: whether items are argument tuples.
    """

    __slots__ = ("_ahead", "_back", "_iterator", "_length", "_position", "_sequence", "error", "star")

    scattered = False  # whether items are handed out in another order than that of their indices

    def __init__(self, iterables: tuple[Iterable[Any], ...], star: bool = False) -> None:
        self.star = star or len(iterables) > 1
        self.error: BaseException | None = None
        self._back: list[tuple[int, Sequence[Any]]] = []
        self._ahead: list[Any] = []
        self._position = 0
        self._length = _length(iterables)
        only = iterables[0]
        # A range iterator cannot be stopped from another thread without a GIL; a list's can.
        sliced = (list, tuple, range) if _gil_enabled() else (list, tuple)
        self._sequence: Sequence[Any] | None = None
        self._iterator: Iterator[Any] = iter(())
        if len(iterables) == 1 and type(only) in sliced and self._length is not None:
            self._sequence = only  # type: ignore[assignment]
        else:
            self._iterator = iter(only) if len(iterables) == 1 else zip(*iterables, strict=False)

    def for_workers(self) -> Feed:
        """The feed that workers get what is left from, from their first task on."""
        return self

    @property
    def sequence(self) -> Sequence[Any] | None:
        """The whole input, where it lies in memory."""
        return self._sequence

    def first(self) -> int:
        """The index of the item that `take` would give next."""
        return self._back[0][0] if self._back else self._position

    def peek(self) -> tuple[Any] | None:
        """The next item, in a tuple, if it is at hand; it stays where it is."""
        if self._back:
            return (self._back[0][1][0],)
        if self._sequence is not None:
            return (self._sequence[self._position],) if self._position < len(self._sequence) else None
        return (self._ahead[0],) if self._ahead else None

    def take(self, count: int) -> tuple[int, Sequence[Any]]:
        """Up to `count` items and the index of the first; an empty sequence at the end."""
        if self._back:
            return self._take_back(count)
        start = self._position
        if self._sequence is not None:
            items = self._sequence[start : start + count]
        elif self._ahead:
            items, self._ahead = self._ahead[:count], self._ahead[count:]
        else:
            items = self._pull(count)
        self._position += len(items)
        return start, items

    def _take_back(self, count: int) -> tuple[int, Sequence[Any]]:
        start, items = heapq.heappop(self._back)
        if len(items) > count:
            heapq.heappush(self._back, (start + count, items[count:]))
            items = items[:count]
        return start, items

    def _pull(self, count: int) -> list[Any]:
        items: list[Any] = []
        if self.error is not None:
            return items
        try:
            items.extend(islice(self._iterator, count))  # extend keeps what came before an error
        except Exception as error:
            self.error = error
        return items

    def give_back(self, start: int, items: Sequence[Any]) -> None:
        """Put items back that were taken but not run."""
        if len(items):
            heapq.heappush(self._back, (start, items))

    def end_at(self, index: int) -> None:
        """A task from `index` on has failed and ends the results: what comes after need not be handed out."""

    def look_ahead(self, limit: int | None = None) -> None:
        """Pull some items now: another thread can hand them out without running the caller's iterator."""
        if self._sequence is not None:
            return
        until = time.perf_counter() + AHEAD_S
        most = AHEAD_ITEMS if limit is None else min(limit, AHEAD_ITEMS)
        while len(self._ahead) < most and time.perf_counter() < until:
            items = self._pull(1)
            if not items:
                return
            self._ahead += items

    def at_hand(self) -> int:
        """How many items can be taken without running the caller's iterator."""
        ready = sum(len(items) for _, items in self._back)
        if self._sequence is not None:
            return ready + len(self._sequence) - self._position
        return ready + len(self._ahead)

    def remaining(self) -> int | None:
        """How many items are left, or None if nobody can know."""
        back = sum(len(items) for _, items in self._back)
        if self._sequence is not None:
            return back + max(0, len(self._sequence) - self._position)
        if self._length is None:
            return None
        return back + max(0, self._length - self._position)


def open_feed(
    iterables: tuple[Iterable[Any], ...], star: bool, size: Callable[..., float] | None = None
) -> Feed:
    """The feed of a call; with `size`, one whose workers begin with the heavy items.

    Raises:
        Exception: with `size`, what that or an iterable raises.
    """
    if size is None:
        return Feed(iterables, star)
    from .heaviest import Weighed

    return Weighed(iterables, star, size)


def _length(iterables: tuple[Iterable[Any], ...]) -> int | None:
    """The number of items, or at most so many where some iterables do not know; None where none does."""
    lengths = []
    for iterable in iterables:
        try:
            lengths.append(len(iterable))  # type: ignore[arg-type]
        except (TypeError, OverflowError):  # no length, or one beyond what fits
            continue
    return min(lengths, default=None)
