"""The page that caller and worker share: what runs, and results that outlive their worker."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.backends.processes.status_page import (
    CHILDREN,
    LENGTH,
    LOG,
    SIZE,
    StatusPage,
    entries,
    open_status_page,
)
from autoexec.measure.gil_probe import quick_switching
from tests.backends.opened import fork

Pair = tuple[StatusPage, StatusPage]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The same page from both sides."""
    ours, descriptor = open_status_page()
    theirs = StatusPage(descriptor)
    os.close(descriptor)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_new_page_says_that_nothing_runs(pair: Pair) -> None:
    """No task, no item, no results."""
    ours, _ = pair
    assert (ours.serial, ours.place, ours.loads) == (0, None, (0, False))
    assert ours.rescued() == (0, []) and not len(ours.written())


def test_the_caller_sees_what_runs_and_since_when(pair: Pair) -> None:
    """From loading the function to the end of the task."""
    ours, theirs = pair
    theirs.loading(7, function=True)
    assert ours.loads == (7, True)
    theirs.loading(7)
    assert ours.loads == (7, False) and ours.place is None
    theirs.take(7)
    assert (ours.serial, ours.loads[0], ours.place) == (7, 0, None)
    before = time.monotonic()
    assert theirs.begin(3)
    assert ours.place == 3 and before <= ours.since <= time.monotonic()
    theirs.end()
    assert ours.place is None


def test_a_task_can_be_stopped_between_two_items(pair: Pair) -> None:
    """The next item does not begin; the next task does."""
    ours, theirs = pair
    theirs.take(1)
    assert theirs.begin(0)
    ours.stop()
    assert not theirs.begin(1) and ours.place == 0
    theirs.take(2)
    assert theirs.begin(0)


def test_large_serials_fit(pair: Pair) -> None:
    """Sixty bits, of which one says whether it is the function."""
    ours, theirs = pair
    theirs.loading(1 << 60, function=True)
    assert ours.loads == (1 << 60, True)


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=3000), max_size=60))
def test_results_come_out_as_they_went_in(results: list[bytes]) -> None:
    """What fits is kept, in order; what does not fit is refused and changes nothing."""
    ours, descriptor = open_status_page()
    theirs = StatusPage(descriptor)
    os.close(descriptor)
    theirs.take(1)
    kept = [data for data in results if theirs.keep(data)]
    assert [bytes(entry) for entry in entries(ours.written())] == kept
    room = LOG - sum(LENGTH + len(data) for data in kept)
    assert kept == results or any(len(data) + LENGTH > room for data in results)
    ours.close()
    theirs.close()


def test_a_result_that_fills_the_page_to_the_last_byte(pair: Pair) -> None:
    """It fits; one byte more does not, and then nothing else does."""
    ours, theirs = pair
    theirs.take(1)
    assert not theirs.keep(bytes(LOG - LENGTH + 1))
    assert theirs.keep(b"e" * (LOG - LENGTH)) and not theirs.keep(b"")
    assert ours.rescued()[1][0][-1] == ord("e")


def test_results_that_were_sent_are_not_rescued_again(pair: Pair) -> None:
    """After an overflow the page begins anew, and says from which place on."""
    ours, theirs = pair
    theirs.take(1)
    for place in range(3):
        theirs.begin(place)
        theirs.keep(pickle.dumps(place))
    theirs.sent(3)
    assert ours.rescued() == (3, [])
    theirs.begin(3)
    theirs.keep(pickle.dumps(3))
    first, found = ours.rescued()
    assert (first, [pickle.loads(entry) for entry in found], ours.place) == (3, [3], 3)


def test_the_page_outlives_a_killed_worker() -> None:
    """What it had written and was running can be read after its death."""
    ours, descriptor = open_status_page()
    pid = fork()
    if pid == 0:
        theirs = StatusPage(descriptor)
        theirs.take(5)
        for place in range(4):
            theirs.begin(place)
            if place == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            theirs.keep(pickle.dumps(place * 10))
        os._exit(1)
    os.waitpid(pid, 0)
    first, found = ours.rescued()
    assert (ours.serial, ours.place, first) == (5, 3, 0)
    assert [pickle.loads(entry) for entry in found] == [0, 10, 20]
    ours.close()
    os.close(descriptor)


def test_an_unfinished_result_is_not_among_the_rescued(pair: Pair) -> None:
    """The bytes are there before the page says so."""
    ours, theirs = pair
    theirs.take(1)
    theirs.keep(b"whole")
    theirs._log[LENGTH + 5 : LENGTH + 9] = (1000).to_bytes(4, "little")
    assert [bytes(entry) for entry in ours.rescued()[1]] == [b"whole"]


def test_a_page_that_is_gone() -> None:
    """Nothing runs there, for whoever looks late; and what is told to it is lost."""
    status, descriptor = open_status_page()
    status.take(7)
    status.begin(2)
    status.close()
    status.stop()
    assert (status.serial, status.place, status.since, status.loads) == (0, None, 0.0, (0, False))
    status.close()
    assert open_slate_is_fresh()
    os.close(descriptor)


def open_slate_is_fresh() -> bool:
    """Whether a new page is free of what was told to one that is gone."""
    status, descriptor = open_status_page()
    try:
        return status.begin(0)
    finally:
        status.close()
        os.close(descriptor)


def test_closing_beside_readers() -> None:
    """Couriers look at one another's pages at any time."""
    over = threading.Event()
    pages = [open_status_page()]
    errors: list[Exception] = []

    def read() -> None:
        while not over.is_set():
            status = pages[-1][0]
            try:
                status.since, status.serial, status.place, status.loads  # noqa: B018
                status.stop()
            except Exception as error:
                errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    with quick_switching:
        for reader in readers:
            reader.start()
        for _ in range(300):
            status, descriptor = pages[-1]
            pages.append(open_status_page())
            status.close()
            os.close(descriptor)
        over.set()
        for reader in readers:
            reader.join()
    status, descriptor = pages[-1]
    status.close()
    os.close(descriptor)
    assert not errors


def test_closing_while_a_result_is_looked_at() -> None:
    """It is not torn from under whoever looks."""
    status, descriptor = open_status_page()
    status.take(1)
    status.keep(b"abc")
    entry = status.rescued()[1][0]
    status.close()
    assert entry == b"abc" and os.fstat(descriptor).st_size == SIZE
    entry.release()
    os.close(descriptor)


def test_children_are_noted(pair: Pair) -> None:
    """The last word about them counts; more than there is room for are left out."""
    other, status = pair
    assert other.children == []
    status.note_children([(7, 70), (8, 80)])
    assert other.children == [(7, 70), (8, 80)]
    status.note_children([(8, 80)])
    assert other.children == [(8, 80)]
    status.note_children([(i, i) for i in range(1, 100)])
    assert other.children == [(i, i) for i in range(1, CHILDREN + 1)]
    status.note_children([])
    assert other.children == []
