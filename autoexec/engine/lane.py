"""One host: how many calls may run, when the next may begin, and what it asked for. Nothing here waits."""

from __future__ import annotations

import math
import time

from ..decide.concurrency import Controller
from ..errors import Refused
from ..records import spell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..decide.rates import Gate
    from ..decide.retries import Budget
    from ..statistics import HostStats

__all__ = ["LONGEST_PAUSE_S", "Lane"]

LONGEST_PAUSE_S = 600.0  # of `Retry-After` that is waited for; who asks for more is not called again
LEAST_S = 0.0005  # between two looks at the same lane


class Lane:
    """One host.

    Attributes:
        host: its name.
        controller: how many calls may run at once; None leaves that to the backend.
        gate: when the next call may begin; None without `rate=`.
        budget: retries in hand; None without `retries=`.
        closed: seconds for which the host asked to be left alone, if that was too long to wait for.
        waited_s: seconds in which a rate or a pause held calls back.
    """

    __slots__ = (
        "_held_since",
        "_paused_until",
        "budget",
        "calls",
        "closed",
        "controller",
        "errors",
        "gate",
        "host",
        "refusals",
        "retries",
        "waited_s",
    )

    def __init__(
        self, host: str, controller: Controller | None, gate: Gate | None, budget: Budget | None
    ) -> None:
        self.host, self.controller, self.gate, self.budget = host, controller, gate, budget
        self.closed: float | None = None
        self.calls = self.retries = self.refusals = self.errors = 0
        self.waited_s = self._paused_until = 0.0
        self._held_since: float | None = None

    @property
    def in_flight(self) -> int:
        """Calls that run, as far as that is watched."""
        return self.controller.in_flight if self.controller is not None else 0

    def wait_s(self, now: float) -> float:
        """0.0 if a call may begin now (its rate then counts it), else seconds; inf until a call ends."""
        if now < self._paused_until:
            return self._hold(now, self._paused_until - now)
        control = self.controller
        if control is not None and control.in_flight >= control.limit(now):
            change = control.next_change(now)
            return math.inf if change is None else max(LEAST_S, change - now)
        wait = self.gate.wait_s(now) if self.gate is not None else 0.0
        if wait:
            return self._hold(now, wait)
        if self._held_since is not None:
            self.waited_s += now - self._held_since
            self._held_since = None
        return 0.0

    def _hold(self, now: float, wait: float) -> float:
        if self._held_since is None:
            self._held_since = now
        return wait

    def pause(self, now: float, seconds: float) -> None:
        """Let no call begin for so long."""
        until = now + seconds
        if until > self._paused_until:
            self._paused_until = until
            if self.controller is not None:
                self.controller.pause(until)

    def refusal(self) -> Refused:
        """The error of an item that is not called because of what the host asked for."""
        return Refused(
            f"{self.host or 'the other side'} asked to be left alone for {spell(self.closed or 0.0)} "
            f"(Retry-After); autoexec waits {spell(LONGEST_PAUSE_S)} at most, so the item was not called"
        )

    def stats(self) -> HostStats:
        """Its counts as a value."""
        from ..statistics import HostStats

        control = self.controller
        return HostStats(
            self.host,
            self.calls,
            self.retries,
            self.refusals,
            self.errors,
            self.waited_s,
            control.limit(time.monotonic()) if control is not None else 0,
            control.reason if control is not None else "",
        )
