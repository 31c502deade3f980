"""Threads that take tasks: all are done, what has not begun comes back, nothing is left."""

from __future__ import annotations

import contextvars
import threading
from queue import SimpleQueue
from typing import Any

import pytest

from autoexec.backends.base import Chunk, Finished
from autoexec.backends.threads import ThreadBackend


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
