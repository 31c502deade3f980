"""Threads that take tasks: all are done, what has not begun comes back, nothing is left."""

from __future__ import annotations

import contextvars
import threading
import time
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.backends.base import Chunk, Finished
from autoexec.backends.threads import ThreadBackend
from autoexec.resources import per_worker


def _backend(workers: int = 2, **more: Any) -> tuple[ThreadBackend, SimpleQueue[Finished]]:
    inbox: SimpleQueue[Finished] = SimpleQueue()
    return ThreadBackend(workers, inbox.put, **more), inbox


def test_every_task_is_done_and_delivered() -> None:
    """Closing waits for the tasks that were submitted."""
    backend, inbox = _backend()
    for i in range(50):
        backend.submit(Chunk(i, [i], lambda x: -x))
    backend.close()
    done = [inbox.get_nowait() for _ in range(50)]
    assert sorted(f.values[0] for f in done) == sorted(-i for i in range(50))
    assert all(f.error is None and "thread" in f.where for f in done)


def test_no_more_threads_than_allowed_and_none_before_they_are_needed() -> None:
    """Threads start with tasks, up to the limit."""
    backend, inbox = _backend(3)
    gate = threading.Event()
    before = threading.active_count()
    for i in range(10):
        backend.submit(Chunk(i, [i], lambda x: gate.wait(20)))
    assert threading.active_count() - before == 3
    gate.set()
    backend.close()
    assert threading.active_count() == before
    assert inbox.qsize() == 10


def test_an_idle_thread_is_used_again() -> None:
    """Tasks one after the other need one thread."""
    backend, inbox = _backend(8)
    names = set()
    for i in range(20):
        backend.submit(Chunk(i, [i], lambda x: threading.current_thread().name))
        names.add(inbox.get(timeout=20).values[0])
    backend.close()
    assert len(names) <= 3


def test_withdrawing_gives_back_what_has_not_begun() -> None:
    """Exactly the tasks that no thread has taken come back."""
    backend, inbox = _backend(1)
    gate, begun = threading.Event(), threading.Event()

    def work(x: int) -> int:
        begun.set()
        assert gate.wait(20)
        return x

    for i in range(5):
        backend.submit(Chunk(i, [i], work))
    assert begun.wait(20)
    assert [chunk.start for chunk in backend.withdraw()] == [1, 2, 3, 4]
    gate.set()
    backend.close()
    assert inbox.get_nowait().values == [0] and inbox.empty()


def test_an_error_ends_its_task_with_what_came_before() -> None:
    """Values up to the error, then the error."""
    backend, inbox = _backend()
    backend.submit(Chunk(0, [2, 1, 0, 5], lambda x: 10 // x))
    backend.close()
    done = inbox.get_nowait()
    assert done.values == [5, 10] and isinstance(done.error, ZeroDivisionError)


def test_a_task_may_decline() -> None:
    """A task whose `begin` says no is not run."""
    backend, inbox = _backend()
    backend.submit(Chunk(0, [1], abs, begin=lambda: False))
    backend.submit(Chunk(1, [2], abs, begin=lambda: True))
    backend.close()
    assert inbox.get_nowait().values == [2] and inbox.empty()


def test_items_see_the_context_where_the_backend_was_made() -> None:
    """Context variables have their values in the threads; what items set stays there."""
    var = contextvars.ContextVar("var", default=0)
    token = var.set(5)
    backend, inbox = _backend()
    var.reset(token)
    backend.submit(Chunk(0, [1], lambda x: var.get()))
    backend.close()
    assert inbox.get_nowait().values == [5] and var.get() == 0


@pytest.mark.parametrize("kill", [False, True])
def test_closing_twice_is_fine(kill: bool) -> None:
    """Also without any task."""
    backend, _ = _backend()
    backend.close(kill=kill)
    backend.close(kill=kill)


def test_costs_are_known_once_a_thread_has_started() -> None:
    """The cost of a thread is measured, not guessed."""
    backend, _ = _backend()
    assert backend.costs() == {}
    backend.submit(Chunk(0, [1], abs))
    backend.close()
    assert backend.costs()["thread_start"] > 0


# Given up, idle, closed -------------------------------------------------------------------------------------


def _until(true: Callable[[], bool]) -> None:
    """Wait for something that other threads bring about."""
    pause = threading.Event()
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until, "it never came true"
        pause.wait(0.0005)


def test_a_task_that_was_given_up_is_replaced() -> None:
    """Another thread takes what waits behind it; what it returns in the end is not delivered."""
    backend, inbox = _backend(1)
    gate, begun, ended = threading.Event(), threading.Event(), threading.Event()

    def stuck(x: int) -> int:
        begun.set()
        assert gate.wait(20)
        ended.set()
        return x

    first = Chunk(0, [1], stuck)
    backend.submit(first)
    backend.submit(Chunk(1, [-2], abs))
    assert begun.wait(20)
    backend.abandon(first)
    assert inbox.get(timeout=20).values == [2]
    backend.submit(Chunk(2, [-3], abs))
    assert inbox.get(timeout=20).values == [3]
    gate.set()
    assert ended.wait(20)
    backend.close()
    _until(lambda: not any(t.name.startswith("autoexec-") for t in threading.enumerate()))
    assert inbox.empty()


def test_giving_up_what_is_not_running_changes_nothing() -> None:
    """Neither a task that is done nor one that still waits is affected."""
    backend, inbox = _backend(1)
    gate = threading.Event()
    done, waiting = Chunk(0, [-1], abs), Chunk(2, [-2], abs)
    backend.submit(done)
    assert inbox.get(timeout=20).values == [1]
    backend.abandon(done)
    backend.submit(Chunk(1, [0], lambda x: gate.wait(20)))
    backend.submit(waiting)
    backend.abandon(waiting)
    gate.set()
    backend.close()
    assert [inbox.get_nowait().chunk.start for _ in range(2)] == [1, 2] and inbox.empty()


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
@settings(max_examples=25)
def test_no_thread_is_started_while_one_is_idle(waves: list[int]) -> None:
    """Tasks that need one another all run, on no more threads than the widest wave so far."""
    backend, inbox = _backend(6)
    widest = 0
    for wave in waves:
        together = threading.Barrier(wave)
        for i in range(wave):
            backend.submit(Chunk(i, [i], lambda x, barrier=together: barrier.wait(20)))  # type: ignore[misc]
        for _ in range(wave):
            assert inbox.get(timeout=20).error is None
        widest = max(widest, wave)
        _until(lambda: len(backend._idle) == len(backend._threads))
        assert len(backend._threads) == backend._started == widest
    backend.close()


@given(st.lists(st.booleans(), max_size=30))
@settings(max_examples=20)
def test_idle_threads_are_counted_right_whatever_is_withdrawn(steps: list[bool]) -> None:
    """After any mixture of tasks done and tasks withdrawn every thread is idle and none is counted twice."""
    backend, inbox = _backend(3)
    given, back = 0, 0
    for withdraw in steps:
        if withdraw:
            back += len(backend.withdraw())
        else:
            backend.submit(Chunk(given, [-given], abs))
            given += 1
    for _ in range(given - back):
        inbox.get(timeout=20)
    _until(lambda: len(backend._idle) == len(backend._threads))
    backend.close()
    assert inbox.empty()


def test_a_worker_goes_on_with_what_it_is_handed() -> None:
    """What `deliver` returns runs next, in the same thread and before what waits."""
    order: list[tuple[int, str]] = []
    more = [Chunk(1, [1], abs), Chunk(2, [2], abs)]

    def deliver(finished: Finished) -> Chunk | None:
        order.append((finished.chunk.start, finished.where))
        return more.pop(0) if more else None

    backend = ThreadBackend(1, deliver)
    gate = threading.Event()
    backend.submit(Chunk(0, [0], lambda x: gate.wait(20)))
    backend.submit(Chunk(3, [3], abs))
    gate.set()
    backend.close()
    assert [start for start, _ in order] == [0, 1, 2, 3]
    assert len({where for _, where in order}) == 1


def test_an_idle_thread_keeps_no_item_alive() -> None:
    """Once delivered and dropped, items and results are gone although their thread lives on."""

    class Thing:
        pass

    def mirror(thing: Thing) -> Thing:
        return thing

    backend, inbox = _backend(1)
    thing = Thing()
    seen = weakref.ref(thing)
    backend.submit(Chunk(0, [thing], mirror))
    del thing
    inbox.get(timeout=20)
    _until(lambda: len(backend._idle) == 1)
    _until(lambda: seen() is None)
    backend.close()


class _Closable:
    """Something with a `close`, as sessions have."""

    made: ClassVar[list[_Closable]] = []

    def __init__(self) -> None:
        self.closed_in = ""
        self.made_in = threading.current_thread().name
        self.made.append(self)

    def close(self) -> None:
        self.closed_in = threading.current_thread().name


def test_what_threads_make_is_closed_where_it_was_made() -> None:
    """Each thread makes its own, once, and closes it at its end; so does one that was given up."""
    _Closable.made.clear()
    mine = per_worker(_Closable)
    backend, inbox = _backend(3)
    together, gate, begun = threading.Barrier(3), threading.Event(), threading.Event()

    def work(x: int) -> object:
        mine()
        together.wait(20)
        return mine()

    for i in range(3):
        backend.submit(Chunk(i, [i], work))
    for _ in range(3):
        inbox.get(timeout=20)

    def stuck(x: int) -> object:
        begun.set()
        gate.wait(20)
        return mine()

    lost = Chunk(3, [3], stuck)
    backend.submit(lost)
    assert begun.wait(20)
    backend.abandon(lost)
    backend.close()
    assert len(_Closable.made) == 3
    assert sum(not thing.closed_in for thing in _Closable.made) == 1
    gate.set()
    _until(lambda: all(thing.closed_in == thing.made_in for thing in _Closable.made))


def test_threads_may_be_warmed_up() -> None:
    """They are there before the tasks, no more than allowed, and tasks then start no others."""
    before = threading.active_count()
    backend, inbox = _backend(4)
    assert backend.warm_up(3) == 3
    assert threading.active_count() - before == 3
    assert backend.warm_up(3) == 1
    for i in range(20):
        backend.submit(Chunk(i, [i], str))
    assert threading.active_count() - before == 4
    backend.close()
    assert inbox.qsize() == 20
    assert backend.warm_up(1) == 0
    assert threading.active_count() == before
