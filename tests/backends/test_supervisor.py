"""A worker may die at any moment: it costs the item that it was running, and nothing else."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.backends.opening import WorkerConfig
from autoexec.backends.processes import start
from autoexec.backends.processes import supervisor as courier_module
from autoexec.errors import ItemTimeout, WorkerDied
from tests.backends.deadly import Deadly, forking, kill, leave
from tests.backends.opened import opened

FORKED = pytest.mark.parametrize("fork", [True, False], ids=["forked", "fresh"])


def _check(found: dict[int, Any], dead: set[int], count: int, counts: Any) -> None:
    """Everybody has an outcome, the dead their error, the others their result; nobody ran twice."""
    assert set(found) == set(range(count))
    assert {index for index, value in found.items() if isinstance(value, WorkerDied)} == dead
    assert all(found[index] == 10 * index for index in range(count) if index not in dead)
    assert set(counts) == {str(index) for index in range(count)} and set(counts.values()) == {1}


# While an item runs -----------------------------------------------------------------------------------------


@FORKED
@pytest.mark.parametrize(
    ("die", "victims"),
    [(kill, {0}), (leave, {2}), (kill, {5}), (leave, {0, 1, 4})],
    ids=["first", "middle", "last", "several"],
)
def test_only_the_items_that_ran_are_lost(fork: bool, die: Any, victims: set[int], journal: Any) -> None:
    """The results before a victim stay, the items after it run elsewhere, each of them once."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        if x in victims:
            die()
        return 10 * x

    with opened(work, fork=fork, capture=True) as pool:
        found = pool.run(range(6), 6)
    _check(found, victims, 6, journal.counts())
    for index in victims:
        text = str(found[index])
        assert f"item {index} ({index})" in text and "retries=" in text
        assert ("SIGKILL" if die is kill else "exit code 3") in text


@FORKED
@settings(max_examples=4)
@given(data=st.data())
def test_any_victims_in_any_tasks(fork: bool, data: Any) -> None:
    """Two workers, tasks of several sizes, large and small results."""
    count, size = 12, data.draw(st.integers(1, 6))
    victims = data.draw(st.sets(st.integers(0, count - 1), max_size=3))
    width = data.draw(st.sampled_from([1, 20_000, 200_000]))

    def work(x: int) -> tuple[int, bytes]:
        if x in victims:
            os._exit(1)
        return x, bytes(width)

    with opened(work, 2, fork=fork, capture=True) as pool:
        found = pool.run(range(count), size)
    assert {x for x in found if isinstance(found[x], WorkerDied)} == victims
    assert all(found[x] == (x, bytes(width)) for x in set(range(count)) - victims)


@FORKED
@pytest.mark.parametrize("size", [10, 40_000, 300_000])
def test_results_before_a_death_are_rescued_whatever_their_size(fork: bool, size: int, journal: Any) -> None:
    """From the page, from a log that was sent, from a frame of their own."""
    note = journal.note

    def work(x: int) -> Any:
        note(x)
        if x == 7:
            kill()
        return np.full(size, x, "u1") if x % 2 else bytes([x]) * size

    with opened(work, fork=fork, capture=True) as pool:
        found = pool.run(range(9), 9)
    assert isinstance(found.pop(7), WorkerDied)
    assert all(len(value) == size and value[0] == x for x, value in found.items())
    assert set(journal.counts().values()) == {1} and len(journal.counts()) == 9


def test_a_death_while_a_result_is_pickled_is_its_items(journal: Any) -> None:
    """The item is not over before its result is safe."""
    note = journal.note

    class Last:
        def __reduce__(self) -> Any:
            os._exit(5)

    def work(x: int) -> Any:
        note(x)
        return Last() if x == 1 else 10 * x

    with opened(work, fork=True, capture=True) as pool:
        found = pool.run(range(4), 4)
    _check(found, {1}, 4, journal.counts())


def test_a_death_between_the_last_item_and_the_answer(journal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All results are there: nobody has died holding anything."""
    note = journal.note
    parent = os.getpid()

    def flush() -> None:  # what a worker does after the last item
        if os.getpid() != parent:
            kill()

    monkeypatch.setattr("autoexec.backends.processes.server.flush", flush)

    def work(x: int) -> int:
        note(x)
        return 10 * x

    with opened(work, fork=True) as pool:
        pool.submit(range(4))
        done = pool.finished()
    assert (done.values, done.error) == ([0, 10, 20, 30], None)
    assert set(journal.counts().values()) == {1}


# Before an item runs ----------------------------------------------------------------------------------------


def test_a_death_while_the_function_is_loaded_is_tried_again(tmp_path: Path) -> None:
    """Whoever was killed by chance is replaced, and nothing is lost."""
    with opened(Deadly(str(tmp_path / "log"), times=2)) as pool:
        assert pool.run(range(3), 3) == {0: 100, 1: 101, 2: 102}
    assert (tmp_path / "log").stat().st_size == 3


def test_the_item_that_kills_whoever_loads_it_is_found(tmp_path: Path, journal: Any) -> None:
    """Its neighbours in the same task run."""
    note, log = journal.note, str(tmp_path / "log")

    def work(x: Any) -> Any:
        note(x if isinstance(x, int) else "deadly")
        return x

    items = [0, 1, Deadly(log), 3]
    with opened(work, capture=True) as pool:
        found = pool.run(items, 4)
    assert isinstance(found.pop(2), WorkerDied) and found == {0: 0, 1: 1, 3: 3}
    assert journal.counts() == {"0": 1, "1": 1, "3": 1}


def test_workers_that_end_before_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """After three in a row the items fail, each of them, and nothing hangs."""
    monkeypatch.setattr(start, "_start", _start_dead)
    with opened(abs, capture=True) as pool:
        found = pool.run([-1, -2], 2)
    assert set(found) == {0, 1}
    assert all("before they can begin (exit code 7)" in str(value) for value in found.values())


def _start_dead(code: str, descriptors: Any, config: Any, script: str = "exit 7") -> int:
    held = [(os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in descriptors]
    return os.posix_spawn("/bin/sh", ["sh", "-c", script], {}, file_actions=held)


def test_workers_that_somebody_kills_before_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """That says little about the work: more of them are replaced, and nothing is lost."""
    real, started = start._start, []

    def begin(code: str, descriptors: Any, config: Any) -> int:
        started.append(1)
        if len(started) <= 5:
            return _start_dead(code, descriptors, config, "kill -9 $$")
        return real(code, descriptors, config)

    monkeypatch.setattr(start, "_start", begin)
    with opened(abs, capture=True) as pool:
        assert pool.run([-1, -2], 2) == {0: 1, 1: 2}
    assert len(started) == 6


# Two tasks with one worker ----------------------------------------------------------------------------------


def test_only_short_tasks_are_sent_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long one the next waits for whoever is free first."""
    monkeypatch.setattr(courier_module, "AHEAD_S", 0.0)
    with opened(lambda x: x) as pool:
        supervisor, deepest = pool.backend._supervisors[0], 0
        for start in range(20):
            pool.submit([start], start)
        for _ in range(20):
            deepest = max(deepest, len(supervisor._sent))
            pool.finished()
    assert deepest <= 1


# Descendants, killed from outside ---------------------------------------------------------------------------


def _dies_beside_a_child(fork: bool, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    with opened(forking(gate), fork=fork, capture=True) as pool:
        found = pool.run(range(4), 4)
        with open(gate, "wb"):
            pass
    assert isinstance(found.pop(1), WorkerDied) and found == {0: 0, 2: 20, 3: 30}


@FORKED
def test_a_child_of_an_item_that_keeps_the_socket_hangs_nobody(fork: bool, tmp_path: Path) -> None:
    """That the worker is gone is seen although its sockets are still open somewhere."""
    _dies_beside_a_child(fork, tmp_path)


def test_a_child_that_c_code_has_forked_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the socket open even though Python knows nothing of it."""
    monkeypatch.setattr("autoexec.backends.processes.worker_main._leave_alone", lambda seats: None)
    _dies_beside_a_child(fork=True, tmp_path=tmp_path)


@FORKED
def test_a_worker_killed_from_outside_while_idle_costs_nothing(fork: bool) -> None:
    """It held nothing: the next task runs elsewhere."""
    with opened(lambda x: (x, os.getpid()), fork=fork) as pool:
        ((_, pid),) = pool.run([0], 1).values()
        watched = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        assert select.select([watched], [], [], 20)[0]
        os.close(watched)
        for index in range(1, 4):
            ((_, other),) = pool.run([index], 1).values()
            assert other != pid


# Several seats ----------------------------------------------------------------------------------------------


@FORKED
@pytest.mark.parametrize("victims", [set(), {3}, {0, 8}])
def test_workers_with_three_seats(fork: bool, victims: set[int], journal: Any) -> None:
    """A death costs what the seats of that worker were running: at most three items, none twice."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        if x in victims:
            os._exit(1)
        return 10 * x

    with opened(work, 2, fork=fork, capture=True, config=WorkerConfig(threads=3)) as pool:
        found = pool.run(range(24), 2)
        assert len(pool.backend._threads) == 6
    dead = {x for x, value in found.items() if isinstance(value, WorkerDied)}
    assert victims <= dead and len(dead) <= 3 * len(victims)
    assert set(found) == set(range(24)) and all(found[x] == 10 * x for x in found if x not in dead)
    counts = journal.counts()  # who was lost with a victim may not have come to write
    assert set(counts.values()) == {1} and {str(x) for x in set(found) - dead} <= set(counts)


@FORKED
def test_seats_of_one_worker_run_at_once(fork: bool) -> None:
    """Three items meet in one process."""
    made: list[Any] = []

    def work(x: int) -> int:
        import os
        import threading

        barrier = vars(threading).setdefault("_meeting", threading.Barrier(3, timeout=20))
        barrier.wait()
        return os.getpid()

    with opened(work, 1, fork=fork, config=WorkerConfig(threads=3)) as pool:
        made = list(pool.run(range(3), 1).values())
    assert len(set(made)) == 1 and made[0] != os.getpid()


@pytest.mark.parametrize("tasks", [0, 1, 2])
def test_seats_that_nobody_took_keep_no_worker(tasks: int) -> None:
    """With fewer tasks than seats the worker ends as it should."""
    with opened(abs, 1, config=WorkerConfig(threads=3)) as pool:
        for _ in range(tasks):
            assert pool.run([-1], 1)[0] == 1
    # the fixture that looks for what is left behind tells the rest


def test_a_seat_whose_worker_died_unseen_is_let_go() -> None:
    """The supervisor that had it without a task finds out at the end, and leaves nothing open."""
    with opened(
        lambda x: os._exit(1) if x else os.getpid(), 1, capture=True, config=WorkerConfig(threads=2)
    ) as pool:
        pool.submit([0], 0)
        pool.submit([0], 1)
        assert {len(pool.finished().values) for _ in range(2)} == {1}
        assert isinstance(pool.run([1], 1)[0], WorkerDied)


# Time limits ------------------------------------------------------------------------------------------------


def test_a_task_that_ignores_sigterm_is_ended_all_the_same() -> None:
    """And one that holds the GIL."""

    def work(x: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            pass

    with opened(work, fork=True, item_timeout=0.05) as pool:
        assert isinstance(pool.run([0], 1)[0], ItemTimeout)


# The supervisor's own thread -------------------------------------------------------------------------------


def test_a_thread_that_fails_hangs_nobody(monkeypatch: pytest.MonkeyPatch, journal: Any) -> None:
    """What was under way fails with it, its worker is ended rather than kept, and the next task runs."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        if not x:
            signal.pause()
        return x

    raised: list[Any] = []

    def broken(supervisor: Any, seat: Any) -> None:
        if seat.status.place is not None and not raised:
            raised.append(seat)
            raise MemoryError("for a moment")

    monkeypatch.setattr(courier_module.Supervisor, "_look", broken)
    monkeypatch.setattr(courier_module, "LOOK_S", 0.01)
    with opened(work, fork=True) as pool:
        pids = pool.pids
        assert isinstance(pool.run([0], 1)[0], MemoryError)
        assert pool.run([7], 1) == {0: 7}
        assert not pids & pool.pids
    assert journal.counts() == {"0": 1, "7": 1}
