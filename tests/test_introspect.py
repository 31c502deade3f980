"""What an object really has: made-up attributes are not believed, and nothing of the user's is run."""

from __future__ import annotations

import ast
import asyncio
import builtins
import functools
import importlib
import inspect
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import pytest

import autoexec
from autoexec.checks import is_async
from autoexec.introspect import bare, importable, isa, loaded, name_of, named, static_attribute
from autoexec.introspect.methods import CHANGING_FUNCTIONS, CHANGING_METHODS
from autoexec.safety.quick_check import harmless

LIMIT = 3


class Answering:
    """Like a client that builds paths: it has every attribute, and each is one more of its kind."""

    def __getattr__(self, name: str) -> Answering:
        return Answering()

    def __call__(self, item: Any) -> Any:
        return item


class Refusing:
    """Like a proxy of a remote object: whatever it is asked, it raises."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise ConnectionError(name)

    def __call__(self, item: Any) -> Any:
        return item


class Slotted:
    """Attributes of all kinds."""

    __slots__ = ("empty", "full")
    shared = "class"

    def __init__(self) -> None:
        self.full = "slot"

    @property
    def asked(self) -> NoReturn:
        raise AssertionError("nobody should have asked")

    def method(self) -> None:
        """Do nothing."""


async def fetch(url: Any) -> Any:
    """An async function."""
    return url


async def stream(url: Any) -> Any:
    """An async generator function."""
    yield url


@autoexec.parallel
def helped(item: Any) -> Any:
    """A decorated helper."""
    return item


def plain(item: Any) -> Any:
    """An ordinary function."""
    return item


class Coroutines:
    """A callable object whose calls are awaited."""

    async def __call__(self, url: Any) -> Any:
        return url

    async def method(self, url: Any) -> Any:
        return url

    @classmethod
    async def made(cls, url: Any) -> Any:
        return url

    @staticmethod
    async def free(url: Any) -> Any:
        return url


class Static:
    """A callable object whose call binds to nothing."""

    @staticmethod
    async def __call__(url: Any) -> Any:
        return url


class Synchronous:
    """A wrapper of an async function, as decorators of that kind are written."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        self.func = self.function = function

    def __call__(self, url: Any) -> Any:
        return asyncio.run(self.function(url))


@functools.wraps(fetch)
def synchronous(url: Any) -> Any:
    """The same as a function."""
    return asyncio.run(fetch(url))


# Attributes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [Answering, Refusing, mock.Mock, mock.MagicMock, lambda: mock.Mock(spec=plain)]
)
@pytest.mark.parametrize("name", ["__wrapped__", "__self__", "func", "__func__", "_is_coroutine", "close"])
def test_what_is_made_up_is_not_there(make: Callable[[], Any], name: str) -> None:
    """A default stands in its place."""
    assert static_attribute(make(), name, "none") == "none"


def test_what_is_there() -> None:
    """In the object, in its class, in a slot, in C code; a property as it stands in the class."""
    thing, mocked = Slotted(), mock.Mock()
    mocked.close = plain
    assert static_attribute(thing, "full") == "slot"
    assert static_attribute(thing, "empty", 0) == 0
    assert static_attribute(thing, "shared") == static_attribute(Slotted, "shared") == "class"
    assert isinstance(static_attribute(thing, "asked"), property)
    assert static_attribute(thing, "method") is Slotted.method
    assert static_attribute(mocked, "close") is plain
    assert static_attribute(plain, "__code__") is plain.__code__
    assert static_attribute("".join, "__self__") == ""
    assert static_attribute(Slotted, "__qualname__") == "Slotted"
    assert static_attribute(sys, "maxsize") == sys.maxsize


def test_a_module_that_is_half_imported_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another thread has not finished has parts that are missing."""
    (tmp_path / "slow_to_import.py").write_text(
        "import builtins\nbuiltins.slow_half.set()\nassert builtins.slow_go.wait(20)\nlast = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    half, go = threading.Event(), threading.Event()
    monkeypatch.setattr(builtins, "slow_half", half, raising=False)
    monkeypatch.setattr(builtins, "slow_go", go, raising=False)
    importer = threading.Thread(target=importlib.import_module, args=("slow_to_import",))
    importer.start()
    try:
        assert half.wait(20)
        assert "slow_to_import" in sys.modules and loaded("slow_to_import") is None
    finally:
        go.set()
        importer.join()
    assert loaded("slow_to_import").last == 1
    del sys.modules["slow_to_import"]


def test_types_are_not_asked() -> None:
    """A mock with a specification says that it is another class."""
    assert isinstance(mock.Mock(spec=int), int)
    assert not isa(mock.Mock(spec=int), int)
    assert not isa(Refusing(), int) and isa(True, int)


NAMES: list[tuple[Any, str]] = [
    (plain, "plain"),
    (Slotted.method, "Slotted.method"),
    (Slotted().method, "Slotted.method"),
    (Slotted, "Slotted"),
    (len, "len"),
    (str.upper, "str.upper"),
    ([].append, "list.append"),
    (functools.partial(plain), "partial"),
    (autoexec.parallel(plain), "plain"),
    (Answering(), "Answering"),
    (Refusing(), "Refusing"),
    (mock.MagicMock(), "MagicMock"),
]


@pytest.mark.parametrize("place", range(len(NAMES)))  # pytest itself would ask the objects for names
def test_names(place: int) -> None:
    """What people call it; never something made up."""
    func, name = NAMES[place]
    assert name_of(func) == name


def test_what_is_inside_our_own_wrappers() -> None:
    """Several layers of them, and none of anybody else's."""
    assert bare(autoexec.parallel(autoexec.parallel(plain))) is plain
    for func in (plain, functools.lru_cache(plain), Synchronous(fetch), Answering(), Refusing()):
        assert bare(func) is func


def test_what_is_found_under_its_name() -> None:
    """This very object, in this process; and in a fresh one, unless it stands in the script."""
    script = types.ModuleType("__main__")
    script.helper = types.FunctionType(plain.__code__, {"__name__": "__main__"}, "helper")  # type: ignore[attr-defined]
    script.helper.__qualname__ = "helper"
    assert named(plain) and importable(plain) and importable(len) and importable(Slotted.method)
    assert not any(map(named, (lambda: None, functools.partial(plain), Answering(), Refusing(), mock.Mock())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", script)
        assert named(script.helper) and not importable(script.helper)


# Coroutines -------------------------------------------------------------------------------------------------


def marked(func: Any) -> Any:
    """A function that returns what an async function gave it, and says so."""
    if hasattr(inspect, "markcoroutinefunction"):
        return inspect.markcoroutinefunction(func)
    func._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    return func


ASYNC: dict[str, Any] = {
    "function": fetch,
    "partial": functools.partial(functools.partial(fetch, 1)),
    "object": Coroutines(),
    "static call": Static(),
    "method": Coroutines().method,
    "class method": Coroutines.made,
    "static method": Coroutines.free,
    "cached": functools.lru_cache(fetch),
    "mock": mock.AsyncMock(),
    "marked": marked(lambda url: fetch(url)),
    "decorated": autoexec.parallel(fetch),
    "decorated object": autoexec.parallel(Coroutines()),
    "partial of an object": functools.partial(Coroutines()),
}
SYNC: dict[str, Any] = {
    "function": plain,
    "built in": len,
    "class": Coroutines,
    "object": Answering(),
    "refusing": Refusing(),
    "mock": mock.Mock(),
    "magic mock": mock.MagicMock(),
    "mock of a function": mock.Mock(spec=plain),
    "class of mocks": mock.AsyncMock,
    "wrapper": synchronous,
    "wrapping object": Synchronous(fetch),
    "wrapper of an async generator": Synchronous(stream),
    "partial of a wrapper": functools.partial(Synchronous(fetch)),
    "decorated wrapper": autoexec.parallel(synchronous),
    "cached": functools.lru_cache(plain),
}


@pytest.mark.parametrize("kind", ASYNC)
def test_calls_that_are_awaited(kind: str) -> None:
    """A call gives a coroutine."""
    assert is_async(ASYNC[kind])


@pytest.mark.parametrize("kind", SYNC)
def test_calls_that_are_not_awaited(kind: str) -> None:
    """A call gives a plain value, whatever it wraps or says of itself."""
    assert not is_async(SYNC[kind])


@pytest.mark.parametrize("func", [stream, functools.partial(stream)])
def test_async_generators_are_refused(func: Any) -> None:
    """Directly, and in a partial."""
    with pytest.raises(autoexec.OptionError, match="async generator"):
        is_async(func)


def test_wrappers_that_wrap_themselves() -> None:
    """Layers are followed a while, no longer."""
    ring: Any = functools.lru_cache(plain)
    ring.__wrapped__ = ring
    assert not is_async(ring)


# Callables that answer everything ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Answering, lambda: mock.Mock(side_effect=plain)])
@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_they_are_mapped_as_the_built_in_map_does(make: Callable[[], Any], backend: str) -> None:
    """In order, and each call counts."""
    assert list(autoexec.map(make(), range(20), backend=backend)) == list(range(20))


def test_a_mock_is_not_what_it_says_that_it_is() -> None:
    """A function that calls a mocked constant has something to hide: what the mock remembers."""
    fake = mock.MagicMock(spec=int)
    assert harmless(lambda x: x + LIMIT) and not harmless(lambda x: fake(x))
    assert harmless(lambda x: helped(x)) and not harmless(autoexec.parallel([].append))


def test_the_calls_of_a_mock_are_counted_here() -> None:
    """It cannot leave this process: what it remembers would be lost."""
    double = mock.MagicMock(return_value=2)
    assert list(autoexec.map(double, range(50))) == [2] * 50
    assert double.call_count == 50


@pytest.mark.parametrize("make", [lambda: Synchronous(fetch), lambda: synchronous])
def test_a_synchronous_wrapper_runs_its_own_loop(make: Callable[[], Any]) -> None:
    """So it must not be called in one."""
    assert list(autoexec.map(make(), range(3))) == [0, 1, 2]


@pytest.mark.parametrize("items", [Answering(), 3, object()])
def test_made_up_iterators_are_refused_at_the_call(items: Any) -> None:
    """Something that cannot be iterated is an error there, whatever it says."""
    with pytest.raises(autoexec.OptionError, match="iterable"):
        autoexec.map(plain, items)


def test_what_proxies_would_make_up_is_not_closed() -> None:
    """A worker's own object is closed by its `close`; a proxy would send that to the other side."""
    asked: list[str] = []

    class Proxy:
        def __getattr__(self, name: str) -> Callable[[], None]:
            return lambda: asked.append(name)

    mine = autoexec.per_worker(Proxy)
    assert list(autoexec.map(lambda x: mine().ping() or x, range(3), backend="serial")) == [0, 1, 2]
    assert asked == ["ping"] * 3


def test_a_factory_that_answers_everything() -> None:
    """Its parameters are not known, so none is given to it."""
    made = autoexec.per_worker(Answering())  # type: ignore[arg-type]
    assert "Answering" in repr(made)
    with pytest.raises(TypeError):  # it takes an item
        made()


def test_a_journal_of_a_callable_that_answers_everything(tmp_path: Any) -> None:
    """It has a name that is the same in the next run."""
    for _ in range(2):
        assert list(autoexec.map(Answering(), range(3), journal=tmp_path / "run.sqlite")) == [0, 1, 2]


# One place for each rule ------------------------------------------------------------------------------------

HOUSE = Path(autoexec.__file__).parent
# A word that only a copy of a rule would have among its data -> the one module that may have it.
HOMES = {
    "extendleft": "introspect/methods.py",
    "heapify": "introspect/methods.py",
    "-packages": "introspect/libraries.py",
    "IMPORT_NAME": "introspect/code.py",
    ".fget": "introspect/layers.py",
}


@pytest.mark.parametrize("mark", HOMES)
def test_a_rule_is_written_once(mark: str) -> None:
    """Copies diverge: a method that is missing from one list loses effects."""
    homes = set()
    for path in HOUSE.rglob("*.py"):
        nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
        found = [node.value for node in nodes if isinstance(node, ast.Constant)]
        data = [text for text in found if isinstance(text, str)]
        if mark.startswith("."):
            data = [f".{node.attr}" for node in nodes if isinstance(node, ast.Attribute)]
        if any(mark in text and len(text) < 200 for text in data):
            homes.add(path.relative_to(HOUSE).as_posix())
    assert homes == {HOMES[mark]}


@pytest.mark.parametrize("name", sorted(CHANGING_METHODS | CHANGING_FUNCTIONS))
def test_a_glance_knows_every_verb(name: str) -> None:
    """What may change an argument is read properly."""
    made: dict[str, Any] = {}
    exec(f"def work(x):\n    x.{name}(1)", made)
    assert not harmless(made["work"])
