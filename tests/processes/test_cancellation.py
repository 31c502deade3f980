"""Closing, leaving and interrupting a run ends its workers at once; so does the death of the caller."""

from __future__ import annotations

import os
import re
import signal
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait as wait_for
from typing import Any

import pytest

import autoexec
from tests.processes import work
from tests.processes.scripts import Script
from tests.processes.work import run

SOON_S = 2.0
READ_ONLY = re.compile(r"ResourceWarning: (unclosed file .*'(/(proc|sys)/.*|.*\.pyc?)'|Enable tracemalloc)")

# CPython itself loses a Ctrl-C that comes while the import lets go of a module's lock: a second one follows.
SWALLOWED = re.compile(
    r"Exception ignored [^\n]*(?:KeyedRef|_get_module_lock)[\s\S]*?\nKeyboardInterrupt:? ?\n"
)


@pytest.fixture(params=[work.sleeps, work.spins, work.in_one_c_call, work.deaf], ids=lambda w: w.__name__)
def endless(request: pytest.FixtureRequest, journal: Any) -> Callable[[int], int]:
    """An item that never ends, and tells its process first."""
    note, never = journal.note, request.param

    def item(x: int) -> int:
        note(os.getpid())
        return int(never(work.BAD))

    return item


def gone(pids: list[int]) -> bool:
    """Whether these processes are no more, not even as zombies."""
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_close_ends_what_runs(endless: Callable[[int], int], journal: Any, start: str) -> None:
    """`close` returns at once, whatever the items do, and nothing of them is left."""
    results = run(endless, chunksize=1)
    assert journal.wait_for(2)
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < SOON_S
    assert gone([int(line) for line in journal.lines()]) and len(journal.lines()) == 2
    assert list(results) == []


def test_leaving_a_block_on_an_exception(journal: Any, start: str) -> None:
    """The exception comes through, and running workers end before the block is left."""
    note = journal.note
    began: list[float] = []

    def leave() -> None:
        with run(lambda x: note(os.getpid()) or time.sleep(600)) as results:
            assert journal.wait_for(2) and results.plan is not None
            began.append(time.monotonic())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    assert time.monotonic() - began[0] < SOON_S
    assert gone([int(line) for line in journal.lines()])


def test_dropping_the_results(journal: Any, start: str) -> None:
    """Results that nobody holds any more end their workers, too."""
    note = journal.note
    results = run(lambda x: note(os.getpid()) or time.sleep(600))
    assert journal.wait_for(2)
    began = time.monotonic()
    del results
    pids = [int(line) for line in journal.lines()]
    while not gone(pids) and time.monotonic() - began < SOON_S:
        pass
    assert gone(pids)


def test_an_error_ends_the_others(journal: Any, start: str) -> None:
    """The first error that is raised ends the items that still run."""
    note, lines = journal.note, journal.lines

    def item(x: int) -> None:
        note(os.getpid())
        if x:
            time.sleep(600)
        while len(lines()) < 2:
            pass
        raise KeyError(x)

    began = time.monotonic()
    with pytest.raises(KeyError):
        list(run(item, range(2), chunksize=1, on_error="raise"))
    assert time.monotonic() - began < 10 * SOON_S
    pids = [int(line) for line in journal.lines()]
    while not gone(pids) and time.monotonic() - began < 10 * SOON_S:
        pass
    assert gone(pids)


def test_timeout_ends_the_workers(journal: Any, start: str) -> None:
    """`timeout=` leaves nothing running behind."""
    note = journal.note
    with pytest.raises(TimeoutError):
        list(run(lambda x: note(os.getpid()) or time.sleep(600), timeout=0.5))
    until = time.monotonic() + SOON_S
    pids = [int(line) for line in journal.lines()]
    while not gone(pids) and time.monotonic() < until:
        pass
    assert gone(pids)


def test_closing_twice_and_before_the_first_result(start: str) -> None:
    """Closing is safe at any time, and the next run is not affected."""
    results = run(work.whose)
    results.close()
    results.close()
    assert [x for x, _ in run(work.whose)] == list(range(12))


def test_a_running_future_cannot_be_cancelled(journal: Any, start: str) -> None:
    """As in the standard library; one that waits can."""
    note, lines = journal.note, journal.lines

    def item(x: int) -> int:
        note(f"begun {x}")
        while f"go {x}" not in lines():
            pass
        return x

    with autoexec.Executor(max_workers=1, backend="processes") as executor:
        first, second = executor.submit(item, 1), executor.submit(item, 2)
        assert journal.wait_for(1)
        assert first.running() and not first.cancel() and not first.cancelled()
        assert second.cancel()
        note("go 1")
        assert first.result(timeout=50) == 1
    assert "begun 2" not in journal.lines()


def test_leaving_an_executor_by_ctrl_c(journal: Any, start: str) -> None:
    """What runs is ended, what waits is cancelled, and nobody who waits for it waits for ever."""
    note = journal.note
    futures = []

    def leave() -> None:
        with autoexec.Executor(2, backend="processes") as executor:
            never = lambda x: note(os.getpid()) or time.sleep(600)  # noqa: E731
            futures.extend(executor.submit(never, x) for x in range(8))
            assert journal.wait_for(2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert gone([int(line) for line in journal.lines()])
    wait_for(futures, timeout=1)
    assert sum(future.cancelled() for future in futures) == 6
    assert sum(type(f.exception()) is autoexec.WorkerDied for f in futures if not f.cancelled()) == 2


def test_leaving_an_executor_of_threads_by_ctrl_c() -> None:
    """Calls that run in threads are waited for, since nothing can end them."""
    running, go = threading.Event(), threading.Event()
    futures = []

    def item(x: int) -> int:
        running.set()
        go.wait(50)
        return x

    def leave() -> None:
        with autoexec.Executor(1, backend="threads") as executor:
            futures.extend(executor.submit(item, x) for x in (1, 2))
            assert running.wait(50)
            futures[1].add_done_callback(lambda _: go.set())  # it is cancelled first
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert futures[0].result() == 1 and futures[1].cancelled()


# Ctrl-C -----------------------------------------------------------------------------------------------------

WAYS = {
    "map": """
        for value in autoexec.map(item, range(40), backend="processes", max_workers=2):
            pass
    """,
    "map in chunks, with errors kept": """
        options = {"max_workers": 2, "chunksize": 5, "on_error": "return"}
        list(autoexec.map(item, range(40), backend="processes", **options))
    """,
    "item_timeout": """
        list(autoexec.map(item, range(40), backend="processes", max_workers=2, item_timeout=100, retries=2))
    """,
    "submit": """
        with autoexec.Executor(2, backend="processes") as executor:
            futures = [executor.submit(item, x) for x in range(2)]
            for future in futures:
                future.result()
    """,
    "an executor without a block": """
        executor = autoexec.Executor(2, backend="processes", retries=2)
        for value in executor.map(item, range(40)):
            pass
    """,
    "leaving an executor's block": """
        with autoexec.Executor(2, backend="processes") as executor:
            executor.map(item, range(40))
    """,
    "beside a thread": """
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        list(autoexec.map(item, range(40), backend="processes", max_workers=2))
    """,
    "second run": """
        list(autoexec.map(abs, range(40), backend="processes", max_workers=2))
        list(autoexec.map(item, range(40), backend="processes", max_workers=2))
    """,
}
ITEMS = {
    "sleep": "time.sleep(600)",
    "C call": "sum(range(10**15))",
    "catches everything": """
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass
""",
}


def program(way: str, does: str, after: str = "") -> str:
    """A script whose items note where they run and then never end."""
    return f"def item(x):\n    note(os.getpid())\n    {does}\n{textwrap.dedent(way)}\n{after}"


@pytest.mark.parametrize("does", ITEMS.values(), ids=ITEMS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_ctrl_c(way: str, does: str, script: Script) -> None:
    """One Ctrl-C, to the whole group as a terminal sends it, ends the program within two seconds."""
    process = script.start(program(way, does), "-X", "dev")
    script.wait_for(2)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = script.end()
    assert time.monotonic() - began < SOON_S
    assert code == -signal.SIGINT and out == ""
    assert err.count("Traceback (most recent call last)") == 1, err
    assert err.rstrip().endswith("KeyboardInterrupt") and "Warning" not in err, err
    assert script.left() == []


@pytest.mark.parametrize("to", ["the caller", "the group"])
def test_ctrl_c_that_is_caught(to: str, script: Script) -> None:
    """A program that catches it goes on, and can map again."""
    after = """
    print(list(autoexec.map(abs, range(-3, 3), backend="processes", max_workers=2)))
    autoexec.shutdown()
    """
    way = "try:\n    list(autoexec.map(item, range(40), backend='processes', max_workers=2))\n"
    way += "except KeyboardInterrupt:\n    print('caught')\n"
    process = script.start(program(way, "time.sleep(600)", textwrap.dedent(after)), "-X", "dev")
    script.wait_for(2)
    (os.kill if to == "the caller" else os.killpg)(process.pid, signal.SIGINT)
    assert script.end() == (0, "caught\n[3, 2, 1, 0, 1, 2]\n", "")
    assert script.left() == []


@pytest.mark.parametrize("thread", ["", WAYS["beside a thread"].splitlines()[1]], ids=["fork", "fresh"])
@pytest.mark.parametrize("moment_s", [0.002, 0.005, 0.01, 0.02, 0.04, 0.08])
def test_ctrl_c_while_workers_start(moment_s: float, thread: str, script: Script) -> None:
    """At any moment one Ctrl-C to the group is enough, and workers say nothing of it."""
    body = f"""
{thread}
        import signal
        import autoexec.api, autoexec.engine.run, autoexec.backends.processes.backend
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, {moment_s}, {10 * SOON_S})
        for _ in range(1000):
            list(autoexec.map(time.sleep, [0.001] * 40, backend="processes", max_workers=2))
            autoexec.shutdown()
    """
    code, _, err = script.run(body, "-X", "dev")
    err = SWALLOWED.sub("", err)
    traces = err.count("Traceback (most recent call last)") - err.count("During handling of the above")
    assert code == -signal.SIGINT and traces == 1, err  # it may come amid an import, which handles errors
    # Between the opening of a file (or of a module, by the import) and its `with`, nobody could close it.
    said = [line for line in err.splitlines() if not READ_ONLY.search(line)]
    assert said[-1] == "KeyboardInterrupt" and not any("Warning" in line for line in said), err
    assert script.left() == []


# The caller is killed ---------------------------------------------------------------------------------------

KILLED = {
    "sleep": WAYS["map"],
    "beside a thread": WAYS["beside a thread"],
    "submit": WAYS["submit"],
}


@pytest.mark.parametrize("does", ITEMS.values(), ids=ITEMS)
@pytest.mark.parametrize("way", KILLED.values(), ids=KILLED)
def test_the_caller_is_killed(way: str, does: str, script: Script) -> None:
    """After SIGKILL of the caller its workers exit within two seconds, whatever they do."""
    process = script.start(program(way, does))
    script.wait_for(2)
    process.kill()
    process.wait()
    assert script.left(SOON_S) == []


@pytest.mark.parametrize("thread", ["", WAYS["beside a thread"].splitlines()[1]], ids=["fork", "fresh"])
def test_the_caller_is_killed_while_workers_rest(thread: str, script: Script) -> None:
    """Kept workers that wait for the next call go with their caller, too."""
    way = f"""
{thread}
        print(list(autoexec.map(abs, range(4), backend="processes", max_workers=2)), flush=True)
        note("rests")
        time.sleep(600)
    """
    process = script.start(program(way, "pass"))
    script.wait_for(1)
    assert len(script.left(0)) == 3
    process.kill()
    process.wait()
    assert script.left(SOON_S) == []


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT], ids=lambda s: s.name)
def test_the_caller_is_ended_by_another_signal(ending: signal.Signals, script: Script) -> None:
    """The same for every way to end a program from outside."""
    process = script.start(program(WAYS["map"], "time.sleep(600)"))
    script.wait_for(2)
    process.send_signal(ending)
    process.wait()
    assert script.left(SOON_S) == []


@pytest.mark.parametrize("end", ["os._exit(5)", "sys.exit(5)", "raise RuntimeError", "os.abort()"])
def test_the_caller_ends_in_the_middle(end: str, script: Script) -> None:
    """A program that ends by itself with items under way leaves nothing running."""
    way = f"""
        import faulthandler
        faulthandler.disable()
        results = autoexec.map(item, range(40), backend="processes", max_workers=2)
        while not os.path.exists(PATH):
            pass
        {end}
    """
    script.run(program(way, "time.sleep(600)"))
    assert script.left(SOON_S) == []
