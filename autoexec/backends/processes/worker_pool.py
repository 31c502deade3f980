"""The workers of one call: found, forked or started, and let go."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from ...frozen import replace
from ...worker import process_state
from ..core_budget import limited
from . import idle, tracker
from .handles import Held
from .start import fork_worker, spawn_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..opening import Setting
    from .functions import Functions
    from .worker import Seat, Worker

__all__ = ["WorkerPool"]


class WorkerPool:
    """Hands out seats in worker processes.

    Args:
        setting: what the workers are for.
        functions: the functions of the call.
        scene: what the caller has set for its process.

    Attributes:
        fork_s: seconds that a fork took, or None.
        found: whether workers were there at once.
    """

    def __init__(self, setting: Setting, functions: Functions, scene: dict[str, object]) -> None:
        self._config, self._rules = replace(setting.config, tracker=tracker.running()), setting.rules
        self._setting, self._functions, self._scene = setting, functions, scene
        self._lock = threading.Lock()
        # Of several threads that want a seat in a worker of several seats, one starts it.
        self._starting = threading.Lock() if setting.config.threads > 1 else contextlib.nullcontext()
        self._seats: list[Seat] = []  # that nobody has taken yet
        self._workers: list[Worker] = []
        self._back: dict[Worker, int] = {}  # seats that were given back
        self._inherited: set[Worker] = set()
        self._limits = contextlib.ExitStack()
        self._killed = False
        self._number: int | None = None  # of the call's function
        self.fork_s: float | None = None
        self.found = False

    def prepare(self, count: int) -> list[Seat]:
        """Seats of workers of an earlier call, and of forked ones: all before any thread starts."""
        inherited = self._setting.inherited if self._setting.fork else None
        found, number = idle.take(
            count,
            self._config,
            self._rules.state,
            travels=self._rules.travels and not self._setting.fork,
            many=inherited is not None,
            fork=self._setting.fork,
        )
        for worker in found:
            self._adopt(worker)
        if self._setting.spec is not None:
            self._number = self._functions.number(self._setting.spec, number)
        missing = count - len(found)
        if self._setting.fork and self._setting.spec is not None and missing:
            self._fork(missing, inherited)
        self.found = bool(self._workers)
        seats, self._seats = self._seats, []
        return seats

    def _fork(self, count: int, inherited: Sequence[object] | None) -> None:
        assert self._setting.spec is not None
        assert self._number is not None
        began = self._setting.clock()
        known = self._setting.spec.know()
        self._limits.enter_context(limited(self._config.cores))  # workers are born with the limit
        held = Held()
        for _ in range(count):
            try:
                worker = fork_worker(self._config, {self._number: self._setting.spec}, inherited, held)
            except OSError:
                if not self._workers:
                    raise
                break  # fewer will do
            self._adopt(worker)
            worker.tables[self._number] = known.shadow(whole=True)
            for seat in worker.seats:
                seat.known.add(self._number)
                seat.scene = self._scene
            if inherited is not None:
                self._inherited.add(worker)
        self.fork_s = (self._setting.clock() - began) / count

    def _adopt(self, worker: Worker) -> None:
        self._workers.append(worker)
        self._seats += worker.seats

    def knows(self, seat: Seat) -> bool:
        """Whether a seat's worker has the function of the call already."""
        return self._number in seat.known

    def inherits(self, worker: Worker) -> bool:
        """Whether a worker has the input already."""
        return worker in self._inherited

    def seat(self) -> Seat:
        """A seat, in a worker that is started for it if there is none.

        Raises:
            OSError: if none can be started.
        """
        with self._starting:
            with self._lock:
                if self._seats:
                    return self._seats.pop(0)
            with_it = process_state.begun()
            worker = spawn_worker(self._config)
            for seat in worker.seats:
                seat.scene = with_it
            with self._lock:
                self._adopt(worker)
                if self._killed:
                    worker.kill()
                return self._seats.pop(self._seats.index(worker.seats[0]))

    def give_back(self, seat: Seat | None, *, last: bool) -> None:
        """A seat is not used any more: with the last of its seats a worker rests, or ends.

        Args:
            seat: the seat, or None where there was none.
            last: whether nobody will want a seat any more.
        """
        with self._lock:
            back = [seat] if seat is not None else []
            if last:
                back += self._seats  # that nobody has taken
                self._seats = []
            whole = [each.worker for each in back if self._count_back(each)]
            self._workers = [worker for worker in self._workers if worker not in whole]
        for worker in whole:  # which from here on is not ours to kill
            if self._killed or not self._rules.keep or not self._rest(worker):
                for each in worker.seats:
                    each.leave()

    def _count_back(self, seat: Seat) -> bool:
        """Whether this was the last seat of its worker in use."""
        self._back[seat.worker] = self._back.get(seat.worker, 0) + 1
        return self._back[seat.worker] == len(seat.worker.seats)

    def _rest(self, worker: Worker) -> bool:
        """Keep a worker for the next call, if it can be."""
        state, known = self._rules.state, worker.seats[0].known
        numbers = {self._number} & known if self._number is not None and state is not None else set()
        worker.states = dict.fromkeys([state] if numbers else [], self._number or 0)
        return idle.put(worker, numbers)

    def buried(self, seat: Seat, *, used: bool) -> None:
        """The worker of a seat has ended.

        Args:
            seat: the seat.
            used: whether others use seats of that worker.
        """
        with self._lock:
            others = [s for s in self._seats if s.worker is seat.worker]
            self._seats = [s for s in self._seats if s.worker is not seat.worker]
            if seat.worker in self._workers and not used:
                self._workers.remove(seat.worker)
            lasts = [self._count_back(each) for each in (seat, *others)]
        for each in seat.worker.seats if any(lasts) else (seat, *others):
            each.leave()

    def kill(self) -> None:
        """End all workers at once."""
        self._killed = True
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.end(kill=True)

    def close(self) -> None:
        """Lift the limits under which workers were born."""
        self._limits.close()
