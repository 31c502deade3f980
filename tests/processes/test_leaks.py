"""Fifty maps of all kinds, and nothing grows."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoexec
from tests.processes import work
from tests.processes.work import run

np = pytest.importorskip("numpy")

PATIENCE_S = 5.0
TABLE = np.ones(100_000)


def _closed_early() -> None:
    results = run(work.whose, range(100))
    next(results)
    results.close()


def _raises() -> None:
    with contextlib.suppress(ZeroDivisionError):
        list(run(lambda x: 1 // (x - 5), on_error="raise"))


def _executor() -> None:
    with autoexec.Executor(2, backend="processes") as executor:
        list(executor.map(work.value_of, range(12)))


KINDS: dict[str, Callable[[], Any]] = {
    "plain": lambda: list(run(work.value_of)),
    "a captured array": lambda: list(run(lambda x: TABLE + x, range(6))),
    "arrays as items": lambda: list(run(lambda array: float(array.sum()), (TABLE + x for x in range(6)))),
    "a worker that dies": lambda: list(run(work.exits)),
    "an item that is late": lambda: list(run(work.sleeps, item_timeout=0.05)),
    "a result that does not pickle": lambda: list(run(work.returns_a_lock)),
    "items that do not cross": lambda: list(
        run(work.value_of, iter([1, work.Refuses(), work.Explosive(), 3]))
    ),
    "closed early": _closed_early,
    "raises": _raises,
    "an executor": _executor,
}


def holdings() -> dict[str, Any]:
    """What this process holds, workers at rest not counted."""
    autoexec.shutdown()
    children = ""
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended meanwhile
            children += path.read_text()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "children": len(children.split()),
        "shared": [n for n in os.listdir("/dev/shm") if "autoexec" in n or f"{os.getpid()}" in n],
        "files": os.listdir(tempfile.gettempdir()),
        "maps": sum("(deleted)" in line for line in Path("/proc/self/maps").read_text().splitlines()),
    }


def settled(before: dict[str, Any]) -> dict[str, Any]:
    """What it holds once that is what it held before, or patience ends: threads may take a moment to go."""
    until = time.monotonic() + PATIENCE_S
    while (now := holdings()) != before and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    return now


def at_rest(threads: int, children: int) -> dict[str, Any]:
    """What it holds when the threads and processes of the last map are gone."""
    until = time.monotonic() + PATIENCE_S
    while (now := holdings()) and time.monotonic() < until:
        if now["threads"] <= threads and now["children"] <= children:
            break
        time.sleep(0.01)
    gc.collect()
    return holdings()


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[int, int]:
    """Threads and children there before the test, of whoever runs it; a temp directory of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = holdings()
    return held["threads"], held["children"]


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_fifty_maps(start: str, crowd: tuple[int, int]) -> None:
    """Descriptors, threads, children, shared memory, files and maps are as many as after the first ten."""
    for kind in KINDS.values():
        kind()
    before, memory = at_rest(*crowd), resident()
    for _ in range(4):
        for kind in KINDS.values():
            kind()
    assert settled(before) == before
    assert resident() - memory < 20 << 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_kind_alone(kind: Callable[[], Any], start: str, crowd: tuple[int, int]) -> None:
    """The same for each kind of map, so that the leaky one is known."""
    kind()
    before = at_rest(*crowd)
    kind()
    assert settled(before) == before
