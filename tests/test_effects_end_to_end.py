"""Effects through the front door: they are all there, as after the loop, whatever was chosen."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoexec

TABLE: dict[int, int] = {}
ROWS: list[int] = []
LEVEL: Any = None


def burn(seconds: float) -> None:
    """Compute for so many CPU seconds."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def keep(x: int) -> None:
    """In another function."""
    ROWS.append(x)


def kept(x: int) -> int:
    """An effect through a helper, at the end of the item."""
    burn(0.03)
    keep(x)
    return x


def entered(x: int) -> int:
    """An effect that no code shows."""
    setter = dict.__setitem__
    setter(TABLE, x, x)
    burn(0.03)
    return x


def lazy(x: int) -> int:
    """A place that is filled once."""
    global LEVEL
    if LEVEL is None:
        LEVEL = {"pid": 0}
    burn(0.03)
    return os.getpid()


def slow(x: int) -> int:
    """An effect at the end of a long item, which its code does not show."""
    burn(0.15)
    setter = dict.__setitem__
    setter(TABLE, x, x)
    return x


@pytest.mark.parametrize("func", [kept, entered])
@pytest.mark.parametrize("options", [{}, {"max_workers": 2}, {"effects": "strict"}, {"ordered": False}])
def test_effects_are_all_there(func: Callable[[int], int], options: dict[str, Any]) -> None:
    """Each item once, and the plan names what keeps the function here."""
    TABLE.clear()
    ROWS.clear()
    results = autoexec.map(func, range(12), **options)
    assert sorted(results) == list(range(12))
    assert sorted(ROWS or TABLE) == list(range(12))
    assert results.plan is not None and results.plan.backend != "processes"


def test_a_place_that_is_filled_once_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers have it from the caller, or fill their own; whatever is chosen, the results are right."""
    monkeypatch.setattr(f"{__name__}.LEVEL", None)
    results = autoexec.map(lazy, range(12), max_workers=2)
    pids = list(results)
    assert LEVEL == {"pid": 0} and pids[0] == os.getpid()
    assert results.plan is not None and not results.plan.hazards


def test_what_is_ignored_is_lost_elsewhere() -> None:
    """That is what was asked for."""
    ROWS.clear()
    results = autoexec.map(kept, range(12), effects="ignore", backend="processes", max_workers=2)
    assert list(results) == list(range(12)) and ROWS == []


def test_a_long_first_item_is_waited_for() -> None:
    """Even where workers cannot be forked, and might as well start while it runs."""
    TABLE.clear()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert list(autoexec.map(slow, range(6), max_workers=2)) == list(range(6))
    finally:
        stop.set()
        thread.join()
    assert sorted(TABLE) == list(range(6))


def seldom(x: int) -> int:
    """An effect that only later items have, through a helper."""
    burn(0.03)
    if x == 20:
        keep(x)
    return x


def test_an_effect_that_only_a_worker_finds_is_an_error() -> None:
    """It names the function, the object and the items; results before it are there; `ignore` silences it."""
    ROWS.clear()
    got: list[int] = []
    results = autoexec.map(seldom, range(24), max_workers=2)
    said = ""
    try:
        for value in results:
            got.append(value)  # noqa: PERF402 -- what was got is kept
    except autoexec.EffectLost as error:
        said = str(error)
    assert ROWS == [20] or all(word in said for word in ("seldom", "ROWS", "20"))
    assert got == list(range(len(got)))
    ROWS.clear()
    assert list(autoexec.map(seldom, range(24), max_workers=2, effects="ignore")) == list(range(24))


def test_items_with_methods_of_their_own_are_watched_in_workers(tmp_path: Path) -> None:
    """A function that only calls its items looks harmless; what later classes change is named."""
    script = tmp_path / "program.py"
    script.write_text(
        "import time, autoexec\n"
        "class Plain:\n    def run(self): pass\n"
        "class Odd(Plain):\n    hits = 0\n    def run(self): Odd.hits += 1\n"
        "def work(row):\n    sum(range(2_000_000))\n    row[0].run()\n    return row[1]\n"
        "rows = [(Odd() if i == 57 else Plain(), i) for i in range(60)]\n"
        "try:\n    list(autoexec.map(work, rows))\n"
        "except autoexec.EffectLost as error:\n    Odd.hits += 'Odd.hits' in str(error)\n"
        "assert Odd.hits == 1\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
