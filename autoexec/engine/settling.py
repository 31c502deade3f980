"""What becomes of a task that has ended: each of its items into the table where it belongs now.

Judging (the user's code) and writing (the journal) are done without the scheduler's lock, all else under it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial

from ..worker.invoke import Error, Task, TaskResult, fatal
from .ledger import Ledger
from .queues import Line, TaskQueue, counted, part
from .result_order import Failed
from .slot_mail import Mail
from .tracks import DONE, Slot
from .turns import Turns
from .waiting import Waiting, leave

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .verdict import Try

__all__ = ["Settling"]


class Settling:
    """What becomes of tasks.

    Args:
        ledger: the tables.
        turns: the lock, and what is done after it.
        mail: what slots are told.
        waiting: where tasks wait.
        keep: writes finished items into a journal, or None.
        ends_at_error: whether an error ends the results, so that nothing behind it need begin.
        resolve: tells the future of an executor's call what became of it; None for a map.
    """

    def __init__(
        self,
        ledger: Ledger,
        turns: Turns,
        mail: Mail,
        waiting: Waiting,
        *,
        keep: Callable[[int, list[Any]], None] | None,
        ends_at_error: bool,
        resolve: Callable[..., object] | None = None,
    ) -> None:
        self._ledger, self._turns, self._mail, self._waiting = ledger, turns, mail, waiting
        self._keep, self._ends_at_error = keep, ends_at_error
        self._resolve: Any = resolve

    def judged(self, slot: Slot, task: Task, result: TaskResult) -> list[Try]:
        """What items say of the other side, and which should run again: the user's code, no lock."""
        limits = slot.track.queue.limits
        if limits is None or result.withdrawn:
            return []
        if result.clean and len(result.outcomes) == 1 and type(result.outcomes[0]) in limits.plain:
            return []  # as with most calls: it went well, and there is nothing that could say more
        try:
            return limits.judge(task, result, self._turns.clock())
        except BaseException as error:  # such as SystemExit, from a function that says what is worth a retry
            self._turns.crashed(error)
            result.outcomes, result.clean = [], False  # the run ends with this, and not with the item's error
            return []

    def on_done(
        self, now: float, slot: Slot, task: Task, result: TaskResult, tries: list[Try], ask: bool
    ) -> None:
        """A slot has run a task; with `ask` it wants another one."""
        out = self._ledger.out
        if out.get(task.serial, (None, None))[1] is not slot:
            # Given up meanwhile, or somebody else's by now: a second answer is refused, the slot is nobody's.
            slot.left = True
        else:
            del out[task.serial]
            track = slot.track
            del slot.tasks[task.serial]
            slot.began = now
            if not slot.tasks:
                self._mail.free_one(track)
            count = len(result.outcomes)
            if count:
                wall = result.ended - result.began
                track.done += count
                track.wall_s += wall
                track.cpu_s += result.cpu_s
                track.note(count, wall, result.cpu_s)
            self.settle(now, slot, task, result, tries)
        if slot.gate is None:
            self._turns.acts += slot.todo  # nobody waits at its gate to do it
            slot.todo.clear()
        if ask:
            self._mail.park(slot)
            if slot.todo:
                slot.open_gate()  # it has something to do, with or without a task
        elif slot.gate is not None:
            self._mail.tell(slot, DONE)

    def settle(self, now: float, slot: Slot, task: Task, result: TaskResult, tries: list[Try]) -> None:
        """Each item of a task into the table where it belongs now."""
        queue, outcomes = slot.track.queue, result.outcomes
        line: Line | None = task.group
        self.tell_limits(now, task, result, tries)
        if result.withdrawn:
            self._waiting.withdraw(queue, task)
            return
        goes = True
        if len(task.items) > len(outcomes):
            goes = not self._waiting.back(slot.track, task, len(outcomes), split=result.split)
        problems = {one.at: one for one in tries if one.error is not None}
        if result.clean and not problems:
            self._finish(slot, task, task.place, outcomes)
            if goes:
                leave(queue, line)
            return
        final: list[Any] = []
        start = task.place
        for at, outcome in enumerate(outcomes):
            problem = problems.get(at)
            if problem is not None and self._again(now, queue, task, at, problem, result):
                self._finish(slot, task, start, final)
                final, start = [], task.place + at + 1
            elif type(outcome) is Error:
                final.append(self.given_up(queue, task, at, outcome, problem, result.worker))
            else:
                final.append(outcome)
        self._finish(slot, task, start, final)
        if goes:
            leave(queue, line)

    def tell_limits(self, now: float, task: Task, result: TaskResult, tries: list[Try]) -> None:
        """A call has ended, under the limits under which it began."""
        line: Line | None = task.group
        if line is None:
            return
        limits, ticket, task.ticket = line.limits, task.ticket, None
        count = len(result.outcomes)
        if not count:
            limits.cancel(line.group, ticket, now)
        else:
            seconds = (result.ended - result.began) / count
            limits.end(
                line.group, ticket, now, tries[0].answer if tries else limits.fine, seconds, result.cpu_s
            )
            for one in tries[1:]:
                limits.also(line.group, now, one.answer, seconds)
        for other in self._ledger.queues:
            if other.limits is limits:
                other.ended(line.group)

    def _again(
        self, now: float, queue: TaskQueue, task: Task, at: int, problem: Try, result: TaskResult
    ) -> bool:
        """Whether an item that failed runs again; it then waits for its time."""
        single = len(task.items) == 1
        again = task if single else part(task, at, at + 1)
        if not single:
            again.attempt, again.since = 1, task.since
        again.notes = problem.notes = [*again.notes, problem.note(again.attempt, result)]
        if problem.delay_s is None or self._ledger.closing or queue.limits is None or again.group is None:
            return False  # without a group: it began before there were limits
        refusal = queue.limits.may_retry(again.group.group, problem.answer)
        if refusal:
            again.notes.append(refusal)
            return False
        ledger = self._ledger
        ledger.serial += 1
        heapq.heappush(ledger.retries, (now + problem.delay_s, ledger.serial, counted(again), queue))
        return True

    def given_up(
        self, queue: TaskQueue, task: Task, at: int, outcome: Error, problem: Try | None, worker: str
    ) -> Failed:
        """An item that has failed for good."""
        place = task.place + at
        notes = problem.notes if problem is not None else task.notes
        if queue.limits is not None:
            kind = problem.kind if problem is not None else ""
            name = task.group.group.name if task.group is not None else ""
            queue.limits.failed(kind or type(outcome.error).__qualname__, name)
        ledger = self._ledger
        if task.future is None and (self._ends_at_error or fatal(outcome.error)):
            ledger.below = min(ledger.below, place if ledger.window.ordered else -1)
            if ledger.source is not None and ledger.source.scattered:
                ledger.source.end_at(place)
        ledger.window.failures = True
        return Failed(outcome.error, place, task.items[at], task.spec.star, worker, notes)

    def _finish(self, slot: Slot, task: Task, place: int, outcomes: list[Any]) -> None:
        """Items that have come to an end: to the consumer, to the journal first, or to their future."""
        if not outcomes:
            return
        if task.future is not None:
            self._ledger.resolved += len(outcomes)
            slot.todo.append(partial(self._resolve, self._ledger, task, outcomes[0]))
        elif self._keep is not None and not all(type(outcome) is Failed for outcome in outcomes):
            self._ledger.serial += 1
            held = part(task, place - task.place, place - task.place + len(outcomes))
            held.serial = self._ledger.serial
            self._ledger.keeping[held.serial] = held
            slot.todo.append(partial(self._write, held, outcomes))
        else:
            self._ledger.window.add(place, outcomes)

    def _write(self, task: Task, outcomes: list[Any]) -> None:
        """Items into the journal: in the worker's own thread, without the lock."""
        assert self._keep is not None
        try:
            self._keep(task.place, outcomes)
        except BaseException as error:
            self._turns.crashed(error)
        for item, outcome in zip(task.items, outcomes, strict=True):
            if type(outcome) is Failed:  # a result that cannot be kept, too
                outcome.item, outcome.star = item, task.spec.star
        self._turns.post(self._on_kept, task, task.place, outcomes)

    def _on_kept(self, now: float, task: Task, place: int, outcomes: list[Any]) -> None:
        if self._ledger.keeping.pop(task.serial, None) is not None:
            self._ledger.window.add(place, outcomes)

    def refuse(self, queue: TaskQueue) -> None:
        """Tasks of a group that asked to be left alone for too long."""
        tasks, queue.refused = queue.refused, []
        for task in tasks:
            queue.items -= len(task.items)
            line: Line = task.group
            for at in range(len(task.items)):
                error = Error(line.group.refusal())
                failed = self.given_up(queue, task, at, error, None, "no worker")
                if task.future is not None:
                    self._ledger.resolved += 1
                    self._turns.acts.append(partial(self._resolve, self._ledger, task, failed))
                else:
                    self._ledger.window.add(task.place + at, [failed])
            queue.let_go(line)
