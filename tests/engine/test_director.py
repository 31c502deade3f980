"""The thread beside the loop: it decides early, puts everything back, and is gone afterwards."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import pytest

import autoexec
from autoexec.engine.director import Director
from autoexec.engine.feed import Feed
from autoexec.engine.loop import Loop


def _directors() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "autoexec-director"]


def test_the_rest_starts_while_the_first_item_waits() -> None:
    """Item 0 ends only when another item has begun: without an early decision it would wait for ever."""
    other = threading.Event()

    def work(x: int) -> int:
        if x == 0:
            assert other.wait(30), "nothing else began while the first item waited"
        other.set()
        return x

    assert list(autoexec.map(work, range(40))) == list(range(40))


def test_the_rest_starts_while_the_first_item_computes(journal: Any, eight_cores: None) -> None:
    """The same for a first item that computes: workers begin with the rest meanwhile."""
    note, path = journal.note, journal.path

    def work(x: int) -> int:
        if x:
            note(x)
        until = time.monotonic() + 30
        total = 0
        while time.monotonic() < until:
            total += sum(range(500))
            if x == 0:
                with open(path, "a+") as file:
                    file.seek(0)
                    if file.read():
                        return x
            elif total > 50_000_000:
                return x
        raise AssertionError("nothing else began while the first item computed")

    assert list(autoexec.map(work, list(range(6)), max_workers=2)) == list(range(6))


@pytest.mark.parametrize("pause", [0.0, 0.03])
def test_the_switch_interval_is_put_back(pause: float) -> None:
    """The finer switching of the probe ends with the measuring."""
    before = sys.getswitchinterval()
    list(autoexec.map(lambda x: time.sleep(pause), range(30)))
    assert sys.getswitchinterval() == before


def test_the_thread_is_gone_when_the_results_are_all_there() -> None:
    """After the last result, no director is left."""
    assert list(autoexec.map(lambda x: x, range(100_000))) == list(range(100_000))
    assert not _directors()


def test_a_director_that_fails_does_not_harm_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """When deciding early raises, the caller's thread goes on by itself."""
    from autoexec.engine.run import Run

    def broken(self: Run, seen: object) -> bool:
        raise RuntimeError("the director is out of order")

    monkeypatch.setattr(Run, "_early", broken)
    assert list(autoexec.map(lambda x: time.sleep(0.01) or x, range(10))) == list(range(10))


def test_stopping_twice_or_before_the_start_is_fine() -> None:
    """A director can be stopped at any time."""
    director = Director(Loop(abs, Feed(([],))), lambda seen: False, lambda: None)
    director.stop()
    director.measure()
    director.stop()
    director.stop()
    assert not _directors()


class Clocks:
    """A thread that has computed for so long, and was ready to run but not let for so long."""

    def __init__(self, cpu_s: float, queued_s: float) -> None:
        self._cpu_s, self._queued_s = cpu_s, queued_s

    def cpu(self) -> float:
        return self._cpu_s

    def queued(self) -> float:
        return self._queued_s


@pytest.mark.parametrize(
    ("cpu_s", "watched_s", "own_s", "lost_s"),
    [
        (0.250, 0.010, 0.200, 0.210),
        (0.020, 0.000, 0.200, 0.000),
        (0.100, 0.000, 0.200, 0.000),
        (0.100, 0.080, 0.200, 0.280),
        (0.250, 0.010, 0.000, 0.010),
    ],
    ids=["computes", "waits", "waits and computes", "wants to compute", "a quiet machine"],
)
def test_time_lost_to_other_programs(cpu_s: float, watched_s: float, own_s: float, lost_s: float) -> None:
    """The director's own queueing counts where the watched thread kept the GIL between a hundred looks."""
    director: Any = Director(Loop(abs, Feed(([],))), lambda seen: False, lambda: None)
    director._clock, director._own = Clocks(cpu_s, watched_s), Clocks(0.0, own_s)
    director._probe.looks = 100
    assert director.seen().queued_s == pytest.approx(lost_s)
