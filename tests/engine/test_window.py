"""What is finished leaves in the order of its places, or as it comes; an error in its place."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.engine.result_order import TOGETHER, Failed, Window

SIZES = st.lists(st.integers(1, 5) | st.just(1), max_size=40)


def blocks_of(sizes: list[int], shuffled: random.Random) -> list[tuple[int, list[int]]]:
    """Consecutive places in blocks of these sizes, in the order in which they are finished."""
    found, place = [], 0
    for size in sizes:
        found.append((place, list(range(place, place + size))))
        place += size
    shuffled.shuffle(found)
    return found


def everything(window: Window) -> list[Any]:
    """All that may be handed out now."""
    found: list[Any] = []
    while block := window.pop():
        found += block
    return found


@given(sizes=SIZES, seed=st.randoms(use_true_random=False), takes=st.lists(st.booleans(), max_size=40))
def test_places_leave_in_order_however_they_are_finished(
    sizes: list[int], seed: random.Random, takes: list[bool]
) -> None:
    """At each moment all that stands before the first hole has left, if asked for, and nothing else."""
    window, found, done = Window(), list[int](), set[int]()
    for at, (place, block) in enumerate(blocks_of(sizes, seed)):
        window.add(place, block)
        done |= set(block)
        if at < len(takes) and takes[at]:
            found += everything(window)
            assert len(found) == next(n for n in range(len(done) + 1) if n not in done)
            assert not window.due
        assert window.due == (len(found) in done)
        assert (window.handed, window.ready) == (len(found), len(done) - len(found))
        assert window.next == len(found)
    assert found + everything(window) == list(range(sum(sizes)))
    assert (window.ready, window.handed, window.due) == (0, sum(sizes), False)


@given(sizes=SIZES, seed=st.randoms(use_true_random=False), takes=st.lists(st.booleans(), max_size=40))
def test_without_order_items_leave_as_they_come(
    sizes: list[int], seed: random.Random, takes: list[bool]
) -> None:
    """No hole holds anything back; what was finished first leaves first."""
    window, found, came = Window(ordered=False), list[int](), list[int]()
    for at, (place, block) in enumerate(blocks_of(sizes, seed)):
        window.add(place, block)
        came += block
        assert window.due and window.ready == len(came) - len(found)
        if at < len(takes) and takes[at]:
            found += everything(window)
            assert found == came and not window.due
    assert found + everything(window) == came
    assert (window.ready, window.handed) == (0, len(came))


@pytest.mark.parametrize("ordered", [True, False])
@given(sizes=SIZES)
def test_single_results_are_handed_on_together(ordered: bool, sizes: list[int]) -> None:
    """Up to a limit; a block of several is handed on as it is, and none is torn apart."""
    window = Window(ordered=ordered)
    for place, block in sorted(blocks_of(sizes, random.Random(0))):
        window.add(place, block)
    handed = []
    while block := window.pop():
        handed.append(block)
    expected, run = list[int](), 0
    for size in [*sizes, 0]:
        if size == 1 and run < TOGETHER:
            run += 1
            continue
        expected += [run] if run else []
        run = 1 if size == 1 else 0
        expected += [size] if size > 1 else []
    assert [len(block) for block in handed] == expected
    assert [each for block in handed for each in block] == list(range(sum(sizes)))


def test_so_many_single_results_at_once_and_no_more() -> None:
    """The consumer may stop after each of them."""
    window = Window()
    for place in range(2 * TOGETHER + 1):
        window.add(place, [place])
    assert [len(window.pop()) for _ in range(4)] == [TOGETHER, TOGETHER, 1, 0]


def test_a_block_that_was_added_is_not_changed() -> None:
    """Whoever finished it may still look at its outcomes."""
    window, first = Window(), [0]
    window.add(0, first)
    window.add(1, [1])
    assert window.pop() == [0, 1] and first == [0]


@pytest.mark.parametrize("ordered", [True, False])
@given(sizes=SIZES, bad=st.integers(0, 60), seed=st.randoms(use_true_random=False))
def test_what_failed_leaves_in_its_place(
    ordered: bool, sizes: list[int], bad: int, seed: random.Random
) -> None:
    """It is one result among others, with all that is known of it."""
    window, error = Window(ordered=ordered), ValueError("no")
    for place, block in blocks_of(sizes, seed):
        outcomes: list[Any] = [
            Failed(error, each, f"item {each}", False, "thread 1", ["first try"]) if each == bad else each
            for each in block
        ]
        window.add(place, outcomes)
    found = everything(window)
    failed = [each for each in found if type(each) is Failed]
    assert len(failed) == (bad < sum(sizes))
    if ordered and failed:
        assert found.index(failed[0]) == bad
    for each in failed:
        assert (each.error, each.place, each.item) == (error, bad, f"item {bad}")
        assert (each.star, each.worker, each.notes) == (False, "thread 1", ["first try"])


@pytest.mark.parametrize("ordered", [True, False])
@given(sizes=SIZES, taken=st.integers(0, 5), first=st.integers(0, 3))
def test_what_waits_can_be_dropped(ordered: bool, sizes: list[int], taken: int, first: int) -> None:
    """It is counted, and nothing of it is ever handed out; holes are not counted."""
    window = Window(ordered=ordered)
    blocks = sorted(blocks_of(sizes, random.Random(0)))[first:]
    for place, block in blocks:
        window.add(place, block)
    handed = sum(len(window.pop()) for _ in range(taken))
    assert window.drop() == sum(len(block) for _, block in blocks) - handed
    assert (window.pop(), window.ready, window.due, window.handed) == ([], 0, False, handed)


@pytest.mark.parametrize("ordered", [True, False])
@given(sizes=SIZES.filter(bool), most=st.integers(1, 9))
def test_some_of_what_waits_can_be_looked_at(ordered: bool, sizes: list[int], most: int) -> None:
    """Of blocks all over the window, never more than asked for; it all stays where it is."""
    window = Window(ordered=ordered)
    for place, block in blocks_of(sizes, random.Random(0)):
        window.add(place, block)
    some = window.some(most)
    assert 1 <= len(some) <= most and len(set(some)) == len(some)
    assert set(some) <= set(range(sum(sizes)))
    assert window.ready == sum(sizes) and len(everything(window)) == sum(sizes)
    assert window.some(most) == []
