"""Workers that are kept for the next call: ten maps pay once, and nobody notices otherwise."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import autoexec
from tests.processes import work
from tests.processes.scripts import Script
from tests.processes.work import run

SETTING = [1]


def children() -> set[int]:
    """The children of this process."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            found |= set(map(int, file.read().split()))
    return found


def test_ten_maps_in_a_row(start: str) -> None:
    """The same workers serve all of them."""
    pids: set[int] = set()
    for _ in range(10):
        values = list(run(work.whose, on_error="raise"))
        assert [x for x, _ in values] == list(range(12))
        pids |= {pid for _, pid in values}
    assert len(pids) <= 2


def test_shutdown_ends_them(start: str) -> None:
    """`autoexec.shutdown()` ends all workers at rest, at once; the next map starts others."""
    before = children()
    first = {pid for _, pid in run(work.whose, on_error="raise")}
    assert children() - before >= first
    autoexec.shutdown()
    assert children() <= before
    autoexec.shutdown()
    second = {pid for _, pid in run(work.whose, on_error="raise")}
    assert not first & second


def test_shutdown_leaves_running_maps_alone(start: str, journal: Any) -> None:
    """Only workers at rest are ended."""
    note, lines = journal.note, journal.lines

    def item(x: int) -> int:
        note("begun")
        while "go" not in lines():
            pass
        return x

    results = run(item, range(4), on_error="raise")
    assert journal.wait_for(2)
    autoexec.shutdown()
    note("go")
    assert list(results) == list(range(4))


def test_the_callers_changes_are_seen(start: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A kept worker knows the directory, environment, globals and captured values of now."""
    captured = [0]

    def item(x: int) -> Any:
        return os.getcwd(), os.environ.get("COLOUR"), SETTING[0], captured[0]

    for number in range(3):
        monkeypatch.setenv("COLOUR", str(number))
        (folder := tmp_path / str(number)).mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setitem(globals(), "SETTING", [number])
        captured[0] = number
        assert set(run(item, on_error="raise")) == {(str(folder), str(number), number, number)}


def test_a_changed_function_of_the_same_name(start: str) -> None:
    """Workers do not take one function for another that has its name."""
    for by in (2, 3, 4):
        code = f"def item(x):\n    return {by} * x"
        scope: dict[str, Any] = {}
        exec(code, scope)
        assert list(run(scope["item"], on_error="raise")) == [by * x for x in range(12)]


def test_changed_options(start: str) -> None:
    """Workers that were started on other config are not taken."""
    np = pytest.importorskip("numpy")
    table = np.zeros(200_000)

    def item(array: Any) -> float:
        array[0] = 1.0
        return float(array[0])

    for options, right in (({}, ValueError), ({"writable": "copy"}, 1.0), ({}, ValueError)):
        (value,) = run(item, iter([table]), **options)
        assert value == right or type(value) is right
    assert table[0] == 0.0


def test_another_number_of_workers(start: str) -> None:
    """More are started if more are wanted, and no more are used than were asked for."""
    for count in (1, 3, 2, 1):
        values = list(run(work.whose, range(30), max_workers=count, chunksize=1, on_error="raise"))
        assert [x for x, _ in values] == list(range(30))
        assert len({pid for _, pid in values}) <= count


def test_after_an_error(start: str) -> None:
    """Errors, deaths and late items of one map are nothing to the next one."""
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            list(run(lambda x: 1 // (x - 5), on_error="raise"))
        assert list(run(work.exits))[:5] == [0, 10, 20, 30, 40]
        assert list(run(work.sleeps, item_timeout=0.1))[6:] == [60, 70, 80, 90, 100, 110]
        assert list(run(work.value_of, on_error="raise")) == list(range(12))


@pytest.mark.parametrize("start", ["fresh"], indirect=True)
def test_their_memory_is_let_go(start: str) -> None:
    """A worker at rest holds neither the last items nor the last function's data."""
    np = pytest.importorskip("numpy")
    before = children()

    def one() -> None:
        table = np.ones(1_000_000)
        list(run(lambda array: float(array[0] + table[0]), (table + x for x in range(8)), on_error="raise"))

    one()
    kept = children() - before
    assert kept
    until = time.monotonic() + 5.0
    while any(map(shared_bytes, kept)) and time.monotonic() < until:
        continue
    assert [shared_bytes(pid) for pid in kept] == [0] * len(kept)


def shared_bytes(pid: int) -> int:
    """Bytes of nameless segments that a process looks at, its page not counted."""
    found = 0
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            if "(deleted)" in line:
                first, _, last = line.split()[0].partition("-")
                size = int(last, 16) - int(first, 16)
                found += size if size > 1_000_000 else 0
    return found


def test_maps_in_several_threads_do_not_share(burn: Callable[[float], int]) -> None:
    """A kept worker serves one map at a time."""
    list(run(work.whose))
    found: dict[int, list[Any]] = {}

    def one(number: int) -> None:
        found[number] = list(run(lambda x: (burn(0.002), number * x)[1], range(20), on_error="raise"))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert found == {number: [number * x for x in range(20)] for number in range(4)}


def test_the_program_ends_while_they_rest(script: Script) -> None:
    """They do not keep a program from ending, and end with it."""
    code, out, err = script.run(
        """
        for _ in range(10):
            pids = set(autoexec.map(lambda x: os.getpid(), range(8), backend="processes", max_workers=2))
        print(len(pids) <= 2)
        """,
        "-X",
        "dev",
    )
    assert (code, out, err) == (0, "True\n", "")
    assert script.left() == []
