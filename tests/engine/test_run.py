"""One run from the first item to the last: interrupts, slow inputs, changing work, nesting."""

# ruff: noqa: PT012 -- the call and the taking of its results belong together

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autoexec

ROOT = str(Path(__file__).parents[2])


def test_ctrl_c_in_an_item_of_the_callers_thread_comes_out_at_once() -> None:
    """`KeyboardInterrupt` does not wait for its turn, and leaves nothing behind."""

    def work(x: int) -> int:
        if x == 3:
            raise KeyboardInterrupt
        return x

    with pytest.raises(KeyboardInterrupt):
        list(autoexec.map(work, range(10)))


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_ctrl_c_while_waiting_for_workers(backend: str) -> None:
    """An interrupt of the consumer ends the call and its processes."""
    caller, main = os.getpid(), threading.main_thread().ident
    assert main == threading.get_ident()
    began, ended = threading.Event(), threading.Event()

    def interrupt() -> None:
        began.wait(30)
        ended.wait(
            0.5
        )  # a signal between CPython's last look and the wait itself would be seen only after it
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            results = autoexec.map(
                lambda x: time.sleep(300 if os.getpid() != caller else 0.3),
                range(8),
                backend=backend,
                max_workers=2,
            )
            began.set()
            list(results)
    finally:
        began.set()
        ended.set()
        thread.join()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_raised_inside_workers_come_out(error: type[BaseException]) -> None:
    """What is no `Exception` reaches the consumer from a worker, too."""

    def work(x: int) -> int:
        raise error("from a worker")

    with pytest.raises(error):
        list(autoexec.map(work, range(4), backend="processes", max_workers=2))


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_slow_input_does_not_keep_results(backend: str) -> None:
    """Results are delivered while a slow iterator still gives items, not when the window is full."""
    received = threading.Event()
    waited: list[bool] = []

    def source() -> Iterator[int]:
        for x in range(400):
            if x >= 8 and not received.is_set():
                waited.append(received.wait(0.02))
            yield x

    with autoexec.map(lambda x: time.sleep(0.004) or x, source(), backend=backend, max_workers=2) as results:
        assert next(results) == 0
        received.set()
        assert list(results) == list(range(1, 400))
    assert len(waited) < 300


def test_a_stalled_consumer_stops_the_intake() -> None:
    """While nobody takes results, the number of items under way is bounded."""
    started = []

    def work(x: int) -> int:
        started.append(x)
        time.sleep(0.001)
        return x

    with autoexec.map(work, itertools.count(), buffersize=20) as results:
        assert next(results) == 0
        threading.Event().wait(0.3)
        assert len(started) <= 21


def test_the_plan_follows_items_that_grow() -> None:
    """Instant items first, waiting ones later: the plan becomes threads and says that it was made again."""

    def work(x: int) -> int:
        if x > 20_000:
            time.sleep(0.03)
        return x

    results = autoexec.map(work, range(20_060))
    assert list(results) == list(range(20_060))
    assert results.plan is not None and results.plan.backend == "threads"


def test_native_limits_are_lifted_again() -> None:
    """A run in threads leaves the thread pools of native libraries as they were."""
    pytest.importorskip("numpy")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    before = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    list(autoexec.map(lambda x: time.sleep(0.01), range(20)))
    assert [pool["num_threads"] for pool in threadpoolctl.threadpool_info()] == before


@pytest.mark.parametrize("outer", ["threads", "processes"])
@pytest.mark.parametrize("inner", ["auto", "threads", "processes"])
def test_a_map_inside_an_item(outer: str, inner: str) -> None:
    """Nested calls give the results of nested loops."""

    def work(x: int) -> list[int]:
        import autoexec

        return list(autoexec.map(lambda y: x * y, range(5), backend=inner, max_workers=2))

    found = list(autoexec.map(work, range(4), backend=outer, max_workers=2))
    assert found == [[x * y for y in range(5)] for x in range(4)]


def test_an_automatic_map_inside_a_worker_starts_no_processes() -> None:
    """A worker keeps its own work: processes are refused there."""

    def work(x: int) -> tuple[str, str]:
        import autoexec

        def inner(y: int) -> int:
            return sum(i * i for i in range(200_000))

        results = autoexec.map(inner, range(12))
        list(results)
        assert results.plan is not None
        return results.plan.backend, results.plan.reason

    for backend, reason in autoexec.map(work, range(2), backend="processes", max_workers=2):
        assert backend != "processes", reason


@pytest.mark.parametrize("threads", [4])
def test_calls_from_several_threads_at_once(threads: int, way: dict[str, Any]) -> None:
    """Calls from several threads do not disturb one another."""
    found: dict[int, list[int]] = {}
    go = threading.Barrier(threads)

    def caller(k: int) -> None:
        go.wait()
        found[k] = list(autoexec.map(lambda x: x * k, range(40), **way))

    callers = [threading.Thread(target=caller, args=(k,)) for k in range(threads)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert found == {k: [x * k for x in range(40)] for k in range(threads)}


test_calls_from_several_threads_at_once = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)(test_calls_from_several_threads_at_once)


def test_a_program_that_forgets_its_results_ends() -> None:
    """Results that nobody closes do not keep the interpreter alive."""
    code = (
        "import autoexec, itertools, time\n"
        "a = autoexec.map(lambda x: time.sleep(0.01), itertools.count())\n"
        "b = autoexec.map(lambda x: x, itertools.count(), backend='processes', max_workers=2)\n"
        "c = autoexec.map(lambda x: x, itertools.count())\n"
        "next(a), next(b), next(c)\n"
        "print('done')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, cwd=ROOT, check=False
    )
    assert (ended.stdout, ended.returncode) == ("done\n", 0), ended.stderr
    assert ended.stderr == ""
