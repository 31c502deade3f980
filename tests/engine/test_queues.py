"""Tasks that wait: each item leaves once, in its turn, in tasks that are no larger than asked for."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.engine.limits import Limits
from autoexec.engine.queues import TaskQueue, counted, part
from autoexec.engine.verdict import OK
from autoexec.worker.invoke import CallSpec, Task
from tests.engine.stage import Future, limits

NOW = 1000.0
SPEC = CallSpec(abs)


def task_of(place: int, size: int = 1, spec: CallSpec = SPEC, **more: Any) -> Task:
    """A task whose items are their places."""
    task = Task(spec, place, list(range(place, place + size)))
    for name, value in more.items():
        setattr(task, name, value)
    return task


def everything(queue: TaskQueue, most: int = 100) -> list[list[Any]]:
    """All that may begin now, one after the other."""
    found = []
    while (task := queue.take(NOW, most)) is not None:
        found.append(list(task.items))
    return found


# Without limits ---------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(1, 5), max_size=20),
    moves=st.lists(
        st.tuples(
            st.sampled_from(["put", "take", "back", "drop"]),
            st.integers(1, 7),
            st.none() | st.integers(0, 60),
        ),
        max_size=60,
    ),
)
def test_items_leave_in_order_whatever_comes_and_goes(
    sizes: list[int], moves: list[tuple[str, int, int | None]]
) -> None:
    """What is taken is what stands first, consecutive, and no more than asked for; the count is right."""
    queue, new, place = TaskQueue(), list[Task](), 0
    for size in sizes:
        new.append(task_of(place, size))
        place += size
    waiting, taken, dropped = set[int](), list[Task](), set[int]()
    for move, count, below in moves:
        if move == "put" and new:
            task = new.pop(count % len(new))
            queue.put(task)
            waiting |= set(task.items)
        elif move == "take":
            limit = math.inf if below is None else below
            found = queue.take(NOW, count, limit)
            first = min(waiting, default=math.inf)
            assert (found is None) == (first >= limit)
            if found is not None:
                assert found.items[0] == found.place == first and 1 <= len(found.items) <= count
                assert list(found.items) == list(range(found.place, found.place + len(found.items)))
                waiting -= set(found.items)
                taken.append(found)
        elif move == "back" and taken:
            task = taken.pop()
            queue.put(task, first=True)
            waiting |= set(task.items)
        elif move == "drop" and (tasks := list(queue.waiting())):
            task = tasks[count % len(tasks)]
            assert queue.drop(task) and not queue.drop(task)
            waiting -= set(task.items)
            dropped |= set(task.items)
        assert queue.items == len(waiting)
        assert sorted(item for task in queue.waiting() for item in task.items) == sorted(waiting)
    rest = [item for items in everything(queue) for item in items]
    assert rest == sorted(waiting) and queue.items == 0 and queue.due == math.inf
    had = [item for task in [*taken, *new] for item in task.items]
    assert sorted([*had, *rest, *dropped]) == list(range(place))


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=20), most=st.integers(1, 9))
def test_neighbours_go_together_as_far_as_they_fit(sizes: list[int], most: int) -> None:
    """A task that is too large is cut; small ones are joined until the next one would be too much."""
    queue, place = TaskQueue(), 0
    for size in sizes:
        queue.put(task_of(place, size))
        place += size
    expected, left = list[int](), list(sizes)
    while left:
        if left[0] > most:
            expected.append(most)
            left[0] -= most
            continue
        total = left.pop(0)
        while left and total < most and total + left[0] <= most:
            total += left.pop(0)
        expected.append(total)
    found = everything(queue, most)
    assert [len(items) for items in found] == expected
    assert [item for items in found for item in items] == list(range(place))


@pytest.mark.parametrize(
    "trait",
    [{"alone": True}, {"future": Future()}, {"attempt": 1}, {"notes": ["tried"]}, {"spec": CallSpec(abs)}],
    ids=lambda trait: next(iter(trait)),
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_some_tasks_go_alone(trait: dict[str, Any], at: int) -> None:
    """Who was tried before, cut out of a larger one, calls something else, or is somebody's future."""
    queue = TaskQueue()
    for place in range(3):
        queue.put(task_of(place, **(trait if place == at else {})))
    assert [at] in everything(queue)
    assert queue.items == 0


def test_what_is_not_adjacent_is_not_joined() -> None:
    """The items of a task have consecutive places."""
    queue = TaskQueue()
    for place in (0, 1, 3):
        queue.put(task_of(place))
    assert everything(queue) == [[0, 1], [3]]


def test_joined_tasks_do_not_touch_what_was_put() -> None:
    """The items of a task that was put may be somebody else's, such as a slice of the input."""
    queue, tasks = TaskQueue(), [task_of(0, 2), task_of(2, 2)]
    tasks[0].route = "route"
    for task in tasks:
        queue.put(task)
    found = queue.take(NOW, 9)
    assert found is not None and found.items == [0, 1, 2, 3] and found.route == "route"
    assert [task.items for task in tasks] == [[0, 1], [2, 3]]


def test_a_part_of_a_task_keeps_what_belongs_to_its_call() -> None:
    """Its place, route, group and context; not its tries."""
    task = task_of(3, 4, route="route", context="context", attempt=2, notes=["a"])
    found = part(task, 1, 3)
    assert (found.place, found.items, found.spec) == (4, [4, 5], task.spec)
    assert (found.route, found.context, found.group) == ("route", "context", None)
    assert (found.attempt, found.notes, task.items) == (0, [], [3, 4, 5, 6])


# With limits ------------------------------------------------------------------------------------------------


class Queued:
    """A queue with limits, its calls that run, and what its lines should hold.

    Attributes:
        lines: the places that wait, by group, in their order.
        running: tasks that have begun.
    """

    def __init__(self, known: Limits) -> None:
        self.limits, self.queue, self.now = known, TaskQueue(known), NOW
        self.lines: dict[str, list[int]] = {}
        self.running: list[Task] = []
        self.ended: list[int] = []

    def put(self, place: int, name: str) -> None:
        task = task_of(place)
        task.group = self.queue.line(name)
        self.queue.put(counted(task))
        self.lines.setdefault(name, []).append(place)

    def take(self, below: float = math.inf) -> Task | None:
        found = self.queue.take(self.now, 5, below)
        if found is not None:
            line = self.lines[found.group.group.name]
            assert found.place == next(place for place in line if place < below)
            line.remove(found.place)
            self.running.append(found)
        elif below < math.inf:
            self._brought_forward(below)
        return found

    def _brought_forward(self, below: float) -> None:
        """What may begin at all comes before the others of its line, and may still have to wait."""
        for name, line in self.lines.items():
            real = [task.place for task in self.queue.line(name).tasks] if line else []
            if real != line:
                first = next(place for place in line if place < below)
                assert real == [first, *(place for place in line if place != first)]
                line[:] = real

    def admit(self, place: int, name: str) -> None:
        """A new task comes when nothing that waits may begin: it does, unless it has to wait, too."""
        while self.take() is not None:
            pass
        task, waiting = task_of(place), self.lines.setdefault(name, [])
        if not self.limits.full() and self.queue.admit(task, name, self.now):
            assert not waiting
            self.running.append(task)
        elif task.group is None:
            self.put(place, name)
        else:
            waiting.append(place)
            assert self.take() is None, "it might have begun"

    def end(self, at: int) -> None:
        task = self.running.pop(at % len(self.running))
        line, ticket, task.ticket = task.group, task.ticket, None
        self.limits.end(line.group, ticket, self.now, OK, 0.01, 0.0)
        self.queue.ended(line.group)
        self.queue.let_go(line)
        self.ended.append(task.place)

    def again(self, at: int) -> None:
        """A call has failed, and waits again before the others."""
        task = self.running.pop(at % len(self.running))
        line, ticket, task.ticket = task.group, task.ticket, None
        self.limits.end(line.group, ticket, self.now, OK, 0.01, 0.0)
        self.queue.ended(line.group)
        self.queue.put(task, first=True)
        self.lines[line.group.name].insert(0, task.place)

    def drop(self, at: int) -> None:
        tasks = list(self.queue.waiting())
        task = tasks[at % len(tasks)]
        assert self.queue.drop(task) and not self.queue.drop(task)
        self.lines[task.group.group.name].remove(task.place)
        self.queue.let_go(task.group)
        self.ended.append(task.place)

    def move(self, move: str, count: int) -> None:
        """Whatever happens to those that are there."""
        if move == "take":
            self.take()
        elif move == "take below":
            self.take(count)
        elif move in ("end", "again") and self.running:
            getattr(self, move)(count)
        elif move == "drop" and self.queue.items:
            self.drop(count)
        elif move == "wait":
            self.now += count / 10
        elif move == "revive":
            self.queue.revive()

    def check(self) -> None:
        assert self.queue.items == sum(map(len, self.lines.values()))
        waiting = sorted(task.place for task in self.queue.waiting())
        assert waiting == sorted(place for line in self.lines.values() for place in line)
        running = {task.group.group.name for task in self.running}
        assert set(self.queue._lines) == {name for name, line in self.lines.items() if line} | running

    def run_out(self) -> None:
        """Whatever may begin does, and ends at once; time passes where nothing may."""
        while self.running or self.queue.items:
            while self.take() is not None:
                pass
            if self.running:
                self.end(0)
            else:
                assert self.queue.due < math.inf, "nobody would ever look again"
                self.now = max(self.now, self.queue.due)
            self.check()


MOVES = [
    *("put", "put", "admit", "admit", "take", "take below"),
    *("end", "again", "drop", "wait", "revive"),
]
WISHES: dict[str, dict[str, Any]] = {
    "one at a time": {"cap": 1},
    "three at a time": {"cap": 3},
    "a rate": {"rate": 5},
    "both": {"cap": 2, "rate": 50},
    "retries": {"retries": 2},
}


@pytest.mark.parametrize("wishes", WISHES.values(), ids=WISHES)
@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(MOVES),
            st.integers(0, 20),
        ),
        max_size=60,
    )
)
def test_every_call_begins_once_its_limits_let_it(
    wishes: dict[str, Any], moves: list[tuple[str, int]]
) -> None:
    """Those of a group in their order; nothing is left behind, and no line or group either."""
    known = limits(**wishes)
    queued, put = Queued(known), 0
    for move, count in moves:
        if move in ("put", "admit"):
            getattr(queued, move)(put, "abc"[count % 3])
            put += 1
        else:
            queued.move(move, count)
        queued.check()
    queued.run_out()
    assert sorted(queued.ended) == list(range(put))
    assert not queued.queue._lines and all(known.group(name).users == 0 for name in "abc")


def test_lines_take_turns() -> None:
    """The many calls to one host do not hold up the few to another; that with the fewest calls is next."""
    queued = Queued(limits(cap=6))
    for place in range(6):
        queued.put(place, "many")
    queued.put(6, "few")
    begun = [task.place for _ in range(4) if (task := queued.take()) is not None]
    assert 6 in begun[:2] and begun[0] == 0


def test_a_line_whose_host_wants_to_be_left_alone_is_refused() -> None:
    """Its tasks go to whoever fails them; others begin."""
    queued = Queued(limits(cap=2))
    queued.put(0, "closed")
    queued.put(1, "open")
    queued.limits.group("closed").obey(10_000.0, NOW)
    assert [task.place for _ in range(2) if (task := queued.queue.take(NOW, 1)) is not None] == [1]
    assert [task.place for task in queued.queue.refused] == [0]


def test_a_line_that_was_cleared_is_looked_at_again() -> None:
    """It may still be there, for a call that runs: what waits there later begins when its time comes."""
    queued = Queued(limits(rate=1))
    queued.put(0, "a")
    queued.put(1, "a")
    assert queued.take() is not None and queued.take() is None
    assert NOW < queued.queue.due < math.inf
    waits = next(iter(queued.queue.waiting()))
    assert queued.queue.clear() == 1 and queued.queue.due == math.inf and not list(queued.queue.waiting())
    queued.lines["a"].clear()
    queued.queue.let_go(waits.group)
    queued.put(2, "a")
    queued.run_out()
    assert queued.ended == [0, 2]


@given(names=st.lists(st.sampled_from("ab"), max_size=12), taken=st.integers(0, 3), raw=st.integers(0, 5))
def test_limits_can_be_lifted(names: list[str], taken: int, raw: int) -> None:
    """Then all leave in the order of their places; what runs is still counted where it began."""
    known = limits(cap=2)
    queued = Queued(known)
    for place, name in enumerate(names):
        queued.put(place, name)
    for place in range(len(names), len(names) + raw):
        queued.queue.put(task_of(place))
    begun = [task.place for _ in range(taken) if (task := queued.take()) is not None]
    queued.queue.free()
    rest = [item for items in everything(queued.queue, 3) for item in items]
    assert rest == [place for place in range(len(names) + raw) if place not in begun]
    assert queued.queue.items == 0
    for _ in begun:
        queued.end(0)
    assert all(known.group(name).users == 0 for name in "ab")


def test_what_waits_when_limits_come_is_asked_for_its_group() -> None:
    """In its order, in portions, and not before."""
    queue, known = TaskQueue(), limits(cap=2)
    for place in (4, 0):
        queue.put(task_of(place, 4))
    assert queue.raw_place == math.inf
    queue.limit(known)
    assert queue.raw_place == 0 and queue.take(NOW, 9) is None and queue.items == 8
    first, second = queue.take_raw(3), queue.take_raw(3)
    assert first is not None and second is not None
    assert (first.items, second.items, queue.raw_place, queue.items) == ([0, 1, 2], [3], 4, 4)
    queue.put_raw([first, second])
    assert queue.raw_place == 0 and queue.items == 8
    assert [list(task.items) for task in queue.waiting()] == [[0, 1, 2], [3], [4, 5, 6, 7]]
    assert queue.drop(first) and not queue.drop(first) and queue.items == 5
    assert queue.clear() == 5 and queue.take_raw(1) is None and queue.raw_place == math.inf


def test_what_waits_again_when_its_limits_have_gone_belongs_to_those_that_hold() -> None:
    """Or to none: the old ones forget it."""
    old, new = limits(cap=1), limits(cap=1)
    for after in (None, new):
        queued = Queued(old)
        queued.put(0, "a")
        task = queued.take()
        assert task is not None
        group = task.group.group
        queued.queue.free()
        if after is not None:
            queued.queue.limit(after)
        old.cancel(group, task.ticket, NOW)
        queued.queue.put(task, first=True)
        assert group.users == 0 and queued.queue.items == 1
        found = queued.queue.take(NOW, 1)
        assert found is task
        assert (task.group is None) == (after is None)
    assert new.group("a").users == 1
