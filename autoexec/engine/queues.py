"""Tasks that wait, for their turn and for their rate: which may begin next. Pure; under the scheduler's lock.

Without limits tasks wait in the order of their places, and neighbours may go together. With limits they wait
in a line for each group (host), and the lines take turns.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator

from ..worker.invoke import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .host_limits import Group
    from .limits import Limits

__all__ = ["Line", "TaskQueue", "counted", "part"]

LOOK_AT = 8  # lines among which the one with the fewest calls goes first


class Line:
    """The tasks that wait for one group.

    Attributes:
        group: whose limits hold.
        tasks: what waits.
        listed: whether it is among those that may let a call begin.
        alarm: when it is looked at again at the latest; infinite if only a call's end can change anything.
        users: tasks that wait here, run, or are to run again.
        limits: what the group belongs to; the queue may have others by now, or none.
    """

    __slots__ = ("alarm", "group", "limits", "listed", "tasks", "users")

    def __init__(self, group: Group, limits: Limits) -> None:
        self.group, self.limits = group, limits
        self.tasks: deque[Task] = deque()
        self.listed = False
        self.alarm = math.inf
        self.users = 0


class TaskQueue:
    """Tasks that wait for the workers of one route.

    Args:
        limits: what holds for groups of calls, or None.

    Attributes:
        limits: the same; None once nothing is limited.
        items: items of all tasks that wait.
        refused: tasks whose group must not be called any more; whoever finds some fails them.
        naming: items that somebody finds the groups of right now.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits
        self.items = self.naming = 0
        self.refused: list[Task] = []
        self._heap: list[tuple[int, int, Task]] = []
        self._raw: deque[Task] = deque()  # tasks whose group nobody has asked for yet
        self._count = 0
        self._lines: dict[str, Line] = {}
        self._listed: deque[Line] = deque()
        self._alarms: list[tuple[float, int, Line]] = []

    def put_raw(self, tasks: list[Task]) -> None:
        """Tasks whose group was to be asked for, and was not: they are the next ones again."""
        self.items += sum(len(task.items) for task in tasks)
        self._raw.extendleft(reversed(tasks))

    @property
    def raw_place(self) -> float:
        """The place of the next task whose group is to be asked for; infinite if there is none."""
        return self._raw[0].place if self._raw else math.inf

    def put(self, task: Task, *, first: bool = False) -> None:
        """A task waits; one with a group in its line, at the front if `first`."""
        self.items += len(task.items)
        line: Line | None = task.group
        if line is not None and self._lines.get(line.group.name) is not line:
            line = self._renewed(task, line)
        if self.limits is None:
            self._push(task)
            return
        if line is None:
            if first:
                self._raw.appendleft(task)
            else:
                self._raw.append(task)
            return
        if first:
            line.tasks.appendleft(task)
        else:
            line.tasks.append(task)
        self._list(line)

    def _renewed(self, task: Task, line: Line) -> Line | None:
        """The limits under which a task began have gone since, or others have come: its line now, if any."""
        self.let_go(line)
        task.group = task.ticket = None
        if self.limits is not None:
            task.group = self.line(line.group.name)
            counted(task)
        found: Line | None = task.group
        return found

    def _push(self, task: Task) -> None:
        self._count += 1
        heapq.heappush(self._heap, (task.place, self._count, task))

    def line(self, name: str) -> Line:
        """The line of a group; made if it is new."""
        line = self._lines.get(name)
        if line is None:
            assert self.limits is not None
            line = self._lines[name] = Line(self.limits.group(name), self.limits)
        return line

    def admit(self, task: Task, name: str, now: float) -> bool:
        """A new task of that group begins at once, if it may; else it waits in its line.

        Whoever asks has found nothing that waits and may begin.
        """
        line = self._lines.get(name) or self.line(name)
        group, task.group = line.group, line
        line.users += 1
        group.users += 1
        if not line.tasks and group.closed is None:
            wait = group.wait_s(now)
            if wait == 0.0:
                task.ticket = line.limits.begin(group, now)
                return True
            if wait != math.inf:
                self._look_again(line, now + wait)
            line.tasks.append(task)
            self.items += len(task.items)
        else:
            self.put(task)
        return False

    def _list(self, line: Line) -> None:
        if not line.listed and line.tasks:
            line.listed = True
            self._listed.append(line)

    def limit(self, limits: Limits) -> None:
        """From now on these limits hold."""
        self.limits = limits
        self._raw += (task for _, _, task in sorted(self._heap))
        self._heap.clear()

    def take_raw(self, most: int) -> Task | None:
        """A task whose group is to be asked for, of up to `most` items."""
        if not self._raw:
            return None
        task = self._raw.popleft()
        if len(task.items) > most:
            self._raw.appendleft(part(task, most, len(task.items)))
            task = part(task, 0, most)
        self.items -= len(task.items)
        return task

    def free(self) -> None:
        """From now on nothing is limited."""
        waiting = [*self._raw, *(task for line in self._lines.values() for task in line.tasks)]
        self._raw.clear()
        self.limits, self._lines = None, {}
        self._listed.clear()
        self._alarms.clear()
        for task in waiting:
            if task.group is not None:
                self.let_go(task.group)
            task.group = task.ticket = None
            self._push(task)

    # Out --------------------------------------------------------------------------------------------------

    def take(self, now: float, most: int, below: float = math.inf) -> Task | None:
        """The next task that may begin, of up to `most` items; None if none may.

        Args:
            now: the time.
            most: items that the task may have; a larger one that waits is cut, neighbours are joined.
            below: the place from which on none may begin.
        """
        task = self._take_first(most, below) if self.limits is None else self._take_admitted(now, below)
        if task is not None:
            self.items -= len(task.items)
        return task

    def _take_first(self, most: int, below: float) -> Task | None:
        heap = self._heap
        if not heap or heap[0][0] >= below:
            return None
        task = heapq.heappop(heap)[2]
        if len(task.items) > most:
            rest = part(task, most, len(task.items))
            task = part(task, 0, most)
            self._push(rest)
        elif len(task.items) < most and heap and _plain(task):
            task = self._joined(task, most)
        return task

    def _joined(self, task: Task, most: int) -> Task:
        """A task with those behind it that may go together with it."""
        heap, items = self._heap, None
        end, count = task.place + len(task.items), len(task.items)
        while heap and heap[0][0] == end:
            other = heap[0][2]
            if not _plain(other) or other.spec is not task.spec or count + len(other.items) > most:
                break
            heapq.heappop(heap)
            items = list(task.items) if items is None else items
            items += other.items
            count += len(other.items)
            end += len(other.items)
        if items is None:
            return task
        joined = Task(task.spec, task.place, items)
        joined.route = task.route
        return joined

    def _take_admitted(self, now: float, below: float) -> Task | None:
        """The first task of the next line that may let a call begin."""
        limits, passed = self.limits, []
        assert limits is not None
        if self._alarms and self._alarms[0][0] <= now:
            self.ring(now)
        found = None
        while self._listed and not limits.full():
            line = self._next_line()
            line.listed = False
            if not line.tasks:
                continue
            if line.group.closed is not None:
                self.refused += line.tasks
                line.tasks.clear()
                continue
            if line.tasks[0].place >= below and not _bring_forward(line, below):
                passed.append(line)
                continue
            wait = line.group.wait_s(now)
            if wait == 0.0:
                found = line.tasks.popleft()
                found.ticket = limits.begin(line.group, now)
                if line.tasks:
                    self._list(line)
                break
            if wait != math.inf:
                self._look_again(line, now + wait)
        for line in passed:
            self._list(line)
        return found

    def _next_line(self) -> Line:
        """Of some in turn the one with the fewest calls, lest a slow group takes all places."""
        listed = self._listed
        if len(listed) == 1:
            return listed.popleft()
        least = min(range(min(LOOK_AT, len(listed))), key=lambda at: listed[at].group.in_flight)
        line = listed[least]
        del listed[least]
        return line

    def _look_again(self, line: Line, when: float) -> None:
        if when < line.alarm:
            line.alarm = when
            self._count += 1
            heapq.heappush(self._alarms, (when, self._count, line))

    def ring(self, now: float) -> None:
        """List the lines whose time has come."""
        while self._alarms and self._alarms[0][0] <= now:
            when, _, line = heapq.heappop(self._alarms)
            if when == line.alarm:
                line.alarm = math.inf
                self._list(line)

    @property
    def due(self) -> float:
        """When to look again, although no call begins or ends; infinite if that would change nothing."""
        return self._alarms[0][0] if self._alarms else math.inf

    def ended(self, group: Group) -> None:
        """A call of this group has ended: another one may begin, also before its time comes."""
        line = self._lines.get(group.name)
        if line is not None and line.tasks:
            self._list(line)

    def revive(self) -> None:
        """The limits are other ones: look again at all lines."""
        for line in self._lines.values():
            self._list(line)

    def let_go(self, line: Line) -> None:
        """Forget a line if nothing waits, runs, or is to be run again there; and its group, likewise."""
        line.users -= 1
        line.group.users -= 1
        if not line.users and self._lines.get(line.group.name) is line:
            del self._lines[line.group.name]
        if not line.group.users:
            line.limits.forget(line.group)

    def waiting(self) -> Iterator[Task]:
        """All tasks that wait."""
        for _, _, task in self._heap:
            yield task
        yield from self._raw
        for line in self._lines.values():
            yield from line.tasks

    def drop(self, task: Task) -> bool:
        """Take away one task; False if it does not wait here."""
        line: Line | None = task.group
        if line is not None:
            if self._lines.get(line.group.name) is not line or task not in line.tasks:
                return False
            line.tasks.remove(task)
        elif task in self._raw:
            self._raw.remove(task)
        elif not self._drop_from_heap(task):
            return False
        self.items -= len(task.items)
        return True

    def _drop_from_heap(self, task: Task) -> bool:
        heap = self._heap
        for at, (_, _, other) in enumerate(heap):
            if other is task:
                heap[at] = heap[-1]
                heap.pop()
                heapq.heapify(heap)
                return True
        return False

    def clear(self) -> int:
        """Forget all that waits; how many items that were."""
        count, self.items = self.items, 0
        self._heap.clear()
        self._raw.clear()
        self._listed.clear()
        self._alarms.clear()
        for line in self._lines.values():
            line.tasks.clear()
            line.listed, line.alarm = False, math.inf
        return count


def _bring_forward(line: Line, below: float) -> bool:
    """Have the first task before that place come first, if there is one: retries may stand before it."""
    task = next((task for task in line.tasks if task.place < below), None)
    if task is None:
        return False
    line.tasks.remove(task)
    line.tasks.appendleft(task)
    return True


def counted(task: Task) -> Task:
    """The same; its line is kept for one task more."""
    if task.group is not None:
        task.group.users += 1
        task.group.group.users += 1
    return task


def _plain(task: Task) -> bool:
    """Whether a task may go together with others: it was never tried, nor cut, and is nobody's future."""
    return not task.alone and task.future is None and not task.attempt and not task.notes


def part(task: Task, start: int, end: int) -> Task:
    """Some of a task's items as a task of its own."""
    found = Task(task.spec, task.place + start, task.items[start:end])
    found.route, found.group, found.context = task.route, task.group, task.context
    return found
