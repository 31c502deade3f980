"""One run, from the first item to the last: the whole story of the library in one file.

    begin ─► sample in the caller's thread ─► plan ─┬─► go on in the caller's thread, guarded
                 (the monitor watches)              └─► open a pool, whose workers ask for tasks
                                                            └─► plan again if the work changes

The caller's thread owns a run. The monitor's thread touches it only in `_early` and `_tend`, under `_lock`,
and only while the caller's thread is inside an item. What may follow what stands in `TRANSITIONS`.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import math
import os
import sys
import threading
from _thread import allocate_lock, get_ident, start_new_thread
from _weakref import ref
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum

from ..backends.inline import Block, InlineBackend
from ..errors import AutoexecError, EffectLost
from ..frozen import replace
from ..own_thread import whose
from ..own_time import time
from ..records import Plan, Profile, WorkKind, spell
from ..registry import ASYNCIO, AUTO, PROCESSES, SERIAL, THREADS, row
from ..resources import close_here
from ..worker.context import may_set_variables
from .call_specs import spec_of
from .fork_generation import generation
from .monitor import Monitor, Seen
from .sampling import Sampler
from .scheduler import Scheduler
from .sink import Sink
from .source import Source
from .tracks import END, Chunks, Track, TrackState
from .turns import nested

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from logging import Logger
    from typing import Any

    from ..measure.facts import Facts
    from ..options import Options
    from ..statistics import Stats
    from ..worker.invoke import Task, TaskResult
    from .bookkeeping import Keep
    from .planning import Planner
    from .pool import Pool

__all__ = ["TRANSITIONS", "Run", "State"]

BUDGET_S = 0.020  # seconds of work to watch before a decision
TRIFLE_S = 0.003  # a rest shorter than this is finished before any pool has started
CRUMB_S = 2e-6  # items shorter than this cost more to send to a worker than to run (measured: 1 to 3 µs)
CRUMBS_S = 0.0003  # seconds of such items that settle it
BLOCK_S = 0.0015  # seconds of work per block of a serial run
SOME = 16  # items of a block that show whether any sets context variables
BLOCK_BYTES = 4 << 20  # of results that a block may hold before the consumer sees the first
MOST = 32_768  # items per block: beyond that the processor's caches suffer
STUCK_S = 1.0  # seconds in which nothing moves although something could: then it is said
SLICE_S = 0.25  # seconds of one wait: a signal that comes just before one is seen after it
PULL_S = 0.002  # seconds the caller's iterator may take while results wait to be delivered
TURN_S = 0.05  # seconds for which the caller's own thread waits for a call's turn before others are asked


class State(Enum):
    """What a run is doing."""

    NEW = "new"
    SAMPLING = "sampling"
    INLINE = "inline"
    OVERLAPPED = "overlapped"
    HELPING = "helping"
    POOLED = "pooled"
    CHANGING = "changing"
    DONE = "done"


# State -> what may follow, with what has happened then. The page on the architecture prints this table.
TRANSITIONS: dict[State, dict[State, str]] = {
    State.NEW: {
        State.SAMPLING: "the first items are to be watched",
        State.INLINE: "backend='serial'",
        State.POOLED: "a backend was asked for, or no item may run here",
        State.HELPING: "the same, and its workers are not ready yet",
        State.DONE: "it cannot begin",
    },
    State.SAMPLING: {
        State.INLINE: "the plan is to stay here",
        State.POOLED: "the plan is a pool, made between two items",
        State.HELPING: "the same, and its workers are not ready yet",
        State.OVERLAPPED: "the plan is a pool, made while an item runs",
        State.DONE: "the items ended, or nobody wants the rest",
    },
    State.INLINE: {
        State.SAMPLING: "items unlike those of the sample",
        State.OVERLAPPED: "the same, noticed while one of them runs",
        State.DONE: "the items ended, or nobody wants the rest",
    },
    State.OVERLAPPED: {
        State.POOLED: "the item in the caller's thread has ended",
        State.INLINE: "no pool can be opened",
        State.DONE: "nobody wants the rest",
    },
    State.HELPING: {
        State.POOLED: "the workers are ready",
        State.INLINE: "no pool can be opened",
        State.CHANGING: "the work contradicts the plan",
        State.DONE: "the items ended, or nobody wants the rest",
    },
    State.POOLED: {
        State.CHANGING: "the work contradicts the plan",
        State.INLINE: "the rest is for the caller's own thread, or no pool can be opened",
        State.DONE: "the items ended, or nobody wants the rest",
    },
    State.CHANGING: {
        State.POOLED: "the next pool is open",
        State.HELPING: "the same, and its workers are not ready yet",
        State.INLINE: "the rest is for the caller's own thread, or no pool can be opened",
        State.DONE: "the items ended, or nobody wants the rest",
    },
    State.DONE: {},
}


class Run:
    """A function, its items and the options, on their way to results.

    Args:
        call: the function.
        source: the items.
        options: the resolved options.
        keep: the journal, where there is one.
        loop: the event loop in which the calls of an async function are to run; None for one of our own.
        clock: tells the time, as `time.monotonic` does.
        facts: what plans rest on beside the sample, asked when the first one is made.
        planner: makes the planner of the run; None takes the library's own.
        monitor: makes the one that watches the caller's thread and keeps the time; None likewise.

    Attributes:
        plan: how the rest is run, or None as long as that is open.
        profile: what one item costs, or None as long as that is open.
        total: results there will be, or None if unknown.
        patient: whether closing waits for running items.
        sink: where results pass on their way to the consumer.
        state: what the run is doing.
        let_go: whether it has ended, and everything was let go.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        source: Source,
        options: Options,
        keep: Keep | None = None,
        loop: AbstractEventLoop | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        facts: Callable[[], Facts] | None = None,
        planner: Callable[..., Planner] | None = None,
        monitor: Callable[..., Monitor] | None = None,
    ) -> None:
        self.call, self.source, self.options = call, source, options
        self.plan: Plan | None = None
        self.profile: Profile | None = None
        self.total = source.remaining()
        self.patient = False
        self.sink = Sink(call, options, self.total)
        self.state = State.NEW
        self.spec = spec_of(
            call, options, star=source.star, capture=options.attended, context=contextvars.copy_context()
        )
        self._keep, self.loop, self._clock = keep, loop, clock
        self._facts, self._make_planner = facts, planner
        self._planner: Planner | None = None
        self._lock = threading.Lock()
        self._reading, self._reader = allocate_lock(), 0  # held by, and the number of, whoever takes results
        self._inline = InlineBackend(self.spec, clock)
        watch = monitor or Monitor
        self.monitor = watch(self._inline, self._early, self._tend, self._tick, self._crashed, clock)
        self.scheduler = Scheduler(
            self.spec,
            source,
            ordered=options.ordered,
            most=options.max_workers,
            keep=keep,
            ends_at_error=options.on_error == "raise",
            item_timeout=options.item_timeout,
            clock=clock,
            timer=self.monitor.wake_at,
        )
        self.scheduler.apart, self.monitor.whose = self._inline.apart, self.scheduler
        self._here = Track(SERIAL, self.scheduler.queue, 1, _no_chunks(), threaded=False)
        self._here.backend = self._inline
        self._slot = self._here.add()
        self.sampler = Sampler(call)
        self._pool: Pool | None = None
        self._pending: deque[list[Any] | BaseException] = deque()
        self._merged = None if keep is None else keep.merge(self._blocks(), ordered=options.ordered)
        self._size = 1
        self._expected_s = 0.0  # per item of a serial run
        self._mark: tuple[int, ...] | None = None
        self._marked = math.inf  # since when it has been the same
        self._in_main = threading.current_thread() is threading.main_thread()
        self._deadline = None if options.timeout is None else clock() + options.timeout
        self._doubts = ""  # what was sent home and does not fit
        self._interrupted = self._ended = self._cut_short = self.let_go = False
        self._generation, self._caller = generation(), get_ident()
        _live.add(ref(self, _live.discard))
        if options.buffersize is not None:
            self.scheduler.room = options.buffersize
        if options.attended:
            self.limit()

    @property
    def clock(self) -> Callable[[], float]:
        """Tells the time."""
        return self._clock

    # The call ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start working: sample and decide, or hand everything to the backend that was asked for."""
        try:
            self.sink.open()
            self._begin()
        except BaseException:
            self.finish(early=True)
            raise

    def _begin(self) -> None:
        backend = self.options.backend
        if backend in (SERIAL, AUTO, THREADS) and self.source.sequence is None and not self.sampler.harmless:
            self._inline.apart(self.source.shares, self.call)
        if backend == SERIAL:
            self.plan = Plan(SERIAL, reason="backend='serial' was asked for")
            self.go(State.INLINE, opens=self._here)
            self._inline.sampling = True
        elif self.is_async or (self.options.item_timeout is not None and backend != PROCESSES):
            where = ASYNCIO if self.is_async else THREADS
            self._open_pool(*self.planner.direct(self.source.remaining(), where), fork=False)
        elif backend in (AUTO, THREADS):
            most = self.options.buffersize and self.options.buffersize - 1
            self._inline.apart(self.source.look_ahead, most, self._clock)
            self.go(State.SAMPLING, opens=self._here)
            self._start_sampling()
            self._sample()
        elif self._must_not_wait and (name := self.planner.importing()):
            words = "is being imported, and what workers send back would wait for that"
            self.plan = Plan(SERIAL, reason=f"stays in the caller's thread: {name!r} {words}")
            self.go(State.INLINE, opens=self._here)
            self._expected_s = math.inf  # nothing that its items show leads elsewhere
        else:
            self._open_pool(*self.planner.forced(self.source.remaining()), fork=True)

    @property
    def _must_not_wait(self) -> bool:
        """Whether the backend that was asked for sends results back, which threads of ours unpickle."""
        if (named := self.options.named) is not None:
            return not named.in_process
        from ..backends.executors import in_this_process

        backend: Any = self.options.backend
        return not in_this_process(backend)

    @property
    def is_async(self) -> bool:
        """Whether the function is async."""
        from ..checks import is_async

        return is_async(self.call)

    def go(self, state: State, *, opens: Track | None = None, drains: Track | None = None) -> None:
        """Go on to another state; what is opened by that gets tasks at once."""
        if state is self.state or (self.state is State.DONE and state is not State.DONE):
            return
        assert state in TRANSITIONS[self.state], f"{self.state} -> {state}"
        self.state = state
        self.scheduler.change(
            [opens] if opens is not None else (), [drains] if drains is not None else (), state.value
        )
        if opens is self._here:
            self.scheduler.opened(opens)

    @property
    def planner(self) -> Planner:
        """Plans this run."""
        if self._planner is None:
            from .planning import Planner

            make = self._make_planner or Planner
            facts: Any = self._facts and self._facts()  # a planner that was handed in needs none
            self._planner = make(self.call, self.options, self.source, self.spec, facts=facts)
            self._planner.caller = self._caller
        return self._planner

    def limit(self) -> None:
        """From now on single calls are attended to: limits, retries, whom they concern."""
        from .limits import Limits

        if self.sink.limits is None:
            self.sink.limits = Limits(self.options)
        # A plan without any may have come between.
        if self.scheduler.queue.limits is not self.sink.limits:
            self.scheduler.attend(self.sink.limits)

    # Sampling ---------------------------------------------------------------------------------------------

    def _start_sampling(self) -> None:
        self._size = 1
        self._inline.sampling = True
        self.monitor.measure()
        self.sampler.restart()  # after what that imports

    def _sample(self) -> None:
        """Run the first items here until it is clear what they are, or they end."""
        while self.state is State.SAMPLING and not self.scheduler.window_failed:
            # What moves may be what an item's result is, or holds: it is the consumer's until the next pull.
            most = 1 if self.source.restless else self.options.buffersize
            if most is not None and self.scheduler.window.ready >= most:
                return  # the window is full; sampling goes on when results are taken
            if not self._run_here(most and most - self.scheduler.window.ready):
                return

    def _run_here(self, most: int | None = None) -> bool:
        """Run a block here and learn from it; False when there is none for us."""
        most = most or self.options.buffersize
        size = min(self._size, most) if most else self._size
        if self._keep is not None:
            size = 1  # what is finished is kept before the next item begins
        sampling = self.state is State.SAMPLING
        self._refill(size)
        looks = sampling and size == 1 and self.options.looks
        compare = self.sampler.look_around(self.source) if looks else None
        task = self.scheduler.take_here(self._here, self._slot, size)
        if task is None:
            return False
        self._inline.live = self._live(task)
        block, result = self._inline.run(task)
        if block.short:
            self.scheduler.cut_here(task, len(block.out))
        if self._inline.sampling and len(block.out) >= SOME:
            self._share_contexts()
        self.scheduler.completed_here(self._slot, task, result)
        if compare is not None:
            compare(block)
        self._look_back(block, result)
        return True

    def _live(self, task: Task) -> list[Any] | None:
        """The caller's own list, if a task lies in it, and calls might change it."""
        live = self.source.live()
        if live is None or (self.sampler.effects is None and self.sampler.harmless):
            return None
        fresh = task.place + len(task.items) == self.source.position and not task.attempt > 1
        return live if fresh and len(live) >= self.source.position else None

    def _look_back(self, block: Block, result: TaskResult) -> None:
        if self._here.state is not TrackState.OPEN:
            self.sampler.add(block)  # the monitor has decided meanwhile
        elif self.state is State.SAMPLING:
            self._learn(block)
        elif self.state is State.INLINE and block.error is None:
            self._check(block)

    def _learn(self, block: Block) -> None:
        self.sampler.add(block)
        item, seconds = self.sampler.item_s, self.sampler.total_s
        rest = self.remaining()
        if self.sampler.importing():  # a first call like that says nothing about the rest
            self.monitor.measure()
            self.sampler.restart()
        elif rest is not None and rest * item < TRIFLE_S:
            self._stay("too small to gain", rest)
        elif item < CRUMB_S and seconds > CRUMBS_S:
            if self.options.free:
                self._stay("items shorter than sending them anywhere", rest)
            elif not self.source.restless:
                self._decide()
        elif seconds >= BUDGET_S and not self.source.restless:
            self._decide()
        elif block.wall_s < BLOCK_S / 4:
            self._size = min(4 * self._size, max(1, int(BLOCK_S / 4 / max(item, 1e-9))))

    def remaining(self) -> int | None:
        """Items that have not begun, or None if unknown."""
        rest = self.source.remaining()
        return None if rest is None else rest + self.scheduler.queue.items

    def _stay(self, words: str, rest: int | None) -> None:
        """The short way to a serial plan, for items that are over before a verdict is."""
        with self._lock:
            if self.state is not State.SAMPLING:
                return
            item = self.sampler.item_s
            self.profile = self.sampler.brief(rest)
            seen = self.sampler.effects.hazards() if self.sampler.effects is not None else ()
            said = "; ".join([f"{words}: {spell(item)} per item", *map(str, seen)])
            self.plan = Plan(SERIAL, seconds=item * (rest or 0), reason=said, hazards=seen)
            self.go(State.INLINE)
        self._go_serial(rest)

    def _decide(self) -> None:
        """Decide in the caller's thread, between two items."""
        sample = self.sampler.sample(self.monitor, self.remaining())
        try:
            plan, profile = self.planner.plan(sample, self.sampler, fork=True)
        except OSError as error:  # the machine cannot even be asked: no file can be opened
            words = f"stays in the caller's thread, as nothing can be opened here ({error})"
            self._stay(words, sample.remaining)
            return
        if self._unsure(plan, profile):
            return
        with self._lock:
            if self.state is not State.SAMPLING:
                return
            self.plan, self.profile = plan, profile
            if plan.backend == SERIAL:
                self.go(State.INLINE)
        if plan.backend == SERIAL:
            self._go_serial(self.remaining())
        else:
            self.monitor.stop()  # a process that has threads must not fork
            self._open_pool(plan, profile, fork=True)

    def _unsure(self, plan: Plan, profile: Profile) -> bool:
        """Whether some more items should be watched before a verdict that is easily wrong."""
        if self.source.unsure:
            self._size = 1
            return True
        if self._unseen(plan):
            self._size = 1  # each by itself: what they change is looked at
            return self.remaining() != 0
        if profile.kind is WorkKind.PARALLEL and self.sampler.total_s < 4 * BUDGET_S:
            return True  # BLAS threads spin for a while even when nobody calls them
        return self.monitor.unproven(plan, profile)

    def _unseen(self, plan: Plan) -> bool:
        """Whether too few items were looked at to send the rest to other processes, or to refuse that."""
        elsewhere = not row(plan.backend).in_process
        refused = plan.backend == SERIAL and bool(plan.hazards)
        return self.options.looks and (elsewhere or refused) and not self.sampler.settled

    def _go_serial(self, rest: int | None) -> None:
        self._expected_s = self.sampler.item_s
        self._size = self._block_size(self._expected_s)
        self._share_contexts()
        if rest == 0:
            self.monitor.stop()
        else:
            self.monitor.guard(self._expected_s * self._size)

    def _share_contexts(self) -> None:
        """Let the items of a block share a context, where neither code nor sample sets a variable."""
        self._inline.sampling = False
        if not self.spec.sets and not may_set_variables(self.call):
            self.spec.together = True

    def _block_size(self, item_s: float) -> int:
        most = min(self.options.buffersize or MOST, MOST, int(BLOCK_BYTES / self.sampler.result_bytes))
        return max(1, min(most, int(BLOCK_S / max(item_s, 1e-9))))

    # The monitor's thread ---------------------------------------------------------------------------------

    def _early(self, seen: Seen) -> bool:
        """Decide while an item still runs in the caller's thread; True when the rest was taken over."""
        with self._lock:
            if self.state not in (State.SAMPLING, State.INLINE):
                return False
            if self.state is State.INLINE:  # a serial run met an item unlike the ones before
                self.sampler.restart()
            if self.source.restless:
                return False  # the next item is pulled when the result of this one has been taken
            if self.sampler.importing() and not seen.waiting and seen.running_s < 0.5:
                return False  # a first call that imports says nothing about the rest
            with self.sampler.own_imports():
                sample = self.sampler.sample(self.monitor, self._rest_of_block(), seen)
                block = self._inline.block
                try:
                    plan, profile = self.planner.plan(sample, self.sampler, fork=False, block=block)
                except OSError:  # the machine cannot even be asked now: between two items it is tried again
                    return False
            spinning = profile.kind is WorkKind.PARALLEL and seen.running_s < BUDGET_S
            if plan.backend == SERIAL or spinning or self._unseen(plan) or self._better_forked(plan, seen):
                return False
            if plan.alone:  # amid an item the process may not be what workers should find
                return False
            return self._take_over(plan, profile, seen)

    def _rest_of_block(self) -> int | None:
        rest, block = self.remaining(), self._inline.block
        if rest is None or block is None:
            return rest
        return rest + max(0, len(block.items) - len(block.out) - 1)

    def _better_forked(self, plan: Plan, seen: Seen) -> bool:
        """Whether to wait until the item has ended: then worker processes can be forked."""
        forks = row(plan.backend).forks and self._in_main and self.options.free
        return forks and seen.running_s < self.planner.patience_s()

    def _take_over(self, plan: Plan, profile: Profile, seen: Seen) -> bool:
        """Open a pool for everything but the item that runs in the caller's thread."""
        with self.sampler.own_imports():
            from .pool import Pool

            pool = Pool(self, plan, profile)
            if not pool.open(fork=False):
                return False
            self.plan, self.profile, self._pool = plan, profile, pool
            self.go(State.OVERLAPPED, drains=self._here)
            found = self._inline.steal()
            if found is not None:
                self.scheduler.give_back(self._slot, *found)
            pool.narrow(waiting=seen.waiting)
            pool.begin()
        return True

    def _tend(self) -> float:
        """Open further what was opened while the caller's thread still finishes its item."""
        with self._lock:  # the caller's thread, when it is back, waits until this is done
            if self._pool is None or self.state is not State.OVERLAPPED:
                return SLICE_S
            cpu, wait = self.monitor.block_times()
            if self.sampler.importing():
                cpu = 0.0  # a first call that imports says nothing about the others
            with self.sampler.own_imports():
                return self._pool.tend(cpu, wait)

    def _tick(self) -> float:
        return self.scheduler.tick()

    def _crashed(self, error: BaseException) -> None:
        self.scheduler.crashed(error)

    # Pools ------------------------------------------------------------------------------------------------

    def _open_pool(self, plan: Plan, profile: Profile, *, fork: bool) -> None:
        """Hand the rest to a pool; if it cannot be opened, to another one, or go on here.

        Raises:
            Exception: what kept a backend that the caller asked for by name from being opened.
        """
        from .pool import Pool

        with self.sampler.own_imports():
            pool = Pool(self, plan, profile)
            opened = pool.open(fork=fork)
        if not opened:
            self._pool_failed(pool)
            return
        self.plan, self.profile, self._pool = plan, profile, pool
        helps = self._may_help(pool)
        if helps and self._here.state is TrackState.PLANNED:
            self.go(State.HELPING, opens=self._here)
        elif helps and self._here.state is TrackState.OPEN:
            self.go(State.HELPING)
        else:
            self.go(State.POOLED, drains=self._here)
        pool.begin()

    def _may_help(self, pool: Pool) -> bool:
        """Whether the caller's thread may run items while no worker is ready: its core has nothing to do."""
        free = self.options.free and not (self.options.in_process or self.is_async)
        by_itself = self.options.item_timeout is None and self.options.size is None
        return free and by_itself and pool.starting and not pool.plan.alone

    def _pool_failed(self, pool: Pool) -> None:
        """A pool cannot be had: the work stays here, unless that backend was asked for.

        Raises:
            BaseException: why it cannot be opened, if the caller asked for it by name.
        """
        error = pool.track.error
        assert error is not None
        named = self.options.backend not in (AUTO, THREADS) or self.is_async
        if named or self.options.item_timeout is not None:
            raise error
        self._pool = None
        if self._here.state not in (TrackState.PLANNED, TrackState.OPEN):
            self._come_back()
        words = f"stays in the caller's thread: no {pool.plan.backend} can be started here ({error})"
        self.plan = Plan(SERIAL, reason=words)
        opens = self._here if self._here.state is TrackState.PLANNED else None
        self.go(State.INLINE, opens=opens)
        self._size, self._expected_s = 1, pool.profile.wall_s

    def back_here(self, plan: Plan, profile: Profile) -> None:
        """The rest is for the caller's own thread again."""
        self._come_back()
        self.plan, self.profile, self._pool = plan, profile, None
        self.go(State.INLINE, opens=self._here)
        self._size, self._expected_s = 1, profile.wall_s
        self._share_contexts()

    def _come_back(self) -> None:
        """Another track for the caller's own thread: one that was drained never reopens."""
        self._here = Track(SERIAL, self.scheduler.queue, 1, _no_chunks(), threaded=False)
        self._here.backend = self._inline
        self._slot = self._here.add()
        if not self.options.attended:
            self.scheduler.attend(None)  # single calls were attended to for the plan's sake

    def replan(self, profile: Profile) -> Plan | None:
        """The plan for a corrected profile, if it is another one."""
        if self.is_async:
            return None
        with self.sampler.own_imports():
            try:
                plan = self.planner.replan(profile, self.sampler, self._inline.block)
            except OSError:  # the machine cannot even be asked: what works goes on
                return None
        old = self.plan
        if old is None or plan.backend == old.backend:
            return None
        if self.options.looks and not (row(plan.backend).in_process or self.sampler.settled):
            return None  # nobody has seen what items change
        if plan.backend == SERIAL and (self._not_here or plan.seconds < 10 * TRIFLE_S):
            return None  # the workers will be done before it matters
        return replace(plan, reason=f"planned again: {plan.reason}")

    @property
    def _not_here(self) -> bool:
        """Whether the rest may not come back to the caller's thread.

        Items cannot be given up there, or heavy ones have gone ahead of their turn.
        """
        return self.options.item_timeout is not None or self.options.size is not None

    def _change(self, plan: Plan, profile: Profile, *, alone: bool = False) -> None:
        """Drain the pool; if workers are to be forked, the next one waits until the threads are gone."""
        pool = self._pool
        assert pool is not None
        _note(f"{self.plan.backend if self.plan else ''} -> {plan}")
        if self.state is State.OVERLAPPED:  # the pool that follows is there already
            self.scheduler.change(drains=[pool.track])
        else:
            self.go(State.CHANGING, drains=pool.track)
        if self._here.state is TrackState.OPEN:
            self.scheduler.change(drains=[self._here])
        pool.follow(plan, profile, alone=alone)
        if self.state is State.OVERLAPPED:
            self._go_on()

    def _go_on(self) -> None:
        """The pool that was drained may be followed now."""
        pool = self._pool
        assert pool is not None
        if pool.next_plan is None or not pool.may_be_followed():
            return
        plan, profile = pool.next_plan, pool.next_profile
        pool.next_plan = None
        pool.backend_close()
        profile = replace(profile, remaining=self.remaining())
        if plan.backend == SERIAL:
            self.back_here(plan, profile)
            return
        spare = pool.spare
        if spare is not None:
            self.plan, self.profile, self._pool = plan, profile, spare
            if self.state is State.CHANGING:
                self.go(State.POOLED)
            spare.begin()
            return
        if pool.waited:
            self.monitor.stop()
        self._open_pool(plan, profile, fork=True)
        self.scheduler.tick()

    def _rejoin(self) -> None:
        """The caller's thread is back from its item, while a pool has the rest."""
        with self._lock:
            self.go(State.POOLED)
            pool = self._pool
            assert pool is not None
        self.monitor.rest()
        if self.profile is not None and self.profile.partial:
            gil = self.planner.machine.gil
            self.profile, wrong = self.sampler.refreshed(self.profile, gil=gil)
            pool.first_ended(self.profile, importing=self.sampler.importing())
            if wrong and self.state is State.POOLED and pool.next_plan is None:
                self._reconsider(self.profile)
        else:
            pool.open_up()

    def _reconsider(self, profile: Profile) -> None:
        plan = self.replan(profile)
        if plan is not None:
            self._change(plan, profile)

    # Results ----------------------------------------------------------------------------------------------

    def next_block(self) -> list[Any] | BaseException:
        """The next results in a list, or the error of an item, which the caller is to see in its place.

        Raises:
            StopIteration: when there are no more.
            TimeoutError: if the deadline passes.
            AutoexecError: in a process that was forked meanwhile.
            BaseException: what ended the run, Ctrl-C included.
        """
        self.check_process()
        if self.scheduler.within:  # a finalizer or a signal handler: the run itself has done nothing wrong
            raise nested()
        with self._reading:
            self._reader = get_ident()
            try:
                return self._next_block()
            finally:
                self._reader = 0

    def _next_block(self) -> list[Any] | BaseException:
        over = False
        try:
            while not self._pending:
                found = self._next_outcomes()
                failures = self._keep is not None or self.scheduler.window.failures
                self._pending += self.sink.parts(found, failures=failures)
        except StopIteration:
            over = True
        except BaseException:
            self.finish(early=True)
            raise
        if over:  # out here: a Ctrl-C that ends this has nothing to do with the end of the results
            self.finish(early=self._interrupted or self._cut_short)
            if self._doubts:
                words, self._doubts = self._doubts, ""
                raise EffectLost(f"{words}: results may differ from those of a loop. {EffectLost.instead}")
            raise StopIteration
        part = self._pending.popleft()
        if isinstance(part, BaseException):
            self.finish(early=True)
        return part

    def _next_outcomes(self) -> list[Any]:
        if self._ended or self._interrupted:
            raise StopIteration
        return next(self._merged) if self._merged is not None else self._take()

    def _blocks(self) -> Iterator[list[Any]]:
        """What comes out of the tables, for the journal to put known results between."""
        while True:
            try:
                block = self._take()
            except StopIteration:
                return
            yield block

    def _take(self) -> list[Any]:
        """Finished items; whatever is to be done for that is done here.

        Raises:
            StopIteration: at the end.
        """
        while True:
            self.check_process()  # an item that ran here may have forked
            found = self.scheduler.take()
            if isinstance(found, list):
                self._look_after(found)
                return found
            if self._ended:  # a signal handler, a finalizer or an item has closed it meanwhile
                raise StopIteration
            if found is END or self._interrupted:
                self._settle_plan()
                if self.source.error is not None and not self._interrupted:
                    raise self.source.error
                raise StopIteration
            self._check_deadline()
            self._work()

    def _look_after(self, found: list[Any]) -> None:
        """Before results are handed over: keep workers busy meanwhile, and see whether the plan holds."""
        if self.state in (State.POOLED, State.HELPING):
            self._refill(0)

    def _settle_plan(self) -> None:
        """The input ended while it was sampled."""
        if self.plan is None:
            self.profile = self.sampler.brief(0)
            found = "all items were run while they were measured"
            self.plan = Plan(SERIAL, reason=found if self.sampler.items else "nothing was left to run")

    def _work(self) -> None:
        """There is nothing to hand out: run an item here, pull from the input, change the plan, or wait."""
        pool = self._pool
        if self.state is State.OVERLAPPED:
            self._rejoin()
        elif pool is not None and pool.track.state is TrackState.FAILED and pool.next_plan is None:
            self._pool_failed(pool)
        elif not (self._work_here(self.state) or self._refill() or self._watch_pool()):
            self._wait()

    def _work_here(self, state: State) -> bool:
        """Do what the state asks of this thread; False if it has nothing to do."""
        if state is State.CHANGING:
            self._go_on()
            return self.state is not State.CHANGING
        if state is State.HELPING and not self._still_helps():
            return True
        if state not in (State.SAMPLING, State.INLINE, State.HELPING):
            return False
        if state is State.SAMPLING and self.source.restless and self.sampler.total_s >= BUDGET_S:
            self._decide()  # now that no result is left here which a pool's pull might change
            if self.state is not State.SAMPLING:
                return True
        return self._run_here() or (state is State.SAMPLING and self._waits_its_turn())

    def _still_helps(self) -> bool:
        assert self._pool is not None
        if self._pool.starting:
            return True
        self.go(State.POOLED, drains=self._here)
        return False

    def _waits_its_turn(self) -> bool:
        """Whether calls are held back by a rate or a pause: then the rest is for threads, which may wait."""
        if self.sink.limits is None or self.options.backend not in (AUTO, THREADS):
            return False
        if not (self.scheduler.queue.items or self.scheduler.retries) or self.scheduler.busy:
            return False
        if any(hazard.here_only for hazard in self.planner.hazards()):
            return False
        self.monitor.stop()
        plan, profile = self.planner.direct(self.remaining())
        self._open_pool(replace(plan, reason="calls wait for their turn"), profile, fork=False)
        return True

    def _watch_pool(self) -> bool:
        """See whether the work contradicts the plan, or wants a wider window; whether it now has another."""
        pool = self._pool
        if pool is None or self.state not in (State.POOLED, State.HELPING):
            return False
        pool.look()
        settled = self.state is State.POOLED and pool.next_plan is None
        if self.planner.unsent and pool.next_plan is None and not row(pool.plan.backend).in_process:
            self.change_to(Plan(SERIAL, reason=self.planner.unsent), pool.profile)
        elif settled and (profile := pool.drifted(self.remaining())) is not None:
            self._reconsider(profile)
        return pool.next_plan is not None or pool.widen()

    def change_to(self, plan: Plan, profile: Profile, *, alone: bool = False) -> None:
        """Change the plan, as the pool's own account asks for.

        Args:
            plan: the next one.
            profile: what that rests on.
            alone: whether no call of the pool is out.
        """
        if self.state in (State.POOLED, State.HELPING, State.OVERLAPPED):
            self._change(plan, profile, alone=alone)

    def _wait(self) -> None:
        now = self._clock()
        seconds = SLICE_S
        if self._deadline is not None:
            seconds = min(seconds, max(0.0, self._deadline - now))
        if self._pool is not None:
            seconds = min(seconds, self._pool.due_s())
        due = self.scheduler.due
        seconds = min(seconds, max(0.0, due - now))
        rung = self.scheduler.wait(seconds)
        if self._clock() >= due:
            self.scheduler.tick()
        if not rung:
            self._watch_over(self.scheduler.stuck())

    def _watch_over(self, mark: tuple[int, ...] | None) -> None:
        """Say so, once, when for a second nothing has moved although something could.

        Args:
            mark: see `Scheduler.stuck`.

        Raises:
            AutoexecError: instead, where the environment has AUTOEXEC_STRICT.
        """
        now = self._clock()
        if mark != self._mark:
            self._mark, self._marked = mark, now
        if mark is None or now - self._marked < STUCK_S:
            return
        self._marked = math.inf
        words = self.scheduler.stuck_words()
        if os.environ.get("AUTOEXEC_STRICT"):
            raise AutoexecError(words)
        _log().warning("%s", words)

    def _refill(self, least: int | None = None) -> bool:
        """Pull items from the caller's iterator for the workers; whether there were any.

        Args:
            least: items that are enough; None pulls as many as there is room for, in a short time.
        """
        source = self.source
        if source.ended or (least is not None and source.at_hand > least):
            return False
        until, got, batch = 0.0, False, self._batch()
        while True:
            count = self.scheduler.to_pull()
            if least:
                count = min(count, least - source.at_hand)
            if count <= 0:
                return got
            items = self._inline.apart(source.pull, min(count, batch))
            if items:
                got = True
                self.scheduler.stock(items)
            if self.source.ended or not items or (least and count == 1):
                return got
            now = self._clock()
            until = until or now + PULL_S
            if now > until and (least or self.scheduler.window.due or self.scheduler.enough_out()):
                return got
            if least:
                batch *= 2  # a slow iterator must not hold back results for long

    def _batch(self) -> int:
        """Items of one pull: a few, so that a slow iterator does not hold back results, or a task."""
        return max(1, self._pool.track.chunks.size if self._pool is not None else 1)

    def _check(self, block: Block) -> None:
        """Let the block size follow a serial run, and look closer when its items have changed."""
        item = block.wall_s / max(1, len(block.out))
        if self.options.backend == SERIAL:
            self._size = min(self._block_size(item), 4 * self._size)
            return
        if block.wall_s > TRIFLE_S and item > 10 * self._expected_s:
            rest = self.remaining()
            if rest is None or rest * item > BUDGET_S:
                self.go(State.SAMPLING)
                self.spec.together = False
                self._start_sampling()
                return
        self._size = min(self._block_size(item), 4 * self._size)
        self.monitor.expected_s = item * self._size

    def _check_deadline(self) -> None:
        """Results that are there already are delivered, however late.

        Raises:
            TimeoutError: if the time is over.
        """
        if self._deadline is not None and self._clock() > self._deadline:
            raise TimeoutError("the results were not complete within timeout=")

    # The end ----------------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """What happened so far."""
        return self.sink.stats(self._clock())

    @property
    def elsewhere(self) -> bool:
        """Whether this process was forked from the one whose run this is: its threads and locks are there."""
        return self._generation != generation()

    def check_process(self) -> None:
        """Refuse to hand out results in a process that was forked meanwhile.

        Raises:
            AutoexecError: in such a process.
        """
        if self.elsewhere:
            raise AutoexecError("these results belong to the process that forked")

    def interrupt(self) -> None:
        """End the results, from another thread, while the consumer waits for one."""
        self._interrupted = True
        self.scheduler.ring()

    def abandon(self) -> None:
        """Nobody holds the results any more: nothing more begins. From a finalizer: nothing is waited for."""
        if not self.let_go:
            self.close(wait=False)

    def close(self, *, wait: bool = True) -> None:
        """End the run, from anywhere; in a thread of its own, or amid our code, another does it.

        Args:
            wait: whether anything may be waited for.
        """
        from .reentrancy import in_the_midst

        if (whose() is self.scheduler or in_the_midst()) and not self.elsewhere:
            self.end()
            self._finish_elsewhere()
        else:
            self.finish(early=True, wait=wait)

    def end(self) -> None:
        """Nothing more begins, and nothing is waited for; whoever takes results is told of the end."""
        if self.elsewhere:
            return
        self._ended = self._cut_short = True
        self.scheduler.close()
        self.monitor.dismiss()

    def finish(self, *, early: bool, wait: bool = True) -> None:
        """Let everything go: the monitor, the workers, the bar. Ctrl-C ends the waiting, and not the rest.

        Args:
            early: whether results are still missing; what has not begun is then cancelled.
            wait: whether anything may be waited for.
        """
        try:
            self._finish(early=early, wait=wait)
        except KeyboardInterrupt:
            self._finish(early=True, wait=False)
            raise

    def _finish(self, *, early: bool, wait: bool) -> None:
        if self.elsewhere or (self.let_go and _exiting):
            return
        first, self._ended = not self._ended, True
        self._cut_short = self._cut_short or early
        self.state = State.DONE
        self.scheduler.close()
        self.monitor.dismiss()
        if self.scheduler.within:  # nothing can be waited for in the middle of something
            self._finish_elsewhere()
            return
        if wait and not sys.is_finalizing():
            self.monitor.end()
        # With a journal, what runs is waited for: its results are kept.
        wait = self._keep is not None or (wait and (not early or self.patient))
        for track in self.scheduler.tracks:
            if track.backend is not None and track is not self._here:
                track.backend.close(wait=wait, kill=early)
        if first and self._planner is not None:
            self._remember(self._planner, early)
        self._pending.clear()
        self.source.let_go()
        if self.spec.surround is not None:
            self._doubts = self._doubts or self.spec.surround.over()
        close_here()
        if self._keep is not None:
            if self._reader != get_ident() and not _exiting:
                with self._reading:  # the item that the consumer runs itself is kept, too
                    pass
            self._keep.close()
        self.sink.close()
        self.let_go = True

    def _finish_elsewhere(self) -> None:
        """The rest of the end, in a thread of its own; at interpreter shutdown there is none to be had."""
        with contextlib.suppress(RuntimeError):
            start_new_thread(lambda: self.finish(early=True), ())

    def _remember(self, planner: Planner, early: bool) -> None:
        """What the run has shown: to later plans, and in this one's reason."""
        if not early:
            planner.learn()
        words = planner.afterwards
        if self.spec.sets:
            words.append(f"items set context variables ({self.spec.sets}): each runs in a context of its own")
        if self.plan is not None and any(words):
            self.plan = replace(self.plan, reason="; ".join([self.plan.reason, *filter(None, words)]))


_live: set[ref[Run]] = set()
_exiting: list[bool] = []


@atexit.register
def _let_all_go() -> None:
    """At exit, while threads still run: later a finalizer might wait for a lock that nobody gives back."""
    _exiting.append(True)
    for known in list(_live):
        if (run := known()) is not None:
            run.abandon()


def _no_chunks() -> Chunks:
    """Tasks for the caller's own thread: as large as it says, up to the end, as it shares with nobody."""
    return Chunks(Plan(SERIAL), 1, single=False, window=None)


def _log() -> Logger:
    import logging

    return logging.getLogger("autoexec")


def _note(text: str) -> None:
    if "logging" in sys.modules:  # who has not imported it (11 ms) has not asked for more than warnings
        _log().info(text)
