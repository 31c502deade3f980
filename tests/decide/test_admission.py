"""Whether one more task may begin while memory gets short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.admission import QUIET_S, RESERVE, Admission, cap_words, reserve
from autoexec.records import Machine, Plan, Profile, WorkKind

MIB = 1 << 20
GIB = 1 << 30
SIZES = st.integers(0, 64 * GIB)
LIMITS = st.one_of(st.none(), st.integers(0, 64 * GIB))
LOOKS = st.lists(st.tuples(SIZES, LIMITS, st.integers(0, 64), st.integers(0, GIB)), max_size=40)


def test_with_room_tasks_begin() -> None:
    """Nothing is held back, and nothing is said."""
    admission = Admission()
    assert all(admission.may_begin(4 * GIB, None, running, 100 * MIB) for running in range(64))
    assert not admission.short
    assert str(admission) == ""


def test_when_memory_gets_short_no_new_task_begins() -> None:
    """Those under way go on; without any, one begins, however little is left."""
    admission = Admission()
    assert not admission.may_begin(RESERVE - 1, None, running=1)
    assert admission.may_begin(RESERVE - 1, None, running=0)
    assert admission.may_begin(0, 0, running=0, wanted=GIB)


def test_room_for_the_item_is_needed_beside_the_reserve() -> None:
    """What one item is known to add counts as taken already."""
    assert Admission().may_begin(RESERVE + 100 * MIB, None, 1, wanted=100 * MIB)
    assert not Admission().may_begin(RESERVE + 100 * MIB - 1, None, 1, wanted=100 * MIB)


def test_small_containers_keep_less_free() -> None:
    """A fixed reserve would never let half a gibibyte run two tasks."""
    assert reserve(512 * MIB) == 32 * MIB
    assert reserve(64 * GIB) == reserve(None) == RESERVE
    assert Admission().may_begin(40 * MIB, 512 * MIB, running=1)


def test_tasks_begin_again_only_well_above() -> None:
    """At the border itself tasks would begin and wait by turns."""
    admission = Admission()
    assert not admission.may_begin(RESERVE - 1, None, running=2)
    assert not admission.may_begin(RESERVE + MIB, None, running=2)
    assert not admission.may_begin(2 * RESERVE - 1, None, running=2)
    assert admission.may_begin(2 * RESERVE, None, running=2)
    assert admission.may_begin(RESERVE + MIB, None, running=2)


def test_each_shortage_is_counted_once() -> None:
    """The report tells how often memory was short and how little was left."""
    admission = Admission()
    for available in (900, 200, 100, 150, 900):
        admission.may_begin(available * MIB, None, running=2)
    assert (admission.times, admission.least) == (1, 100 * MIB)
    assert str(admission) == "memory was short once: fewer tasks ran at a time (100 MiB were left)"
    admission.may_begin(120 * MIB, None, running=2)
    assert str(admission) == "memory was short 2 times: fewer tasks ran at a time (100 MiB were left)"


HUNGRY = Profile("f", 3, 1.0, 1.0, 0.0, 0.0, kind=WorkKind.PYTHON, memory_bytes=GIB)
SMALL = Machine(16, 16, 16, 16, memory_available=8 * GIB)


@pytest.mark.parametrize(
    ("plan", "machine", "profile", "said"),
    [
        (Plan("processes", 6), SMALL, HUNGRY, True),
        (Plan("joblib", 6), SMALL, HUNGRY, True),
        (Plan("threads", 6), SMALL, HUNGRY, False),
        (Plan("processes", 3), SMALL, HUNGRY, False),  # fewer than fit: for another reason
        (Plan("processes", 16), Machine(16, 16, 16, 16, memory_available=999 * GIB), HUNGRY, False),
    ],
)
def test_a_plan_cut_by_memory_says_so(plan: Plan, machine: Machine, profile: Profile, said: bool) -> None:
    """Fewer processes than cores, because no more fit: the number and the free memory are told."""
    expected = "no more than 6 workers fit into 8,192 MiB of free memory" if said else ""
    assert cap_words(plan, machine, profile) == expected


@given(LOOKS)
def test_a_task_always_may_begin_when_none_runs(looks: list[tuple[int, int | None, int, int]]) -> None:
    """So the run always comes to its end."""
    admission = Admission()
    for available, limit, running, item in looks:
        admission.may_begin(available, limit, running, item)
        assert admission.may_begin(available, limit, 0, item)


def test_after_a_kill_fewer_run() -> None:
    """As many as ran beside the one that died; however much is free now, which it may just have freed."""
    admission = Admission()
    admission.killed(3, now=100.0)
    assert [admission.may_begin(GIB, None, running, now=101.0) for running in (2, 3, 4)] == [
        True,
        False,
        False,
    ]
    admission.killed(1, now=102.0)
    assert [admission.may_begin(GIB, None, running, now=103.0) for running in (0, 1, 2)] == [
        True,
        False,
        False,
    ]
    assert admission.kills == 2
    assert not admission.short


def test_one_that_died_alone_says_nothing_of_others() -> None:
    """It was too large by itself, as an item that is run again, alone, may be."""
    admission = Admission()
    admission.killed(0, now=0.0)
    assert all(admission.may_begin(GIB, None, running, now=1.0) for running in range(4))
    assert "memory ran out once" in str(admission)


def test_after_a_while_one_more_may_try() -> None:
    """The while doubles with each death."""
    admission = Admission()
    for death in range(4):
        now, pause = 10_000.0 * death, QUIET_S * 2**death
        admission.killed(1, now)
        assert not admission.may_begin(GIB, None, 1, now=now + pause - 1)
        assert admission.may_begin(GIB, None, 1, now=now + pause)
        assert not admission.may_begin(GIB, None, 2, now=now + 2 * pause - 1)
        assert admission.may_begin(GIB, None, 2, now=now + 2 * pause)


def test_the_words_for_a_kill() -> None:
    """Beside those for a shortage, if there was one, too."""
    admission = Admission()
    admission.killed(1, now=0.0)
    assert str(admission) == "memory ran out once: the kernel ended a worker, and fewer ran after that"
    admission.may_begin(0, None, running=1, now=QUIET_S)
    assert str(admission).startswith(
        "memory was short once: fewer tasks ran at a time (0 MiB were left); memory"
    )


@given(LOOKS)
def test_no_task_begins_beside_others_below_the_reserve(
    looks: list[tuple[int, int | None, int, int]],
) -> None:
    """Whatever came before; and with twice the reserve one does."""
    admission = Admission()
    for available, limit, running, item in looks:
        begins = admission.may_begin(available, limit, running, item)
        if begins and running:
            assert available - item >= reserve(limit)
        if not begins:
            assert available - item < 2 * reserve(limit)
            assert admission.short
            assert admission.times >= 1


@given(LOOKS, SIZES, LIMITS, st.integers(1, 64), st.integers(0, GIB), SIZES)
def test_more_room_never_holds_back(
    looks: list[tuple[int, int | None, int, int]],
    available: int,
    limit: int | None,
    running: int,
    item: int,
    more: int,
) -> None:
    """After the same story, a task that may begin may also begin with more memory free."""
    one, other = Admission(), Admission()
    for look in looks:
        assert one.may_begin(*look) == other.may_begin(*look)
    if one.may_begin(available, limit, running, item):
        assert other.may_begin(available + more, limit, running, item)
