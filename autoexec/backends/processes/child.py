"""A child process, known by a descriptor of its own wherever there are any.

Its number may belong to a stranger once somebody else has waited for it: a program that ignores SIGCHLD, or
waits for any child. So nothing is signalled, and nobody waited for, by number alone.
"""

from __future__ import annotations

import os
import select
import signal

from ...own_time import time
from .streams import beside_the_streams

__all__ = ["Child"]

AGAIN_S = 30.0  # seconds after which one that was killed, and has not ended, is killed once more


class Child:
    """A child process.

    Attributes:
        pid: its number, for words.
        descriptor: becomes readable when it ends; None where there is no such thing.
        over: whether it has ended, as far as `poll` was asked.
        code: its exit code (negative: the signal that ended it); None while it runs, and where somebody else
            was told.
    """

    __slots__ = ("_owner", "code", "descriptor", "over", "pid")

    def __init__(self, pid: int) -> None:
        self.pid, self._owner = pid, os.getpid()
        self.over, self.code = False, None  # type: bool, int | None
        self.descriptor: int | None = None
        try:
            with beside_the_streams():
                self.descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):
            pass

    def poll(self) -> bool:
        """Whether it has ended; it is reaped then."""
        if not self.over:
            try:
                self._ask()
            except ChildProcessError:  # somebody else has waited for it, or it is a parent's
                self.over = True
        return self.over

    def _ask(self) -> None:
        if self.descriptor is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.over = bool(pid)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
            return
        found = os.waitid(os.P_PIDFD, self.descriptor, os.WEXITED | os.WNOHANG)
        if found is not None:
            self.over = True
            self.code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def signal(self, number: int) -> bool:
        """Send it a signal, if it is there and this process's own; whether that was done."""
        if os.getpid() != self._owner or self.poll():
            return False
        try:
            if self.descriptor is None:
                os.kill(self.pid, number)  # it is still there, as a zombie at least: nobody has its number
            else:
                signal.pidfd_send_signal(self.descriptor, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, patience_s: float) -> None:
        """Wait until it has ended; it is killed after so many seconds."""
        until, pause = time.monotonic() + patience_s, 0.0002
        while not self.poll():
            left = until - time.monotonic()
            if left <= 0.0:
                self.signal(signal.SIGKILL)
                until += AGAIN_S
            elif self.descriptor is not None:
                look = select.poll()
                look.register(self.descriptor, select.POLLIN)
                look.poll(1000 * min(left, 1.0))
            else:
                time.sleep(pause)
                pause = min(0.02, 2 * pause)

    def close(self) -> None:
        """Let the descriptor go."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            os.close(descriptor)
