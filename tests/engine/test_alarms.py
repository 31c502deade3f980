"""What is to be done at a certain time: when, in which order, under the lock, and by whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from autoexec.engine.alarms import Alarms

PATIENCE_S = 20.0  # only an alarm that does not ring takes that long
NEVER_S = 10_000.0


class Watched(threading.Condition):
    """A condition that says when somebody is about to wait.

    Attributes:
        waits: the timeout of every wait; it is put while the lock is held, so who gets the lock after reading
            it knows that the wait has begun.
    """

    def __init__(self, lock: threading.Lock) -> None:
        super().__init__(lock)
        self.waits: SimpleQueue[float | None] = SimpleQueue()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.put(timeout)
        return super().wait(timeout)


class Ward:
    """Alarms, and what they did.

    Attributes:
        rung: what rang, with whether the lock was held.
        after: whether the lock was free, at each call of `after`.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rung: SimpleQueue[tuple[str, bool]] = SimpleQueue()
        self.after: SimpleQueue[bool] = SimpleQueue()
        self.alarms = Alarms(self.lock, self._rang)
        self.alarms._changed = self.changed = Watched(self.lock)

    def _rang(self) -> None:
        free = self.lock.acquire(timeout=PATIENCE_S)
        if free:
            self.lock.release()
        self.after.put(free)

    def ring(self, name: str) -> Callable[[], None]:
        """An action that tells that it was done."""
        return lambda: self.rung.put((name, self.lock.locked()))

    def set(self, **alarms: float) -> None:
        """Set alarms, by name with the seconds from now, in one hold of the lock."""
        now = time.monotonic()
        with self.lock:
            for name, seconds in alarms.items():
                self.alarms.set(now + seconds, self.ring(name))

    def heard(self, count: int) -> list[str]:
        """The next alarms that ring, all of them under the lock."""
        found = [self.rung.get(timeout=PATIENCE_S) for _ in range(count)]
        assert all(locked for _, locked in found)
        return [name for name, _ in found]


@pytest.fixture
def ward() -> Iterator[Ward]:
    """Alarms whose thread is let go at the end."""
    ward = Ward()
    yield ward
    with ward.lock:
        ward.alarms.end()
    ward.alarms.join()


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """No thread can be started; call what is returned to end that."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    return monkeypatch.undo


def test_alarms_ring_in_order_of_time(ward: Ward) -> None:
    """Not in the order in which they were set, and under the lock."""
    ward.set(c=0.012, a=0.004, d=0.016, b=0.008)
    assert ward.heard(4) == ["a", "b", "c", "d"]


def test_alarms_of_one_time_ring_as_they_were_set(ward: Ward) -> None:
    """Actions are never compared; what is past rings at once."""
    ward.set(a=-1.0, b=-1.0, c=-1.0)
    assert ward.heard(3) == ["a", "b", "c"]


def test_what_follows_runs_without_the_lock(ward: Ward) -> None:
    """`after` may take the lock itself, and is called once the alarms of that time have rung."""
    ward.set(a=-1.0, b=-1.0)
    assert ward.after.get(timeout=PATIENCE_S)
    assert ward.heard(2) == ["a", "b"]


def test_an_earlier_alarm_shortens_the_wait(ward: Ward) -> None:
    """The thread waits for the first alarm there is, not for the first that was set."""
    ward.set(late=NEVER_S)
    ward.changed.waits.get(timeout=PATIENCE_S)
    ward.set(early=0.0)
    assert ward.heard(1) == ["early"]
    assert ward.rung.empty()


def test_a_later_alarm_disturbs_nobody(ward: Ward) -> None:
    """The thread is waiting for an earlier one already."""
    ward.set(first=NEVER_S)
    ward.changed.waits.get(timeout=PATIENCE_S)
    ward.set(second=2 * NEVER_S)
    ward.set(zeroth=0.0)
    assert ward.heard(1) == ["zeroth"]
    ward.after.get(timeout=PATIENCE_S)
    ward.changed.waits.get(timeout=PATIENCE_S)
    assert ward.changed.waits.qsize() <= 1  # for "zeroth", unless it rang at once: none for "second"


def test_an_alarm_may_set_another(ward: Ward) -> None:
    """Actions run under the lock, where alarms are set."""
    again = ward.ring("again")
    with ward.lock:
        ward.alarms.set(0.0, lambda: ward.alarms.set(time.monotonic(), again))
    assert ward.heard(1) == ["again"]


def test_there_is_no_thread_without_an_alarm(ward: Ward) -> None:
    """One is started for the first alarm, and kept for all others."""
    assert ward.alarms._thread is None
    ward.set(a=0.0)
    thread = ward.alarms._thread
    assert ward.heard(1) == ["a"] and thread is not None
    ward.set(b=0.0)
    assert ward.heard(1) == ["b"]
    assert ward.alarms._thread is thread and thread.daemon


def test_the_end_lets_the_thread_go(ward: Ward) -> None:
    """Even while it waits; what has not rung never will."""
    ward.set(never=NEVER_S)
    ward.changed.waits.get(timeout=PATIENCE_S)
    thread = ward.alarms._thread
    with ward.lock:
        ward.alarms.end()
    ward.alarms.join()
    assert thread is not None and not thread.is_alive()
    assert ward.rung.empty()


def test_an_alarm_may_end_all_alarms(ward: Ward) -> None:
    """Those that are due at the same time ring no more, and the thread does not wait for itself."""
    joined = threading.Event()

    def last() -> None:
        ward.alarms.end()
        ward.alarms.join()
        joined.set()

    with ward.lock:
        ward.alarms.set(0.0, last)
        ward.alarms.set(0.0, ward.ring("never"))
    assert joined.wait(PATIENCE_S)
    ward.alarms.join()
    assert ward.rung.empty()


def test_without_a_thread_whoever_waits_keeps_the_time(ward: Ward, no_threads: Callable[[], None]) -> None:
    """At interpreter shutdown no thread can be had: the caller's own wait rings the alarms."""
    ward.set(b=0.002, a=0.0)
    assert ward.alarms._thread is None and ward.rung.empty()
    for name in ("a", "b"):
        with ward.lock:
            while ward.rung.empty():
                ward.alarms.wait()
        assert ward.heard(1) == [name]


def test_a_thread_is_asked_for_again(ward: Ward, no_threads: Callable[[], None]) -> None:
    """Where one could not be had, the next alarm tries again, and all alarms so far ring."""
    ward.set(a=0.0)
    assert ward.alarms._thread is None
    no_threads()
    ward.set(b=0.0)
    assert ward.heard(2) == ["a", "b"]
