"""Shared memory without a name: what is in it is gone with the last process that looks at it.

A segment is a file that was never given a name (Linux) or lost it at once (elsewhere), in the system's
shared memory where there is room, else in the temp directory. Its descriptor travels over a socket. So
nothing has to be cleaned up, not even after SIGKILL of everybody, and there is nothing to track.
Which buffers come here, and from which size on, is said in `payload`.
"""

from __future__ import annotations

import mmap
import os
import sys
import weakref

from ...file_maps import Segment
from .written import watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["WATCHED", "access_of", "create", "map_segment", "share"]

SHARED = "/dev/shm"
SPARE = 8 << 20  # bytes of the shared memory that stay free for others
MAPPED = 256 if sys.version_info < (3, 13) else 16_384  # maps at once: before 3.13 each holds a descriptor
OURS = 4  # a part of the descriptors that a process may have: the others are the program's own
ALIGNED = 64  # bytes: where a buffer may begin, for the processor's widest instructions

WATCHED = -1  # an access beside those of `mmap`: private, but who writes there is found out

_maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
_told: list[int] = []  # that it was said


def share(parts: Iterable[bytes | bytearray | memoryview], size: int) -> int | None:
    """A segment with `parts` one after the other, each `aligned`; its descriptor.

    Args:
        parts: what to put in.
        size: their bytes in all, alignment included.

    Returns:
        The descriptor, which the caller of this closes; None where no place has room.
    """
    for descriptor in _places(size):
        try:
            _write(descriptor, parts)
        except OSError:  # full, after all
            os.close(descriptor)
        else:
            return descriptor
    return None


def create(size: int) -> int:
    """An empty segment of `size` bytes; its descriptor.

    Raises:
        OSError: if no place has room for it.
    """
    for descriptor in _places(size):
        try:
            _extend(descriptor, size)
        except OSError:
            os.close(descriptor)
        else:
            return descriptor
    raise OSError("neither shared memory nor the temp directory has room for a worker's page")


def _extend(descriptor: int, size: int) -> None:
    """Make it so long, with memory behind it: writing to a map must not find that there is none."""
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is not None:
        allocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def aligned(size: int) -> int:
    """`size` rounded up to where the next buffer may begin.

    >>> aligned(1), aligned(64), aligned(65)
    (64, 64, 128)
    """
    return -(-size // ALIGNED) * ALIGNED


def map_segment(descriptor: int, size: int, access: int) -> memoryview:
    """The bytes of a segment; the descriptor is closed.

    Args:
        descriptor: of the segment.
        size: bytes to map.
        access: `mmap.ACCESS_READ`, `ACCESS_WRITE` (all see it), `ACCESS_COPY` (only here), or `WATCHED` (what
            is written is seen only here, and found out; only read where that is not possible).
    """
    try:
        if len(_maps) >= _most():  # descriptors and maps are limited: from here on it is a plain copy
            return _copied(descriptor, size, access)
        try:
            return _mapped(descriptor, size, access)
        except OSError:  # others have taken what was left
            return _copied(descriptor, size, access)
    finally:
        os.close(descriptor)


def _copied(descriptor: int, size: int, access: int) -> memoryview:
    view = _read(descriptor, size)
    return view.toreadonly() if access in (mmap.ACCESS_READ, WATCHED) else view


def _mapped(descriptor: int, size: int, access: int) -> memoryview:
    if access not in (mmap.ACCESS_READ, WATCHED):
        return memoryview(_map(descriptor, size, access))
    # Code that does not ask whether it may write would crash in a map that cannot be written to.
    try:
        found = _map(descriptor, size, mmap.ACCESS_COPY)
    except OSError:  # the system counts what might be written as memory that is used
        return memoryview(_map(descriptor, size, mmap.ACCESS_READ))
    if not watch(found):
        return memoryview(_map(descriptor, size, mmap.ACCESS_READ))
    return memoryview(found).toreadonly() if access == mmap.ACCESS_READ else memoryview(found)


def _map(descriptor: int, size: int, access: int) -> Segment:
    if sys.version_info >= (3, 13):
        found = Segment(descriptor, size, access=access, trackfd=False)
    else:
        found = Segment(descriptor, size, access=access)
    _maps.add(found)
    return found


def access_of(writable: str) -> int:
    """How a worker maps what it is given; see `WorkerConfig.writable`."""
    return {"": mmap.ACCESS_READ, "watched": WATCHED, "copy": mmap.ACCESS_COPY}[writable]


def _most() -> int:
    if sys.version_info >= (3, 13):
        return MAPPED
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAPPED if most == resource.RLIM_INFINITY else min(MAPPED, most // OURS)


def _read(descriptor: int, size: int) -> memoryview:
    data = memoryview(bytearray(size))
    at = 0
    while at < size:
        count = os.preadv(descriptor, [data[at:]], at)
        if not count:
            raise EOFError("a shared segment is shorter than it was said to be")
        at += count
    return data


def _places(size: int) -> Iterator[int]:
    """Descriptors of new, empty, nameless files, best place first."""
    if sys.platform == "linux":
        if _room(SHARED) >= size + SPARE:
            yield from _nameless(SHARED)
        else:
            _tell(size)
    import tempfile

    folder = tempfile.gettempdir()
    if _room(folder) >= size + SPARE:
        yield from _nameless(folder)


def _room(folder: str) -> int:
    try:
        found = os.statvfs(folder)
    except (AttributeError, OSError):
        return 0
    return found.f_bavail * found.f_frsize


def _nameless(folder: str) -> Iterator[int]:
    try:
        yield os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except (AttributeError, OSError):  # not Linux, or a file system that cannot
        import tempfile

        try:
            descriptor, path = tempfile.mkstemp(prefix="autoexec-", dir=folder)
        except OSError:
            return
        os.unlink(path)
        yield descriptor


def _tell(size: int) -> None:
    """Say once that shared memory is short."""
    if _told:
        return
    _told.append(size)
    import logging

    logging.getLogger("autoexec").warning(
        "%s has no room for %.0f MB of data for worker processes; the temp directory is used instead, which "
        "may be slower (in containers, enlarge it with --shm-size)",
        SHARED,
        size / 1e6,
    )


def _write(descriptor: int, parts: Iterable[bytes | bytearray | memoryview]) -> None:
    at = 0
    for part in parts:
        view = memoryview(part).cast("B")
        done = 0
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], at + done)
        at = aligned(at + len(view))
    if os.fstat(descriptor).st_size < at:  # a map must not reach beyond the end
        os.truncate(descriptor, at)
