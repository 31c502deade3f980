"""One set of options for every door, checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable

from .checks import CHECKS, from_n_jobs
from .errors import OptionError
from .registry import AUTO, row

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from concurrent.futures import Executor
    from dataclasses import dataclass
    from typing import Any, Literal, TypedDict

    from tenacity import BaseRetrying

    from .registry import BackendInfo

    RetryOn = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]

    class Wishes(TypedDict, total=False):
        """The keywords that every door takes; see `Options` for their meaning."""

        max_workers: int | None
        n_jobs: int | None
        chunksize: int | None
        buffersize: int | None
        timeout: float | None
        item_timeout: float | None
        backend: str | Executor
        ordered: bool
        progress: bool
        rate: str | float | None
        burst: int | None
        per: str | Callable[[Any], object] | None
        retries: int | BaseRetrying
        retry_on: RetryOn | None
        retry_budget: float
        on_error: Literal["raise", "return", "skip"]
        initializer: Callable[..., object] | None
        initargs: tuple[Any, ...]
        journal: str | os.PathLike[str] | None
        key: Callable[..., object] | None
        codec: Literal["pickle", "json"]
        size: Callable[..., float] | None
        writable: Literal["copy"] | None
else:
    from .frozen import dataclass

__all__ = ["Options", "resolve"]

MOST_PROCESSES = 10_000  # more than any machine has cores


@dataclass(frozen=True, slots=True)
class Options:
    """How a call may run. Everything has a default that lets autoexec decide.

    Attributes:
        max_workers: threads, processes or concurrent calls at most; None lets the plan say. `n_jobs` is its
            alias with joblib's meaning: -1 all usable cores, -2 all but one, and so on.
        chunksize: items per task; None follows the measured item time.
        buffersize: items that may be pulled from the input and not yet be delivered; None bounds them
            by what the results weigh.
        timeout: seconds from the call until all results must have been delivered; None, as inf, waits for
            ever. Items that run in the caller's own thread are not interrupted.
        item_timeout: seconds that one call may take; None, as inf, waits for ever. Then `ItemTimeout` stands
            in its place: a call of an async function is cancelled, a worker process is killed and replaced. A
            thread cannot be killed: its call is given up, and another thread takes its place. No item runs in
            the caller's own thread with this option.
        backend: "auto", "serial", "threads", "processes", "joblib", "interpreters", one that was registered,
            or any `concurrent.futures.Executor`.
        ordered: False delivers results as they complete.
        progress: True shows a progress bar on standard error (needs tqdm, the extra `progress`).
        rate: calls per time that may begin, such as "10/s", "100/min", "1000/h" or a number per second,
            for each host apart (needs the extra `io`).
        burst: calls that may begin at once under `rate`; None allows what 50 ms of the rate hold, at least 1.
        per: what `rate`, concurrency and back-off are kept apart by: a function of the item or the name of
            one of its attributes; None takes the host where items are URLs or requests.
        retries: how often a call that failed may run again, or a `tenacity.Retrying` policy (needs the extra
            `io`). The waits grow exponentially with full jitter, or are what `Retry-After` asks for.
        retry_on: which errors are worth it: an exception class, a tuple of them, or a function of the error;
            None means lost connections, timeouts and the statuses 429, 502, 503 and 504.
        retry_budget: retries that each good answer earns, beside 100 to start with, for each host; it keeps
            an outage from being multiplied.
        on_error: "raise" an item's error in its place, "return" it there as a value, or "skip" the item.
        initializer: called with `initargs` once in every worker before its first item; the caller's own
            thread counts as one where items run in it.
        initargs: the arguments of `initializer`.
        journal: path of an SQLite file that keeps finished results, so that a run that was cut off goes on
            where it was. It holds pickles unless `codec="json"`: only open files you trust.
        key: a function of the item that returns its name in the journal, for items that do not hash.
        codec: how the journal writes results: "pickle" or "json".
        size: a function of the item (of all arguments, as the function gets them) that returns how heavy it
            is, in any unit. Workers then begin with the heavy items, so that no long one is left over at the
            end; the order of the results is the same. The input, which must end, is collected and weighed at
            the call; what cannot be delivered in its turn yet is kept in memory.
        writable: "copy" gives worker processes private copies of the arrays that reach them through shared
            memory, and lets a function that changes its arguments run there: the caller's own are not
            changed. None hands these arrays out read-only.
    """

    max_workers: int | None = None
    chunksize: int | None = None
    buffersize: int | None = None
    timeout: float | None = None
    item_timeout: float | None = None
    backend: str | Executor = AUTO
    ordered: bool = True
    progress: bool = False
    rate: str | float | None = None
    burst: int | None = None
    per: str | Callable[[Any], object] | None = None
    retries: int | BaseRetrying = 0
    retry_on: RetryOn | None = None
    retry_budget: float = 1.0
    on_error: str = "raise"
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    journal: str | None = None
    key: Callable[..., object] | None = None
    codec: str = "pickle"
    size: Callable[..., float] | None = None
    writable: str | None = None

    @property
    def attended(self) -> bool:
        """Whether single calls need attention: limits, retries, a journal, errors that do not end the run."""
        return bool(self.rate or self.per or self.retries or self.journal or self.on_error != "raise")

    @property
    def free(self) -> bool:
        """Whether autoexec chooses the backend."""
        return self.backend == AUTO

    @property
    def named(self) -> BackendInfo | None:
        """The row of the backend that the caller has named, if it is one of ours."""
        return row(self.backend) if isinstance(self.backend, str) and not self.free else None

    @property
    def may_fork(self) -> bool:
        """Whether the caller leaves it open to fork workers."""
        return self.named is None or self.named.forks

    @property
    def in_process(self) -> str:
        """The option that keeps calls in this process, or "" if none does."""
        return "rate" if self.rate is not None else ""


_DEFAULTS = Options()


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
        given["max_workers"] = from_n_jobs(n_jobs, cores)
    for name, check in CHECKS.items():
        if name in given:
            value = given[name]
            unset = value is None and name != "backend"
            given[name] = getattr(_DEFAULTS, name) if unset else check(name, value)
    merged: dict[str, Any] = {name: getattr(base, name) for name in known} if base else {}
    options = Options(**(merged | given))
    _check_together(options)
    return options


def _check_together(options: Options) -> None:
    """Refuse what each could be meant alone, but not together."""
    named = options.named
    if named is not None and named.own_gil and (options.max_workers or 1) > MOST_PROCESSES:
        raise OptionError(
            f"max_workers must be at most {MOST_PROCESSES} with backend={options.backend!r}, "
            f"not {options.max_workers}: each is a process"
        )
    if options.burst is not None and options.rate is None:
        raise OptionError("burst= belongs to rate=; give both")
    if options.key is not None and options.journal is None:
        raise OptionError("key= names items in a journal; give journal= too")
    if options.size is not None and options.buffersize is not None:
        raise OptionError("size= collects the input, to begin with the heavy items: leave buffersize= out")
    if options.in_process:
        good = named is None or named.paces
        _check_backend(options.in_process, options, "in threads and with async functions", good)
    if options.item_timeout is not None:
        where = "in threads, in processes and with async functions"
        _check_backend("item_timeout", options, where, named is None or named.gives_up)


def _check_backend(name: str, options: Options, where: str, good: bool) -> None:
    """Refuse an option that would mean nothing where the caller wants the calls to run."""
    backend = options.backend
    if not (good and isinstance(backend, str)):
        shown = repr(backend) if isinstance(backend, str) else type(backend).__name__
        raise OptionError(f"{name}= works {where}, not with backend={shown}")
