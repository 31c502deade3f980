"""What items leave behind in a worker: it goes with the worker, as in a process that multiprocessing started.

At the end of a worker daemon processes are ended, all others waited for, queues written out, managers and
pools closed. A worker that is killed does none of that. So it notes on its page which processes of
multiprocessing's it has, and the caller ends those that still stand there. Programs that an item started by
other means (`subprocess`, `os.fork`) are nobody's to end: they outlive the loop's program, too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable

from ...introspect import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .status_page import StatusPage

    Processes = set[Any]
else:
    Processes = set

__all__ = ["Children", "clear", "disown", "end", "note", "own"]

_pages: list[StatusPage] = []  # of this worker; none in other processes


def disown() -> None:
    """In a process that was forked: what its parent has started is the parent's to end."""
    _pages.clear()
    if (process := loaded("multiprocessing.process")) is not None:
        process._children = set()
    if (util := loaded("multiprocessing.util")) is not None:
        util._finalizer_registry.clear()


def note(page: StatusPage) -> None:
    """In a worker: processes that are started from now on are noted on this page."""
    _pages[:] = [page]
    if (process := loaded("multiprocessing.process")) is not None:
        process._children = own()


def own() -> Processes:
    """The book in which `multiprocessing` keeps this process's children; empty."""
    return Children(_pages[0]) if _pages else set()


class Children(Processes):
    """A book of children that notes on a page which of them there are.

    Args:
        page: it.
    """

    def __init__(self, page: StatusPage) -> None:
        super().__init__()
        self._page, self._lock = page, threading.Lock()

    def add(self, process: Any) -> None:
        """One was started."""
        super().add(process)
        self._note()

    def discard(self, process: Any) -> None:
        """One has ended."""
        super().discard(process)
        self._note()

    def _note(self) -> None:
        with self._lock:
            found = [(pid, begun(pid)) for one in list(self) if (pid := getattr(one._popen, "pid", None))]
            self._page.note_children(found)


def begun(pid: int) -> int:
    """When a process began, on the kernel's clock: with its number it is no other's; 0 if nobody can tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def end(children: Iterable[tuple[int, int]]) -> None:
    """In the caller: end what a worker has noted, and left when it was killed."""
    for pid, since in children:
        try:
            descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):  # it has ended, or nobody can be sure whose number that is
            continue
        try:
            if since and begun(pid) == since:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        except OSError:
            pass
        finally:
            os.close(descriptor)


def clear() -> None:
    """At the end of a worker."""
    if (pools := loaded("concurrent.futures.process")) is not None:
        _quietly(pools._python_exit)  # or nobody would tell their processes
    if (util := loaded("multiprocessing.util")) is not None:
        _quietly(util._exit_function)


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except BaseException:  # such as a terminate() of the user's that raises
        return
