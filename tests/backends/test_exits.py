"""What is said of workers that ended, and of items that took too long."""

from __future__ import annotations

import pytest

from autoexec.backends.processes.exit_messages import (
    died_loading,
    how,
    late,
    late_to_load,
    never_began,
    short,
    worker_died,
)
from autoexec.backends.processes.sent import Sent
from autoexec.errors import ItemTimeout, WorkerDied
from autoexec.worker.invoke import CallSpec, Task
from tests.backends.opened import opened


def _task(items: list[object], done: int = 0, *, start: int = 10, star: bool = False) -> Sent:
    task = Sent(Task(CallSpec(print, star=star), start, items))
    for _ in range(done):
        task.add(None)
    return task


class Rude:
    """Has no words for itself."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("code", "starved", "words"),
    [
        (0, False, "exit code 0"),
        (3, True, "exit code 3"),
        (None, False, "how is not known: the program ignores SIGCHLD, or waits for any child"),
        (-9, False, "killed by SIGKILL"),
        (-9, True, "killed by SIGKILL: out of memory"),
        (-11, True, "killed by SIGSEGV"),
        (-15, False, "killed by SIGTERM"),
        (-63, False, "killed by signal 63"),
    ],
)
def test_how_a_process_ended(code: int | None, starved: bool, words: str) -> None:
    """By exit code, or by the name of the signal; want of memory only where the kernel kills."""
    assert how(code, starved) == words


def test_the_victim_is_named() -> None:
    """With its index, its arguments, the process, how it ended and what to do."""
    error = worker_died(4711, "killed by SIGKILL", _task(["a", "b", "c"], 1))
    assert isinstance(error, WorkerDied) and isinstance(error, RuntimeError)
    for words in ("process 4711", "killed by SIGKILL", "item 11 ('b')", "retries=", "backend='serial'"):
        assert words in str(error)


def test_want_of_memory_has_its_own_advice() -> None:
    """To run the item again would not help."""
    text = str(worker_died(1, how(-9, starved=True), _task(["a"])))
    assert "out of memory" in text and "max_workers=" in text and "retries=" not in text


def test_all_arguments_of_an_item_are_shown_in_short() -> None:
    """Even if their own words raise, or are long."""
    text = str(worker_died(1, "exit code 1", _task([("x" * 500, Rude(), 3)], star=True)))
    assert "..., <Rude>, 3)" in text and len(text) < 400
    assert short(Rude()) == "<Rude>" and len(short("x" * 500)) == 60


def test_an_item_that_took_too_long() -> None:
    """The limit, the item, and what became of its worker."""
    error = late(4711, 0.5, _task(["a", "b"], 1))
    assert isinstance(error, ItemTimeout) and isinstance(error, TimeoutError)
    assert "item 11 ('b')" in str(error) and "item_timeout=0.5 s" in str(error) and "4711" in str(error)


def test_workers_that_never_get_anywhere() -> None:
    """Before they begin, while they load, or for ever: each says what to do or what was waited for."""
    assert "exit code 7" in str(never_began("exit code 7")) and "backend='threads'" in str(never_began("x"))
    assert "killed by SIGSEGV" in str(died_loading("killed by SIGSEGV"))
    assert "30 s" in str(late_to_load(30.0)) and isinstance(late_to_load(1), ItemTimeout)


@pytest.mark.parametrize(("starved", "words"), [(True, "SIGKILL: out of memory"), (False, "SIGKILL) while")])
def test_the_kernels_word_is_asked_for_after_a_death(starved: bool, words: str) -> None:
    """A killed worker's error says so where the kernel has counted one."""
    from tests.backends.deadly import kill

    with opened(lambda x: kill(), fork=True, capture=True, starved=lambda running: starved) as pool:
        assert words in str(pool.run([1], 1)[0])
