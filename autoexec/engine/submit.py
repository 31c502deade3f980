"""Behind the executor: learn each function from its first calls, send the rest where they belong.

    submit ─► the function's first calls: a slot that is watched ─► planned ─► the route of that plan
          └─► later calls: that route at once

One scheduler serves all routes, so `max_workers=` holds over all of them. A route is a queue with the track
whose slots serve it.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import threading
import weakref
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from types import CodeType, FunctionType, MethodType

from ..backends.inline import InlineBackend
from ..checks import is_async
from ..decide import sizing
from ..errors import AutoexecError, WorkerDied
from ..frozen import replace
from ..introspect import bare, isa, name_of, static_attribute
from ..measure.facts import Facts
from ..own_thread import OwnThread
from ..own_time import time
from ..records import Machine, Plan, Profile, WorkKind
from ..registry import ASYNCIO, PROCESSES, SERIAL, THREADS, row
from ..resources import close_here
from ..worker.invoke import CallSpec, Task, TaskResult, run_task, serving
from . import fork_generation
from .call_specs import spec_of
from .limits import Limits
from .monitor import Monitor, Seen
from .planning import Planner
from .queues import TaskQueue
from .sampling import Sampler
from .scheduler import Scheduler
from .tracks import Chunks, Slot, Track, TrackState, track_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..backends.base import Backend
    from ..options import Options

__all__ = ["Submissions", "apply"]

LEARN_S = 0.020  # seconds of a function's calls to watch before it is routed
LEARN_CALLS = 256  # calls after which even a tiny function is known
POOL = 64  # threads for calls that neither wait nor gain: they may wait for each other
LEAST_S = 50e-6  # seconds of a call below which the number of threads is no matter of cores
KNOWN = 1024  # functions that are remembered
DEEP = 40  # calls that wait for calls in one thread, one inside the other
STUCK_S = 0.1  # seconds between two looks whether all threads sleep while calls wait
MORE = 8  # threads that are added then


def apply(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `func`; by name in every worker, so that only its arguments travel."""
    return func(*args, **kwargs)


class Helping(threading.Condition):
    """What those wait on who want a result: a worker among them runs the call itself, if nobody has begun it.

    Futures are the standard library's own; this stands where they have a plain condition.
    """

    def __init__(self, submissions: Submissions, task: Task) -> None:
        super().__init__()
        self.task: Task | None = task
        self._submissions = submissions

    def wait(self, timeout: float | None = None) -> bool:
        """Wait, as every condition does, unless the call has been run here meanwhile."""
        task = self.task
        if task is not None and serving.tasks is self._submissions.scheduler:
            future = task.future
            self.release()
            try:
                self._submissions.help(task)
            finally:
                self.acquire()
            # Somebody else may have done it meanwhile, when nobody waited who could be told; and what was
            # done here may still have to be told, by whoever is in the scheduler just now.
            if future.done():
                return True
        return super().wait(timeout)


class Route:
    """A queue, and the track whose slots serve it.

    Attributes:
        plan: what its track carries out.
        queue: where its calls wait.
        track: its track.
    """

    __slots__ = ("plan", "queue", "track")

    def __init__(self, plan: Plan, queue: TaskQueue, track: Track) -> None:
        self.plan, self.queue, self.track = plan, queue, track


class Submissions:
    """The calls of one executor.

    Args:
        options: the executor's.
        closed: told when all work is done and the workers are gone.
        clock: tells the time, as `time.monotonic` does.
        facts: what plans rest on beside the sample, asked when one is made.
        planner: makes what plans calls; None takes the library's own.
        monitor: makes what watches threads and keeps the time; None likewise.

    Attributes:
        scheduler: the tables.
        limits: what holds for single calls of all functions, where the options ask for attention; else None.
        lock: held while a route or a function is written down, and never while one is opened.
        ended: whether all is done: no further route is made.
    """

    def __init__(
        self,
        options: Options,
        closed: Callable[[Submissions], None] = lambda submissions: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        facts: Callable[[], Facts] | None = None,
        planner: Callable[..., Planner] | None = None,
        monitor: Callable[..., Monitor] | None = None,
    ) -> None:
        self.options, self._closed, self.clock = options, closed, clock
        self._facts, self._make_planner, self.make_monitor = facts, planner or Planner, monitor or Monitor
        self._closer: threading.Thread | None = None
        self._cancelling = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Nothing is there: at the beginning, and in a process that was forked."""
        options = self.options
        self._generation = fork_generation.generation()
        self.lock, self.ended = threading.RLock(), False
        self._functions: dict[Hashable, Known] = {}
        self._routes: dict[Hashable, Route] = {}
        self._spec = spec_of(apply, options, star=True)
        self._planner = self.make_planner(apply, self._spec)
        self._monitor = self.make_monitor(
            None, lambda seen: False, lambda: 1.0, self._tick, self._crashed, self.clock
        )
        self.scheduler = Scheduler(
            None,
            None,
            most=options.max_workers,
            ends_at_error=False,
            item_timeout=options.item_timeout,
            clock=self.clock,
            timer=self._monitor.wake_at,
        )
        self.scheduler.on_failed(self._failed)
        self.limits = Limits(options) if options.attended else None  # shared by all functions: so are rates
        self._stuck_at = 0.0

    def make_planner(self, func: Callable[..., Any], spec: CallSpec | None = None) -> Planner:
        """A planner for the calls of a function."""
        facts: Any = self._facts and self._facts()  # one that was handed in needs none
        return self._make_planner(func, self.options, None, spec, facts=facts)

    # Submitting -------------------------------------------------------------------------------------------

    def submit(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        about: Callable[..., Any] | None = None,
    ) -> Future[Any]:
        """Take a call.

        Args:
            func: what to call.
            args: its arguments.
            kwargs: its keyword arguments.
            about: the user's own function, inside what carries it.

        Raises:
            RuntimeError: if no worker can be had for it.
        """
        if self._generation != fork_generation.generation():
            self._begin_anew()
        future: Future[Any] = Future()
        task = Task(self._spec, 0, [(func, args, kwargs)])
        task.future, task.context = future, contextvars.copy_context()
        future._condition = Helping(self, task)
        self._put(self._route_of(about or func, task), task)
        return future

    def _route_of(self, about: Callable[..., Any], task: Task) -> Route:
        backend = self.options.backend
        if is_async(about):
            task.spec = self._async_spec()
            return self._route(self._planner.direct(None, ASYNCIO)[0], about)
        if self.options.item_timeout is not None and backend != PROCESSES:
            return self._route(self._planner.direct(None)[0], about)
        if not self.options.free:
            plan, _ = self._planner.forced(None)
            return self._route(plan, about)
        known = self._known(about)
        if known.plan is None or not known.hand_over(about):
            return known.route
        return self._route(known.plan_for(about), about)

    def _async_spec(self) -> CallSpec:
        return self._spec

    def _known(self, about: Callable[..., Any]) -> Known:
        key = identity(about)
        known = self._functions.get(key)
        if known is None:
            made = Known(about, self)
            with self.lock:
                if len(self._functions) >= KNOWN:
                    decided = next((k for k, v in self._functions.items() if v.plan is not None), None)
                    self._functions.pop(decided, None)
                known = self._functions.setdefault(key, made)
        known.hold(about)
        if known.route.track.state is TrackState.PLANNED:
            known.open()
        return known

    def _put(self, route: Route, task: Task) -> None:
        if self._cancelling and task.future.cancel():
            return
        queue = route.queue
        if queue.limits is not None:
            try:
                task.group = queue.limits.name_of(task.items[0][1], True)
            except Exception as error:
                task.future.set_exception(error)
                return
        self.scheduler.calls.put(task, queue)
        if route.track.state is TrackState.FAILED and not self._reroute(route, task):
            raise RuntimeError(str(route.track.error)) from route.track.error
        if queue.items:
            self._look_soon()

    def _reroute(self, route: Route, task: Task) -> bool:
        """Another way for a call whose route has failed; False if there is none."""
        if not self.scheduler.calls.take_back(task):
            return True  # somebody has it already
        with self.lock:
            self._routes = {key: other for key, other in self._routes.items() if other is not route}
            self._functions = {
                key: known for key, known in self._functions.items() if known.route is not route
            }
        if row(route.plan.backend).in_process or not self.options.free:
            return False
        task.group = None
        self._put(self._route(self._in_process(route.plan), apply), task)
        return True

    @staticmethod
    def _in_process(plan: Plan) -> Plan:
        words = f"no {plan.backend} can be started here; {plan.reason}"
        return replace(plan, backend=THREADS, reason=words)

    def _failed(self, track: Track) -> None:
        """A route has lost all its workers, or never had any: its calls go another way."""
        route = next((each for each in self._routes.values() if each.track is track), None)
        if route is None:
            return
        for task in self.scheduler.calls.waiting(route.queue):
            error: Exception = RuntimeError(str(track.error))
            error.__cause__ = track.error
            try:
                if self._reroute(route, task):
                    continue
            except (OSError, RuntimeError) as other:
                error = other
            if task.begin():  # else it was cancelled just now
                task.future.set_exception(error)

    def _route(self, plan: Plan, func: Callable[..., Any]) -> Route:
        if plan.backend == SERIAL:
            plan = replace(plan, backend=THREADS, max_workers=1)
        key: Hashable = plan.backend
        if plan.adaptive and self.limits is None:
            key = plan.backend, identity(func)  # what is learned of one function's other side is its own
        elif plan.backend == THREADS:
            key = plan.backend, plan.max_workers
        try:
            return self._opened(key, plan, func)
        except (OSError, RuntimeError, AutoexecError) as error:
            # No new threads at interpreter shutdown: one of ours may do for all. No new processes.
            ours = row(plan.backend).in_process and isinstance(error, RuntimeError)
            if not (ours or self.options.free):
                raise
            return self._opened(key, self._in_process(plan), func)

    def _opened(self, key: Hashable, plan: Plan, func: Callable[..., Any]) -> Route:
        """The route of that name, which is opened if there is none; meanwhile its calls wait."""
        known = self._routes.get(key)
        if known is not None and known.track.state is not TrackState.FAILED:
            return known
        made = self._made(plan)
        try:
            with self.lock:
                route = self._routes.get(key)
                if route is None or route is known:
                    route = self._routes[key] = made
            if route is made:
                self._open(made, func)
        except BaseException as error:
            self.scheduler.not_opened(made.track, error)
            raise
        return route

    def _made(self, plan: Plan) -> Route:
        limits = self.limits
        if plan.adaptive:
            limits = limits or Limits(self.options, gil=self._planner.machine.gil)
        queue = TaskQueue(limits)
        return Route(plan, queue, track_of(plan, queue, Chunks(plan, None, single=True, window=None)))

    def _open(self, route: Route, func: Callable[..., Any]) -> None:
        """Open a route, without the lock: others go on meanwhile, a finalizer in this thread among them."""
        plan, track, limits = route.plan, route.track, route.queue.limits
        if plan.adaptive and limits is not None:
            shared = limits
            self.scheduler.tell_limits(lambda: shared.adapt(plan.max_workers, None, None, 0.0))

        name = name_of(func)

        def blocked(_: Task, seconds: float) -> None:
            words = limits.blocked(name, seconds) if limits is not None else None
            if words:
                import logging

                logging.getLogger("autoexec").warning("%s", words)

        track.state = TrackState.OPENING
        self.scheduler.change(opens=[track])
        backend = self._planner.open(plan, self.scheduler, track, fork=False, blocked=blocked)
        track.backend = backend
        self.scheduler.opened(track)
        with self.lock:
            late = self.ended
        if late:  # whoever ended it may not have seen this one
            self.scheduler.change(drains=[track])
            backend.close()

    # Calls that wait for calls ----------------------------------------------------------------------------

    def help(self, task: Task) -> bool:
        """Run a call that nobody has begun in this thread, a worker that waits for it; whether it was run."""
        # It takes the time that it takes: nobody else could go on with what this thread does.
        track = Track("helping", TaskQueue(), 0, _single(), threaded=False, bounded=True, ends_late=True)
        slot = Slot(track, threaded=False)
        if serving.depth >= DEEP:
            self._help_in_a_thread(task)
            return False
        if not self.scheduler.calls.take_over(slot, task):
            return False
        serving.depth += 1
        try:
            result = run_task(task.spec, task, "a worker that waited for it")
        finally:
            serving.depth -= 1
        self.scheduler.completed(slot, task, result, ask=False)
        return True

    def _help_in_a_thread(self, task: Task) -> None:
        """The same where this thread's stack is deep enough: it waits; what it has made is at hand there."""

        def go_on() -> None:
            serving.tasks = self.scheduler
            try:
                self.help(task)
            except BaseException as error:
                self.scheduler.crashed(error)

        thread = OwnThread(contextvars.copy_context().run, (go_on,), "autoexec-helper", whose=self.scheduler)
        with contextlib.suppress(RuntimeError):  # no threads to be had: a worker comes to it, if one is free
            thread.start()

    def _look_soon(self) -> None:
        """Look after a while whether all threads sleep while calls wait: they may wait for these."""
        if self.options.max_workers is None and not self._stuck_at:
            self._stuck_at = self.clock() + STUCK_S
            self._monitor.wake_at(self._stuck_at)

    def _tick(self) -> float:
        due = self.scheduler.tick()
        if self._stuck_at and self.clock() >= self._stuck_at:
            self._stuck_at = 0.0
            with self.lock:
                routes = list(self._routes.values())
            waiting = False
            for route in routes:
                if route.queue.items and route.plan.backend == THREADS and route.plan.max_workers > 1:
                    waiting = True
                    self._grow_if_asleep(route.track)
            if waiting:
                self._look_soon()
        return min(due, self._stuck_at or math.inf)

    def _grow_if_asleep(self, track: Track) -> None:
        from ..measure.clocks import asleep

        threads = [slot.worker for slot in list(track.slots) if slot.tasks]
        if len(threads) >= track.most and all(thread is not None and asleep(thread) for thread in threads):
            self.scheduler.calls.enlarge(track, MORE)

    def _crashed(self, error: BaseException) -> None:
        self.scheduler.crashed(error)

    # Ending -----------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Cancel every call that has not begun."""
        self._cancelling = True
        for task in self.scheduler.calls.waiting():
            if task.future.cancel() and self.scheduler.calls.cancelled(task):
                task.future.set_running_or_notify_cancel()  # no worker will come to tell who waits for it

    def kill(self) -> None:
        """Cancel every call that has not begun, and end worker processes with what they run."""
        self.cancel()
        for route in list(self._routes.values()):
            if row(route.track.name).can_kill and route.track.backend is not None:
                self._kill(route, route.track.backend)

    def _kill(self, route: Route, backend: Backend) -> None:
        # First: then nobody asks supervisors, whose workers are ended, what became of their tasks.
        left = self.scheduler.calls.left(route.track)
        self.scheduler.change(drains=[route.track])
        backend.close(kill=True)
        left += [
            task for task in self.scheduler.calls.waiting(route.queue) if self.scheduler.calls.take_back(task)
        ]
        for task in left:
            if not task.future.done():
                task.future.set_exception(
                    WorkerDied("its worker was ended, since the program was interrupted")
                )

    def close(self, *, wait: bool) -> None:
        """Finish what was submitted and end the workers.

        Args:
            wait: until that has happened; else it happens in the background.
        """
        if self._generation != fork_generation.generation():
            return
        if not wait:
            self._closer = OwnThread(self._finish, name="autoexec-closer")
            try:
                self._closer.start()
            except RuntimeError:  # no new threads at interpreter shutdown
                self._closer = None
                self._finish()
        elif self._closer is not None:
            self._closer.join()
        else:
            self._finish()

    def _finish(self) -> None:
        self.scheduler.close(finish=True)
        self.scheduler.calls.join()
        with self.lock:
            self.ended = True
        self.scheduler.calls.join()  # a route may have been opened just now, by who learns: it ends, too
        for track in list(self.scheduler.tracks):
            if track.backend is not None:
                track.backend.close()
        self._monitor.end()
        self._closed(self)

    def describe(self) -> dict[str, Plan]:
        """What was decided so far, by function name."""
        with self.lock:
            known = list(self._functions.values())
        return {each.name: each.plan for each in known if each.plan is not None}


class Known:
    """What is known of a function; as long as that is nothing, its calls run in a slot that is watched.

    It holds the function, and what that holds, no longer than one of its calls is there to be learned from.

    Attributes:
        plan: where the function's calls go, or None while that is open.
        profile: what one call costs, or None.
        route: where its first calls go.
        handed_over: whether later ones go where the plan says.
    """

    name, starting = "learning", False

    def __init__(self, func: Callable[..., Any], submissions: Submissions) -> None:
        self.name = name_of(func)
        self.plan: Plan | None = None
        self.profile: Profile | None = None
        self.handed_over = False
        self._submissions = submissions
        self._func: Callable[..., Any] | None = None
        self._learned = _weak(func)
        self._sampler = Sampler(func, lambda item: (item[1], item[2]))
        self._inline = InlineBackend(submissions._spec, submissions.clock)
        self._lock = threading.Lock()
        self._monitor: Monitor | None = None
        queue = TaskQueue(submissions.limits)
        track = Track("learning", queue, 1, _single(), elastic=True)
        track.backend = self
        self.route = Route(Plan(THREADS), queue, track)

    def hold(self, func: Callable[..., Any]) -> None:
        """A call of it is on its way; what is learned is learned of this one."""
        if self.plan is None:
            self._func, self._learned = func, _weak(func)

    def open(self) -> None:
        """The thread that is watched may come."""
        track, scheduler = self.route.track, self._submissions.scheduler
        scheduler.change(opens=[track])
        scheduler.opened(track)

    # A backend of one thread ------------------------------------------------------------------------------

    def start(self, slot: Any) -> None:
        """Start the thread that is watched.

        Raises:
            RuntimeError: if it cannot be had.
        """
        thread = OwnThread(self._work, (slot,), "autoexec-learner", whose=self._submissions.scheduler)
        slot.worker = thread
        thread.start()

    def ring(self, rung: Any) -> None:
        """Its thread waits at its gate."""

    def recall(self) -> None:
        """Nothing is given to it ahead."""

    def abandon(self, slot: Any, task: Task) -> None:
        """A thread cannot be ended."""

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """Wait until the thread is gone."""
        for slot in list(self.route.track.slots):
            thread = slot.worker
            if wait and thread is not None and thread is not threading.current_thread():
                thread.join()

    def costs(self) -> dict[str, float]:
        """Nothing was measured."""
        return {}

    def _work(self, slot: Slot) -> None:
        scheduler = self._submissions.scheduler
        serving.tasks = scheduler
        monitor = self._monitor = self._submissions.make_monitor(
            self._inline, self._early, lambda: 1.0, scheduler.tick, scheduler.crashed, scheduler.clock
        )
        monitor.measure()
        if not self._sampler.items:
            self._sampler.restart()  # after what that imports
        try:
            self._serve(slot, monitor)
        except BaseException as error:
            scheduler.crashed(error)
        finally:
            monitor.stop()
            close_here()
            scheduler.gone(slot)

    def _serve(self, slot: Slot, monitor: Monitor) -> None:
        scheduler = self._submissions.scheduler
        task: Any = scheduler.next(slot)
        while isinstance(task, Task):
            self._run(slot, task, monitor)
            task = None
            task = scheduler.exchange(slot, idle=True)

    def _run(self, slot: Slot, task: Task, monitor: Monitor) -> None:
        if not task.begin():
            slot.finished = task, TaskResult([], withdrawn=True)
            return
        if self._func is None:
            self._func = task.items[0][0]
        block, result = self._inline.run(task, raises=False)
        self._sampler.add(block)
        slot.finished = task, result
        del task, block, result
        if self.plan is None and (self._sampler.total_s > LEARN_S or self._sampler.items >= LEARN_CALLS):
            self._decide(monitor)
        self._sampler.let_go()
        if self.plan is not None or not self.route.queue.items:
            self._func = None

    # Deciding ---------------------------------------------------------------------------------------------

    def _early(self, seen: Seen) -> bool:
        if self._sampler.importing() and not seen.waiting and seen.running_s < 0.5:
            return False
        monitor = self._monitor
        assert monitor is not None
        with self._sampler.own_imports():
            return self._decide(monitor, seen)

    def _decide(self, monitor: Monitor, seen: Seen | None = None) -> bool:
        func = self._func
        if func is None:  # its call has just ended
            return False
        sample = self._sampler.sample(monitor, None, seen)
        try:
            planner = self._submissions.make_planner(func)
            plan, profile = planner.plan(sample, self._sampler, fork=False)
        except OSError:  # the machine cannot even be asked now: after the next call it is tried again
            return False
        if seen is None and self.route.queue.items and monitor.unproven(plan, profile):
            return False
        free = plan.backend == THREADS or all(hazard.threads_ok for hazard in plan.hazards)
        if free and row(plan.backend).in_process:
            # Nobody waits for an executor's call in the caller's thread: even what gains nothing has to
            # run somewhere, and calls that wait for each other must be able to.
            plan = self._in_threads(plan, profile, planner.machine)
        with self._lock:
            if self.plan is None:
                self.plan, self.profile = plan, profile
                self.hand_over(func)
        return True

    def hand_over(self, func: Callable[..., Any]) -> bool:
        """The calls that wait go where the plan says, and no other one comes here.

        Args:
            func: the function, as one of its calls has it.

        Returns:
            False if no thread can be started there, as at interpreter shutdown: the one here goes on.
        """
        submissions = self._submissions
        scheduler = submissions.scheduler
        if self.handed_over or submissions.ended:
            return True
        assert self.plan is not None
        route = submissions._route(self.plan, func)
        track = route.track
        empty = track.state is TrackState.OPEN and track.elastic and not track.slots
        if empty and not scheduler.warm_up(track, 1):
            return False
        with submissions.lock:
            first, self.handed_over = not self.handed_over, True
        if first:
            scheduler.calls.move(self.route.queue, route.queue)
            scheduler.change(drains=[self.route.track])
        return True

    def _in_threads(self, plan: Plan, profile: Profile, machine: Machine) -> Plan:
        workers = self._submissions.options.max_workers
        if profile.kind in (WorkKind.IO, WorkKind.MIXED):
            cap = sizing.io_cap(machine, workers)
            return replace(plan, backend=THREADS, max_workers=cap, adaptive=True)
        if workers is None:
            computes = profile.kind is not WorkKind.TINY and profile.items > 1
            computes = computes and profile.wall_s > 20 * LEAST_S
            workers = sizing.cpu_workers(machine, None) if computes else POOL
        return replace(plan, backend=THREADS, max_workers=workers)

    def plan_for(self, func: Callable[..., Any]) -> Plan:
        """The plan for `func`: one of the same code may hold other objects than the one that was learned."""
        plan = self.plan
        assert plan is not None
        if row(plan.backend).in_process or func is self._learned() or _holds_nothing(func):
            return plan
        hazards = self._submissions.make_planner(func).hazards()
        if plan.threads == 1:
            hazards = tuple(hazard for hazard in hazards if not hazard.processes_ok)
        if not hazards:
            return plan
        stays = replace(plan, hazards=hazards, reason=f"stays in this process: {hazards[0]}")
        if any(not hazard.threads_ok for hazard in hazards):
            return replace(stays, backend=SERIAL, max_workers=1)
        return replace(stays, backend=THREADS)


def identity(func: Callable[..., Any]) -> Hashable:
    """What makes two callables the same function: its code, else its type and name."""
    func = bare(func)
    if isa(func, MethodType):
        func = func.__func__  # type: ignore[attr-defined]
    if isa(func, partial):
        return identity(func.func)  # type: ignore[attr-defined]
    code = static_attribute(func, "__code__", None)
    if type(code) is CodeType:
        return id(code), code
    call = getattr(type(func), "__call__", None)  # noqa: B004 (what is called, not whether it can be)
    code = static_attribute(call, "__code__", None)
    if type(code) is CodeType:
        return type(func), code
    return type(func), name_of(func)


def _weak(func: Callable[..., Any]) -> Callable[[], Callable[..., Any] | None]:
    """A way to it that does not keep it."""
    try:
        return weakref.ref(func)
    except TypeError:
        return lambda: None


def _holds_nothing(func: Callable[..., Any]) -> bool:
    """Whether the code says all there is to say of a function: no captured objects, no `self`."""
    func = bare(func)
    return type(func) is FunctionType and not func.__closure__


def _single() -> Chunks:
    return Chunks(Plan(THREADS), None, single=True, window=None)
