"""Threads that ask for tasks, one after the other, until there are no more."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable

from ..resources import Crew, Scope, current
from ..worker.invoke import Task, run_task, serving
from .native import limited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Any

    from .base import Slot, Tasks

__all__ = ["ThreadBackend"]


class ThreadBackend:
    """Runs tasks in threads of this process, each of which serves a slot.

    Args:
        tasks: the scheduler.
        max_workers: threads at most, for whoever shares cores among them.
        context: the caller's context variables; items run in copies of it.
        native_threads: threads for the native libraries of this process meanwhile, or None.
    """

    name = "threads"

    def __init__(
        self,
        tasks: Tasks,
        max_workers: int,
        *,
        context: contextvars.Context | None = None,
        native_threads: int | None = None,
    ) -> None:
        self._tasks = tasks
        self._context = contextvars.copy_context() if context is None else context
        self._threads: list[threading.Thread] = []
        self._crew = Crew(max_workers, self._threads)
        self._lock = threading.Lock()
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
        began = time.perf_counter()
        thread = threading.Thread(
            target=self._context.copy().run,
            args=(self._work, slot),
            name=f"autoexec-{self._started}",
            daemon=True,
        )
        with self._lock:
            self._threads.append(thread)
        try:
            thread.start()
        except BaseException:
            with self._lock:
                self._threads.remove(thread)
            raise
        self._started += 1
        self._started_s += time.perf_counter() - began

    def _work(self, slot: Slot) -> None:
        thread = slot.worker = threading.current_thread()
        scope = Scope(crew=self._crew)
        current.set(scope)
        serving.tasks = self._tasks
        try:
            if self._limit_here is not None:
                self._limit_here()
            self._serve(slot, f"thread {thread.name}")
        except BaseException as error:  # a fault of ours, or of a callback: the run must hear of it
            self._tasks.crashed(error)
        finally:
            scope.close()
            with self._lock:
                if thread in self._threads:
                    self._threads.remove(thread)
            self._tasks.gone(slot)

    def _serve(self, slot: Slot, where: str) -> None:
        task: Any = self._tasks.next(slot)
        while isinstance(task, Task):
            slot.finished = task, run_task(task.spec, task, where)
            task = None  # a thread that waits must not keep its last item alive
            task = self._tasks.exchange(slot)

    def ring(self, rung: deque[Slot]) -> None:
        """Its threads wait at their gates."""

    def recall(self) -> None:
        """Nothing is given to a thread ahead."""

    def abandon(self, slot: Slot, task: Task) -> None:
        """A thread cannot be ended: it goes when its call is over, and is not waited for."""
        with self._lock:
            self._threads[:] = [thread for thread in self._threads if thread is not slot.worker]

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """Let the native libraries go; the threads end by themselves when they are told that this is the end.

        Args:
            wait: return only when all threads are gone.
            kill: a thread cannot be killed.
        """
        if wait:
            with self._lock:
                threads = list(self._threads)
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join()
        self._limits.close()

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
        return {"thread_start": self._started_s / self._started} if self._started else {}
