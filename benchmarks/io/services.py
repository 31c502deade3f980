"""Services simulated in the client's own process, with real threads and in real time.

A call asks a model under a lock how long it takes, and sleeps for so long. Queues are computed, not waited
for: the model keeps the times at which the calls under way will be answered. Times are seconds since the
service's first call. Little is imported, because the runs measure cold starts: no `random`, no `threading`.
"""

from __future__ import annotations

import time
from _random import Random
from _thread import allocate_lock
from bisect import bisect_right, insort
from math import cos, exp, inf, log, pi, sqrt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SERVICES", "Refused", "Response", "Service", "open_service"]

REFUSAL_S = 0.010
RETRY_AFTER_S = 1
BINS = 200
_SEED = 20


class Response:
    """As much of an HTTP response as a refusal has."""

    status_code = 429

    def __init__(self) -> None:
        self.headers = {"Retry-After": str(RETRY_AFTER_S)}


class Refused(Exception):
    """429 Too Many Requests, in the manner of `requests.HTTPError`."""

    def __init__(self) -> None:
        super().__init__("429 Too Many Requests")
        self.response = Response()
        self.status_code, self.headers = self.response.status_code, self.response.headers


class _Busy:
    """When the calls under way will be answered."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def count(self, now: float) -> int:
        """How many calls are under way at `now`, which never goes back."""
        del self.ends[: bisect_right(self.ends, now)]
        return len(self.ends)

    def add(self, end: float) -> None:
        insort(self.ends, end)


def even(random: Random) -> float:
    """100 ms give or take 5 %."""
    return 0.1 * (0.95 + 0.1 * random.random())


def uneven(random: Random) -> float:
    """Log-normal: median 100 ms, sigma 0.8 (Box and Muller's normal numbers)."""
    return 0.1 * exp(0.8 * sqrt(-2 * log(1 - random.random())) * cos(2 * pi * random.random()))


class Steady:
    """As quick however many call."""

    def __init__(self, draw: Callable[[Random], float] = even) -> None:
        self.draw, self.random = draw, Random(_SEED)

    def seconds(self, now: float) -> float:
        """How long a call that comes in at `now` takes."""
        return self.draw(self.random)


class Queueing(Steady):
    """Serves some at once, first come first served; `phases` are (until when, how many)."""

    def __init__(self, *phases: tuple[float, int]) -> None:
        super().__init__()
        self.phases, self.busy, self.begun = phases, _Busy(), 0.0

    def seconds(self, now: float) -> float:
        begin = self._turn(max(now, self.begun))
        self.begun, end = begin, begin + super().seconds(now)
        self.busy.add(end)
        return end - now

    def _turn(self, when: float) -> float:
        """The first time from `when` on at which fewer are served than could be."""
        while True:
            until, served = next(phase for phase in self.phases if when < phase[0])
            busy = self.busy.count(when)
            if busy < served:
                return when
            when = min(until, self.busy.ends[busy - served])


class Degrading(Steady):
    """Above `limit` at once calls get slower with the square of their number: throughput falls."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.busy = limit, _Busy()

    def seconds(self, now: float) -> float:
        crowd = max(1.0, (self.busy.count(now) + 1) / self.limit)
        seconds = super().seconds(now) * crowd**2
        self.busy.add(now + seconds)
        return seconds


class Limited(Steady):
    """Refuses what comes while `most` are under way, or when `rate` were accepted within one second."""

    def __init__(self, most: int, rate: int) -> None:
        super().__init__()
        self.most, self.rate, self.busy, self.accepted = most, rate, _Busy(), _Busy()

    def seconds(self, now: float) -> float:
        if self.busy.count(now) >= self.most or self.accepted.count(now) >= self.rate:
            raise Refused
        seconds = super().seconds(now)
        self.busy.add(now + seconds)
        self.accepted.add(now + 1)
        return seconds


class Service:
    """A service to call, which counts what its clients do.

    Args:
        model: says how long a call takes, or refuses it.
        burn_s: seconds of this thread's CPU time that the client spends on each answer, the GIL held.
        factor: on the model's seconds.
    """

    def __init__(self, model: Steady, burn_s: float = 0.0, factor: float = 1.0) -> None:
        self.model, self.burn_s, self.factor = model, burn_s, factor
        self.calls = self.refused = self.answered = 0
        self._lock = allocate_lock()
        self._log: list[tuple[float, int]] = []

    def call(self, item: int) -> int:
        """Wait for the answer, which is the item; raises `Refused`."""
        seconds, refused = self._enter()
        try:
            time.sleep(seconds)
            return self._answer(item, refused)
        finally:
            self._leave()

    async def acall(self, item: int) -> int:
        """The same without blocking the event loop (but what burns, burns in it)."""
        import asyncio

        seconds, refused = self._enter()
        try:
            await asyncio.sleep(seconds)
            return self._answer(item, refused)
        finally:
            self._leave()

    def _enter(self) -> tuple[float, bool]:
        with self._lock:
            now = time.perf_counter()
            self._log.append((now, +1))
            self.calls += 1
            try:
                return self.model.seconds(now - self._log[0][0]) * self.factor, False
            except Refused:
                self.refused += 1
                return REFUSAL_S, True

    def _leave(self) -> None:
        with self._lock:
            self._log.append((time.perf_counter(), -1))

    def _answer(self, item: int, refused: bool) -> int:
        if refused:
            raise Refused
        if self.burn_s:
            end = time.thread_time() + self.burn_s
            while time.thread_time() < end:
                pass
        with self._lock:
            self.answered += 1
        return item

    def record(self) -> dict:
        """What the clients did; concurrency counts every call that is under way, the refused ones too."""
        if not self._log:
            return {}
        first, last = self._log[0][0], self._log[-1][0]
        timeline, most = _binned(self._log, first, max(last - first, 1e-9))
        return {
            "answered": self.answered,
            "refused": self.refused / self.calls,
            "mean": sum(timeline) / len(timeline),
            "max": most,
            "span": last - first,
            "timeline": [round(level, 1) for level in timeline],
        }


def _binned(events: list[tuple[float, int]], first: float, span: float) -> tuple[list[float], int]:
    """The mean concurrency in each of so many equal parts of the time, and the highest of all."""
    area, level, most, before = [0.0] * BINS, 0, 0, 0.0
    for when, step in events:
        now = (when - first) / span * BINS
        while before < now:
            part = min(int(before), BINS - 1)
            upto = now if part == BINS - 1 else min(now, part + 1)
            area[part] += level * (upto - before)
            before = upto
        level += step
        most = max(most, level)
    return area, most


class Row:
    """One service of the table.

    Args:
        title: what it does.
        items: calls to make; the best fixed count needs about 3 s for them.
        make: builds the service, as new.
        counts: fixed counts worth trying; the others are too low or too high by far.
        alone_s: mean seconds of one call alone.
        useful: no more at once than this can bring anything.
        limit: above so many at once calls get slower with the square of their number.
        refuses: whether its clients must be ready to try again.
    """

    def __init__(
        self,
        title: str,
        items: int,
        make: Callable[[], Service],
        counts: tuple[int, ...],
        *,
        alone_s: float = 0.1,
        useful: float = inf,
        limit: float = inf,
        refuses: bool = False,
    ) -> None:
        self.title, self.items, self.make, self.counts = title, items, make, counts
        self.alone_s, self.useful, self.limit, self.refuses = alone_s, useful, limit, refuses

    def at_least_s(self, workers: int) -> float:
        """Seconds below which so many at once cannot come."""
        crowded = max(0, self.items - workers) * self.alone_s * (workers / self.limit) ** 2 / workers
        return max(crowded, self.items * self.alone_s / min(workers, self.useful))


SERVICES = {
    "constant": Row("100 ms, no limit", 7000, lambda: Service(Steady()), (64, 128, 256)),
    "knee": Row(
        "16 at once, the others queue", 480, lambda: Service(Queueing((inf, 16))), (8, 16, 32, 64), useful=16
    ),
    "degrading": Row(
        "slower above 32 at once",
        960,
        lambda: Service(Degrading(32)),
        (16, 32, 64),
        useful=32,
        limit=32,
    ),
    "refusing": Row(
        "429 above 40 at once or 200/s",
        600,
        lambda: Service(Limited(40, 200)),
        (8, 16, 32, 64),
        useful=40,
        refuses=True,
    ),
    "lognormal": Row(
        "log-normal, sigma 0.8", 5500, lambda: Service(Steady(uneven)), (64, 128, 256), alone_s=0.1377
    ),
    "falling": Row(
        "64 at once, then 6, then 64",
        1340,
        lambda: Service(Queueing((1, 64), (2, 6), (inf, 64))),
        (32, 64, 128, 256),
        useful=64,
    ),
    "parsing": Row(
        "10 ms wait, 10 ms of Python",
        300,
        lambda: Service(Steady(), burn_s=0.010, factor=0.1),
        (1, 2, 4, 8, 16),
        alone_s=0.020,
        useful=2,
    ),
    "short": Row("60 items of 100 ms", 60, lambda: Service(Steady()), (16, 32, 64)),
}


def open_service(name: str, size: float = 1.0) -> tuple[Service, range]:
    """The service as new, and its items; `size` scales their number."""
    row = SERVICES[name]
    return row.make(), range(max(2, round(row.items * size)))
