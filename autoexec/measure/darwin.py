"""What macOS and the BSDs say about the machine: no affinity, no control groups, psutil for the rest."""

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
    """Physical cores of the hardware, efficiency cores included."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    return int(psutil.cpu_count(logical=False) or logical_cores())


def affinity() -> tuple[frozenset[int], str]:
    """All processors: the system lets no process be bound to some of them."""
    return frozenset(range(logical_cores())), "all processors"


def reachable_cores(cpus: frozenset[int]) -> int:
    """Physical cores behind the logical processors `cpus`."""
    return max(1, min(physical_cores(), len(cpus)))


def quota() -> tuple[float, str] | None:
    """None: there are no CPU quotas here."""
    return None


def memory() -> tuple[int, int | None, str]:
    """Bytes that may still be allocated, no limit, and who said so."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    return int(psutil.virtual_memory().available), None, "psutil"


def descriptors() -> int:
    """File descriptors that this process may still open."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    try:
        return max(0, soft - len(os.listdir("/dev/fd")))
    except OSError:
        return soft


def oom_kills() -> int:
    """0: the system tells nobody."""
    return 0
