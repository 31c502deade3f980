"""The tries of one item, and what each of them came to."""

from __future__ import annotations

import time

from ..backends.base import Failure
from ..decide.answers import Answer, judge_value
from ..errors import Refused, add_note

__all__ = ["Attempts", "Response", "judge_response", "no_host"]


class Attempts:
    """How often one item was tried, and what came of it."""

    __slots__ = ("count", "notes", "since")

    def __init__(self, since: float = 0.0) -> None:
        self.count, self.since = int(since > 0.0), since  # one try has begun, or none yet
        self.notes: list[str] = []

    def begin(self, now: float) -> None:
        """One more try begins."""
        self.count += 1
        self.since = self.since or now

    def note(self, error: BaseException, seconds: float) -> None:
        """One more try failed after so many seconds."""
        from ..decide.retries import attempt_note

        self.notes.append(attempt_note(self.count, error, seconds))

    def tell(self, error: BaseException) -> None:
        """Write on the last error what became of every try."""
        if self.count > 1 or len(self.notes) > 1 or isinstance(error, Refused):
            for note in self.notes:
                add_note(error, f"autoexec: {note}")


def no_host(error: Exception) -> Failure:
    """The failure of an item for which `per=` raised."""
    add_note(error, "autoexec: raised by per=, before the item was called")
    return Failure(error)


def judge_response(value: object) -> tuple[Answer, Exception | None]:
    """What a value that was returned says of the other side, and an error if it says to try again."""
    answer = judge_value(value, time.time())
    return answer, Response(f"answer {answer.status}") if answer.transient else None


class Response(Exception):
    """A response that was returned, not raised, and that says to try again."""
