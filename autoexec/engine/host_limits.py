"""Calls under the same limits, as a rule those to one host: how many run, when the next may begin.

A rate, a pause that a `Retry-After` asked for, a budget of retries: all that holds for one host stands here.

Nothing here waits, and nothing has a lock or a clock: the scheduler holds the one and hands in the other.
"""

from __future__ import annotations

from collections import deque
from math import inf

from ..errors import Refused
from ..records import spell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..decide.concurrency import Controller
    from ..decide.rates import Gate
    from ..decide.retries import Budget
    from .host_counts import HostCounts

__all__ = ["LONGEST_PAUSE_S", "Group"]

LONGEST_PAUSE_S = 600.0  # of `Retry-After` that is waited for; who asks for more is not called again
LEAST_S = 0.0005  # between two looks at the same group


class Group:
    """Calls under the same limits.

    Attributes:
        name: the host, or the value of `per=`.
        counts: what became of its calls.
        limiter: how many calls may run at once; None leaves that to the backend.
        gate: when the next call may begin; None without `rate=`.
        budget: retries in hand; None without `retries=`.
        in_flight: calls that run.
        closed: seconds for which the host asked to be left alone, if that was too long to wait for.
        users: tasks that wait, run or are to run again, whichever queue they belong to.
        idle: whether there are none.
        tasks: what waits; the scheduler's own.
        listed: whether it is in line to be looked at; the scheduler's own.
        alarm: when it is to be looked at again; the scheduler's own.
    """

    __slots__ = (
        "_held_since", "_paused_until", "alarm", "budget", "closed", "counts", "gate", "idle", "in_flight",
        "limiter", "listed", "name", "tasks", "users",
    )  # fmt: skip

    def __init__(self, name: str, counts: HostCounts, gate: Gate | None, budget: Budget | None) -> None:
        self.name, self.counts, self.gate, self.budget = name, counts, gate, budget
        self.limiter: Controller | None = None
        self.in_flight = self.users = 0
        self.closed: float | None = None
        self.idle = self.listed = False
        self.tasks: deque[Any] = deque()
        self.alarm = inf
        self._paused_until = -inf
        self._held_since: float | None = None

    def wait_s(self, now: float) -> float:
        """0.0 if a call may begin now (its rate then counts it), else seconds; inf until a call ends."""
        if now < self._paused_until:
            return self._hold(now, self._paused_until - now)
        limiter = self.limiter
        if limiter is not None and limiter.in_flight >= limiter.limit(now):
            change = limiter.next_change(now)
            return inf if change is None else max(LEAST_S, change - now)
        if self.gate is not None:
            wait = self.gate.wait_s(now)
            if wait:
                return self._hold(now, wait)
        if self._held_since is not None:
            self.counts.waited_s += now - self._held_since
            self._held_since = None
        return 0.0

    def _hold(self, now: float, wait: float) -> float:
        if self._held_since is None:
            self._held_since = now
        return wait

    def obey(self, wish_s: float, now: float) -> None:
        """The host asked to be left alone for so long."""
        if wish_s > LONGEST_PAUSE_S:
            self.closed = wish_s
        elif now + wish_s > self._paused_until:
            self._paused_until = now + wish_s
            if self.limiter is not None:
                self.limiter.pause(self._paused_until)

    def limit_by(self, limiter: Controller | None) -> None:
        """From now on `limiter` says how many calls may run at once; None leaves that to the backend."""
        self.limiter = limiter
        if limiter is not None:
            limiter.pause(self._paused_until)

    def obeyed_until(self) -> float:
        """When what the host asked for is over; inf if it is not to be called again."""
        if self.closed is not None:
            return inf
        return self._paused_until if self.gate is None else max(self._paused_until, self.gate.full_at)

    def refusal(self) -> Refused:
        """The error of an item that is not called because of what the host asked for."""
        return Refused(
            f"{self._wish()}; autoexec waits {spell(LONGEST_PAUSE_S)} at most, so the item was not called"
        )

    def no_retry(self) -> str:
        """Why a call is not made again although its policy allows it, as a note for its error."""
        if self.closed is not None:
            return f"not tried again: {self._wish()}"
        return "not tried again: the retry budget of this host is used up"

    def _wish(self) -> str:
        who, seconds = self.name or "the other side", self.closed or 0.0
        return f"{who} asked to be left alone for {spell(seconds)} (Retry-After)"

    def look(self, now: float) -> None:
        """Write down what may run now, and why, beside the counts."""
        limiter = self.limiter
        self.counts.limit = limiter.limit(now) if limiter is not None else 0
        self.counts.reason = limiter.reason if limiter is not None else ""
