"""How programs end: by themselves with work pending, by Ctrl-C, or in the middle of the results.

Each case is a small script without a main guard. Whatever it started carries a mark in its environment, so
that what is left of it can be found.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[1])
PATIENCE_S = 30.0
MARK = "AUTOEXEC_TEST_MARK"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")

HEAD = """
import os, sys, threading, time
import autoexec

def note(mark):
    descriptor = os.open(PATH, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, f"{mark}\\n".encode())
    os.close(descriptor)

def nap(x):
    time.sleep(0.02)
    note(x)
    return x

def burn(x):
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        sum(range(100))
    note(x)
    return x
"""


class Script:
    """A program in a process group of its own, and what is left of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.journal = folder / "journal"
        self._mark = uuid.uuid4().hex
        self.process: subprocess.Popen[str] | None = None

    def start(self, body: str) -> subprocess.Popen[str]:
        """Begin to run the script."""
        path = self._folder / "script.py"
        path.write_text(f"PATH = {str(self.journal)!r}\n{HEAD}\n{textwrap.dedent(body)}")
        known = [ROOT, os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, MARK: self._mark, "PYTHONPATH": os.pathsep.join(filter(None, known))}
        self.process = subprocess.Popen(
            [sys.executable, str(path)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self.process

    def run(self, body: str) -> tuple[int, str, str]:
        """Run the script to its end: exit code, output, errors."""
        self.start(body)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        assert self.process is not None
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err

    def lines(self) -> list[str]:
        """What its items have written so far."""
        try:
            return self.journal.read_text().split()
        except FileNotFoundError:
            return []

    def wait_for_lines(self, count: int) -> None:
        """Until its items have written so many lines."""
        assert self.process is not None
        until = time.monotonic() + PATIENCE_S
        while len(self.lines()) < count:
            if time.monotonic() > until or self.process.poll() is not None:
                self.process.kill()
                pytest.fail(f"the script did not get far enough: {self.process.communicate()[1]}")
            time.sleep(0.005)

    def left(self) -> list[str]:
        """The processes that it left, after a moment for them to go."""
        until = time.monotonic() + PATIENCE_S / 2
        while (found := list(_marked(self._mark))) and time.monotonic() < until:
            time.sleep(0.01)
        return found

    def clear(self) -> None:
        """End what is left of it."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.communicate()


def _marked(mark: str) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in path.read_bytes():
                command = path.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
                yield f"{path.parent.name}: {command}"
        except OSError:
            continue


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """A script that is ended after the test, however that goes."""
    script = Script(tmp_path)
    yield script
    script.clear()


BACKENDS = ("auto", "serial", "threads", "processes", "joblib")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Every named backend."""
    if request.param == "joblib":
        pytest.importorskip("joblib")
    return str(request.param)


@pytest.fixture
def ended_early(backend: str, request: pytest.FixtureRequest) -> str:
    """Every named backend, for runs that end before their items do."""
    return backend


# The end comes while work is pending ------------------------------------------------------------------------


@pytest.mark.parametrize("work", ["nap", "burn"])
def test_submitted_work_is_finished_at_exit(script: Script, backend: str, work: str) -> None:
    """The program ends right after submitting; each call still runs once, as with the standard pools."""
    code, out, err = script.run(
        f"""
        executor = autoexec.Executor(max_workers=2, backend={backend!r})
        for x in range(40):
            executor.submit({work}, x)
        """
    )
    assert (code, out, err) == (0, "", "")
    assert sorted(map(int, script.lines())) == list(range(40))
    assert script.left() == []


def test_work_goes_on_after_shutdown_without_waiting(
    script: Script, backend: str, request: pytest.FixtureRequest
) -> None:
    """`shutdown(wait=False)` at the end of the program loses nothing."""
    code, out, err = script.run(
        f"""
        executor = autoexec.Executor(max_workers=2, backend={backend!r})
        for x in range(20):
            executor.submit(nap, x)
        executor.shutdown(wait=False)
        """
    )
    assert (code, out, err) == (0, "", "")
    assert sorted(map(int, script.lines())) == list(range(20))
    assert script.left() == []


def test_work_of_a_dropped_executor_is_finished_at_exit(
    script: Script, backend: str, request: pytest.FixtureRequest
) -> None:
    """An executor that nobody holds any more still does what it was given before the program ends."""
    code, out, err = script.run(
        f"""
        def send_off():
            executor = autoexec.Executor(max_workers=2, backend={backend!r})
            for x in range(20):
                executor.submit(nap, x)

        send_off()
        """
    )
    assert (code, out, err) == (0, "", "")
    assert sorted(map(int, script.lines())) == list(range(20))
    assert script.left() == []


def test_submitting_by_decorated_function_is_finished_at_exit(script: Script) -> None:
    """The shared executor behind `f.submit` needs no shutdown either."""
    code, out, err = script.run(
        """
        parallel_nap = autoexec.parallel(nap)
        for x in range(20):
            parallel_nap.submit(x)
        """
    )
    assert (code, out, err) == (0, "", "")
    assert sorted(map(int, script.lines())) == list(range(20))
    assert script.left() == []


def test_an_idle_executor_does_not_hold_the_exit(script: Script, backend: str) -> None:
    """Workers that wait for work end with the program."""
    code, out, err = script.run(
        f"""
        executor = autoexec.Executor(max_workers=2, backend={backend!r})
        print(sum(future.result() for future in [executor.submit(nap, x) for x in range(10)]))
        """
    )
    assert (code, out, err) == (0, "45\n", "")
    assert script.left() == []


# The end comes while results are unconsumed -----------------------------------------------------------------


@pytest.mark.parametrize("work", ["nap", "burn"])
def test_exit_while_results_are_unconsumed(script: Script, ended_early: str, work: str) -> None:
    """A map whose results are no longer wanted does not hold the exit, nor outlive it."""
    code, out, err = script.run(
        f"""
        results = autoexec.map({work}, range(100_000), max_workers=2, backend={ended_early!r})
        print(next(results), next(results))
        """
    )
    assert (code, out, err) == (0, "0 1\n", "")
    assert script.left() == []


def test_exit_while_results_of_endless_input_are_unconsumed(script: Script) -> None:
    """The same with input that never ends, and no result taken at all."""
    code, out, err = script.run(
        """
        import itertools
        results = autoexec.map(burn, itertools.count())
        kept = autoexec.map(nap, itertools.count(), backend="threads")
        """
    )
    assert (code, out, err) == (0, "", "")
    assert script.left() == []


def test_an_error_in_the_loop_ends_the_program(script: Script, ended_early: str) -> None:
    """The consumer fails: one traceback, its own, and the program is gone."""
    code, out, err = script.run(
        f"""
        for value in autoexec.map(nap, range(100_000), max_workers=2, backend={ended_early!r}):
            raise LookupError("the consumer")
        """
    )
    assert code == 1 and out == ""
    assert err.count("Traceback") == 1 and "LookupError: the consumer" in err
    assert script.left() == []


def test_sys_exit_in_the_loop(script: Script, ended_early: str) -> None:
    """`sys.exit` keeps its code."""
    code, out, err = script.run(
        f"""
        for value in autoexec.map(burn, range(100_000), max_workers=2, backend={ended_early!r}):
            sys.exit(7)
        """
    )
    assert (code, out, err) == (7, "", "")
    assert script.left() == []


# Ctrl-C -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", ["nap", "burn"])
def test_ctrl_c_ends_a_running_map(script: Script, ended_early: str, work: str) -> None:
    """The whole group gets SIGINT: the program ends with its own traceback only, and no worker stays."""
    process = script.start(
        f"""
        for value in autoexec.map({work}, range(100_000), max_workers=2, backend={ended_early!r}):
            pass
        """
    )
    script.wait_for_lines(12)
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = script.end()
    assert code == -signal.SIGINT
    assert out == ""
    assert err.count("Traceback (most recent call last)") == 1, err
    assert err.rstrip().endswith("KeyboardInterrupt"), err
    assert script.left() == []


def test_ctrl_c_can_be_caught_and_the_program_goes_on(script: Script, ended_early: str) -> None:
    """After the interrupt the next map works, with fresh workers if need be."""
    if ended_early == "joblib" and sys.version_info >= (3, 15):
        pytest.skip("loky's pickler complains on standard error when an interrupt ends it there")
    process = script.start(
        f"""
        results = autoexec.map(burn, range(100_000), max_workers=2, backend={ended_early!r})
        try:
            for value in results:
                pass
        except KeyboardInterrupt:
            results.close()
        print(list(autoexec.map(nap, range(5), max_workers=2, backend={ended_early!r})))
        """
    )
    script.wait_for_lines(12)
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = script.end()
    assert (code, out, err) == (0, "[0, 1, 2, 3, 4]\n", "")
    assert script.left() == []


@pytest.mark.parametrize("backend", ["auto", "threads", "processes"])
def test_a_killed_program_leaves_no_workers(script: Script, backend: str) -> None:
    """SIGKILL for the program alone: its workers find out and end."""
    process = script.start(
        f"""
        for value in autoexec.map(burn, range(100_000), max_workers=2, backend={backend!r}):
            pass
        """
    )
    script.wait_for_lines(12)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert script.left() == []
