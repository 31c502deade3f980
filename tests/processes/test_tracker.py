"""Shared memory of the caller's outlives the workers that open it, and so does what they make."""

from __future__ import annotations

import os
from collections.abc import Iterator
from multiprocessing import resource_tracker, shared_memory

import pytest

import autoexec
from tests.processes.work import run


@pytest.fixture(scope="module", autouse=True)
def _a_tracker_that_no_test_leaves_behind() -> None:
    """It is multiprocessing's own, and ends with this process."""
    resource_tracker.ensure_running()


@pytest.fixture
def memory() -> Iterator[shared_memory.SharedMemory]:
    """Some shared memory of the caller's."""
    made = shared_memory.SharedMemory(create=True, size=100)
    yield made
    made.close()
    made.unlink()


def tracked() -> int:
    """What leads to the tracker of this process: a pipe, the same one for all that share it."""
    return os.fstat(resource_tracker.getfd()).st_ino


def opens(item: tuple[str, int]) -> int:
    """Open it by name, and write."""
    name, place = item
    memory = shared_memory.SharedMemory(name=name)
    memory.buf[place] = 7
    memory.close()
    return tracked()


def makes(size: int) -> tuple[str, int]:
    """Make some, for whoever gets its name."""
    memory = shared_memory.SharedMemory(create=True, size=size)
    memory.buf[0] = size
    memory.close()
    return memory.name, tracked()


def test_memory_that_workers_open_by_name(memory: shared_memory.SharedMemory, start: str) -> None:
    """They tell the caller's tracker, whose affair it is; one of their own would remove it with them."""
    assert set(run(opens, [(memory.name, i) for i in range(20)], on_error="raise")) == {tracked()}
    autoexec.shutdown()
    assert bytes(memory.buf[:20]) == bytes([7] * 20)


def test_memory_that_travels(memory: shared_memory.SharedMemory, start: str) -> None:
    """As an item, or captured."""

    def write(i: int) -> int:
        memory.buf[i] = 9
        return tracked()

    assert set(run(write, iter(range(20)), on_error="raise")) == {tracked()}
    assert list(run(lambda item: bytes(item.buf[:20]), [memory], on_error="raise")) == [bytes([9] * 20)]
    autoexec.shutdown()
    assert bytes(memory.buf[:20]) == bytes([9] * 20)


def test_memory_that_workers_make(start: str) -> None:
    """The caller gets its name, opens it when they have ended, and is the one who removes it."""
    made = list(run(makes, [10, 20, 30], on_error="raise"))
    autoexec.shutdown()
    assert {tracker for _, tracker in made} == {tracked()}
    for size, (name, _) in zip([10, 20, 30], made, strict=True):
        memory = shared_memory.SharedMemory(name=name)
        assert memory.buf[0] == size
        memory.close()
        memory.unlink()
