"""The keywords that are made of a schedule's options."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from .faults import PASSING
from .items import place_of

if TYPE_CHECKING:
    from .schedule import Schedule
    from .world import World

__all__ = ["EXECUTOR_MAP", "wishes_of"]

EXECUTOR_MAP = ("chunksize", "buffersize", "timeout")  # what `Executor.map` takes itself
AS_THEY_ARE = (
    *EXECUTOR_MAP,
    "max_workers",
    "ordered",
    "on_error",
    "item_timeout",
    "rate",
    "burst",
    "codec",
    "retry_budget",
)


def wishes_of(schedule: Schedule, world: World, stack: ExitStack) -> dict[str, Any]:
    """The keywords of a call; what has to be closed after it goes to `stack`."""
    given = dict(schedule.options)
    wishes: dict[str, Any] = {name: given[name] for name in AS_THEY_ARE if name in given}
    for name, make in MADE.items():
        if name in given:
            wishes |= make(schedule, world, given[name])
    if schedule.backend == "own":
        pool = ThreadPoolExecutor(given["pool"], thread_name_prefix="own")
        wishes["backend"] = stack.enter_context(pool)
    elif "backend" in given:
        wishes["backend"] = given["backend"]
    return wishes


def _retries(schedule: Schedule, world: World, retries: int) -> dict[str, Any]:
    """A number, or where calls do run again a policy that does not wait as long as the default does."""
    if not schedule.has(*PASSING):
        return {"retries": retries}
    import tenacity

    stop = tenacity.stop_after_attempt(retries + 1)
    return {"retries": tenacity.Retrying(stop=stop, wait=tenacity.wait_fixed(0.001))}


def _retry_on(schedule: Schedule, world: World, how: str) -> dict[str, Any]:
    return {"retry_on": ConnectionError if how == "class" else _is_lost}


def _is_lost(error: BaseException) -> bool:
    return isinstance(error, ConnectionError)


def _per(schedule: Schedule, world: World, how: str) -> dict[str, Any]:
    return {"per": {"team": "team", "function": _tenant, "raises": _tenant_or_not}[how]}


def _tenant(item: Any, *more: Any) -> str:
    return "ab"[place_of(item) % 3 == 0]


def _tenant_or_not(item: Any, *more: Any) -> str:
    place = place_of(item)
    if place % 7 == 3:
        raise LookupError(place)
    return "ab"[place % 2]


def _journal(schedule: Schedule, world: World, _: bool) -> dict[str, Any]:
    return {"journal": os.path.join(world.folder, "journal")}


def _key(schedule: Schedule, world: World, _: bool) -> dict[str, Any]:
    return {"key": lambda item, *more: f"item {place_of(item)}"}


def _size(schedule: Schedule, world: World, _: bool) -> dict[str, Any]:
    return {"size": lambda item, *more: place_of(item) * 7919 % 101}


def _initializer(schedule: Schedule, world: World, how: str) -> dict[str, Any]:
    if how == "raises":
        return {"initializer": _refuse, "initargs": ("no licence",)}
    here = schedule.notes == "memory"
    ready: Callable[..., Any] = _ready_in(world.ready) if here else functools.partial(_ready, world.variable)
    return {"initializer": ready, "initargs": (1, "two")}


def _refuse(why: str) -> None:
    raise LookupError(why)


def _ready_in(ready: list[int]) -> Callable[..., None]:
    def initializer(one: int, two: str) -> None:
        ready.append(threading.get_ident())

    return initializer


def _ready(variable: str, one: int, two: str) -> None:
    os.environ[variable] = f"{one} {two}"


MADE: dict[str, Callable[[Schedule, World, Any], dict[str, Any]]] = {
    "retries": _retries,
    "retry_on": _retry_on,
    "per": _per,
    "journal": _journal,
    "key": _key,
    "size": _size,
    "initializer": _initializer,
}
