"""What only executors ask for: their calls, one by one."""

from __future__ import annotations

import heapq
from _thread import get_ident
from functools import partial

from ..worker.invoke import Task
from .changes import Changes
from .delivery import Delivery
from .handing_out import HandingOut
from .ledger import Ledger
from .queues import TaskQueue
from .slot_mail import Mail
from .tracks import Slot, Track
from .turns import Turns
from .waiting import Waiting

__all__ = ["Calls"]

TOLD_S = 0.001  # seconds between two looks at futures that are told of their ends just now
PATIENCE = 5000  # such looks without anybody who tells one


class Calls:
    """The calls of an executor.

    Args:
        ledger: the tables.
        turns: the lock, and what is done after it.
        mail: what slots are told.
        waiting: where tasks wait.
        delivery: what is told at the end.
        changes: what becomes of tracks.
        handing_out: who gets what.
    """

    def __init__(
        self,
        ledger: Ledger,
        turns: Turns,
        mail: Mail,
        waiting: Waiting,
        delivery: Delivery,
        changes: Changes,
        handing_out: HandingOut,
    ) -> None:
        self._ledger, self._turns, self._mail, self._waiting = ledger, turns, mail, waiting
        self._delivery, self._changes, self._handing_out = delivery, changes, handing_out

    def put(self, task: Task, queue: TaskQueue) -> None:
        """A call of an executor; from any thread, signal handlers and finalizers included."""
        self._turns.post(self._on_put, task, queue)

    def cancelled(self, task: Task) -> bool:
        """Nobody wants a call any more; whether it was still waiting, as far as that is known at once."""
        gone: list[bool] = []
        self._turns.post(self._on_cancelled, task, gone)
        return bool(gone)

    def waiting(self, queue: TaskQueue | None = None) -> list[Task]:
        """The calls that wait, or that are to run again."""

        def step(_: float) -> list[Task]:
            queues = self._ledger.queues if queue is None else [queue]
            found = [task for each in queues for task in each.waiting()]
            return found + [task for _, _, task, where in self._ledger.retries if queue in (None, where)]

        # A signal handler may ask, too: what it sees may be in the middle of a change.
        return step(0.0) if self._turns.within else self._turns.locked(step)

    def take_back(self, task: Task) -> bool:
        """Take a call away that waits, or that is to run again; False if somebody has it."""

        def step(_: float) -> bool:
            again = next((entry for entry in self._ledger.retries if entry[2] is task), None)
            if again is not None:
                self._ledger.retries.remove(again)
                heapq.heapify(self._ledger.retries)
                self._waiting.withdraw(again[3], task)
                return True
            return self._waiting.drop(task)

        return bool(self._turns.locked(step))

    def left(self, track: Track) -> list[Task]:
        """The tasks that the slots of a track have; nobody waits for them any more."""

        def step(_: float) -> list[Task]:
            found = [task for task, slot in self._ledger.out.values() if slot.track is track]
            for task in found:
                slot = self._ledger.out.pop(task.serial)[1]
                del slot.tasks[task.serial]
                slot.left = True
                if not slot.tasks:
                    self._mail.free_one(track)
                self._ledger.left += len(task.items)
                self._ledger.calls.discard(task)
            return found

        return self._turns.locked(step)  # type: ignore[no-any-return]

    def take_over(self, slot: Slot, task: Task) -> bool:
        """Give a task that waits to a slot of a track that nobody else knows; False if it does not wait."""

        def step(now: float) -> bool:
            queue = self._waiting.pull_out(task)
            if queue is None:
                return False
            slot.track.queue = queue
            if queue.limits is not None:  # it counts, whatever they say: somebody waits for it
                task.ticket = queue.limits.begin(task.group.group, now)
            self._handing_out.give_to(slot, task, now)
            return True

        return bool(self._turns.locked(step))

    def move(self, source: TaskQueue, target: TaskQueue) -> None:
        """The calls of one queue wait in another one from now on."""

        def step(_: float) -> None:
            self._waiting.move(source, target)

        self._turns.soon(step)

    def enlarge(self, track: Track, more: int) -> None:
        """A track may have so many more slots."""

        def step(_: float) -> None:
            track.most += more
            track.allowed += more

        self._turns.soon(step)

    def join(self) -> None:
        """Wait until all calls that were put are done; `close(finish=True)` comes first."""
        while not self._turns.locked(lambda _: self._ready_to_end()):
            self._delivery.wait(0.25)
        left = PATIENCE
        while left and self._untold():
            self._delivery.wait(TOLD_S)
            left = PATIENCE if self._ledger.telling else left - 1

    def _untold(self) -> bool:
        """Whether futures are not done, or other threads run their callbacks."""
        me, telling = get_ident(), self._ledger.telling
        return any(
            telling.get(task, me) != me or not (task in telling or task.future.done())
            for task in list(self._ledger.calls)
        )

    def _on_put(self, now: float, task: Task, queue: TaskQueue) -> None:
        self._ledger.put += 1
        task.place = self._ledger.put
        if self._ledger.error is not None:
            self._ledger.withdrawn += 1
            task.group = None
            self._turns.acts.append(partial(self._delivery.fail_call, task))
            return
        self._ledger.calls.add(task)
        self._waiting.put(task, queue, task.group or "")

    def _on_cancelled(self, now: float, task: Task, gone: list[bool]) -> None:
        if self._waiting.drop(task):
            gone.append(True)

    def _ready_to_end(self) -> bool:
        if self._ledger.under_way() and self._ledger.error is None:
            self._delivery.want()
            return False
        for track in self._ledger.tracks:
            self._changes.drain(track)
        return True
