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
from autoexec.backends.processes import server, stall_log, standstill, supervisor
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
        text = heard.wait_for("item 0 ('stopped')")  # earlier ones may tell of how it starts
        pool.kill()
    assert "(its stack could not be read)" in text


# One of several ---------------------------------------------------------------------------------------------


@pytest.fixture
def soon(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> Heard:
    """A worker that stands still is told of soon; that nothing moves is not."""
    monkeypatch.setattr(standstill, "STILL_S", 0.2)
    monkeypatch.setattr(stall_log, "PATIENCE_S", 1e6)
    return heard


def test_a_worker_that_stands_still_is_named_although_others_go_on(soon: Heard) -> None:
    """Its item, its stack, and what may be the reason."""
    with opened(wait_for_a_sign, 2, fork=True) as pool:
        pool.submit([2], 2)
        text = soon.wait_for("stands still")
        assert pool.run([5], 1)[0] == 5
        pool.kill()
    assert "item 2 (2) in process" in text and "in wait_for_a_sign" in text and "item_timeout=" in text


def test_one_that_never_began_is_replaced(soon: Heard, monkeypatch: pytest.MonkeyPatch, journal: Any) -> None:
    """It cannot have lost anything: a process that is no copy of the caller has its task."""
    real, parent, note = server.Seat.serve, os.getpid(), journal.note

    def serve(seat: server.Seat) -> None:  # it waits for a lock that its fork has inherited
        threading.Lock().acquire()
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    def work(x: int) -> int:
        note(x)
        return 10 * x

    monkeypatch.setattr(server.Seat, "serve", lambda seat: (real if os.getpid() == parent else serve)(seat))
    with opened(work, fork=True) as pool:
        assert pool.run([1, 2], 2) == {0: 10, 1: 20}
    assert journal.counts() == {"1": 1, "2": 1}
    assert "another process takes its place" in soon.wait_for("stands still")


def test_one_that_computes_does_not_stand_still(soon: Heard, burn: Any) -> None:
    """However long it is at one item."""
    with opened(lambda x: burn(0.6), fork=True) as pool:
        pool.run([1], 1)
    assert soon.lines == []
