"""Is a worker at a standstill: always at the same place, without any CPU time, while others go on?

It may wait for something that comes (a server), or for what never will: a lock that another thread held when
the worker was forked.
"""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["Standstill"]

STILL_S = 30.0  # seconds at one place
LITTLE_S = 0.05  # CPU seconds that count for none


class Standstill:
    """Watches one worker at a time.

    Args:
        clock: tells the time.

    Attributes:
        told: whether somebody has heard of it.
    """

    __slots__ = ("_clock", "_cpu_s", "_place", "_since", "told")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._place: object = None
        self._since = self._cpu_s = 0.0
        self.told = False

    def look(self, pid: int, place: object) -> bool:
        """Whether a worker has stood still for long; `place` is where it is."""
        place, (runs, cpu_s) = (pid, place), cpu_of(pid)
        if runs or place != self._place or cpu_s > self._cpu_s + LITTLE_S:
            self._place, self._cpu_s, self._since, self.told = place, cpu_s, self._clock(), False
        return self._clock() - self._since >= STILL_S


def cpu_of(pid: int) -> tuple[bool, float]:
    """Whether a process runs or would like to, and its CPU seconds so far (10 µs).

    One of which nothing is told is taken to run.

    >>> cpu_of(0)
    (True, 0.0)
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return fields[0] == b"R", cpu_s
    except (OSError, ValueError, IndexError):
        return True, 0.0
