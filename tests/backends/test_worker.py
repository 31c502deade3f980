"""The worker's side, run in a thread of this process: answers, errors, and its end."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from autoexec.backends.wire import Pipe, open_pipes
from autoexec.backends.worker import serve


class Served:
    """A worker loop at the other end of a pipe."""

    def __init__(self, functions: dict[int, Any], inherited: Any) -> None:
        self.pipe, theirs = open_pipes()
        self._theirs = theirs
        self._thread = threading.Thread(target=serve, args=(theirs, functions, inherited))
        self._thread.start()

    def ask(self, *message: Any) -> Any:
        self.pipe.send(pickle.dumps(message))
        return pickle.loads(self.pipe.receive())

    def end(self) -> None:
        self.pipe.close()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._theirs.close()


@pytest.fixture
def served() -> Iterator[Served]:
    """A worker that knows `abs` as function 1 and inherits a list."""
    worker = Served({1: abs}, [-10, -20, -30, -40])
    yield worker
    worker.end()


def test_a_known_function(served: Served) -> None:
    """Values come back with the seconds they took."""
    values, problem, wall, cpu = served.ask(1, None, False, 0, [-1, -2])
    assert values == [1, 2] and problem is None and wall >= 0 and cpu >= 0


def test_a_new_function_is_remembered(served: Served) -> None:
    """A function is sent once."""
    assert served.ask(2, pickle.dumps(pow), True, 0, [(2, 3)])[0] == [8]
    assert served.ask(2, None, True, 1, [(3, 2)])[0] == [9]


def test_a_slice_of_the_inherited_input(served: Served) -> None:
    """Two numbers stand for items that the worker has already."""
    assert served.ask(1, None, False, 1, 3)[0] == [20, 30]


def test_an_error_with_what_came_before(served: Served) -> None:
    """Values up to the error, the error, and its traceback as text."""
    values, (error, text), _, _ = served.ask(1, None, False, 0, [-1, "x", -3])
    assert values == [1] and isinstance(error, TypeError) and "Traceback" in text


def test_a_task_that_cannot_be_loaded_is_answered(served: Served) -> None:
    """Garbage and unknown functions are errors; the worker goes on."""
    served.pipe.send(b"not a pickle")
    values, (error, _), _, _ = pickle.loads(served.pipe.receive())
    assert values == [] and isinstance(error, Exception)
    assert isinstance(served.ask(99, None, False, 0, [1])[1][0], KeyError)
    assert served.ask(1, None, False, 0, [-5])[0] == [5]


def test_the_worker_ends_with_its_pipe() -> None:
    """When the caller closes or is gone, the loop returns."""
    Served({}, None).end()


def test_a_worker_whose_caller_is_gone_before_the_answer() -> None:
    """An answer that nobody takes ends the loop without an error."""
    begun, gate = threading.Event(), threading.Event()

    def slow(x: int) -> int:
        begun.set()
        assert gate.wait(20)
        return x

    ours, theirs = open_pipes()
    thread = threading.Thread(target=serve, args=(theirs, {1: slow}, None))
    thread.start()
    ours.send(pickle.dumps((1, None, False, 0, [1])))
    assert begun.wait(20)
    _close_reading(ours)
    gate.set()
    thread.join(20)
    assert not thread.is_alive()
    theirs.close()


def _close_reading(pipe: Pipe) -> None:
    pipe.close()
