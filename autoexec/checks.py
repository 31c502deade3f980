"""What an option may be: one small check for every kind of value.

What may live here: functions of an option's name and a value that return what is meant, or raise
`OptionError`. Which option is checked by which of them stands in its row (`options.py`).
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable

from .errors import OptionError, shown
from .introspect import CO_ASYNC_GENERATOR, CO_COROUTINE, flags, isa, static_attribute
from .registry import AUTO, find, names, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .records import Machine

__all__ = [
    "arguments",
    "at_least_one",
    "backend",
    "from_n_jobs",
    "function",
    "initializer",
    "is_async",
    "machine",
    "one_of",
    "path",
    "per",
    "plain_function",
    "progress",
    "rate",
    "retries",
    "retry_on",
    "seconds",
    "share",
    "some_seconds",
    "switch",
]

MANY = (1 << 31) - 1  # more workers, or items, than anybody has: beyond it only arithmetic fails
FOREVER_S = 1e9  # 30 years; the waits of the standard library end at some 300


def at_least_one(name: str, value: object) -> int:
    """A whole number of at least one."""
    return _whole(name, value, 1)


def _whole(name: str, value: object, least: int) -> int:
    number = _index(name, value)
    if number < least:
        raise OptionError(f"{name} must be at least {least}, not {shown(number)}")
    return min(number, MANY)


def _index(name: str, value: Any) -> int:
    """Whatever counts as a whole number, numpy's included, as an int."""
    number: Any = None if _is_truth(value) else value
    try:
        return int(operator.index(number))
    except Exception:  # of whatever kind: it may be an `__index__` of theirs
        raise OptionError(f"{name} must be a whole number, not {shown(value)}") from None


def _is_truth(value: object) -> bool:
    return type(value).__name__ in ("bool", "bool_")  # numpy's, too


def from_n_jobs(value: object, cores: Callable[[], int]) -> int:
    """Workers in joblib's way of counting: -1 is all usable cores, -2 all but one."""
    number = _index("n_jobs", value)
    if number == 0:
        raise OptionError("n_jobs must not be 0; -1 means all usable cores")
    return number if number > 0 else max(1, cores() + 1 + number)


def _number(name: str, value: Any, what: str) -> float:
    counts = any(static_attribute(type(value), way) is not None for way in ("__float__", "__index__"))
    try:
        number = float(value) if counts and not _is_truth(value) else math.nan  # text would do for `float`
    except Exception:  # of whatever kind: it may be a `__float__` of theirs
        number = math.nan
    if math.isnan(number):
        raise OptionError(f"{name} must be {what}, not {shown(value)}")
    return number


def seconds(name: str, value: object) -> float | None:
    """Seconds; None for what is longer than anybody waits."""
    seconds = _number(name, value, "a number of seconds")
    if seconds < 0:
        raise OptionError(f"{name} must not be negative, got {shown(value)}; None waits for ever")
    return seconds if seconds < FOREVER_S else None


def some_seconds(name: str, value: object) -> float | None:
    """Seconds, more than none."""
    if _number(name, value, "a number of seconds") <= 0:
        raise OptionError(f"{name} must be more than 0 seconds, got {shown(value)}; None waits for ever")
    return seconds(name, value)


def share(name: str, value: object) -> float:
    """A number that is not negative."""
    share = _number(name, value, "a number, 0 or more")
    if share < 0:
        raise OptionError(
            f"{name} must not be negative, got {shown(value)}; 0 allows only the first few retries"
        )
    return share


def machine(name: str, value: Any) -> Machine:
    """A machine, found or made up."""
    from .records import Machine

    if type(value) is not Machine:
        raise OptionError(
            f"{name} must be an autoexec.Machine, as made_up_machine() of autoexec.testing makes them, not "
            f"{shown(value)}"
        )
    for fact in ("usable", "physical", "logical", "affinity"):
        at_least_one(f"{name}.{fact}", getattr(value, fact))
    for fact in ("memory_available", "memory_limit", "descriptors"):
        if (count := getattr(value, fact)) is not None or fact != "memory_limit":
            _whole(f"{name}.{fact}", count, 0)
    if value.quota is not None and _number(f"{name}.quota", value.quota, "a number of CPUs, or None") <= 0:
        raise OptionError(f"{name}.quota must be more than 0 CPUs, or None, not {shown(value.quota)}")
    return value


def backend(_: str, value: object) -> object:
    """The name of a backend that can be used here, or "auto", or an executor."""
    if isinstance(value, str):
        return value if value == AUTO else find(value).name
    from concurrent.futures import Executor

    if not isinstance(value, Executor):
        raise OptionError(
            f"backend must be one of {', '.join(names())} or a concurrent.futures.Executor, "
            f"not {shown(value)}"
        )
    return value


def one_of(names: tuple[str, ...]) -> Callable[[str, object], object]:
    """A check for one of these words."""

    def check(name: str, value: object) -> object:
        if not isinstance(value, str) or value not in names:
            raise OptionError(f"{name} must be {' or '.join(map(repr, names))}, not {shown(value)}")
        return value

    return check


def function(name: str, value: object) -> object:
    """Something that can be called."""
    if not callable(value):
        raise OptionError(f"{name} must be callable, not {shown(value)}")
    return value


def plain_function(name: str, value: object) -> object:
    """A function of the item, whose result nobody awaits."""
    if is_async(function(name, value)):
        raise OptionError(
            f"{name} must be an ordinary function of the item, not {shown(value)}: nobody awaits it"
        )
    return value


def initializer(name: str, value: object) -> object:
    """What is called once in each worker."""
    if is_async(function(name, value)):
        raise OptionError(
            f"{name} must be an ordinary function; make async resources with autoexec.per_worker"
        )
    return value


def per(_: str, value: object) -> object:
    """A function of the item, or the name of one of its attributes."""
    if not callable(value) and not (isinstance(value, str) and value):
        raise OptionError(
            f"per must be a function of the item or the name of one of its attributes, not {shown(value)}"
        )
    return value


def rate(_: str, value: object) -> object:
    """A rate, as text or number; what it says is read where rates are known (`api.resolved`)."""
    need("pyrate_limiter", "rate=", "io")
    return value


def retries(name: str, value: object) -> object:
    """A number of tries, or a policy of tenacity."""
    if any(static_attribute(value, part) is None for part in ("stop", "wait")):  # a tenacity policy has both
        value = _whole(name, value, 0)
    if value != 0:
        need("tenacity", "retries=", "io")
    return value


def retry_on(_: str, value: Any) -> Any:
    """Which errors are worth another try: an exception class, a tuple of them, or a function.

    Raises:
        OptionError: if it is none of these.
    """
    kinds = value if isinstance(value, tuple) else (value,)
    if kinds and all(isa(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return value
    if isinstance(value, (type, tuple)) or not callable(value):
        raise OptionError(
            "retry_on must be an exception class, a tuple of them, or a function of the error, "
            f"not {shown(value)}"
        )
    return value


def path(name: str, value: Any) -> str:
    """The path of a file."""
    try:
        path = os.fsdecode(value)
    except Exception:
        path = "\0"
    if "\0" in path:
        raise OptionError(f"{name} must be the path of a file, not {shown(value)}")
    return path


def arguments(name: str, value: object) -> object:
    """Arguments, as a tuple."""
    try:
        return tuple(value)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(f"{name} must be a tuple of arguments, not {shown(value)}") from None


def switch(name: str, value: object) -> bool:
    """True or False."""
    if not _is_truth(value) and not (type(value) is int and value in (0, 1)):
        raise OptionError(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def progress(name: str, value: object) -> bool:
    """Whether there is a bar."""
    if wanted := switch(name, value):
        need("tqdm", "progress=True", "progress")
    return wanted


def is_async(func: Any) -> bool:
    """Whether calling `func` gives a coroutine.

    Raises:
        OptionError: if it gives an async generator, which has many results or none.
    """
    found = flags(func)
    if found & CO_ASYNC_GENERATOR:
        raise OptionError(
            f"{shown(func)} is an async generator function; call one that returns its result instead"
        )
    return bool(found & CO_COROUTINE)
