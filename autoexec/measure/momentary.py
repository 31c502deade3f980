"""What is set for the whole process while an item runs, and set back before it ends.

What may live here: readings that take a microsecond or two, for the thread that probes. Comparing before and
after an item does not find such state; a look in the midst of one does.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Momentary"]


class Momentary:
    """Compares the process in the midst of items with what it was between two of them.

    What differs and stays was set once and for all, as by an import: that is not for an item's own time.
    """

    __slots__ = ("_before", "_confirmed", "_kept", "_now")

    def __init__(self) -> None:
        self._confirmed: dict[str, None] = {}
        self._now: dict[str, None] = {}
        self._before: dict[str, Any] = {}
        self._kept: list[Any] = []  # what is compared by identity
        self.note()

    def note(self) -> None:
        """No item runs: this is what the process is like."""
        kept: list[Any] = []
        self._settle(now := _reading(kept))
        self._before, self._kept = now, kept

    def look(self) -> None:
        """An item runs, in another thread."""
        now = _reading([])
        if now != self._before:
            before = self._before
            self._now.update((name, None) for name, value in now.items() if before.get(name, value) != value)

    def settle(self) -> None:
        """No item runs: what differed a moment ago and does not any more was set for an item's own time."""
        if self._now:
            self.note()

    def _settle(self, now: dict[str, Any]) -> None:
        before, found, self._now = self._before, self._now, {}
        self._confirmed.update((name, None) for name in found if now.get(name) == before.get(name))

    @property
    def names(self) -> tuple[str, ...]:
        """What items set, as far as is known now."""
        return tuple({**self._confirmed, **self._now})


def _reading(kept: list[Any]) -> dict[str, Any]:
    """Everything, by name; of objects the identity, which `kept` keeps from being used again."""
    modules = sys.modules
    try:
        folder = os.getcwd()
    except OSError:  # it was removed
        folder = ""
    environ = getattr(os.environ, "_data", None)
    path = sys.path
    kept += (sys.stdin, sys.stdout, sys.stderr, sys.argv, path, time.time)
    found = {
        "the working directory": folder,
        "sys.stdin": id(sys.stdin),
        "sys.stdout": id(sys.stdout),
        "sys.stderr": id(sys.stderr),
        "sys.argv": id(sys.argv),
        "sys.path": (id(path), len(path)),
        "os.environ": environ.copy() if type(environ) is dict else None,
        "the recursion limit": sys.getrecursionlimit(),
        "the time zone": time.timezone,
        "time.time": id(time.time),
    }
    for name, (module, ask) in _ASKED.items():
        there = modules.get(module)
        if there is not None:
            try:
                found[name] = ask(there, kept)
            except Exception:  # it is just being imported, or somebody has put something else there
                continue
    return found


def _filters(warnings: Any, kept: list[Any]) -> Any:
    kept.append(filters := warnings.filters)
    return id(filters), len(filters)


def _itself(name: str) -> Any:
    def ask(module: Any, kept: list[Any]) -> int:
        kept.append(value := getattr(module, name))
        return id(value)

    return ask


_ASKED: dict[str, tuple[str, Any]] = {
    "the warning filters": ("warnings", _filters),
    "the socket timeout": ("_socket", lambda socket, _: socket.getdefaulttimeout()),
    "the temporary directory": ("tempfile", _itself("tempdir")),
    "the alarm": ("_signal", lambda signal, _: signal.getitimer(signal.ITIMER_REAL)[0] > 0.0),
    "the locale": ("locale", lambda locale, _: locale.setlocale(locale.LC_ALL)),
    "the log level": ("logging", lambda logging, _: (logging.root.level, logging.root.manager.disable)),
    "socket.socket": ("socket", _itself("socket")),
    "open": ("builtins", _itself("open")),
    "print": ("builtins", _itself("print")),
}
