"""How many calls may wait at once: an adaptive limit as a pure state machine.

With n calls in flight and no queue a call takes L0 seconds; with a queue it takes L, and by Little's law the
other side serves n L0 / L of them at once. So learn L0, and hold n just above that capacity. Beside that
there are refusals, which are not latency, the GIL, and runs that end before an answer can teach. The rules:

1. **Opening by the clock** (`slow_start`): a few calls at once, more by the clock until the fourth good
   answer or, when a latency is known, for one latency. Up to 64 items go nearly at once.
2. **Opening by answers** (`latency_limit`): each good answer lets out its successor and a part of a call
   more, so that a queue slows growth by itself.
3. **Cohorts** (`cohorts`): calls that begin together are judged together, by the mean log latency of their
   quicker 60 %, against the noise that their spread explains; in the opening all calls, later some.
4. **Free or queueing** (`latency_limit`): cohorts as quick as the base let the number grow; slower ones give
   the capacity. If latency does not fall with the number, the other side is slower by itself: a new base.
5. **Refusals** (`throttling`) halve the number once per burst and leave a roof or a rate behind; starts are
   paced by the rate. After a pause they are spread over one latency.
6. **The GIL** (`gil_bound`) feeds only so many calls that also compute.

Measured latencies contain 100 to 400 µs of the client's own CPU and scheduling per call, and now and then a
switch interval of the GIL (5 ms) for all calls of a moment. So a millisecond is allowed for, and a rise of
less than 10 ms must be seen twice. For calls of a few milliseconds the limit therefore often says no more
than that more threads do not help this process. A service that serves the last comer first hides its queue:
those who wait are not among the quicker 60 %.

Ideas: Little (1961), "A proof for the queuing formula L = λW"; the gradient and Vegas limits of Netflix's
concurrency-limits, which compare latency with a base in the way of TCP Vegas (Brakmo and Peterson, 1995);
slow start and multiplicative decrease (Jacobson, 1988). A smallest latency as base, as in Vegas, was tried:
with uneven latencies every call then looks slow.
"""

from __future__ import annotations

import math

from ..records import Ending, spell
from .cohorts import Cohort, Cohorts, Ticket
from .gil_bound import GilBound
from .latency_limit import LatencyLimit
from .slow_start import STEP_S, UNKNOWN_S, SlowStart
from .throttling import Throttling

__all__ = ["Controller", "Ticket"]

REFUSED, ERROR = Ending.REFUSED, Ending.ERROR  # members of an enum are slow to look up
ENOUGH = 4  # good answers that stop the opening's clock: one may be lucky
MEMORY = 1 / 32  # weight of one call in the mean latency, which only spreads starts after a pause
SLACK = 2.0  # the number may exceed the bounds by so much: what is not in use must not grow unseen


class Controller:
    """Sets how many calls to one service may be in flight.

    Tell it of every start and end, and ask `limit` after each and when `next_change` says. It has no clock
    and no lock: times are seconds of one monotonic clock, and calls to it must not overlap.

    Args:
        cap: most calls at once.
        items: calls there will be, or None if unknown.
        latency_s: seconds of one call if one was profiled, or None if that is not known yet.
        held_s: GIL seconds of that call, or 0.0 if that is not known.
        gil: a bound that other controllers' calls are subject to as well; None makes one of its own.

    Attributes:
        in_flight: calls in flight.
        gil: the bound that the calls put on themselves by holding the GIL.

    >>> controller = Controller(256, items=60, latency_s=0.1)
    >>> controller.limit(0.0)
    8
    >>> tickets = [controller.started(0.0) for _ in range(8)]
    >>> controller.limit(0.02)
    64
    >>> controller.ended(tickets[0], 0.1, Ending.REFUSED)
    >>> controller.pause(1.1)
    >>> controller.limit(0.2), controller.next_change(0.2)
    (0, 1.1)
    """

    __slots__ = (
        "_answers", "_begins", "_bounded", "_cap", "_cohorts", "_ended", "_first", "_gil_most", "_items",
        "_judge", "_last", "_mean", "_now", "_opening", "_refusals", "_refused", "_serial", "_slowest",
        "_timed", "_until", "_whole", "gil", "in_flight",
    )  # fmt: skip

    def __init__(
        self,
        cap: int,
        *,
        items: int | None = None,
        latency_s: float | None = None,
        held_s: float = 0.0,
        gil: GilBound | None = None,
    ) -> None:
        self._cap, self._items = max(1, cap), items
        self.in_flight = 0
        self.gil = GilBound() if gil is None else gil
        self._opening: SlowStart | None = SlowStart(self._cap, items, latency_s)
        self._judge = LatencyLimit(self._cap, self._opening.width(0.0))
        self._refusals = Throttling()
        self._answers = self._serial = self._ended = self._refused = 0
        self._first: float | None = None
        self._slowest = 0.0  # seconds of the slowest of the first answers
        self._begins = 0.0  # of the calls in flight, summed: n x now less this is the area under n
        self._last = self._mean = 0.0
        self._now = self._until = -math.inf
        self._timed = True  # whether the limit may change with time alone
        self._cohorts = Cohorts(self._judge.base)
        if latency_s is not None and held_s:
            self.gil.note(latency_s, held_s)
        self._settle()

    def started(self, now: float) -> Ticket:
        """One more call is in flight."""
        if not self.in_flight:
            self._resumed(now)
        self._begins += now
        self.in_flight += 1
        self._serial += 1
        ticket = Ticket()
        ticket.controller, ticket.begun = self, now
        ticket.in_flight, ticket.serial, ticket.ended = self.in_flight, self._serial, self._ended
        ticket.accepted = self._serial - self._refused
        if now >= self._refusals.due:
            self._refusals.started(now, ticket.accepted)
        ticket.cohort = self._cohort(now) if now >= self._cohorts.due else None
        return ticket

    def _resumed(self, now: float) -> None:
        """A call begins alone: after a lull it did not begin with what came before."""
        self._begins = 0.0  # as it is, but for rounding
        if self._first is None:
            self._first = now
        elif now - self._last > self._mean / 2:
            self._cohorts.void()

    def _cohort(self, now: float) -> Cohort | None:
        return self._cohorts.join(now, self._area(now), self.in_flight, self._whole, self._judge.opening)

    def _area(self, now: float) -> float:
        """The area under the number in flight over time, up to a constant."""
        return self.in_flight * now - self._begins

    def ended(self, ticket: Ticket, now: float, ending: Ending, *, held_s: float | None = 0.0) -> None:
        """A call has ended; `held_s`: GIL seconds that it took, or None where that is not watched.

        A timeout counts as an answer that took so long. Other errors say nothing about latency.
        """
        # Most of what the end of a call could change, it does not: look here, rather than ask elsewhere.
        refusals, judge, cohort = self._refusals, self._judge, ticket.cohort
        used, bounded = self.in_flight >= self._whole - 1, self._bounded
        self.in_flight -= 1
        self._begins -= now
        self._last = now
        if ending is REFUSED:
            self._refuse(ticket, now)
            return
        self._ended = ended = self._ended + 1
        if refusals.known or ended >= refusals.turn_ends or ticket.in_flight < refusals.least:
            self._let_in(ticket, used)
        if ending is ERROR:
            self._left(ticket, now)
            return
        latency = now - ticket.begun
        self._mean += (latency - self._mean) * (MEMORY if ended * MEMORY > 1 else 1 / ended)
        if held_s is not None:
            self.gil.note(latency, held_s, now)
        moved = self.gil.most != self._gil_most
        if self._opening is not None:
            self._look_at_clock(self._opening, now, latency)
        if used and not bounded and (judge.opening or judge.number < judge.goal):
            judge.answered()
            moved = True
        if cohort is not None and not cohort.void and cohort.answered(latency):
            self._judged(cohort, now)
            moved = True
        if moved:
            self._settle()

    def _let_in(self, ticket: Ticket, used: bool) -> None:
        """A call has ended that was not refused."""
        refusals = self._refusals
        if ticket.in_flight < refusals.least or self._ended >= refusals.turn_ends:
            refusals.proving(ticket.in_flight, self._ended)
        if refusals.known:
            refusals.ended(ticket, full=used, bounded=self._bounded)
            self._timed = self._timed or bool(refusals.rate.refused)
            self._settle()

    def profiled(self, latency_s: float, held_s: float) -> None:
        """The item that was profiled in the caller's thread has ended: its latency, learned late.

        `held_s` is 0.0 if it is not known.
        """
        if held_s:
            self.gil.note(latency_s, held_s)
        if self._opening is not None and self._opening.latency_s is None:
            self._opening = SlowStart(self._cap, self._items, latency_s)
        self._settle()

    def pause(self, until: float) -> None:
        """Start nothing until then: a `Retry-After` is obeyed."""
        self._until = max(self._until, until)
        self._timed = True

    def limit(self, now: float) -> int:
        """How many calls may be in flight now."""
        return self._limit_by_clock(now) if self._timed else self._whole

    def _limit_by_clock(self, now: float) -> int:
        self._now = now
        if self._opening is not None:
            self._widen(self._opening, now)
        if now < self._until:
            return 0
        whole = self._whole
        spread = now < self._until + self._spread
        if spread:
            whole = min(whole, 1 + int(whole * (now - self._until) / self._spread))
        if now < self._refusals.ready:
            return min(whole, self.in_flight)
        self._timed = spread or self._opening is not None or bool(self._refusals.rate.refused)
        return whole

    def next_change(self, now: float) -> float | None:
        """When to ask again although no call begins or ends; None if only that can change the limit."""
        if not self._timed:
            return None
        if now < self._until:
            return self._until
        changes = []
        if now < self._until + self._spread:
            changes.append(now + max(STEP_S, self._spread / self._whole))
        if now < self._refusals.ready:
            changes.append(max(now + STEP_S, self._refusals.ready))
        if self._opening is not None and self._first is not None:
            step = self._opening.next_step(now - self._first)
            if step is not None:
                changes.append(self._first + step)
        return min(changes, default=None)

    @property
    def reason(self) -> str:
        """What holds the limit now, in a few words."""
        judge, refusals, gil = self._judge, self._refusals, self.gil.limit()
        if self._now < self._until:
            return f"paused for {spell(self._until - self._now)} by Retry-After"
        if self._now < refusals.ready and self.in_flight < self._whole:
            return f"refused above {refusals.rate.refused:.0f} calls per second"
        if gil < min(judge.number, refusals.roof.value, self._cap):
            return f"the GIL: calls hold it {self.gil.share:.0%} of their time".replace("%", " %")
        if refusals.roof.value < min(judge.number, self._cap):
            return f"refused above {refusals.roof.refused:.0f} at once"
        if judge.number >= self._cap:
            return "free: nothing holds it back but the cap"
        if judge.capacity:
            return f"the service queues above about {max(1.0, judge.capacity):.0f} at once"
        return "opening" if judge.opening else "growing: nothing queues yet"

    @property
    def _spread(self) -> float:
        """Seconds over which starts are spread after a pause, lest the whole number come at once."""
        return self._mean or UNKNOWN_S

    def _settle(self) -> None:
        """The limit follows from the number and its bounds."""
        judge = self._judge
        bound = min(self._refusals.roof.value, self.gil.most, self._cap)
        if judge.number > bound + SLACK and (judge.opening or judge.number > 2 * bound + SLACK):
            judge.settle(bound + SLACK + 1)
        self._whole = max(1, int(min(judge.number, bound)))
        self._bounded = judge.number > self._whole + SLACK
        self._gil_most = self.gil.most

    def _widen(self, opening: SlowStart, now: float) -> None:
        """Let the opening's clock widen the limit."""
        if self._first is not None and self._judge.opening and not self._bounded:
            width = opening.width(now - self._first)
            if width > self._judge.number:
                self._judge.number = width
                self._settle()

    def _look_at_clock(self, opening: SlowStart, now: float, latency: float) -> None:
        """Good answers stop the opening's clock, except in runs so short that it has let all out."""
        self._widen(opening, now)
        self._answers += 1
        self._slowest = max(self._slowest, latency)
        if self._answers >= ENOUGH and not opening.short:
            if opening.latency_s is None:  # as wide as if the latency had been known from the start
                self._widen(SlowStart(self._cap, self._items, self._slowest), now)
            self._opening = None
        elif not self._judge.opening:
            self._opening = None

    def _refuse(self, ticket: Ticket, now: float) -> None:
        self._refused += 1
        self._timed = True
        self._left(ticket, now)
        if self._refusals.refused(ticket, self._serial, self._ended):
            self._judge.cut(ticket.in_flight / 2, come_back=self._refusals.outage)
            self._opening = None
            self._cohorts.void()
        self._settle()

    def _left(self, ticket: Ticket, now: float) -> None:
        """A call leaves its cohort, as it says nothing about latency."""
        cohort = ticket.cohort
        if cohort is not None and not cohort.void and self._cohorts.leave(cohort):
            self._judged(cohort, now)
        self._settle()

    def _judged(self, cohort: Cohort, now: float) -> None:
        """Enough of a cohort has ended: let it be judged."""
        level = (self._area(now) - cohort.area) / max(1e-9, now - cohort.begun)
        self._cohorts.drop(cohort)
        if self._judge.judge(cohort, level, now):
            self._cohorts.void()
