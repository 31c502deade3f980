"""One set of options for every door, checked before anything runs."""

from __future__ import annotations

import operator
from collections.abc import Callable

from .errors import MissingExtra, OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor
    from dataclasses import dataclass
    from typing import Any, TypedDict

    class Wishes(TypedDict, total=False):
        """The keywords that every door takes; see `Options` for their meaning."""

        max_workers: int | None
        n_jobs: int | None
        chunksize: int | None
        buffersize: int | None
        timeout: float | None
        backend: str | Executor
        ordered: bool
        progress: bool
else:
    from .frozen import dataclass

__all__ = ["BACKENDS", "Options", "resolve"]

BACKENDS = ("auto", "serial", "threads", "processes", "joblib")


@dataclass(frozen=True, slots=True)
class Options:
    """How a call may run. Everything has a default that lets autoexec decide.

    Attributes:
        max_workers: threads or processes at most; None lets the plan say. `n_jobs` is its alias with
            joblib's meaning: -1 all usable cores, -2 all but one, and so on.
        chunksize: items per task; None follows the measured item time.
        buffersize: items that may be pulled from the input and not yet be delivered; None bounds them
            by what the results weigh.
        timeout: seconds from the call until all results must have been delivered; None waits for ever.
            Items that run in the caller's own thread are not interrupted.
        backend: "auto", "serial", "threads", "processes", "joblib", or any `concurrent.futures.Executor`.
        ordered: False delivers results as they complete.
        progress: True shows a progress bar on standard error (needs tqdm, the extra `progress`).
    """

    max_workers: int | None = None
    chunksize: int | None = None
    buffersize: int | None = None
    timeout: float | None = None
    backend: str | Executor = "auto"
    ordered: bool = True
    progress: bool = False


def resolve(wishes: Wishes, base: Options | None = None, *, cores: Callable[[], int] = lambda: 1) -> Options:
    """Check the keywords of a call and lay them over `base`.

    Args:
        wishes: the keywords.
        base: options set earlier (by the decorator), or None for the defaults.
        cores: asked for the usable cores when `n_jobs` is negative.

    Raises:
        OptionError: if a value cannot be meant.
        MissingExtra: if an optional package that the options ask for is not installed.

    >>> resolve({"max_workers": 3}).max_workers
    3
    >>> resolve({"chunksize": 0})
    Traceback (most recent call last):
    autoexec.errors.OptionError: chunksize must be at least 1, not 0
    """
    given: dict[str, Any] = dict(wishes)
    n_jobs = given.pop("n_jobs", None)
    known = Options.__match_args__
    for name in given:
        if name not in known:
            raise OptionError(f"unknown option {name!r}; the options are {', '.join(known)} and n_jobs")
    if n_jobs is not None:
        if given.get("max_workers") is not None:
            raise OptionError("give max_workers or n_jobs, not both: they mean the same")
        given["max_workers"] = _from_n_jobs(n_jobs, cores)
    for name in ("max_workers", "chunksize", "buffersize"):
        if given.get(name) is not None:
            given[name] = _at_least_one(name, given[name])
    if given.get("timeout") is not None:
        given["timeout"] = _seconds(given["timeout"])
    if "backend" in given:
        _check_backend(given["backend"])
    merged: dict[str, Any] = {name: getattr(base, name) for name in known} if base else {}
    options = Options(**(merged | given))
    if options.progress:
        _need("tqdm", "progress=True", "progress")
    return options


def _at_least_one(name: str, value: object) -> int:
    if isinstance(value, bool):
        raise OptionError(f"{name} must be a whole number, not {value!r}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(f"{name} must be a whole number, not {value!r}") from None
    if number < 1:
        raise OptionError(f"{name} must be at least 1, not {number}")
    return number


def _from_n_jobs(value: object, cores: Callable[[], int]) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise OptionError(f"n_jobs must be a whole number, not {value!r}")
    number = operator.index(value)
    if number == 0:
        raise OptionError("n_jobs must not be 0; -1 means all usable cores")
    return number if number > 0 else max(1, cores() + 1 + number)


def _seconds(value: object) -> float:
    try:
        seconds = float("no" if isinstance(value, (str, bytes)) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise OptionError(f"timeout must be a number of seconds, not {value!r}") from None
    if not seconds >= 0:
        raise OptionError(f"timeout must not be negative, got {value!r}; None waits for ever")
    return seconds


def _check_backend(backend: object) -> None:
    if isinstance(backend, str):
        if backend not in BACKENDS:
            raise OptionError(
                f"unknown backend {backend!r}; choose from {', '.join(BACKENDS)}, or pass a "
                "concurrent.futures.Executor"
            )
        if backend == "joblib":
            _need("joblib", "backend='joblib'", "joblib")
        return
    from concurrent.futures import Executor

    if not isinstance(backend, Executor):
        raise OptionError(
            f"backend must be one of {', '.join(BACKENDS)} or a concurrent.futures.Executor, not {backend!r}"
        )


def _need(package: str, wish: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingExtra(f"{wish} needs {package}: pip install 'autoexec-futures[{extra}]'")
