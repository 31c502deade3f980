"""A task on its way through a worker process: what has come of it so far, and where it was sent last."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ...errors import BrokenWorker
from ...worker.invoke import Error, Task, TaskResult
from ...worker.remote_errors import Unsent
from ..lost_effects import told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Sent"]

_serials = itertools.count(1)  # a worker may serve several calls, one after the other


class Sent:
    """A task, and the outcomes of its first items.

    A worker that dies costs the item it was running: the outcomes before it stay, and the items after it go
    to another worker.

    Attributes:
        task: the task.
        outcomes: what came of its first items.
        serial: what the worker knows it by.
        single: whether what is left of it has to go item by item.
        stopped: whether its last outcome is an error that ends it.
        wall_s: seconds that the worker took.
        cpu_s: and CPU seconds.
        unsent: why the result of the item that is due next cannot be sent: the worker has called it.
    """

    __slots__ = ("cpu_s", "outcomes", "serial", "single", "stopped", "task", "unsent", "wall_s")

    def __init__(self, task: Task) -> None:
        self.task, self.serial = task, next(_serials)
        self.outcomes: list[Any] = []
        self.single = self.stopped = False
        self.wall_s = self.cpu_s = 0.0
        self.unsent: BaseException | None = None

    @property
    def rest(self) -> Sequence[Any]:
        """The items that nothing has come of yet."""
        return self.task.items[len(self.outcomes) :]

    @property
    def complete(self) -> bool:
        """Whether nothing of it is left to run."""
        return self.stopped or len(self.outcomes) == len(self.task.items)

    def add(self, outcome: Any) -> None:
        """One more item has come to something."""
        if self.stopped:
            return
        if type(outcome) is Unsent:
            self.unsent = outcome.error
            return
        self.outcomes.append(outcome)
        if type(outcome) is Error:
            error = outcome.error
            own = isinstance(error, Exception) and not isinstance(error, BrokenWorker)
            self.stopped = not (own and self.task.spec.capture)

    def fail(self, error: BaseException) -> None:
        """The item that is due next has failed."""
        self.add(Error(error))

    def fail_all(self, error: BaseException) -> None:
        """All items that are left have failed alike."""
        while not self.complete:
            self.fail(error)

    def stop(self, error: BaseException) -> None:
        """The item that is due next has failed in a way that is more than its own affair.

        Where none is left, what came of the last one cannot be relied on.
        """
        if len(self.outcomes) == len(self.task.items):
            del self.outcomes[-1:]
        self.fail(error)
        self.stopped = True

    def tell(self, lost: str, home: list[Any]) -> None:
        """A worker has looked at what it changed there, and at what goes home."""
        outcomes, self.outcomes = told(self.task, self.outcomes, lost, home), []
        for outcome in outcomes:
            self.add(outcome)

    def index(self) -> int:
        """The index of the item that is due next."""
        return self.task.place + len(self.outcomes)

    def result(self, where: str, ended: float) -> TaskResult:
        """What has come of it."""
        clean = not any(type(outcome) is Error for outcome in self.outcomes)
        return TaskResult(
            self.outcomes, ended - self.wall_s, ended, self.cpu_s, where, clean=clean, split=self.single
        )
