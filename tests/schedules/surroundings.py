"""What the process has before and after a run: threads, children, the switch interval, errors of threads."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from .compare import shown
from .faults import reveal

__all__ = ["Surroundings"]

PATIENCE_S = 5.0  # threads that are being let go may take a moment on a busy machine
KEPT = ("resource_tracker", "forkserver")  # the standard library's and loky's own helpers live on by design
RESTING = 2 * (os.cpu_count() or 1)  # workers that may be kept for the next call


class Surroundings:
    """Looks before and after.

    Attributes:
        stray: errors that came out of threads and finalizers meanwhile, where nobody can catch them.
    """

    def __init__(self) -> None:
        self.stray: list[str] = []
        self._threads: set[threading.Thread] = set()
        self._children: set[int] = set()
        self._switch_s = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Look before, and see what comes up meanwhile."""
        self._threads = _threads()
        self._children = set(_children())
        self._switch_s = sys.getswitchinterval()
        hooks = threading.excepthook, sys.unraisablehook
        threading.excepthook = sys.unraisablehook = self._stray
        try:
            yield
        finally:
            threading.excepthook, sys.unraisablehook = hooks

    def _stray(self, what: Any) -> None:
        text = f"{_name(what.exc_type)}: {shown(reveal(what.exc_value))}"
        self.stray.append(
            f"stray: {text} in {getattr(what, 'thread', None) or what.object!r:.100} {_where(what)}"
        )

    def left(self, shutdown: Callable[[], object], *, shared: bool) -> list[str]:
        """What is still there and should not be.

        Args:
            shutdown: ends the workers that are kept.
            shared: whether the executor of decorated functions was used, which stays.
        """
        words = []
        if not shared and not _soon(lambda: not self._new_threads()):
            words.append(f"threads: {sorted(thread.name for thread in self._new_threads())} are left")
        if not shared and not _soon(lambda: len(self._new_children()) <= RESTING):
            words.append(f"children: more than {RESTING} are left: {self._new_children()}")
        if self._new_children() and not shared:
            shutdown()
            if not _soon(lambda: not self._new_children()):
                words.append(f"children: {self._new_children()} are left after shutdown()")
        if not shared and not _soon(lambda: sys.getswitchinterval() == self._switch_s):
            words.append(f"switch: the interval is {sys.getswitchinterval()}, and was {self._switch_s}")
        return words + self.stray

    def _new_threads(self) -> set[threading.Thread]:
        return _threads() - self._threads

    def _new_children(self) -> dict[int, str]:
        return {pid: what for pid, what in _children().items() if pid not in self._children}


def _soon(condition: Callable[[], bool]) -> bool:
    until, pause = time.monotonic() + PATIENCE_S, 0.0002
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return True


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("autoexec")}


def _children() -> dict[int, str]:
    found = {}
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in path.read_text().split():
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if not any(name in command for name in KEPT):
                    found[int(pid)] = command[-60:]
    return found


def _name(kind: type[BaseException] | None) -> str:
    return kind.__name__ if kind is not None else "an error"


def _where(what: Any) -> str:
    trace: TracebackType | None = what.exc_traceback
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f"({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
