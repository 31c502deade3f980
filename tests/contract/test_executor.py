"""One suite for every executor: what the standard library's pools do, `autoexec.Executor` does as well.

The standard library's two pools are the reference: a claim that they do not fulfil is none. Items that
must wait do so at a `Gate`, which works across process borders.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    InvalidStateError,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import autoexec

PATIENCE_S = 30.0  # how long a test waits for what must come
MANY = 8  # more calls than any pool here takes from its queue ahead


# Functions that workers find by name ------------------------------------------------------------------------


def square(x: int) -> int:
    """A call with a result."""
    return x * x


def show(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """A call that gives back its arguments."""
    return args, kwargs


def fail(message: str) -> None:
    """A call that raises."""
    raise LookupError(message)


def fail_at(x: int, bad: int) -> int:
    """A call that raises for one argument."""
    if x == bad:
        raise LookupError(x)
    return x


def note(path: str, mark: object) -> None:
    """A call that leaves a line in a file."""
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    try:
        os.write(descriptor, f"{mark}\n".encode())
    finally:
        os.close(descriptor)


def pass_gate(path: str, mark: object = "begun") -> object:
    """Say that the call has begun, wait until the gate opens."""
    note(path + ".begun", mark)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
    return mark


def die(path: str) -> None:
    """End the process, but never the one that runs the tests."""
    if os.getpid() != int(Path(path).read_text()):
        os._exit(3)
    raise RuntimeError("this is the test's own process")


class Sums:
    """An object with methods to call."""

    def __init__(self, base: int) -> None:
        self.base = base

    def add(self, x: int) -> int:
        return self.base + x

    def __call__(self, x: int) -> int:
        return self.base * x

    @classmethod
    def made(cls, x: int) -> int:
        return cls(x).base

    @staticmethod
    def twice(x: int) -> int:
        return 2 * x


class Gate:
    """Holds calls of `pass_gate` back, in whichever process they run, until it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._descriptor: int | None = os.open(self.path, os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def open(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def begun(self) -> list[str]:
        """The marks of the calls that have begun."""
        try:
            return Path(self.path + ".begun").read_text().split()
        except FileNotFoundError:
            return []

    def wait_begun(self, count: int = 1) -> None:
        until(lambda: len(self.begun()) >= count, f"{count} calls should have begun")


def skip_unfinished(pool: Pool) -> None:
    """Leave out what a fault tested elsewhere would turn into an error after the test."""
    if pool.name == "joblib":
        pytest.skip("cancelled calls run and raise in a callback, which keeps the pool alive in the log")


def until(condition: Callable[[], bool], claim: str) -> None:
    """Look again and again until something that other threads or processes do has happened."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(claim)
        time.sleep(0.005)


# The pools --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pool:
    """A kind of executor.

    Attributes:
        name: what it is called in the test's id.
        make: makes one with so many workers.
        ours: whether it is `autoexec.Executor`.
        here: whether calls surely run in threads of this process.
        away: whether calls surely run in other processes.
    """

    name: str
    make: Callable[[int], Executor]
    ours: bool = True
    here: bool = False
    away: bool = False


def _stdlib_processes(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _ours(backend: str, workers: int) -> Executor:
    return autoexec.Executor(max_workers=workers, backend=backend)


POOLS = (
    Pool("ThreadPoolExecutor", ThreadPoolExecutor, ours=False, here=True),
    Pool("ProcessPoolExecutor", _stdlib_processes, ours=False, away=True),
    Pool("auto", partial(_ours, "auto")),
    Pool("threads", partial(_ours, "threads"), here=True),
    Pool("processes", partial(_ours, "processes"), away=True),
    Pool("serial", partial(_ours, "serial"), here=True),
    Pool("joblib", partial(_ours, "joblib"), away=True),
)


@pytest.fixture(params=POOLS, ids=lambda pool: pool.name)
def pool(request: pytest.FixtureRequest) -> Pool:
    """Every pool in turn."""
    if request.param.name == "joblib":
        pytest.importorskip("joblib")
    return request.param


@pytest.fixture
def make(pool: Pool, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[int], Executor]]:
    """Makes executors of the pool that are shut down after the test, whatever happened."""
    with contextlib.ExitStack() as stack:

        def making(workers: int = 2) -> Executor:
            executor = pool.make(workers)
            stack.callback(executor.shutdown)
            return executor

        yield making
    caplog.get_records("call").clear()  # tracebacks in the log hold on to executors
    caplog.clear()


@pytest.fixture
def executor(make: Callable[..., Executor]) -> Executor:
    """An executor with two workers."""
    return make(2)


@pytest.fixture
def gate(make: object, tmp_path: Path) -> Iterator[Gate]:
    """A closed gate; it opens at the end of the test at the latest, before executors are shut down."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


def result(future: Future[Any]) -> Any:
    """The result, or a failure where it would hang."""
    return future.result(PATIENCE_S)


# submit -----------------------------------------------------------------------------------------------------


def test_submit_returns_a_genuine_future(executor: Executor) -> None:
    """The future is of the standard library's own class and holds the result."""
    future = executor.submit(square, 7)
    assert type(future) is Future
    assert result(future) == 49
    assert future.done() and not future.running() and not future.cancelled()
    assert future.exception() is None


def test_submit_hands_on_all_arguments(executor: Executor) -> None:
    """Positional and keyword arguments arrive, names that `submit` itself uses included."""
    future = executor.submit(show, 1, (2,), self="a", fn="b", args="c", func="d")
    assert result(future) == ((1, (2,)), {"self": "a", "fn": "b", "args": "c", "func": "d"})


def test_an_exception_arrives_through_the_future(executor: Executor) -> None:
    """What a call raises is what the future holds and raises; the next call is not affected."""
    future = executor.submit(fail, "the key")
    with pytest.raises(LookupError, match="the key"):
        result(future)
    assert isinstance(future.exception(), LookupError)
    assert result(executor.submit(square, 3)) == 9


def test_many_calls_each_give_their_own_result(executor: Executor) -> None:
    """Results are not mixed up, before and after a function is known."""
    futures = [executor.submit(square, x) for x in range(400)]
    assert [result(future) for future in futures] == [x * x for x in range(400)]


def test_each_call_runs_once(executor: Executor, tmp_path: Path) -> None:
    """No call is lost or repeated."""
    path = str(tmp_path / "journal")
    futures = [executor.submit(note, path, x) for x in range(60)]
    for future in futures:
        result(future)
    assert sorted(map(int, Path(path).read_text().split())) == list(range(60))


def test_methods_and_callable_objects(executor: Executor) -> None:
    """Bound, class and static methods, objects with `__call__`, partials and built-ins all run."""
    sums = Sums(10)
    calls = (sums.add, sums, Sums.made, Sums.twice, partial(show, 1), len)
    arguments = (5, 5, 5, 5, 5, "four")
    found = [result(executor.submit(call, argument)) for call, argument in zip(calls, arguments, strict=True)]
    assert found == [15, 50, 5, 10, ((1, 5), {}), 4]


def test_lambdas_and_closures(executor: Executor, pool: Pool) -> None:
    """Functions without a name that a worker could find run everywhere (but in the standard library)."""
    if pool.name == "ProcessPoolExecutor":
        pytest.skip("it cannot pickle them")
    base = 30

    def add(x: int) -> int:
        return base + x

    assert result(executor.submit(add, 5)) == 35
    assert result(executor.submit(lambda x, *, y: x - y, 5, y=1)) == 4
    assert list(executor.map(lambda x: x + base, range(5))) == [30, 31, 32, 33, 34]
    assert list(executor.map(add, range(5), chunksize=2)) == [30, 31, 32, 33, 34]


def test_submit_refuses_what_cannot_be_called(executor: Executor, pool: Pool) -> None:
    """A mistake is an error at the call or in the future, never a hang."""
    with pytest.raises(TypeError):
        result(executor.submit(17))  # type: ignore[arg-type]


def test_many_threads_submit_at_once(executor: Executor) -> None:
    """Submitting is safe from any thread."""
    start = threading.Barrier(8)
    found: dict[int, list[int]] = {}

    def submit_some(base: int) -> None:
        start.wait()
        futures = [executor.submit(square, base + x) for x in range(30)]
        found[base] = [result(future) for future in futures]

    threads = [threading.Thread(target=submit_some, args=(100 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {100 * i: [(100 * i + x) ** 2 for x in range(30)] for i in range(8)}


def test_a_call_may_submit_to_the_executor(executor: Executor, pool: Pool) -> None:
    """A done-callback and a call in a thread may submit further work."""
    second: Future[int] = Future()

    def go_on(future: Future[int]) -> None:
        following = executor.submit(square, future.result())
        following.add_done_callback(lambda done: second.set_result(done.result()))

    executor.submit(square, 3).add_done_callback(go_on)
    assert result(second) == 81


# States and cancelling --------------------------------------------------------------------------------------


def test_a_running_call_is_running_and_cannot_be_cancelled(executor: Executor, gate: Gate) -> None:
    """`running` is true while a call runs, `cancel` then does nothing, and the result arrives."""
    future = executor.submit(pass_gate, gate.path, "mark")
    gate.wait_begun()
    assert future.running() and not future.done()
    assert not future.cancel()
    assert not future.cancelled()
    gate.open()
    assert result(future) == "mark"
    assert future.done() and not future.running()
    assert not future.cancel()


def test_a_pending_call_can_be_cancelled_and_never_runs(make: Callable[..., Executor], gate: Gate) -> None:
    """A call that has not begun is cancelled, says so, and is skipped."""
    executor = make(1)
    futures = [executor.submit(pass_gate, gate.path, x) for x in range(MANY)]
    gate.wait_begun()
    pending = futures[-1]
    assert pending.cancel()
    assert pending.cancelled() and pending.done()
    with pytest.raises(CancelledError):
        pending.result(0)
    gate.open()
    assert [result(future) for future in futures[:-1]] == list(range(MANY - 1))
    executor.shutdown()
    assert sorted(gate.begun()) == [str(x) for x in range(MANY - 1)]


def test_cancelling_leaves_no_errors_in_the_log(
    make: Callable[..., Executor],
    gate: Gate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody tries to give a cancelled future a result."""
    executor = make(1)
    futures = [executor.submit(pass_gate, gate.path, x) for x in range(MANY)]
    gate.wait_begun()
    assert futures[-1].cancel()
    gate.open()
    executor.shutdown()
    assert [record.getMessage() for record in caplog.records] == []


def test_a_cancelled_call_counts_as_done_for_wait(make: Callable[..., Executor], gate: Gate) -> None:
    """`wait` and `as_completed` come back for cancelled calls."""
    executor = make(1)
    futures = [executor.submit(pass_gate, gate.path, x) for x in range(MANY)]
    gate.wait_begun()
    assert futures[-1].cancel()
    gate.open()
    done, not_done = wait(futures, timeout=PATIENCE_S)
    assert done == set(futures) and not not_done
    assert set(as_completed(futures, timeout=PATIENCE_S)) == set(futures)


def test_result_with_a_timeout(executor: Executor, gate: Gate) -> None:
    """`result` and `exception` raise `TimeoutError` when the call is not done, and it goes on."""
    future = executor.submit(pass_gate, gate.path, "late")
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    gate.open()
    assert result(future) == "late"


def test_done_callbacks(executor: Executor, gate: Gate) -> None:
    """Callbacks added before and after the end are called once, in order, with the future."""
    called: list[object] = []
    future = executor.submit(pass_gate, gate.path, "x")
    future.add_done_callback(lambda done: called.append(("first", done)))
    future.add_done_callback(lambda done: called.append(("second", done)))
    gate.open()
    result(future)
    until(lambda: len(called) == 2, "both callbacks should have been called")
    future.add_done_callback(lambda done: called.append(("third", done)))
    assert called == [("first", future), ("second", future), ("third", future)]


def test_a_callback_that_raises_harms_nobody(
    executor: Executor, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """The standard library logs it; the executor goes on."""
    called = threading.Event()

    def bad(future: Future[Any]) -> None:
        raise RuntimeError("a bad callback")

    future = executor.submit(pass_gate, gate.path, 1)
    future.add_done_callback(bad)
    future.add_done_callback(lambda done: called.set())
    gate.open()
    assert result(future) == 1
    assert called.wait(PATIENCE_S)
    assert result(executor.submit(square, 2)) == 4
    assert "a bad callback" in caplog.text


# wait, as_completed, asyncio --------------------------------------------------------------------------------


def test_wait_for_the_first(make: Callable[..., Executor], pool: Pool, gate: Gate) -> None:
    """`wait(FIRST_COMPLETED)` returns although another call still runs."""
    if pool.name == "serial":
        pytest.skip("one call at a time")
    executor = make(2)
    held = executor.submit(pass_gate, gate.path)
    gate.wait_begun()
    quick = executor.submit(square, 4)
    done, not_done = wait([held, quick], timeout=PATIENCE_S, return_when=FIRST_COMPLETED)
    assert done == {quick} and not_done == {held}
    gate.open()
    assert wait([held, quick], timeout=PATIENCE_S, return_when=ALL_COMPLETED).done == {held, quick}


def test_wait_for_an_exception(make: Callable[..., Executor], pool: Pool, gate: Gate) -> None:
    """`wait(FIRST_EXCEPTION)` returns when a call fails."""
    if pool.name == "serial":
        pytest.skip("one call at a time")
    executor = make(2)
    held = executor.submit(pass_gate, gate.path)
    gate.wait_begun()
    failing = executor.submit(fail, "at once")
    done, not_done = wait([held, failing], timeout=PATIENCE_S, return_when=FIRST_EXCEPTION)
    assert done == {failing} and not_done == {held}


def test_as_completed_gives_every_future_once(executor: Executor) -> None:
    """All futures come, each once, failed ones included."""
    futures = {executor.submit(fail_at, x, 5): x for x in range(20)}
    found = [futures[future] for future in as_completed(futures, timeout=PATIENCE_S)]
    assert sorted(found) == list(range(20))


def test_asyncio_accepts_it(executor: Executor) -> None:
    """`loop.run_in_executor` returns results and raises what calls raise."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, square, x) for x in range(12)]
        return await asyncio.gather(*calls, loop.run_in_executor(executor, fail, "x"), return_exceptions=True)

    *squares, error = asyncio.run(main())
    assert squares == [x * x for x in range(12)]
    assert isinstance(error, LookupError)


def test_asyncio_accepts_it_as_default(pool: Pool, make: Callable[..., Executor]) -> None:
    """The one that `asyncio.to_thread` uses may be ours (it must be a ThreadPoolExecutor: it says so)."""
    executor = make(1)

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(executor)

    if isinstance(executor, ThreadPoolExecutor):
        asyncio.run(main())
    else:
        with pytest.raises(TypeError):
            asyncio.run(main())


# map --------------------------------------------------------------------------------------------------------


def test_map_is_in_order_and_as_long_as_the_shortest(executor: Executor) -> None:
    """`map` works like the built-in one."""
    assert list(executor.map(square, range(50))) == [x * x for x in range(50)]
    assert list(executor.map(pow, [2, 3, 4], [5, 2])) == [32, 9]
    assert list(executor.map(square, [])) == []


def test_map_raises_in_place(executor: Executor, pool: Pool) -> None:
    """Results before the item that fails are delivered; then its exception comes."""
    results = executor.map(fail_at, range(10), [3] * 10)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LookupError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("chunksize", [1, 2, 7, 100])
def test_map_with_chunks(executor: Executor, chunksize: int) -> None:
    """The size of chunks does not show in the results, nor in where an error comes... but for its chunk."""
    assert list(executor.map(square, range(23), chunksize=chunksize)) == [x * x for x in range(23)]
    assert list(executor.map(pow, range(9), [2] * 9, chunksize=chunksize)) == [x * x for x in range(9)]


def test_map_starts_at_the_call(executor: Executor, gate: Gate) -> None:
    """Work begins before anything is asked of the iterator."""
    results = executor.map(pass_gate, [gate.path] * 2, "ab")
    gate.wait_begun()
    gate.open()
    assert list(results) == ["a", "b"]


def test_map_with_a_timeout(executor: Executor, pool: Pool, gate: Gate) -> None:
    """A result that is late raises `TimeoutError`; those before it were delivered."""
    results = executor.map(pass_gate, [gate.path], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)
    gate.open()
    assert list(executor.map(square, range(3), timeout=PATIENCE_S)) == [0, 1, 4]


def test_map_delivers_after_the_with_block(pool: Pool) -> None:
    """Leaving the block waits for the work; its results can be fetched afterwards."""
    with pool.make(2) as executor:
        results = executor.map(square, range(20))
    assert list(results) == [x * x for x in range(20)]


def test_closing_the_iterator_cancels_what_has_not_begun(make: Callable[..., Executor], gate: Gate) -> None:
    """A consumer that stops early does not pay for the rest."""
    executor = make(1)
    results = executor.map(fail_or_wait, [None, *[gate.path] * 30])
    with pytest.raises(LookupError):
        next(results)
    gate.open()
    executor.shutdown()
    assert len(gate.begun()) < 30


def fail_or_wait(path: str | None) -> None:
    """Raise without a path, else wait at its gate."""
    if path is None:
        raise LookupError("the first")
    pass_gate(path)


def test_map_takes_all_input_at_once_without_a_buffersize(executor: Executor) -> None:
    """As `Executor.map` always has."""
    pulled = _Pulled(30)
    results = executor.map(square, pulled)
    assert pulled.count == 30
    assert list(results) == [x * x for x in range(30)]


class _Pulled:
    """Counts what was pulled from it; endless without a length."""

    def __init__(self, length: int | None = None) -> None:
        self.count, self._length = 0, length

    def __iter__(self) -> Iterator[int]:
        while self._length is None or self.count < self._length:
            self.count += 1
            yield self.count - 1


@pytest.mark.parametrize("buffersize", [1, 3, 10])
def test_map_with_a_buffersize_is_lazy(executor: Executor, pool: Pool, buffersize: int) -> None:
    """Exactly `buffersize` items are pulled at the call, and one more for each result taken."""
    if not pool.ours and sys.version_info < (3, 14):
        pytest.skip("the standard library has no buffersize before 3.14")
    pulled = _Pulled()
    results = executor.map(square, pulled, buffersize=buffersize)  # type: ignore[call-arg, unused-ignore]
    assert pulled.count == buffersize
    for x in range(15):
        assert next(results) == x * x
        assert pulled.count == buffersize + x + 1
    results.close()  # type: ignore[attr-defined]
    assert pulled.count == buffersize + 15


def test_map_with_a_buffersize_and_chunks(executor: Executor, pool: Pool) -> None:
    """The buffer counts chunks, as in the process pool of CPython 3.14."""
    if not pool.ours and (sys.version_info < (3, 14) or pool.here):
        pytest.skip("needs buffersize and chunks")
    pulled = _Pulled()
    results = executor.map(square, pulled, buffersize=2, chunksize=5)  # type: ignore[call-arg, unused-ignore]
    assert pulled.count == 10
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert pulled.count == 15
    next(results)
    assert pulled.count == 20


def test_map_with_a_buffersize_delivers_everything(executor: Executor, pool: Pool) -> None:
    """Finite input of any length comes through whole."""
    if not pool.ours and sys.version_info < (3, 14):
        pytest.skip("the standard library has no buffersize before 3.14")
    for length in (0, 1, 2, 3, 20):
        results = executor.map(square, range(length), buffersize=2)  # type: ignore[call-arg, unused-ignore]
        assert list(results) == [x * x for x in range(length)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("chunksize", 0), ("chunksize", -1), ("buffersize", 0), ("buffersize", -3), ("buffersize", "3")],
)
def test_map_refuses_sizes_that_cannot_be_meant(
    executor: Executor, pool: Pool, name: str, value: object
) -> None:
    """A bad size is an error at the call, of the standard library's type."""
    if not pool.ours and ((name == "chunksize" and pool.here) or sys.version_info < (3, 14)):
        pytest.skip("the standard library does not look")
    with pytest.raises(ValueError if isinstance(value, int) else TypeError):
        executor.map(square, [1], **{name: value})  # type: ignore[arg-type]


def test_an_input_that_raises(executor: Executor) -> None:
    """What the input raises comes out of the call, and the executor goes on."""

    def items() -> Iterator[int]:
        yield 1
        raise LookupError("the input")

    with pytest.raises(LookupError, match="the input"):
        list(executor.map(square, items()))
    assert result(executor.submit(square, 3)) == 9


# Shutting down ----------------------------------------------------------------------------------------------


def test_nothing_is_taken_after_shutdown(executor: Executor) -> None:
    """`submit` and `map` then raise `RuntimeError`; shutting down again is fine."""
    assert result(executor.submit(square, 2)) == 4
    executor.shutdown()
    executor.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(square, 1)
    with pytest.raises(RuntimeError, match="shutdown"):
        list(executor.map(square, [1]))


def test_an_unused_executor_shuts_down(pool: Pool) -> None:
    """One that never got work ends at once, either way."""
    pool.make(2).shutdown()
    pool.make(2).shutdown(wait=False)
    with pool.make(1):
        pass


def test_leaving_the_block_waits_for_the_work(pool: Pool, tmp_path: Path) -> None:
    """All calls have run when the with-block is left, although nobody asked for results."""
    path = str(tmp_path / "journal")
    with pool.make(2) as executor:
        for x in range(20):
            executor.submit(note, path, x)
    assert len(Path(path).read_text().split()) == 20


def test_the_block_lets_its_error_through(pool: Pool) -> None:
    """What is raised in a with-block leaves it, after the work."""
    futures: list[Future[int]] = []

    def leave() -> None:
        with pool.make(1) as executor:
            futures.append(executor.submit(square, 6))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        leave()
    assert futures[0].result(0) == 36


def test_shutdown_without_waiting_finishes_the_work(make: Callable[..., Executor], gate: Gate) -> None:
    """`shutdown(wait=False)` returns while calls run; what was submitted still runs to its end."""
    executor = make(1)
    futures = [executor.submit(pass_gate, gate.path, x) for x in range(MANY)]
    gate.wait_begun()
    executor.shutdown(wait=False)
    assert not all(future.done() for future in futures)
    with pytest.raises(RuntimeError):
        executor.submit(square, 1)
    gate.open()
    assert [result(future) for future in futures] == list(range(MANY))


def test_shutdown_waits_after_one_that_did_not(make: Callable[..., Executor], pool: Pool, gate: Gate) -> None:
    """`shutdown(wait=True)` waits for the calls although `shutdown(wait=False)` came before."""
    if pool.name == "ProcessPoolExecutor":
        pytest.skip("it has forgotten its workers by then")
    executor = make(1)
    futures = [executor.submit(pass_gate, gate.path, x) for x in range(3)]
    gate.wait_begun()
    executor.shutdown(wait=False)
    found: list[bool] = []

    def wait_for_them() -> None:
        executor.shutdown(wait=True)
        found.extend(future.done() for future in futures)

    waiting = threading.Thread(target=wait_for_them)
    waiting.start()
    waiting.join(0.3)  # time enough to return too early
    gate.open()
    waiting.join()
    assert found == [True] * 3


def test_shutdown_that_cancels(make: Callable[..., Executor], gate: Gate) -> None:
    """`cancel_futures` cancels what has not begun; what runs is waited for."""
    executor = make(1)
    futures = [executor.submit(pass_gate, gate.path, x) for x in range(MANY)]
    gate.wait_begun()
    executor.shutdown(wait=False, cancel_futures=True)
    until(lambda: futures[-1].cancelled(), "the last call should be cancelled")
    gate.open()
    until(lambda: all(future.done() for future in futures), "what ran should end, the rest is cancelled")
    for future in futures:
        assert future.cancelled() == (str(futures.index(future)) not in gate.begun())
    assert not futures[0].cancelled()


def test_a_dropped_executor_finishes_its_work_and_leaves_nothing(pool: Pool, tmp_path: Path) -> None:
    """Without shutdown, the last reference gone: the work is done, and the fixture finds nothing left."""
    path = str(tmp_path / "journal")
    executor = pool.make(2)
    futures = [executor.submit(note, path, x) for x in range(10)]
    del executor
    gc.collect()
    for future in futures:
        result(future)
    assert len(Path(path).read_text().split()) == 10


# Workers that die -------------------------------------------------------------------------------------------


def test_a_worker_that_dies_is_an_error_and_ours_work_again(
    make: Callable[..., Executor], pool: Pool, tmp_path: Path
) -> None:
    """The call's future tells of the death; our executor then goes on with fresh workers."""
    if not pool.away:
        pytest.skip("calls run in this process")
    own = tmp_path / "pid"
    own.write_text(str(os.getpid()))
    executor = make(1)
    assert result(executor.submit(square, 2)) == 4
    error = executor.submit(die, str(own)).exception(PATIENCE_S)
    if not pool.ours:
        assert isinstance(error, BrokenExecutor)
        return
    assert isinstance(error, autoexec.WorkerDied)
    assert result(executor.submit(square, 5)) == 25
    assert list(executor.map(square, range(4))) == [0, 1, 4, 9]


def test_calls_beside_a_dying_worker(
    make: Callable[..., Executor], pool: Pool, gate: Gate, tmp_path: Path
) -> None:
    """Only the call that was in the dead process fails; the one in the other worker does not."""
    if pool.name != "processes":
        pytest.skip("a pool that breaks as a whole, or none")
    own = tmp_path / "pid"
    own.write_text(str(os.getpid()))
    executor = make(2)
    held = executor.submit(pass_gate, gate.path, "survivor")
    gate.wait_begun()
    assert isinstance(executor.submit(die, str(own)).exception(PATIENCE_S), autoexec.WorkerDied)
    gate.open()
    assert result(held) == "survivor"


def test_the_next_executor_works_after_a_death(pool: Pool, tmp_path: Path) -> None:
    """What broke one executor does not reach another."""
    if not pool.away:
        pytest.skip("calls run in this process")
    own = tmp_path / "pid"
    own.write_text(str(os.getpid()))
    with pool.make(1) as executor:
        assert executor.submit(die, str(own)).exception(PATIENCE_S) is not None
    with pool.make(1) as executor:
        assert result(executor.submit(square, 5)) == 25


# Where calls run --------------------------------------------------------------------------------------------


def test_where_calls_run(executor: Executor, pool: Pool) -> None:
    """Thread pools stay in this process, process pools do not, and no call runs in the caller's thread."""
    pids = set(executor.map(_pid_of, range(20)))
    if pool.here:
        assert pids == {os.getpid()}
    if pool.away:
        assert os.getpid() not in pids
    if pool.here:
        assert result(executor.submit(threading.get_ident)) != threading.get_ident()


def _pid_of(_: int) -> int:
    return os.getpid()


def test_two_workers_run_two_calls_at_once(executor: Executor, pool: Pool, gate: Gate) -> None:
    """Two calls are under way at the same time."""
    if pool.name == "serial":
        pytest.skip("one call at a time")
    futures = [executor.submit(pass_gate, gate.path, x) for x in range(2)]
    gate.wait_begun(2)
    gate.open()
    assert [result(future) for future in futures] == [0, 1]


def test_a_future_belongs_to_the_executor_alone(executor: Executor) -> None:
    """A finished future cannot be finished again: its state machine is the standard library's."""
    future = executor.submit(square, 3)
    result(future)
    with pytest.raises(InvalidStateError):
        future.set_result(1)
    assert result(future) == 9
