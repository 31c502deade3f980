"""An object in few words: those of its `repr`, as far as it goes, whatever its size."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.brief import NO_WORDS, brief
from autoexec.errors import shown

MOST = 60


class Asked:
    """Counts how often any of them is written."""

    times = 0

    def __repr__(self) -> str:
        Asked.times += 1
        return "Asked()"


class Forbidden:
    """Writing it is a mistake."""

    def __repr__(self) -> str:
        raise AssertionError("nobody should have asked")


class Colour(enum.IntEnum):
    """A number with a name."""

    RED = 1


class Rows(list[Any]):
    """A list of the user's own."""


class Tags(set[Any]):
    """A set of the user's own."""


class Point(NamedTuple):
    """A named tuple."""

    x: Any
    y: Any


@dataclasses.dataclass
class Order:
    """A record that has a secret."""

    number: int
    rows: Any
    card: str = dataclasses.field(default="4000 1234", repr=False)


@dataclasses.dataclass
class Laconic:
    """A record with words of its own."""

    rows: Any

    def __repr__(self) -> str:
        return "Laconic!"


SMALL: list[Any] = [
    *(0, -7, True, None, 1.5, 2j, ..., NotImplemented, Colour.RED, range(3), slice(1, 2)),
    *("", "it's", b"x", bytearray(b"y"), memoryview(b"z")),
    *([], [1, [2]], (), (1,), (1, (2, 3)), set(), {1}, frozenset(), frozenset({1}), {}, {"a": {1: [2]}}),
    *(Rows([1]), Tags(), Tags([1]), Point(1, "b"), Order(1, [2]), Laconic([1])),
    *(
        collections.deque([1]),
        collections.deque([1], 3),
        collections.Counter("aab"),
        collections.UserDict(a=1),
    ),
    *(collections.defaultdict(list, {1: [2]}), collections.UserList([1]), {1: 2}.keys(), {1: 2}.values()),
    *(array.array("i", [1, 2]), types.SimpleNamespace(a=1), ValueError("no"), KeyError(), OSError(2, "no")),
    *(functools.partial(print, 1, sep=""), Order(1, []).__init__, [].append, print, Order, types, object()),
    *(decimal.Decimal("1.50"), Path("a/b"), dt.date(2024, 1, 2)),
]


@pytest.mark.parametrize("item", SMALL, ids=lambda item: type(item).__name__)
def test_small_things_are_written_as_ever(item: object) -> None:
    """What fits is `repr`, to the letter."""
    assert brief(item, 500) == repr(item)


def large() -> Iterator[Any]:
    """Things that would take long to write; past the first fields and elements writing is forbidden."""
    end = Forbidden()
    rows = [*range(MOST), end]
    yield from (
        rows,
        (rows,),
        {"a": rows},
        {1: 2, "b": rows},
        Rows(rows),
        collections.deque(rows),
        [[[rows]]],
    )
    yield from (dict.fromkeys(rows), dict.fromkeys(rows).keys(), dict.fromkeys(range(9), rows).values())
    yield from (Point(1, rows), Order(1, rows), types.SimpleNamespace(a=rows), ValueError(rows))
    yield from (functools.partial(print, rows), functools.partial(print, sep=rows), Rows(rows).append)
    yield from (Order(1, rows).__init__, collections.UserList(rows), collections.OrderedDict(a=rows))
    yield from (collections.Counter(rows), collections.defaultdict(list, {"a": rows}), Laconic(rows))


@pytest.mark.parametrize("item", list(large()), ids=lambda item: type(item).__name__)
def test_large_things_are_not_written_to_the_end(item: object) -> None:
    """There is enough long before the last of them; and nothing says that it could not be shown."""
    text = brief(item, MOST)
    assert len(text) <= MOST
    assert text != NO_WORDS


def test_only_so_many_parts_are_asked() -> None:
    """Of a million objects some ten write themselves."""
    Asked.times = 0
    assert brief([Asked()] * 10**6, MOST).endswith("...")
    assert Asked.times <= MOST // len("Asked()") + 1


@pytest.mark.parametrize(
    "item", ["x" * 10**6, b"x" * 10**6, bytearray(10**6)], ids=lambda x: type(x).__name__
)
def test_text_is_cut_before_it_is_written(item: Any) -> None:
    """The beginning, then the mark that there is more."""
    text = brief(item, MOST)
    assert len(text) == MOST and text.endswith("...")
    assert repr(item[:10])[:-2] in text


@pytest.mark.parametrize("number", [10**100_000, -(10**100_000)], ids=["positive", "negative"])
def test_huge_numbers_are_described(number: int) -> None:
    """Writing them takes long; beyond some thousand digits the interpreter refuses to."""
    assert brief(number, MOST) == "<int of 332193 bits>"


def test_what_contains_itself() -> None:
    """Nesting is written a few levels deep."""
    ring: list[Any] = []
    ring.append(ring)
    assert brief(ring, MOST).strip("[]") == "..."


def test_deeply_nested_things() -> None:
    """No depth is too much."""
    deep: Any = ()
    for _ in range(10_000):
        deep = [deep]
    assert "..." in brief(deep, MOST)


def test_generated_words_tell_only_what_they_may() -> None:
    """A field that is left out of `repr` is left out here; a `__repr__` of the user's own is asked."""
    assert brief(Order(1, list(range(10**6))), 30) == "Order(number=1, rows=[0, 1,..."
    assert "card" not in brief(Order(1, []), 500)
    assert brief(Laconic([0] * 10**6), 30) == "Laconic!"


def test_records_of_attrs() -> None:
    """Their generated words are treated in the same way."""
    attr = pytest.importorskip("attr")
    kind = attr.make_class("Payload", {"name": attr.ib(), "rows": attr.ib(), "key": attr.ib(repr=False)})
    assert brief(kind("a", [1], 2), 500) == repr(kind("a", [1], 2))
    text = brief(kind("a", [*range(MOST), Forbidden()], 2), MOST)
    assert text.startswith("Payload(name='a', rows=[0, 1, 2") and text.endswith("...")


def test_arrays_are_named_by_their_shape() -> None:
    """A small one is written out; of a large one nobody wants to read the first numbers."""
    np = pytest.importorskip("numpy")
    assert brief(np.arange(3), MOST) == "array([0, 1, 2])"
    assert brief(np.float64(2), MOST) == repr(np.float64(2))
    assert brief(np.zeros((100, 20)), MOST) == "<numpy.ndarray of shape (100, 20), float64>"
    assert brief(np.array([Forbidden(), 2]), MOST) == "<numpy.ndarray of shape (2,), object>"
    assert brief([np.zeros(100)], MOST) == "[<numpy.ndarray of shape (100,), float64>]"


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {1: x}, lambda x: Order(1, x)])
def test_words_that_raise(wrap: Any) -> None:
    """Whatever raises, alone or inside something, the answer is a text."""
    assert brief(wrap(Forbidden()), MOST) == NO_WORDS


def test_ctrl_c_is_not_kept() -> None:
    """Only ordinary errors of a `__repr__` are swallowed."""

    class Stopping:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        brief([Stopping()], MOST)


ANYTHING = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.builds(Forbidden)),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.text(), inner), st.builds(Order, st.integers(), inner)
    ),
    max_leaves=20,
)


@given(ANYTHING, st.integers(4, 200))
def test_it_never_raises_and_never_grows(item: object, most: int) -> None:
    """At most so many characters; the whole `repr` where that fits."""
    text = brief(item, most)
    assert len(text) <= max(most, len(NO_WORDS))
    try:
        whole = repr(item)
    except AssertionError:
        return
    if len(whole) <= most and whole.count("[") + whole.count("{") + whole.count("(") < 7:
        assert text == whole


def test_the_helper_that_errors_share() -> None:
    """`errors.shown` is the same with a usual length."""
    assert shown([1, 2]) == "[1, 2]"
    assert len(shown(list(range(1000)))) == 100
    assert shown("x" * 100, 10) == brief("x" * 100, 10)
