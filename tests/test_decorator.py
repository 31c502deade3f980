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
    assert pickle.loads(pickle.dumps(Shop.twice))(4) == 8
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
