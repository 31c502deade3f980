"""Where items come from: taken in order, a few at a time, and never before they are wanted.

Rule 1: the user's own iterator is run by `pull` alone, in the consumer's thread, without a lock. Rule 2:
everything else runs no code of the user's, and is called under the scheduler's lock. A *place* counts what
was taken.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from ..own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Source", "open_source"]

AHEAD_ITEMS = 256  # items pulled ahead from an iterator while the first item runs
AHEAD_S = 0.001  # and the seconds that may take
MOST = 1 << 20  # items of one slice

_gil_enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)


class Source:
    """The items of one call.

    A single list, tuple or range is sliced where it lies; of anything else a stock is pulled.

    Args:
        iterables: one for `func(item)`, several for `func(a, b, ...)` (as `zip`), or one of tuples.
        star: whether items are argument tuples.

    Attributes:
        star: whether items are argument tuples.
        position: items taken so far.
        error: what the iterator raised; it has ended then.
        ended: whether the iterator has ended. It is not asked again.
    """

    scattered = False  # whether items are handed out in another order than that of the input

    def __init__(self, iterables: tuple[Iterable[Any], ...], star: bool = False) -> None:
        self.star = star or len(iterables) > 1
        self.position = 0
        self.error: BaseException | None = None
        self.ended = False
        self._stock: deque[Any] = deque()
        self._length = _length(iterables)
        self.sequence: Sequence[Any] | None = None
        self._iterator: Iterator[Any] = iter(())
        only = iterables[0]
        # A range iterator cannot be stopped from another thread without a GIL; a list's can.
        sliced = (list, tuple, range) if _gil_enabled() else (list, tuple)
        if len(iterables) == 1 and type(only) in sliced and self._length is not None:
            self.sequence = only  # type: ignore[assignment]
            self.ended = True
        else:
            self._iterator = iter(only) if len(iterables) == 1 else zip(*iterables, strict=False)

    def for_workers(self) -> Source:
        """Where workers get what is left from, from their first task on."""
        return self

    def peek(self) -> tuple[Any] | None:
        """The next item, in a tuple, if it is at hand; it stays where it is."""
        if self.sequence is not None:
            ahead = self.sequence[self.position : self.position + 1]
            return (ahead[0],) if len(ahead) else None
        return (self._stock[0],) if self._stock else None

    def take(self, count: int) -> tuple[int, Sequence[Any]]:
        """Up to `count` items that are at hand, and the place of the first."""
        place = self.position
        if self.sequence is not None:
            items: Sequence[Any] = self.sequence[place : place + min(count, MOST)]
        elif count >= len(self._stock):
            items = list(self._stock)
            self._stock.clear()
        else:
            stock = self._stock
            items = [stock.popleft() for _ in range(count)]
        self.position += len(items)
        return place, items

    def pull(self, count: int) -> list[Any]:
        """Up to `count` more items from the iterator, for `put_by`; the consumer's thread only.

        Raises:
            BaseException: what the iterator raised, if that is no `Exception`.
        """
        items: list[Any] = []
        if self.ended:
            return items
        try:
            items.extend(islice(self._iterator, min(count, MOST)))  # extend keeps what came before an error
        except Exception as error:
            self.error, self.ended = error, True
        else:
            self.ended = len(items) < min(count, MOST)
        return items

    def put_by(self, items: list[Any]) -> None:
        """Items that were pulled are at hand now."""
        self._stock.extend(items)

    def look_ahead(self, limit: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Pull some items now: another thread can take them without running the caller's iterator."""
        if self.sequence is not None:
            return
        until = clock() + AHEAD_S
        most = AHEAD_ITEMS if limit is None else min(limit, AHEAD_ITEMS)
        while len(self._stock) < most and not self.ended and clock() < until:
            self._stock.extend(self.pull(1))

    @property
    def at_hand(self) -> int:
        """Items that can be taken without running the caller's iterator."""
        if self.sequence is not None:
            return max(0, len(self.sequence) - self.position)
        return len(self._stock)

    @property
    def pulled(self) -> int:
        """Items that have left the input: taken, or at hand in the stock."""
        return self.position + len(self._stock)

    @property
    def taken(self) -> int:
        """Items that were taken."""
        return self.position

    @property
    def over(self) -> bool:
        """Whether nothing is left; of a list, for now: it may grow."""
        return self.ended and not self.at_hand

    def remaining(self) -> int | None:
        """How many items are left, or None if nobody can know."""
        if self.sequence is not None or self.ended:
            return self.at_hand
        if self._length is None:
            return None
        return max(len(self._stock), self._length - self.position)

    def let_go(self) -> None:
        """Nothing more will be wanted: neither the input nor what was pulled of it is held any longer."""
        self.sequence, self._iterator, self.ended = None, iter(()), True
        self._stock.clear()

    def end_at(self, place: int) -> None:
        """What comes from `place` on need not be handed out any more."""


def open_source(
    iterables: tuple[Iterable[Any], ...], star: bool, size: Callable[..., float] | None = None
) -> Source:
    """The source of a call; with `size`, one whose workers begin with the heavy items.

    Raises:
        Exception: with `size`, what that or an iterable raises.
    """
    if size is None:
        return Source(iterables, star)
    from .largest_first import Weighed

    return Weighed(iterables, star, size)


def _length(iterables: tuple[Iterable[Any], ...]) -> int | None:
    """The number of items, or at most so many where some iterables do not know; None where none does."""
    lengths = []
    for iterable in iterables:
        try:
            lengths.append(len(iterable))  # type: ignore[arg-type]
        except Exception:  # no length, one beyond what fits, or one that cannot be told
            continue
    return min(lengths, default=None)
