"""Do calls in threads, which first waited, now queue for the GIL? Readings in, a corrected profile out.

One call that waits says nothing of what it will compute. When many have been sent out and some come to
that, it shows in the CPU clock of this process: before, it stood still; now it runs as fast as one core's,
and no faster. That is seen before the first of them has ended, as they take turns and end late.
"""

from __future__ import annotations

from ..frozen import replace
from ..records import Profile, WorkKind, spell
from .classify import MOSTLY
from .sizing import HELD_S

__all__ = ["Crowding"]

LOOK_S = 0.002  # seconds between two readings: CPU clocks are finer, but threads take turns
BUSY = 0.5  # cores: below that the calls wait for something else than the GIL, or a busy machine
MORE = 1.3  # cores: above that they compute without it
LONG_S = 0.005  # so long a queue is no answer that many calls were waiting for
OTHERS_S = 0.002  # CPU seconds that calls other than the first must have taken meanwhile
START_S = 0.0001  # CPU seconds that starting a thread and its call takes
FEW = 3  # calls whose own CPU seconds say what a call takes
TWICE = 2.0  # nothing says that calls that compute are about to end
SAME = 0.25  # a guess from calls that still run is within a factor of four
NEWS = 1.25  # calls that take so much longer than when a plan was last asked for


class Crowding:
    """Watches the calls of one run in threads. Not thread-safe.

    Tell it of each finished call with `note` and of the clocks with `look`; then ask `judge`.

    >>> crowd = Crowding(0.0, 0.0)
    >>> crowd.look(0.040, 0.000, begun=16, running=16)
    >>> crowd.look(0.060, 0.020, begun=16, running=16)
    >>> crowd.held_s
    0.0025

    Args:
        now: seconds on a clock of one's own.
        cpu_s: CPU seconds of this process, without those of the thread that looks.
    """

    __slots__ = (
        "_alone_s",
        "_alone_seen",
        "_asked_s",
        "_begun",
        "_cpu",
        "_crowded",
        "_ended",
        "_ended_cpu",
        "_ended_wait",
        "_first_ended",
        "_free",
        "_idle",
        "_now",
        "_others_cpu",
        "_queued_cpu",
        "_queued_s",
        "_running",
        "_waited_s",
    )

    def __init__(self, now: float, cpu_s: float) -> None:
        self._now, self._cpu, self._begun, self._running = now, cpu_s, 0, 0
        self._idle = self._queued_s = self._queued_cpu = 0.0
        self._ended, self._ended_cpu, self._ended_wait = 0, 0.0, 0.0
        self._alone_s = self._alone_seen = self._waited_s = self._asked_s = self._others_cpu = 0.0
        self._first_ended = False
        self._free = False  # whether calls computed on more than one core
        self._crowded = False  # whether there was a queue that long

    def note(self, items: int, wall_s: float, cpu_s: float) -> None:
        """Some calls have ended: their seconds, and the CPU seconds of their thread."""
        self._ended += items
        self._ended_cpu += cpu_s
        self._ended_wait += max(0.0, wall_s - cpu_s)

    def first_runs(self, cpu_s: float, wait_s: float) -> None:
        """The first call, which is ahead of the others, has computed and waited for so long; or 0.0, 0.0."""
        if cpu_s or wait_s:
            self._alone_s, self._waited_s = cpu_s, wait_s

    def first_ended(self, cpu_s: float) -> None:
        """The first call, which nobody disturbed at the beginning, has ended with so many CPU seconds."""
        self._alone_s, self._first_ended = cpu_s, True

    def look(self, now: float, cpu_s: float, *, begun: int, running: int) -> None:
        """Read the clocks.

        Args:
            now: seconds on the clock.
            cpu_s: CPU seconds that all calls may have taken so far: those of this process, but for ours.
            begun: calls that have begun so far.
            running: those of them that have not ended.
        """
        span = now - self._now
        if span < LOOK_S:
            return
        used = max(0.0, cpu_s - self._cpu - START_S * max(0, begun - self._begun))
        alone, self._alone_seen = self._alone_s - self._alone_seen, self._alone_s
        self.set(now, cpu_s, begun=begun, running=running)
        if BUSY <= used / span <= MORE and running > 1:
            self._queued_s += span
            self._queued_cpu += used
            self._others_cpu += used - alone
            self._crowded = self._crowded or self._queued_s >= LONG_S
        else:
            self._free = self._free or used / span > MORE
            if not self._crowded:  # later ones may only look idle, as when the machine is busy
                self._idle += max(0.0, span - used)
            self._queued_s = self._queued_cpu = self._others_cpu = 0.0

    def set(self, now: float, cpu_s: float, *, begun: int, running: int) -> None:
        """Set the clocks without comparing them with what they were: these are others (see `look`)."""
        self._now, self._cpu, self._begun, self._running = now, cpu_s, begun, running

    @property
    def held_s(self) -> float:
        """CPU seconds to expect of a call: what those take that have ended, or that run by now."""
        if self._ended >= FEW:
            return self._ended_cpu / self._ended
        alone = self._alone_s * (1.0 if self._first_ended else TWICE)
        return max(alone, TWICE * self._queued_cpu / max(1, self._running))

    @property
    def wait_s(self) -> float:
        """Seconds that a call waits: not longer than the process was idle, nor than calls that ended did.

        While the first call computes, its own wait is what is known best.
        """
        if self._ended >= FEW:
            return min(self._idle, self._ended_wait / self._ended)
        return self._waited_s if self._alone_s >= LONG_S and self._waited_s else self._idle

    def verdict(self, held_s: float) -> bool | None:
        """Whether calls other than the first hold the GIL, too, if not quite for `held_s` seconds each.

        None while that is open. What the first call computes may be done once and for all.
        """
        if self._ended >= FEW and (self._free or self.held_s < SAME * held_s):
            return False
        if self._ended >= FEW and self._crowded:
            return True
        return True if self._others_cpu >= OTHERS_S and self._queued_s >= LONG_S else None

    def judge(self, profile: Profile, remaining: int | None) -> Profile | None:
        """The corrected profile when calls have queued for the GIL for a while, or will, else None.

        They will when the first of them has computed for as long, unless `verdict` says otherwise. Having
        said so it is silent until the calls turn out to take longer.

        Args:
            profile: what was thought so far.
            remaining: items that have not begun, or None if unknown.
        """
        held = self.held_s
        if (
            max(self._queued_s, self._alone_s) < LONG_S
            or remaining == 0
            or held < max(HELD_S, NEWS * self._asked_s)
        ):
            return None
        self._asked_s = held
        wait = self.wait_s or profile.wait_s
        return replace(
            profile,
            wall_s=wait + held,
            held_s=held,
            free_s=0.0,
            wait_s=wait,
            kind=WorkKind.IO if wait > MOSTLY * (wait + held) else WorkKind.MIXED,
            evidence=f"calls wait {spell(wait)}, then queue for the GIL, which each holds for {spell(held)}",
            remaining=remaining,
            partial=False,
        )
