"""How many calls are let out, by a made-up clock."""

from __future__ import annotations

import pytest

from autoexec.engine.ramp import COMPUTING_S, HOLD_S, PREPARE_S, SOME, STEP_S, WARM, Ramp
from tests.engine.fakes import FakeClock

WINDOW = 1000


@pytest.fixture
def clock() -> FakeClock:
    """The ramp's clock."""
    return FakeClock()


@pytest.fixture
def ramp(clock: FakeClock) -> Ramp:
    """A ramp by that clock."""
    return Ramp(clock, clock.process)


class Threads:
    """Starts as many threads as are asked for, up to a limit."""

    def __init__(self, limit: int = WINDOW) -> None:
        self.asked: list[int] = []
        self._left = limit

    def __call__(self, count: int) -> int:
        count = min(count, self._left)
        self._left -= count
        self.asked.append(count)
        return count


def step(ramp: Ramp, threads: Threads | None = None, alone_s: float = 0.0, waited_s: float = 0.0) -> None:
    """One step, at the time that the clock shows."""
    ramp.step(WINDOW, threads or Threads(), alone_s=alone_s, waited_s=waited_s)


def test_it_is_open_at_first(clock: FakeClock, ramp: Ramp) -> None:
    """The window is the only limit, and steps change nothing."""
    step(ramp)
    assert (ramp.within(7), ramp.narrowed, ramp.holds) == (7, False, False)


def test_a_narrow_one_doubles_while_the_processor_is_idle(clock: FakeClock, ramp: Ramp) -> None:
    """Waiting calls leave it alone; those that compute are not joined by more."""
    ramp.narrow(16, doubles=True)
    widths = []
    for cores in (0.0, 0.5, 1.0, 2.0, 0.0):
        clock.go(STEP_S, cores)
        step(ramp)
        widths.append(ramp.within(WINDOW))
    assert widths == [32, 64, 64, 64, 128]
    for _ in range(5):
        clock.go(STEP_S)
        step(ramp)
    assert not ramp.narrowed


def test_a_narrow_one_may_stay_so(clock: FakeClock, ramp: Ramp) -> None:
    """As wide as there are cores for computing items: until it is opened."""
    ramp.narrow(1, doubles=False)
    clock.go(STEP_S)
    step(ramp)
    assert ramp.within(WINDOW) == 1
    ramp.open()
    assert ramp.within(WINDOW) == WINDOW


def test_threads_start_while_it_holds(clock: FakeClock, ramp: Ramp) -> None:
    """Some at once, then a few in each step, until there are enough."""
    threads = Threads()
    ramp.hold(SOME + WARM + 1)
    for _ in range(6):
        clock.go(STEP_S)
        step(ramp, threads, waited_s=1.0)
    assert threads.asked == [SOME, WARM, 1]
    assert ramp.started == SOME + WARM + 1
    assert ramp.within(WINDOW) == 0


def test_no_more_threads_to_be_had(clock: FakeClock, ramp: Ramp) -> None:
    """It does not ask again."""
    threads = Threads(limit=3)
    ramp.hold(50)
    for _ in range(6):
        step(ramp, threads)
    assert threads.asked == [3, 0]


def test_a_call_that_goes_on_waiting_lets_all_out(clock: FakeClock, ramp: Ramp) -> None:
    """After a while it is taken for one that only waits: that it was held back is over then."""
    ramp.hold(100)
    clock.go(HOLD_S + STEP_S)
    step(ramp, waited_s=1.0)
    assert (ramp.within(WINDOW), ramp.holds) == (WINDOW, False)


@pytest.mark.parametrize(
    ("alone_s", "waited_s"), [(COMPUTING_S, HOLD_S), (0.0, 0.0)], ids=["computes", "ended"]
)
def test_a_call_that_shows_itself_is_waited_for(
    alone_s: float, waited_s: float, clock: FakeClock, ramp: Ramp
) -> None:
    """One that computes now, or has just ended: what it did decides, however long it takes."""
    ramp.hold(100)
    clock.go(2 * HOLD_S)
    step(ramp, alone_s=alone_s, waited_s=waited_s)
    assert ramp.holds
    assert ramp.within(WINDOW) == 0
    ramp.open()
    assert not ramp.holds
    assert ramp.within(WINDOW) == WINDOW


def test_time_to_prepare(clock: FakeClock, ramp: Ramp) -> None:
    """While it holds, the call has waited for a moment and does not compute."""
    ramp.hold(100)
    assert not ramp.prepares(0.0)
    clock.go(PREPARE_S + STEP_S)
    assert ramp.prepares(0.0)
    assert not ramp.prepares(COMPUTING_S)
    ramp.open()
    assert not ramp.prepares(0.0)
