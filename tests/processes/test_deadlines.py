"""`item_timeout=` in worker processes: the worker of a late item is killed and replaced."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

import autoexec
from autoexec import ItemTimeout, OptionError
from autoexec.backends.processes import supervisor
from tests.processes import work
from tests.processes.work import BAD, RIGHT, others, run

LIMIT_S = 0.2
LATE = (work.sleeps, work.spins, work.in_one_c_call, work.deaf)


@pytest.mark.parametrize("late", LATE, ids=lambda late: late.__name__)
def test_a_late_item_stands_in_its_place(late: Callable[[int], int], start: str) -> None:
    """Whatever keeps it, its worker is killed: `ItemTimeout` in its place, the others go on."""
    values = list(run(late, item_timeout=LIMIT_S))
    assert others(values) == RIGHT
    error = values[BAD]
    assert type(error) is ItemTimeout and isinstance(error, TimeoutError)
    assert f"item {BAD} ({BAD})" in str(error) and f"item_timeout={LIMIT_S}" in str(error)


@pytest.mark.parametrize("chunksize", [1, 12])
def test_only_the_late_item_is_lost(chunksize: int, start: str, journal: Any) -> None:
    """In the middle of a chunk: the items before it keep their results, those after it run once."""
    note = journal.note

    def item(x: int) -> int:
        note(x)
        return work.sleeps(x)

    values = list(run(item, chunksize=chunksize, item_timeout=LIMIT_S))
    assert others(values) == RIGHT and type(values[BAD]) is ItemTimeout
    assert journal.counts() == {str(x): 1 for x in range(12)}


def test_the_limit_is_each_items_own(start: str) -> None:
    """A chunk may take many times the limit as long as none of its items does."""
    values = list(
        run(lambda x: time.sleep(0.06) or x, range(6), chunksize=6, item_timeout=0.2, max_workers=1)
    )
    assert values == list(range(6))


def test_the_worker_is_gone(start: str, journal: Any) -> None:
    """The late item does not run on behind the caller's back, and its worker is not used again."""
    note = journal.note

    def item(x: int) -> int:
        if x == 0:
            note(os.getpid())
            time.sleep(600)
        return os.getpid()

    values = list(run(item, range(6), item_timeout=LIMIT_S, chunksize=1))
    (pid,) = map(int, journal.lines())
    assert type(values[0]) is ItemTimeout and str(pid) in str(values[0])
    assert pid not in values[1:]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("chunksize", [1, 12])
def test_with_retries(chunksize: int, start: str, journal: Any) -> None:
    """A late item runs again, alone; when it is in time then, nobody hears of it."""
    note, lines = journal.note, journal.lines

    def item(x: int) -> int:
        note(x)
        if x == BAD and lines().count(str(BAD)) == 1:
            time.sleep(600)
        return x

    results = run(item, chunksize=chunksize, item_timeout=LIMIT_S, retries=3, on_error="raise")
    assert list(results) == list(range(12))
    assert journal.counts() == {str(x): 2 if x == BAD else 1 for x in range(12)}


def test_retries_that_are_late_again(start: str, journal: Any) -> None:
    """When every try is late the last one's error stands in its place."""
    note = journal.note

    def item(x: int) -> int:
        note(x)
        return work.sleeps(x)

    values = list(run(item, item_timeout=LIMIT_S, retries=1))
    assert others(values) == RIGHT and type(values[BAD]) is ItemTimeout
    assert journal.counts()[str(BAD)] == 2


def test_it_is_raised_in_its_place(start: str) -> None:
    """Without on_error= the results before it are delivered, and then it is raised."""
    results = run(work.deaf, item_timeout=LIMIT_S, on_error="raise")
    assert [next(results) for _ in range(BAD)] == RIGHT[:BAD]
    with pytest.raises(ItemTimeout, match=f"item {BAD}"):
        next(results)


def test_on_error_skip(start: str) -> None:
    """on_error="skip" leaves the late item out."""
    assert list(run(work.sleeps, item_timeout=LIMIT_S, on_error="skip")) == RIGHT


def test_many_late_items(start: str) -> None:
    """Each of several late items is replaced for; results in between arrive."""
    values = list(run(lambda x: time.sleep(600) if x % 3 == 0 else x, range(9), item_timeout=0.1))
    assert [type(value) for value in values[::3]] == [ItemTimeout] * 3
    assert [value for x, value in enumerate(values) if x % 3] == [1, 2, 4, 5, 7, 8]


def test_unordered(start: str) -> None:
    """Results that are ready do not wait for the late one, nor is it lost."""
    with run(work.sleeps, item_timeout=30.0, ordered=False, chunksize=1) as results:
        early = [next(results) for _ in range(10)]  # one item may have been sent after the late one already
    assert len(set(early)) == 10 and set(early) < set(RIGHT)
    values = list(run(work.sleeps, item_timeout=LIMIT_S, ordered=False, chunksize=1))
    (late,) = (value for value in values if isinstance(value, ItemTimeout))
    values.remove(late)
    assert sorted(values) == RIGHT


# While it is loaded -----------------------------------------------------------------------------------------


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may bring imports is given up as soon as an item is."""
    monkeypatch.setattr(supervisor, "LOADING_S", LIMIT_S)


@pytest.mark.parametrize("chunksize", [1, 4])
def test_while_an_argument_is_loaded(chunksize: int, start: str, soon: None) -> None:
    """An argument whose loading never ends is late, too; the others in its chunk are not."""
    items = iter([*range(BAD), work.Hangs(), *range(BAD + 1, 12)])  # an iterator is not inherited by a fork
    values = list(run(work.value_of, items, chunksize=chunksize, item_timeout=LIMIT_S))
    assert others(values) == [x for x in range(12) if x != BAD]
    assert type(values[BAD]) is ItemTimeout


@pytest.mark.parametrize("start", ["fresh"], indirect=True)
def test_while_the_function_is_loaded(start: str, soon: None) -> None:
    """A captured object whose loading never ends does not hang the run."""
    held = work.Hangs()
    values = list(run(lambda x: (held, x)[1], range(4), item_timeout=LIMIT_S, max_workers=1))
    assert [type(value) for value in values] == [ItemTimeout] * 4
    assert all("the function did not load" in str(value) for value in values)
    assert len(set(map(id, values))) == 4


def test_an_initializer_that_never_ends(start: str, soon: None) -> None:
    """The same for the initializer."""
    never = {"initializer": time.sleep, "initargs": (600,)}
    values = list(run(work.value_of, range(4), item_timeout=LIMIT_S, max_workers=1, **never))
    assert [type(value) for value in values] == [ItemTimeout] * 4


@pytest.mark.parametrize("start", ["fresh"], indirect=True)
def test_starting_does_not_count(start: str) -> None:
    """A limit far below what a fresh interpreter needs to start hits no item that keeps it."""
    assert list(run(work.value_of, item_timeout=0.02, chunksize=1)) == list(range(12))


def test_the_initializer_does_not_count(start: str) -> None:
    """A limit below what the initializer takes hits no item that keeps it."""
    slow = {"initializer": time.sleep, "initargs": (0.15,)}
    assert list(run(work.value_of, item_timeout=0.05, **slow)) == list(range(12))


@pytest.mark.parametrize("start", ["fresh"], indirect=True)
def test_loading_the_function_does_not_count(start: str) -> None:
    """A limit below what the function's imports take hits no item that keeps it."""
    held = work.Slow()
    values = list(run(lambda x: (held, x)[1], item_timeout=0.1, on_error="raise"))
    assert values == list(range(12))


@pytest.mark.parametrize("start", ["fresh"], indirect=True)
def test_loading_the_first_item_does_not_count(start: str) -> None:
    """A limit below what the imports of the first item take hits none of those after it."""
    values = list(run(work.value_of, iter([work.Slow(), 1]), item_timeout=0.1, max_workers=1, chunksize=1))
    assert values[1] == 1 and not isinstance(values[0], Exception)


# Limits that are none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, -1, float("nan"), "soon", True])
def test_what_cannot_be_meant(limit: Any) -> None:
    """A limit that no item could keep is refused at the call."""
    with pytest.raises(OptionError, match="item_timeout"):
        run(work.value_of, item_timeout=limit)


@pytest.mark.parametrize("limit", [1e9, float("inf")])
def test_limits_that_are_never_reached(limit: float, start: str) -> None:
    """A limit beyond the clock's means is none, or is refused; it does not break the waiting."""
    try:
        results = run(work.value_of, item_timeout=limit)
    except OptionError:
        return
    assert list(results) == list(range(12))


# Other doors ------------------------------------------------------------------------------------------------


def test_submit(start: str) -> None:
    """A future of a late call holds `ItemTimeout`; the executor goes on."""
    with autoexec.Executor(max_workers=2, backend="processes", item_timeout=LIMIT_S) as executor:
        futures = [executor.submit(work.deaf, x) for x in range(12)]
        assert [f.result(timeout=50) for i, f in enumerate(futures) if i != BAD] == RIGHT
        with pytest.raises(ItemTimeout):
            futures[BAD].result(timeout=50)


def test_submit_in_chunks() -> None:
    """The executor's map with chunks: the limit is for the call of a chunk, as one call."""
    with autoexec.Executor(max_workers=2, backend="processes", item_timeout=LIMIT_S) as executor:
        results = executor.map(work.sleeps, range(12), chunksize=2)
        assert [next(results) for _ in range(4)] == RIGHT[:4]
        with pytest.raises(ItemTimeout):
            next(results)


def test_timeout_beside_item_timeout(start: str) -> None:
    """`timeout=` ends the whole run when it comes first, and kills what runs."""
    results = run(work.sleeps, item_timeout=30.0, timeout=0.3)
    with pytest.raises(TimeoutError) as caught:
        list(results)
    assert not isinstance(caught.value, ItemTimeout)
