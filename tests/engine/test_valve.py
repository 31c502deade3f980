"""How far the valve is open, by a made-up clock."""

from __future__ import annotations

import pytest

from autoexec.engine import valve
from autoexec.engine.valve import COMPUTING_S, HOLD_S, PREPARE_S, SOME, STEP_S, WARM, Valve

WINDOW = 1000


class Clock:
    """Stands in for the module `time`; the processor computes while it says so."""

    def __init__(self) -> None:
        self.now = self.cpu = 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.cpu

    def step(self, cores: float = 0.0) -> None:
        """Let a step go by."""
        self.now += STEP_S
        self.cpu += STEP_S * cores


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The valve's clock."""
    clock = Clock()
    monkeypatch.setattr(valve, "time", clock)
    return clock


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


def step(opens: Valve, threads: Threads | None = None, alone_s: float = 0.0, waited_s: float = 0.0) -> None:
    """One step of the valve, at the time that the clock shows."""
    opens.step(WINDOW, threads or Threads(), alone_s=alone_s, waited_s=waited_s)


def test_it_is_open_at_first(clock: Clock) -> None:
    """The window is the only limit, and steps change nothing."""
    opens = Valve()
    step(opens)
    assert (opens.within(7), opens.narrowed, opens.holds, opens.held_back) == (7, False, False, False)


def test_a_narrow_one_doubles_while_the_processor_is_idle(clock: Clock) -> None:
    """Waiting calls leave it alone; those that compute are not joined by more."""
    opens = Valve()
    opens.narrow(16, doubles=True)
    widths = []
    for cores in (0.0, 0.5, 1.0, 2.0, 0.0):
        clock.step(cores)
        step(opens)
        widths.append(opens.within(WINDOW))
    assert widths == [32, 64, 64, 64, 128]
    for _ in range(5):
        clock.step()
        step(opens)
    assert not opens.narrowed
    assert not opens.held_back


def test_a_narrow_one_may_stay_so(clock: Clock) -> None:
    """As wide as there are cores for computing items: until it is opened."""
    opens = Valve()
    opens.narrow(1, doubles=False)
    clock.step()
    step(opens)
    assert opens.within(WINDOW) == 1
    opens.open()
    assert opens.within(WINDOW) == WINDOW


def test_threads_start_while_it_holds(clock: Clock) -> None:
    """Some at once, then a few in each step, until there are enough."""
    opens, threads = Valve(), Threads()
    opens.hold(SOME + WARM + 1)
    for _ in range(6):
        clock.step()
        step(opens, threads, waited_s=clock.now)
    assert threads.asked == [SOME, WARM, 1]
    assert opens.started == SOME + WARM + 1
    assert opens.within(WINDOW) == 0


def test_no_more_threads_to_be_had(clock: Clock) -> None:
    """It does not ask again."""
    opens, threads = Valve(), Threads(limit=3)
    opens.hold(50)
    for _ in range(6):
        step(opens, threads)
    assert threads.asked == [3, 0]


def test_a_call_that_goes_on_waiting_lets_all_out(clock: Clock) -> None:
    """After a while it is taken for one that only waits: that it was held back is over then."""
    opens = Valve()
    opens.hold(100)
    clock.now = HOLD_S + STEP_S
    step(opens, waited_s=clock.now)
    assert (opens.within(WINDOW), opens.holds) == (WINDOW, False)
    opens.open()
    assert not opens.held_back


@pytest.mark.parametrize(
    ("alone_s", "waited_s"), [(COMPUTING_S, HOLD_S), (0.0, 0.0)], ids=["computes", "ended"]
)
def test_a_call_that_shows_itself_is_waited_for(alone_s: float, waited_s: float, clock: Clock) -> None:
    """One that computes now, or has just ended: what it did decides, however long it takes."""
    opens = Valve()
    opens.hold(100)
    clock.now = 2 * HOLD_S
    step(opens, alone_s=alone_s, waited_s=waited_s)
    assert opens.holds
    assert opens.within(WINDOW) == 0
    opens.open()
    assert opens.held_back
    assert opens.within(WINDOW) == WINDOW


def test_time_to_prepare(clock: Clock) -> None:
    """While it holds, the call has waited for a moment and does not compute."""
    opens = Valve()
    opens.hold(100)
    assert not opens.prepares(0.0)
    clock.now = PREPARE_S + STEP_S
    assert opens.prepares(0.0)
    assert not opens.prepares(COMPUTING_S)
    opens.open()
    assert not opens.prepares(0.0)
