"""Behind the executor: routes, learning, limits, calls that wait for calls, and the end; by made-up plans."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any

import pytest

from autoexec.engine.submit import LEARN_CALLS, MORE, STUCK_S, Helping, Submissions, identity
from autoexec.engine.tracks import TrackState
from autoexec.errors import WorkerDied
from autoexec.options import resolve
from autoexec.records import Plan, WorkKind
from autoexec.worker.invoke import CallSpec, Task, serving
from tests.engine.fakes import (
    FakeBackend,
    FakeClock,
    FakeMonitor,
    FakePlanner,
    HTTPError,
    pass_time,
    profile_of_a,
)
from tests.forking import in_child

PATIENCE_S = 30.0


class House:
    """The calls of an executor that plans and measures nothing.

    Args:
        plan: of calls that are planned.
        kind: of what they do.
        wishes: options; without a backend among them functions are learned first.

    Attributes:
        doubts: how often each monitor says that a plan needs a proof.
        closed: whether it has told that all is done.
    """

    def __init__(
        self,
        plan: Plan | None = None,
        kind: WorkKind = WorkKind.IO,
        clock: FakeClock | None = None,
        **wishes: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.planner = FakePlanner(plan or Plan("threads", 2), profile_of_a(kind, items=5))
        self.monitors: list[FakeMonitor] = []
        self.doubts = 0
        self.closed = False
        self.submissions = Submissions(
            resolve(wishes),
            lambda submissions: setattr(self, "closed", True),
            clock=self.clock,
            planner=lambda *args, facts=None: self.planner,  # type: ignore[arg-type,return-value]
            monitor=self._monitor,  # type: ignore[arg-type]
        )
        self.scheduler = self.submissions.scheduler

    def _monitor(self, *args: Any) -> FakeMonitor:
        self.monitors.append(FakeMonitor(*args))
        self.monitors[-1].doubts = self.doubts
        return self.monitors[-1]

    @property
    def backends(self) -> list[FakeBackend]:
        """Those that were opened."""
        return self.planner.opened

    @property
    def out(self) -> list[Any]:
        """The first arguments of the calls that run at the backend that was opened last."""
        return [call_of(task)[1][0] for task in self.backends[-1].tasks_out]

    def submit(self, func: Callable[..., Any], *args: Any) -> Any:
        """Submit a call."""
        return self.submissions.submit(func, args, {})

    def run(self, count: int = 1) -> None:
        """The calls that came first end, one after the other."""
        for _ in range(count):
            self.backends[-1].run(self.backends[-1].tasks_out[0])

    def learn(self, func: Callable[..., Any]) -> None:
        """Have a function planned: by then as many calls have run as it takes at most."""
        futures = [self.submit(func, 1) for _ in range(LEARN_CALLS)]
        self.planned(func)
        while not all(future.done() for future in futures):
            self.run()

    def planned(self, func: Callable[..., Any]) -> None:
        """Wait until a function is planned, and all of its calls that waited have moved."""
        assert self.planner.asked_to_open.wait(PATIENCE_S)
        self.submissions._functions[identity(func)].close()

    def close(self) -> None:
        """All ends well, and is over."""
        for backend in self.backends:
            while backend.tasks_out:
                backend.run(backend.tasks_out[0])
        self.submissions.close(wait=True)


def call_of(task: Any) -> Any:
    """Function, arguments and keyword arguments of a task."""
    return task.items[0]


@pytest.fixture
def houses() -> Iterator[Callable[..., House]]:
    """Makes some, and closes them."""
    made: list[House] = []

    def make(*args: Any, **wishes: Any) -> House:
        made.append(House(*args, **wishes))
        return made[-1]

    yield make
    for house in made:
        house.close()


Houses = Callable[..., House]

# Routes -----------------------------------------------------------------------------------------------------


def test_a_backend_that_was_asked_for_is_the_route(houses: Houses) -> None:
    """From the first call on; one for all functions."""
    house = houses(Plan("processes", 2), backend="processes")
    futures = [house.submit(abs, -1), house.submit(str, 2), house.submit(abs, -3)]
    assert sorted(house.out) == [-1, 2] and len(house.backends) == 1
    house.run(3)
    assert [future.result(0) for future in futures] == [1, "2", 3]


def test_errors_belong_to_their_futures(houses: Houses) -> None:
    """Nothing else ends with them."""
    house = houses(Plan("processes", 2), backend="processes")
    bad, good = house.submit(int, "x"), house.submit(int, "7")
    house.run(2)
    assert isinstance(bad.exception(0), ValueError) and good.result(0) == 7


def test_max_workers_holds_over_all_routes(houses: Houses) -> None:
    """Async calls and others together."""

    async def call(x: int) -> int:
        return x

    house = houses(Plan("asyncio", 8), backend="auto", max_workers=2, item_timeout=60.0)
    house.submit(call, 1)
    house.planner.planned = Plan("threads", 8)
    futures = [house.submit(abs, x) for x in (2, 3)]
    assert [[call_of(task)[1][0] for task in backend.tasks_out] for backend in house.backends] == [[1], [2]]
    house.backends[0].end_task(house.backends[0].tasks_out[0], 1)
    assert house.out == [2, 3]
    house.run(2)
    assert [future.result(0) for future in futures] == [2, 3]


def test_a_function_is_learned_and_then_sent_where_it_belongs(houses: Houses) -> None:
    """Its first calls run in a thread that is watched; what waits by then moves."""
    house = houses(Plan("processes", 2))
    house.learn(abs)
    assert [backend.tasks_out for backend in house.backends] == [[]]
    assert {name: plan.backend for name, plan in house.submissions.describe().items()} == {"abs": "processes"}
    future = house.submit(abs, -5)
    assert house.out == [-5]
    house.run()
    assert future.result(0) == 5


def test_what_gains_nothing_runs_in_threads_all_the_same(houses: Houses) -> None:
    """Nobody waits for an executor's call in the caller's thread; and calls may wait for each other."""
    house = houses(Plan("serial"), WorkKind.TINY)
    house.learn(abs)
    plan = house.submissions.describe()["abs"]
    assert (plan.backend, plan.max_workers) == ("threads", 64)


def test_a_route_that_cannot_be_opened_is_done_without(houses: Houses) -> None:
    """No processes are to be had: the calls run in threads."""
    house = houses(Plan("processes", 2))
    house.planner.refuse["processes"] = OSError("no processes here")
    house.learn(abs)
    future = house.submit(abs, -5)
    house.run()
    assert future.result(0) == 5
    (route,) = house.submissions._routes.values()
    assert route.plan.backend == "threads" and "no processes can be started" in route.plan.reason


def test_a_backend_that_was_asked_for_and_cannot_be_opened_raises(houses: Houses) -> None:
    """At `submit`."""
    house = houses(Plan("processes", 2), backend="processes")
    house.planner.refuse["processes"] = OSError("no processes here")
    with pytest.raises(OSError, match="no processes here"):
        house.submit(abs, 1)


def test_a_machine_that_cannot_be_asked_breaks_nothing(houses: Houses) -> None:
    """The function's calls go on where they are, and it is planned when that is possible again."""
    house = houses(Plan("processes", 2))
    plan, works = house.planner.plan, threading.Event()

    def fails_at_first(*args: Any, **more: Any) -> Any:
        if not works.is_set():
            raise OSError("too many open files")
        return plan(*args, **more)

    house.planner.plan = fails_at_first  # type: ignore[method-assign]
    futures = [house.submit(abs, 1) for _ in range(LEARN_CALLS)]
    assert all(future.result(PATIENCE_S) == 1 for future in futures)
    assert house.submissions.describe() == {}
    works.set()
    assert house.submit(abs, 1).result(PATIENCE_S) == 1
    house.planned(abs)
    assert house.submissions.describe()["abs"].backend == "processes"


def test_a_plan_in_doubt_is_made_again_after_the_next_call(houses: Houses) -> None:
    """On a crowded machine the GIL seems free: while others wait, calls have to prove it first."""
    house = houses(Plan("processes", 2))
    house.doubts, plan = 2, house.planner.plan
    go, made = threading.Event(), 0

    def planned(*args: Any, **more: Any) -> Any:
        nonlocal made
        made += 1
        return plan(*args, **more)

    house.planner.plan = planned  # type: ignore[method-assign]
    futures = [house.submit(go.wait, PATIENCE_S) for _ in range(LEARN_CALLS + 5)]
    go.set()
    house.planned(go.wait)
    assert made == 3
    while not all(future.done() for future in futures):
        house.run()


def test_calls_of_a_route_that_fails_go_another_way(houses: Houses) -> None:
    """Its workers are all gone: what waits, and what they had not begun, runs in threads."""
    house = houses(Plan("processes", 2))
    house.learn(abs)
    futures = [house.submit(abs, -x) for x in range(4)]
    processes = house.backends[-1]
    slot = next(iter(house.submissions._routes["processes"].track.slots))
    house.scheduler.failed(slot, OSError("no workers"))
    assert len(house.backends) == 2 and house.backends[-1] is not processes
    while house.backends[-1].tasks_out:
        house.run()
    assert [future.result(0) for future in futures] == [0, 1, 2, 3]


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_calls_of_a_backend_that_was_asked_for_fail_with_it(houses: Houses, backend: str) -> None:
    """They hear of it; nobody waits for ever, and nothing runs elsewhere."""
    house = houses(Plan(backend, 2), backend=backend)
    futures = [house.submit(abs, -x) for x in range(4)]
    slot = next(iter(next(iter(house.submissions._routes.values())).track.slots))
    house.scheduler.failed(slot, OSError("no workers"))
    for future in futures:
        with pytest.raises(RuntimeError, match="no workers"):
            future.result(0)
    assert len(house.backends) == 1


def test_the_same_function() -> None:
    """By its code, whatever holds it."""

    class Counter:
        def count(self) -> int:
            return 1

        def __call__(self) -> int:
            return 2

    def make() -> Callable[[], int]:
        return lambda: 3

    assert identity(make()) == identity(make()) != identity(lambda: 3)
    assert identity(Counter().count) == identity(Counter().count) == identity(Counter.count)
    assert identity(Counter()) == identity(Counter()) != identity(Counter().count)
    assert identity(abs) == identity(abs) != identity(len)


class Helped:
    """Stands for submissions that help: somebody else does the call meanwhile, or will tell of its end."""

    scheduler = None  # as in a thread that is no worker's

    def __init__(self, helped: bool) -> None:
        self.helped = helped

    def help(self, task: Task) -> bool:
        if self.helped:
            threading.Timer(0.01, task.future.set_result, ["done"]).start()
        else:
            task.future.set_result("done")
        return self.helped


@pytest.mark.parametrize("helped", [False, True], ids=["done by another", "told by another"])
def test_the_end_of_a_call_is_not_missed(helped: bool) -> None:
    """Whoever helps lets go of the future: nobody could be told just then, or somebody tells it later."""
    future: Future[str] = Future()
    task = Task(CallSpec(abs), 0, [1])
    task.future = future
    future._condition = Helping(Helped(helped), task)  # type: ignore[arg-type]
    assert future.result(PATIENCE_S if helped else 0.0) == "done"


# Limits -----------------------------------------------------------------------------------------------------


def test_what_is_asked_for_holds_over_all_functions(houses: Houses) -> None:
    """One rate for both."""
    pytest.importorskip("pyrate_limiter")
    house = houses(Plan("threads", 4), backend="threads", rate="2/s", burst=1)
    for func in (abs, str, abs):
        house.submit(func, 1)
    assert len(house.backends[-1].tasks_out) == 1
    pass_time(house.clock, house.scheduler, 0.51)
    assert len(house.backends[-1].tasks_out) == 2
    pass_time(house.clock, house.scheduler, 0.51)
    assert len(house.backends[-1].tasks_out) == 3


def test_calls_run_again(houses: Houses) -> None:
    """After their back-off; the future waits for that."""
    pytest.importorskip("tenacity")
    house = houses(Plan("threads", 4), backend="threads", retries=1)
    future = house.submit(abs, -1)
    task = house.backends[-1].tasks_out[0]
    house.backends[-1].end_task(task, HTTPError(503, Retry_After="5"))
    assert not future.done() and house.backends[-1].tasks_out == []
    pass_time(house.clock, house.scheduler, 600.0)
    house.run()
    assert future.result(0) == 1


def test_an_error_of_per_is_the_futures_own(houses: Houses) -> None:
    """The function is not called."""
    house = houses(Plan("threads", 4), backend="threads", per=lambda x: 1 // x)
    future = house.submit(abs, 0)
    assert isinstance(future.exception(0), ZeroDivisionError)
    assert not house.backends[-1].tasks_out


def test_calls_that_take_too_long_are_given_up(houses: Houses) -> None:
    """`ItemTimeout` stands for them, and their place is free."""
    house = houses(Plan("threads", 1), item_timeout=2.0)
    late, next_one = house.submit(abs, -1), house.submit(abs, -2)
    assert house.out == [-1]
    pass_time(house.clock, house.scheduler, 2.1)
    assert type(late.exception(0)).__name__ == "ItemTimeout"
    assert house.out == [-2]
    house.run()
    assert next_one.result(0) == 2


# Calls that wait for calls ----------------------------------------------------------------------------------


def test_a_worker_that_waits_for_a_call_runs_it(houses: Houses) -> None:
    """If nobody has begun it; a thread that is no worker of this executor only waits."""
    house = houses(Plan("threads", 1), backend="threads", max_workers=1)
    house.submit(abs, -1)
    waits = house.submit(abs, -2)
    with pytest.raises(TimeoutError):
        waits.result(0)
    serving.tasks = house.scheduler
    try:
        assert waits.result(PATIENCE_S) == 2
    finally:
        serving.tasks = None
    assert house.out == [-1]


def test_threads_that_all_sleep_are_joined_by_others(houses: Houses) -> None:
    """They may wait for the calls that wait: after a look or two there are more threads."""
    house, awake = houses(Plan("threads", 2), item_timeout=600.0), threading.Event()
    sleepers = [threading.Thread(target=awake.wait) for _ in range(2)]
    for thread in sleepers:
        thread.start()
    try:
        for x in range(4):
            house.submit(abs, x)
        (track,) = house.scheduler.tracks
        for slot, thread in zip(track.slots, sleepers, strict=True):
            slot.worker = thread
        deadline = threading.Event()
        while track.most == 2 and not deadline.wait(0.001):  # until both have come to their wait
            house.clock.go(STUCK_S)
            house.monitors[0].tick()
        assert track.most == 2 + MORE and house.out == [0, 1, 2, 3]
    finally:
        awake.set()
        for thread in sleepers:
            thread.join()


def test_max_workers_is_never_exceeded_for_that(houses: Houses) -> None:
    """Who gave a number meant it: nobody looks."""
    house = houses(Plan("threads", 1), item_timeout=600.0, max_workers=1)
    house.submit(abs, 1)
    house.submit(abs, 2)
    assert not house.submissions._stuck_at


def test_both_times_are_kept(houses: Houses) -> None:
    """A tick for a retry does not let the look at sleeping threads be forgotten."""
    pytest.importorskip("tenacity")
    house = houses(Plan("threads", 1), backend="threads", retries=1)
    for x in range(3):
        house.submit(abs, x)
    stuck_at = house.submissions._stuck_at
    assert stuck_at > house.clock.now
    assert house.monitors[0].tick() == stuck_at


# The end ----------------------------------------------------------------------------------------------------


def test_what_was_submitted_is_finished(houses: Houses) -> None:
    """Closing waits for it, and then lets the workers go."""
    house = houses(Plan("threads", 1), backend="threads")
    futures = [house.submit(abs, -x) for x in range(3)]
    house.submissions.close(wait=False)
    assert not house.closed
    house.run(3)
    house.submissions.close(wait=True)
    assert house.closed and [future.result(0) for future in futures] == [0, 1, 2]
    assert house.backends[0].closed == [{"wait": True, "kill": False}]


def test_a_route_that_is_opened_at_the_last_moment_ends_too(
    houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All calls have run while the function was learned; nobody needs its route any more."""
    house = houses()
    opening, joined = threading.Event(), threading.Event()
    calls, planner = house.scheduler.calls, house.planner
    join, opens = calls.join, planner.open

    def join_and_tell() -> None:
        join()
        joined.set()

    monkeypatch.setattr(calls, "join", join_and_tell)

    def open_late(*args: Any, **more: Any) -> Any:
        opening.set()
        joined.wait(PATIENCE_S)
        return opens(*args, **more)

    monkeypatch.setattr(planner, "open", open_late)
    opener = threading.Thread(target=lambda: house.submissions._route(Plan("processes", 2), abs))
    opener.start()
    assert opening.wait(PATIENCE_S)
    house.submissions.close(wait=True)
    opener.join()
    assert house.backends[0].closed and [track.over for track in house.scheduler.tracks] == [True]


def test_calls_can_be_cancelled(houses: Houses) -> None:
    """As long as nobody has begun them."""
    house = houses(Plan("threads", 1), backend="threads")
    running, waits, last = [house.submit(abs, -x) for x in range(3)]
    assert house.out == [0]
    assert not running.cancel() and waits.cancel()
    house.run()
    assert house.out == [-2]
    house.submissions.cancel()
    assert not last.cancelled(), "it has begun"


def test_workers_that_are_ended_are_not_asked_what_became_of_their_calls(houses: Houses) -> None:
    """After Ctrl-C: calls that run fail, others are cancelled, and no worker has lost anything."""
    house = houses(Plan("processes", 2), backend="processes")
    futures = [house.submit(abs, -x) for x in range(5)]
    backend = house.backends[0]
    assert len(house.out) == 2
    slots = [slot for slot, _ in backend._out]
    house.submissions.kill()
    assert backend.closed == [{"wait": True, "kill": True}]
    assert sum(future.cancelled() for future in futures) == 3
    assert [type(f.exception(0)) for f in futures if not f.cancelled()] == [WorkerDied, WorkerDied]
    for slot in slots:  # their threads find that the worker is gone, and ask for the next task
        house.scheduler.next(slot, 0.0)
        house.scheduler.gone(slot)
    house.submissions.close(wait=True)
    assert house.closed and house.scheduler.error is None
    (track,) = house.scheduler.tracks
    assert track.state is TrackState.CLOSED
    backend._out.clear()


def test_calls_that_were_to_run_again_end_with_their_workers(houses: Houses) -> None:
    """Nobody is left to run them."""
    pytest.importorskip("tenacity")
    house = houses(Plan("processes", 1), backend="processes", retries=3)
    future = house.submit(abs, -1)
    house.backends[0].end_task(house.backends[0].tasks_out[0], ConnectionError())
    assert house.scheduler.retries == 1 and not future.done()
    house.submissions.kill()
    assert isinstance(future.exception(0), WorkerDied)
    house.submissions.close(wait=True)
    assert house.closed


def test_who_waits_for_cancelled_calls_is_told(houses: Houses) -> None:
    """Also where no worker comes by to find that nobody wants them."""
    house = houses(Plan("threads", 1), backend="threads")
    house.submit(abs, -1)
    assert house.out == [-1]
    futures = [house.submit(abs, x) for x in range(3)]
    house.submissions.cancel()
    assert wait(futures, timeout=PATIENCE_S).not_done == set()
    assert house.scheduler.calls.waiting() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_in_a_forked_child_it_begins_anew(houses: Houses) -> None:
    """Closing touches nothing of the parent's; a call gets workers of its own."""
    house = houses(Plan("threads", 1), backend="threads")
    house.submit(abs, -1)
    assert house.out == [-1]

    def child() -> tuple[Any, int, list[Any]]:
        house.submissions.close(wait=True)
        touched = len(house.backends[0].closed)
        future = house.submit(abs, -7)
        house.run()
        return future.result(0), touched, house.backends[0].out

    with house.scheduler._turns._lock:
        result, touched, parents = in_child(child)
    assert (result, touched) == (7, 0) and len(parents) == 1
