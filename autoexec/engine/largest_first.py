"""Heavy items first: a source that knows what its items weigh, and hands them to workers in that order.

What runs in the caller's own thread, the sample and a serial plan, keeps the input's order: one thread gains
nothing from another, and a sample of the heaviest would be no sample. Items keep their places wherever they
run, so notes, journals and the order of the results need not know of any of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from ..errors import OptionError, blame, shown, unpacked
from .source import Source, as_handed_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LargestFirst", "Weighed"]


class Weighed(Source):
    """A collected input, in its order, each item weighed.

    Args:
        iterables: as of `Source`; they must end.
        star: whether items are argument tuples.
        size: says of all arguments of an item how heavy it is.

    Raises:
        OptionError: if `size` returns something that is no weight.
        Exception: what `size`, or an iterable, raises.

    >>> source = Weighed((["aaa", "b", "cc"],), star=False, size=len).for_workers()
    >>> [source.take(1) for _ in range(3)]
    [(0, ['aaa']), (2, ['cc']), (1, ['b'])]
    """

    def __init__(self, iterables: tuple[Iterable[Any], ...], star: bool, size: Callable[..., float]) -> None:
        star = star or len(iterables) > 1
        items: Any = iterables[0] if len(iterables) == 1 else zip(*iterables, strict=False)
        # Weighing would use up an iterator among the arguments, and the caller's own list may change.
        items = map(partial(unpacked, star=True), items) if star else items
        items = [*items] if type(items) in (list, tuple, range) else [*as_handed_out(items, "size=")]
        super().__init__((items,), star)
        self._weights = [_weight(size, i, unpacked(item, star)) for i, item in enumerate(items)]

    def for_workers(self) -> Source:
        """What is left, the heaviest first."""
        return LargestFirst(self, self._weights)


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
        raise OptionError(
            f"size must return a finite number, 0 or more, not {shown(found)} as for item {index}"
        )
    return weight


class LargestFirst(Source):
    """What is left of another source, the heaviest item first, light neighbours with it.

    Items of one task have consecutive places, as everywhere: a task is the heaviest item that is left and as
    many of its neighbours as keep it within what as many average items weigh. So heavy items travel alone.

    Args:
        source: the input.
        weights: of all its items, by place.
    """

    scattered = True

    def __init__(self, source: Source, weights: Sequence[float]) -> None:
        super().__init__(((),), source.star)
        begin = source.position
        self.sequence = source.sequence
        self._weights = weights[: len(source.sequence or ())]  # a list may have shrunk meanwhile
        count = len(self._weights)
        self._order = sorted(range(begin, count), key=lambda i: (self._weights[i], -i))  # the heaviest last
        self._free = bytearray(b"\0" * min(begin, count) + b"\1" * max(0, count - begin))
        self._left, self._taken = max(0, count - begin), begin
        self._weight = math.fsum(self._weights[begin:])

    def peek(self) -> tuple[Any] | None:
        """The heaviest item that is left, in a tuple; it stays where it is."""
        while self._order and not self._free[self._order[-1]]:  # it went with a heavier neighbour
            self._order.pop()
        return (self.sequence[self._order[-1]],) if self._order and self.sequence is not None else None

    def take(self, count: int) -> tuple[int, Sequence[Any]]:
        """The heaviest item, with up to `count` - 1 neighbours; an empty sequence at the end."""
        while self._order:
            head = self._order.pop()
            if self._free[head]:
                return self._take(*self._around(head, count))
        return 0, ()

    def _around(self, head: int, count: int) -> tuple[int, int]:
        """The task of an item, as its first place and the one after its last."""
        free, weights, start, end = self._free, self._weights, head, head + 1
        budget, total = count * self._weight / self._left, weights[head]
        while end < len(free) and end - start < count and free[end] and total + weights[end] <= budget:
            total += weights[end]
            end += 1
        while start and end - start < count and free[start - 1] and total + weights[start - 1] <= budget:
            start -= 1
            total += weights[start]
        return start, end

    def _take(self, start: int, end: int) -> tuple[int, Sequence[Any]]:
        assert self.sequence is not None
        self._free[start:end] = bytes(end - start)
        self._left -= end - start
        self._taken += end - start
        self._weight -= sum(self._weights[start:end])
        return start, self.sequence[start:end]

    def end_at(self, place: int) -> None:
        """What comes from `place` on need not be handed out."""
        self._free[place:] = bytes(max(0, len(self._free) - place))
        left = [i for i in self._order if i < place and self._free[i]]
        self._order, self._left = left, len(left)
        self._weight = sum(self._weights[i] for i in left)

    def let_go(self) -> None:
        """Nothing more will be wanted."""
        super().let_go()
        self._order, self._left = [], 0

    @property
    def at_hand(self) -> int:
        """How many items are left: all of them are there."""
        return self._left

    @property
    def pulled(self) -> int:
        """Items that were taken: the others need no place of their own."""
        return self._taken

    @property
    def taken(self) -> int:
        """Items that were taken."""
        return self._taken

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return not self._left

    def remaining(self) -> int | None:
        """How many items are left."""
        return self._left
