"""What a server keeps count of, and how it makes calls queue: no sockets, and a clock that can be made up."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable

REFUSALS = (429, 503)


class Tally:
    """The calls of one path: how many, how many at once, how they ended."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.calls = self.at_once = self.most_at_once = 0
        self.statuses: Counter[int] = Counter()
        self.ids: Counter[str] = Counter()
        self.first = self.changed = clock()
        self.area = 0.0  # calls in progress × seconds

    def began(self, name: str | None = None) -> None:
        """One more call is in progress, with this id if it has one."""
        self._advance()
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if name is not None:
            self.ids[name] += 1

    def ended(self, status: int) -> None:
        """One of them has its answer."""
        self._advance()
        self.at_once -= 1
        self.statuses[status] += 1

    def _advance(self) -> None:
        now = self.clock()
        self.area += self.at_once * (now - self.changed)
        self.changed = now

    def facts(self) -> dict[str, object]:
        """For JSON; the mean number at once is that between the first call and the last event."""
        span = self.changed - self.first
        return {
            "calls": self.calls,
            "at_once": self.at_once,
            "most_at_once": self.most_at_once,
            "mean_at_once": self.area / span if span else 0.0,
            "refused": sum(self.statuses[status] for status in REFUSALS),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "ids": dict(self.ids),
        }


class Gate:
    """Lets `width()` calls in at once; the others queue in the order in which they came."""

    def __init__(self, width: Callable[[], int]) -> None:
        self.width = width
        self.inside = 0
        self.queue: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self.queue or self.inside >= self.width():
            ticket = asyncio.get_running_loop().create_future()
            self.queue.append(ticket)
            await ticket  # whoever leaves counts us in
        else:
            self.inside += 1

    async def __aexit__(self, *_: object) -> None:
        self.inside -= 1
        while self.queue and self.inside < self.width():
            ticket = self.queue.popleft()
            if not ticket.done():
                self.inside += 1
                ticket.set_result(None)
