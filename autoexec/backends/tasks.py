"""Tasks on their way through worker processes: what has come of each so far, and the queue they wait in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from .base import Capturing, Chunk, Failure, Finished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .sharing import Joint

__all__ = ["Queue", "Task", "Train"]


class Task:
    """A chunk, the results of its first items, and where it was sent last.

    A worker that dies costs the item it was running: the results before it stay, and the items after it go
    to another worker.

    Attributes:
        chunk: the items.
        values: results so far.
        serial: what the worker knows it by.
        offset: the place of the first item that was sent last.
        single: whether its items go one by one.
        error: what the item after the last value raised, or None.
        joint: the larger task that this is a part of, or None.
    """

    __slots__ = (
        "_asked",
        "chunk",
        "cpu_s",
        "error",
        "joint",
        "offset",
        "serial",
        "single",
        "values",
        "wall_s",
    )

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.values: list[Any] = []
        self.error: BaseException | None = None
        self.joint: Joint | None = None
        self.serial = self.offset = 0
        self.single = self._asked = False
        self.wall_s = self.cpu_s = 0.0

    @property
    def begun(self) -> bool:
        """Whether a worker has taken it."""
        return self._asked

    def wanted(self) -> bool:
        """Whether it is to be run: asked once, when it is taken."""
        if self._asked:
            return True
        self._asked = True
        return self.chunk.begin is None or self.chunk.begin()

    @property
    def capturing(self) -> bool:
        """Whether an item's error is a value, so that the other items go on."""
        return type(self.chunk.call) is Capturing

    def send(self, serial: int) -> tuple[int, Sequence[Any]]:
        """The items to send now, and the index of the first."""
        self.serial, self.offset = serial, len(self.values)
        return self.chunk.start + self.offset, self.rest

    @property
    def rest(self) -> Sequence[Any]:
        """The items to run next: all that are left, or one of them."""
        at = len(self.values)
        return self.chunk.items[at : at + 1 if self.single else len(self.chunk.items)]

    @property
    def got(self) -> int:
        """Results of the items that were sent last."""
        return len(self.values) - self.offset

    @property
    def complete(self) -> bool:
        """Whether nothing of it is left to run."""
        return self.error is not None or len(self.values) == len(self.chunk.items)

    def add(self, value: Any) -> None:
        """One more result."""
        if self.error is None:
            self.values.append(value)

    def fail(self, error: BaseException) -> None:
        """The item that is due next has failed."""
        if self.error is not None:
            return
        if self.capturing:
            self.values.append(Failure(error))
        else:
            self.error = error

    def stop(self, error: BaseException) -> None:
        """The item that is due next has failed in a way that is more than its own affair."""
        self.error = self.error or error

    def fail_all(self, error: BaseException, count: int) -> None:
        """So many items, from the one that is due next on, have failed alike."""
        for _ in range(count):
            self.fail(error)

    def index(self) -> int:
        """The index of the item that is due next."""
        return self.chunk.start + len(self.values)

    def finished(self, where: str) -> Finished:
        """The outcome."""
        return Finished(self.chunk, self.values, self.error, self.wall_s, self.cpu_s, where)


class Train(Task):
    """Several tasks, one after the other, that go to a worker together.

    Args:
        tasks: with consecutive indices, of the same function; none of them has begun.
    """

    __slots__ = ("_tasks",)

    def __init__(self, tasks: Sequence[Task]) -> None:
        first = tasks[0].chunk
        items = [item for task in tasks for item in task.chunk.items]
        super().__init__(Chunk(first.start, items, first.call, first.star))
        self._tasks = tasks

    def apart(self) -> tuple[list[Task], list[Task]]:
        """Its tasks that are complete, and those that have not begun."""
        done: list[Task] = []
        at, error = 0, self.error
        for task in self._tasks:
            size = len(task.chunk.items)
            task.values = self.values[at : at + size]
            at += size
            share = len(task.values) / max(1, len(self.values))
            task.wall_s, task.cpu_s = share * self.wall_s, share * self.cpu_s
            if not task.complete:
                task.error, error = error, None
            if not task.complete:
                break
            done.append(task)
        return done, list(self._tasks[len(done) :])


def _free(task: Task) -> bool:
    """Whether a task may go together with others: nothing of it has begun, nobody has to be asked."""
    begun = task.begun or task.single or task.values
    return task.joint is None and not begun and task.chunk.begin is None


def _follows(before: Task, task: Task) -> bool:
    """Whether two tasks may go together."""
    one, other = before.chunk, task.chunk
    same = one.call is other.call and one.star == other.star
    return _free(task) and same and one.start + len(one.items) == other.start


class Queue:
    """Tasks that wait for a worker; what is left of a task comes before the others."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._closed = False

    def put(self, task: Task) -> None:
        """At the end."""
        with self._changed:
            self._tasks.append(task)
            self._changed.notify_all()

    def put_back(self, task: Task) -> None:
        """At the front."""
        with self._changed:
            self._tasks.appendleft(task)
            self._changed.notify_all()

    def get(self, timeout_s: float | None) -> Task | None:
        """The next task; None when none has come in time, or none will come."""
        with self._changed:
            if not self._tasks and not self._closed and timeout_s != 0.0:
                self._changed.wait(timeout_s)
            return self._tasks.popleft() if self._tasks else None

    def stir(self) -> None:
        """Have those who wait look around, unless there is a task for them."""
        with self._changed:
            if not self._tasks:
                self._changed.notify_all()

    @property
    def over(self) -> bool:
        """Whether none will come."""
        return self._closed and not self._tasks

    def more(self, task: Task, tasks: int, items: int) -> Task:
        """A task, with those behind it that may go together with it.

        Args:
            task: the one that was taken.
            tasks: at most so many in all.
            items: at most so many of theirs.
        """
        if not _free(task):
            return task
        found, count = [task], len(task.chunk.items)
        with self._changed:
            while self._tasks and len(found) < tasks and _follows(found[-1], self._tasks[0]):
                count += len(self._tasks[0].chunk.items)
                if count > items:
                    break
                found.append(self._tasks.popleft())
        return Train(found) if len(found) > 1 else task

    def steal(self) -> Task | None:
        """The last task that no worker has begun."""
        with self._changed:
            if not self._tasks or self._tasks[-1].begun:
                return None
            return self._tasks.pop()

    def __len__(self) -> int:
        return len(self._tasks)

    def withdraw(self) -> list[Task]:
        """Take back the tasks that no worker has begun."""
        with self._changed:
            back = [task for task in self._tasks if not task.begun]
            self._tasks = deque(task for task in self._tasks if task.begun)
        return back

    def clear(self) -> None:
        """Drop everything."""
        with self._changed:
            self._tasks.clear()

    def close(self) -> None:
        """No more tasks will come, but what is left of those that are under way."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
