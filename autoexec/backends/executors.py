"""Tasks for somebody else's `concurrent.futures.Executor`: the caller's own, or loky through joblib.

It is never given more than its quota, so what waits can be had back; and it is given tasks from a flat loop,
never within a call of the scheduler's: some executors run a call inside `submit`. What an executor itself
says of a task, that it was cancelled or that its worker died, it may say under the lock that `submit` takes:
that is told on, and the next task submitted, in a thread of its own.
"""

from __future__ import annotations

import pickle
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial

from ..errors import MissingExtra, WorkerDied
from ..own_thread import OwnThread
from ..own_time import time
from ..worker.context import carried, of_call
from ..worker.invoke import CallSpec, Error, Task, TaskResult, is_clean, run_items
from ..worker.packed import load_home, load_outcomes, pack_items, run_packed
from .core_budget import environment
from .lost_effects import told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .base import Slot, Tasks
    from .opening import Opening

__all__ = [
    "ExecutorBackend",
    "capacity",
    "executor_backend",
    "in_this_process",
    "loky_executor",
    "open_loky",
    "open_standard",
    "open_theirs",
]


def executor_backend(opening: Opening, executor: Executor, *, owned: bool = True) -> ExecutorBackend:
    """A backend that runs its tasks through an executor.

    Args:
        opening: what the backend is opened with.
        executor: its workers may be threads of this process or anything that takes pickles.
        owned: whether the executor was made for it, and ends with it.
    """
    serialise = None if in_this_process(executor) else opening.setting.serialise
    return ExecutorBackend(
        opening.tasks,
        executor,
        serialise=serialise,
        owned=owned,
        name=opening.plan.backend,
        clock=opening.setting.clock,
    )


def open_theirs(opening: Opening) -> ExecutorBackend:
    """The backend of an executor of the caller's own; see `BackendInfo.open`."""
    return executor_backend(opening, opening.setting.executor, owned=False)


def open_loky(opening: Opening) -> ExecutorBackend:
    """The backend of joblib's workers; see `BackendInfo.open`."""

    def renew() -> Executor:
        return loky_executor(opening.plan.max_workers, opening.plan.native_threads)

    return ExecutorBackend(
        opening.tasks,
        renew(),
        serialise=opening.setting.serialise,
        renew=renew,
        name=opening.plan.backend,
        clock=opening.setting.clock,
    )


def open_standard(opening: Opening) -> ExecutorBackend:
    """The backend of the standard library's worker processes; see `BackendInfo.open`."""
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(opening.plan.max_workers)
    return executor_backend(opening, pool)


def loky_executor(max_workers: int, cores: int | None = None) -> Executor:
    """An executor of joblib's loky, ended with the call that made it.

    Args:
        max_workers: processes.
        cores: cores that each may keep busy with its native libraries, or None to leave those alone.

    Raises:
        MissingExtra: if joblib is not installed.
    """
    try:
        from joblib.externals import loky
    except ImportError as error:
        raise MissingExtra("backend='joblib' needs joblib: pip install 'autoexec-futures[joblib]'") from error
    env = None if cores is None else environment(cores)
    executor: Executor = loky.ProcessPoolExecutor(max_workers=max_workers, env=env)
    return executor


def in_this_process(executor: Executor) -> bool:
    """Whether an executor is known to run its tasks in threads of this process."""
    from concurrent.futures import ThreadPoolExecutor

    name = type(executor).__name__
    return isinstance(executor, ThreadPoolExecutor) and name != "InterpreterPoolExecutor"


def capacity(executor: object, otherwise: int) -> int:
    """Workers of an executor, as far as it tells."""
    told = getattr(executor, "_max_workers", None)
    return told if type(told) is int and told > 0 else otherwise


class ExecutorBackend:
    """Runs tasks through an executor.

    Args:
        tasks: the scheduler.
        executor: where to.
        serialise: turns what is called into bytes for executors of other processes; None sends it as it is.
        owned: whether to shut the executor down at the end.
        renew: makes another one when this one is broken; it is then owned, too.
        name: for notes and plans.
        clock: tells the time, as `time.monotonic` does.
    """

    starting = False

    def __init__(
        self,
        tasks: Tasks,
        executor: Executor,
        *,
        serialise: Callable[[CallSpec], bytes] | None = None,
        owned: bool = False,
        renew: Callable[[], Executor] | None = None,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.name = name or type(executor).__name__
        self._tasks, self._executor = tasks, executor
        self._owned, self._renew = owned or renew is not None, renew
        self._serialise = serialise
        self._broken = self._closed = self._taken = False
        self._bytes: dict[int, tuple[CallSpec, bytes]] = {}
        self._under_way: dict[Future[Any], tuple[Slot, Task]] = {}
        self._untold: dict[Future[Any], threading.Lock] = {}  # open once the scheduler has been told
        self._tellers: set[int] = set()  # threads that tell it just now
        self._sending = threading.Lock()
        self._aside: deque[tuple[Slot, Task, TaskResult]] = deque()
        self._telling = threading.Lock()
        self._teller: threading.Thread | None = None
        self._recalling: set[int] = set()  # threads that take futures back, for us and under no lock

    # Out --------------------------------------------------------------------------------------------------

    def start(self, slot: Slot) -> None:
        """A slot needs no worker of its own; its ring comes, too."""

    def ring(self, rung: deque[Slot]) -> None:
        """There are answers for slots: tasks to hand over."""
        while rung and self._sending.acquire(False):
            try:
                self._hand_over_all(rung)
            finally:
                self._sending.release()

    def _hand_over_all(self, rung: deque[Slot]) -> None:
        while rung:
            slot = rung.popleft()
            answer = self._tasks.collect(slot)
            if isinstance(answer, Task):
                self._hand_over(slot, answer)
            elif answer is not None:
                self._tasks.gone(slot)

    def _hand_over(self, slot: Slot, task: Task) -> None:
        if self._closed:  # it was given just before that
            self._tasks.returned(slot, task)
            self._tasks.gone(slot)
            return
        if not task.begin():
            self._end(slot, task, TaskResult([], withdrawn=True))
            return
        try:
            call = self._packed(task)
        except Exception as error:
            self._fail(slot, task, error)
            return
        try:
            future = self._submit(*call)
        except RuntimeError as error:
            if not self._owned or isinstance(error, BrokenExecutor):
                self._fail(slot, task, error)
                return
            if not self._taken:  # it was shut down before it came here
                self._tasks.returned(slot, task)
                self._tasks.failed(slot, error)
                return
            # The interpreter is about to exit, and loky takes no more work: what is pending is done here.
            self._end(slot, task, self._run_here(task, "the caller: the interpreter is about to exit"))
            return
        except Exception as error:  # its queue cannot take it
            self._fail(slot, task, error)
            return
        self._taken = True
        self._under_way[future] = slot, task
        told = self._untold[future] = threading.Lock()
        told.acquire()
        future.add_done_callback(self._done)

    def _submit(self, *call: Any) -> Future[Any]:
        try:
            return self._executor.submit(*call)
        except BrokenExecutor:
            if self._renew is None:
                raise
            self._executor = self._renew()
            return self._executor.submit(*call)

    def _packed(self, task: Task) -> tuple[Any, ...]:
        spec = task.spec
        if self._serialise is None:
            return run_here, spec, task
        if id(spec) not in self._bytes:
            self._bytes[id(spec)] = spec, self._serialise(spec)
        values = carried(task.context)  # of a call's own; that of a map goes with its function
        call = run_packed, self._bytes[id(spec)][1], pack_items(task.items, spec.known), task.place
        return (*call, pickle.dumps(values)) if values else call

    # In ---------------------------------------------------------------------------------------------------

    def _done(self, future: Future[Any]) -> None:
        me = threading.get_ident()
        self._tellers.add(me)
        try:
            self._tell(future)
        finally:
            self._tellers.discard(me)
            told = self._untold.pop(future, None)
            if told is not None:
                told.release()

    def _tell(self, future: Future[Any]) -> None:
        found = self._under_way.pop(future, None)
        if found is None:
            return
        slot, task = found
        if future.cancelled():
            self._tell_aside(slot, task, TaskResult([]))  # taken back: it was never begun
            return
        error = future.exception()
        if error is not None:
            self._tell_aside(slot, task, self._failed(task, self._explained(error, task)))
            return
        try:
            outcomes, wall, cpu, *looks = future.result()
            if looks:
                lost, packed = looks
                unfit, home = load_home(packed, task.spec.known)
                outcomes = told(task, load_outcomes(outcomes, task.spec.known), lost or unfit, home)
            clean = is_clean(task.spec, outcomes)
        except Exception as other:  # it runs something else
            self._fail(slot, task, other)
            return
        now = self._clock()
        self._end(slot, task, TaskResult(outcomes, now - wall, now, cpu, self.name, clean=clean))

    def _tell_aside(self, slot: Slot, task: Task, result: TaskResult) -> None:
        """The executor may hold a lock here that `submit` takes: it is told in another thread."""
        if threading.get_ident() in self._recalling:
            self._end(slot, task, result)
            return
        self._aside.append((slot, task, result))
        if not self._telling.acquire(False):
            return  # whoever tells looks once more
        thread = OwnThread(self._tell_all, name="autoexec-teller", whose=self._tasks)
        before, self._teller = self._teller, thread
        try:
            thread.start()
        except RuntimeError:  # there are no threads to be had
            self._teller = before
            self._tell_all()

    def _tell_all(self) -> None:
        """With `_telling` held: tell what there is."""
        while True:
            try:
                while self._aside:
                    self._end(*self._aside.popleft())
            except BaseException as error:
                self._tasks.crashed(error)
            finally:
                self._telling.release()
            if not self._aside or not self._telling.acquire(False):
                return

    def _end(self, slot: Slot, task: Task, result: TaskResult) -> None:
        self._tasks.completed(slot, task, result)

    def _fail(self, slot: Slot, task: Task, error: BaseException) -> None:
        self._end(slot, task, self._failed(task, error))

    def _failed(self, task: Task, error: BaseException) -> TaskResult:
        count = len(task.items) if task.spec.capture else 1
        now = self._clock()
        return TaskResult([Error(error) for _ in range(count)], now, now, 0.0, self.name)

    def _explained(self, error: BaseException, task: Task) -> BaseException:
        if not isinstance(error, BrokenExecutor):
            return error
        self._broken = True
        dead = WorkerDied(
            f"the workers of {self.name} broke while they held items from index {task.place} on: {error}"
        )
        dead.__cause__ = error
        return dead

    def _run_here(self, task: Task, where: str) -> TaskResult:
        began = self._clock()
        outcomes, wall, cpu = run_here(task.spec, task)
        clean = is_clean(task.spec, outcomes)
        return TaskResult(outcomes, began, began + wall, cpu, where, clean=clean)

    # The end ----------------------------------------------------------------------------------------------

    def recall(self) -> None:
        """Take back what the executor has not begun."""
        me = threading.get_ident()
        self._recalling.add(me)
        try:
            for future in list(self._under_way):
                future.cancel()
        finally:
            self._recalling.discard(me)

    def abandon(self, slot: Slot, task: Task) -> None:
        """Somebody else's worker cannot be given up."""

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """Shut the executor down if it is ours; cancel what has not begun, when ending early.

        Args:
            wait: until running tasks are done.
            kill: cancel; a running task of somebody else's executor is not ended.
        """
        self._closed = True
        if kill:
            self.recall()
        if self._owned:
            self._executor.shutdown(wait=wait or self._broken)  # a broken one has nothing to wait for
        elif wait and threading.get_ident() not in self._tellers:
            # A future is done before its callback runs, which tells of it.
            for told in list(self._untold.values()):
                with told:
                    continue
        teller = self._teller
        if wait and teller is not None and teller is not threading.current_thread():
            teller.join()

    def costs(self) -> dict[str, float]:
        """Nothing was measured."""
        return {}


def run_here(spec: CallSpec, task: Task) -> tuple[list[Any], float, float]:
    """In a thread of this process: run the items of a task."""
    context = spec.context if task.context is None else task.context
    outcomes: list[Any] = []
    cpu, wall = time.thread_time(), time.perf_counter()
    fresh = None if context is None else partial(of_call, context)
    run_items(spec, task.items, outcomes, fresh, place=task.place)
    return outcomes, time.perf_counter() - wall, time.thread_time() - cpu
