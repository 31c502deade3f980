"""Counts of a run: calls, latencies, concurrency over time, failures; bounded however long the run is.

Nothing here has a lock or a clock: its users hold the one and hand in the other (monotonic seconds).
"""

from __future__ import annotations

import math
from collections import Counter
from math import log

from ..decide.answers import status_of
from ..records import Ending
from .host_counts import OTHERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..statistics import HostStats, Stats

__all__ = ["Histogram", "Metrics", "Timeline", "kind_of"]

GROWTH = log(1.05)  # width of a bucket: latencies are told apart by 5 %
SHORTEST_S, LONGEST_S = 1e-9, 1e9  # what lies outside counts as the nearer of these
FIRST = log(SHORTEST_S) / GROWTH  # number of the first bucket
BUCKETS = math.ceil(log(LONGEST_S) / GROWTH - FIRST) + 1
SHARES = (0.5, 0.9, 0.99, 1.0)
POINTS = 512  # of the timeline
SHOWN = 8  # kinds of failure in the summary
KINDS = 1000  # of failure that are told apart, host by host
STEP_S = 0.005  # between two points at first
OK, REFUSED = Ending.OK, Ending.REFUSED  # members of an enum are slow to look up


class Histogram:
    """Latencies in logarithmic buckets."""

    __slots__ = ("_buckets", "_most")

    def __init__(self) -> None:
        self._buckets = [0] * BUCKETS
        self._most = 0.0

    def add(self, seconds: float) -> None:
        """One more call took so long."""
        if seconds > self._most:  # noqa: PLR1730 (half the time of `max`, for every call)
            self._most = seconds
        if seconds < SHORTEST_S:
            self._buckets[0] += 1
            return
        try:
            self._buckets[int(log(seconds) / GROWTH - FIRST)] += 1
        except (IndexError, OverflowError):  # more than anybody has
            self._buckets[-1] += 1

    def shares(self) -> tuple[tuple[float, float], ...]:
        """The seconds that 50, 90, 99 and 100 % of the calls stayed below."""
        count = sum(self._buckets)
        if not count:
            return ()
        found, seen, wanted = [], 0, list(SHARES[:-1])
        for bucket, calls in enumerate(self._buckets):
            seen += calls
            while wanted and seen >= wanted[0] * count:
                found.append((wanted.pop(0), min(self._most, math.exp((bucket + 0.5 + FIRST) * GROWTH))))
        return (*found, (SHARES[-1], self._most))


class Timeline:
    """A number over time, in at most `POINTS` points: when they are used up, every second one goes.

    Attributes:
        due: what is noted before that time is left out.
    """

    __slots__ = ("_begin", "_points", "_step", "due")

    def __init__(self) -> None:
        self._begin: float | None = None
        self._step = STEP_S
        self._points: list[tuple[float, int]] = []
        self.due = -math.inf

    def note(self, now: float, value: int) -> None:
        """The number is `value` from now on."""
        if now < self.due:
            return
        if self._begin is None:
            self._begin = now
        self._points.append((now - self._begin, value))
        if len(self._points) >= POINTS:
            self._points = self._points[::2]
            self._step *= 2
        self.due = now + self._step

    def points(self) -> tuple[tuple[float, int], ...]:
        """The points so far: seconds since the first, and the number then."""
        return tuple(self._points)


class Metrics:
    """What happened to all calls of a run.

    Attributes:
        at_once: calls that run now.
        calls: calls that ended, retries included.
        retries: calls that ran again.
        refusals: calls that were refused.
        errors: calls that ended with another error.
        blocked_s: seconds for which single tasks kept an event loop from all others.
    """

    __slots__ = (
        "_failures", "_latency", "_timeline",
        "at_once", "blocked_s", "calls", "errors", "refusals", "retries",
    )  # fmt: skip

    def __init__(self) -> None:
        self.at_once = self.calls = self.retries = self.refusals = self.errors = 0
        self.blocked_s = 0.0
        self._latency, self._timeline = Histogram(), Timeline()
        self._failures: Counter[tuple[str, str]] = Counter()

    def began(self, now: float) -> None:
        """A call begins."""
        self.at_once += 1
        if now >= self._timeline.due:
            self._timeline.note(now, self.at_once)

    def ended(self, now: float, ending: Ending, seconds: float) -> None:
        """A call ended after so many seconds."""
        self.at_once -= 1
        self.calls += 1
        if ending is OK:
            self._latency.add(seconds)
        elif ending is REFUSED:
            self.refusals += 1
        else:
            self.errors += 1
            self._latency.add(seconds)
        if now >= self._timeline.due:
            self._timeline.note(now, self.at_once)

    def cancelled(self) -> None:
        """A call that was let begin did not."""
        self.at_once -= 1

    def failed(self, kind: str, host: str) -> None:
        """An item failed for good; `kind` is what `kind_of` says of its error."""
        self._failures[kind, host] += 1
        if len(self._failures) > 2 * KINDS:
            self._merge_rare()

    def _merge_rare(self) -> None:
        kept = self._failures.most_common()
        self._failures = Counter(dict(kept[:KINDS]))
        for (kind, _), count in kept[KINDS:]:
            self._failures[kind, OTHERS] += count

    def brief(self) -> str:
        """The state of affairs in a few words, for a progress bar.

        >>> Metrics().brief()
        '0 at once'
        """
        counts = (("errors", self.errors), ("refused", self.refusals), ("retries", self.retries))
        return ", ".join([f"{self.at_once} at once", *(f"{n} {word}" for word, n in counts if n)])

    def failures(self) -> str:
        """What failed for good, most frequent first, in one line; "" if nothing did."""
        rows = [(n, f"{kind} ({host})" if host else kind) for (kind, host), n in self._failures.most_common()]
        shown = [f"{n} {what}" for n, what in rows[:SHOWN]]
        more = sum(n for n, _ in rows[SHOWN:])
        return ", ".join(shown + [f"{more} others"] * bool(more))

    def stats(self, items: int, hosts: tuple[HostStats, ...]) -> Stats:
        """Everything as a value: `items` delivered so far, and what is known host by host."""
        from ..statistics import Failures, Stats

        return Stats(
            items=items,
            calls=self.calls,
            retries=self.retries,
            refusals=self.refusals,
            errors=self.errors,
            at_once=self.at_once,
            latency_s=self._latency.shares(),
            concurrency=self._timeline.points(),
            blocked_s=self.blocked_s,
            hosts=hosts,
            failures=tuple(Failures(kind, host, n) for (kind, host), n in self._failures.most_common()),
        )


def kind_of(error: BaseException) -> str:
    """What people would count an error under: its class, and the HTTP status if it has one.

    It may run code of the error's class, a property: no lock should be held.
    """
    status, name = status_of(error), type(error).__qualname__
    return f"{name} {status}" if isinstance(status, int) else name
