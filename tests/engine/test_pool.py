"""The pool of a run: how far it is opened, what it takes for the next one, and what results may weigh."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide import sizing
from autoexec.engine.pool import Pool
from autoexec.engine.ramp import HOLD_S, PREPARE_S, STEP_S
from autoexec.engine.run import State
from autoexec.engine.tracks import TrackState
from autoexec.records import Plan, WorkKind
from tests.engine.fakes import Act, Reply, made_up_machine, profile_of_a

ADAPTIVE = Plan("threads", 200, adaptive=True)
WAITS = profile_of_a(WorkKind.IO, items=0, partial=True)


def pool(act: Act) -> Pool:
    """The pool of a run."""
    found = act.run._pool
    assert found is not None
    return found


# Order, window, tasks ---------------------------------------------------------------------------------------

PLANS = st.builds(Plan, st.sampled_from(["threads", "asyncio"]), st.integers(1, 4), st.integers(1, 7))


@given(
    n=st.integers(0, 80),
    plan=PLANS,
    window=st.one_of(st.none(), st.integers(1, 30)),
    chunksize=st.one_of(st.none(), st.integers(1, 9)),
    ordered=st.booleans(),
    lazy=st.booleans(),
    picks=st.lists(st.integers(0, 7), min_size=1),
)
def test_order_window_and_tasks(
    n: int,
    plan: Plan,
    window: int | None,
    chunksize: int | None,
    ordered: bool,
    lazy: bool,
    picks: list[int],
) -> None:
    """Every item once, in order if asked; never more than the window, never tasks larger than asked."""
    act = Act(
        iter(range(n)) if lazy else range(n), plan, call=lambda x: -x,
        buffersize=window, chunksize=chunksize, ordered=ordered,
    )  # fmt: skip
    begun, delivered, order = 0, 0, itertools.cycle(picks)

    def end_one() -> None:
        nonlocal begun
        tasks = act.backend.tasks_out
        begun = sum(act.backend.sizes)
        assert window is None or begun - delivered <= window
        if tasks:  # else the consumer is to see the end of its iterator
            act.backend.run(tasks[next(order) % len(tasks)])
        act.meanwhile.append(end_one)

    act.meanwhile.append(end_one)
    found: list[int] = []
    act.begin()
    for value in act.results():
        found.append(value)
        delivered += 1
    expected = [-x for x in range(n)]
    assert (found if ordered else sorted(found, reverse=True)) == expected
    sizes = act.backend.sizes
    assert sum(sizes) == n and max(sizes, default=0) <= (chunksize or 10**6)
    assert window is None or max(sizes, default=0) <= window
    assert act.backend.closed


@given(n=st.integers(1, 40), bad=st.integers(0, 39), plan=PLANS)
def test_an_error_comes_after_what_was_before_it(n: int, bad: int, plan: Plan) -> None:
    """In order, exactly the results before the first bad item are delivered, then its error."""

    def call(x: int) -> int:
        if x >= bad:
            raise ValueError(x)
        return x

    act, found = Act(range(n), plan, call=call), list[int]()

    def end_last() -> None:
        act.backend.run(act.backend.tasks_out[-1])
        act.meanwhile.append(end_last)

    act.meanwhile.append(end_last)
    results = act.begin().results()
    raised: Exception | None = None
    try:
        found.extend(results)
    except ValueError as error:
        raised = error
    assert (raised is not None) == (bad < n)
    assert raised is None or raised.args == (bad,)
    assert raised is None or f"item {bad} ({bad})" in raised.__notes__[0]
    assert found == list(range(min(n, bad)))


def test_the_window_is_not_filled_beyond_what_is_delivered() -> None:
    """With nothing delivered, no more than the window is pulled from the input."""
    pulled: list[int] = []

    def source() -> Iterator[int]:
        for i in range(100):
            pulled.append(i)
            yield i

    act = Act(source(), Plan("threads", 2), buffersize=8).begin()
    act.take()
    assert len(pulled) == 8 and act.backend.out == [0, 1]
    act.take()
    assert len(pulled) == 8
    act.backend.end(0)
    act.take()
    assert len(pulled) == 9 and act.backend.out == [1, 2]


def test_a_stalled_consumer_stops_the_intake() -> None:
    """While nobody takes results, what is under way is bounded, on an input without end."""
    act = Act(itertools.count(), Plan("threads", 4), buffersize=20).begin()
    act.take()
    while act.backend.out:
        act.backend.end(act.backend.out[0])
    assert sum(act.backend.sizes) == 20
    assert act.take() == list(range(20))
    while act.backend.out:
        act.backend.end(act.backend.out[0])
    assert sum(act.backend.sizes) == 40


def test_other_threads_do_not_touch_the_iterator() -> None:
    """Workers get what was pulled ahead; the consumer alone pulls more."""
    source = iter(range(100))
    act = Act(source, Plan("threads", 50), buffersize=4).begin()
    act.take()
    assert act.backend.out == [0, 1, 2, 3]
    for item in range(4):
        act.backend.end(item)
    assert act.backend.out == [] and next(source) == 4


def test_a_slow_input_does_not_keep_results() -> None:
    """Results are delivered while a slow iterator still gives items, not when the window is full."""
    pulled: list[int] = []

    def source() -> Iterator[int]:
        for x in range(400):
            act.clock.go(0.02)
            pulled.append(x)
            for item in list(act.backend.out) if x >= 8 else ():
                act.backend.end(item)
            yield x

    act = Act(source(), Plan("threads", 2))
    results = act.begin().results()
    assert next(results) == 0
    assert len(pulled) < 20
    act.finish()


@pytest.mark.parametrize(
    ("more", "size"), [({}, 7), ({"journal": "j"}, 1), ({"journal": "j", "chunksize": 3}, 3)]
)
def test_a_journal_sends_items_one_by_one(more: dict[str, Any], size: int) -> None:
    """What is finished is to be kept at once, unless the caller asks for larger tasks."""
    act = Act(range(300), Plan("asyncio", 2, 7), profile_of_a(WorkKind.IO, wall_s=0.0028), call=str, **more)
    act.begin()
    for task in act.backend.tasks_out * 2:
        if task in act.backend.tasks_out:
            act.backend.end_task(task, seconds=0.0028 * len(task.items))
    assert set(act.backend.sizes[:4]) == {size}


@pytest.mark.parametrize(
    ("plan", "wall_s", "size"),
    [
        (Plan("threads", 2, 4), 0.001, 1),
        (Plan("threads", 2, 4), 0.0001, 4),
        (Plan("processes", 2, 4), 0.001, 4),
    ],
    ids=["threads", "short calls", "processes"],
)
def test_attended_calls_in_threads_go_one_by_one(plan: Plan, wall_s: float, size: int) -> None:
    """A host that asks to be left alone is not called for the rest of a task first."""
    pytest.importorskip("tenacity")
    act = Act(range(300), plan, profile_of_a(WorkKind.NATIVE, wall_s=wall_s, free_s=wall_s), retries=1)
    act.begin()
    assert act.backend.tasks_out and set(act.backend.sizes) == {size}


def test_tasks_grow_with_items_that_are_short() -> None:
    """Towards 20 ms each, four times as large at a time; towards the end they become smaller."""
    act = Act(range(10_000), Plan("asyncio", 2)).begin()
    for _ in range(40):
        task = act.backend.tasks_out[0]
        act.backend.end_task(task, seconds=1e-4 * len(task.items))
        act.take()
    assert 190 < max(act.backend.sizes) <= 200 and act.backend.sizes[2] <= 4
    act.finish()
    assert act.backend.sizes[-1] == 1


# Limits -----------------------------------------------------------------------------------------------------

ATTENDED = [{"per": str}, {"rate": "5/s"}, {"retries": 1}, {"on_error": "return"}, {"on_error": "skip"}]


def test_a_plain_plan_has_no_limits() -> None:
    """Nobody pays for what was not asked for."""
    act = Act(range(20), Plan("threads", 2)).begin()
    assert act.run.sink.limits is None and act.scheduler.queue.limits is None
    assert act.planner.places == [True]


def test_an_adaptive_plan_has_limits() -> None:
    """Somebody has to set the number of calls, even if single calls need no attention."""
    act = Act(range(100), ADAPTIVE, profile_of_a(WorkKind.IO, remaining=None)).begin()
    assert 1 <= len(act.backend.out) < 100 and act.limits.limit(act.clock.now) < 200
    assert set(act.backend.sizes) == {1}
    assert act.finish() == list(range(100))
    assert act.limits.metrics.calls == 100


@pytest.mark.parametrize("wishes", ATTENDED, ids=str)
def test_attended_calls_have_limits_that_leave_the_number_alone(wishes: dict[str, Any]) -> None:
    """How many run is a matter of the workers, or of a rate."""
    for extra, module in (("retries", "tenacity"), ("rate", "pyrate_limiter")):
        if extra in wishes:
            pytest.importorskip(module)
    act = Act(range(10), Plan("threads", 4), backend="auto", call=wait_for, **wishes).begin()
    assert act.limits.limit(act.clock.now) == 0 and not act.limits.full()
    assert len(act.backend.out) == (1 if "rate" in wishes else 4)


def test_what_was_measured_of_whole_items_sets_the_limits() -> None:
    """How much of a call holds the GIL; a first glance at a running one tells nothing of it."""
    figures = {"items": 3, "wall_s": 0.1, "held_s": 0.01, "free_s": 0.03, "wait_s": 0.06}
    sampled = Act(range(9), ADAPTIVE, profile_of_a(WorkKind.IO, **figures)).begin()
    assert sampled.limits.held_share == pytest.approx(0.25)
    glance = Act(range(9), ADAPTIVE, profile_of_a(WorkKind.IO, partial=True, **figures)).begin()
    assert glance.limits.held_share == 1.0


def test_without_a_gil_none_is_shared() -> None:
    """Calls that compute half of their time are then as many as others."""
    figures = {"items": 3, "wall_s": 0.02, "held_s": 0.01, "wait_s": 0.01}
    counts = {}
    for gil in (True, False):
        machine = made_up_machine(gil=gil)
        act = Act(range(100), ADAPTIVE, profile_of_a(WorkKind.MIXED, **figures), machine=machine).begin()
        act.wait(5.0)
        counts[gil] = len(act.backend.out)
    assert counts[True] <= 4 < counts[False]


def test_tasks_of_an_event_loop_tell_who_keeps_it_busy(caplog: pytest.LogCaptureFixture) -> None:
    """The first time it is logged, with the item; all of it is counted."""
    act = Act(["x", "y"], Plan("asyncio", 8, adaptive=True)).begin()
    for task in act.backend.tasks_out:
        act.planner.blocked(task, 0.5)
    assert act.limits.stats(0, act.clock.now).blocked_s == 1.0
    (record,) = caplog.records
    assert "(item 0)" in record.getMessage()


def test_more_gils_are_no_help_against_a_service_that_refuses() -> None:
    """After a refusal nobody looks for a queue any more."""
    act = Act(range(100), ADAPTIVE, backend="auto", call=wait_for).begin()
    looked = watched(act)
    pool(act).look()
    act.backend.end(0, Reply(429))
    pool(act).look()
    assert len(looked) == 1


async def wait_for(item: int) -> int:
    """An async function: none of its calls runs in the caller's thread."""
    return item


def watched(act: Act) -> list[tuple[int, int, int | None]]:
    """Have the pool's calls watched by somebody who only takes notes: begun, running, left."""
    looked: list[tuple[int, int, int | None]] = []

    class Watched:
        def due_s(self) -> float:
            return 0.001

        def first_runs(self, cpu_s: float, wait_s: float) -> None:
            pass

        def note(self, items: int, wall_s: float, cpu_s: float) -> None:
            pass

        def look(self, begun: int, running: int, profile: Any, left: int | None) -> None:
            looked.append((begun, running, left))

        def verdict(self, profile: Any) -> None:
            return None

    pool(act)._contention = Watched()  # type: ignore[assignment]
    return looked


def test_calls_are_counted() -> None:
    """Those that have begun, those of them that run, and what is left that could go elsewhere."""
    act = Act(range(10), Plan("threads", 2, adaptive=True), backend="auto", call=wait_for).begin()
    looked = watched(act)
    pool(act).look()
    act.backend.end(0)
    pool(act).look()
    assert looked == [(2, 2, 8), (3, 2, 7)]


@pytest.mark.parametrize("lazy", [False, True])
def test_nothing_is_left_when_all_is_out(lazy: bool) -> None:
    """Also of an input whose end nobody has seen yet: what may come is not there."""
    act = Act(iter(range(2)) if lazy else range(2), ADAPTIVE, backend="auto", call=wait_for).begin()
    act.scheduler.stock([] if not lazy else act.run.source.pull(2))
    looked = watched(act)
    pool(act).look()
    assert looked == [(2, 2, 0)]


@pytest.mark.parametrize(
    ("plan", "options"),
    [
        (Plan("threads", 4), {}),
        (Plan("asyncio", 200, adaptive=True), {}),
        (ADAPTIVE, {"backend": "processes"}),
        (ADAPTIVE, {"rate": 5.0}),
        (ADAPTIVE, {"item_timeout": 1.0}),
    ],
    ids=["computing", "asyncio", "a backend asked for", "rate", "item_timeout"],
)
def test_only_calls_that_may_leave_are_watched(plan: Plan, options: dict[str, Any]) -> None:
    """Others would gain nothing from it."""
    if "rate" in options:
        pytest.importorskip("pyrate_limiter")
    act = Act(range(10), plan, call=wait_for, **{"backend": "auto", **options})  # type: ignore[arg-type]
    made = Pool(act.run, plan, act.planner.profile)
    assert made._contention is None


# The window of calls that wait ------------------------------------------------------------------------------


def one_is_slow(act: Act, until: int) -> None:
    """All calls but the first end, as many as may begin, up to so many."""
    while len(act.backend.sizes) < until and len(act.backend.out) > 1:
        act.backend.end(act.backend.out[-1])


@pytest.mark.parametrize("lazy", [False, True])
def test_the_window_grows_while_one_call_is_slow(lazy: bool) -> None:
    """Calls whose times vary end far out of order: the slowest must not hold up thousands."""
    items: Any = iter(range(50_000)) if lazy else range(50_000)
    act = Act(items, ADAPTIVE).begin()
    act.take()
    one_is_slow(act, 5000)
    room = sum(act.backend.sizes)
    assert room == act.scheduler.room < 2000
    act.take()
    one_is_slow(act, 5000)
    assert sum(act.backend.sizes) == 2 * room
    for _ in range(8):
        act.take()
        one_is_slow(act, 50_000)
    assert sum(act.backend.sizes) == sizing.WAITING_WINDOW
    act.backend.end(0)
    assert len(act.take()) == sizing.WAITING_WINDOW


def test_large_results_keep_the_window_narrow() -> None:
    """What they weigh together counts; some of them are weighed."""
    act = Act(range(10_000), ADAPTIVE).begin()
    act.take()
    large, room = bytes(100_000), act.scheduler.room
    while len(act.backend.out) > 1:
        act.backend.end(act.backend.out[-1], large)
    act.take()
    assert sum(act.backend.sizes) == room == act.scheduler.room and len(act.backend.out) == 1


@pytest.mark.parametrize(
    ("plan", "wishes"), [(Plan("threads", 4), {}), (ADAPTIVE, {"buffersize": 50})], ids=["computing", "asked"]
)
def test_other_windows_stay_as_they_are(plan: Plan, wishes: dict[str, Any]) -> None:
    """Work that computes ends about in its order; and what the caller says holds."""
    act = Act(range(50_000), plan, **wishes).begin()
    act.take()
    room = act.scheduler.room
    one_is_slow(act, 5000)
    act.take()
    assert act.scheduler.room == room and act.scheduler.crammed()


# How far it is opened ---------------------------------------------------------------------------------------


def overlapped(n: int, *, waiting: bool = True, plan: Plan = ADAPTIVE) -> Act:
    """A run whose first call still runs in the caller's thread, while a pool is there for `n` others."""
    act = Act(range(n + 1), plan, WAITS, backend="auto")
    run = act.run
    run.go(State.SAMPLING, opens=run._here)
    assert act.scheduler.take_here(run._here, run._slot, 1) is not None
    made = run._pool = Pool(run, plan, WAITS)
    assert made.open(fork=False)
    run.go(State.OVERLAPPED, drains=run._here)
    made.narrow(waiting=waiting)
    made.begin()
    return act


@pytest.mark.parametrize(("n", "held"), [(64, False), (65, True), (200, True), (201, False)])
def test_the_first_call_goes_alone(n: int, held: bool) -> None:
    """Short runs do not wait for it to show itself, nor those of which some are left by then in any case."""
    act = overlapped(n)
    assert pool(act)._ramp.holds is held
    assert pool(act).track.allowed == (0 if held else 16)
    assert bool(act.backend.out) is not held


def test_what_was_taken_back_counts_as_left() -> None:
    """Items of the block that runs wait in the queue by then, not in the input."""
    act = Act(range(66), ADAPTIVE, WAITS, backend="auto")
    task = act.scheduler.take_here(act.run._here, act.run._slot, 66)
    assert task is None  # the caller's own track is not open yet
    act.run.go(State.SAMPLING, opens=act.run._here)
    task = act.scheduler.take_here(act.run._here, act.run._slot, 66)
    assert task is not None and len(task.items) == 66
    act.scheduler.give_back(act.run._slot, task, 1)
    made = Pool(act.run, ADAPTIVE, WAITS)
    made.narrow(waiting=True)
    assert made._ramp.holds


def test_threads_are_warm_when_the_others_may_go() -> None:
    """They start while the first calls wait; after a while all are let out."""
    act = overlapped(150)
    for _ in range(60):
        pool(act).tend(0.0, 0.001)
    assert len(act.backend.started) == 150
    assert act.backend.out == []
    act.clock.go(HOLD_S + STEP_S)
    pool(act).tend(0.0, 0.0)
    assert act.backend.out == [], "the first call has ended, and what it did will be told"
    pool(act).tend(0.0, HOLD_S)
    act.wait(5.0)
    assert len(act.backend.out) == 150


def test_a_narrow_pool_opens_step_by_step() -> None:
    """Where the only evidence is that one call waits."""
    act = overlapped(60)
    counts = []
    for _ in range(3):
        act.wait(1.0)
        counts.append(len(act.backend.out))
        pool(act).tend(0.0, 0.001)
    assert counts[0] <= 16 and counts == sorted(counts)
    pool(act).open_up()
    act.wait(5.0)
    assert len(act.backend.out) == 60


def test_a_pool_for_what_computes_leaves_a_core_to_the_caller() -> None:
    """Its thread is inside an item, and keeps a core busy."""
    act = overlapped(60, waiting=False, plan=Plan("threads", 4))
    assert len(act.backend.out) == act.planner.machine.usable - 1
    pool(act).open_up()
    assert len(act.backend.out) == 4


def test_there_is_time_to_prepare() -> None:
    """Only while the first calls have been waiting for a while."""
    act = overlapped(150)
    pool(act).tend(0.0, 0.001)
    assert act.planner.prepared == 0
    act.clock.go(PREPARE_S + STEP_S)
    pool(act).tend(0.0, 0.01)
    assert act.planner.prepared == 1
    pool(act).tend(0.002, 0.01)
    assert act.planner.prepared == 1


def test_looks_come_often_while_it_is_narrow() -> None:
    """And with the age of the calls afterwards."""
    act = overlapped(150)
    assert pool(act).tend(0.0, 0.001) == STEP_S
    act.clock.go(HOLD_S + STEP_S)
    assert pool(act).tend(0.0, HOLD_S + STEP_S) > STEP_S


# Opening ----------------------------------------------------------------------------------------------------


def test_limits_and_window_are_the_old_ones_until_it_begins() -> None:
    """A pool that may never be used changes nothing for the one that works."""
    act = Act(range(50_000), ADAPTIVE).begin()
    room, limit = act.scheduler.room, act.limits.limit(act.clock.now)
    spare = Pool(act.run, Plan("processes", 2, 500), profile_of_a(WorkKind.PYTHON))
    assert spare.open(fork=False)
    assert act.scheduler.room == room and act.limits.limit(act.clock.now) == limit
    spare.begin()
    assert act.scheduler.room > room and act.limits.limit(act.clock.now) == 0


@pytest.mark.parametrize("error", [OSError("no processes"), RuntimeError("no threads")], ids=repr)
def test_a_pool_that_cannot_be_opened_says_why(error: Exception) -> None:
    """Its track has failed, and gets no tasks."""
    act = Act(range(9), ADAPTIVE)
    act.planner.refuse["processes"] = error
    made = Pool(act.run, Plan("processes", 2), profile_of_a(WorkKind.PYTHON))
    assert not made.open(fork=True)
    assert made.track.state is TrackState.FAILED and made.track.error is error
