"""Nameless shared memory: gone with its last holder, somewhere else where there is no room."""

from __future__ import annotations

import errno
import logging
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.backends.processes import shared_memory
from autoexec.backends.processes.shared_memory import aligned, create, map_segment, share

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's shared memory")

ROOT = str(Path(__file__).parents[2])


def _place(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _named(number: int) -> bool:
    """Whether the file with this inode number can be seen in the shared memory; others come and go there."""
    return any(entry.inode() == number for entry in os.scandir(shared_memory.SHARED))


class Room:
    """A made-up answer to how much room a folder has."""

    def __init__(self, room: dict[str, int]) -> None:
        self._room = room

    def __call__(self, folder: str) -> Any:
        class Found:
            f_frsize = 1
            f_bavail = self._room.get(folder, 1 << 40)

        return Found


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been said yet about a lack of room."""
    monkeypatch.setattr(shared_memory, "_told", [])


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8))
def test_parts_lie_one_after_the_other_aligned(parts: list[bytes]) -> None:
    """Each part is found where the sizes of those before it say."""
    size = sum(aligned(len(part)) for part in parts)
    descriptor = share(parts, size)
    assert descriptor is not None
    if not size:
        os.close(descriptor)
        return
    data = map_segment(descriptor, size, mmap.ACCESS_READ)
    at = 0
    for part in parts:
        assert data[at : at + len(part)] == part
        at = aligned(at + len(part))


def test_a_segment_has_no_name() -> None:
    """Neither while it lives nor afterwards is anything to be seen in the shared memory."""
    descriptor = share([b"x" * 100_000], aligned(100_000))
    assert descriptor is not None
    found = os.fstat(descriptor)
    assert found.st_nlink == 0 and not _named(found.st_ino) and _place(descriptor).startswith("/dev/shm/")
    data = map_segment(descriptor, 100_000, mmap.ACCESS_READ)
    assert data[-1] == ord("x") and not _named(found.st_ino)


def test_nothing_remains_of_a_process_that_was_killed() -> None:
    """The memory of a killed process's segments is free again."""
    code = (
        "import os, signal\n"
        "from autoexec.backends.processes.shared_memory import share\n"
        "found = os.fstat(share([bytes(64 << 20)], 64 << 20))\n"
        "print(found.st_nlink, found.st_ino, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    names, number = map(int, ended.stdout.split())
    assert ended.returncode == -signal.SIGKILL
    assert names == 0 and not _named(number)  # without a name it was gone with the last who held it


@pytest.mark.usefixtures("untold")
def test_the_temp_directory_takes_over_where_shared_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The file lies there without a name; one line is logged, once."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "statvfs", Room({shared_memory.SHARED: shared_memory.SPARE + 999_999}))
    with caplog.at_level(logging.WARNING, "autoexec"):
        first, second = (share([b"y" * 1_000_000], 1_000_000) for _ in range(2))
    assert first is not None and second is not None
    assert _place(first).startswith(str(tmp_path)) and not list(tmp_path.iterdir())
    assert [record.getMessage()[:38] for record in caplog.records] == [
        "/dev/shm has no room for 1 MB of data "
    ]
    assert map_segment(first, 1_000_000, mmap.ACCESS_READ)[999_999] == ord("y")
    os.close(second)


@pytest.mark.usefixtures("untold")
def test_no_room_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is no segment, and a page for a worker is an error that says why."""
    monkeypatch.setattr(os, "statvfs", Room(dict.fromkeys(["/dev/shm", *_temp()], 100)))
    assert share([b"z"], 64) is None
    with pytest.raises(OSError, match="temp directory has room"):
        create(4096)


def _temp() -> list[str]:
    import tempfile

    return [tempfile.gettempdir()]


def test_a_file_system_without_nameless_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that loses its name at once does as well."""
    real = os.open

    def refuse(path: Any, flags: int, *more: Any, **kinds: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no such files here")
        return real(path, flags, *more, **kinds)

    monkeypatch.setattr(os, "open", refuse)
    descriptor = share([b"abc"], 64)
    assert descriptor is not None
    found = os.fstat(descriptor)
    assert found.st_nlink == 0 and not _named(found.st_ino)
    assert map_segment(descriptor, 3, mmap.ACCESS_READ) == b"abc"


@pytest.mark.usefixtures("untold")
def test_a_disk_that_is_full_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails in the first place is tried in the next; no descriptor stays open."""
    real, tried = os.pwrite, []

    def full(descriptor: int, data: Any, at: int) -> int:
        tried.append(_place(descriptor))
        if tried[-1].startswith("/dev/shm"):
            raise OSError(errno.ENOSPC, "full")
        return real(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    descriptor = share([b"abc"], 64)
    assert descriptor is not None and not _place(descriptor).startswith("/dev/shm")
    assert len(tried) == 2
    os.close(descriptor)


def test_beyond_the_limit_a_map_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps and descriptors are limited; a copy has the same bytes, and is as read-only."""
    monkeypatch.setattr(shared_memory, "MAPPED", len(shared_memory._maps) + 1)
    found = []
    for _ in range(2):
        descriptor = share([b"abcdef"], 64)
        assert descriptor is not None
        found.append(map_segment(descriptor, 6, mmap.ACCESS_READ))
    assert [bytes(data) for data in found] == [b"abcdef"] * 2
    assert [data.readonly for data in found] == [True, True]
    assert isinstance(found[1].obj, bytearray)


def test_a_map_that_is_let_go_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only maps that somebody holds count."""
    monkeypatch.setattr(shared_memory, "MAPPED", len(shared_memory._maps) + 1)
    for _ in range(3):
        descriptor = share([b"abcdef"], 64)
        assert descriptor is not None
        data = map_segment(descriptor, 6, mmap.ACCESS_READ)
        assert data.readonly
        del data


@pytest.mark.parametrize(
    ("access", "readonly", "seen"),
    [
        (mmap.ACCESS_READ, True, b"abc"),
        (mmap.ACCESS_COPY, False, b"abc"),
        (mmap.ACCESS_WRITE, False, b"Xbc"),
    ],
)
def test_the_ways_to_map(access: int, readonly: bool, seen: bytes) -> None:
    """Read-only, private or shared: what a write to the first map shows in a second one."""
    descriptor = share([b"abc"], 64)
    assert descriptor is not None
    other = map_segment(os.dup(descriptor), 3, mmap.ACCESS_READ)
    mine = map_segment(descriptor, 3, access)
    assert mine.readonly == readonly
    if not readonly:
        mine[0] = ord("X")
    assert other == seen


def test_a_segment_that_is_shorter_than_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error, not an endless wait, and its descriptor is closed."""
    monkeypatch.setattr(shared_memory, "MAPPED", 0)
    descriptor = share([b"abc"], 64)
    assert descriptor is not None
    with pytest.raises(EOFError, match="shorter"):
        map_segment(descriptor, 1000, mmap.ACCESS_READ)
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_a_page_has_memory_behind_it() -> None:
    """A worker's page is allocated, so that writing to it cannot fail later."""
    descriptor = create(70_000)
    found = os.fstat(descriptor)
    assert found.st_size == 70_000 and found.st_blocks * 512 >= 70_000
    os.close(descriptor)
