"""A worker process and its seats, from the caller's side."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

from ...own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..opening import WorkerConfig
    from .channel import Channel
    from .endpoints import Endpoints
    from .status_page import StatusPage

__all__ = ["Scene", "Seat", "Worker", "scene_now"]

GRACE_S = 5.0  # seconds for a worker to end by itself

Scene = tuple[str, dict[str, str], list[str]]  # directory, environment, import path


def scene_now() -> Scene:
    """Directory ("" where there is none), environment and import path of this process."""
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""
    return folder, dict(os.environ), list(sys.path)


class Seat:
    """The caller's view of one place in a worker.

    Attributes:
        worker: whose it is.
        channel: the caller's end.
        status: what runs there.
        known: numbers of the functions that it was sent.
        scene: directory, environment and import path that it has, or None where items may have changed them.
    """

    __slots__ = ("_poll", "channel", "known", "scene", "status", "worker")

    def __init__(self, worker: Worker, channel: Channel, status: StatusPage) -> None:
        self.worker, self.channel, self.status = worker, channel, status
        self.known: set[int] = set()
        self.scene: Scene | None = None
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)
        if worker.watched is not None:
            self._poll.register(worker.watched, select.POLLIN)

    def wait(self, timeout_s: float | None) -> bool | None:
        """Wait for a frame: True if one is there, False if the worker has ended, None after the time."""
        found = dict(self._poll.poll(None if timeout_s is None else max(0.0, 1000 * timeout_s)))
        if not found:
            return None
        return self.channel.fileno() in found

    def leave(self) -> None:
        """Nobody will use it any more."""
        self.worker.left(self)


class Worker:
    """A worker process, from the caller's side.

    Attributes:
        pid: its process.
        seats: its seats.
        config: what it was started with.
        watched: a descriptor that becomes readable when it ends, or None where there is no such thing.
        forked: whether it is a copy of the caller.
        states: numbers of the functions that it knows as the caller does, by their states (see `kept`).
        rested: whether it has served an earlier call.
    """

    def __init__(self, pid: int, ends: Endpoints, config: WorkerConfig, *, forked: bool) -> None:
        self.pid, self.config, self.forked = pid, config, forked
        self.watched = _watch(pid)
        self.seats = [Seat(self, channel, status) for channel, status in ends.ours]
        scene = scene_now()
        for seat in self.seats:
            seat.scene = scene
        self.states: dict[Any, int] = {}
        self.rested = False
        self._ends = ends
        self._taken = set(self.seats)
        self._exit: int | None = None
        self._lock = threading.RLock()  # a finalizer may take workers, too

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        with self._lock:
            if self._exit is None:
                self._exit = self._poll()
            return self._exit is not None

    def end(self, *, kill: bool = False, patience_s: float = GRACE_S) -> int:
        """End the worker and return its exit code (negative: the signal that ended it).

        Args:
            kill: do not let it finish its task.
            patience_s: seconds to wait before it is killed anyway.
        """
        with self._lock:
            if self._exit is None:
                if kill:
                    self._signal(signal.SIGKILL)
                else:
                    self._ends.hang_up()
                self._exit = self._reap(patience_s)
            return self._exit

    def left(self, seat: Seat) -> None:
        """One of its seats is not used any more; with the last one it ends."""
        with self._lock:
            if seat not in self._taken:
                return
            self._taken.remove(seat)
            if self._taken:
                return
        self.end()
        self._ends.hang_up()
        self._ends.close()
        if self.watched is not None:
            os.close(self.watched)
            self.watched = None

    def kill(self) -> None:
        """End the worker at once; whoever waits for its answer sees that it has ended."""
        with self._lock:
            if self._exit is None:
                self._signal(signal.SIGKILL)

    def stacks(self, patience_s: float = 0.2) -> str:
        """What every thread of the worker is doing, as faulthandler tells it; "" if it does not answer."""
        with self._lock:
            return "" if self._exit is not None else self._ends.stacks(self.pid, patience_s)

    def _signal(self, number: int) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def _reap(self, patience_s: float) -> int:
        until = time.monotonic() + patience_s
        pause = 0.0002
        while True:
            code = self._poll()
            if code is not None:
                return code
            if time.monotonic() > until:
                self._signal(signal.SIGKILL)
                until += 60.0
            time.sleep(pause)
            pause = min(0.02, 2 * pause)

    def _poll(self) -> int | None:
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else waited for it
            return -signal.SIGKILL
        return os.waitstatus_to_exitcode(status) if pid else None


def _watch(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
