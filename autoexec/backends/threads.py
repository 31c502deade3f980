"""Threads that take tasks from one queue, started only while tasks wait and nobody is idle."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ..resources import Crew, Scope, current
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
        self._tasks: SimpleQueue[Chunk | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._crew = Crew(max_workers, self._threads)
        # Every task in the queue counts on one thread that waits, or is about to, whichever will take it.
        self._idle: deque[None] = deque()  # one entry for each such thread that no task counts on
        self._unmet: deque[None] = deque()  # and for each task that none was left for
        self._closed = False
        self._lock = threading.Lock()
        self._started = 0
        self._started_s = 0.0
        self._running: dict[Chunk, threading.Thread] = {}
        self._limits = contextlib.ExitStack()
        self._limit_here: Callable[[], None] | None = None
        if native_threads is not None:
            self._limit_here = self._limits.enter_context(limited(native_threads))

    def submit(self, chunk: Chunk) -> None:
        """Queue a task; start a thread for it unless one is idle or enough run."""
        self._tasks.put(chunk)
        if _take(self._idle):
            return
        with self._lock:
            self._unmet.append(None)
            self._start_if_needed()
            alone = not self._threads
        if self._unmet and _take(self._idle):  # one has become idle meanwhile
            self._freed()
        if alone:  # not even one, as at interpreter shutdown: the task is done here
            for waiting in self.withdraw():
                following: Chunk | None = waiting
                while following is not None:
                    following = self._run(following, "the submitting thread")

    def _start_if_needed(self) -> None:
        if len(self._threads) < self._max_workers and not self._closed and _take(self._unmet):
            self._start_thread()

    def warm_up(self, count: int) -> int:
        """Have threads at hand for tasks to come: up to `count` more; returns how many were started."""
        with self._lock:
            before = self._started
            room = 0 if self._closed else self._max_workers - len(self._threads)
            for _ in range(min(count, room)):
                self._start_thread()
                self._freed()
            return self._started - before

    def _freed(self) -> None:
        """A thread can be counted on."""
        if not _take(self._unmet):
            self._idle.append(None)

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
            self._unmet.append(None)
        self._started += 1
        self._started_s += time.perf_counter() - began

    def _work(self) -> None:
        scope = Scope(crew=self._crew)
        current.set(scope)
        if self._limit_here is not None:
            self._limit_here()
        where = f"thread {threading.current_thread().name}"
        try:
            chunk = self._tasks.get()
            while chunk is not None:
                chunk = self._run(chunk, where)  # an idle thread must not keep the items alive
                if chunk is None:
                    self._freed()
                    chunk = self._tasks.get()
        except _GivenUp:
            return
        finally:
            scope.close()

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
            self._start_if_needed()

    def withdraw(self) -> list[Chunk]:
        """Give back the tasks that no thread has begun."""
        back: list[Chunk] = []
        while True:
            try:
                chunk = self._tasks.get_nowait()
            except Empty:
                return back
            if chunk is None:
                self._tasks.put(None)
                return back
            back.append(chunk)
            self._freed()  # whoever it counted on

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


def _take(entries: deque[None]) -> bool:
    """Take one away, if there is one; two threads never take the same."""
    try:
        entries.pop()
    except IndexError:
        return False
    return True
