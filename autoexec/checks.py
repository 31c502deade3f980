"""What each option may be: one small check for every kind of value, used at the door."""

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

__all__ = ["CHECKS", "check_retry_on", "from_n_jobs", "is_async"]

MANY = (1 << 31) - 1  # more workers, or items, than anybody has: beyond it only arithmetic fails
FOREVER_S = 1e9  # 30 years; the waits of the standard library end at some 300
ON_ERROR = ("raise", "return", "skip")
CODECS = ("pickle", "json")
WRITABLE = ("copy",)


def _at_least_one(name: str, value: object) -> int:
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


def _seconds(name: str, value: object) -> float | None:
    seconds = _number(name, value, "a number of seconds")
    if seconds < 0:
        raise OptionError(f"{name} must not be negative, got {shown(value)}; None waits for ever")
    return seconds if seconds < FOREVER_S else None


def _some_seconds(name: str, value: object) -> float | None:
    if _number(name, value, "a number of seconds") <= 0:
        raise OptionError(f"{name} must be more than 0 seconds, got {shown(value)}; None waits for ever")
    return _seconds(name, value)


def _share(name: str, value: object) -> float:
    share = _number(name, value, "a number, 0 or more")
    if share < 0:
        raise OptionError(
            f"{name} must not be negative, got {shown(value)}; 0 allows only the first few retries"
        )
    return share


def _backend(_: str, value: object) -> object:
    if isinstance(value, str):
        return value if value == AUTO else find(value).name
    from concurrent.futures import Executor

    if not isinstance(value, Executor):
        raise OptionError(
            f"backend must be one of {', '.join(names())} or a concurrent.futures.Executor, "
            f"not {shown(value)}"
        )
    return value


def _one_of(names: tuple[str, ...]) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if not isinstance(value, str) or value not in names:
            raise OptionError(f"{name} must be {' or '.join(map(repr, names))}, not {shown(value)}")
        return value

    return check


def _callable(name: str, value: object) -> object:
    if not callable(value):
        raise OptionError(f"{name} must be callable, not {shown(value)}")
    return value


def _size(name: str, value: object) -> object:
    if is_async(_callable(name, value)):
        raise OptionError(
            f"{name} must be an ordinary function of the item, not {shown(value)}: nobody awaits it"
        )
    return value


def _initializer(name: str, value: object) -> object:
    if is_async(_callable(name, value)):
        raise OptionError(
            f"{name} must be an ordinary function; make async resources with autoexec.per_worker"
        )
    return value


def _per(_: str, value: object) -> object:
    if not callable(value) and not (isinstance(value, str) and value):
        raise OptionError(
            f"per must be a function of the item or the name of one of its attributes, not {shown(value)}"
        )
    return value


def _rate(_: str, value: object) -> object:
    need("pyrate_limiter", "rate=", "io")
    return value  # its text is read where rates are known (api.resolved)


def _retries(name: str, value: object) -> object:
    if any(static_attribute(value, part) is None for part in ("stop", "wait")):  # a tenacity policy has both
        value = _whole(name, value, 0)
    if value != 0:
        need("tenacity", "retries=", "io")
    return value


def check_retry_on(value: Any) -> Any:
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


def _path(name: str, value: Any) -> str:
    try:
        path = os.fsdecode(value)
    except Exception:
        path = "\0"
    if "\0" in path:
        raise OptionError(f"{name} must be the path of a file, not {shown(value)}")
    return path


def _tuple(name: str, value: object) -> object:
    try:
        return tuple(value)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(f"{name} must be a tuple of arguments, not {shown(value)}") from None


def _switch(name: str, value: object) -> bool:
    if not _is_truth(value) and not (type(value) is int and value in (0, 1)):
        raise OptionError(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def _progress(name: str, value: object) -> bool:
    if wanted := _switch(name, value):
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


# Option -> what its values are checked with; None always stands for "not given".
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "max_workers": _at_least_one,
    "chunksize": _at_least_one,
    "buffersize": _at_least_one,
    "burst": _at_least_one,
    "timeout": _seconds,
    "item_timeout": _some_seconds,
    "backend": _backend,
    "rate": _rate,
    "per": _per,
    "retries": _retries,
    "retry_on": lambda _, value: check_retry_on(value),
    "retry_budget": _share,
    "on_error": _one_of(ON_ERROR),
    "initializer": _initializer,
    "initargs": _tuple,
    "journal": _path,
    "key": _callable,
    "codec": _one_of(CODECS),
    "size": _size,
    "writable": _one_of(WRITABLE),
    "ordered": _switch,
    "progress": _progress,
}
