"""Whether items were called as often, as many at once, and as late as they may be."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .check_values import Step
from .compare import Wrong, shown
from .consume import Taken
from .expect import Expected, fits
from .futures import CANCELLED, Settled
from .notes import Call, at_once, counted
from .schedule import Schedule
from .world import World

__all__ = ["calls_wrong", "crowd_wrong", "futures_wrong", "input_wrong", "late_wrong", "resumed_wrong"]

TASK_S = 0.05  # a task without `chunksize` holds 20 ms of items: twice that, and some
MANY = 32  # calls that may have been given out where no `max_workers` bounds them


def calls_wrong(
    schedule: Schedule, wanted: Expected, steps: list[Step], calls: list[Call], taken: Taken
) -> Iterator[Wrong]:
    """Each item is called as often as allowed, and each whose result came as often as it takes."""
    number = counted(calls)
    if beyond := sorted(place for place in number if place >= schedule.count):
        yield Wrong("beyond", "no call of what lies behind the end of the input", f"items {shown(beyond)}")
    over = {place: n for place, n in number.items() if place < schedule.count and n > wanted.calls[place]}
    if over:
        yield Wrong("ran twice", "each item once, or as often as allowed", f"calls by item: {shown(over)}")
    done = _done(schedule, steps, taken)
    if under := {place: number[place] for place in done if number[place] < wanted.calls[place]}:
        right = {place: wanted.calls[place] for place in under}
        yield Wrong("not called", f"calls by item: {shown(right)}", shown(under))


def _done(schedule: Schedule, steps: list[Step], taken: Taken) -> range:
    """The items that must have been called, since what came of them has been delivered."""
    if taken.complete:
        return range(len(taken.values) if schedule.shape == "shrinking" else schedule.count)
    if not schedule.option("ordered", True) or taken.unseen:
        return range(0)
    given = [step.place for step in steps if not step.raises][: len(taken.values)]
    return range(given[-1] + 1 if given else 0)


def resumed_wrong(schedule: Schedule, first: Taken, before: list[Call], after: list[Call]) -> Iterator[Wrong]:
    """Items whose results are in the journal are not called again."""
    called, again = counted(before), counted(after)
    if schedule.values == "odd" or not schedule.option("ordered", True):
        return
    good = [place for place in range(schedule.count) if schedule.fault(place) is None]
    kept = range(0 if schedule.faults else len(first.values))
    waits = schedule.kind == "threads" and not schedule.asynchronous  # what runs is waited for, and kept
    twice = [place for place in good if again[place] and (called[place] if waits else place in kept)]
    if twice:
        yield Wrong("ran twice", "no call of what is in the journal", f"calls of items {shown(twice)}")


def late_wrong(schedule: Schedule, calls: list[Call], taken: Taken) -> Iterator[Wrong]:
    """Nothing begins once the results are closed, and little once they are dropped or an error has come."""
    unbegun = (
        schedule.door == "executor map" and not taken.values and taken.error is None
    )  # it runs on, as there
    if taken.over is None or taken.after is not None or schedule.backend == "joblib" or unbegun:
        return
    late = sum(call.began > taken.over for call in calls)
    closed = taken.closed and schedule.door != "executor map"
    if late > (allowed := 0 if closed else _given_out(schedule)):
        how = "closed" if closed else "left" if taken.left else "broken off by an error"
        yield Wrong("late", f"at most {allowed} items to begin after the results were {how}", str(late))


def _given_out(schedule: Schedule) -> float:
    """Items that may be in the hands of workers: what each of them runs, and the rest of its task."""
    workers = schedule.option("max_workers") or schedule.option("pool") or MANY
    chunk = schedule.option("chunksize")
    if chunk is None:
        least = min(
            (0.0 if "instant" in phase.kind else phase.seconds for phase in schedule.phases), default=0.0
        )
        chunk = math.inf if least == 0.0 else math.ceil(TASK_S / least)
    ahead = chunk if schedule.door == "executor map" and schedule.kind == "processes" else 0
    return float(workers * (chunk + 1 + ahead))  # what a future has cannot be taken back


def futures_wrong(wanted: Expected, calls: list[Call], settled: Settled) -> Iterator[Wrong]:
    """Each future has its own outcome, or was cancelled and its call has not begun."""
    number = counted(calls)
    if len(settled.outcomes) != len(wanted.outcomes):
        yield Wrong("lost", f"{len(wanted.outcomes)} futures", f"{len(settled.outcomes)}")
    for place, outcome in enumerate(settled.outcomes):
        gone = settled.cancels and outcome == CANCELLED
        unfit = wanted.limit == "BrokenWorker"
        right = (("error", wanted.limit, "whatever"),) if unfit else wanted.outcomes[place]
        if not gone and not fits(right, outcome):
            yield Wrong("values", f"{shown(right[0])} from future {place}", shown(outcome))
        due = 0 if gone or unfit else wanted.calls[place]
        if number[place] != due:
            kind = "ran twice" if number[place] > due else "not called"
            yield Wrong(kind, f"{due} calls of item {place}", str(number[place]))
    if settled.over and (late := sum(call.began > settled.over for call in calls)):
        yield Wrong("late", "no item to begin after shutdown()", str(late))


def crowd_wrong(schedule: Schedule, calls: list[Call]) -> Iterator[Wrong]:
    """Never more than `max_workers` at once."""
    bounds = [schedule.option("max_workers"), schedule.option("pool"), schedule.backend == "serial" or None]
    bound = min((int(one) for one in bounds if one is not None), default=math.inf)
    limit_s = schedule.option("item_timeout") if schedule.has("hang") else None
    if (most := at_once(calls, None if limit_s is None else 0.8 * limit_s)) > bound:
        yield Wrong("crowd", f"at most {bound} items at once", str(most))


def input_wrong(schedule: Schedule, world: World) -> Iterator[Wrong]:
    """Never more than `buffersize` items pulled and not delivered, and only by those who take results."""
    meter, bound = world.meter, _window(schedule)
    if meter.used and meter.most > bound:
        yield Wrong("buffer", f"at most {bound} items pulled and not delivered", str(meter.most))
    if schedule.door != "amap" and (strangers := meter.pullers - world.consumers):
        yield Wrong(
            "puller", "only those who take results to read the input", f"{len(strangers)} other threads"
        )


def _window(schedule: Schedule) -> float:
    """Items that may be pulled and not delivered, where that can be told."""
    size = schedule.option("buffersize")
    if size is None or schedule.consumer in ("list", "readers") or schedule.times == "resumed":
        return math.inf
    if schedule.door == "executor map":  # the next task is submitted when a result is asked for
        return float((size + 1) * schedule.option("chunksize", 1))
    skipped = len(schedule.faults) if schedule.on_error == "skip" else 0
    if schedule.on_error == "skip":
        many = schedule.option("per") == "raises" or schedule.values == "odd" or schedule.items == "locked"
        skipped += schedule.count if many else 0
    return float(size + skipped + (schedule.door == "several"))
