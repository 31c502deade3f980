"""How much memory a process has in use; apart from `machine`, since every watched run asks it."""

from __future__ import annotations

import os
import sys

from .introspect import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WEIGHED_S", "grown", "resident", "resident_of"]

WEIGHED_S = 0.001  # what took less has touched too little memory to be worth a look (15 µs)

LEAST_BYTES = 1 << 20  # less than this may be the allocator's own coming and going


def resident(root: Path | str = "/") -> tuple[int, int]:
    """Bytes of this process in memory now, and the most there ever were; 0 for what is not told (15 µs).

    >>> now, most = resident()
    >>> now <= most or most == 0
    True
    """
    if sys.platform == "linux":
        return _from_status(os.path.join(root, "proc/self/status"))
    if sys.platform == "win32":
        return _from_psutil()
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 0, most if sys.platform == "darwin" else most * 1024  # the BSDs count KiB, as Linux does


def resident_of(pid: int) -> int:
    """Bytes of another process in memory now; 0 where that is not told (8 µs).

    >>> resident_of(0)
    0
    """
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _from_status(path: str) -> tuple[int, int]:
    """Not `getrusage` here: its maximum is inherited from the program that was there before an `exec`."""
    try:
        with open(path, "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return 0, 0
    return _kibibytes(text, b"VmRSS:"), _kibibytes(text, b"VmHWM:")


def _kibibytes(text: bytes, key: bytes) -> int:
    begin = text.find(key)
    if begin < 0:
        return 0
    words = text[begin + len(key) : begin + len(key) + 32].split(None, 1)
    return int(words[0]) * 1024 if words and words[0].isdigit() else 0


def _from_psutil() -> tuple[int, int]:
    psutil = loaded("psutil")  # its import takes longer than most samples
    if psutil is None:
        return 0, 0
    found = psutil.Process().memory_info()
    return int(found.rss), int(getattr(found, "peak_wset", found.rss))


def grown(before: tuple[int, int], after: tuple[int, int]) -> int:
    """Bytes that were needed between two answers of `resident`; 0 if too few to tell.

    Where the most there ever were has not moved, only what is still held can be seen.

    >>> grown((50 << 20, 60 << 20), (52 << 20, 90 << 20)) >> 20
    40
    >>> grown((50 << 20, 90 << 20), (52 << 20, 90 << 20)) >> 20
    2
    """
    used, most = before
    held = after[0] - used if used else 0
    peak = after[1] - (used or most) if after[1] > most > 0 else 0
    needed = max(held, peak)
    return needed if needed >= LEAST_BYTES else 0
