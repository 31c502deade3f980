"""What a function writes to and holds on to, found without running it and by comparing around a call."""

# ruff: noqa: D103, SIM108, SIM115 -- most functions here are samples to be judged, not code to be read

from __future__ import annotations

import builtins
import collections
import csv
import dataclasses
import functools
import heapq
import io
import itertools
import json
import logging
import math
import operator
import pickle
import queue
import random
import socket
import sqlite3
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoexec.records import Hazard
from autoexec.safety.effects import Effects
from autoexec.safety.hazards import dump, find_hazards
from autoexec.unpicklable import Unpicklable

CACHE: dict[Any, Any] = {}
RESULTS: list[Any] = []
GROUPS: dict[Any, list[Any]] = {}
SEEN: set[Any] = set()
RECENT: collections.deque[Any] = collections.deque()
GRID = np.zeros((4, 4))
TABLE = {"a": 1, "b": 2}
ROWS = [[1], [2]]
LOCK = threading.Lock()
LOCAL = threading.local()
QUEUE: queue.Queue[Any] = queue.Queue()
SETTINGS = types.SimpleNamespace(last=None)
LOG = logging.getLogger(__name__)
total = 0


def uses_global(x: int) -> int:
    global total
    total += x
    return total


def deletes_global(x: int) -> None:
    global total
    del total


def appends(x: int) -> None:
    RESULTS.append(x)


def appends_and_reads(x: int) -> int:
    RESULTS.append(x)
    return len(RESULTS)


def appends_alias(x: int) -> None:
    put = RESULTS.append
    put(x)


def stores(x: int) -> None:
    CACHE[x] = x * x


def counts(x: int) -> None:
    CACHE[x] = CACHE.get(x, 0) + 1


def counts_in_place(x: int) -> None:
    CACHE[x] += 1


def counts_under_lock(x: int) -> None:
    with LOCK:
        CACHE[x] = CACHE.get(x, 0) + 1


def stores_alias(x: int) -> None:
    if x:
        d = CACHE
    else:
        d = {}
    d[x] = 1


def memoises(x: int) -> Any:
    if x not in CACHE:
        CACHE[x] = x
    return CACHE[x]


def groups(x: int) -> None:
    GROUPS.setdefault(x % 2, []).append(x)


def groups_inner(x: int) -> None:
    GROUPS[x].append(x)


def inner_rows(x: int) -> None:
    for row in ROWS:
        row.append(x)


def adds_to_set(x: int) -> None:
    SEEN.add(x)


def updates_set(x: int) -> None:
    SEEN.update([x])


def set_in_place(x: int) -> None:
    s = SEEN
    s |= {x}


def rotates(x: int) -> None:
    RECENT.appendleft(x)
    RECENT.pop()


def fills(x: int) -> None:
    GRID[x, :] = x


def fills_out(x: Any) -> None:
    np.add(x, 1, out=GRID)


def doubles_grid(x: int) -> None:
    grid = GRID
    grid *= x


def pushes_heap(x: int) -> None:
    heapq.heappush(RESULTS, x)


def deletes_item(x: int) -> None:
    del CACHE[x]


def slices(x: int) -> None:
    RESULTS[:2] = [x]


def sets_attribute(x: int) -> None:
    SETTINGS.last = x


def sets_by_name(x: int) -> None:
    setattr(SETTINGS, "last", x)  # noqa: B010


def writes_globals_dict(x: int) -> None:
    globals()["total"] = x


def in_comprehension(xs: list[int]) -> list[None]:
    return [RESULTS.append(x) for x in xs]


def in_lambda(x: int) -> None:
    add = lambda y: RESULTS.extend([y])  # noqa: E731
    add(x)


def in_except(x: int) -> None:
    try:
        x = 1 // x
    except ZeroDivisionError:
        found = RESULTS
        found.extend([x])


def handed_on(xs: list[int]) -> None:
    list(map(RESULTS.append, xs))


def _fill(out: list[int], x: int) -> None:
    out.append(x)


def helper_on_global(x: int) -> None:
    _fill(RESULTS, x)


def _get_cache() -> dict[Any, Any]:
    return CACHE


def helper_returns_global(x: int) -> None:
    _get_cache()[x] = 1


def _third(x: int) -> None:
    CACHE.clear()


def _second(x: int) -> None:
    _third(x)


def deep_helper(x: int) -> None:
    _second(x)


def with_default(x: int, seen: list[int] = []) -> None:  # noqa: B006
    seen.append(x)


def with_keyword_default(x: int, *, seen: dict[int, int] = {}) -> None:  # noqa: B006
    seen.update({x: x})


def item_key(row: dict[str, int]) -> dict[str, int]:
    row["done"] = 1
    return row


def item_append(row: list[int]) -> list[int]:
    row.append(1)
    return row


def item_update(row: dict[str, int]) -> dict[str, int]:
    row.update(done=1)
    return row


def item_attribute(obj: Any) -> None:
    obj.done = True


def item_plus(row: list[int]) -> list[int]:
    row += [1]
    return row


def item_nested(row: dict[str, list[int]]) -> None:
    for value in row["values"], row["more"]:
        value.sort()


def item_star(*args: Any) -> None:
    args[0].append(1)


def nonlocal_counter() -> Callable[[int], int]:
    n = 0

    def count(x: int) -> int:
        nonlocal n
        n += x
        return n

    return count


def closure_list() -> Callable[[int], None]:
    found: list[int] = []
    return lambda x: found.append(x)


def _plain_decorator(func: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any) -> Any:
        return func(*args)

    return wrapper


def _wraps_decorator(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


class Counter:
    """A little of everything that methods do."""

    made = 0

    def __init__(self) -> None:
        self.n = 0
        self.items: list[int] = []

    def bump(self, x: int) -> None:
        self.n += x

    def collect(self, x: int) -> None:
        self.items.append(x)

    def through_helper(self, x: int) -> None:
        self._add(x)

    def _add(self, x: int) -> None:
        self.items.extend([x])

    def reads(self, x: int) -> int:
        return self.n + x + len(self.items)

    def __call__(self, x: int) -> None:
        self.n = x

    @classmethod
    def make(cls, x: int) -> None:
        cls.made += 1


class Child(Counter):
    """A method that writes through its parent's."""

    def bump(self, x: int) -> None:
        super().bump(x)


class Registered:
    """A class that counts its instances."""

    count = 0

    def __init__(self) -> None:
        Registered.count += 1


def makes_registered(x: int) -> Registered:
    return Registered()


COUNTER = Counter()


def bumps_global_object(x: int) -> None:
    COUNTER.bump(x)


WRITERS: list[tuple[Any, str, str, bool]] = [
    (uses_global, "writes a global", "total", False),
    (deletes_global, "writes a global", "total", False),
    (appends, "changes a global object", "RESULTS", True),
    (appends_and_reads, "changes a global object", "RESULTS", False),
    (appends_alias, "changes a global object", "RESULTS", True),
    (stores, "changes a global object", "CACHE", True),
    (counts, "changes a global object", "CACHE", False),
    (counts_in_place, "changes a global object", "CACHE", False),
    (counts_under_lock, "changes a global object", "CACHE", True),
    (stores_alias, "changes a global object", "CACHE", True),
    (memoises, "changes a global object", "CACHE", False),
    (groups, "changes a global object", "GROUPS", False),
    (groups_inner, "changes a global object", "GROUPS", False),
    (inner_rows, "changes a global object", "ROWS", False),
    (adds_to_set, "changes a global object", "SEEN", True),
    (updates_set, "changes a global object", "SEEN", False),
    (set_in_place, "changes a global object", "SEEN", False),
    (rotates, "changes a global object", "RECENT", False),
    (fills, "changes a global object", "GRID", True),
    (fills_out, "changes a global object", "GRID", False),
    (doubles_grid, "changes a global object", "GRID", False),
    (pushes_heap, "changes a global object", "RESULTS", False),
    (deletes_item, "changes a global object", "CACHE", False),
    (slices, "changes a global object", "RESULTS", False),
    (sets_attribute, "changes a global object", "SETTINGS.last", False),
    (sets_by_name, "changes a global object", "SETTINGS", False),
    (writes_globals_dict, "changes a global object", "globals()", True),
    (in_comprehension, "changes a global object", "RESULTS", True),
    (in_lambda, "changes a global object", "RESULTS", False),
    (in_except, "changes a global object", "RESULTS", False),
    (handed_on, "changes a global object", "RESULTS", False),
    (helper_on_global, "changes a global object", "RESULTS", True),
    (helper_returns_global, "changes a global object", "CACHE", False),
    (deep_helper, "changes a global object", "CACHE", False),
    (bumps_global_object, "changes a global object", "COUNTER.n", False),
    (makes_registered, "changes a global object", "Registered.count", False),
    (with_default, "changes a captured object", "seen", True),
    (with_keyword_default, "changes a captured object", "seen", False),
    (nonlocal_counter(), "writes a nonlocal", "n", False),
    (closure_list(), "changes a captured object", "found", True),
    (_plain_decorator(counts), "changes a global object", "CACHE", False),
    (_wraps_decorator(item_key), "changes its argument", "row", True),
    (functools.lru_cache(appends), "changes a global object", "RESULTS", True),
    (functools.partial(_fill, []), "changes a captured object", "out", True),
    (RESULTS.append, "changes a captured object", "list.append", True),
    (Counter().bump, "changes its own object", "self.n", False),
    (Counter().collect, "changes its own object", "self.items", True),
    (Counter().through_helper, "changes its own object", "self.items", False),
    (Child().bump, "changes its own object", "self.n", False),
    (Counter(), "changes its own object", "self.n", False),
    (Counter.make, "changes its own object", "cls.made", False),
    (Registered, "changes a global object", "Registered.count", False),
    (item_key, "changes its argument", "row", True),
    (item_append, "changes its argument", "row", True),
    (item_update, "changes its argument", "row", True),
    (item_attribute, "changes its argument", "obj", True),
    (item_plus, "changes its argument", "row", True),
    (item_nested, "changes its argument", "row", True),
    (item_star, "changes its argument", "args", True),
    (_plain_decorator(item_append), "changes its argument", "args", True),
]


@pytest.mark.parametrize(("func", "kind", "name", "threads_ok"), WRITERS)
def test_finds_writes(func: Any, kind: str, name: str, threads_ok: bool) -> None:
    """A write to anything outside the call is named, with what threads may do about it."""
    found = {(h.kind, h.name): h.threads_ok for h in find_hazards(func)}
    assert found.get((kind, name)) is threads_ok, found


def reads_global(x: str) -> int:
    return TABLE[x] + TABLE.get(x, 0) + len(CACHE)


def own_containers(x: int) -> tuple[Any, ...]:
    out, seen, counts = [], set(), {}
    for i in range(x):
        out.append(i)
        seen.add(i)
        counts[i] = counts.get(i, 0) + 1
        counts[i] += 1
    out.sort()
    del out[:1]
    return out, seen, counts


def helper_on_local(x: int) -> list[int]:
    out: list[int] = []
    _fill(out, x)
    return out


def copies_argument(items: list[int]) -> list[int]:
    items = list(items)
    items.append(1)
    items[0] = 2
    items += [3]
    return items


def copies_global(x: int) -> Any:
    table = dict(TABLE)
    table["c"] = x
    rows = ROWS[:]
    rows.append([x])
    return table, rows


def rebinds_argument(x: int) -> int:
    x += 1
    x *= 2
    return x


def maybe_default(x: int, options: dict[str, int] | None = None) -> dict[str, int]:
    options = dict(options or {})
    options["x"] = x
    return options


def optional_list(x: int, out: list[int] | None = None) -> list[int]:
    if out is None:
        out = []
    out.append(x)
    return out


def logs_and_prints(x: int) -> int:
    LOG.info("seen %s", x)
    print(x)
    sys.stdout.write(str(x))
    return x


def writes_own_file(path: str) -> None:
    with open(path, "w") as file:
        file.write("x")
        csv.writer(file).writerow([1])


def own_array(x: int) -> Any:
    out = np.zeros(10)
    np.add(out, x, out=out)
    out[1:3] = x
    out *= 2
    out.fill(3)
    return out


def own_nonlocal(x: int) -> int:
    n = 0

    def bump() -> None:
        nonlocal n
        n += x

    bump()
    return n


def own_object(x: int) -> Counter:
    counter = Counter()
    counter.n = x
    counter.bump(x)
    counter.collect(x)
    return counter


def own_lock(x: int) -> int:
    lock = threading.Lock()
    with lock:
        return x


def own_generator(x: int) -> int:
    squares = (i * i for i in range(x))
    return sum(squares) + sum(map(abs, range(x)))


def string_methods(text: str) -> str:
    words = text.replace("a", "b").strip().split()
    return ",".join(sorted(words, key=lambda w: w.lower()))


def other_types_methods(image: Any) -> Any:
    small = image.resize((10, 10))
    return small.sort(), image.update(1).extend(2)


@functools.lru_cache
def cached(x: int) -> int:
    return x * x


def uses_cached(x: int) -> int:
    return cached(x)


def uses_library(x: int) -> Any:
    return json.loads(json.dumps({"x": math.sqrt(x), "r": random.random()}))


def generator_function(x: int) -> Iterator[int]:
    seen = set()
    for i in range(x):
        if i not in seen:
            seen.add(i)
            yield i


def keyword_dict(x: int, **options: Any) -> Any:
    options.pop("y", None)
    options["z"] = x
    return options


def match_case(x: Any) -> Any:
    match x:
        case {"a": a, **rest}:
            rest["b"] = a
            return rest
        case [first, *others]:
            others.append(first)
            return others
        case _:
            return None


def try_with_loop(x: int) -> list[int]:
    out = []
    while x:
        try:
            with io.StringIO() as buffer:
                buffer.write("x")
            if x % 2:
                continue
            out.append(x if x > 3 else -x)
        except (ValueError, KeyError) as error:
            out.append(len(str(error)))
        finally:
            x -= 1
    return out


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Reads itself only."""

    scale: int

    def apply(self, x: int) -> int:
        return self.scale * x


def makes_frozen(x: int) -> int:
    return Frozen(x).apply(x)


def _scaled(scale: int) -> Callable[[int], int]:
    return lambda x: scale * x


HARMLESS: list[Any] = [
    reads_global,
    own_containers,
    helper_on_local,
    copies_argument,
    copies_global,
    rebinds_argument,
    maybe_default,
    optional_list,
    random.SystemRandom().random,
    logs_and_prints,
    writes_own_file,
    own_array,
    own_nonlocal,
    own_object,
    own_lock,
    own_generator,
    string_methods,
    other_types_methods,
    cached,
    uses_cached,
    uses_library,
    generator_function,
    keyword_dict,
    match_case,
    try_with_loop,
    makes_frozen,
    Frozen(3).apply,
    Counter().reads,
    Counter,
    _scaled(3),
    functools.partial(pow, 2),
    functools.partial(_scaled(2)),
    _wraps_decorator(own_containers),
    math.sqrt,
    len,
    str.upper,
    "abc".join,
    np.sort,
    np.random.default_rng,
    json.dumps,
    Path.read_text,
    operator.itemgetter(1),
    lambda x: [y + 1 for y in x],
]


@pytest.mark.parametrize("func", HARMLESS)
def test_harmless_functions_have_no_hazards(func: Any) -> None:
    """What stays inside the call, or is only read, is no hazard."""
    assert find_hazards(func) == ()


def _holding(thing: Any) -> Callable[[int], Any]:
    return lambda x: (thing, x)


def _generator() -> Iterator[int]:
    yield 1


HELD: list[tuple[Callable[[], Any], str, bool]] = [
    (threading.Lock, "captured lock", True),
    (threading.RLock, "captured lock", True),
    (threading.Condition, "captured lock", True),
    (threading.Event, "captured lock", True),
    (lambda: threading.Semaphore(2), "captured lock", True),
    (threading.local, "captured thread-local", True),
    (queue.Queue, "captured queue", True),
    (queue.SimpleQueue, "captured queue", True),
    (lambda: open(__file__), "captured open file", False),
    (io.BytesIO, "captured open file", False),
    (socket.socket, "captured socket", False),
    (_generator, "captured generator", False),
    (lambda: map(abs, [1]), "captured iterator", False),
    (lambda: enumerate([1]), "captured iterator", False),
    (itertools.count, "captured iterator", False),
    (lambda: csv.reader(["a"]), "captured iterator", False),
    (lambda: sqlite3.connect(":memory:"), "captured database connection", False),
    (lambda: ThreadPoolExecutor(1), "captured thread, process or pool", False),
    (lambda: threading.Thread(target=len), "captured thread, process or pool", False),
    (lambda: weakref.ref(Counter), "captured weak reference", True),
    (weakref.WeakValueDictionary, "captured weak reference", True),
    (random.Random, "captured random generator", True),
    (np.random.default_rng, "captured random generator", True),
]


@pytest.mark.parametrize(("make", "kind", "threads_ok"), HELD)
def test_finds_what_cannot_cross(make: Callable[[], Any], kind: str, threads_ok: bool) -> None:
    """Locks, files, generators and connections are found in closures, attributes and bound arguments."""
    thing = make()
    counter = Counter()
    counter.thing = thing  # type: ignore[attr-defined]
    try:
        expected = (kind, threads_ok)
        for func in (_holding(thing), counter.reads, functools.partial(pow, thing), _holding([thing])):
            assert expected in {(h.kind, h.threads_ok) for h in find_hazards(func)}
    finally:
        getattr(thing, "close", lambda: None)()


def uses_global_lock(x: int) -> int:
    with LOCK:
        return x


def uses_thread_local(x: int) -> None:
    LOCAL.session = x


def test_global_lock_is_named() -> None:
    """A lock found through a global keeps its name and the function's line."""
    line = uses_global_lock.__code__.co_firstlineno
    assert find_hazards(uses_global_lock) == (
        Hazard("captured lock", "LOCK", f"test_hazards.py:{line}", True),
    )


def test_thread_local_is_no_write() -> None:
    """Writing to a thread-local is what it is for."""
    assert [(h.kind, h.threads_ok) for h in find_hazards(uses_thread_local)] == [
        ("captured thread-local", True)
    ]


def test_unused_lock_protects_nothing() -> None:
    """A lock that the function holds but does not take leaves its writes as they are."""
    counter = Counter()
    counter.lock = threading.Lock()  # type: ignore[attr-defined]
    assert {h.kind: h.threads_ok for h in find_hazards(counter.bump)} == {
        "changes its own object": False,
        "captured lock": True,
    }


def test_the_place_is_the_helpers_own() -> None:
    """A write in a helper is reported where it stands."""
    (hazard,) = find_hazards(deep_helper)
    assert hazard.where == f"test_hazards.py:{_third.__code__.co_firstlineno}"


class Hostile:
    """Resists being looked at in every way."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self, x: int) -> int:
        return x

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError


def _recursive(x: int) -> int:
    return _recursive(x - 1) if x else _mutual(x)


def _mutual(x: int) -> int:
    return _recursive(x)


def _unfilled() -> Callable[[], Any]:
    def early() -> Any:
        return later

    if early is None:
        later = 1
    return early


def _own_wrapper() -> Callable[[], None]:
    def func() -> None: ...

    func.__wrapped__ = func  # type: ignore[attr-defined]
    return func


async def _coroutine(x: int) -> int:
    async with x as y:  # type: ignore[attr-defined]
        async for z in y:
            await z
    return x


ODD: list[Any] = [
    _recursive,
    _unfilled(),
    _own_wrapper(),
    _coroutine,
    type,
    object(),
    None,
    print,
    type("Empty", (), {}),
    Counter.__init__,
    object.__init__,
    [].append,
    {}.get,
    types.MethodType(len, "abc"),
    functools.partialmethod(len),
    np.vectorize(len),
    np.add,
    operator.attrgetter("x"),
    functools.singledispatch(len),
    property(len),
    staticmethod(len),
    eval("lambda *a, **k: (a, k)"),
]


@pytest.mark.parametrize("func", ODD, ids=lambda func: type(func).__name__)
def test_never_raises(func: Any) -> None:
    """Whatever the callable is, looking at it raises nothing."""
    _look_at(func)


@pytest.mark.parametrize(
    "wrap", [lambda func: func, functools.partial, lambda func: functools.partial(len, func)]
)
def test_never_raises_on_hostile_objects(wrap: Any) -> None:
    """An object whose every attribute raises is just not understood."""
    _look_at(wrap(Hostile()))


def _look_at(func: Any) -> None:
    assert isinstance(find_hazards(func), tuple)
    effects = Effects(func)
    effects.before((1,))
    effects.after((1,))
    assert effects.hazards() == ()
    assert isinstance(dump(func), (bytes, Unpicklable))


@pytest.mark.parametrize("module", [builtins, functools, json, csv, dataclasses, heapq, pickle, logging])
def test_never_raises_on_library_code(module: Any) -> None:
    """The walk gets through all kinds of real code."""
    for func in vars(module).values():
        if callable(func):
            find_hazards(func)


def test_dump_by_name_and_by_value() -> None:
    """Importable functions go by name, lambdas and closures by value."""
    for func in (math.sqrt, _scaled(2)):
        payload = dump(func)
        assert isinstance(payload, bytes)
        assert pickle.loads(payload)(4) == func(4)  # type: ignore[operator]


def test_dump_names_the_part() -> None:
    """It names the captured variable, attribute or bound argument that fails."""
    lock = threading.Lock()
    counter = Counter()
    counter.lock = lock  # type: ignore[attr-defined]
    names = [dump(f) for f in (_holding(lock), counter.reads, functools.partial(pow, lock))]
    assert [found.path for found in names] == [
        "func.__closure__['thing']",
        "reads.__self__.lock",
        "partial.args[0]",
    ]
