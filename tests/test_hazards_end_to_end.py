"""Promise 4: functions that write to the caller's objects, or hold what cannot leave, stay in this process.

Every function here burns enough CPU that processes would pay off by far on the eight cores that the plan is
told of; a control shows that the same work without the hazard does go to processes.
"""

# ruff: noqa: D103 -- the functions are samples to be judged

from __future__ import annotations

import collections
import functools
import io
import itertools
import os
import queue
import random
import re
import sqlite3
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autoexec

N = 30
TOTAL = 0
RESULTS: list[int] = []
CACHE: dict[int, int] = {}
SEEN: set[int] = set()
RECENT: collections.deque[int] = collections.deque()
COUNTS: collections.Counter[str] = collections.Counter()
GROUPS: collections.defaultdict[int, list[int]] = collections.defaultdict(list)
SETTINGS = types.SimpleNamespace(last=None, calls=0)
NESTED = {"inner": {"values": []}}


def burn(seconds: float = 0.012) -> None:
    until, total = time.thread_time() + seconds, 0
    while time.thread_time() < until:
        for i in range(200):
            total ^= i


def writes_a_global(x: int) -> int:
    global TOTAL
    burn()
    TOTAL += x
    return x


def appends_to_a_global(x: int) -> int:
    burn()
    RESULTS.append(x)
    return x


def fills_a_global_dict(x: int) -> int:
    burn()
    CACHE[x] = x
    return x


def adds_to_a_global_set(x: int) -> int:
    burn()
    SEEN.add(x)
    return x


def appends_to_a_deque(x: int) -> int:
    burn()
    RECENT.append(x)
    return x


def counts(x: int) -> int:
    burn()
    COUNTS["all"] += 1
    return x


def groups(x: int) -> int:
    burn()
    GROUPS[x % 3].append(x)
    return x


def sets_an_attribute(x: int) -> int:
    burn()
    SETTINGS.calls += 1
    return x


def writes_deep_inside(x: int) -> int:
    burn()
    NESTED["inner"]["values"].append(x)
    return x


def helper(x: int) -> None:
    RESULTS.append(x)


def writes_through_a_helper(x: int) -> int:
    burn()
    helper(x)
    return x


class Collector:
    def __init__(self) -> None:
        self.values: list[int] = []
        self.calls = 0

    def collect(self, x: int) -> int:
        burn()
        self.values.append(x)
        return x

    def __call__(self, x: int) -> int:
        burn()
        self.calls += 1
        return x


class Tally:
    calls = 0

    @classmethod
    def count(cls, x: int) -> int:
        burn()
        cls.calls += 1
        return x


def _nonlocal() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    total = 0

    def work(x: int) -> int:
        nonlocal total
        burn()
        total += 1
        return x

    return work, lambda: total, N


def _captured_list() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    found: list[int] = []

    def work(x: int) -> int:
        burn()
        found.append(x)
        return x

    return work, lambda: sorted(found), list(range(N))


def _default_argument() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    kept: list[int] = []

    def work(x: int, kept: list[int] = kept) -> int:
        burn()
        kept.append(x)
        return x

    return work, lambda: sorted(kept), list(range(N))


def _partial() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    kept: list[int] = []

    def work(into: list[int], x: int) -> int:
        burn()
        into.append(x)
        return x

    return functools.partial(work, kept), lambda: sorted(kept), list(range(N))


def _lock() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    lock = threading.Lock()

    def work(x: int) -> int:
        burn()
        with lock, open(os.devnull):  # what it guards is nobody's alone
            return x

    return work, lambda: lock.locked(), False


def _generator() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    numbers: Iterator[int] = (n for n in itertools.count())

    def work(x: int) -> int:
        burn()
        next(numbers)
        return x

    return work, lambda: next(numbers), N


def _counter() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    numbers = itertools.count()

    def work(x: int) -> int:
        burn()
        next(numbers)
        return x

    return work, lambda: next(numbers), N


def _file() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    file = io.StringIO()

    def work(x: int) -> int:
        burn()
        file.write("x")
        return x

    return work, lambda: file.getvalue(), "x" * N


def _queue() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    out: queue.SimpleQueue[int] = queue.SimpleQueue()

    def work(x: int) -> int:
        burn()
        out.put(x)
        return x

    return work, lambda: out.qsize(), N


def _random() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    numbers, same = random.Random(1), random.Random(1)
    for _ in range(N):
        same.random()

    def work(x: int) -> int:
        burn()
        numbers.random()
        return x

    return work, lambda: numbers.random(), same.random()


def _method() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    collector = Collector()
    return collector.collect, lambda: sorted(collector.values), list(range(N))


def _callable_object() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    collector = Collector()
    return collector, lambda: collector.calls, N


def _class_method() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
    Tally.calls = 0
    return Tally.count, lambda: Tally.calls, N


def _global(
    func: Callable[[int], int], reset: Callable[[], Any], seen: Callable[[], Any], expected: Any
) -> Any:
    def make() -> tuple[Callable[[int], int], Callable[[], Any], Any]:
        reset()
        return func, seen, expected

    return make


def _reset_total() -> None:
    global TOTAL
    TOTAL = 0


EVERY = list(range(N))
CASES: dict[str, tuple[Any, str]] = {
    "global number": (_global(writes_a_global, _reset_total, lambda: TOTAL, sum(EVERY)), "TOTAL"),
    "global list": (_global(appends_to_a_global, RESULTS.clear, lambda: sorted(RESULTS), EVERY), "RESULTS"),
    "global dict": (_global(fills_a_global_dict, CACHE.clear, lambda: sorted(CACHE), EVERY), "CACHE"),
    "global set": (_global(adds_to_a_global_set, SEEN.clear, lambda: sorted(SEEN), EVERY), "SEEN"),
    "deque": (_global(appends_to_a_deque, RECENT.clear, lambda: sorted(RECENT), EVERY), "RECENT"),
    "counter": (_global(counts, COUNTS.clear, lambda: COUNTS["all"], N), "COUNTS"),
    "defaultdict": (
        _global(groups, GROUPS.clear, lambda: sorted(itertools.chain(*GROUPS.values())), EVERY),
        "GROUPS",
    ),
    "attribute": (
        _global(sets_an_attribute, lambda: setattr(SETTINGS, "calls", 0), lambda: SETTINGS.calls, N),
        "SETTINGS",
    ),
    "deep inside": (
        _global(
            writes_deep_inside,
            lambda: NESTED["inner"]["values"].clear(),
            lambda: sorted(NESTED["inner"]["values"]),
            EVERY,
        ),
        "NESTED",
    ),
    "through a helper": (
        _global(writes_through_a_helper, RESULTS.clear, lambda: sorted(RESULTS), EVERY),
        "RESULTS",
    ),
    "nonlocal": (_nonlocal, "total"),
    "captured list": (_captured_list, "found"),
    "mutable default": (_default_argument, "kept"),
    "partial": (_partial, "into"),
    "lock": (_lock, "lock"),
    "generator": (_generator, "numbers"),
    "itertools.count": (_counter, "numbers"),
    "file": (_file, "file"),
    "queue": (_queue, "out"),
    "random stream": (_random, "numbers"),
    "method": (_method, "values"),
    "callable object": (_callable_object, "calls"),
    "class method": (_class_method, "calls"),
}


@pytest.mark.usefixtures("known_costs")
@pytest.mark.parametrize("lazy", [False, True], ids=["list", "iterator"])
@pytest.mark.parametrize("case", CASES)
def test_it_stays_in_this_process(case: str, lazy: bool) -> None:
    """Processes are refused, the reason names object and line, and every effect is there, once."""
    make, name = CASES[case]
    work, seen, expected = make()
    results = autoexec.map(work, iter(EVERY) if lazy else EVERY, max_workers=2)
    assert list(results) == EVERY
    plan = results.plan
    assert plan is not None
    assert seen() == expected
    assert plan.backend in ("serial", "threads"), plan
    said = " ".join([plan.reason, *map(str, plan.hazards)])
    assert name in said, said
    assert results.profile is not None
    said = plan.reason
    assert re.search(r"\w+\.py:\d+", said) or "<built-in" in said, said


@pytest.mark.usefixtures("known_costs")
@pytest.mark.parametrize("case", ["captured list", "global number", "nonlocal", "method", "lock"])
def test_also_when_the_first_item_is_long(case: str) -> None:
    """The early decision, made while the first item still runs, is as careful."""
    make, _ = CASES[case]
    work, seen, expected = make()

    def first_is_long(x: int) -> int:
        if x == 0:
            burn(0.3)
        return work(x)

    results = autoexec.map(first_is_long, EVERY, max_workers=2)
    assert list(results) == EVERY
    assert seen() == expected
    assert results.plan is not None and results.plan.backend in ("serial", "threads"), results.plan


@pytest.mark.usefixtures("known_costs")
@pytest.mark.parametrize("case", ["captured list", "global number", "nonlocal", "method"])
def test_also_when_heavy_items_come_late(case: str) -> None:
    """Nor does a plan that is made again forget it."""
    make, _ = CASES[case]
    work, seen, expected = make()

    def late(x: int) -> int:
        return work(x - 5000) if x >= 5000 else x

    results = autoexec.map(late, range(5000 + N), max_workers=2)
    assert list(results) == [*range(5000), *EVERY]
    assert seen() == expected
    assert results.plan is not None and results.plan.backend in ("serial", "threads"), results.plan


@pytest.mark.usefixtures("known_costs")
def test_a_database_connection_stays() -> None:
    """A captured connection belongs to the thread that opened it: the whole run stays there."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table found (x integer)")

        def work(x: int) -> int:
            burn()
            connection.execute("insert into found values (?)", (x,))
            return x

        results = autoexec.map(work, EVERY, max_workers=2)
        assert list(results) == EVERY
        assert results.plan is not None and results.plan.backend == "serial"
        assert "connection" in results.plan.reason
        assert [x for (x,) in connection.execute("select x from found order by x")] == EVERY
    connection.close()


@pytest.mark.usefixtures("known_costs")
def test_items_that_are_changed_stay() -> None:
    """A function that changes its argument keeps the caller's objects."""

    def work(item: dict[str, int]) -> int:
        burn()
        item["done"] = item["x"]
        return item["x"]

    items = [{"x": x} for x in EVERY]
    results = autoexec.map(work, items, max_workers=2)
    assert list(results) == EVERY
    assert [item.get("done") for item in items] == EVERY
    assert results.plan is not None and results.plan.backend in ("serial", "threads")


@pytest.mark.usefixtures("known_costs")
def test_items_whose_copies_may_be_changed_leave() -> None:
    """With `writable="copy"` the same function runs in processes, the caller's objects stay."""

    def work(item: dict[str, int]) -> int:
        burn()
        item["done"] = item["x"]
        return item["done"]

    items = [{"x": x} for x in EVERY]
    results = autoexec.map(work, items, max_workers=2, writable="copy")
    assert list(results) == EVERY
    assert results.plan is not None and results.plan.backend == "processes", results.plan
    assert not all("done" in item for item in items)


@pytest.mark.usefixtures("known_costs")
def test_the_control_goes_to_processes() -> None:
    """The same work without a hazard does leave this process."""

    def work(x: int) -> int:
        burn()
        return os.getpid()

    results = autoexec.map(work, EVERY, max_workers=2)
    found = list(results)
    assert results.plan is not None and not results.plan.hazards
    assert results.plan.backend == "processes", results.plan
    assert set(found) - {os.getpid()}
