"""Runs a schedule through the library's doors."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from .consume import Desk, Taken, consume
from .consume_async import consume_async
from .futures import Settled, Submitting, settle
from .inputs import source_of
from .items import CALLER, MARK, function_of
from .notes import Call, read
from .schedule import Schedule
from .surroundings import Surroundings
from .wishes import EXECUTOR_MAP, wishes_of
from .world import World

__all__ = ["Came", "Run", "run", "runs_here"]


@dataclass
class Came:
    """What came of one map, or of one executor's calls.

    Attributes:
        world: where it took place.
        taken: what the consumer got: `Taken` of a map, `Settled` of futures.
        calls: those of items, in the order in which they began; None until they are read.
    """

    world: World
    taken: Taken | Settled
    calls: list[Call] | None = None

    def read(self) -> None:
        """Find out about the calls, once; the file is then for the notes of another run."""
        if self.calls is None:
            self.calls = read(self.world.path, self.world.notes)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.world.path)


@dataclass
class Run:
    """What came of a schedule.

    Attributes:
        came: of each of its maps.
        left: what is there afterwards that should not be.
        seconds: that all took.
        marked: what the caller's context variable was afterwards.
    """

    came: list[Came]
    left: list[str]
    seconds: float
    marked: Any


def runs_here(schedule: Schedule) -> bool:
    """Whether the packages that a schedule needs are installed."""
    needs = {"joblib": schedule.backend == "joblib", "tenacity": schedule.option("retries")}
    needs["pyrate_limiter"] = schedule.option("rate")
    return all(find_spec(package) is not None for package, needed in needs.items() if needed)


def run(schedule: Schedule, library: Any, folder: str) -> Run:
    """Run a schedule.

    Args:
        schedule: which one.
        library: `autoexec`, or something with the same doors.
        folder: an empty one, for its files.
    """
    began, around = time.perf_counter(), Surroundings()
    with around.watched():
        token = MARK.set(CALLER)
        try:
            came = TIMES[schedule.times](Stage(schedule, library, folder))
            marked = MARK.get()
        finally:
            MARK.reset(token)
        for one in came:
            one.world.close()
        left = around.left(library.shutdown, shared=schedule.door == "shared")
        gc.collect(0)  # what is dropped now must not come up in the next run
    for one in came:
        one.read()
        os.environ.pop(one.world.variable, None)
    return Run(
        came, left + [text for text in around.stray if text not in left], time.perf_counter() - began, marked
    )


@dataclass
class Stage:
    """A schedule, the library, and a folder."""

    schedule: Schedule
    library: Any
    folder: str

    def world(self, name: str = "one") -> World:
        """A place for one map."""
        return World(os.path.join(self.folder, name), self.library)

    def perform(self, world: World, consumer: str = "") -> Came:
        """One map, from its call to its end."""
        with ExitStack() as stack:
            stack.callback(world.open_gate)
            if self.schedule.futures:
                return Came(world, settle(self.schedule.consumer, self._submitting(world, stack)))
            if self.schedule.door == "amap":
                return Came(world, asyncio.run(self._amap(world, stack)))
            desk = self.desk(world, stack)
            return Came(world, consume(consumer or self.schedule.consumer, desk))

    def desk(self, world: World, stack: ExitStack) -> Desk:
        """What the consumer of a map works with."""
        schedule, source = self.schedule, source_of(self.schedule, world)
        wishes = wishes_of(schedule, world, stack)
        start = self._start(function_of(schedule, world), source.iterables, wishes, stack)
        return Desk(start, source, world, schedule.leave, schedule.count)

    def _start(
        self,
        function: Callable[..., Any],
        iterables: tuple[Any, ...],
        wishes: dict[str, Any],
        stack: ExitStack,
    ) -> Callable[[], Iterator[Any]]:
        library, door = self.library, self.schedule.door
        if door == "executor map":
            own = {name: wishes.pop(name) for name in EXECUTOR_MAP if name in wishes}
            executor = library.Executor(**wishes)
            stack.callback(executor.shutdown)
            return lambda: executor.map(function, *iterables, **own)
        if door.startswith("decorated"):
            first, then = _divided(wishes)
            decorated = library.parallel(**first)(function) if first else library.parallel(function)
            method = decorated.starmap if self.schedule.star else decorated.map
            return lambda: method(*iterables, **then)
        named = {"starmap": library.starmap, "amap": library.amap}.get(door, library.map)
        return lambda: named(function, *iterables, **wishes)

    async def _amap(self, world: World, stack: ExitStack) -> Taken:
        return await consume_async(self.schedule.consumer, self.desk(world, stack))

    def _submitting(self, world: World, stack: ExitStack) -> Submitting:
        function, rows = function_of(self.schedule, world), source_of(self.schedule, world).iterables[0]
        if self.schedule.door == "shared":
            return Submitting(None, self.library.parallel(function).submit, list(rows), self.schedule.leave)
        executor = self.library.Executor(**wishes_of(self.schedule, world, stack))
        return Submitting(
            executor, lambda row: executor.submit(function, row), list(rows), self.schedule.leave
        )


def _divided(wishes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options for the decorator, and options for the call."""
    first = dict(itertools.islice(wishes.items(), len(wishes) // 2))
    return first, {name: value for name, value in wishes.items() if name not in first}


# How often --------------------------------------------------------------------------------------------------


def _once(stage: Stage) -> list[Came]:
    return [stage.perform(stage.world())]


def _twice(stage: Stage) -> list[Came]:
    return [stage.perform(stage.world(name)) for name in ("one", "two")]


def _resumed(stage: Stage) -> list[Came]:
    """A run that is closed early, and one that goes on with its journal."""
    first = stage.perform(stage.world(), "close")
    first.read()
    return [first, stage.perform(stage.world(), "all")]


def _threads(stage: Stage) -> list[Came]:
    came: list[Came] = []
    worlds = [stage.world(name) for name in ("one", "two", "three")[: 2 + stage.schedule.seed % 2]]

    def perform(world: World) -> None:
        world.consume_here()
        came.append(stage.perform(world))

    threads = [threading.Thread(target=perform, args=(world,)) for world in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came


def _interleaved(stage: Stage) -> list[Came]:
    """Two maps whose results are taken by turns."""
    with ExitStack() as stack:
        desks = []
        for name in ("one", "two"):
            world = stage.world(name)
            stack.callback(world.open_gate)
            desks.append(stage.desk(world, stack))
        waiting = [(desk, results) for desk in desks if (results := _started(desk)) is not None]
        while waiting:
            waiting = [(desk, result) for desk, result in waiting if _one_more(desk, result)]
        return [Came(desk.world, desk.taken) for desk in desks]


def _started(desk: Desk) -> Iterator[Any] | None:
    try:
        return desk.start()
    except Exception as error:
        desk.taken.fail(error)
    return None


def _one_more(desk: Desk, results: Iterator[Any]) -> bool:
    try:
        desk.note(next(results))
    except StopIteration:
        desk.taken.complete = True
    except BaseException as error:
        desk.taken.fail(error)
    else:
        return True
    return False


TIMES: dict[str, Callable[[Stage], list[Came]]] = {
    "once": _once,
    "twice": _twice,
    "resumed": _resumed,
    "threads": _threads,
    "interleaved": _interleaved,
}
