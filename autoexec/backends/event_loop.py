"""Calls of async functions: tasks in one event loop, in a thread of its own or in the caller's running loop.

Tasks are made only when they are let begin, so there are never more of them than calls at once. Every step of
a task is timed: what it computes between two waits keeps the loop from all other tasks, and is told.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Generator

from ..errors import BrokenWorker
from ..introspect import static_attribute
from ..own_thread import OwnThread
from ..resources import Scope, current, note_closing
from ..worker.context import prepare
from ..worker.invoke import Error, Task, TaskResult, run_async

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .base import Slot, Tasks

__all__ = ["EventLoopBackend"]

BLOCKED_S = 0.05  # a step this long is noticed: at 20 steps per second nothing else in the loop moves
LOOK_S = 1.0  # between two looks whether the caller's own loop was closed under the tasks
WHERE = "the event loop"

# A loop holds its tasks weakly; those of results that nobody holds must live until they are cancelled.
_running: set[asyncio.Task[None]] = set()


class EventLoopBackend:
    """Runs each task's only item as an asyncio task.

    Args:
        tasks: the scheduler.
        max_workers: calls at once at most; clients made by `per_worker` get a pool of that size.
        loop: the caller's running loop; None starts one in a thread.
        blocked: told of an item whose step kept the loop for so many seconds.
        context: the caller's context variables; each call runs in a copy of it.
    """

    name = "asyncio"

    def __init__(
        self,
        tasks: Tasks,
        max_workers: int,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        blocked: Callable[[Task, float], None] = lambda task, seconds: None,
        context: contextvars.Context | None = None,
    ) -> None:
        self._tasks, self._blocked = tasks, blocked
        self._scope = Scope(max_workers)
        self._context = contextvars.copy_context() if context is None else context.copy()
        self._context.run(current.set, self._scope)
        self._calls: dict[int, asyncio.Task[None]] = {}  # by serial
        self._leaving: set[asyncio.Task[None]] = set()  # cancelled, and not yet gone
        self._pumped = False
        self._closing = self._killed = False
        self._gone = threading.Event()
        self._thread: threading.Thread | None = None
        self._end: asyncio.Event | None = None
        if loop is not None:
            self._loop = loop
        else:
            self._start_loop()

    def _start_loop(self) -> None:
        started = threading.Event()

        async def live() -> None:
            self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
            started.set()
            await self._end.wait()
            await self._wind_up()

        def run() -> None:
            try:
                asyncio.run(live())
            finally:
                self._gone.set()

        self._thread = OwnThread(self._context.copy().run, (run,), "autoexec-loop")
        self._thread.start()
        started.wait()

    # From any thread --------------------------------------------------------------------------------------

    def start(self, slot: Slot) -> None:
        """A slot needs no worker of its own; its ring comes, too."""

    def ring(self, rung: deque[Slot]) -> None:
        """There are answers for slots: they are looked at in the loop, in a turn of their own."""
        if not self._pumped:
            self._pumped = True
            self._call_soon(self._pump, rung)

    def _inside(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _call_soon(self, function: Callable[..., object], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed: nobody waits for this any more
            return

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
        if self._killed or not task.begin():
            self._tasks.completed(slot, task, TaskResult([], withdrawn=not self._killed))
            return
        context = self._context.copy() if task.context is None else task.context.copy()
        context.run(current.set, self._scope)
        call = self._loop.create_task(self._run(slot, task, task.serial), context=context)
        if not call.done():  # an eager loop may have run it to its end
            self._calls[task.serial] = call
        _running.add(call)
        call.add_done_callback(_running.discard)

    async def _run(self, slot: Slot, task: Task, serial: int) -> None:
        began, steps = time.monotonic(), _Steps(self._scope)
        outcome: Any
        try:
            prepare(task.spec)
            steps.of = run_async(task.spec, task.items[0])
            outcome = await steps
        except asyncio.CancelledError as cancelled:
            if self._calls.get(serial) is None and asyncio.current_task() in self._leaving:
                raise  # from this side: its outcome is no longer wanted
            outcome = Error(cancelled)  # as `asyncio.gather` has it: one item's own affair
        except (BrokenWorker, Exception) as raised:
            outcome = Error(raised)
        except BaseException as raised:  # it would end the loop; it belongs to the item
            outcome = Error(raised)
        self._calls.pop(serial, None)
        if steps.longest_s > BLOCKED_S:
            self._blocked(task, steps.longest_s)
        clean = type(outcome) is not Error
        result = TaskResult([outcome], began, time.monotonic(), steps.busy_s, WHERE, clean=clean)
        self._tasks.completed(slot, task, result)

    def _cancel(self, serial: int) -> None:
        call = self._calls.pop(serial, None)
        if call is not None:
            self._leaving.add(call)
            call.cancel()
            call.add_done_callback(self._leaving.discard)

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
            self._ending = self._loop.create_task(self._leave(), context=self._context.copy())

    async def _leave(self) -> None:
        try:
            await self._wind_up()
        finally:
            self._gone.set()

    async def _wind_up(self) -> None:
        """Wait for the tasks, then close what they shared."""
        while pending := [*self._calls.values(), *self._leaving]:
            await asyncio.wait(pending, timeout=1.0)
            for call in self._leaving:  # some swallow the first cancellation
                call.cancel()
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

    __slots__ = ("_scope", "busy_s", "longest_s", "of")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.of: Any = None
        self.busy_s = self.longest_s = 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self.of.__await__()
        value: Any = None
        error: BaseException | None = None
        while True:
            began, made = time.perf_counter(), self._scope.making_s
            try:
                wish = steps.send(value) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                took = time.perf_counter() - began - (self._scope.making_s - made)
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
