"""Somebody else's executor: tasks, errors, broken pools, and leaving it as it was."""

# ruff: noqa: SIM117 -- a pool is one thing, what is expected of it another

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

import autoexec
from autoexec.backends.futures import in_this_process

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Inline(Executor):
    """The smallest executor: it runs a call when it is submitted."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def test_any_executor_will_do() -> None:
    """A subclass of `Executor` with `submit` alone is enough."""
    executor = Inline()
    results = autoexec.map(lambda x: x + 1, range(20), backend=executor)
    assert list(results) == list(range(1, 21))
    assert executor.calls > 0
    assert results.plan is not None and results.plan.backend == "Inline"


def test_the_executor_is_not_shut_down() -> None:
    """It is the caller's: usable after results, errors and early ends."""
    with ThreadPoolExecutor(2) as executor:
        assert list(autoexec.map(abs, [-1], backend=executor)) == [1]
        with pytest.raises(ZeroDivisionError):
            list(autoexec.map(lambda x: 1 // x, [0], backend=executor))
        autoexec.map(abs, range(50), backend=executor).close()
        assert executor.submit(abs, -3).result() == 3


def test_an_executor_that_was_shut_down_is_an_error() -> None:
    """What its `submit` raises comes out."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        list(autoexec.map(abs, [1], backend=executor))


def test_tasks_that_others_cancel_are_an_error_not_a_hang() -> None:
    """When the executor's owner cancels our tasks, the consumer is told."""
    gate = threading.Event()
    executor = ThreadPoolExecutor(1)
    results = autoexec.map(lambda x: x == 0 or gate.wait(20), range(5), backend=executor, timeout=5)
    assert next(results)
    executor.shutdown(wait=False, cancel_futures=True)
    gate.set()
    with pytest.raises(BaseException) as caught:
        list(results)
    executor.shutdown()
    assert not isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_that_breaks(method: str) -> None:
    """A dead worker of the caller's pool is a `WorkerDied` that says where; the next call works."""
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        with pytest.raises(autoexec.WorkerDied, match="index"):
            list(autoexec.map(lambda x: os._exit(1), range(4), backend=executor))
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert list(autoexec.map(lambda x: x, range(4), backend=executor)) == [0, 1, 2, 3]


def test_a_worker_of_loky_that_dies() -> None:
    """The same through joblib."""
    pytest.importorskip("joblib")
    with pytest.raises(autoexec.WorkerDied):
        list(autoexec.map(lambda x: os._exit(1), range(4), backend="joblib", max_workers=1))
    assert list(autoexec.map(lambda x: x, range(4), backend="joblib", max_workers=1)) == [0, 1, 2, 3]


def test_functions_by_value_run_in_pools_of_fresh_processes() -> None:
    """Lambdas with captured values reach spawned workers."""
    offset = 1000
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        assert list(autoexec.map(lambda x: x + offset, range(4), backend=executor)) == [
            1000,
            1001,
            1002,
            1003,
        ]


def test_a_function_that_cannot_be_pickled_is_an_error_for_process_pools() -> None:
    """The error names the object that stays; nothing hangs."""
    lock = threading.Lock()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        with pytest.raises(TypeError, match="lock"):
            list(autoexec.map(lambda x: lock.locked(), range(4), backend=executor))


@pytest.mark.skipif(sys.version_info < (3, 14), reason="interpreters as executors came with 3.14")
def test_subinterpreters() -> None:
    """An `InterpreterPoolExecutor` gets its functions by value."""
    from concurrent.futures import InterpreterPoolExecutor  # type: ignore[attr-defined]

    with InterpreterPoolExecutor(2) as executor:
        assert not in_this_process(executor)
        assert list(autoexec.map(lambda x: x * 2, range(6), backend=executor)) == [0, 2, 4, 6, 8, 10]


def test_where_an_executor_runs_is_known_for_the_standard_ones() -> None:
    """Threads of this process need no pickling."""
    with ThreadPoolExecutor(1) as threads:
        assert in_this_process(threads)
    with ProcessPoolExecutor(1) as processes:
        assert not in_this_process(processes)
