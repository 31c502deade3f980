"""Ctrl-C, finalizers and signal handlers on the consumer's way: nothing hangs or is left.

They come at some of the steps, evenly spread. Each step in turn takes minutes:

    AUTOEXEC_TEST_STEPS=all python -m pytest -n 2 --timeout 0 tests/engine/test_interrupts.py
"""

from __future__ import annotations

import dis
import gc
import inspect
import io
import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Self

import pytest

import autoexec
from autoexec.errors import AutoexecError
from autoexec.results import Results

# A file that was opened just before Ctrl-C came is closed by nobody but the collector of garbage.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PACKAGE = "autoexec"
# After these CPython looks whether a signal has come; between two others it does not.
_LOOKS = ("CALL", "RESUME", "JUMP_BACKWARD", "POP_JUMP_BACKWARD", "POP_JUMP_IF", "YIELD_VALUE", "SEND")
_HANGS_S = 20.0
# CPython 3.12 and later lose or crash on what a trace function raises between the instructions of a line, and
# a signal cannot come wherever a line begins. What is left are the beginnings of functions.
_CALLS = sys.version_info >= (3, 12)
_ALL = os.environ.get("AUTOEXEC_TEST_STEPS") == "all"


def _ours(code: CodeType) -> bool:
    return f"/{PACKAGE}/" in code.co_filename and "/tests/" not in code.co_filename


class _Steps:
    """Goes with threads through our code, and does something at some steps.

    Args:
        chosen: says of a step, by its number, whether something is done there.
        action: what.
        lines: whether steps are lines; else points at which CPython lets a signal handler run.
        calls: whether only the beginnings of functions are.
        workers: whether to go with threads that are started meanwhile, rather than with this one.
    """

    def __init__(
        self,
        chosen: Callable[[int], bool],
        action: Callable[[], object],
        *,
        lines: bool = False,
        calls: bool = False,
        workers: bool = False,
    ) -> None:
        self.chosen, self.action, self.lines, self.workers = chosen, action, lines, workers
        self.calls = calls
        self.count = 0
        self.where: list[str] = []
        self.unraisable = False
        self._last: dict[int, str] = {}
        self._ops: dict[CodeType, dict[int, str]] = {}

    def __enter__(self) -> Self:
        if self.workers:
            threading.settrace(self._enter)
        else:
            sys.settrace(self._enter)
        return self

    def __exit__(self, *error: object) -> None:
        threading.settrace(None)  # type: ignore[arg-type]
        sys.settrace(None)

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        if not _ours(frame.f_code):
            return None
        if self.calls:
            if not frame.f_code.co_flags & inspect.CO_GENERATOR:  # it may be its end, where nobody hears it
                self._count(frame)
            return None
        frame.f_trace_lines = self.lines
        frame.f_trace_opcodes = not self.lines
        return self._step

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line" if self.lines else event == "opcode" and self._looks(frame):
            self._count(frame)
        return self._step

    def _count(self, frame: FrameType) -> None:
        self.count += 1
        if self.chosen(self.count):
            self.where.append(f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}")
            self.unraisable = _finalizes(frame)
            self.action()

    def _looks(self, frame: FrameType) -> bool:
        """Whether the instruction before this one is such a point."""
        code = frame.f_code
        ops = self._ops.get(code)
        if ops is None:
            ops = self._ops[code] = {one.offset: one.opname for one in dis.get_instructions(code)}
        before = self._last.get(id(frame), "")
        self._last[id(frame)] = ops.get(frame.f_lasti, "")
        return before.startswith(_LOOKS)


def _finalizes(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _interrupt() -> None:
    raise KeyboardInterrupt


def _work(x: int) -> int:
    if x % 3 == 0:
        time.sleep(0.0005)
    return x + 1


def _ours_alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("autoexec")]


def _gone(patience_s: float = _HANGS_S) -> bool:
    """Whether all threads of ours end."""
    until = time.monotonic() + patience_s
    while _ours_alive():
        if time.monotonic() > until:
            return False
        time.sleep(0.0005)
    return True


@pytest.fixture
def watched() -> Iterator[None]:
    """A hang is an error, with all stacks, long before the time limit of the whole test."""
    usual = sys.getswitchinterval()
    yield
    sys.settrace(None)
    assert _gone()
    assert sys.getswitchinterval() == usual


def _wait(x: int) -> int:
    time.sleep(0.004)
    return x + 1


RUNS: dict[str, Callable[[], Results[int]]] = {
    "serial": lambda: autoexec.map(_work, iter(range(9)), backend="threads", max_workers=2, retries=1),
    "overlapped": lambda: autoexec.map(_wait, range(9), backend="threads", max_workers=4),
    "timed": lambda: autoexec.map(_work, range(9), max_workers=2, item_timeout=30.0),
    "iterator": lambda: autoexec.map(
        _work, iter(range(9)), max_workers=2, item_timeout=30.0, ordered=False, buffersize=3, retries=1
    ),
}

_journals = itertools.count()


def _journalled(place: Path) -> Results[int]:
    return autoexec.map(
        _work, range(9), backend="threads", max_workers=2, journal=place / f"{next(_journals)}.db"
    )


@pytest.fixture
def run(name: str, tmp_path: Path) -> Callable[[], Results[int]]:
    """What makes the run of that name; these two are only ended, as a Ctrl-C in SQLite is SQLite's own."""
    if name == "journal":
        return lambda: _journalled(tmp_path)
    if name == "processes":
        return lambda: autoexec.map(_work, range(9), backend="processes", max_workers=2)
    return RUNS[name]


def _take_each(results: Results[int], got: list[int]) -> None:
    for value in results:
        got.append(value)  # noqa: PERF402 -- one by one: what was got is kept, whatever comes


def _consume(run: Callable[[], Results[int]], got: list[int]) -> None:
    with run() as results:
        _take_each(results, got)


def _number(run: Callable[[], Results[int]]) -> int:
    """How many steps there are, about."""
    with _Steps(lambda count: False, _interrupt, calls=_CALLS) as steps:
        _consume(run, [])
    return steps.count


def _check(got: list[int], where: object) -> None:
    """Nothing of ours is left, and what was delivered is right."""
    assert _gone(), (where, _ours_alive())
    assert len(got) == len(set(got)) and set(got) <= set(range(1, 10)), (where, got)


def _interrupted_at(at: int, run: Callable[[], Results[int]]) -> bool:
    """Interrupt a run at one step; whether there was such a step."""
    got: list[int] = []
    with _Steps(lambda count: count == at, _interrupt, calls=_CALLS) as steps:
        try:
            _consume(run, got)
        except KeyboardInterrupt:
            pass
        else:
            # What is raised in a finalizer goes nowhere: Python says so on standard error, and no more.
            assert not steps.where or steps.unraisable, f"an interrupt at {steps.where} was lost"
            assert sorted(got) == list(range(1, 10))
    _check(got, steps.where)
    return bool(steps.where)


def _through(attempt: Callable[[int], bool], stride: int) -> None:
    """Try every step, or every so many."""
    at, misses = 1 + stride // 2, 0
    while misses < 5:  # the number of steps is another one each time
        misses = 0 if attempt(at) else misses + 1
        at += stride


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("name", RUNS)
def test_ctrl_c_at_some_steps(name: str) -> None:
    """Wherever it comes, the call ends, and its threads with it."""
    stride = 1 if _ALL else max(1, _number(RUNS[name]) // 40)
    _through(lambda at: _interrupted_at(at, RUNS[name]), stride)


@pytest.mark.usefixtures("watched")
def test_ctrl_c_in_the_callers_thread_leaves_nothing_open() -> None:
    """Wherever it comes, later runs of this thread still close what their items made."""
    buffer = autoexec.per_worker(io.StringIO)

    def run() -> Results[int]:
        return autoexec.map(lambda x: x + (buffer() is not None), range(9), backend="serial")

    def attempt(at: int) -> bool:
        reached = _interrupted_at(at, run)
        (made,) = autoexec.map(lambda _: buffer(), [0], backend="serial")
        assert made.closed, at
        return reached

    _through(attempt, 1 if _ALL else max(1, _number(run) // 150))


# Signals ----------------------------------------------------------------------------------------------------


def _inside(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is _consume.__code__:
            return True
        frame = frame.f_back
    return False


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C is raised within `_consume` only: it may come late, and there may be several."""

    def handle(number: int, frame: FrameType | None) -> None:
        if _inside(frame):
            raise KeyboardInterrupt

    usual = signal.signal(signal.SIGINT, handle)
    yield
    signal.signal(signal.SIGINT, usual)


def _shot_at(run: Callable[[], Results[int]], delays: list[float]) -> None:
    """Press Ctrl-C, more than once: after so many seconds, and again so long after that."""
    main, got, over = threading.get_ident(), list[int](), threading.Event()

    def press() -> None:
        for delay in delays:
            until = time.perf_counter() + delay
            while time.perf_counter() < until:
                pass
            if not over.is_set():
                signal.pthread_kill(main, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    try:
        _consume(run, got)
    except KeyboardInterrupt:
        pass
    over.set()
    presser.join()
    _check(got, delays)


def _barrage(count: int, seed: int) -> None:
    chance = random.Random(seed)
    for at in range(count):
        run = RUNS[list(RUNS)[at % len(RUNS)]]
        _shot_at(run, [chance.uniform(0.0, 0.012), *(chance.uniform(0.0, 0.001) for _ in range(at % 3))])


@pytest.mark.usefixtures("watched", "ctrl_c")
def test_ctrl_c_as_it_comes() -> None:
    """Real signals, at any time, also while the first one is seen to."""
    _barrage(4000 if _ALL else 60, 1)


# Finalizers -------------------------------------------------------------------------------------------------


class _Finalizer:
    """Does something when it is collected: it is part of a cycle, so only then."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action, self.me = action, self

    def __del__(self) -> None:
        self.action()


def _collected(action: Callable[[], object]) -> Callable[[], object]:
    """The same, done by a finalizer."""

    def collect() -> None:
        _Finalizer(action)
        gc.collect(0)

    return collect


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("name", [*RUNS, "processes", "journal"])
@pytest.mark.parametrize(("stride", "workers"), [(1, False), (7, False), (3, True)])
def test_finalizers_that_ask_for_results_at_every_line(
    run: Callable[[], Results[int]], stride: int, workers: bool
) -> None:
    """In the middle of a result they are told so; between two they get one. None is lost, or comes twice."""
    got: list[int] = []
    held: list[Results[int]] = []

    def ask() -> None:
        for results in held:
            try:
                got.append(next(results))
            except (AutoexecError, StopIteration):
                pass

    steps = _Steps(lambda count: count % stride == 0, _collected(ask), lines=True, workers=workers)
    with steps, run() as results:
        held.append(results)
        _take_each(results, got)
    assert sorted(got) == list(range(1, 10)), (got, steps.count)


def _closed_at(at: int, run: Callable[[], Results[int]], *, lines: bool, workers: bool) -> bool:
    got: list[int] = []
    held: list[Results[int]] = []

    def close() -> None:
        for results in held:
            results.close()

    with _Steps(lambda count: count == at, close, lines=lines, workers=workers) as steps:
        with run() as results:
            held.append(results)
            _take_each(results, got)
        held.clear()
        del results
    _check(got, steps.where)
    return bool(steps.where)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("name", [*RUNS, "processes", "journal"])
@pytest.mark.parametrize("workers", [False, True])
def test_results_closed_at_some_lines(run: Callable[[], Results[int]], name: str, workers: bool) -> None:
    """By a finalizer or a signal handler, in whichever thread: the loop over them ends."""
    stride = 307 if name == "processes" else 101
    _through(lambda at: _closed_at(at, run, lines=True, workers=workers), 1 if _ALL else stride)


def _submit_from_everywhere(stride: int, *, workers: bool) -> None:
    futures: list[tuple[int, Future[int]]] = []
    held: list[autoexec.Executor] = []

    def submit() -> None:
        for executor in held:
            at = len(futures)  # two threads may take the same
            try:
                futures.append((at, executor.submit(_work, at)))
            except RuntimeError:
                return  # it takes no more

    def chosen(count: int) -> bool:
        return count % stride == 0 and len(futures) < 300

    with _Steps(chosen, submit, lines=True, workers=workers):
        with autoexec.Executor(2) as executor:
            held.append(executor)
            own = [executor.submit(_work, at) for at in range(9)]
            assert [future.result(_HANGS_S) for future in own] == list(range(1, 10))
        held.clear()
        del executor
    assert all(future.result(0) == at + 1 for at, future in futures)
    assert futures


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("stride", [1, 5, 23])
@pytest.mark.parametrize("workers", [False, True])
def test_finalizers_that_submit_at_every_line(stride: int, workers: bool) -> None:
    """In the thread that submits, or in those that work: each call is done, once."""
    _submit_from_everywhere(stride, workers=workers)
