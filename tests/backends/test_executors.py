"""Tasks for somebody else's executor: each comes back once, whatever its owner does with it."""

from __future__ import annotations

import contextvars
import pickle
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

import autoexec
from autoexec.backends.executors import ExecutorBackend, capacity, in_this_process
from autoexec.engine.tracks import TrackState
from autoexec.errors import WorkerDied
from autoexec.records import Plan
from autoexec.resources import Scope, current, here
from autoexec.worker.invoke import CallSpec
from tests.backends.partner import WAIT_S, Partner


class AtOnce(Executor):
    """Runs a call within `submit`.

    Attributes:
        depths: the depth of the stack at each call.
        refuse: what `submit` raises, one after the other; None lets a call through.
    """

    def __init__(self, *refuse: BaseException | None) -> None:
        self.depths: list[int] = []
        self.refuse = list(refuse)
        self.ended: list[bool] = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        depth, frame = 0, sys._getframe()
        while frame is not None:
            depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
        self.depths.append(depth)
        if self.refuse and (error := self.refuse.pop(0)) is not None:
            raise error
        future = Future[Any]()
        try:
            future.set_result(call(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.ended.append(wait)


class ByHand(Executor):
    """Keeps calls until the test ends them."""

    def __init__(self) -> None:
        self.calls: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls.append((Future(), call, args))
        return self.calls[-1][0]

    def run(self) -> None:
        """The oldest call."""
        future, call, args = self.calls.pop(0)
        if future.set_running_or_notify_cancel():
            future.set_result(call(*args))


class Counted(Partner):
    """A partner with a count of what is given out and of what comes back, by place."""

    def __init__(
        self, executor: Executor, call: Any = None, *, slots: int = 4, capture: bool = True, **wishes: Any
    ) -> None:
        self.given: Counter[int] = Counter()
        self.back: Counter[int] = Counter()
        counts = self

        class Counting:
            def __init__(self, scheduler: Any) -> None:
                self._scheduler = scheduler

            def __getattr__(self, name: str) -> Any:
                return getattr(self._scheduler, name)

            def collect(self, slot: Any) -> Any:
                found = self._scheduler.collect(slot)
                if hasattr(found, "place"):
                    counts.given[found.place] += 1
                return found

            def completed(self, slot: Any, task: Any, result: Any, **more: Any) -> Any:
                counts.back[task.place] += 1
                return self._scheduler.completed(slot, task, result, **more)

            def returned(self, slot: Any, task: Any) -> None:
                counts.back[task.place] += 1
                self._scheduler.returned(slot, task)

        def make(scheduler: Any, track: Any) -> ExecutorBackend:
            track.most = track.allowed = slots
            return ExecutorBackend(Counting(scheduler), executor, **wishes)

        super().__init__(make, Plan("joblib", slots), call, capture=capture)

    def balanced(self) -> bool:
        """Whether each task that was given out has come back, as often."""
        return self.back == self.given and not self.scheduler._ledger.out

    def done(self) -> None:
        """It ends; each came back once."""
        self.finish()
        assert self.balanced() and set(self.back.values()) <= {1}
        self.kill()


def reciprocal(x: int) -> float:
    """Fails for 0."""
    return 1 / x


# As a rule --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["threads", "at once"])
@pytest.mark.parametrize("size", [1, 3])
def test_each_task_comes_back_once(kind: str, size: int) -> None:
    """Values and errors in their places."""
    with ThreadPoolExecutor(2) if kind == "threads" else AtOnce() as executor:
        made = Counted(executor, reciprocal)
        found = made.run(range(30), size)
        assert type(found.pop(0)) is ZeroDivisionError and found == {x: 1 / x for x in range(1, 30)}
        made.done()


def test_an_executor_that_runs_a_call_at_once_needs_no_deeper_stack() -> None:
    """Each task is handed over from the same loop."""
    executor = AtOnce()
    made = Counted(executor, abs)
    assert made.run(range(2000), 1) == {x: x for x in range(2000)}
    assert max(executor.depths) < min(executor.depths) + 40
    made.done()
    assert executor.ended == []  # it is somebody else's


def test_an_executor_holds_no_more_than_its_quota() -> None:
    """What waits can still be had back."""
    executor = ByHand()
    made = Counted(executor, abs, slots=3)
    for x in range(7):
        made.submit([x], x)
    assert len(executor.calls) == 3
    executor.run()
    assert len(executor.calls) == 3 and made.next().values == [0]
    while executor.calls:
        executor.run()
    assert made.collect(6) == {x: x for x in range(1, 7)}
    made.done()


def test_calls_find_the_context_of_their_caller_and_the_objects_of_their_thread() -> None:
    """What one sets reaches no other; a thread that is somebody else's has a scope of its own."""
    name = contextvars.ContextVar("name", default="nobody")

    def call(x: int) -> tuple[str, bool]:
        found = name.get()
        name.set(f"item {x}")
        return found, here() is theirs

    context, theirs = contextvars.copy_context(), Scope()
    context.run(name.set, "me")
    context.run(current.set, theirs)  # the call was made in a worker of ours
    with ThreadPoolExecutor(1) as executor:
        made = Counted(executor, CallSpec(call, capture=True, context=context))
        assert made.run(range(6), 2) == dict.fromkeys(range(6), ("me", False))
        made.done()
    assert name.get() == "nobody"


def test_what_is_called_is_turned_into_bytes_once() -> None:
    """For executors of other processes; the items of each task go with it."""
    made_of: list[CallSpec] = []

    def serialise(spec: CallSpec) -> bytes:
        made_of.append(spec)
        return pickle.dumps(spec)

    made = Counted(AtOnce(), reciprocal, serialise=serialise)
    assert made.run(range(1, 10), 2) == {x: 1 / (x + 1) for x in range(9)}
    assert len(made_of) == 1
    made.done()


@pytest.mark.parametrize("kind", [TypeError, RecursionError])
@pytest.mark.parametrize("owned", [False, True])
def test_what_cannot_be_turned_into_bytes_fails(kind: type[Exception], owned: bool) -> None:
    """It is not taken for an executor that is at its end, and run here."""

    def serialise(spec: CallSpec) -> bytes:
        raise kind("too deep")

    made = Counted(AtOnce(), abs, serialise=serialise, owned=owned)
    assert [type(one) for one in made.run([1, 2], 2).values()] == [kind, kind]
    made.done()


# Executors that do not do as they should --------------------------------------------------------------------


@pytest.mark.parametrize("capture", [True, False])
def test_what_submit_raises_is_the_tasks_error(capture: bool) -> None:
    """Of each of its items, or of the first where that ends it; the next task is tried again."""
    made = Counted(AtOnce(None, MemoryError("full")), abs, slots=1, capture=capture)
    made.submit([0], 0)
    assert made.next().values == [0]
    made.submit([1, 2], 1)
    assert [type(one) for one in made.next().values] == [MemoryError] * (2 if capture else 1)
    if capture:
        made.submit([3], 3)
        assert made.next().values == [3]
        made.done()
    made.kill()


def test_an_executor_that_answers_something_else() -> None:
    """That is an error of its own, and not lost."""

    class Odd(AtOnce):
        def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = Future[Any]()
            future.set_result(None)
            return future

    made = Counted(Odd(), abs)
    assert [type(one) for one in made.run([1, 2], 1).values()] == [TypeError] * 2
    made.done()


def test_an_executor_whose_workers_died() -> None:
    """The tasks that it had fail; the run learns which items these were."""
    executor = ByHand()
    made = Counted(executor, abs, slots=2)
    for x in range(2):
        made.submit([x], x)
    for future, *_ in executor.calls:
        future.set_exception(BrokenExecutor("a process was killed"))
    found = made.collect(2)
    for x in range(2):
        assert type(found[x]) is WorkerDied and f"from index {x} on" in str(found[x])
        assert type(found[x].__cause__) is BrokenExecutor
    made.done()


def test_a_broken_executor_is_renewed_where_it_is_ours() -> None:
    """The task goes to the next one, which is ended with the run."""
    second = AtOnce()
    made = Counted(AtOnce(None, BrokenExecutor()), abs, renew=lambda: second)
    for x in range(3):
        made.submit([x], x)
    assert made.collect(3) == {x: x for x in range(3)} and len(second.depths) == 2
    made.done()
    assert second.ended[0] is True


def test_an_executor_of_ours_that_takes_no_more() -> None:
    """As at interpreter shutdown: what is pending is done here."""
    made = Counted(AtOnce(None, RuntimeError("shutdown")), reciprocal, slots=1, owned=True)
    for x in range(2):
        made.submit([x + 1], x)
    first, second = made.next(), made.next()
    assert (first.values, second.values) == ([1.0], [0.5])
    assert "about to exit" in second.where and "about to exit" not in first.where
    made.done()


# Its owner shuts it down in the middle ----------------------------------------------------------------------


class Held:
    """Calls that wait in threads until the test lets them go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    def __call__(self, x: Any) -> Any:
        self.begun.release()
        assert self.go.wait(WAIT_S)
        return x


@pytest.mark.parametrize("cancel", [False, True])
def test_its_owner_shuts_it_down(cancel: bool) -> None:
    """What runs comes to its end; what it had not begun, and what was still to come, fails; nobody hangs."""
    call, executor = Held(), ThreadPoolExecutor(1)
    made = Counted(executor, call, slots=3)
    for x in range(6):
        made.submit([x], x)
    assert call.begun.acquire(timeout=WAIT_S)
    done = threading.Event()

    def shut_down() -> None:
        executor.shutdown(wait=False, cancel_futures=cancel)
        done.set()

    thread = threading.Thread(target=shut_down, daemon=True)
    thread.start()
    assert done.wait(WAIT_S), "our callback waits for the lock that its owner holds"
    call.go.set()
    found = made.collect(6)
    begun = 1 if cancel else 3
    assert [found[x] for x in range(begun)] == list(range(begun))
    assert [type(found[x]) for x in range(begun, 6)] == [RuntimeError] * (6 - begun)
    made.finish()
    assert made.balanced()
    made.kill()
    executor.shutdown()


def test_a_run_whose_executor_is_shut_down_ends() -> None:
    """From end to end; each item is there, as a value or an error."""
    call = Held()
    with ThreadPoolExecutor(2) as executor:

        def shut_down() -> None:
            assert call.begun.acquire(timeout=WAIT_S)
            executor.shutdown(wait=False, cancel_futures=True)
            call.go.set()

        thread = threading.Thread(target=shut_down)
        thread.start()
        found = list(autoexec.map(call, range(40), backend=executor, on_error="return"))
        thread.join()
    assert len(found) == 40 and type(found[-1]) is RuntimeError
    assert all(one == x or type(one) is RuntimeError for x, one in enumerate(found))


def test_workers_that_die_under_the_lock_of_their_executor() -> None:
    """`submit` takes the same lock: it is not called in that thread."""

    class Locked(ByHand):
        def __init__(self) -> None:
            super().__init__()
            self.lock, self.broken = threading.Lock(), False

        def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            assert self.lock.acquire(timeout=WAIT_S), "submitted by who holds the lock"
            with_lock = self.lock
            try:
                if self.broken:
                    raise BrokenExecutor("broken")
                return super().submit(call, *args, **kwargs)
            finally:
                with_lock.release()

        def die(self) -> None:
            with self.lock:
                self.broken = True
                for future, *_ in self.calls:
                    future.set_exception(BrokenExecutor("broken"))

    executor = Locked()
    made = Counted(executor, abs, slots=2)
    for x in range(6):
        made.submit([x], x)
    executor.die()
    found = made.collect(6)
    assert [type(found[x]) for x in range(6)] == [WorkerDied] * 2 + [BrokenExecutor] * 4
    made.done()


# The end ----------------------------------------------------------------------------------------------------


def test_what_was_not_begun_is_taken_back() -> None:
    """When another plan follows: it waits again; what runs ends here."""
    executor = ByHand()
    made = Counted(executor, abs, slots=3)
    for x in range(3):
        made.submit([x], x)
    assert executor.calls[0][0].set_running_or_notify_cancel()
    made.scheduler.change(drains=[made.track])  # it recalls
    assert made.scheduler.ledger()["waiting"] == 2 and made.track.state is TrackState.DRAINING
    executor.calls[0][0].set_result(([0], 0.0, 0.0))
    assert [made.next().values for _ in range(3)] == [[], [], [0]]
    assert made.track.state is TrackState.CLOSED
    assert made.balanced() and made.back == {0: 1, 1: 1, 2: 1}
    made.kill()


def test_killing_cancels_what_was_not_begun_and_waits_for_the_rest() -> None:
    """A running call of somebody else's executor is not ended."""
    call = Held()
    with ThreadPoolExecutor(1) as executor:
        made = Counted(executor, call, slots=3)
        for x in range(3):
            made.submit([x], x)
        assert call.begun.acquire(timeout=WAIT_S)
        made.scheduler.close()
        made.backend.close(wait=False, kill=True)
        assert made.back == {1: 1, 2: 1}
        call.go.set()
        made.backend.close()
    assert made.balanced() and made.back == {0: 1, 1: 1, 2: 1}
    made.kill()


def test_closing_waits_until_the_last_result_was_told() -> None:
    """A future is done before its callback runs: a journal that was closed in between would lack it."""
    executor = ByHand()
    made = Counted(executor, abs, slots=1)
    telling, go, end = threading.Event(), threading.Event(), made.backend._end

    def late(*about: Any) -> None:
        telling.set()
        assert go.wait(WAIT_S)
        end(*about)

    made.backend._end = late
    made.submit([1], 0)
    runner = threading.Thread(target=executor.run)
    runner.start()
    assert telling.wait(WAIT_S)
    closer = threading.Thread(target=made.backend.close)
    closer.start()
    closer.join(0.2)  # it would be over at once
    assert closer.is_alive()
    go.set()
    runner.join(WAIT_S)
    closer.join(WAIT_S)
    assert not closer.is_alive() and made.balanced()
    made.kill()


@pytest.mark.parametrize("owned", [False, True])
def test_what_was_given_just_before_the_end_is_not_begun(owned: bool) -> None:
    """Nor run here, as if the interpreter were about to exit: it waits again."""
    executor, held, ran = ThreadPoolExecutor(1), list[Any](), list[int]()
    made = Counted(executor, ran.append, owned=owned)
    ring, made.backend.ring = made.backend.ring, held.append
    made.submit([1], 0)
    made.scheduler.change(drains=[made.track])
    made.backend.close()
    ring(held[0])
    executor.shutdown()
    assert made.back == made.given == {0: 1} and ran == []
    assert made.track.state is TrackState.CLOSED and made.scheduler.ledger()["waiting"] == 1
    made.kill()


def test_a_call_that_nobody_wants_any_more_is_not_submitted() -> None:
    """Its future was cancelled while it waited."""
    executor, future = ByHand(), Future[None]()
    made = Counted(executor, abs, slots=1)
    made.submit([0], 0)
    made.submit([1], 1, future=future)
    assert future.cancel()
    executor.run()
    assert [made.next().result.withdrawn for _ in range(2)] == [False, True] and not executor.calls
    made.done()


def test_what_an_executor_tells_of_itself() -> None:
    """How many workers it has, and whether these are threads of this process."""
    with ThreadPoolExecutor(3) as executor:
        assert (capacity(executor, 7), in_this_process(executor)) == (3, True)
    assert (capacity(AtOnce(), 7), in_this_process(AtOnce())) == (7, False)
    odd = AtOnce()
    for told in (0, -1, None, "many", True):
        odd._max_workers = told  # type: ignore[attr-defined]
        assert capacity(odd, 7) == 7
