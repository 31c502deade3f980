"""Asks between two tasks whether there is memory for one more, and whether the kernel has ended processes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..decide.admission import AGAIN, Admission, reserve
from ..measure import machine
from ..own_time import time

__all__ = ["Memory"]

LOOK_S = 0.05  # seconds between two looks; one takes below 0.1 ms


class Memory:
    """The memory that tasks of a run may take.

    Args:
        item_bytes: what one item adds, 0 where nobody knows.
        clock: tells the time in seconds.
        left: tells the bytes that are left, and those that there may be at most.
        kills: tells how many processes the kernel has ended so far.
    """

    def __init__(
        self,
        item_bytes: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        left: Callable[[], tuple[int, int | None]] = machine.memory_now,
        kills: Callable[[], int] = machine.oom_kills,
    ) -> None:
        self._clock, self._left, self._count_kills = clock, left, kills
        self._item_bytes = item_bytes
        self._admission = Admission()
        self._lock = threading.Lock()
        self._looked = 0.0
        self._roomy = True
        self._slack = 0  # bytes that tasks may still take before another look
        self._kills = kills()

    def roomy(self, running: int, most: int, still: Callable[[int], int]) -> bool:
        """Whether one more task may begin.

        Args:
            running: tasks under way.
            most: bytes that an item was seen to add to a worker.
            still: tells what those under way, and one more, would still take if each came to so many bytes.
        """
        now = self._clock()
        with self._lock:
            item = max(self._item_bytes, most)
            if now - self._looked > LOOK_S or not self._roomy or self._slack < item:
                self._looked = now
                self._roomy = self._look(now, running, item, still)
            self._slack -= item
            return self._roomy

    def _look(self, now: float, running: int, item: int, still: Callable[[int], int]) -> bool:
        available, limit = self._left()
        wanted, floor = (running + 1) * item, AGAIN * reserve(limit)
        if item and available - wanted < floor:  # else there is enough, whatever they have taken already
            wanted = still(item)
        before = self._admission.times
        may = self._admission.may_begin(available, limit, running, wanted, now)
        self._slack = available - floor - wanted + item
        if self._admission.times > before == 0:
            _warn(f"{available >> 20} MiB left")
        return may

    def starved(self, running: int) -> bool:
        """Whether the kernel has ended a process for want of memory since this was asked last.

        Args:
            running: tasks that are under way elsewhere: no more than so many begin for a while, then.
        """
        with self._lock:
            before, self._kills = self._kills, self._count_kills()
            if self._kills > before:
                first = self._admission.kills == 0
                self._admission.killed(running, self._clock())
                self._roomy = False
                if first:
                    _warn("the kernel has ended a worker")
            return self._kills > before

    def __str__(self) -> str:
        return str(self._admission)


def _warn(words: str) -> None:
    import logging

    logging.getLogger("autoexec").warning("memory is short (%s): fewer tasks run at a time for now", words)
