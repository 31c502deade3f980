"""The words that backends and engine share: tasks in, finished tasks out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..errors import BrokenWorker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol
else:
    Protocol = object

__all__ = ["Backend", "Capturing", "Chunk", "Deliver", "Failure", "Finished", "run_items"]


class Failure:
    """An item's error as a value, standing in its place among results."""

    __slots__ = ("error", "where")

    def __init__(self, error: BaseException, where: str = "") -> None:
        self.error, self.where = error, where

    def __reduce__(self) -> tuple[Any, ...]:
        from .portable import portable, restored

        return restored, (Failure, *portable(self.error))


class Capturing:
    """A function whose errors are values, so that one of them does not end its whole task."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def __call__(self, *args: Any) -> Any:
        """Call the function; what it raises is returned in a `Failure`."""
        try:
            return self.call(*args)
        except BrokenWorker:
            raise
        except Exception as error:
            return Failure(error)


class Chunk:
    """Items with consecutive indices that one worker runs one after the other.

    Attributes:
        start: index of the first item.
        items: the items; argument tuples if `star`.
        call: the function.
        star: whether to call `call(*item)` rather than `call(item)`.
        begin: asked by the worker that takes the task; False means that it was cancelled.
    """

    __slots__ = ("begin", "call", "items", "star", "start")

    def __init__(
        self,
        start: int,
        items: Sequence[Any],
        call: Callable[..., Any],
        star: bool = False,
        begin: Callable[[], bool] | None = None,
    ) -> None:
        self.start, self.items, self.call, self.star, self.begin = start, items, call, star, begin


class Finished:
    """What became of a task: the values up to the first error, and that error.

    Attributes:
        chunk: the task.
        values: results of its first items.
        error: what the item after the last value raised, or None if all went well.
        wall_s: seconds the worker took.
        cpu_s: CPU seconds the worker's thread took.
        where: the worker, for notes ("process 4711").
    """

    __slots__ = ("chunk", "cpu_s", "error", "values", "wall_s", "where")

    def __init__(
        self,
        chunk: Chunk,
        values: list[Any],
        error: BaseException | None,
        wall_s: float,
        cpu_s: float,
        where: str,
    ) -> None:
        self.chunk, self.values, self.error = chunk, values, error
        self.wall_s, self.cpu_s, self.where = wall_s, cpu_s, where


# Receives a finished task, from any thread; may return a task for the worker that brought it, if that
# worker's backend is `hands_on`.
Deliver = Callable[[Finished], "Chunk | None"]


class Backend(Protocol):
    """Runs tasks somewhere and hands each one back through `deliver`, from any thread."""

    def submit(self, chunk: Chunk) -> None:
        """Take a task; never blocks."""

    def withdraw(self) -> list[Chunk]:
        """Give back the tasks that no worker has begun."""

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """Finish what was submitted and let the workers go.

        Args:
            wait: return only when they are gone.
            kill: end running tasks at once where that is possible (worker processes).
        """


def run_items(
    call: Callable[..., Any], items: Sequence[Any], star: bool
) -> tuple[list[Any], BaseException | None, float, float]:
    """Run a task's items here; return the values, the error that ended them, wall and CPU seconds."""
    values: list[Any] = []
    add = values.append
    error: BaseException | None = None
    cpu, wall = time.thread_time(), time.perf_counter()
    try:
        if star:
            for item in items:
                add(call(*item))
        else:
            for item in items:
                add(call(item))
    except BaseException as raised:  # SystemExit in a worker belongs to the item, too
        error = raised
    return values, error, time.perf_counter() - wall, time.thread_time() - cpu
