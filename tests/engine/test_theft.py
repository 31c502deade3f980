"""The caller's own block, cut short by another thread: no item lost, none doubled."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autoexec.backends.inline import Block, InlineBackend
from autoexec.engine.run import _no_chunks
from autoexec.engine.scheduler import Scheduler
from autoexec.engine.source import Source
from autoexec.engine.tracks import Track
from autoexec.worker.invoke import CallSpec

KINDS: dict[str, Callable[[int], Any]] = {
    "list": lambda n: list(range(n)),
    "tuple": lambda n: tuple(range(n)),
    "range": range,
    "range with a step": lambda n: range(3, 3 + 7 * n, 7),
    "long range": lambda n: range(2**70, 2**70 + n),
    "generator": lambda n: (x for x in range(n)),
}


@pytest.fixture
def fine_switching() -> Iterator[None]:
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Caller:
    """The caller's own track, as a run has it.

    Attributes:
        blocks: what it ran.
    """

    def __init__(self, call: Callable[..., Any], *items: Any) -> None:
        self.source = Source(items)
        self.spec = CallSpec(call, star=self.source.star)
        self.scheduler = Scheduler(self.spec, self.source)
        self.scheduler.stock(self.source.pull(10_000))
        self.inline = InlineBackend(self.spec)
        chunks = _no_chunks()
        self.track = Track("serial", self.scheduler.queue, 1, chunks, threaded=False)
        self.track.backend = self.inline
        self.slot = self.track.add()
        self.blocks: list[Block] = []
        self.scheduler.change(opens=[self.track])
        self.scheduler.opened(self.track)

    def run(self, size: int) -> bool:
        """Run a block; False if there is none for this thread."""
        task = self.scheduler.take_here(self.track, self.slot, size)
        if task is None:
            return False
        block, result = self.inline.run(task)
        self.blocks.append(block)
        self.scheduler.completed_here(self.slot, task, result)
        return True

    def take_over(self) -> None:
        """Take what has not begun away from it."""
        self.scheduler.change(drains=[self.track])
        found = self.inline.steal()
        if found is not None:
            self.scheduler.give_back(self.slot, *found)

    def rest(self) -> list[tuple[int, Any]]:
        """What is left for others."""
        waiting = sorted(self.scheduler.queue.waiting(), key=lambda task: task.place)
        found = [(task.place + at, item) for task in waiting for at, item in enumerate(task.items)]
        place, items = self.source.take(10_000)
        return found + [(place + at, item) for at, item in enumerate(items)]


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "long range"])
@pytest.mark.parametrize("size", [1, 7, 2000])
def test_a_theft_at_any_moment_loses_and_doubles_nothing(kind: str, size: int, fine_switching: None) -> None:
    """What the caller ran and what was stolen together are all items, each once, in order."""
    n, trials = 2000, 50
    expected = list(enumerate(KINDS[kind](n)))
    for trial in range(trials):
        ran: list[Any] = []
        caller = Caller(ran.append, KINDS[kind](n))
        thread = _thief(caller, 13 * (trial % trials))
        while caller.run(size):
            pass
        thread.join()
        caller.scheduler._ledger.check_sum()
        rest = caller.rest()
        assert [x for _, x in expected] == ran + [x for _, x in rest], f"trial {trial}"
        assert rest == expected[len(ran) :]


def test_a_theft_amid_a_block_leaves_what_has_begun() -> None:
    """Another thread takes over while an item runs."""
    ran: list[int] = []

    def item(number: int) -> None:
        if number == 1000:
            _thief(caller, 0).join()
        ran.append(number)

    caller = Caller(item, range(2000))
    while caller.run(2000):
        pass
    assert ran == list(range(1001))
    assert caller.rest() == [(x, x) for x in range(1001, 2000)]


def _thief(caller: Caller, spins: int) -> threading.Thread:
    """A thread that takes over some time after this has returned."""
    go = threading.Barrier(2)

    def steal() -> None:
        go.wait()
        for _ in range(spins):
            pass
        caller.take_over()

    thread = threading.Thread(target=steal)
    thread.start()
    go.wait()
    return thread


@pytest.mark.parametrize("kind", ["list", "tuple", "range", "range with a step"])
@pytest.mark.parametrize("k", range(12))
def test_a_theft_inside_every_item(kind: str, k: int) -> None:
    """The rest taken while item k runs begins with item k + 1, for every k."""
    values, ran = list(KINDS[kind](12)), list[Any]()

    def call(x: Any) -> None:
        ran.append(x)
        if x == values[k]:
            thread = threading.Thread(target=caller.take_over)
            thread.start()
            thread.join()

    caller = Caller(call, KINDS[kind](12))
    while caller.run(12):
        pass
    assert ran == values[: k + 1]
    assert [x for _, x in caller.rest()] == values[k + 1 :]


def test_stealing_from_a_block_with_an_error_gives_the_rest_back() -> None:
    """The item that raises was the caller's; those after it are not lost."""

    def call(x: int) -> int:
        if x == 2:
            caller.take_over()
            raise ValueError(x)
        return x

    caller = Caller(call, list(range(6)))
    assert caller.run(6)
    (block,) = caller.blocks
    assert block.out[:2] == [0, 1] and isinstance(block.error, ValueError)
    assert caller.rest() == [(3, 3), (4, 4), (5, 5)]


def test_a_block_says_what_it_ran() -> None:
    """Results and seconds are there when it is over."""
    caller = Caller(lambda a, b: a + b, [1, 2, 3], [4, 5, 6])
    assert caller.run(2)
    (block,) = caller.blocks
    assert block.out == [5, 7] and block.error is None
    assert block.wall_s >= 0 and block.cpu_s >= 0
    assert caller.inline.block is None
    assert caller.rest() == [(2, (3, 6))]


def test_nothing_is_run_after_a_take_over() -> None:
    """Once taken, there is nothing more to run here."""
    caller = Caller(abs, [1, 2])
    caller.take_over()
    assert not caller.run(1)
    assert caller.rest() == [(0, 1), (1, 2)]


def test_an_interrupt_is_raised_at_once() -> None:
    """It does not wait for its turn; what the block had done by then is seen by whoever asks."""

    def call(x: int) -> int:
        if x == 1:
            raise KeyboardInterrupt
        return x

    caller = Caller(call, [0, 1, 2])
    with pytest.raises(KeyboardInterrupt):
        caller.run(3)
    assert caller.inline.block is None
