"""What does not fit into shared memory goes through the temp directory, or through the socket; it arrives."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace
from typing import Any

import pytest

from autoexec.backends.processes import shared_memory
from tests.processes.work import run

np = pytest.importorskip("numpy")

LARGE = 1 << 20
FRESH = pytest.mark.parametrize("start", ["fresh"], indirect=True)


def room(monkeypatch: pytest.MonkeyPatch, shared: int, temporary: int) -> None:
    """Let the system say that so many bytes are free, once the workers' pages are there."""

    def statvfs(folder: Any) -> Any:
        free = shared if str(folder) == shared_memory.SHARED else temporary
        return SimpleNamespace(f_bavail=free, f_frsize=1)

    monkeypatch.setattr(shared_memory, "_told", [])
    monkeypatch.setattr(shared_memory.os, "statvfs", statvfs)


def total(array: Any) -> Any:
    """What is in it, and how it came."""
    return float(array.sum()), array.nbytes


def doubled(array: Any) -> Any:
    """As large as the argument."""
    return 2 * array


def arrays() -> Any:
    """Items too large for a message; from an iterator, so that they are sent."""
    return (np.full(LARGE // 8, float(x)) for x in range(6))


@pytest.mark.parametrize("chunksize", [1, 3])
def test_a_chunk_larger_than_shared_memory(
    chunksize: int, start: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The temp directory is used instead, and the log says so once, with what to do."""
    room(monkeypatch, shared=shared_memory.SPARE + (1 << 19), temporary=1 << 40)
    with caplog.at_level(logging.WARNING, "autoexec"):
        values = list(run(total, arrays(), chunksize=chunksize, on_error="raise"))
    assert values == [(float(x * LARGE // 8), LARGE) for x in range(6)]
    told = [r.getMessage() for r in caplog.records if "/dev/shm" in r.getMessage()]
    assert len(told) == 1 and "temp directory" in told[0] and "--shm-size" in told[0]


@pytest.mark.parametrize("work", [total, doubled], ids=["arguments", "results"])
def test_no_room_anywhere(work: Any, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither place the data goes through the socket, whichever way it travels."""
    first = list(run(abs, range(2)))  # workers, and their pages, are there before the room is gone
    assert first == [0, 1]
    monkeypatch.setattr(shared_memory, "share", lambda parts, size: None)
    from autoexec.backends.processes import payload as payloads

    monkeypatch.setattr(payloads, "share", lambda parts, size: None)
    values = list(run(work, arrays(), chunksize=2, on_error="raise"))
    for x, value in enumerate(values):
        expected = np.full(LARGE // 8, float(x))
        assert value == total(expected) if work is total else (value == 2 * expected).all()


def test_no_room_for_the_workers_themselves(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for a worker's page there is an error at the call or in the items' places, and no hang."""
    room(monkeypatch, shared=0, temporary=0)
    try:
        values = list(run(abs, range(4)))
    except OSError as error:
        values = [error]
    assert values == [0, 1, 2, 3] or all(isinstance(value, OSError) for value in values), values
    assert values == [0, 1, 2, 3] or "room" in str(values[0])


def test_the_temp_directory_is_left_empty(start: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that stood in for shared memory never had a name, or have lost it."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    room(monkeypatch, shared=0, temporary=1 << 40)
    values = list(run(doubled, arrays(), on_error="raise"))
    assert len(values) == 6 and os.listdir(tmp_path) == []
