"""A worker that dies costs the item it was running, and nothing else."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import autoexec
from autoexec import WorkerDied
from tests.processes import work
from tests.processes.work import BAD, RIGHT, others, run

ENDS: dict[Callable[[int], int], str] = {
    work.exits: "exit code 3",
    work.killed: "SIGKILL",
    work.segfaults: "SIGSEGV",
    work.aborts: "SIGABRT",
    work.terminated: "SIGTERM",
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_the_item_is_named_and_the_others_finish(end: Callable[[int], int], start: str) -> None:
    """However a worker ends, its item says so in its place: index, repr, exit code or signal."""
    values = list(run(end))
    assert others(values) == RIGHT
    died = values[BAD]
    assert type(died) is WorkerDied
    assert f"item {BAD} ({BAD})" in str(died) and ENDS[end] in str(died)
    assert "out of memory" not in str(died)


@pytest.mark.parametrize("chunksize", [1, 4, 12])
def test_in_a_chunk(chunksize: int, start: str, journal: Any) -> None:
    """Results before the death stay and items after it run, each once, whatever the chunk."""
    note = journal.note

    def item(x: int) -> int:
        note(x)
        return work.exits(x)

    values = list(run(item, chunksize=chunksize))
    assert others(values) == RIGHT and type(values[BAD]) is WorkerDied
    assert journal.counts() == {str(x): 1 for x in range(12)}


def test_the_first_and_the_last_item(start: str) -> None:
    """The ends of a chunk are no special case."""

    def item(x: int) -> int:
        if x in (0, 11):
            os._exit(1)
        return x

    values = list(run(item, chunksize=12))
    assert values[1:-1] == list(range(1, 11))
    assert "item 0 (0)" in str(values[0]) and "item 11 (11)" in str(values[-1])


def test_every_item_is_deadly(start: str) -> None:
    """When no item survives, each says so for itself, and it ends."""
    values = list(run(lambda x: os._exit(x + 1), range(6), chunksize=3))
    assert [re.findall(r"exit code (\d+)\) while it held item (\d+)", str(v)) for v in values] == [
        [(str(x + 1), str(x))] for x in range(6)
    ]


def test_it_is_raised_in_its_place(start: str) -> None:
    """Without on_error= the results before it are delivered, and then it is raised."""
    results = run(work.exits, on_error="raise")
    assert [next(results) for _ in range(BAD)] == RIGHT[:BAD]
    with pytest.raises(WorkerDied, match=rf"item {BAD} \({BAD}\)") as caught:
        next(results)
    assert isinstance(caught.value, autoexec.AutoexecError)
    assert list(results) == []


def test_results_are_skipped_with_on_error(start: str) -> None:
    """on_error="skip" leaves the item out, and the statistics tell."""
    results = run(work.exits, on_error="skip")
    assert list(results) == RIGHT
    assert [(row.kind, row.count) for row in results.stats().failures] == [("WorkerDied", 1)]


def test_unordered(start: str) -> None:
    """Results in the order of their ends are complete, too."""
    values = list(run(work.exits, ordered=False))
    assert sorted(v for v in values if not isinstance(v, WorkerDied)) == RIGHT
    assert sum(isinstance(v, WorkerDied) for v in values) == 1


def test_starmap(start: str) -> None:
    """All arguments of the item are in the message."""

    def item(x: int, name: str) -> int:
        return work.exits(x)

    pairs = [(x, f"n{x}") for x in range(12)]
    values = list(
        autoexec.starmap(item, pairs, backend="processes", max_workers=2, on_error="return", chunksize=6)
    )
    assert others(values) == RIGHT and f"({BAD}, 'n{BAD}')" in str(values[BAD])


def test_a_long_repr_is_cut_and_a_broken_one_replaced(start: str) -> None:
    """The message stays short, and a repr that raises does not hide the death."""

    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    for item, shown in (("x" * 10_000, r"\('x{20,60}\.\.\.\)"), (Broken(), "Broken")):
        (died,) = run(lambda _: os._exit(1), [item])
        assert re.search(shown, str(died)) and len(str(died)) < 300


# Killed from outside ----------------------------------------------------------------------------------------


def test_killed_while_others_run(start: str, journal: Any) -> None:
    """Items in flight on other workers are neither lost nor run again."""
    note = journal.note

    def item(x: int) -> int:
        note(f"{x} {os.getpid()}")
        while x < 2 and not os.path.exists(f"{journal_path}.{x}"):
            pass
        return x

    journal_path = journal.path
    results = run(item, range(8), chunksize=1)
    assert journal.wait_for(2)
    places = dict(line.split() for line in journal.lines())
    os.kill(int(places["0"]), signal.SIGKILL)
    open(f"{journal_path}.1", "w").close()
    values = list(results)
    assert type(values[0]) is WorkerDied and values[1:] == list(range(1, 8))
    assert journal.counts().total() == 8


def test_killed_at_rest(start: str) -> None:
    """A kept worker that was killed between two calls is replaced without a word."""
    first = list(run(work.whose))
    for pid in {pid for _, pid in first}:
        os.kill(pid, signal.SIGKILL)
    second = list(run(work.whose))
    assert [x for x, _ in second] == list(range(12))
    assert not {pid for _, pid in first} & {pid for _, pid in second}


def test_somebody_else_reaps_the_child(start: str) -> None:
    """A SIGCHLD handler that takes every exit code costs the code, not the run."""

    def reap(number: int, frame: object) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    old = signal.signal(signal.SIGCHLD, reap)
    try:
        values = list(run(work.exits))
    finally:
        signal.signal(signal.SIGCHLD, old)
    assert others(values) == RIGHT and type(values[BAD]) is WorkerDied


def test_children_are_ignored(start: str) -> None:
    """With SIGCHLD ignored the kernel reaps; deaths are still seen."""
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        values = list(run(work.exits))
    finally:
        signal.signal(signal.SIGCHLD, old)
    assert others(values) == RIGHT and type(values[BAD]) is WorkerDied


# Again ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 12])
def test_retries_run_it_again_alone(chunksize: int, start: str, journal: Any) -> None:
    """With retries= the poison item runs so often, and its neighbours once."""
    note = journal.note

    def item(x: int) -> int:
        note(x)
        return work.killed(x)

    values = list(run(item, chunksize=chunksize, retries=2))
    assert others(values) == RIGHT and type(values[BAD]) is WorkerDied
    assert f"item {BAD} ({BAD})" in str(values[BAD])
    assert journal.counts() == {str(x): 3 if x == BAD else 1 for x in range(12)}


@pytest.mark.parametrize("chunksize", [1, 12])
def test_an_accident_is_healed(chunksize: int, start: str, journal: Any) -> None:
    """An item whose worker was killed once gets its result in the second try."""
    note, lines = journal.note, journal.lines

    def item(x: int) -> int:
        note(x)
        if x == BAD and lines().count(str(BAD)) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    results = run(item, chunksize=chunksize, retries=3, on_error="raise")
    assert list(results) == list(range(12))
    assert results.stats().retries == 1


def test_out_of_memory_is_told(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel's counters say so, the message does, with what to do."""
    from autoexec.backends.opening import TaskRules
    from autoexec.engine import planning

    real = planning.Planner._rules

    def starved(self: Any, *args: Any) -> TaskRules:
        from autoexec.frozen import replace

        return replace(real(self, *args), starved=lambda running: True)

    monkeypatch.setattr(planning.Planner, "_rules", starved)
    values = list(run(work.killed))
    assert "out of memory" in str(values[BAD]) and "max_workers" in str(values[BAD])
    assert "out of memory" not in str(list(run(work.exits))[BAD])


# Other doors ------------------------------------------------------------------------------------------------


def test_submit(start: str) -> None:
    """The future of the deadly call fails; the others have their results."""
    with autoexec.Executor(max_workers=2, backend="processes") as executor:
        futures = [executor.submit(work.exits, x) for x in range(12)]
        assert [f.result(timeout=50) for i, f in enumerate(futures) if i != BAD] == RIGHT
        with pytest.raises(WorkerDied, match="exit code 3"):
            futures[BAD].result(timeout=50)
        assert executor.submit(work.exits, 1).result(timeout=50) == 10


def test_submit_with_retries(journal: Any) -> None:
    """A future's call runs again, too."""
    note, lines = journal.note, journal.lines

    def once(x: int) -> int:
        note(x)
        if len(lines()) == 1:
            os._exit(1)
        return x

    with autoexec.Executor(max_workers=1, backend="processes", retries=2) as executor:
        assert executor.submit(once, 3).result(timeout=50) == 3


def test_executor_map(start: str) -> None:
    """The executor's map raises in the place of the item."""
    with autoexec.Executor(max_workers=2, backend="processes") as executor:
        results = executor.map(work.exits, range(12))
        assert [next(results) for _ in range(BAD)] == RIGHT[:BAD]
        with pytest.raises(WorkerDied):
            next(results)


def test_the_decorator(start: str) -> None:
    """A decorated function's map has the same care."""
    options = {"backend": "processes", "max_workers": 2, "on_error": "return"}
    values = list(autoexec.parallel(**options)(work.exits).map(range(12)))
    assert others(values) == RIGHT and type(values[BAD]) is WorkerDied


def test_auto(known_costs: object, burn: Callable[[float], int], journal: Any) -> None:
    """Where autoexec itself chose processes, deaths cost no more."""
    home, note = os.getpid(), journal.note

    def item(x: int) -> int:
        burn(0.015)
        if x == 30 and os.getpid() != home:
            os._exit(3)
        note(x)
        return x

    results = autoexec.map(item, range(40), max_workers=2, on_error="return")
    values = list(results)
    assert results.plan is not None and results.plan.backend == "processes", results.plan
    assert values[:30] + values[31:] == [x for x in range(40) if x != 30]
    assert type(values[30]) is WorkerDied or values[30] == 30  # the caller's thread may have had it
    assert journal.counts().total() in (39, 40)


def test_system_exit_is_an_error_of_the_item(start: str) -> None:
    """`sys.exit` in an item ends the run with it, as in a loop, and no worker."""
    results = run(work.system_exits, on_error="raise")
    assert [next(results) for _ in range(BAD)] == RIGHT[:BAD]
    with pytest.raises(SystemExit):
        next(results)


def test_deaths_in_several_runs_at_once(burn: Callable[[float], int]) -> None:
    """Two threads of the caller with a run each: the deaths of one are not the other's."""
    found: dict[str, list[Any]] = {}

    def one(name: str, end: Callable[[int], int]) -> None:
        found[name] = list(run(end, chunksize=3))

    threads = [
        threading.Thread(target=one, args=("deadly", work.killed)),
        threading.Thread(target=one, args=("sound", work.value_of)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert others(found["deadly"]) == RIGHT and type(found["deadly"][BAD]) is WorkerDied
    assert found["sound"] == list(range(12))
