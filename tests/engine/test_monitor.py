"""The thread beside the caller: it looks and keeps the time, puts everything back, and is gone afterwards."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autoexec
from autoexec.backends.inline import InlineBackend
from autoexec.engine.monitor import Monitor, Seen
from autoexec.worker.invoke import CallSpec, Task

PATIENCE_S = 30.0  # only what never comes takes that long


class Ward:
    """A monitor, and what it said.

    Args:
        call: what the watched thread runs.

    Attributes:
        told: set once it has asked for a decision; the answer is `answer`.
        tended: set once it tends.
        ticked: how often it has ticked; the answer is the next of `times`.
    """

    def __init__(self, call: Callable[[Any], Any] = abs) -> None:
        self.spec = CallSpec(call)
        self.inline = InlineBackend(self.spec)
        self.told, self.tended, self.ticked = threading.Event(), threading.Event(), threading.Event()
        self.seen: list[Seen] = []
        self.errors: list[BaseException] = []
        self.answer = False
        self.times: list[float] = []
        self.ticks = 0
        self.on_tick: Callable[[], object] = lambda: None
        self.monitor = Monitor(self.inline, self._early, self._tend, self._tick, self.errors.append)

    def _early(self, seen: Seen) -> bool:
        self.seen.append(seen)
        self.told.set()
        return self.answer

    def _tend(self) -> float:
        self.tended.set()
        return 1.0

    def _tick(self) -> float:
        self.ticks += 1
        self.on_tick()
        self.ticked.set()
        return self.times.pop(0) if self.times else math.inf

    def run(self, item: Any) -> None:
        """The watched thread runs an item."""
        self.inline.run(Task(self.spec, 0, [item]))


@pytest.fixture
def ward() -> Iterator[Ward]:
    """A monitor whose thread is let go at the end."""
    ward = Ward()
    yield ward
    ward.monitor.end()


def threads() -> list[str]:
    """Monitors that are left."""
    return [t.name for t in threading.enumerate() if t.name == "autoexec-monitor"]


# Looking ----------------------------------------------------------------------------------------------------


def test_an_item_that_waits_is_told_of() -> None:
    """It ends only when a decision was asked for."""
    ward = Ward(lambda x: ward.told.wait(PATIENCE_S))
    ward.monitor.measure()
    try:
        ward.run(1)
    finally:
        ward.monitor.end()
    assert ward.told.is_set() and ward.seen[0].running_s > 0.0 and not ward.errors


def test_an_item_that_computes_is_told_of() -> None:
    """The same for one that never waits."""

    def compute(item: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while not ward.told.is_set() and time.monotonic() < until:
            sum(range(500))

    ward = Ward(compute)
    ward.monitor.measure()
    try:
        ward.run(1)
    finally:
        ward.monitor.end()
    assert ward.told.is_set() and not ward.errors


def test_after_a_take_over_it_tends() -> None:
    """As long as the item runs, whatever was opened is opened further."""
    ward = Ward(lambda x: ward.tended.wait(PATIENCE_S))
    ward.answer = True
    ward.monitor.measure()
    try:
        ward.run(1)
    finally:
        ward.monitor.end()
    assert ward.tended.is_set() and len(ward.seen) == 1


@pytest.mark.parametrize("pause", [0.0, 0.03])
def test_the_switch_interval_is_put_back(pause: float) -> None:
    """The finer switching of the probe ends with the measuring."""
    before = sys.getswitchinterval()
    ward = Ward(lambda x: time.sleep(pause))
    ward.monitor.measure()
    for item in range(30):
        ward.run(item)
    ward.monitor.end()
    assert sys.getswitchinterval() == before


def test_what_goes_wrong_in_it_is_told() -> None:
    """Whoever takes results has to hear of it: nobody else would plan, or keep the time."""

    def refuse() -> float:
        raise RuntimeError("out of order")

    ward = Ward(lambda x: ward.told.wait(PATIENCE_S))
    ward.answer, ward._tend = True, refuse  # type: ignore[method-assign]
    ward.monitor = Monitor(ward.inline, ward._early, refuse, lambda: math.inf, ward.errors.append)
    ward.monitor.measure()
    ward.run(1)
    ward.monitor._thread.join(PATIENCE_S)  # type: ignore[union-attr]
    ward.monitor.end()
    assert [str(error) for error in ward.errors] == ["out of order"]


class Clocks:
    """A thread that has computed for so long, and was ready to run but not let for so long."""

    def __init__(self, cpu_s: float, queued_s: float) -> None:
        self._cpu_s, self._queued_s = cpu_s, queued_s

    def cpu(self) -> float:
        return self._cpu_s

    def queued(self) -> float:
        return self._queued_s


@pytest.mark.parametrize(
    ("cpu_s", "watched_s", "own_s", "lost_s"),
    [
        (0.250, 0.010, 0.200, 0.210),
        (0.020, 0.000, 0.200, 0.000),
        (0.100, 0.000, 0.200, 0.000),
        (0.100, 0.080, 0.200, 0.280),
        (0.250, 0.010, 0.000, 0.010),
    ],
    ids=["computes", "waits", "waits and computes", "wants to compute", "a quiet machine"],
)
def test_time_lost_to_other_programs(cpu_s: float, watched_s: float, own_s: float, lost_s: float) -> None:
    """The monitor's own queueing counts where the watched thread kept the GIL between a hundred looks."""
    monitor: Any = Ward().monitor
    monitor._clock, monitor._own = Clocks(cpu_s, watched_s), Clocks(0.0, own_s)
    monitor._probe.looks = 100
    assert monitor.seen().queued_s == pytest.approx(lost_s)


# The time ---------------------------------------------------------------------------------------------------


def test_there_is_no_thread_until_there_is_something_to_do(ward: Ward) -> None:
    """The first wish starts it, and it serves all others."""
    assert not ward.monitor.alive and not threads()
    ward.monitor.wake_at(time.monotonic())
    assert ward.ticked.wait(PATIENCE_S)
    thread = ward.monitor._thread
    ward.ticked.clear()
    ward.monitor.wake_at(time.monotonic())
    assert ward.ticked.wait(PATIENCE_S)
    assert ward.monitor._thread is thread is not None and thread.daemon and len(threads()) == 1


def test_an_earlier_time_shortens_the_wait(ward: Ward) -> None:
    """It waits for the first time that there is, not for the first that was set."""
    ward.monitor.wake_at(time.monotonic() + 10_000.0)
    ward.monitor.wake_at(time.monotonic() + 0.001)
    assert ward.ticked.wait(PATIENCE_S)


def test_a_tick_tells_when_to_come_again(ward: Ward) -> None:
    """Again and again, as long as something is due."""
    ward.times = [time.monotonic(), time.monotonic() + 0.002]
    done = threading.Event()
    ward.on_tick = lambda: done.set() if ward.ticks == 3 else None
    ward.monitor.wake_at(time.monotonic())
    assert done.wait(PATIENCE_S)


def test_a_wish_in_the_midst_of_a_tick_is_not_forgotten(ward: Ward) -> None:
    """A retry that is put off while others are looked at comes to its time, too."""
    monitor = ward.monitor
    monitor._ended = True  # no thread: this test does what it would do
    monitor.wake_at(time.monotonic())
    ward.on_tick = lambda: monitor.wake_at(7.0)
    monitor._tick_if_due()
    assert ward.ticks == 1 and monitor._next_tick() == 7.0


def test_time_is_kept_while_it_measures() -> None:
    """A retry does not wait until the sample is complete."""
    ward = Ward(lambda x: ward.ticked.wait(PATIENCE_S))
    ward.monitor.measure()
    ward.monitor.wake_at(time.monotonic())
    ward.run(1)
    ward.monitor.end()
    assert ward.ticks == 1


def test_without_a_thread_nobody_ticks(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """At interpreter shutdown none can be had; the next wish tries again."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    ward.monitor.wake_at(time.monotonic())
    assert not ward.monitor.alive and not ward.ticks
    monkeypatch.undo()
    ward.monitor.wake_at(time.monotonic())
    assert ward.ticked.wait(PATIENCE_S)


# The end ----------------------------------------------------------------------------------------------------


def test_stopping_twice_or_before_the_start_is_fine() -> None:
    """A monitor can be stopped at any time, and started again."""
    monitor = Ward().monitor
    monitor.stop()
    for _ in range(2):
        monitor.measure()
        assert monitor.alive
        monitor.stop()
        monitor.stop()
        assert not monitor.alive and not threads()


def test_the_end_is_for_good(ward: Ward) -> None:
    """Even while it waits; what is wished for afterwards starts no thread."""
    ward.monitor.wake_at(time.monotonic() + 10_000.0)
    ward.monitor.end()
    ward.monitor.measure()
    ward.monitor.wake_at(time.monotonic())
    assert not ward.monitor.alive and not threads() and not ward.ticks


def test_a_tick_may_end_it(ward: Ward) -> None:
    """The thread does not wait for itself."""
    ward.on_tick = ward.monitor.end
    ward.monitor.wake_at(time.monotonic())
    assert ward.ticked.wait(PATIENCE_S)


def test_the_thread_is_gone_when_the_results_are_all_there() -> None:
    """After the last result, no monitor is left."""
    assert list(autoexec.map(lambda x: x, range(100_000))) == list(range(100_000))
    assert not threads()


def test_nobody_waits_for_the_end_of_a_nap(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most maps are shorter than half a look of the probe."""
    monkeypatch.setattr("autoexec.measure.gil_probe.NAP", 1000.0)
    ward.monitor.measure()
    ward.monitor.end()
    assert not threads()
    assert ward.monitor.seen().looked_s == 0.0  # what was cut short says nothing
