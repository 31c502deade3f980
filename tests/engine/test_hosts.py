"""What a run knows of the other side, host by host."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from autoexec.decide.answers import Answer, judge_error, judge_value
from autoexec.engine.attempts import Attempts, Response, judge_response
from autoexec.engine.hosts import Hosts
from autoexec.engine.lane import LONGEST_PAUSE_S, Lane
from autoexec.errors import Refused, add_note
from autoexec.options import resolve
from autoexec.records import Ending
from tests.engine.scene import HTTPError, Reply

OK = Answer(Ending.OK)
NOW = 1000.0


def hosts(cap: int = 0, **wishes: Any) -> Hosts:
    """The hosts of a run with these options."""
    made = Hosts(resolve(wishes))
    if cap:
        made.adapt(cap, None, None, 0.0)
    return made


def call(known: Hosts, lane: Lane, now: float, answer: Answer = OK, seconds: float = 0.1) -> None:
    """One call from begin to end."""
    ticket = known.begin(lane, now)
    known.end(lane, ticket, now + seconds, answer, seconds, 0.0)


def test_items_find_their_host() -> None:
    """By their URL unless `per=` says otherwise; arguments count by the first of them."""
    assert hosts().name_of("https://a.org/x") == "a.org"
    assert hosts().name_of(("https://a.org/x", 3), star=True) == "a.org"
    assert hosts().name_of(3) == ""
    assert hosts(per=lambda x: x % 2).name_of(3) == "1"
    assert hosts(per=lambda x, y: y).name_of((3, "b"), star=True) == "b"
    assert hosts(per="shop").name_of({"shop": "c"}) == "c"


def test_a_host_has_one_lane() -> None:
    """The same name gives the same lane; lanes do not share their limits."""
    known = hosts(cap=4, retries=1)
    a, b = known.lane("a"), known.lane("b")
    assert known.lane("a") is a is not b
    assert a.controller is not b.controller and a.budget is not b.budget


def test_without_options_nothing_holds_a_call() -> None:
    """Neither limit nor rate nor budget: the backend decides."""
    lane = hosts().lane("a")
    assert (lane.controller, lane.gate, lane.budget) == (None, None, None)
    assert lane.wait_s(NOW) == 0.0


def test_lanes_that_were_there_before_are_adapted_too() -> None:
    """A lane from the time before the plan gets its controller with the plan."""
    known = hosts()
    lane = known.lane("a")
    assert not known.full() and known.limit == 0
    known.adapt(3, None, None, 0.0)
    assert lane.controller is not None and known.limit == 3


def test_the_cap_holds_over_all_hosts() -> None:
    """Two hosts together may not have more calls than the cap."""
    known = hosts(cap=3)
    a, b = known.lane("a"), known.lane("b")
    for lane in (a, b, a):
        assert not known.full()
        known.begin(lane, NOW)
    assert known.full()
    known.cancel(a, None, NOW)
    assert not known.full()


def test_a_full_lane_waits_for_an_end() -> None:
    """Only the end of a call makes room."""
    known = hosts(cap=1)
    lane = known.lane("a")
    assert lane.wait_s(NOW) == 0.0
    ticket = known.begin(lane, NOW)
    assert lane.wait_s(NOW + 0.01) == math.inf
    known.end(lane, ticket, NOW + 0.02, OK, 0.02, 0.0)
    assert lane.wait_s(NOW + 0.03) == 0.0


def test_a_call_that_did_not_begin_gives_its_place_back() -> None:
    """It counts as no call."""
    known = hosts(cap=1)
    lane = known.lane("a")
    known.cancel(lane, known.begin(lane, NOW), NOW)
    assert lane.wait_s(NOW) == 0.0 and lane.calls == 0 and known.tally.at_once == 0


@pytest.mark.parametrize("wish", [1, 30, int(LONGEST_PAUSE_S)])
def test_a_pause_is_waited_for(wish: int) -> None:
    """A `Retry-After` up to ten minutes holds the lane for as long, and counts as waiting."""
    known = hosts(cap=4)
    lane = known.lane("a")
    call(known, lane, NOW, judge_error(HTTPError(429, Retry_After=str(wish)), 0.0), seconds=0.0)
    assert lane.wait_s(NOW) == pytest.approx(wish)
    assert lane.wait_s(NOW + wish - 0.5) == pytest.approx(0.5)
    assert lane.closed is None
    assert lane.wait_s(NOW + wish + 30) == 0.0
    assert lane.waited_s == pytest.approx(wish + 30)
    assert known.lane("b").wait_s(NOW) == 0.0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """The latest end counts."""
    lane = hosts().lane("a")
    lane.pause(NOW, 10.0)
    lane.pause(NOW + 1, 2.0)
    assert lane.wait_s(NOW + 1) == pytest.approx(9.0)


@pytest.mark.parametrize("wish", ["601", str(7 * 24 * 3600)])
def test_who_asks_for_too_long_is_left_alone(wish: str) -> None:
    """The host is closed; the error of its items says for how long it asked, and what was allowed."""
    known = hosts(retries=3)
    lane = known.lane("a.org")
    answer = judge_value(Reply(503, Retry_After=wish), 0.0)
    call(known, lane, NOW, answer)
    assert lane.closed == float(wish)
    error = lane.refusal()
    assert isinstance(error, Refused)
    assert "a.org" in str(error) and "600 s" in str(error) and "Retry-After" in str(error)
    assert not known.may_retry(lane, Attempts(NOW), answer)


@pytest.mark.parametrize("wish", ["soon", "-3", "", "99999999999999999999999"])
def test_nonsense_does_not_stop_the_run(wish: str) -> None:
    """What no date and no seconds can be read from, pauses nothing; what is endless closes the host."""
    known = hosts()
    lane = known.lane("a")
    call(known, lane, NOW, judge_error(HTTPError(429, Retry_After=wish), 0.0))
    assert (lane.closed is not None) == wish.startswith("9")
    assert lane.wait_s(NOW + 1) == 0.0 or lane.closed is not None


def test_the_rate_comes_after_the_limit() -> None:
    """A call that has no place uses up nothing of the rate."""
    pytest.importorskip("pyrate_limiter")
    known = hosts(cap=1, rate="1/s", burst=1)
    lane = known.lane("a")
    ticket = known.begin(lane, NOW)
    assert [lane.wait_s(NOW + 0.001 * step) for step in range(3)] == [math.inf] * 3
    known.end(lane, ticket, NOW + 0.1, OK, 0.1, 0.0)
    assert lane.wait_s(NOW + 0.1) == 0.0
    assert 0.9 < lane.wait_s(NOW + 0.1) <= 1.0


def test_the_budget_is_spent_and_earned() -> None:
    """A hundred retries to start with, then as many as good answers allow; the notes tell of the end."""
    pytest.importorskip("tenacity")
    known = hosts(retries=9, retry_budget=0.5)
    lane, attempts = known.lane("a"), Attempts(NOW)
    broken = judge_error(ConnectionError(), 0.0)
    assert [known.may_retry(lane, attempts, broken) for _ in range(101)] == [True] * 100 + [False]
    assert "budget" in attempts.notes[-1]
    for _ in range(2):
        call(known, lane, NOW)
    assert known.may_retry(lane, attempts, broken) and not known.may_retry(lane, attempts, broken)
    assert known.stats(0).retries == lane.retries == 101


def test_a_refusal_that_says_when_costs_no_budget() -> None:
    """Whoever asks for a pause is protected by it."""
    pytest.importorskip("tenacity")
    known = hosts(retries=9, retry_budget=0)
    lane = known.lane("a")
    told = judge_error(HTTPError(429, Retry_After="1"), 0.0)
    assert all(known.may_retry(lane, Attempts(NOW), told) for _ in range(300))
    assert known.may_retry(lane, Attempts(NOW), judge_error(HTTPError(429), 0.0))


def test_delays_ask_the_callers_policy() -> None:
    """Without one, and without an error, nothing runs again."""
    tenacity = pytest.importorskip("tenacity")
    broken = judge_error(ConnectionError(), 0.0)
    assert hosts().delay(Attempts(NOW), ConnectionError(), broken, NOW) is None
    policy = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(2),
        wait=tenacity.wait_fixed(7),
        retry=tenacity.retry_if_exception_type(KeyError),
    )
    known = hosts(retries=policy)
    assert known.delay(Attempts(NOW), KeyError(), OK, NOW) == 7.0
    assert known.delay(Attempts(NOW), ConnectionError(), broken, NOW) is None
    assert known.delay(Attempts(NOW), None, OK, NOW) is None
    tired = Attempts(NOW)
    tired.begin(NOW)
    assert known.delay(tired, KeyError(), OK, NOW) is None


def test_counts_host_by_host() -> None:
    """Calls, refusals and errors stand apart for each host and together for the run."""
    known = hosts(cap=8)
    a, b = known.lane("a"), known.lane("b")
    for answer in (OK, OK, judge_error(KeyError(), 0.0), judge_error(HTTPError(429), 0.0)):
        call(known, a, NOW, answer)
    call(known, b, NOW, judge_error(TimeoutError(), 0.0))
    stats = known.stats(3)
    assert (stats.items, stats.calls, stats.refusals, stats.errors, stats.at_once) == (3, 5, 1, 2, 0)
    first, second = stats.hosts
    assert (first.host, first.calls, first.refusals, first.errors) == ("a", 4, 1, 1)
    assert (second.host, second.calls, second.errors) == ("b", 1, 1)
    assert first.limit >= 1 and first.reason


def test_a_task_of_several_items_counts_each() -> None:
    """`also` adds the other items of a task without another place."""
    known = hosts(cap=2)
    lane = known.lane("a")
    call(known, lane, NOW)
    known.also(lane, NOW, judge_error(KeyError(), 0.0), 0.1)
    assert (known.tally.calls, known.tally.errors, known.tally.at_once) == (2, 1, 0)


def test_a_blocked_loop_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The first time is logged with advice; all of it is counted."""
    known = hosts()
    with caplog.at_level(logging.WARNING, "autoexec"):
        known.blocked("crunch (item 3)", 0.2)
        known.blocked("crunch (item 4)", 0.3)
    assert len(caplog.records) == 1
    assert "crunch (item 3)" in caplog.text and "asyncio.to_thread" in caplog.text
    assert known.stats(0).blocked_s == pytest.approx(0.5)


def test_values_that_say_to_try_again() -> None:
    """A response with such a status has an error beside it; everything else has none."""
    answer, error = judge_response(Reply(503))
    assert answer.transient and isinstance(error, Response) and "503" in str(error)
    for fine in (Reply(200), Reply(404), "text", None, 503):
        assert judge_response(fine)[1] is None


def test_attempts_tell_what_happened() -> None:
    """One failure tells nothing that its error does not say; two are told, each in a line."""
    attempts, error = Attempts(), ValueError("b")
    attempts.begin(NOW)
    attempts.note(ValueError("a"), 0.5)
    attempts.tell(error)
    assert not hasattr(error, "__notes__")
    attempts.begin(NOW + 1)
    attempts.note(error, 0.25)
    attempts.tell(error)
    assert error.__notes__ == [
        "autoexec: attempt 1: ValueError: a (after 0.50 s)",
        "autoexec: attempt 2: ValueError: b (after 0.25 s)",
    ]
    assert (attempts.count, attempts.since) == (2, NOW)


def test_an_error_that_takes_no_notes() -> None:
    """It arrives without them."""

    class Frozen(Exception):
        def add_note(self, note: str) -> None:
            raise AttributeError("frozen")

    add_note(error := Frozen(), "x")
    assert not hasattr(error, "__notes__")


def test_hosts_may_be_let_go() -> None:
    """When calls run elsewhere, nothing bounds how many; those that began before end as ever."""
    known = hosts(cap=2)
    lane = known.lane("a")
    ticket = known.begin(lane, NOW)
    known.begin(lane, NOW)
    assert known.full()
    known.let_go()
    assert not known.full() and known.limit == 0
    assert lane.wait_s(NOW) == 0.0
    known.end(lane, ticket, NOW + 0.1, OK, 0.1, 0.0)
    assert (known.tally.at_once, lane.calls) == (1, 1)
