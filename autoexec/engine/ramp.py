"""How many calls a pool lets out while the first one still runs in the caller's own thread."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..own_time import time

__all__ = ["STEP_S", "Ramp"]

STEP_S = 0.001  # seconds between two steps
BUSY = 0.9  # cores: starting threads takes most of one for a moment, computing items more for longer
HOLD_S = 0.040  # seconds in which many first calls have shown what they do after their wait
COMPUTING_S = 0.001  # CPU seconds of the first call that say that it is about to
PREPARE_S = 0.008  # seconds of it after which there is time to think of other processes
SOME, WARM = 16, 4  # threads that are started at first, and between two steps, for the time after


class Ramp:
    """Open at first. Narrowed, it opens step by step; held, it waits for what the first call shows.

    The consumer's thread may open it in the middle of a step of the monitor's: that stays so.

    Args:
        clock: tells the time in seconds.
        cpu: tells the CPU seconds of this process.

    Attributes:
        started: threads that were started meanwhile.
    """

    __slots__ = (
        "_clock",
        "_cpu",
        "_cpu_clock",
        "_doubles",
        "_limit",
        "_prepare",
        "_time",
        "_to_start",
        "_until",
        "_wide",
        "started",
    )

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.process_time
    ) -> None:
        self._clock, self._cpu_clock = clock, cpu
        self._wide = True  # whether it is open; then no limit counts
        self._limit = 0  # items
        self._doubles = False
        self._until = 0.0  # the time up to which none is let out
        self._prepare = math.inf  # the time to think of other processes
        self._to_start = self.started = 0
        self._cpu = self._time = 0.0

    def narrow(self, limit: int, *, doubles: bool) -> None:
        """Let only `limit` items out; `doubles`: twice as many each step that leaves the processor alone."""
        self._limit, self._doubles, self._wide = limit, doubles, False
        self._cpu, self._time = self._cpu_clock(), self._clock()

    def hold(self, items: int) -> None:
        """Let none of so many items out until the first call has shown what it does after its wait.

        Those that are out may come to want one GIL, and cannot be called back.
        """
        self.narrow(0, doubles=True)
        self._until, self._prepare, self._to_start = self._time + HOLD_S, self._time + PREPARE_S, items

    def open(self) -> None:
        """Let all out."""
        self._wide, self._until = True, 0.0

    @property
    def holds(self) -> bool:
        """Whether none is let out."""
        return self._until > 0.0

    @property
    def narrowed(self) -> bool:
        """Whether it opens step by step, or none is let out."""
        return not self._wide

    def within(self, window: int) -> int:
        """Items that may be out, of a window."""
        return window if self._wide else min(window, self._limit)

    def prepares(self, alone_s: float) -> bool:
        """Whether there is time to think of other processes, the first call having computed for `alone_s`."""
        return self.holds and alone_s < COMPUTING_S and self._clock() > self._prepare

    def step(self, window: int, warm_up: Callable[[int], int], *, alone_s: float, waited_s: float) -> None:
        """Open further if that is due.

        Args:
            window: items it comes to in the end.
            warm_up: starts up to so many threads, and returns how many it did.
            alone_s: CPU seconds of the first call so far.
            waited_s: and its other seconds; 0.0 once it has ended.
        """
        if self._wide:
            return
        if self.holds:
            self._wait(warm_up, alone_s, waited_s)
            return
        cpu, now = self._cpu_clock(), self._clock()
        busy = (cpu - self._cpu) / max(1e-6, now - self._time)
        self._cpu, self._time = cpu, now
        if self._doubles and busy < BUSY:
            if self._limit > window:
                self._wide = True
            else:
                self._limit *= 2

    def _wait(self, warm_up: Callable[[int], int], alone_s: float, waited_s: float) -> None:
        if alone_s >= COMPUTING_S:
            return
        if waited_s and self._clock() > self._until:
            self.open()
        elif self._to_start > 0:
            count = warm_up(min(WARM if self.started else SOME, self._to_start))
            self._to_start = self._to_start - count if count else 0
            self.started += count
