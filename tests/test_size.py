"""`size=`: workers begin with the heavy items, and nothing else changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import autoexec
from autoexec import OptionError

WEIGHTS = [3, 1, 60, 2, 60, 0, 5]
HEAVY_FIRST = [2, 4, 6, 0, 3, 1, 5]


@pytest.fixture
def pool() -> Iterator[Executor]:
    """One thread: what it runs, it runs in the order in which it was handed out."""
    with ThreadPoolExecutor(1) as made:
        yield made


class Recorder:
    """Remembers in which order it was called."""

    def __init__(self) -> None:
        self.ran: list[Any] = []

    def __call__(self, *args: Any) -> Any:
        self.ran.append(args[0])
        return args[0] * 10


def test_heavy_items_begin_first_and_results_keep_their_order(pool: Executor) -> None:
    """The order of the calls is that of the weights, the order of the results that of the input."""
    call = Recorder()
    results = autoexec.map(call, iter(range(7)), size=WEIGHTS.__getitem__, backend=pool)
    assert list(results) == [0, 10, 20, 30, 40, 50, 60]
    assert call.ran == HEAVY_FIRST


def test_size_is_given_all_arguments(pool: Executor) -> None:
    """With several iterables, with `starmap` and with the decorator, as the function gets them."""
    call = Recorder()
    rows = list(enumerate(WEIGHTS))
    weigh = lambda index, weight: weight  # noqa: E731
    decorated = autoexec.parallel(size=weigh, backend=pool)(call)
    expected = [10 * index for index in range(7)]
    assert list(autoexec.map(call, range(7), iter(WEIGHTS), size=weigh, backend=pool)) == expected
    assert list(autoexec.starmap(call, map(iter, rows), size=weigh, backend=pool)) == expected
    assert list(decorated.starmap(rows)) == expected
    assert list(decorated.map(range(9), WEIGHTS)) == expected
    assert call.ran == 4 * HEAVY_FIRST


def test_a_call_may_take_a_size_back(pool: Executor) -> None:
    """None over the decorator's value."""
    call = Recorder()
    decorated = autoexec.parallel(size=WEIGHTS.__getitem__, backend=pool)(call)
    assert list(decorated.map(range(7), size=None)) == [10 * index for index in range(7)]
    assert call.ran == list(range(7))


@pytest.mark.parametrize("backend", ["auto", "serial", "threads"])
@given(weights=st.lists(st.integers(0, 100), max_size=30), ordered=st.booleans())
def test_order_with_random_weights(backend: str, weights: list[int], ordered: bool) -> None:
    """On every backend of this process: all results, once, in order where that is asked for."""
    options: Any = {"size": weights.__getitem__, "backend": backend, "ordered": ordered}
    found = list(autoexec.map(lambda i: -i, range(len(weights)), **options))
    expected = [-i for i in range(len(weights))]
    assert (found if ordered else sorted(found, reverse=True)) == expected


def test_calls_that_wait_for_each_other() -> None:
    """The sample runs in the caller's thread; while its item waits, the heaviest of the rest begins."""
    begun, gate = [], threading.Event()

    def call(i: int) -> int:
        begun.append(i)
        if i == 50:
            gate.set()
        assert gate.wait(20)
        return i

    options: Any = {"size": lambda i: 2 if i == 50 else 1, "item_timeout": 30, "max_workers": 2}
    assert list(autoexec.map(call, range(100), **options)) == list(range(100))
    assert 50 in begun[:2]


def test_an_error_names_the_items_index(pool: Executor) -> None:
    """The index in the input, not in the order of the weights; and what was before it is delivered."""

    def call(i: int) -> int:
        return 1 // (i - 4)

    results = autoexec.map(call, range(7), size=WEIGHTS.__getitem__, backend=pool)
    found = []
    with pytest.raises(ZeroDivisionError) as caught:
        found.extend(results)
    assert found == [-1, -1, -1, -1]
    assert caught.value.__notes__[0].startswith("autoexec: item 4 (4) ran in")


def test_errors_as_values_stay_in_their_places() -> None:
    """With `on_error="return"` and `"skip"`, where single calls are attended to."""

    def call(i: int) -> int:
        return 1 // (i - 4)

    options: Any = {"size": WEIGHTS.__getitem__, "backend": "threads", "max_workers": 2}
    returned = list(autoexec.map(call, range(7), on_error="return", **options))
    assert [type(value) for value in returned] == [int] * 4 + [ZeroDivisionError] + [int] * 2
    assert "item 4 (4)" in returned[4].__notes__[0]  # type: ignore[union-attr, attr-defined]
    assert list(autoexec.map(call, range(7), on_error="skip", **options)) == [-1, -1, -1, -1, 1, 0]


def test_with_a_journal(pool: Executor, tmp_path: Path) -> None:
    """Only what is still to be called is weighed; known results stand between the others."""
    journal = tmp_path / "run.sqlite"
    weighed: list[int] = []

    def weigh(i: int) -> int:
        weighed.append(i)
        return WEIGHTS[i]

    first, second = Recorder(), Recorder()
    names: Any = {"journal": journal, "backend": pool}

    def call(i: int) -> Any:
        return current(i)

    current = first
    assert list(autoexec.map(call, [0, 2, 5], **names)) == [0, 20, 50]
    current = second
    expected = [0, 10, 20, 30, 40, 50, 60]
    assert list(autoexec.map(call, range(7), size=weigh, **names)) == expected
    assert weighed == [1, 3, 4, 6]
    assert second.ran == [4, 6, 3, 1]
    current = Recorder()
    assert list(autoexec.map(call, iter(range(7)), size=weigh, **names)) == expected
    assert current.ran == []


def test_async_functions() -> None:
    """Their tasks begin with the heavy items, too."""
    ran: list[int] = []

    async def call(i: int) -> int:
        ran.append(i)
        await asyncio.sleep(0)
        return i

    async def main() -> list[int]:
        results = autoexec.amap(call, range(7), size=WEIGHTS.__getitem__, max_workers=1)
        return [value async for value in results]

    assert asyncio.run(main()) == list(range(7))
    assert ran == HEAVY_FIRST
    assert list(autoexec.map(call, range(7), size=WEIGHTS.__getitem__)) == list(range(7))


@pytest.mark.parametrize("door", ["map", "starmap", "decorator"])
def test_an_error_in_size_is_raised_at_the_call(door: str) -> None:
    """Before anything has run, also where its value is no weight."""
    call = Recorder()

    def weigh(i: int) -> float:
        return 1 / (3 - i)

    def start(size: Any) -> Any:
        if door == "starmap":
            return autoexec.starmap(call, [(i,) for i in range(7)], size=size)
        if door == "decorator":
            return autoexec.parallel(size=size)(call).map(range(7))
        return autoexec.map(call, range(7), size=size)

    with pytest.raises(ZeroDivisionError) as caught:
        start(weigh)
    assert caught.value.__notes__ == ["autoexec: item 3 (3) ran in size="]
    with pytest.raises(OptionError, match=r"size must return a finite number.*not 'a' as for item 0"):
        start(lambda i: "a")
    assert call.ran == []


def test_an_executor_takes_single_calls() -> None:
    """There is nothing to put in order."""
    with pytest.raises(OptionError, match="size= belongs to map"):
        autoexec.Executor(size=len)


def test_results_that_are_given_up_early_leave_nothing_behind(pool: Executor) -> None:
    """Closing cancels what has not begun."""
    with autoexec.map(Recorder(), range(1000), size=lambda i: i, backend=pool) as results:
        assert next(results) == 0
