"""When does a run contradict its plan? Made-up tasks, made-up clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.drift import FACTOR, LOOK_S, Drift
from autoexec.frozen import replace
from autoexec.records import Plan, Profile, WorkKind

THREADS = Plan("threads", 4)
PROCESSES = Plan("processes", 4)
PYTHON = Profile("f", 5, 0.01, 0.01, 0.0, 0.0, kind=WorkKind.PYTHON, remaining=1000)
NATIVE = Profile("f", 5, 0.01, 0.0, 0.01, 0.0, kind=WorkKind.NATIVE, remaining=1000)
IO = Profile("f", 5, 0.01, 0.0, 0.0, 0.01, kind=WorkKind.IO, remaining=1000)
GIL_FREE_IO = Profile("f", 5, 0.01, 0.0, 0.0005, 0.0095, kind=WorkKind.IO, remaining=1000)


def judged(
    plan: Plan,
    profile: Profile,
    *,
    items: int,
    wall: float,
    cpu: float,
    span: float = 1.0,
    remaining: int | None = 500,
    gil: bool = True,
) -> Profile | None:
    """What is said of so many items that took so much each, in so many seconds."""
    drift = Drift(plan, profile, 100.0)
    drift.note(items, items * wall, items * cpu)
    return drift.judge(100.0 + span, remaining, gil=gil)


def test_as_sampled_is_no_news() -> None:
    """Items that cost what was sampled change nothing."""
    assert judged(PROCESSES, PYTHON, items=400, wall=0.01, cpu=0.01) is None
    assert judged(THREADS, NATIVE, items=400, wall=0.01, cpu=0.01) is None
    assert judged(THREADS, IO, items=400, wall=0.01, cpu=0.0) is None


@pytest.mark.parametrize("factor", [FACTOR, 1 / FACTOR, 100.0, 0.001])
def test_ten_times_longer_or_shorter(factor: float) -> None:
    """The corrected profile has the new seconds, what remains now, and says what changed."""
    item = 0.01 * factor
    found = judged(PROCESSES, PYTHON, items=30, wall=item, cpu=item, remaining=321)
    assert found is not None
    assert found.wall_s == found.held_s == pytest.approx(item)
    assert found.kind is WorkKind.PYTHON
    assert found.remaining == 321
    assert found.evidence == f"items take {item:.3g} s, not the 0.01 s that were sampled"


@pytest.mark.parametrize("factor", [9.0, 1 / 9.0, 2.0])
def test_less_than_ten_times_is_no_news(factor: float) -> None:
    """Durations vary; a plan is not thrown over for that."""
    assert judged(PROCESSES, PYTHON, items=30, wall=0.01 * factor, cpu=0.01 * factor) is None


def test_the_remaining_number_may_be_unknown() -> None:
    """An endless input stays one."""
    found = judged(PROCESSES, PYTHON, items=30, wall=0.2, cpu=0.2, remaining=None)
    assert found is not None
    assert found.remaining is None


def test_a_crowded_machine_is_not_drift() -> None:
    """Work that computes is judged by its CPU time; its wall time grows when others want the cores."""
    assert judged(PROCESSES, PYTHON, items=30, wall=0.5, cpu=0.01) is None


@pytest.mark.parametrize("profile", [GIL_FREE_IO, IO], ids=["GIL-free", "GIL-holding"])
def test_longer_waits_are_drift(profile: Profile) -> None:
    """Work that waits is judged by its wall time, and the corrected profile waits that long."""
    found = judged(THREADS, profile, items=8, wall=0.5, cpu=0.0)
    assert found is not None
    assert found.kind is WorkKind.IO
    assert found.wait_s == pytest.approx(0.5)


def test_waiting_work_that_begins_to_compute() -> None:
    """Items sampled as short waits and found to be long computing are corrected as such."""
    found = judged(PROCESSES, IO, items=8, wall=0.5, cpu=0.5)
    assert found is not None
    assert found.cpu_s == pytest.approx(0.5)
    assert found.wait_s == pytest.approx(0.0)


def test_threads_stuck_on_the_gil() -> None:
    """Four threads that keep one core busy between them hold the GIL, whatever the sample said."""
    found = judged(THREADS, NATIVE, items=100, wall=0.04, cpu=0.01)
    assert found is not None
    assert found.kind is WorkKind.PYTHON
    assert found.held_s == pytest.approx(0.01)
    assert found.free_s == 0.0
    assert found.wall_s == pytest.approx(0.01), "the rest of the 40 ms was waiting for the GIL"
    assert "4 threads" in found.evidence
    assert "1.0 cores" in found.evidence
    assert "GIL" in found.evidence


def test_threads_that_keep_the_cores_busy_are_not_stuck() -> None:
    """Two cores' worth of work in a second: the threads do run side by side."""
    assert judged(THREADS, NATIVE, items=200, wall=0.02, cpu=0.01) is None


def test_threads_that_wait_are_not_stuck() -> None:
    """Little CPU time in all means that they wait for something else."""
    assert judged(THREADS, NATIVE, items=50, wall=0.04, cpu=0.01) is None


@pytest.mark.parametrize(
    ("plan", "profile", "gil"),
    [
        (PROCESSES, NATIVE, True),
        (Plan("threads", 1), NATIVE, True),
        (THREADS, PYTHON, True),
        (THREADS, NATIVE, False),
    ],
    ids=["processes", "one thread", "known to hold it", "no GIL"],
)
def test_only_threads_can_be_stuck(plan: Plan, profile: Profile, gil: bool) -> None:
    """One core's worth of work is no news elsewhere."""
    assert judged(plan, profile, items=100, wall=0.01, cpu=0.01, gil=gil) is None


@pytest.mark.parametrize("profile", [GIL_FREE_IO, IO], ids=["GIL-free", "GIL-holding"])
def test_an_early_guess_is_refreshed_silently(profile: Profile) -> None:
    """A wait that was cut short by the decision is longer in full: known now, and no reason to plan again."""
    drift = Drift(THREADS, replace(profile, partial=True), 0.0)
    for second in (1.0, 2.0):
        drift.note(64, 64 * 0.2, 0.0)
        assert drift.judge(second, 100) is None
    drift.note(64, 64 * 4.0, 0.0)
    found = drift.judge(3.0, 100)
    assert found is not None, "later changes are news again"
    assert found.evidence == "items take 4 s, not the 0.2 s that were sampled"


def test_an_early_guess_that_computes_is_not_hushed_up() -> None:
    """Only waiting is refreshed silently; much more computing than guessed is another plan."""
    early = Profile("f", 1, 0.003, 0.0, 0.0, 0.003, kind=WorkKind.IO, partial=True)
    found = judged(PROCESSES, early, items=8, wall=0.5, cpu=0.5)
    assert found is not None
    assert not found.partial


def test_too_soon_to_say() -> None:
    """Nothing is judged before some tasks and some switch intervals have passed; what was noted is kept."""
    drift = Drift(PROCESSES, PYTHON, 0.0)
    assert drift.judge(10 * LOOK_S, 10) is None, "no task has finished"
    drift = Drift(PROCESSES, PYTHON, 0.0)
    drift.note(1, 5.0, 5.0)
    assert drift.judge(0.5 * LOOK_S, 10) is None
    assert drift.item_s == 5.0
    assert drift.judge(2 * LOOK_S, 10) is not None


def test_each_judgment_begins_afresh() -> None:
    """What was judged is forgotten: a change late in a long run is not drowned by its beginning."""
    drift = Drift(PROCESSES, PYTHON, 0.0)
    drift.note(10_000, 100.0, 100.0)
    assert drift.judge(50.0, 100) is None
    assert drift.item_s == 0.0
    drift.note(4, 2.0, 2.0)
    assert drift.judge(51.0, 100) is not None


@given(
    st.sampled_from([THREADS, PROCESSES, Plan("serial"), Plan("joblib", 2)]),
    st.sampled_from([PYTHON, NATIVE, IO]),
    st.integers(1, 10**6),
    st.floats(0.0, 100.0),
    st.floats(0.0, 200.0),
    st.floats(0.0, 1000.0),
    st.booleans(),
)
def test_corrected_profiles_add_up(
    plan: Plan, profile: Profile, items: int, wall: float, cpu: float, span: float, gil: bool
) -> None:
    """Whatever was noted, a corrected item's parts make up its wall time and none is negative."""
    found = judged(plan, profile, items=items, wall=wall, cpu=cpu, span=span, gil=gil)
    if found is not None:
        assert found.cpu_s + found.wait_s == pytest.approx(found.wall_s)
        assert min(found.held_s, found.free_s, found.wait_s) >= 0.0
        assert found.evidence
        assert not found.partial
