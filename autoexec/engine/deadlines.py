"""Time: what is due, and what becomes of calls that take longer than `item_timeout=`."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from functools import partial

from ..errors import ItemTimeout
from ..records import spell
from ..worker.invoke import Error, Task, TaskResult
from .handing_out import MANY, HandingOut
from .ledger import Ledger
from .settling import Settling
from .slot_mail import Mail
from .tracks import Slot, Track
from .turns import Turns
from .verdict import Try
from .waiting import Waiting

__all__ = ["Deadlines"]


class Deadlines:
    """What happens when its time has come.

    Args:
        ledger: the tables.
        turns: the lock, and what is done after it.
        mail: what slots are told.
        waiting: where tasks wait.
        settling: what becomes of tasks that have ended.
        handing_out: who gets what.
        item_timeout: seconds that one call may take, or None; some backends see to it themselves.
        timer: told when to tick next, without the lock.

    Attributes:
        told: when to tick, at the latest, as the timer knows.
    """

    def __init__(
        self,
        ledger: Ledger,
        turns: Turns,
        mail: Mail,
        waiting: Waiting,
        settling: Settling,
        handing_out: HandingOut,
        *,
        item_timeout: float | None,
        timer: Callable[[float], object],
    ) -> None:
        self._ledger, self._turns, self._mail, self._waiting = ledger, turns, mail, waiting
        self._settling, self._handing_out = settling, handing_out
        self._item_timeout, self._timer = item_timeout, timer
        self.told = math.inf

    def set(self) -> None:
        """Have the timer told when to tick next, if that is sooner than it knows."""
        due = self.due()
        if due < self.told:
            self.told = due
            self._turns.acts.append(partial(self._timer, due))

    def due(self) -> float:
        """When something is due next; infinite if nothing is."""
        ledger, due = self._ledger, math.inf
        for queue in ledger.queues:
            due = min(due, queue.due)
        if ledger.retries:
            due = min(due, ledger.retries[0][0])
        if ledger.timed:
            due = min(due, ledger.timed[0][0])
        return due

    def on_due(self, now: float) -> None:
        """Do what is due."""
        ledger = self._ledger
        self._handing_out.look = MANY
        for queue in ledger.queues:
            queue.ring(now)
        while ledger.retries and ledger.retries[0][0] <= now:
            _, _, task, queue = heapq.heappop(ledger.retries)
            self._waiting.put_again(queue, task)
        while ledger.timed and (ledger.timed[0][0] <= now or ledger.timed[0][1] not in ledger.out):
            _, serial = ledger.timed.popleft()
            if serial in ledger.out:
                self._overdue(now, *ledger.out[serial])

    def _overdue(self, now: float, task: Task, slot: Slot) -> None:
        """The patience with a call is over: nobody waits for it, and another slot takes its place."""
        track, limit = slot.track, self._item_timeout or 0.0
        del self._ledger.out[task.serial]
        del slot.tasks[task.serial]
        self._ledger.late[task.serial] = task
        slot.left = True
        track.slots.discard(slot)
        self._mail.free_one(track)
        error = ItemTimeout(f"the call took longer than item_timeout={limit:g} s and was given up")
        where = f"a worker; given up after {spell(limit)}"
        result = TaskResult([Error(error)], now - limit, now, 0.0, where)
        assert track.backend is not None
        self._turns.acts.append(partial(self._give_up, track, slot, task, result))

    def _give_up(self, track: Track, slot: Slot, task: Task, result: TaskResult) -> None:
        """What follows when a call is given up: the user's code is asked whether it runs again."""
        assert track.backend is not None
        track.backend.abandon(slot, task)
        tries = self._settling.judged(slot, task, result)
        self._turns.post(self._settle_late, Slot(track, threaded=False), task, result, tries)

    def _settle_late(self, now: float, slot: Slot, task: Task, result: TaskResult, tries: list[Try]) -> None:
        del self._ledger.late[task.serial]
        self._settling.settle(now, slot, task, result, tries)
        self._turns.acts += slot.todo
        slot.todo.clear()
