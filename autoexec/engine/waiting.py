"""Where tasks wait: in which queue, and there in the line of which group. All under the scheduler's lock."""

from __future__ import annotations

from ..worker.invoke import Task
from .ledger import Ledger
from .queues import Line, TaskQueue, counted, part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .tracks import Track

__all__ = ["Waiting"]


class Waiting:
    """Puts tasks where they wait, and takes them away from there.

    Args:
        ledger: the tables.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._forward: dict[TaskQueue, TaskQueue] = {}  # where calls for a queue that was given up go

    def enqueue(self, queue: TaskQueue, task: Task, name: str) -> None:
        """A task waits in the line of its group; without one if the limits were lifted meanwhile."""
        task.group = queue.line(name) if queue.limits is not None else None
        queue.put(counted(task))

    def enqueue_runs(self, queue: TaskQueue, task: Task, names: list[str]) -> None:
        """Neighbours of one group together, unless each call waits for its turn at a rate."""
        apart, start = queue.limits is not None and queue.limits.options.rate is not None, 0
        for at in range(1, len(names) + 1):
            if at == len(names) or apart or names[at] != names[start]:
                self.enqueue(queue, part(task, start, at), names[start])
                start = at

    def back(self, track: Track, task: Task, at: int, *, split: bool = False) -> bool:
        """Items of a task that were not begun wait again: all together, in shares, or one by one.

        Returns:
            Whether it is the task itself that waits, and not parts of it.
        """
        if at == 0 and not split:
            task.attempt -= 1
            self.put_again(track.queue, task)
            return True
        size = len(task.items)
        step = 1 if split else max(1, -(-(size - at) // (2 * max(1, len(track.slots)))))
        for start in reversed(range(at, size, step)):
            left = part(task, start, min(size, start + step))
            left.alone = True
            track.queue.put(counted(left), first=True)
        return False

    def cut(self, queue: TaskQueue, task: Task, at: int) -> None:
        """The items of a task from `at` on wait again, although the task itself is out."""
        if at < len(task.items):
            left = part(task, at, len(task.items))
            task.items = task.items[:at]
            queue.put(counted(left), first=True)

    def put_again(self, queue: TaskQueue, task: Task) -> None:
        """A task waits again, before the others; where its queue was given up, in the one that followed."""
        home = self._home(queue)
        if home is queue:
            queue.put(task, first=True)
        else:
            self._rehome(task, queue, home)

    # Of an executor ---------------------------------------------------------------------------------------

    def put(self, task: Task, queue: TaskQueue, name: str) -> None:
        """A new call waits in a queue, or in the one that followed."""
        self.requeue(task, self._home(queue), name)

    def requeue(self, task: Task, queue: TaskQueue, name: str) -> None:
        """A call waits in a queue that may be new."""
        if queue not in self._ledger.queues:
            self._ledger.queues.append(queue)
        task.group = None
        if queue.limits is not None:
            self.enqueue(queue, task, name)
        else:
            queue.put(task)

    def move(self, source: TaskQueue, target: TaskQueue) -> None:
        """The calls of one queue wait in another one from now on."""
        tasks = sorted(source.waiting(), key=lambda task: task.place)
        source.clear()
        self._forward[source] = target
        self._forward.pop(target, None)
        for task in tasks:
            self._rehome(task, source, target)
        if source in self._ledger.queues:
            self._ledger.queues.remove(source)

    def _home(self, queue: TaskQueue) -> TaskQueue:
        """Where the calls of a queue wait by now."""
        while queue in self._forward:
            queue = self._forward[queue]
        return queue

    def _rehome(self, task: Task, source: TaskQueue, target: TaskQueue) -> None:
        line: Line | None = task.group
        leave(source, line)
        self.requeue(task, target, line.group.name if line is not None else "")

    # Away -------------------------------------------------------------------------------------------------

    def drop(self, task: Task) -> bool:
        """Nobody wants a task any more; whether it was waiting."""
        queue = self.pull_out(task)
        if queue is not None:
            self.withdraw(queue, task)
        return queue is not None

    def pull_out(self, task: Task) -> TaskQueue | None:
        """Take a task away; where it waited, if it did."""
        return next((each for each in self._ledger.queues if each.drop(task)), None)

    def withdraw(self, queue: TaskQueue, task: Task) -> None:
        """A task was never begun, and never will be."""
        self._ledger.withdrawn += len(task.items)
        self._ledger.calls.discard(task)
        leave(queue, task.group)


def leave(queue: TaskQueue, line: Line | None) -> None:
    """A task has left its line for good."""
    if line is not None:
        queue.let_go(line)
