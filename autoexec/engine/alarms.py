"""Things to be done under a lock at a certain time, by a thread that is started when there are any."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count

__all__ = ["Alarms"]


class Alarms:
    """A clock with a thread.

    Args:
        lock: held while alarms are set and rung.
        after: called without the lock after alarms were rung.
    """

    def __init__(self, lock: threading.Lock, after: Callable[[], None]) -> None:
        self._changed = threading.Condition(lock)
        self._after = after
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._thread: threading.Thread | None = None
        self._ended = False

    def set(self, when: float, action: Callable[[], None]) -> None:
        """Have `action` called under the lock at `when` (`time.monotonic()`); under the lock."""
        first = not self._due or when < self._due[0][0]
        heapq.heappush(self._due, (when, next(self._order), action))
        if self._thread is None:
            self._start()
        elif first:
            self._changed.notify_all()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="autoexec-desk", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads at interpreter shutdown: whoever waits keeps the time
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._ended:
                    return
                self.wait()
            self._after()

    def wait(self) -> None:
        """Wait for a change or the next alarm, and do what is due; under the lock."""
        now = time.monotonic()
        if not self._due or self._due[0][0] > now:
            self._changed.wait(self._due[0][0] - now if self._due else None)
            now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def end(self) -> None:
        """Ring no more, let the thread go; under the lock."""
        self._ended = True
        self._due.clear()
        self._changed.notify_all()

    def join(self) -> None:
        """Wait until the thread is gone."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
