"""The GIL probe: who cannot get the GIL knows that somebody holds it.

A thread sleeps half a millisecond and measures how late it gets the GIL back. While another thread
runs Python bytecode it has to ask for the GIL and is served after one switch interval; while the other
thread waits, or computes in native code that released the GIL, it is served at once. Each wake-up stands
for the time since the one before it, so a single long C call that holds the GIL weighs what it lasted.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from .. import role
from ..own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

__all__ = ["GilProbe", "Switching", "fine_switching", "quick_switching"]

NAP = 0.0005  # seconds between two looks; shorter costs the watched thread more than 5 %
LATE = 0.001  # seconds; an idle Linux wakes a sleeper within 0.1 ms, a busy one within 1 ms
QUICK = 0.0001  # while the monitor imports and starts things beside a thread that computes: each of its
# hundred system calls would otherwise wait a whole interval to get the GIL back
SWITCH = 0.002  # seconds; twice LATE, so that one switch interval is told from a slow wake-up


class Switching:
    """Lowers the interpreter's switch interval inside a `with` block; the lowest wish of all threads holds.

    A value that somebody else sets meanwhile is theirs to keep.

    Args:
        interval: seconds.
    """

    _lock = threading.RLock()  # a finalizer may begin or end a run, too
    _wishes: ClassVar[list[float]] = []
    _before = _set = 0.005

    def __init__(self, interval: float) -> None:
        self._interval = interval

    def __enter__(self) -> None:
        with Switching._lock:
            if not Switching._wishes:
                Switching._before = Switching._set = sys.getswitchinterval()
            Switching._wishes.append(self._interval)
            role.switch_interval = Switching._before
            self._apply()

    def __exit__(self, *exc: object) -> None:
        with Switching._lock:
            if self._interval in Switching._wishes:  # else this process was forked in the block
                Switching._wishes.remove(self._interval)
            self._apply()
            if not Switching._wishes:
                role.switch_interval = None

    @staticmethod
    def _leave() -> None:
        """In a forked child: those who had a wish are the parent's, and so may be who held the lock."""
        Switching._lock = threading.RLock()
        now, ours = sys.getswitchinterval(), [Switching._set, *Switching._wishes]
        Switching._wishes, role.switch_interval = [], None
        if any(abs(now - one) < 1e-7 for one in ours):
            sys.setswitchinterval(Switching._before)
            Switching._set = sys.getswitchinterval()

    @staticmethod
    def _apply() -> None:
        if abs(sys.getswitchinterval() - Switching._set) < 1e-7:
            wanted = min([Switching._before, *Switching._wishes])
            sys.setswitchinterval(wanted)
            Switching._set = sys.getswitchinterval()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Switching._leave)

fine_switching = Switching(SWITCH)
quick_switching = Switching(QUICK)


class GilProbe:
    """Adds up how long the GIL was held and how long it was looked at.

    Args:
        nap: sleeps for so many seconds with the GIL released; returns True if it was woken before. None takes
            `time.sleep`, which nobody wakes.

    Attributes:
        held_s: seconds in which a wake-up came late.
        looked_s: seconds looked at.
        late: whether the last wake-up was late.
        looks: how often it has looked.
    """

    __slots__ = ("_last", "_nap", "held_s", "late", "looked_s", "looks")

    def __init__(self, nap: Callable[[float], object] | None = None) -> None:
        self._nap = nap or time.sleep
        self.restart()

    def restart(self) -> None:
        """Forget what was seen."""
        self.held_s = self.looked_s = 0.0
        self.looks = 0
        self.late = False
        self._last = time.perf_counter()

    def skip(self) -> None:
        """Leave out the time since the last look."""
        self._last = time.perf_counter()

    def look(self) -> bool:
        """Sleep once and note how late the GIL came back; return False if the sleep was cut short."""
        before = time.perf_counter()
        if self._nap(NAP):
            return False
        now = time.perf_counter()
        self.late = now - before - NAP > LATE
        span = now - self._last
        self._last = now
        self.looked_s += span
        self.looks += 1
        if self.late:
            self.held_s += span
        return True

    @property
    def share(self) -> float:
        """The share of the time looked at in which the GIL was held."""
        return self.held_s / self.looked_s if self.looked_s else 0.0
