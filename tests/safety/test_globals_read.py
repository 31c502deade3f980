"""Which globals of the user's modules travel with a function."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import json
import pickle
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from autoexec.by_value import dumps, travelling_whole
from autoexec.safety.globals_read import module_state

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
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """Two modules of the user's, one of which uses the other."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = {}
    for name, source in (("settings_of_test", SETTINGS), ("work_of_test", WORK)):
        file = tmp_path / f"{name}.py"
        file.write_text(source)
        made[name] = sys.modules[name] = types.ModuleType(name)
        made[name].__file__ = str(file)
        exec(compile(source, str(file), "exec"), vars(made[name]))
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
    found = module_state(getattr(work, name)).values
    assert {key: getattr(value, "__name__", value) for key, value in found.items()} == expected


def test_as_it_is_now(work: types.ModuleType) -> None:
    """Not what the module began with."""
    work.FACTOR = table = [7]
    assert module_state(work.direct).values["work_of_test", "FACTOR"] is table


def test_what_carries_a_function(work: types.ModuleType) -> None:
    """Partials, methods, callable objects and captured functions are looked into."""
    direct, expected = work.direct, {("work_of_test", "FACTOR"): 2}
    for call in (functools.partial(direct, 1), work.Job().run, work.Job(), lambda x: direct(x)):
        assert module_state(call).values == expected


def test_functions_that_travel_whole_bring_nothing_else() -> None:
    """What lives in `__main__` goes by value, with what it reads."""
    namespace = {"__name__": "__main__", "LEVEL": 3}
    exec("def item(x): return x + LEVEL", namespace)
    item = namespace["item"]
    assert callable(item) and module_state(item).values == {}
    assert module_state(len).values == {} and module_state(int).values == {} and module_state(3).values == {}  # type: ignore[arg-type]


# Changed since, or put there by others ----------------------------------------------------------------------

SHOP = """
class Config:
    threshold, names, __secret = 0.5, ["a"], 1
    def limit(self): return LIMIT
    @staticmethod
    def plain(): return RATE
LIMIT, RATE, CLIENT = 1, 2, None
def download(i): return "real"
def process(i): return download(i), Config.threshold
def connect(i):
    global CLIENT
    if CLIENT is None: CLIENT = object()
    return CLIENT
TABLE = {"a": download}
def dispatch(i): return TABLE["a"](i), Config().limit()
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of the user's that lies on the disk."""
    (tmp_path / "shop_of_test.py").write_text(SHOP)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("shop_of_test", None)
    found = importlib.import_module("shop_of_test")
    monkeypatch.setitem(sys.modules, "shop_of_test", found)
    return found


def test_attributes_of_classes(shop: types.ModuleType) -> None:
    """Plain values, and what its methods read; the methods themselves are there anyway."""
    shop.Config.threshold = 0.9
    values = module_state(shop.process).values
    assert values["shop_of_test", "Config.threshold"] == 0.9 and values["shop_of_test", "LIMIT"] == 1
    assert values["shop_of_test", "RATE"] == 2 and ("shop_of_test", "Config.limit") not in values
    assert ("shop_of_test", "download") not in values


@pytest.mark.parametrize("target", ["download", "Config.limit", "Config.plain"])
def test_functions_in_the_place_of_others(shop: types.ModuleType, target: str) -> None:
    """In a module, in a class."""
    seven = lambda *_: 7  # noqa: E731
    with mock.patch(f"shop_of_test.{target}", seven):
        assert module_state(shop.process).values["shop_of_test", target](1) == 7
    assert ("shop_of_test", target) not in module_state(shop.process).values


def test_functions_of_libraries(shop: types.ModuleType) -> None:
    """They stand in the way of other functions, and the worker is not kept for these."""
    call = lambda text: json.loads(text)  # noqa: E731
    assert not module_state(call).strange
    seven = lambda text: 7  # noqa: E731
    with mock.patch("json.loads", seven):
        state = module_state(call)
        assert state.strange and state.values["json", "loads"]("") == 7


def test_what_a_function_fills_itself(shop: types.ModuleType) -> None:
    """A worker may make its own."""
    assert module_state(shop.connect).filled == {("shop_of_test", "CLIENT")}


def test_functions_in_tables_defaults_and_objects(shop: types.ModuleType) -> None:
    """All that it can call is looked at."""
    held = types.SimpleNamespace(call=shop.dispatch)
    for call in (
        shop.dispatch,
        lambda i, do=shop.dispatch: do(i),
        functools.partial(map, shop.dispatch),
        lambda i: held.call(i),
        lambda i: [held.call],
    ):
        assert ("shop_of_test", "LIMIT") in module_state(call).values


def test_a_table_that_holds_itself(shop: types.ModuleType) -> None:
    """It ends."""
    table: list[object] = []
    table += [[table] * 50 for _ in range(50)]
    assert module_state(lambda i: table).values == {}


def test_a_file_that_has_changed_since(shop: types.ModuleType) -> None:
    """Its code goes by value; so does what has no file."""
    assert module_state(shop.process).unknown == set()
    file = Path(str(shop.__file__))
    file.write_text(SHOP.replace('"real"', '"another"'))
    assert module_state(shop.process).unknown == {"shop_of_test"}
    file.write_text("# a comment\n" + SHOP[1:])
    assert module_state(shop.process).unknown == set()
    file.unlink()
    assert module_state(shop.process).unknown == {"shop_of_test"}


class Rewriting(importlib.machinery.SourceFileLoader):
    """Loads files as pytest does: what stands there is rewritten first."""

    def get_code(self, fullname: str) -> types.CodeType:
        """With something more in each function."""
        tree = ast.parse(Path(self.path).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.body[:0] = ast.parse("added = later = None").body
        return compile(tree, self.path, "exec", dont_inherit=True)


def test_a_young_file_that_its_loader_has_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what the file says all the same, until that changes; its loader stays here."""
    file = tmp_path / "young_of_test.py"
    file.write_text("LEVEL = 3\ndef young(x):\n    return x + LEVEL\n")
    loader = Rewriting("young_of_test", str(file))
    spec = importlib.util.spec_from_loader("young_of_test", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "young_of_test", module)
    loader.exec_module(module)
    assert module_state(module.young).unknown == set()
    file.write_text("LEVEL = 3\ndef young(x):\n    return x + abs(LEVEL)\n")
    assert module_state(module.young).unknown == {"young_of_test"}
    loader.lock = threading.Lock()  # type: ignore[attr-defined]
    with travelling_whole({"young_of_test"}):
        copy = pickle.loads(dumps(module))
    assert copy.young(4) == 7 and copy.__loader__ is None


def test_a_pickler_that_was_dropped(shop: types.ModuleType) -> None:
    """Who patches `sys.modules` drops what was imported meanwhile."""
    del shop
    own = [name for name in sys.modules if name.partition(".")[0] == "cloudpickle"]
    kept = {name: sys.modules.pop(name) for name in own}
    try:
        assert pickle.loads(dumps(lambda x: x + 1))(1) == 2
        with mock.patch.dict(sys.modules, kept):
            assert pickle.loads(dumps(lambda x: x + 1))(1) == 2
        assert pickle.loads(dumps(lambda x: x + 1))(1) == 2
    finally:
        sys.modules.update(kept)
