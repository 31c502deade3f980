"""How wide a run opens before the first answers can teach: by the clock, as a short run ends before that."""

from __future__ import annotations

import math

__all__ = ["SlowStart"]

SHORT = 64  # calls that may all go at once: some browsers' worth of connections, as wide as fixed pools get
EIGHT = 8.0  # a short run's first calls
FEW, SOME = 4.0, 16.0  # the first calls of other runs, and those soon after: any service serves them
DOUBLING_S = 0.07  # most services on the open net have answered by then
UNKNOWN_S = 0.06  # latency assumed where one is needed and none is known: quick calls must not wait long
THREAD_S = 0.0001  # a thread takes so long to start: by then quick calls have ended, and theirs are free
ROUNDING = 1e-9  # of widths
STEP_S = 0.001  # no clock doubles faster or is asked more often
LONG = 32  # runs of so many full waves lose less than 2 % when they double only once per latency
WAVE = 1.5  # runs of up to so many full waves must be out before the first answer comes


class SlowStart:
    """The number of calls the clock lets out, as a function of the seconds since the first.

    Args:
        cap: most calls at once.
        items: calls there will be, or None.
        latency_s: seconds of one call, or None if unknown.
    """

    __slots__ = ("_double", "_first", "_some", "_soon", "_stop", "_top", "latency_s", "short")

    def __init__(self, cap: int, items: int | None, latency_s: float | None) -> None:
        self.latency_s = latency_s
        self.short = items is not None and items <= SHORT
        self._double = max(STEP_S, _doubling(cap, items, latency_s))
        if self.short:
            self._first = self._some = EIGHT
            self._soon, self._stop, self._top = 0.0, math.inf, float(min(cap, SHORT))
        else:
            self._first, self._some = FEW, SOME
            self._soon, self._top = 0.3 * self._double, float(cap)
            self._stop = math.inf if latency_s is None else latency_s

    def width(self, elapsed: float) -> float:
        """Calls that may be out `elapsed` seconds after the first."""
        elapsed = min(elapsed, self._stop)
        if elapsed < self._soon:
            width = self._first * math.pow(self._some / self._first, elapsed / self._soon)
        else:
            width = self._some * math.pow(2.0, min(20.0, (elapsed - self._soon) / self._double))
        return min(self._top, width, self._some + elapsed / THREAD_S)

    def next_step(self, elapsed: float) -> float | None:
        """Seconds after the first call when one more may go; None once the clock lets no more out."""
        now = self.width(elapsed)
        if now >= self._top or elapsed >= self._stop:
            return None
        wanted = math.floor(now) + 1.0
        if wanted <= self._some and self._soon:
            when = self._soon * math.log(wanted / self._first) / math.log(self._some / self._first)
        else:
            when = self._soon + self._double * math.log2(wanted / self._some)
        when = max(when, (wanted - self._some) * THREAD_S, elapsed + STEP_S)
        # The opening may end before, with room for the call all the same: widths are not whole numbers.
        when = min(when, self._stop)
        return when if self.width(when) >= wanted - ROUNDING else None


def _doubling(cap: int, items: int | None, latency_s: float | None) -> float:
    """Seconds in which the number doubles."""
    if items is not None and items <= SHORT:  # three doublings within 15 % of a latency
        return STEP_S if latency_s is None else min(DOUBLING_S, 0.05 * latency_s)
    double = DOUBLING_S if latency_s is None else min(DOUBLING_S, 0.9 * latency_s)
    if items is None:
        return double
    if items <= WAVE * cap:  # 15 % of a latency grows into 80 % between 64 calls and 256
        calls = min(items, cap, 256)
        share = 0.15 + 0.65 * math.log2(max(1.0, calls / SHORT)) / 2
        latency = UNKNOWN_S if latency_s is None else latency_s
        return min(double, share * latency / max(1.0, math.log2(calls / SOME)))
    if items >= LONG * cap and latency_s is not None:
        return latency_s
    return double
