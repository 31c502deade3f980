"""What is set for the whole process while an item runs, and set back before it ends.

What may live here: readings that take a microsecond or two, for the thread that probes. Comparing before and
after an item does not find such state; a look in the midst of one does.
"""

from __future__ import annotations

import builtins
import os
import sys
import time
from os import getcwd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Momentary"]


class Momentary:
    """Compares the process in the midst of items with what it was between two of them.

    What differs and stays was set once and for all, as by an import: that is not for an item's own time.
    """

    __slots__ = ("_before", "_confirmed", "_environ", "_kept", "_now")

    def __init__(self) -> None:
        self._confirmed: dict[str, None] = {}
        self._now: dict[str, None] = {}
        self._before: tuple[Any, ...] = ()
        self._environ: Any = None
        self._kept: tuple[Any, ...] = ()  # what is compared by identity
        self.note()

    def note(self) -> None:
        """No item runs: this is what the process is like."""
        now, differs = _reading(), self._environ_differs()
        if self._now:
            left = {name for name, old, new in zip(_NAMES, self._before, now, strict=True) if old != new}
            left.update(["os.environ"] * differs)
            self._confirmed.update((name, None) for name in self._now if name not in left)
            self._now = {}
        environ = _environ()
        self._environ = dict(environ) if type(environ) is dict else None
        self._before, self._kept = now, _objects()

    def look(self) -> None:
        """An item runs, in another thread."""
        now, before = _reading(), self._before
        if now != before:
            self._now.update(
                (name, None) for name, old, new in zip(_NAMES, before, now, strict=True) if old != new
            )
        if self._environ_differs():
            self._now["os.environ"] = None

    def settle(self) -> None:
        """No item runs: what differed a moment ago and does not any more was set for an item's own time."""
        if self._now:
            self.note()

    def _environ_differs(self) -> bool:
        try:
            return self._environ is not None and bool(_environ() != self._environ)
        except RuntimeError:  # it is being changed at this moment
            return True

    @property
    def names(self) -> tuple[str, ...]:
        """What items set, as far as is known now."""
        return tuple({**self._confirmed, **self._now})


_NAMES = (
    "the working directory",
    "sys.stdin",
    "sys.stdout",
    "sys.stderr",
    "sys.argv",
    "sys.path",
    "the recursion limit",
    "the time zone",
    "time.time",
    "open",
    "print",
    "the warning filters",
    "the socket timeout",
    "socket.socket",
    "the temporary directory",
    "the alarm",
    "the locale",
    "the log level",
)


def _reading() -> tuple[Any, ...]:
    """Everything in the order of the names; of objects the identity. What nobody has imported yet is None."""
    module = sys.modules.get
    try:
        folder = getcwd()
    except OSError:  # it was removed
        folder = ""
    path, filters = sys.path, getattr(module("warnings"), "filters", None)
    root = getattr(module("logging"), "root", None)
    return (
        folder,
        id(sys.stdin),
        id(sys.stdout),
        id(sys.stderr),
        id(sys.argv),
        (id(path), len(path)),
        sys.getrecursionlimit(),
        time.timezone,
        id(time.time),
        id(builtins.open),
        id(builtins.print),
        None if filters is None else (id(filters), len(filters)),
        _timeout(module("_socket")),
        id(getattr(module("socket"), "socket", None)),
        getattr(module("tempfile"), "tempdir", None),
        _alarm(module("_signal")),
        _locale(module("_locale")),
        None if root is None else (root.level, root.manager.disable),
    )


def _objects() -> tuple[Any, ...]:
    """What is told by its identity: kept, so that nothing else can have that."""
    module = sys.modules.get
    own = (sys.stdin, sys.stdout, sys.stderr, sys.argv, sys.path, time.time, builtins.open, builtins.print)
    return (*own, getattr(module("warnings"), "filters", None), getattr(module("socket"), "socket", None))


def _environ() -> Any:
    return getattr(os.environ, "_data", None)  # the mapping inside: copying it takes longer than comparing


def _timeout(socket: Any) -> Any:
    return None if socket is None else socket.getdefaulttimeout()


def _locale(locale: Any) -> Any:
    return None if locale is None else locale.setlocale(locale.LC_ALL)


def _alarm(signal: Any) -> bool:
    ask = getattr(signal, "getitimer", None)
    return ask is not None and ask(0)[0] > 0.0  # ITIMER_REAL
