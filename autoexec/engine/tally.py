"""Counts of a run: calls, latencies, concurrency over time, failures; bounded however long the run is."""

from __future__ import annotations

import math
from collections import Counter

from ..records import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..statistics import HostStats, Stats

__all__ = ["Histogram", "Tally", "Timeline"]

GROWTH = math.log(1.05)  # width of a bucket: latencies are told apart by 5 %
SHARES = (0.5, 0.9, 0.99, 1.0)
POINTS = 512  # of the timeline
SHOWN = 8  # kinds of failure in the summary
STEP_S = 0.005  # between two points at first


class Histogram:
    """Latencies in logarithmic buckets."""

    __slots__ = ("_buckets", "_count", "_most")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._count, self._most = 0, 0.0

    def add(self, seconds: float) -> None:
        """One more call took so long."""
        self._buckets[int(math.log(max(seconds, 1e-9)) / GROWTH + 1000)] += 1
        self._count += 1
        self._most = max(self._most, seconds)

    def shares(self) -> tuple[tuple[float, float], ...]:
        """The seconds that 50, 90, 99 and 100 % of the calls stayed below."""
        if not self._count:
            return ()
        found, seen, wanted = [], 0, list(SHARES[:-1])
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            while wanted and seen >= wanted[0] * self._count:
                found.append((wanted.pop(0), min(self._most, math.exp((bucket + 0.5 - 1000) * GROWTH))))
        return (*found, (SHARES[-1], self._most))


class Timeline:
    """A number over time, in at most `POINTS` points: when they are used up, every second one goes."""

    __slots__ = ("_begin", "_due", "_points", "_step")

    def __init__(self) -> None:
        self._begin: float | None = None
        self._due, self._step = 0.0, STEP_S
        self._points: list[tuple[float, int]] = []

    def note(self, now: float, value: int) -> None:
        """The number is `value` from now on."""
        if self._begin is None:
            self._begin = now
        if now < self._due:
            return
        self._points.append((now - self._begin, value))
        if len(self._points) >= POINTS:
            self._points = self._points[::2]
            self._step *= 2
        self._due = now + self._step

    def points(self) -> tuple[tuple[float, int], ...]:
        """The points so far: seconds since the first, and the number then."""
        return tuple(self._points)


class Tally:
    """What happened to all calls of a run; its users hold a lock.

    Attributes:
        at_once: calls that run now.
        errors: calls that ended with an error other than a refusal.
        blocked_s: seconds for which single tasks kept an event loop from all others.
    """

    def __init__(self) -> None:
        self.at_once = self.calls = self.retries = self.refusals = self.errors = 0
        self.blocked_s = 0.0
        self._latency, self._timeline = Histogram(), Timeline()
        self._failures: Counter[tuple[str, str]] = Counter()

    def began(self, now: float) -> None:
        """A call begins."""
        self.at_once += 1
        self._timeline.note(now, self.at_once)

    def ended(self, now: float, ending: Ending, seconds: float) -> None:
        """A call ended after so many seconds."""
        self.at_once -= 1
        self.calls += 1
        if ending is Ending.REFUSED:
            self.refusals += 1
        else:
            self.errors += ending is not Ending.OK
            self._latency.add(seconds)
        self._timeline.note(now, self.at_once)

    def failed(self, error: BaseException, host: str) -> None:
        """An item failed for good."""
        self._failures[kind_of(error), host] += 1

    def brief(self) -> str:
        """The state of affairs in a few words, for a progress bar.

        >>> Tally().brief()
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
        """Everything as a value."""
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
    """What people would count an error under: its class, and the HTTP status if it has one."""
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status", None)
    name = type(error).__qualname__
    return f"{name} {status}" if isinstance(status, int) else name
