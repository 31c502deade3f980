"""Run a few items only to learn what they cost: `profile` and `explain`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ..backends.inline import Block, InlineBackend
from ..errors import OptionError, blame, unpacked
from ..measure.facts import Facts
from ..options import Options
from ..records import Plan, Profile
from ..worker.invoke import Task
from .call_specs import spec_of
from .monitor import Monitor
from .planning import Planner
from .sampling import Sampler
from .source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["study"]

STUDY_S = 0.080  # seconds of work to watch: three times what a run spends, for a verdict that is read
SLOW_S = 0.25  # an item this long is enough by itself


def study(
    call: Callable[..., Any], iterables: tuple[Iterable[Any], ...], options: Options, facts: Facts
) -> tuple[Profile, Plan]:
    """Run the first items here; return what one costs and, with these facts, how the rest would be run.

    Raises:
        OptionError: if there is no item.
        Exception: what an item raised.
    """
    source = Source(iterables)
    spec = spec_of(call, options, star=source.star)
    planner = Planner(call, options, source, spec, facts=facts)
    inline = InlineBackend(spec)
    escaped: list[BaseException] = []
    monitor = Monitor(inline, lambda seen: False, lambda: 1.0, lambda: math.inf, escaped.append)
    size = 1
    monitor.measure()
    sampler = Sampler(call)  # after what that imports
    try:
        while not escaped:
            if not source.at_hand:
                source.put_by(source.pull(size))
            looks = size == 1 and options.effects != "ignore"
            compare = sampler.look_around(source) if looks else None
            place, items = source.take(size)
            if not len(items):
                break
            block, _ = inline.run(Task(spec, place, items))
            if compare is not None:
                compare(block)
            _raise(block, source.star)
            sampler.add(block)
            if sampler.importing() and source.peek() is not None:
                monitor.measure()  # a first call like that says nothing about the rest
                sampler.restart()
                continue
            looked = size > 1 or sampler.settled or options.effects == "ignore"
            if _enough(sampler) and looked and not (monitor.press() or monitor.pressing):
                break
            if block.wall_s < 0.0005:
                size = min(4 * size, max(1, int(0.0005 / max(sampler.item_s, 1e-9))))
        sample = sampler.sample(monitor, source.remaining())
    finally:
        monitor.stop()
    if source.error is not None:
        raise source.error
    if not sampler.items:
        raise OptionError("there is no item to measure: the input is empty")
    plan, profile = planner.plan(sample, sampler, fork=True)
    return profile, plan


def _enough(sampler: Sampler) -> bool:
    if sampler.total_s < STUDY_S:
        return False
    return sampler.items >= 3 or sampler.total_s > SLOW_S


def _raise(block: Block, star: bool) -> None:
    if block.error is None:
        return
    place = len(block.out) - 1
    item = block.items[place]
    raise blame(block.error, block.task.place + place, unpacked(item, star), "the caller's thread")
