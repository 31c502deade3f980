"""The plain loop, in the caller's thread, in a form that another thread can look into and cut short.

The caller's thread runs blocks of items. What it has done can be seen at any moment from the length of a
block's output; what it has not begun can be taken away: `steal` exhausts the block's iterator, after
which at most the one item that was just fetched is still run here. No item is run twice or lost, with or
without a GIL, and the loop itself pays nothing for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from ..resources import busy_here
from .feed import Feed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Block", "Loop"]


class Block:
    """Some consecutive items, their results so far, and what ended them."""

    __slots__ = (
        "began",
        "cpu_before",
        "cpu_s",
        "error",
        "items",
        "iterator",
        "limit",
        "out",
        "start",
        "wall_s",
    )

    def __init__(self, start: int, items: Sequence[Any]) -> None:
        self.start, self.items = start, items
        self.iterator = iter(items)
        self.out: list[Any] = []
        self.limit: int | None = None  # set by steal: only so many of the items are still ours
        self.error: BaseException | None = None
        self.cpu_before = time.thread_time()
        self.wall_s = self.cpu_s = 0.0
        self.began = time.perf_counter()

    def run(self, call: Callable[..., Any], star: bool) -> None:
        """Run the items until the end, an error, or until the rest is stolen."""
        out = self.out
        try:
            if star:
                for item in self.iterator:
                    out.append(call(*item))
            else:
                for item in self.iterator:
                    out.append(call(item))
        except BaseException as error:
            self.error = error

    def steal(self) -> tuple[int, Sequence[Any]]:
        """Take away what has not begun; called from another thread, under the loop's lock.

        The iterator is exhausted first. Then at most one item after those in `out` has been fetched, so
        everything from the next one on is free to be taken.
        """
        self.iterator.__setstate__(len(self.items))  # type: ignore[attr-defined]
        self.limit = min(len(self.items), len(self.out) + 1)
        return self.start + self.limit, self.items[self.limit :]


class Loop:
    """Runs blocks from a feed until it is told that the rest belongs to somebody else.

    Attributes:
        lock: guards the feed and `taken`.
        block: the block being run, or None.
        taken: whether the rest was taken over.
    """

    __slots__ = ("_call", "block", "feed", "lock", "taken")

    def __init__(self, call: Callable[..., Any], feed: Feed) -> None:
        self._call = call
        self.feed = feed
        self.lock = threading.Lock()
        self.block: Block | None = None
        self.taken = False

    def run(self, size: int) -> Block | None:
        """Run the next `size` items here; None when there are none, or the rest was taken over."""
        with self.lock:
            if self.taken:
                return None
            start, items = self.feed.take(size)
            if not items:
                return None
            block = self.block = Block(start, items)
        busy_here(1)
        try:
            block.run(self._call, self.feed.star)
            if len(block.out) < len(items) and block.error is None:
                self._finish_stolen(block)
        finally:
            busy_here(-1)
        block.wall_s = time.perf_counter() - block.began
        block.cpu_s = time.thread_time() - block.cpu_before
        self.block = None
        return block

    def _finish_stolen(self, block: Block) -> None:
        with self.lock:  # until the thief is done
            limit = block.limit if block.limit is not None else len(block.items)
        rest = block.items[len(block.out) : limit]
        if len(rest):
            block.iterator = iter(rest)
            block.run(self._call, self.feed.star)

    def remaining(self) -> int | None:
        """Items that have not begun, those of the running block included; None if unknown."""
        rest, block = self.feed.remaining(), self.block
        if rest is None or block is None:
            return rest
        return rest + max(0, len(block.items) - len(block.out) - 1)

    def take_over(self) -> int:
        """Let nothing more begin here; give the rest back to the feed. Returns the first index not ours."""
        with self.lock:
            self.taken = True
            block = self.block
            if block is not None:
                self.feed.give_back(*block.steal())
            return self.feed.first()
