"""A pool that the consumer's thread opens in the middle of what the monitor does stays open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from autoexec.engine.pool import Pool
from autoexec.engine.ramp import Ramp


def test_a_ramp_that_is_opened_in_the_middle_of_a_step_stays_open() -> None:
    """The step was about to set the next limit, which is no matter any more."""
    times = iter([0.0, 1.0])

    def clock() -> float:
        now = next(times)
        if now:
            ramp.open()
        return now

    ramp = Ramp(clock, lambda: 0.0)
    ramp.narrow(2, doubles=True)
    ramp.step(8, lambda count: 0, alone_s=0.0, waited_s=0.0)
    assert ramp.within(8) == 8 and not ramp.narrowed


def test_a_narrow_number_does_not_come_after_a_wide_one() -> None:
    """The monitor was about to say how many may be busy when the consumer's thread let all out."""
    track, told = SimpleNamespace(most=8, allowed=1), list[int]()
    pool: Any = SimpleNamespace(_ramp=Ramp(), track=track)

    def allow(track: Any, busy: int) -> None:
        if not told:
            pool._ramp.open()  # just now; and the other thread has said so, too
        told.append(busy)
        track.allowed = busy

    pool._run = SimpleNamespace(scheduler=SimpleNamespace(allow=allow))
    pool._ramp.narrow(2, doubles=True)
    Pool._allow(pool)
    assert told == [2, 8] and track.allowed == 8
