"""Heavy items first: each once, in its own place, whoever takes how many."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.engine.largest_first import LargestFirst, Weighed
from autoexec.engine.source import Source, open_source
from autoexec.errors import OptionError
from tests.engine.stage import Stage

WEIGHTS = st.lists(st.sampled_from([0, 1, 1, 2, 5, 60]) | st.floats(0, 1e9), max_size=60)


def weighed(weights: list[float]) -> Weighed:
    """An input of numbered items that weigh so much."""
    return Weighed((list(enumerate(weights)),), star=True, size=lambda i, weight: weight)


def everything(source: Source, count: int) -> list[list[int]]:
    """The places of all tasks, in the order in which they are handed out."""
    tasks: list[list[int]] = []
    while True:
        place, items = source.take(count)
        if not len(items):
            return tasks
        assert [i for i, _ in items] == list(range(place, place + len(items)))
        tasks.append([i for i, _ in items])


def test_single_items_go_by_weight_and_equals_in_their_order() -> None:
    """The heaviest first; what weighs the same keeps the order of the input."""
    source = weighed([1, 9, 5, 9, 0, 5]).for_workers()
    assert everything(source, 1) == [[1], [3], [2], [5], [0], [4]]


def test_heavy_items_travel_alone_and_light_ones_together() -> None:
    """A task weighs no more than as many average items, unless it is a single one."""
    tasks = everything(weighed([1, 1, 60, 1, 1, 1, 60, 1, 1, 1]).for_workers(), 3)
    assert tasks[:2] == [[2], [6]]
    assert sorted(map(len, tasks[2:])) == [2, 3, 3]


@pytest.mark.parametrize("weight", [0, 3])
def test_items_of_one_weight_go_as_they_would_without(weight: float) -> None:
    """In order, in tasks as large as asked for; also where nothing weighs anything."""
    assert everything(weighed([weight] * 7).for_workers(), 3) == [[0, 1, 2], [3, 4, 5], [6]]


@given(weights=WEIGHTS, taken=st.integers(0, 70))
def test_what_the_callers_thread_has_run_is_not_handed_out(weights: list[float], taken: int) -> None:
    """The sample is in the input's order; workers get the rest."""
    source = weighed(weights)
    first = [i for i, _ in source.take(taken)[1]]
    assert first == list(range(min(taken, len(weights))))
    rest = source.for_workers()
    assert rest.at_hand == rest.remaining() == len(weights) - len(first)
    assert rest.pulled == rest.taken == len(first)
    assert sorted(chain(*everything(rest, 3))) == list(range(len(first), len(weights)))
    assert rest.at_hand == 0 and rest.over and rest.pulled == rest.taken == len(weights)


@given(weights=WEIGHTS, counts=st.lists(st.integers(1, 9), max_size=40))
def test_every_item_is_had_once(weights: list[float], counts: list[int]) -> None:
    """However many at a time; the head of a task is always the heaviest item that is left."""
    source = weighed(weights).for_workers()
    left = set(range(len(weights)))
    for count in counts:
        many, total = len(left), sum(weights[i] for i in left)  # the mean of smallest floats is nothing
        place, items = source.take(count)
        assert len(items) <= count and bool(len(items)) == bool(left)
        task = range(place, place + len(items))
        assert left.issuperset(task)
        if task:
            assert max(weights[i] for i in left) == max(weights[i] for i in task)
            assert len(task) == 1 or many * sum(weights[i] for i in task) <= 1.000001 * count * total
        left -= set(task)
        assert source.at_hand == source.remaining() == len(left) and source.over == (not left)
    assert sorted(chain(*everything(source, 4))) == sorted(left)


@given(weights=WEIGHTS, counts=st.lists(st.integers(1, 5), max_size=20))
def test_the_next_item_can_be_seen(weights: list[float], counts: list[int]) -> None:
    """The one that a task of a single item would be; it is not taken by that."""
    source = weighed(weights).for_workers()
    for count in counts:
        source.take(count)
        ahead, left = source.peek(), source.at_hand
        assert source.peek() == ahead and source.at_hand == left
        assert list(ahead or ()) == list(source.take(1)[1])


@given(weights=WEIGHTS, taken=st.integers(0, 20), end=st.integers(0, 70))
def test_nothing_after_the_end_is_handed_out(weights: list[float], taken: int, end: int) -> None:
    """What comes before it still is."""
    source = weighed(weights).for_workers()
    had = {source.take(1)[0] for _ in range(min(taken, len(weights)))}
    source.end_at(end)
    expected = [i for i in range(min(end, len(weights))) if i not in had]
    assert source.at_hand == len(expected) and source.over == (not expected)
    assert sorted(chain(*everything(source, 2))) == expected


def test_taking_nothing_from_the_input_before_the_first_task() -> None:
    """If no workers can be had, the caller's thread goes on by itself."""
    source = weighed([1.0, 2.0, 3.0])
    rest = source.for_workers()
    assert isinstance(rest, LargestFirst) and rest.scattered and not source.scattered
    assert source.take(5)[0] == 0


# A run ------------------------------------------------------------------------------------------------------


@given(
    weights=WEIGHTS,
    bad=st.none() | st.integers(0, 60),
    order=st.lists(st.integers(0, 3)),
    chunksize=st.none() | st.integers(1, 5),
    ordered=st.booleans(),
)
def test_results_keep_the_order_of_the_input(
    weights: list[float], bad: int | None, order: list[int], chunksize: int | None, ordered: bool
) -> None:
    """Whatever ends first; an error comes in its place, and each item began once at most."""
    ran: list[int] = []
    stage = Stage(source=weighed(weights).for_workers(), ordered=ordered, ends_at_error=False)
    _, slots = stage.pool(4, chunksize=chunksize)
    turns = [*order, *range(4)]
    error = ValueError("bad")
    while True:
        busy = [slot for slot in slots if slot.tasks]
        if not busy:
            break
        slot = busy[turns[0] % len(busy)]
        turns.append(turns.pop(0))
        task = stage.task(slot)
        ran += [i for i, _ in task.items]
        stage.finish(slot, task, *[error if i == bad else i for i, _ in task.items])
        stage.take()
    stage.take()
    expected: list[Any] = [error if i == bad else i for i in range(len(weights))]
    found = stage.given[:-1]
    assert (found if ordered else sorted(found, key=lambda one: bad if one is error else one)) == expected
    assert sorted(ran) == list(range(len(weights)))


@given(weights=WEIGHTS, bad=st.integers(0, 59), chunksize=st.integers(1, 4))
def test_what_lies_behind_an_error_does_not_begin(weights: list[float], bad: int, chunksize: int) -> None:
    """All before it is delivered; of what lies behind, nothing that had not begun."""
    stage, ended, late = Stage(source=weighed(weights).for_workers()), False, list[int]()
    _, (slot,) = stage.pool(1, chunksize=chunksize)
    while slot.tasks:
        task = stage.task(slot)
        late += [i for i, _ in task.items if ended and i > bad]
        ended = ended or any(i == bad for i, _ in task.items)
        stage.finish(slot, task, *[ValueError(i) if i == bad else i for i, _ in task.items])
        if not ended:
            stage.take()
    stage.take()
    assert late == []
    before = list(range(min(bad, len(weights))))
    assert stage.given[: len(before)] == before
    if bad < len(weights):
        assert type(stage.given[bad]) is ValueError


# Weighing ---------------------------------------------------------------------------------------------------


def test_any_input_is_collected() -> None:
    """Lists are copied; iterators are pulled; several iterables end with the shortest."""
    items = [3, 1, 2]
    found = open_source((items,), False, abs).sequence
    assert found == items and found is not items
    assert open_source((iter(items),), False, abs).sequence == items
    assert open_source((range(3),), False, abs).sequence == [0, 1, 2]
    several = open_source((items, iter("ab")), False, lambda number, letter: number)
    assert several.star and several.sequence == [(3, "a"), (1, "b")]
    rows = open_source((iter([iter((1, 2)), [3, 4]]),), True, max)
    assert rows.sequence == [(1, 2), (3, 4)]


def test_a_list_that_changes_after_it_was_weighed_does_not_matter() -> None:
    """Neither to the weights nor to the items."""
    items = [3, 1, 2]
    source = open_source((items,), False, abs)
    items[:] = [0]
    rest = source.for_workers()
    assert [list(rest.take(1)[1]) for _ in range(4)] == [[3], [2], [1], []]


@pytest.mark.parametrize(
    "bad", [-1, math.nan, math.inf, "heavy", None, [1], 10**400], ids=lambda x: repr(x)[:9]
)
def test_what_is_no_weight_is_refused(bad: Any) -> None:
    """The message shows the value and the item's index."""
    with pytest.raises(OptionError, match=r"size must return a finite number.*as for item 1"):
        open_source(([1, 2],), False, lambda item: bad if item == 2 else True)


def test_what_size_raises_names_the_item() -> None:
    """The error is the user's own, with a note."""
    with pytest.raises(ZeroDivisionError) as caught:
        open_source(([1, 0],), False, lambda item: 1 / item)
    assert caught.value.__notes__ == ["autoexec: item 1 (0) ran in size="]


def test_nobody_takes_while_what_is_left_is_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor may do that while the caller's own thread goes on to its next item."""
    stage, held = Stage(source=weighed([1.0, 3.0, 2.0])), list[bool]()
    sort = Weighed.for_workers

    def watched(source: Weighed) -> Source:
        held.append(stage.scheduler._turns._lock.locked())
        return sort(source)

    monkeypatch.setattr(Weighed, "for_workers", watched)
    assert stage.scheduler.for_workers().scattered
    assert held == [True]
