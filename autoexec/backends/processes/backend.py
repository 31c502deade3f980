"""Worker processes, as the engine opens them: a supervisor for each seat, and what watches over them all.

The package's own page shows who is who. A supervisor knows at any moment what its worker holds and which item
of it runs, so that when the worker dies exactly that item is named; a `ProcessPoolExecutor` cannot tell, and
fails everything. The worker is replaced for what is left.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ...errors import WorkerDied
from ...introspect import ATOMS
from ...known_objects import at_hand, dumps
from ...own_thread import OwnThread
from ...own_time import time
from ...registry import PROCESSES
from ...resident import resident_of
from ...worker import process_state
from ...worker.context import carried
from ...worker.invoke import Task
from ..opening import Opening, Setting
from . import exit_messages
from .balancing import AGAIN_S, relieve
from .functions import Functions
from .payload import Payload, by_value, pack
from .sent import Sent
from .start import check_fresh
from .supervisor import Supervisor
from .worker import Seat
from .worker_pool import WorkerPool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Any

    from ..base import Slot, Tasks

__all__ = ["ProcessBackend", "open_backend"]

MOMENT_S = 0.05  # between two looks whether something has changed
WORTH_BYTES = 16 << 20  # of memory, below which a worker's growth may be pages of its libraries


def open_backend(opening: Opening) -> ProcessBackend:
    """The backend of a plan; see `BackendInfo.open`."""
    return ProcessBackend(opening.tasks, opening.plan.max_workers, opening.add, opening.setting)


class ProcessBackend:
    """Runs tasks in worker processes.

    Args:
        tasks: the scheduler.
        max_workers: processes.
        add: makes a slot for each seat.
        setting: what they are for. Workers are forked only where `may_fork()` has nothing against it.

    Attributes:
        item_timeout: see `TaskRules`.
        strict: see `TaskRules`.
        alone: see `TaskRules`.
        eager: see `Setting`.
        stayed: see `Setting`.
        lacking: see `Setting`.
        starting: whether no worker has finished anything yet.
        each_bytes: pickled bytes of an item on its way here, as last seen.
        killed: whether running tasks were ended.
        halted: whether nothing more is to run here: the rest stays with the caller.
        scene: what the caller has set for its process, at this call; see `process_state`.
        functions: what workers are sent.
        clock: tells the time, as `time.monotonic` does.
    """

    name = PROCESSES

    def __init__(self, tasks: Tasks, max_workers: int, add: Callable[[], Slot], setting: Setting) -> None:
        self.tasks, self._add, self.clock = tasks, add, setting.clock
        self._rules = setting.rules
        self.item_timeout, self.strict = self._rules.item_timeout, self._rules.strict
        self.alone = self._rules.alone
        self.eager, self.stayed, self.lacking = setting.eager, setting.stayed, setting.lacking
        self.killed = self.halted = False
        self.scene = process_state.read(setting.context)
        self.functions = Functions(setting.packed, self.clock)
        self._pool = WorkerPool(setting, self.functions, self.scene)
        self._lock = threading.Lock()
        self.starting = True
        self._over = 0  # supervisors that have ended
        self._longest, self._moved = self._rules.expected_s, self.clock()
        self.each_bytes = 0.0
        self._most_bytes = 0  # that an item was seen to add to a worker
        self._supervisors: list[Supervisor] = []
        self._threads: list[threading.Thread] = []
        try:
            self._open(max_workers, setting)
        except BaseException:  # Ctrl-C in the middle of it, or a lack of threads
            self.close(wait=False, kill=True)
            raise

    def _open(self, max_workers: int, setting: Setting) -> None:
        seats: list[Seat | None] = [*self._pool.prepare(max_workers)]
        if not seats:
            check_fresh()
        self.starting = not self._pool.found
        count = max_workers * setting.config.threads
        seats += [None] * (count - len(seats))
        self._supervisors = [Supervisor(self, self._add(), seat) for seat in seats]
        self._threads = [
            OwnThread(supervisor.run, name=f"autoexec-supervisor-{i}", whose=self.tasks)
            for i, supervisor in enumerate(self._supervisors)
        ]
        for thread in self._threads:
            thread.start()
        if setting.spec is not None and not all(seat and self._pool.knows(seat) for seat in seats):
            self.functions.take(setting.spec)

    # Tasks ------------------------------------------------------------------------------------------------

    def next_task(self, slot: Slot, seat: Seat | None) -> Task | None:
        """The next task for a supervisor, who serves this seat; None when there will be no more."""
        while not self.killed and not self._roomy(seat):
            time.sleep(MOMENT_S)
        if self.killed:  # what its worker had is nobody's any more
            return None
        found = self.tasks.next(slot, 0.0)
        pause = AGAIN_S  # others may only now begin what one of them has too much of
        while found is None:
            found = self.tasks.next(slot, min(pause, relieve(self._supervisors, self.clock())))
            if seat is not None:
                seat.look()
            pause *= 2
        return found if isinstance(found, Task) else None

    def pause(self, seconds: float) -> None:
        """Let a supervisor wait, unless this is the end."""
        until = self.clock() + seconds
        while self.clock() < until and not (self.killed or self.tasks.closing):
            time.sleep(min(seconds, MOMENT_S))

    def start(self, slot: Slot) -> None:
        """All supervisors are there from the beginning."""

    def ring(self, rung: deque[Slot]) -> None:
        """Couriers wait at their gates."""

    def recall(self) -> None:
        """Have workers stop after the items that they run; what they have not begun comes back with those."""
        for supervisor in self._supervisors:
            supervisor.cut()

    def abandon(self, slot: Slot, task: Task) -> None:
        """Workers that take too long are ended from here."""

    def _running(self) -> int:
        return sum(supervisor.running is not None for supervisor in self._supervisors)

    def _roomy(self, seat: Seat | None) -> bool:
        def still(most: int) -> int:
            running = [supervisor.seat for supervisor in self._supervisors if supervisor.running is not None]
            return sum(_still(each, most) for each in (*running, seat))

        return self._rules.roomy(self._running(), self._most_bytes, still)

    def encode(self, sent: Sent, number: int, seat: Seat) -> Payload:
        """A task as bytes.

        Raises:
            Exception: if its items cannot be pickled.
        """
        start, items = sent.task.place, sent.task.items
        if self._pool.inherits(seat.worker):
            return pack((number, start, start + len(items)))
        values = carried(sent.task.context)  # of a call's own; that of a map goes with its function
        content = (number, start, items, values) if values else (number, start, items)
        known = sent.task.spec.know()
        shadow = seat.worker.tables.setdefault(number, known.shadow(whole=False))
        with at_hand(known, known.shared(known.common(shadow), grows=True)):
            try:
                payload = self._packed_items(content, seat)
            except Exception:  # another thread may have changed something just then: it is tried once more
                payload = self._packed_items(content, seat)
        self.each_bytes = payload.size / max(1, len(items))
        return payload

    @staticmethod
    def _packed_items(content: tuple[Any, ...], seat: Seat) -> Payload:
        if seat.worker.forked and not seat.worker.rested:
            try:
                return pack(content, dumps)
            except Exception:
                pass  # a lambda or a local class among the items
        # A fresh interpreter has another __main__, one at rest an old one: what lives there goes by value.
        return pack(content) if _plain(content[2]) else by_value(content)

    def explained(self, error: BaseException, sent: Sent) -> Exception:
        """The error of an item that cannot be pickled."""
        from ...errors import unpacked
        from ...unpicklable import refused

        if isinstance(error, WorkerDied):
            return error
        return refused(unpacked(sent.rest[0], sent.task.spec.star), "args", error)

    def calls_again(self, sent: Sent, error: BaseException) -> bool:
        """Whether the caller calls an item once more, since what came of it here cannot be sent."""
        from ...errors import unpacked

        args = unpacked(sent.rest[0], sent.task.spec.star)
        if self.strict or not self._rules.again(sent.index(), args, error):
            return False
        self.halted = True
        self.recall()
        return True

    # Workers ----------------------------------------------------------------------------------------------

    def seat(self) -> Seat:
        """A seat for a supervisor.

        Raises:
            OSError: if no worker can be started.
        """
        return self._pool.seat()

    @property
    def served(self) -> bool:
        """Whether any worker is there, or being started."""
        return any(supervisor.seat is not None or supervisor.seeks for supervisor in self._supervisors)

    def give_back(self, seat: Seat | None) -> None:
        """A supervisor has ended, with its seat if it had one."""
        with self._lock:
            self._over += 1
            last = self._over == len(self._supervisors)
        self._pool.give_back(seat, last=last)

    def buried(self, seat: Seat) -> None:
        """The worker of a supervisor's seat has ended."""
        seats = [supervisor.seat for supervisor in self._supervisors]
        used = any(other is not None and other.worker is seat.worker for other in seats)
        self._pool.buried(seat, used=used)

    def how(self, code: int | None) -> str:
        """How a worker ended."""
        return exit_messages.how(code, code is not None and code < 0 and self._rules.starved(self._running()))

    # Watching ---------------------------------------------------------------------------------------------

    def moved(self, seat: Seat | None, items: int, item_s: float) -> None:
        """A task has ended, with so many items and seconds per item."""
        if seat is not None:
            added = seat.status.weighed[1]
            self._most_bytes = max(self._most_bytes, added if added >= WORTH_BYTES else 0)
        self.starting = False
        self._longest, self._moved = max(self._longest, item_s), self.clock()
        self.functions.ready()

    def look(self) -> None:
        """Say so when nothing has ended for far longer than items take."""
        from .stall_log import PATIENCE_S, TIMES, tell

        if self.clock() - self._last_sign() < max(PATIENCE_S, TIMES * self._longest):
            return
        with self._lock:
            waited = self.clock() - self._last_sign()
            if waited < PATIENCE_S:
                return
            self._moved, self._longest = self.clock(), max(self._longest, waited)
        tell(self._supervisors, waited, self.clock())

    def still(self, supervisor: Supervisor, *, begun: bool) -> None:
        """Say so when one worker stands still, unless all do and that was said."""
        from .stall_log import stands_still

        stands_still(supervisor, self.clock(), begun=begun)

    def _last_sign(self) -> float:
        """When a task ended last, or an item began."""
        seats = [supervisor.seat for supervisor in self._supervisors]
        return max(self._moved, *(seat.status.since for seat in seats if seat is not None))

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
        return {} if self._pool.fork_s is None else {"fork_start": self._pool.fork_s}

    # The end ----------------------------------------------------------------------------------------------

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """End the workers after the queued tasks, or at once with `kill`.

        Args:
            wait: return only when they are gone.
            kill: end running tasks.
        """
        if kill:
            self.killed = True
            self._pool.kill()
        if wait:
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join()
            self.functions.close()
        if wait or kill:
            self._pool.close()


def _still(seat: Seat | None, most: int) -> int:
    """Bytes that an item may still take from the memory, if it comes to `most` of them."""
    first = seat.status.weighed[0] if seat is not None else 0
    held = resident_of(seat.worker.pid) - first if seat is not None and first else 0
    return max(0, most - max(0, held))


def _plain(items: Sequence[Any]) -> bool:
    """Whether plain pickle sends these items as what they are: nothing in them lives in `__main__`."""
    return type(items) is range or all(type(item) in ATOMS for item in items)
