"""Workers that rest between two calls, so that the next one need not start its own.

A worker that is kept has the modules of its first call. It serves a later call only where it would do the
same as the caller: if it knows the function in the state that it is in now (code, defaults, captured values,
globals it reads), or if the function travels whole, that is by value or from an installed library. A worker
that has rested for half a minute ends by itself; `shutdown` ends all.
"""

from __future__ import annotations

import atexit
import os

from ...resident import resident
from ...worker.process_state import bound, outputs
from . import messages
from .payload import pack
from .reaper import Reaper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..opening import WorkerConfig
    from .worker import Worker

__all__ = ["helpers", "put", "shutdown", "take"]

FORKED_BYTES = 256 << 20  # a copy of a caller larger than this is not kept: it would hold on to its memory
EACH = 2  # kept workers for each core


class _Kept:
    """The workers at rest.

    There is no lock: a worker belongs to whoever has taken it out of the list, which is one step of the
    interpreter's. A finalizer may begin a run, or end one, while its thread is in here.
    """

    def __init__(self) -> None:
        self.resting: list[Worker] = []
        self.hooked = False
        self.reaper = Reaper(self._watched, self.bury)

    def hook(self) -> None:
        """They end with this process, and a forked child leaves them to its parent."""
        if not self.hooked:
            self.hooked = True
            atexit.register(shutdown)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=self._pause, after_in_parent=self._resume, after_in_child=self._forget
                )

    def _pause(self) -> None:
        self.reaper.pause()

    def _resume(self) -> None:
        self.reaper.resume()

    def _forget(self) -> None:
        self.resting = []
        self.reaper = Reaper(self._watched, self.bury)

    def _watched(self) -> list[int]:
        """Descriptors of the workers at rest."""
        return [watched for worker in list(self.resting) if (watched := worker.watched) is not None]

    def bury(self) -> None:
        """Those that have ended leave nothing behind."""
        _end(self.out([worker for worker in list(self.resting) if worker.over]))

    def out(self, workers: list[Worker]) -> list[Worker]:
        """Those of some workers that nobody else has taken meanwhile."""
        mine = []
        for worker in workers:
            try:
                self.resting.remove(worker)
            except ValueError:
                continue
            mine.append(worker)
        return mine


_kept = _Kept()


def take(
    count: int, config: WorkerConfig, state: Any, *, travels: bool, many: bool, fork: bool = False
) -> tuple[list[Worker], int | None]:
    """Up to `count` resting workers for a call, and the number they know its function by.

    Args:
        count: workers wanted.
        config: what they must have been started with.
        state: of the function, or None.
        travels: whether any worker will do, because the function is sent to it.
        many: whether forked workers would inherit the input: then nobody who rests will do.
        fork: whether new ones would be forked, and so have all that this process has.
    """
    if many:
        return [], None
    _kept.bury()
    own, leads = bound(), outputs()
    alike = (own,) if fork else (own, ())  # a fresh interpreter would not have it either
    fit = [
        worker
        for worker in list(_kept.resting)
        if worker.config == config and worker.bound in alike and worker.outputs == leads
    ]
    known = [worker for worker in fit if state is not None and state in worker.states]
    numbers = {worker.states[state] for worker in known}
    number = max(numbers) if numbers else None
    found = [worker for worker in known if worker.states[state] == number]
    if travels:
        # A copy of the caller has all that the caller had; who began as nobody has what was sent.
        found += [worker for worker in fit if worker not in found and not worker.forked]
    found = _kept.out(found[:count])
    if found:
        _kept.reaper.changed()
    return found, number if found else None


def knows(state: Any) -> bool:
    """Whether workers rest that know a function in this state."""
    return state is not None and any(state in worker.states for worker in list(_kept.resting))


def put(worker: Worker, known: set[int]) -> bool:
    """Let a worker rest; False if it cannot be kept.

    Args:
        worker: one without a task.
        known: numbers of the functions that it should remember.
    """
    if worker.over or (worker.forked and resident()[0] > FORKED_BYTES):
        return False
    try:
        for seat in worker.seats:
            seat.channel.send(messages.REST, pack(tuple(known)))
            seat.known &= known
            seat.scene = None
    except OSError:
        return False
    worker.rested = True
    worker.tables = {number: table for number, table in worker.tables.items() if number in known}
    _kept.hook()
    _kept.resting.append(worker)
    _kept.reaper.changed()
    resting = list(_kept.resting)
    _end(_kept.out(resting[: max(0, len(resting) - EACH * (os.cpu_count() or 1))]))
    return True


def shutdown() -> None:
    """End all workers that rest."""
    _kept.reaper.pause()
    _end(_kept.out(list(_kept.resting)))
    _kept.reaper.resume()


def helpers() -> int:
    """Threads that look after workers at rest; they are gone before any fork."""
    return _kept.reaper.threads


def _end(workers: list[Worker]) -> None:
    """End workers at rest: each by itself, since it has to end what its items have left behind there."""
    for worker in workers:
        worker.hang_up()
    for worker in workers:
        for seat in worker.seats:
            seat.leave()
