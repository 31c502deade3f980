"""Between stream and workers: what begins when, what runs again, what is given up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.backends.base import Chunk, Failure
from autoexec.engine.front import Attended
from autoexec.errors import BrokenWorker, ItemTimeout, JournalError, Refused
from tests.engine.scene import Clock, HTTPError, Reply, Scene

pytest.importorskip("tenacity")
AGES = 10_000.0  # no back-off of ours is longer
WEEK = str(7 * 24 * 3600)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time, as the desk sees it."""
    clock = Clock()
    for module in ("desk", "alarms"):
        monkeypatch.setattr(f"autoexec.engine.{module}.time", clock)
    return clock


def first_letter(item: str) -> str:
    """The host of the items of these tests."""
    return item[0]


def notes(error: Any) -> str:
    """What is written on an error."""
    return "\n".join(getattr(error, "__notes__", ()))


# Turns ------------------------------------------------------------------------------------------------------


def test_the_limit_is_obeyed(clock: Clock) -> None:
    """Only so many calls are at the backend; each end lets the next one begin, in order."""
    scene = Scene(clock, cap=3)
    scene.give(*range(6))
    assert scene.out == [0, 1, 2]
    scene.end(1, "one")
    assert scene.out == [0, 2, 3]
    for item in (0, 2, 3, 4, 5):
        scene.end(item, item)
    assert scene.outcomes() == {1: "one", **{item: item for item in (0, 2, 3, 4, 5)}}


def test_desks_that_share_hosts_share_their_places(clock: Clock) -> None:
    """A call that ends at one desk makes room for one that waits at the other."""
    one = Scene(clock, cap=1, on_error="skip")
    other = Scene(clock, hosts=one.hosts)
    one.give("a")
    other.give("b", "c")
    assert (one.out, other.out) == (["a"], [])
    one.end("a", 1)
    assert other.out == ["b"]
    one.give("d")
    other.end("b", 2)
    assert one.out + other.out in (["d"], ["c"])
    here = Attended(lambda item: item, one.hosts, star=False)
    for scene in (one, other):
        for item in list(scene.out):
            scene.end(item, item)
    for scene in (one, other):
        for item in list(scene.out):
            scene.end(item, item)
    assert here("e") == "e"
    assert [len(scene.done) for scene in (one, other)] == [2, 2]


def test_a_call_in_the_callers_thread_gives_its_place_to_the_desk(clock: Clock) -> None:
    """While it runs, the only place is taken; when it ends, the desk hears of it."""
    scene = Scene(clock, cap=1, on_error="skip")

    def call(item: str) -> str:
        scene.give("waits")
        assert scene.out == []
        return item

    assert Attended(call, scene.hosts, star=False)("first") == "first"
    assert scene.out == ["waits"]


def test_without_a_limit_all_goes_to_the_backend(clock: Clock) -> None:
    """Where the plan is not adaptive the backend's own queue decides."""
    scene = Scene(clock, retries=1)
    scene.give(*range(500))
    assert scene.out == list(range(500))


def test_hosts_take_turns(clock: Clock) -> None:
    """However many items of one host come first, the others are not kept waiting by all of them."""
    scene = Scene(clock, cap=1, per=first_letter)
    scene.give("a1", "a2", "a3", "b1", "b2", "c1")
    order = []
    while scene.out:
        order += scene.out
        scene.end(scene.out[0], None)
    assert order == ["a1", "a2", "b1", "c1", "a3", "b2"]


def test_a_paused_host_does_not_hold_up_others(clock: Clock) -> None:
    """`Retry-After` stops one host until its time is over."""
    scene = Scene(clock, cap=2, per=first_letter)
    scene.give("a1", "b1", "a2", "b2", "b3")
    scene.end("a1", error=HTTPError(429, Retry_After="5"))
    for item in ("b1", "b2", "b3"):
        assert "a2" not in scene.out
        scene.end(item, item)
    assert scene.out == []
    scene.wait(4.9)
    assert scene.out == []
    scene.wait(0.3)
    assert scene.out == ["a2"]


def test_a_rate_spaces_calls_for_each_host(clock: Clock) -> None:
    """Ten a second begin one every tenth of one, in the order of the items, each host by itself."""
    pytest.importorskip("pyrate_limiter")
    scene = Scene(clock, per=first_letter, rate="10/s", burst=1)
    scene.give("a1", "a2", "b1", "a3", "b2")
    assert scene.out == ["a1", "b1"]
    scene.wait(0.101)
    assert scene.out == ["a1", "b1", "a2", "b2"]
    scene.wait(0.101)
    assert scene.out[-1] == "a3"
    assert scene.hosts.stats(0).hosts[0].waited_s == pytest.approx(0.2, abs=0.01)


def test_a_call_that_was_cancelled_frees_its_place(clock: Clock) -> None:
    """A worker that learns that nobody wants its task lets the next one begin; nothing is delivered."""
    scene = Scene(clock, cap=1)
    scene.give("a", begin=lambda: False)
    scene.give("b")
    assert not scene.begin("a")
    assert scene.out == ["b"] and scene.hosts.tally.at_once == 1
    scene.end("b", 1)
    assert scene.outcomes() == {"b": 1} and scene.hosts.tally.calls == 1
    scene.desk.close()
    assert scene.inner.closed


# Again ------------------------------------------------------------------------------------------------------


def test_a_failed_call_runs_again_after_its_back_off(clock: Clock) -> None:
    """Not at once, and then before everything that waits for its host."""
    scene = Scene(clock, cap=1, retries=2)
    scene.give("a", "b", "c", "d")
    scene.end("a", error=ConnectionError("gone"))
    assert scene.out == ["b"]
    scene.wait(AGES)
    scene.end("b", 2)
    assert scene.out == ["a"]
    scene.end("a", 1)
    assert scene.out == ["c"]
    assert scene.outcomes() == {"b": 2, "a": 1}
    assert scene.hosts.stats(0).retries == 1


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_no_more_than_the_retries(clock: Clock, retries: int) -> None:
    """A call runs so many times more, and fails with its last error, whose notes tell of every attempt."""
    scene = Scene(clock, cap=1, retries=retries, on_error="return")
    scene.give("a")
    for attempt in range(retries + 1):
        assert scene.out == ["a"]
        scene.end("a", error=ConnectionError(f"no {attempt}"))
        scene.wait(AGES)
    assert scene.out == []
    error = scene.outcomes()["a"]
    assert str(error) == f"no {retries}"
    told = [note for note in error.__notes__ if "attempt" in note]
    tries = range(retries + 1 if retries else 0)
    assert told == [f"autoexec: attempt {i + 1}: ConnectionError: no {i} (after 0.01 s)" for i in tries]
    assert "item 0 ('a')" in notes(error)


@pytest.mark.parametrize(
    "error", [ValueError("wrong"), HTTPError(404), HTTPError(400), KeyError("x")], ids=str
)
def test_what_would_fail_again_is_not_tried(clock: Clock, error: Exception) -> None:
    """Errors of the caller's own making come out at once."""
    scene = Scene(clock, cap=1, retries=5, on_error="return")
    scene.give("a")
    scene.end("a", error=error)
    assert scene.outcomes() == {"a": error} and scene.hosts.tally.retries == 0


def test_a_response_that_says_to_try_again(clock: Clock) -> None:
    """A 503 that was returned, not raised, runs again; the last one is delivered as the value it is."""
    scene = Scene(clock, cap=1, retries=1)
    scene.give("a")
    scene.end("a", Reply(503))
    assert scene.outcomes() == {}
    scene.wait(AGES)
    last = Reply(503)
    scene.end("a", last)
    assert scene.outcomes() == {"a": last}


def test_retry_after_is_the_least_wait(clock: Clock) -> None:
    """The back-off is no shorter than what the other side asks for."""
    scene = Scene(clock, cap=1, retries=1)
    scene.give("a")
    scene.end("a", error=HTTPError(503, Retry_After="40"))
    scene.wait(39.9)
    assert scene.out == []
    scene.wait(AGES)
    assert scene.out == ["a"]


def test_an_outage_uses_the_budget_up(clock: Clock) -> None:
    """After a hundred retries without a good answer no more are made; the notes say why."""
    scene = Scene(clock, retries=3, retry_budget=0, on_error="return")
    scene.give(*range(150))
    calls = 0
    while scene.out:
        for item in scene.out:
            calls += 1
            scene.end(item, error=ConnectionError("out"))
        scene.wait(AGES)
    assert calls == 250
    failed = scene.outcomes()
    assert len(failed) == 150
    assert sum("budget" in notes(error) for error in failed.values()) >= 50


@pytest.mark.parametrize("kind", [SystemExit, BrokenWorker])
def test_what_is_more_than_an_items_own_error_ends_the_run(clock: Clock, kind: type[BaseException]) -> None:
    """It is delivered as the error of the task, whatever the options say."""
    scene = Scene(clock, cap=1, on_error="return", retries=1)
    scene.give("a")
    scene.end("a", error=kind("end"))
    (finished,) = scene.done
    assert isinstance(finished.error, kind)


# Closed hosts -----------------------------------------------------------------------------------------------


def test_a_host_that_asks_for_a_week_is_not_called_again(clock: Clock) -> None:
    """Its items fail as `Refused` without a call; other hosts go on."""
    scene = Scene(clock, cap=1, per=first_letter, on_error="return")
    scene.give("a1", "a2", "b1", "a3")
    scene.end("a1", error=HTTPError(429, Retry_After=WEEK))
    assert scene.out == ["b1"]
    scene.end("b1", 1)
    scene.give("a4")
    failed = scene.outcomes()
    assert [type(failed[item]) for item in ("a2", "a3", "a4")] == [Refused] * 3
    assert scene.hosts.tally.calls == 2 and scene.out == []
    assert {entry.kind for entry in scene.hosts.stats(0).failures} == {"HTTPError 429", "Refused"}


def test_a_retry_that_waits_is_refused_too(clock: Clock) -> None:
    """It is not called again, and its notes tell what became of the first try."""
    scene = Scene(clock, cap=2, retries=2, on_error="return")
    scene.give("a", "b")
    scene.end("a", error=ConnectionError("reset"))
    scene.end("b", error=HTTPError(503, Retry_After=WEEK))
    scene.wait(AGES)
    failed = scene.outcomes()
    assert isinstance(failed["b"], HTTPError) and isinstance(failed["a"], Refused)
    assert "attempt 1: ConnectionError: reset" in notes(failed["a"])


def test_a_whole_task_of_a_closed_host_is_refused(clock: Clock) -> None:
    """Each of its items fails for itself, and the task comes back whole."""
    scene = Scene(clock, cap=1, on_error="return")
    scene.give("a")
    scene.end("a", error=HTTPError(429, Retry_After=WEEK))
    scene.give_task(["b", "c"])
    found = scene.outcomes()
    assert isinstance(found["b"], Refused) and isinstance(found["c"], Refused)
    assert "item 1 ('b')" in notes(found["b"]) and "item 2 ('c')" in notes(found["c"])


# Patience ---------------------------------------------------------------------------------------------------


def test_a_call_that_takes_too_long_is_given_up(clock: Clock) -> None:
    """Its place is free, `ItemTimeout` stands for it, and what it still returns is dropped."""
    scene = Scene(clock, cap=1, item_timeout=2.0, on_error="return")
    scene.give("a", "b")
    assert scene.begin("a")
    scene.wait(1.9)
    assert scene.inner.lost == []
    scene.wait(0.2)
    (lost,) = scene.inner.lost
    assert scene.out == ["b"]
    assert isinstance(scene.outcomes()["a"], ItemTimeout)
    scene.deliver(lost, "late")
    scene.end("b", 1)
    scene.wait(AGES)
    assert len(scene.done) == 2 and scene.outcomes()["b"] == 1
    assert scene.hosts.tally.calls == 2 and scene.hosts.tally.at_once == 0


def test_patience_begins_with_the_call(clock: Clock) -> None:
    """Waiting for a worker does not count."""
    scene = Scene(clock, item_timeout=2.0)
    scene.give("a")
    scene.wait(50.0)
    assert scene.inner.lost == []
    scene.end("a", 1)
    scene.wait(50.0)
    assert scene.outcomes() == {"a": 1}


def test_a_call_that_was_given_up_may_run_again(clock: Clock) -> None:
    """A timeout is one of the errors that are worth it."""
    scene = Scene(clock, cap=1, item_timeout=2.0, retries=1)
    scene.give("a")
    scene.begin("a")
    scene.wait(2.1)
    scene.wait(1.0)
    assert scene.out == ["a"]
    scene.end("a", 1)
    scene.deliver(scene.inner.lost[0], "late")
    assert scene.outcomes() == {"a": 1}


# Back and end -----------------------------------------------------------------------------------------------


def test_only_what_never_began_is_given_back(clock: Clock) -> None:
    """Neither what is at the backend nor what is to run again."""
    scene = Scene(clock, cap=1, retries=1)
    scene.give("a", "b", "c")
    scene.end("a", error=ConnectionError())
    scene.wait(AGES)
    assert [chunk.items[0] for chunk in scene.desk.withdraw()] == ["c"]
    scene.end("b", 2)
    scene.end("a", 1)
    assert scene.outcomes() == {"a": 1, "b": 2}
    scene.desk.close()
    assert scene.inner.closed == [{"wait": True, "kill": False}]


@pytest.mark.parametrize("wishes", [{}, {"item_timeout": 9.0}], ids=["", "item_timeout"])
def test_what_the_backend_only_queued_is_given_back(clock: Clock, wishes: dict[str, Any]) -> None:
    """Its place is free again; a retry that was queued there stays, and still has its tries."""
    scene = Scene(clock, cap=4, retries=2, on_error="return", **wishes)
    scene.inner.queues = True
    scene.give("a", "b")
    scene.end("a", error=ConnectionError("first"))
    scene.begin("b")
    scene.wait(5.0)
    scene.give("c", "d", "e")
    assert sorted(scene.out) == ["a", "b", "c", "d"]
    assert sorted(chunk.items[0] for chunk in scene.desk.withdraw()) == ["c", "d", "e"]
    assert sorted(scene.out) == ["a", "b"] and scene.hosts.tally.at_once == 2
    for why in ("second", "third"):
        scene.end("a", error=ConnectionError(why))
        scene.wait(5.0)
    scene.end("b", 2)
    found = scene.outcomes()
    assert found["b"] == 2 and str(found["a"]) == "third" and set(found) == {"a", "b"}
    for attempt, why in enumerate(("first", "second", "third"), 1):
        assert f"attempt {attempt}: ConnectionError: {why}" in notes(found["a"])
    scene.desk.close()
    assert scene.inner.closed == [{"wait": True, "kill": False}]


def test_closing_with_kill_drops_what_waits(clock: Clock) -> None:
    """Nothing begins any more, nothing runs again."""
    scene = Scene(clock, cap=2, retries=3)
    scene.give("a", "b", "c")
    scene.end("a", error=ConnectionError())
    scene.desk.close(kill=True)
    assert scene.inner.closed == [{"wait": True, "kill": True}]
    scene.end("b", error=ConnectionError())
    scene.wait(AGES)
    assert scene.out == ["c"] or scene.out == []
    assert "a" not in scene.outcomes()


def test_closing_lets_what_was_submitted_finish(clock: Clock) -> None:
    """The backend is closed with the last outcome, retries included, and not before."""
    scene = Scene(clock, cap=1, retries=1)
    scene.give("a", "b")
    scene.desk.close(wait=False)
    scene.end("a", error=ConnectionError())
    scene.end("b", 2)
    assert scene.inner.closed == []
    scene.wait(AGES)
    scene.end("a", 1)
    assert scene.outcomes() == {"a": 1, "b": 2}
    assert scene.inner.closed == [{"wait": False, "kill": False}]


# per= and journal -------------------------------------------------------------------------------------------


def test_an_error_of_per_is_the_items_own(clock: Clock) -> None:
    """That item fails without a call; the rest goes on."""
    scene = Scene(clock, cap=2, per=lambda item: 1 // item, on_error="return")
    scene.give(1, 0, 2)
    assert scene.out == [1, 2]
    scene.end(1, 1)
    scene.end(2, 2)
    found = scene.outcomes()
    assert isinstance(found[0], ZeroDivisionError) and "per=" in notes(found[0])
    assert (found[1], found[2]) == (1, 2)
    assert scene.hosts.stats(0).failures[0].kind == "ZeroDivisionError"


def test_an_error_of_per_loses_no_other_item_of_its_task(clock: Clock) -> None:
    """Where tasks hold several items, the others of them still run."""
    scene = Scene(clock, per=lambda item: 1 // item, on_error="return")
    scene.give_task([0, 1, 2])
    assert scene.out == [1, 2]
    scene.end(2, 2)
    scene.end(1, 1)
    found = scene.outcomes()
    assert isinstance(found[0], ZeroDivisionError)
    assert (found[1], found[2]) == (1, 2)


def test_what_the_journal_cannot_keep_fails(clock: Clock) -> None:
    """The result is replaced by the `JournalError`; it is not tried again."""
    kept = []

    def keep(start: int, values: list[Any]) -> None:
        for place, value in enumerate(values):
            if value == "bad":
                values[place] = Failure(JournalError("it does not pickle", value=value))
            elif not isinstance(value, Failure):
                kept.append((start + place, value))

    scene = Scene(clock, cap=2, keep=keep, retries=3, on_error="return")
    scene.give("a", "b")
    scene.end("a", "good")
    scene.end("b", "bad")
    found = scene.outcomes()
    assert found["a"] == "good" and isinstance(found["b"], JournalError) and found["b"].value == "bad"
    assert kept == [(0, "good")]


# Tasks of several items -------------------------------------------------------------------------------------


def test_single_items_of_a_task_run_again(clock: Clock) -> None:
    """Only what failed is repeated; the task comes back whole, its items in order."""
    scene = Scene(clock, retries=2)
    scene.give_task(["a", "b", "c", "d"])
    scene.end("a", 1, Failure(ConnectionError("b")), 3, Failure(ConnectionError("d")))
    assert scene.done == []
    scene.wait(AGES)
    assert sorted(scene.out) == ["b", "d"]
    scene.end("d", 4)
    scene.end("b", error=ConnectionError("b again"))
    assert scene.done == []
    scene.wait(AGES)
    scene.end("b", 2)
    (finished,) = scene.done
    assert finished.values == [1, 2, 3, 4] and finished.chunk.items == ["a", "b", "c", "d"]


def test_an_item_of_a_task_that_keeps_failing(clock: Clock) -> None:
    """It stands as a failure in its place, named by its own index."""
    scene = Scene(clock, retries=1, on_error="return")
    scene.give_task(["x"])
    scene.give_task(["a", "b", "c"])
    scene.end("a", 1, Failure(ConnectionError("first")), Failure(ValueError("never")))
    scene.wait(AGES)
    scene.end("b", Failure(ConnectionError("second")))
    found = scene.outcomes()
    assert found["a"] == 1 and str(found["b"]) == "second" and str(found["c"]) == "never"
    assert "item 2 ('b')" in notes(found["b"]) and "item 3 ('c')" in notes(found["c"])
    assert "attempt 1: ConnectionError: first" in notes(found["b"])
    assert sum(entry.count for entry in scene.hosts.stats(0).failures) == 2


def test_a_task_for_several_hosts_is_taken_apart(clock: Clock) -> None:
    """Each item waits for its own host; the task comes back whole, and none of it is given back meanwhile."""
    scene = Scene(clock, cap=1, per=first_letter)
    scene.give_task(["a1", "b1", "a2"])
    scene.give("c1")
    assert [chunk.items for chunk in scene.desk.withdraw()] == [["c1"]]
    for item in ("a1", "b1", "a2"):
        assert scene.done == []
        scene.end(item, item)
    (finished,) = scene.done
    assert finished.values == ["a1", "b1", "a2"]


# Anything, in any order -------------------------------------------------------------------------------------

ENDINGS = {
    "ok": lambda: None,
    "error": lambda: ConnectionError("reset"),
    "wrong": lambda: ValueError("wrong"),
    "refused": lambda: HTTPError(429, Retry_After="3"),
}
EVENTS = [*["give"] * 3, *["begin"] * 2, "wait", "late", "back", *["ok"] * 2, *ENDINGS]
STEPS = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 30)), max_size=60)


class Story:
    """One sequence of events, and what must hold after each."""

    def __init__(self, clock: Clock, cap: int, retries: int, most: int) -> None:
        self.scene = Scene(
            clock, cap=cap, retries=retries, item_timeout=4.0, per=first_letter, on_error="return"
        )
        self.cap, self.retries, self.most = cap, retries, most
        self.given: list[str] = []
        self.made = 0  # names are not used twice, even of items that were given back
        self.calls: dict[str, int] = {}

    def step(self, what: str, number: int) -> None:
        """One event."""
        if what == "give":
            size = number % self.most + 1
            items = [f"{'ab'[number % 2]}{self.made + place}" for place in range(size)]
            self.made += size
            self.given += items
            self.scene.give_task(items)
        elif what == "wait":
            self.scene.wait(number / 5)
        elif what == "back":
            for chunk in self.scene.desk.withdraw():
                for item in chunk.items:
                    assert item not in self.calls
                    self.given.remove(item)
        elif what == "late" and self.scene.inner.lost:
            lost = self.scene.inner.lost
            self.scene.deliver(job := lost[number % len(lost)], *job.items)
        elif what == "begin" and self.fresh():
            self.begin(self.fresh()[number % len(self.fresh())])
        elif what in ENDINGS and self.scene.inner.begun:
            begun = self.scene.inner.begun
            self.end(begun[number % len(begun)], what, number)

    def fresh(self) -> list[Any]:
        """Tasks at the backend that no worker has taken."""
        return [job for job in self.scene.inner.out if job not in self.scene.inner.begun]

    def begin(self, job: Chunk) -> None:
        """A worker takes a task."""
        for item in job.items:
            self.calls[item] = self.calls.get(item, 0) + 1
        assert self.scene.begin(job.items[0])

    def end(self, job: Chunk, what: str, number: int) -> None:
        """A worker is done: with several items, some may be well while others are not."""
        values: list[Any] = []
        for place, item in enumerate(job.items):
            error = ENDINGS[what]() if (number + place) % 3 or len(job.items) == 1 else None
            values.append(item if error is None else Failure(error))
        self.scene.end(job.items[0], *values)

    def check(self) -> None:
        """What must hold at any time."""
        inner, hosts = self.scene.inner, self.scene.hosts
        assert len(inner.out) == hosts.tally.at_once <= self.cap
        assert all(count <= self.retries + 1 for count in self.calls.values())
        assert set(self.scene.outcomes()) <= set(self.given)

    def finish(self) -> None:
        """Everything that is left goes well."""
        self.scene.desk.close(wait=False)
        for _ in range(10_000):
            if len(self.scene.outcomes()) == len(self.given):
                break
            for job in self.fresh():
                self.begin(job)
            for job in list(self.scene.inner.begun):
                self.end(job, "ok", 0)
            self.scene.wait(1.0)
            self.check()


@given(
    steps=STEPS,
    cap=st.integers(1, 5),
    retries=st.integers(0, 2),
    most=st.integers(1, 4),
    queues=st.booleans(),
)
def test_nothing_is_lost_or_doubled(
    steps: list[tuple[str, int]], cap: int, retries: int, most: int, queues: bool
) -> None:
    """Whatever happens in whatever order: each item comes out once, within the limit and the retries."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        for module in ("desk", "alarms"):
            patch.setattr(f"autoexec.engine.{module}.time", clock)
        story = Story(clock, cap, retries, most)
        story.scene.inner.queues = queues
        for what, number in steps:
            story.step(what, number)
            story.check()
        story.finish()
    assert sorted(story.scene.outcomes()) == sorted(story.given)
    assert story.scene.hosts.tally.at_once == 0
    assert story.scene.inner.closed or not story.given
    for item, value in story.scene.outcomes().items():
        assert value == item or isinstance(value, Exception)


def test_calls_are_counted(clock: Clock) -> None:
    """Those that have begun, and those of them that run."""
    scene = Scene(clock, cap=2)
    scene.give(*range(4))
    assert scene.desk.counts() == (2, 2)
    scene.end(0, "zero")
    assert scene.desk.counts() == (3, 2)


def test_refused_calls_are_not_counted_on(clock: Clock) -> None:
    """More GILs are no help against a service that refuses."""
    scene = Scene(clock, cap=2)
    scene.give(*range(4))
    scene.end(0, error=HTTPError(429))
    assert scene.desk.counts() is None


def test_a_desk_that_leaves_the_number_to_its_backend(clock: Clock) -> None:
    """From its first task on; until then the one before it holds its calls back as ever."""
    one = Scene(clock, cap=2)
    one.give("a", "b", "c")
    two = Scene(clock, hosts=one.hosts, free=True)
    assert one.out == ["a", "b"]
    two.give(*range(5))
    assert two.out == list(range(5))


def test_workers_are_warmed_up_where_that_is_possible(clock: Clock) -> None:
    """By the backend, if it can."""
    scene = Scene(clock)
    assert scene.desk.warm_up(3) == 0
    scene.inner.warm_up = lambda count: count  # type: ignore[attr-defined]
    assert scene.desk.warm_up(3) == 3
