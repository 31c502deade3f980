"""What became of the calls, host by host: bounded however many hosts there are."""

from __future__ import annotations

from collections.abc import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..statistics import HostStats

__all__ = ["HOSTS", "OTHERS", "HostCounts", "HostTable"]

HOSTS = 1000  # that are told apart
OTHERS = "(other hosts)"  # the name of all others together


class HostCounts:
    """What became of the calls to one host; it outlives what else is known of that host.

    Attributes:
        calls: calls that ended, retries included.
        retries: calls that ran again.
        refusals: calls that were refused.
        errors: calls that ended with another error.
        waited_s: seconds in which a rate or a pause held calls back.
        limit: calls that might run at once when last looked at.
        reason: what held that limit.
    """

    __slots__ = ("calls", "errors", "limit", "reason", "refusals", "retries", "waited_s")

    def __init__(self) -> None:
        self.calls = self.retries = self.refusals = self.errors = self.limit = 0
        self.waited_s, self.reason = 0.0, ""

    def add(self, other: HostCounts) -> None:
        """Count the calls to another host, too."""
        self.calls += other.calls
        self.retries += other.retries
        self.refusals += other.refusals
        self.errors += other.errors
        self.waited_s += other.waited_s

    def stats(self, host: str) -> HostStats:
        """The counts as a value."""
        from ..statistics import HostStats

        return HostStats(
            host,
            self.calls,
            self.retries,
            self.refusals,
            self.errors,
            self.waited_s,
            self.limit,
            self.reason,
        )


class HostTable:
    """The counts of all hosts of a run: `HOSTS` of them apart, those with the most calls.

    >>> table = HostTable()
    >>> table.of("a.org").calls += 3
    >>> [(name, counts.calls) for name, counts in table.rows()]
    [('a.org', 3)]
    """

    def __init__(self) -> None:
        self._counts: dict[str, HostCounts] = {}
        self._others = HostCounts()

    def of(self, host: str) -> HostCounts:
        """The counts of a host; made if it is new."""
        counts = self._counts.get(host)
        if counts is None:
            counts = self._counts[host] = HostCounts()
        return counts

    def merge_rare(self, kept: Container[str]) -> None:
        """Once there are too many hosts, count those with few calls together, but for those in `kept`.

        One that comes back after that counts anew.
        """
        if len(self._counts) <= 2 * HOSTS:
            return
        rare = [name for name in _by_calls(self._counts)[HOSTS:] if name not in kept]
        for name in rare:
            self._others.add(self._counts.pop(name))

    def rows(self) -> list[tuple[str, HostCounts]]:
        """Hosts with their counts, in the order in which they came; last the others, if there are any."""
        names: Iterable[str] = self._counts
        rest = HostCounts()
        rest.add(self._others)
        if len(self._counts) > HOSTS:
            ordered = _by_calls(self._counts)
            for name in ordered[HOSTS:]:
                rest.add(self._counts[name])
            told = set(ordered[:HOSTS])
            names = [name for name in self._counts if name in told]
        rows = [(name, self._counts[name]) for name in names]
        return [*rows, (OTHERS, rest)] if rest.calls or rest.waited_s else rows


def _by_calls(counts: dict[str, HostCounts]) -> list[str]:
    """The hosts, those with the most calls first."""
    return sorted(counts, key=lambda name: -counts[name].calls)
