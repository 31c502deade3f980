"""What refusals say of the other side: a limit on calls at once (a roof), or on calls per second (a rate)."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cohorts import Ticket

__all__ = ["Throttling"]

UNDER_ROOF = 0.82  # of the number refused: others may use the service too, and each refusal costs a pause
UNDER_RATE = 0.95  # of the calls accepted per second; 0.99 is refused again
SAME = 1.1  # numbers within 10 % are the same number
PROBE, PROBE_MOST = 0.04, 0.64  # a limit in use that held is tried so much higher, doubled with each success
TURNS, CALLS = 12, 400  # turns of calls, but no more than so many calls, without refusal until then; ...
PATIENCE = 6  # ... twice as many with each burst, so often at most: some 25,000 calls
EDGE, EDGE_PATIENCE = 0.97, 8  # so close to what was refused the next try waits so many times as long
PROVED = 2  # a number is proved when so many times as many calls were accepted at it
SLICE_S, SLICES = 0.01, 110  # starts are counted in slices, of a little more than a second in all
CATCH_UP_S = 0.01  # starts that came late by so much are made up for: a timer may be that late
NEVER = float("inf")


class Limit:
    """A number that was refused, and how much of it is used.

    Attributes:
        value: what may be used; infinite while nothing was refused.
        refused: what was refused, or 0.0.
    """

    __slots__ = ("_bursts", "_calm", "_patience", "_step", "_under", "refused", "value")

    def __init__(self, under: float) -> None:
        self._under = under
        self._bursts = self._calm = self._patience = 0
        self._step = PROBE
        self.value, self.refused = NEVER, 0.0

    def refuse(self, refused: float) -> None:
        """So much was refused."""
        self.refused = refused
        self.value = min(self.value, max(1.0, self._under * refused))
        self._bursts, self._calm, self._step = min(PATIENCE, self._bursts + 1), 0, PROBE
        self._wait()

    def forget(self, value: float) -> None:
        """The last refusal had another reason."""
        self.value, self.refused = value, 0.0

    def used(self) -> None:
        """A call was accepted while this limit held others back: after many of them it is tried higher."""
        self._calm += 1
        if self._calm >= self._patience:
            self._calm = 0
            self.value = max(self.value + 1, self.value * (1 + self._step))
            self._step = min(PROBE_MOST, 2 * self._step)
            self._wait()

    def _wait(self) -> None:
        close = self.value < self.refused < self.value * (1 + self._step) / EDGE
        self._patience = int(min(CALLS, TURNS * self.value)) << (self._bursts - 1)
        self._patience *= EDGE_PATIENCE if close else 1


class _Burst:
    """All calls that began from the first refused one until its refusal arrived; they teach once."""

    __slots__ = (
        "accepted", "ended", "ended_before", "first", "last", "per_second", "refused", "roof_before",
        "running",
    )  # fmt: skip

    def __init__(self, first: Ticket, last: int, per_second: float, roof_before: float) -> None:
        self.first, self.ended_before = first.serial, first.ended
        self.last, self.per_second, self.roof_before = last, per_second, roof_before
        self.running = last - first.serial
        self.accepted = self.ended = 0
        self.refused = 1


class Throttling:
    """Remembers what was refused, and keeps the limits that follow.

    A number that had been accepted for long and is refused now was not the reason: then it is the rate.
    It is the rate, too, when calls ended during a burst and yet nobody got in. A number once refused is
    never taken for a rate.

    Most calls are not refused, and need not be told here: their user looks at `due`, `least`, `turn_ends` and
    `known` first.

    Attributes:
        roof: most calls at once.
        rate: most calls per second.
        ready: when the next call may begin to keep the rate.
        cut_at: the last call that had begun when the number was last cut, or -1.
        outage: whether the last burst only said that nothing gets in.
        due: `started` is to be told of calls from then on.
        least: smallest number of the turn that is being proved; `proving` is to be told of a smaller one, ...
        turn_ends: ... and when so many calls have ended.
        known: whether anything was refused so far; `ended` is to be told of calls from then on.
    """

    __slots__ = (
        "_burst", "_ended_at_cut", "_proved", "_slices", "_turn_began",
        "cut_at", "due", "known", "least", "outage", "rate", "ready", "roof", "turn_ends",
    )  # fmt: skip

    def __init__(self) -> None:
        self.roof, self.rate = Limit(UNDER_ROOF), Limit(UNDER_RATE)
        self.ready = self.due = -NEVER
        self.cut_at = -1
        self.outage = self.known = False
        self.least = self.turn_ends = NEVER
        self._burst: _Burst | None = None
        self._ended_at_cut = self._turn_began = 0
        self._proved = 0.0  # the number accepted for long
        self._slices: deque[tuple[float, int]] | None = None

    def started(self, now: float, accepted: int) -> None:
        """A call begins, the `accepted`-th that was not refused, as far as is known."""
        slices = self._slices
        if slices is None:  # most hosts of many see few calls, and no second one
            slices = self._slices = deque(maxlen=SLICES)
        if not slices or now >= slices[-1][0] + SLICE_S:
            slices.append((now, accepted))
        if self.rate.refused:
            self.ready = max(self.ready, now - CATCH_UP_S) + 1 / self.rate.value
        else:
            self.due = slices[-1][0] + SLICE_S

    def proving(self, in_flight: int, ended: int) -> None:
        """A call that was the last of `in_flight` when it began is the `ended`-th that was not refused."""
        self.least = min(self.least, in_flight)
        self.turn_ends = self._turn_began + PROVED * self.least
        if ended >= self.turn_ends:
            self._proved = max(self._proved, self.least)
            self._turn_began, self.least, self.turn_ends = ended, NEVER, NEVER

    def ended(self, ticket: Ticket, *, full: bool, bounded: bool) -> None:
        """A call was not refused.

        Args:
            ticket: the call.
            full: whether as many calls were in flight as were allowed; if not, the rate may have held them.
            bounded: whether more would be in flight, were it not for a bound such as the roof.
        """
        if full and bounded and self.roof.refused:
            self.roof.used()
        elif self.rate.refused and not full:
            self.rate.used()
        if self._burst is not None and ticket.serial <= self._burst.last:
            self._settle(self._burst, ticket, refused=False)

    def refused(self, ticket: Ticket, last: int, ended: int) -> bool:
        """A call was refused when the `last`-th had begun and `ended` others were not; is it a new burst?"""
        self.known = True
        if ticket.serial <= self.cut_at:
            if self._burst is not None:
                self._settle(self._burst, ticket, refused=True)
            return False
        # Nobody else in flight, or hardly anyone let in since the last burst: that is no limit of ours.
        hardly = self.cut_at >= 0 and ended - self._ended_at_cut < ticket.in_flight
        self.outage = ticket.in_flight == 1 or hardly
        self.cut_at, self._ended_at_cut = last, ended
        if not self.outage:
            self._burst = _Burst(ticket, last, self._per_second(ticket), self.roof.value)
            young = not self._slices or self._slices[0][0] > ticket.begun - 1.0
            self._learn(ticket.in_flight, self._burst.per_second, young)
        return True

    def _learn(self, number: int, per_second: float, young: bool) -> None:
        known = self.roof.refused / SAME <= number <= self.roof.refused * SAME
        if number > self._proved * SAME or known or per_second < 1.0:
            self.roof.refuse(number)
        elif not young:  # of a run that is less than a second old, nobody knows what it takes per second
            self._pace(per_second)

    def _pace(self, per_second: float) -> None:
        self.rate.refuse(per_second)
        self.due = -NEVER

    def _settle(self, burst: _Burst, ticket: Ticket, *, refused: bool) -> None:
        """One more call of the burst has ended; after the last it is clear what the reason was."""
        if ticket.serial < burst.first:
            return
        burst.running -= 1
        if refused:
            burst.refused += 1
            burst.ended = max(burst.ended, ticket.ended - burst.ended_before)
        else:
            burst.accepted += 1
        if burst.running > 0:
            return
        self._burst = None
        nobody_got_in = burst.accepted == 0 and burst.refused > 1 and burst.ended > 0
        if nobody_got_in and self.roof.value < burst.roof_before and burst.per_second >= 1.0:
            self.roof.forget(burst.roof_before)
            self._pace(burst.per_second)

    def _per_second(self, ticket: Ticket) -> float:
        """Calls accepted within the second before the refused one began."""
        for when, count in self._slices or ():
            if when > ticket.begun - 1.0:
                return float(max(0, ticket.accepted - count))
        return 0.0
