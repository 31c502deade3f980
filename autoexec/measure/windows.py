"""What Windows says about the machine, asked through psutil."""

from __future__ import annotations

import functools
import os

__all__ = [
    "affinity",
    "descriptors",
    "logical_cores",
    "memory",
    "oom_kills",
    "physical_cores",
    "quota",
    "reachable_cores",
]


@functools.cache
def logical_cores() -> int:
    """Logical processors of the hardware."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    return int(psutil.cpu_count(logical=True) or os.cpu_count() or 1)


@functools.cache
def physical_cores() -> int:
    """Physical cores of the hardware."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    return int(psutil.cpu_count(logical=False) or logical_cores())


def affinity() -> tuple[frozenset[int], str]:
    """The logical processors this process may run on, and who said so."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    try:
        return frozenset(psutil.Process().cpu_affinity()), "process affinity mask"
    except (psutil.Error, OSError, AttributeError):
        return frozenset(range(logical_cores())), "all processors"


def reachable_cores(cpus: frozenset[int]) -> int:
    """Physical cores behind `cpus`: the siblings of a core have neighbouring numbers here."""
    siblings = max(1, logical_cores() // physical_cores())
    return max(1, min(physical_cores(), len({cpu // siblings for cpu in cpus})))


def quota() -> tuple[float, str] | None:
    """None: job objects can cap CPU time, but tell no one who cannot ask for them."""
    return None


def memory() -> tuple[int, int | None, str]:
    """Bytes that may still be allocated, no limit, and who said so."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    return int(psutil.virtual_memory().available), None, "psutil"


def descriptors() -> int:
    """The C runtime's ceiling for open files; sockets do not count towards it."""
    return 8192


def oom_kills() -> int:
    """0: Windows ends no process for want of memory; allocations fail."""
    return 0
