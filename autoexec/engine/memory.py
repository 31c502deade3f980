"""Asks between two tasks whether there is memory for one more, and whether the kernel has ended processes."""

from __future__ import annotations

import threading
import time

from ..decide.memory import Admission
from ..measure import machine

__all__ = ["Memory"]

LOOK_S = 0.05  # seconds between two looks; one takes below 0.1 ms


class Memory:
    """The memory that tasks of a run may take.

    Args:
        item_bytes: what one item adds, 0 where nobody knows.
    """

    def __init__(self, item_bytes: int) -> None:
        self._item_bytes = item_bytes
        self._admission = Admission()
        self._lock = threading.Lock()
        self._looked = 0.0
        self._roomy = True
        self._kills = machine.oom_kills()

    def roomy(self, running: int) -> bool:
        """Whether one more task may begin while so many run."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked > LOOK_S or not self._roomy:
                self._looked = now
                available, limit = machine.memory_now()
                before = self._admission.times
                self._roomy = self._admission.may_begin(available, limit, running, self._item_bytes)
                if self._admission.times > before == 0:
                    _warn(available)
            return self._roomy

    def starved(self) -> bool:
        """Whether the kernel has ended a process for want of memory since this was asked last."""
        with self._lock:
            before, self._kills = self._kills, machine.oom_kills()
            return self._kills > before

    def __str__(self) -> str:
        return str(self._admission)


def _warn(available: int) -> None:
    import logging

    logging.getLogger("autoexec").warning(
        "memory is short (%d MiB left): fewer tasks run at a time until there is more", available >> 20
    )
