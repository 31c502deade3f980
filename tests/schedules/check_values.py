"""Whether a consumer got what the plain loop gives: values and errors, each in its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .compare import Wrong, difference, shown
from .consume import Taken
from .expect import Expected, Outcome, fits
from .schedule import Schedule

__all__ = ["Step", "note_wrong", "steps_of", "values_wrong"]


class Step(NamedTuple):
    """What a loop over the results meets next.

    Attributes:
        raises: whether it is an error that comes out, and not a value.
        outcome: the value or error.
        place: of the item, or one beyond the last for an error of the input's own.
    """

    raises: bool
    outcome: Outcome
    place: int

    @property
    def ends_all(self) -> bool:
        """Whether it ends the run whatever `on_error` says, and does not wait for its turn."""
        return self.raises and self.outcome[0][1] == "SystemExit"


def steps_of(schedule: Schedule, wanted: Expected) -> list[Step]:
    """What the plain loop's consumer would meet."""
    steps = [
        step
        for place, outcome in enumerate(wanted.outcomes)
        if (step := _step(schedule, outcome, place)) is not None
    ]
    return steps if wanted.broken is None else [*steps, Step(True, (wanted.broken,), schedule.count)]


def _step(schedule: Schedule, outcome: Outcome, place: int) -> Step | None:
    one = outcome[0]
    if not (isinstance(one, tuple) and one[:1] == ("error",)):
        return Step(False, outcome, place)
    if schedule.on_error == "raise" or one[1] == "SystemExit":
        return Step(True, outcome, place)
    return Step(False, outcome, place) if schedule.on_error == "return" else None


def values_wrong(schedule: Schedule, wanted: Expected, steps: list[Step], taken: Taken) -> Iterator[Wrong]:
    """What is wrong with what came.

    Args:
        schedule: what was run.
        wanted: by the plain loop.
        steps: the same, as the consumer meets it.
        taken: what it got.
    """
    ordered = schedule.option("ordered", True)
    gives = [step.outcome for step in steps if not step.raises]
    first = next((place for place, step in enumerate(steps) if step.raises), None)
    before = gives if first is None or not ordered else [step.outcome for step in steps[:first]]
    yield from _end(schedule, wanted, steps, taken)
    least = _least(schedule, wanted, steps, len(before), taken)
    # Who shares results with others may be slow to note what it got.
    alone = ordered and schedule.consumer != "readers"
    if not taken.unseen and (wrong := difference(before, taken.values, ordered=alone, least=least)):
        yield wrong
    if taken.after:
        yield from _after(steps[(first or 0) + 1 :], taken.after)


def _end(schedule: Schedule, wanted: Expected, steps: list[Step], taken: Taken) -> Iterator[Wrong]:
    """It ended as it should: with the right error, or with none."""
    raising = [step for step in steps if step.raises]
    if taken.error is not None:
        yield from _error(schedule, wanted, raising, taken)
    elif taken.complete and (raising or wanted.limit) and schedule.count:
        right = wanted.limit or shown(raising[0].outcome[0])
        yield Wrong("error", right, f"the end, after {len(taken.values)} results")


def _error(schedule: Schedule, wanted: Expected, raising: list[Step], taken: Taken) -> Iterator[Wrong]:
    """The error that came out is the first one, or any where there is no order."""
    came = f"{shown(taken.error)} after {len(taken.values)} results"
    if wanted.limit:
        if taken.error[1] != wanted.limit:
            yield Wrong("error", wanted.limit, came)
        return
    ordered = schedule.option("ordered", True)
    right = [step for place, step in enumerate(raising) if not (ordered and place) or step.ends_all]
    if not any(fits(step.outcome, taken.error) for step in right):
        yield Wrong("error", shown(right[0].outcome[0]) if right else "no error", came)


def _least(schedule: Schedule, wanted: Expected, steps: list[Step], before: int, taken: Taken) -> int:
    """Results that must have come, of those before the first error."""
    if taken.complete and not wanted.limit:
        return wanted.least if schedule.shape == "shrinking" else before
    if taken.error is None or wanted.limit or taken.error[1] == "SystemExit":
        return 0
    if schedule.door == "executor map":  # as in the standard library, an error takes its chunk with it
        return before - before % int(schedule.option("chunksize", 1))
    of_input = all(step.place == schedule.count for step in steps if step.raises)
    return before if schedule.option("ordered", True) or of_input else 0


def _after(steps: list[Step], after: list[Any]) -> Iterator[Wrong]:
    """An iterator that has raised is at its end (docs/io.md), or goes on as the built-in `map` does."""
    if wrong := difference([step.outcome for step in steps], after, ordered=True):
        yield Wrong("after", f"the end after an error, or the rest: {wrong.expected}", wrong.came)


def note_wrong(schedule: Schedule, steps: list[Step], taken: Taken) -> Iterator[Wrong]:
    """An error names its item."""
    step = next((step for step in steps if step.raises), None)
    told = (
        schedule.door != "executor map" and schedule.times != "resumed" and schedule.option("ordered", True)
    )
    if step is None or not told or taken.error is None or not fits(step.outcome, taken.error):
        return
    own = step.place < schedule.count and not step.ends_all
    if own and not any(f"item {step.place} (" in note for note in taken.notes):
        yield Wrong("note", f"a note that names item {step.place}", shown(taken.notes))
