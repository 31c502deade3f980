"""What a finished task says of the other side, item by item, and which items should run again.

This runs the user's code (a response's properties, `retry_on=`, a policy): without any lock, in the thread of
the worker that ran the items. What it raises is that item's failure.
"""

from __future__ import annotations

from ..decide.answers import Answer, judge_error, judge_value
from ..decide.retries import attempt_note
from ..records import Ending
from ..worker.invoke import Error, Task, TaskResult, fatal
from .metrics import kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .limits import Limits

__all__ = ["OK", "Response", "Try", "judge"]

OK = Answer(Ending.OK)


class Response(Exception):
    """A response that was returned, not raised, and that says to try again."""


class Try:
    """How one try of an item ended.

    Attributes:
        at: its place in the task.
        answer: what it says of the other side.
        error: why it may run again, or None if all went well.
        delay_s: seconds until it should, or None: it should not.
        kind: what people would count the error under.
        notes: what became of all tries so far, once that is known.
    """

    __slots__ = ("answer", "at", "delay_s", "error", "kind", "notes")

    def __init__(self, at: int, answer: Answer, error: BaseException | None, delay_s: float | None) -> None:
        self.at, self.answer, self.error, self.delay_s = at, answer, error, delay_s
        self.notes: list[str] = []
        self.kind = ""

    def note(self, attempt: int, result: TaskResult) -> str:
        """One line about a try that failed."""
        assert self.error is not None
        return attempt_note(attempt, self.error, result.ended - result.began)


def judge(limits: Limits, task: Task, result: TaskResult, now: float) -> list[Try]:
    """Every item of a task that has come to something.

    Raises:
        BaseException: what the user's code raised, if that is no `Exception`.
    """
    tries = []
    for at, outcome in enumerate(result.outcomes):
        try:
            tries.append(_judged(limits, task, at, outcome, now))
        except Exception as raised:
            result.outcomes[at] = Error(raised)
            tries.append(Try(at, OK, None, None))
    del task, result  # see `run_items`: an error must not hold on to itself
    return tries


def _judged(limits: Limits, task: Task, at: int, outcome: object, now: float) -> Try:
    error: BaseException | None
    if type(outcome) is Error:
        error = outcome.error
        answer = judge_error(error, limits.date())
        if fatal(error):
            return Try(at, answer, None, None)
    else:
        answer = judge_value(outcome, limits.date())
        if not answer.transient:
            return Try(at, answer, None, None)
        error = Response(f"answer {answer.status}")
    count = task.attempt if len(task.items) == 1 else 1
    tried = Try(at, answer, error, limits.delay(count, task.since, error, answer, now))
    if type(outcome) is Error:
        tried.kind = kind_of(error)
    return tried
