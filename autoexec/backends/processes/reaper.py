"""A thread that hears of the end of workers at rest, so that none stays a zombie until the next call.

It sleeps in the kernel, stands in no book of `threading`'s, goes with the last worker at rest, and is not
there while this process is forked.
"""

from __future__ import annotations

import _thread
import os
import select
import sys
import threading
from collections.abc import Callable, Sequence
from types import BuiltinFunctionType

from ...own_thread import DAEMONS
from ...own_time import time
from .streams import beside_the_streams

__all__ = ["Reaper"]

# At a fork these versions count the threads, and warn of them, only when `resume` has been called.
COUNTED_LATE = (3, 13) <= sys.version_info < (3, 15)
ENDING_S = 1.0  # seconds in which its thread has to end


class Reaper:
    """Waits for the ends of workers.

    Args:
        descriptors: of the workers that it should wait for now; each becomes readable at its worker's end.
        ended: called when one has ended; it sees to those that have.
    """

    def __init__(self, descriptors: Callable[[], Sequence[int]], ended: Callable[[], object]) -> None:
        self._descriptors, self._ended = descriptors, ended
        self._lock = threading.RLock()  # a finalizer may let workers rest, too
        self._wake = -1  # wakes the thread; -1 while there is none
        self._gone = _thread.allocate_lock()  # held for the thread as long as it is there
        self._native = 0
        self._held = False

    @property
    def threads(self) -> int:
        """Threads that it has: 1 or 0."""
        return int(self._wake >= 0)

    def changed(self) -> None:
        """There are other workers to wait for, or none any more."""
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)
            elif not self._held and self._descriptors():
                self._start()

    def _start(self) -> None:
        """Where there is no such thread, the next call looks who has ended."""
        if not DAEMONS or not isinstance(_thread.start_new_thread, BuiltinFunctionType):  # or greenlets
            return
        try:
            with beside_the_streams():
                self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except (AttributeError, OSError):
            return
        self._gone.acquire()  # the one before is at its very end
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError:  # no more threads
            self._close()
            self._gone.release()

    def _close(self) -> None:
        wake, self._wake = self._wake, -1
        os.close(wake)

    def _run(self) -> None:
        try:
            self._native = _thread.get_native_id()
            while self._wait():
                self._ended()
        finally:
            self._gone.release()

    def _wait(self) -> bool:
        """Wait for an end, or for news; False when there is nobody to wait for."""
        with self._lock:
            descriptors = self._descriptors()
            if self._held or not descriptors:
                self._close()
                return False
            poll = select.poll()
            for descriptor in (self._wake, *descriptors):
                poll.register(descriptor, select.POLLIN)
        poll.poll()
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass
        return True

    def pause(self) -> None:
        """End the thread, before this process is forked, until `resume`."""
        self._held = True
        if self._wake < 0:
            return
        self.changed()
        if self._gone.acquire(timeout=ENDING_S):
            self._gone.release()
        until = time.monotonic() + ENDING_S
        while os.path.exists(f"/proc/self/task/{self._native}") and time.monotonic() < until:
            time.sleep(0.00005)

    def resume(self) -> None:
        """It may wait again; where that would be warned of, from the next news on."""
        self._held = False
        if not COUNTED_LATE:
            self.changed()
