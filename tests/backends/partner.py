"""A scheduler as a backend's partner in tests: it hands out what a test submits and tells what comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from autoexec.backends.base import Backend
from autoexec.engine.queues import TaskQueue
from autoexec.engine.scheduler import Scheduler
from autoexec.engine.tracks import Chunks, Slot, Track, TrackState, track_of
from autoexec.engine.verdict import Try
from autoexec.records import Plan
from autoexec.worker.invoke import CallSpec, Error, Task, TaskResult

WAIT_S = 30.0


class Done:
    """What became of a task, as its backend says.

    Attributes:
        task: the task.
        result: what came of it.
    """

    def __init__(self, task: Task, result: TaskResult) -> None:
        self.task, self.result = task, result

    @property
    def start(self) -> int:
        """The place of its first item."""
        return self.task.place

    @property
    def values(self) -> list[Any]:
        """Results and errors of those of its items that have come to something."""
        return [each.error if type(each) is Error else each for each in self.result.outcomes]

    @property
    def where(self) -> str:
        """Who ran it."""
        return self.result.worker

    def __repr__(self) -> str:
        return f"<Done from {self.start}: {self.values}>"


class Noting(Scheduler):
    """A scheduler of an executor's kind: tasks come one by one, and bring what they call.

    Args:
        queue: where they wait.

    Attributes:
        inbox: what became of each task, in the order in which that was told.
    """

    def __init__(self, queue: TaskQueue, **options: Any) -> None:
        super().__init__(None, None, ordered=False, ends_at_error=False, **options)
        self.inbox: SimpleQueue[Done | BaseException] = SimpleQueue()
        self._own = queue
        self._settle_one, self._fail = self._settling.settle, self._changes.on_failed
        self._settling.settle = self._settle_and_note  # type: ignore[method-assign]
        self._changes.on_failed = self._fail_and_note  # type: ignore[method-assign]

    def submit(self, task: Task) -> None:
        """Have a task wait, at its own place."""

        def step(_: float) -> None:
            self._ledger.put += len(task.items)
            self._waiting.requeue(task, self._own, "")

        self._turns.locked(step)

    def _settle_and_note(
        self, now: float, slot: Slot, task: Task, result: TaskResult, tries: list[Try]
    ) -> None:
        self._settle_one(now, slot, task, result, tries)
        while self.window.pop():  # as if a consumer had taken it
            pass
        self.inbox.put(Done(task, result))

    def _crash(self, error: BaseException) -> None:
        super()._crash(error)
        self.inbox.put(error)

    def _fail_and_note(self, now: float, track: Track, error: BaseException) -> None:
        self._fail(now, track, error)
        self.inbox.put(error)


class Partner:
    """A track of one backend, and the scheduler that its workers ask.

    Args:
        make: makes the backend, for a scheduler and a track.
        plan: says what the track is like.
        call: what tasks call that are submitted without a function of their own, or its spec.
        capture: whether errors of items are values.
        options: for the scheduler.
    """

    def __init__(
        self,
        make: Callable[[Noting, Track], Backend],
        plan: Plan,
        call: Any = None,
        *,
        capture: bool = False,
        **options: Any,
    ) -> None:
        queue = TaskQueue()
        self.capture = capture
        self.scheduler = Noting(queue, **options)
        self.spec: CallSpec | None = call if call is None or type(call) is CallSpec else self.spec_of(call)
        self._others: dict[int, CallSpec] = {}
        self.track = track_of(plan, queue, Chunks(plan, 1 << 20, single=False, window=None))
        self.track.state = TrackState.OPENING  # workers may ask as soon as they are there
        self.scheduler.change(opens=[self.track])
        self.backend: Any = make(self.scheduler, self.track)
        self.track.backend = self.backend
        self.scheduler.opened(self.track)

    def spec_of(self, call: Callable[..., Any], *, star: bool = False) -> CallSpec:
        """What calls a function."""
        return CallSpec(call, star=star, capture=self.capture)

    def submit(
        self,
        items: Sequence[Any],
        start: int = 0,
        call: Any = None,
        *,
        star: bool = False,
        future: Any = None,
    ) -> Task:
        """One task, whose first item has the place `start`."""
        spec = self.spec
        if call is not None or spec is None or star:
            call = call if call is not None or spec is None else spec.call
            spec = self._others.setdefault(id(call), self.spec_of(call, star=star))
        task = Task(spec, start, items)
        task.alone, task.future = True, future
        self.scheduler.submit(task)
        return task

    def next(self) -> Done:
        """What is told next.

        Raises:
            BaseException: what ended the run, or failed the track.
        """
        try:
            found = self.scheduler.inbox.get(timeout=WAIT_S)
        except Empty:
            raise AssertionError(f"nothing came back: {self.scheduler.ledger()}, {self.track}") from None
        if isinstance(found, BaseException):
            raise found
        return found

    def collect(self, count: int) -> dict[int, Any]:
        """Results and errors by place, as soon as there are so many."""
        found: dict[int, Any] = {}
        while len(found) < count:
            add(found, [self.next()])
        return found

    def run(self, items: Sequence[Any], size: int, call: Any = None) -> dict[int, Any]:
        """All items in tasks of so many: results or errors by place."""
        for start in range(0, len(items), size):
            self.submit(items[start : start + size], start, call)
        return self.collect(len(items))

    @property
    def empty(self) -> bool:
        """Whether nothing else was told."""
        return self.scheduler.inbox.empty()

    def finish(self) -> None:
        """Wait until all that was submitted is done, and the workers are gone; each task came back once.

        Raises:
            BaseException: what ended the run.
        """
        self.scheduler.close(finish=True)
        self.scheduler.calls.join()
        self.backend.close()
        if self.scheduler.error is not None:
            raise self.scheduler.error
        ledger = self.scheduler.ledger()
        assert ledger["pulled"] == ledger["delivered"] + ledger["withdrawn"] + ledger["left running"], ledger

    def kill(self) -> None:
        """As a run ends early: nothing more begins, and what runs is ended where that is possible."""
        self.scheduler.close()
        self.backend.close(kill=True)
        self.scheduler.change()  # the tables add up


def add(found: dict[int, Any], done: Iterable[Done]) -> dict[int, Any]:
    """Put results and errors where they belong; a place that comes twice is an error."""
    for each in done:
        for place, value in enumerate(each.values, each.start):
            assert place not in found
            found[place] = value
    return found


@contextlib.contextmanager
def partner(
    make: Callable[[Noting, Track], Backend], plan: Plan, call: Any = None, **options: Any
) -> Iterator[Partner]:
    """A partner whose backend is closed whatever happens."""
    made = Partner(make, plan, call, **options)
    try:
        yield made
        made.finish()
    finally:
        made.kill()
