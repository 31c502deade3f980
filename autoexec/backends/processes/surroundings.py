"""What a worker has around it: the caller's directory and environment, connections that a fork has copied."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

from ..core_budget import CORES, VARIABLES

__all__ = ["connections", "flush", "hang_up", "set_scene"]

OWN = frozenset((*VARIABLES, CORES))  # variables that the worker's share has set


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


def set_scene(folder: str, environment: dict[str, str], path: list[str]) -> None:
    """Work where the caller works now: directory, environment, import path."""
    if folder:
        os.chdir(folder)
    mine = dict(os.environ)
    for name in mine.keys() - environment.keys() - OWN:
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if name not in OWN})
    sys.path[:] = path


def flush() -> None:
    """Write out what was printed; the program may have put anything in place of a stream."""
    for stream in {id(one): one for one in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)}.values():
        try:
            stream.flush()  # type: ignore[union-attr]
        except Exception:  # none, closed, broken, or an object that knows nothing of it
            continue
