"""What sets what all threads share, or needs its thread: results are the loop's, and the plan says why."""

from __future__ import annotations

import contextlib
import decimal
import io
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import autoexec

ROOT = str(Path(__file__).parents[2])
N = 30


def waits() -> None:
    """Long enough that threads would pay."""
    time.sleep(0.01)


def captures(i: int) -> str:
    """Prints into a buffer of its own."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        waits()
        print(i)
    return out.getvalue()


def draws(i: int) -> float:
    """Seeds the generator of all."""
    random.seed(i)
    waits()
    return random.random()


def patches(i: int) -> str:
    """Replaces a function of everybody's."""
    with mock.patch.object(os, "getcwd", return_value=str(i)):
        waits()
        return os.getcwd()


def sets_environ(i: int) -> str:
    """A variable for children, for a while."""
    os.environ["AUTOEXEC_TEST_OWN"] = str(i)
    try:
        waits()
        return os.environ["AUTOEXEC_TEST_OWN"]
    finally:
        del os.environ["AUTOEXEC_TEST_OWN"]


def argv(i: int) -> list[str]:
    """Arguments for a parser."""
    with mock.patch.object(sys, "argv", ["program", str(i)]):
        waits()
        return sys.argv


class Settings:
    """Of the whole program."""

    level = -1


class At:
    """Sets a level, and sets it back."""

    def __init__(self, level: int) -> None:
        self.level = level

    def __enter__(self) -> None:
        self.old, Settings.level = Settings.level, self.level

    def __exit__(self, *args: object) -> None:
        Settings.level = self.old


def at_a_level(i: int) -> int:
    """Reads it while it is set."""
    with At(i):
        waits()
        return Settings.level


def precise(i: int) -> int:
    """Changes decimal's context in place."""
    context = decimal.getcontext()
    old, context.prec = context.prec, 10 + i
    try:
        waits()
        return decimal.getcontext().prec
    finally:
        context.prec = old


def test_a_precision_is_each_threads_own() -> None:
    """The one thing of the kind that threads keep apart."""
    decimal.getcontext()
    assert list(autoexec.map(precise, range(N), backend="threads", max_workers=4)) == [*range(10, 10 + N)]


def unpicklable(i: int) -> Any:
    """What it returns cannot leave the process."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        waits()
        print(i, end="")
    return threading.Lock(), out.getvalue()


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (captures, "contextlib.redirect_stdout"),
        (draws, "random.seed"),
        (patches, "unittest.mock.patch"),
        (sets_environ, "os.environ"),
        (argv, "unittest.mock.patch"),
        (at_a_level, "Settings.level"),
    ],
)
def test_what_waits_and_sets_something_runs_in_no_threads(work: Callable[[int], Any], name: str) -> None:
    """Each result is the loop's, and the plan names what is set."""
    state = random.getstate()
    try:
        want = [work(i) for i in range(N)]
        results = autoexec.map(work, range(N))
        assert list(results) == want
    finally:
        random.setstate(state)
    assert results.plan is not None and results.plan.backend != "threads" and results.plan.threads == 1
    assert name in [hazard.name for hazard in results.plan.hazards], results.plan.hazards
    assert sys.stdout is not None and "AUTOEXEC_TEST_OWN" not in os.environ


def test_what_cannot_leave_either_stays_in_the_callers_thread() -> None:
    """Where threads are forbidden, the results are weighed before other processes may have the rest."""
    results = autoexec.map(unpicklable, range(N))
    assert [text for _, text in results] == [str(i) for i in range(N)]
    assert results.plan is not None and results.plan.backend == "serial", results.plan


def test_what_a_library_sets_amid_an_item_is_seen(
    module: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads a library's code; the look from the probe's thread finds what it sets."""
    library = module(
        """
import contextlib, os
@contextlib.contextmanager
def pushed(path):
    here = os.getcwd()
    os.chdir(path)
    try: yield
    finally: os.chdir(here)
""",
        "pushes_folders",
        installed=True,
    )
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    for i in range(N):
        (tmp_path / str(i)).mkdir()

    def work(i: int) -> str:
        with library.pushed(tmp_path / str(i)):
            waits()
            return Path(os.getcwd()).name

    here = os.getcwd()
    results = autoexec.map(work, range(N), max_workers=8)
    assert list(results) == [str(i) for i in range(N)], results.plan
    assert os.getcwd() == here
    assert results.plan is not None and results.plan.backend != "threads", results.plan
    assert "the working directory" in [hazard.name for hazard in results.plan.hazards]


def test_what_workers_cannot_load_stays_in_the_callers_thread(
    module: Callable[..., Any], tmp_path: Path
) -> None:
    """Threads that only send items to workers are no place for them either."""
    library = module(
        """
import contextlib, io
@contextlib.contextmanager
def quiet():
    with contextlib.redirect_stdout(io.StringIO()) as out: yield out
""",
        "nobody_else_finds_it",
        installed=True,
    )

    def work(i: int) -> str:
        with library.quiet() as out:
            waits()
            print(i, end="")
        return str(out.getvalue())

    results = autoexec.map(work, range(N), max_workers=8)
    assert list(results) == [str(i) for i in range(N)], results.plan


def test_what_only_waits_still_runs_in_threads() -> None:
    """Nothing is seen, nothing is named, and nobody is held back."""

    def work(i: int) -> int:
        rng = random.Random()
        rng.seed(i)
        time.sleep(0.02)
        return i

    results = autoexec.map(work, range(60))
    assert list(results) == [*range(60)]
    assert results.plan is not None and results.plan.backend == "threads", results.plan


def test_each_call_reads_its_own_line() -> None:
    """Line i of standard input goes to call i."""
    program = """
import sys, time, autoexec
def solve(_):
    n = int(sys.stdin.readline() or -1)
    time.sleep(0.01)
    return n
results = autoexec.map(solve, range(60))
assert list(results) == list(range(60))
assert "standard input" in results.plan.reason, results.plan
"""
    run(program, "".join(f"{i}\n" for i in range(60)))


MAIN_THREAD = """
import asyncio, signal, threading, time, autoexec
asyncio.set_event_loop(asyncio.new_event_loop())
current = threading.local()
current.tenant = "blue"
def limited(i):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 50)
    time.sleep(0.01)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return i
def fetch(i):
    return asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.01, i))
def tenant(i):
    time.sleep(0.01)
    return current.tenant
def main(i):
    time.sleep(0.01)
    return threading.current_thread() is threading.main_thread()
for function, name in (limited, "signal"), (fetch, "event_loop"), (tenant, "tenant"), (main, "main_thread"):
    results = autoexec.map(function, range(40), on_error="return")
    assert list(results) == [function(i) for i in range(40)], (function, results.plan)
    assert any(name in hazard.name for hazard in results.plan.hazards), results.plan
"""


def test_what_the_main_thread_has_is_found() -> None:
    """Signals, the event loop, thread-locals that the caller has set: the results are the loop's."""
    run(MAIN_THREAD)


RATED = """
import signal, time, autoexec
def limited(i):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return i
results = autoexec.map(limited, range(12), rate=100)
assert list(results) == list(range(12))
"""


def test_calls_that_wait_for_their_turn_wait_in_the_callers_thread() -> None:
    """A rate is no reason to go where the function must not."""
    run(RATED)


def run(program: str, text: str = "") -> None:
    """Run a program of its own, which ends well."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=text,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": ROOT},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
