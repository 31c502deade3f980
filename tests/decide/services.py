"""Simulated services in virtual time: how long a run takes under a fixed count or under the controller.

One client calls one service. Threads take turns at the client's GIL, first come first served; each call costs
some microseconds of it, each new thread some more. A refused call pauses all starts for its `Retry-After` and
is made again. Latencies are drawn per item, so that all ways to run meet the same items.

`python -m tests.decide.services` prints the table of all services.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from autoexec.decide.concurrency import Controller, Ticket
from autoexec.records import Ending

THREAD_S = 60e-6  # GIL seconds to start a thread
SWITCH_S = 0.005  # the GIL is handed over after so long when somebody waits for it
CALL_S = 50e-6  # GIL seconds of the client's own per call
REFUSED_S = 0.010  # seconds until a refusal arrives
CAP = 256
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def _even(rng: random.Random) -> float:
    return max(0.5, rng.gauss(1.0, 0.05))


def _uneven(rng: random.Random) -> float:
    return rng.lognormvariate(0.0, 0.8)


@dataclass(frozen=True)
class Service:
    """What the other side does, and how many calls there are.

    Attributes:
        items: calls to make.
        latency_s: seconds of a call when nothing is in its way.
        held_s: GIL seconds that the client spends on each answer.
        draw: the factor of one item on `latency_s`.
        slots: how many calls are served at once at a time; the others queue.
        slower_above: calls in service beyond which all get slower, with the square of their number.
        most: calls in service beyond which more are refused.
        rate: calls accepted within one second; more are refused.
        drift: factor on all latencies at a time.
        down: whether all calls are refused at a time.
        retry_after_s: seconds that a refusal asks to wait; 0.0 says nothing.
    """

    items: int
    latency_s: float = 0.1
    held_s: float = 0.0
    draw: Callable[[random.Random], float] = _even
    slots: Callable[[float], float] = lambda now: math.inf
    slower_above: float = math.inf
    most: float = math.inf
    rate: float = math.inf
    drift: Callable[[float], float] = lambda now: 1.0
    down: Callable[[float], bool] = lambda now: False
    retry_after_s: float = 1.0


SERVICES = {
    "constant": Service(7000),
    "knee 16": Service(480, slots=lambda now: 16),
    "degrades above 32": Service(960, slower_above=32),
    "429 above 40 or 200/s": Service(600, most=40, rate=200),
    "log-normal": Service(5500, draw=_uneven),
    "64, then 6, then 64": Service(1340, slots=lambda now: 6 if 1 <= now < 2 else 64),
    "half wait, half GIL": Service(300, latency_s=0.010, held_s=0.010),
    "60 items": Service(60),
}


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        seconds: of virtual time.
        in_flight: mean number of calls in flight.
        refused: share of all calls that were refused.
        calls: calls made, the refused ones too.
        steps: (seconds, limit) at each change of the limit.
    """

    seconds: float = 0.0
    in_flight: float = 0.0
    refused: float = 0.0
    calls: int = 0
    steps: list[tuple[float, int]] = field(default_factory=list)


class Fixed:
    """A fixed count behind the same face as the controller; it obeys a pause, too."""

    def __init__(self, count: int) -> None:
        self.count, self.until, self.in_flight = count, 0.0, 0

    def started(self, now: float) -> Ticket | None:
        self.in_flight += 1
        return None

    def ended(self, ticket: Ticket | None, now: float, ending: Ending, *, held_s: float = 0.0) -> None:
        self.in_flight -= 1

    def pause(self, until: float) -> None:
        self.until = max(self.until, until)

    def limit(self, now: float) -> int:
        return 0 if now < self.until else self.count

    def next_change(self, now: float) -> float | None:
        return self.until if now < self.until else None


class Run:
    """One run of all items of a service, event by event."""

    def __init__(self, service: Service, pilot: Controller | Fixed, seed: int) -> None:
        rng = random.Random(seed)
        self.service, self.pilot = service, pilot
        self.factors = [service.draw(rng) for _ in range(service.items)]
        self.todo = deque(range(service.items))
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self.serial = self.threads = self.in_flight = self.serving = self.calls = self.refused = self.done = 0
        self.queue: deque[tuple[int, object]] = deque()
        self.accepted: deque[float] = deque()
        self.area = self.last = 0.0
        self.gil: deque[tuple[float, Callable[..., None], tuple[object, ...]]] = deque()
        self.gil_taken = self.goes_on = False
        self.timer = math.inf
        self.steps: list[tuple[float, int]] = []

    def at(self, when: float, act: Callable[..., None], *args: object) -> None:
        self.serial += 1
        heapq.heappush(self.events, (when, self.serial, act, args))

    def outcome(self) -> Outcome:
        if not any(map(self.service.slots, (0.5, 1.5))):
            raise ValueError("a service that serves nobody")
        for when in (1.0, 2.0):  # waiting calls are looked after when capacity may have changed
            self.at(when, self.serve)
        self.fill()
        while self.done < self.service.items:
            self.now, _, act, args = heapq.heappop(self.events)
            act(*args)
            self.fill()
        return Outcome(self.now, self.area / self.now, self.refused / self.calls, self.calls, self.steps)

    def fill(self) -> None:
        """Start calls while the pilot lets them, and wake up when it wants to be asked again."""
        limit = self.pilot.limit(self.now)
        if not self.steps or self.steps[-1][1] != limit:
            self.steps.append((self.now, limit))
        while self.todo and self.in_flight < limit:
            self.start(self.todo.popleft())
            limit = self.pilot.limit(self.now)
        if self.todo:
            change = self.pilot.next_change(self.now)
            if change is not None and (change < self.timer or self.timer <= self.now):
                assert change > self.now, "a change that is due now is no news"
                self.timer = change
                self.at(change, self.tick)

    def tick(self) -> None:
        self.timer = math.inf

    def count(self, step: int) -> None:
        self.area += self.in_flight * (self.now - self.last)
        self.last = self.now
        self.in_flight += step

    def hold_gil(self, seconds: float, act: Callable[..., None], *args: object) -> None:
        """Hold the GIL for so long, in turns with the others who want it, and go on."""
        if self.goes_on:  # the thread whose call has just ended begins the next one before it lets go
            self.goes_on = False
            self.gil.appendleft((seconds, act, args))
        else:
            self.gil.append((seconds, act, args))
        if not self.gil_taken:
            self.take()

    def take(self) -> None:
        """The first in the queue gets the GIL, for one switch interval at most."""
        self.gil_taken = True
        seconds, act, args = self.gil.popleft()
        if seconds > SWITCH_S:
            self.at(self.now + SWITCH_S, self.give, self.hold_gil, (seconds - SWITCH_S, act, *args))
        else:
            self.at(self.now + seconds, self.give, act, args)

    def give(self, act: Callable[..., None], args: tuple[object, ...]) -> None:
        """The GIL is free: who held it goes on or gets in line again, and the next one takes it."""
        act(*args)
        if act == self.end:
            self.goes_on = True
            self.fill()
            self.goes_on = False
        self.gil_taken = False
        if self.gil:
            self.take()

    def start(self, item: int) -> None:
        ticket = self.pilot.started(self.now)
        self.count(+1)
        self.calls += 1
        cost = CALL_S
        if self.in_flight > self.threads:
            self.threads += 1
            cost += THREAD_S
        self.hold_gil(cost, self.arrive, item, ticket)

    def arrive(self, item: int, ticket: object) -> None:
        """The call reaches the service."""
        while self.accepted and self.accepted[0] <= self.now - 1.0:
            self.accepted.popleft()
        full = self.serving >= self.service.most or len(self.accepted) >= self.service.rate
        if full or self.service.down(self.now):
            self.at(self.now + REFUSED_S, self.refuse, item, ticket)
            return
        if self.service.rate < math.inf:
            self.accepted.append(self.now)
        self.queue.append((item, ticket))
        self.serve()

    def serve(self) -> None:
        while self.queue and self.serving < self.service.slots(self.now):
            item, ticket = self.queue.popleft()
            self.serving += 1
            crowd = max(1.0, self.serving / self.service.slower_above) ** 2
            seconds = self.service.latency_s * self.factors[item] * crowd * self.service.drift(self.now)
            self.at(self.now + seconds, self.answer, ticket)

    def answer(self, ticket: object) -> None:
        self.serving -= 1
        self.serve()
        if self.service.held_s:
            self.hold_gil(self.service.held_s, self.end, ticket)
        else:
            self.end(ticket)

    def end(self, ticket: Ticket) -> None:
        self.count(-1)
        self.done += 1
        self.pilot.ended(ticket, self.now, Ending.OK, held_s=self.service.held_s)

    def refuse(self, item: int, ticket: Ticket) -> None:
        self.count(-1)
        self.refused += 1
        self.todo.append(item)
        self.pilot.ended(ticket, self.now, Ending.REFUSED)
        if self.service.retry_after_s:
            self.pilot.pause(self.now + self.service.retry_after_s)


@cache
def best_fixed(name: str, seed: int) -> tuple[int, float]:
    """The fixed count that is quickest with a service of the table, and its seconds."""
    runs = {count: fixed(SERVICES[name], count, seed).seconds for count in COUNTS}
    count = min(runs, key=runs.__getitem__)
    return count, runs[count]


def fixed(service: Service, count: int, seed: int) -> Outcome:
    """A run with a fixed count."""
    return Run(service, Fixed(count), seed).outcome()


def adaptive(service: Service, seed: int, *, profiled: bool = True, counted: bool = True) -> Outcome:
    """A run under the controller, which may know one call's latency and the number of items or not."""
    latency = service.latency_s + service.held_s if profiled else None
    held = service.held_s if profiled else 0.0
    items = service.items if counted else None
    return Run(service, Controller(CAP, items=items, latency_s=latency, held_s=held), seed).outcome()


def mean_ratio(ratios: list[float]) -> float:
    """The geometric mean."""
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))


def table(seeds: int, *, profiled: bool, counted: bool = True, extra: bool = True) -> str:
    """All services, `seeds` seeds each: time over that of the best fixed count, and how wide it went."""
    lines, means = [], []
    for name, service in SERVICES.items():
        runs = [adaptive(service, seed, profiled=profiled, counted=counted) for seed in range(seeds)]
        ratios = [run.seconds / best_fixed(name, seed)[1] for seed, run in enumerate(runs)]
        means.append(mean_ratio(ratios))
        count, seconds = best_fixed(name, 0)
        lines.append(
            f"{name:24} best {count:3}: {seconds:5.2f} s  x {means[-1]:.3f} (worst {max(ratios):.2f})  "
            f"in flight {sum(run.in_flight for run in runs) / seeds:6.1f}  "
            f"refused {sum(run.refused for run in runs) / seeds:7.2%}"
        )
    return "\n".join([*lines, f"{'geometric mean':24} x {mean_ratio(means):.3f}"])


if __name__ == "__main__":
    for known in (True, False):
        print(f"latency {'profiled' if known else 'not known'}")
        print(table(8, profiled=known))
