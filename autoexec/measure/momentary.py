"""What is set for the whole process while an item runs, and set back before it ends.

What may live here: readings that take a few microseconds in all, for the thread that probes. Comparing before
and after an item does not find such state; a look in the midst of one does. The table of what a worker can be
given is `worker.process_state`, whose readings are values that travel and take longer, and which a short map
does not import; what the two have in common is no more than names.
"""

from __future__ import annotations

import builtins
import os
import sys
import time
from operator import eq, is_
from os import getcwd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Momentary"]

_loaded = sys.modules.get


class Momentary:
    """Compares the process in the midst of items with what it was between two of them.

    What differs and stays was set once and for all, as by an import: that is not for an item's own time.
    """

    __slots__ = ("_before", "_confirmed", "_environ", "_now")

    def __init__(self) -> None:
        self._confirmed: dict[str, None] = {}
        self._now: dict[str, None] = {}
        self._before: tuple[list[Any], list[Any]] = [], []  # holds on to what is told by identity
        self._environ: Any = None
        self.note()

    def note(self) -> None:
        """No item runs: this is what the process is like."""
        now, differs = _reading(), self._environ_differs()
        if self._now:
            left = {*_differing(self._before, now), *["os.environ"] * differs}
            self._confirmed.update((name, None) for name in self._now if name not in left)
            self._now = {}
        environ = _environ()
        self._environ = dict(environ) if type(environ) is dict else None
        self._before = now

    def look(self) -> None:
        """An item runs, in another thread."""
        self._now.update(dict.fromkeys(_differing(self._before, _reading())))
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


def _folder() -> str:
    try:
        return getcwd()
    except OSError:  # it was removed
        return ""


def _timeout() -> Any:
    socket = _loaded("_socket")
    return None if socket is None else socket.getdefaulttimeout()


def _alarm() -> bool:
    ask = getattr(_loaded("_signal"), "getitimer", None)
    return ask is not None and ask(0)[0] > 0.0  # ITIMER_REAL


def _locale() -> Any:
    locale = _loaded("_locale")
    return None if locale is None else locale.setlocale(locale.LC_ALL)


def _level() -> Any:
    root = getattr(_loaded("logging"), "root", None)
    return None if root is None else (root.level, root.manager.disable)


def _filters() -> Any:
    return getattr(_loaded("warnings"), "filters", ())


# What nobody has imported yet is asked for nothing. A name may stand in both.
_OBJECTS: dict[str, Callable[[], Any]] = {  # told by identity
    "sys.stdin": lambda: sys.stdin,
    "sys.stdout": lambda: sys.stdout,
    "sys.stderr": lambda: sys.stderr,
    "sys.argv": lambda: sys.argv,
    "sys.path": lambda: sys.path,
    "time.time": lambda: time.time,
    "open": lambda: builtins.open,
    "print": lambda: builtins.print,
    "the warning filters": _filters,
    "socket.socket": lambda: getattr(_loaded("socket"), "socket", None),
}
_VALUES: dict[str, Callable[[], Any]] = {
    "the working directory": _folder,
    "sys.path": lambda: len(sys.path),
    "the recursion limit": sys.getrecursionlimit,
    "the time zone": lambda: time.timezone,
    "the warning filters": lambda: len(_filters()),
    "the socket timeout": _timeout,
    "the folder for temporary files": lambda: getattr(_loaded("tempfile"), "tempdir", None),
    "the alarm": _alarm,
    "the locale": _locale,
    "the log level": _level,
}
_NAMES = (*_OBJECTS, *_VALUES)


def _environ() -> Any:
    return getattr(os.environ, "_data", None)  # the mapping inside: copying it takes longer than comparing


def _reading() -> tuple[list[Any], list[Any]]:
    return [read() for read in _OBJECTS.values()], [read() for read in _VALUES.values()]


def _differing(old: tuple[list[Any], list[Any]], new: tuple[list[Any], list[Any]]) -> list[str]:
    """The names of what is not what it was."""
    if all(map(is_, old[0], new[0])) and old[1] == new[1]:
        return []
    same = (*map(is_, old[0], new[0]), *map(eq, old[1], new[1]))
    return [name for name, alike in zip(_NAMES, same, strict=True) if not alike]
