"""The scheduler of an executor: calls with futures, from many queues."""

from __future__ import annotations

import threading
from typing import Any

from autoexec.engine.queues import TaskQueue
from autoexec.engine.tracks import END, Slot, Track
from autoexec.errors import AutoexecError
from autoexec.worker.invoke import TaskResult

from .stage import Stage, limits

NO = ValueError("no")


def _executor(**wishes: Any) -> tuple[Stage, TaskQueue]:
    return Stage(**wishes), TaskQueue()


def test_calls_are_served_in_their_order_and_futures_hear_of_it() -> None:
    """By the thread that ran them, where a slot has one."""
    stage, queue = _executor()
    _, (slot,) = stage.pool(1, queue=queue)
    first, second = stage.put(queue, 1), stage.put(queue, 2)
    assert stage.step(slot) is first and stage.step(slot, NO) is second
    assert (first.future.results, second.future.results) == ([1], [NO])
    assert not stage.scheduler._ledger.calls


def test_each_route_serves_its_own_queue() -> None:
    """A slot gets no other one's calls."""
    stage, queue = _executor()
    other = TaskQueue()
    _, (slot,) = stage.pool(1, queue=queue)
    _, (own,) = stage.pool(1, queue=other)
    task = stage.put(other)
    assert stage.mail(slot) is None and stage.task(own) is task


def test_a_call_that_waits_can_be_cancelled() -> None:
    """One that has begun cannot: its worker finds out by itself."""
    stage, queue = _executor()
    _, (slot,) = stage.pool(1, queue=queue)
    first, second = stage.put(queue), stage.put(queue)
    assert stage.scheduler.calls.cancelled(second) and not stage.scheduler.calls.cancelled(first)
    stage.check()
    task = stage.task(slot)
    stage.scheduler.completed(slot, task, TaskResult([], withdrawn=True))
    stage.check()
    assert stage.scheduler.ledger()["withdrawn"] == 2 and not stage.scheduler._ledger.calls


def test_cancelling_looks_into_the_right_queue() -> None:
    """Two queues under the same limits have lines of the same name."""
    known = limits(retries=1)
    stage = Stage()
    one, two = TaskQueue(known), TaskQueue(known)
    stage.put(one)
    task = stage.put(two)
    assert stage.scheduler.calls.cancelled(task)
    stage.check()
    assert (one.items, two.items) == (1, 0)


def test_a_fatal_error_of_one_call_is_no_other_calls_affair() -> None:
    """`SystemExit` in a call goes into its future; the next call begins."""
    stage, queue = _executor(ends_at_error=False)
    _, (slot,) = stage.pool(1, queue=queue)
    stage.put(queue)
    stage.step(slot, SystemExit(3))
    task = stage.put(queue)
    assert stage.step(slot) is task


def test_the_calls_of_one_queue_move_to_another() -> None:
    """What waits, what is put later, and what is to run again."""
    known = limits(retries=2, retry_on=OSError)
    stage = Stage()
    learning, route = TaskQueue(known), TaskQueue(known)
    track, (slot,) = stage.pool(1, queue=learning)
    failing, running, waiting = (stage.put(learning, group="host") for _ in range(3))
    stage.step(slot, OSError("once"))
    assert stage.task(slot) is running
    stage.scheduler.calls.move(learning, route)
    stage.scheduler.change(drains=[track])
    stage.check()
    later = stage.put(learning, group="host")
    stage.finish(slot, running, OSError("once"))
    _, (other,) = stage.pool(1, queue=route)
    assert [stage.step(other) for _ in range(2)] == [waiting, later]
    stage.wait(60)
    assert {stage.step(other) for _ in range(2)} == {failing, running}
    stage.check()
    assert not stage.scheduler._ledger.under_way() and not (learning._lines or route._lines)
    assert known.group("host").users == 0


def test_a_group_is_kept_while_any_queue_uses_it() -> None:
    """Two routes that share limits share what is known of a host."""
    known = limits(retries=1)
    stage = Stage()
    one, two = TaskQueue(known), TaskQueue(known)
    _, (slot,) = stage.pool(1, queue=one)
    stage.put(one, group="host")
    stage.put(two, group="host")
    stage.step(slot)
    assert known.group("host").users == 1 and not known.group("host").idle


def test_a_worker_that_waits_for_a_call_runs_it_itself() -> None:
    """Beside all limits, but counted; a retry of it goes where it came from."""
    known = limits(retries=2, retry_on=OSError)
    stage = Stage()
    other, queue = TaskQueue(known), TaskQueue(known)
    stage.put(other)
    task = stage.put(queue, group="host")
    slot = Slot(Track("helping", TaskQueue(), 0, stage.track(1).chunks, bounded=True), threaded=False)
    slot.track.backend = stage.scheduler.tracks[0].backend
    assert stage.scheduler.calls.take_over(slot, task)
    assert known.group("host").in_flight == 1 and not stage.scheduler.calls.take_over(slot, task)
    stage.finish(slot, task, OSError("once"), ask=False)
    assert known.group("host").in_flight == 0 and stage.scheduler.retries == 1
    _, (worker,) = stage.pool(1, queue=queue)
    stage.wait(60)
    assert stage.step(worker) is task and task.future.results == [None]


def test_a_call_can_be_taken_back_wherever_it_waits() -> None:
    """In a queue, or until it is to run again; not from somebody's hands."""
    known = limits(retries=2, retry_on=OSError)
    stage = Stage()
    queue = TaskQueue(known)
    _, (slot,) = stage.pool(1, queue=queue)
    first, second, third = (stage.put(queue) for _ in range(3))
    stage.step(slot, OSError())
    assert stage.task(slot) is second
    take_back = stage.scheduler.calls.take_back
    assert [take_back(task) for task in (first, second, third)] == [True, False, True]
    stage.check()
    assert stage.scheduler.retries == 0


def test_joining_waits_for_all_calls() -> None:
    """And then all tracks are drained."""
    stage, queue = _executor()
    _, (slot,) = stage.pool(1, queue=queue)
    stage.put(queue)
    stage.scheduler.close(finish=True)
    thread = threading.Thread(target=stage.scheduler.calls.join)
    thread.start()
    task = stage.task(slot)
    stage.scheduler.completed(slot, task, stage.result(task))
    thread.join(10)
    assert not thread.is_alive() and stage.mail(slot) is END
    assert task.future.results == [None]


def test_an_executor_that_cannot_go_on_tells_everybody() -> None:
    """A bug inside: calls that run, wait or are to run again, and those that come later."""
    stage = Stage()
    queue = TaskQueue(limits(retries=2, retry_on=OSError))
    _, (slot,) = stage.pool(1, queue=queue)
    again, running, waiting, cancelled = (stage.put(queue) for _ in range(4))
    stage.step(slot, OSError())
    assert stage.task(slot) is running
    cancelled.future.cancelled = True
    stage.scheduler._turns.post(lambda now: 1 // 0)
    late = stage.put_within(queue)
    for task in (again, running, waiting, late):
        (error,) = task.future.results
        assert isinstance(error, AutoexecError) and isinstance(error.__cause__, ZeroDivisionError)
    assert cancelled.future.results == []
    stage.scheduler.completed(slot, running, stage.result(running))
    assert len(running.future.results) == 1 and stage.mail(slot) is END
    stage.scheduler.close(finish=True)
    stage.scheduler.calls.join()


def test_refused_calls_that_were_just_cancelled_are_left_alone() -> None:
    """Their futures have heard of it already."""
    known = limits(retries=1)
    stage = Stage()
    queue = TaskQueue(known)
    first, second = stage.put(queue, group="host"), stage.put(queue, group="host")
    first.future.cancelled = True
    known.group("host").obey(10_000.0, stage.clock.now)
    stage.pool(1, queue=queue)
    stage.check()
    assert first.future.results == [] and len(second.future.results) == 1


def test_what_runs_when_workers_are_killed_is_left() -> None:
    """Nobody waits for it any more; a late answer is refused."""
    stage, queue = _executor()
    track, (slot,) = stage.pool(1, queue=queue)
    task = stage.put(queue)
    assert stage.scheduler.calls.left(track) == [task] and stage.scheduler.calls.left(track) == []
    stage.check()
    assert stage.scheduler.ledger()["left running"] == 1
    stage.finish(slot, task)
    assert task.future.results == []


def test_a_track_may_be_enlarged() -> None:
    """All its threads sleep while calls wait: these may be what they wait for."""
    stage, queue = _executor()
    track = stage.track(1, queue=queue, elastic=True)
    stage.put(queue), stage.put(queue)
    assert track.busy == 1
    stage.scheduler.calls.enlarge(track, 1)
    stage.check()
    assert track.busy == 2
