"""What of an input may be read ahead: items that nobody can change, and inputs that calls cannot change."""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import enum
import io
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autoexec.engine.source import Source
from autoexec.safety.moving import Moving, glance, shared


class Pair(NamedTuple):
    x: int
    y: Any


Color = enum.Enum("Color", "RED")
KEPT: list[Any] = [[1], [2], [3]]


def held() -> Iterator[list[int]]:
    """Lists that the generator still refers to."""
    for i in range(3):
        row = [i]
        yield row


def nested() -> Iterator[tuple[int, list[int]]]:
    """The tuple is another one, the list in it the same."""
    row = [0]
    for i in range(3):
        yield i, row


@pytest.mark.parametrize(
    ("make", "ahead"),
    [
        (lambda: (i for i in range(3)), True),
        (lambda: ([i] for i in range(3)), True),
        (lambda: ({"a": [i]} for i in range(3)), False),  # `values` of a dict are counted once more
        (lambda: ([[i], (i, [i])] for i in range(3)), True),
        (lambda: (bytearray(3) for _ in range(3)), True),
        (lambda: csv.reader(io.StringIO("a,b\nc,d\ne,f\n")), True),
        (lambda: csv.DictReader(io.StringIO("a,b\nc,d\ne,f\ng,h\n")), True),
        (lambda: iter([dt.date(2020, 1, 1), Decimal(1), Path("x")]), True),
        (lambda: iter([frozenset({1}), Color.RED, Pair(1, (2, 3))]), True),
        (lambda: zip(range(3), "abc", strict=True), True),
        (lambda: iter(KEPT), False),
        (lambda: (row for row in KEPT), False),
        (held, False),
        (nested, False),
        (lambda: iter([{1}, {2}, {3}]), False),
        (lambda: iter([object(), object(), object()]), False),
    ],
)
def test_items_that_nobody_else_has_are_read_ahead(make: Callable[[], Iterator[Any]], *, ahead: bool) -> None:
    """Values, and containers that only the reader refers to; of others one at a time."""
    source = Source((make(),))
    assert len(source.pull(3)) == (3 if ahead else 1)
    assert (source.moving is None) == ahead


@pytest.mark.parametrize(
    "change",
    [
        (lambda: [1], lambda item: item.append(2)),
        (lambda: {"a": [1]}, lambda item: item["a"].append(2)),
        (lambda: bytearray(8), lambda item: item.__setitem__(5, 1)),
        (lambda: [[0.0]], lambda item: item[0].__setitem__(0, -0.0)),
        (lambda: {1}, lambda item: item.add(2)),
        (lambda: bytearray(8 << 20), lambda item: item.__init__(b"\1" * (8 << 20))),
    ],
)
def test_a_glance_sees_what_changes(change: tuple[Callable[[], Any], Callable[[Any], object]]) -> None:
    """Nothing of the user's is run for that."""
    item = change[0]()
    before = glance(item)
    assert glance(item) == before
    change[1](item)
    assert glance(item) != before


def test_a_change_by_the_pull_is_told_from_one_by_the_call() -> None:
    """What a function does to its items says nothing of the input."""
    rows = [[0], [1]]
    moving = Moving(iter(()))
    moving.pulled(rows[0])
    rows[0].append(5)  # the call
    moving.before()
    moving.after()
    assert not moving.words and moving.looks == 1
    moving.before()
    rows[0].append(6)  # the pull
    moving.after()
    assert "list" in moving.words


TODO: list[int] = []
OTHER: list[int] = []


def from_global() -> Iterator[int]:
    """Reads a global."""
    while TODO:
        yield TODO.pop()


def fills(item: int) -> None:
    """Changes that global."""
    TODO.append(item)


def helps(item: int) -> None:
    """Does it by another function."""
    fills(item)


class Crawler:
    """Has a list that it reads and fills."""

    def __init__(self) -> None:
        self.todo: list[int] = [1]

    def read(self) -> Iterator[int]:
        """Read it."""
        while self.todo:
            yield self.todo.pop()

    def visit(self, item: int) -> None:
        """Fill it."""
        self.todo.append(item)


def test_what_input_and_function_share_is_found() -> None:
    """By globals, by helpers, by cells, by attributes; and an unrelated function shares nothing."""
    crawler, own = Crawler(), [1]
    assert shared([from_global()], fills) == shared([from_global()], helps) == "list"
    assert shared([crawler.read()], crawler.visit)
    assert shared([iter(crawler.todo)], crawler.visit)
    assert shared([enumerate(own)], lambda item: own.append(item)) == "list"
    assert shared([map(str, iter(own))], lambda item: own.append(item)) == "list"
    assert shared([iter(own)], lambda item: OTHER.append(item)) == ""
    assert shared([from_global()], lambda item: OTHER.append(item)) == ""


# What the input changes, and the function reads --------------------------------------------------------


PULLED: list[int] = []
DICE = random.Random(3)
LIMITS = {"n": 5}


class Session(argparse.Namespace):
    """Of the user's, with something of a library's inside."""


CLIENT = Session(parser=argparse.ArgumentParser(), calls=0)


def counted() -> Iterator[int]:
    """Notes what was pulled."""
    for number in range(LIMITS["n"]):
        PULLED.append(number)
        yield number


def drawn() -> Iterator[float]:
    """Draws from what the function draws from."""
    for _ in range(LIMITS["n"]):
        yield DICE.random()


def limited() -> Iterator[int]:
    """Reads what the function reads."""
    yield from range(LIMITS["n"])


def parsed() -> Iterator[int]:
    """A library's object keeps something for itself."""
    for number in range(LIMITS["n"]):
        CLIENT.parser.set_defaults(**{f"a{number}": number})
        yield number


@pytest.mark.parametrize(
    ("source", "func", "moves"),
    [
        (counted, lambda x: x - len(PULLED), "list"),
        (drawn, lambda x: x - DICE.random(), "Random"),
        (limited, lambda x: x - LIMITS["n"], ""),
        (parsed, lambda x: CLIENT.parser.parse_args([]), ""),
    ],
)
def test_the_input_changes_what_the_function_reads(
    source: Callable[[], Iterator[Any]], func: Callable[[Any], Any], moves: str
) -> None:
    """Then none is pulled before those before have run; two pulls have to show that it does not."""
    PULLED.clear()
    items = Source((source(),))
    items.shares(func)
    assert not items.ahead
    for _ in range(2):
        assert items.unsure
        items.put_by(items.pull(1))
        items.take(1)
        if moves:
            break
    assert not items.unsure
    assert items.moves() == (f"the input changes a {moves} that the function reads" if moves else "")
