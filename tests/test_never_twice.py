"""Promise 1: an item runs once, on every backend, whatever the decision and whenever it is made."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autoexec

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

SHAPES: dict[str, Callable[[list[int]], Any]] = {
    "list": list,
    "tuple": tuple,
    "range": lambda items: range(len(items)),
    "generator": lambda items: (x for x in items),
}


def _once(journal: Any, n: int) -> None:
    counts = journal.counts()
    twice = {item: count for item, count in counts.items() if count != 1}
    assert not twice, f"run more than once: {twice}"
    assert sorted(map(int, counts)) == list(range(n))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("first_s", [0.005, 0.08, 0.2])
def test_a_long_first_item_that_waits(shape: str, first_s: float, journal: Any) -> None:
    """The director decides while item 0 still waits; each item runs once."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        time.sleep(first_s if x == 0 else 0.01)
        return x

    assert list(autoexec.map(work, SHAPES[shape](list(range(60))))) == list(range(60))
    _once(journal, 60)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_long_first_item_that_computes(shape: str, journal: Any, burn: Any, eight_cores: None) -> None:
    """The director decides while item 0 still computes; each item runs once."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        burn(0.3 if x == 0 else 0.02)
        return x

    results = autoexec.map(work, SHAPES[shape](list(range(24))), max_workers=2)
    assert list(results) == list(range(24))
    _once(journal, 24)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("heavy", ["waits", "computes"])
def test_instant_items_first_and_heavy_ones_later(
    shape: str, heavy: str, journal: Any, burn: Any, eight_cores: None
) -> None:
    """Whatever becomes of the plan when the work changes, each item runs once."""
    note = journal.note
    quick, slow = 3000, 30

    def work(x: int) -> int:
        if x >= quick:
            note(x - quick)
            if heavy == "waits":
                time.sleep(0.03)
            else:
                burn(0.03)
        return x

    n = quick + slow
    results = autoexec.map(work, SHAPES[shape](list(range(n))), max_workers=4)
    assert list(results) == list(range(n))
    _once(journal, slow)
    assert results.plan is not None


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_items_that_become_much_shorter(backend: str, journal: Any) -> None:
    """Items a hundred times shorter than sampled: each still runs once."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        if x < 40:
            time.sleep(0.02)
        return x

    assert list(autoexec.map(work, range(1500), backend=backend)) == list(range(1500))
    _once(journal, 1500)


def test_phases_that_change_back_and_forth(journal: Any) -> None:
    """Waiting, instant, waiting again: each item runs once, in order."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        if (x // 100) % 2 == 0 and x % 5 == 0:
            time.sleep(0.01)
        return x

    assert list(autoexec.map(work, range(500))) == list(range(500))
    _once(journal, 500)


def test_side_effects_in_this_process_happen_once() -> None:
    """Items that append to the caller's list do so once each."""
    ran: list[int] = []

    def work(x: int) -> None:
        ran.append(x)
        time.sleep(0.005)

    list(autoexec.map(work, range(100)))
    assert sorted(ran) == list(range(100))


def test_an_error_is_no_reason_to_run_again(way: dict[str, Any], journal: Any) -> None:
    """Neither the item that raises nor those before it run twice."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        if x == 9:
            raise ValueError(x)
        return x

    with pytest.raises(ValueError):
        list(autoexec.map(work, range(30), **way))
    assert set(journal.counts().values()) == {1}
    assert {str(x) for x in range(10)} <= set(journal.lines())


def _with_locks() -> list[tuple[int, Any]]:
    """Items of which every third cannot cross the border to another process."""
    return [(i, threading.Lock() if i % 3 == 0 else i) for i in range(12)]


def test_unpicklable_items_run_once_where_auto_keeps_them(journal: Any) -> None:
    """What cannot cross the border runs here, once, when the choice is ours."""
    note = journal.note

    def work(item: Any) -> Any:
        note(item[0])
        return type(item[1]).__name__

    items = _with_locks()
    assert list(autoexec.map(work, items, max_workers=2)) == [type(item[1]).__name__ for item in items]
    _once(journal, 12)


def test_unpicklable_items_do_not_run_where_processes_were_asked_for(journal: Any) -> None:
    """Each is an error in its place that names the path to what does not cross; the others run once."""
    note = journal.note

    def work(item: Any) -> Any:
        note(item[0])
        return type(item[1]).__name__

    options: dict[str, Any] = {"backend": "processes", "max_workers": 2, "on_error": "return"}
    found = list(autoexec.map(work, _with_locks(), **options))
    assert [value for i, value in enumerate(found) if i % 3] == ["int"] * 8
    assert all(isinstance(value, TypeError) and "[1]" in str(value) for value in found[::3])
    assert journal.counts() == {str(i): 1 for i in range(12) if i % 3}


def test_unpicklable_results_run_once(journal: Any) -> None:
    """A result that cannot cross the border is not asked for again elsewhere."""
    note = journal.note

    def work(item: int) -> Any:
        note(item)
        return threading.Lock() if item % 3 == 0 else item

    options: dict[str, Any] = {"backend": "processes", "max_workers": 2, "on_error": "return"}
    found = list(autoexec.map(work, range(12), **options))
    assert [value for i, value in enumerate(found) if i % 3] == [i for i in range(12) if i % 3]
    assert all(isinstance(value, Exception) for value in found[::3])
    _once(journal, 12)


@settings(max_examples=15)
@given(
    pauses=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.004, 0.02]), min_size=1, max_size=25),
    buffersize=st.one_of(st.none(), st.integers(1, 9)),
    chunksize=st.one_of(st.none(), st.integers(1, 5)),
    shape=st.sampled_from(sorted(SHAPES)),
    backend=st.sampled_from(["auto", "threads", "serial"]),
    ordered=st.booleans(),
)
def test_any_rhythm_gives_each_result_once(
    pauses: list[float],
    buffersize: int | None,
    chunksize: int | None,
    shape: str,
    backend: str,
    ordered: bool,
) -> None:
    """Whatever the items' lengths and the options: every result once, in order if asked."""
    ran: list[int] = []

    def work(x: int) -> int:
        ran.append(x)
        if pauses[x]:
            time.sleep(pauses[x])
        return -x

    n = len(pauses)
    found = list(
        autoexec.map(
            work,
            SHAPES[shape](list(range(n))),
            buffersize=buffersize,
            chunksize=chunksize,
            backend=backend,
            ordered=ordered,
        )
    )
    assert sorted(ran) == list(range(n))
    assert (found if ordered else sorted(found, reverse=True)) == [-x for x in range(n)]


@settings(max_examples=6)
@given(n=st.integers(0, 40), chunksize=st.one_of(st.none(), st.integers(1, 9)), lazy=st.booleans())
def test_processes_run_each_item_once(n: int, chunksize: int | None, lazy: bool) -> None:
    """The same for processes, with few examples."""
    items: Any = iter(range(n)) if lazy else range(n)
    found = list(
        autoexec.map(lambda x: x * 3, items, backend="processes", max_workers=2, chunksize=chunksize)
    )
    assert found == [x * 3 for x in range(n)]


def test_an_endless_input_that_is_left_runs_no_item_twice(journal: Any) -> None:
    """Neither does what was under way when the consumer left."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        time.sleep(0.002)
        return x

    with autoexec.map(work, itertools.count()) as results:
        assert list(itertools.islice(results, 50)) == list(range(50))
    assert set(journal.counts().values()) == {1}


def test_a_feeding_iterator_is_pulled_by_the_callers_thread_only() -> None:
    """The input's own code runs in the thread that consumes, as in a loop."""
    pullers = set()

    def source() -> Iterator[int]:
        for x in range(200):
            pullers.add(threading.get_ident())
            yield x

    list(autoexec.map(lambda x: time.sleep(0.005), source()))
    assert pullers == {threading.get_ident()}
