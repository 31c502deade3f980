"""What the future of an executor's call is told. Without the lock: its callbacks are the user's."""

from __future__ import annotations

from _thread import get_ident

from ..errors import WorkerDied, add_note
from .ledger import Ledger
from .result_order import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..worker.invoke import Task

__all__ = ["resolve"]


def resolve(ledger: Ledger, task: Task, outcome: Any) -> None:
    """A call has ended: its future hears of it, unless it was cancelled and never begun."""
    ledger.telling[task] = get_ident()
    try:
        if task.begin() and (ledger.error is None or not task.future.done()):
            _set(task.future, outcome)
    finally:
        ledger.calls.discard(task)
        ledger.telling.pop(task, None)


def _set(future: Any, outcome: Any) -> None:
    """Give a future its result or error; it holds on to nothing else of its call."""
    if hasattr(future._condition, "task"):
        future._condition.task = None
    if type(outcome) is Failed:
        error = outcome.error
        if len(outcome.notes) > 1 or (outcome.notes and isinstance(error, WorkerDied)):
            for note in outcome.notes:
                add_note(error, f"autoexec: {note}")
        future.set_exception(error)
    else:
        future.set_result(outcome)
