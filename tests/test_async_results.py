"""`amap` in a running loop: results with `async for`, and an end that leaves nothing behind."""

# ruff: noqa: PT012, PERF401 -- the call and the taking of its results belong together

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

import autoexec
from autoexec.records import Plan
from autoexec.statistics import Stats

PATIENCE_S = 20.0

pytestmark = pytest.mark.usefixtures("quiet_loops")


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """What `main` returns, in a loop that must not take for ever."""

    async def patient() -> Any:
        return await asyncio.wait_for(main(), PATIENCE_S)

    return asyncio.run(patient())


async def double(x: int) -> int:
    """Wait a little and double."""
    await asyncio.sleep(0)
    return 2 * x


async def numbers(count: int) -> AsyncIterator[int]:
    """So many, each after a turn of the loop."""
    for x in range(count):
        await asyncio.sleep(0)
        yield x


# Results ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("func", [double, lambda x: 2 * x], ids=["async", "ordinary"])
@pytest.mark.parametrize("source", [range, numbers], ids=["items", "async items"])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_results_in_order(func: Any, source: Any, count: int) -> None:
    """Of both kinds of functions, from both kinds of items."""

    async def main() -> list[int]:
        return [value async for value in autoexec.amap(func, source(count))]

    assert run(main) == [2 * x for x in range(count)]


def test_several_iterables() -> None:
    """As with `map`, the shortest ends it; async ones may stand beside ordinary ones."""

    async def add(x: int, y: int) -> int:
        return x + y

    async def main() -> list[int]:
        return [value async for value in autoexec.amap(add, numbers(5), range(3))]

    assert run(main) == [0, 2, 4]


def test_tasks_run_in_the_callers_loop() -> None:
    """Not in another one: what belongs to this loop can be used."""

    async def main() -> set[bool]:
        loop, turn = asyncio.get_running_loop(), asyncio.Lock()

        async def here(x: int) -> bool:
            async with turn:
                return asyncio.get_running_loop() is loop

        return {value async for value in autoexec.amap(here, range(10))}

    assert run(main) == {True}


def test_ordinary_functions_do_not_hold_up_the_loop() -> None:
    """While one waits for something that only the loop can do, the loop goes on."""
    gate = threading.Event()

    async def main() -> list[bool]:
        asyncio.get_running_loop().call_later(0.02, gate.set)
        return [value async for value in autoexec.amap(lambda x: gate.wait(PATIENCE_S), range(3))]

    assert run(main) == [True] * 3


def test_the_concurrency_is_bounded() -> None:
    """`max_workers` holds here, too."""
    running, most = 0, 0

    async def work(x: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    async def main() -> None:
        async for _ in autoexec.amap(work, range(30), max_workers=3):
            pass

    run(main)
    assert most == 3


def test_as_they_come() -> None:
    """With `ordered=False` a slow first item keeps nothing back."""

    async def main() -> list[int]:
        gate = asyncio.Event()

        async def work(x: int) -> int:
            if x == 0:
                await gate.wait()
            return x

        found = []
        async for value in autoexec.amap(work, range(5), ordered=False):
            found.append(value)
            if len(found) == 4:
                gate.set()
        return found

    found = run(main)
    assert found[-1] == 0 and sorted(found) == list(range(5))


def test_context_variables() -> None:
    """Calls see the values from where the first result was asked for."""
    var = contextvars.ContextVar("var", default=0)

    async def seen(x: int) -> int:
        return var.get()

    async def main() -> list[int]:
        var.set(5)
        return [
            *[value async for value in autoexec.amap(seen, range(3))],
            *[value async for value in autoexec.amap(lambda x: var.get(), range(3))],
        ]

    assert run(main) == [5] * 6


def test_two_at_once() -> None:
    """Two runs in one loop do not disturb one another."""

    async def collect(factor: int) -> list[int]:
        async def work(x: int) -> int:
            await asyncio.sleep(0.001)
            return factor * x

        return [value async for value in autoexec.amap(work, range(20))]

    async def main() -> list[list[int]]:
        return await asyncio.gather(collect(1), collect(10))

    assert run(main) == [list(range(20)), list(range(0, 200, 10))]


# Plan and statistics ----------------------------------------------------------------------------------------


def test_what_is_known_of_it() -> None:
    """Nothing before the first result; then plan and statistics."""

    async def main() -> None:
        results = autoexec.amap(double, range(10))
        assert results.plan is None and results.profile is None and results.stats() == Stats()
        assert "not begun yet" in repr(results)
        assert [value async for value in results] == list(range(0, 20, 2))
        assert isinstance(results.plan, Plan) and results.plan.backend == "asyncio"
        assert results.stats().calls == results.stats().items == 10
        assert "asyncio" in repr(results)

    run(main)


# Errors -----------------------------------------------------------------------------------------------------


async def picky(x: int) -> int:
    """An item that fails."""
    await asyncio.sleep(0)
    if x == 3:
        raise ValueError(x)
    return x


def picky_too(x: int) -> int:
    """The same without waiting."""
    if x == 3:
        raise ValueError(x)
    return x


@pytest.mark.parametrize("func", [picky, picky_too])
def test_errors_come_in_their_place(func: Any) -> None:
    """After the results before it, with the note that names the item."""

    async def main() -> list[int]:
        found = []
        with pytest.raises(ValueError, match="3") as caught:
            async for value in autoexec.amap(func, range(10)):
                found.append(value)
        assert "item 3 (3)" in caught.value.__notes__[0]
        return found

    assert run(main) == [0, 1, 2]


@pytest.mark.parametrize("func", [picky, picky_too])
def test_errors_as_values_or_left_out(func: Any) -> None:
    """As the caller wishes."""

    async def main() -> tuple[list[Any], list[Any]]:
        return (
            [value async for value in autoexec.amap(func, range(5), on_error="return")],
            [value async for value in autoexec.amap(func, range(5), on_error="skip")],
        )

    returned, skipped = run(main)
    assert skipped == [0, 1, 2, 4]
    assert isinstance(returned[3], ValueError) and returned[:3] + returned[4:] == skipped


@pytest.mark.parametrize("kind", ["items", "async items"])
def test_an_error_of_the_items_comes_out(kind: str) -> None:
    """What the source raises ends the results, after those before it."""

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("source")

    async def broken_too() -> AsyncIterator[int]:
        yield 1
        raise OSError("source")

    async def main() -> list[int]:
        found = []
        with pytest.raises(OSError, match="source"):
            async for value in autoexec.amap(double, broken() if kind == "items" else broken_too()):
                found.append(value)
        return found

    assert run(main) == [2]


def test_a_deadline_for_the_results() -> None:
    """`timeout=` raises, and what still runs is cancelled."""
    cancelled = []

    async def stuck(x: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(x)
            raise

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async for _ in autoexec.amap(stuck, range(3), timeout=0.05):
                pass

    run(main)
    assert sorted(cancelled) == [0, 1, 2]


def test_patience_with_single_calls() -> None:
    """`item_timeout=` cancels the call; the rest goes on."""

    async def work(x: int) -> int:
        if x == 1:
            await asyncio.Event().wait()
        return x

    async def main() -> list[Any]:
        return [v async for v in autoexec.amap(work, range(3), item_timeout=0.05, on_error="return")]

    first, late, last = run(main)
    assert (first, last) == (0, 2) and isinstance(late, autoexec.ItemTimeout)


def test_a_loop_is_needed() -> None:
    """Elsewhere the error says which door to take; bad arguments are refused as everywhere."""
    with pytest.raises(autoexec.OptionError, match=r"running event loop.*autoexec\.map"):
        autoexec.amap(double, range(3))

    async def main() -> None:
        for call in (
            lambda: autoexec.amap(3, range(3)),  # type: ignore[call-overload]
            lambda: autoexec.amap(double, 3),  # type: ignore[call-overload]
            lambda: autoexec.amap(double),
            lambda: autoexec.amap(double, [1], backend="threads"),
            lambda: autoexec.amap(double, [1], burst=3),
        ):
            with pytest.raises(autoexec.OptionError):
                call()

    run(main)


# The end ----------------------------------------------------------------------------------------------------


class Watched:
    """An async function that tells when it began and when it was cancelled."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.running = self.cancelled = 0

    async def __call__(self, x: int) -> int:
        if x == 0:
            return x
        self.began.set()
        self.running += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return x


@pytest.mark.parametrize("end", ["break", "with", "aclose"])
def test_leaving_early_cancels_the_calls(end: str) -> None:
    """However the results are left; those that are closed are gone by then."""

    async def main() -> None:
        func = Watched()
        results = autoexec.amap(func, range(5))
        if end == "with":
            async with results:
                assert await anext(results) == 0
                await func.began.wait()
        else:
            async for value in results:
                assert value == 0
                await func.began.wait()
                break
        if end == "break":
            del results
            gc.collect()
            while func.running:
                await asyncio.sleep(0.001)
        elif end == "aclose":
            await results.aclose()
        assert func.running == 0 and func.cancelled > 0

    run(main)


def test_closing_what_never_began() -> None:
    """Nothing has run, nothing is left; closing twice is fine, and no results come any more."""

    async def main() -> None:
        results = autoexec.amap(double, range(5))
        await results.aclose()
        await results.aclose()
        assert [value async for value in results] == []

    run(main)


@pytest.mark.parametrize("kind", ["async", "ordinary"])
def test_cancelling_the_consumer(kind: str) -> None:
    """Its calls are cancelled with it, or waited for where they cannot be; then it is over."""
    gate = threading.Event()

    async def main() -> None:
        func = Watched()
        begun = func.began
        loop = asyncio.get_running_loop()

        def ordinary(x: int) -> int:
            loop.call_soon_threadsafe(begun.set)
            gate.wait(PATIENCE_S)
            return x

        async def consume() -> None:
            async for _ in autoexec.amap(func if kind == "async" else ordinary, range(1, 5)):
                pass

        task = asyncio.create_task(consume())
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert func.running == 0

    run(main)


def test_cancelling_while_the_items_are_waited_for() -> None:
    """A source that has nothing to give does not keep a cancelled consumer."""

    async def main() -> None:
        waiting = asyncio.Event()

        async def silent() -> AsyncIterator[int]:
            yield 1
            waiting.set()
            await asyncio.Event().wait()

        async def consume() -> None:
            async for _ in autoexec.amap(double, silent()):
                pass

        task = asyncio.create_task(consume())
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_a_consumer_with_a_time_limit() -> None:
    """`asyncio.timeout` around the results ends them."""

    async def main() -> None:
        func = Watched()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                async for _ in autoexec.amap(func, range(5)):
                    pass
        assert func.running == 0 and func.cancelled > 0

    run(main)


def test_a_loop_that_ends_before_its_results_are_left() -> None:
    """`asyncio.run` cancels what is left; no thread and no noise remains."""
    kept: list[Any] = []

    async def main() -> int:
        func = Watched()
        results = autoexec.amap(func, range(5))
        kept.append(results)
        return await anext(results)

    assert asyncio.run(main()) == 0
