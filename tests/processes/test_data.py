"""Large data crosses through shared memory: once per worker, read-only, and not copied."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import autoexec
from tests.processes.work import run

np = pytest.importorskip("numpy")

SIDE = 512  # 2 MiB of floats
TABLE = np.arange(SIDE * SIDE, dtype=float).reshape(SIDE, SIDE)
FRESH = pytest.mark.parametrize("start", ["fresh"], indirect=True)


class Shipped:
    """Tells, in the worker's own memory, how often it was loaded there."""

    loads = 0

    def __init__(self, array: Any) -> None:
        self.array = array

    def __setstate__(self, state: Any) -> None:
        type(self).loads += 1
        vars(self).update(state)

    def work(self, x: int) -> Any:
        """Use it."""
        return os.getpid(), Shipped.loads, float(self.array[0, x])


def in_shared_memory(array: Any) -> bool:
    """Whether an array looks into a mapped segment rather than into memory of its own."""
    base = array
    while getattr(base, "base", None) is not None:
        base = base.base
    return not array.flags.owndata and not isinstance(base, np.ndarray)


# The ways in ------------------------------------------------------------------------------------------------


def _argument() -> Any:
    return lambda array: (in_shared_memory(array), float(array.sum())), (TABLE + x for x in range(4))


def _within() -> Any:
    return (
        lambda item: (in_shared_memory(item["deep"][0]), float(item["deep"][0].sum())),
        ({"deep": (TABLE + x, x)} for x in range(4)),
    )


def _partial() -> Any:
    def work(array: Any, x: int) -> Any:
        return in_shared_memory(array), float(array.sum()) + x * array.size

    return functools.partial(work, TABLE.copy()), iter(range(4))


def _keyword() -> Any:
    def work(x: int, *, array: Any) -> Any:
        return in_shared_memory(array), float(array.sum()) + x * array.size

    return functools.partial(work, array=TABLE.copy()), iter(range(4))


def _closure() -> Any:
    array = TABLE.copy()
    return lambda x: (in_shared_memory(array), float(array.sum()) + x * array.size), iter(range(4))


def _default() -> Any:
    array = TABLE.copy()
    return lambda x, array=array: (in_shared_memory(array), float(array.sum()) + x * array.size), iter(
        range(4)
    )


class _Holder:
    def __init__(self) -> None:
        self.array = TABLE.copy()

    def work(self, x: int) -> Any:
        """Use it."""
        return in_shared_memory(self.array), float(self.array.sum()) + x * self.array.size


def _method() -> Any:
    return _Holder().work, iter(range(4))


WAYS = [_argument, _within, _partial, _keyword, _closure, _default, _method]


@FRESH
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_large_arrays_are_mapped(way: Callable[[], Any], start: str) -> None:
    """However an array gets into a fresh worker, it looks into shared memory there."""
    work, items = way()
    expected = [(True, float(TABLE.sum()) + x * TABLE.size) for x in range(4)]
    assert list(run(work, items, on_error="raise")) == expected


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_forked_workers_see_the_same(way: Callable[[], Any]) -> None:
    """In forked workers the values are the same, however they came."""
    work, items = way()
    values = [value for _, value in run(work, items, on_error="raise")]
    assert values == [float(TABLE.sum()) + x * TABLE.size for x in range(4)]


def test_a_global_that_the_function_reads(script: Any) -> None:
    """A large global of a script travels with its function, through shared memory."""
    body = """
    import numpy as np
    TABLE = np.arange(2**18, dtype=float)
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

    def work(x):
        return TABLE.flags.owndata, TABLE.flags.writeable, float(TABLE[x])

    print(list(autoexec.map(work, range(3), backend="processes", max_workers=2)))
    """
    code, out, err = script.run(body)
    assert (code, err) == (0, "")
    assert out == "[(False, False, 0.0), (False, False, 1.0), (False, False, 2.0)]\n"


@pytest.mark.parametrize("chunksize", [1, 4])
def test_results_are_mapped(chunksize: int, start: str) -> None:
    """Large results look into shared memory in the caller, and are its own to change."""
    values = list(run(lambda x: TABLE + x, range(8), chunksize=chunksize, on_error="raise"))
    assert all(in_shared_memory(value) and value.flags.writeable for value in values)
    assert all(float(value[0, 0]) == x for x, value in enumerate(values))
    values[0][:] = -1
    assert float(values[1][0, 0]) == 1.0


def test_mixed_sizes_keep_their_order(start: str) -> None:
    """Small, middle and large results side by side come back each in its place."""
    sizes = [10, 100_000, 10, 20_000, 1_000_000, 0, 300_000, 1] * 4
    values = list(run(lambda n: bytes([n % 251]) * n, sizes, chunksize=8, on_error="raise"))
    assert values == [bytes([n % 251]) * n for n in sizes]


@pytest.mark.parametrize(
    "odd",
    [
        TABLE[::2, ::3],
        TABLE.T,
        np.asfortranarray(TABLE),
        TABLE[:0],
        np.array([None, {"a": 1}] * 40_000, dtype=object),
        np.ma.masked_array(TABLE, TABLE > 7),
        TABLE.astype("complex64"),
        np.zeros(100_000, dtype=[("a", "i4"), ("b", "f8")]),
        np.array(3.5),
        bytearray(300_000),
        memoryview(b"x" * 300_000).tobytes(),
    ],
    ids=lambda odd: f"{type(odd).__name__}-{getattr(odd, 'dtype', '')}"[:30],
)
def test_odd_arrays_cross_both_ways(odd: Any, start: str) -> None:
    """Whatever an array looks like, it arrives with the same values and types."""
    (value,) = run(lambda item: item, iter([odd]), on_error="raise")
    assert type(value) is type(odd)
    if isinstance(odd, np.ndarray):
        assert value.dtype == odd.dtype and value.shape == odd.shape
        assert (np.asarray(value) == np.asarray(odd)).all()
    else:
        assert value == odd


# Once per worker --------------------------------------------------------------------------------------------


@FRESH
@pytest.mark.parametrize("carry", ["partial", "closure", "method"])
def test_the_same_object_is_shipped_once_per_worker(carry: str, start: str) -> None:
    """By identity, through whatever carries it: each worker loads it once, for all its chunks."""
    shipped = Shipped(TABLE)
    work = {
        "partial": functools.partial(Shipped.work, shipped),
        "closure": lambda x: shipped.work(x),
        "method": shipped.work,
    }[carry]
    values = list(run(work, iter(range(40)), chunksize=2, on_error="raise"))
    assert [value for _, _, value in values] == [float(x) for x in range(40)]
    assert {loads for _, loads, _ in values} == {1}


@FRESH
def test_it_is_pickled_once_for_all_workers(start: str) -> None:
    """The caller turns it into bytes once, not for each worker, chunk or item."""
    pickled: list[int] = []

    class Counting:
        def __getstate__(self) -> dict[str, Any]:
            pickled.append(os.getpid())
            return {"array": TABLE}

    counting = Counting()
    list(run(lambda x: (counting.array[0, 0], x), iter(range(30)), chunksize=1, on_error="raise"))
    assert len(pickled) <= 2  # once to see whether it can be


def _pss() -> int:
    """Bytes of memory that are this process's own share."""
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "fresh"], indirect=True)
def test_it_is_not_resident_once_per_worker(start: str, tmp_path: Any) -> None:
    """Workers that all read a captured array share its memory: their PSS grows by less than a copy each."""
    size = 64 << 20
    table = np.ones(size // 8)
    meet = str(tmp_path)

    def work(x: int) -> Any:
        table.sum()
        open(f"{meet}/{os.getpid()}", "w").close()
        while len(os.listdir(meet)) < 4:
            pass
        return _pss(), os.getpid()

    def nothing(x: int) -> int:
        return _pss()

    base = max(run(nothing, range(4), max_workers=1, on_error="raise"))
    autoexec.shutdown()
    seen = {pid: pss for pss, pid in run(work, range(4), max_workers=4, chunksize=1, on_error="raise")}
    assert len(seen) == 4
    assert sum(seen.values()) - 4 * base < 1.5 * size


def test_memory_is_given_back(start: str) -> None:
    """Segments go with the arrays that look into them."""

    def mapped() -> int:
        with open("/proc/self/smaps") as file:
            return sum(line.count("(deleted)") for line in file)

    before = mapped()
    values = list(run(lambda x: TABLE + x, range(6), on_error="raise"))
    assert mapped() > before
    gone = weakref.ref(values[0])
    del values
    assert gone() is None
    autoexec.shutdown()
    assert mapped() <= before


# Read-only --------------------------------------------------------------------------------------------------


def writes(array: Any) -> float:
    """Change the argument."""
    array[0, 0] = 7.0
    return float(array[0, 0])


def sorts(array: Any) -> float:
    """Change it in another way."""
    array.sort()
    return float(array[0, 0])


@pytest.mark.parametrize("on_error", ["raise", "return"])
@pytest.mark.parametrize("work", [writes, sorts])
def test_writing_says_how_to_get_a_copy(work: Callable[[Any], float], on_error: Any, start: str) -> None:
    """The error that a write raises names the option."""
    items: Iterator[Any] = (TABLE + x for x in range(3))
    if on_error == "raise":
        with pytest.raises(ValueError, match="read-only") as caught:
            list(run(work, items, on_error=on_error))
        error: BaseException = caught.value
    else:
        error, *_ = run(work, items, on_error=on_error)
    assert any("writable='copy'" in note for note in error.__notes__)


@pytest.mark.parametrize("carry", ["argument", "closure"])
def test_private_copies(carry: str, start: str) -> None:
    """With writable="copy" items write into copies that nobody else sees."""
    table = TABLE.copy()
    if carry == "argument":
        values = list(run(writes, (table for _ in range(4)), writable="copy", on_error="raise"))
    else:
        values = list(run(lambda x: writes(table), iter(range(4)), writable="copy", on_error="raise"))
    assert values == [7.0] * 4 and table[0, 0] == 0.0


def test_small_arrays_are_private_anyway(start: str) -> None:
    """What travels in the message is the item's own."""
    assert list(run(writes, (np.zeros((2, 2)) for _ in range(3)), on_error="raise")) == [7.0] * 3


def test_pandas(start: str) -> None:
    """Frames travel as what they are, both ways."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(50_000.0), "b": ["x", "y"] * 25_000})
    values = list(run(lambda part: part.assign(c=part.a * 2), (frame for _ in range(2)), on_error="raise"))
    assert all(
        float(value.c.iloc[-1]) == 99_998.0 and list(value.columns) == ["a", "b", "c"] for value in values
    )


def test_auto(known_costs: object, burn: Callable[[float], int]) -> None:
    """Where autoexec chose processes itself, large results and captured arrays are right, too."""
    table = TABLE.copy()

    def work(x: int) -> Any:
        burn(0.03)
        return table + x

    results = autoexec.map(work, range(40), max_workers=4)
    assert all((value == TABLE + x).all() for x, value in enumerate(results))
    assert results.plan is not None and results.plan.backend == "processes", results.plan


@pytest.mark.parametrize("start", ["fork", "fresh"], indirect=True)
def test_globals_that_were_set_at_run_time(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module's globals are in a worker what they are here now, its helpers' included."""
    (tmp_path / "settings_at_run_time.py").write_text("LEVEL = 1\nTABLE = None\n")
    (tmp_path / "work_at_run_time.py").write_text(
        "import settings_at_run_time as s\nFACTOR = 1\n"
        "def item(x): return x * FACTOR + s.LEVEL + int(s.TABLE[x])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = importlib.import_module("settings_at_run_time")
    work = importlib.import_module("work_at_run_time")
    try:
        for level in (100, 200):
            work.FACTOR, settings.LEVEL, settings.TABLE = 10, level, np.arange(500_000)
            values = list(run(work.item, range(5)))
            assert values == [10 * x + level + x for x in range(5)]
    finally:
        del sys.modules["settings_at_run_time"], sys.modules["work_at_run_time"]
