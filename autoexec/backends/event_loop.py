"""Calls of async functions: tasks in one event loop, in a thread of its own or in the caller's running loop.

Tasks are made only when they are let begin, so there are never more of them than calls at once. Every step of
a task is timed: what it computes between two waits keeps the loop from all other tasks, and is told.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial

from ..errors import BrokenWorker
from ..introspect import static_attribute
from ..own_thread import Latch, OwnThread
from ..own_time import time
from ..registry import ASYNCIO
from ..resources import Scope, current, note_closing
from ..worker.context import prepare
from ..worker.invoke import Error, Task, TaskResult, run_async

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .base import Slot, Tasks
    from .opening import Opening

__all__ = ["EventLoopBackend", "open_backend"]

BLOCKED_S = 0.05  # a step this long is noticed: at 20 steps per second nothing else in the loop moves
LOOK_S = 1.0  # between two looks whether the caller's own loop was closed under the tasks
WHERE = "the event loop"

# A loop holds its tasks weakly; those of results that nobody holds must live until they are cancelled.
_running: set[asyncio.Task[None]] = set()


def open_backend(opening: Opening) -> EventLoopBackend:
    """The backend of a plan; see `BackendInfo.open`."""
    return EventLoopBackend(
        opening.tasks,
        opening.plan.max_workers,
        loop=opening.setting.loop,
        blocked=opening.setting.blocked,
        context=opening.setting.context,
        clock=opening.setting.clock,
    )


class EventLoopBackend:
    """Runs each task's only item as an asyncio task.

    Args:
        tasks: the scheduler.
        max_workers: calls at once at most; clients made by `per_worker` get a pool of that size.
        loop: the caller's running loop; None starts one in a thread.
        blocked: told of an item whose step kept the loop for so many seconds.
        context: the caller's context variables; each call runs in a copy of it.
        clock: tells the time, as `time.monotonic` does.
    """

    name = ASYNCIO
    starting = False

    def __init__(
        self,
        tasks: Tasks,
        max_workers: int,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        blocked: Callable[[Task, float], None] = lambda task, seconds: None,
        context: contextvars.Context | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks, self._blocked, self._clock = tasks, blocked, clock
        self._scope = Scope(max_workers)
        self._context = contextvars.copy_context() if context is None else context.copy()
        self._context.run(current.set, self._scope)
        self._calls: dict[int, tuple[asyncio.Task[None], Slot, Task]] = {}  # by serial
        self._leaving: dict[asyncio.Task[None], tuple[Slot, Task]] = {}  # cancelled, and not yet gone
        self._rung: deque[Slot] = deque()
        self._pumped = False
        self._closing = self._killed = False
        self._ended = False  # whether nothing begins here any more
        self._gone = Latch()
        self._thread: threading.Thread | None = None
        self._end: asyncio.Event | None = None
        if loop is not None:
            self._loop = loop
        else:
            self._start_loop()

    def _start_loop(self) -> None:
        started = Latch()
        refused: list[Exception] = []

        async def live() -> None:
            self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
            started.set()
            await self._end.wait()
            await self._wind_up()

        def run() -> None:
            try:
                with asyncio.Runner() as runner:
                    runner.get_loop()
                    self._live(runner, live)
            except Exception as error:  # no descriptors for a loop
                refused.append(error)
            finally:
                self._come_back()
                self._gone.set()
                started.set()

        self._thread = OwnThread(self._context.copy().run, (run,), "autoexec-loop", whose=self._tasks)
        self._thread.start()
        started.wait()
        if refused:
            self._thread.join()
            raise refused[0]

    def _live(self, runner: asyncio.Runner, live: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            runner.run(live())
        except BaseException as error:  # a call has stopped the loop, or `SystemExit` has, in a callback
            self._ended = True  # first: what is cancelled now is no item's own affair
            self._tasks.crashed(error)

    # From any thread --------------------------------------------------------------------------------------

    def start(self, slot: Slot) -> None:
        """A slot needs no worker of its own; its ring comes, too."""

    def ring(self, rung: deque[Slot]) -> None:
        """There are answers for slots: they are looked at in the loop, in a turn of their own."""
        self._rung = rung
        if not self._pumped:
            self._pumped = True
            if not self._call_soon(self._pump, rung):
                self._pumped = False
                self._give_back(rung)

    def _inside(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _call_soon(self, function: Callable[..., object], *args: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _give_back(self, rung: deque[Slot]) -> None:
        """There is no loop any more: nothing that slots were given is begun."""
        while rung:
            try:
                slot = rung.popleft()
            except IndexError:  # another thread is at it, too
                return
            answer = self._tasks.collect(slot)
            if isinstance(answer, Task):
                if not self._closing:
                    self._tasks.crashed(
                        RuntimeError("the event loop was closed while calls were to run in it")
                    )
                self._tasks.returned(slot, answer)
            if answer is not None:
                self._tasks.gone(slot)

    def _come_back(self) -> None:
        """The loop is closed: what it was given comes back, also what will never end there."""
        left = [(slot, task) for _, slot, task in list(self._calls.values())]
        left += list(self._leaving.values())
        self._calls.clear()
        self._leaving.clear()
        for slot, task in left:
            self._cancelled(slot, task)
        self._give_back(self._rung)

    def recall(self) -> None:
        """Nothing waits here: every task begins at once."""

    def abandon(self, slot: Slot, task: Task) -> None:
        """Cancel a running task; nobody waits for what becomes of it."""
        self._call_soon(self._cancel, task.serial)

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """End the loop, or leave the caller's, when the tasks are done.

        Args:
            wait: return only then.
            kill: cancel the tasks first.
        """
        if not self._closing:
            self._closing = True
            self._call_soon(self._begin_end, kill)
        elif kill:
            self._call_soon(self._cancel_all)
        if wait and not self._inside():
            while not self._gone.wait(LOOK_S) and not self._loop.is_closed():
                pass
            if self._thread is not None:
                self._thread.join()
        if self._thread is None and self._loop.is_closed():
            self._come_back()

    def costs(self) -> dict[str, float]:
        """Nothing was measured."""
        return {}

    # In the loop ------------------------------------------------------------------------------------------

    def _pump(self, rung: deque[Slot]) -> None:
        """Begin what slots were given."""
        self._pumped = False
        while rung:
            slot = rung.popleft()
            answer = self._tasks.collect(slot)
            if isinstance(answer, Task):
                self._launch(slot, answer)
            elif answer is not None:
                self._tasks.gone(slot)

    def _launch(self, slot: Slot, task: Task) -> None:
        if self._ended:
            self._tasks.returned(slot, task)
            self._tasks.gone(slot)
            return
        if self._killed or not task.begin():
            self._tasks.completed(slot, task, TaskResult([], withdrawn=not self._killed))
            return
        context = self._context.copy() if task.context is None else task.context.copy()
        context.run(current.set, self._scope)
        serial = task.serial
        call = self._task_of(self._run(slot, task, serial), context)
        if call is None:
            self._tasks.returned(slot, task)
            return
        if not call.done():  # an eager loop may have run it to its end
            self._calls[serial] = call, slot, task
        _running.add(call)
        call.add_done_callback(partial(self._after, serial))

    def _task_of(
        self, call: Coroutine[Any, Any, None], context: contextvars.Context
    ) -> asyncio.Task[None] | None:
        """A task; None if the loop makes none, as by a task factory that knows no contexts."""
        try:
            return self._loop.create_task(call, context=context)
        except Exception as error:
            call.close()
            self._tasks.crashed(error)
            return None

    def _after(self, serial: int, call: asyncio.Task[None]) -> None:
        """A task has ended; some were cancelled before their first step, and have told nobody."""
        _running.discard(call)
        if (left := self._leaving.pop(call, None)) is not None:
            self._tasks.returned(*left)
        elif (found := self._calls.pop(serial, None)) is not None:
            self._cancelled(*found[1:])
        if not call.cancelled() and (error := call.exception()) is not None:
            self._tasks.crashed(error)

    def _cancelled(self, slot: Slot, task: Task) -> None:
        """A call has not come to its end here; while the loop lives, that is its own affair."""
        if self._ended:
            self._tasks.returned(slot, task)
            return
        now = self._clock()
        error = Error(asyncio.CancelledError())
        self._tasks.completed(slot, task, TaskResult([error], now, now, 0.0, WHERE))

    async def _run(self, slot: Slot, task: Task, serial: int) -> None:
        began, steps = self._clock(), _Steps(self._scope, self._clock)
        outcome: Any
        try:
            for variable, value in prepare(task.spec).items():
                variable.set(value)  # this task has a context of its own
            steps.of = run_async(task.spec, task.items[0], task.place)
            outcome = await steps
        except asyncio.CancelledError as cancelled:
            if self._ended or asyncio.current_task() in self._leaving:
                raise  # from this side: its outcome is no longer wanted
            outcome = Error(cancelled)  # as `asyncio.gather` has it: one item's own affair
        except (BrokenWorker, Exception) as raised:
            outcome = Error(raised)
        except BaseException as raised:  # it would end the loop; it belongs to the item
            if not self._inside():
                raise  # a loop that is closed throws its tasks away
            outcome = Error(raised)
        self._calls.pop(serial, None)
        self._leaving.pop(asyncio.current_task(), None)  # type: ignore[arg-type]
        if steps.longest_s > BLOCKED_S:
            self._blocked(task, steps.longest_s)
        clean = type(outcome) is not Error
        result = TaskResult([outcome], began, self._clock(), steps.busy_s, WHERE, clean=clean)
        self._tasks.completed(slot, task, result)

    def _cancel(self, serial: int) -> None:
        found = self._calls.pop(serial, None)
        if found is not None:
            call, slot, task = found
            self._leaving[call] = slot, task
            call.cancel()

    def _cancel_all(self) -> None:
        self._killed = True  # what is given from now on came too late
        for serial in list(self._calls):
            self._cancel(serial)

    def _begin_end(self, kill: bool) -> None:
        if kill:
            self._cancel_all()
        if self._end is not None:
            self._end.set()
        else:
            self._ending = self._task_of(self._leave(), self._context.copy())
            if self._ending is None:
                self._gone.set()

    async def _leave(self) -> None:
        try:
            await self._wind_up()
        finally:
            self._gone.set()

    async def _wind_up(self) -> None:
        """Wait for the tasks, then close what they shared."""
        while pending := [*(call for call, *_ in self._calls.values()), *self._leaving]:
            await asyncio.wait(pending, timeout=1.0)
            for call in list(self._leaving):  # some swallow the first cancellation
                call.cancel()
        self._ended = True
        for thing in self._scope.take_all():
            await _close(thing)


class _Steps:
    """Awaits something step by step and times each step, without what is made once for all tasks.

    Args:
        scope: knows how long that took.

    Attributes:
        of: what is awaited.
        busy_s: seconds of all steps.
        longest_s: seconds of the longest one.
    """

    __slots__ = ("_clock", "_scope", "busy_s", "longest_s", "of")

    def __init__(self, scope: Scope, clock: Callable[[], float]) -> None:
        self._scope, self._clock = scope, clock
        self.of: Any = None
        self.busy_s = self.longest_s = 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self.of.__await__()
        value: Any = None
        error: BaseException | None = None
        while True:
            began, made = self._clock(), self._scope.making_s
            try:
                wish = steps.send(value) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                took = self._clock() - began - (self._scope.making_s - made)
                self.busy_s += took
                self.longest_s = max(self.longest_s, took)
            value = error = None
            try:
                value = yield wish
            except BaseException as raised:
                error = raised


async def _close(thing: Any) -> None:
    names = [name for name in ("aclose", "close") if static_attribute(thing, name, None) is not None]
    if not names:
        return
    close = getattr(thing, names[0])
    try:
        closing = close()
        if hasattr(closing, "__await__"):
            await closing
    except Exception as error:
        note_closing(thing, error)
