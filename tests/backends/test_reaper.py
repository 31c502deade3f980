"""Workers at rest that end leave no zombie, and the thread that hears of it is in nobody's way."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import autoexec
from autoexec.backends.processes import idle, start
from autoexec.backends.processes.reaper import Reaper
from tests.forking import in_child

PATIENCE_S = 20.0


def _threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))


def _comes(found: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not found():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


class Rig:
    """A reaper for the reading ends of pipes: to close the other end is what ends one."""

    def __init__(self) -> None:
        self.pipes: dict[int, int] = {}
        self.heard = threading.Semaphore(0)
        self.reaper = Reaper(lambda: list(self.pipes), self._ended)

    def _ended(self) -> None:
        for end in [*self.pipes]:
            if select.select([end], [], [], 0)[0]:
                del self.pipes[end]
                os.close(end)
                self.heard.release()

    def add(self) -> int:
        """One more to wait for: what ends it."""
        end, held = os.pipe()
        self.pipes[end] = held
        self.reaper.changed()
        return held


@pytest.fixture
def rig() -> Iterator[Rig]:
    """One whose thread has gone at the end."""
    made = Rig()
    yield made
    made.reaper.pause()
    assert made.reaper.threads == 0
    for end, held in made.pipes.items():
        os.close(end)
        os.close(held)


def test_it_hears_of_each_end_and_goes_with_the_last(rig: Rig) -> None:
    """In any order; it starts again for the next one."""
    before = _threads()
    for _ in range(2):
        held = [rig.add() for _ in range(3)]
        assert rig.reaper.threads == 1
        for descriptor in reversed(held):
            os.close(descriptor)
            assert rig.heard.acquire(timeout=PATIENCE_S)
        assert _comes(lambda: not rig.reaper.threads and _threads() <= before)


def test_it_is_in_no_book_of_threads(rig: Rig) -> None:
    """Whoever counts threads finds none."""
    before = threading.active_count()
    rig.add()
    assert threading.active_count() == before and rig.reaper.threads == 1


def test_it_pauses(rig: Rig) -> None:
    """Nothing of it is left then, and it goes on afterwards, for those that came meanwhile, too."""
    before = _threads()
    first = rig.add()
    rig.reaper.pause()
    assert _threads() <= before and rig.reaper.threads == 0
    second = rig.add()
    assert rig.reaper.threads == 0
    rig.reaper.resume()
    rig.reaper.changed()
    for descriptor in (second, first):
        os.close(descriptor)
        assert rig.heard.acquire(timeout=PATIENCE_S)


def _pids() -> set[int]:
    return set(autoexec.map(_pid, range(8), backend="processes", max_workers=2))


def _pid(_: int) -> int:
    return os.getpid()


def test_workers_at_rest_that_are_killed_leave_no_zombie() -> None:
    """Although no other call comes, and this thread does nothing for them."""
    pids = _pids()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert _comes(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert idle._kept.resting == []


def test_a_child_of_the_program_has_no_such_thread() -> None:
    """It is gone while this process is forked, and back afterwards."""
    pids = _pids()
    assert idle.helpers() == 1
    assert in_child(lambda: (len(_threads()), idle.helpers(), idle._kept.resting)) == (1, 0, [])
    idle._kept.reaper.changed()  # some versions do not like it to come back by itself
    assert idle.helpers() == 1
    os.kill(pids.pop(), signal.SIGKILL)


def test_it_keeps_no_worker_from_being_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not counted among those that run."""
    _pids()
    assert idle.helpers() == 1 and start._threads() == len(_threads()) - 1


def test_an_executors_worker_leaves_no_zombie_either() -> None:
    """While it waits for calls."""
    with autoexec.Executor(1, backend="processes") as executor:
        pid = executor.submit(_pid, 0).result()
        os.kill(pid, signal.SIGKILL)
        assert _comes(lambda: not Path(f"/proc/{pid}").exists())
        assert executor.submit(_pid, 0).result() != pid


def test_no_warning_of_threads_when_the_program_forks(script: Any) -> None:
    """CPython 3.12 and later warn of any thread that it sees at a fork."""
    body = """
    import warnings
    if __name__ == "__main__":
        warnings.simplefilter("error")
        list(autoexec.map(abs, range(8), backend="processes", max_workers=2))
        for _ in range(20):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        note("right")
    """
    assert script.run(body) == (0, "", "") and script.lines() == ["right"]
