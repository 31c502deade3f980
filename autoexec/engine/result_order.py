"""What is finished, on its way to the consumer: in the order of the places, or as it comes. Pure.

Rule: place n is handed out after n - 1, so a hole holds back what lies behind it, and nothing else is needed
to keep the order. Its users hold the scheduler's lock.
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Failed", "Window"]

TOGETHER = 64  # single results that are handed on in one list


class Failed:
    """An item that failed for good, standing in its place among results.

    Attributes:
        error: what it raised.
        place: its place.
        item: the item.
        star: whether that is a tuple of arguments.
        worker: where it ran.
        notes: what became of its earlier tries.
    """

    __slots__ = ("error", "item", "notes", "place", "star", "worker")

    def __init__(
        self, error: BaseException, place: int, item: Any, star: bool, worker: str, notes: list[str]
    ) -> None:
        self.error, self.place, self.item, self.star = error, place, item, star
        self.worker, self.notes = worker, notes


class Window:
    """Finished items.

    Args:
        ordered: whether they leave in the order of their places.

    Attributes:
        next: the place that is handed out next, if ordered.
        ready: items that wait here.
        handed: items that were handed out.
        failures: whether anything that failed was ever among them.
    """

    __slots__ = ("_blocks", "_loose", "failures", "handed", "next", "ordered", "ready")

    def __init__(self, *, ordered: bool = True) -> None:
        self.ordered = ordered
        self._blocks: dict[int, list[Any]] = {}
        self._loose: deque[list[Any]] = deque()
        self.next = self.ready = self.handed = 0
        self.failures = False

    def add(self, place: int, outcomes: list[Any]) -> None:
        """The items from `place` on are finished."""
        self.ready += len(outcomes)
        if self.ordered:
            self._blocks[place] = outcomes
        else:
            self._loose.append(outcomes)

    @property
    def due(self) -> bool:
        """Whether anything may be handed out."""
        return self.next in self._blocks if self.ordered else bool(self._loose)

    def pop(self) -> list[Any]:
        """What may be handed out now, single results together; [] if nothing may."""
        block = self._pop_one()
        if block is None:
            return []
        if len(block) == 1:
            joined = list(block)
            while len(joined) < TOGETHER and (single := self._pop_one(single=True)) is not None:
                joined += single
            block = joined
        self.ready -= len(block)
        self.handed += len(block)
        return block

    def _pop_one(self, *, single: bool = False) -> list[Any] | None:
        if self.ordered:
            block = self._blocks.get(self.next)
            if block is None or (single and len(block) > 1):
                return None
            del self._blocks[self.next]
            self.next += len(block)
            return block
        if not self._loose or (single and len(self._loose[0]) > 1):
            return None
        return self._loose.popleft()

    def some(self, most: int) -> list[Any]:
        """Up to `most` of the items that wait here, of blocks all over them."""
        blocks = [*self._blocks.values(), *self._loose]
        step = -(-len(blocks) // most) or 1
        return [block[-1] for block in blocks[::step] if block]

    def drop(self) -> int:
        """Forget what waits; how many items that were."""
        count, self.ready = self.ready, 0
        self._blocks.clear()
        self._loose.clear()
        return count
