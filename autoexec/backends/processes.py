"""Worker processes, each served by threads of the caller.

    submit ──► queue ──► courier (thread) ═ socket, shared page ═► seat in a worker process
                            └──► deliver(Finished)

A courier knows at any moment what its worker holds and which item of it runs, so that when the worker dies
exactly that item is named; a `ProcessPoolExecutor` cannot tell, and fails everything. The worker is replaced
for what is left.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence

from ..errors import WorkerDied
from ..resident import resident_of
from . import deaths
from .base import Chunk, Deliver
from .conduct import Setting
from .courier import Courier
from .functions import Functions
from .parcels import Parcel, by_value, pack
from .portable import with_traceback
from .sharing import relieve, share
from .staff import Staff
from .tasks import Queue, Task
from .workers import Seat, scene_now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ProcessBackend"]

TOGETHER_S = 0.02  # seconds of short tasks that go to a worker together
TOGETHER_BYTES = 1 << 20  # and what they may weigh
WORTH_BYTES = 16 << 20  # of memory, below which a worker's growth may be pages of its libraries

_serials = itertools.count(1)  # of tasks


class ProcessBackend:
    """Runs tasks in worker processes.

    Args:
        max_workers: processes.
        deliver: receives each finished task.
        setting: what they are for. Workers are forked only where `may_fork()` has nothing against it.

    Attributes:
        item_timeout: see `Conduct`.
        strict: see `Conduct`.
        eager: see `Setting`.
        killed: whether running tasks were ended.
        scene: directory, environment and import path of this call.
        functions: what workers are sent.
    """

    name = "processes"

    def __init__(self, max_workers: int, deliver: Deliver, setting: Setting) -> None:
        self.deliver = deliver
        self._conduct = setting.conduct
        self.item_timeout, self.strict = self._conduct.item_timeout, self._conduct.strict
        self.eager, self.killed = setting.eager, False
        self.scene = scene_now()
        self.functions = Functions(setting.packed)
        self._staff = Staff(setting, self.functions)
        self._tasks = Queue()
        self._lock = threading.Lock()
        self._starting_up = True
        self._over = 0  # couriers that have ended
        self._longest, self._moved = self._conduct.expected_s, time.monotonic()
        self._items, self._items_s, self._each_bytes = 0, 0.0, 1.0  # of items that have ended
        self._most_bytes = 0  # that an item was seen to add to a worker
        self._couriers: list[Courier] = []
        self._threads: list[threading.Thread] = []
        try:
            self._open(max_workers, setting)
        except BaseException:  # Ctrl-C in the middle of it, or a lack of threads
            self.close(wait=False, kill=True)
            raise

    def _open(self, max_workers: int, setting: Setting) -> None:
        seats: list[Seat | None] = [*self._staff.prepare(max_workers)]
        self._starting_up = not self._staff.found
        count = max_workers * setting.terms.threads
        seats += [None] * (count - len(seats))
        self._couriers = [Courier(self, seat) for seat in seats]
        self._threads = [
            threading.Thread(target=courier.run, name=f"autoexec-courier-{i}", daemon=True)
            for i, courier in enumerate(self._couriers)
        ]
        for thread in self._threads:
            thread.start()

    # Tasks ------------------------------------------------------------------------------------------------

    def submit(self, chunk: Chunk) -> None:
        """Queue a task."""
        self._tasks.put(Task(chunk))

    def withdraw(self) -> list[Chunk]:
        """Give back the tasks that no worker has begun."""
        return [task.chunk for task in self._tasks.withdraw()]

    def spare(self) -> Chunk | None:
        """A task for the caller's own thread, as long as no worker is there to run it."""
        task = self._tasks.steal() if self._starting_up else None
        return task.chunk if task is not None and task.wanted() else None

    def next_task(self, seat: Seat | None, *, block: bool) -> Task | None:
        """The next task for a courier, who serves this seat."""
        if not block:
            return self._longer(self._tasks.get(0.0))
        while not self.killed and not self._roomy(seat):
            time.sleep(0.05)
        while not self._tasks.over:
            task = self._tasks.get(relieve(self._couriers) if not len(self._tasks) else 0.0)
            if task is not None:
                return self._longer(task)
        return None

    def _longer(self, task: Task | None) -> Task | None:
        """A task with others behind it, where tasks turn out so short that each costs more than it should."""
        fair = len(self._tasks) // (2 * len(self._couriers)) + 1
        if task is None or fair < 2 or not self._conduct.merge or not self._items:
            return task
        items = min(TOGETHER_S * self._items / max(1e-6, self._items_s), TOGETHER_BYTES / self._each_bytes)
        return self._tasks.more(task, fair, int(items)) if items >= 2 else task

    def under_way(self) -> None:
        """A task was sent: who has nothing to do may get a part of it."""
        self._tasks.stir()

    def put_back(self, task: Task) -> None:
        """What is left of a task is to be run by whoever comes first."""
        if self.killed:
            return
        alone = task.single or len(task.rest) == 1
        parts = [task] if alone else share(task, 2 * len(self._couriers))
        for part in reversed(parts):
            self._tasks.put_back(part)

    def plenty(self) -> bool:
        """Whether so many tasks wait that no other courier would miss one."""
        return len(self._tasks) >= len(self._couriers)

    def _running(self) -> int:
        return sum(courier.running is not None for courier in self._couriers)

    def _roomy(self, seat: Seat | None) -> bool:
        def still(most: int) -> int:
            running = [courier.seat for courier in self._couriers if courier.running is not None]
            return sum(_still(each, most) for each in (*running, seat))

        return self._conduct.roomy(self._running(), self._most_bytes, still)

    def encode(self, task: Task, number: int, seat: Seat) -> Parcel:
        """A task as bytes.

        Raises:
            Exception: if its items cannot be pickled.
        """
        start, items = task.send(next(_serials))
        if self._staff.inherits(seat.worker):
            return pack((number, task.chunk.star, start, start + len(items)))
        content = (number, task.chunk.star, start, items)
        parcel = self._packed_items(content, seat)
        self._each_bytes = max(1.0, parcel.size / max(1, len(items)))
        return parcel

    @staticmethod
    def _packed_items(content: tuple[int, bool, int, Sequence[Any]], seat: Seat) -> Parcel:
        if seat.worker.forked and not seat.worker.rested:
            try:
                return pack(content)
            except Exception:
                pass  # a lambda or a local class among the items
        # A fresh interpreter has another __main__, one at rest an old one: what lives there goes by value.
        return pack(content) if _plain(content[3]) else by_value(content)

    def explained(self, error: BaseException, task: Task) -> Exception:
        """The error of an item that cannot be pickled."""
        from ..errors import unpacked
        from ..unpicklable import explain

        if isinstance(error, WorkerDied):
            return error
        item = unpacked(task.chunk.items[len(task.values)], task.chunk.star)
        found = TypeError(explain(item, "args"))
        found.__cause__ = error
        return found

    @staticmethod
    def revived(error: BaseException, text: str) -> BaseException:
        """An error with the traceback of the other side."""
        return with_traceback(error, text) if text else error

    # Workers ----------------------------------------------------------------------------------------------

    def seat(self) -> Seat:
        """A seat for a courier.

        Raises:
            OSError: if no worker can be started.
        """
        return self._staff.seat()

    @property
    def served(self) -> bool:
        """Whether any worker is there, or being started."""
        return any(courier.seat is not None or courier.seeks for courier in self._couriers)

    def give_back(self, seat: Seat | None) -> None:
        """A courier has ended, with its seat if it had one."""
        with self._lock:
            self._over += 1
            last = self._over == len(self._couriers)
        self._staff.give_back(seat, last=last)

    def buried(self, seat: Seat) -> None:
        """The worker of a courier's seat has ended."""
        seats = [courier.seat for courier in self._couriers]
        used = any(other is not None and other.worker is seat.worker for other in seats)
        self._staff.buried(seat, used=used)

    def how(self, code: int) -> str:
        """How a worker ended."""
        return deaths.how(code, code < 0 and self._conduct.starved(self._running()))

    # Watching ---------------------------------------------------------------------------------------------

    def moved(self, seat: Seat | None, items: int, item_s: float) -> None:
        """A task has ended, with so many items and seconds per item."""
        if seat is not None:
            added = seat.slate.weighed[1]
            self._most_bytes = max(self._most_bytes, added if added >= WORTH_BYTES else 0)
        self._starting_up = False
        self._items, self._items_s = self._items + items, self._items_s + items * item_s
        self._longest, self._moved = max(self._longest, item_s), time.monotonic()
        self.functions.ready()

    def look(self) -> None:
        """Say so when nothing has ended for far longer than items take."""
        from .watchdog import PATIENCE_S, TIMES, tell

        if time.monotonic() - self._last_sign() < max(PATIENCE_S, TIMES * self._longest):
            return
        with self._lock:
            waited = time.monotonic() - self._last_sign()
            if waited < PATIENCE_S:
                return
            self._moved, self._longest = time.monotonic(), max(self._longest, waited)
        tell(self._couriers, waited)

    def _last_sign(self) -> float:
        """When a task ended last, or an item began."""
        seats = [courier.seat for courier in self._couriers]
        return max(self._moved, *(seat.slate.since for seat in seats if seat is not None))

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
        return {} if self._staff.fork_s is None else {"fork_start": self._staff.fork_s}

    # The end ----------------------------------------------------------------------------------------------

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """End the workers after the queued tasks, or at once with `kill`.

        Args:
            wait: return only when they are gone.
            kill: end running tasks.
        """
        if kill:
            self.killed = True
            self._tasks.clear()
            self._staff.kill()
        self._tasks.close()
        if wait:
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join()
            self.functions.close()
        if wait or kill:
            self._staff.close()


def _still(seat: Seat | None, most: int) -> int:
    """Bytes that an item may still take from the memory, if it comes to `most` of them."""
    first = seat.slate.weighed[0] if seat is not None else 0
    held = resident_of(seat.worker.pid) - first if seat is not None and first else 0
    return max(0, most - max(0, held))


_ATOMS = (int, float, str, bytes, bool, type(None))


def _plain(items: Sequence[Any]) -> bool:
    """Whether plain pickle sends these items as what they are: nothing in them lives in `__main__`."""
    return type(items) is range or all(type(item) in _ATOMS for item in items)
