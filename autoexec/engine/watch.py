"""Looks now and then whether the calls that run in threads queue for the GIL, as long as they might."""

from __future__ import annotations

import threading
import time

from ..decide.crowding import FEW, Crowding
from ..records import Profile

__all__ = ["OthersClock", "Watch"]

LOOK_S, LOOK_SHARE = 0.003, 0.1  # between two looks: seconds, or a share of the time since the first


class OthersClock:
    """CPU seconds of all threads of this process but the one that asks.

    What passed until another thread asks counts for nobody.
    """

    __slots__ = ("_asked", "_seconds", "_thread")

    def __init__(self) -> None:
        self._thread, self._asked, self._seconds = -1, 0.0, 0.0

    def cpu(self) -> float:
        """Seconds so far."""
        now, thread = time.process_time() - time.thread_time(), threading.get_ident()
        if thread == self._thread:
            self._seconds += max(0.0, now - self._asked)
        self._thread, self._asked = thread, now
        return self._seconds


class Watch:
    """Watches one backend of threads; used by one thread at a time."""

    __slots__ = ("_clock", "_crowd", "_due", "_since")

    def __init__(self) -> None:
        self._since = self._due = time.perf_counter()
        self._clock = OthersClock()
        self._crowd = Crowding(self._since, self._clock.cpu())

    def due_s(self) -> float:
        """Seconds until the next look; they grow as the calls grow old."""
        return max(0.001, self._due - time.perf_counter())

    @property
    def settled(self) -> bool:
        """Whether some calls have ended, so that it is known what one computes."""
        return self._crowd.ended >= FEW

    def verdict(self, profile: Profile) -> bool | None:
        """Whether calls in general do as `profile` says; None while that is open."""
        return self._crowd.verdict(profile.held_s)

    def note(self, items: int, wall_s: float, cpu_s: float) -> None:
        """Some calls have ended."""
        self._crowd.note(items, wall_s, cpu_s)

    def look(
        self, begun: int, running: int, profile: Profile, left: int | None, alone_s: float = 0.0
    ) -> Profile | None:
        """The corrected profile if the calls queue for the GIL.

        Args:
            begun: calls that have begun so far.
            running: those of them that run now.
            profile: what was thought so far.
            left: items that have not begun, or None if unknown.
            alone_s: CPU seconds of the call in the caller's thread, or 0.0.
        """
        now = time.perf_counter()
        self._due = now + max(LOOK_S, LOOK_SHARE * (now - self._since))
        self._crowd.look(now, self._clock.cpu(), begun=begun, running=running, alone_s=alone_s)
        return self._crowd.judge(profile, left)
