"""Functions that differ by what is bound to them have rows of their own in a journal."""

from __future__ import annotations

import collections
import functools
import operator
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoexec
from autoexec.journal.identity import function_identity


class Model:
    """An object with slots that can be called."""

    __slots__ = ("n",)

    def __init__(self, n: Any) -> None:
        self.n = n

    def __call__(self, x: int) -> Any:
        """Call it."""
        return self.n, x

    predict = __call__


class Pipeline:
    """An object that holds others, itself, and a lock."""

    def __init__(self, n: int) -> None:
        self.lock, self.me = threading.Lock(), self
        self.parts = {"first": [Model({n})], "second": collections.deque([n])}

    def run(self, x: int) -> Any:
        """Run it."""
        return self.parts, x


class Tagged(dict):  # type: ignore[type-arg]
    """A dict that can be called."""

    def __call__(self, x: int) -> Any:
        """Call it."""
        return self["n"], x


def times(numbers: Any, x: int) -> Any:
    """What partials are of."""
    return numbers, x


def over(held: Any) -> Callable[[int], Any]:
    """A closure."""
    return lambda x: (held, x)


def array_of(n: int) -> Any:
    """An array."""
    import numpy as np

    return np.full(1000, n)


MAKERS: dict[str, Callable[[int], Any]] = {
    "bound method": lambda n: Model(n).predict,
    "object with slots": Model,
    "object that holds others": lambda n: Pipeline(n).run,
    "dict that can be called": lambda n: Tagged(n=n),
    "partial of a list": lambda n: functools.partial(times, [n]),
    "partial of a keyword": lambda n: functools.partial(times, x={"a": {n}}),
    "partial of a model's method": lambda n: functools.partial(Model([n]).predict),
    "closure over a dict": lambda n: over({"n": n}),
    "closure over an object": lambda n: over(Model(n)),
    "closure over a closure": lambda n: over(over([n])),
    "closure over a lambda": lambda n: over((lambda x: x + 1) if n == 2 else (lambda x: x * 2)),
    "closure over an array": lambda n: over(array_of(n)),
    "default of a lambda": lambda n: lambda x, held=[n]: (held, x),
    "method caller": lambda n: operator.methodcaller("join", [n]),
}


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_what_is_held_makes_another_function(kind: str) -> None:
    """And the same contents make the same one."""
    make = MAKERS[kind]
    one, same, other = (function_identity(make(n)) for n in (2, 2, 3))
    assert one == same
    assert one.name != other.name


def test_a_journal_keeps_two_models_apart(tmp_path: Path) -> None:
    """Each has the results that it computed, and finds them again."""
    for n in (2, 3, 2):
        assert list(autoexec.map(Model([n]), range(3), journal=tmp_path / "j")) == [
            ([n], i) for i in range(3)
        ]


def test_what_a_function_has_gathered_is_no_part_of_it() -> None:
    """A cache of functools, a lock, and what single dispatch remembers of types that it met."""
    cached = functools.lru_cache(over([1]))
    before = function_identity(over(cached))
    cached(5)
    assert function_identity(over(cached)) == before
    generic = functools.singledispatch(times)
    first = function_identity(generic)
    generic([1], 2)
    assert function_identity(generic) == first
    assert function_identity(over(threading.Lock())) == function_identity(over(threading.Lock()))


def test_too_many_levels_are_an_error_that_says_so() -> None:
    """Nothing is taken for another function because it was not looked at."""
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(autoexec.JournalError, match="levels"):
        function_identity(functools.partial(times, deep))


def test_another_process_finds_the_same_name() -> None:
    """No address, no order of a set, no hash goes into it."""
    code = (
        "import tests.journal.test_held as t; from autoexec.journal.identity import function_identity as f; "
        "print([f(make(2)).name for make in t.MAKERS.values()], "
        "f(t.over({'a', 'b', 'c', t.Model('x')})).name)"
    )
    root = str(Path(__file__).parents[2])
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1] != ""
