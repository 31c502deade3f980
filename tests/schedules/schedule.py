"""A schedule: what one random run of the library is made of, as plain values that follow from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Fault", "Phase", "Schedule"]


@dataclass(frozen=True, slots=True)
class Phase:
    """Consecutive items that do the same.

    Attributes:
        upto: the first item behind it.
        kind: "instant", "computes", "waits" or "both" (half of each); several joined by "+" take turns.
        seconds: of one item.
    """

    upto: int
    kind: str
    seconds: float = 0.0

    def of(self, place: int) -> str:
        """What the item at `place` does."""
        kinds = self.kind.split("+")
        return kinds[place % len(kinds)]


@dataclass(frozen=True, slots=True)
class Fault:
    """An item that does not simply return.

    Attributes:
        place: which one.
        kind: a key of `faults.KINDS`.
        tries: calls that go wrong before one goes well; 0 if none ever does.
    """

    place: int
    kind: str
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """One random run.

    Attributes:
        seed: what all of this follows from.
        door: "map", "starmap", "several" (map of several iterables), "amap", "decorated", "decorated
            starmap", "submit" (of an executor), "executor map", "shared" (`submit` of a decorated function).
        count: items that the loop would call.
        phases: what the items do.
        faults: which of them do not return, by place.
        values: what they return: "numbers", "none", "mixed", "big", or "odd" (some do not pickle).
        items: what they are: "numbers", "urls", "teams" (dicts), "pairs", "locked" (some do not pickle),
            "shy" (they cannot be shown).
        shape: what they come from, see `inputs`.
        turn: the item at which the shape does what it is named for.
        options: names and plain values; see `wishes` for what is made of them.
        consumer: how results are taken, see `consume`, `consume_async` and `futures`.
        leave: results after which the consumer does what it is named for.
        times: "once", "twice", "resumed" (with the journal of a first run that was left), "threads" (several
            at once), "interleaved".
        notes: where items note their calls: in "memory", or in a "file", from whichever process.
        form: of the function: "closure", "partial" or "object".
        asynchronous: whether the function is async.
        context: whether items set a context variable.
        nested: the backend of a small map inside each item, or "".
    """

    seed: int
    door: str
    count: int
    phases: tuple[Phase, ...]
    faults: tuple[Fault, ...] = ()
    values: str = "numbers"
    items: str = "numbers"
    shape: str = "list"
    turn: int = 0
    options: tuple[tuple[str, Any], ...] = ()
    consumer: str = "all"
    leave: int = 0
    times: str = "once"
    notes: str = "memory"
    form: str = "closure"
    asynchronous: bool = False
    context: bool = False
    nested: str = ""

    def option(self, name: str, default: Any = None) -> Any:
        """The value of an option, or `default` where it is not given."""
        return dict(self.options).get(name, default)

    @property
    def backend(self) -> str:
        """The backend that is asked for."""
        return str(self.option("backend", "auto"))

    @property
    def away(self) -> bool:
        """Whether all items run in other processes."""
        return self.backend in ("processes", "joblib")

    @property
    def kind(self) -> str:
        """Whether some items may run in other "processes", or "threads" are all that is used."""
        travels = self.backend == "auto" and self.notes == "file" and not self.asynchronous
        return "processes" if self.away or travels else "threads"

    @property
    def star(self) -> bool:
        """Whether items are tuples of arguments."""
        return self.door.endswith("starmap")

    @property
    def futures(self) -> bool:
        """Whether the door gives futures."""
        return self.door in ("submit", "shared")

    @property
    def on_error(self) -> str:
        """What becomes of errors."""
        return str(self.option("on_error", "raise"))

    def phase(self, place: int) -> Phase:
        """The phase of an item."""
        return next(phase for phase in self.phases if place < phase.upto)

    def fault(self, place: int) -> Fault | None:
        """The fault of an item, if it has one."""
        return next((fault for fault in self.faults if fault.place == place), None)

    def has(self, *kinds: str) -> bool:
        """Whether an item has a fault of one of these kinds."""
        return any(fault.kind in kinds for fault in self.faults)
