"""Limits at work: what begins when, whose turn it is, who is left alone, which calls are given up."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest

from autoexec.engine.result_order import Failed
from autoexec.engine.tracks import END
from autoexec.errors import ItemTimeout, JournalError, Refused
from tests.engine.fakes import FakeClock, HTTPError, Scene, first_letter, notes

pytest.importorskip("tenacity")
AGES = 10_000.0  # no back-off of ours is longer
WEEK = str(7 * 24 * 3600)


# Turns ------------------------------------------------------------------------------------------------------


def test_the_limit_is_obeyed() -> None:
    """Only so many calls run; each end lets the next one begin, in order."""
    scene = Scene(cap=3)
    scene.give(*range(6))
    assert scene.out == [0, 1, 2]
    scene.end(1, "one")
    assert scene.out == [0, 2, 3]
    for item in (0, 2, 3, 4, 5):
        scene.end(item)
    assert scene.take() == ["one", 0, 2, 3, 4, 5]


def test_backends_of_one_run_share_its_places() -> None:
    """While one is drained and the next one serves, the limit holds over both."""
    scene = Scene(cap=2)
    scene.give("a", "b", "c", "d")
    scene.scheduler.change(drains=[scene.track])
    _, other = scene.open(1000)
    assert (scene.out, other.out) == (["a", "b"], [])
    scene.end("a")
    assert (scene.out, other.out) == (["b"], ["c"])
    scene.end("b")
    assert other.out == ["c", "d"]


def test_without_a_limit_all_goes_to_the_backend() -> None:
    """Where the plan is not adaptive the number of workers decides."""
    scene = Scene(retries=1, most=500)
    scene.give(*range(600))
    assert scene.out == list(range(500))


def test_hosts_take_turns() -> None:
    """However many items of one host wait, the others are not kept waiting by all of them."""
    scene = Scene(cap=2, per=first_letter)
    scene.give("a0", "b0")
    for item in ("a0", "b0"):
        scene.end(item, HTTPError(429, Retry_After="5"))
    scene.give("a1", "a2", "a3", "b1", "b2")
    scene.limits.adapt(1, None, None, 0.0)
    scene.wait(5.1)
    order = []
    while scene.out:
        order += scene.out
        scene.end(scene.out[0])
    assert order == ["a1", "b1", "a2", "b2", "a3"]


def test_a_paused_host_does_not_hold_up_others() -> None:
    """`Retry-After` stops one host until its time is over."""
    scene = Scene(cap=2, per=first_letter)
    scene.give("a1", "b1", "a2", "b2", "b3")
    scene.end("a1", HTTPError(429, Retry_After="5"))
    for item in ("b1", "b2", "b3"):
        assert "a2" not in scene.out
        scene.end(item)
    assert scene.out == []
    scene.wait(4.9)
    assert scene.out == []
    scene.wait(0.3)
    assert scene.out == ["a2"]


def test_a_rate_spaces_calls_for_each_host() -> None:
    """Ten a second begin one every tenth of one, in the order of the items, each host by itself."""
    pytest.importorskip("pyrate_limiter")
    scene = Scene(per=first_letter, rate="10/s", burst=1)
    scene.give("a1", "a2", "b1", "a3", "b2")
    assert scene.out == ["a1", "b1"]
    scene.wait(0.101)
    assert scene.out[:2] == ["a1", "b1"] and sorted(scene.out[2:]) == ["a2", "b2"]
    scene.wait(0.101)
    assert scene.out[-1] == "a3"
    assert scene.limits.stats(0, scene.clock.now).hosts[0].waited_s == pytest.approx(0.2, abs=0.01)


def test_items_of_one_task_wait_for_their_own_hosts() -> None:
    """However many items go together, each has its group; neighbours of one group stay together."""
    scene = Scene(per=first_letter, chunksize=4)
    scene.give("a1", "a2", "b1", "a3")
    assert sorted(map(list, (task.items for task in scene.backend.tasks_out))) == [
        ["a1", "a2"],
        ["a3"],
        ["b1"],
    ]


@pytest.mark.parametrize("star", [False, True])
def test_the_group_is_found_in_the_arguments(star: bool) -> None:
    """`per=` gets an item, or the arguments that a tuple stands for."""
    seen: list[tuple[Any, ...]] = []

    def per(*args: Any) -> str:
        seen.append(args)
        return "host"

    scene = Scene(per=per, star=star)
    scene.give(("a", "b"))
    assert scene.out == [("a", "b")]
    assert seen == [("a", "b") if star else (("a", "b"),)]


# Patience ---------------------------------------------------------------------------------------------------


def test_a_call_that_takes_too_long_is_given_up() -> None:
    """Its place is free, `ItemTimeout` stands for it, and what it still returns is dropped."""
    scene = Scene(cap=1, item_timeout=2.0)
    scene.give("a", "b")
    (slot, task) = scene.backend._out[0]
    scene.wait(1.9)
    assert scene.backend.abandoned == []
    scene.wait(0.2)
    assert scene.backend.abandoned == [task] and scene.out == ["b"]
    scene.take()
    assert isinstance(scene.failed["a"], ItemTimeout)
    scene.backend.late(slot, task, "late")
    scene.end("b")
    scene.wait(AGES)
    assert scene.take()[1:] == ["b"] and len(scene.given) == 2
    assert scene.limits.metrics.calls == 2 and scene.limits.metrics.at_once == 0


def test_patience_begins_with_the_call() -> None:
    """Waiting for its turn does not count."""
    scene = Scene(cap=1, item_timeout=2.0)
    scene.give("a", "b")
    scene.wait(1.5)
    scene.end("a")
    scene.wait(1.9)
    assert scene.backend.abandoned == [] and scene.out == ["b"]
    scene.end("b")
    scene.wait(50.0)
    assert scene.take() == ["a", "b"]


def test_a_call_that_was_given_up_may_run_again() -> None:
    """A timeout is one of the errors that are worth it."""
    scene = Scene(cap=1, item_timeout=2.0, retries=1)
    scene.give("a")
    slot, task = scene.backend._out[0]
    scene.wait(2.1)
    scene.wait(1.0)
    assert scene.out == ["a"]
    scene.end("a", 1)
    scene.backend.late(slot, task, "late")
    assert scene.take() == [1] and not scene.failed


# Closed hosts -----------------------------------------------------------------------------------------------


def test_a_host_that_asks_for_a_week_is_not_called_again() -> None:
    """Its items fail as `Refused` without a call; other hosts go on."""
    scene = Scene(cap=1, per=first_letter)
    scene.give("a1", "a2", "b1", "a3")
    scene.end("a1", HTTPError(429, Retry_After=WEEK))
    assert scene.out == ["b1"]
    scene.end("b1")
    scene.give("a4")
    scene.take()
    assert [type(scene.failed[item]) for item in ("a2", "a3", "a4")] == [Refused] * 3
    assert scene.limits.metrics.calls == 2 and scene.out == []
    failures = scene.limits.stats(0, scene.clock.now).failures
    assert {entry.kind for entry in failures} == {"HTTPError 429", "Refused"}


def test_a_retry_that_waits_is_refused_too() -> None:
    """It is not called again, and its notes tell what became of the first try."""
    scene = Scene(cap=2, retries=2)
    scene.give("a", "b")
    scene.end("a", ConnectionError("reset"))
    scene.end("b", HTTPError(503, Retry_After=WEEK))
    scene.wait(AGES)
    scene.take()
    assert isinstance(scene.failed["b"], HTTPError) and isinstance(scene.failed["a"], Refused)
    assert "attempt 1: ConnectionError: reset" in notes(scene.failed["a"])


def test_each_item_of_a_closed_host_is_refused_by_itself() -> None:
    """With its own place and arguments, however many would have gone together."""
    scene = Scene(cap=1, chunksize=2)
    scene.give("a")
    scene.end("a", HTTPError(429, Retry_After=WEEK))
    scene.give("b", "c")
    scene.take()
    assert isinstance(scene.failed["b"], Refused) and isinstance(scene.failed["c"], Refused)
    assert "item 1 ('b')" in notes(scene.failed["b"]) and "item 2 ('c')" in notes(scene.failed["c"])


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["quick", "slow"])
def test_whom_items_concern_is_asked_ahead_where_that_is_quick(seconds: float) -> None:
    """Some at a time, else one by one; each item is asked for once, and runs by itself."""
    clock, asked = FakeClock(), Counter[int]()

    def per(item: int) -> str:
        asked[item] += 1
        clock.now += seconds
        return "ab"[item % 2]

    scene = Scene(clock, cap=2, per=per)
    scene.give(*range(40))
    most = 0
    for item in range(40):
        most = max(most, len(asked) - item - len(scene.out))
        scene.end(item)
    assert scene.take() == list(range(40))
    assert (2 <= most <= 8) if seconds == 0.0 else most <= 1
    assert set(asked.values()) == {1}


# per= and journal -------------------------------------------------------------------------------------------


def reciprocal(item: int) -> float:
    """A `per=` that raises for 0."""
    if item == 0:
        raise ZeroDivisionError("of nothing")
    return 1 / item


def test_an_error_of_per_is_the_items_own() -> None:
    """That item fails without a call; the rest goes on."""
    scene = Scene(cap=2, per=reciprocal)
    scene.give(1, 0, 2)
    assert scene.out == [1, 2]
    scene.end(1)
    scene.end(2)
    assert sorted(map(str, scene.take())) == ["1", "2", "of nothing"]
    assert isinstance(scene.failed[0], ZeroDivisionError) and "per=" in notes(scene.failed[0])
    assert scene.limits.metrics.calls == 2
    assert scene.limits.stats(0, scene.clock.now).failures[0].kind == "ZeroDivisionError"


def test_an_error_of_per_loses_no_other_item() -> None:
    """Where tasks hold several items, the others of them still run."""
    scene = Scene(per=reciprocal, chunksize=3)
    scene.give(0, 1, 2)
    assert sorted(item for task in scene.backend.tasks_out for item in task.items) == [1, 2]
    for item in list(scene.out):
        scene.end(item)
    scene.take()
    assert list(scene.failed) == [0] and len(scene.given) == 3


def test_what_the_journal_cannot_keep_fails() -> None:
    """The result is replaced by the `JournalError`, which names its item; it is not tried again."""
    kept = []

    def keep(start: int, values: list[Any]) -> None:
        for place, value in enumerate(values):
            if value == "bad":
                error = JournalError("it does not pickle", value=value)
                values[place] = Failed(error, start + place, None, False, "the journal", [])
            else:
                kept.append((start + place, value))

    scene = Scene(cap=2, keep=keep, retries=3)
    scene.give("a", "b")
    scene.end("a", "good")
    scene.end("b", "bad")
    assert scene.take()[0] == "good"
    (error,) = scene.failed.values()
    assert isinstance(error, JournalError) and error.value == "bad" and "item 1 ('b')" in notes(error)
    assert kept == [(0, "good")]


# Changes of the plan ----------------------------------------------------------------------------------------


def test_limits_may_be_let_go_in_the_middle() -> None:
    """What waits for its turn goes at once; what runs is still counted when it ends."""
    scene = Scene(cap=2)
    scene.give(*range(5))
    assert scene.out == [0, 1]
    scene.scheduler.tell_limits(scene.limits.let_go)
    assert scene.out == list(range(5))
    for item in range(5):
        scene.end(item)
    assert scene.limits.metrics.calls == 5 and scene.limits.metrics.at_once == 0


def test_limits_may_be_taken_away_in_the_middle() -> None:
    """The same where nobody attends to single calls any more; later ones are not counted."""
    scene = Scene(cap=2)
    scene.give(*range(5))
    scene.scheduler.attend(None)
    assert scene.out == list(range(5))
    for item in range(5):
        scene.end(item)
    assert sorted(scene.take()) == list(range(5))
    assert scene.limits.metrics.calls == 2 and scene.limits.metrics.at_once == 0


def test_limits_may_come_back() -> None:
    """What waited under the old ones waits once, not twice."""
    scene = Scene(cap=1)
    scene.give("a", "b", "c")
    scene.scheduler.change(drains=[scene.track])
    scene.scheduler.attend(None)
    scene.scheduler.attend(scene.limits)
    _, other = scene.open(1000)
    scene.end("a")
    while other.out:
        other.end(other.out[0])
    assert sorted(scene.take()) == ["a", "b", "c"]
    assert scene.limits.metrics.at_once == 0


def test_limits_may_come_late() -> None:
    """A plan that adapts meets calls that run already: they end as ever, and new ones wait."""
    scene = Scene()
    scene.give("a", "b")
    scene.limits.adapt(2, None, None, 0.0)
    scene.give("c", "d", "e")
    running = len(scene.out)
    assert running < 5
    for item in list(scene.out):
        scene.end(item)
    scene.wait(1.0)
    while scene.out:
        assert len(scene.out) <= 2
        scene.end(scene.out[0])
    assert sorted(scene.take()) == scene.items


# The end ----------------------------------------------------------------------------------------------------


def test_what_was_given_ends_before_the_results_do() -> None:
    """Retries included."""
    scene = Scene(cap=1, retries=1)
    scene.give("a", "b")
    scene.finish()
    scene.end("a", ConnectionError())
    scene.end("b")
    scene.take()
    assert scene.scheduler.take() is None
    scene.wait(AGES)
    scene.end("a")
    assert scene.take() == ["b", "a"]
    assert scene.scheduler.take() is END


def test_closing_drops_what_waits() -> None:
    """Nothing begins any more, nothing runs again, and all of it is accounted for."""
    scene = Scene(cap=2, retries=3)
    scene.give("a", "b", "c", "d")
    scene.end("a", ConnectionError())
    scene.scheduler.close()
    scene.end("b", ConnectionError())
    scene.wait(AGES)
    assert scene.out in (["c"], [])
    assert "a" not in scene.take()
    scene.scheduler._ledger.check_sum()


def test_a_blocked_loop_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The first time with advice; all of it is counted."""
    scene = Scene()
    with caplog.at_level(logging.WARNING, "autoexec"):
        first = scene.limits.blocked("crunch (item 3)", 0.2)
        assert scene.limits.blocked("crunch (item 4)", 0.3) is None
    assert first is not None and "crunch (item 3)" in first and "asyncio.to_thread" in first
    assert scene.limits.stats(0, 0.0).blocked_s == pytest.approx(0.5)


def test_a_clock_that_stands_still_hangs_nothing() -> None:
    """All calls of one moment are judged by that moment."""
    scene = Scene(FakeClock(), cap=50)
    scene.give(*range(200))
    while scene.out:
        scene.end(scene.out[0], seconds=0.0)
        scene.wait(0.001)
    assert sorted(scene.take()) == list(range(200))


def test_a_policy_that_ends_the_program_does() -> None:
    """What it raises comes, and never the error that it was asked about, whoever looks first."""

    def worth_it(error: BaseException) -> bool:
        raise SystemExit("a wrong key")

    scene = Scene(cap=2, retries=1, retry_on=worth_it)
    scene.give(0, 1)
    scene.end(0, ValueError("bad key"))
    with pytest.raises(SystemExit, match="a wrong key"):
        scene.take()
    assert scene.given == []
