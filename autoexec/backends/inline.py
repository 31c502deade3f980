"""The caller's own thread as a backend: one slot, served by whoever takes results.

It runs blocks of items. What it has done can be seen at any moment from the length of a block's output; what
it has not begun can be taken away: `recall` exhausts the block's iterator, after which at most the one item
that was just fetched is still run here. No item is run twice or lost, with or without a GIL, and the loop
itself pays nothing for it.

Items run inside a generator (`Apart`), which is suspended before anybody sees an error: so the traceback of
an error ends there, and does not hold on to the frames of whoever takes results.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import compress

from ..own_time import time
from ..registry import SERIAL
from ..resources import runs_items
from ..worker.context import changed, prepare, prepared
from ..worker.invoke import Apart, CallSpec, Error, Task, TaskResult, is_clean, run_items

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Any

    from .base import Slot

__all__ = ["WHERE", "Block", "InlineBackend"]

WHERE = "the caller's thread"


class Block:
    """Some consecutive items, what came of them so far, and what is still ours to run."""

    __slots__ = (
        "_stops",
        "began",
        "cpu_before",
        "cpu_s",
        "items",
        "iterator",
        "limit",
        "out",
        "task",
        "wall_s",
    )

    def __init__(self, task: Task, began: float, live: list[Any] | None = None) -> None:
        self.task, self.items = task, task.items
        self._stops: Any = iter(task.items)
        self.iterator: Iterator[Any] = self._stops
        if live is not None:
            # Each item as it lies in the list when its turn comes; what ends it can be exhausted at once.
            here: Any = iter(live)
            here.__setstate__(task.place)
            self._stops = iter((True,) * len(task.items))
            self.iterator = compress(here, self._stops)
        self.out: list[Any] = []
        self.limit: int | None = None  # set by `steal`: only so many of the items are still ours
        self.cpu_before = time.thread_time()
        self.wall_s = self.cpu_s = 0.0
        self.began = began

    @property
    def short(self) -> bool:
        """Whether the list ended before the block, because items were taken out of it meanwhile."""
        return len(self.out) < len(self.items) and self.limit is None and self.error is None

    @property
    def error(self) -> BaseException | None:
        """What ended it, if not its last item."""
        last = self.out[-1] if self.out else None
        return last.error if type(last) is Error else None

    def steal(self) -> int:
        """Take away what has not begun; called from another thread, under the backend's lock.

        The iterator is exhausted first. Then at most one item after those in `out` has been fetched, so
        everything from the next one on is free to be taken: the place of that is returned.
        """
        self._stops.__setstate__(len(self.items))
        self.limit = min(len(self.items), len(self.out) + 1)
        return self.limit


class InlineBackend:
    """Runs tasks here.

    Args:
        spec: what to call.
        clock: tells the time, as `time.monotonic` does.

    Attributes:
        apart: what the caller's thread calls the user's code by.
        block: what runs at the moment.
        sampling: whether to see if items set context variables; `spec.sets` then says so.
        live: the list that is the input, where calls may change that; None where it is safe to read ahead.
        lock: held while something is taken away from a block.
    """

    name = SERIAL
    starting = False

    def __init__(self, spec: CallSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self._spec, self._clock = spec, clock
        self.block: Block | None = None
        self.sampling = False
        self.live: list[Any] | None = None
        self._contexts: list[contextvars.Context] = []
        self.lock = threading.Lock()
        self.apart = Apart()

    def _run(self, block: Block) -> None:
        own = block.task.context
        fresh = own.copy if own is not None else self._watched if self.sampling else None
        place = block.task.place + len(block.out)
        self.apart(run_items, self._spec, block.iterator, block.out, fresh, place)

    def _watched(self) -> contextvars.Context:
        """A context for an item, to be looked at afterwards."""
        self._contexts.append(self._spec.fresh_context())
        return self._contexts[-1]

    def _look_at_contexts(self) -> None:
        contexts, self._contexts = self._contexts, []
        if self._spec.context is not None and not self._spec.sets:
            before = prepared(self._spec.context.copy, prepare(self._spec))
            self._spec.sets = next(filter(None, (changed(before, after) for after in contexts)), "")

    @runs_items
    def run(self, task: Task, *, raises: bool = True) -> tuple[Block, TaskResult]:
        """Run a task.

        Args:
            task: the task.
            raises: whether Ctrl-C is raised here; else it belongs to the item, as all other errors do.

        Raises:
            KeyboardInterrupt: at once; and what ended this thread's last call.
        """
        began = self._clock()
        block = self.block = Block(task, began, self.live)
        try:
            self._run(block)
            if len(block.out) < len(block.items) and block.error is None:
                self._finish(block)
        finally:
            self.block = None
        ended = self._clock()
        block.wall_s = ended - began
        block.cpu_s = time.thread_time() - block.cpu_before
        if self._contexts:
            self._look_at_contexts()
        if raises and isinstance(error := block.error, KeyboardInterrupt):
            raise error
        clean = is_clean(self._spec, block.out)
        return block, TaskResult(block.out, began, ended, block.cpu_s, WHERE, clean=clean)

    def _finish(self, block: Block) -> None:
        with self.lock:  # until the thief is done
            if block.short and self.live is not None:
                return
            limit = block.limit if block.limit is not None else len(block.items)
        rest: Sequence[Any] = block.items[len(block.out) : limit]
        if len(rest):
            block.iterator = iter(rest)
            self._run(block)

    def steal(self) -> tuple[Task, int] | None:
        """Take away what has not begun of the block that runs: its task, and the first place that is free."""
        with self.lock:
            block = self.block
            return None if block is None else (block.task, block.steal())

    def start(self, slot: Slot) -> None:
        """The caller's thread is there."""

    def ring(self, rung: deque[Slot]) -> None:
        """The caller asks by itself."""

    def recall(self) -> None:
        """Whoever changes the plan takes away what has not begun, by `steal`."""

    def abandon(self, slot: Slot, task: Task) -> None:
        """The caller's thread cannot be given up."""

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """There is nothing to end."""

    def costs(self) -> dict[str, float]:
        """It costs nothing."""
        return {}
