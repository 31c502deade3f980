"""What begins later: retries, limits of groups, calls that take too long. The clock is the test's."""

from __future__ import annotations

from typing import Any

import pytest

from autoexec.engine.tracks import DONE, END, Slot
from autoexec.errors import ItemTimeout
from autoexec.worker.invoke import Error, Task, TaskResult

from .stage import Stage, backend, limits

NO = ValueError("no")


# Retries and time ------------------------------------------------------------------------------------------


def _retrying(items: Any, retries: int = 2, **more: Any) -> Stage:
    return Stage(items, limits=limits(retries=retries, retry_on=OSError, **more))


def test_an_item_that_failed_runs_again_when_its_time_has_come() -> None:
    """Until then it is in no slot's hands, and somebody is told when to look."""
    stage = _retrying(range(1))
    _, slots = stage.pool(1)
    stage.step(slots[0], OSError("once"))
    assert stage.scheduler.retries == 1 and slots[0].parked
    assert stage.timers and stage.scheduler.due >= stage.clock.now
    stage.wait(60)
    task = stage.task(slots[0])
    assert task.attempt == 2 and "OSError: once" in task.notes[0]
    stage.finish(slots[0], task)
    stage.take()
    assert stage.given == [0, END]


def test_an_item_fails_for_good_when_it_has_been_tried_often_enough() -> None:
    """With a note for every try."""
    stage = _retrying(range(1))
    _, slots = stage.pool(1)
    for count in range(3):
        stage.step(slots[0], OSError(count))
        stage.wait(60)
    found = stage.scheduler.take()
    assert isinstance(found, list) and len(found[0].notes) == 3
    assert not stage.scheduler.queue._lines  # and nobody keeps its group


def test_single_items_of_a_task_run_again_by_themselves() -> None:
    """The rest of the task is done; results keep their order around the gap."""
    stage = _retrying(range(4), per=lambda item: "all")
    _, (slot,) = stage.pool(1, chunksize=4)
    task = stage.task(slot)
    assert len(task.items) == 4
    stage.finish(slot, task, 0, OSError("once"), 2, 3)
    stage.take()
    assert stage.given == [0]
    stage.wait(60)
    again = stage.task(slot)
    assert (again.place, again.attempt, list(again.items)) == (1, 2, [1])
    stage.finish(slot, again)
    stage.take()
    assert stage.given == [0, 1, 2, 3, END]
    assert not stage.scheduler.queue._lines


def test_what_was_cut_off_before_an_error_still_begins() -> None:
    """Also if something behind the error stands before it in line: a retry, for example."""
    stage = _retrying(range(3))
    track, slots = stage.pool(3)
    tasks = [stage.task(slot) for slot in slots]
    stage.scheduler.allow(track, 0)
    for at in (2, 0):
        stage.finish(slots[at], tasks[at], OSError("again"))
    stage.finish(slots[1], tasks[1], NO)
    stage.scheduler._ledger.retries[:] = [
        (stage.clock.now + task.place, task.place, task, queue)
        for _, _, task, queue in sorted(stage.scheduler._ledger.retries, key=lambda entry: entry[2].place)
    ]
    stage.wait(5)
    (line,) = stage.scheduler.queue._lines.values()
    assert [task.place for task in line.tasks] == [2, 0]
    stage.scheduler.allow(track, 3)
    stage.check()
    assert [task.place for task, _ in stage.scheduler._ledger.out.values()] == [0]


def test_no_retry_after_the_end() -> None:
    """Closing forgets what was to run again, and what still runs is not tried again."""
    stage = _retrying(range(2))
    _, (one, two) = stage.pool(2)
    first, second = stage.task(one), stage.task(two)
    stage.finish(one, first, OSError())
    stage.scheduler.close()
    stage.check()
    stage.finish(two, second, OSError())
    assert stage.scheduler.retries == 0 and stage.scheduler.tick() == float("inf")


def test_a_call_that_takes_too_long_is_given_up() -> None:
    """Another slot takes its place, and what its thread says later is refused."""
    stage = Stage(range(2), item_timeout=5.0)
    track = stage.track(1, elastic=True)
    (slot,) = backend(track).started
    task = stage.task(slot)
    stage.wait(5)
    (other,) = (each for each in backend(track).started if each is not slot)
    assert backend(track).given_up == [(slot, task)] and slot.left
    stage.finish(slot, task, 99)
    assert stage.mail(slot) is END
    stage.take()
    assert type(stage.given[0]) is ItemTimeout
    stage.step(other)
    stage.take()
    assert stage.given[1:] == [1, END]


def test_a_call_that_was_given_up_and_runs_again_may_still_be_running() -> None:
    """It is the same task under another number: the answer of the first try is not the second one's."""
    stage = Stage(range(1), item_timeout=5.0, limits=limits(retries=2))
    track = stage.track(1, elastic=True)
    (slot,) = backend(track).started
    task = stage.task(slot)
    stage.wait(6)
    other = backend(track).started[-1]
    again = stage.task(other)
    assert other is not slot and again.attempt > 1
    stage.finish(slot, task, 99)
    stage.finish(other, again)
    stage.take()
    assert stage.given == [0, END]


def test_a_call_that_is_being_given_up_is_in_a_table_meanwhile() -> None:
    """The user's code is asked whether it runs again; a consumer that comes by then sees no end."""
    stage = Stage(range(1), item_timeout=5.0)
    track = stage.track(1, elastic=True)
    seen: list[Any] = []

    def abandon(slot: Slot, task: Task) -> None:
        seen.append(stage.scheduler.take())
        stage.scheduler._ledger.check_sum()

    backend(track).abandon = abandon  # type: ignore[method-assign]
    stage.wait(5)
    assert seen == [None]
    stage.take()
    assert type(stage.given[0]) is ItemTimeout and stage.given[1:] == [END]


def test_backends_that_end_late_calls_themselves_are_left_alone() -> None:
    """Worker processes are killed by who serves them."""
    stage = Stage(range(1), item_timeout=5.0)
    track, (slot,) = stage.pool(1, ends_late=True)
    stage.wait(60)
    assert backend(track).given_up == [] and stage.scheduler.due == float("inf")
    stage.step(slot)


def test_a_tick_says_when_to_come_again() -> None:
    """And whoever keeps the time is told when that changes to an earlier time."""
    stage = Stage(range(3), item_timeout=5.0)
    stage.pool(1)
    assert stage.timers == [stage.clock.now + 5] == [stage.scheduler.tick()]
    assert stage.scheduler.due == stage.clock.now + 5


# Limits ----------------------------------------------------------------------------------------------------


def test_groups_take_turns_under_their_limits() -> None:
    """A group that may not begin holds no other one back."""
    known = limits(8)
    stage = Stage([f"http://{'slow' if at < 5 else 'fast'}/{at}" for at in range(7)], limits=known)
    _, slots = stage.pool(7)
    out = sorted(task.place for task, _ in stage.scheduler._ledger.out.values())
    group = known.group("slow")
    assert group.limiter is not None and group.in_flight <= group.limiter.limit(stage.clock.now)
    assert {5, 6} & set(out)
    stage.run_all(slots)
    assert len(stage.given) == 8 and not stage.scheduler.queue._lines


def test_items_that_a_busy_slot_would_have_to_name_are_left_to_an_idle_one() -> None:
    """A slot that asks for one more task has no time for that; nothing is lost by its asking."""
    items = ["http://one/0", object(), object()]  # whose attributes may be anything
    stage = Stage(items, limits=limits(retries=1))
    _, (slot,) = stage.pool(1)
    first = stage.task(slot)
    stage.scheduler._turns.post(stage.scheduler._handing_out.on_asked_ahead, slot)
    assert stage.mail(slot) is DONE
    stage.finish(slot, first)
    stage.run_all([slot])
    assert stage.given == [*items, END]


def test_limits_are_lifted_while_a_slot_finds_out_whom_items_concern() -> None:
    """The plan has changed meanwhile: the items wait again, in nobody's line."""
    items = [object() for _ in range(3)]
    lift: list[Any] = []

    def per(item: object) -> str:
        for scheduler in lift:
            scheduler.attend(None)
        return "one"

    stage = Stage(items, limits=limits(per=per))
    lift.append(stage.scheduler)
    _, slots = stage.pool(2)
    stage.run_all(slots)
    assert stage.given == [*items, END] and stage.scheduler.queue.limits is None


def test_what_per_raises_is_that_items_failure() -> None:
    """Nothing else is touched by it."""

    def per(item: int) -> str:
        if item == 1:
            raise NO
        return ""

    stage = Stage(range(3), limits=limits(per=per), ends_at_error=False)
    _, slots = stage.pool(2)
    stage.run_all(slots)
    assert stage.given == [0, NO, 2, END]
    assert "raised by per=" in NO.__notes__[-1]


def test_what_is_no_exception_ends_the_run_when_per_raises_it() -> None:
    """As anywhere else."""

    def per(item: int) -> str:
        raise SystemExit(3)

    stage = Stage(range(3), limits=limits(per=per))
    _, slots = stage.pool(1)
    assert stage.mail(slots[0]) in (None, END)
    with pytest.raises(SystemExit):
        stage.take()


def test_a_tick_looks_further_into_the_input_than_an_event() -> None:
    """While nothing ends, calls of other groups must be found behind many that may not begin."""
    urls = [f"http://{'late' if at < 100 else 'soon'}/{at}" for at in range(102)]
    stage = Stage(urls, limits=limits(rate="1/s"))
    _, slots = stage.pool(3)
    for slot in slots:
        if slot.tasks:
            stage.step(slot)
    stage.mail(slots[0])
    stage.wait(1.5)
    assert any(task.place >= 100 for task, _ in stage.scheduler._ledger.out.values())


def test_a_time_that_has_passed_is_not_waited_for_again() -> None:
    """A call may begin now, but all slots are busy: whoever keeps the time need not come before that."""
    urls = ["http://one/0", "http://one/1", "http://two/2", "http://three/3"]
    stage = Stage(urls, limits=limits(rate="1/s"))
    _, slots = stage.pool(3)
    assert all(slot.tasks for slot in slots) and stage.scheduler.due == stage.clock.now + 1
    stage.clock.now += 2
    assert stage.scheduler.tick() == float("inf") == stage.scheduler.tick()
    stage.step(slots[0])
    assert stage.task(slots[0]).place == 1


def test_calls_to_a_host_that_wants_to_be_left_alone_are_refused() -> None:
    """Each item fails by itself, and the run ends."""
    known = limits(retries=1)
    stage = Stage(range(4), limits=known, ends_at_error=False)
    _, slots = stage.pool(1)
    task = stage.task(slots[0])
    known.group("").obey(10_000.0, stage.clock.now)
    stage.finish(slots[0], task)
    stage.take()
    assert stage.given[0] == 0 and stage.given[-1] is END and len(stage.given) == 5
    assert not stage.scheduler.queue._lines


def test_a_group_is_kept_as_long_as_any_part_of_a_task_is_on_its_way() -> None:
    """And no longer: shares, splits, what was given back, retries."""
    known = limits(per=lambda item: "host", retries=2, retry_on=OSError)
    stage = Stage(range(8), limits=known)
    here = stage.track(1)
    own = here.add()
    task = stage.scheduler.take_here(here, own, 8)
    assert task is not None and len(task.items) == 8
    stage.scheduler.give_back(own, task, 4)
    stage.scheduler.change(drains=[here])
    split = stage.result(task, 0)
    split.outcomes.clear()
    split.split = True
    stage.scheduler.completed_here(own, task, split)
    stage.check()
    line = task.group
    assert line.users == len(list(stage.scheduler.queue.waiting())) == 5 == line.group.users
    _, slots = stage.pool(1, chunksize=8)
    stage.step(slots[0], OSError())
    while stage.given[-1:] != [END]:
        stage.run_all(slots)
        stage.wait(60)
    assert stage.given == [*range(8), END]
    assert line.users == 0 == line.group.users and not stage.scheduler.queue._lines


def test_limits_that_come_later_hold_for_what_waits() -> None:
    """And when they go, everything may begin."""
    stage = Stage(range(6))
    _, slots = stage.pool(1, chunksize=6)
    task = stage.task(slots[0])
    stage.scheduler.attend(limits(per=lambda item: "all"))
    stage.finish(slots[0], task, 0, 1)
    assert stage.task(slots[0]).group is not None
    stage.scheduler.attend(None)
    stage.check()
    assert all(task.group is None for task in stage.scheduler.queue.waiting())


def test_limits_that_went_and_came_again_know_of_the_calls_between() -> None:
    """A call that began under them ends under them, whatever holds by then."""
    known = limits(3)
    stage = Stage(range(6), limits=known)
    _, slots = stage.pool(3)
    tasks = [stage.task(slot) for slot in slots]
    group = known.group("")
    assert group.in_flight == 3 == known.metrics.at_once
    stage.scheduler.attend(None)
    stage.finish(slots[0], tasks[0])
    assert group.in_flight == 2 == group.users
    stage.scheduler.attend(known)
    stage.scheduler.returned(slots[1], tasks[1])
    stage.check()
    stage.finish(slots[2], tasks[2])
    assert (
        group.in_flight == known.metrics.at_once == len(stage.scheduler._ledger.out) - 1
    )  # one began without
    stage.run_all(slots)
    assert group.in_flight == 0 == group.users == known.metrics.at_once


def test_items_whose_group_was_not_asked_for_yet_begin_before_an_error() -> None:
    """They were taken before, so the input's position does not tell that they lie before it."""
    stage = Stage(range(4), most=1)
    here = stage.track(1)
    own = here.add()
    task = stage.scheduler.take_here(here, own, 3)
    assert task is not None
    stage.scheduler.attend(limits(per=lambda item: "all"))
    stage.scheduler.completed_here(own, task, TaskResult([Error(NO)][:0], clean=True))
    stage.scheduler.change(drains=[here])
    stage.check()
    stage.scheduler._ledger.below = 3  # as after an error at the fourth item
    _, slots = stage.pool(1)
    assert stage.step(slots[0]).place == 0 and stage.step(slots[0]).place == 1
