"""How many workers may end in a row before no other one is sacrificed.

One that ended by itself will do so again: three are enough. One that was killed says little: somebody may
kill all of them for a while, as the kernel does when memory is short. So there are pauses, and time has to
pass.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

__all__ = ["Fuse"]

ENDED, KILLED = 3, 12  # deaths of either kind that are enough
PERSISTENT_S = 20.0  # seconds for which workers have to be killed before that is taken for their fate
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0  # before the next one is started
SENT = (-signal.SIGKILL, -signal.SIGTERM)


class Fuse:
    """Deaths in a row, none of which had come to anything.

    Args:
        clock: tells the time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ended = self._killed = 0
        self._first = 0.0

    def add(self, code: int | None) -> None:
        """A worker ended, with this exit code if that is known, without having begun anything."""
        if not self._ended and not self._killed:
            self._first = self._clock()
        if code is None or code in SENT:
            self._killed += 1
        else:
            self._ended += 1

    def reset(self) -> None:
        """One has come to something."""
        self._ended = self._killed = 0

    @property
    def sent(self) -> bool:
        """Whether all of them were killed by others, as it seems."""
        return not self._ended

    @property
    def blown(self) -> bool:
        """Whether it is enough."""
        if self._ended >= ENDED:
            return True
        share = self._ended / ENDED + self._killed / KILLED
        return share >= 1.0 and self._clock() - self._first >= PERSISTENT_S

    @property
    def pause_s(self) -> float:
        """Seconds to leave whoever kills alone."""
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._killed - 1, 10)) if self._killed else 0.0
