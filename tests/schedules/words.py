"""A schedule in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .schedule import Fault, Phase, Schedule

__all__ = ["in_words"]


def in_words(schedule: Schedule) -> str:
    """One line that says all that there is to a schedule.

    >>> from tests.schedules.schedule import Phase, Schedule
    >>> in_words(Schedule(3, "map", 9, (Phase(9, "waits", 0.002),), options=(("max_workers", 2),)))
    'map of 9 items from a list: 9 waits 2 ms; max_workers=2; taken: all; notes in memory'
    """
    source = f"{schedule.shape}{_turn(schedule)}"
    parts = [
        f"{_function(schedule)} of {schedule.count} items from a {source}: {_work(schedule)}",
        ", ".join(map(_fault, schedule.faults[:6])) + (", ..." if len(schedule.faults) > 6 else ""),
        ", ".join(f"{name}={value!r}" for name, value in schedule.options),
        f"taken: {schedule.consumer}{_leave(schedule)}{_times(schedule)}",
        f"notes in {schedule.notes}",
        _extras(schedule),
    ]
    return "; ".join(part for part in parts if part)


def _function(schedule: Schedule) -> str:
    kind = "async " if schedule.asynchronous else ""
    form = "" if schedule.form == "closure" else f" ({schedule.form})"
    return f"{kind}{schedule.door}{form}"


def _turn(schedule: Schedule) -> str:
    told = schedule.shape in ("growing", "wrong length") or schedule.door == "several"
    return f" (turn {schedule.turn})" if told else ""


def _work(schedule: Schedule) -> str:
    starts = [0, *(phase.upto for phase in schedule.phases)]
    return ", ".join(_phase(phase, start) for phase, start in zip(schedule.phases, starts, strict=False))


def _phase(phase: Phase, start: int) -> str:
    seconds = f" {phase.seconds * 1000:.3g} ms" if phase.seconds else ""
    return f"{phase.upto - start} {phase.kind}{seconds}"


def _fault(fault: Fault) -> str:
    return f"item {fault.place}: {fault.kind}{f' ({fault.tries} times)' if fault.tries else ''}"


def _leave(schedule: Schedule) -> str:
    told = ("break", "close", "with", "raise", "cancel", "shutdown")
    return f" after {schedule.leave}" if schedule.consumer in told or schedule.times == "resumed" else ""


def _times(schedule: Schedule) -> str:
    return "" if schedule.times == "once" else f", {schedule.times}"


def _extras(schedule: Schedule) -> str:
    extras = [
        "" if schedule.values == "numbers" else f"values: {schedule.values}",
        "" if schedule.items == "numbers" else f"items: {schedule.items}",
        "context" if schedule.context else "",
        f"nested: {schedule.nested}" if schedule.nested else "",
    ]
    return ", ".join(extra for extra in extras if extra)
