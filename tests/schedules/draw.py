"""Draws a schedule from a seed; what is drawn together can be meant together."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .rhythm import pick, rhythm
from .schedule import Fault, Schedule
from .special import SHARE, SPECIAL
from .taking import FED, FUTURES, draw_consumer, draw_times
from .wants import WANTS

__all__ = ["Hand", "draw"]

DOORS = {
    "map": 46,
    "starmap": 8,
    "several": 6,
    "amap": 9,
    "decorated": 5,
    "decorated starmap": 2,
    "submit": 12,
    "executor map": 8,
    "shared": 1,
}
BACKENDS = {"auto": 44, "threads": 25, "serial": 8, "processes": 11, "own": 9, "joblib": 0.3}
SHAPES = {
    "list": 26,
    "tuple": 5,
    "range": 10,
    "generator": 22,
    "iterator": 7,
    "keys": 3,
    "values": 3,
    "indexed": 2,
    "breaking": 5,
    "reviving": 4,
    "no length": 3,
    "wrong length": 4,
    "growing": 3,
    "shrinking": 2,
    "chained": 2,
}
HEAVY = 0.03  # share of the schedules that do many times as much: enough for processes to pay off
PLAIN = (
    *("value", "lookup", "lost") * 5,
    *("locked", "keyword", "group", "timeout", "cancelled") * 2,
    "rude",
)
PASSING = ("lost", "lost", "lost", "timeout", "raised 503", "503", "429")
MAPS = ("map", "starmap", "several", "amap", "decorated", "decorated starmap")


def draw(seed: int) -> Schedule:
    """The schedule of a seed.

    >>> draw(7) == draw(7), draw(7) == draw(8)
    (True, False)
    """
    hand = Hand(seed)
    special = hand.special()
    if special is None or not special(hand):
        hand.ordinary()
    return hand.schedule()


class Hand:
    """What has been drawn so far; the attributes are those of a schedule.

    Args:
        seed: what everything follows from.
    """

    rng: random.Random
    count: int
    backend: str
    shape: str
    items: str

    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        self.options: dict[str, Any] = {}
        self.faults: tuple[Fault, ...] = ()
        self.shape, self.turn = "list", 0
        self.consumer, self.leave, self.times = "all", 0, "once"
        self.values, self.items, self.form, self.nested = "numbers", "numbers", "closure", ""
        self.context = False
        self.draw_door()
        self.draw_backend()
        self.phases = rhythm(self.rng, heavy=self.chance(HEAVY), alone=self.alone)
        self.count = self.phases[-1].upto if self.phases else 0

    def special(self) -> Callable[[Hand], bool] | None:
        """A rare kind of schedule, or none; it says whether it can be had with what is drawn already."""
        return SPECIAL[pick(self.rng, SHARE)] if self.door in MAPS and self.chance(0.08) else None

    def ordinary(self) -> None:
        """All else, as it comes."""
        self.draw_shape()
        self.draw_items()
        self.draw_options()
        self.draw_faults()
        self.draw_values()
        draw_consumer(self)
        draw_times(self)
        self.draw_extras()

    def schedule(self) -> Schedule:
        """What was drawn."""
        names = (field for field in Schedule.__dataclass_fields__ if field != "options")
        drawn = {name: getattr(self, name) for name in names}
        return Schedule(**drawn, options=tuple(sorted(self.options.items())))

    def cut(self, most: int) -> None:
        """Let there be no more items than so many."""
        self.count = min(self.count, most)
        starts = [0, *(phase.upto for phase in self.phases)]
        inside = zip(self.phases, starts, strict=False)
        phases = [replace(phase, upto=min(phase.upto, most)) for phase, start in inside if start < most]
        self.phases = tuple(phases)

    def chance(self, share: float) -> bool:
        """True as often as the share says."""
        return self.rng.random() < share

    # Where --------------------------------------------------------------------------------------------------

    def draw_door(self) -> None:
        """The door, and whether the function is async."""
        self.door = pick(self.rng, DOORS)
        shares = {"map": 0.1, "amap": 0.6, "starmap": 0.05, "submit": 0.1}
        self.asynchronous = self.chance(shares.get(self.door, 0.0))

    def draw_backend(self) -> None:
        """The backend, how many workers, and where items note their calls."""
        backend = pick(self.rng, BACKENDS)
        self.backend = "auto" if self.asynchronous or self.door == "shared" else backend
        if self.backend != "auto":
            self.options["backend"] = self.backend
        if self.backend == "own":
            self.options["pool"] = self.rng.randint(1, 4)
        self.notes = "memory" if self.asynchronous or not (self.away or self.chance(0.4)) else "file"
        if self.chance(0.45) and self.door != "shared" and self.backend != "own":
            few = self.chance(0.8) or self.away
            self.options["max_workers"] = self.rng.randint(1, 4) if few else self.rng.randint(5, 40)

    @property
    def away(self) -> bool:
        """Whether items run in other processes."""
        return self.backend in ("processes", "joblib")

    @property
    def alone(self) -> bool:
        """Whether items surely run one after the other."""
        return self.backend == "serial" or 1 in (self.options.get("max_workers"), self.options.get("pool"))

    # What comes in ------------------------------------------------------------------------------------------

    def draw_shape(self) -> None:
        """What the items come from."""
        rng = self.rng
        self.shape = pick(rng, SHAPES)
        if self.door == "amap" and self.chance(0.2):
            self.shape = "async"
        if not self.may_come_from(self.shape):
            self.shape = rng.choice(("list", "generator")) if self.door not in FUTURES else "list"
        self.turn = rng.randint(1, self.count) if self.shape == "growing" else rng.randint(0, 2)
        if self.door == "several" and self.shape in ("breaking", "reviving", "range"):
            self.turn = 0 if self.shape == "range" else 2  # the other iterable must not end first

    def may_come_from(self, shape: str) -> bool:
        """Whether the door takes a shape, and there is enough of it."""
        if self.door in FUTURES:
            return False
        if shape in FED:
            return self.count > 0 and self.door in ("map", "decorated", "amap")
        if shape == "async":
            return self.door == "amap"
        if shape == "range":
            return self.door not in ("starmap", "decorated starmap")
        return shape in ("list", "tuple", "iterator") or self.door != "executor map"

    def draw_items(self) -> None:
        """What the items are."""
        if self.shape not in ("range", "keys") and self.chance(0.35):
            self.items = pick(self.rng, {"urls": 12, "teams": 6, "pairs": 8, "locked": 3, "shy": 3})
        if self.items == "locked" and (self.backend == "joblib" or self.shape == "chained"):
            self.items = "pairs"

    # How ----------------------------------------------------------------------------------------------------

    def draw_options(self) -> None:
        """The options that the door takes, each by its chance."""
        for want in WANTS:
            if want.may(self) and self.chance(want.chance(self)):
                self.options[want.name] = want.value(self)

    def draw_faults(self) -> None:
        """The items that do not return."""
        if self.shape == "shrinking" or not self.count:
            return
        retried = "retries" in self.options
        number = int(pick(self.rng, {"0": 0 if retried else 50, "1": 30, "3": 15, "100": 5}))
        places = {self.place() for _ in range(min(number, 1 + self.count // 4))}
        self.faults = tuple(self.fault(place, retried) for place in sorted(places))

    def place(self) -> int:
        """A place, more often than others the first or the last."""
        return self.rng.choice((0, self.count - 1, *(self.rng.randrange(self.count) for _ in range(6))))

    def fault(self, place: int, retried: bool) -> Fault:
        """A fault; where calls may run again, mostly one that goes by itself."""
        if retried and self.chance(0.8):
            few = self.count <= 60  # refusals slow a run down
            plain = few and not {"retry_on", "codec"} & set(self.options)  # JSON is for plain values
            kinds = PASSING if plain else ("lost",)
            return Fault(place, self.rng.choice(kinds), self.rng.choice((1, 1, 2, 3, 0)))
        kind = self.rng.choice(PLAIN)
        if self.asynchronous and kind == "cancelled":
            kind = "value"
        if self.options.get("on_error", "raise") != "raise" and not self.asynchronous and self.chance(0.05):
            kind = "stop"
        return Fault(place, kind)

    @property
    def raising(self) -> bool:
        """Whether an item's error comes out of the iterator."""
        wrong = bool(self.faults) or self.options.get("per") == "raises"
        return wrong and self.options.get("on_error", "raise") == "raise"

    # What comes out -----------------------------------------------------------------------------------------

    def draw_values(self) -> None:
        """What the items return."""
        big = 6 if self.count <= 60 else 0
        odd = 5 if self.backend != "joblib" and self.options.get("codec") != "json" else 0
        self.values = pick(self.rng, {"numbers": 70, "mixed": 8, "none": 6, "big": big, "odd": odd})
        if self.options.get("codec") == "json":
            self.values = "numbers"

    def draw_extras(self) -> None:
        """What items do beside their work, and what form the function has."""
        self.context = self.chance(0.15)
        if self.chance(0.03) and self.count <= 60:
            self.nested = self.rng.choice(("auto", "serial", "threads"))
        if self.chance(0.15) and (self.notes == "file" or self.backend in ("threads", "serial", "own")):
            self.form = self.rng.choice(("partial", "object"))
