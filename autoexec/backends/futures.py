"""Tasks for somebody else's `concurrent.futures.Executor`: the caller's own, or loky through joblib."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future

from ..errors import MissingExtra, WorkerDied
from .base import Chunk, Deliver, Finished, run_items
from .native import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FuturesBackend", "in_this_process", "loky_executor"]


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


class FuturesBackend:
    """Runs tasks through an executor.

    Args:
        executor: where to.
        deliver: receives each finished task.
        serialise: turns the function into bytes for executors of other processes; None sends it as it is.
        owned: whether to shut the executor down at the end.
        renew: makes another one when this one is broken; it is then owned, too.
        name: for notes and plans.
        most: tasks that the executor may hold at a time; the others wait here, where they can be cancelled.
    """

    def __init__(
        self,
        executor: Executor,
        deliver: Deliver,
        *,
        serialise: Callable[[Callable[..., Any]], bytes] | None = None,
        owned: bool = False,
        renew: Callable[[], Executor] | None = None,
        name: str = "",
        most: int | None = None,
    ) -> None:
        self.name = name or type(executor).__name__
        self._executor, self._owned = executor, owned or renew is not None
        self._renew = renew
        self._broken = False
        self._deliver = deliver
        self._serialise = serialise
        self._bytes: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._most = most
        self._waiting: deque[Chunk] = deque()
        self._under_way: dict[Future[Any], Chunk] = {}

    def submit(self, chunk: Chunk) -> None:
        """Hand a task to the executor, or keep it until it has room."""
        with self._lock:
            self._waiting.append(chunk)
        self._hand_out()

    def _hand_out(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or (self._most is not None and len(self._under_way) >= self._most):
                    return
                chunk = self._waiting.popleft()
            if chunk.begin is None or chunk.begin():
                self._send(chunk)

    def _send(self, chunk: Chunk) -> None:
        try:
            future = self._submit(*self._packed(chunk))
        except RuntimeError as error:
            if not self._owned or isinstance(error, BrokenExecutor):
                self._deliver(Finished(chunk, [], error, 0.0, 0.0, self.name))
                return
            # The interpreter is about to exit, and loky takes no more work: what is pending is done here.
            ran = run_items(chunk.call, chunk.items, chunk.star)
            self._deliver(Finished(chunk, *ran, "the caller: the interpreter is about to exit"))
            return
        except Exception as error:  # its queue cannot take it
            self._deliver(Finished(chunk, [], error, 0.0, 0.0, self.name))
            return
        with self._lock:
            self._under_way[future] = chunk
        future.add_done_callback(self._done)

    def _submit(self, *task: Any) -> Future[Any]:
        try:
            return self._executor.submit(*task)
        except BrokenExecutor:
            if self._renew is None:
                raise
            self._executor = self._renew()
            return self._executor.submit(*task)

    def _packed(self, chunk: Chunk) -> tuple[Any, ...]:
        if self._serialise is None:
            return run_items, chunk.call, chunk.items, chunk.star
        with self._lock:
            data = self._bytes.get(id(chunk.call))
            if data is None:
                data = self._bytes[id(chunk.call)] = self._serialise(chunk.call)
        return run_pickled, data, chunk.items, chunk.star

    def _done(self, future: Future[Any]) -> None:
        with self._lock:
            chunk = self._under_way.pop(future, None)
        self._hand_out()
        if chunk is None:  # withdrawn
            return
        error = CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            self._deliver(Finished(chunk, [], self._explain(error, chunk), 0.0, 0.0, self.name))
        else:
            values, raised, wall, cpu = future.result()
            self._deliver(Finished(chunk, values, raised, wall, cpu, self.name))

    def _explain(self, error: BaseException, chunk: Chunk) -> BaseException:
        if not isinstance(error, BrokenExecutor):
            return error
        self._broken = True
        dead = WorkerDied(
            f"the workers of {self.name} broke while they held items from index {chunk.start} on: {error}"
        )
        dead.__cause__ = error
        return dead

    def withdraw(self) -> list[Chunk]:
        """Give back the tasks that no worker has begun."""
        with self._lock:
            waiting = list(self._under_way.items())
            back = list(self._waiting)
            self._waiting.clear()
        for future, chunk in waiting:
            with self._lock:
                ours = self._under_way.pop(future, None) is not None
            if ours and future.cancel():
                back.append(chunk)
            elif ours:
                with self._lock:
                    self._under_way[future] = chunk
                if future.done():  # it ended while it was out of the table
                    self._done(future)
        return back

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """Shut the executor down if it is ours; cancel what has not begun, when ending early.

        Args:
            wait: until running tasks are done.
            kill: cancel; a running task of somebody else's executor is not ended.
        """
        if kill:
            self.withdraw()
        while self._waiting:
            self._drain()
        if self._owned:
            self._executor.shutdown(wait=wait or self._broken)  # a broken one has nothing to wait for
        elif wait:
            self._drain()

    def _drain(self) -> None:
        with self._lock:
            futures = list(self._under_way)
        for future in futures:
            try:
                future.exception()
            except CancelledError:
                continue


def run_pickled(
    data: bytes, items: Sequence[Any], star: bool
) -> tuple[list[Any], BaseException | None, float, float]:
    """In a worker of another process: load the function (once per worker) and run the items."""
    import pickle

    call = _loaded.get(data)
    if call is None:
        call = _loaded[data] = pickle.loads(data)
    return run_items(call, items, star)


_loaded: dict[bytes, Callable[..., Any]] = {}
