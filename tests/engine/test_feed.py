"""Where items come from: in order, a few at a time, each once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from autoexec.engine.feed import Feed
from hypothesis import given
from hypothesis import strategies as st

MAKERS = {
    "list": lambda n: list(range(n)),
    "tuple": lambda n: tuple(range(n)),
    "range": range,
    "iterator": lambda n: iter(range(n)),
    "set": lambda n: dict.fromkeys(range(n)),
}


@given(
    kind=st.sampled_from(sorted(MAKERS)),
    n=st.integers(0, 60),
    moves=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.booleans()), max_size=40),
)
def test_every_item_is_had_once_with_its_index(kind: str, n: int, moves: list[tuple[int, int, bool]]) -> None:
    """Whatever is taken and given back, each item ends up had once, under its own index."""
    feed = Feed((MAKERS[kind](n),))
    had: dict[int, Any] = {}
    for count, keep, ahead in [*moves, *[(7, 7, False)] * (n + 1)]:
        if ahead:
            feed.look_ahead(5)
        first = feed.first()
        start, items = feed.take(count)
        assert len(items) <= count
        if len(items):
            assert start == first
        keep = max(1, keep) if (count, keep, ahead) == (7, 7, False) else keep
        for place, item in enumerate(items[:keep]):
            assert start + place not in had
            had[start + place] = item
        feed.give_back(start + min(keep, len(items)), items[keep:])
        if feed.remaining() is not None:
            assert feed.remaining() == n - len(had)
    assert had == {i: i for i in range(n)}


@given(n=st.integers(0, 50), limit=st.integers(1, 80))
def test_looking_ahead_is_bounded_and_loses_nothing(n: int, limit: int) -> None:
    """At most `limit` items are pulled ahead, and they come first."""
    pulled = []

    def source() -> Iterator[int]:
        for i in range(n):
            pulled.append(i)
            yield i

    feed = Feed((source(),))
    feed.look_ahead(limit)
    assert len(pulled) <= limit
    assert feed.at_hand() == len(pulled)
    assert list(feed.take(n + 1)[1]) + list(feed.take(n + 1)[1]) == list(range(n))


def test_nothing_is_pulled_before_it_is_wanted() -> None:
    """Making a feed does not touch the iterator."""
    source = iter([1, 2, 3])
    feed = Feed((source,))
    assert feed.peek() is None
    assert next(source) == 1


def test_peek_leaves_the_item_where_it_is() -> None:
    """The next item can be seen without taking it."""
    for feed in (Feed(([7, 8],)), Feed((iter([7, 8]),))):
        feed.look_ahead()
        assert feed.peek() == (7,)
        assert list(feed.take(2)[1]) == [7, 8]
        assert feed.peek() is None


def test_an_error_of_the_iterator_waits_for_its_turn() -> None:
    """What came before the error is handed out; the error is kept, and nothing is pulled after it."""

    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("gone")

    feed = Feed((source(),))
    assert list(feed.take(10)[1]) == [1, 2]
    assert isinstance(feed.error, OSError)
    assert not len(feed.take(10)[1])


def test_the_pressing_of_a_key_is_not_kept() -> None:
    """Ctrl-C inside the input's iterator comes out at once."""

    def source() -> Iterator[int]:
        raise KeyboardInterrupt
        yield 1

    with pytest.raises(KeyboardInterrupt):
        Feed((source(),)).take(1)


@pytest.mark.parametrize(
    ("iterables", "expected"),
    [
        (([1, 2, 3],), 3),
        ((range(10**6),), 10**6),
        ((iter([1]),), None),
        (([1, 2], "abc"), 2),
        (([1, 2], itertools.count()), 2),
        (({1: 2},), 1),
    ],
)
def test_what_is_left_is_known_where_it_can_be(iterables: tuple[Any, ...], expected: int | None) -> None:
    """The number of items, or the most there may be, or None."""
    assert Feed(iterables).remaining() == expected


def test_several_iterables_are_zipped() -> None:
    """Several iterables give argument tuples."""
    feed = Feed(([1, 2], "ab"))
    assert feed.star
    assert list(feed.take(5)[1]) == [(1, "a"), (2, "b")]


def test_subclasses_of_list_are_iterated_not_sliced() -> None:
    """A list with an `__iter__` of its own is asked for its items."""

    class Odd(list):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[int]:
            return iter([5, 6])

    assert list(Feed((Odd([1, 2]),)).take(9)[1]) == [5, 6]
