"""Between two tasks: when the machine is asked what is left, and what the items under way may still take."""

from __future__ import annotations

import pytest

from autoexec.engine.memory import LOOK_S, Memory
from tests.engine.fakes import FakeClock

MIB = 1 << 20
LIMIT = 1024 * MIB  # whose reserve is 64 MiB


class Machine:
    """A control group of one gibibyte."""

    def __init__(self) -> None:
        self.available, self.kills, self.looks = 900 * MIB, 0, 0

    def memory_now(self) -> tuple[int, int]:
        self.looks += 1
        return self.available, LIMIT

    def oom_kills(self) -> int:
        return self.kills


@pytest.fixture
def machine() -> Machine:
    """The machine that is asked."""
    return Machine()


@pytest.fixture
def clock() -> FakeClock:
    """The time."""
    return FakeClock()


def memory(machine: Machine, clock: FakeClock, item_bytes: int) -> Memory:
    """Watches that machine by that clock."""
    return Memory(item_bytes, clock=clock, left=machine.memory_now, kills=machine.oom_kills)


def nobody(most: int) -> int:
    """Must not be asked, since it takes a look at every worker."""
    raise AssertionError(most)


def test_where_there_is_plenty_nobody_is_asked(machine: Machine, clock: FakeClock) -> None:
    """Neither the machine again and again nor the workers."""
    watched = memory(machine, clock, 10 * MIB)
    assert all(watched.roomy(running, 0, nobody) for running in range(4))
    assert machine.looks == 1
    clock.now += 2 * LOOK_S
    assert watched.roomy(4, 0, nobody)
    assert machine.looks == 2


def test_tasks_that_began_just_now_count(machine: Machine, clock: FakeClock) -> None:
    """Their memory is not taken yet, but will be: two at once must not both take what one of them needs."""
    machine.available = 500 * MIB
    watched = memory(machine, clock, 300 * MIB)
    assert watched.roomy(0, 0, lambda most: most)
    assert not watched.roomy(1, 0, lambda most: 2 * most)
    assert machine.looks == 2


def test_what_is_taken_already_does_not_count_twice(machine: Machine, clock: FakeClock) -> None:
    """A worker that has its memory needs no more."""
    machine.available = 500 * MIB
    watched = memory(machine, clock, 300 * MIB)
    assert watched.roomy(1, 0, lambda most: most)


def test_what_workers_were_seen_to_need_counts(machine: Machine, clock: FakeClock) -> None:
    """Items may be larger than the first ones."""
    machine.available = 200 * MIB
    asked: list[int] = []

    def still(most: int) -> int:
        asked.append(most // MIB)
        return 2 * most

    assert memory(machine, clock, MIB).roomy(1, 0, nobody)
    assert not memory(machine, clock, MIB).roomy(1, 90 * MIB, still)
    assert asked == [90]


def test_after_a_kill_no_more_begin(
    machine: Machine, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so once, the plan's reason in the end."""
    watched = memory(machine, clock, 0)
    assert watched.roomy(1, 0, nobody)
    assert not watched.starved(1)
    machine.kills += 1
    assert watched.starved(1)
    assert not watched.starved(1)
    assert not watched.roomy(1, 0, nobody)
    assert watched.roomy(0, 0, nobody)
    machine.kills += 2
    assert watched.starved(0)
    (record,) = caplog.records
    assert "the kernel has ended a worker" in record.getMessage()
    assert str(watched).startswith("memory ran out 2 times")


def test_a_shortage_is_told_once(
    machine: Machine, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """With what was left."""
    watched = memory(machine, clock, 0)
    for _ in range(2):
        machine.available = 3 * MIB
        clock.now += 1
        assert not watched.roomy(1, 0, nobody)
        machine.available = 900 * MIB
        clock.now += 1
        assert watched.roomy(1, 0, nobody)
    (record,) = caplog.records
    assert "3 MiB left" in record.getMessage()
    assert str(watched) == "memory was short 2 times: fewer tasks ran at a time (3 MiB were left)"
