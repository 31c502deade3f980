"""Compares what came of a schedule with the plain loop and with what the library promises."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .check_calls import calls_wrong, crowd_wrong, futures_wrong, input_wrong, late_wrong, resumed_wrong
from .check_values import note_wrong, steps_of, values_wrong
from .compare import Wrong
from .consume import Taken
from .expect import expected
from .futures import Settled
from .items import CALLER
from .run import Came, Run
from .schedule import Schedule

__all__ = ["SKIP", "check"]

SKIP = "AUTOEXEC_SCHEDULES_SKIP"  # environment variable: kinds of complaints not to be made, with commas


def check(schedule: Schedule, outcome: Run) -> list[Wrong]:
    """All that is wrong with a run."""
    found = [wrong for came in outcome.came for wrong in _came_wrong(schedule, came)]
    if schedule.times == "resumed":
        first, then = outcome.came
        assert isinstance(first.taken, Taken)
        found += resumed_wrong(schedule, first.taken, first.calls or [], then.calls or [])
    found += map(_told, outcome.left)
    if outcome.marked != CALLER:
        found.append(Wrong("context", "the caller's own mark afterwards", f"that of item {outcome.marked}"))
    skipped = os.environ.get(SKIP, "").split(",")
    return [wrong for wrong in found if wrong.kind not in skipped]


def _came_wrong(schedule: Schedule, came: Came) -> Iterator[Wrong]:
    wanted, taken, calls = expected(schedule), came.taken, came.calls or []
    if isinstance(taken, Settled):
        yield from futures_wrong(wanted, calls, taken)
    else:
        steps = steps_of(schedule, wanted)
        yield from values_wrong(schedule, wanted, steps, taken)
        yield from note_wrong(schedule, steps, taken)
        yield from late_wrong(schedule, calls, taken)
        yield from input_wrong(schedule, came.world)
        if schedule.times != "resumed":
            yield from calls_wrong(schedule, wanted, steps, calls, taken)
    yield from map(_told, taken.remarks)
    yield from crowd_wrong(schedule, calls)
    yield from map(_told, sorted({call.remark for call in calls if call.remark})[:1])


def _told(text: str) -> Wrong:
    kind, _, words = text.partition(": ")
    return Wrong(kind, "nothing of the kind", words)
