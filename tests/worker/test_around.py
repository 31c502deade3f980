"""What stands around each item: on every backend, with its place, in its context, and left when it ends."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from autoexec.api import facts_here, resolved
from autoexec.engine.run import Run
from autoexec.engine.source import open_source
from autoexec.results import Results
from autoexec.worker.invoke import CallSpec, Error, Task, run_async, run_items, run_task

INSIDE: contextvars.ContextVar[str] = contextvars.ContextVar("INSIDE", default="nothing")
COUNT = 60


@contextmanager
def numbered(place: int, args: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """Gives the item its place as an argument, and says in a variable around what it stands."""
    INSIDE.set(f"around {args[0]}")
    yield {"number": place}


class Named:
    """One that holds something, and finds a plain error out."""

    def __init__(self, name: str) -> None:
        self.name = name

    @contextmanager
    def __call__(self, place: int, args: tuple[Any, ...]) -> Iterator[None]:
        INSIDE.set(f"{self.name} of {place} {INSIDE.get()}")
        try:
            yield
        except ValueError as error:
            error.add_note(f"{self.name} was left at {place}")
            raise


def tell(item: int, *, number: int = -1) -> tuple[int, int, str]:
    """What an item finds."""
    if item == 1000:
        raise ValueError(item)
    return item, number, INSIDE.get()


async def tell_later(item: int, *, number: int = -1) -> tuple[int, int, str]:
    """The same, awaited."""
    await asyncio.sleep(0)
    return tell(item, number=number)


def expected(count: int) -> list[tuple[int, int, str]]:
    """What items from 100 on find in the first places."""
    return [(100 + at, at, f"inner of {at} around {100 + at}") for at in range(count)]


def mapped(func: Any, items: Any, **options: Any) -> list[Any]:
    """A map whose run was handed what stands around."""
    chosen = resolved(options)  # type: ignore[arg-type]
    run = Run(func, open_source((items,), False, chosen.size), chosen, facts=facts_here)
    run.spec.around = (numbered, Named("inner"))
    results: Results[Any] = Results(run)
    results.begin()
    return list(results)


def own_interpreter() -> Any:
    """A backend that not every Python has."""
    return pytest.param(
        {"backend": "interpreters"},
        marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="interpreters came with CPython 3.14"),
    )


@pytest.mark.parametrize(
    "options",
    [
        {"backend": "serial"},
        {"backend": "threads"},
        {"backend": "threads", "rate": 1e6, "per": lambda item: item % 3},
        {"backend": "processes", "chunksize": 7},
        {"backend": "processes", "size": lambda item: item},
        {"backend": "joblib", "max_workers": 2},
        {"backend": "auto"},
        own_interpreter(),
    ],
    ids=["serial", "threads", "hosts", "processes", "sizes", "joblib", "auto", "interpreters"],
)
def test_it_is_there_on_every_backend(options: dict[str, Any]) -> None:
    """Each item has its own place, whatever a task holds and whoever runs it."""
    assert mapped(tell, range(100, 100 + COUNT), **options) == expected(COUNT)
    assert INSIDE.get() == "nothing"


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_it_is_there_in_executors_of_others(kind: Any) -> None:
    """Threads and processes that are not ours."""
    with kind(2) as executor:
        assert mapped(tell, range(100, 100 + COUNT), backend=executor) == expected(COUNT)


def test_it_is_there_around_what_is_awaited() -> None:
    """It is left when the item has ended, not when the call has returned."""
    assert mapped(tell_later, range(100, 100 + COUNT)) == expected(COUNT)


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_it_sees_the_error_of_its_item_and_the_next_item_has_its_own_place(backend: str) -> None:
    """An error does not shift the places behind it."""
    found = mapped(tell, [100, 1000, 102], backend=backend, on_error="return")
    assert [found[0], found[2]] == [expected(3)[0], expected(3)[2]]
    assert "inner was left at 1" in found[1].__notes__


def test_a_task_that_was_cut_goes_on_at_its_place() -> None:
    """A task knows where it begins."""
    spec = CallSpec(tell)
    spec.around = (numbered,)
    result = run_task(spec, Task(spec, 40, [140, 141]), "here")
    assert [outcome[:2] for outcome in result.outcomes] == [(140, 40), (141, 41)]


def test_what_fails_to_stand_around_is_the_error_of_the_item() -> None:
    """As if the function had raised it."""

    def refuses(place: int, args: tuple[Any, ...]) -> Any:
        """Raises."""
        raise KeyError(place)

    spec, outcomes = CallSpec(tell, capture=True), list[Any]()
    spec.around = (refuses,)
    run_items(spec, [1, 2], outcomes, place=5)
    assert all(type(outcome) is Error for outcome in outcomes)
    assert [outcome.error.args for outcome in outcomes] == [(5,), (6,)]


def test_it_costs_nothing_where_there_is_none() -> None:
    """Nothing stands between an item and its function."""
    assert run_async(CallSpec(str), 7, 3) == "7", "the call itself, and no coroutine around it"
