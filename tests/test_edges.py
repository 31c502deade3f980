"""What an object is made of is one rule: each walk follows every edge, whatever it looks for."""

from __future__ import annotations

import contextlib
import importlib
import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autoexec.introspect.code import modules_of
from autoexec.introspect.contents import of_generator
from autoexec.introspect.layers import inside
from autoexec.known_objects import known_to
from autoexec.safety.globals_read import module_state
from autoexec.safety.hazards import find_hazards
from autoexec.safety.item_state import item_state
from autoexec.safety.moving import shared
from autoexec.safety.reach import reach
from autoexec.worker.generators import give_entropy

FAR = """
import random
TODO, DICE, VALUE = [], random.Random(1), 1
class Config:
    MARK, todo = object(), []
def drain():
    while TODO: yield TODO.pop()
def drain_class():
    while Config.todo: yield Config.todo.pop()
"""
NEAR = """
import contextlib, functools, weakref
import edges_of_test.far
def dotted(x): return [(far := edges_of_test.far).TODO, far.DICE, far.VALUE, far.Config.MARK]
def imported(x):
    import edges_of_test.far
    return [(far := edges_of_test.far).TODO, far.DICE, far.VALUE, far.Config.MARK]
def relative(x):
    from . import far
    return [far.TODO, far.DICE, far.VALUE, far.Config.MARK]
def relative_names(x):
    from .far import DICE, TODO, VALUE, Config
    return [TODO, DICE, VALUE, Config.MARK]
def inner_import(x):
    return (lambda: relative(x))()
def keyword(x, *, helper=dotted): return helper(x)
def attribute(x): return attribute.helper(x)
attribute.helper = dotted
def make():
    def inside(x): return dotted(x) if x else later
    return inside
    later = 1
unfilled = make()
@contextlib.contextmanager
def managed(x): yield dotted(x)
class Has:
    __slots__ = ("__dict__", "slot")
    def __init__(self): self.slot = dotted
    @functools.cached_property
    def lazily(self): return dotted(0)
    @functools.lru_cache
    def kept(self): return dotted(0)
    @functools.singledispatchmethod
    def by_type(self, x): return dotted(x)
    part = functools.partialmethod(lambda self, helper: helper(0), dotted)
    @property
    def known(self): return 0
    @known.setter
    def known(self, value): dotted(0)
    @staticmethod
    def static(x): return dotted(x)
class Deleted:
    @property
    def known(self): return 0
    @known.deleter
    def known(self): dotted(0)
def lazily(x, has=Has()): return has.lazily
def kept(x, has=Has()): return has.kept()
def by_type(x, has=Has()): return has.by_type(x)
def part(x, has=Has()): return has.part()
def setter(x, has=Has()): has.known = x
def deleter(x, has=Deleted()): del has.known
def static(x, has=Has()): return has.static(x)
class Observed:
    def __init__(self, *kept): self.kept = kept
    def tell(self, x): return [kept()(x) for kept in self.kept]
class Observer:
    def hear(self, x): return dotted(x)
OBSERVER = Observer()
def weak(x, seen=Observed(weakref.ref(dotted))): return seen.tell(x)
def weak_method(x, seen=Observed(weakref.WeakMethod(OBSERVER.hear))): return seen.tell(x)
"""
WAYS = (
    *("dotted", "imported", "relative", "relative_names", "inner_import", "keyword", "attribute", "unfilled"),
    *("managed", "lazily", "kept", "by_type", "part", "setter", "deleter", "static"),
    *("weak", "weak_method"),
)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    """A package of the user's: the functions, and what they reach."""
    (tmp_path / "edges_of_test").mkdir()
    for name, source in (("__init__", ""), ("far", FAR), ("near", NEAR), ("signal", "def alarm(x): ...")):
        (tmp_path / "edges_of_test" / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("edges_of_test.near"), importlib.import_module("edges_of_test.far")
    for name in [name for name in sys.modules if name.partition(".")[0] == "edges_of_test"]:
        del sys.modules[name]


@pytest.mark.parametrize("way", WAYS)
def test_every_walk_follows_every_edge(package: tuple[ModuleType, ModuleType], way: str) -> None:
    """A list that the input shares, and that may be changed; a stream; a sentinel; a value of a module."""
    near, far = package
    func = getattr(near, way)
    assert shared([far.drain()], func) == "list"
    assert any(place.obj is far.TODO for place in reach(func).places)
    assert give_entropy(func) == 1
    assert known_to(func).token(far.Config.MARK) is not None
    assert ("edges_of_test.far", "VALUE") in module_state(func).values


def test_the_attribute_of_a_class_is_shared(package: tuple[ModuleType, ModuleType]) -> None:
    """Where code names it; two functions may use one class in peace."""
    _, far = package
    made: dict[str, Any] = {"Config": far.Config}
    exec("def fills(x): Config.todo.append(x)\ndef makes(x): return Config()", made)
    assert shared([far.drain_class()], made["fills"]) == "list"
    assert shared([far.drain_class()], made["makes"]) == ""


def test_relative_imports_have_full_names(package: tuple[ModuleType, ModuleType]) -> None:
    """A module of the user's may be called like one of the standard library's."""
    near, _ = package
    assert "edges_of_test.far" in modules_of(near.relative_names) and "far" not in modules_of(near.relative)
    source = "def rings(x):\n    from .signal import alarm\n    return alarm(x)\n"
    source += "def fills(x):\n    from .far import TODO\n    TODO.append(x)\n"
    exec(source, vars(near))
    assert item_state(near.rings) == []
    assert [hazard.name for hazard in find_hazards(near.fills)] == ["TODO"]


def test_methods_of_c_code() -> None:
    """They work on what they belong to."""
    todo: list[int] = []
    assert shared([iter(todo)], todo.append) == "list"
    dice = random.Random(1)
    for draw in (dice.random, lambda draw=dice.random: draw()):
        assert give_entropy(draw) == 1


def test_wrappers_of_libraries_hold_functions() -> None:
    """Those are the user's, and are followed."""
    todo: list[int] = []

    @contextlib.contextmanager
    def fills(item: int) -> Iterator[None]:
        todo.append(item)
        yield

    assert shared([iter(todo)], fills) == "list"


def _reads(todo: list[int]) -> Iterator[int]:
    yield from iter(todo)


def _drains(boxes: list[list[int]]) -> Iterator[int]:
    for item in iter(boxes.pop()):
        yield item + 0


@pytest.mark.parametrize("make", [_reads, lambda todo: _drains([todo])])
def test_what_a_generator_iterates_over(make: Callable[[list[int]], Iterator[int]]) -> None:
    """It stands in no variable."""
    todo = [1, 2]
    items = make(todo)
    next(items)
    assert any(type(part).__name__ == "list_iterator" for part in of_generator(items))  # type: ignore[arg-type]
    assert shared([items], todo.append) == "list"
    list(items)
    assert of_generator(items) == []  # type: ignore[arg-type]


def test_what_stands_for_something_else() -> None:
    """Its parts; of what stands for itself none."""
    assert inside(print) == [] and inside(3) is None and inside([]) is None
    assert inside(property(None, setattr)) == [None, setattr, None]


class Slots:
    """Holds a lock where no dictionary is."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = threading.Lock()


def test_slots_are_held() -> None:
    """A lock is one in a slot, too."""
    held = Slots()
    assert "captured lock" in {hazard.kind for hazard in find_hazards(lambda x: (held, x))}
