"""Where the consumer waits: who wakes it, who does not, and that nothing is lost on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty

import pytest
from autoexec.engine.inbox import ANY, EAR_S, MANY, Inbox
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.backends.base import Chunk, Finished

PATIENCE_S = 20.0  # only a missed wake-up takes that long


def done(start: int) -> Finished:
    """A finished task of one item."""
    return Finished(Chunk(start, [start], abs), [start], None, 0.0, 0.0, "the test")


def starts(finished: Sequence[Finished]) -> list[int]:
    """Which tasks these are."""
    return [entry.chunk.start for entry in finished]


class Bell:
    """Stands in for the queue at which the consumer waits: what happens meanwhile happens in this thread.

    Args:
        meanwhile: runs when the consumer begins to wait.

    Attributes:
        rings: times it was rung and not heard yet.
        heard: whether the wait was ended by the bell, not by the time.
        timeouts: of each wait at it.
    """

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.meanwhile, self.rings, self.heard = meanwhile, 0, False
        self.timeouts: list[float | None] = []

    def put(self, item: None) -> None:
        self.rings += 1

    def get(self, timeout: float | None = None) -> None:
        self.timeouts.append(timeout)
        self.meanwhile()
        self.heard = self.rings > 0
        self.get_nowait()

    def get_nowait(self) -> None:
        if not self.rings:
            raise Empty
        self.rings -= 1


def wait(wanted: int, *arriving: int, waking: bool = False) -> tuple[list[int], bool]:
    """What a wait returns, and whether it was woken, if these tasks arrive while it lasts."""
    inbox = Inbox()

    def meanwhile() -> None:
        for start in arriving:
            inbox.put(done(start))
        if waking:
            inbox.wake()

    inbox._bell = bell = Bell(meanwhile)  # type: ignore[assignment]
    return starts(inbox.wait(wanted, timeout=0.0)), bell.heard


def test_a_wait_without_end_is_made_of_short_ones() -> None:
    """A signal that comes too late for the system call of a lock is noticed when that returns."""
    inbox = Inbox()

    def meanwhile() -> None:
        if len(bell.timeouts) == 3:
            inbox.put(done(0))

    inbox._bell = bell = Bell(meanwhile)  # type: ignore[assignment]
    assert starts(inbox.wait(0)) == [0] and bell.timeouts == [EAR_S] * 3


def test_the_wanted_task_wakes() -> None:
    """It is returned with whatever else has arrived, in the order of arrival."""
    assert wait(3, 5, 3, 4) == ([5, 3, 4], True)


@pytest.mark.parametrize("count", [0, 1, MANY - 1])
def test_tasks_out_of_order_wake_nobody(count: int) -> None:
    """They are there when the time is up."""
    others = list(range(1, count + 1))
    assert wait(0, *others) == (others, False)


def test_many_tasks_wake() -> None:
    """So many are worth it even if the wanted one is not among them: they want to be made room for."""
    assert wait(0, *range(1, MANY + 1)) == (list(range(1, MANY + 1)), True)


@pytest.mark.parametrize("start", [0, 7])
def test_any_task_wakes_who_takes_any(start: int) -> None:
    """Without an order the first one will do."""
    assert wait(ANY, start) == ([start], True)


def test_waking_needs_no_task() -> None:
    """`wake` ends a wait with nothing, or with what happens to be there."""
    assert wait(0, waking=True) == ([], True)
    assert wait(0, 2, waking=True) == ([2], True)


def test_what_has_arrived_is_not_waited_for() -> None:
    """A wait for a task that is there returns at once, with all that came before and after it."""
    inbox = Inbox()
    for start in (2, 0, 1):
        inbox.put(done(start))
    assert starts(inbox.wait(0)) == [2, 0, 1]
    assert inbox.take() == []


def test_nobody_is_woken_while_nobody_waits() -> None:
    """Tasks that come between two waits ring no bell, however many they are."""
    inbox = Inbox()
    inbox._bell = bell = Bell(lambda: None)  # type: ignore[assignment]
    for start in range(2 * MANY):
        inbox.put(done(start))
    assert bell.rings == 0
    assert len(inbox.take()) == 2 * MANY


def test_time_is_up() -> None:
    """A wait with a timeout ends without the wanted task, but with the others."""
    inbox = Inbox()
    inbox.put(done(1))
    assert starts(inbox.wait(0, timeout=0.001)) == [1]
    assert inbox.wait(0, timeout=0.0) == []


def test_one_wait_hears_all_rings() -> None:
    """Rings that came while it woke up do not end the next wait."""
    inbox = Inbox()

    def meanwhile() -> None:
        inbox.put(done(0))
        inbox.wake()
        inbox.wake()

    inbox._bell = bell = Bell(meanwhile)  # type: ignore[assignment]
    assert starts(inbox.wait(0)) == [0]
    assert bell.rings == 0


# With threads -----------------------------------------------------------------------------------------------


def collect(inbox: Inbox, order: Sequence[int], got: list[int]) -> None:
    """Wait for one task after the other, without a timeout: a missed wake-up lasts for ever."""
    for place, wanted in enumerate(order):
        while len(got) <= place if wanted == ANY else wanted not in got:
            got += starts(inbox.wait(wanted))


def run(order: Sequence[int], *arriving: Sequence[int]) -> tuple[list[int], bool]:
    """What the consumer got from producers in threads of their own, and whether it came to its end."""
    inbox, got = Inbox(), list[int]()
    together = threading.Barrier(len(arriving) + 1)

    def produce(own: Sequence[int]) -> None:
        together.wait(PATIENCE_S)
        for start in own:
            inbox.put(done(start))

    def consume() -> None:
        together.wait(PATIENCE_S)
        collect(inbox, order, got)

    threads = [threading.Thread(target=produce, args=(own,)) for own in arriving]
    consumer = threading.Thread(target=consume, daemon=True)
    for thread in (consumer, *threads):
        thread.start()
    for thread in (*threads, consumer):
        thread.join(PATIENCE_S)
    return got + starts(inbox.take()), not consumer.is_alive()


@settings(max_examples=60)
@given(st.permutations(range(40)), st.integers(1, 3))
def test_no_wake_up_is_missed(arriving: list[int], producers: int) -> None:
    """Whatever the order of arrival, a consumer that wants them one by one gets each task once."""
    got, ended = run(range(40), *(arriving[place::producers] for place in range(producers)))
    assert ended, "the consumer waits for a task that has arrived"
    assert sorted(got) == list(range(40))


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 3))
def test_no_wake_up_is_missed_without_an_order(count: int, producers: int) -> None:
    """Who takes any task gets each once, too, and is never left waiting while one is there."""
    got, ended = run([ANY] * count, *(range(place, count, producers) for place in range(producers)))
    assert ended, "the consumer waits although tasks have arrived"
    assert sorted(got) == list(range(count))
