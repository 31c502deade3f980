"""Threads that take tasks from one queue, started only while tasks wait and nobody is idle."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from queue import Empty, SimpleQueue

from ..resources import Scope, current
from .base import Chunk, Deliver, Finished, run_items
from .native import limited

__all__ = ["ThreadBackend"]


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

    def __init__(self, max_workers: int, deliver: Deliver, *, native_threads: int | None = None) -> None:
        self._max_workers = max_workers
        self._deliver = deliver
        self._context = contextvars.copy_context()
        self._tasks: SimpleQueue[tuple[Chunk, bool] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)
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
        claimed = self._idle.acquire(blocking=False)
        self._tasks.put((chunk, claimed))
        if claimed:
            return
        with self._lock:
            if len(self._threads) < self._max_workers and not self._closed:
                self._start_thread()
            alone = not self._threads
        if alone:  # not even one, as at interpreter shutdown: the task is done here
            for waiting in self.withdraw():
                self._run(waiting, "the submitting thread")

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
        announced = False
        try:
            while (chunk := self._next(announced)) is not None:
                announced = self._run(chunk, where)
                del chunk  # an idle thread must not keep the items alive
                if not announced:
                    return
        finally:
            scope.close()

    def _next(self, announced: bool) -> Chunk | None:
        """The next task; waits for it. None when the thread is to end.

        `_idle` counts the threads that wait or are about to, less those that a queued task has claimed;
        whoever takes a task that another thread was claimed for puts that right.
        """
        try:
            entry = self._tasks.get_nowait()
        except Empty:
            if self._closed:
                return None
            if not announced:
                self._idle.release()
                announced = True
            entry = self._tasks.get()
        if entry is None:
            return None
        chunk, claimed = entry
        if claimed and not announced:
            self._idle.release()
        elif announced and not claimed:
            self._idle.acquire(blocking=False)
        return chunk

    def _run(self, chunk: Chunk, where: str) -> bool:
        """Run a task; False when its thread was given up meanwhile, and replaced."""
        self._running[chunk] = threading.current_thread()
        if chunk.begin is not None and not chunk.begin():
            self._running.pop(chunk, None)
            self._idle.release()
            return True
        finished = Finished(chunk, *run_items(chunk.call, chunk.items, chunk.star), where)
        if self._running.pop(chunk, None) is None:
            return False
        self._idle.release()  # before others hear of it: the task that follows may be this thread's
        self._deliver(finished)
        return True

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
                self._idle.release()
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
