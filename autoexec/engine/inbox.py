"""Where workers put finished tasks, and where one consumer waits for the one it needs next.

Waking a thread costs more than many a task; results that wait for an earlier one in their order wake nobody.
"""

from __future__ import annotations

import time
from collections import deque
from queue import Empty, SimpleQueue

from ..backends.base import Finished

__all__ = ["ANY", "Inbox"]

ANY = -1  # whatever comes first
MANY = 16  # finished tasks that wake the consumer even if its own is not among them
NOBODY = -2
EAR_S = 0.25  # seconds of one wait for the bell


class Inbox:
    """Finished tasks; `put` from any thread, the rest from one at a time."""

    __slots__ = ("_arrived", "_bell", "_wanted")

    def __init__(self) -> None:
        self._arrived: deque[Finished] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._wanted = NOBODY

    def put(self, finished: Finished) -> None:
        """A task is finished."""
        self._arrived.append(finished)
        wanted = self._wanted  # read after the append: the consumer looks once more after setting it
        if wanted in (ANY, finished.chunk.start) or (wanted != NOBODY and len(self._arrived) >= MANY):
            self._bell.put(None)

    def wake(self) -> None:
        """End a wait, with or without a task."""
        self._bell.put(None)

    def take(self) -> list[Finished]:
        """What has arrived."""
        arrived, taken = self._arrived, []
        while arrived:
            taken.append(arrived.popleft())
        return taken

    def wait(self, wanted: int, timeout: float | None = None) -> list[Finished]:
        """What has arrived, once the task that starts at `wanted` has (or `ANY`), or many, or time is up."""
        self._wanted = wanted
        try:
            taken = self.take()
            if not any(wanted in (ANY, finished.chunk.start) for finished in taken):
                self._ring(timeout)
                taken += self.take()
        finally:
            self._wanted = NOBODY
        return taken

    def _ring(self, timeout: float | None) -> None:
        # Ctrl-C that comes just before the system call in which a lock waits is noticed when that returns.
        until = None if timeout is None else time.monotonic() + timeout
        left = EAR_S if timeout is None else timeout
        while not self._heard(min(EAR_S, left)):
            if until is not None and (left := until - time.monotonic()) <= 0.0:
                return

    def _heard(self, timeout: float) -> bool:
        """Whether the bell rang within that time."""
        try:
            self._bell.get(timeout=timeout)
        except Empty:
            return False
        try:
            while True:
                self._bell.get_nowait()
        except Empty:
            return True
