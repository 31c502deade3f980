"""Tracks and their slots: made, lost, drained, and several at once."""

from __future__ import annotations

from autoexec.engine.tracks import END, Track, TrackState

from .stage import Stage, backend, limits

NO = ValueError("no")


# Elastic tracks and their workers --------------------------------------------------------------------------


def test_an_elastic_track_grows_as_far_as_there_is_work() -> None:
    """A slot is made for each task that may begin, never more than it may have."""
    stage = Stage(range(2))
    track = stage.track(5, elastic=True)
    assert len(track.slots) == 2 == len(backend(track).started)
    stage = Stage(range(9))
    track = stage.track(3, elastic=True)
    assert len(track.slots) == 3


def test_a_worker_that_cannot_be_started_leaves_its_task_to_the_others() -> None:
    """The track makes do with those that it has."""
    stage = Stage(iter(range(3)))
    track = stage.track(3, elastic=True)
    stage.pull(1)
    (slot,) = track.slots
    backend(track).refuse = RuntimeError("no more threads")
    stage.pull(1)
    assert track.most == 1 and track.state is TrackState.OPEN
    stage.pull(2)
    stage.run_all([slot])
    assert stage.given == [0, 1, 2, END]


def test_a_track_that_never_got_a_worker_has_failed() -> None:
    """Its tasks wait for another one, and whoever wants to know is told."""
    told: list[Track] = []
    stage = Stage(range(2))
    stage.scheduler.on_failed(told.append)
    track = stage.track(2, elastic=True, opens=False)
    refusal = backend(track).refuse = RuntimeError("no threads")
    stage.scheduler.opened(track)
    stage.check()
    assert track.state is TrackState.FAILED and track.error is refusal and told == [track]
    _, slots = stage.pool(1)
    stage.run_all(slots)
    assert stage.given == [0, 1, END]


def test_items_that_an_unborn_worker_was_to_name_are_named_by_another() -> None:
    """They are the next ones again, each under its own group."""
    asked: list[int] = []

    def per(item: int) -> str:
        asked.append(item)
        return f"group {item}"

    stage = Stage(range(2), limits=limits(per=per))
    track = stage.track(1, elastic=True, opens=False)
    backend(track).refuse = RuntimeError("no threads")
    stage.scheduler.opened(track)
    stage.check()
    assert asked == []
    _, slots = stage.pool(1)
    stage.run_all(slots)
    assert stage.given == [0, 1, END] and asked == [0, 1]
    assert not stage.scheduler.queue._lines


def test_a_track_that_fails_gives_back_what_its_slots_had() -> None:
    """Each task once, and in its place."""
    stage = Stage(range(4))
    track, slots = stage.pool(2)
    for slot in slots:
        stage.task(slot)
    stage.scheduler.failed(slots[0], OSError("gone"))
    stage.check()
    assert track.state is TrackState.FAILED and stage.scheduler.busy == 0
    _, others = stage.pool(1)
    stage.run_all(others)
    assert stage.given == [0, 1, 2, 3, END]


def test_the_late_answer_of_a_failed_tracks_slot_is_refused() -> None:
    """Its task may be out with somebody else by then, under another number."""
    stage = Stage(range(1))
    _, (slot,) = stage.pool(1)
    task = stage.task(slot)
    stage.scheduler.failed(slot, OSError("gone"))
    _, (other,) = stage.pool(1)
    again = stage.task(other)
    assert again is task
    stage.scheduler.completed(slot, task, stage.result(task, 99))
    stage.check()
    stage.finish(other, again)
    stage.take()
    assert stage.given == [0, END]


def test_a_track_that_cannot_be_opened_has_failed() -> None:
    """Nothing of it is left, and another one takes over."""
    stage = Stage(range(2))
    track = stage.track(2, opens=False)
    slot = stage.ask(track)
    stage.scheduler.not_opened(track, OSError("no"))
    stage.check()
    assert track.state is TrackState.FAILED and stage.mail(slot) is END
    _, slots = stage.pool(1)
    stage.run_all(slots)
    assert stage.given == [0, 1, END]


def test_a_slot_may_ask_before_its_track_is_open() -> None:
    """It waits until then."""
    stage = Stage(range(1))
    track = stage.track(1, opens=False)
    slot = stage.ask(track)
    assert slot.parked
    stage.scheduler.opened(track)
    stage.step(slot)


def test_slots_at_hand_for_tasks_to_come() -> None:
    """As many as the track may have; they count as idle until they get a task."""
    stage = Stage(iter(range(9)))
    track = stage.track(3, elastic=True)
    assert stage.scheduler.warm_up(track, 5) == 3 == len(track.slots)
    assert stage.scheduler.warm_up(track, 5) == 0
    for slot in backend(track).started:
        stage.scheduler.ask(slot)
    stage.pull(9)
    assert track.busy == 3 == len(track.slots)


# Several tracks --------------------------------------------------------------------------------------------


def test_never_more_calls_at_once_than_allowed_over_all_tracks() -> None:
    """`max_workers=` is one number, whoever runs the calls."""
    stage = Stage(range(9), most=3)
    one, first = stage.pool(2)
    two, second = stage.pool(2)
    assert (one.busy, two.busy) == (2, 1)
    stage.run_all(first + second)
    assert stage.given == [*range(9), END]


def test_a_track_that_bounds_itself_is_not_counted() -> None:
    """It is given more than it runs, so that none of its workers waits."""
    stage = Stage(range(9), most=1)
    track, slots = stage.pool(3, bounded=True)
    assert track.busy == 3 and stage.scheduler.busy == 0
    stage.run_all(slots)
    assert stage.given == [*range(9), END]


def test_only_some_slots_may_be_busy_at_first() -> None:
    """A track is opened step by step."""
    stage = Stage(range(9))
    track, slots = stage.pool(3, opens=False)
    stage.scheduler.allow(track, 1)
    stage.scheduler.opened(track)
    assert track.busy == 1
    stage.scheduler.allow(track, 3)
    stage.check()
    assert track.busy == 3
    stage.run_all(slots)
    assert stage.given == [*range(9), END]


def test_a_draining_track_gets_no_more_tasks_and_closes_with_its_last_slot() -> None:
    """What it has is finished; those that wait are told the end; it never reopens."""
    stage = Stage(iter(range(4)))
    track, (busy, idle) = stage.pool(2)
    stage.pull(1)
    busy, idle = (busy, idle) if busy.tasks else (idle, busy)
    task = stage.task(busy)
    stage.scheduler.change(drains=[track])
    assert stage.mail(idle) is END and backend(track).recalled == 1
    assert track.state is TrackState.DRAINING and not track.over
    stage.scheduler.gone(idle)
    stage.pull(4)
    stage.finish(busy, task)
    assert stage.mail(busy) is END and track.over
    stage.scheduler.gone(busy)
    stage.scheduler.opened(track)
    assert track.state is TrackState.CLOSED
    _, slots = stage.pool(1)
    stage.run_all(slots)
    assert stage.given == [*range(4), END]


def test_what_a_draining_slot_did_not_begin_goes_to_another_track() -> None:
    """The worker's own answer counts: so many are done, the rest waits again."""
    stage = Stage(range(6))
    track, (slot,) = stage.pool(1, chunksize=6)
    task = stage.task(slot)
    _, (heir,) = stage.pool(1, chunksize=6)
    stage.scheduler.change(drains=[track])
    stage.finish(slot, task, 0, 1)
    assert stage.mail(slot) is END
    stage.scheduler.gone(slot)
    stage.run_all([heir])
    assert stage.given == [*range(6), END]


def test_the_callers_thread_is_a_track_of_its_own() -> None:
    """It takes tasks as it comes by, beside a pool."""
    stage = Stage(range(6))
    here = stage.track(1)
    own = here.add()
    _, (slot,) = stage.pool(1)
    task = stage.scheduler.take_here(here, own, 3)
    assert task is not None and (task.place, len(task.items)) == (1, 3)
    stage.check()
    stage.scheduler.completed_here(own, task, stage.result(task))
    stage.run_all([slot])
    assert stage.given == [*range(6), END]


def test_what_is_taken_away_from_the_callers_thread_waits_again() -> None:
    """It keeps the item that it runs, and the ones before."""
    stage = Stage(range(6))
    here = stage.track(1)
    own = here.add()
    task = stage.scheduler.take_here(here, own, 6)
    assert task is not None
    _, (slot,) = stage.pool(1, chunksize=9)
    stage.scheduler.change(drains=[here])
    stage.scheduler.give_back(own, task, 2)
    stage.check()
    assert list(task.items) == [0, 1]
    stage.run_all([slot])
    assert stage.given == []
    stage.scheduler.completed_here(own, task, stage.result(task))
    stage.take()
    assert stage.given == [*range(6), END]


def test_taking_away_from_a_task_that_has_ended_changes_nothing() -> None:
    """The answer came first: what it left out waits already."""
    stage = Stage(range(4))
    here = stage.track(1)
    own = here.add()
    task = stage.scheduler.take_here(here, own, 4)
    assert task is not None
    stage.scheduler.completed_here(own, task, stage.result(task, 0, 1))
    stage.scheduler.give_back(own, task, 2)
    stage.check()
    _, slots = stage.pool(1)
    stage.run_all(slots)
    assert stage.given == [*range(4), END]
