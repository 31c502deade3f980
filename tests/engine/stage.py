"""A scheduler on a stage: a clock that the test sets, workers that it moves, tables that are checked."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from autoexec.engine.limits import Limits
from autoexec.engine.queues import TaskQueue
from autoexec.engine.result_order import Failed
from autoexec.engine.scheduler import Scheduler
from autoexec.engine.source import Source
from autoexec.engine.tracks import END, Chunks, End, Slot, Track, TrackState
from autoexec.options import resolve
from autoexec.records import Plan
from autoexec.testing import FakeBackend
from autoexec.testing import FakeClock as Clock
from autoexec.worker.invoke import CallSpec, Error, Task, TaskResult


class Future:
    """Stands in for a future: what it was given, and how often."""

    _condition = None

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.cancelled = False

    def set_running_or_notify_cancel(self) -> bool:
        return not self.cancelled

    def done(self) -> bool:
        return bool(self.results) or self.cancelled

    def set_result(self, result: Any) -> None:
        self.results.append(result)

    def set_exception(self, error: BaseException) -> None:
        self.results.append(error)


class Resting(FakeBackend):
    """Only notes what it was rung for: the test looks, slot by slot.

    Attributes:
        dead: whether nobody is there to be rung for.
        rung: slots that were rung for, and not looked at yet.
        given_up: slots and tasks that were given up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dead = False
        self.rung: list[Slot] = []
        self.given_up: list[tuple[Slot, Task]] = []

    def start(self, slot: Slot) -> None:
        if self.refuse is not None and slot in self.rung:  # nobody is there to look
            self.rung.remove(slot)
        super().start(slot)

    def ring(self, rung: deque[Slot]) -> None:
        if not self.dead:
            self.rung += rung
        rung.clear()

    def abandon(self, slot: Slot, task: Task) -> None:
        self.given_up.append((slot, task))


class Stage:
    """A scheduler, what it is fed with, and what came out of it.

    Args:
        items: of a map; None makes the scheduler of an executor.
        source: another source of items.
        capture: whether an error is one value among others.
        limits: what holds for groups of calls.
        wishes: arguments of the scheduler.
    """

    def __init__(
        self,
        items: Iterable[Any] | None = None,
        *,
        source: Source | None = None,
        capture: bool = True,
        limits: Limits | None = None,
        **wishes: Any,
    ) -> None:
        self.clock = Clock()
        self.timers: list[float] = []
        self.source = Source((items,)) if source is None and items is not None else source
        self.spec = CallSpec(abs, capture=capture)
        self.scheduler = Scheduler(
            self.spec if self.source is not None else None,
            self.source,
            clock=self.clock,
            timer=self.timers.append,
            **wishes,
        )
        self.given: list[Any] = []  # what the consumer has got
        if limits is not None:
            self.scheduler.attend(limits)

    # Tracks and slots -------------------------------------------------------------------------------------

    def track(
        self,
        most: int = 2,
        *,
        chunksize: int | None = 1,
        name: str = "fake",
        opens: bool = True,
        queue: TaskQueue | None = None,
        **shape: Any,
    ) -> Track:
        """A track whose slots have no threads, unless the test says otherwise; opened at once."""
        shape.setdefault("threaded", False)
        chunks = Chunks(Plan("threads", most), chunksize, single=False, window=None)
        queue = self.scheduler.queue if queue is None else queue
        track = Track(name, queue, most, chunks, **shape)
        track.backend = Resting()
        track.state = TrackState.OPENING
        self.scheduler.change(opens=[track])
        if opens:
            self.scheduler.opened(track)
        return track

    def ask(self, track: Track) -> Slot:
        """One more slot, which asks for a task."""
        slot = track.add()
        self.scheduler.ask(slot)
        return slot

    def pool(self, most: int = 2, **wishes: Any) -> tuple[Track, list[Slot]]:
        """An open track all of whose slots have asked."""
        track = self.track(most, **wishes)
        return track, [self.ask(track) for _ in range(most)]

    def mail(self, slot: Slot) -> Task | End | None:
        """What a slot was told, if it was rung for."""
        rung = backend(slot.track).rung
        if slot not in rung:
            return None
        rung.remove(slot)
        found = self.scheduler.collect(slot)
        return self.mail(slot) if found is None else found

    def task(self, slot: Slot) -> Task:
        """The task that a slot was given."""
        found = self.mail(slot)
        assert isinstance(found, Task), found
        return found

    def finish(self, slot: Slot, task: Task, *outcomes: Any, **more: Any) -> None:
        """A slot has run a task, or its first items; without outcomes, all of them came to themselves."""
        self.scheduler.completed(slot, task, self.result(task, *outcomes), **more)
        self.check()

    def result(self, task: Task, *outcomes: Any) -> TaskResult:
        """What became of a task: `outcomes`, where exceptions stand for errors."""
        made = [Error(one) if isinstance(one, BaseException) else one for one in outcomes or task.items]
        clean = not any(type(one) is Error for one in made)
        return TaskResult(made, self.clock.now, self.clock.now, 0.0, "the test", clean=clean)

    def step(self, slot: Slot, *outcomes: Any) -> Task:
        """A slot runs the task that it was given."""
        task = self.task(slot)
        self.finish(slot, task, *outcomes)
        return task

    def run_all(self, slots: list[Slot]) -> None:
        """Slots run what they are given until there is nothing more for any; results are taken meanwhile."""
        moved = True
        while moved:
            moved = False
            for slot in slots:
                found = self.mail(slot)
                if isinstance(found, Task):
                    self.finish(slot, found)
                    moved = True
            moved = self.take() or moved

    # The consumer -----------------------------------------------------------------------------------------

    def take(self) -> bool:
        """The consumer takes what there is; whether it got anything but the end, which is kept as `END`."""
        got = False
        while True:
            found = self.scheduler.take()
            self.check()
            if not isinstance(found, list):
                if found is END and self.given[-1:] != [END]:
                    self.given.append(END)
                return got
            got = True
            self.given += [one.error if type(one) is Failed else one for one in found]

    def pull(self, count: int) -> None:
        """The consumer pulls from its iterator."""
        assert self.source is not None
        self.scheduler.stock(self.source.pull(count))
        self.check()

    def wait(self, seconds: float) -> None:
        """Let time pass, tick by tick."""
        until = self.clock.now + seconds
        while self.scheduler.due <= until:
            self.clock.now = max(self.clock.now, self.scheduler.due)
            self.scheduler.tick()
            self.check()
        self.clock.now = until

    # Executors --------------------------------------------------------------------------------------------

    def put(self, queue: TaskQueue, item: Any = None, group: str = "") -> Task:
        """A call of an executor."""
        task = self.put_within(queue, item, group)
        self.check()
        return task

    def put_within(self, queue: TaskQueue, item: Any = None, group: str = "") -> Task:
        """The same from the middle of something."""
        task = Task(CallSpec(abs, capture=True), 0, [item])
        task.future, task.group = Future(), group
        self.scheduler.calls.put(task, queue)
        return task

    # Checks -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """The tables add up, each place is in one of them, and nothing waits that may begin."""
        scheduler = self.scheduler
        scheduler._ledger.check_sum()
        assert not scheduler._turns._lock.locked() and not scheduler._turns._inside
        assert not scheduler._turns._events
        places = list(places_of(scheduler))
        assert len(places) == len(set(places)), sorted(places)
        self._check_busy()
        self._check_users()
        ledger, deadlines = scheduler._ledger, scheduler._deadlines
        if deadlines is None:  # nothing of this kind can be due
            assert not ledger.retries and not ledger.timed
            assert all(queue.due == math.inf for queue in ledger.queues)
        else:
            assert not deadlines.due() < min(scheduler.due, math.inf), "nobody keeps the time"
        for track in scheduler.tracks:
            assert track.most or track.state is not TrackState.OPEN
            assert not self.may_begin(track), (track, scheduler.ledger())

    def _check_users(self) -> None:
        """Each group is kept for the tasks that are on their way, and for no others."""
        scheduler = self.scheduler
        if scheduler.closing:
            return  # nobody will ask for them again
        users = Counter(id(task.group) for task in tasks_of(scheduler) if task.group is not None)
        groups: Counter[int] = Counter()
        for queue in scheduler.queues:
            for line in queue._lines.values():
                assert line.users == users[id(line)] > 0, line.group.name
                groups[id(line.group)] += line.users
        for queue in scheduler.queues:
            for line in queue._lines.values():
                assert line.group.users >= groups[id(line.group)]

    def _check_busy(self) -> None:
        scheduler, running = self.scheduler, 0
        for track in scheduler.tracks:
            busy = sum(bool(slot.tasks) for slot in track.slots)
            assert track.busy == busy, track
            assert busy <= max(track.most, 0) or track.state is not TrackState.OPEN
            running += 0 if track.bounded else busy
        assert scheduler.busy == running
        assert scheduler.busy <= scheduler._ledger.most

    def may_begin(self, track: Track) -> bool:
        """Whether a slot waits, or could be made, for a task that may begin now."""
        scheduler = self.scheduler
        if track.state is not TrackState.OPEN or track.held or scheduler.closing:
            return False
        if not track.parked and not (track.elastic and len(track.slots) < track.most):
            return False
        if scheduler._ledger.busy >= scheduler._ledger.most or track.busy >= track.allowed:
            return False
        return self._something_waits(track.queue)

    def _something_waits(self, queue: TaskQueue) -> bool:
        scheduler, source = self.scheduler, self.source
        below = scheduler._ledger.below
        if queue.limits is None:
            if any(task.place < below for task in queue.waiting()):
                return True
        elif queue.limits.full():
            return False
        elif any(self._line_may_begin(line, below) for line in queue._lines.values()):
            return True
        if source is None or queue is not scheduler.queue or below < math.inf:
            return False
        if queue.limits is not None and (queue.items or queue.naming):
            return False  # it looks only so far ahead
        return scheduler._ledger.to_take() > 0 and source.at_hand > 0

    def _line_may_begin(self, line: Any, below: float) -> bool:
        group, now = line.group, self.clock.now
        if not any(task.place < below for task in line.tasks) or group._paused_until > now:
            return False
        if group.gate is not None or group.closed is not None:
            return False
        return group.limiter is None or group.limiter.in_flight < group.limiter.limit(now)


def backend(track: Track) -> Resting:
    """The backend of a track."""
    assert isinstance(track.backend, Resting)
    return track.backend


def places_of(scheduler: Scheduler) -> Iterator[int]:
    """The places of all that waits, is out, is to run again, is being kept, or is ready in its order."""
    for task in [*tasks_of(scheduler), *scheduler._ledger.keeping.values()]:
        yield from range(task.place, task.place + len(task.items))
    for place, outcomes in scheduler.window._blocks.items():
        yield from range(place, place + len(outcomes))


def tasks_of(scheduler: Scheduler) -> list[Task]:
    """What waits, is out, is to run again, or was given up and not judged yet."""
    tasks = [task for queue in scheduler.queues for task in queue.waiting()]
    tasks += [task for task, _ in scheduler._ledger.out.values()]
    tasks += [task for _, _, task, _ in scheduler._ledger.retries]
    return [*tasks, *scheduler._ledger.late.values()]


def limits(cap: int = 0, *, per: Callable[..., str] | None = None, **wishes: Any) -> Limits:
    """Limits as options make them; with `cap`, they find out how many calls may run at once."""
    if per is not None:
        wishes["per"] = per
    made = Limits(resolve(wishes))
    if cap:
        made.adapt(cap, None, None, 0.0)
    return made
