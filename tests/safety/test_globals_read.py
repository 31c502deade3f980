"""Which globals of the user's modules travel with a function."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator

import pytest

from autoexec.safety.globals_read import module_globals

SETTINGS = """
import autoexec
LEVEL = 3
TABLE = [1, 2]
class Kind: ...
def helper(x): return x + LEVEL
@autoexec.parallel
def decorated(x): return x + LEVEL
"""
WORK = """
import math, settings_of_test
import autoexec
from settings_of_test import decorated, helper
FACTOR, UNUSED = 2, 5
def direct(x): return x * FACTOR
def through_a_module(x): return x + settings_of_test.LEVEL
def through_a_helper(x): return helper(x)
@autoexec.parallel
def outside(x): return x * FACTOR
def through_a_decorated_helper(x): return decorated(x)
def inside(xs): return [x * FACTOR for x in xs] + list(map(lambda x: x + settings_of_test.LEVEL, xs))
def library(x): return math.sqrt(x) + math.pi
def again(x): return again(x - 1) * FACTOR if x else 1
class Job:
    def run(self, x): return x * FACTOR
    def __call__(self, x): return x * FACTOR
"""


@pytest.fixture
def work(tmp_path: object) -> Iterator[types.ModuleType]:
    """Two modules of the user's, one of which uses the other."""
    made = {}
    for name, source in (("settings_of_test", SETTINGS), ("work_of_test", WORK)):
        made[name] = sys.modules[name] = types.ModuleType(name)
        made[name].__file__ = f"/home/somebody/{name}.py"
        exec(compile(source, f"/home/somebody/{name}.py", "exec"), vars(made[name]))
    yield made["work_of_test"]
    for name in made:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("direct", {("work_of_test", "FACTOR"): 2}),
        ("through_a_module", {("settings_of_test", "LEVEL"): 3}),
        ("through_a_helper", {("settings_of_test", "LEVEL"): 3, ("work_of_test", "helper"): "helper"}),
        ("outside", {("work_of_test", "FACTOR"): 2}),
        (
            "through_a_decorated_helper",
            {("settings_of_test", "LEVEL"): 3, ("work_of_test", "decorated"): "decorated"},
        ),
        ("inside", {("work_of_test", "FACTOR"): 2, ("settings_of_test", "LEVEL"): 3}),
        ("library", {}),
        ("again", {("work_of_test", "FACTOR"): 2}),
    ],
)
def test_what_is_read(work: types.ModuleType, name: str, expected: dict[tuple[str, str], object]) -> None:
    """Plain globals, of the function's own module and of those it uses, also in functions inside it.

    What comes from another module is named, too: it may have been put there later.
    """
    found = module_globals(getattr(work, name))
    assert {key: getattr(value, "__name__", value) for key, value in found.items()} == expected


def test_as_it_is_now(work: types.ModuleType) -> None:
    """Not what the module began with."""
    work.FACTOR = table = [7]
    assert module_globals(work.direct)["work_of_test", "FACTOR"] is table


def test_what_carries_a_function(work: types.ModuleType) -> None:
    """Partials, methods, callable objects and captured functions are looked into."""
    direct, expected = work.direct, {("work_of_test", "FACTOR"): 2}
    for call in (functools.partial(direct, 1), work.Job().run, work.Job(), lambda x: direct(x)):
        assert module_globals(call) == expected


def test_functions_that_travel_whole_bring_nothing_else() -> None:
    """What lives in `__main__` goes by value, with what it reads."""
    namespace = {"__name__": "__main__", "LEVEL": 3}
    exec("def item(x): return x + LEVEL", namespace)
    item = namespace["item"]
    assert callable(item) and module_globals(item) == {}
    assert module_globals(len) == {} and module_globals(int) == {} and module_globals(3) == {}  # type: ignore[arg-type]
