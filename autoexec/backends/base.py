"""What every backend is, and what it sees of the scheduler."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Any, Protocol

    from ..worker.invoke import Task, TaskResult
else:
    Protocol = object

__all__ = ["Backend", "Slot", "Tasks"]


class Slot(Protocol):
    """A worker's place, as its backend sees it.

    Attributes:
        finished: the task that its thread has run, with its result, for `Tasks.exchange`.
        left: whether nobody waits for what it runs.
        worker: the backend's own.
    """

    finished: tuple[Task, TaskResult] | None
    left: bool
    worker: Any


class Tasks(Protocol):
    """The scheduler, as backends see it. Each task given out comes back exactly once."""

    @property
    def closing(self) -> bool:
        """Whether nothing more begins."""

    def next(self, slot: Any, timeout: float | None = None) -> Any:
        """A task for a slot that has none, `END`, or None after the time."""

    def ahead(self, slot: Any) -> Task | None:
        """One more task for a slot that has one already, if one may begin now."""

    def exchange(self, slot: Any) -> Any:
        """What `slot.finished` says became of its task, for the next one, or `END`."""

    def completed(self, slot: Any, task: Task, result: TaskResult, *, ask: bool = True) -> Any:
        """What became of a task; the next one, or None if none is asked for or the slot has no thread."""

    def returned(self, slot: Any, task: Task) -> None:
        """A task was never begun, and never will be."""

    def collect(self, slot: Any) -> Any:
        """The answer that a slot without a thread was rung for; None if there is none yet."""

    def ask(self, slot: Any) -> None:
        """A slot without a thread wants a task."""

    def failed(self, slot: Any, error: BaseException) -> None:
        """The backend of a slot can have no workers."""

    def gone(self, slot: Any) -> None:
        """The worker of a slot has ended."""

    def crashed(self, error: BaseException) -> None:
        """Something escaped a thread of ours: the run ends with it."""


class Backend(Protocol):
    """Workers that ask for tasks. It keeps no queue: what waits, waits in the scheduler alone.

    Attributes:
        name: for notes and plans.
    """

    name: str

    @property
    def starting(self) -> bool:
        """Whether no worker has finished anything yet, and some have to be started first."""

    def start(self, slot: Any) -> None:
        """Have a worker for a slot, whose first answer is there already; for elastic tracks.

        Raises:
            RuntimeError: if it cannot be had.
        """

    def ring(self, rung: deque[Any]) -> None:
        """There are answers for these slots, which have no thread; never within a call of the scheduler's."""

    def recall(self) -> None:
        """Tasks that were given out ahead are wanted back; the workers themselves answer for them."""

    def abandon(self, slot: Any, task: Task) -> None:
        """Nobody waits for what a slot runs any more."""

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """Let the workers go when they have nothing more to do.

        Args:
            wait: return only when they are gone.
            kill: end running tasks at once where that is possible (worker processes).
        """

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
