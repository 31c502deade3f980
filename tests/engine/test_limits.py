"""What a run knows of the other side, group by group, under made-up times."""

from __future__ import annotations

import gc
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.answers import Answer, judge_error, judge_value
from autoexec.decide.concurrency import Controller
from autoexec.engine.host_counts import HOSTS, OTHERS
from autoexec.engine.host_limits import LONGEST_PAUSE_S, Group
from autoexec.engine.limits import IDLE, Limits
from autoexec.engine.verdict import Response
from autoexec.errors import Refused, WorkerDied
from autoexec.options import resolve
from autoexec.records import Ending
from autoexec.statistics import Failures

OK = Answer(Ending.OK)
NOW = 1000.0


class Reply:
    """A response as HTTP libraries return them."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class HTTPError(Exception):
    """An error that carries a response."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.response = Reply(status, **headers)


def limits(cap: int = 0, *, gil: bool = True, **wishes: Any) -> Limits:
    """The limits of a run with these options."""
    made = Limits(resolve(wishes), gil=gil)
    if cap:
        made.adapt(cap, None, None, 0.0)
    return made


def call(known: Limits, group: Group, now: float, answer: Answer = OK, seconds: float = 0.1) -> None:
    """One call from begin to end."""
    ticket = known.begin(group, now)
    known.end(group, ticket, now + seconds, answer, seconds, 0.0)


def visit(known: Limits, name: str, now: float, answer: Answer = OK) -> Group:
    """One call to a host that has no other, from its name to its end."""
    group = known.group(name)
    assert group.wait_s(now) == 0.0
    call(known, group, now, answer, seconds=0.0)
    known.forget(group)
    return group


# Names --------------------------------------------------------------------------------------------------


def test_items_find_their_group() -> None:
    """By their URL unless `per=` says otherwise; arguments count by the first of them."""
    assert limits().name_of("https://a.org/x") == "a.org"
    assert limits().name_of(("https://a.org/x", 3), star=True) == "a.org"
    assert limits().name_of(3) == ""
    assert limits(per=lambda x: x % 2).name_of(3) == "1"
    assert limits(per=lambda x, y: y).name_of((3, "b"), star=True) == "b"
    assert limits(per="shop").name_of({"shop": "c"}) == "c"


def test_some_names_need_no_code_of_the_users() -> None:
    """Only then they are told at once; with `per=`, and for objects of any class, never."""
    known = limits()
    for item in ("https://a.org/x", ("https://a.org/x", 3), 3, None, b"x"):
        assert known.quick_name(item) == known.name_of(item)
    assert known.quick_name(Reply(200)) is None
    assert limits(per="status_code").quick_name("https://a.org/x") is None
    with pytest.raises(ZeroDivisionError):
        limits(per=lambda x: 1 / x).name_of(0)


def test_a_name_has_one_group() -> None:
    """The same name gives the same group; groups do not share their limits."""
    known = limits(cap=4, retries=1)
    a, b = known.group("a"), known.group("b")
    assert known.group("a") is a is not b
    assert a.limiter is not b.limiter and a.budget is not b.budget
    assert (a.name, a.listed, a.alarm, len(a.tasks)) == ("a", False, math.inf, 0)


# How many at once -----------------------------------------------------------------------------------------


def test_without_options_nothing_holds_a_call() -> None:
    """Neither limit nor rate nor budget: the backend decides."""
    known = limits()
    group = known.group("a")
    assert (group.limiter, group.gate, group.budget) == (None, None, None)
    assert group.wait_s(NOW) == 0.0
    assert known.begin(group, NOW) is None
    assert group.in_flight == 1 and not known.full() and known.limit(NOW) == 0


def test_groups_that_were_there_before_are_adapted_too() -> None:
    """A group from the time before the plan gets its limit with the plan; calls under way end as ever."""
    known = limits()
    group = known.group("a")
    early = known.begin(group, NOW)
    known.adapt(3, None, None, 0.0)
    assert group.limiter is not None and known.limit(NOW) == 3
    known.end(group, early, NOW + 0.1, OK, 0.1, 0.0)
    assert (group.in_flight, group.limiter.in_flight) == (0, 0)


def test_before_the_first_group_a_limit_is_known() -> None:
    """As wide as a new host would be met."""
    assert limits(cap=3).limit(NOW) == 3
    assert 1 < limits(cap=100).limit(NOW) < 100


def test_the_cap_holds_over_all_groups() -> None:
    """Two groups together may not have more calls than the cap."""
    known = limits(cap=3)
    a, b = known.group("a"), known.group("b")
    for group in (a, b, a):
        assert not known.full()
        known.begin(group, NOW)
    assert known.full() and (a.in_flight, b.in_flight) == (2, 1)
    known.cancel(a, None, NOW)
    assert not known.full() and a.in_flight == 1


def test_the_gil_bounds_all_groups_together() -> None:
    """Calls that hold the GIL half of their time: some three of them, wherever they go; not without a GIL."""
    for gil, most in ((True, 3), (False, 100)):
        known = limits(gil=gil)
        known.adapt(100, None, 0.02, 0.01)
        groups, begun = [known.group(f"{number}.org") for number in range(25)], 0
        for group in groups * 4:
            if not known.full() and group.wait_s(NOW) == 0.0:
                known.begin(group, NOW)
                begun += 1
        assert begun == (4 if gil else most)


def test_what_calls_hold_of_the_gil_is_learned() -> None:
    """From the CPU time of their threads, as far as that holds the GIL: then there is room for few."""
    for share, gil in ((1.0, True), (0.0, True), (1.0, False)):
        known = limits(cap=100, gil=gil)
        known.held_share = share
        group = known.group("a.org")
        for step in range(300):
            ticket = known.begin(group, NOW + step)
            known.end(group, ticket, NOW + step + 0.5, OK, 0.5, 0.4)
        bound = share == 1.0 and gil
        assert (known.limit(NOW + 400) <= 3) == bound
        assert group.limiter is not None and group.limiter.reason.startswith("the GIL") == bound


def test_a_profile_that_comes_late() -> None:
    """The first item ends when others are under way: what it held bounds them, known or new."""
    known = limits(cap=100)
    before = known.group("a.org")
    known.profiled(0.02, 0.01)
    assert before.limiter is not None and before.limiter.limit(NOW) == 3
    assert known.group("b.org").limiter.limit(NOW) == 3  # type: ignore[union-attr]


def test_the_number_of_items_counts_for_one_host_only() -> None:
    """A short run goes to its only host at once; how many items a second one has, nobody knows."""
    known = limits()
    known.adapt(256, 60, 0.1, 0.0)
    first, second = known.group("a.org"), known.group("b.org")
    for group in (first, second):
        known.begin(group, NOW)
    assert first.limiter is not None and first.limiter.limit(NOW + 0.1) == 64
    assert second.limiter is not None and second.limiter.limit(NOW + 0.1) < 64


def test_a_full_group_waits_for_an_end() -> None:
    """Only the end of a call makes room."""
    known = limits(cap=1)
    group = known.group("a")
    assert group.wait_s(NOW) == 0.0
    ticket = known.begin(group, NOW)
    assert group.wait_s(NOW + 0.01) == math.inf
    known.end(group, ticket, NOW + 0.02, OK, 0.02, 0.0)
    assert group.wait_s(NOW + 0.03) == 0.0


def test_an_opening_says_when_to_look_again() -> None:
    """A group that is full now has room some milliseconds later."""
    known = limits(cap=100)
    group = known.group("a")
    begun = 0
    while not (wait := group.wait_s(NOW)):
        known.begin(group, NOW)
        begun += 1
    assert 0 < wait < 1.0 and begun == 4
    assert group.wait_s(NOW + wait + 1e-6) == 0.0


def test_a_call_that_did_not_begin_gives_its_place_back() -> None:
    """It counts as no call."""
    known = limits(cap=1)
    group = known.group("a")
    known.cancel(group, known.begin(group, NOW), NOW)
    assert group.wait_s(NOW) == 0.0 and group.counts.calls == 0 == group.in_flight
    assert known.metrics.at_once == 0


def test_limits_may_be_let_go() -> None:
    """When calls run elsewhere, nothing bounds how many; those that began before end as ever."""
    known = limits(cap=2)
    group = known.group("a")
    ticket = known.begin(group, NOW)
    known.begin(group, NOW)
    assert known.full()
    known.let_go()
    assert not known.full() and known.limit(NOW) == 0
    assert group.wait_s(NOW) == 0.0
    known.end(group, ticket, NOW + 0.1, OK, 0.1, 0.0)
    assert (known.metrics.at_once, group.in_flight, group.counts.calls) == (1, 1, 1)


def test_a_call_from_before_says_nothing_to_a_later_limit() -> None:
    """Let go and adapted again: the new limit counts only the calls that it let begin."""
    known = limits(cap=8)
    group = known.group("a")
    old = known.begin(group, NOW)
    known.let_go()
    known.adapt(8, None, None, 0.0)
    new = known.begin(group, NOW)
    assert group.limiter is not None and group.limiter.in_flight == 1
    known.end(group, old, NOW + 0.1, OK, 0.1, 0.0)
    assert group.limiter.in_flight == 1
    known.cancel(group, new, NOW + 0.1)
    assert (group.limiter.in_flight, group.in_flight) == (0, 0)


# Pauses and rates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", [1, 30, int(LONGEST_PAUSE_S)])
@pytest.mark.parametrize("cap", [0, 4])
def test_a_pause_is_waited_for(wish: int, cap: int) -> None:
    """A `Retry-After` up to ten minutes holds the group for as long, and counts as waiting."""
    known = limits(cap=cap)
    group = known.group("a")
    call(known, group, NOW, judge_error(HTTPError(429, Retry_After=str(wish)), 0.0), seconds=0.0)
    assert group.wait_s(NOW) == pytest.approx(wish)
    assert group.wait_s(NOW + wish - 0.5) == pytest.approx(0.5)
    assert group.closed is None
    assert group.wait_s(NOW + wish + 30) == 0.0
    assert group.counts.waited_s == pytest.approx(wish + 30)
    assert known.group("b").wait_s(NOW) == 0.0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """The latest end counts."""
    group = limits().group("a")
    group.obey(10.0, NOW)
    group.obey(2.0, NOW + 1)
    assert group.wait_s(NOW + 1) == pytest.approx(9.0)


def test_a_pause_outlives_a_change_of_plan() -> None:
    """Adapted while it lasts, a group is still left alone, and then not met with all calls at once."""
    known = limits()
    group = known.group("a")
    group.obey(10.0, NOW)
    known.adapt(8, None, None, 0.0)
    assert group.wait_s(NOW + 9) == pytest.approx(1.0)
    assert group.limiter is not None and group.limiter.limit(NOW + 10) == 1


@pytest.mark.parametrize("wish", ["601", str(7 * 24 * 3600)])
def test_who_asks_for_too_long_is_left_alone(wish: str) -> None:
    """The host is closed; the error of its items says for how long it asked, and what was allowed."""
    known = limits(retries=3)
    group = known.group("a.org")
    answer = judge_value(Reply(503, Retry_After=wish), 0.0)
    call(known, group, NOW, answer)
    assert group.closed == float(wish)
    error = group.refusal()
    assert isinstance(error, Refused)
    assert "a.org" in str(error) and "600 s" in str(error) and "Retry-After" in str(error)
    assert "a.org asked to be left alone" in (known.may_retry(group, answer) or "")


@pytest.mark.parametrize("wish", ["soon", "-3", "", "99999999999999999999999"])
def test_nonsense_does_not_stop_the_run(wish: str) -> None:
    """What no date and no seconds can be read from, pauses nothing; what is endless closes the host."""
    known = limits()
    group = known.group("a")
    call(known, group, NOW, judge_error(HTTPError(429, Retry_After=wish), 0.0))
    assert (group.closed is not None) == wish.startswith("9")
    assert group.wait_s(NOW + 1) == 0.0 or group.closed is not None


def test_the_rate_comes_after_the_limit() -> None:
    """A call that has no place uses up nothing of the rate."""
    pytest.importorskip("pyrate_limiter")
    known = limits(cap=1, rate="1/s", burst=1)
    group = known.group("a")
    ticket = known.begin(group, NOW)
    assert [group.wait_s(NOW + 0.001 * step) for step in range(3)] == [math.inf] * 3
    known.end(group, ticket, NOW + 0.1, OK, 0.1, 0.0)
    assert group.wait_s(NOW + 0.1) == 0.0
    assert 0.9 < group.wait_s(NOW + 0.1) <= 1.0


# Once more? -----------------------------------------------------------------------------------------------


def test_the_budget_is_spent_and_earned() -> None:
    """A hundred retries to start with, then as many as good answers allow; a note tells of the end."""
    pytest.importorskip("tenacity")
    known = limits(retries=9, retry_budget=0.5)
    group = known.group("a")
    broken = judge_error(ConnectionError(), 0.0)
    assert [known.may_retry(group, broken) for _ in range(100)] == [None] * 100
    assert known.may_retry(group, broken) == "not tried again: the retry budget of this host is used up"
    for _ in range(2):
        call(known, group, NOW)
    assert known.may_retry(group, broken) is None
    assert known.may_retry(group, broken) is not None
    assert known.stats(0, NOW).retries == group.counts.retries == 101


def test_a_refusal_that_says_when_costs_no_budget() -> None:
    """Whoever asks for a pause is protected by it."""
    pytest.importorskip("tenacity")
    known = limits(retries=9, retry_budget=0)
    group = known.group("a")
    told = judge_error(HTTPError(429, Retry_After="1"), 0.0)
    assert not any(known.may_retry(group, told) for _ in range(300))
    assert known.may_retry(group, judge_error(HTTPError(429), 0.0)) is None


def test_delays_ask_the_users_policy() -> None:
    """Without one, and without an error, nothing runs again."""
    tenacity = pytest.importorskip("tenacity")
    broken = judge_error(ConnectionError(), 0.0)
    assert limits().delay(1, NOW, ConnectionError(), broken, NOW) is None
    policy = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(2),
        wait=tenacity.wait_fixed(7),
        retry=tenacity.retry_if_exception_type(KeyError),
    )
    known = limits(retries=policy)
    assert known.delay(1, NOW, KeyError(), OK, NOW) == 7.0
    assert known.delay(1, NOW, ConnectionError(), broken, NOW) is None
    assert known.delay(1, NOW, None, OK, NOW) is None
    assert known.delay(2, NOW, KeyError(), OK, NOW) is None


def test_delays_of_what_is_no_error_of_theirs() -> None:
    """A response that was returned counts by its status; after a worker's death a fresh one is there."""
    tenacity = pytest.importorskip("tenacity")
    known = limits(retries=tenacity.Retrying(stop=tenacity.stop_after_delay(9), wait=tenacity.wait_fixed(7)))
    busy = judge_value(Reply(503), 0.0)
    assert known.delay(1, NOW, Response("answer 503"), busy, NOW + 8) == 7.0
    assert known.delay(1, NOW, Response("answer 503"), busy, NOW + 9) is None
    died = WorkerDied("killed")
    assert known.delay(1, NOW, died, judge_error(died, 0.0), NOW) == 0.0


# What came of it ------------------------------------------------------------------------------------------


def test_counts_group_by_group() -> None:
    """Calls, refusals and errors stand apart for each host and together for the run."""
    known = limits(cap=8)
    a, b = known.group("a"), known.group("b")
    for answer in (OK, OK, judge_error(KeyError(), 0.0), judge_error(HTTPError(429), 0.0)):
        call(known, a, NOW, answer)
    call(known, b, NOW, judge_error(TimeoutError(), 0.0))
    stats = known.stats(3, NOW)
    assert (stats.items, stats.calls, stats.refusals, stats.errors, stats.at_once) == (3, 5, 1, 2, 0)
    first, second = stats.hosts
    assert (first.host, first.calls, first.refusals, first.errors) == ("a", 4, 1, 1)
    assert (second.host, second.calls, second.errors) == ("b", 1, 1)
    assert first.limit >= 1 and first.reason
    known.let_go()
    assert [(host.limit, host.reason) for host in known.stats(3, NOW).hosts] == [(0, "")] * 2


def test_a_task_of_several_items_counts_each() -> None:
    """`also` adds the other items of a task without another place."""
    known = limits(cap=2)
    group = known.group("a")
    call(known, group, NOW)
    known.also(group, NOW, judge_error(KeyError(), 0.0), 0.1)
    assert (known.metrics.calls, known.metrics.errors, known.metrics.at_once) == (2, 1, 0)
    assert (group.counts.calls, group.counts.errors, group.in_flight) == (2, 1, 0)


def test_a_blocked_loop_is_told_once() -> None:
    """The first time there is a warning with advice; all of it is counted."""
    known = limits()
    warning = known.blocked("crunch (item 3)", 0.2)
    assert warning is not None and "crunch (item 3) computed for 200 ms" in warning
    assert "asyncio.to_thread" in warning
    assert known.blocked("crunch (item 4)", 0.3) is None
    assert known.stats(0, NOW).blocked_s == pytest.approx(0.5)


def test_failures_have_a_kind_and_a_host() -> None:
    """An error, or the words for its kind."""
    known = limits()
    known.failed(HTTPError(404), "a.org")
    known.failed("HTTPError 404", "a.org")
    assert known.stats(0, NOW).failures == (Failures("HTTPError 404", "a.org", 2),)


# Hosts that are done with ---------------------------------------------------------------------------------


def test_a_host_that_is_done_with_is_forgotten() -> None:
    """Once as many others came after it; if it comes back, all begins afresh but its counts."""
    known = limits(cap=100, retries=1)
    gone = visit(known, "a.org", NOW)
    for number in range(IDLE):
        visit(known, f"{number}.org", NOW + 1)
    last_seen = known.stats(0, NOW + 1).hosts[0]
    assert last_seen.host == "a.org" and last_seen.limit >= 1 and last_seen.reason
    back = known.group("a.org")
    assert back is not gone and back.limiter is not gone.limiter
    call(known, back, NOW + 2)
    rows = {host.host: host for host in known.stats(0, NOW + 2).hosts}
    assert rows["a.org"].calls == 2 and rows["0.org"].calls == 1
    assert list(rows) == ["a.org", *(f"{number}.org" for number in range(IDLE))]


def test_a_host_whose_next_item_is_late_is_not_forgotten() -> None:
    """What was learned, and the budget that was spent, outlast a moment without an item."""
    known = limits(cap=8, retries=1)
    group = visit(known, "a.org", NOW)
    for number in range(IDLE - 1):
        visit(known, f"{number}.org", NOW + 1)
    assert known.group("a.org") is group
    for number in range(IDLE):
        visit(known, f"more{number}.org", NOW + 2)
    assert known.group("a.org") is group, "it has work again"


def test_forgetting_twice_is_forgetting_once() -> None:
    """A group that went does not take the new one of its name with it."""
    known = limits(cap=8)
    gone = visit(known, "a.org", NOW)
    for number in range(IDLE):
        visit(known, f"{number}.org", NOW + 1)
    back = known.group("a.org")
    known.forget(gone)
    for number in range(IDLE + 1):
        visit(known, f"more{number}.org", NOW + 2)
    assert known.group("a.org") is back


def test_a_pause_is_not_forgotten() -> None:
    """A host that asked to be left alone for 30 s stays known for so long, and goes then."""
    known = limits(cap=8)
    paused = visit(known, "a.org", NOW, judge_error(HTTPError(429, Retry_After="30"), 0.0))
    for number in range(3 * IDLE):
        visit(known, f"{number}.org", NOW + 1)
    back = known.group("a.org")
    assert back is paused and back.limiter is not None
    assert back.wait_s(NOW + 10) == pytest.approx(20.0)
    known.forget(back)
    for number in range(IDLE):
        visit(known, f"again{number}.org", NOW + 20)
    visit(known, "late.org", NOW + 31)
    assert known.stats(0, NOW + 31).hosts[0].reason == "paused for 10 s by Retry-After", "as last seen"
    assert known.group("a.org") is not paused


def test_a_closed_host_is_never_forgotten() -> None:
    """Its items are not called in this run, however late they come."""
    known = limits(cap=8)
    closed = visit(known, "a.org", NOW, judge_error(HTTPError(429, Retry_After="9999"), 0.0))
    for number in range(3 * IDLE):
        visit(known, f"{number}.org", NOW + 20_000 * number)
    assert known.group("a.org") is closed and closed.closed == 9999.0


def test_a_rate_is_not_forgotten() -> None:
    """A host that comes back meets its rate where it left it."""
    pytest.importorskip("pyrate_limiter")
    known = limits(rate="1/min", burst=2)
    for _ in range(2):
        first = visit(known, "a.org", NOW)
    for number in range(2 * IDLE):
        visit(known, f"{number}.org", NOW + 1)
    assert known.group("a.org") is first
    assert first.wait_s(NOW + 2) == pytest.approx(58.0)
    known.forget(first)
    for number in range(2 * IDLE):
        visit(known, f"late{number}.org", NOW + 121)
    assert known.group("a.org") is not first


def crawl(known: Limits, hosts: int, since: float) -> None:
    """One page of each of so many hosts."""
    for number in range(hosts):
        visit(known, f"{since}/{number}.org", since + number * 0.01)


def test_thousands_of_hosts_cost_no_more_memory_than_some() -> None:
    """Whatever is known of single hosts is bounded, and so is the memory; all calls are counted."""
    known = limits(cap=256, retries=2)
    crawl(known, 3 * HOSTS, NOW)
    tracemalloc.start()
    try:
        crawl(known, 2 * HOSTS, NOW + 100)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        crawl(known, 2 * HOSTS, NOW + 200)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 150_000  # a host with its group costs 4 kB: 600 kB more would be 150 of 2000
    assert sum(type(thing) is Controller for thing in gc.get_objects()) < 20 * IDLE
    assert len(known._groups) == IDLE
    rows = known.stats(0, NOW + 300).hosts
    assert len(rows) == HOSTS + 1 and rows[-1].host == OTHERS
    assert sum(row.calls for row in rows) == known.metrics.calls == 7 * HOSTS


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "end", "cancel", "forget", "adapt", "let_go", "profiled"]),
        st.integers(0, 60),
        st.sampled_from([OK, Answer(Ending.ERROR), Answer(Ending.TIMEOUT), Answer(Ending.REFUSED, 429, 3.0)]),
        st.floats(0.0, 5.0),
    ),
    max_size=200,
)


@given(ACTS)
def test_whatever_happens_all_calls_are_counted(acts: list[tuple[str, int, Answer, float]]) -> None:
    """Calls out are what began and did not end; counts by host sum up; who must wait is told for how long."""
    known, now = limits(), NOW
    out: list[tuple[Group, Any]] = []
    begun = ended = cancelled = 0
    for act, which, answer, wait in acts:
        now += wait
        if act == "begin" and not known.full():
            group = known.group(f"{which}.org")
            held = group.wait_s(now)
            assert held >= 0.0 and (held < math.inf or group.in_flight)
            if not held:
                out.append((group, known.begin(group, now)))
                begun += 1
        elif act in ("end", "cancel") and out:
            group, ticket = out.pop(which % len(out))
            if act == "end":
                known.end(group, ticket, now, answer, wait, 0.001)
                ended += 1
            else:
                known.cancel(group, ticket, now)
                cancelled += 1
            if all(other is not group for other, _ in out):
                known.forget(group)
        elif act == "adapt":
            known.adapt(1 + which, None, wait or None, 0.0)
        elif act == "let_go":
            known.let_go()
        elif act == "profiled":
            known.profiled(wait + 0.001, 0.0)
        assert known.metrics.at_once == len(out) == begun - ended - cancelled
        assert all(group.in_flight == sum(g is group for g, _ in out) for group, _ in out)
        assert 0 <= known.limit(now) <= 61
    stats = known.stats(0, now)
    assert sum(host.calls for host in stats.hosts) == stats.calls == ended
