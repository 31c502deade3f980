"""The doors for functions and items: `map`, `starmap`, `profile`, `explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import options as _options
from .errors import OptionError
from .options import Options
from .results import Results

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar, Unpack

    from .options import Wishes
    from .records import Machine, Profile

    R = TypeVar("R")

__all__ = ["explain", "machine", "map", "profile", "starmap"]

CO_ASYNC = 0x80 | 0x200  # inspect.CO_COROUTINE and CO_ASYNC_GENERATOR; importing inspect takes 11 ms


def map(func: Callable[..., R], *iterables: Iterable[Any], **options: Unpack[Wishes]) -> Results[R]:
    """Apply `func` to every item, in the way that suits it, and iterate over the results.

    The first items run here and are watched; their results are kept. What they cost decides whether the
    rest runs in threads, in processes, or stays in this thread, and with how many workers. Nothing runs
    twice. Input is taken lazily: an endless generator works.

    Args:
        func: called with one item, or with one item of each iterable, as the built-in `map` does.
        *iterables: the items; several end with the shortest.
        **options: see `autoexec.Options`: max_workers (or n_jobs), chunksize, buffersize, timeout,
            backend, ordered, progress.

    Returns:
        An iterator over the results, in the order of the items unless `ordered=False`. Its `plan` and
        `profile` say how they were made. An item that raises does so in its place, with a note that
        names it; what has not begun then is cancelled.

    Raises:
        OptionError: if an argument cannot be meant; nothing has run then.
        MissingExtra: if an option needs a package that is not installed.

    >>> import autoexec
    >>> list(autoexec.map(lambda x: x * x, range(5)))
    [0, 1, 4, 9, 16]
    """
    return start(func, iterables, resolved(options))


def starmap(
    func: Callable[..., R], iterable: Iterable[Iterable[Any]], **options: Unpack[Wishes]
) -> Results[R]:
    """Like `map`, with each item unpacked into the arguments, as `itertools.starmap` does.

    >>> import autoexec
    >>> list(autoexec.starmap(pow, [(2, 3), (3, 2)]))
    [8, 9]
    """
    return start(func, (iterable,), resolved(options), star=True)


def start(
    func: Callable[..., R], iterables: tuple[Iterable[Any], ...], options: Options, *, star: bool = False
) -> Results[R]:
    """Check what was given and start a run."""
    from .engine.feed import Feed
    from .engine.run import Run

    check_function(func)
    run = Run(func, Feed(check_items(iterables), star), options)
    run.begin()
    return Results(run)


def resolved(wishes: Wishes, base: Options | None = None) -> Options:
    """The options of a call, checked; every door comes by here."""
    return _options.resolve(wishes, base, cores=_usable_cores)


def _usable_cores() -> int:
    from .measure.machine import look

    return look().usable


def check_function(func: object) -> None:
    if not callable(func):
        raise OptionError(
            f"the function must be callable, not {func!r}; the function comes first, the items after it"
        )
    if _is_async(func):
        raise OptionError(
            f"{func!r} is an async function, which is not supported yet; wrap it: "
            "autoexec.map(lambda x: asyncio.run(func(x)), items)"
        )


def _is_async(func: Any) -> bool:
    if hasattr(func, "__code__"):
        return bool(func.__code__.co_flags & CO_ASYNC)
    inner = getattr(func, "func", None) or getattr(func, "__func__", None) or type(func).__call__
    return bool(getattr(getattr(inner, "__code__", None), "co_flags", 0) & CO_ASYNC)


def check_items(iterables: tuple[Iterable[Any], ...]) -> tuple[Iterable[Any], ...]:
    if not iterables:
        raise OptionError("no items: give at least one iterable after the function")
    for iterable in iterables:
        if not hasattr(iterable, "__iter__") and not hasattr(iterable, "__getitem__"):
            raise OptionError(f"the items must be iterable, not {iterable!r}")
    return iterables


def profile(func: Callable[..., Any], *iterables: Iterable[Any], **options: Unpack[Wishes]) -> Profile:
    """Run the first items (once each) and say what one of them costs.

    About 60 ms of items are run, or one if it takes longer. Their results are dropped.

    Args:
        func: the function.
        *iterables: its items; only the first are taken.
        **options: see `autoexec.Options`.

    Raises:
        Exception: what an item raised.
        OptionError: if an argument cannot be meant.
    """
    from .engine.study import study

    check_function(func)
    return study(func, check_items(iterables), resolved(options))[0]


def explain(func: Callable[..., Any], *iterables: Iterable[Any], **options: Unpack[Wishes]) -> None:
    """Run the first items and print what one costs, what every way to run them would take, and the choice.

    The arguments, and what is raised, are those of `profile`.
    """
    from .engine.study import study
    from .report.text import explanation

    check_function(func)
    print(explanation(*study(func, check_items(iterables), resolved(options))))


def machine() -> Machine:
    """What was found of the machine: cores, limits, memory, the GIL, native thread pools.

    >>> import autoexec
    >>> autoexec.machine().usable >= 1
    True
    """
    from .measure.machine import look_closely

    return look_closely()
