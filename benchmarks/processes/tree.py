"""Which processes belong to a run, and what they hold, as Linux tells it under /proc."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["descriptors", "members", "pss", "rss", "shared", "shm_entries", "threads"]

PROC = Path("/proc")


def members(root: int) -> list[int]:
    """The living processes that descend from `root` or are of the session that it leads, without itself."""
    parents = _parents()
    found = {pid for pid, (_, session) in parents.items() if session == root}
    while more := {pid for pid, (parent, _) in parents.items() if parent in {root, *found}} - found:
        found |= more
    return sorted(found - {root})


def _parents() -> dict[int, tuple[int, int]]:
    """Parent and session of every process that is not a zombie."""
    found = {}
    for name in os.listdir(PROC):
        if name.isdigit() and (stat := _read(f"{name}/stat")):
            state, parent, _, session = stat.rpartition(")")[2].split()[:4]
            if state not in "ZX":
                found[int(name)] = int(parent), int(session)
    return found


def pss(pid: int) -> int:
    """Proportional set size in bytes: a page shared by k processes counts 1/k for each; 0 once it is gone."""
    return _kilobytes(f"{pid}/smaps_rollup", "Pss:")


def rss(pid: int) -> int:
    """Resident set size in bytes."""
    return _kilobytes(f"{pid}/status", "VmRSS:")


def shared() -> int:
    """Bytes of shared memory on the whole machine: /dev/shm, anonymous segments, mapped or not."""
    return _kilobytes("meminfo", "Shmem:")


def threads(pid: int) -> int:
    """How many threads a process has."""
    return _entries(PROC / str(pid) / "task")


def descriptors(pid: int) -> int:
    """How many files, pipes, sockets and segments a process has open."""
    return _entries(PROC / str(pid) / "fd")


def shm_entries() -> int:
    """How many names there are in /dev/shm, without those of joblib: others on this machine may use it."""
    try:
        names = os.listdir("/dev/shm")
    except OSError:
        return 0
    return sum(not name.startswith(("joblib", "sem.loky")) for name in names)


def _entries(folder: Path) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0


def _read(name: str) -> str:
    try:
        return (PROC / name).read_text()
    except OSError:  # it has ended meanwhile
        return ""


def _kilobytes(name: str, field: str) -> int:
    for line in _read(name).splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0
