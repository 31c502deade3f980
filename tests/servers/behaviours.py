"""What the behaving server can do: one coroutine for each first word of a path.

Each is handed the service's state and the call, and returns its answer. Times are in milliseconds (`ms`, 0
when not given) and the first moment of a service is that of its first call.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from autoexec.demo.api import RateLimit
from tests.servers.tally import Gate, Tally

MOST_BYTES = 100_000_000


@dataclass(frozen=True)
class Answer:
    """What is sent back: `body` as bytes goes out as it is, anything else as JSON."""

    body: object = field(default_factory=lambda: {"ok": True})
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A path without its first word, and the query."""

    rest: str
    query: Mapping[str, str]

    def number(self, name: str, default: float = 0.0) -> float:
        """A finite number of the query, not negative."""
        value = float(self.query.get(name, default))
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a number from 0 up, not {value}")
        return value

    async def wait(self, factor: float = 1.0) -> None:
        """Take `ms` milliseconds, or a multiple of them."""
        await asyncio.sleep(self.number("ms") / 1e3 * factor)

    def refusal(self, status: int, text: str | None) -> Answer:
        """An error, with `text` as its `Retry-After` if there is any."""
        if text and not text.isprintable():
            raise ValueError("a header holds one line of text")
        return Answer({"error": status}, status, {"Retry-After": text} if text else {})


class Service:
    """All that the calls of a service leave in it; a reset begins a new one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.begin = clock, clock()
        self.tallies: dict[str, Tally] = {}
        self.gates: dict[object, Gate] = {}
        self.rates: dict[object, RateLimit] = {}
        self.inside: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.random = random.Random(0)

    def tally(self, path: str) -> Tally:
        """The tally of a path; time begins with the first."""
        if not self.tallies:
            self.begin = self.clock()
        if path not in self.tallies:
            self.tallies[path] = Tally(self.clock)
        return self.tallies[path]

    def gate(self, key: object, width: Callable[[], int]) -> Gate:
        """The gate of a behaviour with these parameters."""
        return self.gates.setdefault(key, Gate(width))

    def facts(self) -> dict[str, object]:
        """Every path's tally, for JSON."""
        return {path: tally.facts() for path, tally in self.tallies.items()}


async def constant(service: Service, call: Call) -> Answer:
    """`/constant?ms=`: every call takes as long, however many there are."""
    await call.wait()
    return Answer()


async def lognormal(service: Service, call: Call) -> Answer:
    """`/lognormal?ms=&sigma=0.8`: times with this median, the same row of them after each reset."""
    await call.wait(service.random.lognormvariate(0, call.number("sigma", 0.8)))
    return Answer()


async def knee(service: Service, call: Call) -> Answer:
    """`/knee?width=16&ms=`: so many are served at once, the others queue."""
    width = int(call.number("width", 16))
    async with service.gate(("knee", width), lambda: max(1, width)):
        await call.wait()
    return Answer()


async def dip(service: Service, call: Call) -> Answer:
    """`/dip?width=64&low=6&begin=1&end=2&ms=`: a knee that is lower from second `begin` to second `end`."""
    width, low = int(call.number("width", 64)), int(call.number("low", 6))
    begin, end = call.number("begin", 1), call.number("end", 2)

    def now() -> int:
        return max(1, low if begin <= service.clock() - service.begin < end else width)

    async with service.gate(("dip", width, low, begin, end), now):
        await call.wait()
    return Answer()


async def degrade(service: Service, call: Call) -> Answer:
    """`/degrade?above=32&ms=`: with n above it at once, a call takes (n / above)² as long."""
    service.inside["degrade"] += 1
    try:
        await call.wait(max(1.0, service.inside["degrade"] / max(1, call.number("above", 32))) ** 2)
    finally:
        service.inside["degrade"] -= 1
    return Answer()


async def limited(service: Service, call: Call) -> Answer:
    """`/limited?at_once=40&per_second=200&retry_after=1&ms=`: 429 beyond either.

    Refused calls count for neither.
    """
    most, rate = int(call.number("at_once", 40)), int(call.number("per_second", 200))
    limit = service.rates.setdefault(rate, RateLimit(rate, service.clock))
    if service.inside["limited"] >= most or not limit.admit():
        return call.refusal(429, call.query.get("retry_after", "1"))
    service.inside["limited"] += 1
    try:
        await call.wait()
    finally:
        service.inside["limited"] -= 1
    return Answer()


async def fail(service: Service, call: Call) -> Answer:
    """`/fail?id=&times=2&status=503&retry_after=&ms=`: each id fails so often, then it is answered."""
    await call.wait()
    name = call.query.get("id", "")
    if service.failed[name] >= call.number("times", 2):
        return Answer({"ok": True, "id": name})
    service.failed[name] += 1
    return call.refusal(_status(call.query.get("status", "503")), call.query.get("retry_after"))


async def status(service: Service, call: Call) -> Answer:
    """`/status/{code}?ms=`: always this one."""
    await call.wait()
    code = _status(call.rest)
    return Answer(b"" if code in (204, 304) else {"status": code}, code)


async def retry_after(service: Service, call: Call) -> Answer:
    """`/retry-after?value=&status=429&ms=`: always refused, with any text as `Retry-After`."""
    await call.wait()
    return call.refusal(_status(call.query.get("status", "429")), call.query.get("value"))


async def page(service: Service, call: Call) -> Answer:
    """`/json?page=1&pages=5&size=20&ms=`: `{"items", "page", "next"}`, where `next` is a path or null."""
    await call.wait()
    number, last, size = (int(call.number(name, n)) for name, n in (("page", 1), ("pages", 5), ("size", 20)))
    if not 1 <= number <= last:
        return Answer({"error": f"no page {number}"}, 404)
    items = [{"id": index, "name": f"item {index}"} for index in range((number - 1) * size, number * size)]
    after = f"/json?{urlencode({**call.query, 'page': number + 1})}" if number < last else None
    return Answer({"items": items, "page": number, "next": after})


async def many_bytes(service: Service, call: Call) -> Answer:
    """`/bytes/{n}?ms=`: so many bytes, 0 to 255 over and over."""
    await call.wait()
    if not 0 <= (count := int(call.rest)) <= MOST_BYTES:
        raise ValueError(f"from 0 to {MOST_BYTES} bytes, not {count}")
    return Answer((bytes(range(256)) * (count // 256 + 1))[:count])


def _status(text: str) -> int:
    if not 200 <= (code := int(text)) <= 599:
        raise ValueError(f"a status is 200 to 599, not {code}")
    return code


BEHAVIOURS: dict[str, Callable[[Service, Call], Awaitable[Answer]]] = {
    "bytes": many_bytes,
    "constant": constant,
    "degrade": degrade,
    "dip": dip,
    "fail": fail,
    "json": page,
    "knee": knee,
    "limited": limited,
    "lognormal": lognormal,
    "retry-after": retry_after,
    "status": status,
}


async def answer(service: Service, path: str, query: Mapping[str, str]) -> Answer:
    """Answer one call and count it; what cannot be meant is a 400, an unknown path a 404."""
    name, _, rest = path.removeprefix("/").partition("/")
    tally = service.tally(path)
    tally.began(query.get("id"))
    given = Answer({"error": "no such behaviour"}, 404)
    try:
        if name in BEHAVIOURS:
            given = await BEHAVIOURS[name](service, Call(rest, query))
    except ValueError as error:
        given = Answer({"error": str(error)}, 400)
    finally:
        tally.ended(given.status)
    return given
