"""The scheduler as workers and consumers see it: asking, answering, taking; step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autoexec.engine.result_order import Failed
from autoexec.engine.source import Source, open_source
from autoexec.engine.tracks import DONE, END
from autoexec.errors import AutoexecError
from autoexec.worker.invoke import Task

from .stage import Stage

NO = ValueError("no")


# Asking and answering --------------------------------------------------------------------------------------


def test_a_slot_that_asks_gets_the_next_items_in_their_order() -> None:
    """Tasks follow the input, as large as their track says."""
    stage = Stage([10, 11, 12, 13, 14])
    _, (one, two) = stage.pool(2, chunksize=2)
    first, second = stage.task(one), stage.task(two)
    assert (first.place, list(first.items)) == (0, [10, 11])
    assert (second.place, list(second.items)) == (2, [12, 13])
    stage.finish(one, first)
    last = stage.task(one)
    assert (last.place, list(last.items)) == (4, [14])


def test_results_leave_in_the_order_of_the_input_and_the_run_ends_with_them() -> None:
    """Whatever ends first; and there is no end before the last one was taken."""
    stage = Stage(range(3))
    _, slots = stage.pool(3)
    tasks = [stage.task(slot) for slot in slots]
    for at in (2, 1):
        stage.finish(slots[at], tasks[at])
        assert not stage.take() and stage.given == []
    stage.finish(slots[0], tasks[0])
    stage.take()
    assert stage.given == [0, 1, 2, END]


def test_unordered_results_leave_as_they_come() -> None:
    """Nobody waits for a slow one."""
    stage = Stage(range(3), ordered=False)
    _, slots = stage.pool(3)
    tasks = [stage.task(slot) for slot in slots]
    for at in (2, 0, 1):
        stage.finish(slots[at], tasks[at])
        stage.take()
    assert stage.given == [2, 0, 1, END]


def test_a_slot_without_anything_to_do_is_parked_and_rung_for_later() -> None:
    """It hears of items as soon as the consumer has pulled some."""
    stage = Stage(iter(range(2)))
    _, (slot,) = stage.pool(1)
    assert slot.parked and stage.mail(slot) is None
    stage.pull(5)
    assert stage.step(slot).items == [0] and stage.step(slot).items == [1]
    stage.take()
    assert stage.given == [0, 1, END]


def test_an_iterator_that_has_not_ended_is_no_end() -> None:
    """All items at hand are delivered, and the consumer is told to pull more."""
    stage = Stage(iter(range(3)))
    _, slots = stage.pool(1)
    stage.pull(2)
    stage.run_all(slots)
    assert stage.given == [0, 1] and stage.scheduler.to_pull() > 0
    stage.pull(2)
    stage.run_all(slots)
    assert stage.given == [0, 1, 2, END]


def test_a_list_that_grows_is_asked_again_once_all_is_delivered() -> None:
    """As the built-in `map` does it."""
    items = [0, 1]
    stage = Stage(items)
    _, slots = stage.pool(2)
    items.append(2)
    stage.run_all(slots)
    assert stage.given == [0, 1, 2, END]


def test_a_list_that_shrinks_ends_earlier() -> None:
    """What is gone was never pulled."""
    items = [0, 1, 2, 3]
    stage = Stage(items)
    _, slots = stage.pool(1)
    del items[2:]
    stage.run_all(slots)
    assert stage.given == [0, 1, END]


def test_one_more_task_is_given_ahead_only_where_no_other_slot_would_miss_it() -> None:
    """A worker's second task must not keep a first one from somebody else."""
    stage = Stage(range(4))
    track, (one, two) = stage.pool(2)
    stage.task(one), stage.task(two)
    stage.scheduler._turns.post(stage.scheduler._handing_out.on_asked_ahead, one)
    ahead = stage.task(one)
    assert list(ahead.items) == [2] and len(one.tasks) == 2
    stage.check()
    stage.scheduler._turns.post(stage.scheduler._handing_out.on_asked_ahead, two)
    assert stage.mail(two) is DONE  # one is left, and there are two slots
    assert track.busy == 2


def test_no_item_waits_behind_one_that_may_take_too_long() -> None:
    """With a time limit for each item, a slot has one task at most."""
    stage = Stage(range(9), item_timeout=5.0)
    _, (slot,) = stage.pool(1)
    stage.task(slot)
    stage.scheduler._turns.post(stage.scheduler._handing_out.on_asked_ahead, slot)
    assert stage.mail(slot) is DONE


def test_a_task_that_was_never_begun_waits_again_in_its_place() -> None:
    """It comes before what lies behind it, and counts as no try."""
    stage = Stage(range(3))
    _, (one, two) = stage.pool(2)
    first, second = stage.task(one), stage.task(two)
    stage.scheduler.returned(one, first)
    stage.check()
    stage.finish(two, second)
    again = stage.task(two)
    assert (again.place, again.attempt) == (0, 1)


def test_what_is_left_of_a_task_goes_to_others_in_shares() -> None:
    """A worker that stopped half-way is no reason to give all of the rest to one."""
    stage = Stage(range(9))
    _, (one, two) = stage.pool(2, chunksize=9)
    task = stage.task(one)
    stage.finish(one, task, 0)
    rest = stage.task(one), stage.task(two)
    assert [list(each.items) for each in rest] == [[1, 2], [3, 4]]


def test_a_task_that_is_to_be_split_goes_item_by_item() -> None:
    """One of its items harms its worker: they go apart, and never together again."""
    stage = Stage(range(4))
    _, (slot,) = stage.pool(1, chunksize=4)
    task = stage.task(slot)
    result = stage.result(task, 0)
    result.split = True
    stage.scheduler.completed(slot, task, result)
    stage.check()
    assert [list(stage.step(slot).items) for _ in range(3)] == [[1], [2], [3]]


def test_a_slot_that_asks_although_it_has_a_task_ends_the_run() -> None:
    """Its task is lost: this must not pass in silence."""
    stage = Stage(range(2))
    _, (slot,) = stage.pool(1)
    stage.task(slot)
    stage.scheduler.ask(slot)
    with pytest.raises(AutoexecError, match="has lost 1 tasks"):
        stage.scheduler.take()


def test_a_worker_that_ends_with_a_task_in_its_hands_ends_the_run() -> None:
    """Its backend has to say what came of it first."""
    stage = Stage(range(2))
    _, (slot,) = stage.pool(1)
    stage.task(slot)
    stage.scheduler.gone(slot)
    with pytest.raises(AutoexecError, match="ended while it held 1 tasks"):
        stage.scheduler.take()


def test_a_second_answer_is_refused() -> None:
    """The first one counts."""
    stage = Stage([7, 8])
    _, (slot,) = stage.pool(1)
    task = stage.step(slot)
    stage.scheduler.completed(slot, task, stage.result(task, 99), ask=False)
    stage.check()
    stage.take()
    assert stage.given == [7] and slot.left


# Threads at their gates ------------------------------------------------------------------------------------


def _in_a_thread(action: Callable[[], object]) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_a_thread_is_answered_at_its_gate() -> None:
    """With a task if there is one, else after the time with nothing; it does not ask twice."""
    stage = Stage(iter([5]))
    track = stage.track(1, threaded=True)
    slot, scheduler = track.add(), stage.scheduler
    assert scheduler.next(slot, 0.0) is None and scheduler.next(slot, 0.0) is None
    assert track.parked == [slot]
    stage.pull(2)
    task = scheduler.next(slot, 0.0)
    assert isinstance(task, Task)
    assert scheduler.completed(slot, task, stage.result(task), ask=False) is DONE
    stage.take()
    scheduler.close()
    assert scheduler.next(slot) is END
    assert stage.given == [5, END]


def test_a_slot_that_asks_again_while_the_lock_is_held_does_not_ask_twice() -> None:
    """Its first question waits among the events; a second one would park it twice."""
    stage = Stage(range(2))
    track = stage.track(1, threaded=True)
    slot, scheduler = track.add(), stage.scheduler
    found: list[Any] = []

    def ask() -> None:
        found.extend(scheduler.next(slot, 0.0) for _ in range(2))

    with scheduler._turns._lock:  # somebody else is at it
        _in_a_thread(ask)
    scheduler._turns._try()
    stage.check()
    assert found == [None, None] and isinstance(scheduler.next(slot, 0.0), Task)


def test_a_thread_of_ours_that_finds_the_lock_held_leaves_its_event_to_the_holder() -> None:
    """It does not wait for the lock, but for its answer; whoever lets the lock go looks once more."""
    stage = Stage(range(1))
    track = stage.track(1, threaded=True)
    slot, scheduler = track.add(), stage.scheduler
    found: list[Any] = []
    posted = threading.Event()

    def step(_: float) -> None:
        thread.start()
        assert posted.wait(10)

    thread = threading.Thread(target=lambda: found.append(scheduler.next(slot)))
    post = scheduler._turns.post

    def note(*event: Any) -> None:
        post(*event)
        posted.set()

    scheduler._turns.post = note  # type: ignore[method-assign]
    scheduler._turns.locked(step)
    thread.join(10)
    assert isinstance(found[0], Task)


def test_an_idle_exchange_does_not_wait() -> None:
    """A slot that would rather end than wait is told the end, and forgotten."""
    stage = Stage(iter([5]))
    track = stage.track(1, threaded=True)
    slot, scheduler = track.add(), stage.scheduler
    stage.pull(1)
    task = scheduler.next(slot, 0.0)
    assert isinstance(task, Task)
    slot.finished = task, stage.result(task)
    assert scheduler.exchange(slot, idle=True) is END
    assert not track.slots and not track.parked


def test_what_a_slot_has_to_do_is_done_before_it_hears_of_its_next_task() -> None:
    """The journal's write, for example, is done by the thread that ran the items."""
    kept: list[Any] = []
    stage = Stage(range(2), keep=lambda place, values: kept.append((place, list(values))))
    track = stage.track(1, threaded=True)
    slot, scheduler = track.add(), stage.scheduler
    task = scheduler.next(slot, 0.0)
    assert isinstance(task, Task)
    slot.finished = task, stage.result(task)
    assert isinstance(scheduler.exchange(slot), Task)
    assert kept == [(0, [0])]


# The window and room ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_is_taken_than_the_consumer_has_room_for(ordered: bool) -> None:
    """What is ready and not yet used counts."""
    stage = Stage(range(9), ordered=ordered)
    stage.scheduler.room = 3
    _, slots = stage.pool(5)
    tasks = [stage.task(slot) for slot in slots if slot.tasks]
    assert len(tasks) == 3
    for slot, task in zip([slot for slot in slots if slot.tasks], tasks, strict=True):
        stage.finish(slot, task)
    assert stage.scheduler.busy == 0
    stage.scheduler.take()
    assert stage.scheduler.busy == 0  # these three are in the consumer's hands
    stage.scheduler.take()
    assert stage.scheduler.busy == 3


def test_no_more_is_pulled_than_there_is_room_for() -> None:
    """Of an iterator, what was pulled counts."""
    stage = Stage(iter(range(9)))
    stage.scheduler.room = 2
    assert stage.scheduler.to_pull() == 2
    stage.pull(2)
    assert stage.scheduler.to_pull() == 0
    _, slots = stage.pool(1)
    for slot in slots:
        stage.step(slot)
    assert stage.scheduler.to_pull() == 0
    stage.take()
    assert stage.given == [0] and stage.scheduler.to_pull() == 1


def test_a_slow_item_does_not_let_the_others_run_away() -> None:
    """Ordered results behind it fill the window, and then everybody waits."""
    stage = Stage(range(99))
    stage.scheduler.room = 4
    _, slots = stage.pool(2)
    slow = stage.task(slots[0])
    for _ in range(3):
        stage.step(slots[1])
    assert stage.mail(slots[1]) is None and slots[1].parked
    stage.finish(slots[0], slow)
    stage.take()
    assert stage.given == [0, 1, 2, 3] and stage.scheduler.busy == 2


# Errors ----------------------------------------------------------------------------------------------------


def test_an_error_comes_in_its_place_and_nothing_behind_it_begins() -> None:
    """What lies before it still does: those results come first."""
    stage = Stage(range(9))
    _, (one, two) = stage.pool(2)
    first, second = stage.task(one), stage.task(two)
    stage.finish(two, second, NO)
    assert two.parked and stage.scheduler.window_failed and stage.scheduler.to_pull() == 0
    stage.finish(one, first)
    assert one.parked
    found = stage.scheduler.take()
    assert isinstance(found, list) and found[0] == 0 and found[1].error is NO
    assert one.parked and two.parked  # the consumer is busy with the error


def test_work_goes_on_when_the_consumer_comes_again_after_an_error() -> None:
    """A run pauses after a raise, no more."""
    stage = Stage(range(4))
    _, slots = stage.pool(1)
    stage.step(slots[0], NO)
    stage.take()
    stage.run_all(slots)
    assert stage.given == [NO, 1, 2, 3, END]


def test_an_unordered_error_pauses_everything() -> None:
    """Nothing begins until it was seen, and the consumer has come again."""
    stage = Stage(range(4), ordered=False)
    _, (one, two) = stage.pool(2)
    first, second = stage.task(one), stage.task(two)
    stage.finish(two, second, NO)
    stage.finish(one, first)
    assert one.parked and two.parked
    stage.scheduler.take()
    assert one.parked and two.parked
    stage.scheduler.take()
    assert not (one.parked or two.parked)


def test_errors_that_are_values_change_nothing() -> None:
    """With `on_error="return"` or "skip" all items run."""
    stage = Stage(range(3), ends_at_error=False)
    _, slots = stage.pool(1)
    stage.step(slots[0], NO)
    stage.run_all(slots)
    assert stage.given == [NO, 1, 2, END]


def test_more_than_one_items_own_affair_ends_the_results_anyway() -> None:
    """`SystemExit` is for the consumer, whatever it thinks of errors."""
    stage = Stage(range(9), ends_at_error=False)
    _, (slot,) = stage.pool(1)
    stage.step(slot, SystemExit(3))
    assert stage.scheduler.window_failed and slot.parked


def test_heavy_items_behind_an_error_are_dropped() -> None:
    """They went ahead of their turn; those before the error still run."""
    weights = [1, 1, 9, 1, 5]
    source = open_source(([*enumerate(weights)],), True, lambda i, weight: weight).for_workers()
    stage = Stage(source=source)
    _, (slot,) = stage.pool(1)
    assert stage.step(slot, NO).place == 2
    assert [stage.step(slot).place for _ in range(2)] == [0, 1]
    stage.take()
    assert stage.given[2] is NO and stage.given[3:] == [END]


# The journal -----------------------------------------------------------------------------------------------


def test_results_are_kept_before_they_are_delivered() -> None:
    """Until the journal has them they are in a table of their own, and the run does not end."""
    kept: list[int] = []
    stage = Stage(range(2), keep=lambda place, values: kept.append(place))
    track = stage.track(1, threaded=True)
    slot, scheduler = track.add(), stage.scheduler
    task = scheduler.next(slot, 0.0)
    assert isinstance(task, Task)
    scheduler._turns.post(scheduler._settling.on_done, slot, task, stage.result(task), [], True)
    stage.check()
    assert kept == [] and not stage.take() and scheduler.ledger()["being kept"] == 1
    again = scheduler._answer(slot, 0.0)
    assert kept == [0] and isinstance(again, Task)
    stage.take()
    assert stage.given == [0]


def test_a_journal_that_breaks_ends_the_run() -> None:
    """And nothing of it is lost in silence."""

    def keep(place: int, values: list[Any]) -> None:
        raise SystemExit("the disk is gone")

    stage = Stage(range(2), keep=keep)
    _, slots = stage.pool(1)
    stage.step(slots[0])
    with pytest.raises(SystemExit):
        stage.take()


def test_failures_are_not_kept() -> None:
    """They run again the next time."""
    kept: list[Any] = []
    stage = Stage(range(2), keep=lambda place, values: kept.append(values), ends_at_error=False)
    _, slots = stage.pool(1)
    stage.step(slots[0], NO)
    stage.run_all(slots)
    assert kept == [[1]] and stage.given == [NO, 1, END]


def test_the_users_iterator_is_run_by_pull_alone() -> None:
    """Whatever else is asked for: it belongs to the consumer's thread."""

    def items() -> Iterator[int]:
        pulled.append(1)
        yield 1

    pulled: list[int] = []
    stage = Stage(source=Source((items(),)))
    _, slots = stage.pool(2)
    stage.take()
    assert pulled == [] and all(slot.parked for slot in slots)


def test_failures_name_the_item() -> None:
    """What the consumer's side needs for its note."""
    stage = Stage([7])
    _, (slot,) = stage.pool(1)
    stage.step(slot, NO)
    found = stage.scheduler.take()
    assert isinstance(found, list) and isinstance(found[0], Failed)
    assert (found[0].place, found[0].item, found[0].worker) == (0, 7, "the test")
