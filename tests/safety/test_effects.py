"""Looking around items: what changes what outlives it is seen, what only seems to is let go."""

from __future__ import annotations

import functools
import itertools
import operator
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoexec.records import CHANGES_ARGUMENT, Hazard
from autoexec.safety.effects import Effects
from autoexec.safety.hazards import find_hazards
from autoexec.safety.look import look
from autoexec.safety.quick_check import harmless
from autoexec.safety.reach import reach
from tests.safety.corpus import EFFECTS, HARMLESS


@pytest.fixture
def program(
    module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Runs a program as a module of the user's, and returns its names; what it sets is set back."""
    monkeypatch.setenv("CORPUS_LAST", "")
    monkeypatch.chdir(Path.cwd())
    argv, path = list(sys.argv), list(sys.path)
    yield lambda text: vars(module(text))
    sys.argv[:], sys.path[:] = argv, path


def verdict(work: Any, items: Any) -> tuple[bool, Effects]:
    """Whether a function is held, as the engine asks: a glance, looks around items, what its code shows."""
    items = list(itertools.islice(iter(items), 3))
    effects = Effects(work)
    if harmless(work) and all(type(item) is int for item in items):
        return False, effects
    for item in items:
        if not effects.wanted:
            break
        effects.before((item,))
        work(item)
        effects.after((item,))
    read = [hazard for hazard in find_hazards(work) if not effects.explains(hazard)]
    return bool(read or effects.hazards()), effects


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_are_held(name: str, program: Callable[[str], dict[str, Any]]) -> None:
    """Whatever way the change takes."""
    import decimal
    import random
    import warnings

    with decimal.localcontext(), warnings.catch_warnings():
        names, state = program(EFFECTS[name]), random.getstate()
        held, _ = verdict(names["work"], names.get("ITEMS", range(1, 4)))
        random.setstate(state)
    np.random.seed(None)
    assert held


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_seems_to_change_something_is_let_go(
    name: str, program: Callable[[str], dict[str, Any]]
) -> None:
    """Lazy parts, caches, readers, what is made and dropped."""
    held, effects = verdict(program(HARMLESS[name])["work"], range(1, 4))
    assert not held, effects.hazards()
    assert effects.settled or not effects.looks


# What is said -----------------------------------------------------------------------------------------------


def around(func: Callable[..., Any], *args: Any) -> list[Hazard]:
    """One item, looked at."""
    effects = Effects(func)
    effects.before(args)
    func(*args)
    effects.after(args)
    return list(effects.hazards())


def doubles(array: Any) -> Any:
    """In place."""
    array *= 2
    return array


def marks(row: dict[str, int]) -> None:
    """A row of the input."""
    row["seen"] = 1


@pytest.mark.parametrize(
    ("func", "args", "name"),
    [
        (marks, ({"a": 1},), "row"),
        (doubles, (np.ones(5),), "array"),
        (doubles, (np.ones((6, 6))[::2, 1:3],), "array"),
        (operator.setitem, ([1, 2], 0, 5), "args[0]"),
        (functools.partial(operator.setitem, [1, 2]), (0, 5), None),
    ],
)
def test_arguments_that_are_changed(func: Any, args: Any, name: str | None) -> None:
    """They are named, and threads are fine with it; what is bound is no argument."""
    wanted = [] if name is None else [(CHANGES_ARGUMENT, name, True)]
    assert [
        (h.kind, h.name, h.threads_ok) for h in around(func, *args) if h.kind == CHANGES_ARGUMENT
    ] == wanted


class Counter:
    def __init__(self) -> None:
        self.n, self.seen = 0, list[int]()

    def bump(self, x: int) -> None:
        self.n += 1

    def note(self, x: int) -> None:
        self.seen.append(x)


def test_what_changed_is_named() -> None:
    """By its way from the function; numbers that count are not for threads."""
    (found,) = around(Counter().bump, 1)
    assert (found.name, found.threads_ok) == ("self.n", False) and "test_effects.py" in found.where
    (found,) = around(Counter().note, 1)
    assert (found.name, found.threads_ok) == ("self.seen", True)


# Looks ------------------------------------------------------------------------------------------------------


def test_two_looks_tell_once_from_again() -> None:
    """After the first nobody knows; a place that is filled again is an effect."""
    held: dict[str, Any] = {}

    def once(x: int) -> None:
        if "table" not in held:
            held["table"] = (1, 2)

    effects = Effects(once)
    for expected in (False, True):
        effects.before((1,))
        once(1)
        effects.after((1,))
        assert effects.settled is expected


def test_large_containers_are_compared() -> None:
    """Entry by entry, without going into each."""
    big: list[Any] = [str(i) for i in range(200_000)]

    def work(x: int) -> None:
        operator.setitem(big, 100_000, x)

    assert around(work, 7)


def test_a_look_ends_in_time() -> None:
    """Much may be reached; the nearest is noted first, and what is left out is known."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep, {}]

    def work(x: int) -> Any:
        return deep

    began = time.perf_counter()
    found = reach(work, (1,), until=time.thread_time() + 0.05)
    assert not found.whole and found.places
    assert time.perf_counter() - began < 5.0


def test_nothing_is_asked_of_the_objects() -> None:
    """Neither attributes nor equality nor truth: they may be traps."""

    class Trap:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

        def __eq__(self, other: object) -> bool:
            raise AssertionError("==")

        def __bool__(self) -> bool:
            raise AssertionError("bool")

        __hash__ = None  # type: ignore[assignment]

    trap = [Trap(), {1: Trap()}]

    def work(x: int) -> int:
        return len(trap)

    notes = look(work, (Trap(),), time.thread_time() + 5.0)
    work(1)
    assert notes.compare() == []


def test_equal_values_that_are_set_again_are_no_change() -> None:
    """A number or a text that is computed anew is another object with the same value."""
    cell = {"name": "ab", "n": 1000}

    def work(x: int) -> None:
        cell["name"], cell["n"] = str(b"ab", "ascii"), int("1000")

    assert around(work, 1) == []


class Collides:
    """A key that counts how often it is asked; all of them have the same hash."""

    asked = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        Collides.asked += 1
        return isinstance(other, Collides) and self.number == other.number


def test_keys_are_not_asked_whether_they_are_equal() -> None:
    """Not even where their hashes are: a copy of a dict would ask, and that is an effect of its own."""
    table = {Collides(number): number for number in range(8)}
    Collides.asked = 0
    effects = Effects(lambda x: len(table) + x)
    effects.before((1,))
    effects.after((1,))
    assert Collides.asked == 0 and not effects.hazards()


def test_functions_that_c_code_calls_are_gone_into(program: Callable[[str], dict[str, Any]]) -> None:
    """Such as a comparison, which sorting calls through an object of C code."""
    names = program(
        "from functools import cmp_to_key\n"
        "count = [0]\n"
        "def compare(a, b):\n    count[0] += 1\n    return a - b\n"
        "KEY = cmp_to_key(compare)\n"
        "def work(x): return sorted([3, x, 1], key=KEY)\n"
    )
    held, effects = verdict(names["work"], range(3))
    assert held and "count" in str(effects.hazards())


def test_what_a_library_shows_of_a_function_is_compared(program: Callable[[str], dict[str, Any]]) -> None:
    """Such as the registry of a function that dispatches by the class of its argument."""
    names = program(
        "from functools import singledispatch\n"
        "@singledispatch\ndef show(x): return 'plain'\n"
        "def work(x):\n"
        "    show.register(type(f'T{x}', (), {}), lambda y: 'special')\n"
        "    return show(x)\n"
    )
    held, effects = verdict(names["work"], range(3))
    assert held and "show.registry" in str(effects.hazards())


def test_loggers_whose_names_are_made_are_gone_into(program: Callable[[str], dict[str, Any]]) -> None:
    """What stands at any logger with a handler or a filter may be reached."""
    names = program(
        "import logging\n"
        "class Seen(logging.Filter):\n"
        "    count = 0\n"
        "    def filter(self, record):\n        self.count += 1\n        return False\n"
        "SEEN = Seen()\nPARTS = ['autoexec_tests', 'made']\n"
        "logging.getLogger('.'.join(PARTS)).addFilter(SEEN)\n"
        "def work(x):\n    logging.getLogger('.'.join(PARTS)).warning('x')\n    return x\n"
    )
    try:
        held, effects = verdict(names["work"], range(3))
    finally:
        names["logging"].getLogger("autoexec_tests.made").removeFilter(names["SEEN"])
    assert held and "count" in str(effects.hazards())


def test_a_loader_is_not_gone_into(program: Callable[[str], dict[str, Any]]) -> None:
    """Neither where code may reach every name of its module, nor where pytest has rewritten an assertion."""
    source = "class Loader:\n    def __init__(self, held): self.held = held\n"
    names = program(source + "def work(x):\n    assert x or locals(), x\n    return x\n")
    names["__loader__"] = names.pop("Loader")(number for number in range(3))
    held, effects = verdict(names["work"], range(1, 4))
    assert not held and not effects.hazards(strict=True)
