"""Calls that begin together are judged together: one number for their latency, and how sure it is."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .concurrency import Controller

__all__ = ["Base", "Cohort", "Cohorts", "Ticket"]

FEWEST = 3  # calls that a cohort must keep when others have failed
SMALLEST, LARGEST = 6, 64  # calls in a cohort: even latencies need few, uneven ones many
PER_VARIANCE = 100.0  # calls per unit of the variance of log latencies; 64 of them from a sigma of 0.8
PER_FLIGHT = 1 / 8  # ... and at least this share of those in flight, lest all hang on a few of them
QUICKER = 0.6  # the share that is awaited: no straggler holds up the judgment, no slow kind of item swings it
TRUNCATED = 0.65  # standard deviation of the quicker 60 % of a normal sample, in units of the whole
SURE = 1.8 * 1.25  # standard errors that pass for noise, times what a mean of 60 % is less exact than of all
REMEMBERED = 96.0  # calls that the base and the spread remember
SHORTEST_S = 1e-6  # of a latency: there is no logarithm of nothing
FLOOR_S = 0.001  # seconds by which calls in threads vary together: the client's own CPU, its scheduler
UNSURE, DOUBTED = 0.15, 4.0  # sigma assumed before anything is known, worth so many calls
UNSETTLED = 8.0  # a spread that rests on so many calls may as well be twice as large
STALE = 10  # times overdue, a cohort no longer keeps the next one from beginning
LATE = 1.4  # latencies, and a standard deviation more, by which half a cohort has usually ended


class Cohort:
    """Calls that began one after another; only their number and sums are kept."""

    __slots__ = ("area", "begun", "ended", "opening", "quick", "size", "squares", "started", "total", "void")

    def __init__(self, size: int, begun: float, area: float, opening: bool) -> None:
        self.size, self.begun, self.area, self.opening = size, begun, area, opening
        self.started = self.ended = 0
        self.total = self.squares = 0.0
        self.quick = math.ceil(QUICKER * size)
        self.void = False  # whether nobody waits for its judgment any more

    def answered(self, latency_s: float) -> bool:
        """One of its calls was answered; whether the cohort is ripe to be judged."""
        value = math.log(max(latency_s, SHORTEST_S))
        self.ended += 1
        self.total += value
        self.squares += value * value
        return self.ended >= self.quick and self.started >= self.size

    def without_one(self) -> bool:
        """One of its calls says nothing about latency; whether the cohort is ripe to be judged."""
        self.size -= 1
        self.started -= 1
        self.quick = math.ceil(QUICKER * self.size)
        return self.ended >= self.quick and self.started >= self.size


class Ticket:
    """One call in flight, and what was known when it began.

    Attributes:
        controller: who let it begin.
        begun: when.
        in_flight: calls in flight, this one included.
        serial: its number, from 1.
        ended: calls that had ended, refusals left out.
        accepted: calls that had begun, refusals left out.
        cohort: the cohort it is in, or None.
    """

    # Filled in by the controller: an `__init__` would cost as much as all the rest that a call costs there.
    __slots__ = ("accepted", "begun", "cohort", "controller", "ended", "in_flight", "serial")

    controller: Controller
    begun: float
    in_flight: int
    serial: int
    ended: int
    accepted: int
    cohort: Cohort | None


class Base:
    """The log latency of calls that do not queue, pooled from cohorts, and the spread between calls."""

    __slots__ = ("_seen", "due_s", "latency_s", "value", "variance", "weight")

    def __init__(self) -> None:
        self.value = self.weight = 0.0
        self.variance, self._seen = UNSURE**2, DOUBTED
        self.latency_s = self.due_s = math.inf

    def cohort_size(self, in_flight: float) -> int:
        """How many calls to judge together."""
        return int(min(LARGEST, max(SMALLEST, PER_VARIANCE * self.variance, PER_FLIGHT * in_flight)))

    def noise(self, size: int) -> float:
        """By how much the value of such a cohort may differ from the base for no reason."""
        error = math.sqrt(self.variance * (1 / size + 1 / max(1.0, self.weight)))
        return SURE * error * (1 + UNSETTLED / self._seen) + min(1.0, FLOOR_S / self.latency_s)

    def spread(self, cohort: Cohort) -> None:
        """Learn from a cohort how much calls differ."""
        if cohort.ended < 2:
            return
        mean = cohort.total / cohort.ended
        seen = max(0.0, cohort.squares / cohort.ended - mean * mean) / TRUNCATED**2
        seen *= cohort.ended / (cohort.ended - 1)
        self.variance += cohort.size / (cohort.size + self._seen) * (seen - self.variance)
        self._seen = min(self._seen + cohort.size, REMEMBERED)

    def pool(self, value: float, size: int) -> None:
        """One more cohort that did not queue."""
        kept = min(self.weight, REMEMBERED)
        self.become((kept * self.value + size * value) / (kept + size), kept + size)

    def become(self, value: float, weight: float) -> None:
        """Replace the base."""
        self.value, self.weight = value, weight
        self.latency_s = math.exp(value)
        self.due_s = LATE * math.exp(value + math.sqrt(self.variance))


class Cohorts:
    """The cohorts that are awaited: in the opening all calls are in one, later one cohort runs at a time.

    Attributes:
        due: calls that begin earlier are in no cohort, and need not ask.
    """

    __slots__ = ("_awaited", "_base", "_filling", "due")

    def __init__(self, base: Base) -> None:
        self._base = base
        self._awaited: list[Cohort] = []
        self._filling: Cohort | None = None
        self.due = -math.inf

    def join(self, now: float, area: float, in_flight: int, limit: int, opening: bool) -> Cohort | None:
        """A call begins, the last of so many in flight: the cohort that it is in, if any.

        `area` is that under the number in flight over time.
        """
        cohort = self._filling
        if cohort is None:
            if not opening and not self._open(now, in_flight, limit):
                return None
            cohort = self._filling = Cohort(self._base.cohort_size(in_flight), now, area, opening)
            self._awaited.append(cohort)
        cohort.started += 1
        if cohort.started >= cohort.size:
            self._filling = None
        return cohort

    def _open(self, now: float, in_flight: int, limit: int) -> bool:
        """Whether a cohort may begin: only at the full limit, as others are judged by neither number."""
        if self._awaited:
            self.due = self._awaited[-1].begun + STALE * self._base.due_s
            if now < self.due:
                return False
        return 0.9 * limit - 1 <= in_flight <= limit

    def leave(self, cohort: Cohort) -> bool:
        """A call that failed or was refused leaves its cohort; whether that is ripe to be judged now."""
        ripe = cohort.without_one() and cohort is not self._filling
        if cohort.size < FEWEST:
            self.drop(cohort)
            return False
        return ripe

    def drop(self, cohort: Cohort) -> None:
        """Nobody waits for it any more."""
        cohort.void = True
        self._awaited.remove(cohort)
        if cohort is self._filling:
            self._filling = None
        self.due = -math.inf

    def void(self) -> None:
        """The limit has moved at once: no call under way says anything about the new one."""
        for cohort in self._awaited:
            cohort.void = True
        self._awaited.clear()
        self._filling = None
        self.due = -math.inf
