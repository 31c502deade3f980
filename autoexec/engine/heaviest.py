"""Heavy items first: a feed that knows what its items weigh, and hands them to workers in that order.

What runs in the caller's own thread, the sample and a serial plan, keeps the input's order: one thread gains
nothing from another, and a sample of the heaviest would be no sample. Items keep their indices wherever they
run, so notes, journals and the order of the results need not know of any of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from ..errors import OptionError, blame, unpacked
from .feed import Feed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Heaviest", "Weighed"]


class Weighed(Feed):
    """A collected input, in its order, each item weighed.

    Args:
        iterables: as of `Feed`; they must end.
        star: whether items are argument tuples.
        size: says of all arguments of an item how heavy it is.

    Raises:
        OptionError: if `size` returns something that is no weight.
        Exception: what `size`, or an iterable, raises.

    >>> feed = Weighed((["aaa", "b", "cc"],), star=False, size=len).for_workers()
    >>> [feed.take(1) for _ in range(3)]
    [(0, ['aaa']), (2, ['cc']), (1, ['b'])]
    """

    __slots__ = ("_weights",)

    def __init__(self, iterables: tuple[Iterable[Any], ...], star: bool, size: Callable[..., float]) -> None:
        star = star or len(iterables) > 1
        items: Any = iterables[0] if len(iterables) == 1 else zip(*iterables, strict=False)
        if star:
            items = [unpacked(item, star=True) for item in items]  # an iterator would be used up by weighing
        elif type(items) not in (list, tuple):
            items = list(items)
        super().__init__((items,), star)
        self._weights = [_weight(size, i, unpacked(item, star)) for i, item in enumerate(items)]

    def for_workers(self) -> Feed:
        """What is left, the heaviest first."""
        return Heaviest(self, self._weights)


def _weight(size: Callable[..., float], index: int, args: tuple[Any, ...]) -> float:
    try:
        found = size(*args)
    except Exception as error:
        blame(error, index, args, "size=")
        raise
    try:
        weight = float(found)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not 0.0 <= weight < math.inf:
        raise OptionError(f"size must return a finite number, 0 or more, not {found!r} as for item {index}")
    return weight


class Heaviest(Feed):
    """What is left of another feed, the heaviest item first, light neighbours with it.

    Items of one task have consecutive indices, as everywhere: a task is the heaviest item that is left and as
    many of its neighbours as keep it within what as many average items weigh. So heavy items travel alone.

    Args:
        feed: the input; nothing is taken from it before the first `take`.
        weights: of all its items, by index.
    """

    __slots__ = ("_free", "_left", "_order", "_sorted", "_source", "_weight", "_weights")

    scattered = True

    def __init__(self, feed: Feed, weights: Sequence[float]) -> None:
        super().__init__(((),), feed.star)
        self._source: Feed | None = feed
        self._sequence, self._weights = feed.sequence, weights
        self._order: list[int] = []  # indices, the heaviest last; some of them taken already as neighbours
        self._free = bytearray(len(weights))
        self._sorted, self._left, self._weight = True, 0, 0.0

    def first(self) -> int:
        """The lowest index that is left when the first item has not been taken yet."""
        return self._source.first() if self._source is not None else self._free.find(1)

    def take(self, count: int) -> tuple[int, Sequence[Any]]:
        """The heaviest item, with up to `count` - 1 neighbours; an empty sequence at the end."""
        self._drain()
        if not self._sorted:
            # The last of the list goes first; of equals that is the one with the lowest index.
            self._order.sort(reverse=True)
            self._order.sort(key=self._weights.__getitem__)
            self._sorted = True
        while self._order:
            head = self._order.pop()
            if self._free[head]:
                return self._taken(*self._around(head, count))
        return 0, ()

    def _drain(self) -> None:
        source, self._source = self._source, None
        while source is not None:
            start, items = source.take(len(self._weights))
            if not len(items):
                return
            self.give_back(start, items)

    def _around(self, head: int, count: int) -> tuple[int, int]:
        """The task of an item, as its first index and the one after its last."""
        free, weights, start, end = self._free, self._weights, head, head + 1
        budget, total = count * self._weight / self._left, weights[head]
        while end < len(free) and end - start < count and free[end] and total + weights[end] <= budget:
            total += weights[end]
            end += 1
        while start and end - start < count and free[start - 1] and total + weights[start - 1] <= budget:
            start -= 1
            total += weights[start]
        return start, end

    def _taken(self, start: int, end: int) -> tuple[int, Sequence[Any]]:
        assert self._sequence is not None
        self._free[start:end] = bytes(end - start)
        self._left -= end - start
        self._weight -= sum(self._weights[start:end])
        return start, self._sequence[start:end]

    def give_back(self, start: int, items: Sequence[Any]) -> None:
        """Put items back that were taken but not run."""
        end = start + len(items)
        self._free[start:end] = b"\1" * len(items)
        self._left += len(items)
        self._weight += sum(self._weights[start:end])
        self._order += range(start, end)
        self._sorted = False

    def end_at(self, index: int) -> None:
        """What comes from `index` on need not be handed out."""
        self._free[index:] = bytes(max(0, len(self._free) - index))
        left = [i for i in self._order if i < index and self._free[i]]
        self._order, self._left = left, len(left)
        self._weight = sum(self._weights[i] for i in left)

    def at_hand(self) -> int:
        """How many items are left: all of them are there."""
        return self._left if self._source is None else self._source.at_hand()

    def remaining(self) -> int | None:
        """How many items are left."""
        return self.at_hand()
