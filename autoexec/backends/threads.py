"""Threads that take tasks from one queue, started only while tasks wait and nobody is idle."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections import deque
from queue import Empty, SimpleQueue

from ..resources import Scope, current
from .base import Chunk, Deliver, Finished, run_items
from .native import limited

__all__ = ["ThreadBackend"]


class _GivenUp(Exception):
    """The task of this thread was given up meanwhile: the thread ends."""


class ThreadBackend:
    """Runs tasks in up to `max_workers` threads of this process.

    Items run under a copy of the context that was current where the backend was made, so that
    context variables have their values.

    Args:
        max_workers: threads at most.
        deliver: receives each finished task.
        native_threads: threads for the native libraries of this process meanwhile, or None.
    """

    name = "threads"
    hands_on = True  # a worker runs the task that it is handed for the one it delivers

    def __init__(self, max_workers: int, deliver: Deliver, *, native_threads: int | None = None) -> None:
        self._max_workers = max_workers
        self._deliver = deliver
        self._context = contextvars.copy_context()
        self._tasks: SimpleQueue[tuple[Chunk, bool] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle: deque[None] = deque()  # one entry for each idle thread that no task has claimed
        self._closed = False
        self._lock = threading.Lock()
        self._started = 0
        self._started_s = 0.0
        self._running: dict[Chunk, threading.Thread] = {}
        self._limits = contextlib.ExitStack()
        if native_threads is not None:
            self._limits.enter_context(limited(native_threads))

    def submit(self, chunk: Chunk) -> None:
        """Queue a task; start a thread for it unless one is idle or enough run."""
        claimed = self._claim()
        self._tasks.put((chunk, claimed))
        if claimed:
            return
        with self._lock:
            if len(self._threads) < self._max_workers and not self._closed:
                self._start_thread()
            alone = not self._threads
        if alone:  # not even one, as at interpreter shutdown: the task is done here
            for waiting in self.withdraw():
                following: Chunk | None = waiting
                while following is not None:
                    following = self._run(following, "the submitting thread")

    def _claim(self) -> bool:
        """Count on an idle thread, if there is one."""
        try:
            self._idle.pop()
        except IndexError:
            return False
        return True

    def _start_thread(self) -> None:
        began = time.perf_counter()
        thread = threading.Thread(
            target=self._context.copy().run,
            args=(self._work,),
            name=f"autoexec-{self._started}",
            daemon=True,
        )
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had: those that run will do the work
            self._threads.pop()
        self._started += 1
        self._started_s += time.perf_counter() - began

    def _work(self) -> None:
        scope = Scope()
        current.set(scope)
        where = f"thread {threading.current_thread().name}"
        try:
            chunk = self._next()
            while chunk is not None:
                chunk = self._run(chunk, where) or self._next()
        except _GivenUp:
            return
        finally:
            scope.close()

    def _next(self) -> Chunk | None:
        """The next task; waits for it. None when the thread is to end.

        A task that was queued for an idle thread may be taken by one that just became free: then the idle
        one is still there to be counted on.
        """
        try:
            entry = self._tasks.get_nowait()
        except Empty:
            if self._closed:
                return None
            self._idle.append(None)
            entry = self._tasks.get()
            if entry is not None and not entry[1]:
                self._claim()
        else:
            if entry is not None and entry[1]:
                self._idle.append(None)
        return entry[0] if entry is not None else None

    def _run(self, chunk: Chunk, where: str) -> Chunk | None:
        """Run a task; returns one that was handed over in exchange, if any.

        Raises:
            _GivenUp: if nobody waited for this thread any more.
        """
        self._running[chunk] = threading.current_thread()
        if chunk.begin is not None and not chunk.begin():
            self._running.pop(chunk, None)
            return None
        finished = Finished(chunk, *run_items(chunk.call, chunk.items, chunk.star), where)
        if self._running.pop(chunk, None) is None:
            raise _GivenUp
        return self._deliver(finished)

    def abandon(self, chunk: Chunk) -> None:
        """Do not wait for a task any more: its thread ends after it, and another one takes its place."""
        thread = self._running.pop(chunk, None)
        if thread is None:
            return
        with self._lock:
            self._threads.remove(thread)
            if not self._tasks.empty() and not self._closed:
                self._start_thread()

    def withdraw(self) -> list[Chunk]:
        """Give back the tasks that no thread has begun."""
        back: list[Chunk] = []
        while True:
            try:
                entry = self._tasks.get_nowait()
            except Empty:
                return back
            if entry is None:
                self._tasks.put(None)
                return back
            if entry[1]:
                self._idle.append(None)
            back.append(entry[0])

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """End the threads after the queued tasks; running items cannot be ended.

        Args:
            wait: return only when all threads are gone.
            kill: drop the queued tasks; a thread itself cannot be killed.
        """
        if kill:
            self.withdraw()
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        for _ in threads:
            self._tasks.put(None)
        if wait:
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join()
        self._limits.close()

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
        return {"thread_start": self._started_s / self._started} if self._started else {}
