"""What a worker has around it: connections that a fork has copied, what items have printed.

What the caller has set for its process is in `worker.process_state`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

__all__ = ["connections", "flush", "hang_up"]


def connections(own: Collection[int]) -> dict[int, tuple[int, int]]:
    """The sockets and pipes of this process, but for its own and the standard streams: what each leads to."""
    import stat

    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            about = os.fstat(int(name))
        except OSError:
            continue
        if stat.S_ISSOCK(about.st_mode) or stat.S_ISFIFO(about.st_mode):
            found[int(name)] = about.st_dev, about.st_ino
    return {fd: where for fd, where in found.items() if fd > 2 and fd not in own}


def hang_up(copied: dict[int, tuple[int, int]]) -> None:
    """Connections and pipes of the caller, which a fork has copied, are not kept open by a worker at rest.

    Their descriptors lead nowhere from then on, rather than to what is opened next.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor, where in connections(()).items():
        if copied.get(descriptor) == where:
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def flush() -> None:
    """Write out what items have printed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
