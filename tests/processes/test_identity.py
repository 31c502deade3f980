"""What comes back is what was there: `is`, `isinstance` and `except` hold wherever things are sent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import autoexec
from autoexec.known_objects import known_to
from tests.processes import work
from tests.processes.work import run

ROOT = str(Path(__file__).parents[2])
WAYS = ("forked", "fresh", "kept", "kept fresh", "joblib", "theirs", "interpreters")

# Everything stands in `__main__`, or in a function of it. SAID is what went wrong.
SCRIPT = '''
import enum, functools, operator, sys, threading, typing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import MISSING as UNSET, dataclass
from multiprocessing import get_context
import autoexec

WAY = sys.argv[1]
MISSING = object()
SCALE = 1

class Named:
    """A sentinel with a name, and a singleton of it."""
    def __init__(self, name):
        self.name = name
DEFAULT = Named("DEFAULT")

class Only:
    """A singleton that says by what name it is found."""
    _one = None
    def __new__(cls):
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one
    def __reduce__(self):
        return "ONLY"
ONLY = Only()

class Point:
    def __init__(self, x):
        self.x = x
    def scaled(self):
        return self.x * SCALE

class Deep(Point):
    pass

@dataclass(slots=True)
class Row:
    value: int

@dataclass(frozen=True, slots=True)
class Frozen:
    value: int
    more: tuple = ()

class Color(enum.Enum):
    RED = object()
    BLUE = 2

class Bits(enum.IntFlag):
    A = 1
    B = 2

class Pair(typing.NamedTuple):
    a: int

T = typing.TypeVar("T")

class Box(typing.Generic[T]):
    pass

class Api(Exception):
    def __init__(self, *, status):
        super().__init__(f"status {status}")
        self.status = status

def wrapped(func):
    @functools.wraps(func)
    def inner(x):
        return func(x)
    return inner

@wrapped
def decorated(x):
    return MISSING, decorated, Point(x)

def give(x, default=MISSING, *, named=DEFAULT):
    return (default, named, ONLY, UNSET, Color.RED, Bits.A | Bits.B, Bits.B, Point, give, Box[int], T, len)

def look(x, default=MISSING):
    return (x is MISSING, x is DEFAULT, x is ONLY, x is UNSET, x is Color.RED, isinstance(x, Point),
            isinstance(x, Box), x is Point, default is MISSING)

def make(x):
    return Point(x), Deep(x), Row(x), Frozen(x, (Row(x),)), Pair(x), Box(), type(x)

def change(x):
    DEFAULT.name = "changed"
    return DEFAULT

def fail(x):
    try:
        raise KeyError(Point(x))
    except KeyError as error:
        raise Api(status=x) from error

WRONG = []

def expect(what, held):
    if not held:
        WRONG.append(what)

def run(func, items, **more):
    return list(autoexec.map(func, items, backend=BACKEND, max_workers=2, **more))

def check(run):
    # results
    for got in run(give, range(6)):
        for here, there in zip(give(0), got):
            expect(f"give {here}", here == there if repr(here).startswith("__main__.Box[") else here is there)
    for missing, func, point in run(decorated, range(4)):
        expect("decorated", missing is MISSING and func is decorated and type(point) is Point)
    # items
    things = [MISSING, DEFAULT, ONLY, UNSET, Color.RED, Point(1), Box(), Point]
    expect("look", run(look, things) == [look(one) for one in things])
    expect("items that come back", all(a is b for a, b in zip(run(lambda x: x, things[:5]), things)))
    # the class stays what it is
    before = dict(vars(Point))
    for point, deep, row, frozen, pair, box, kind in run(make, range(6)):
        expect("make", (type(point), type(deep), type(pair), type(box)) == (Point, Deep, Pair, Box))
        expect("slots", row == Row(point.x) and frozen == Frozen(point.x, (Row(point.x),)) and kind is int)
    global SCALE
    SCALE = 10
    expect("its globals", Point(3).scaled() == 30 and deep.scaled() == 10 * deep.x)
    SCALE = 1
    expect("its methods", all(vars(Point)[name] is value for name, value in before.items()))
    # what has been changed is told as what it is there
    for got in run(change, range(2), effects="ignore"):
        expect("changed", got.name == "changed" and DEFAULT.name == "DEFAULT")
    # errors
    try:
        run(fail, range(3))
    except Api as error:
        expect("status", error.status == 0 and error.args == ("status 0",))
        expect("cause", type(error.__cause__) is KeyError and type(error.__cause__.args[0]) is Point)
    except Exception as error:
        WRONG.append(f"caught {error!r}")
    local(run)

def local(run):
    nothing = object()
    class Here:
        pass
    class Kind(enum.Enum):
        ONE = 1
    class Stop(Exception):
        pass
    class Narrow(Stop):
        __slots__ = ("why",)
    kinds = []
    for i in range(3):
        class Again:
            place = i
        kinds.append(Again)
    def helper():
        return Here()
    class Record(typing.TypedDict):
        a: int
    def f(i):
        return (nothing, Here(), Kind.ONE, kinds[i % 3], helper, Here, list[Here], kinds[i % 3]()), Record
    def g(i):
        if i == 2:
            narrow = Narrow(i)
            narrow.why = nothing
            raise ExceptionGroup("some", [narrow, ValueError(Here())])
        return i
    for i, (got, record) in enumerate(run(f, range(6))):
        expect("local", got[0] is nothing and type(got[1]) is Here and got[2] is Kind.ONE)
        kind = kinds[i % 3]
        expect("loop", got[3] is kind and type(got[7]) is kind and kind.place == i % 3)
        expect("helper", got[4] is helper and got[5] is Here and got[6] == list[Here] and record is Record)
    try:
        run(g, range(3))
    except* Stop as group:
        expect("narrow", type(group.exceptions[0]) is Narrow and group.exceptions[0].why is nothing)
    except* ValueError as group:
        expect("held", type(group.exceptions[0].args[0]) is Here)
    def tell(x):
        return isinstance(x, Here), x is nothing, x is Kind.ONE, x in kinds
    things = [Here(), nothing, Kind.ONE, kinds[1]]
    expect("tell", run(tell, things) == [tell(one) for one in things])

def waiting():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

if WAY in ("fresh", "kept fresh"):
    waiting()
pool = ProcessPoolExecutor(2, mp_context=get_context("fork")) if WAY == "theirs" else None
BACKEND = {"joblib": "joblib", "interpreters": "interpreters", "theirs": pool}.get(WAY, "processes")
for _ in range(1 + WAY.startswith("kept")):
    check(run)
if pool is not None:
    pool.shutdown()
print(sorted(set(WRONG)) or "nothing")
'''


@pytest.mark.parametrize("way", WAYS)
def test_nobody_can_tell(way: str, tmp_path: Path) -> None:
    """Sentinels, singletons, members, classes, functions and errors of a script, there and back."""
    if way == "interpreters" and sys.version_info < (3, 14):
        pytest.skip("CPython 3.14 has them first")
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(path), way],
        env=os.environ | {"PYTHONPATH": ROOT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "nothing", done.stdout + done.stderr[-3000:]


def test_the_sentinels_of_a_module(start: str) -> None:
    """A fresh interpreter imports the module anew: its sentinels stand for those here, there and back."""
    items = [work.MISSING, work.UNSET, None]
    for _ in range(2):  # the second time in kept workers
        found = list(run(work.told_apart, items, on_error="raise"))
        assert found == [work.told_apart(item) for item in items]
        assert found[0][-1] is work.MISSING and found[1][-1] is work.UNSET


def test_a_sentinel_that_only_an_item_brings(start: str) -> None:
    """Nothing reaches it: it is the same object in a worker each time, and comes back as itself."""
    here = object()
    for found in run(work.same_as_before, [(here, here)] * 8, on_error="raise"):
        assert found is here


@pytest.mark.parametrize("captured", [True, False])
def test_errors_of_a_local_class(start: str, captured: bool) -> None:
    """`except` catches them, with what they hold."""

    class Stop(Exception):
        """Nobody can import it."""

    kinds = {"stop": Stop}

    def stop(i: int) -> None:
        raise (Stop if captured else kinds["stop"])(i, work.MISSING)

    with pytest.raises(Stop) as caught:
        list(run(stop, range(3), on_error="raise"))
    assert caught.value.args == (0, work.MISSING)


def test_an_initializer_raises_a_local_error(start: str) -> None:
    """It is the cause of what is raised here, and of the class that is here."""

    class Unready(Exception):
        """Nobody can import it."""

    def begin() -> None:
        raise Unready(work.MISSING)

    with pytest.raises(autoexec.BrokenWorker) as caught:
        list(run(work.told_apart, initializer=begin, on_error="raise"))
    assert type(caught.value.__cause__) is Unready and caught.value.__cause__.args == (work.MISSING,)


def test_a_class_that_a_worker_made(start: str) -> None:
    """It comes by value; the caller's own of that name are what they were."""
    own = work.made_class(0)
    before = dict(vars(own))
    found = list(run(work.made_class, range(4), on_error="raise"))
    assert [kind.number for kind in found] == [0, 1, 2, 3] and own not in found
    assert dict(vars(own)) == before and found[1]().doubled() == 2


@pytest.mark.parametrize("local", [True, False])
def test_calls_of_an_executor(start: str, local: bool) -> None:
    """What is submitted, and what it brings."""
    here = object()

    def told(x: object) -> tuple[bool, bool, object]:
        return x is here, False, x

    with autoexec.Executor(1, backend="processes") as executor:
        for _ in range(2):
            if local:
                assert executor.submit(told, here).result() == (True, False, here)
            else:
                assert executor.submit(work.told_apart, work.UNSET).result() == (False, True, work.UNSET)


def test_only_small_things_are_looked_into() -> None:
    """Only what has no name of its own is in a table."""
    known = known_to(work.told_apart)
    assert known.token(work.MISSING) == 0 and known.token(work.told_apart) is None
    assert known.token(work.WIDE[0]) is None
