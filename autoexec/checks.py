"""What each option may be: one small check for every kind of value, used at the door."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable

from .errors import MissingExtra, OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["BACKENDS", "CHECKS", "check_retry_on", "from_n_jobs", "is_async", "need"]

BACKENDS = ("auto", "serial", "threads", "processes", "joblib")
ON_ERROR = ("raise", "return", "skip")
CODECS = ("pickle", "json")
WRITABLE = ("copy",)


def _at_least_one(name: str, value: object) -> int:
    return _whole(name, value, 1)


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool):
        raise OptionError(f"{name} must be a whole number, not {value!r}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(f"{name} must be a whole number, not {value!r}") from None
    if number < least:
        raise OptionError(f"{name} must be at least {least}, not {number}")
    return number


def from_n_jobs(value: object, cores: Callable[[], int]) -> int:
    """Workers in joblib's way of counting: -1 is all usable cores, -2 all but one."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise OptionError(f"n_jobs must be a whole number, not {value!r}")
    number = operator.index(value)
    if number == 0:
        raise OptionError("n_jobs must not be 0; -1 means all usable cores")
    return number if number > 0 else max(1, cores() + 1 + number)


def _number(name: str, value: object, what: str) -> float:
    try:
        return float("no" if isinstance(value, (str, bytes, bool)) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise OptionError(f"{name} must be {what}, not {value!r}") from None


def _seconds(name: str, value: object) -> float:
    seconds = _number(name, value, "a number of seconds")
    if not seconds >= 0:
        raise OptionError(f"{name} must not be negative, got {value!r}; None waits for ever")
    return seconds


def _some_seconds(name: str, value: object) -> float:
    seconds = _number(name, value, "a number of seconds")
    if not seconds > 0:
        raise OptionError(f"{name} must be more than 0 seconds, got {value!r}; None waits for ever")
    return seconds


def _share(name: str, value: object) -> float:
    share = _number(name, value, "a number, 0 or more")
    if not share >= 0:
        raise OptionError(f"{name} must not be negative, got {value!r}; 0 allows only the first few retries")
    return share


def _backend(_: str, value: object) -> object:
    if isinstance(value, str):
        if value not in BACKENDS:
            raise OptionError(
                f"unknown backend {value!r}; choose from {', '.join(BACKENDS)}, or pass a "
                "concurrent.futures.Executor"
            )
        if value == "joblib":
            need("joblib", "backend='joblib'", "joblib")
        return value
    from concurrent.futures import Executor

    if not isinstance(value, Executor):
        raise OptionError(
            f"backend must be one of {', '.join(BACKENDS)} or a concurrent.futures.Executor, not {value!r}"
        )
    return value


def _one_of(names: tuple[str, ...]) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if value not in names:
            raise OptionError(f"{name} must be {' or '.join(map(repr, names))}, not {value!r}")
        return value

    return check


def _callable(name: str, value: object) -> object:
    if not callable(value):
        raise OptionError(f"{name} must be callable, not {value!r}")
    return value


def _size(name: str, value: object) -> object:
    if is_async(_callable(name, value)):
        raise OptionError(f"{name} must be an ordinary function of the item, not {value!r}: nobody awaits it")
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
            f"per must be a function of the item or the name of one of its attributes, not {value!r}"
        )
    return value


def _rate(_: str, value: object) -> object:
    need("pyrate_limiter", "rate=", "io")
    return value  # its text is read where rates are known (api.resolved)


def _retries(name: str, value: object) -> object:
    if not (hasattr(value, "stop") and hasattr(value, "wait")):  # a tenacity policy has both
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
    if kinds and all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return value
    if isinstance(value, (type, tuple)) or not callable(value):
        raise OptionError(
            f"retry_on must be an exception class, a tuple of them, or a function of the error, not {value!r}"
        )
    return value


def _path(name: str, value: object) -> str:
    try:
        path = os.fspath(value)  # type: ignore[call-overload]
    except TypeError:
        raise OptionError(f"{name} must be the path of a file, not {value!r}") from None
    return os.fsdecode(path)


def _tuple(name: str, value: object) -> object:
    try:
        return tuple(value)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(f"{name} must be a tuple of arguments, not {value!r}") from None


def _ordered(_: str, value: object) -> bool:
    return bool(value)


def _progress(_: str, value: object) -> object:
    if value:
        need("tqdm", "progress=True", "progress")
    return value


CO_COROUTINE, CO_ASYNC_GENERATOR = 0x80, 0x200  # as in inspect, whose import takes 11 ms


def is_async(func: Any) -> bool:
    """Whether calling `func` gives a coroutine.

    Raises:
        OptionError: if it gives an async generator, which has many results or none.
    """
    flags = _flags(func)
    if flags & CO_ASYNC_GENERATOR:
        raise OptionError(
            f"{func!r} is an async generator function; call one that returns its result instead"
        )
    return bool(flags & CO_COROUTINE)


def _flags(func: Any) -> int:
    code = getattr(func, "__code__", None)
    if code is not None:
        return int(code.co_flags)
    inner = (
        getattr(func, "__wrapped__", None) or getattr(func, "func", None) or getattr(func, "__func__", None)
    )
    if inner is not None and inner is not func:
        return _flags(inner)
    return int(getattr(getattr(type(func).__call__, "__code__", None), "co_flags", 0))


def need(package: str, wish: str, extra: str) -> None:
    """Refuse a wish whose package is not installed.

    Raises:
        MissingExtra: naming the extra that brings it.
    """
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingExtra(f"{wish} needs {package}: pip install 'autoexec-futures[{extra}]'")


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
    "ordered": _ordered,
    "progress": _progress,
}
