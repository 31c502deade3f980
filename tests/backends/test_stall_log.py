"""The log line when nothing moves: which items run where, and the stacks of their workers."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from autoexec.backends.opening import WorkerConfig
from autoexec.backends.processes import stall_log, supervisor
from tests.backends.deadly import wait_for_a_sign
from tests.backends.opened import Opened, opened
from tests.backends.partner import WAIT_S


class Heard(logging.Handler):
    """Keeps what is logged, and says when something is."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.there = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.there.set()

    def wait_for(self, words: str) -> str:
        """The first line with these words in it."""
        while not any(words in line for line in self.lines):
            assert self.there.wait(WAIT_S)
            self.there.clear()
        return next(line for line in self.lines if words in line)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """What the watchdog says, which has little patience here."""
    monkeypatch.setattr(stall_log, "PATIENCE_S", 0.1)
    monkeypatch.setattr(stall_log, "TIMES", 1.0)
    monkeypatch.setattr(supervisor, "LOOK_S", 0.02)
    handler = Heard()
    logging.getLogger("autoexec").addHandler(handler)
    yield handler
    logging.getLogger("autoexec").removeHandler(handler)


@pytest.mark.parametrize("fork", [True, False])
def test_a_hanging_item_is_named_with_its_stack(heard: Heard, fork: bool) -> None:
    """Its index and short text, its process, and where in the code it is."""
    with opened(wait_for_a_sign, fork=fork) as pool:
        pool.submit([0, 1, 2, 3], 40)
        text = heard.wait_for("in wait_for_a_sign")  # earlier ones may tell of how it starts
        (pid,) = pool.pids
        pool.kill()
    assert text.startswith("no item has finished for ") and f"item 42 (2) in process {pid} for" in text
    assert "most recent call first" in text


def test_all_seats_are_told_of_and_each_worker_once(heard: Heard) -> None:
    """Three items in one process: three lines, one set of stacks."""
    with opened(lambda x: threading.Event().wait(), fork=True, config=WorkerConfig(threads=3)) as pool:
        for start in range(3):
            pool.submit([start], start)
        while (
            sum(line.seat is not None and line.seat.status.place == 0 for line in pool.backend._supervisors)
            < 3
        ):
            os.sched_yield()
        heard.there.clear()
        assert heard.there.wait(WAIT_S)
        pool.kill()
    text = heard.lines[-1]
    assert [f"item {i} ({i}) in process" in text for i in range(3)] == [True] * 3
    assert text.count("Current thread") == 1


def test_it_is_not_said_all_the_time(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once more after as long again."""
    with opened(lambda x: signal.pause(), fork=True) as pool:
        pool.submit([0])
        assert heard.there.wait(WAIT_S)
        monkeypatch.setattr(stall_log, "TIMES", 1e6)
        longest = pool.backend._longest
        pool.backend.look()
        pool.kill()
    assert len(heard.lines) == 1 and longest >= stall_log.PATIENCE_S


def _quiet(pool: Opened, heard: Heard, looks: list[Any], count: int) -> None:
    while len(looks) < count:
        os.sched_yield()
    assert heard.lines == []
    pool.kill()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """How often somebody has looked."""
    from autoexec.backends.processes.backend import ProcessBackend

    seen: list[Any] = []
    real = ProcessBackend.look

    def look(self: ProcessBackend) -> None:
        real(self)
        seen.append(1)

    monkeypatch.setattr(ProcessBackend, "look", look)
    return seen


def test_long_items_have_long_patience(heard: Heard, looks: list[Any]) -> None:
    """What an item was expected to take counts."""
    with opened(lambda x: signal.pause(), fork=True, expected_s=1000.0) as pool:
        pool.submit([0])
        _quiet(pool, heard, looks, 12)


def test_a_long_task_of_short_items_is_no_stall(
    heard: Heard, looks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That items begin is a sign of life, though their task is not over for long."""
    monkeypatch.setattr(stall_log, "PATIENCE_S", 2.0)

    def work(x: int) -> None:
        import time

        time.sleep(0.02)

    with opened(work, fork=True) as pool:
        pool.submit(range(1000))
        while not any(line.seat is not None and line.seat.status.place for line in pool.backend._supervisors):
            os.sched_yield()
        del looks[:]
        pool.backend._moved -= 1000.0  # the last task ended long ago
        _quiet(pool, heard, looks, 8)


def test_a_worker_that_gives_no_answer(heard: Heard) -> None:
    """A stopped process has no stack to show; the rest is said."""
    with opened(lambda x: os.kill(os.getpid(), signal.SIGSTOP), fork=True) as pool:
        pool.submit(["stopped"])
        assert heard.there.wait(WAIT_S)
        pool.kill()
    assert "item 0 ('stopped')" in heard.lines[0] and "(its stack could not be read)" in heard.lines[0]
