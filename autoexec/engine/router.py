"""Behind the executor: learn each function from its first calls, send the rest where they belong.

submit ─► Learner (one thread per function, watched like any loop) ─► decided ─► backend
└─ calls that come before the decision wait here, or run here
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from types import MethodType

from ..backends.base import Backend, Chunk, Deliver, Failure, Finished
from ..backends.registry import open_loop
from ..checks import is_async
from ..decide import sizing
from ..errors import WorkerDied
from ..frozen import replace
from ..records import Plan, Profile, WorkKind
from ..resources import close_here
from .director import Director, Seen
from .front import Attended, open_desk
from .hosts import Hosts
from .judge import Judge
from .loop import Loop
from .measured import Measured, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..options import Options

__all__ = ["Router", "apply"]

LEARN_S = 0.020  # seconds of a function's calls to watch before it is routed
LEARN_CALLS = 256  # calls after which even a tiny function is known
POOL = 64  # threads for calls that neither wait nor gain: they may wait for each other
LEAST_S = 50e-6  # seconds of a call below which the number of threads is no matter of cores


def apply(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `func`; by name in every worker, so that only its arguments travel."""
    return func(*args, **kwargs)


class Call:
    """One submission: a future, and what it is for."""

    __slots__ = ("about", "args", "func", "future", "kwargs", "way")

    def __init__(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        about: Callable[..., Any] | None = None,
    ) -> None:
        self.future: Future[Any] = Future()
        self.func, self.args, self.kwargs = func, args, kwargs
        self.about = about or func  # the user's own function, inside what carries it
        self.way = ""  # the backend that it was handed to

    def run(self, hosts: Hosts | None = None, apply: Callable[..., Any] = apply) -> Any:
        """Run here by `apply`, resolve the future; return the result, for whoever measures."""
        if not self.future.set_running_or_notify_cancel():
            return None
        try:
            if hosts is None:
                value = apply(self.func, self.args, self.kwargs)
            else:
                value = self._attended(hosts, apply)
        except BaseException as error:
            self.future.set_exception(error)
            return None
        self.future.set_result(value)
        return value

    def _attended(self, hosts: Hosts, apply: Callable[..., Any]) -> Any:
        """The result of a call that waits its turn and runs again where that is allowed."""
        value = Attended(lambda *args: apply(self.func, args, self.kwargs), hosts, star=True)(*self.args)
        if isinstance(value, Failure):
            raise value.error
        return value


def _prepared(options: Options) -> Callable[..., Any]:
    if options.initializer is None:
        return apply
    from ..backends.prepared import Prepared

    return Prepared(apply, options.initializer, options.initargs)


def _subject(chunk: Chunk) -> tuple[Any, bool]:
    return chunk.items[0][1], True


class Router:
    """Routes the calls of one executor.

    Args:
        options: the executor's.
        closed: told when all work is done and the workers are gone.

    Attributes:
        hosts: what is known of the other side, where single calls need attention; else None.
        apply: calls a function, in a worker that is prepared by the `initializer`.
    """

    def __init__(self, options: Options, closed: Callable[[Router], None] = lambda router: None) -> None:
        self._options = options
        self._closed = closed
        self._lock = threading.Lock()
        self._learners: dict[Hashable, Learner] = {}
        self._backends: dict[Hashable, Backend] = {}
        self._ending: dict[Hashable, Backend] = {}  # that are waited for
        self._calls: dict[int, Call] = {}
        self._ticket = 0
        self._judge = Judge(apply, options)
        self.hosts = Hosts(options) if options.attended else None  # shared by all functions: so are rates
        self.apply = _prepared(options)
        self._closer: threading.Thread | None = None
        self._cancelling = False

    # Submitting -------------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Take a call."""
        backend = self._options.backend
        if is_async(call.about):
            self.dispatch(call, self._judge.direct(None, "asyncio")[0])
            return
        if self._options.item_timeout is not None and backend != "processes":
            self.dispatch(call, self._judge.direct(None)[0])
            return
        if backend != "auto":
            plan, _ = self._judge.forced(None)
            self.dispatch(call, Plan("serial") if backend == "serial" else plan)
            return
        learner = self._learner(call.about)
        if learner.plan is None and learner.take(call):
            return
        self.dispatch(call, learner.plan_for(call.about))

    def _learner(self, func: Callable[..., Any]) -> Learner:
        key = identity(func)
        with self._lock:
            learner = self._learners.get(key)
            if learner is None:
                learner = self._learners[key] = Learner(func, self)
            return learner

    def dispatch(self, call: Call, plan: Plan) -> None:
        """Hand a call to the backend of a plan."""
        if self._cancelling and call.future.cancel():
            return
        with self._lock:
            self._ticket += 1
            ticket = self._ticket
            self._calls[ticket] = call
            call.way = plan.backend
            backend = self._backend(plan, call.about)
        backend.submit(
            Chunk(
                ticket,
                [(call.func, call.args, call.kwargs)],
                self.apply,
                star=True,
                begin=lambda: self._begin(ticket),
            )
        )

    def _begin(self, ticket: int) -> bool:
        with self._lock:
            call = self._calls[ticket]
        if call.future.set_running_or_notify_cancel():
            return True
        with self._lock:
            del self._calls[ticket]
        return False

    def _backend(self, plan: Plan, func: Callable[..., Any]) -> Backend:
        name: Hashable = plan.backend
        if plan.adaptive and self.hosts is None:
            name = plan.backend, identity(func)  # what is learned of one function's other side is its own
        elif plan.backend == "threads":
            name = plan.backend, plan.max_workers
        backend = self._backends.get(name)
        if backend is None:
            if plan.backend == "serial":
                plan = replace(plan, backend="threads", max_workers=1)
            try:
                backend = self._open(plan, func)
            except RuntimeError:  # no new threads at interpreter shutdown: this one does what is pending
                backend = self._open(replace(plan, backend="threads"), func)
            self._backends[name] = backend
        return backend

    def _open(self, plan: Plan, func: Callable[..., Any]) -> Backend:
        if not plan.adaptive and self.hosts is None:
            return self._judge.open(plan, self._deliver, fork=False)
        hosts = self.hosts or Hosts(self._options)

        def inner(deliver: Deliver) -> Backend:
            if plan.backend == "asyncio":
                return open_loop(
                    plan, deliver, loop=None, blocked=lambda _, s: hosts.blocked(name_of(func), s)
                )
            return self._judge.open(plan, deliver, fork=False)

        return open_desk(
            hosts, plan, None, self._deliver, inner, subject=_subject, gil=self._judge.machine.gil
        )

    def _deliver(self, finished: Finished) -> None:
        with self._lock:
            call = self._calls.pop(finished.chunk.start, None)
        if call is None:
            return
        value = finished.values[0] if finished.values else None
        if finished.error is not None:
            call.future.set_exception(finished.error)
        elif isinstance(value, Failure):
            call.future.set_exception(value.error)
        else:
            call.future.set_result(value)

    # Ending -----------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Cancel every call that has not begun."""
        self._cancelling = True
        with self._lock:
            calls = list(self._calls.values())
            learners = list(self._learners.values())
        for learner in learners:
            learner.cancel()
        for call in calls:
            call.future.cancel()

    def kill(self) -> None:
        """Cancel every call that has not begun, and end worker processes with what they run."""
        self.cancel()
        with self._lock:
            ends = {**self._ending, **self._backends}.get("processes")
        if ends is None:
            return
        ends.close(kill=True)
        with self._lock:
            lost = [ticket for ticket, call in self._calls.items() if call.way == "processes"]
            futures = [self._calls.pop(ticket).future for ticket in lost]
        for future in futures:
            if not future.done():
                future.set_exception(WorkerDied("its worker was ended, since the program was interrupted"))

    def close(self, *, wait: bool) -> None:
        """Finish what was submitted and end the workers.

        Args:
            wait: until that has happened; else it happens in the background.
        """
        if not wait:
            self._closer = threading.Thread(target=self._finish, name="autoexec-closer", daemon=True)
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
        with self._lock:
            learners = list(self._learners.values())
        for learner in learners:
            learner.join()
        with self._lock:
            self._ending, self._backends = self._backends, {}
        for backend in list(self._ending.values()):
            backend.close()
        self._closed(self)

    # What the learners need -------------------------------------------------------------------------------

    @property
    def options(self) -> Options:
        """The executor's options."""
        return self._options

    def describe(self) -> dict[str, Plan]:
        """What was decided so far, by function name."""
        with self._lock:
            learners = list(self._learners.values())
        return {learner.name: learner.plan for learner in learners if learner.plan is not None}


class _Queue:
    """Calls waiting for one function, in the shape of a feed."""

    star = False

    def __init__(self) -> None:
        self.calls: deque[Call] = deque()

    def take(self, count: int) -> tuple[int, Sequence[Any]]:
        return 0, [self.calls.popleft()] if self.calls else []

    def remaining(self) -> None:
        return None

    def give_back(self, start: int, items: Sequence[Any]) -> None:
        self.calls.extendleft(reversed(items))

    def first(self) -> int:
        return 0


class Learner:
    """Runs the first calls of a function in a thread of its own, watched, until it is clear what they are.

    Attributes:
        plan: where the function's calls go, or None while that is open.
        profile: what one call costs, or None.
    """

    def __init__(self, func: Callable[..., Any], router: Router) -> None:
        self.name = name_of(func)
        self.plan: Plan | None = None
        self.profile: Profile | None = None
        self._func, self._router = func, router
        self._judge = Judge(func, router.options)
        self._queue = _Queue()
        hosts, apply = router.hosts, router.apply
        self._loop = Loop(lambda call: call.run(hosts, apply), self._queue)  # type: ignore[arg-type]
        self._measured = Measured(func)
        self._director: Director | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def take(self, call: Call) -> bool:
        """Queue a call; False when the decision has been made meanwhile."""
        with self._lock:
            if self.plan is not None:
                return False
            with self._loop.lock:
                self._queue.calls.append(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="autoexec-learner", daemon=True)
                self._thread.start()
            return True

    def _work(self) -> None:
        director = self._director = Director(self._loop, self._early, lambda: None)
        director.measure()
        try:
            while self.plan is None:
                block = self._loop.run(1)
                if block is None:
                    with self._lock:  # nothing to do, for now: the next call starts a new thread
                        if not self._queue.calls and self.plan is None:
                            self._thread = None
                            return
                    continue
                self._measured.add_call(block)
                if self._measured.total_s > LEARN_S or self._measured.items >= LEARN_CALLS:
                    self._decide()
        finally:
            director.stop()
            close_here()

    def _decide(self, seen: Seen | None = None) -> bool:
        assert self._director is not None
        sample = self._measured.sample(self._director, None, seen)
        plan, profile = self._judge.plan(sample, self._measured, fork=False)
        if seen is None and self._queue.calls and self._director.unproven(plan, profile):
            return False
        if plan.backend == "threads" or all(hazard.threads_ok for hazard in plan.hazards):
            # Nobody waits for an executor's call in the caller's thread: even what gains nothing has to
            # run somewhere, and calls that wait for each other must be able to.
            plan = self._in_threads(plan, profile) if plan.backend in ("serial", "threads") else plan
        with self._lock:
            if self.plan is not None:
                return True
            self._loop.take_over()
            self.plan, self.profile = plan, profile
            waiting = list(self._queue.calls)
            self._queue.calls.clear()
        for call in waiting:
            self._router.dispatch(call, plan)
        return True

    def _in_threads(self, plan: Plan, profile: Profile) -> Plan:
        workers = self._router.options.max_workers
        if profile.kind in (WorkKind.IO, WorkKind.MIXED):
            cap = sizing.io_cap(self._judge.machine, workers)
            return replace(plan, backend="threads", max_workers=cap, adaptive=True)
        if workers is None:
            computes = profile.kind is not WorkKind.TINY and profile.items > 1
            computes = computes and profile.wall_s > 20 * LEAST_S
            workers = sizing.cpu_workers(self._judge.machine, None) if computes else POOL
        return replace(plan, backend="threads", max_workers=workers)

    def plan_for(self, func: Callable[..., Any]) -> Plan:
        """The plan for `func`: one of the same code may hold other objects than the one that was learned."""
        plan = self.plan
        assert plan is not None
        if plan.backend not in ("processes", "joblib") or func is self._func or _holds_nothing(func):
            return plan
        hazards = Judge(func, self._router.options).hazards()
        if not hazards:
            return plan
        stays = replace(plan, hazards=hazards, reason=f"stays in this process: {hazards[0]}")
        if any(not hazard.threads_ok for hazard in hazards):
            return replace(stays, backend="serial", max_workers=1)
        return replace(stays, backend="threads")

    def _early(self, seen: Seen) -> bool:
        if self._measured.importing() and not seen.waiting and seen.running_s < 0.5:
            return False
        with self._measured.own_imports():
            return self._decide(seen)

    def cancel(self) -> None:
        """Cancel the calls that wait for a decision."""
        with self._lock, self._loop.lock:
            calls = list(self._queue.calls)
        for call in calls:
            call.future.cancel()

    def join(self) -> None:
        """Wait until the calls that were taken here have run or moved on."""
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()


def identity(func: Callable[..., Any]) -> Hashable:
    """What makes two callables the same function: its code, else its type or name."""
    if isinstance(func, MethodType):
        func = func.__func__
    inner = getattr(func, "func", None)
    if inner is not None and type(func).__name__ == "partial":
        return identity(inner)
    code = getattr(func, "__code__", None)
    if code is not None:
        return id(code), code
    name = getattr(func, "__qualname__", None)
    return (type(func), name if isinstance(name, str) else id(func))


def _holds_nothing(func: Callable[..., Any]) -> bool:
    """Whether the code says all there is to say of a function: no captured objects, no `self`."""
    return (
        hasattr(func, "__code__") and not getattr(func, "__closure__", None) and not hasattr(func, "__self__")
    )
