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


KINDS: list[Callable[[], Any]] = [
    lambda: list(run(work.value_of)),
    lambda: list(run(lambda x: TABLE + x, range(6))),
    lambda: list(run(lambda array: float(array.sum()), (TABLE + x for x in range(6)))),
    lambda: list(run(work.exits)),
    lambda: list(run(work.sleeps, item_timeout=0.05)),
    lambda: list(run(work.returns_a_lock)),
    lambda: list(run(work.value_of, iter([1, work.Refuses(), work.Explosive(), 3]))),
    _closed_early,
    _raises,
    _executor,
]


def holdings() -> dict[str, Any]:
    """What this process holds, workers at rest not counted."""
    autoexec.shutdown()
    gc.collect()
    children = "".join(p.read_text() for p in Path("/proc/self/task").glob("*/children"))
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "children": len(children.split()),
        "shared": [n for n in os.listdir("/dev/shm") if "autoexec" in n or f"{os.getpid()}" in n],
        "files": [n for n in os.listdir(tempfile.gettempdir()) if n.startswith("autoexec-")],
        "maps": sum("(deleted)" in line for line in Path("/proc/self/maps").read_text().splitlines()),
    }


def settled(before: dict[str, Any]) -> dict[str, Any]:
    """What it holds once that is what it held before, or patience ends: threads may take a moment to go."""
    until = time.monotonic() + PATIENCE_S
    while (now := holdings()) != before and time.monotonic() < until:
        continue
    return now


def at_rest() -> dict[str, Any]:
    """What it holds when the threads of the last map are gone."""
    until = time.monotonic() + PATIENCE_S
    while (threading.active_count() > 1 or holdings()["children"]) and time.monotonic() < until:
        continue
    return holdings()


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_fifty_maps(start: str) -> None:
    """Descriptors, threads, children, shared memory, files and maps are as many as after the first ten."""
    for kind in KINDS:
        kind()
    before, memory = at_rest(), resident()
    for _ in range(4):
        for kind in KINDS:
            kind()
    assert settled(before) == before
    assert resident() - memory < 20 << 20


def test_each_kind_alone(start: str) -> None:
    """The same for each kind of map, so that the leaky one is known."""
    for kind in KINDS:
        kind()
        before = at_rest()
        kind()
        assert settled(before) == before, kind
