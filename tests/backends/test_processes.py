"""Worker processes: what crosses, what cannot, and what happens when one dies."""

# ruff: noqa: PT012 -- the loop around an error collects what came before it

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pytest

import autoexec
from autoexec.backends.opening import WorkerConfig
from autoexec.backends.processes.backend import _still
from tests.backends.opened import SETTING, Opened, opened

ROOT = str(Path(__file__).parents[2])
LARGE = 64 << 20
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells what a process holds")


def _map(work: Callable[..., Any], items: Any, **more: Any) -> Any:
    return autoexec.map(work, items, backend="processes", **{"max_workers": 2, **more})


class Unpicklable:
    """Refuses to be pickled."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        raise TypeError("stays where it is")


class Awkward(Exception):
    """Pickles, but cannot be loaded: its constructor wants two arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


class Explosive:
    """Pickles in the worker and raises where it is loaded."""

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise RuntimeError("cannot be loaded")


class Exiting:
    """Ends the thread that pickles it."""

    def __reduce__(self) -> Any:
        raise SystemExit(3)


# Both ways to start -----------------------------------------------------------------------------------------


ITEMS = list(range(40))


@pytest.fixture(params=["fork", "fresh"])
def pool(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """A backend of two workers that return their items and process."""
    fork = request.param == "fork"
    setting = replace(SETTING, inherited=ITEMS if fork else None)
    with opened(lambda x: (x, os.getpid()), 2, fork=fork, setting=setting) as made:
        yield made


def test_every_task_is_done_in_another_process(pool: Opened) -> None:
    """Forked and fresh workers both run all tasks, from the input they inherit or from what they are sent."""
    for start in range(0, 40, 4):
        pool.submit(ITEMS[start : start + 4], start)
    done = sorted((pool.finished() for _ in range(10)), key=lambda f: f.start)
    assert [value for f in done for value, _ in f.values] == ITEMS
    pids = {pid for f in done for _, pid in f.values}
    assert os.getpid() not in pids and 1 <= len(pids) <= 2
    assert all(f.where in {f"process {pid}" for pid in pids} for f in done)


def test_a_second_function_is_learned_on_the_way(pool: Opened) -> None:
    """Workers take functions that they were not made for."""
    pool.submit(ITEMS[:1])
    pool.submit(ITEMS[:3], call=lambda x: x * 100)
    assert [0, 100, 200] in [pool.finished().values for _ in range(2)]


def test_argument_tuples() -> None:
    """A task may hold the arguments of several parameters."""
    with opened(divmod) as made:
        made.submit([(7, 2), (9, 5)], star=True)
        assert made.next().values == [(3, 1), (1, 4)]


def test_closing_kills_what_runs(pool: Opened) -> None:
    """With `kill` nothing is waited for, and nothing more delivered."""
    for start in range(4):
        pool.submit([start], start, lambda x: time.sleep(300))
    pool.kill()
    assert pool.empty


def test_closing_waits_for_what_was_submitted(pool: Opened) -> None:
    """Without `kill` every task is delivered."""
    for start in range(0, 40, 2):
        pool.submit(ITEMS[start : start + 2], start)
    pool.finish()
    assert len(pool.collect(40)) == 40 and pool.empty


def test_a_cancelled_task_is_never_sent(journal: Any) -> None:
    """A task that says it is not wanted any more is dropped without a word."""
    with opened(journal.note, fork=True) as made:
        future: Future[None] = Future()
        assert future.cancel()
        made.submit([0], 0, future=future)
        made.submit([1], 1)
        assert [made.next().start for _ in range(2)] == [0, 1]
    assert journal.lines() == ["1"] and made.empty


def test_forked_workers_have_what_cannot_be_pickled() -> None:
    """A lock that the function holds is there in a forked worker."""
    lock = threading.Lock()

    def work(x: int) -> int:
        with lock:
            return x

    with opened(work, fork=True) as made:
        assert made.run([7], 1) == {0: 7}


@pytest.mark.parametrize("capture", [False, True])
def test_a_function_that_cannot_be_sent(capture: bool) -> None:
    """It is an error that says what is wrong; where processes were not asked for, it runs here."""
    lock = threading.Lock()
    with opened(lambda x: (lock is not None, os.getpid()), capture=capture) as made:
        error = made.run([1, 2], 2)[0]
    assert isinstance(error, TypeError) and "lock" in str(error)
    with opened(lambda x: (lock is not None, os.getpid()), capture=capture, strict=False) as made:
        assert set(made.run([1, 2], 2).values()) == {(True, os.getpid())}


@pytest.mark.parametrize("fork", [True, False])
def test_items_that_cannot_be_pickled(fork: bool) -> None:
    """Each is an error that names the way to it; its neighbours run; else it runs here, in its place."""
    items = [1, {"a": [Unpicklable(2)]}, 3]
    with opened(lambda x: os.getpid(), fork=fork, capture=True) as made:
        found = made.run(items, 3)
        assert isinstance(found[1], TypeError) and "args[0]['a'][0]" in str(found[1])
        assert {found[0], found[2]} == made.pids
    with opened(lambda x: os.getpid(), fork=fork, strict=False) as made:
        found = made.run(items, 3)
        assert found[1] == os.getpid() and {found[0], found[2]} == made.pids


class Changing:
    """Cannot be pickled the first times, as what another thread changes at that very moment."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __reduce__(self) -> tuple[Any, ...]:
        self.times -= 1
        if self.times >= 0:
            raise RuntimeError("dictionary changed size during iteration")
        return Changing, (0,)


def test_an_item_that_is_changed_meanwhile() -> None:
    """It is tried once more; if that fails as well, the error says why although it can be pickled later."""
    with opened(lambda x: os.getpid(), capture=True) as made:
        assert made.run([Changing(1)], 1)[0] in made.pids
        found = made.run([Changing(2)], 1)[0]
    assert isinstance(found, TypeError) and "RuntimeError: dictionary changed size" in str(found)


def test_items_that_cannot_be_loaded() -> None:
    """The one that raises over there is found, and fails alone; or runs here."""
    items = [1, Explosive(), 3]
    with opened(lambda x: type(x).__name__, fork=True, capture=True) as made:
        found = made.run(items, 3)
        assert (found[0], found[2]) == ("int", "int") and "cannot be loaded" in str(found[1])
    with opened(lambda x: type(x).__name__, fork=True, strict=False) as made:
        assert made.run(items, 3) == {0: "int", 1: "Explosive", 2: "int"}


def test_an_item_whose_pickling_exits() -> None:
    """`SystemExit` from the item's own code would end a thread of the caller's: it is that item's error."""
    with opened(lambda x: x, fork=True, capture=True) as made:
        found = made.run([1, Exiting(), 3], 3)
    assert (found[0], found[2]) == (1, 3) and isinstance(found[1], BaseException)


def test_costs_are_those_of_the_forks() -> None:
    """What a fork took is known where there was one; a worker that was kept says nothing about it."""
    found = []
    for _ in range(2):
        with opened(abs, fork=True, state="the same") as made:
            made.run([1], 1)
            found.append(made.backend.costs())
    assert found[0]["fork_start"] > 0 and found[1] == {}


def test_no_task_begins_while_memory_is_short() -> None:
    """One runs in any case; another one waits until there is room."""
    seen: list[int] = []

    def roomy(running: int, most: int, still: Callable[[int], int]) -> bool:
        seen.append(running)
        return running < 1

    with opened(abs, 2, fork=True, roomy=roomy) as made:
        assert made.run(ITEMS, 10) == dict(enumerate(ITEMS))
    assert 0 in seen


def _fills(size: int) -> int:
    return sum(bytearray(size)[::4096]) + 0 * sum(range(200_000))


@LINUX
@pytest.mark.parametrize("fork", [True, False])
def test_workers_tell_what_items_take(fork: bool) -> None:
    """The most that an item added, though it is free again; and what one more would still take there."""
    with opened(_fills, fork=fork) as made:
        made.run([1 << 10], 1)
        assert made.backend._most_bytes == 0
        made.run([LARGE, 1 << 10], 1)
        most = made.backend._most_bytes
        assert 0.9 * LARGE < most < 2 * LARGE
        (supervisor,) = made.backend._supervisors
        assert most / 2 < _still(supervisor.seat, most) <= most
        assert _still(None, most) == most


@LINUX
def test_what_an_earlier_call_took_does_not_count() -> None:
    """A worker that serves another call begins afresh, though the most it ever held remains."""
    found = []
    for size in (LARGE, 1 << 10):
        with opened(_fills, state="the same") as made:
            made.run([size], 1)
            found.append((made.pids, made.backend._most_bytes))
    assert found[0][0] == found[1][0]
    assert found[0][1] > 0.9 * LARGE and found[1][1] == 0


def test_seats_that_share_a_worker_do_not_weigh() -> None:
    """Nobody could tell whose it is."""
    with opened(_fills, fork=True, config=WorkerConfig(threads=2)) as made:
        made.run([LARGE] * 4, 1)
        assert made.backend._most_bytes == 0


def test_the_rest_of_a_long_task_is_shared_out(journal: Any) -> None:
    """A worker with nothing to do gets a part of what another one has left."""
    note = journal.note

    def work(x: int) -> tuple[int, int]:
        note(x)
        time.sleep(0.02)
        return x, os.getpid()

    with opened(work, 2, fork=True) as made:
        made.submit(range(16))
        found = made.collect(16)
    assert sorted(found) == list(range(16))
    assert all(place == x for place, (x, _) in found.items()) and len({pid for _, pid in found.values()}) == 2
    assert set(journal.counts().values()) == {1}


def test_a_shared_out_task_whose_worker_dies(journal: Any) -> None:
    """The item that ran is lost, the parts that others have are not."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        time.sleep(0.02)
        if x == 9:
            os._exit(1)
        return x

    with opened(work, 2, fork=True, capture=True) as made:
        found = made.run(range(16), 16)
    assert isinstance(found.pop(9), autoexec.WorkerDied)
    assert found == {x: x for x in range(16) if x != 9} and set(journal.counts().values()) == {1}


# What crosses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [None, 3])
def test_items_that_cannot_be_pickled_are_errors_in_their_place(chunksize: int | None) -> None:
    """Who asks for processes is told which items cannot go there; the others do."""
    items = [Unpicklable(i) if i == 3 else i for i in range(7)]
    results = _map(lambda item: item * 10, iter(items), chunksize=chunksize)
    assert [next(results) for _ in range(3)] == [0, 10, 20]
    with pytest.raises(TypeError, match=r"args\[0\].*stays where it is") as caught:
        next(results)
    assert any("item 3 (" in note for note in caught.value.__notes__)
    found = list(_map(lambda x: x, iter(items), chunksize=chunksize, on_error="return"))
    assert [type(value) for value in found] == [int] * 3 + [TypeError] + [int] * 3


def test_lambdas_and_local_classes_cross() -> None:
    """Items and results may be lambdas and objects of local classes."""

    class Local:
        def __init__(self, value: int) -> None:
            self.value = value

    found = list(_map(lambda f: lambda: f() + 1, iter([lambda: 1, lambda: 2])))
    assert [f() for f in found] == [2, 3]
    assert [x.value for x in _map(lambda x: Local(x), range(3))] == [0, 1, 2]


@pytest.mark.parametrize("chunksize", [1, 4])
def test_a_result_that_cannot_be_pickled_is_an_error_in_its_place(chunksize: int) -> None:
    """The results before it arrive; the error says what it is and what to do."""
    results = _map(lambda x: threading.Lock() if x == 2 else x, range(6), chunksize=chunksize)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(TypeError, match=r"lock.*backend='threads'") as caught:
        next(results)
    assert any("item 2 (2)" in note for note in caught.value.__notes__)


def test_results_by_value_before_one_that_cannot_be_pickled() -> None:
    """A lambda, which needs cloudpickle, is delivered although its neighbour cannot be."""
    results = _map(lambda x: threading.Lock() if x == 1 else (lambda: x), range(2), chunksize=2)
    assert next(results)() == 0
    with pytest.raises(TypeError) as caught:
        next(results)
    assert any("item 1 (1)" in note for note in caught.value.__notes__)


def test_a_result_that_cannot_be_loaded_is_an_error_in_its_place() -> None:
    """The error of loading comes out where the result should have been, and nothing hangs."""
    results = _map(lambda x: Explosive() if x == 2 else x, range(6), chunksize=1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(RuntimeError, match="cannot be loaded"):
        next(results)


def printed(error: BaseException) -> str:
    """As it is printed."""
    return "".join(traceback.format_exception(error))


def test_an_error_brings_its_remote_traceback() -> None:
    """Its own traceback shows where in the worker it was raised; its cause is what it is in a loop."""

    def inner_function_with_a_name(x: int) -> int:
        raise LookupError(f"no {x}")

    with pytest.raises(LookupError, match="no 0") as caught:
        list(_map(lambda x: inner_function_with_a_name(x), range(4)))
    assert "in inner_function_with_a_name" in printed(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert any("item 0 (0) ran in process " in note for note in caught.value.__notes__)


def _raise_awkward(x: int) -> None:
    raise Awkward("one", "two")


def _raise_with_a_lock(x: int) -> None:
    error = ValueError("holds a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


class Fickle(Exception):
    """Cannot be made at all on the other side."""

    def __new__(cls, *args: object) -> Self:
        if not args:
            raise TypeError("an argument is needed")
        return super().__new__(cls)


def _raise_fickle(x: int) -> None:
    error = Fickle("one")
    error.args = ()
    raise error


@pytest.mark.parametrize(
    ("work", "kind"),
    [(_raise_awkward, "Awkward"), (_raise_with_a_lock, "ValueError"), (_raise_fickle, "Fickle")],
)
def test_an_error_that_cannot_be_pickled_still_arrives(work: Callable[[int], None], kind: str) -> None:
    """In parts, of the class that it has; with the traceback."""
    with pytest.raises(Exception, match=r"one|holds a lock|ran in") as caught:
        list(_map(work, range(2)))
    assert caught.type.__name__ == kind
    assert work.__name__ in printed(caught.value) and caught.value.__cause__ is None


@dataclass(frozen=True)
class Frozen(Exception):
    """Takes neither a note nor a cause."""

    text: str = "one"


def _raise_frozen(x: int) -> None:
    raise Frozen


@pytest.mark.parametrize("wish", ["raise", "return"])
def test_a_frozen_error_arrives_as_it_is(wish: Any) -> None:
    """It cannot be written on, and that holds nobody up."""
    results = _map(_raise_frozen, range(2), on_error=wish)
    if wish == "return":
        assert [type(value) for value in results] == [Frozen, Frozen]
    else:
        with pytest.raises(Frozen):
            list(results)


def test_an_error_of_a_local_class_keeps_its_class() -> None:
    """Classes that only exist here travel by value."""

    class Mine(Exception):
        pass

    def work(x: int) -> None:
        raise Mine(x)

    with pytest.raises(Exception, match="0") as caught:
        list(_map(work, range(2)))
    assert type(caught.value).__name__ == "Mine"


def test_large_items_and_results_cross() -> None:
    """Megabytes both ways do not block the pipe."""
    blob = os.urandom(3 << 20)
    assert list(_map(lambda b: b + b"x", iter([blob] * 4))) == [blob + b"x"] * 4


def test_what_items_print_is_seen(capfd: pytest.CaptureFixture[str]) -> None:
    """Output of workers reaches the same standard output."""
    list(_map(lambda x: print(f"<{x}>", end=""), range(3)))
    assert all(f"<{x}>" in capfd_text for capfd_text in [capfd.readouterr().out] for x in range(3))


# Workers that die -------------------------------------------------------------------------------------------


def _exit(x: int) -> int:
    if x == 5:
        os._exit(3)
    return x


def _killed(x: int) -> int:
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize(("work", "how"), [(_exit, "exit code 3"), (_killed, "SIGKILL")])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_worker_that_dies_names_its_items(work: Callable[[int], int], how: str, lazy: bool) -> None:
    """What came before is delivered; the error names the items and how the worker ended; calls go on."""
    items: Any = iter(range(12)) if lazy else range(12)
    results = _map(work, items, chunksize=1)
    found = []
    with pytest.raises(autoexec.WorkerDied) as caught:
        for value in results:
            found.append(value)  # noqa: PERF402
    assert found == [0, 1, 2, 3, 4]
    assert "item 5 (5)" in str(caught.value) and how in str(caught.value)
    assert list(_map(lambda x: x, range(5))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("chunksize", [None, 1, 4])
def test_with_errors_as_values_a_death_is_its_items_own(lazy: bool, chunksize: int | None) -> None:
    """All other items have results, whatever task they were in."""
    items: Any = iter(range(12)) if lazy else range(12)
    found = list(_map(_exit, items, chunksize=chunksize, on_error="return"))
    assert isinstance(found[5], autoexec.WorkerDied) and "item 5 (5)" in str(found[5])
    assert found[:5] + found[6:] == [x for x in range(12) if x != 5]
    assert list(_map(_exit, range(12), chunksize=chunksize, on_error="skip")) == found[:5] + found[6:]


def test_retries_run_the_victim_again(journal: Any) -> None:
    """An item that dies once succeeds the second time; its neighbours run once."""
    note, path = journal.note, journal.path

    def work(x: int) -> int:
        note(x)
        with open(path) as file:
            if x == 3 and file.read().split().count("3") == 1:
                os._exit(1)
        return x

    found = list(_map(work, range(8), chunksize=4, retries=3, retry_on=autoexec.WorkerDied))
    assert found == list(range(8))
    assert journal.counts() == {str(x): 1 + (x == 3) for x in range(8)}


def test_the_poison_item_is_named_after_its_retries(journal: Any) -> None:
    """It dies every time; nobody else runs twice."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        if x == 3:
            os._exit(1)
        return x

    found = list(_map(work, range(8), retries=2, retry_on=autoexec.WorkerDied, on_error="return"))
    assert isinstance(found[3], autoexec.WorkerDied) and "item 3 (3)" in str(found[3])
    assert journal.counts() == {str(x): 1 + 2 * (x == 3) for x in range(8)}


def test_no_item_runs_again_after_a_death(journal: Any) -> None:
    """The items of a dead worker are not tried again."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        if x == 3:
            os._exit(1)
        return x

    with pytest.raises(autoexec.WorkerDied):
        list(_map(work, range(10), chunksize=1))
    assert set(journal.counts().values()) == {1}


@pytest.mark.parametrize("start", ["fork", "fresh"])
@pytest.mark.parametrize("busy", ["time.sleep(300)", "exec('while True: pass')"])
def test_workers_end_when_the_caller_is_killed(start: str, busy: str) -> None:
    """A caller that is gone without a word leaves no worker, not even one that holds the GIL."""
    code = (
        "import autoexec, os, sys, threading, time\n"
        "fork = sys.argv[1] == 'fork'\n"
        "gate = threading.Event()\n"
        "if not fork: threading.Thread(target=gate.wait, daemon=True).start()\n"
        f"def work(x):\n    os.write(1, b'%d\\n' % x)\n    {busy}\n"
        "list(autoexec.map(work, range(2), backend='processes', max_workers=2))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, start], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    with process:
        try:
            assert {process.stdout.readline() for _ in range(2)} == {b"0\n", b"1\n"}
        finally:
            process.kill()
        # The workers have the same output: it ends with the last of them.
        assert select.select([process.stdout], [], [], 20)[0] and process.stdout.read() == b""


# How they are started ---------------------------------------------------------------------------------------


def _run(code: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, cwd=ROOT, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_start_method_that_the_user_set_is_respected(method: str) -> None:
    """After `set_start_method('spawn')` nothing is forked."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this platform")
    out = _run(
        "import multiprocessing, os, autoexec\n"
        f"multiprocessing.set_start_method({method!r})\n"
        "forks = []\n"
        "os.register_at_fork(before=lambda: forks.append(1))\n"
        "found = list(autoexec.map(lambda x: x + 1, range(6), backend='processes', max_workers=2))\n"
        "print(found, len(forks))\n"
    )
    expected = 2 if method == "fork" else 0
    assert out == f"[1, 2, 3, 4, 5, 6] {expected}\n"


def test_no_fork_beside_other_threads() -> None:
    """With another thread running, workers are fresh interpreters."""
    out = _run(
        "import os, threading, autoexec\n"
        "forks = []\n"
        "os.register_at_fork(before=lambda: forks.append(1))\n"
        "gate = threading.Event()\n"
        "thread = threading.Thread(target=gate.wait)\n"
        "thread.start()\n"
        "found = list(autoexec.map(lambda x: x + 1, range(6), backend='processes', max_workers=2))\n"
        "gate.set(); thread.join()\n"
        "print(found, len(forks))\n"
    )
    assert out == "[1, 2, 3, 4, 5, 6] 0\n"
