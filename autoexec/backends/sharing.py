"""What is left of a long task is shared out to workers that have nothing to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from .base import Chunk
from .tasks import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .courier import Courier

__all__ = ["Joint", "relieve", "share"]

LONG_S = 0.03  # a task that runs longer than this was cut too large
SPARED_S = 0.005  # of work, at least, that somebody else should get by it
AGAIN_S = 0.03  # seconds between two looks while others run
SELDOM_S = 0.5  # and while nobody runs more than one item


class Joint:
    """A task and the parts that its rest was cut into."""

    def __init__(self, head: Task, parts: list[Task]) -> None:
        self._head, self._parts = head, parts
        self._left = len(parts)
        self._lock = threading.Lock()

    def done(self) -> Task | None:
        """One more part is complete; with the last one the whole task, complete."""
        with self._lock:
            self._left -= 1
            if self._left:
                return None
        head = self._head
        for part in self._parts:
            head.wall_s, head.cpu_s = head.wall_s + part.wall_s, head.cpu_s + part.cpu_s
            if head.error is None:
                head.values += part.values
                head.error = part.error
        return head


def share(task: Task, pieces: int) -> list[Task]:
    """Cut what is left of a task, which must not be single, into about so many tasks."""
    left, at = task.rest, len(task.values)
    size = max(1, -(-len(left) // pieces))
    parts = [
        Task(
            Chunk(task.chunk.start + at + place, left[place : place + size], task.chunk.call, task.chunk.star)
        )
        for place in range(0, len(left), size)
    ]
    joint = Joint(task, parts)
    for part in parts:
        part.joint = joint
        part.wanted()  # the task's own question was asked when it was taken
    return parts


def relieve(couriers: Iterable[Courier]) -> float | None:
    """Have the worker with the most left of a long task stop after the item that it runs.

    Returns:
        Seconds after which to look again, or None while nobody runs anything.
    """
    now, most, heaviest = time.perf_counter(), SPARED_S, None
    pause: float | None = None
    for courier in couriers:
        left, ran_s = courier.load(now)
        if left is None:
            continue
        soon = left or ran_s < LONG_S  # it may not even have begun
        pause = min(pause or SELDOM_S, AGAIN_S if soon else SELDOM_S)
        if ran_s > LONG_S and left and (work := left * courier.pace(ran_s)) > most:
            most, heaviest = work, courier
    if heaviest is not None:
        heaviest.cut()
    return pause
