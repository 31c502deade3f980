"""Which journals this process has open, so that none is opened twice and none is harmed by a fork.

A forked child that ends in the usual way would close its copy of the connection, and SQLite would take the
`-wal` file away from under the parent, with every row that is kept from then on.
"""

from __future__ import annotations

import os
import threading
import weakref
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .store import Journal

__all__ = ["claim", "release"]

_open: weakref.WeakValueDictionary[str, Journal] = weakref.WeakValueDictionary()
_lock = threading.RLock()  # a finalizer may close a journal, too


def claim(journal: Journal) -> bool:
    """Whether no other journal of this process has that path; this one has it from now on."""
    _watch_forks()
    with _lock:
        return _open.setdefault(journal.path, journal) is journal


def release(journal: Journal) -> None:
    """The path is free again."""
    with _lock:
        if _open.get(journal.path) is journal:
            del _open[journal.path]


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        import ctypes  # noqa: F401 (for `Journal.leave`: a forked child should import as little as it can)

        os.register_at_fork(after_in_child=_leave_to_parent)


def _leave_to_parent() -> None:
    global _lock  # noqa: PLW0603 (another thread may have held it when the process forked)
    _lock = threading.RLock()
    for journal in list(_open.values()):
        journal.leave()
    _open.clear()
