"""Worker processes: what crosses, what cannot, and what happens when one dies."""

# ruff: noqa: PT012, E501 -- the loop around an error collects what came before it

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import pytest

import autoexec
from autoexec.backends.base import Chunk, Finished
from autoexec.backends.processes import ProcessBackend
from autoexec.measure.hazards import serialise

ROOT = str(Path(__file__).parents[2])


def _bytes(call: Callable[..., Any]) -> bytes:
    found = serialise(call)
    assert isinstance(found, bytes)
    return found


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


# Both ways to start -----------------------------------------------------------------------------------------


@pytest.fixture(params=["fork", "fresh"])
def backend(request: pytest.FixtureRequest) -> Any:
    """A backend of two workers and its inbox."""
    inbox: SimpleQueue[Finished] = SimpleQueue()
    call = lambda x: (x, os.getpid())  # noqa: E731
    items = list(range(40))
    fork = request.param == "fork"
    made = ProcessBackend(
        2, inbox.put, serialise=_bytes, call=call, fork=fork, inherited=items if fork else None
    )
    yield made, inbox, call, items
    made.close(kill=True)


def test_every_task_is_done_in_another_process(backend: Any) -> None:
    """Forked and fresh workers both run all tasks; their order is that of their starts."""
    made, inbox, call, items = backend
    for start in range(0, 40, 4):
        made.submit(Chunk(start, items[start : start + 4], call))
    done = sorted((inbox.get(timeout=50) for _ in range(10)), key=lambda f: f.chunk.start)
    assert [value for f in done for value, _ in f.values] == items
    pids = {pid for f in done for _, pid in f.values}
    assert os.getpid() not in pids and 1 <= len(pids) <= 2
    assert all(f.where.startswith("process ") for f in done)
    made.close()


def test_a_second_function_is_learned_on_the_way(backend: Any) -> None:
    """Workers take functions that they were not made for."""
    made, inbox, call, items = backend
    made.submit(Chunk(0, items[:1], call))
    made.submit(Chunk(0, items[:3], lambda x: x * 100))
    done = [inbox.get(timeout=50) for _ in range(2)]
    assert [0, 100, 200] in [f.values for f in done]


def test_closing_kills_what_runs(backend: Any) -> None:
    """With `kill` nothing is waited for."""
    made, inbox, _, _ = backend
    made.submit(Chunk(0, [0], lambda x: time.sleep(300)))
    made.close(kill=True)
    assert inbox.empty()


def test_withdrawn_tasks_are_not_run(backend: Any) -> None:
    """What comes back was not begun: each task is either delivered or given back."""
    made, inbox, call, items = backend
    for start in range(40):
        made.submit(Chunk(start, items[start : start + 1], call))
    back = {chunk.start for chunk in made.withdraw()}
    made.close()
    done = set()
    while not inbox.empty():
        done.add(inbox.get().chunk.start)
    assert back | done == set(range(40)) and not back & done


def test_forked_workers_inherit_and_fresh_ones_do_not_import_main(journal: Any) -> None:
    """Unpicklable state of a function is there in a forked worker."""
    lock = threading.Lock()
    inbox: SimpleQueue[Finished] = SimpleQueue()

    def work(x: int) -> int:
        with lock:
            return x

    made = ProcessBackend(1, inbox.put, serialise=_bytes, call=work, fork=True)
    made.submit(Chunk(0, [7], work))
    assert inbox.get(timeout=50).values == [7]
    made.close()


# What crosses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [None, 3])
def test_items_that_cannot_be_pickled_run_here(chunksize: int | None) -> None:
    """Such items keep their meaning: they run in this process, in their place."""
    items = [Unpicklable(i) for i in range(7)]
    assert list(_map(lambda item: item.value, iter(items), chunksize=chunksize)) == list(range(7))


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


def test_an_error_brings_its_remote_traceback() -> None:
    """The cause of the error shows where in the worker it was raised."""

    def inner_function_with_a_name(x: int) -> int:
        raise LookupError(f"no {x}")

    with pytest.raises(LookupError, match="no 0") as caught:
        list(_map(lambda x: inner_function_with_a_name(x), range(4)))
    assert "inner_function_with_a_name" in str(caught.value.__cause__)
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
    [(_raise_awkward, "Awkward"), (_raise_with_a_lock, "ValueError"), (_raise_fickle, "AutoexecError")],
)
def test_an_error_that_cannot_be_pickled_still_arrives(work: Callable[[int], None], kind: str) -> None:
    """In parts if it can be, else as an error of ours that says what it was; with the traceback."""
    with pytest.raises(Exception, match=r"one|holds a lock|Fickle") as caught:
        list(_map(work, range(2)))
    assert caught.type.__name__ == kind
    assert work.__name__ in str(caught.value.__cause__)


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


def test_the_items_of_a_chunk_are_all_named() -> None:
    """With several items per task the first and last are named."""
    with pytest.raises(autoexec.WorkerDied, match="items 4 to 7"):
        list(_map(_exit, range(12), chunksize=4))


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


def test_a_worker_replaced_after_a_death_takes_other_tasks() -> None:
    """At the level of tasks, the backend goes on with a fresh worker."""
    inbox: SimpleQueue[Finished] = SimpleQueue()
    made = ProcessBackend(1, inbox.put, serialise=_bytes)
    for i, call in enumerate((lambda x: os._exit(1), lambda x: x + 1)):
        made.submit(Chunk(i, [i], call))
    first, second = inbox.get(timeout=50), inbox.get(timeout=50)
    assert isinstance(first.error, autoexec.WorkerDied) and second.values == [2]
    made.close()


def test_workers_end_when_the_caller_is_killed(tmp_path: Path) -> None:
    """A caller that is gone without a word leaves no worker."""
    pids = tmp_path / "pids"
    code = (
        "import autoexec, os, sys, time\n"
        f"def work(x):\n    open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(0.05); return x\n"
        "results = autoexec.map(work, range(10**6), backend='processes', max_workers=2)\n"
        "for x in results:\n    print(x, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    with process:
        for _ in range(4):
            assert process.stdout.readline()
        process.kill()
    until = time.monotonic() + 20
    while alive := [pid for pid in set(pids.read_text().split()) if _alive(int(pid))]:
        assert time.monotonic() < until, f"still there: {alive}"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


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
