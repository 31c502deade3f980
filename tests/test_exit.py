"""How programs end: by themselves with work pending, by Ctrl-C, or in the middle of the results.

Each case is a small script without a main guard. Whatever it started carries a mark in its environment, so
that what is left of it can be found.
"""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest

from tests.processes.scripts import PATIENCE_S, Script

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")

# What `Script` begins with has `note`.
HEAD = """
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


LEAVING_S = 15.0  # of those whom nothing presses
# What loky's pickler says in a worker whom an interrupt ends in the middle of a result.
LOKYS_OWN = re.compile(
    r"Exception ignored .*BytesIO object.*\n(Traceback.*\n( .*\n)*)?BufferError: Existing exports.*\n"
    r"|Process LokyProcess-\d+:\nTraceback.*\n( .*\n)*KeyboardInterrupt\n"
)


@pytest.fixture
def script(script: Script) -> Script:
    """A script with two functions to map."""
    script.head = HEAD
    return script


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
        for x in range(24):
            executor.submit({work}, x)
        """
    )
    assert (code, out, err) == (0, "", "")
    assert sorted(map(int, script.lines())) == list(range(24))
    assert script.left(LEAVING_S) == []


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
    assert script.left(LEAVING_S) == []


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
    assert script.left(LEAVING_S) == []


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
    assert script.left(LEAVING_S) == []


def test_an_idle_executor_does_not_hold_the_exit(script: Script, backend: str) -> None:
    """Workers that wait for work end with the program."""
    code, out, err = script.run(
        f"""
        executor = autoexec.Executor(max_workers=2, backend={backend!r})
        print(sum(future.result() for future in [executor.submit(nap, x) for x in range(10)]))
        """
    )
    assert (code, out, err) == (0, "45\n", "")
    assert script.left(LEAVING_S) == []


# The end comes while results are unconsumed -----------------------------------------------------------------


@pytest.mark.parametrize("work", ["nap", "burn"])
def test_exit_while_results_are_unconsumed(script: Script, ended_early: str, work: str) -> None:
    """A map whose results are no longer wanted does not hold the exit, nor outlive it.

    Loky finishes what it was given, which `buffersize=` bounds.
    """
    code, out, err = script.run(
        f"""
        options = {{"max_workers": 2, "buffersize": 30, "backend": {ended_early!r}}}
        results = autoexec.map({work}, range(100_000), **options)
        print(next(results), next(results))
        """
    )
    assert (code, out, err) == (0, "0 1\n", "")
    assert script.left(LEAVING_S) == []
    assert len(script.lines()) <= 40


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
    assert script.left(LEAVING_S) == []


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
    assert script.left(LEAVING_S) == []


def test_sys_exit_in_the_loop(script: Script, ended_early: str) -> None:
    """`sys.exit` keeps its code."""
    code, out, err = script.run(
        f"""
        for value in autoexec.map(burn, range(100_000), max_workers=2, backend={ended_early!r}):
            sys.exit(7)
        """
    )
    assert (code, out, err) == (7, "", "")
    assert script.left(LEAVING_S) == []


# Ctrl-C -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", ["nap", "burn"])
def test_ctrl_c_ends_a_running_map(script: Script, ended_early: str, work: str) -> None:
    """The whole group gets SIGINT: the program ends with its own traceback only, and no worker stays."""
    process = script.start(
        f"""
        def item(x):
            note(f"in {{os.getpid()}}")
            return {work}(x)

        for value in autoexec.map(item, range(100_000), max_workers=2, backend={ended_early!r}):
            pass
        """
    )
    script.wait_for(24)
    while ended_early == "joblib" and len({line for line in script.lines() if "in" in line}) < 2:
        script.wait_for(len(script.lines()) + 1)  # loky's workers tell of Ctrl-C while they are starting
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = script.end()
    assert code == -signal.SIGINT
    assert out == ""
    assert err.count("Traceback (most recent call last)") == 1, err
    assert err.rstrip().endswith("KeyboardInterrupt"), err
    assert script.left(LEAVING_S) == []


def test_ctrl_c_can_be_caught_and_the_program_goes_on(script: Script, ended_early: str) -> None:
    """After the interrupt the next map works, with fresh workers if need be."""
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
    script.wait_for(12)
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = script.end()
    if ended_early == "joblib":
        err = LOKYS_OWN.sub("", err)
    assert (code, out, err) == (0, "[0, 1, 2, 3, 4]\n", "")
    assert script.left(LEAVING_S) == []


@pytest.mark.parametrize("backend", ["auto", "threads", "processes"])
def test_a_killed_program_leaves_no_workers(script: Script, backend: str) -> None:
    """SIGKILL for the program alone: its workers find out and end."""
    process = script.start(
        f"""
        for value in autoexec.map(burn, range(100_000), max_workers=2, backend={backend!r}):
            pass
        """
    )
    script.wait_for(12)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert script.left(LEAVING_S) == []
