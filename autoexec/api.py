"""The doors for functions and items: `map`, `starmap`, `profile`, `explain`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable

from . import options as _options
from . import registry
from .checks import is_async
from .checks import machine as check_machine
from .errors import OptionError, shown
from .introspect import loaded, static_attribute
from .options import Options
from .results import Results

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from typing import Any, TypeVar, Unpack, overload

    from .async_results import AsyncResults
    from .measure.facts import Facts
    from .options import Wishes
    from .records import Machine, Profile

    R = TypeVar("R")

__all__ = ["amap", "explain", "machine", "map", "profile", "shutdown", "starmap"]


if TYPE_CHECKING:

    @overload
    def map(
        func: Callable[..., Coroutine[Any, Any, R]], *iterables: Iterable[Any], **options: Unpack[Wishes]
    ) -> Results[R]: ...
    @overload
    def map(func: Callable[..., R], *iterables: Iterable[Any], **options: Unpack[Wishes]) -> Results[R]: ...


def map(func: Callable[..., Any], *iterables: Iterable[Any], **options: Unpack[Wishes]) -> Results[Any]:
    """Apply `func` to every item, in the way that suits it, and iterate over the results.

    Calls that wait run as many at once as the other side turns out to bear; calls of an async function do
    so in an event loop in a thread of its own.

    The first items run here and are watched; their results are kept. What they cost decides whether the
    rest runs in threads, in processes, or stays in this thread, and with how many workers. Nothing runs
    twice. Input is taken lazily: an endless generator works.

    Args:
        func: called with one item, or with one item of each iterable, as the built-in `map` does.
        *iterables: the items; several end with the shortest.
        **options: see `autoexec.Options`: how many workers and where, limits, retries, a journal.

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


if TYPE_CHECKING:

    @overload
    def starmap(
        func: Callable[..., Coroutine[Any, Any, R]],
        iterable: Iterable[Iterable[Any]],
        **options: Unpack[Wishes],
    ) -> Results[R]: ...
    @overload
    def starmap(
        func: Callable[..., R], iterable: Iterable[Iterable[Any]], **options: Unpack[Wishes]
    ) -> Results[R]: ...


def starmap(
    func: Callable[..., Any], iterable: Iterable[Iterable[Any]], **options: Unpack[Wishes]
) -> Results[Any]:
    """Like `map`, with each item unpacked into the arguments, as `itertools.starmap` does.

    >>> import autoexec
    >>> list(autoexec.starmap(pow, [(2, 3), (3, 2)]))
    [8, 9]
    """
    return start(func, (iterable,), resolved(options), star=True)


if TYPE_CHECKING:

    @overload
    def amap(
        func: Callable[..., Coroutine[Any, Any, R]],
        *iterables: Iterable[Any] | AsyncIterable[Any],
        **options: Unpack[Wishes],
    ) -> AsyncResults[R]: ...
    @overload
    def amap(
        func: Callable[..., R], *iterables: Iterable[Any] | AsyncIterable[Any], **options: Unpack[Wishes]
    ) -> AsyncResults[R]: ...


def amap(
    func: Callable[..., Any], *iterables: Iterable[Any] | AsyncIterable[Any], **options: Unpack[Wishes]
) -> AsyncResults[Any]:
    """`map` for code that runs in an event loop: iterate over the results with `async for`.

    Calls of an async function are tasks in the running loop; any other function goes where `map` would
    send it, and never holds up the loop. The run begins when the first result is asked for.

    Args:
        func: an async function, or an ordinary one.
        *iterables: the items, from iterables or async iterables.
        **options: see `autoexec.Options`.

    Raises:
        OptionError: if an argument cannot be meant, or no event loop runs here.

    >>> import asyncio, autoexec
    >>> async def double(x):
    ...     await asyncio.sleep(0.001)
    ...     return 2 * x
    >>> async def main():
    ...     return [value async for value in autoexec.amap(double, range(3))]
    >>> asyncio.run(main())
    [0, 2, 4]
    """
    import asyncio

    from .async_results import AsyncResults, Pulled

    checked = resolved(options)
    check_function(func, checked)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise OptionError("amap needs a running event loop; in ordinary code use autoexec.map") from None
    items: tuple[Any, ...] = tuple(Pulled(i, loop) if isinstance(i, AsyncIterable) else i for i in iterables)
    check_items(items)
    sources = [source for source in items if isinstance(source, Pulled)]
    return AsyncResults(lambda: start(func, items, checked, loop=loop), sources)


def start(
    func: Callable[..., R],
    iterables: tuple[Iterable[Any], ...],
    options: Options,
    *,
    star: bool = False,
    loop: AbstractEventLoop | None = None,
) -> Results[R]:
    """Check what was given and start a run; calls of async functions go to `loop`, if one is given."""
    from .engine.run import Run
    from .engine.source import open_source

    check_function(func, options)
    check_items(iterables)
    if options.journal is None:
        run = Run(func, open_source(iterables, star, options.size), options, loop=loop, facts=facts_here)
    else:
        from .engine.bookkeeping import open_journal

        run = open_journal(func, iterables, options, star, loop, facts=facts_here)
    results: Results[R] = Results(run)
    results.begin()
    return results


def facts_here() -> Facts:
    """What plans rest on beside the sample; asked when the first plan is made, as short maps make none."""
    from .measure.facts import here

    return here()


def resolved(wishes: Wishes, base: Options | None = None) -> Options:
    """The options of a call, checked; every door comes by here."""
    options = _options.resolve(wishes, base, cores=_usable_cores)
    if options.rate is not None:
        from .decide.rates import Rate

        Rate.of(options.rate, options.burst)
    if options.retries and not isinstance(options.retries, int):  # of a number all is known already
        from .decide.retries import Retries

        Retries.of(options.retries, options.retry_on)
    return options


def _usable_cores() -> int:
    from .measure.machine import look

    return look().usable


def check_function(func: object, options: Options | None = None) -> None:
    """Refuse what cannot be called, and async functions where they cannot run.

    Raises:
        OptionError: in these cases.
    """
    if not callable(func):
        raise OptionError(
            f"the function must be callable, not {shown(func)}; the function comes first, the items after it"
        )
    if options is not None and options.named is not None:
        registry.check(options.named, func)
    if is_async(func) and options is not None and not options.free:
        raise OptionError(f"{shown(func)} is async: its calls run in an event loop; leave backend= out")


def check_items(iterables: tuple[Iterable[Any], ...]) -> tuple[Iterable[Any], ...]:
    if not iterables:
        raise OptionError("no items: give at least one iterable after the function")
    for iterable in iterables:
        if all(static_attribute(type(iterable), way) is None for way in ("__iter__", "__getitem__")):
            raise OptionError(f"the items must be iterable, not {shown(iterable)}")
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

    _check_measurable(func)
    return study(func, check_items(iterables), resolved(options), facts_here())[0]


def explain(
    func: Callable[..., Any],
    *iterables: Iterable[Any],
    machine: Machine | None = None,
    **options: Unpack[Wishes],
) -> None:
    """Run the first items and print what one costs, what every way to run them would take, and the choice.

    The other arguments, and what is raised, are those of `profile`.

    Args:
        func: the function.
        *iterables: its items; only the first are taken.
        machine: how it would look there; None takes this one. `autoexec.testing.made_up_machine` makes some.
        **options: see `autoexec.Options`.

    Raises:
        OptionError: if an argument cannot be meant.
    """
    from .engine.study import study
    from .frozen import replace
    from .report.text import explanation

    _check_measurable(func)
    facts = facts_here()
    if machine is not None:
        facts = replace(facts, machine=check_machine("machine", machine))
    print(explanation(*study(func, check_items(iterables), resolved(options), facts)))


def _check_measurable(func: object) -> None:
    check_function(func)
    if is_async(func):
        raise OptionError(
            f"{shown(func)} is async: there is nothing to choose, its calls run in an event loop, as many at "
            "once as the other side bears; results.stats() tells how it went"
        )


def machine() -> Machine:
    """What was found of the machine: cores, limits, memory, the GIL, native thread pools.

    >>> import autoexec
    >>> autoexec.machine().usable >= 1
    True
    """
    from .measure.machine import look_closely

    return look_closely()


def shutdown() -> None:
    """End the worker processes that rest between two calls; the next call that needs some starts new ones.

    They end by themselves after half a minute of rest, and with the program. Workers of calls that are still
    running are left alone.

    >>> import autoexec
    >>> autoexec.shutdown()
    """
    kept = loaded(f"{__package__}.backends.processes.idle")
    if kept is not None:  # else there are none
        kept.shutdown()
