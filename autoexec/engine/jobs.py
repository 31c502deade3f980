"""What a desk keeps of each task: the tries of its items, and the line they wait in."""

from __future__ import annotations

import math
from collections import deque

from ..backends.base import Chunk, Finished
from ..decide.answers import Answer
from .attempts import Attempts
from .lane import Lane

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..decide.concurrency import Ticket

__all__ = ["Job", "Line", "Rest", "Try"]


class Job(Chunk):
    """One try of a task; a task of several items is tried again item by item.

    Attributes:
        attempts: how often its item was tried.
        line: the host that it waits for or runs at.
        settled: whether its outcome is known, or no longer wanted.
        rest: the task that it is a part of, with the place in it, or None.
        since: when a worker began it, 0.0 before.
        ticket: what the host's controller knows it by.
    """

    __slots__ = ("_asks", "attempts", "line", "rest", "settled", "since", "ticket")

    def __init__(self, chunk: Chunk, line: Line, attempts: Attempts, rest: Rest | None = None) -> None:
        super().__init__(chunk.start, chunk.items, chunk.call, chunk.star, chunk.begin)
        self.line, self.attempts, self.rest, self._asks = line, attempts, rest, chunk.begin
        self.settled, self.since = False, 0.0
        self.ticket: Ticket | None = None

    @property
    def fresh(self) -> bool:
        """Whether nothing of its task was ever begun."""
        return self.rest is None and not self.attempts.count

    def unbegun(self) -> None:
        """It was let begin, but no worker took it."""
        if self.since:
            self.attempts.count -= 1
        self.since, self.begin = 0.0, self._asks if self.fresh else None


class Line:
    """The jobs that wait for one host."""

    __slots__ = ("alarm", "jobs", "lane", "listed")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.jobs: deque[Job] = deque()
        self.listed = False  # among those that may admit a call
        self.alarm = math.inf  # when it will be looked at again


class Try:
    """How one try of an item ended, and when it may be tried again (None: not at all)."""

    __slots__ = ("answer", "delay_s", "error", "place")

    def __init__(
        self, place: int, answer: Answer, error: BaseException | None, delay_s: float | None
    ) -> None:
        self.place, self.answer, self.error, self.delay_s = place, answer, error, delay_s


class Rest:
    """A finished task some of whose items run again."""

    __slots__ = ("finished", "places")

    def __init__(self, finished: Finished, places: int) -> None:
        self.finished, self.places = finished, places
