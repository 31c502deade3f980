"""The numbers of the standard streams, in a program that has closed them.

Whatever is opened next gets them, and whoever prints writes there. What may live here: opening beside these
numbers, and copies of what they stand for. Several threads start workers at once: what one of them holds the
numbers with must not look like a stream to another, nor go while that one opens.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["beside_the_streams", "copies"]

STREAMS = range(3)

_locks = [threading.RLock()]  # a finalizer may open something, too


def _is_open(descriptor: int) -> bool:
    """Whether this number stands for anything now."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@contextmanager
def beside_the_streams() -> Iterator[None]:
    """What is opened meanwhile gets no number of a standard stream."""
    held: list[int] = []
    with _locks[0]:
        try:
            while not all(map(_is_open, STREAMS)):
                held.append(os.open(os.devnull, os.O_RDWR))
            yield
        finally:
            for descriptor in held:
                os.close(descriptor)


@contextmanager
def copies() -> Iterator[dict[int, int]]:
    """Standard output and error, as far as they are there: descriptors that lead to the same, by number.

    In a program without them other threads open files there for a moment, to import something or to read
    `/proc`. These are no streams: they are closed at an `exec`, and not written to.
    """
    import fcntl

    found: dict[int, int] = {}
    try:
        with _locks[0]:
            for stream in STREAMS[1:]:
                try:
                    if os.get_inheritable(stream) or _is_log(stream):
                        found[stream] = fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, STREAMS.stop)
                except OSError:  # it is closed
                    continue
        yield found
    finally:
        for descriptor in found.values():
            os.close(descriptor)


def _is_log(descriptor: int) -> bool:
    """Whether it is a file with a name, to be written to: one that a program opened in place of a stream."""
    import fcntl

    about = os.fstat(descriptor)
    written = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    return written and stat.S_ISREG(about.st_mode) and about.st_nlink > 0


def _in_child() -> None:
    """After a fork: another thread may have held the lock, and is not here."""
    _locks[:] = [threading.RLock()]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
