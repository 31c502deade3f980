"""The switch interval while the GIL probe looks: lowered for a while, and nobody else's business."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from autoexec.measure.gil_probe import Switching
from tests.forking import in_child

OWN = 0.03  # seconds; what the program has set

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")


@pytest.fixture(autouse=True)
def own_interval() -> Iterator[None]:
    """The program has an interval of its own."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(OWN)
    yield
    sys.setswitchinterval(before)


def interval() -> float:
    """The interval that holds now, as far as it is exact."""
    return round(sys.getswitchinterval(), 5)


def test_the_lowest_wish_holds() -> None:
    """Blocks overlap in any order; after the last one all is as before."""
    fine, quick = Switching(0.002), Switching(0.0001)
    with fine:
        assert interval() == 0.002
        with quick, fine:
            assert interval() == 0.0001
        assert interval() == 0.002
    assert interval() == OWN


def test_what_the_program_sets_meanwhile_is_kept() -> None:
    """It knows better."""
    with Switching(0.002):
        sys.setswitchinterval(0.02)
    assert interval() == 0.02


@needs_fork
def test_a_forked_child_has_the_programs_own() -> None:
    """Nobody measures there; and what it sets, or lowers itself, stays its own affair."""

    def child() -> tuple[float, ...]:
        born = interval()
        with Switching(0.001):
            inside = interval()
        return born, inside, interval()

    with Switching(0.002), Switching(0.0001):
        assert in_child(child) == (OWN, 0.001, OWN)
        assert interval() == 0.0001
    assert interval() == OWN


@needs_fork
def test_a_child_that_leaves_the_block() -> None:
    """A fork inside the block, as from an item in the caller's thread: leaving it is no error."""

    def child() -> float:
        lowered.__exit__(None, None, None)
        return interval()

    lowered = Switching(0.002)
    with lowered:
        assert in_child(child) == OWN


@needs_fork
def test_a_child_keeps_what_the_program_has_set_meanwhile() -> None:
    """That is not undone."""
    with Switching(0.002):
        sys.setswitchinterval(0.02)
        assert in_child(interval) == 0.02


@needs_fork
def test_a_lock_that_was_held_at_the_fork_does_not_stay_so() -> None:
    """Another thread may be about to lower the interval."""

    def child() -> float:
        with Switching(0.001):
            return interval()

    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with Switching._lock:
            held.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        assert in_child(child) == 0.001
    finally:
        go.set()
        thread.join()
