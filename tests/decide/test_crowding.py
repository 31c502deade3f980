"""When do calls in threads queue for the GIL? Made-up clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.crowding import FEW, LONG_S, Crowding
from autoexec.decide.sizing import HELD_S, mixes
from autoexec.records import Profile, WorkKind

EARLY = Profile("f", 1, 0.004, 0.0, 0.0, 0.004, kind=WorkKind.IO, remaining=159, partial=True)


class Clock:
    """Feeds readings to a `Crowding`, from the time on when the first calls have begun."""

    def __init__(self, calls: int = 16) -> None:
        self.now, self.cpu, self.alone, self.calls = 0.0, 0.0, 0.0, calls
        self.crowd = Crowding(0.0, 0.0)
        self.run(0.0025)  # the threads have started

    def run(self, seconds: float, cores: float = 0.0, *, alone: bool = False, begin: int = 0) -> None:
        """Let time pass, in looks of 2.5 ms; the first call takes all CPU if `alone`."""
        self.calls += begin
        for _ in range(round(seconds / 0.0025)):
            self.now += 0.0025
            self.cpu += 0.0025 * cores
            self.alone += 0.0025 * cores if alone else 0.0
            self.crowd.first_runs(self.alone, self.now - self.alone)
            self.crowd.look(self.now, self.cpu, begun=self.calls, running=self.calls)

    def judge(self, left: int | None = 144) -> Profile | None:
        return self.crowd.judge(EARLY, left)


def test_waiting_is_no_crowd() -> None:
    """However long it lasts."""
    clock = Clock()
    clock.run(1.0, 0.05)
    assert clock.judge() is None
    assert clock.crowd.verdict(0.01) is None


def test_calls_that_come_to_compute() -> None:
    """They waited 40 ms, and then one core is busy: the profile has both, before any has ended."""
    clock = Clock()
    clock.run(0.0375)
    clock.run(0.040, 1.0)
    found = clock.judge()
    assert found is not None
    assert found.wait_s == pytest.approx(0.040, abs=0.003)
    assert found.held_s == pytest.approx(2 * 0.040 / 16, rel=0.1)
    assert found.wall_s == pytest.approx(found.wait_s + found.held_s)
    assert found.free_s == 0.0
    assert found.remaining == 144
    assert not found.partial
    assert mixes(found)
    assert "queue for the GIL" in found.evidence


def test_the_first_call_is_ahead() -> None:
    """It has computed alone for 7 ms: more than a share of what all have."""
    clock = Clock()
    clock.run(0.0375)
    clock.run(0.0075, 1.0, alone=True)
    found = clock.judge()
    assert found is not None
    assert found.held_s == pytest.approx(0.015)
    assert found.wait_s == pytest.approx(0.040)


def test_what_the_first_call_does_may_be_done_once() -> None:
    """A verdict needs others that compute, too."""
    clock = Clock()
    clock.run(0.0375)
    clock.run(0.010, 1.0, alone=True)
    assert clock.crowd.verdict(0.02) is None
    clock.run(0.005, 1.0)
    assert clock.crowd.verdict(0.02) is True


@pytest.mark.parametrize(("cpu", "verdict"), [(0.015, True), (0.005, True), (0.001, False), (0.0, False)])
def test_calls_that_have_ended_know_best(cpu: float, verdict: bool) -> None:
    """Some of them decide, whatever the first one did."""
    clock = Clock()
    clock.run(0.010, 1.0, alone=True)
    clock.crowd.note(FEW, FEW * (0.040 + cpu), FEW * cpu)
    assert clock.crowd.held_s == pytest.approx(cpu)
    assert clock.crowd.verdict(0.015) is verdict


def test_waits_of_ended_calls_bound_the_wait() -> None:
    """Threads that were idle for a second while calls of 30 ms came and went did not wait for a second."""
    clock = Clock()
    clock.run(1.0)
    clock.crowd.note(10, 10 * 0.045, 10 * 0.015)
    clock.run(0.010, 1.0)
    assert clock.crowd.wait_s == pytest.approx(0.030)


def test_idle_time_after_the_first_queue_is_not_waiting() -> None:
    """Later it only looks like that, as when another process takes the core."""
    clock = Clock()
    clock.run(0.040)
    clock.run(0.020, 1.0)
    before = clock.crowd.wait_s
    clock.run(0.200, 0.3)
    assert clock.crowd.wait_s == before


@pytest.mark.parametrize("cores", [0.0, 0.4, 1.5, 2.0])
def test_only_one_core_is_the_gil(cores: float) -> None:
    """Less is a wait for something else, more is computing without it."""
    clock = Clock()
    clock.run(0.5, cores)
    assert clock.judge() is None


def test_one_call_cannot_queue() -> None:
    """It needs others."""
    clock = Clock(calls=1)
    clock.run(0.5, 1.0)
    assert clock.judge() is None


def test_starting_threads_is_not_computing() -> None:
    """A hundred threads in 12 ms keep a core busy by themselves."""
    clock = Clock()
    for _ in range(8):
        clock.run(0.0025, 0.9, begin=20)
    assert clock.judge() is None


def test_a_short_queue_is_none() -> None:
    """Answers come in bursts."""
    clock = Clock()
    for _ in range(50):
        clock.run(0.0025, 1.0)
        clock.run(0.010)
    assert LONG_S > 0.0025
    assert clock.judge() is None


def test_many_short_calls_are_left_alone() -> None:
    """They keep the GIL busy, but each holds it too briefly to be sent away."""
    clock = Clock()
    clock.crowd.note(100, 100 * 0.05, 100 * 0.5 * HELD_S)
    clock.run(0.100, 1.0)
    assert clock.judge() is None


def test_nothing_left_is_no_case() -> None:
    """What runs is finished where it is."""
    clock = Clock()
    clock.run(0.050, 1.0)
    assert clock.judge(0) is None
    assert clock.judge(None) is not None


def test_asked_once_until_there_is_news() -> None:
    """A plan that was declined is asked for again when calls take longer than was thought."""
    clock = Clock()
    clock.run(0.020, 1.0)
    assert clock.judge() is not None
    assert clock.judge() is None
    clock.run(0.020, 1.0)
    assert clock.judge() is not None


def test_looks_that_follow_too_closely_are_none() -> None:
    """Threads take turns: one reading must hold some turns."""
    crowd = Crowding(0.0, 0.0)
    for step in range(1, 4):
        crowd.look(step * 0.0004, step * 0.0004, begun=16, running=16)
    assert crowd.judge(EARLY, 100) is None
    assert crowd.held_s == 0.0


READING = st.tuples(st.floats(0.0, 0.2), st.floats(0.0, 0.4), st.integers(0, 50), st.integers(0, 50))


@given(st.lists(READING), st.lists(st.tuples(st.integers(1, 9), st.floats(0, 1), st.floats(0, 1))))
def test_profiles_add_up(
    readings: list[tuple[float, float, int, int]], ended: list[tuple[int, float, float]]
) -> None:
    """Whatever the clocks say, no part of a profile is negative, and they make up the whole."""
    crowd, now, cpu, begun = Crowding(0.0, 0.0), 0.0, 0.0, 0
    for items, wall, used in ended:
        crowd.note(items, wall, used)
    for span, used, more, running in readings:
        now, cpu, begun = now + span, cpu + used, begun + more
        crowd.look(now, cpu, begun=begun, running=running)
        found = crowd.judge(EARLY, 10)
        if found is not None:
            assert min(found.held_s, found.wait_s) >= 0.0
            assert found.wall_s == pytest.approx(found.held_s + found.wait_s)
            assert found.kind in (WorkKind.IO, WorkKind.MIXED)
