"""Calls that failed and run again: when, how often, and what is told of it in the end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.errors import BrokenWorker, WorkerDied
from tests.engine.fakes import HTTPError, Reply, Scene, first_letter, notes

pytest.importorskip("tenacity")
AGES = 10_000.0  # no back-off of ours is longer


def test_a_failed_call_runs_again_after_its_back_off() -> None:
    """Not at once, and then before everything that waits for its host."""
    scene = Scene(cap=1, retries=2)
    scene.give("a", "b", "c", "d")
    scene.end("a", ConnectionError("gone"))
    assert scene.out == ["b"]
    scene.wait(AGES)
    scene.end("b")
    assert scene.out == ["a"]
    scene.end("a", 1)
    assert scene.out == ["c"]
    assert scene.take() == ["b", 1] and scene.limits.stats(0, scene.clock.now).retries == 1


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_no_more_than_the_retries(retries: int) -> None:
    """A call runs so many times more, and fails with its last error, whose notes tell of every attempt."""
    scene = Scene(cap=1, retries=retries)
    scene.give("a")
    for attempt in range(retries + 1):
        assert scene.out == ["a"]
        scene.end("a", ConnectionError(f"no {attempt}"))
        scene.wait(AGES)
    assert scene.out == []
    scene.take()
    error: Any = scene.failed["a"]
    assert str(error) == f"no {retries}"
    told = [note for note in error.__notes__ if "attempt" in note]
    tries = range(retries + 1 if retries else 0)
    assert told == [f"autoexec: attempt {i + 1}: ConnectionError: no {i} (after 0.01 s)" for i in tries]
    assert "item 0 ('a')" in notes(error)


@pytest.mark.parametrize(
    "error", [ValueError("wrong"), HTTPError(404), HTTPError(400), KeyError("x")], ids=str
)
def test_what_would_fail_again_is_not_tried(error: Exception) -> None:
    """Errors of the caller's own making come out at once."""
    scene = Scene(cap=1, retries=5)
    scene.give("a")
    scene.end("a", error)
    assert scene.take() == [error] and scene.limits.metrics.retries == 0


def test_a_response_that_says_to_try_again() -> None:
    """A 503 that was returned, not raised, runs again; the last one is delivered as the value it is."""
    scene = Scene(cap=1, retries=1)
    scene.give("a")
    scene.end("a", Reply(503))
    assert scene.take() == []
    scene.wait(AGES)
    last = Reply(503)
    scene.end("a", last)
    assert scene.take() == [last]


def test_retry_after_is_the_least_wait() -> None:
    """The back-off is no shorter than what the other side asks for."""
    scene = Scene(cap=1, retries=1)
    scene.give("a")
    scene.end("a", HTTPError(503, Retry_After="40"))
    scene.wait(39.9)
    assert scene.out == []
    scene.wait(AGES)
    assert scene.out == ["a"]


def test_an_outage_uses_the_budget_up() -> None:
    """After a hundred retries without a good answer no more are made; the notes say why."""
    scene = Scene(retries=3, retry_budget=0)
    scene.give(*range(150))
    calls = 0
    while scene.out:
        for item in scene.out:
            calls += 1
            scene.end(item, ConnectionError("out"))
        scene.wait(AGES)
    assert calls == 250
    scene.take()
    assert len(scene.failed) == 150
    assert sum("budget" in notes(error) for error in scene.failed.values()) >= 50


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, BrokenWorker])
def test_what_is_more_than_an_items_own_error_is_not_tried_again(kind: type[BaseException]) -> None:
    """It ends the run, whatever the options say: nothing behind it begins."""
    scene = Scene(cap=1, retries=1)
    scene.give("a", "b")
    error = kind("end")
    scene.end("a", error)
    assert scene.out == []
    assert scene.take() == [error]


def test_after_a_worker_died_a_fresh_one_is_there() -> None:
    """Nothing is to be waited for."""
    scene = Scene(cap=1, retries=1)
    scene.give("a", "b")
    scene.end("a", WorkerDied("killed"))
    scene.wait(0.0)
    scene.end("b")
    assert scene.out == ["a"]


def test_the_rest_goes_on_meanwhile() -> None:
    """A call that waits for its second try takes no place."""
    scene = Scene(cap=2, retries=1)
    scene.give("a", "b", "c", "d")
    scene.end("a", ConnectionError())
    scene.end("b", ConnectionError())
    assert scene.out == ["c", "d"] and scene.scheduler.retries == 2
    scene.finish()
    assert scene.ledger() == {"pulled": 4, "out": 2, "to be retried": 2}


# Tasks of several items -------------------------------------------------------------------------------------


def test_single_items_of_a_task_run_again() -> None:
    """Only what failed is repeated, and each result finds its place."""
    scene = Scene(retries=2, ordered=True, chunksize=4)
    scene.give("a", "b", "c", "d")
    scene.end("a", 1, ConnectionError("b"), 3, ConnectionError("d"))
    assert scene.take() == [1]
    scene.wait(AGES)
    assert sorted(scene.out) == ["b", "d"]
    scene.end("d", 4)
    scene.end("b", ConnectionError("b again"))
    assert scene.take() == [1]
    scene.wait(AGES)
    scene.end("b", 2)
    assert scene.take() == [1, 2, 3, 4]


def test_an_item_of_a_task_that_keeps_failing() -> None:
    """It stands as a failure in its place, named by its own index."""
    scene = Scene(retries=1, chunksize=4)
    scene.give("x", "a", "b", "c")
    scene.end("x", 0, 1, ConnectionError("first"), ValueError("never"))
    scene.wait(AGES)
    scene.end("b", ConnectionError("second"))
    scene.take()
    assert str(scene.failed["b"]) == "second" and str(scene.failed["c"]) == "never"
    assert "item 2 ('b')" in notes(scene.failed["b"]) and "item 3 ('c')" in notes(scene.failed["c"])
    assert "attempt 1: ConnectionError: first" in notes(scene.failed["b"])
    assert sum(entry.count for entry in scene.limits.stats(0, scene.clock.now).failures) == 2


def test_a_task_that_was_not_begun_has_all_its_tries() -> None:
    """What a worker gives back was no attempt."""
    scene = Scene(cap=1, retries=1)
    scene.give("a")
    scene.scheduler.change(drains=[scene.track])
    scene.backend.return_all()
    assert scene.limits.metrics.at_once == 0
    _, other = scene.open(10)
    assert [task.attempt for task in other.tasks_out] == [1]
    other.end("a", ConnectionError())
    scene.wait(AGES)
    other.end("a", 1)
    assert scene.take() == [1]


# Anything, in any order -------------------------------------------------------------------------------------

ENDINGS = {
    "ok": lambda: None,
    "error": lambda: ConnectionError("reset"),
    "wrong": lambda: ValueError("wrong"),
    "refused": lambda: HTTPError(429, Retry_After="3"),
}
EVENTS = [*["give"] * 3, "wait", "late", "back", *["ok"] * 2, *ENDINGS]
STEPS = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 30)), max_size=60)


class Story:
    """One sequence of events, and what must hold after each."""

    def __init__(self, cap: int, retries: int, most: int) -> None:
        self.scene = Scene(cap=cap, retries=retries, item_timeout=4.0, per=first_letter, chunksize=most)
        self.cap, self.retries = cap, retries
        self.calls: dict[str, int] = {}
        self.lost: list[tuple[Any, Any]] = []
        self._known: list[Any] = []

    def step(self, what: str, number: int) -> None:
        """One event."""
        scene, running = self.scene, self.scene.backend.tasks_out
        if what == "give":
            count = len(scene.items)
            scene.give(*(f"{'ab'[(number + i) % 2]}{count + i}" for i in range(number % 4 + 1)))
        elif what == "wait":
            before = list(scene.backend._out)
            scene.wait(number / 5)
            lost = [entry for entry in before if entry[1] in scene.backend.abandoned]
            for _, task in lost:
                self.note_items(task.items[1:], -1)  # had not begun, and wait again
            self.lost += lost
        elif what == "late" and self.lost:
            slot, task = self.lost[number % len(self.lost)]
            scene.backend.late(slot, task)
        elif what == "back":
            self.give_back()
        elif what in ENDINGS and running:
            self.end(running[number % len(running)], what, number)

    def give_back(self) -> None:
        """The plan changes: what runs comes back unbegun, and runs at the next backend."""
        scene = self.scene
        scene.scheduler.change(drains=[scene.track])
        for task in scene.backend.tasks_out:
            self.note(task, -1)
        scene.backend.return_all()
        scene.track, scene.backend = scene.open(1000, scene.track.chunks.size)

    def note(self, task: Any, count: int = 1) -> None:
        """Calls of the items of a task."""
        self.note_items(task.items, count)

    def note_items(self, items: Any, count: int) -> None:
        """Calls of items."""
        for item in items:
            self.calls[item] = self.calls.get(item, 0) + count

    def end(self, task: Any, what: str, number: int) -> None:
        """A worker is done: with several items, some may be well while others are not."""
        outcomes: list[Any] = []
        for place, item in enumerate(task.items):
            error = ENDINGS[what]() if (number + place) % 3 or len(task.items) == 1 else None
            outcomes.append(item if error is None else error)
        self.scene.backend.end_task(task, *outcomes)

    def check(self) -> None:
        """What must hold at any time."""
        scene = self.scene
        running = scene.backend.tasks_out
        for task in running:
            if task not in self._known:
                self.note(task)
        self._known = running
        scene.scheduler._ledger.check_sum()
        assert len(running) == scene.limits.metrics.at_once <= self.cap
        assert all(count <= self.retries + 1 for count in self.calls.values())
        scene.take()

    def finish(self) -> None:
        """Everything that is left goes well."""
        self.scene.finish()
        for _ in range(10_000):
            if len(self.scene.take()) == len(self.scene.items):
                return
            for task in self.scene.backend.tasks_out:
                self.end(task, "ok", 0)
            self.scene.wait(1.0)
            self.check()


@given(steps=STEPS, cap=st.integers(1, 5), retries=st.integers(0, 2), most=st.integers(1, 4))
def test_nothing_is_lost_or_doubled(steps: list[tuple[str, int]], cap: int, retries: int, most: int) -> None:
    """Whatever happens in whatever order: each item comes out once, within the limit and the retries."""
    story = Story(cap, retries, most)
    for what, number in steps:
        story.step(what, number)
        story.check()
    story.finish()
    scene = story.scene
    good = [value for value in scene.given if not isinstance(value, BaseException)]
    assert sorted([*good, *scene.failed]) == sorted(scene.items)
    assert scene.limits.metrics.at_once == 0
