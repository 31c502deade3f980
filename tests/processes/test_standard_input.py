"""Standard input in worker processes: an error for who reads it, and the caller's own is not touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes.work import run

ROOT = str(Path(__file__).parents[2])
READS: dict[str, Callable[[Any], Any]] = {
    "a line": lambda _: sys.stdin.readline(),
    "all": lambda _: sys.stdin.read(),
    "bytes": lambda _: sys.stdin.buffer.read(1),
    "lines": lambda _: next(iter(sys.stdin)),
    "input()": lambda _: input(),
    "the first one": lambda _: getattr(sys, "__stdin__").readline(),  # noqa: B009
}


@pytest.mark.parametrize("how", READS)
def test_who_reads_it_is_told(how: str, start: str) -> None:
    """In whatever way: what to do instead."""
    errors = list(run(READS[how], iter(range(2))))
    assert all("read it before the map" in str(error) for error in errors), errors
    assert {type(error).__name__ for error in errors} == {"UnsupportedOperation"}


def test_programs_that_items_start_find_an_empty_one(start: str) -> None:
    """They do not take the caller's, and do not wait for a terminal."""

    def asks(_: int) -> Any:
        said = subprocess.run(["cat"], capture_output=True, timeout=60).stdout
        return said, os.read(0, 1), sys.stdin.fileno(), sys.stdin.isatty()

    assert list(run(asks, iter(range(2)), on_error="raise")) == [(b"", b"", 0, False)] * 2


@pytest.mark.parametrize(
    "other", ["", "import threading; threading.Thread(target=input, daemon=True).start()"]
)
def test_the_caller_reads_on(other: str) -> None:
    """What it had read ahead is still there after a map, and nothing is missing."""
    program = f"""
import sys, autoexec
{other.replace("target=input", "target=threading.Event().wait")}
first = sys.stdin.readline()
got = list(autoexec.map(lambda i: sys.stdin.readline(), range(4), backend="processes", on_error="return"))
print(first.strip(), sys.stdin.read().split(), [type(one).__name__ for one in got])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input="1\n2\n3\n",
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.stdout == f"1 ['2', '3'] {['UnsupportedOperation'] * 4}\n", done.stderr


@pytest.mark.parametrize("closed", ["closed", "none", ""])
def test_a_caller_without_standard_input(closed: str) -> None:
    """Nothing is made of nothing, and what has its number now is left alone."""
    program = """
import sys, autoexec
if sys.argv[1]:
    sys.stdin.close()
if sys.argv[1] == "none":
    sys.stdin = None
print(list(autoexec.map(lambda i: sys.stdin is None, range(2), backend="processes")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, closed],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.stdout == f"{[closed == 'none'] * 2}\n", done.stderr
