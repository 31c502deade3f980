"""So many calls per second and no more: the generic cell rate algorithm, from pyrate-limiter."""

from __future__ import annotations

import contextlib
import math
import re

from ..errors import MissingExtra, OptionError, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from ..frozen import dataclass

__all__ = ["Gate", "Rate", "parse_rate"]

BURST_S = 0.05  # calls of so many seconds may begin at once: a pool that hands out work in small batches
_ENDLESS = 1e12  # neither calls nor seconds that anybody means
_UNITS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_FORM = re.compile(rf"\s*{_NUMBER}\s*(?:(?:/|\bper\b)\s*{_NUMBER}?\s*([a-z]+))?\s*", re.ASCII | re.IGNORECASE)


def parse_rate(text: str | float) -> tuple[float, float]:
    """A rate as (calls, seconds); a plain number means per second, fewer than one call one call per longer.

    Raises:
        OptionError: if it is no rate, or not above zero.

    >>> parse_rate("100/min"), parse_rate(5), parse_rate("0.5/s"), parse_rate("600 per hour")
    ((100.0, 60.0), (5.0, 1.0), (1.0, 2.0), (600.0, 3600.0))
    """
    calls, seconds = _read(text)
    if 0 < calls < 1:
        calls, seconds = 1.0, seconds / calls
    if not (0 < calls < _ENDLESS and 0 < seconds < _ENDLESS):
        raise OptionError(f"rate must be above zero and finite, not {shown(text)}; None sets no rate")
    return calls, seconds


def _read(text: object) -> tuple[float, float]:
    if isinstance(text, str):
        form = _FORM.fullmatch(text)
        unit = _UNITS.get((form[3] or "s").lower()) if form else None
        if form and unit:
            return float(form[1]), float(form[2] or 1) * unit
    elif not isinstance(text, (bool, bytes)):
        with contextlib.suppress(Exception):  # of whatever kind: it may be a `__float__` of theirs
            return float(text), 1.0  # type: ignore[arg-type]
    raise OptionError(f'rate must look like "10/s", "100/min" or "1000/h", not {shown(text)}')


@dataclass(frozen=True, slots=True)
class Rate:
    """How many calls may begin.

    Attributes:
        limit: calls per interval.
        interval_ms: the interval in milliseconds.
        burst: calls that may begin at once after a quiet time.
    """

    limit: int
    interval_ms: int
    burst: int

    @classmethod
    def of(cls, rate: str | float, burst: int | None = None) -> Rate:
        """The rate that `rate` spells; `burst` None lets 50 ms' worth begin at once, at least one.

        Raises:
            OptionError: as `parse_rate` does.

        >>> Rate.of("10/s"), Rate.of("2.5/s", burst=3)
        (Rate(limit=10, interval_ms=1000, burst=1), Rate(limit=25, interval_ms=10000, burst=3))
        """
        calls, seconds = parse_rate(rate)
        if burst is None:
            burst = max(1, math.floor(calls / seconds * BURST_S + 1e-9))
        scale = 1
        while scale < 1000 and not (_whole(calls * scale) and _whole(seconds * 1000 * scale)):
            scale *= 10
        return cls(round(calls * scale), max(1, round(seconds * 1000 * scale)), burst)


def _whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6


class Gate:
    """Lets calls begin at a rate. Pure: the time is handed in. Not thread-safe: its caller holds a lock.

    In any interval at most `limit + burst` calls begin.

    Attributes:
        full_at: from when on it is as if no call had begun yet.
    """

    __slots__ = ("_algorithm", "_per_call_s", "_rates", "_state", "full_at")

    def __init__(self, rate: Rate) -> None:
        """Open the gate for the rate.

        Raises:
            MissingExtra: if pyrate-limiter is not installed.
        """
        try:
            from pyrate_limiter import GCRA
            from pyrate_limiter import Rate as Limit
        except ImportError as error:
            raise MissingExtra(
                "rate= needs pyrate-limiter 4.5 or later: pip install 'autoexec-futures[io]'"
            ) from error
        # The library counts milliseconds, but its arithmetic knows no unit: microseconds keep
        # high rates exact.
        self._rates = [Limit(rate.limit, rate.interval_ms * 1000, rate.burst)]
        self._algorithm = GCRA()
        self._state = self._algorithm.initial(self._rates)
        self._per_call_s = rate.interval_ms / 1000 / rate.limit
        self.full_at = -math.inf

    def wait_s(self, now: float) -> float:
        """0.0 if a call may begin now, which counts it; else the seconds until one may, which counts nothing.

        Args:
            now: monotonic seconds.
        """
        tick = round(now * 1e6)
        self._state, decision = self._algorithm.step(self._rates, self._state, tick, 1)
        if decision.allowed:
            self.full_at = max(self.full_at, now) + self._per_call_s
            return 0.0
        return max(1e-6, (tick + (decision.retry_after_ms or 0)) / 1e6 - now)
