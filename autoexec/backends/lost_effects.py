"""What a task says of effects that have happened in another process only: the error that names them.

What may live here: what becomes of a task whose worker tells of such an effect, on every backend.
"""

from __future__ import annotations

from ..errors import EffectLost, add_note
from ..worker.invoke import Error, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["told"]


def told(task: Task, outcomes: list[Any], lost: str, home: list[Any]) -> list[Any]:
    """The outcomes of a task, once its worker's looks are told.

    An effect that is lost is told in the last one's place. Where workers disagree on what a memo holds, none
    of the task's results can be relied on: it is told in the first one's.

    Args:
        task: the task.
        outcomes: what came of its first items.
        lost: the effect in words, or "".
        home: what it has added to memos.
    """
    if lost:
        return _spoilt(task, outcomes, lost, len(outcomes) - 1)
    surround = task.spec.surround
    words = surround.came(task.place, home) if home and surround is not None else ""
    return _spoilt(task, outcomes, words, 0) if words else outcomes


def _spoilt(task: Task, outcomes: list[Any], words: str, at: int) -> list[Any]:
    if not outcomes:
        return outcomes
    first, last = task.place, task.place + len(outcomes) - 1
    items = f"item {last}" if first == last else f"items {first} to {last}"
    words = f"{words}, in a worker process, while it ran {items}: that is lost"
    if type(outcomes[at]) is Error:
        add_note(outcomes[at].error, f"autoexec: {words}")
        return outcomes
    error = Error(EffectLost(f"{words}. {EffectLost.instead}"))
    return [*outcomes[:at], error, *(outcomes[at + 1 :] if task.spec.capture else ())]
