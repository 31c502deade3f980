"""The functions that schedules map, and the items that they are called with.

What an item does at which call is told by one pure function, `answer`, which the plain loop asks, too.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from .faults import KINDS, RESPONSES, Response
from .notes import note

if TYPE_CHECKING:
    from .schedule import Schedule
    from .world import World

__all__ = ["CALLER", "MARK", "answer", "function_of", "item_of", "place_of"]

MARK: contextvars.ContextVar[Any] = contextvars.ContextVar("MARK", default=None)
CALLER = "the caller's"  # what the caller has set it to
BIG = 30_000  # bytes: more than go through a worker's socket


# What an item does ------------------------------------------------------------------------------------------


Fate = tuple[str, int, int]  # the kind of an item's fault, its tries, and which call of the item this is
FINE: Fate = ("", 0, 1)


def answer(values: str, place: int, fate: Fate = FINE) -> Any:
    """What a call of an item returns.

    Args:
        values: what items return, as in a schedule.
        place: which item.
        fate: of this call.

    Raises:
        BaseException: what the item raises in that call.
    """
    kind, tries, attempt = fate
    if kind and (not tries or attempt <= tries):
        if kind in RESPONSES:
            return Response(RESPONSES[kind], place, 0.002)
        if kind in KINDS:
            raise KINDS[kind](place)
    return Response(200, place) if kind in RESPONSES else _value(values, place)


def _value(values: str, place: int) -> Any:
    if values == "numbers":
        return 3 * place + 1
    if values == "mixed":
        return (None, 0, "", (), place)[place % 5]
    if values == "big":
        return bytes((place % 250,)) * (BIG + place)
    if values == "odd" and place % 3 == 1:
        return threading.Lock()
    return None if values == "none" else 3 * place + 1


def burn(seconds: float) -> None:
    """Compute for so long by this thread's own clock."""
    until, total = time.thread_time() + seconds, 0
    while time.thread_time() < until:
        for number in range(100):
            total ^= number


def spend(kind: str, seconds: float) -> None:
    """What an item does before it answers."""
    if kind in ("waits", "both"):
        time.sleep(seconds if kind == "waits" else seconds / 2)
    if kind in ("computes", "both"):
        burn(seconds if kind == "computes" else seconds / 2)


async def spend_async(kind: str, seconds: float) -> None:
    """The same in an event loop."""
    if kind in ("waits", "both"):
        await asyncio.sleep(seconds if kind == "waits" else seconds / 2)
    if kind in ("computes", "both"):
        burn(seconds if kind == "computes" else seconds / 2)


# Items ------------------------------------------------------------------------------------------------------


def item_of(items: str, place: int) -> Any:
    """The item at a place."""
    if items == "urls":
        return f"http://h{place % 3}.test/page/{place}"
    if items == "teams":
        return {"team": "ab"[place % 2], "page": place}
    if items == "pairs":
        return place, -place
    if items == "locked":
        return (place, threading.Lock()) if place % 3 == 1 else (place, None)
    return Shy(place) if items == "shy" else place


class Shy:
    """An item that nobody can show."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def place_of(item: Any) -> int:
    """The place of an item."""
    if isinstance(item, int):
        return item
    if isinstance(item, str):
        return int(item.rpartition("/")[2])
    if isinstance(item, Shy):
        return item.place
    return int(item["page"] if isinstance(item, dict) else item[0])


# Functions --------------------------------------------------------------------------------------------------


def function_of(schedule: Schedule, world: World) -> Callable[..., Any]:
    """The function of a schedule; what it notes goes to `world`."""
    play = Play(schedule, world)
    if schedule.asynchronous:
        return _asynchronous(play, world.notes)
    made = _in_memory(play, world.notes) if schedule.notes == "memory" else _in_file(play, world.path)
    if schedule.form == "partial":
        return functools.partial(_called, made)
    return Caller(made) if schedule.form == "object" else made


def _called(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


class Caller:
    """A function as an object."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class Play:
    """What the items of a schedule do, in a form that travels.

    Args:
        schedule: whose items.
        world: where its run takes place.
    """

    def __init__(self, schedule: Schedule, world: World) -> None:
        self.phases = tuple(
            (phase.upto, tuple(phase.kind.split("+")), phase.seconds) for phase in schedule.phases
        )
        self.faults = {fault.place: (fault.kind, fault.tries) for fault in schedule.faults}
        self.values, self.nested, self.context = schedule.values, schedule.nested, schedule.context
        self.caller, self.gate = os.getpid(), world.gate
        here = schedule.notes == "memory"
        self.tried = _tried_here() if here else _tried_anywhere(world.folder)
        self.ready = world.ready if here and schedule.option("initializer") else None
        self.variable = "" if here or not schedule.option("initializer") else world.variable
        self.plain = not (self.faults or self.context or self.nested or schedule.option("initializer"))

    def fate(self, place: int) -> Fate:
        """What becomes of this call of an item."""
        fault = self.faults.get(place)
        return FINE if fault is None else (*fault, self.tried(place))

    def work(self, place: int) -> tuple[str, float]:
        """What an item does before it answers, and for how long."""
        for upto, kinds, seconds in self.phases:
            if place < upto:
                return kinds[place % len(kinds)], seconds
        return "instant", 0.0

    def hangs(self, fate: Fate) -> bool:
        """Whether this call waits until the gate is open. It ends the process instead where it is to die."""
        kind, tries, attempt = fate
        if kind not in ("die", "hang") or (tries and attempt > tries):
            return False
        if kind == "die":
            if os.getpid() == self.caller:
                raise RuntimeError("an item that crashes was run in the caller's process")
            os._exit(3)
        return not os.path.exists(self.gate)

    def remark(self, place: int) -> str:
        """What the item finds wrong before it begins."""
        if self.context:
            seen = MARK.get()
            MARK.set(place)
            if seen not in (None, CALLER):
                return f"context: item {place} saw the mark of {seen}"
        if self.ready is not None and threading.get_ident() not in self.ready:
            return f"initializer: it had not run in the thread of item {place}"
        if self.variable and self.variable not in os.environ:
            return f"initializer: it had not run in the process of item {place}"
        if self.nested and _inner(self.nested) != 12:
            return f"nested: the map inside item {place} gave a wrong sum"
        return ""


def _inner(backend: str) -> int:
    import autoexec

    return sum(autoexec.map(abs, range(-3, 4), backend=backend, max_workers=2))


def _tried_here() -> Callable[[int], int]:
    tries: dict[int, int] = {}
    lock = threading.Lock()

    def tried(place: int) -> int:
        with lock:
            tries[place] = tries.get(place, 0) + 1
            return tries[place]

    return tried


def _tried_anywhere(folder: str) -> Callable[[int], int]:
    def tried(place: int) -> int:
        for attempt in count(1):
            try:
                os.close(os.open(f"{folder}/try-{place}-{attempt}", os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                continue
            return attempt
        raise AssertionError

    return tried


def _in_memory(play: Play, notes: list[tuple[int, int, int, str]]) -> Callable[..., Any]:
    clock, work, values, plain = time.perf_counter_ns, play.work, play.values, play.plain

    def function(item: Any, *more: Any) -> Any:
        place = item if type(item) is int else place_of(item)
        began, remark, fate = clock(), "", FINE
        try:
            if not plain:
                fate, remark = play.fate(place), play.remark(place)
                while play.hangs(fate):
                    time.sleep(0.003)
            spend(*work(place))
            return answer(values, place, fate)
        finally:
            notes.append((place, began, clock(), remark))

    return function


def _in_file(play: Play, path: str) -> Callable[..., Any]:
    clock = time.perf_counter_ns

    def function(item: Any, *more: Any) -> Any:
        place = place_of(item)
        began, remark, fate = clock(), "", FINE
        try:
            if not play.plain:
                fate, remark = play.fate(place), play.remark(place)
                if fate[0] in ("die", "hang"):  # it may not come to its end
                    note(path, place, began, 0)
                while play.hangs(fate):
                    time.sleep(0.003)
            spend(*play.work(place))
            return answer(play.values, place, fate)
        finally:
            note(path, place, began, clock(), remark)

    return function


def _asynchronous(play: Play, notes: list[tuple[int, int, int, str]]) -> Callable[..., Any]:
    clock = time.perf_counter_ns

    async def function(item: Any, *more: Any) -> Any:
        place = place_of(item)
        began, remark, fate = clock(), "", FINE
        try:
            if not play.plain:
                fate, remark = play.fate(place), play.remark(place)
                while play.hangs(fate):
                    await asyncio.sleep(0.003)
            await spend_async(*play.work(place))
            return answer(play.values, place, fate)
        finally:
            notes.append((place, began, clock(), remark))

    return function
