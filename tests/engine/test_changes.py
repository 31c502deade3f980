"""Plans that change: from the caller's thread to workers, to other workers, and back."""

from __future__ import annotations

from typing import Any

import pytest

from autoexec.engine.monitor import Seen
from autoexec.engine.pool import Pool
from autoexec.engine.ramp import HOLD_S
from autoexec.engine.run import State
from autoexec.engine.tracks import TrackState
from autoexec.frozen import replace
from autoexec.records import Plan, Profile, WorkKind
from tests.engine.fakes import Act, FakeBackend, profile_of_a

ADAPTIVE = Plan("threads", 200, adaptive=True)
SEATED = Plan("processes", 2, threads=8)
SERIAL = Plan("serial", seconds=1.0)
WAITS = Profile("f", 1, 0.01, 0.0, 0.0, 0.01, kind=WorkKind.IO, partial=True)
SHOWN = replace(WAITS, partial=False)
MIXED = Profile("f", 1, 0.055, 0.015, 0.0, 0.04, kind=WorkKind.MIXED)


class Watched:
    """Says what the test wants to hear of the calls.

    Attributes:
        found: the corrected profile that the next look gives.
        said: whether calls in general do as it says.
        left: what each look was told is left.
    """

    def __init__(self) -> None:
        self.found: Profile | None = None
        self.said: bool | None = None
        self.left: list[int | None] = []

    def due_s(self) -> float:
        return 0.001

    def first_runs(self, cpu_s: float, wait_s: float) -> None:
        pass

    def first_ended(self, cpu_s: float) -> None:
        pass

    def note(self, items: int, wall_s: float, cpu_s: float) -> None:
        pass

    def look(self, begun: int, running: int, profile: Profile, left: int | None) -> Profile | None:
        self.left.append(left)
        found, self.found = self.found, None
        return found

    def verdict(self, profile: Profile) -> bool | None:
        return self.said


class Overlapped:
    """A run whose first item still runs in the caller's thread, while others may run in threads.

    What happens meanwhile is done by `during`, which the item calls: it stands for the monitor's thread.

    Args:
        n: items beside the first.
        during: called by the first item, once the pool is open.
        refreshed: what the first item will have shown when it has ended.
        wrong: whether that contradicts the guess.
        wishes: options.
    """

    def __init__(
        self, n: int, during: Any = None, refreshed: Profile = SHOWN, wrong: bool = False, **wishes: Any
    ) -> None:
        self._during = during or (lambda: None)
        self.act = Act(range(n + 1), ADAPTIVE, WAITS, call=self._call, **{"backend": "auto", **wishes})
        self.run, self.planner, self.monitor = self.act.run, self.act.planner, self.act.monitor
        self.planner.replanned = SEATED
        self.run.sampler.importing = lambda: False  # type: ignore[method-assign]
        self.watch = Watched()
        self._problem: BaseException | None = None
        self.run.sampler.refreshed = (  # type: ignore[method-assign]
            lambda profile, gil: (replace(refreshed, remaining=profile.remaining), wrong)
        )

    def _call(self, item: int) -> int:
        if item == 0:
            seen = Seen()
            seen.running_s, seen.waiting = 0.002, True
            assert self.monitor.early(seen)
            if self.pool._contention is not None:
                self.pool._contention = self.watch  # type: ignore[assignment]
            try:
                self._during()
            except BaseException as error:  # of this test, not of the item
                self._problem = error
        return item

    @property
    def pool(self) -> Pool:
        """The pool that the run has now."""
        assert self.run._pool is not None
        return self.run._pool

    @property
    def backends(self) -> list[FakeBackend]:
        """Those that were opened."""
        return self.planner.opened

    def tend(self, cpu_s: float = 0.0, wait_s: float = 0.0) -> None:
        """The monitor's thread looks after the pool."""
        self.monitor.times = cpu_s, wait_s
        self.monitor.tend()

    def hold_on(self) -> None:
        """The first call computes now, after its wait, and nothing else is out."""
        self.act.clock.go(HOLD_S + 0.001)
        self.tend(cpu_s=0.005)
        assert self.backends[0].out == [] and not self.backends[0].started

    def begin(self) -> Overlapped:
        """Run the first item."""
        self.act.begin()
        if self._problem is not None:
            raise self._problem
        return self

    def finish(self) -> list[Any]:
        """Everything ends well."""
        return self.act.finish()


# While the first item runs ----------------------------------------------------------------------------------


def test_the_rest_is_taken_over_while_an_item_runs() -> None:
    """What the caller's thread has not begun goes to the pool at once; the item itself is not disturbed."""
    seen: list[Any] = []
    story = Overlapped(20, lambda: seen.extend([story.run.state, list(story.backends[0].out)]))
    story.begin()
    assert seen == [State.OVERLAPPED, [1, 2, 3, 4]]
    assert story.run.state is State.OVERLAPPED, "until it takes results"
    story.act.take()
    assert story.run.state is State.POOLED
    assert story.finish() == list(range(21))
    assert story.run.plan == ADAPTIVE


def test_a_plan_to_stay_takes_nothing_over() -> None:
    """Neither does one that would rather fork once the item has ended."""
    answers: list[bool] = []

    def call(item: int) -> int:
        if item == 0:
            act.planner.planned = SERIAL
            answers.append(act.monitor.early(Seen()))
            act.planner.planned = Plan("processes", 2)
            act.planner.patience_s = lambda: 9.0  # type: ignore[method-assign]
            answers.append(act.monitor.early(Seen()))
        return item

    act = Act(range(3), ADAPTIVE, WAITS, call=call, backend="auto")
    act.begin()
    assert answers == [False, False] and not act.planner.opened
    assert list(act.results()) == [0, 1, 2]


def test_a_pool_that_cannot_be_opened_meanwhile_is_done_without() -> None:
    """The caller's thread goes on by itself."""
    answers: list[bool] = []

    def call(item: int) -> int:
        if item == 0:
            answers.append(act.monitor.early(Seen()))
        return item

    act = Act(range(3), ADAPTIVE, WAITS, call=call, backend="auto")
    act.planner.refuse["threads"] = RuntimeError("no threads")
    act.begin()
    assert answers == [False] and list(act.results()) == [0, 1, 2]


def test_calls_that_queue_for_the_gil_go_to_processes() -> None:
    """Workers start at once; what no thread has begun moves, at once too, when others prove to compute."""
    states: list[Any] = []

    def during() -> None:
        story.act.wait(1.0)
        story.watch.found = MIXED
        story.tend()
        threads, processes = story.backends
        assert processes.out == [] and story.run.plan == ADAPTIVE, "one call is little evidence"
        story.watch.said = True
        story.tend()
        assert threads.out and processes.out and threads.recalled == 1
        assert set(threads.out).isdisjoint(processes.out)
        assert threads.closed == [{"wait": False, "kill": False}]
        assert set(processes.sizes) == {1}
        states.append(story.run.state)

    story = Overlapped(40, during)
    story.begin()
    assert story.watch.left[1] == 40 - sum(story.backends[0].sizes)
    assert states == [State.OVERLAPPED] and story.run.plan is not None
    assert story.run.plan.backend == "processes" and story.run.plan.reason.startswith("planned again")
    assert story.finish() == list(range(41))
    assert story.run.state is State.DONE


def test_workers_that_prove_unwanted_are_sent_away() -> None:
    """The first call only did once what others need not do."""

    def during() -> None:
        story.watch.found, story.watch.said = MIXED, False
        story.tend()

    story = Overlapped(40, during)
    story.begin()
    threads, processes = story.backends
    assert processes.closed == [{"wait": False, "kill": True}] and threads.closed == []
    assert story.pool.spare is None and story.run.plan == ADAPTIVE
    assert story.finish() == list(range(41))


def test_closing_ends_workers_that_wait_for_a_verdict() -> None:
    """Nothing is left behind."""

    def during() -> None:
        story.watch.found = MIXED
        story.tend()

    story = Overlapped(40, during)
    story.begin()
    story.act.results().close()
    assert [bool(backend.closed) for backend in story.backends] == [True, True]
    assert story.backends[1].closed[-1]["kill"]


def test_what_threads_still_run_is_counted_after_the_change() -> None:
    """Calls of both pools are, and none of them is running in the end."""

    def during() -> None:
        story.watch.found, story.watch.said = MIXED, True
        story.act.wait(1.0)
        story.tend()

    story = Overlapped(40, during)
    story.begin()
    story.finish()
    stats = story.run.stats()
    assert (stats.calls, stats.at_once) == (40, 0)


# When the first item has ended ------------------------------------------------------------------------------


def test_a_first_call_that_computes_decides() -> None:
    """It was alone, so its figures are right; the others then go to processes of threads."""
    story = Overlapped(150, lambda: story.hold_on(), MIXED)
    story.begin()
    story.act.take()
    assert [backend.out != [] for backend in story.backends] == [False, True]
    assert story.planner.asked == [replace(MIXED, remaining=150)]
    assert story.finish() == list(range(151))
    assert story.backends[1].sizes == [1] * 150


def test_no_process_that_has_threads_forks() -> None:
    """The threads that were started for the others end first, and so does the monitor's."""
    alive: list[bool] = []

    def during() -> None:
        story.tend(wait_s=0.001)
        story.tend(wait_s=0.002)
        assert story.backends[0].started
        story.hold_over()

    class Warm(Overlapped):
        def hold_over(self) -> None:
            self.act.clock.go(HOLD_S + 0.001)
            self.tend(cpu_s=0.005)

    story = Warm(150, during, MIXED)
    opens = story.planner.open

    def opened(plan: Plan, *args: Any, **more: Any) -> FakeBackend:
        alive.append(story.monitor.alive)
        if plan.backend == "processes":
            assert story.backends[0].closed == [{"wait": True, "kill": False}]
        return opens(plan, *args, **more)

    story.planner.open = opened  # type: ignore[method-assign]
    story.begin()
    story.act.take()
    assert story.run.state is State.CHANGING and len(story.backends) == 1, "its threads are not gone"
    story.backends[0].look()
    story.act.take()
    assert len(story.backends) == 2 and alive == [True, False]
    assert story.planner.places == [False, True]
    assert story.finish() == list(range(151))


def test_workers_that_started_meanwhile_are_used() -> None:
    """While the first call still computed it was clear what it would come to."""

    def during() -> None:
        story.hold_on()
        story.watch.found = MIXED
        story.tend(cpu_s=0.006)
        assert len(story.backends) == 2 and story.run.plan == ADAPTIVE

    story = Overlapped(150, during, replace(MIXED, held_s=0.017))
    story.begin()
    story.act.take()
    assert len(story.backends) == 2 and story.run.plan is not None
    assert story.run.plan.backend == "processes" and story.run.profile == replace(MIXED, remaining=150)
    assert story.finish() == list(range(151))


def test_workers_are_not_started_where_they_can_be_forked_soon() -> None:
    """Once the first call, with nothing else out, has ended."""

    def during() -> None:
        story.planner.forks = True
        story.hold_on()
        story.watch.found = MIXED
        story.tend(cpu_s=0.006)
        assert len(story.backends) == 1 and story.planner.threads == [1]

    story = Overlapped(150, during, MIXED)
    story.begin()
    assert story.finish() == list(range(151))


def test_a_first_call_that_only_waits_lets_the_others_out() -> None:
    """All at once: it has shown what it does."""
    story = Overlapped(150, lambda: story.hold_on(), SHOWN)
    story.begin()
    story.act.take()
    assert story.run.plan == ADAPTIVE and len(story.backends) == 1
    assert not story.pool._ramp.narrowed and story.backends[0].out


def test_a_guess_that_was_mistaken_is_set_right() -> None:
    """What seemed to wait has computed: another plan is asked for."""
    python = profile_of_a(WorkKind.PYTHON)
    story = Overlapped(20, None, python, wrong=True)
    story.begin()
    story.act.take()
    assert story.run.plan is not None and story.run.plan.backend == "processes"
    assert story.planner.asked[-1].kind is WorkKind.PYTHON
    assert story.finish() == list(range(21))


def test_a_first_call_that_imported_decides_nothing() -> None:
    """It only lets the others out."""
    story = Overlapped(150, lambda: story.hold_on(), MIXED)
    story.run.sampler.importing = lambda: story.run.state is State.POOLED  # type: ignore[method-assign]
    story.begin()
    story.act.take()
    assert story.run.plan == ADAPTIVE and len(story.backends) == 1
    story.act.wait(5.0)
    assert len(story.backends[0].out) == 150


# Among workers ----------------------------------------------------------------------------------------------


def busy(plan: Plan, n: int = 40, **wishes: Any) -> Act:
    """A run whose pool works, in an automatic plan of which no item runs in the caller's thread."""
    act = Act(range(n), plan, profile_of_a(WorkKind.IO), **wishes)
    act.begin()
    act.take()
    return act


def drift(act: Act, cpu_s: float, seconds: float = 0.01) -> None:
    """The tasks that run end, and show that items are others than was thought."""
    act.clock.go(0.2)
    for item in act.backend.out:
        act.backend.end(item, seconds=seconds, cpu_s=cpu_s)


@pytest.mark.parametrize(("forks", "fresh"), [(True, 1.0), (True, 0.1), (False, 1.0)])
def test_threads_that_end_soon_are_waited_for(forks: bool, fresh: float) -> None:
    """A process without threads can fork its workers; they need not import what the function needs."""
    act = busy(Plan("threads", 2))
    act.planner.replanned, act.planner.forks, act.planner.fresh = Plan("processes", 2), forks, fresh
    act.monitor.alive = False
    drift(act, 0.5, 1.0)
    act.take()
    assert act.planner.threads == [2]
    waited = forks and act.planner.asked[0].wall_s * 2 <= fresh
    threads = act.planner.opened[0]
    if waited:
        assert act.run.state is State.CHANGING and len(act.planner.opened) == 1
        assert threads.closed == []
    else:
        assert act.run.state is State.POOLED and threads.closed == [{"wait": False, "kill": False}]
    assert act.finish() == list(range(40))
    assert threads.closed[0]["wait"] is waited and len(act.planner.opened) == 2


def test_the_monitors_own_thread_is_no_obstacle() -> None:
    """It ends, too, before anything forks."""
    act = busy(Plan("threads", 2))
    act.planner.replanned, act.monitor.alive = Plan("processes", 2), True
    drift(act, 0.5, 1.0)
    act.take()
    assert act.planner.threads == [3]


def test_nobody_waits_for_other_changes() -> None:
    """Only from threads to processes is there something to gain."""
    act = busy(Plan("asyncio", 2))
    act.planner.replanned, act.planner.forks = Plan("processes", 2), True
    drift(act, 0.5, 1.0)
    act.take()
    assert act.planner.threads == [] and act.planner.opened[0].closed == [{"wait": False, "kill": False}]


def test_what_no_worker_has_begun_goes_to_the_next_pool() -> None:
    """What runs ends where it is; each item runs once."""
    act = busy(Plan("threads", 2))
    act.planner.replanned = Plan("processes", 2)
    drift(act, 0.5, 1.0)
    running = act.backend.out
    act.take()
    threads, processes = act.planner.opened
    assert threads.out == running and threads.recalled == 1
    assert set(processes.out).isdisjoint(running)
    assert act.finish() == list(range(40))
    assert sum(threads.sizes) + sum(processes.sizes) == 40


def test_a_worker_may_give_its_task_back() -> None:
    """One that was given ahead, and was not begun when the plan changed."""
    act = busy(Plan("threads", 2))
    act.planner.replanned = Plan("processes", 2)
    drift(act, 0.5, 1.0)
    lost = act.backend.out
    act.take()
    act.planner.opened[0].return_all()
    assert set(lost) <= set(act.planner.opened[1].out) | {task.items[0] for task in waiting(act)}
    assert act.finish() == list(range(40))


def waiting(act: Act) -> list[Any]:
    """The tasks that wait."""
    return list(act.scheduler.queue.waiting())


def test_what_is_too_small_comes_back_here() -> None:
    """The rest runs in the caller's own thread, and single calls are attended to no more."""
    act = busy(Plan("threads", 4, adaptive=True), n=400)
    act.planner.replanned = SERIAL
    for _ in range(3):
        drift(act, 0.0, 1e-5)
        act.take()
    assert act.run.state is State.INLINE and act.run.plan is not None and act.run.plan.backend == "serial"
    assert act.scheduler.queue.limits is None
    while act.backend.out:
        act.backend.end(act.backend.out[0])
    assert [*act.take(), *act.results()] == list(range(400))
    assert act.run.stats().at_once == 0


@pytest.mark.parametrize("wishes", [{"item_timeout": 5.0}, {"size": lambda item: 1}], ids=["timeout", "size"])
def test_what_may_not_run_here_stays_away(wishes: dict[str, Any]) -> None:
    """Items cannot be given up here; and heavy ones have gone ahead of their turn."""
    act = busy(Plan("threads", 4), n=40, **wishes)
    act.planner.replanned = SERIAL
    drift(act, 0.0, 1e-5)
    act.take()
    assert act.run.state is State.POOLED and len(act.planner.asked) == 1


def test_a_short_rest_is_not_worth_a_change() -> None:
    """The workers will be done before it matters."""
    act = busy(Plan("threads", 4), n=40)
    act.planner.replanned = replace(SERIAL, seconds=0.001)
    drift(act, 0.0, 1e-5)
    act.take()
    assert act.run.state is State.POOLED


def test_nothing_is_planned_for_nothing() -> None:
    """When all has begun, no change would help."""
    act = busy(Plan("threads", 4), n=6)
    act.planner.replanned = Plan("processes", 2)
    drift(act, 0.5, 1.0)
    act.take()
    assert act.planner.asked == []


# What cannot be opened --------------------------------------------------------------------------------------


def test_the_next_plan_that_cannot_be_opened_leaves_the_rest_here() -> None:
    """With words that say so; what still runs in the old pool ends there."""
    story = Overlapped(20)
    story.begin()
    story.act.take()
    story.planner.refuse["processes"] = OSError("no processes here")
    drift(story.act, 0.5, 1.0)
    running = story.backends[0].out
    story.act.take()
    assert running and story.run.state is State.INLINE and story.run.plan is not None
    assert story.run.plan.backend == "serial" and "no processes here" in story.run.plan.reason
    assert story.finish() == list(range(21)) and story.run.stats().at_once == 0


def test_a_backend_that_was_asked_for_by_name_raises() -> None:
    """Nothing is done in another way than was wished for."""
    act = Act(range(4), Plan("processes", 2))
    act.planner.refuse["processes"] = OSError("no processes here")
    with pytest.raises(OSError, match="no processes here"):
        act.run.begin()


def test_workers_that_end_in_the_middle_leave_the_rest_here() -> None:
    """What they had runs again in the caller's thread, and the plan says why."""
    story = Overlapped(20)
    story.begin()
    story.act.take()
    slot = next(iter(story.pool.track.slots))
    story.act.scheduler.failed(slot, OSError("no workers"))
    assert story.pool.track.state is TrackState.FAILED
    assert story.finish() == list(range(21))
    assert story.run.state is State.DONE and story.run.plan is not None
    assert "no threads can be started here (no workers)" in story.run.plan.reason
