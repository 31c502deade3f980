"""Run a few items only to learn what they cost: `profile` and `explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import OptionError, blame, unpacked
from ..options import Options
from ..records import Plan, Profile
from .director import Director
from .feed import Feed
from .judge import Judge
from .loop import Block, Loop
from .measured import Measured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["study"]

STUDY_S = 0.080  # seconds of work to watch: three times what a run spends, for a verdict that is read
SLOW_S = 0.25  # an item this long is enough by itself


def study(
    call: Callable[..., Any], iterables: tuple[Iterable[Any], ...], options: Options
) -> tuple[Profile, Plan]:
    """Run the first items here; return what one costs and how the rest would be run.

    Raises:
        OptionError: if there is no item.
        Exception: what an item raised.
    """
    feed = Feed(iterables, False)
    judge = Judge(call, options, feed)
    loop, measured = Loop(call, feed), Measured(call)
    director = Director(loop, lambda seen: False, lambda: None)
    size = 1
    director.measure()
    try:
        while True:
            footprint = measured.footprint_for(feed) if size == 1 else None
            block = loop.run(size)
            if block is None:
                break
            if footprint is not None:
                measured.hazards += footprint(block)
            _raise(block, feed.star)
            measured.add(block)
            if measured.importing() and feed.peek() is not None:
                director.measure()  # a first call like that says nothing about the rest
                measured.restart()
                continue
            if _enough(measured) and not (director.press() or director.pressing):
                break
            if block.wall_s < 0.0005:
                size = min(4 * size, max(1, int(0.0005 / max(measured.item_s, 1e-9))))
        sample = measured.sample(director, feed.remaining())
    finally:
        director.stop()
    if feed.error is not None:
        raise feed.error
    if not measured.items:
        raise OptionError("there is no item to measure: the input is empty")
    plan, profile = judge.plan(sample, measured, fork=True)
    return profile, plan


def _enough(measured: Measured) -> bool:
    if measured.total_s < STUDY_S:
        return False
    return measured.items >= 3 or measured.total_s > SLOW_S


def _raise(block: Block, star: bool) -> None:
    if block.error is None:
        return
    place = len(block.out)
    item = block.items[place]
    raise blame(block.error, block.start + place, unpacked(item, star), "the caller's thread")
