"""Threads that ask for tasks, one after the other, until there are no more."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator

from ..own_thread import OwnThread
from ..own_time import time
from ..registry import THREADS
from ..resources import Crew, Scope, current
from ..worker.context import for_a_thread
from ..worker.invoke import Task, TaskResult, run_task, serving
from .core_budget import limited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Any

    from .base import Slot, Tasks
    from .opening import Opening

__all__ = ["ThreadBackend", "open_backend"]


def open_backend(opening: Opening) -> ThreadBackend:
    """The backend of a plan; see `BackendInfo.open`."""
    return ThreadBackend(
        opening.tasks,
        opening.plan.max_workers,
        context=opening.setting.context,
        native_threads=opening.plan.native_threads,
        clock=opening.setting.clock,
    )


class ThreadBackend:
    """Runs tasks in threads of this process, each of which serves a slot.

    Args:
        tasks: the scheduler.
        max_workers: threads at most, for whoever shares cores among them.
        context: the caller's context variables; items run in copies of it.
        native_threads: threads for the native libraries of this process meanwhile, or None.
        clock: tells the time, as `time.monotonic` does.
    """

    name = THREADS
    starting = False

    def __init__(
        self,
        tasks: Tasks,
        max_workers: int,
        *,
        context: contextvars.Context | None = None,
        native_threads: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks, self._clock = tasks, clock
        self._context = contextvars.copy_context() if context is None else context
        self._threads: list[threading.Thread] = []
        self._running: dict[Slot, tuple[Iterator[Any], int]] = {}
        self._crew = Crew(max_workers, self._threads)
        self._started, self._started_s = 0, 0.0
        self._limits = contextlib.ExitStack()
        self._limit_here: Callable[[], None] | None = None
        if native_threads is not None:
            self._limit_here = self._limits.enter_context(limited(native_threads))

    def start(self, slot: Slot) -> None:
        """Start a thread for a slot.

        Raises:
            RuntimeError: if no more threads can be had.
        """
        began = self._clock()
        thread = slot.worker = OwnThread(
            for_a_thread(self._context).run, (self._work, slot), f"autoexec-{self._started}", self._tasks
        )
        self._threads.append(thread)  # first: Ctrl-C may come when it runs already
        try:
            thread.start()
        except Exception:
            self._remove(thread)
            raise
        self._started += 1
        self._started_s += self._clock() - began

    def _work(self, slot: Slot) -> None:
        thread = threading.current_thread()
        scope = Scope(crew=self._crew)
        current.set(scope)
        serving.tasks = self._tasks
        try:
            try:
                if self._limit_here is not None:
                    self._limit_here()
                self._serve(slot, f"thread {thread.name}")
            finally:
                scope.close()
        except BaseException as error:  # a fault of ours, or of a callback: the run must hear of it
            self._tasks.crashed(error)
        finally:
            self._tasks.gone(slot)
            self._remove(thread)  # last: who waits for the threads to be gone waits for this one

    def _remove(self, thread: threading.Thread | None) -> None:
        """One step of the interpreter's: a finalizer in the midst of it may start a thread."""
        try:
            self._threads.remove(thread)  # type: ignore[arg-type]
        except ValueError:
            pass

    def _serve(self, slot: Slot, where: str) -> None:
        task: Any = self._tasks.next(slot)
        while isinstance(task, Task):
            if self._tasks.closing:  # since it was given: whoever broke off wants no more of them to begin
                slot.finished = task, TaskResult([], withdrawn=True)
            else:
                slot.finished = task, self._run(slot, task, where)
            task = None  # a thread that waits must not keep its last item alive
            task = self._tasks.exchange(slot)

    def _run(self, slot: Slot, task: Task, where: str) -> TaskResult:
        items, count = None, len(task.items)
        if count > 1:
            items = iter(task.items)
            self._running[slot] = items, count
            if self._tasks.closing:  # it may have been recalled just before that
                self.recall()
        try:
            return run_task(task.spec, task, where, items)
        finally:
            if items is not None:
                del self._running[slot]
            del items, task  # see `run_items`: an error must not hold on to itself

    def ring(self, rung: deque[Slot]) -> None:
        """Its threads wait at their gates."""

    def recall(self) -> None:
        """What threads have not begun of their tasks comes back with what they have: their iterators end."""
        for items, count in list(self._running.values()):
            try:
                items.__setstate__(count)  # type: ignore[attr-defined]
            except AttributeError:
                continue

    def abandon(self, slot: Slot, task: Task) -> None:
        """A thread cannot be ended: it goes when its call is over, and is not waited for."""
        self._remove(slot.worker)

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """Let the native libraries go; the threads end by themselves when they are told that this is the end.

        Args:
            wait: return only when all threads are gone.
            kill: begin nothing more; a thread cannot be killed.
        """
        if kill:
            self.recall()
        me = threading.current_thread()
        while wait and (threads := [thread for thread in self._threads if thread is not me]):
            for thread in threads:  # each of which may have started another one
                _join(thread)
                self._remove(thread)
        self._limits.close()

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
        return {"thread_start": self._started_s / self._started} if self._started else {}


def _join(thread: threading.Thread) -> None:
    """Wait for a thread; Ctrl-C may have come before it had begun, or just when it did."""
    for _ in range(1000):
        try:
            thread.join()
            return
        except RuntimeError:  # nobody has heard of it yet, or ever will
            time.sleep(0.001)
