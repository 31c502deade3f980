"""Threads of ours, whose end cannot swallow a Ctrl-C, and what may be waited for in spite of one."""

from __future__ import annotations

import _thread
import threading
from _thread import allocate_lock
from collections.abc import Callable
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["DAEMONS", "Latch", "OwnThread", "whose"]


# Interpreters beside the first one have no daemon threads (CPython 3.12 and later). Ours end with their run.
DAEMONS: bool = getattr(_thread, "daemon_threads_allowed", lambda: True)()


class OwnThread(threading.Thread):
    """A daemon thread, where there are any, that CPython's own books forget as soon as it has run.

    `threading` keeps a weak reference to each thread, with a callback in Python that runs in whichever thread
    drops the last strong one. A signal handler that raises just then, in the main thread, raises for nobody.

    Args:
        target: what to run.
        args: its arguments.
        name: of the thread.
        whose: the scheduler whose results it must not wait for, since they wait for it; or None.
    """

    def __init__(
        self,
        target: Callable[..., object],
        args: tuple[Any, ...] = (),
        name: str = "",
        whose: object = None,
    ) -> None:
        super().__init__(target=target, args=args, name=name or None, daemon=DAEMONS)
        self.whose = whose

    def run(self) -> None:
        """Run the target; then nobody is told when this object is gone."""
        try:
            super().run()
        finally:
            books = getattr(threading, "_dangling", None)
            if books is not None:
                books.discard(self)


def whose() -> object:
    """For whose results this thread works, or None."""
    return getattr(threading.current_thread(), "whose", None)


class Latch:
    """A flag that is set once. Ctrl-C may end a wait for it anywhere; an `Event` might keep its lock held."""

    __slots__ = ("_lock", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._lock = allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let go of whoever waits."""
        self.is_set = True
        with suppress(RuntimeError):  # that has been done
            self._lock.release()

    def wait(self, timeout: float = -1.0) -> bool:
        """Until it is set, or for so many seconds; whether it is set.

        >>> latch = Latch()
        >>> latch.wait(0.0), latch.set(), latch.wait()
        (False, None, True)
        """
        if not self.is_set and self._lock.acquire(timeout=timeout):
            self.set()  # for others who wait
        return self.is_set
