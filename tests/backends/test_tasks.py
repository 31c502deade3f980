"""Tasks and the queue they wait in: what has come of each, and who comes first."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.backends.base import Capturing, Chunk, Failure
from autoexec.backends.tasks import Queue, Task

ERROR = ValueError("no")


def _task(count: int = 4, *, start: int = 10, capturing: bool = False, begin: Any = None) -> Task:
    call: Any = Capturing(abs) if capturing else abs
    return Task(Chunk(start, list(range(start, start + count)), call, begin=begin))


def test_a_task_collects_its_results() -> None:
    """It is complete with the last one, and says which item is due next."""
    task = _task(2)
    assert task.send(1) == (10, [10, 11]) and not task.complete
    task.add("a")
    assert (task.index(), task.got, list(task.rest)) == (11, 1, [11])
    task.add("b")
    done = task.finished("process 1")
    assert task.complete and (done.values, done.error, done.where) == (["a", "b"], None, "process 1")


def test_what_is_left_is_sent_from_where_it_stopped() -> None:
    """Results that are there are not asked for again."""
    task = _task()
    task.send(1)
    task.add("a")
    task.add("b")
    assert task.send(2) == (12, [12, 13]) and (task.serial, task.offset, task.got) == (2, 2, 0)


def test_one_by_one() -> None:
    """A task whose items are suspect sends one at a time."""
    task = _task()
    task.single = True
    for index in range(10, 14):
        assert task.send(index) == (index, [index])
        task.add(None)
    assert task.complete


@pytest.mark.parametrize("capturing", [False, True])
def test_a_failing_item(capturing: bool) -> None:
    """It ends the task, unless errors are values: then the items after it go on."""
    task = _task(3, capturing=capturing)
    task.send(1)
    task.add("a")
    task.fail(ERROR)
    task.fail(LookupError("the second is not heard of") if not capturing else ERROR)
    assert task.complete
    if capturing:
        assert [type(value) for value in task.values] == [str, Failure, Failure] and task.error is None
    else:
        task.add("ignored")
        assert task.values == ["a"] and task.error is ERROR


@pytest.mark.parametrize("capturing", [False, True])
def test_what_is_more_than_an_items_own_affair_stops_the_task(capturing: bool) -> None:
    """An initializer that raised is not a value."""
    task = _task(3, capturing=capturing)
    task.stop(ERROR)
    task.stop(LookupError("later"))
    assert task.complete and task.error is ERROR and task.values == []


@pytest.mark.parametrize(("capturing", "values", "error"), [(False, 1, ERROR), (True, 4, None)])
def test_all_that_are_left_fail_alike(capturing: bool, values: int, error: Any) -> None:
    """As one error, or as one value each."""
    task = _task(4, capturing=capturing)
    task.add("a")
    task.fail_all(ERROR, len(task.rest))
    assert task.complete and len(task.values) == values and task.error is error


def test_a_task_is_asked_once_whether_it_is_wanted() -> None:
    """A cancelled one is not; one that was asked already is begun."""
    asked: list[int] = []
    task = _task(begin=lambda: asked.append(1) or True)
    assert not task.begun and task.wanted() and task.begun and task.wanted() and asked == [1]
    assert not _task(begin=lambda: False).wanted()
    assert _task().wanted()


# The queue --------------------------------------------------------------------------------------------------


def test_what_is_left_comes_before_the_others() -> None:
    """First in, first out, but for what is put back."""
    queue, tasks = Queue(), [_task(start=i) for i in range(4)]
    for task in tasks[:3]:
        queue.put(task)
    queue.put_back(tasks[3])
    assert len(queue) == 4
    assert [queue.get(0.0) for _ in range(5)] == [tasks[3], *tasks[:3], None]


def test_withdrawing_leaves_what_has_begun() -> None:
    """What a worker has taken before must be finished."""
    queue, tasks = Queue(), [_task(start=i) for i in range(3)]
    assert tasks[1].wanted()
    for task in tasks:
        queue.put(task)
    assert queue.withdraw() == [tasks[0], tasks[2]]
    assert queue.get(0.0) is tasks[1] and queue.withdraw() == []


def test_the_last_one_that_has_not_begun_can_be_taken_from_behind() -> None:
    """Not one that a worker has begun, and not from an empty queue."""
    queue, tasks = Queue(), [_task(start=i) for i in range(3)]
    assert queue.steal() is None
    for task in tasks:
        queue.put(task)
    assert queue.steal() is tasks[2]
    assert tasks[1].wanted()
    assert queue.steal() is None and len(queue) == 2


def test_a_closed_queue_hands_out_what_it_has() -> None:
    """And also what is put back later; then there is nothing more."""
    queue, task = Queue(), _task()
    queue.put(task)
    queue.close()
    assert not queue.over and queue.get(None) is task
    assert queue.over and queue.get(None) is None
    queue.put_back(task)
    assert not queue.over and queue.get(None) is task


def test_clearing_drops_everything() -> None:
    """Begun or not."""
    queue, task = Queue(), _task()
    assert task.wanted()
    queue.put(task)
    queue.clear()
    assert queue.get(0.0) is None


@pytest.mark.parametrize("event", ["put", "put_back", "close"])
def test_whoever_waits_is_woken(event: str) -> None:
    """By a task as by the end."""
    queue, found = Queue(), []
    task = _task()
    thread = threading.Thread(target=lambda: found.append(queue.get(20)))
    thread.start()
    queue.close() if event == "close" else getattr(queue, event)(task)
    thread.join(20)
    assert found == [None if event == "close" else task]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["put", "back", "get", "begun", "withdraw", "steal"]), max_size=40))
def test_no_task_is_lost_or_handed_out_twice(steps: list[str]) -> None:
    """Whatever is done to a queue, each task is in it or was taken out once."""
    queue, made, out = Queue(), [], []
    for i, step in enumerate(steps):
        if step in ("put", "back", "begun"):
            made.append(_task(start=i))
            if step == "begun":
                assert made[-1].wanted()
            (queue.put if step == "put" else queue.put_back)(made[-1])
        elif step == "withdraw":
            out += queue.withdraw()
        else:
            taken = queue.get(0.0) if step == "get" else queue.steal()
            out += [taken] if taken is not None else []
    while (task := queue.get(0.0)) is not None:
        out.append(task)
    assert sorted(map(id, out)) == sorted(map(id, made))
