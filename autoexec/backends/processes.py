"""Worker processes, each served by one thread of the caller: it sends a task and waits for the answer.

    submit ──► queue ──► lane thread ═ pipe ═► worker process
                             └──► deliver(Finished)

One lane per worker makes it known at any moment which items a worker holds, so that when it dies exactly
those are named; a `ProcessPoolExecutor` cannot tell, and fails everything. The worker is replaced for the
tasks that follow.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from ..errors import WorkerDied, add_note
from .base import Chunk, Deliver, Finished, run_items
from .portable import with_traceback
from .start import Worker, fork_worker, spawn_worker
from .wire import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ProcessBackend"]


class ProcessBackend:
    """Runs tasks in worker processes.

    Args:
        max_workers: processes.
        deliver: receives each finished task.
        call: the function most tasks will call; forked workers inherit it.
        fork: whether to fork the workers, at once. Only where `may_fork()` has nothing against it.
        inherited: the whole input, if forked workers should read it instead of being sent it.
        native_threads: threads for the native libraries of each worker, or None.
        serialise: turns a function into bytes for workers that have not got it.
        eager: whether to start the workers before their first task comes.
    """

    name = "processes"

    def __init__(
        self,
        max_workers: int,
        deliver: Deliver,
        *,
        serialise: Callable[[Callable[..., Any]], bytes],
        call: Callable[..., Any] | None = None,
        fork: bool = False,
        inherited: Sequence[Any] | None = None,
        native_threads: int | None = None,
        eager: bool = False,
    ) -> None:
        self._deliver = deliver
        self._eager = eager
        self._serialise = serialise
        self._native_threads = native_threads
        self._tasks: SimpleQueue[Chunk | None] = SimpleQueue()
        self._killed = False
        self._functions: dict[int, tuple[Callable[..., Any], bytes]] = {}
        self._lock = threading.Lock()
        self._workers: set[Worker] = set()
        self._fork_s: float | None = None
        began = time.perf_counter()
        forked: list[Worker | None] = [None] * max_workers
        if fork and call is not None:
            # All of them before the first lane starts: a process with threads must not fork.
            forked = [fork_worker(call, id(call), inherited, native_threads) for _ in range(max_workers)]
            self._workers.update(worker for worker in forked if worker)
            self._fork_s = (time.perf_counter() - began) / max_workers
        self._inherited = inherited if fork else None
        self._known_by_fork = id(call) if fork else None
        self._lanes = [
            threading.Thread(target=self._lane, args=(worker,), name=f"autoexec-lane-{i}", daemon=True)
            for i, worker in enumerate(forked)
        ]
        for lane in self._lanes:
            lane.start()

    def submit(self, chunk: Chunk) -> None:
        """Queue a task."""
        self._tasks.put(chunk)

    def withdraw(self) -> list[Chunk]:
        """Give back the tasks that no worker has begun."""
        back: list[Chunk] = []
        closing = 0
        while True:
            try:
                chunk = self._tasks.get_nowait()
            except Empty:
                break
            if chunk is None:
                closing += 1
            else:
                back.append(chunk)
        for _ in range(closing):
            self._tasks.put(None)
        return back

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """End the workers after the queued tasks, or at once with `kill`."""
        if kill:
            self._killed = True
            self.withdraw()
            with self._lock:
                for worker in self._workers:
                    worker.kill()
        for _ in self._lanes:
            self._tasks.put(None)
        if wait:
            for lane in self._lanes:
                if lane is not threading.current_thread():
                    lane.join()

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
        return {} if self._fork_s is None else {"fork_start": self._fork_s}

    # One lane ---------------------------------------------------------------------------------------------

    def _lane(self, worker: Worker | None) -> None:
        """Serve one worker: start it when the first task comes, replace it when it dies."""
        known = {self._known_by_fork} if worker else set()
        inherits = worker is not None and self._inherited is not None
        try:
            if worker is None and self._eager:
                worker = self._spawn(None)
            while (chunk := self._tasks.get()) is not None:
                if chunk.begin is not None and not chunk.begin():
                    continue
                if worker is None:
                    worker = self._spawn(chunk)
                    known, inherits = set(), False
                    if worker is None:
                        continue
                if not self._serve(worker, chunk, known, inherits):
                    self._retire(worker, chunk)
                    worker = None
                del chunk
        finally:
            if worker is not None:
                worker.close(kill=self._killed)
                with self._lock:
                    self._workers.discard(worker)

    def _spawn(self, chunk: Chunk | None) -> Worker | None:
        if self._killed:
            return None
        try:
            worker = spawn_worker(self._native_threads)
        except OSError as error:
            if chunk is not None:
                self._deliver(Finished(chunk, [], error, 0.0, 0.0, "the caller: no worker could be started"))
            return None
        with self._lock:
            self._workers.add(worker)
            if self._killed:
                worker.kill()
        return worker

    def _serve(self, worker: Worker, chunk: Chunk, known: set[Any], inherits: bool) -> bool:
        """Have the worker run one task; False when it died over it."""
        where = f"process {worker.pid}"
        try:
            message = self._encode(chunk, known, inherits)
        except Exception:
            # Items that cannot cross stay here, where they have their meaning.
            ran = run_items(chunk.call, chunk.items, chunk.star)
            self._deliver(Finished(chunk, *ran, "the caller: its items cannot be pickled"))
            return True
        try:
            worker.pipe.send(message)
            answer = worker.pipe.receive()
        except (OSError, EOFError):
            return False
        known.add(id(chunk.call))
        try:
            values, problem, wall, cpu = loads(answer)
        except Exception as error:
            add_note(error, "autoexec: raised while a worker's result was loaded")
            values, problem, wall, cpu = [], (error, ""), 0.0, 0.0
        self._deliver(Finished(chunk, values, _revive(problem), wall, cpu, where))
        return True

    def _encode(self, chunk: Chunk, known: set[Any], inherits: bool) -> bytes:
        function = None if id(chunk.call) in known else self._function_bytes(chunk.call)
        stop = chunk.start + len(chunk.items)
        items: Any = stop if inherits else chunk.items
        header = (id(chunk.call), function, chunk.star, chunk.start, items)
        if inherits or self._known_by_fork is not None:
            try:
                return pickle.dumps(header, protocol=5)
            except Exception:
                pass  # a lambda or a local class among the items
        import cloudpickle

        # A fresh interpreter has another __main__: what lives there goes by value.
        data: bytes = cloudpickle.dumps(header, protocol=5)
        return data

    def _function_bytes(self, call: Callable[..., Any]) -> bytes:
        with self._lock:
            entry = self._functions.get(id(call))
            if entry is None:
                entry = self._functions[id(call)] = (call, self._serialise(call))
            return entry[1]

    def _retire(self, worker: Worker, chunk: Chunk) -> None:
        code = worker.close(kill=True, patience_s=1.0)
        with self._lock:
            self._workers.discard(worker)
        if not self._killed:
            self._deliver(
                Finished(chunk, [], died(worker.pid, code, chunk), 0.0, 0.0, f"process {worker.pid}")
            )


def _revive(problem: tuple[BaseException, str] | None) -> BaseException | None:
    if problem is None:
        return None
    error, text = problem
    return with_traceback(error, text) if text else error


def died(pid: int, code: int | None, chunk: Chunk) -> WorkerDied:
    """The error for a worker that ended while it held `chunk`."""
    import signal

    if code is not None and code < 0:
        try:
            how = f"killed by {signal.Signals(-code).name}"
        except ValueError:
            how = f"killed by signal {-code}"
    else:
        how = f"exit code {code}"
    last = chunk.start + len(chunk.items) - 1
    which = f"item {chunk.start}" if last == chunk.start else f"items {chunk.start} to {last}"
    shown = ", ".join(_short(item) for item in chunk.items[:3]) + (", ..." if len(chunk.items) > 3 else "")
    return WorkerDied(
        f"worker process {pid} ended ({how}) while it held {which} ({shown}); "
        "nothing was run again. Run with backend='serial' to see what the item does"
    )


def _short(item: object) -> str:
    try:
        text = repr(item)
    except Exception:
        return f"<{type(item).__qualname__}>"
    return text if len(text) <= 60 else text[:57] + "..."
