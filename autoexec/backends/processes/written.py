"""Whether a private map was written to, as the kernel tells: a page that was is no page of the file any more.

What may live here: that question, and what its answer is worth. Arrays in a worker look into segments that
all workers share. Code that asks for memory it could write to, and does not write, has to get it; what is
written there, by whatever code, must not vanish in silence.
"""

from __future__ import annotations

import mmap
import time
import weakref

from ...file_maps import Segment, address

__all__ = ["Writes", "watch"]

ENTRY = 8  # bytes that the kernel's page map has for each page; the flags are in the last of them
PRESENT, SWAPPED, SHARED = 0x80, 0x40, 0x20
# What a flag byte says: 1 for a page that is this process's own.
OWN = bytes(flags & SWAPPED != 0 or flags & (PRESENT | SHARED) == PRESENT for flags in range(256))
APART = 50  # looks take at most this part of the time

_watched: weakref.WeakSet[Segment] = weakref.WeakSet()


def watch(segment: Segment) -> bool:
    """From now on it is known whether this private map is written to; False where nobody could tell."""
    begin = address(segment)
    try:
        segment[0]  # so that its first page is there
        known = _flags(begin, 1)[0] & (PRESENT | SHARED) == PRESENT | SHARED
    except (OSError, IndexError):  # not Linux, or not allowed
        return False
    if known:
        segment.begin, segment.own = begin, 0
        _watched.add(segment)
    return known


def _flags(begin: int, size: int) -> bytes:
    pages = -(-size // mmap.PAGESIZE)
    with open("/proc/self/pagemap", "rb", buffering=0) as file:  # anew: a forked process has its own
        file.seek(begin // mmap.PAGESIZE * ENTRY)
        return file.read(pages * ENTRY)[ENTRY - 1 :: ENTRY]


def _look() -> bool:
    """Whether any was written to since the last look."""
    found = False
    for segment in list(_watched):
        own = _flags(segment.begin, len(segment)).translate(OWN).count(1)
        if own > segment.own:
            segment.own, found = own, True
    return found


class Writes:
    """Looks after items, as often as that costs next to nothing."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0.0

    def found(self, *, last: bool = False) -> bool:
        """Whether items have written to a segment since the last look.

        Args:
            last: look in any case.
        """
        if not _watched:
            return False
        began = time.perf_counter()
        if began < self._next and not last:
            return False
        try:
            return _look()
        except OSError:  # descriptors are short just now: the next look will see it
            return False
        finally:
            ended = time.perf_counter()
            self._next = ended + APART * (ended - began)
