"""`@autoexec.parallel`: the function stays what it was, and gains four ways to run."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import typing
import warnings
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import autoexec

PATIENCE_S = 30.0
ROOT = Path(__file__).parents[1]


@autoexec.parallel
def scale(x: int, factor: int = 2, *, shift: int = 0) -> int:
    """Multiply, then shift."""
    return x * factor + shift


def double(x: int) -> int:
    """A function that stays what it is."""
    return 2 * x


renamed = autoexec.parallel(double)


@autoexec.parallel(max_workers=2, backend="threads")
def shout(text: str) -> str:
    """Threads by default."""
    return text.upper()


@autoexec.parallel(backend="processes", max_workers=2)
def pid_of(_: int) -> int:
    """Processes by default."""
    return os.getpid()


@autoexec.parallel
def fail(x: int) -> int:
    """Raise."""
    raise LookupError(x)


class Shop:
    """Methods of all kinds."""

    rate = 3

    def __init__(self, base: int) -> None:
        self.base = base

    @autoexec.parallel
    def price(self, x: int) -> int:
        """The price of x."""
        return self.base + x

    @autoexec.parallel(backend="processes", max_workers=2)
    def far_price(self, x: int) -> tuple[int, int]:
        return self.base + x, os.getpid()

    @staticmethod
    @autoexec.parallel
    def twice(x: int) -> int:
        return 2 * x

    @classmethod
    @autoexec.parallel
    def rated(cls, x: int) -> int:
        return cls.rate * x

    @autoexec.parallel
    @staticmethod
    def thrice(x: int) -> int:
        return 3 * x

    @autoexec.parallel
    @classmethod
    def rated_outside(cls, x: int) -> int:
        return cls.rate * x


# It stays what it was ---------------------------------------------------------------------------------------


def test_a_call_is_a_call() -> None:
    """Calling the function calls it, here and now, with all kinds of arguments."""
    assert scale(4) == 8
    assert scale(4, 3, shift=1) == 13
    assert scale(x=2, factor=5) == 10
    with pytest.raises(TypeError):
        scale()  # type: ignore[call-arg]
    seen: list[int] = []
    autoexec.parallel(lambda: seen.append(threading.get_ident()))()
    assert seen == [threading.get_ident()]


def test_it_looks_like_the_function() -> None:
    """Name, documentation, module, signature and the function itself are there."""
    assert scale.__name__ == "scale" and scale.__qualname__ == "scale"
    assert scale.__doc__ == "Multiply, then shift."
    assert scale.__module__ == __name__
    assert list(inspect.signature(scale).parameters) == ["x", "factor", "shift"]
    assert scale.__wrapped__(3) == 6
    assert inspect.unwrap(scale) is scale.__wrapped__
    assert "scale" in repr(scale) and "autoexec" in repr(scale)
    assert isinstance(scale, autoexec.Parallel) and callable(scale)


def test_its_documentation_is_found() -> None:
    """`inspect.getdoc` gives the function's own."""
    assert inspect.getdoc(scale) == "Multiply, then shift."
    assert inspect.getdoc(Shop.price) == "The price of x."


def test_it_pickles_by_name() -> None:
    """As functions do: the copy is the very object."""
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(scale, protocol)) is scale
    assert copy.copy(scale) is scale
    assert copy.deepcopy(scale) is scale


def test_methods_pickle_with_their_objects() -> None:
    """A bound method arrives with its object; a class's own methods by name."""
    method = pickle.loads(pickle.dumps(Shop(5).price))
    assert method(1) == 6
    assert pickle.loads(pickle.dumps(Shop.price)) is Shop.__dict__["price"]
    assert pickle.loads(pickle.dumps(Shop.twice)) is Shop.twice
    assert pickle.loads(pickle.dumps(Shop.thrice)) is Shop.thrice
    assert pickle.loads(pickle.dumps(Shop.rated_outside)) == Shop.rated_outside
    assert pickle.loads(pickle.dumps(Shop.rated))(4) == 12


def test_the_standard_librarys_processes_take_it() -> None:
    """Under spawn a worker of multiprocessing finds it by its name."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(scale, range(4)) == [0, 2, 4, 6]
        assert pool.map(Shop(5).price, range(3)) == [5, 6, 7]
        assert pool.apply(scale, (3,), {"shift": 1}) == 7
        pool.close()
        pool.join()


def test_it_works_in_a_script_under_spawn(tmp_path: Path) -> None:
    """A decorated function of `__main__`, sent to a process started by the script with the usual guard."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\n"
        "import autoexec\n"
        "@autoexec.parallel(max_workers=2)\n"
        "def double(x):\n"
        "    return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(double, range(3)))\n"
        "        print(list(double.map(range(3), backend='processes')))\n"
        "        pool.close(); pool.join()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.stdout, done.stderr) == ("[0, 2, 4]\n[0, 2, 4]\n", "")


def test_functools_take_it() -> None:
    """`partial`, `wraps` and `cache` work on top of it."""
    assert functools.partial(scale, factor=10)(2) == 20
    assert functools.cache(scale)(2) == 4
    assert list(autoexec.map(functools.partial(scale, factor=10), range(3))) == [0, 10, 20]
    assert list(autoexec.parallel(functools.partial(scale, factor=10)).map(range(3))) == [0, 10, 20]


def test_attributes_of_the_function_come_along() -> None:
    """What other decorators left on it is there, without hiding the four ways."""

    def plain(x: int) -> int:
        return x

    plain.label = "kept"  # type: ignore[attr-defined]
    wrapped: Any = autoexec.parallel(plain)
    assert wrapped.label == "kept"
    assert list(wrapped.map([1, 2])) == [1, 2]


def test_a_local_function() -> None:
    """Closures are fine, in processes too."""
    base = 7

    @autoexec.parallel(max_workers=2)
    def add(x: int) -> int:
        return base + x

    assert list(add.map(range(3))) == [7, 8, 9]
    assert list(add.map(range(3), backend="processes")) == [7, 8, 9]
    assert add.submit(3).result(PATIENCE_S) == 10


# Methods ----------------------------------------------------------------------------------------------------


def test_methods() -> None:
    """Bound to an object, a method is called with it and maps over the other argument."""
    shop = Shop(10)
    assert shop.price(5) == 15
    assert Shop.price(shop, 5) == 15
    assert list(shop.price.map([1, 2, 3])) == [11, 12, 13]
    assert list(shop.price.starmap([(1,), (2,)])) == [11, 12]
    assert shop.price.submit(4).result(PATIENCE_S) == 14
    assert shop.price.__name__ == "price"
    assert list(inspect.signature(shop.price).parameters) == ["x"]


def test_methods_in_processes() -> None:
    """The object travels with its method."""
    values = list(Shop(10).far_price.map(range(6)))
    assert [price for price, _ in values] == [10, 11, 12, 13, 14, 15]
    assert os.getpid() not in {pid for _, pid in values}


def test_static_and_class_methods() -> None:
    """In either order of the decorators, called on the class or on an object."""
    for owner in (Shop, Shop(1)):
        assert owner.twice(4) == 8 and owner.rated(4) == 12
        assert owner.thrice(4) == 12 and owner.rated_outside(4) == 12
        assert list(owner.twice.map([1, 2])) == [2, 4]
        if sys.version_info < (3, 13):  # classmethod binds what it wraps until then
            assert list(owner.rated.map([1, 2])) == [3, 6]
        assert list(owner.thrice.map([1, 2])) == [3, 6]
        assert list(owner.rated_outside.map([1, 2])) == [3, 6]


def test_class_methods_follow_the_subclass() -> None:
    """The class that is asked is the one handed in."""

    class Dear(Shop):
        rate = 100

    assert Dear.rated(2) == 200
    assert list(Dear.rated_outside.map([1, 2])) == [100, 200]


class Bare:
    """The methods of `Dressed` before they were decorated."""

    label = "kept"

    def __init__(self, base: int = 0) -> None:
        self.base = base

    def method(self, x: int, y: float = 2.0, *, z: str = "") -> list[int]:
        """The method's own words."""
        return [self.base, x]

    async def coroutine(self, x: int) -> int:
        return x

    @classmethod
    def made(cls, x: int) -> tuple[str, int]:
        return cls.__name__, x

    @staticmethod
    def free(x: int) -> int:
        return -x

    method.note = "a note"  # type: ignore[attr-defined]


class Dressed(Bare):
    """The same, decorated."""

    method = autoexec.parallel(Bare.method)  # type: ignore[assignment]
    coroutine = autoexec.parallel(Bare.coroutine)  # type: ignore[assignment]
    made = autoexec.parallel(vars(Bare)["made"])
    free = autoexec.parallel(vars(Bare)["free"])


def async_of_asyncio(function: Any) -> bool:
    """What asyncio says; CPython 3.14 and later add that it will not say so for ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return asyncio.iscoroutinefunction(function)


def asked(kind: type[Bare]) -> dict[str, Any]:
    """What people ask methods for, and what they get."""
    thing, other = kind(1), kind(1)
    method: Any = thing.method
    weak: Any = weakref.WeakMethod(method)
    key = {method: "found"}

    class Sub(kind):  # type: ignore[valid-type, misc]
        def method(self, x: int) -> Any:
            return super().method(x)

    return {
        "equal": [method == thing.method, method == other.method, method == thing.coroutine, method == 3],
        "unequal": [method != thing.method, kind.method == kind.method, kind.made == kind.made],
        "equal of the class": [kind.made == thing.made, kind.free is kind.free, kind.free is thing.free],
        "hash": [hash(method) == hash(thing.method), key[thing.method], len({method, thing.method})],
        "self": [method.__self__ is thing, kind.made.__self__ is kind, thing.made.__self__ is kind],
        "func": [method.__func__ is kind.method, method.__func__(thing, 5), kind.made.__func__(kind, 5)[1]],
        "async": [*map(inspect.iscoroutinefunction, (method, thing.coroutine, kind.coroutine))],
        "async of asyncio": async_of_asyncio(thing.coroutine),
        "generator": inspect.isgeneratorfunction(method),
        "signature": [str(inspect.signature(what)) for what in (method, kind.method, kind.made, kind.free)],
        "hints": [typing.get_type_hints(what) for what in (method, kind.method, kind.made, kind.free)],
        "names": [method.__name__, method.__module__, method.__doc__, kind.free.__name__],
        "code": [method.__code__, method.__defaults__, method.__kwdefaults__, kind.method.__code__],
        "attributes": [method.note, kind.method.note, hasattr(method, "another"), thing.label],  # type: ignore[attr-defined]
        "weak": [weak() == method, weak()(7)],  # type: ignore[misc]
        "partial": [functools.partial(method, 4)(), functools.partialmethod(kind.method, 4).__get__(thing)()],
        "pickled": [pickle.loads(pickle.dumps(method))(3), pickle.loads(pickle.dumps(kind.made))(3)[1]],
        "pickled free": pickle.loads(pickle.dumps(kind.free))(3),
        "copied": [copy.copy(method) == method, copy.deepcopy(kind.method) is kind.method],
        "deeply copied": [copy.deepcopy(method) == method, copy.deepcopy(method)(3)],
        "in an object": copy.deepcopy({"f": kind.free, "m": method})["m"].__self__ is thing,
        "super": Sub(3).method(2),
    }


@pytest.mark.parametrize("question", asked(Bare))
def test_methods_are_what_they_were(question: str) -> None:
    """Whatever a method is asked, it answers as without the decorator."""
    assert asked(Dressed)[question] == asked(Bare)[question]


def test_a_method_of_each_kind_still_maps() -> None:
    """What is gained is gained on objects, on classes, and after a weak reference."""
    thing = Dressed(5)
    weak = weakref.WeakMethod(thing.method)
    assert list(weak().map([1, 2])) == [[5, 1], [5, 2]]
    assert list(Dressed.free.map([1, 2])) == [-1, -2]
    assert list(Dressed.made.map([1])) == [("Dressed", 1)]
    assert list(copy.deepcopy(thing.method).map([1])) == [[5, 1]]
    assert list(thing.coroutine.map([1, 2])) == [1, 2]


def test_what_a_cache_offers_is_there() -> None:
    """A decorated function of functools keeps its own ways."""

    @autoexec.parallel
    @functools.cache
    def slow(x: int) -> int:
        return x

    assert [slow(1), slow(1)] == [1, 1]
    assert slow.cache_info().hits == 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = slow.nothing_like_it  # type: ignore[attr-defined]


def test_attributes_do_not_hide_the_four_ways() -> None:
    """A callable object may have a `map` of its own."""

    class Odd:
        def __init__(self) -> None:
            self.map = self.submit = "mine"

        def __call__(self, x: int) -> int:
            return x

    assert list(autoexec.parallel(Odd()).map([1, 2])) == [1, 2]


def test_wrappers_of_it_get_no_more_than_of_a_function() -> None:
    """`functools.wraps` copies what functions have."""

    def plain() -> None: ...

    wrapper = functools.wraps(autoexec.parallel(plain))(lambda: None)
    assert not [name for name in vars(wrapper) if not name.endswith("__")]


# By name and by value ---------------------------------------------------------------------------------------

SCRIPT = """
import pickle, sys, threading
import cloudpickle
import autoexec

@autoexec.parallel
def helper(x):
    return x + OFFSET

OFFSET = 1

@autoexec.parallel(max_workers=2, initializer=lambda: None)
def fib(n):
    return n if n < 2 else fib(n - 1) + even_or_odd(n - 2)

def even_or_odd(n):
    return fib(n)

lambda_helper = autoexec.parallel(lambda x: helper(x) * 2)
helper.cache = {{7: "seven"}}

def nested():
    @autoexec.parallel
    def inner(x):
        return helper(x) + offset
    offset = 10
    return inner

inner = nested()

class Shop:
    base = 100
    @autoexec.parallel
    def price(self, x):
        return helper(x) + self.base
    @autoexec.parallel
    @classmethod
    def made(cls, x):
        return cls.base + x
    @autoexec.parallel
    @staticmethod
    def free(x):
        return helper(-x)

shop = Shop()
shop.price_of = shop.price
price = shop.price

def use(i):
    return [helper(i), fib(i + 5), lambda_helper(i), inner(i), shop.price(i), shop.price_of(i), price(i),
            Shop.made(i), shop.free(i), helper.cache.get(i), fib.__name__, list(helper.map([i]))]

came = []
{call}
print(came == [use(i) for i in range(8)])
"""
IN_A_THREAD = """
thread = threading.Thread(target=lambda: came.extend(autoexec.map(use, range(8), backend="processes")))
thread.start()
thread.join()
"""
FRESH = """
import subprocess
code = "import sys, pickle; f = pickle.load(sys.stdin.buffer); print([f(i) for i in range(8)])"
done = subprocess.run([sys.executable, "-c", code], input=cloudpickle.dumps(use), stdout=subprocess.PIPE)
came = eval(done.stdout)
"""
JOBLIB = 'came = list(autoexec.map(use, range(8), backend="joblib", max_workers=2))'
FORKED = 'came = list(autoexec.map(use, range(8), backend="processes", max_workers=2))'


@pytest.mark.parametrize(
    "call",
    [IN_A_THREAD, FRESH, JOBLIB, FORKED],
    ids=["fresh workers", "cloudpickle", "joblib", "forked workers"],
)
def test_helpers_of_a_script_reach_its_workers(call: str, tmp_path: Path) -> None:
    """They travel as plain functions of `__main__` do, with what they use, themselves included."""
    pytest.importorskip("cloudpickle")
    if call is JOBLIB:
        pytest.importorskip("joblib")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(call=call))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_by_name_where_it_can_be_imported() -> None:
    """The pickle holds names alone, and brings back the very object, attributes of others' included."""
    cloudpickle = pytest.importorskip("cloudpickle")
    scale.table = threading.Lock()  # type: ignore[attr-defined]  # would not be pickled
    try:
        for dumps in (pickle.dumps, cloudpickle.dumps):
            assert pickle.loads(dumps(scale)) is scale
            assert pickle.loads(dumps([scale, scale]))[1] is scale
            assert len(dumps(scale)) < 300
    finally:
        del scale.table  # type: ignore[attr-defined]


def test_by_value_where_its_module_goes_by_value() -> None:
    """`cloudpickle.register_pickle_by_value` holds for decorated functions, too."""
    cloudpickle = pytest.importorskip("cloudpickle")
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        data = cloudpickle.dumps(scale)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    found = pickle.loads(data)
    assert found is not scale and found(4) == 8
    assert list(found.map([1, 2])) == [2, 4]


def test_another_name_for_a_function() -> None:
    """What is decorated under another name travels with the function's own name."""
    assert pickle.loads(pickle.dumps(renamed))(3) == 6
    assert list(renamed.map(range(3), backend="processes", max_workers=1)) == [0, 2, 4]


def test_local_functions_do_not_pickle_by_name() -> None:
    """As without the decorator; cloudpickle takes them."""
    base = 7

    @autoexec.parallel
    def add(x: int) -> int:
        return base + x

    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        pickle.dumps(add)
    cloudpickle = pytest.importorskip("cloudpickle")
    assert pickle.loads(cloudpickle.dumps(add))(1) == 8


def test_an_executor_in_its_options_stays_here() -> None:
    """What cannot cross is left out of the copy's options; its calls are what they were."""
    cloudpickle = pytest.importorskip("cloudpickle")
    with ThreadPoolExecutor(1) as mine:
        local = autoexec.parallel(backend=mine)(lambda x: 2 * x)
        found = pickle.loads(cloudpickle.dumps(local))
    assert found(4) == 8 and list(found.map([1])) == [2]


def test_what_cannot_travel_is_named_by_its_path() -> None:
    """The path leads through the decorated helper as if it were the function."""
    from autoexec.unpicklable import find

    pytest.importorskip("cloudpickle")
    lock = threading.Lock()
    helper = autoexec.parallel(lambda x: lock and x)
    found = find(lambda x: helper(x), "func")
    assert found is not None and found.path == "func.__closure__['helper'].__closure__['lock']"


# In a forked child ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_submit_in_a_forked_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child gets its result by threads of its own, and the parent's executor goes on."""
    from autoexec import decorator
    from tests.forking import in_child

    with autoexec.Executor() as executor:
        monkeypatch.setattr(decorator, "_make_shared", lambda: executor)
        assert [scale.submit(i).result(PATIENCE_S) for i in range(300)] == list(range(0, 600, 2))
        assert in_child(lambda: scale.submit(5).result(PATIENCE_S)) == 10
        assert scale.submit(6).result(PATIENCE_S) == 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_fork_while_another_thread_makes_the_executor() -> None:
    """The lock that it holds does not stay locked in the child."""
    from autoexec import decorator
    from tests.forking import in_child

    with decorator._lock:
        assert in_child(lambda: scale.submit(5).result(PATIENCE_S)) == 10


# The four ways ----------------------------------------------------------------------------------------------


def test_map_over_several_iterables() -> None:
    """As the built-in `map`."""
    assert list(scale.map([1, 2, 3], [10, 20])) == [10, 40]
    assert isinstance(scale.map([1]), autoexec.Results)
    assert list(scale.starmap([(1, 5), (2, 6)])) == [5, 12]


def test_options_lie_on_top_of_the_decorators() -> None:
    """The decorator's options are defaults; a call's own win, and do not stay."""
    results = shout.map(["a", "b"] * 10)
    assert list(results) == ["A", "B"] * 10
    assert os.getpid() not in set(pid_of.map(range(4)))
    assert set(pid_of.map(range(4), backend="serial")) == {os.getpid()}
    assert os.getpid() not in set(pid_of.map(range(4)))
    with ThreadPoolExecutor(1) as mine:
        assert set(pid_of.map(range(4), backend=mine)) == {os.getpid()}


def test_n_jobs_and_max_workers_over_the_decorators() -> None:
    """The alias replaces the decorator's number."""
    assert list(shout.map(["a"], n_jobs=1)) == ["A"]
    assert list(shout.map(["a"], max_workers=None)) == ["A"]


def test_submit_gives_a_genuine_future() -> None:
    """All arguments arrive, and what it raises comes out."""
    future = scale.submit(3, factor=4, shift=1)
    assert type(future) is Future
    assert future.result(PATIENCE_S) == 13
    with pytest.raises(LookupError):
        fail.submit(3).result(PATIENCE_S)


def test_explain_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """It names the function, the ways that were weighed and the choice."""
    assert scale.explain(range(1000)) is None  # type: ignore[func-returns-value]
    out, err = capsys.readouterr()
    assert err == ""
    for word in ("scale", "serial", "threads", "processes"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 120


def test_explain_of_a_method(capsys: pytest.CaptureFixture[str]) -> None:
    """Methods explain themselves, too."""
    Shop(3).price.explain(range(100))
    assert "price" in capsys.readouterr().out


# Errors -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_decorated() -> None:
    """Something that is no function, or that has many results, is refused at once."""

    async def stream() -> Any:
        yield 1

    with pytest.raises(autoexec.OptionError, match="callable"):
        autoexec.parallel(3)  # type: ignore[call-overload]
    with pytest.raises(autoexec.OptionError, match="callable"):
        autoexec.parallel(max_workers=2)(3)  # type: ignore[arg-type]
    with pytest.raises(autoexec.OptionError, match="async generator"):
        autoexec.parallel(stream)


def test_an_async_function_can_be_decorated() -> None:
    """Its calls run in an event loop; calling it still gives a coroutine."""

    @autoexec.parallel(max_workers=4)
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert list(double.map([1, 2, 3])) == [2, 4, 6]
    assert asyncio.run(double(4)) == 8


@pytest.mark.parametrize(
    "options", [{"max_workers": 0}, {"chunksize": 0}, {"backend": "threds"}, {"timeout": -1}, {"worker": 1}]
)
def test_options_are_checked_when_decorating(options: dict[str, Any]) -> None:
    """A mistake shows where it is written, not at the first call."""
    with pytest.raises(autoexec.OptionError):
        autoexec.parallel(**options)
    with pytest.raises(autoexec.OptionError):
        scale.map([1], **options)


def test_no_items() -> None:
    """`f.map()` and items that cannot be iterated are errors at the call."""
    with pytest.raises(autoexec.OptionError, match="no items"):
        scale.map()
    with pytest.raises(autoexec.OptionError, match="iterable"):
        scale.map(3)  # type: ignore[arg-type]
    with pytest.raises(autoexec.OptionError, match="iterable"):
        scale.starmap(3)  # type: ignore[arg-type]


def test_an_item_that_raises_is_named() -> None:
    """As with `autoexec.map`: the note gives the item's index."""
    with pytest.raises(LookupError) as caught:
        list(fail.map([5]))
    assert any("item 0" in note for note in caught.value.__notes__)
