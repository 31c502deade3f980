"""Watching calls in threads: the right clock, at the right time."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from autoexec.engine import contention
from autoexec.engine.contention import LOOK_S, LOOK_SHARE, Contention, OthersClock
from autoexec.frozen import replace
from autoexec.records import Profile, WorkKind
from tests.engine.fakes import FakeClock

EARLY = Profile("f", 1, 0.004, 0.0, 0.0, 0.004, kind=WorkKind.IO, partial=True)


class Others:
    """Stands in for `OthersClock`: CPU seconds of other threads, as the clock of one thread has them.

    Attributes:
        cpu_s: these.
        same: whether the thread that asks has asked before.
    """

    def __init__(self) -> None:
        self.cpu_s, self.same = 100.0, True

    def __call__(self) -> tuple[float, bool]:
        return self.cpu_s, self.same


class Watch:
    """Calls that are watched by a made-up clock."""

    def __init__(self) -> None:
        self.clock, self.others = FakeClock(), Others()
        self.watched = Contention(self.clock, self.others)

    def run(self, seconds: float, cores: float = 0.0) -> None:
        """Let time pass, while other threads keep so many cores busy."""
        self.clock.go(seconds)
        self.others.cpu_s += cores * seconds

    def look(self) -> Profile | None:
        """Four calls run, and a hundred are left; what is made of it?"""
        return self.watched.look(4, 4, EARLY, 100)


def test_a_queue_for_the_gil_is_seen() -> None:
    """Where one core is busy, and only where it is."""
    watch = Watch()
    for _ in range(20):
        watch.run(0.003)
        assert watch.look() is None
    for _ in range(20):
        watch.run(0.003, cores=1.0)
        found = watch.look()
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


def test_another_thread_goes_on_watching() -> None:
    """When the monitor hands over to the consumer, a queue that lasts is still one."""
    watch = Watch()
    for _ in range(4):
        watch.run(0.003, cores=1.0)
        watch.look()
    assert watch.watched.verdict(EARLY) is True
    watch.run(0.003, cores=1.0)
    watch.others.cpu_s, watch.others.same = 7.0, False
    watch.look()
    assert watch.watched.verdict(EARLY) is True
    watch.others.same = True
    watch.run(0.003, cores=1.0)
    watch.look()
    assert watch.watched.verdict(EARLY) is True


def test_looks_become_rarer() -> None:
    """A run of an hour is not looked at three hundred times a second."""
    watch = Watch()
    watch.look()
    assert watch.watched.due_s() == pytest.approx(LOOK_S)
    watch.run(10.0)
    watch.look()
    assert watch.watched.due_s() == pytest.approx(10.0 * LOOK_SHARE)
    watch.run(10.0)
    assert 0.0 < watch.watched.due_s() <= LOOK_S


def test_calls_that_have_ended_decide() -> None:
    """The first one may be special."""
    watched = Watch().watched
    watched.first_ended(0.015)
    assert watched.verdict(replace(EARLY, held_s=0.015)) is None
    watched.note(3, 0.15, 0.0)
    assert watched.verdict(replace(EARLY, held_s=0.015)) is False


def test_what_the_clock_of_others_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this thread burns is not seen, what others burn is; readings of two threads do not compare."""
    burnt = {"process": 7.0, "thread": 3.0}
    told = SimpleNamespace(process_time=lambda: burnt["process"], thread_time=lambda: burnt["thread"])
    monkeypatch.setattr(contention, "time", told)
    clock = OthersClock()
    assert clock.read() == (4.0, False)
    burnt.update(process=8.0, thread=4.0)
    assert clock.read() == (4.0, True)
    burnt.update(process=10.0)
    assert clock.read() == (6.0, True)
    elsewhere: list[tuple[float, bool]] = []
    thread = threading.Thread(target=lambda: elsewhere.append(clock.read()))
    thread.start()
    thread.join()
    assert elsewhere == [(6.0, False)] and clock.read() == (6.0, False)


def test_real_threads_that_compute() -> None:
    """The clock sees what another thread burns; whatever else runs in this process only adds to that."""
    clock = OthersClock()

    def burn() -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    alone, _ = clock.read()
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
    beside, _ = clock.read()
    assert beside - alone > 0.015
