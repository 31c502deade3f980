"""Threads that ask for tasks: each task comes back once, and no thread is left."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

import autoexec
from autoexec.backends.threads import ThreadBackend
from autoexec.engine.tracks import TrackState
from autoexec.errors import ItemTimeout
from autoexec.records import Plan
from autoexec.resources import Scope, current, here
from autoexec.worker.invoke import serving
from tests.backends.partner import WAIT_S, Partner, partner
from tests.engine.stage import Clock


def in_threads(call: Any = None, workers: int = 3, *, capture: bool = True, **wishes: Any) -> Any:
    """A partner whose backend has so many threads."""
    options = {name: wishes.pop(name) for name in ("item_timeout", "clock") if name in wishes}
    return partner(
        lambda scheduler, track: ThreadBackend(scheduler, workers, **wishes),
        Plan("threads", workers),
        call,
        capture=capture,
        **options,
    )


class Held:
    """Calls that wait until the test lets them go.

    Attributes:
        begun: released by each that has begun.
        go: set to let them go.
        items: what they were called with.
    """

    def __init__(self) -> None:
        self.begun, self.go = threading.Semaphore(0), threading.Event()
        self.items: list[Any] = []

    def __call__(self, x: Any) -> Any:
        self.items.append(x)
        self.begun.release()
        assert self.go.wait(WAIT_S)
        return x

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.begun.acquire(timeout=WAIT_S)


def ours() -> list[threading.Thread]:
    """The threads of backends that live."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("autoexec-")]


# As a rule --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [1, 4])
def test_each_task_comes_back_once(workers: int, size: int) -> None:
    """Values and errors in their places; the threads go."""
    with in_threads(lambda x: 6 / x, workers) as made:
        found = made.run(range(40), size)
        assert made.track.done == 40
    assert type(found.pop(0)) is ZeroDivisionError and found == {x: 6 / x for x in range(1, 40)}
    assert ours() == [] and made.backend._threads == []


def test_threads_are_started_as_tasks_come_and_no_more_than_may_be() -> None:
    """One for each that would have to wait; none before there is a task."""
    call = Held()
    with in_threads(call, 2) as made:
        assert ours() == []
        made.submit([0], 0)
        call.wait_for(1)
        assert len(ours()) == 1
        for x in range(1, 5):
            made.submit([x], x)
        call.wait_for(1)
        assert len(ours()) == 2 and call.items == [0, 1]
        call.go.set()
        assert made.collect(5) == {x: x for x in range(5)}
    assert made.backend.costs()["thread_start"] > 0.0


def test_a_backend_that_was_never_used_has_cost_nothing() -> None:
    """No thread, no measured seconds."""
    with in_threads(abs) as made:
        assert made.backend.costs() == {}


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_a_thread_elsewhere_is_an_items_error_here(kind: type[BaseException]) -> None:
    """The thread goes on: what is more than the item's affair, the run decides."""

    def call(x: int) -> Any:
        raise kind

    with in_threads(call, 1) as made:
        made.submit([1], 0)
        assert type(made.collect(1)[0]) is kind
        assert len(ours()) == 1


def test_each_thread_is_a_worker_of_its_own() -> None:
    """With its own objects, which are closed when it ends; it knows whom it serves."""
    closed: list[Any] = []
    both = threading.Barrier(2)

    class Client:
        def close(self) -> None:
            closed.append(self)
            raise OSError("while closing")

    client = autoexec.per_worker(Client)

    def call(x: int) -> Any:
        both.wait(WAIT_S)
        return client(), client(), serving.tasks, here()

    outer = contextvars.copy_context()
    outer.run(current.set, Scope())
    with in_threads(call, 2, context=outer) as made:
        found = made.run(range(2), 1)
        assert found[0][0] is found[0][1] is not found[1][0] and closed == []
        assert found[0][2] is found[1][2] is made.scheduler
        assert len({id(scope) for *_, scope in found.values()} | {id(outer[current])}) == 3
    assert {id(one) for one in closed} == {id(found[0][0]), id(found[1][0])}


def test_what_cannot_be_closed_at_all_ends_the_run() -> None:
    """`SystemExit` is no error of closing: whoever waits hears of it, and the thread is gone all the same."""

    class Client:
        def close(self) -> None:
            raise SystemExit(3)

    client = autoexec.per_worker(Client)
    made = Partner(
        lambda scheduler, track: ThreadBackend(scheduler, 1), Plan("threads", 1), lambda x: bool(client())
    )
    assert made.run([1], 1) == {0: True}
    with pytest.raises(SystemExit):
        made.finish()
    assert made.track.state is TrackState.CLOSED and ours() == [] and made.backend._threads == []
    made.kill()


def test_a_call_that_nobody_wants_any_more_is_not_begun() -> None:
    """Its future was cancelled while it waited."""
    call, future = Held(), Future[None]()
    with in_threads(call, 1) as made:
        made.submit([0], 0)
        call.wait_for(1)
        made.submit([1], 1, future=future)
        assert future.cancel()
        call.go.set()
        assert [made.next().result.withdrawn for _ in range(2)] == [False, True]
    assert call.items == [0]


# Threads that cannot be had ---------------------------------------------------------------------------------


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Exception], list[threading.Thread]]:
    """Has threads of backends refused from a number on; returns those that were."""

    def refuse(first: int, error: Exception) -> list[threading.Thread]:
        start, before, found = threading.Thread.start, [0], list[threading.Thread]()

        def unable(thread: threading.Thread) -> None:
            if thread.name.startswith("autoexec-"):
                before[0] += 1
                if before[0] > first:
                    found.append(thread)
                    raise error
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", unable)
        return found

    return refuse


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_thread_that_cannot_be_started_is_done_without(
    first: int, error: Exception, refused: Callable[[int, Exception], list[threading.Thread]]
) -> None:
    """Those that are there do its work; no more are asked for."""
    call, missing = Held(), refused(first, error)
    with in_threads(call, 4) as made:
        for x in range(8):
            made.submit([x], x)
        call.wait_for(first)
        call.go.set()
        assert made.collect(8) == {x: x for x in range(8)}
        assert made.track.most == first and len(ours()) == first == len(made.backend._threads)
    assert len(missing) == 1 and sorted(call.items) == list(range(8))
    assert ours() == [] and made.backend._threads == []


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
def test_without_a_first_thread_there_is_no_backend(
    error: Exception, refused: Callable[[int, Exception], list[threading.Thread]]
) -> None:
    """It has failed, and its task waits for another one."""
    missing = refused(0, error)
    made = Partner(lambda scheduler, track: ThreadBackend(scheduler, 4), Plan("threads", 4), abs)
    made.submit([1], 0)
    with pytest.raises(type(error)):
        made.next()
    assert made.track.state is TrackState.FAILED and made.track.error is error
    assert made.scheduler.ledger()["waiting"] == 1 and len(missing) == 1
    assert made.backend._threads == []
    made.backend.close()
    made.kill()


# The end ----------------------------------------------------------------------------------------------------


def test_a_call_that_takes_too_long_is_abandoned() -> None:
    """Another thread takes its place, nobody waits for it, and what it says late is not believed."""
    slow, clock = Held(), Clock()
    with in_threads(lambda x: slow(x) if x == 0 else x, 1, item_timeout=5.0, clock=clock) as made:
        made.submit([0], 0)
        made.submit([1], 1)
        slow.wait_for(1)
        (thread,) = ours()
        clock.now += 4.9
        made.scheduler.tick()
        assert made.empty
        clock.now += 0.2
        made.scheduler.tick()
        found = made.collect(2)
        assert type(found[0]) is ItemTimeout and found[1] == 1
        assert thread.is_alive() and thread not in made.backend._threads
        made.scheduler.close(finish=True)
        made.scheduler.calls.join()
        made.backend.close()
        assert ours() == [thread]
        slow.go.set()
        thread.join(WAIT_S)
        assert made.empty and ours() == []


def test_a_call_may_be_abandoned_before_its_thread_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a thread may take its time: it is not waited for either."""
    clock, held = Clock(), list[Any]()
    run = threading.Thread.run
    go = threading.Event()

    def late(thread: threading.Thread) -> None:
        if thread.name == "autoexec-0":
            held.append(thread)
            assert go.wait(WAIT_S)
        run(thread)

    monkeypatch.setattr(threading.Thread, "run", late)
    with in_threads(abs, 1, item_timeout=5.0, clock=clock) as made:
        made.submit([-1], 0)
        clock.now += 6.0
        made.scheduler.tick()
        assert type(made.collect(1)[0]) is ItemTimeout
        assert made.backend._threads == []
        made.backend.close()  # at once
        go.set()
        held[0].join(WAIT_S)
        assert not held[0].is_alive()


def test_closing_waits_for_calls_that_run() -> None:
    """What waited for a thread is not begun; what ran comes back."""
    call = Held()
    made = Partner(lambda scheduler, track: ThreadBackend(scheduler, 2), Plan("threads", 2), call)
    for x in range(5):
        made.submit([x], x)
    call.wait_for(2)
    made.scheduler.close()
    made.backend.close(wait=False, kill=True)
    assert len(ours()) == 2
    closing = threading.Thread(target=made.backend.close)
    closing.start()
    call.go.set()
    closing.join(WAIT_S)
    assert not closing.is_alive() and ours() == [] and sorted(call.items) == [0, 1]
    assert not made.scheduler._ledger.out and made.scheduler.ledger()["withdrawn"] == 3
    made.kill()


def test_a_thread_that_closes_its_own_backend_does_not_wait_for_itself() -> None:
    """Such as by a finalizer that an item runs into."""
    with in_threads(None, 2) as made:
        made.submit([1], 0, call=lambda x: made.backend.close())
        assert made.collect(1) == {0: None}
    assert ours() == []


def test_a_fault_in_a_thread_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits hears of it; the thread is not left."""

    def broken(*args: Any) -> Any:
        raise LookupError("a fault of ours")

    monkeypatch.setattr("autoexec.backends.threads.run_task", broken)
    made = Partner(lambda scheduler, track: ThreadBackend(scheduler, 1), Plan("threads", 1), abs)
    made.submit([1], 0)
    with pytest.raises(LookupError):
        made.next()
    made.backend.close()
    assert ours() == []
    made.kill()


class ClosingMeanwhile:
    """A scheduler that is closed just after it has given out a task."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheduler, name)

    def next(self, slot: Any, timeout: float | None = None) -> Any:
        task = self._scheduler.next(slot, timeout)
        self._scheduler.close()
        return task


def test_what_was_given_out_just_before_the_end_does_not_begin() -> None:
    """Its thread had not come to it yet: it comes back as never begun, and the sum is right."""
    called: list[int] = []
    made = Partner(
        lambda scheduler, track: ThreadBackend(ClosingMeanwhile(scheduler), 1), Plan("threads"), called.append
    )
    made.submit([1])
    made.finish()
    assert called == [] and made.scheduler.ledger()["withdrawn"] == 1
    assert ours() == []


# What has not begun -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [list, tuple, range], ids=["list", "tuple", "range"])
def test_what_threads_have_not_begun_comes_back(make: Any) -> None:
    """After the item that runs a task ends, and the rest of it goes to whoever asks next."""
    held = Held()
    with in_threads(held, 1) as made:
        made.submit(range(6) if make is range else make(range(6)), 0)
        held.wait_for(1)
        made.backend.recall()
        assert [count for _, count in made.backend._running.values()] == [6]
        held.go.set()
        first = made.next()
        assert first.result.outcomes == [0] and len(first.task.items) == 6
        found = made.collect(5)
    assert found == {x: x for x in range(1, 6)} and sorted(held.items) == list(range(6))


def test_nothing_begins_in_threads_once_a_map_is_closed() -> None:
    """Long items that were taken for short ones: a task of many is broken off, too."""
    held = Held()

    def work(x: int) -> int:
        return held(x) if x >= 40 else x

    results = autoexec.map(work, range(400), backend="threads", max_workers=2, chunksize=20)
    with results:
        assert [next(results) for _ in range(40)] == list(range(40))
        held.wait_for(2)
        threading.Timer(0.0, held.go.set).start()
        results.close()
    assert len(held.items) <= 4
