"""Worker processes, each served by threads of the caller.

    submit ──► queue ──► lane (thread) ═ socket, shared page ═► seat in a worker process
                             └──► deliver(Finished)

A lane knows at any moment what its worker holds and which item of it runs, so that when the worker dies
exactly that item is named; a `ProcessPoolExecutor` cannot tell, and fails everything. The worker is replaced
for what is left.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence

from ..errors import WorkerDied
from . import deaths, kept
from .base import Chunk, Deliver
from .conduct import Setting
from .lane import Lane
from .native import limited
from .parcels import Parcel, by_value, pack
from .portable import with_traceback
from .sharing import relieve, share
from .start import Seat, Worker, fork_worker, scene_now, spawn_worker
from .tasks import Queue, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ProcessBackend"]

TOGETHER_S = 0.02  # seconds of short tasks that go to a worker together
TOGETHER_BYTES = 1 << 20  # and what they may weigh

_numbers = itertools.count(1)  # of functions; a worker may serve several backends, one after the other
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
    """

    name = "processes"

    def __init__(self, max_workers: int, deliver: Deliver, setting: Setting) -> None:
        self.deliver, self._packed, self._call = deliver, setting.packed, setting.call
        self._terms, self._conduct = setting.terms, setting.conduct
        self.item_timeout, self.strict = self._conduct.item_timeout, self._conduct.strict
        self.eager, self.killed = setting.eager, False
        self._unready: dict[int, float] = {}  # workers in a row that ended while they loaded the function
        self._deadly: Exception | None = None
        self.scene = scene_now()
        self._tasks = Queue()
        self._numbers: dict[int, int] = {}
        self._calls: list[Callable[..., Any]] = []
        self._parcels: dict[int, Parcel] = {}
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._seats: list[Seat] = []  # that no lane has taken yet
        self._workers: list[Worker] = []
        self._back: dict[Worker, int] = {}
        self._over = 0  # lanes that have ended
        self._inherited: set[Worker] = set()
        self._longest, self._moved = self._conduct.expected_s, time.monotonic()
        self._items, self._items_s, self._each_bytes = 0, 0.0, 1.0  # of items that have ended
        self._fork_s: float | None = None
        self._limits = contextlib.ExitStack()
        self._lanes: list[Lane] = []
        self._threads: list[threading.Thread] = []
        try:
            self._open(max_workers, setting)
        except BaseException:  # Ctrl-C in the middle of it, or a lack of threads
            self.close(wait=False, kill=True)
            raise

    def _open(self, max_workers: int, setting: Setting) -> None:
        self._prepare(max_workers, setting.inherited if setting.fork else None, fork=setting.fork)
        count = max_workers * self._terms.threads
        self._lanes = [Lane(self, self._seats.pop(0) if self._seats else None) for _ in range(count)]
        self._threads = [
            threading.Thread(target=lane.run, name=f"autoexec-lane-{i}", daemon=True)
            for i, lane in enumerate(self._lanes)
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

    def next_task(self, *, block: bool) -> Task | None:
        """The next task for a lane."""
        if not block:
            return self._longer(self._tasks.get(0.0))
        while not self.killed and not self._conduct.roomy(self._running()):
            time.sleep(0.05)
        while not self._tasks.over:
            task = self._tasks.get(relieve(self._lanes) if not len(self._tasks) else 0.0)
            if task is not None:
                return self._longer(task)
        return None

    def _longer(self, task: Task | None) -> Task | None:
        """A task with others behind it, where tasks turn out so short that each costs more than it should."""
        fair = len(self._tasks) // (2 * len(self._lanes)) + 1
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
        parts = [task] if alone else share(task, 2 * len(self._lanes))
        for part in reversed(parts):
            self._tasks.put_back(part)

    def plenty(self) -> bool:
        """Whether so many tasks wait that no other lane would miss one."""
        return len(self._tasks) >= len(self._lanes)

    def _running(self) -> int:
        return sum(lane.running is not None for lane in self._lanes)

    def encode(self, task: Task, number: int, seat: Seat) -> Parcel:
        """A task as bytes.

        Raises:
            Exception: if its items cannot be pickled.
        """
        start, items = task.send(next(_serials))
        if seat.worker in self._inherited:
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

    def number(self, call: Callable[..., Any]) -> int:
        """What workers know a function by."""
        with self._lock:
            number = self._numbers.get(id(call))
            if number is None:
                number = self._numbers[id(call)] = next(_numbers)
                self._calls.append(call)  # or another one could get its id
            return number

    def function(self, call: Callable[..., Any]) -> Parcel:
        """A function as bytes.

        Raises:
            Exception: if it cannot be pickled.
        """
        with self._lock:
            parcel = self._parcels.get(id(call))
            if self._deadly is not None:
                raise type(self._deadly)(*self._deadly.args)  # each task its own, for the notes on it
            if parcel is None:
                parcel = self._parcels[id(call)] = self._packed(call)
            return parcel

    def unready(self, pid: int, weight: float, error: Exception) -> None:
        """A worker ended while it loaded the function: after some in a row no other one is to try."""
        with self._lock:
            self._unready[pid] = weight  # of which several seats may tell
            if sum(self._unready.values()) >= deaths.MOST:
                self._deadly = error
                self._parcels.clear()

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

    def _prepare(self, count: int, inherited: Sequence[Any] | None, *, fork: bool) -> None:
        """Workers of an earlier call, or forked ones: all before the first lane starts."""
        conduct = self._conduct
        found, number = kept.take(
            count,
            self._terms,
            conduct.state,
            travels=conduct.travels and not fork,
            many=inherited is not None,
        )
        self._number = number or next(_numbers)
        if self._call is not None:
            self._numbers[id(self._call)] = self._number
        began = time.perf_counter()
        if fork and self._call is not None:
            missing = count - len(found)
            if missing:  # workers are born with the limit
                self._limits.enter_context(limited(self._terms.cores))
            for _ in range(missing):
                try:
                    worker = fork_worker(self._terms, {self._number: self._call}, inherited)
                except OSError:
                    if not found:
                        raise
                    break  # fewer will do
                found.append(worker)
                self._workers.append(worker)
                for seat in worker.seats:
                    seat.known.add(self._number)
                if inherited is not None:
                    self._inherited.add(worker)
            self._fork_s = (time.perf_counter() - began) / missing if missing else None
        self._starting_up = not found
        for worker in found:
            self._adopt(worker)

    @property
    def served(self) -> bool:
        """Whether any worker is there, or being started."""
        return any(lane.seat is not None or lane.seeks for lane in self._lanes)

    def _adopt(self, worker: Worker) -> None:
        if worker not in self._workers:
            self._workers.append(worker)
        self._seats += worker.seats

    def seat(self) -> Seat:
        """A seat for a lane, in a worker that is started for it if there is none.

        Raises:
            OSError: if none can be started.
        """
        with self._starting if self._terms.threads > 1 else _NO_LOCK:
            with self._lock:
                if self._seats:
                    return self._seats.pop(0)
            worker = spawn_worker(self._terms)
            with self._lock:
                self._adopt(worker)
                if self.killed:
                    worker.kill()
                return self._seats.pop(self._seats.index(worker.seats[0]))

    def give_back(self, seat: Seat | None) -> None:
        """A lane has ended: with the last of its seats a worker rests, or ends."""
        with self._lock:
            self._over += 1
            back = [seat] if seat is not None else []
            if self._over == len(self._lanes):
                back += self._seats  # that no lane has taken
                self._seats = []
            whole = [each.worker for each in back if self._count_back(each)]
            self._workers = [worker for worker in self._workers if worker not in whole]
        for worker in whole:  # which from here on is not ours to kill
            if self.killed or not self._conduct.keep or not self._rest(worker):
                for each in worker.seats:
                    each.leave()

    def _count_back(self, seat: Seat) -> bool:
        """Whether this was the last seat of its worker in use."""
        self._back[seat.worker] = self._back.get(seat.worker, 0) + 1
        return self._back[seat.worker] == len(seat.worker.seats)

    def _rest(self, worker: Worker) -> bool:
        """Keep a worker for the next call, if it can be."""
        known = {self._number} & worker.seats[0].known if self._conduct.state is not None else set()
        worker.states = dict.fromkeys([self._conduct.state] if known else [], self._number)
        return kept.put(worker, known)

    def buried(self, seat: Seat) -> None:
        """The worker of a seat has ended."""
        with self._lock:
            others = [s for s in self._seats if s.worker is seat.worker]
            self._seats = [s for s in self._seats if s.worker is not seat.worker]
            if seat.worker in self._workers and all(
                lane.seat is None or lane.seat.worker is not seat.worker for lane in self._lanes
            ):
                self._workers.remove(seat.worker)
            lasts = [self._count_back(each) for each in (seat, *others)]
        for each in seat.worker.seats if any(lasts) else (seat, *others):
            each.leave()

    def how(self, code: int) -> str:
        """How a worker ended."""
        return deaths.how(code, code < 0 and self._conduct.starved())

    # Watching ---------------------------------------------------------------------------------------------

    def moved(self, items: int, item_s: float) -> None:
        """A task has ended, with so many items and seconds per item."""
        self._starting_up = False
        self._items, self._items_s = self._items + items, self._items_s + items * item_s
        self._longest, self._moved = max(self._longest, item_s), time.monotonic()
        self._unready = {}

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
        tell(self._lanes, waited)

    def _last_sign(self) -> float:
        """When a task ended last, or an item began."""
        seats = [lane.seat for lane in self._lanes]
        return max(self._moved, *(seat.slate.since for seat in seats if seat is not None))

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
        return {} if self._fork_s is None else {"fork_start": self._fork_s}

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
            with self._lock:
                workers = list(self._workers)
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.end(kill=True)
        self._tasks.close()
        if wait:
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join()
            self._release()
        if wait or kill:
            self._limits.close()

    def _release(self) -> None:
        with self._lock:
            parcels, self._parcels = list(self._parcels.values()), {}
        for parcel in parcels:
            parcel.close()


class _NoLock:
    def __enter__(self) -> None:
        return

    def __exit__(self, *args: object) -> None:
        return


_NO_LOCK = _NoLock()
_ATOMS = (int, float, str, bytes, bool, type(None))


def _plain(items: Sequence[Any]) -> bool:
    """Whether plain pickle sends these items as what they are: nothing in them lives in `__main__`."""
    return type(items) is range or all(type(item) in _ATOMS for item in items)
