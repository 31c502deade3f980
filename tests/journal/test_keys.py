"""Keys of items and identities of functions."""

from __future__ import annotations

import enum
import functools
import math
import operator
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec import parallel
from autoexec.errors import JournalError
from autoexec.journal.identity import FunctionIdentity, function_identity
from autoexec.journal.keys import canonical, item_key

ROOT = Path(__file__).parents[2]


class Colour(enum.Enum):
    RED = 1
    ALSO_RED = 1  # noqa: PIE796 (an alias)
    BLUE = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True)
class Page:
    url: str
    number: int = 0
    cache: list[int] = field(default_factory=list, compare=False)


@dataclass
class Thawed:
    url: str


ITEMS: list[Any] = [
    *("", "a", "é\ud800", b"", b"a", 0, 1, -1, 10**5000, 1.0, -0.0, 0.0, math.inf, True, False, None),
    *((), (1,), ((1,),), (1, 2), (12,), ("1", 2), frozenset(), frozenset({1}), frozenset({"a", "b"})),
    *(PurePosixPath("a"), Path("a"), date(2024, 1, 2), time(1, 2), timedelta(days=1), timedelta(seconds=1)),
    *(datetime(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 2, fold=1)),  # noqa: DTZ001
    datetime(2024, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(2024, 1, 2, tzinfo=ZoneInfo("Europe/Paris")),
    datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=1))),
    *(Decimal(1), Decimal("1.0"), Fraction(1), Fraction(1, 2), UUID(int=1), UUID(int=2)),
    *(Colour.RED, Colour.BLUE, Access.READ, Access.READ | Access.WRITE),
    *(Point(1, 2), Point(2, 1), Page("a"), Page("a", 1), Page("b")),
]


def test_different_items_have_different_keys() -> None:
    """Type and value count, at every level."""
    keys = [item_key(item) for item in ITEMS]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {16}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Colour.RED, Colour.ALSO_RED),
        (Page("a", cache=[1]), Page("a")),
        (frozenset(map(str, range(50))), frozenset(map(str, reversed(range(50))))),
        (math.nan, float("nan")),
    ],
)
def test_what_is_the_same_has_the_same_key(one: object, other: object) -> None:
    """Aliases, fields that take no part in comparison, the order in a set."""
    assert item_key(one) == item_key(other)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)


@given(PLAIN, PLAIN)
def test_keys_tell_apart_what_python_does(one: Any, other: Any) -> None:
    """Unequal items never share a canonical text, and an item has one text only."""
    if one != other:
        assert canonical(one) != canonical(other)
    assert canonical(one) == canonical(one)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "item",
    [[], {}, {1}, object(), (1, [2]), Thawed("a"), Text("a"), 1j, bytearray(), lambda: 0, Page(["u"])],  # type: ignore[arg-type]
)
def test_no_key(item: object) -> None:
    """What can change or is unknown has no key, and the error says what to give."""
    with pytest.raises(JournalError, match=r"no stable key.*give key= a function that returns a string"):
        item_key(item)


def test_no_key_for_what_is_too_deep_or_cannot_be_shown() -> None:
    """An error of the one kind, whatever the item does."""

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    deep: Any = ()
    for _ in range(100_000):
        deep = (deep,)
    for item in (Shy(), deep, ["x" * 1000]):
        with pytest.raises(JournalError, match="no stable key") as caught:
            item_key(item)
        assert len(str(caught.value)) < 300


KEYS = """
from datetime import *; from decimal import Decimal; from fractions import Fraction; from pathlib import *
from uuid import UUID; import enum
from autoexec.journal.keys import item_key
class E(enum.Enum): A = 1
items = ["a", b"a", 1, 1.5, True, None, (1, (2,)), frozenset("abcdefgh"), Path("x/y"), E.A,
    PurePosixPath("x"), datetime(2024, 1, 2, tzinfo=timezone.utc), date(2024, 1, 2), time(3),
    timedelta(1, 2, 3), Decimal("1.50"), Fraction(1, 3), UUID(int=7)]
print([item_key(item).hex() for item in items])
"""


def _keys(python: str, seed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, "-c", KEYS], env=env, capture_output=True, text=True, check=True)
    return done.stdout


def test_keys_are_the_same_in_every_process() -> None:
    """Neither the hash seed nor the process matters; the figures written here hold for every Python."""
    assert _keys(sys.executable, "1") == _keys(sys.executable, "2")
    assert item_key("a").hex() == "47cf4e3e824f57e402083162a8388dae"
    assert (
        item_key((1, None, 1.5, frozenset({"x"}), PurePosixPath("a/b"))).hex()
        == "c844bb5e2ba14079675c90a1fd0e6934"
    )


# Functions --------------------------------------------------------------------------------------------------


def compiled(source: str, name: str = "f", module: str = "somewhere") -> Callable[..., Any]:
    """A function from its text; as if written in a module."""
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(textwrap.dedent(source), "<made>", "exec"), namespace)
    made: Callable[..., Any] = namespace[name]
    return made


BASE = "def f(x, y=1):\n    return [i for i in range(x) if i in {1, 2, 'a', 'b'}]\n"


@pytest.mark.parametrize(
    "source",
    [
        BASE,
        "\n\n# moved\n" + BASE,
        BASE.replace("\n    return", "\n    # why\n\n    return"),
        "def g(): pass\n" + BASE,
    ],
)
def test_the_same_code(source: str) -> None:
    """Where a function stands and what its comments say does not count."""
    assert not function_identity(compiled(source)).changed(function_identity(compiled(BASE)))


@pytest.mark.parametrize(
    "source",
    [
        BASE.replace("range(x)", "range(x + 1)"),
        BASE.replace("'a'", "'c'"),
        BASE.replace("range", "list"),
        BASE.replace("y=1", "y=2"),
        BASE.replace("y=1", "z=1"),
        BASE.replace("i in {", "i not in {"),
    ],
)
def test_other_code(source: str) -> None:
    """A constant, a name, a default, an operator in a comprehension: each is a change, the name stays."""
    new, old = function_identity(compiled(source)), function_identity(compiled(BASE))
    assert new.changed(old)
    assert new.name == old.name == "somewhere.f"


def test_docstrings_do_not_count() -> None:
    """A better sentence does not make another function."""
    one, other = (compiled(f"def f(x):\n    '''{words}'''\n    return x") for words in ("One.", "Other."))
    assert not function_identity(one).changed(function_identity(other))


def test_a_class_inside_may_move() -> None:
    """The line number that newer interpreters store in a class body is not part of the code."""
    source = "def f(x):\n    class A:\n        y = 3\n    return A"
    for lines in (1, 300):
        moved = compiled("\n" * lines + source)
        assert not function_identity(moved).changed(function_identity(compiled(source)))


def test_another_interpreter_compares_sources() -> None:
    """Bytecode of another Python says nothing; sources decide where both are known."""
    old = FunctionIdentity("f", "aa:1", "s1")
    assert FunctionIdentity("f", "aa:2", "s1").changed(old)
    assert not FunctionIdentity("f", "bb:2", "s1").changed(old)
    assert FunctionIdentity("f", "bb:2", "s2").changed(old)
    assert not FunctionIdentity("f", "bb:2", "").changed(old)


def fetch(url: str, base: str = "") -> str:
    """A function with a source."""
    return base + url


class Client:
    def __init__(self, base: object) -> None:
        self.base = base

    def get(self, url: str) -> str:
        return str(self.base) + url

    @classmethod
    def make(cls, base: str) -> Client:
        return cls(base)

    def __call__(self, url: str) -> str:
        return self.get(url)


@dataclass(frozen=True)
class Frozen:
    base: str

    def get(self, url: str) -> str:
        return self.base + url


def name(func: Any) -> str:
    """The name, without what is bound and without this module."""
    return function_identity(func).name.partition("[")[0].removeprefix(f"{__name__}.")


def test_names() -> None:
    """Each kind of callable is called what people call it."""
    assert name(fetch) == name(functools.partial(fetch, base="x")) == name(parallel(fetch)) == "fetch"
    assert name(functools.lru_cache(fetch)) == "fetch"
    assert name(Client("x").get) == "Client.get"
    assert name(Client.make) == "Client.make"
    assert name(Client("x")) == "Client.__call__"
    assert name(Client) == "Client"
    assert name(len) == "builtins.len"
    assert name(math.sqrt) == "math.sqrt"
    assert name(str.upper).endswith("str.upper")


def test_sources() -> None:
    """The digest of the source is there where the source is."""
    assert function_identity(fetch).source == function_identity(parallel(fetch)).source != ""
    assert function_identity(compiled(BASE)).source == ""
    assert function_identity(len) == FunctionIdentity("builtins.len", "", "")


def captured(base: Any) -> Callable[[str], Any]:
    """A function that captures a variable."""
    return lambda url: (base, url)


@pytest.mark.parametrize(
    "make",
    [
        lambda base: functools.partial(fetch, base=base),
        lambda base: functools.partial(fetch, base),
        lambda base: captured(base),
        lambda base: lambda url, base=base: base + url,
        lambda base: Frozen(base).get,
        lambda base: base.join,
        lambda base: operator.itemgetter(base),
    ],
)
def test_what_is_bound_makes_another_function(make: Callable[[str], Any]) -> None:
    """The same code over another base has rows of its own, and is no change of code."""
    one, same, other = (function_identity(make(base)) for base in ("a", "a", "b"))
    assert one == same
    assert one.name != other.name
    assert one.code == other.code


def test_a_wrapper_counts_with_what_it_wraps() -> None:
    """A change on either side of functools.wraps is a change."""
    source = """
    import functools
    def deco(func):
        @functools.wraps(func)
        def wrapper(x):
            return func(x) + OUTER
        return wrapper
    @deco
    def f(x):
        return x + INNER
    """
    first = function_identity(compiled(source.replace("OUTER", "1").replace("INNER", "2")))
    assert first.name == "somewhere.f"
    for outer, inner in (("3", "2"), ("1", "3")):
        text = source.replace("OUTER", outer).replace("INNER", inner)
        assert function_identity(compiled(text)).changed(first)


def test_the_script_is_main_wherever_it_runs() -> None:
    """A spawned process calls the script `__mp_main__`."""
    assert function_identity(compiled(BASE, module="__mp_main__")).name == "__main__.f"


def test_identity_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Sets among the constants come in any order; the digest does not."""
    script = tmp_path / "script.py"
    script.write_text(
        "def f(x):\n    class A:\n        def g(self):\n            self.a = self.b = self.c = self.d = 1\n"
        "    return x in {1, 'a', 'b', 'c'}, A\n"
        "from autoexec.journal.identity import function_identity\nprint(function_identity(f))"
    )
    said = set()
    for seed in "123":
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, check=True)
        said.add(done.stdout)
    assert len(said) == 1
    assert "__main__.f'" in said.pop()
