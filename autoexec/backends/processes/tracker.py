"""The process that removes forgotten shared memory: workers have the caller's, as multiprocessing's children.

Before CPython 3.13 whoever opens a `SharedMemory` tells the tracker of its own process, which removes it when
that process ends. A tracker of a worker's own would destroy what is the caller's, or was given to it.
"""

from __future__ import annotations

from ...introspect import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["NONE", "follow", "running"]

NONE = -1


def running() -> int:
    """The descriptor that leads to this process's tracker, or `NONE` where nobody uses shared memory."""
    if loaded("multiprocessing.shared_memory") is None:
        return NONE
    from multiprocessing import resource_tracker

    try:
        descriptor: Any = resource_tracker.getfd()
    except Exception:  # it cannot be started: then nothing can be opened, either
        descriptor = None
    return NONE if descriptor is None else int(descriptor)


def follow(descriptor: int) -> None:
    """In a fresh worker: what it opens is told to the caller's tracker."""
    if descriptor == NONE:
        return
    from multiprocessing import resource_tracker

    tracker: Any = resource_tracker._resource_tracker  # type: ignore[attr-defined, unused-ignore]
    tracker._fd = descriptor  # as `multiprocessing.spawn` does
