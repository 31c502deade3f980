"""How runs end: in order, early, or loudly; and what may be asked from the middle of something."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from autoexec.engine.queues import TaskQueue
from autoexec.engine.tracks import END, Slot, Track
from autoexec.errors import AutoexecError
from autoexec.worker.invoke import Task

from .stage import Stage, backend, limits

NO = ValueError("no")


# The end ---------------------------------------------------------------------------------------------------


def test_nothing_begins_after_close() -> None:
    """What waits is withdrawn, what is ready is dropped, what runs is finished for nobody."""
    stage = Stage(range(9), ordered=False)
    track, (one, two, three) = stage.pool(3)
    stage.task(one), stage.task(three)
    stage.step(two)
    stage.mail(two)
    stage.scheduler.close()
    stage.check()
    counts = stage.scheduler.ledger()
    assert counts["dropped"] == 1 and counts["out"] == 3
    assert stage.scheduler.take() is END  # whoever is in the middle of taking is not left to wait
    for slot in (one, two, three):
        (task,) = slot.tasks.values()
        stage.finish(slot, task)
        assert stage.mail(slot) is END
    assert stage.ask(track) is not None and track.busy == 0


def test_a_slot_that_asks_after_the_end_is_told_so() -> None:
    """Never parked: nobody would come for it."""
    stage = Stage(range(1))
    track, _ = stage.pool(1)
    stage.scheduler.close()
    slot = stage.ask(track)
    assert not slot.parked and stage.mail(slot) is END


def test_threads_that_wait_hear_of_the_end() -> None:
    """Whoever closes opens their gates."""
    stage = Stage(iter(()))
    track = stage.track(2, threaded=True)
    found: list[Any] = []
    slots = [track.add() for _ in range(2)]
    threads = [
        threading.Thread(target=lambda slot=slot: found.append(stage.scheduler.next(slot))) for slot in slots
    ]
    for thread in threads:
        thread.start()
    stage.scheduler.close()
    for thread in threads:
        thread.join(10)
    assert found == [END, END]


def test_the_end_comes_by_the_tables_alone() -> None:
    """A place that is missing from all of them makes an error of the end, not a silence."""
    stage = Stage(range(3))
    _, slots = stage.pool(1)
    stage.step(slots[0])
    stage.scheduler.source.position += 1  # type: ignore[union-attr]
    for _ in range(2):
        task = stage.mail(slots[0])
        if isinstance(task, Task):
            stage.scheduler.completed(slots[0], task, stage.result(task))
    with pytest.raises(AutoexecError, match=r"results were lost, which must not happen: .*please report"):
        _exhaust(stage)


def _exhaust(stage: Stage) -> None:
    while stage.scheduler.take() is not END:
        pass


def test_a_change_of_tracks_looks_at_the_ledger() -> None:
    """What does not add up is told there and then."""
    stage = Stage(range(3))
    stage.scheduler._ledger.withdrawn += 1
    with pytest.raises(AutoexecError, match="results were lost"):
        stage.scheduler.change(state="pooled")


# Faults of ours --------------------------------------------------------------------------------------------


def _broken(*args: Any) -> Any:
    raise ZeroDivisionError("a bug")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("_settling", "settle"),
        ("_mail", "park"),
        ("_handing_out", "match"),
        ("_handing_out", "pick"),
        ("_handing_out", "give_to"),
    ],
)
def test_a_bug_in_the_middle_of_an_event_ends_the_run_loudly(
    part: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer hears of it, and no thread waits for ever."""
    stage = Stage(range(10**9))
    track = stage.track(2, threaded=True)
    scheduler, ended = stage.scheduler, []
    scheduler.room = 1000

    def work(slot: Slot) -> None:
        try:
            task = scheduler.next(slot)
            while isinstance(task, Task):
                slot.finished = task, stage.result(task)
                task = scheduler.exchange(slot)
        except ZeroDivisionError as error:
            scheduler.crashed(error)
        finally:
            ended.append(slot)
            scheduler.gone(slot)

    threads = [threading.Thread(target=work, args=(track.add(),)) for _ in range(2)]
    threads[0].start()
    while not scheduler.window.ready:
        pass
    monkeypatch.setattr(getattr(scheduler, part), name, _broken)
    threads[1].start()
    with pytest.raises(ZeroDivisionError):
        _exhaust(stage)
    monkeypatch.undo()
    scheduler.close()
    for thread in threads:
        thread.join(10)
    assert len(ended) == 2


def test_what_is_left_to_do_is_done_although_something_before_it_fails() -> None:
    """A backend that cannot ring for one slot does not cost another slot its answer."""
    stage = Stage(iter(range(2)))
    _, slots = stage.pool(2)
    track, broken = slots[0].track, []
    ring = backend(track).ring

    def ring_once(rung: Any) -> None:
        if not broken:
            broken.append(rung.popleft())
            raise ZeroDivisionError("a bug")
        ring(rung)

    backend(track).ring = ring_once  # type: ignore[method-assign]
    stage.scheduler.stock([0, 1])
    (other,) = (slot for slot in slots if slot not in broken)
    assert isinstance(stage.mail(other), Task)
    with pytest.raises(ZeroDivisionError):
        stage.scheduler.take()


def test_an_interrupt_in_the_middle_of_an_event_leaves_the_lock_free_and_nobody_waiting() -> None:
    """Whatever was lost by it, threads that wait for an answer are told the end at close."""
    stage = Stage(range(9))
    track = stage.track(1, threaded=True)
    slot, scheduler = track.add(), stage.scheduler
    found: list[Any] = []
    posted = threading.Event()
    post = scheduler._turns.post

    def note(*event: Any) -> None:
        post(*event)
        posted.set()

    def interrupted(now: float, slot: Slot) -> None:
        raise KeyboardInterrupt

    scheduler._handing_out.on_asked = interrupted  # type: ignore[method-assign]
    scheduler._turns.post = note  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: found.append(scheduler.next(slot)))
    with scheduler._turns._lock:
        thread.start()
        assert posted.wait(10)
    with pytest.raises(KeyboardInterrupt):
        scheduler.take()
    assert not scheduler._turns._lock.locked() and not scheduler.within
    scheduler.close()
    thread.join(10)
    assert found == [END]


# From within -----------------------------------------------------------------------------------------------


class _Finalizer:
    """Does something when it is collected: it is part of a cycle, so only then."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action, self.me = action, self

    def __del__(self) -> None:
        self.action()


def _within(stage: Stage, action: Callable[[], object]) -> None:
    """Do something in the middle of a step, as a finalizer would."""
    stage.scheduler._turns.locked(lambda _: action())


def test_a_call_from_within_never_waits_and_is_worked_off_later() -> None:
    """Putting, cancelling, closing, changing: from a finalizer or a signal handler in this very thread."""
    stage = Stage()
    queue = TaskQueue()
    track = stage.track(1, queue=queue)
    slot = stage.ask(track)
    tasks: list[Task] = []
    _within(stage, lambda: tasks.append(stage.put_within(queue)))
    stage.check()
    assert stage.task(slot) is tasks[0]
    other = Track("other", queue, 1, track.chunks)
    _within(stage, lambda: stage.scheduler.change(opens=[other]))
    assert other in stage.scheduler.tracks
    waiting = stage.put(queue)
    _within(stage, lambda: stage.scheduler.calls.cancelled(waiting))
    assert stage.scheduler.ledger()["withdrawn"] == 1
    assert not stage.scheduler.calls.waiting()
    _within(stage, stage.scheduler.close)
    assert stage.scheduler.closing


def test_results_asked_for_from_within_are_an_error() -> None:
    """They cannot be had: this very thread is handing some out."""
    stage = Stage(range(3))
    stage.pool(1)
    errors: list[BaseException] = []

    def ask() -> None:
        for question in (stage.scheduler.take, stage.scheduler.stuck):
            with pytest.raises(AutoexecError, match="the same thread") as caught:
                question()
            errors.append(caught.value)

    _within(stage, ask)
    stage.check()
    assert len(errors) == 2


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_finalizer_between_the_lock_and_its_mark_does_not_hang(where: str) -> None:
    """It runs just when the lock is taken, or just before it is let go: the mark covers both."""
    stage = Stage()
    queue = TaskQueue()
    track = stage.track(1, queue=queue)
    slot = stage.ask(track)
    tasks: list[Task] = []

    class Lock:
        def __init__(self) -> None:
            self.inner = threading.Lock()

        def locked(self) -> bool:
            return self.inner.locked()

        def acquire(self, blocking: bool = True) -> bool:
            return self.inner.acquire(timeout=10 if blocking else -1) if blocking else self._try()

        def _try(self) -> bool:
            return self.inner.acquire(False)

        def release(self) -> None:
            self.inner.release()

        def __enter__(self) -> None:
            assert self.acquire(), "it hangs"
            self._finalize("before")

        def __exit__(self, *error: object) -> None:
            self._finalize("after")
            self.release()

        def _finalize(self, at: str) -> None:
            if at == where and not tasks:
                tasks.append(None)  # type: ignore[arg-type]
                tasks[0] = stage.put_within(queue)

    stage.scheduler._turns._lock = Lock()  # type: ignore[assignment]
    stage.scheduler.allow(track, 1)
    stage.check()
    assert stage.task(slot) is tasks[0]


def test_garbage_that_calls_is_collected_in_the_middle_of_an_event() -> None:
    """A finalizer that submits, as an executor's user may write one."""
    stage = Stage()
    queue = TaskQueue()
    track = stage.track(1, queue=queue)
    slot = stage.ask(track)
    tasks: list[Task] = []

    def collect() -> None:
        _Finalizer(lambda: tasks.append(stage.put_within(queue)))
        gc.collect()

    _within(stage, collect)
    stage.check()
    assert stage.task(slot) is tasks[0]


# The watchdog ----------------------------------------------------------------------------------------------


def test_a_run_stands_still_if_what_may_begin_does_not() -> None:
    """The scheduler tells it from one that waits for something."""
    stage = Stage(range(3))
    assert stage.scheduler.stuck() is None  # nobody is there to run anything yet
    track, (slot,) = stage.pool(1)
    assert stage.scheduler.stuck() is None  # an item is out
    stage.step(slot)
    stage.take()
    stage.mail(slot)
    lost = slot.tasks.popitem()[1]
    del stage.scheduler._ledger.out[lost.serial]  # by a fault of ours
    track.parked.append(slot)
    track.busy -= 1
    stage.scheduler._ledger.busy -= 1
    track.allowed = 0
    assert stage.scheduler.stuck() is None
    stage.scheduler._handing_out.match = lambda now: None  # type: ignore[method-assign]
    track.allowed = 1
    mark = stage.scheduler.stuck()
    assert mark is not None and mark == stage.scheduler.stuck()
    assert "nothing moves" in stage.scheduler.stuck_words()


def test_a_run_that_waits_for_a_time_does_not_stand_still() -> None:
    """A retry, a rate, a pause: somebody is told when to look."""
    stage = Stage(range(1), limits=limits(retries=2, retry_on=OSError))
    _, (slot,) = stage.pool(1)
    stage.step(slot, OSError())
    assert stage.scheduler.stuck() is None
