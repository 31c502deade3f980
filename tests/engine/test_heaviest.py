"""Heavy items first: each once, under its own index, whatever is taken and given back."""

# ruff: noqa: PT017 -- an error may or may not come, by the example

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import pytest
from autoexec.engine.feed import Feed, open_feed
from autoexec.engine.heaviest import Heaviest, Weighed
from hypothesis import given
from hypothesis import strategies as st

from autoexec.errors import OptionError
from autoexec.records import Plan

from .test_stream import _stream

WEIGHTS = st.lists(st.sampled_from([0, 1, 1, 2, 5, 60]) | st.floats(0, 1e9), max_size=60)


def _weighed(weights: list[float]) -> Weighed:
    return Weighed((list(enumerate(weights)),), star=True, size=lambda i, weight: weight)


def _everything(feed: Feed, count: int) -> list[list[int]]:
    """The indices of all tasks, in the order in which they are handed out."""
    tasks = []
    while True:
        start, items = feed.take(count)
        if not len(items):
            return tasks
        assert [i for i, _ in items] == list(range(start, start + len(items)))
        tasks.append([i for i, _ in items])


def test_single_items_go_by_weight_and_equals_in_their_order() -> None:
    """The heaviest first; what weighs the same keeps the order of the input."""
    feed = _weighed([1, 9, 5, 9, 0, 5]).for_workers()
    assert _everything(feed, 1) == [[1], [3], [2], [5], [0], [4]]


def test_heavy_items_travel_alone_and_light_ones_together() -> None:
    """A task weighs no more than as many average items, unless it is a single one."""
    feed = _weighed([1, 1, 60, 1, 1, 1, 60, 1, 1, 1]).for_workers()
    tasks = _everything(feed, 3)
    assert tasks[:2] == [[2], [6]]
    assert sorted(map(len, tasks[2:])) == [2, 3, 3]


def test_items_of_one_weight_go_as_they_would_without() -> None:
    """In order, in tasks as large as asked for; also where nothing weighs anything."""
    for weight in (0, 3):
        feed = _weighed([weight] * 7).for_workers()
        assert _everything(feed, 3) == [[0, 1, 2], [3, 4, 5], [6]]


@given(weights=WEIGHTS, taken=st.integers(0, 9), back=st.integers(0, 5))
def test_what_the_callers_thread_has_run_is_not_handed_out(
    weights: list[float], taken: int, back: int
) -> None:
    """The sample is in the input's order; a block that was cut short gives its rest back."""
    source = _weighed(weights)
    start, items = source.take(taken) if taken else (0, [])
    assert [i for i, _ in items] == list(range(min(taken, len(weights))))
    kept = max(0, len(items) - back)
    source.give_back(start + kept, items[kept:])
    feed = source.for_workers()
    assert feed.first() == kept
    assert feed.at_hand() == feed.remaining() == len(weights) - kept
    assert sorted(chain(*_everything(feed, 3))) == list(range(kept, len(weights)))
    assert feed.at_hand() == source.at_hand() == 0


@given(
    weights=WEIGHTS,
    moves=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.booleans()), max_size=40),
)
def test_every_item_is_had_once(weights: list[float], moves: list[tuple[int, int, bool]]) -> None:
    """Whatever is taken and given back; the head of a task is always the heaviest item that is left."""
    feed = _weighed(weights).for_workers()
    left = set(range(len(weights)))
    for count, keep, returns in moves:
        start, items = feed.take(count)
        assert len(items) <= count
        if len(items):
            assert max(weights[i] for i in left) == max(weights[start : start + len(items)])
        kept = keep if returns else len(items)
        left -= set(range(start, start + len(items[:kept])))
        feed.give_back(start + len(items[:kept]), items[kept:])
        assert feed.at_hand() == len(left)
    assert sorted(chain(*_everything(feed, 4))) == sorted(left)


@given(weights=WEIGHTS, taken=st.integers(1, 20), end=st.integers(0, 70))
def test_nothing_after_the_end_is_handed_out(weights: list[float], taken: int, end: int) -> None:
    """What comes before it still is."""
    feed = _weighed(weights).for_workers()
    had = {feed.take(1)[0] for _ in range(min(taken, len(weights)))}
    feed.end_at(end)
    assert sorted(chain(*_everything(feed, 2))) == [i for i in range(min(end, len(weights))) if i not in had]


def _driven(stream: Any, backend: Any, *, in_turn: bool = False) -> None:
    """Let a task finish whenever the consumer waits for one: this backend holds some back."""
    wait = stream._await_one
    if in_turn:
        backend._random.randrange = lambda waiting: 0

    def wait_for_one() -> None:
        if backend.waiting:
            backend.finish_one()
        wait()

    stream._await_one = wait_for_one


@given(
    weights=WEIGHTS,
    seed=st.integers(0, 99),
    held=st.integers(0, 9),
    ordered=st.booleans(),
    chunksize=st.none() | st.integers(1, 5),
    workers=st.integers(1, 4),
)
def test_results_keep_the_order_of_the_input(
    weights: list[float], seed: int, held: int, ordered: bool, chunksize: int | None, workers: int
) -> None:
    """Whatever finishes first, and even if the first item is the lightest of all."""
    plan = Plan("processes", workers, 2)
    feed = _weighed(weights).for_workers()
    stream, backend = _stream(
        feed, lambda i, w: (i, w), seed, held, plan, ordered=ordered, chunksize=chunksize
    )
    _driven(stream, backend)
    found = [value for values in stream.blocks() for value in values]
    expected = list(enumerate(weights))
    assert (found if ordered else sorted(found)) == expected
    assert chunksize is None or all(size <= chunksize for size in backend.sizes)


@given(weights=WEIGHTS, bad=st.integers(0, 59), seed=st.integers(0, 99), held=st.integers(0, 9))
def test_an_error_comes_in_its_place_and_ends_what_lies_after(
    weights: list[float], bad: int, seed: int, held: int
) -> None:
    """All results before it are delivered; what has not begun after it never does."""
    ran = []

    def call(i: int, weight: float) -> int:
        ran.append(i)
        if i >= bad:
            raise ValueError(i)
        return i

    stream, backend = _stream(_weighed(weights).for_workers(), call, seed, held, Plan("processes", 2, 1))
    _driven(stream, backend)
    found: list[int] = []
    try:
        for values in stream.blocks():
            found += values
    except ValueError as error:
        assert error.args == (bad,) and f"item {bad} (" in error.__notes__[0]
    assert found == list(range(min(bad, len(weights))))
    assert len(ran) == len(set(ran))


def test_an_error_cancels_what_comes_after_it() -> None:
    """The heavy item at index 3 fails first: the items before it still run, those after it do not."""
    ran = []

    def call(i: int, weight: float) -> int:
        ran.append(i)
        return 1 // (i - 3)

    weights = [1.0, 1.0, 1.0, 100.0, *[2.0] * 500]
    feed = _weighed(weights).for_workers()
    stream, backend = _stream(feed, call, 0, 10**6, Plan("processes", 1, 1), chunksize=1)
    _driven(stream, backend, in_turn=True)
    found: list[int] = []
    with pytest.raises(ZeroDivisionError) as caught:
        found.extend(value for values in stream.blocks() for value in values)
    assert found == [1 // -3, 1 // -2, 1 // -1]
    assert "item 3 (" in caught.value.__notes__[0]
    assert sorted(ran) == [0, 1, 2, 3]


# Weighing ---------------------------------------------------------------------------------------------------


def test_any_input_is_collected() -> None:
    """Lists are taken as they are; iterators are pulled; several iterables end with the shortest."""
    items = [3, 1, 2]
    assert open_feed((items,), star=False, size=abs).sequence is items
    assert open_feed((iter(items),), star=False, size=abs).sequence == items
    assert open_feed((range(3),), star=False, size=abs).sequence == [0, 1, 2]
    several = open_feed((items, iter("ab")), star=False, size=lambda number, letter: number)
    assert several.star and several.sequence == [(3, "a"), (1, "b")]
    rows = open_feed((iter([iter((1, 2)), [3, 4]]),), star=True, size=max)
    assert rows.sequence == [(1, 2), (3, 4)]
    assert type(open_feed((items,), star=False)) is Feed


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, "heavy", None, [1]], ids=repr)
def test_what_is_no_weight_is_refused(bad: Any) -> None:
    """The message shows the value and the item's index."""
    with pytest.raises(OptionError, match=r"size must return a finite number.*as for item 1"):
        open_feed(([1, 2],), star=False, size=lambda item: bad if item == 2 else True)


def test_what_size_raises_names_the_item() -> None:
    """The error is the user's own, with a note."""
    with pytest.raises(ZeroDivisionError) as caught:
        open_feed(([1, 0],), star=False, size=lambda item: 1 / item)
    assert caught.value.__notes__ == ["autoexec: item 1 (0) ran in size="]


def test_nothing_is_taken_from_the_input_before_the_first_task() -> None:
    """If opening a backend fails, the caller's thread goes on by itself."""
    source = _weighed([1.0, 2.0, 3.0])
    feed = source.for_workers()
    assert isinstance(feed, Heaviest) and feed.scattered and not source.scattered
    assert (feed.first(), feed.at_hand()) == (0, 3)
    assert source.take(5)[0] == 0
