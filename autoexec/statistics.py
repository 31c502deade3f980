"""What `Results.stats()` returns: the counts of a run, as values."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from .frozen import dataclass

__all__ = ["Failures", "HostStats", "Stats"]


@dataclass(frozen=True, slots=True)
class HostStats:
    """What became of the calls to one host (or one value of `per=`).

    Attributes:
        host: its name; "" for items that name none.
        calls: calls that ended, retries included.
        retries: calls that ran again.
        refusals: answers 429, and 503 with a `Retry-After`.
        errors: calls that ended with another error, or took too long.
        waited_s: seconds in which calls were ready but `rate=` or a `Retry-After` held them back.
        limit: calls that may run at once now.
        reason: what holds that limit.
    """

    host: str
    calls: int
    retries: int
    refusals: int
    errors: int
    waited_s: float
    limit: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failures:
    """Items that failed for good in the same way at the same host."""

    kind: str
    host: str
    count: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What a run did so far; `Results.stats()` returns it.

    Attributes:
        items: results delivered so far.
        calls: calls that were watched one by one, retries included; items that ran in the caller's own thread
            before the rest was sent out count where `rate`, `retries` and the like ask for attention.
        retries: calls that ran again.
        refusals: answers 429, and 503 with a `Retry-After`.
        errors: calls that ended with another error, or took too long.
        at_once: calls that run now.
        latency_s: seconds of a call: shares of the calls with the seconds that so many stayed below, as
            ((0.5, median), (0.9, ...), (0.99, ...), (1.0, longest)), within 3 %; empty before the first.
        concurrency: (seconds since the first call, calls at once) over time, at most 512 points.
        blocked_s: seconds for which calls of async functions kept the event loop from all others.
        hosts: the same apart for each host.
        failures: items that failed for good, by kind of error and host, most frequent first.
    """

    items: int = 0
    calls: int = 0
    retries: int = 0
    refusals: int = 0
    errors: int = 0
    at_once: int = 0
    latency_s: tuple[tuple[float, float], ...] = ()
    concurrency: tuple[tuple[float, int], ...] = ()
    blocked_s: float = 0.0
    hosts: tuple[HostStats, ...] = ()
    failures: tuple[Failures, ...] = ()
