"""Tracks and slots: a backend as one run has opened it, and the places of its workers.

Rule: a slot gets a task when it has asked for one, and is asked for nothing else. A track's own account says
what it has done; only the scheduler writes here, under its lock.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from enum import Enum

from ..registry import THEIRS, row
from .queues import TaskQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..backends.base import Backend
    from ..records import Plan
    from ..worker.invoke import Task, TaskResult

__all__ = ["DONE", "END", "Chunks", "End", "Naming", "Slot", "Track", "TrackState", "track_of"]

UNTOLD = 128  # workers that somebody else's executor is taken to have, where it does not tell


class End(Enum):
    """What a slot is told instead of a task.

    END: there will be no more. DONE: what it has said was heard, and there is nothing else now.
    """

    END = "end"
    DONE = "done"


END, DONE = End.END, End.DONE


class Naming:
    """What a slot is asked to do first: to find out whom some tasks concern, which runs the user's code.

    Attributes:
        queue: where they are to wait.
        tasks: the tasks, of one item each.
        apart: whether neighbours of one group stay tasks of their own.
        names: what was found, in the order of the tasks.
    """

    __slots__ = ("apart", "names", "queue", "tasks")

    def __init__(self, queue: TaskQueue, tasks: list[Task], *, apart: bool) -> None:
        self.queue, self.tasks, self.apart = queue, tasks, apart
        self.names: list[str | BaseException] = []

    def put_back(self) -> None:
        """Nobody has found out whom these tasks concern: somebody else will."""
        self.queue.naming -= len(self.tasks)
        self.queue.put_raw(self.tasks)


class TrackState(Enum):
    """The life of a track."""

    PLANNED = "planned"
    OPENING = "opening"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"
    FAILED = "failed"


class Chunks:
    """How many items the next task of a track has; it follows what items really take.

    Args:
        plan: the plan that the track carries out.
        fixed: the caller's `chunksize=`, or None.
        single: whether tasks have one item each.
        window: the caller's `buffersize=`, or None.
        bytes_each: pickled bytes of an item, there and back.
        most: items of a task at most.

    Attributes:
        size: items of the next task, as long as many are left.
        fixed: their number if it never changes, or None.
    """

    __slots__ = ("_at_once", "_bytes", "_most", "_task_s", "_window", "fixed", "size")

    def __init__(
        self,
        plan: Plan,
        fixed: int | None,
        *,
        single: bool,
        window: int | None,
        bytes_each: int = 0,
        most: int | None = None,
    ) -> None:
        self._at_once, self._window, self._bytes = plan.at_once, window, bytes_each
        self.fixed = 1 if single else fixed
        self.size = self.fixed or plan.chunksize
        self._most, self._task_s = self.size, 0.0
        if self.fixed is None:  # else it never changes, and nobody needs to know more
            from ..decide import sizing

            self._most, self._task_s = sizing.MOST if most is None else most, sizing.TASK_S
            self.size = min(self.size, self._most)

    def next(self, remaining: int | None) -> int:
        """Items of the next task: smaller ones towards the end, so that workers finish together."""
        if self.fixed is not None or self.size == 1 or remaining is None:
            return self.size
        return max(1, min(self.size, remaining // (2 * self._at_once)))

    def follow(self, item_s: float) -> None:
        """Items take so many seconds."""
        if self.fixed is not None or item_s <= 0.0:
            return
        if self.size == 1 and item_s > self._task_s / 10:
            return
        wanted = min(self._most, int(self._task_s / item_s), 4 * self.size)
        if self._bytes:
            wanted = min(wanted, (4 << 20) // self._bytes)
        if self._window is not None:
            wanted = min(wanted, self._window // (2 * self._at_once))
        self.size = max(1, wanted)


class Slot:
    """A worker's place.

    Attributes:
        track: whose it is.
        gate: open when there is something new in `mail` or `todo`, where its thread waits; None for a slot
            without a thread of its own.
        mail: the answer: a task, `END` or `DONE`, something to name, or None as long as there is none.
        todo: what its thread has to do before it goes on.
        tasks: the tasks that it has.
        began: when the last of them was given to it.
        parked: whether it waits for a task.
        asking: whether its thread has asked for a task, and has no answer yet.
        left: whether nobody waits for what it runs.
        finished: the task that its thread has run, with its result, on their way to the scheduler.
        worker: the backend's own.
    """

    __slots__ = (
        "asking",
        "began",
        "finished",
        "gate",
        "left",
        "mail",
        "parked",
        "tasks",
        "todo",
        "track",
        "worker",
    )

    def __init__(self, track: Track, *, threaded: bool = True) -> None:
        self.track = track
        self.gate: Any = None
        if threaded:
            self.gate = allocate_lock()
            self.gate.acquire()
        self.mail: Task | End | Naming | None = None
        self.todo: list[Callable[[], object]] = []
        self.tasks: dict[int, Task] = {}
        self.began = 0.0
        self.parked = self.asking = self.left = False
        self.finished: tuple[Task, TaskResult] | None = None
        self.worker: Any = None

    def open_gate(self) -> None:
        """There is something for its thread, which may not even have come for the last thing yet."""
        if self.gate.locked():
            self.gate.release()


class Track:
    """One backend as opened by one run.

    Args:
        name: of the backend.
        queue: where its tasks come from.
        most: slots at most.
        chunks: how large its tasks are.
        elastic: whether the scheduler makes slots as they are needed.
        threaded: whether each slot has a thread that waits at its gate.
        ends_late: whether the backend itself ends calls that take longer than `item_timeout=`.
        bounded: whether the backend itself runs no more calls at once than the plan says.

    Attributes:
        state: see `TrackState`.
        backend: the backend, once it is open.
        slots: its slots.
        parked: those that wait for a task, the last one first.
        rung: those without a thread that have an answer, in the order in which they were given one.
        busy: slots that have a task.
        allowed: slots that may be busy at present.
        held: whether it is open, but gets no tasks yet.
        done: items that have ended here.
        wall_s: their seconds.
        cpu_s: and their CPU seconds.
        error: why it failed.
        note: told of each task that has ended: items, seconds, CPU seconds. Under the scheduler's lock.
    """

    __slots__ = (
        "allowed", "backend", "bounded", "busy", "chunks", "cpu_s", "done", "elastic", "ends_late", "error",
        "held", "most", "name",
        "note", "parked", "queue", "rung", "slots", "state", "threaded", "wall_s",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        queue: TaskQueue,
        most: int,
        chunks: Chunks,
        *,
        elastic: bool = False,
        threaded: bool = True,
        ends_late: bool = False,
        bounded: bool = False,
    ) -> None:
        self.ends_late, self.bounded = ends_late, bounded
        self.name, self.queue, self.most, self.chunks = name, queue, most, chunks
        self.elastic, self.threaded = elastic, threaded
        self.state = TrackState.PLANNED
        self.backend: Backend | None = None
        self.slots: set[Slot] = set()
        self.parked: list[Slot] = []
        self.rung: deque[Slot] = deque()
        self.busy, self.allowed, self.held = 0, most, False
        self.done, self.wall_s, self.cpu_s = 0, 0.0, 0.0
        self.error: BaseException | None = None
        self.note: Callable[[int, float, float], object] = lambda items, wall, cpu: None

    def add(self) -> Slot:
        """One more slot."""
        slot = Slot(self, threaded=self.threaded)
        self.slots.add(slot)
        return slot

    @property
    def idle(self) -> bool:
        """Whether it is open and could run something."""
        if self.state is not TrackState.OPEN or self.held or self.busy >= self.allowed:
            return False
        grows = self.elastic and len(self.slots) < self.most
        return bool(self.parked) or grows or not (self.elastic or self.threaded)

    @property
    def over(self) -> bool:
        """Whether no slot of it runs anything any more."""
        return self.state in (TrackState.CLOSED, TrackState.FAILED) or (
            self.state is TrackState.DRAINING and not self.busy
        )

    def __repr__(self) -> str:
        return f"<Track {self.name} {self.state.value}: {self.busy} of {len(self.slots)} slots busy>"


def track_of(plan: Plan, queue: TaskQueue, chunks: Chunks, executor: object = None) -> Track:
    """A track for the backend that a plan names.

    Args:
        plan: the plan.
        queue: where its tasks come from.
        chunks: how large they are.
        executor: the caller's own, where the plan names none of ours.
    """
    info, workers = row(plan.backend), plan.at_once
    if info is THEIRS:
        from ..backends.executors import capacity

        workers = capacity(executor, UNTOLD)
    return Track(
        plan.backend,
        queue,
        info.ahead * workers,
        chunks,
        elastic=info.elastic,
        threaded=info.threaded,
        ends_late=info.ends_late,
        bounded=info.bounded,
    )
