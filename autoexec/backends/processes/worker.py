"""A worker process and its seats, from the caller's side."""

from __future__ import annotations

import select
import signal
import sys
import threading

from ...worker.process_state import bound, outputs
from .child import Child
from .left_behind import end as end_children

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...known_objects import Shadow
    from ..opening import WorkerConfig
    from .channel import Channel
    from .endpoints import Endpoints
    from .status_page import StatusPage

__all__ = ["Seat", "Worker", "importing_path"]

GRACE_S = 5.0  # seconds for a worker to end by itself


def importing_path() -> list[str]:
    """The entries of `sys.path` that imports look at: others, such as `Path` objects, they pass over."""
    entries: list[object] = [*sys.path]
    return [str(entry) for entry in entries if isinstance(entry, str)]


class Seat:
    """The caller's view of one place in a worker.

    Attributes:
        worker: whose it is.
        channel: the caller's end.
        status: what runs there.
        known: numbers of the functions that it was sent.
        scene: what it was told of the caller's process (see `process_state`), or None where items may have
            changed anything.
    """

    __slots__ = ("_poll", "channel", "known", "scene", "status", "worker")

    def __init__(self, worker: Worker, channel: Channel, status: StatusPage) -> None:
        self.worker, self.channel, self.status = worker, channel, status
        self.known: set[int] = set()
        self.scene: dict[str, object] | None = None
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

    def look(self) -> bool:
        """Whether its worker has ended: then no zombie is left of it."""
        return self.worker.over

    def leave(self) -> None:
        """Nobody will use it any more."""
        self.worker.left(self)


class Worker:
    """A worker process, from the caller's side.

    Attributes:
        pid: its process.
        seats: its seats.
        config: what it was started with.
        forked: whether it is a copy of the caller.
        states: numbers of the functions that it knows as the caller does, by their states (see `kept`).
        rested: whether it has served an earlier call.
        tables: what it knows by numbers beside each function, by the function's number.
        bound: what of its caller's own it has, that no other process can be given; see `process_state`.
        outputs: what its standard output and error lead to.
    """

    def __init__(self, pid: int, ends: Endpoints, config: WorkerConfig, *, forked: bool) -> None:
        self.pid, self.config, self.forked = pid, config, forked
        self._child = Child(pid)
        self.seats = [Seat(self, channel, status) for channel, status in ends.ours]
        self.states: dict[Any, int] = {}
        self.rested = False
        self.tables: dict[int, Shadow] = {}
        self.bound = bound() if forked else ()
        self.outputs = outputs()
        self._ends = ends
        self._taken = set(self.seats)
        self._lock = threading.RLock()  # a finalizer may take workers, too

    @property
    def watched(self) -> int | None:
        """A descriptor that becomes readable when it ends, or None where there is no such thing."""
        return self._child.descriptor

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        with self._lock:
            return self._child.poll()

    def end(self, *, kill: bool = False, patience_s: float = GRACE_S) -> int | None:
        """End the worker and return its exit code (negative: the signal that ended it; None: nobody knows).

        Args:
            kill: do not let it finish its task.
            patience_s: seconds to wait before it is killed anyway.
        """
        with self._lock:
            if not self._child.over:
                if kill:
                    self._child.signal(signal.SIGKILL)
                else:
                    self._ends.hang_up()
                self._child.wait(patience_s)
            return self._child.code

    def left(self, seat: Seat) -> None:
        """One of its seats is not used any more; with the last one it ends."""
        with self._lock:
            if seat not in self._taken:
                return
            self._taken.remove(seat)
            if self._taken:
                return
        self.end()
        end_children(self._ends.ours[0][1].children)  # of one that was killed
        self._ends.hang_up()
        self._ends.close()
        self._child.close()

    def hang_up(self) -> None:
        """Nobody has anything more for it: at rest, it ends by itself."""
        self._ends.hang_up()

    def kill(self) -> None:
        """End the worker at once; whoever waits for its answer sees that it has ended."""
        with self._lock:
            self._child.signal(signal.SIGKILL)

    def stacks(self, patience_s: float = 0.2) -> str:
        """What every thread of the worker is doing, as faulthandler tells it; "" if it does not answer."""
        with self._lock:
            return self._ends.stacks(self._child.signal, patience_s)
