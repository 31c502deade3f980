"""Looks now and then whether the calls that run in threads queue for the GIL, as long as they might."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..decide.crowding import Crowding
from ..own_time import time
from ..records import Profile

__all__ = ["Contention", "OthersClock"]

LOOK_S, LOOK_SHARE = 0.003, 0.1  # between two looks: seconds, or a share of the time since the first


class OthersClock:
    """CPU seconds of all threads of this process but the one that asks."""

    __slots__ = ("_thread",)

    def __init__(self) -> None:
        self._thread = -1

    def read(self) -> tuple[float, bool]:
        """Seconds on a clock of one's own, and whether they may be compared with the reading before.

        They may not when another thread has asked then: the clocks of the two are different ones.
        """
        thread = threading.get_ident()
        same, self._thread = thread == self._thread, thread
        return time.process_time() - time.thread_time(), same


class Contention:
    """Watches one backend of threads; used by one thread at a time.

    Args:
        clock: tells the time in seconds.
        others: see `OthersClock.read`; None reads this process.
    """

    __slots__ = ("_clock", "_crowd", "_due", "_others", "_since")

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        others: Callable[[], tuple[float, bool]] | None = None,
    ) -> None:
        self._clock, self._others = clock, others or OthersClock().read
        self._since = self._due = clock()
        self._crowd = Crowding(self._since, self._others()[0])

    def due_s(self) -> float:
        """Seconds until the next look; they grow as the calls grow old."""
        return max(0.001, self._due - self._clock())

    def verdict(self, profile: Profile) -> bool | None:
        """Whether calls in general do as `profile` says; None while that is open."""
        return self._crowd.verdict(profile.held_s)

    def first_ended(self, cpu_s: float) -> None:
        """The call in the caller's thread has ended."""
        self._crowd.first_ended(cpu_s)

    def note(self, items: int, wall_s: float, cpu_s: float) -> None:
        """Some calls have ended."""
        self._crowd.note(items, wall_s, cpu_s)

    def first_runs(self, cpu_s: float, wait_s: float) -> None:
        """The call in the caller's thread has computed and waited for so long; zeros if that is not known."""
        self._crowd.first_runs(cpu_s, wait_s)

    def look(self, begun: int, running: int, profile: Profile, left: int | None) -> Profile | None:
        """The corrected profile if the calls queue for the GIL.

        Args:
            begun: calls that have begun so far.
            running: those of them that run now.
            profile: what was thought so far.
            left: items that have not begun, or None if unknown.
        """
        now = self._clock()
        self._due = now + max(LOOK_S, LOOK_SHARE * (now - self._since))
        cpu, same = self._others()
        if same:
            self._crowd.look(now, cpu, begun=begun, running=running)
        else:
            self._crowd.set(now, cpu, begun=begun, running=running)
        return self._crowd.judge(profile, left)
