"""What the engine is tested with: a clock that the test sets, workers that it moves, made-up plans."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from autoexec.backends.inline import InlineBackend
from autoexec.engine.limits import Limits
from autoexec.engine.monitor import Seen
from autoexec.engine.result_order import Failed
from autoexec.engine.run import Run
from autoexec.engine.scheduler import Scheduler
from autoexec.engine.sink import told
from autoexec.engine.source import Source, open_source
from autoexec.engine.tracks import Chunks, Track
from autoexec.options import Options, resolve
from autoexec.records import Machine, Plan, Profile, WorkKind
from autoexec.results import Results
from autoexec.testing import FakeBackend, FakeClock, made_up_machine
from autoexec.worker.invoke import CallSpec


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


def profile_of_a(kind: WorkKind, **figures: Any) -> Profile:
    """A profile of items that take 10 ms, the way their kind does."""
    computes = kind in (WorkKind.PYTHON, WorkKind.NATIVE)
    held, free = (0.01, 0.0) if kind is WorkKind.PYTHON else (0.0, 0.01 if computes else 0.0)
    usual = {
        "function": "f", "items": 1, "wall_s": 0.01, "held_s": held, "free_s": free,
        "wait_s": 0.0 if computes else 0.01, "kind": kind,
    }  # fmt: skip
    return Profile(**{**usual, **figures})


def by_hand(scheduler: Scheduler) -> FakeBackend:
    """A backend whose tasks the test ends."""
    return FakeBackend(tasks=scheduler, at_once=False, clock=scheduler._turns.clock)


class FakeMonitor:
    """Stands where the monitor's thread would be: the test looks, tends and ticks instead.

    Attributes:
        early: what it calls when the item that runs shows enough for a decision.
        tend: what it calls again and again after a take-over.
        tick: what it calls when the time has come.
        due: that time.
        alive: whether there would be a thread.
        times: CPU seconds and other seconds of the call that runs.
        doubts: how often it has still to say that a plan needs a proof.
    """

    def __init__(
        self,
        inline: InlineBackend | None,
        early: Callable[[Seen], bool],
        tend: Callable[[], float],
        tick: Callable[[], float],
        failed: Callable[[BaseException], object],
        clock: Callable[[], float],
    ) -> None:
        self.early, self.tend, self.tick, self.failed = early, tend, tick, failed
        self.due = math.inf
        self.alive = False
        self.times = 0.0, 0.0
        self.expected_s = self.children_s = 0.0
        self.pressing = False
        self.doubts = 0

    def measure(self) -> None:
        self.alive = True

    def guard(self, expected_s: float) -> None:
        self.expected_s = expected_s

    def wake_at(self, when: float) -> None:
        self.due = min(self.due, when)

    def rest(self) -> None:
        """It has nothing to look at."""

    def dismiss(self) -> None:
        self.alive = False

    stop = end = dismiss

    def press(self) -> bool:
        return False

    def unproven(self, plan: Plan, profile: Profile) -> bool:
        self.doubts -= 1
        return self.doubts >= 0

    def seen(self) -> Seen:
        return Seen()

    def block_times(self) -> tuple[float, float]:
        return self.times


class FakePlanner:
    """Makes the plans that the test has made up, and opens backends that the test moves.

    Args:
        plan: the first plan, however it is asked for.
        profile: what it rests on.
        machine: what may be used.

    Attributes:
        replanned: the plan for a corrected profile; None makes the same plan again.
        opened: the backends.
        asked_to_open: set once it is to open one.
        places: whether each of them might have been forked.
        refuse: what `open` raises, by the plan's backend.
        asked: the profiles that it was asked to plan for again.
        threads: whether workers may be forked once so many threads have ended was asked of these.
        forks: the answer.
        fresh: seconds that fresh interpreters take longer than forks.
        prepared: how often there was time to prepare.
        unsent: why the rest stays here, once a result could not be sent.
    """

    def __init__(self, plan: Plan, profile: Profile, machine: Machine | None = None) -> None:
        self.planned, self.profile = plan, profile
        self.machine = machine or made_up_machine()
        self.replanned: Plan | None = None
        self.opened: list[FakeBackend] = []
        self.asked_to_open = threading.Event()
        self.places: list[bool] = []
        self.refuse: dict[str, Exception] = {}
        self.asked: list[Profile] = []
        self.threads: list[int] = []
        self.forks, self.fresh, self.prepared = False, 0.0, 0
        self.unsent = ""
        self.starting = False
        self.blocked: Any = None
        self.loop: Any = None
        self.memory = None
        self.afterwards: list[str] = []

    def plan(self, sample: Any, sampler: Any, *, fork: bool, block: Any = None) -> tuple[Plan, Profile]:
        return self.planned, self.profile

    def importing(self) -> str:
        return ""

    def forced(self, remaining: int | None) -> tuple[Plan, Profile]:
        return self.planned, self.profile

    def direct(self, remaining: int | None, backend: str = "threads") -> tuple[Plan, Profile]:
        return self.planned, self.profile

    def replan(self, profile: Profile, sampler: Any, block: Any = None) -> Plan:
        self.asked.append(profile)
        return self.replanned or self.planned

    def open(
        self, plan: Plan, scheduler: Scheduler, track: Track, *,
        fork: bool, eager: bool = False, profile: Any = None, loop: Any = None, blocked: Any = None,
    ) -> FakeBackend:  # fmt: skip
        self.asked_to_open.set()
        if plan.backend in self.refuse:
            raise self.refuse[plan.backend]
        backend = by_hand(scheduler)
        backend.starting = self.starting
        self.opened.append(backend)
        self.places.append(fork)
        self.blocked, self.loop = blocked, loop
        if not track.elastic:
            for _ in range(track.most):
                backend.ask(track.add())
        return backend

    def prepare(self) -> None:
        self.prepared += 1

    def forks_after(self, threads: int) -> bool:
        self.threads.append(threads)
        return self.forks

    def patience_s(self) -> float:
        return 0.0

    def fresh_s(self) -> float:
        return self.fresh

    def hazards(self) -> tuple[()]:
        return ()

    def learn(self) -> None:
        """There is nothing to remember."""


class Act:
    """A run in which nothing is measured and nobody waits.

    Args:
        items: its input.
        plan: its first plan.
        profile: what that rests on.
        call: the function.
        kind: of the work, if there is no profile.
        machine: what may be used.
        clock: the time.
        keep: its journal.
        star: whether items are argument tuples.
        wishes: options. Unless there is a backend among them, the pool of the plan is opened at once.

    Attributes:
        given: what the consumer has got by `take`.
        meanwhile: what happens while the consumer waits, one step for each wait; after those time passes.
        waits: seconds of each wait.
    """

    def __init__(
        self,
        items: Iterable[Any],
        plan: Plan | None = None,
        profile: Profile | None = None,
        *,
        call: Callable[..., Any] = lambda item: item,
        kind: WorkKind = WorkKind.IO,
        machine: Machine | None = None,
        clock: FakeClock | None = None,
        keep: Any = None,
        star: bool = False,
        **wishes: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        plan = plan or Plan("threads", 4)
        self.planner = FakePlanner(plan, profile or profile_of_a(kind), machine)
        # What items change is not for these tests: plans are changed as if everything were known of that.
        self.options: Options = resolve({"backend": "processes", "effects": "ignore", **wishes})
        self.given: list[Any] = []
        self.meanwhile: list[Callable[[], object]] = []
        self.waits: list[float] = []
        self.run = Run(
            call,
            open_source((items,), star, self.options.size),
            self.options,
            keep,
            clock=self.clock,
            planner=lambda *args, facts=None: self.planner,  # type: ignore[arg-type,return-value]
            monitor=FakeMonitor,  # type: ignore[arg-type]
        )
        self.monitor: FakeMonitor = self.run.monitor  # type: ignore[assignment]
        self.scheduler = self.run.scheduler
        self.scheduler.wait = self._wait  # type: ignore[method-assign]

    def begin(self) -> Act:
        """Start working."""
        self.run.begin()
        return self

    @property
    def backend(self) -> FakeBackend:
        """The backend that was opened last."""
        return self.planner.opened[-1]

    @property
    def limits(self) -> Limits:
        """Its limits."""
        assert self.run.sink.limits is not None
        return self.run.sink.limits

    def results(self) -> Results[Any]:
        """What the caller of `map` gets."""
        return Results(self.run)

    def take(self) -> list[Any]:
        """The consumer takes what there is, and does what is to be done, without ever waiting."""
        self.scheduler.wait = _nothing_more  # type: ignore[method-assign]
        try:
            while True:
                for part in self.run.sink.parts(self.run._take()):
                    if isinstance(part, BaseException):
                        raise part
                    self.given += part
        except (NothingMore, StopIteration):
            return self.given
        finally:
            self.scheduler.wait = self._wait  # type: ignore[method-assign]

    def _wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        assert len(self.waits) < 10_000, "the consumer waits for nothing"
        stepped = bool(self.meanwhile)
        if stepped:
            self.meanwhile.pop(0)()
        self.clock.go(max(seconds, 1e-6))
        return stepped

    def finish(self) -> list[Any]:
        """All tasks end well, one after the other, until all results are there, which are returned."""

        def end_one() -> None:
            for backend in self.planner.opened:
                for task in backend.tasks_out[:1]:
                    backend.run(task)
            self.meanwhile.append(end_one)

        self.meanwhile.append(end_one)
        self.given += self.results()
        return self.given

    def wait(self, seconds: float) -> None:
        """Let time pass, tick by tick."""
        pass_time(self.clock, self.scheduler, seconds)


class NothingMore(BaseException):
    """There is nothing to do but to wait."""


def _nothing_more(seconds: float) -> bool:
    raise NothingMore


def pass_time(clock: FakeClock, scheduler: Scheduler, seconds: float) -> None:
    """Let time pass, tick by tick."""
    until = clock.now + seconds
    while scheduler.due <= until:
        clock.now = max(clock.now, scheduler.due)
        scheduler.tick()
    clock.now = until


class Scene:
    """A scheduler with limits, a backend without threads, and what came of the items.

    Args:
        clock: the time.
        cap: calls at once at most; 0 leaves that to the backend.
        most: calls at once that the backend takes.
        chunksize: items of a task.
        keep: a journal.
        star: whether items are argument tuples.
        wishes: options.

    Attributes:
        given: what the consumer has got, in its order.
        failed: the errors among that, by item, with their notes.
    """

    def __init__(
        self,
        clock: FakeClock | None = None,
        *,
        cap: int = 0,
        most: int = 1000,
        chunksize: int = 1,
        keep: Any = None,
        star: bool = False,
        **wishes: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        options = resolve({"on_error": "return", "ordered": False, **wishes})
        self.limits = Limits(options)
        if cap:
            self.limits.adapt(cap, None, None, 0.0)
        self.source = Source((endless(),), star)
        self.scheduler = Scheduler(
            CallSpec(abs, star=star, capture=True),
            self.source,
            ordered=options.ordered,
            keep=keep,
            ends_at_error=options.on_error == "raise",
            item_timeout=options.item_timeout,
            clock=self.clock,
        )
        self.scheduler.attend(self.limits)
        self.items: list[Any] = []
        self.given: list[Any] = []
        self.failed: dict[Any, BaseException] = {}
        self.track, self.backend = self.open(most, chunksize)

    def open(self, most: int, chunksize: int = 1) -> tuple[Track, FakeBackend]:
        """One more backend of the same run."""
        chunks = Chunks(Plan("threads", most), chunksize, single=False, window=None)
        track = Track("fake", self.scheduler.queue, most, chunks, elastic=True, threaded=False)
        backend = by_hand(self.scheduler)
        track.backend = backend
        self.scheduler.change(opens=[track])
        self.scheduler.opened(track)
        return track, backend

    def give(self, *items: Any) -> None:
        """More items come."""
        self.items += items
        self.scheduler.stock(list(items))

    @property
    def out(self) -> list[Any]:
        """The first items of the tasks that run."""
        return self.backend.out

    def end(self, item: Any, *outcomes: Any, seconds: float = 0.01) -> None:
        """The task of an item ends."""
        self.backend.end(item, *outcomes, seconds=seconds)

    def wait(self, seconds: float) -> None:
        """Let time pass, tick by tick."""
        pass_time(self.clock, self.scheduler, seconds)

    def take(self) -> list[Any]:
        """The consumer takes what there is; all that it has got so far, errors included."""
        while isinstance(found := self.scheduler.take(), list):
            for outcome in found:
                if type(outcome) is Failed:
                    assert outcome.item not in self.failed, "delivered twice"
                    self.failed[outcome.item] = told(outcome)
                self.given.append(outcome.error if type(outcome) is Failed else outcome)
        return self.given

    def finish(self) -> None:
        """No more items come."""
        self.source.ended = True

    def ledger(self) -> dict[str, int]:
        """How many items are in which table, where there are any."""
        return {name: count for name, count in self.scheduler.ledger().items() if count}


def endless() -> Iterator[Any]:
    """An input of which only the test takes something."""
    raise AssertionError("the test gives the items")
    yield


def notes(error: Any) -> str:
    """What is written on an error."""
    return "\n".join(getattr(error, "__notes__", ()))


def first_letter(item: str) -> str:
    """The group of the items of some tests."""
    return item[0]
