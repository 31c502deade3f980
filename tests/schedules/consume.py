"""How results are taken: to the end, slowly, in part, by several threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .faults import reveal

if TYPE_CHECKING:
    from .inputs import Source
    from .world import World

__all__ = ["CONSUMERS", "PAUSES", "PAUSE_S", "Desk", "Left", "Taken", "consume"]

PAUSE_S = 0.001  # of a slow consumer
PAUSES = 12  # that it makes at most
BEYOND = 5  # results that somebody who never stops asking takes beyond what there can be


@dataclass
class Taken:
    """What a consumer got.

    Attributes:
        values: revealed, in the order in which they came.
        unseen: whether values came that nobody has seen, as with `list` when an error comes.
        error: what came out of the iterator in the end, revealed.
        notes: of that error.
        complete: whether the iterator has said that this was all.
        after: what came when it was asked on after the error.
        over: when the consumer was rid of the results, or the error came, in nanoseconds; None at their end.
        left: whether the consumer left before the end, and without an error.
        closed: whether it closed the results then, or only dropped them.
        remarks: what the consumer found wrong itself.
    """

    values: list[Any] = field(default_factory=list)
    unseen: bool = False
    error: Any = None
    notes: list[str] = field(default_factory=list)
    complete: bool = False
    after: list[Any] | None = None
    over: int | None = None
    left: bool = False
    closed: bool = False
    remarks: list[str] = field(default_factory=list)

    def fail(self, error: BaseException) -> None:
        """This came out of the iterator."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        self.error, self.notes = reveal(error), list(getattr(error, "__notes__", ()))
        self.over, self.left = time.perf_counter_ns(), False

    def leave(self, *, closed: bool = False) -> None:
        """The consumer is rid of the results."""
        if not self.complete and self.error is None:
            self.over, self.left, self.closed = time.perf_counter_ns(), True, closed


class Left(Exception):
    """What a consumer raises in its loop."""


@dataclass
class Desk:
    """What a consumer works with.

    Attributes:
        start: makes the call and returns the results.
        source: the input, which may want to hear of results.
        world: where the run takes place.
        leave: results after which the consumer does what it is named for.
        count: results that there can be.
    """

    start: Callable[[], Iterator[Any]]
    source: Source
    world: World
    leave: int
    count: int
    taken: Taken = field(default_factory=Taken)

    def note(self, value: Any) -> int:
        """A result has come; returns how many that makes."""
        self.world.meter.delivered += 1
        self.taken.values.append(reveal(value))
        self.source.delivered(len(self.taken.values))
        return len(self.taken.values)

    def take(self, results: Iterable[Any], upto: int | None = None) -> None:
        """Take results, all or up to a number."""
        if upto == 0:
            return
        for value in results:
            if self.note(value) == upto:
                return
        self.taken.complete = True


def _all(desk: Desk) -> None:
    desk.take(desk.start())


def _list(desk: Desk) -> None:
    desk.taken.unseen = True
    values = list(desk.start())
    desk.taken.values, desk.taken.unseen, desk.taken.complete = list(map(reveal, values)), False, True


def _slow(desk: Desk) -> None:
    every = max(1, desk.count // PAUSES)
    for value in desk.start():
        if desk.note(value) % every == 0:
            time.sleep(PAUSE_S)
    desk.taken.complete = True


def _break(desk: Desk) -> None:
    results = desk.start()
    desk.take(results, desk.leave)
    del results
    desk.taken.leave()


def _never(desk: Desk) -> None:
    desk.start()
    desk.taken.leave()


def _close(desk: Desk) -> None:
    results: Any = desk.start()
    desk.take(results, desk.leave)
    results.close()
    desk.taken.leave(closed=True)
    if late := list(results):
        desk.taken.remarks.append(f"late: {len(late)} results after close()")


def _with(desk: Desk) -> None:
    results: Any = desk.start()
    with results:
        desk.take(results, desk.leave)
    desk.taken.leave(closed=True)


def _raise(desk: Desk) -> None:
    def loop() -> None:
        results = desk.start()
        desk.take(results, desk.leave)
        if not desk.taken.complete:
            raise Left

    try:
        loop()
    except Left:
        pass
    desk.taken.leave()


def _on(desk: Desk) -> None:
    """Ask for results until there are no more, whatever comes."""
    results = desk.start()
    try:
        desk.take(results)
    except Exception as error:
        desk.taken.fail(error)
    else:
        return
    desk.taken.after = []
    for _ in range(desk.count + BEYOND):
        desk.world.meter.delivered += 1  # the error is through
        try:
            desk.taken.after.append(reveal(next(results)))
        except StopIteration:
            return
        except Exception as error:
            desk.taken.after.append(reveal(error))
    desk.taken.remarks.append("lost: the results do not end after an error")


def _elsewhere(desk: Desk) -> None:
    results = desk.start()
    in_thread(lambda: _consume_here(desk, results))


def _consume_here(desk: Desk, results: Iterator[Any]) -> None:
    desk.world.consume_here()
    desk.take(results)


def _started_elsewhere(desk: Desk) -> None:
    started: list[Iterator[Any]] = []

    def start() -> None:
        desk.world.consume_here()
        started.append(desk.start())

    in_thread(start)
    desk.take(started.pop())


def _readers(desk: Desk) -> None:
    """Several threads share the results."""
    results, lock, errors = desk.start(), threading.Lock(), []

    def read() -> None:
        desk.world.consume_here()
        try:
            for value in results:
                with lock:
                    desk.note(value)
        except Exception as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2 + desk.leave % 2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    if errors:
        desk.taken.fail(errors[0])
    else:
        desk.taken.complete = True


def in_thread(function: Callable[[], object]) -> None:
    """Run a function in another thread; what it raises is raised here."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors.pop()


CONSUMERS: dict[str, Callable[[Desk], None]] = {
    "all": _all,
    "list": _list,
    "slow": _slow,
    "break": _break,
    "never": _never,
    "close": _close,
    "with": _with,
    "raise": _raise,
    "on": _on,
    "elsewhere": _elsewhere,
    "started elsewhere": _started_elsewhere,
    "readers": _readers,
}


def consume(name: str, desk: Desk) -> Taken:
    """Take results; what comes out of the iterator is noted, too."""
    try:
        CONSUMERS[name](desk)
    except BaseException as error:
        desk.taken.fail(error)
    return desk.taken
