"""What items come from: all that a loop takes, well behaved or not."""

from __future__ import annotations

import itertools
import queue
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .items import item_of

if TYPE_CHECKING:
    from .schedule import Schedule
    from .world import Meter, World

__all__ = ["COUNTED", "SHAPES", "Source", "broken", "source_of"]

PATIENCE_S = 2.0  # for the next page of a crawl; whoever asks before it can be there gets `queue.Empty`
LONGER = 2  # rows of the first iterable, or of the others, beyond the end of the shorter one


@dataclass
class Source:
    """The items of one call.

    Attributes:
        iterables: what is given after the function.
        delivered: to be called by the consumer with the number of results that it has.
    """

    iterables: tuple[Any, ...]
    delivered: Callable[[int], None] = lambda _: None


def source_of(schedule: Schedule, world: World) -> Source:
    """The items of a schedule, made anew."""
    several = schedule.door == "several"
    longer = LONGER if several and schedule.turn % 3 == 1 else 0
    rows = [_row(schedule, place) for place in range(schedule.count + longer)]
    if schedule.shape == "chained":
        world.chained = world.library.map(_same, rows, backend="threads", max_workers=2)
        source = Source((world.chained,))
    else:
        source = SHAPES[schedule.shape](rows, schedule, world.meter)
    if several:
        source.iterables += (_other(schedule),)
    return source


def _same(row: Any) -> Any:
    return row


def broken(place: int) -> OSError:
    """What an input raises in the middle."""
    return OSError("the input broke", place)


def _row(schedule: Schedule, place: int) -> Any:
    item = item_of(schedule.items, place)
    return (item, -place) if schedule.star else item


def _other(schedule: Schedule) -> Iterable[int]:
    """The second of several iterables: longer than the first, shorter, or endless."""
    if schedule.turn % 3 == 2:
        return itertools.count()
    return range(schedule.count + (LONGER if schedule.turn % 3 == 0 else 0))


# Iterables --------------------------------------------------------------------------------------------------


def _metered(rows: Iterable[Any], meter: Meter) -> Iterator[Any]:
    """A generator that counts what is pulled."""
    meter.used = True
    for row in rows:
        meter.pull()
        yield row


def _breaking(rows: list[Any], meter: Meter) -> Iterator[Any]:
    yield from _metered(rows, meter)
    raise broken(len(rows))


class Reviving:
    """An iterator that has more after its end, as a socket or a queue may."""

    def __init__(self, rows: list[Any], more: list[Any], meter: Meter) -> None:
        self._rows = iter([*rows, None, *more])
        self._meter = meter
        meter.used = True

    def __iter__(self) -> Reviving:
        return self

    def __next__(self) -> Any:
        row = next(self._rows)
        if row is None:
            raise StopIteration
        self._meter.pull()
        return row


class Pages:
    """An iterable whose length is not to be had, or not to be believed."""

    def __init__(self, rows: list[Any], meter: Meter, length: int | None) -> None:
        self._rows, self._meter, self._length = rows, meter, length

    def __iter__(self) -> Iterator[Any]:
        return _metered(self._rows, self._meter)

    def __len__(self) -> int:
        if self._length is None:
            raise ValueError("the server has sent no total")
        return self._length


class Indexed:
    """A sequence of the old kind: it has indices, and nothing else."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __getitem__(self, place: int) -> Any:
        return self._rows[place]


async def _asynchronous(rows: list[Any], meter: Meter) -> AsyncIterator[Any]:
    for row in _metered(rows, meter):
        yield row


# Shapes -----------------------------------------------------------------------------------------------------

Shape = Callable[[list[Any], "Schedule", "Meter"], Source]


def _of(make: Callable[[list[Any], Meter], Any]) -> Shape:
    return lambda rows, schedule, meter: Source((make(rows, meter),))


def _lying(rows: list[Any], schedule: Schedule, meter: Meter) -> Source:
    length = (0, len(rows) // 2, 2 * len(rows) + 3)[schedule.turn % 3]
    return Source((Pages(rows, meter, length),))


def _reviving(rows: list[Any], schedule: Schedule, meter: Meter) -> Source:
    more = [_row(schedule, place) for place in range(len(rows), 2 * len(rows))]
    return Source((Reviving(rows, more, meter),))


def _growing(rows: list[Any], schedule: Schedule, meter: Meter) -> Source:
    """A list to which the consumer adds an item for each result, up to all of them."""
    given = rows[: schedule.turn]

    def delivered(_: int) -> None:
        if len(given) < len(rows):
            given.append(rows[len(given)])

    return Source((given,), delivered)


def _shrinking(rows: list[Any], schedule: Schedule, meter: Meter) -> Source:
    """A list from which the consumer takes an item for each result."""

    def delivered(_: int) -> None:
        if rows:
            rows.pop()

    return Source((rows,), delivered)


def _fed(rows: list[Any], schedule: Schedule, meter: Meter) -> Source:
    """A crawl: which page comes next is known when a page has been read."""
    pages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    known = iter([*rows, None])
    pages.put(next(known))

    def delivered(_: int) -> None:
        pages.put(next(known))

    return Source((_metered(iter(lambda: pages.get(timeout=PATIENCE_S), None), meter),), delivered)


SHAPES: dict[str, Shape] = {
    "list": _of(lambda rows, meter: rows),
    "tuple": _of(lambda rows, meter: tuple(rows)),
    "range": _of(lambda rows, meter: range(len(rows))),
    "iterator": _of(lambda rows, meter: iter(rows)),
    "keys": _of(lambda rows, meter: dict.fromkeys(rows).keys()),
    "values": _of(lambda rows, meter: dict(enumerate(rows)).values()),
    "indexed": _of(lambda rows, meter: Indexed(rows)),
    "generator": _of(_metered),
    "breaking": _of(_breaking),
    "reviving": _reviving,
    "no length": _of(lambda rows, meter: Pages(rows, meter, None)),
    "wrong length": _lying,
    "growing": _growing,
    "shrinking": _shrinking,
    "fed": _fed,
    "async": _of(_asynchronous),
}
COUNTED = ("generator", "breaking", "reviving", "no length", "wrong length", "fed", "async")
