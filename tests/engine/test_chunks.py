"""How many items a task has: it follows what items take, within all that bounds it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide import sizing
from autoexec.engine.tracks import Chunks
from autoexec.records import Plan

SECONDS = st.lists(st.floats(1e-9, 10.0), max_size=20)


def chunks(
    size: int = 1, workers: int = 2, *, fixed: int | None = None, single: bool = False,
    window: int | None = None, bytes_each: int = 0, most: int = sizing.MOST,
) -> Chunks:  # fmt: skip
    """The sizes of a plan."""
    plan = Plan("processes", workers, size)
    return Chunks(plan, fixed, single=single, window=window, bytes_each=bytes_each, most=most)


@given(
    size=st.integers(1, 9000),
    workers=st.integers(1, 9),
    window=st.none() | st.integers(1, 5000),
    bytes_each=st.integers(0, 1 << 24),
    most=st.integers(1, 9000),
    seconds=SECONDS,
    left=st.none() | st.integers(0, 10**6),
)
def test_a_task_is_never_larger_than_its_bounds(
    size: int, workers: int, window: int | None, bytes_each: int, most: int, seconds: list[float],
    left: int | None,
) -> None:  # fmt: skip
    """Once it follows, and it grows step by step; it always has an item."""
    sizes = chunks(size, workers, window=window, bytes_each=bytes_each, most=most)
    assert 1 <= sizes.size <= most
    for item_s in seconds:
        before = sizes.size
        sizes.follow(item_s)
        assert 1 <= sizes.size <= max(4 * before, 1)
        if sizes.size > 1 and not (before == 1 and item_s > sizing.TASK_S / 10):
            assert sizes.size <= most and sizes.size * item_s <= sizing.TASK_S * 1.000001
            assert window is None or sizes.size <= window / (2 * workers)
            assert not bytes_each or sizes.size * bytes_each <= 4 << 20
        assert 1 <= sizes.next(left) <= sizes.size
        assert left is None or sizes.next(left) <= max(1, left)


@given(fixed=st.integers(1, 500), seconds=SECONDS, left=st.none() | st.integers(0, 1000))
def test_what_the_caller_says_holds(fixed: int, seconds: list[float], left: int | None) -> None:
    """To the last task, whatever items take."""
    sizes = chunks(7, fixed=fixed)
    for item_s in seconds:
        sizes.follow(item_s)
    assert sizes.next(left) == sizes.size == fixed


@given(fixed=st.none() | st.integers(1, 500), seconds=SECONDS)
def test_items_that_go_one_by_one(fixed: int | None, seconds: list[float]) -> None:
    """Even where the caller wishes for more."""
    sizes = chunks(7, fixed=fixed, single=True)
    for item_s in seconds:
        sizes.follow(item_s)
    assert sizes.next(None) == 1


def test_tasks_get_smaller_towards_the_end() -> None:
    """Half of each worker's share of what is left, so that workers finish together."""
    sizes, left, found = chunks(32, 2), 100, list[int]()
    while left:
        found.append(sizes.next(left))
        left -= found[-1]
    assert found[0] == 25 and found == sorted(found, reverse=True) and found[-4:] == [1, 1, 1, 1]


def test_sizes_follow_items_that_take_longer_and_shorter() -> None:
    """Down at once, up in a few steps."""
    sizes = chunks(100)
    sizes.follow(0.002)
    assert sizes.size == 10
    sizes.follow(1.0)
    assert sizes.size == 1
    for expected in (4, 16, 64, 200, 200):
        sizes.follow(0.0001)
        assert sizes.size == expected


@pytest.mark.parametrize("item_s", [0.0, -1.0])
def test_what_was_not_measured_changes_nothing(item_s: float) -> None:
    """A clock may stand still, or go back."""
    sizes = chunks(5)
    sizes.follow(item_s)
    assert sizes.size == 5


def test_slow_items_stay_alone() -> None:
    """From one item to two it takes more than a task that is about full."""
    sizes = chunks(1)
    sizes.follow(sizing.TASK_S / 9)
    assert sizes.size == 1
    sizes.follow(sizing.TASK_S / 11)
    assert sizes.size == 4
