"""One set of options for every door, checked before anything runs: one row for each option.

What may live here: what an option is called, what it may be and means, and what cannot be meant together. The
docstring of `Options`, the checks, the README's table, the signature of `parallel` and what an `Executor`
refuses are drawn from the rows.
"""

from __future__ import annotations

from collections.abc import Callable

from . import checks
from .errors import OptionError, shown
from .frozen import Field
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
        effects: Literal["look", "ignore", "strict"]
else:
    from .frozen import dataclass

__all__ = ["ROWS", "Option", "Options", "resolve"]

MOST_PROCESSES = 10_000  # more than any machine has cores


class Option(Field):
    """The row of an option.

    Args:
        default: what holds where it is not given; None as a value always stands for "not given".
        check: what its values are checked with.
        text: what it means, in one sentence without an end.
        more: and further sentences.
        usual: what the README shows as its default, where that says more than the value.
        executor: what to do instead where an `Executor` has no use for it; "" if it has.
        theirs: whether it reaches into an executor of the caller's own.

    Attributes:
        default: the same, as are the others.
    """

    def __init__(
        self, default: object, check: Callable[[str, Any], Any], text: str, more: str = "", *,
        usual: str = "", executor: str = "", theirs: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(default, True)
        self.check, self.text, self.more, self.usual = check, text, more, usual
        self.executor, self.theirs = executor, theirs


_rows: list[Option] = []


def _option(*args: Any, **more: Any) -> Any:
    _rows.append(Option(*args, **more))
    return _rows[-1]


_WHOLE = "is for a whole map; give it to Executor.map"
_FUTURE = "belongs to map; a future holds its own result or error"


@dataclass(frozen=True, slots=True)
class Options:
    """How a call may run. Everything has a default that lets autoexec decide."""

    max_workers: int | None = _option(
        None,
        checks.at_least_one,
        "the most threads, processes or calls at once",
        usual="from the profile; 256 calls that wait",
        theirs=False,
    )
    chunksize: int | None = _option(
        None, checks.at_least_one, "items that travel together", usual="from the item time", executor=_WHOLE
    )
    buffersize: int | None = _option(
        None,
        checks.at_least_one,
        "the most items that may be pulled from the input and not yet delivered",
        "None bounds them by what the results weigh.",
        usual="from the profile",
        executor=_WHOLE,
    )
    timeout: float | None = _option(
        None,
        checks.seconds,
        "seconds from the call until all results must be there, else `TimeoutError`",
        "None, as inf, waits for ever. Items that run in the caller's own thread are not interrupted.",
        executor="is for a whole map; give it to Executor.map, or to the result() of a future",
    )
    item_timeout: float | None = _option(
        None,
        checks.some_seconds,
        "seconds that one call may take, else `ItemTimeout`; a worker process is killed, a thread"
        " can only be left behind",
        "A call of an async function is cancelled, a worker process is killed and replaced. A "
        "thread cannot be killed: its call is given up, and another thread takes its place. No "
        "item runs in the caller's own thread with this option. None, as inf, waits for ever.",
    )
    backend: str | Executor = _option(
        AUTO,
        checks.backend,
        'or `"serial"`, `"threads"`, `"processes"`, `"joblib"`, `"interpreters"`, one of your '
        "own, or any `concurrent.futures.Executor`",
    )
    ordered: bool = _option(
        True,
        checks.switch,
        "results in input order; `False`: as they complete",
        executor="is for a whole map; concurrent.futures.as_completed gives futures as they complete",
    )
    progress: bool = _option(
        False,
        checks.progress,
        "a progress bar on standard error (needs tqdm: the extra `progress`)",
        executor="is for a whole map; use autoexec.map, or count in a done-callback of the futures",
    )
    rate: str | float | None = _option(
        None,
        checks.rate,
        'calls that may begin, such as `"10/s"` or `"100/min"`, for each host (needs the extra `io`)',
        'Also "1000/h", or a number per second.',
        theirs=False,
    )
    burst: int | None = _option(
        None,
        checks.at_least_one,
        "calls that may begin at once under `rate`",
        "None allows what 50 ms of the rate hold, at least 1.",
    )
    per: str | Callable[[Any], object] | None = _option(
        None,
        checks.per,
        "what limits are kept apart by: an attribute's name, or a function of the item",
        "None takes the host where items are URLs or requests.",
        usual="the host",
        theirs=False,
    )
    retries: int | BaseRetrying = _option(
        0,
        checks.retries,
        "how often a call that failed may run again, or a tenacity policy (needs the extra `io`)",
        "The waits grow exponentially with full jitter, or are what `Retry-After` asks for.",
        theirs=False,
    )
    retry_on: RetryOn | None = _option(
        None,
        checks.retry_on,
        "the errors worth it: a class, a tuple of them, or a function of the error",
        usual="lost connections, timeouts, 429, 502, 503, 504",
    )
    retry_budget: float = _option(
        1.0,
        checks.share,
        "retries that each good answer earns, beside 100 to start with, for each host",
        "It keeps an outage from being multiplied.",
    )
    on_error: str = _option(
        "raise",
        checks.one_of(("raise", "return", "skip")),
        'or `"return"` the exception in its place, or `"skip"` the item',
        executor=_FUTURE,
    )
    initializer: Callable[..., object] | None = _option(
        None,
        checks.initializer,
        "called once in every worker before its first item",
        "The caller's own thread counts as one where items run in it.",
        theirs=False,
    )
    initargs: tuple[Any, ...] = _option((), checks.arguments, "the arguments of `initializer`")
    journal: str | None = _option(
        None,
        checks.path,
        "a file that keeps finished results; it holds pickles, so it must come from a trusted place",
        "A run that was cut off goes on where it was. It is an SQLite file.",
        executor=_FUTURE,
    )
    key: Callable[..., object] | None = _option(
        None,
        checks.function,
        "a function of the item: what it is called in the journal",
        usual="the item",
        executor=_FUTURE,
    )
    codec: str = _option(
        "pickle",
        checks.one_of(("pickle", "json")),
        '`"json"` for a journal without pickles',
        executor=_FUTURE,
    )
    size: Callable[..., float] | None = _option(
        None,
        checks.plain_function,
        "a function of the item that says how heavy it is, in any unit: workers begin with the heavy ones",
        "It gets all arguments that the function gets. No long item is left over at the end then;"
        " the order of the results is the same. The input, which must end, is collected and "
        "weighed at the call; what cannot be delivered in its turn yet is kept in memory.",
        executor=_FUTURE,
    )
    writable: str | None = _option(
        None,
        checks.one_of(("copy",)),
        '`"copy"`: arrays that worker processes share may be written to, each in a copy of its own',
        "A function that changes its arguments may run there, too; the caller's own are not "
        "changed. None hands these arrays out read-only.",
        theirs=False,
    )

    effects: str = _option(
        "look",
        checks.one_of(("look", "ignore", "strict")),
        'or `"ignore"`: other processes may have the items whatever these change of your program; or '
        '`"strict"`: only where nothing is left to be known',
        "The first items run here, and are looked at: what they change, beside places that are filled once, "
        "keeps the function where that state is.",
    )

    @property
    def attended(self) -> bool:
        """Whether single calls need attention: limits, retries, a journal, errors that do not end the run."""
        return bool(self.rate or self.per or self.retries or self.journal or self.on_error != "raise")

    @property
    def free(self) -> bool:
        """Whether autoexec chooses the backend."""
        return self.backend == AUTO

    @property
    def looks(self) -> bool:
        """Whether effects are looked for: autoexec chooses, and was not told to ignore them."""
        return self.free and self.effects != "ignore"

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


# The row of each option, in the order of the fields.
ROWS: dict[str, Option] = dict(zip(Options.__match_args__, _rows, strict=True))
N_JOBS = (
    "the same with joblib's meaning: -1 all usable cores, -2 all but one; not together with `max_workers`"
)


class _Drawn(str):
    """The docstring of `Options`: its first line, with the rows when somebody asks the class for it."""

    __slots__ = ()

    def __get__(self, instance: object, owner: type) -> str:
        from textwrap import fill

        told = {name: _told(row) for name, row in ROWS.items()}
        told["max_workers"] += f" `n_jobs` is {N_JOBS}."
        lines = [
            fill(f"{name}: {text}", 110, initial_indent=" " * 8, subsequent_indent=" " * 12)
            for name, text in told.items()
        ]
        return "\n".join([self, "", "    Attributes:", *lines, "    "])


def _told(row: Option) -> str:
    text = f"`{shown(row.default)}` {row.text}" if row.text.startswith("or ") else row.text
    return f"{text}. {row.more}".strip()


Options.__doc__ = _Drawn(Options.__doc__)


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
        given["max_workers"] = checks.from_n_jobs(n_jobs, cores)
    for name, value in given.items():
        unset = value is None and name != "backend"
        given[name] = ROWS[name].default if unset else ROWS[name].check(name, value)
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
