"""Who gets what: tasks for slots that ask, from what waits, or cut from the source.

Rule: when the scheduler's lock is let go, no open track has both a parked slot and a task that it may begin.
Finding out whom items concern (`name`) may be the user's code: without the lock. All else is done under it.
"""

from __future__ import annotations

import math
from functools import partial

from ..errors import AutoexecError, add_note
from ..worker.invoke import CallSpec, Error, Task
from .changes import Changes
from .ledger import Ledger
from .queues import TaskQueue, part
from .settling import Settling
from .slot_mail import Mail
from .tracks import DONE, Naming, Slot, Track, TrackState
from .turns import Turns
from .waiting import Waiting

__all__ = ["MANY", "HandingOut"]

FEW, MANY = 8, 256  # items that one look pulls from the source for groups that cannot begin any
QUICK_S = 2e-5  # seconds: where it takes less to find out whom an item concerns, some are done in one go
TOGETHER = 8  # so many at most


class HandingOut:
    """Gives tasks to slots.

    Args:
        ledger: the tables.
        turns: the lock, and what is done after it.
        mail: what slots are told.
        waiting: where tasks wait.
        settling: what becomes of tasks that have ended, if only because nobody may be called.
        changes: what becomes of tracks.
        spec: what a map calls; None for an executor, whose tasks bring their own.
        item_timeout: seconds that one call may take, or None.

    Attributes:
        look: items that may still be pulled from the source for groups that cannot begin any.
    """

    def __init__(
        self,
        ledger: Ledger,
        turns: Turns,
        mail: Mail,
        waiting: Waiting,
        settling: Settling,
        changes: Changes,
        *,
        spec: CallSpec | None,
        item_timeout: float | None,
    ) -> None:
        self._ledger, self._turns, self._mail, self._waiting = ledger, turns, mail, waiting
        self._settling, self._changes = settling, changes
        self._spec, self._item_timeout = spec, item_timeout
        self.look = FEW
        self._slow_names, self._together = False, 1

    def on_asked(self, now: float, slot: Slot) -> None:
        """A slot has nothing to do."""
        if slot.tasks and not self._ledger.closing:
            self._turns.crash(
                AutoexecError(f"a worker of {slot.track.name} has lost {len(slot.tasks)} tasks")
            )
        self._mail.park(slot)

    def on_asked_ahead(self, now: float, slot: Slot) -> None:
        """A slot that has a task wants one more."""
        track, found = slot.track, None
        patient = self._item_timeout is None  # else no item may wait behind one that takes too long
        if patient and track.state is TrackState.OPEN and not track.held and self._plenty(track):
            found = self.pick(track, now, naming=False)
        if isinstance(found, Task):
            self.give_to(slot, found, now)
        elif isinstance(found, Naming):  # the first of its kind: it is for a slot that has nothing to do
            found.put_back()
        self._mail.tell(slot, found if isinstance(found, Task) else DONE)

    def _plenty(self, track: Track) -> bool:
        """Whether so much waits that no other slot would miss a task."""
        count = track.queue.items
        if self._ledger.source is not None:
            count += max(0, min(self._ledger.source.at_hand, self._ledger.to_take()))
        return count >= len(track.slots) * track.chunks.size

    def match(self, now: float) -> None:
        """Give tasks to slots that wait, and make slots where more may begin than wait."""
        ledger = self._ledger
        self.look = max(self.look, FEW)
        for track in ledger.tracks:
            if track.state is TrackState.OPEN and not track.held:
                if track.queue.items or ledger.source is not None:  # an executor may have many without
                    self._match_track(track, now)
                    if track.parked and track.elastic and track.threaded and self._nothing_more(track):
                        self._mail.dismiss(track)
            elif track.parked and track.state is not TrackState.OPENING and not track.held:
                self._mail.dismiss(track)
        self.look = FEW
        for queue in ledger.queues:
            if queue.refused:
                self._settling.refuse(queue)

    def _nothing_more(self, track: Track) -> bool:
        """Whether threads of a map need not wait for tasks; should some come back, there are new threads."""
        ledger, queue = self._ledger, track.queue
        over = ledger.source is not None and ledger.source.over
        return over and not (queue.items or queue.naming or ledger.retries)

    def _match_track(self, track: Track, now: float) -> None:
        ledger = self._ledger
        while track.parked or (track.elastic and len(track.slots) < track.most):
            if ledger.busy >= ledger.most or track.busy >= track.allowed:
                return
            found = self.pick(track, now)
            if found is None:
                return
            born = not track.parked
            slot = track.add() if born else track.parked.pop()
            if isinstance(found, Task):
                self.give_to(slot, found, now)
            self._mail.tell(slot, found)
            if born:
                assert track.backend is not None
                self._turns.acts.append(partial(self.start, track, slot))

    def start(self, track: Track, slot: Slot) -> None:
        """Have a worker for a new slot; without the lock."""
        assert track.backend is not None
        try:
            track.backend.start(slot)
        except Exception as error:
            self._turns.post(self._changes.on_unborn, slot, error)

    def warm_up(self, track: Track, count: int) -> int:
        """Have up to `count` more slots at hand for tasks to come, and workers for them; without the lock.

        Returns:
            How many there really are.
        """
        made: list[Slot] = []

        def step(_: float) -> None:
            if track.elastic and not self._ledger.closing:
                made.extend(track.add() for _ in range(min(count, track.most - len(track.slots))))

        self._turns.locked(step)
        for slot in made:
            self.start(track, slot)
        self._turns.locked()  # some may not have been born
        return sum(slot in track.slots for slot in made)

    def give_to(self, slot: Slot, task: Task, now: float) -> None:
        """A slot has a task from now on."""
        ledger = self._ledger
        ledger.serial += 1
        task.serial = ledger.serial
        task.attempt += 1
        task.since = task.since or now
        if not slot.tasks:
            ledger.busy += not slot.track.bounded
            slot.track.busy += 1
            slot.began = now
        slot.tasks[task.serial] = task
        ledger.out[task.serial] = (task, slot)
        if self._item_timeout is not None and not slot.track.ends_late:
            ledger.timed.append((now + self._item_timeout, task.serial))

    def pick(self, track: Track, now: float, *, naming: bool = True) -> Task | Naming | None:
        """A task that a slot of this track may begin, or tasks that it should name first."""
        ledger, queue = self._ledger, track.queue
        if ledger.closing:
            return None
        chunks = track.chunks
        # How much lies ahead matters only to tasks that grow and shrink.
        most = chunks.next(None if ledger.source is None or chunks.fixed is not None else self._ahead())
        while True:
            task = queue.take(now, most, ledger.below) if queue.items else None
            if task is not None:
                self.look = max(self.look, FEW)
                return task
            if ledger.source is None or queue is not ledger.queue or self.look <= 0:
                return None
            # The caller's own thread looks closely at the very next item: none is named before its turn.
            together = self._together if naming and track.elastic else 1
            found = self._from_source(queue, most, now, naming, together)
            if found is None or isinstance(found, (Task, Naming)):
                return found

    def _ahead(self) -> int | None:
        """Items that have not begun, or None if nobody can know."""
        source = self._ledger.source
        assert source is not None
        rest = source.remaining()
        return None if rest is None else rest + self._ledger.queue.items

    def _from_source(
        self, queue: TaskQueue, most: int, now: float, naming: bool, together: int
    ) -> Task | Naming | bool | None:
        """Take more items: a task that may begin, something to name, or True if lines have got some."""
        ledger, source, spec = self._ledger, self._ledger.source, self._spec
        assert source is not None
        assert spec is not None
        if ledger.below < math.inf and min(queue.raw_place, source.position) >= ledger.below:
            return None
        if self._slow_names and queue.limits is not None and (queue.naming or not naming):
            return None
        if queue.limits is not None and queue.limits.full():
            return None
        task = queue.take_raw(most) if queue.items else None
        if task is None:
            count = min(max(most, together), ledger.to_take())
            place, items = source.take(count) if count > 0 else (0, ())
            if not len(items):
                return None
            task = Task(spec, place, items)
        if queue.limits is None:
            return task
        self.look -= 1
        return self._named_at_once(queue, task, now, naming, apart=len(task.items) > most)

    def _named_at_once(
        self, queue: TaskQueue, task: Task, now: float, naming: bool, *, apart: bool
    ) -> Task | Naming | bool | None:
        """Put the items of a task into the lines of their groups, or have somebody ask the user's code.

        Without `naming` whoever asks has no time for that: the task waits for somebody else.
        """
        limits = queue.limits
        assert limits is not None
        if len(task.items) == 1:
            quick = limits.quick_name(task.items[0])
            if quick is not None:
                if not queue.admit(task, quick, now):
                    return True
                self.look = max(self.look, FEW)
                return task
            singles = [task]
        else:
            singles = [part(task, at, at + 1) for at in range(len(task.items))]
            names = [limits.quick_name(item) for item in task.items]
            known = [name for name in names if name is not None]
            if len(known) == len(names) and not apart:
                self._waiting.enqueue_runs(queue, task, known)
                return True
        self._slow_names = True
        if not naming:
            queue.put(task, first=True)
            return None
        queue.naming += len(singles)
        return Naming(queue, singles, apart=apart)

    def on_named(self, now: float, slot: Slot, naming: Naming) -> None:
        """A slot has found out whom tasks concern."""
        self.enqueue_named(now, naming)
        self._mail.park(slot)

    def enqueue_named(self, now: float, naming: Naming) -> None:
        """Whom tasks concern is known: into their lines with them."""
        queue, run, names = naming.queue, [], []
        queue.naming -= len(naming.tasks)
        for task, name in zip(naming.tasks, naming.names, strict=True):
            if isinstance(name, str):
                run.append(task)
                names.append(name)
            else:
                failed = self._settling.given_up(queue, task, 0, Error(name), None, "no worker")
                self._ledger.window.add(task.place, [failed])
        if len(run) == len(naming.tasks) > 1 and not naming.apart:
            items = [task.items[0] for task in run]
            self._waiting.enqueue_runs(queue, Task(run[0].spec, run[0].place, items), names)
        else:
            for task, name in zip(run, names, strict=True):
                self._waiting.enqueue(queue, task, name)

    def name(self, naming: Naming) -> None:
        """Find out whom tasks concern: the user's code."""
        limits, began = naming.queue.limits, self._turns.clock()
        for task in naming.tasks:
            try:
                name = "" if limits is None else limits.name_of(task.items[0], task.spec.star)
            except Exception as error:
                add_note(error, "autoexec: raised by per=, before the item was called")
                naming.names.append(error)
            except BaseException as error:
                self._turns.crashed(error)
                naming.names.append(error)
            else:
                naming.names.append(name)
        quick = self._turns.clock() - began < QUICK_S * len(naming.tasks)
        self._together = min(TOGETHER, 2 * len(naming.tasks)) if quick else 1
        del naming, limits  # see `run_items`: an error must not hold on to itself
