"""Calls of async functions: each comes back once, whatever becomes of its loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import autoexec
from autoexec.backends import event_loop
from autoexec.backends.event_loop import EventLoopBackend
from autoexec.engine.tracks import TrackState
from autoexec.errors import AutoexecError, BrokenWorker, ItemTimeout
from autoexec.records import Plan
from tests.backends.partner import WAIT_S, Partner, partner
from tests.engine.stage import Clock

PLAN = Plan("asyncio", 4)

quiet = pytest.mark.usefixtures("quiet_loops")


def in_loop(call: Any = None, *, workers: int = 4, capture: bool = True, **wishes: Any) -> Any:
    """A partner whose backend runs a loop of its own, or the one among `wishes`."""
    return partner(
        lambda scheduler, track: EventLoopBackend(scheduler, workers, **wishes),
        Plan("asyncio", workers),
        call,
        capture=capture,
    )


_kept: list[Any] = []  # a loop holds its tasks weakly


class Gate:
    """Async calls wait here until the test lets them go.

    Attributes:
        begun: told of each call that waits, in its order.
    """

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self._came = threading.Condition()
        self._futures: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._open = False

    async def __call__(self, item: Any) -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._came:
            self.begun.append(item)
            if self._open:
                return item
            self._futures.append((loop, future))
            self._came.notify_all()
        await future
        return item

    def wait_for(self, count: int) -> None:
        """Until so many calls have begun."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.begun) >= count, WAIT_S)

    def open(self) -> None:
        """Whoever waits goes on, and nobody waits any more."""
        with self._came:
            self._open = True
            for loop, future in self._futures:
                loop.call_soon_threadsafe(lambda future=future: future.done() or future.set_result(None))


@pytest.fixture
def own_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that the test runs by hand."""
    loop = asyncio.new_event_loop()
    yield loop
    if not loop.is_closed():
        loop.close()


@pytest.fixture
def thrown_away() -> Iterator[None]:
    """What is left of a loop that ends in the middle is thrown away: asyncio says so, in this test."""
    yield
    event_loop._running.clear()
    for task in _kept:
        task.exception()
    _kept.clear()
    gc.collect()


def told(made: Partner) -> list[Any]:
    """All that has been told so far: the place of each task, with what came of it."""
    found = []
    while not made.empty:
        done = made.next()
        found.append((done.start, done.values))
    return found


class Counting:
    """The scheduler as a backend sees it; it counts what comes back.

    Attributes:
        back: how often each task came back, by its place, in whatever way.
        errors: what escaped.
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self.back: Counter[int] = Counter()
        self.given: Counter[int] = Counter()
        self.errors: list[BaseException] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheduler, name)

    def collect(self, slot: Any) -> Any:
        found = self._scheduler.collect(slot)
        if hasattr(found, "place"):
            self.given[found.place] += 1
        return found

    def completed(self, slot: Any, task: Any, result: Any, **more: Any) -> Any:
        self.back[task.place] += 1
        return self._scheduler.completed(slot, task, result, **more)

    def returned(self, slot: Any, task: Any) -> None:
        self.back[task.place] += 1
        self._scheduler.returned(slot, task)

    def crashed(self, error: BaseException) -> None:
        self.errors.append(error)
        self._scheduler.crashed(error)


class Counted(Partner):
    """A partner with a count of what comes back."""

    def __init__(
        self, workers: int = 4, call: Any = None, *, options: dict[str, Any] | None = None, **wishes: Any
    ) -> None:
        def make(scheduler: Any, track: Any) -> EventLoopBackend:
            self.counting = Counting(scheduler)
            return EventLoopBackend(self.counting, workers, **wishes)

        super().__init__(make, Plan("asyncio", workers), call, capture=True, **(options or {}))

    def balanced(self) -> bool:
        """Whether each task that was given out has come back, once."""
        return self.counting.back == self.counting.given and not self.scheduler._ledger.out

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """End it in a loop that the test runs."""
        self.backend.close(wait=False)
        loop.run_until_complete(_until(lambda: self.backend._gone.is_set))
        self.kill()


# As a rule --------------------------------------------------------------------------------------------------


@quiet
def test_each_call_comes_back_once_with_its_own_result() -> None:
    """Values and errors, with who ran it and how long that took."""

    async def call(x: int) -> int:
        await asyncio.sleep(0)
        return 12 // x

    with in_loop(call) as made:
        for x in range(30):
            made.submit([x], x)
        found = made.collect(30)
    assert type(found.pop(0)) is ZeroDivisionError
    assert found == {x: 12 // x for x in range(1, 30)}


@quiet
def test_no_more_calls_at_once_than_slots() -> None:
    """Tasks are made only when they may begin."""
    gate = Gate()
    with in_loop(gate) as made:
        for x in range(10):
            made.submit([x], x)
        gate.wait_for(4)
        assert gate.begun == [0, 1, 2, 3]
        gate.open()
        assert made.collect(10) == {x: x for x in range(10)}


@quiet
def test_what_a_call_raises_is_its_own_affair() -> None:
    """Also what would end a loop, and a cancellation that nobody here asked for."""
    errors = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, BrokenWorker]

    gate = Gate()

    async def call(kind: Any) -> None:
        await gate(kind)
        raise kind

    with in_loop(call, workers=len(errors)) as made:
        for at, kind in enumerate(errors):
            made.submit([kind], at)
        gate.wait_for(len(errors))  # nothing begins after the first that is no exception
        gate.open()
        found = made.collect(len(errors))
    assert [type(found[at]) for at in range(len(errors))] == errors


@quiet
def test_what_is_no_coroutine_is_an_error() -> None:
    """A function that is not async after all, and one that raises before it has anything to await."""

    def fails(x: int) -> Any:
        raise OSError(x)

    with in_loop() as made:
        made.submit([1], 0, call=abs)
        made.submit([1], 1, call=fails)
        found = made.collect(2)
    assert (type(found[0]), type(found[1])) == (AttributeError, OSError)


@quiet
def test_a_call_that_nobody_wants_any_more_is_not_begun() -> None:
    """Its future was cancelled while it waited."""
    gate, future = Gate(), Future[None]()
    with in_loop(gate, workers=1) as made:
        made.submit([0], 0)
        gate.wait_for(1)
        made.submit([1], 1, future=future)
        assert future.cancel()
        gate.open()
        assert [made.next().result.withdrawn for _ in range(2)] == [False, True]
    assert gate.begun == [0]


@quiet
def test_each_call_has_a_copy_of_the_context() -> None:
    """What one sets reaches neither the next one nor the caller, nor the loop."""
    name = contextvars.ContextVar("name", default="nobody")

    async def call(x: int) -> str:
        found = name.get()
        name.set(f"item {x}")
        await asyncio.sleep(0)
        assert name.get() == f"item {x}"
        return found

    context = contextvars.copy_context()
    context.run(name.set, "me")
    with in_loop(call, context=context) as made:
        assert made.run(range(6), 1) == dict.fromkeys(range(6), "me")
    assert (name.get(), context[name]) == ("nobody", "me")


@quiet
def test_what_holds_up_the_loop_is_told() -> None:
    """With the seconds of its longest step; what waits properly is not."""
    held: list[tuple[int, float]] = []

    async def call(seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            pass
        await asyncio.sleep(0.06)

    with in_loop(call, blocked=lambda task, seconds: held.append((task.place, seconds))) as made:
        made.run([0.0], 1)
        made.submit([0.06], 1)
        made.collect(1)
    assert [place for place, seconds in held if place == 1] == [1]
    assert held[-1][1] >= 0.06


@quiet
def test_what_calls_share_is_closed_at_the_end() -> None:
    """Last first, by `aclose` where there is one; an error of one does not keep the others open."""
    closed: list[str] = []

    class Client:
        def __init__(self, name: str) -> None:
            self.name = name

        async def aclose(self) -> None:
            closed.append(self.name)
            raise OSError("while closing")

    one, two = autoexec.per_worker(Client, "one"), autoexec.per_worker(Client, "two")

    async def call(x: int) -> bool:
        return one() is one() is not two()

    with in_loop(call) as made:
        assert made.run(range(5), 1) == dict.fromkeys(range(5), True)
        assert closed == []
    assert closed == ["two", "one"]


# Eager tasks ------------------------------------------------------------------------------------------------


def needs_eager_tasks() -> Callable[..., Any]:
    """The factory, where there is one."""
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("asyncio has eager tasks from Python 3.12 on")
    return factory  # type: ignore[no-any-return]


@pytest.mark.parametrize("waits", ["never", "sometimes", "always"])
@quiet
def test_eager_tasks_run_to_their_end_at_once(waits: str, own_loop: asyncio.AbstractEventLoop) -> None:
    """Many in a row without a deeper stack, as each gets its successor from the flat pump."""
    own_loop.set_task_factory(needs_eager_tasks())
    depths: list[int] = []

    async def call(x: int) -> int:
        depth, frame = 0, sys._getframe()
        while frame is not None:
            depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
        depths.append(depth)
        if waits == "always" or (waits == "sometimes" and x % 3 == 0):
            await asyncio.sleep(0)
        if x == 7:
            raise ValueError(x)
        return x

    made = Counted(2, call, loop=own_loop)
    for x in range(500):
        made.submit([x], x)
    collected: list[Any] = []

    async def drive() -> None:
        while len(collected) < 500:
            collected.extend(told(made))
            await asyncio.sleep(0)

    own_loop.run_until_complete(asyncio.wait_for(drive(), WAIT_S))
    values = {start: value for start, (value,) in collected}
    assert type(values.pop(7)) is ValueError and values == {x: x for x in range(500) if x != 7}
    assert max(depths) < min(depths) + 40 and made.balanced()
    made.leave(own_loop)


@quiet
def test_an_eager_call_is_cancelled_like_any_other(own_loop: asyncio.AbstractEventLoop) -> None:
    """It had its first step at once, and waits now."""
    own_loop.set_task_factory(needs_eager_tasks())
    gate = Gate()
    made = Counted(2, gate, loop=own_loop)
    for x in range(3):
        made.submit([x], x)
    own_loop.run_until_complete(_until(lambda: len(gate.begun) == 2))
    made.scheduler.close()
    made.backend.close(wait=False, kill=True)
    own_loop.run_until_complete(_until(lambda: made.backend._gone.is_set))
    assert gate.begun == [0, 1] and made.balanced() and made.counting.back == {0: 1, 1: 1}
    made.kill()


async def _until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0)


# The end ----------------------------------------------------------------------------------------------------


@quiet
def test_a_loop_of_ones_own_ends_with_its_last_call() -> None:
    """Nothing is left of it; whoever closes it twice waits for nothing."""
    gate = Gate()
    made = Counted(4, gate)
    for x in range(4):
        made.submit([x], x)
    gate.wait_for(4)
    made.backend.close(wait=False)
    assert made.backend._thread.is_alive()
    gate.open()
    made.finish()
    assert not made.backend._thread.is_alive() and made.backend._loop.is_closed()
    assert made.balanced() and made.counting.back == dict.fromkeys(range(4), 1)
    made.backend.close()
    made.kill()


@quiet
def test_killing_cancels_what_runs() -> None:
    """Also what was begun and has not had a step yet, and who does not go at once; each comes back."""
    gate, stubborn = Gate(), []

    async def call(x: int) -> Any:
        while True:
            try:
                return await gate(x)
            except asyncio.CancelledError:
                stubborn.append(x)
                if x != 1 or stubborn.count(1) > 1:
                    raise

    made = Counted(3, call)
    for x in range(6):
        made.submit([x], x)
    gate.wait_for(3)
    made.scheduler.close()
    made.backend.close(kill=True)
    assert sorted(set(stubborn)) == [0, 1, 2] and stubborn.count(1) > 1
    assert made.balanced() and made.counting.back == {0: 1, 1: 1, 2: 1}
    made.kill()


@quiet
def test_a_call_that_ends_well_though_it_was_cancelled_comes_back_once() -> None:
    """Its outcome is told; nobody needs it."""
    gate = Gate()

    async def call(x: int) -> Any:
        try:
            return await gate(x)
        except asyncio.CancelledError:
            return "all the same"

    made = Counted(1, call)
    made.submit([0], 0)
    gate.wait_for(1)
    made.scheduler.close()
    made.backend.close(kill=True)
    assert made.balanced() and made.counting.back == {0: 1}
    made.kill()


@quiet
def test_a_call_that_takes_too_long_is_abandoned() -> None:
    """It is cancelled; what it says afterwards is not believed, and its slot's place is another one's."""
    gate, went = Gate(), threading.Event()

    async def call(x: int) -> Any:
        try:
            return await gate(x) if x == 0 else x
        except asyncio.CancelledError:
            went.set()
            raise

    clock = Clock()
    made = Counted(1, call, options={"item_timeout": 5.0, "clock": clock})
    made.submit([0], 0)
    made.submit([1], 1)
    gate.wait_for(1)
    clock.now += 4.9
    made.scheduler.tick()
    assert made.empty
    clock.now += 0.2
    made.scheduler.tick()
    found = made.collect(2)
    assert type(found[0]) is ItemTimeout and found[1] == 1
    assert went.wait(WAIT_S)
    made.finish()
    assert made.balanced() and made.counting.back == {0: 1, 1: 1} and made.empty
    made.kill()


@pytest.mark.parametrize("kill", [False, True])
@quiet
def test_what_was_given_to_a_loop_that_has_ended_comes_back(kill: bool) -> None:
    """A slot may have got its task at the last moment: it is not begun, and waits again."""
    ran: list[int] = []

    async def call(x: int) -> None:
        ran.append(x)

    made, held = Counted(2, call), list[Any]()
    ring, made.backend.ring = made.backend.ring, held.append
    made.submit([1], 0)
    made.scheduler.change(drains=[made.track])
    made.backend.close(kill=kill)
    assert made.track.state is TrackState.DRAINING and not made.counting.given
    ring(held[0])
    assert made.counting.back == made.counting.given == {0: 1} and ran == []
    assert made.track.state is TrackState.CLOSED and made.scheduler.ledger()["waiting"] == 1
    made.kill()


# A loop that ends in the middle -----------------------------------------------------------------------------


def _stop() -> None:
    asyncio.get_running_loop().stop()


def _exit_in_a_task() -> None:
    async def leave() -> None:
        sys.exit(3)

    _kept.append(asyncio.get_running_loop().create_task(leave()))


def _exit_in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 3)


ENDS = {"stop": _stop, "exit in a task": _exit_in_a_task, "exit in a callback": _exit_in_a_callback}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.usefixtures("thrown_away")
def test_a_call_that_ends_the_loop_ends_the_run(end: Callable[[], None]) -> None:
    """Whoever waits hears why; what ran and what was given comes back."""
    gate = Gate()

    async def call(x: int) -> Any:
        if x == 3:
            end()
        return await gate(x)

    made = Counted(4, call)
    for x in range(8):
        made.submit([x], x)
    made.backend._thread.join(WAIT_S)
    assert not made.backend._thread.is_alive()
    (error,) = made.counting.errors
    assert made.scheduler.error is error and type(error) in (RuntimeError, SystemExit)
    assert made.balanced() and sorted(made.counting.given) == [0, 1, 2, 3]
    made.kill()


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.usefixtures("thrown_away")
def test_no_call_of_an_executor_waits_for_a_loop_that_is_gone(end: Callable[[], None]) -> None:
    """Those that ran, those that waited, and later ones."""

    async def call(x: int) -> int:
        if x == 3:
            end()
        await asyncio.sleep(0.001)
        return x

    with autoexec.Executor() as executor:
        futures = [executor.submit(call, x) for x in range(30)]
        for x, future in enumerate(futures):
            error = future.exception(WAIT_S)
            assert type(error) is AutoexecError if error is not None else future.result() == x < 3
        assert futures[3].exception() is not None
        assert type(executor.submit(call, 0).exception(WAIT_S)) is AutoexecError


@quiet
def test_calls_that_are_cancelled_before_their_first_step_come_back(
    own_loop: asyncio.AbstractEventLoop,
) -> None:
    """By whoever cancels all tasks of the loop, as `asyncio.run` does at its end."""
    made = Counted(3, Gate(), loop=own_loop)
    for x in range(3):
        made.submit([x], x)

    async def cancel_all() -> None:
        await _until(lambda: len(made.counting.given) == 3)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await _until(lambda: sum(made.counting.back.values()) == 3)

    own_loop.run_until_complete(cancel_all())
    assert [type(value) for _, (value,) in told(made)] == [asyncio.CancelledError] * 3
    assert made.balanced()
    made.leave(own_loop)


@pytest.mark.usefixtures("thrown_away")
def test_a_loop_that_its_owner_closes_gives_back_what_it_had(
    own_loop: asyncio.AbstractEventLoop,
) -> None:
    """What ran will never end, what was to begin never begins; nobody waits for ever."""
    gate = Gate()
    made = Counted(3, gate, loop=own_loop)
    for x in range(2):
        made.submit([x], x)
    own_loop.run_until_complete(_until(lambda: len(gate.begun) == 2))
    made.submit([2], 2)  # it waits in the loop for its turn
    own_loop.close()
    made.scheduler.close()
    made.backend.close()
    assert made.counting.back == made.counting.given == {0: 1, 1: 1, 2: 1} and gate.begun == [0, 1]
    assert not made.scheduler._ledger.out
    made.kill()


@pytest.mark.usefixtures("thrown_away")
def test_a_run_whose_loop_was_closed_ends(
    own_loop: asyncio.AbstractEventLoop,
) -> None:
    """As soon as something is to begin there."""
    gate = Gate()
    made = Counted(3, gate, loop=own_loop)
    made.submit([0], 0)
    own_loop.run_until_complete(_until(lambda: gate.begun))
    own_loop.close()
    made.submit([1], 1)
    with pytest.raises(RuntimeError, match="loop was closed"):
        made.next()
    made.kill()
    assert made.balanced() and made.counting.back == {0: 1, 1: 1}


@quiet
def test_a_loop_that_makes_no_tasks_ends_the_run(own_loop: asyncio.AbstractEventLoop) -> None:
    """Such as one with a task factory from before there were contexts."""

    def factory(loop: Any, call: Any) -> Any:
        return asyncio.Task(call, loop=loop)

    own_loop.set_task_factory(factory)  # type: ignore[arg-type]
    made = Counted(1, Gate(), loop=own_loop)
    made.submit([0], 0)
    waiting = own_loop.create_future()
    own_loop.call_later(0.01, waiting.set_result, None)
    own_loop.run_until_complete(waiting)
    with pytest.raises(TypeError, match="context"):
        made.next()
    assert made.balanced()
    made.backend.close(wait=False)
    own_loop.call_soon(own_loop.stop)
    own_loop.run_forever()
    made.backend.close()  # it waits for nothing
    made.kill()


def test_a_loop_that_cannot_be_had_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no descriptors left for one: nobody waits for it."""

    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "new_event_loop", refuse)
    monkeypatch.setattr(asyncio.events, "new_event_loop", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        EventLoopBackend(object(), 1)  # type: ignore[arg-type]
    assert not any(thread.name == "autoexec-loop" for thread in threading.enumerate())
