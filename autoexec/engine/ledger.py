"""The ledger: each place is in exactly one table, and counts are lengths of tables. Pure.

Rule: a run ends only when the source is over and all tables but "handed out" are empty. The other parts of
the scheduler share these tables; whoever changes them holds its lock.
"""

from __future__ import annotations

import math
from collections import deque

from ..errors import AutoexecError
from .queues import TaskQueue
from .result_order import Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..worker.invoke import Task
    from .source import Source
    from .tracks import Slot, Track

__all__ = ["Ledger"]

FULL = 1 << 62


class Ledger:
    """The tables of one run, or of one executor.

    Args:
        source: the items of a map, or None.
        ordered: whether results leave in the order of their places.
        most: calls at once over all tracks, or None.

    Attributes:
        source: the items of a map, or None.
        window: what is finished.
        queue: where the tasks of a map wait.
        queues: all queues in which tasks wait.
        out: what slots have, by its number.
        retries: what is to run again: when, a number, what, and where it waits then.
        keeping: what is being written into the journal, by a number.
        late: what was given up, and not yet judged, by its number.
        calls: those of an executor, as long as their futures are not done.
        telling: of these, those whose futures hear of it just now, and the thread that tells them.
        put: calls that an executor was given.
        resolved: calls whose future knows, or is told.
        withdrawn: items that were never begun, and never will be.
        dropped: finished items that nobody took.
        left: items that run on, and nobody waits for them.
        timed: tasks with a time limit, by number and the end of it, the oldest first.
        tracks: all tracks there ever were.
        busy: calls that run at once now.
        most: and at most; may be infinite.
        serial: the last number that was given to anything.
        room: items that may be taken and not yet delivered.
        delivered: items whose results the consumer has used.
        below: the place of an error that ends the results: nothing behind it begins.
        error: what ended the run, or None.
        closing: whether nothing more begins.
        news: whether the consumer is to look, whatever there is for it.
        states: what the run has passed through, for the error that should never be seen.
    """

    __slots__ = (
        "below", "busy", "calls", "closing", "delivered", "dropped", "error", "keeping", "late", "left",
        "most", "news", "out", "put", "queue", "queues", "resolved", "retries", "room", "serial", "source",
        "states", "telling", "timed", "tracks", "window", "withdrawn",
    )  # fmt: skip

    def __init__(self, source: Source | None, *, ordered: bool = True, most: int | None = None) -> None:
        self.source = source
        self.window = Window(ordered=ordered)
        self.queue = TaskQueue()
        self.queues: list[TaskQueue] = [self.queue]
        self.out: dict[int, tuple[Task, Slot]] = {}
        self.retries: list[tuple[float, int, Task, TaskQueue]] = []
        self.keeping: dict[int, Task] = {}
        self.late: dict[int, Task] = {}
        self.calls: set[Task] = set()
        self.telling: dict[Task, int] = {}
        self.put = self.resolved = self.withdrawn = self.dropped = self.left = 0
        self.timed: deque[tuple[float, int]] = deque()
        self.tracks: list[Track] = []
        self.busy = self.serial = self.delivered = 0
        self.most = math.inf if most is None else most
        self.room = FULL
        self.below = math.inf
        self.error: BaseException | None = None
        self.closing = self.news = False
        self.states: list[str] = []

    def under_way(self) -> bool:
        """Whether any item is on its way."""
        return bool(
            self.out
            or self.retries
            or self.keeping
            or self.late
            or self.window.ready
            or any(queue.items or queue.naming for queue in self.queues)
        )

    def over(self) -> bool:
        """Whether all items of a map have been handed out."""
        return self.source is not None and self.source.over and not self.under_way()

    def to_pull(self) -> int:
        """Items that may be pulled from the iterator now."""
        source = self.source
        assert source is not None
        if source.ended or self.below < math.inf:
            return 0
        return max(0, self.room - (source.pulled - self.delivered))

    def to_take(self) -> int:
        """Items that may be taken from the source."""
        source = self.source
        assert source is not None
        if source.sequence is None:
            return self.room  # what is at hand was pulled already
        if source.scattered:
            return self.room - (source.taken - self.window.ready - self.window.handed)
        return self.room - (source.position - self.delivered)

    def crammed(self) -> bool:
        """Whether nothing more may be taken from the input because of what is not delivered yet."""
        source = self.source
        if source is None or self.below < math.inf:
            return False
        if source.sequence is not None:
            return bool(source.at_hand) and self.to_take() <= 0
        return not (source.ended or source.at_hand) and self.to_pull() <= 0

    def enough_out(self) -> bool:
        """Whether workers have something to do for a while."""
        return len(self.out) + self.queue.items >= 2 * sum(len(track.slots) for track in self.tracks)

    # What should never be seen ----------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """How many items are in which table."""
        return {
            "pulled": self.source.pulled if self.source is not None else self.put,
            "at hand": self.source.pulled - self.source.taken if self.source is not None else 0,
            "waiting": sum(queue.items + queue.naming for queue in self.queues),
            "out": sum(len(task.items) for task, _ in list(self.out.values())),
            "to be retried": sum(len(task.items) for _, _, task, _ in list(self.retries)),
            "being kept": sum(len(task.items) for task in list(self.keeping.values())),
            "given up": sum(len(task.items) for task in list(self.late.values())),
            "ready": self.window.ready,
            "delivered": self.window.handed + self.resolved,
            "withdrawn": self.withdrawn,
            "dropped": self.dropped,
            "left running": self.left,
        }

    def check_sum(self) -> None:
        """Each place is in one table.

        Raises:
            AutoexecError: if not.
        """
        counts = self.counts()
        if counts["pulled"] != sum(counts.values()) - counts["pulled"]:
            raise self._mismatch(counts)

    def checked(self) -> AutoexecError | None:
        """What is wrong with the end of a run: it ends when every place has been handed out."""
        counts = self.counts()
        return None if counts["pulled"] == counts["delivered"] else self._mismatch(counts)

    def _mismatch(self, counts: dict[str, int]) -> AutoexecError:
        return AutoexecError(f"results were lost, which must not happen: {self._told(counts)}")

    def _told(self, counts: dict[str, int]) -> str:
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        return f"{told}; states: {', '.join(self.states)}; please report this with the script"

    def standing_still(self) -> tuple[int, ...] | None:
        """A mark of how far this is, if a worker has nothing to do although something waits; else None.

        Whoever asks knows that nothing is due at any time.
        """
        source = self.source
        assert source is not None
        moves = self.out or self.late or self.keeping or self.window.due
        if moves or self.closing or any(queue.naming for queue in self.queues):
            return None
        if not (self.under_way() or source.at_hand) or not any(track.idle for track in self.tracks):
            return None
        return self.serial, self.window.ready, self.window.handed

    def stuck_words(self) -> str:
        """What the tables hold, for whoever is to find out why nothing moves."""
        return f"nothing moves although something could: {self._told(self.counts())}"
