"""Watching calls in threads: the right clock, at the right time."""

from __future__ import annotations

import threading
import time

import pytest

from autoexec.engine import watch
from autoexec.engine.watch import LOOK_S, LOOK_SHARE, OthersClock, Watch
from autoexec.frozen import replace
from autoexec.records import Profile, WorkKind

EARLY = Profile("f", 1, 0.004, 0.0, 0.0, 0.004, kind=WorkKind.IO, partial=True)


class Clocks:
    """Stands in for the module `time`: the wall, this process and the thread that asks."""

    def __init__(self) -> None:
        self.wall = self.process = self.thread = 100.0

    def perf_counter(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.process

    def thread_time(self) -> float:
        return self.thread

    def run(self, seconds: float, others: float = 0.0, own: float = 0.0) -> None:
        """Let time pass, with so many cores' worth of CPU for other threads and for this one."""
        self.wall += seconds
        self.process += (others + own) * seconds
        self.thread += own * seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """The time, as a watch sees it."""
    made = Clocks()
    monkeypatch.setattr(watch, "time", made)
    return made


def look(watched: Watch) -> Profile | None:
    """Four calls run, and a hundred are left; what is made of it?"""
    return watched.look(4, 4, EARLY, 100)


def test_the_thread_that_looks_does_not_count(clocks: Clocks) -> None:
    """What it imports and starts is no call."""
    watched = Watch()
    for _ in range(20):
        clocks.run(0.003, others=0.0, own=1.0)
        assert look(watched) is None
    for _ in range(20):
        clocks.run(0.003, others=1.0)
        found = look(watched)
        if found is not None:
            return
    pytest.fail("a queue for the GIL was not seen")


def test_readings_of_two_threads_are_not_compared() -> None:
    """Each has its own CPU time to leave out."""
    clock, seen = OthersClock(), list[bool]()
    thread = threading.Thread(target=lambda: seen.append(clock.read()[1]))
    seen += [clock.read()[1], clock.read()[1]]
    thread.start()
    thread.join()
    seen.append(clock.read()[1])
    assert seen == [False, True, False, False]


def test_another_thread_goes_on_watching(clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the director hands over to the consumer, a queue that lasts is still one."""
    watched = Watch()
    for _ in range(4):
        clocks.run(0.003, others=1.0)
        look(watched)
    assert watched.verdict(EARLY) is True
    monkeypatch.setattr(watch.threading, "get_ident", lambda: -5)
    clocks.run(0.003, others=1.0)
    clocks.thread = 7.0
    look(watched)
    assert watched.verdict(EARLY) is True


def test_looks_become_rarer(clocks: Clocks) -> None:
    """A run of an hour is not looked at three hundred times a second."""
    watched = Watch()
    look(watched)
    assert watched.due_s() == pytest.approx(LOOK_S)
    clocks.run(10.0)
    look(watched)
    assert watched.due_s() == pytest.approx(10.0 * LOOK_SHARE)
    clocks.run(10.0)
    assert 0.0 < watched.due_s() <= LOOK_S


def test_calls_that_have_ended_decide(clocks: Clocks) -> None:
    """The first one may be special."""
    watched = Watch()
    watched.first_ended(0.015)
    assert watched.verdict(replace(EARLY, held_s=0.015)) is None
    watched.note(3, 0.15, 0.0)
    assert watched.verdict(replace(EARLY, held_s=0.015)) is False


def test_real_threads_that_compute() -> None:
    """The clock sees what another thread burns, and not what this one does."""
    clock = OthersClock()
    begin, _ = clock.read()

    def burn(seconds: float) -> None:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    burn(0.02)
    alone, _ = clock.read()
    thread = threading.Thread(target=burn, args=(0.02,))
    thread.start()
    thread.join()
    beside, _ = clock.read()
    assert beside - alone > 0.015 > alone - begin
