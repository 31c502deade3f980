"""A map inside an item: it uses what is left of the cores, and ends with its worker."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

import autoexec
from tests.processes import work
from tests.processes.scripts import Script
from tests.processes.work import BAD, others, run


@pytest.mark.parametrize("options", [{}, {"backend": "threads"}, {"backend": "serial"}], ids=str)
def test_a_map_in_an_item(options: Any, start: str) -> None:
    """The results are right, however the inner map runs."""

    def outer(x: int) -> list[int]:
        return list(autoexec.map(lambda y: x * y, range(5), **options))

    assert list(run(outer, on_error="raise")) == [[x * y for y in range(5)] for x in range(12)]


def test_processes_in_processes(start: str) -> None:
    """Asked for in so many words, an inner map has workers of its own, and they end."""

    def outer(x: int) -> tuple[list[int], bool]:
        inner = list(autoexec.map(work.whose, range(4), backend="processes", max_workers=2))
        return [y for y, _ in inner], os.getpid() in {pid for _, pid in inner}

    assert list(run(outer, range(4), on_error="raise")) == [([0, 1, 2, 3], False)] * 4


def test_an_inner_map_without_cores_starts_no_processes(start: str, burn: Callable[[float], int]) -> None:
    """A worker with one core has no others compute for it."""

    def outer(x: int) -> tuple[bool, int]:
        results = autoexec.map(lambda y: (burn(0.004), os.getpid())[1], range(12))
        pids = set(results)
        assert results.plan is not None
        return results.plan.backend == "processes", len(pids)

    assert list(run(outer, range(2), max_workers=8, on_error="raise")) == [(False, 1)] * 2


def test_an_executor_in_an_item(start: str) -> None:
    """So does an executor."""

    def outer(x: int) -> int:
        with autoexec.Executor(2) as executor:
            return sum(executor.map(lambda y: x * y, range(5)))

    assert list(run(outer, on_error="raise")) == [10 * x for x in range(12)]


def test_an_item_that_dies_in_an_inner_map(start: str) -> None:
    """The inner death is the inner map's affair."""

    def outer(x: int) -> list[str]:
        inner = autoexec.map(
            work.exits, range(BAD - 1, BAD + 2), backend="processes", max_workers=1, on_error="return"
        )
        return [type(value).__name__ for value in inner]

    assert list(run(outer, range(2), on_error="raise")) == [["int", "WorkerDied", "int"]] * 2


def test_a_worker_dies_with_an_inner_map(start: str, journal: Any) -> None:
    """Workers of a worker that is killed go with it."""
    note = journal.note

    def inner(y: int) -> None:
        note(os.getpid())
        threading.Event().wait(600)

    def outer(x: int) -> int:
        if x == BAD:
            list(autoexec.map(inner, range(2), backend="processes", max_workers=2, chunksize=1))
        return x

    values = list(run(outer, item_timeout=1.5))
    assert others(values) == [x for x in range(12) if x != BAD]
    assert type(values[BAD]) is autoexec.ItemTimeout
    pids = [int(line) for line in journal.lines()]
    assert len(pids) == 2
    until = threading.Event()
    for _ in range(200):
        if not any(_alive(pid) for pid in pids):
            break
        until.wait(0.01)
    assert not any(_alive(pid) for pid in pids)


def _alive(pid: int) -> bool:
    """Whether a process still runs; one that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_ctrl_c_ends_all_of_them(script: Script) -> None:
    """One Ctrl-C ends the workers, and the workers of the workers."""
    import signal

    process = script.start(
        """
        def inner(y):
            note(y)
            time.sleep(600)

        def outer(x):
            return list(autoexec.map(inner, range(2), backend="processes", max_workers=2, chunksize=1))

        list(autoexec.map(outer, range(2), backend="processes", max_workers=2, chunksize=1))
        """,
        "-X",
        "dev",
    )
    script.wait_for(4)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = script.end()
    assert code == -signal.SIGINT and err.count("Traceback (most recent call last)") == 1, err
    assert script.left() == []
