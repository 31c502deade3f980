"""Where items come from: in order, a few at a time, each once, and never before they are wanted."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.engine.largest_first import Weighed
from autoexec.engine.source import AHEAD_ITEMS, Source, open_source

MAKERS: dict[str, Callable[[int], Any]] = {
    "list": lambda n: list(range(n)),
    "tuple": lambda n: tuple(range(n)),
    "range": range,
    "iterator": lambda n: iter(range(n)),
    "generator": lambda n: (i for i in range(n)),
    "keys": lambda n: dict.fromkeys(range(n)),
}
KINDS = pytest.mark.parametrize("kind", sorted(MAKERS))


def rest_of(source: Source, count: int = 1000) -> list[Any]:
    """All that is left, pulled and taken."""
    found: list[Any] = []
    while True:
        source.put_by(source.pull(count))
        items = source.take(count)[1]
        if not len(items):
            return found
        found += items


# Taking -----------------------------------------------------------------------------------------------------


@KINDS
@given(
    n=st.integers(0, 60),
    moves=st.lists(
        st.tuples(st.sampled_from(["pull", "take", "look", "peek"]), st.integers(0, 9)), max_size=40
    ),
)
def test_every_item_is_had_once_in_its_place(kind: str, n: int, moves: list[tuple[str, int]]) -> None:
    """Whatever is pulled, looked at and taken, and in which portions."""
    source, had = Source((MAKERS[kind](n),)), list[int]()
    for move, count in moves:
        if move == "pull":
            items = source.pull(count)
            assert len(items) <= count
            source.put_by(items)
        elif move == "look":
            source.look_ahead(count)
        elif move == "peek":
            assert source.peek() in (None, (len(had),))
            assert (source.peek() is None) == (not source.at_hand)
        else:
            place, found = source.take(count)
            assert place == len(had) and len(found) <= count
            had += found
        assert had == list(range(len(had)))
        assert source.position == source.taken == len(had)
        assert source.at_hand <= n - len(had)
        assert source.pulled - source.taken in (source.at_hand, 0)
        assert source.remaining() in (None, n - len(had))
    assert had + rest_of(source) == list(range(n))
    assert source.over and source.remaining() == 0 and source.peek() is None


def test_nothing_is_pulled_before_it_is_wanted() -> None:
    """Making a source, and asking it, does not touch the iterator."""
    items = iter([1, 2, 3])
    source = Source((items,))
    assert source.peek() is None and source.take(5) == (0, []) and source.at_hand == 0
    assert not source.ended and not source.over and source.remaining() is None
    assert next(items) == 1


@given(n=st.integers(0, 50), count=st.integers(0, 60))
def test_no_more_is_pulled_than_was_asked_for(n: int, count: int) -> None:
    """An iterator may wait for what becomes of the items before."""
    pulled: list[int] = []
    source = Source(((pulled.append(i) or i for i in range(n)),))
    assert source.pull(count) == pulled == list(range(min(n, count)))
    assert source.ended == (count > n)


@given(n=st.integers(0, 600), limit=st.none() | st.integers(0, 400))
def test_looking_ahead_is_bounded_and_loses_nothing(n: int, limit: int | None) -> None:
    """At most `limit` items are pulled ahead; nothing is, of what lies there already."""
    pulled: list[int] = []
    source = Source(((pulled.append(i) or i for i in range(n)),))
    source.look_ahead(limit)
    assert source.at_hand == len(pulled) <= min(n, AHEAD_ITEMS, n if limit is None else limit)
    assert rest_of(source) == list(range(n))
    lying = Source((list(range(n)),))
    lying.look_ahead(limit)
    assert lying.pulled == 0 and lying.at_hand == n


# Lists that change ------------------------------------------------------------------------------------------


@given(
    n=st.integers(0, 12),
    moves=st.lists(st.tuples(st.sampled_from(["take", "append", "pop"]), st.integers(1, 6)), max_size=30),
)
def test_a_list_may_grow_and_shrink_while_it_is_read(n: int, moves: list[tuple[str, int]]) -> None:
    """It is read as `list.__getitem__` would: at the place that is next, as long as something is there."""
    items, source, place = list(range(n)), None, 0
    source = Source((items,))
    for move, count in moves:
        if move == "append":
            items += range(100, 100 + count)
        elif move == "pop":
            del items[-count:]
        else:
            expected = items[place : place + count]
            assert source.take(count) == (place, expected)
            place += len(expected)
        left = max(0, len(items) - place)
        assert source.at_hand == source.remaining() == left
        assert source.over == (not left)
        assert source.peek() == ((items[place],) if left else None)
        assert source.pulled == source.taken == place


def test_the_end_of_a_list_is_asked_again() -> None:
    """What was appended after it had ended is still read, as by a loop over the list."""
    items = [0]
    source = Source((items,))
    assert source.take(5) == (0, [0]) and source.over
    items.append(1)
    assert not source.over and source.take(5) == (1, [1]) and source.over


def test_the_end_of_an_iterator_is_not_asked_again() -> None:
    """Some begin anew, or raise, when they are."""
    asked = []

    class Odd:
        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            asked.append(len(asked))
            if len(asked) % 3 == 0:
                raise StopIteration
            return asked[-1]

    source = Source((Odd(),))
    assert rest_of(source) == [0, 1] and source.pull(9) == [] and asked == [0, 1, 2]


def test_subclasses_of_list_are_iterated_and_not_sliced() -> None:
    """A list with an `__iter__` of its own is asked for its items."""

    class Odd(list[int]):
        def __iter__(self) -> Iterator[int]:
            return iter([5, 6])

    assert rest_of(Source((Odd([1, 2]),))) == [5, 6]


def test_what_shrinks_while_it_is_iterated_says_so() -> None:
    """The error of a dictionary comes in its place, as in a loop over it."""
    items = dict.fromkeys(range(4))
    source = Source((items,))
    source.put_by(source.pull(2))
    del items[3]
    assert source.pull(2) == [] and type(source.error) is RuntimeError
    assert source.take(9) == (0, [0, 1]) and source.over


# Errors -----------------------------------------------------------------------------------------------------


@given(n=st.integers(0, 20), portions=st.lists(st.integers(1, 7), max_size=30))
def test_an_error_of_the_iterator_loses_nothing_before_it(n: int, portions: list[int]) -> None:
    """What came before it is handed out; the error is kept, and nothing is pulled after it."""

    def items() -> Iterator[int]:
        yield from range(n)
        raise OSError("gone")

    source, had = Source((items(),)), list[int]()
    for count in portions:
        before = len(had)
        had += source.pull(count)
        assert (source.error is not None) == source.ended == (before + count > n)
        source.put_by(had[before:])
    had += source.pull(n + 1)
    assert had == list(range(n)) and type(source.error) is OSError and source.pull(1) == []
    assert source.over == (not portions or not n)
    assert source.remaining() == source.at_hand


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_comes_out_at_once(kind: type[BaseException]) -> None:
    """It is not the input's: Ctrl-C came while that was at it."""

    def items() -> Iterator[int]:
        raise kind
        yield 1

    source = Source((items(),))
    with pytest.raises(kind):
        source.pull(1)
    assert source.error is None


@pytest.mark.parametrize("first", [0, 1])
def test_an_error_of_one_of_several_iterables(first: int) -> None:
    """It ends them all; what they gave together before is there."""

    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    both = [items(), iter("ab")]
    source = Source((both[first], both[1 - first]))
    assert rest_of(source) == [(1, "a"), ("a", 1)][first : first + 1] and type(source.error) is OSError


# Two readers ------------------------------------------------------------------------------------------------


def test_two_sources_may_share_an_iterator() -> None:
    """Each item goes to the one that pulled it."""
    shared = iter(range(10))
    one, two = Source((shared,)), Source((shared,))
    assert (one.pull(3), two.pull(4), one.pull(9)) == ([0, 1, 2], [3, 4, 5, 6], [7, 8, 9])
    assert one.ended and not two.ended and two.pull(1) == [] and two.ended


def test_two_sources_of_one_list_do_not_disturb_each_other() -> None:
    """Each has a position of its own."""
    items = list(range(5))
    one, two = Source((items,)), Source((items,))
    assert (one.take(3), two.take(2), one.take(9)) == ((0, [0, 1, 2]), (0, [0, 1]), (3, [3, 4]))


def test_a_generator_that_is_running_is_an_error_and_not_the_end() -> None:
    """Who pulls while another thread is inside the generator is told, and that reader loses nothing."""
    inside, go, found = threading.Event(), threading.Event(), list[Any]()

    def items() -> Iterator[int]:
        yield 0
        inside.set()
        assert go.wait(10)
        yield 1

    shared = items()
    one, two = Source((shared,)), Source((shared,))
    thread = threading.Thread(target=lambda: found.extend(one.pull(5)))
    thread.start()
    try:
        assert inside.wait(10)
        assert two.pull(5) == [] and type(two.error) is ValueError
    finally:
        go.set()
        thread.join()
    assert found == [0, 1] and one.error is None and one.ended


@pytest.mark.parametrize("kind", ["list", "iterator"])
def test_what_is_taken_by_one_thread_is_not_taken_by_another(kind: str) -> None:
    """Under the lock that its users hold, whoever comes."""
    source, lock, had = Source((MAKERS[kind](2000),)), threading.Lock(), list[Any]()
    source.put_by(source.pull(5000))
    go = threading.Barrier(4)

    def reader(count: int) -> None:
        go.wait()
        while True:
            with lock:
                place, items = source.take(count)
            if not len(items):
                return
            had.append((place, list(items)))

    threads = [threading.Thread(target=reader, args=(count,)) for count in (1, 2, 3, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [item for _, items in sorted(had) for item in items] == list(range(2000))


# What is known beforehand -----------------------------------------------------------------------------------


class Shy(list[int]):
    def __len__(self) -> int:
        raise RuntimeError("cannot be told")


@pytest.mark.parametrize(
    ("iterables", "expected"),
    [
        (([1, 2, 3],), 3),
        ((range(10**6),), 10**6),
        ((range(2**70),), None),
        ((iter([1]),), None),
        (([1, 2], "abc"), 2),
        (([1, 2], itertools.count()), 2),
        (({1: 2},), 1),
        ((Shy(),), None),
    ],
)
def test_what_is_left_is_known_where_it_can_be(iterables: tuple[Any, ...], expected: int | None) -> None:
    """The number of items, or the most there may be, or None."""
    assert Source(iterables).remaining() == expected


def test_a_length_that_was_wrong_is_corrected_at_the_end() -> None:
    """Once the iterator has ended, what is at hand is all there is."""

    class Wrong:
        def __len__(self) -> int:
            return 100

        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

    source = Source((Wrong(),))
    source.put_by(source.pull(1))
    assert source.remaining() == 100
    source.put_by(source.pull(9))
    assert source.remaining() == 2


def test_a_range_beyond_what_fits_is_read_all_the_same() -> None:
    """It has no length that `len` could tell."""
    source = Source((range(2**70, 2**70 + 3 * 2**65, 2**65),))
    assert rest_of(source) == [2**70, 2**70 + 2**65, 2**70 + 2**66]
    assert Source((range(2**70),)).pull(2) == [0, 1]


def test_several_iterables_are_zipped() -> None:
    """Several iterables give argument tuples, as many as the shortest has; one of tuples is read as it is."""
    source = Source(([1, 2], "abc"))
    assert source.star and rest_of(source) == [(1, "a"), (2, "b")]
    single = Source(([(1, 2)],), star=True)
    assert single.star and rest_of(single) == [(1, 2)] and not Source(([1],)).star


# The end ----------------------------------------------------------------------------------------------------


class Thing:
    """Can be seen to go."""


@pytest.mark.parametrize("kind", ["list", "iterator", "heaviest first"])
def test_an_input_that_is_let_go_is_held_no_longer(kind: str) -> None:
    """Neither what was pulled nor the rest; nothing more is had from it."""
    things = [Thing() for _ in range(4)]
    seen = [weakref.ref(thing) for thing in things]
    source: Source
    if kind == "heaviest first":
        source = open_source((things,), False, lambda thing: 1).for_workers()
    else:
        source = Source((things if kind == "list" else iter(things),))
    source.put_by(source.pull(2))
    source.take(1)
    source.let_go()
    del things
    gc.collect()
    assert [ref() for ref in seen] == [None] * 4
    assert source.pull(3) == [] and not len(source.take(3)[1]) and source.peek() is None
    assert source.over and source.at_hand == 0 and source.remaining() == 0


def test_a_source_follows_the_wish_for_a_size() -> None:
    """Only what is weighed is handed out in another order; the others are their own source for workers."""
    plain = open_source(([1, 2],), False)
    assert type(plain) is Source and plain.for_workers() is plain and not plain.scattered
    assert type(open_source(([1, 2],), False, abs)) is Weighed
