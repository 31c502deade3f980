"""What a schedule gives by the plain loop, computed without the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .faults import PASSING, reveal
from .inputs import broken
from .items import answer

if TYPE_CHECKING:
    from .schedule import Fault, Schedule

__all__ = ["ANY", "Expected", "Outcome", "expected", "fits", "is_open"]

ANY = "whatever"  # the arguments of an error whose words are the library's own
Outcome = tuple[Any, ...]  # what may come for an item: one thing, or several that are as good


@dataclass(frozen=True, slots=True)
class Expected:
    """The plain loop's way through a schedule.

    Attributes:
        outcomes: of each item, values and errors alike.
        calls: how often each item is called, if the loop comes to it.
        least: items that the loop itself would come to; more are right where the input was longer before.
        broken: what the input raises at its end, or None.
        limit: the name of an error that may end the run at any place, or "".
    """

    outcomes: tuple[Outcome, ...]
    calls: tuple[int, ...]
    least: int
    broken: Any = None
    limit: str = ""


def expected(schedule: Schedule) -> Expected:
    """What the plain loop gives.

    >>> from tests.schedules.schedule import Fault, Phase, Schedule
    >>> schedule = Schedule(0, "map", 3, (Phase(3, "instant"),), (Fault(1, "value"),))
    >>> expected(schedule).outcomes
    ((1,), (('error', 'ValueError', ('bad', 1)),), (7,))
    """
    faults = {fault.place: fault for fault in schedule.faults}
    both = [_item(schedule, place, faults.get(place)) for place in range(schedule.count)]
    limit = "BrokenWorker" if schedule.option("initializer") == "raises" else ""
    limit = "TimeoutError" if schedule.option("timeout", 60.0) < 1.0 else limit
    return Expected(
        tuple(outcome for outcome, _ in both),
        tuple(calls for _, calls in both),
        (schedule.count + 1) // 2 if schedule.shape == "shrinking" else schedule.count,
        reveal(broken(schedule.count)) if schedule.shape == "breaking" else None,
        limit,
    )


def fits(wanted: Outcome, came: Any) -> bool:
    """Whether what came for an item is right.

    >>> fits((3, ("error", "TypeError", ANY)), ("error", "TypeError", ("no",)))
    True
    """
    return any(one == came or (is_open(one) and one[:2] == came[:2]) for one in wanted if _kin(one, came))


def _kin(one: Any, came: Any) -> bool:
    return type(one) is type(came)  # 1 is not True, and 0 not 0.0


def is_open(one: Any) -> bool:
    """Whether what is expected is an error with arguments of the library's own."""
    return isinstance(one, tuple) and len(one) == 3 and one[2] == ANY


# Items ------------------------------------------------------------------------------------------------------


def _item(schedule: Schedule, place: int, fault: Fault | None) -> tuple[Outcome, int]:
    """What comes for an item, and after how many calls."""
    if schedule.option("per") == "raises" and place % 7 == 3:
        return (reveal(LookupError(place)),), 0
    if schedule.away and schedule.items == "locked" and place % 3 == 1:
        return (("error", "TypeError", ANY),), 0
    kind, tries = (fault.kind, fault.tries) if fault is not None else ("", 0)
    calls = _calls(schedule, kind, tries)
    outcome = _outcome(schedule, place, kind, tries, calls)
    return (_across(schedule, kind, outcome) if schedule.away else _kept(schedule, outcome)), calls


def _calls(schedule: Schedule, kind: str, tries: int) -> int:
    most = schedule.option("retries", 0) + 1 if _worth(schedule, kind) else 1
    return min(most, tries + 1) if tries else most


def _worth(schedule: Schedule, kind: str) -> bool:
    """Whether the library may call an item again."""
    if not kind or not schedule.option("retries"):
        return False
    return kind in PASSING if schedule.option("retry_on") is None else kind == "lost"


def _outcome(schedule: Schedule, place: int, kind: str, tries: int, calls: int) -> Any:
    if kind in ("die", "hang") and (not tries or calls <= tries):
        return "error", "WorkerDied" if kind == "die" else "ItemTimeout", ANY
    try:
        return reveal(answer(schedule.values, place, (kind, tries, calls)))
    except BaseException as error:
        return reveal(error)


def _across(schedule: Schedule, kind: str, outcome: Any) -> Outcome:
    """What comes from another process: what does not pickle is an error that says so."""
    if outcome == ("a", "lock"):
        return (("error", "TypeError", ANY),)
    if kind == "locked":
        return outcome, *(("error", name, ANY) for name in ("Locked", "AutoexecError", "TypeError"))
    return (outcome,)


def _kept(schedule: Schedule, outcome: Any) -> Outcome:
    """A journal cannot keep what does not pickle."""
    refused = schedule.option("journal") and outcome == ("a", "lock")
    return (("error", "JournalError", ANY) if refused else outcome,)
