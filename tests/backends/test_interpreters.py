"""Interpreters as workers: offered where the function and what it needs can be imported there."""

from __future__ import annotations

import ast
import inspect
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

import autoexec
from autoexec.backends import interpreters
from autoexec.errors import OptionError
from autoexec.introspect.code import modules_of
from autoexec.records import Calibration
from autoexec.registry import find, row, weighed

needs = pytest.mark.skipif(sys.version_info < interpreters.FIRST, reason="interpreters need CPython 3.14")


def root(x: float) -> float:
    """Names a module of this one."""
    return math.sqrt(x)


def late(x: float) -> str:
    """Imports one when it is called."""
    import colorsys

    return colorsys.__name__


def through(x: float) -> Any:
    """Names a function that does."""
    return late(x), [json.dumps(part) for part in (x,)]


class Pair:
    """Found again by the name of its module, on either side."""

    def __init__(self, x: int) -> None:
        self.x = x


class TwoWords(Exception):
    """Cannot be made again from its `args`."""

    def __init__(self, x: int, y: int) -> None:
        super().__init__(x)
        self.y = y


def awkward(x: int) -> Any:
    """Results and errors that an interpreter would not hand over by itself."""
    import threading

    if x == 1:
        raise TwoWords(x, 2)
    return {2: lambda: x, 3: threading.Lock(), 4: Pair(x)}.get(x, x)


def nested(x: int) -> int:
    """A map inside an item."""
    return sum(autoexec.map(abs, range(x)))


@needs
def test_each_result_is_sent_by_itself() -> None:
    """One that cannot be, or an error that pickles one way only, leaves its neighbours alone."""
    found = list(autoexec.map(awkward, range(6), backend="interpreters", max_workers=2, on_error="return"))
    assert (found[0], found[5]) == (0, 5)
    assert type(found[1]) is TwoWords and found[1].y == 2
    assert found[2]() == 2 and type(found[4]) is Pair
    assert type(found[3]) is TypeError and "a result cannot be sent back" in str(found[3])


@needs
def test_what_interpreters_take() -> None:
    """Instances as items, lambdas of an executor, maps inside items."""
    with autoexec.Executor(backend="interpreters", max_workers=2) as executor:
        assert executor.submit(lambda pair: pair.x, Pair(3)).result() == 3
    assert list(autoexec.map(nested, range(4), backend="interpreters")) == [0, 0, 1, 3]


@pytest.mark.parametrize(
    ("func", "modules"),
    [
        (root, {__name__, "math"}),
        (late, {__name__, "colorsys"}),
        (through, {__name__, "colorsys", "json"}),
        (lambda x: through(x), {__name__, "colorsys", "json"}),
        (len, {"builtins"}),
        (json.dumps, {"json", "json.encoder"}),
    ],
)
def test_the_modules_that_a_function_needs(func: Any, modules: set[str]) -> None:
    """Its own, those that it names, and those that it imports; through functions that it names, too."""
    assert set(modules_of(func)) == modules


def test_a_captured_function_counts() -> None:
    """And an empty cell does not."""

    def made() -> Any:
        def inner() -> Any:
            return inner2, root

        if False:
            inner2 = 1
        return inner

    assert "math" in modules_of(made())


def test_one_file_and_one_row() -> None:
    """All that this backend took: under 150 lines."""
    source = Path(inspect.getfile(interpreters)).read_text(encoding="utf-8")
    assert len(source.splitlines()) < 150 and ast.parse(source)
    assert row("interpreters").name not in dict(weighed(Calibration()))


@pytest.mark.skipif(sys.version_info >= interpreters.FIRST, reason="they are there")
def test_before_their_time() -> None:
    """One clear sentence, at the call; nothing has run."""
    called: list[int] = []
    with pytest.raises(OptionError) as caught:
        autoexec.map(called.append, [1], backend="interpreters")
    words = "backend='interpreters' cannot be used: needs CPython 3.14 or later, this is 3.1"
    assert str(caught.value).startswith(words) and called == []
    with pytest.raises(OptionError, match=r"interpreters \(needs CPython 3.14"):
        find("nothing")


@needs
def test_items_run_there() -> None:
    """Results in order, errors in their places, from every door; the plan names it."""
    results = autoexec.map(root, range(100), backend="interpreters")
    assert list(results) == [math.sqrt(x) for x in range(100)]
    assert results.plan is not None and results.plan.backend == "interpreters"
    found = list(autoexec.map(lambda x: 1 / x, [1, 0, 2], backend="interpreters", on_error="return"))
    assert found[0] == 1.0 and type(found[1]) is ZeroDivisionError and found[2] == 0.5
    with autoexec.Executor(backend="interpreters") as executor:
        assert executor.submit(root, 4).result() == 2.0


def interpreter(_: int) -> int:
    """Which one this is."""
    from concurrent import interpreters as found

    return found.get_current().id


@needs
def test_they_are_others() -> None:
    """No item runs in the caller's."""
    here = interpreter(0)
    assert here not in set(autoexec.map(interpreter, range(20), backend="interpreters", max_workers=2))


def with_numpy(x: float) -> Any:
    """Needs what cannot be imported there."""
    import numpy as np

    return np.float64(x)


@needs
def test_what_needs_numpy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, at the call; the module is tried once."""
    pytest.importorskip("numpy")
    monkeypatch.setattr(interpreters, "_tried", {})
    tried: list[list[str]] = []
    real = interpreters._try
    monkeypatch.setattr(interpreters, "_try", lambda modules: (tried.append(modules), real(modules)))
    for _ in range(2):
        with pytest.raises(OptionError) as caught:
            autoexec.map(with_numpy, [1], backend="interpreters")
        words = str(caught.value)
        assert "with_numpy needs numpy, which cannot be imported in another interpreter" in words
        assert "\n" not in words and len(words) < 300
    assert sum("numpy" in modules for modules in tried) == 1


def test_words_of_an_error() -> None:
    """The line that says why."""
    text = "\nPLEASE READ\n\n  module x does not support loading in subinterpreters \nmore"
    assert interpreters._telling(text) == "module x does not support loading in subinterpreters"
    assert interpreters._telling("one\ntwo") == "one" and interpreters._telling("") == "it fails"
