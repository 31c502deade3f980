"""The functions of one call: the numbers that workers know them by, and their bytes, made once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from .fuse import Fuse
from .payload import Payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...worker.invoke import CallSpec

__all__ = ["Functions"]

_numbers = itertools.count(1)  # a worker may serve several calls, one after the other


class Functions:
    """Functions that are sent to workers.

    Args:
        packed: turns a function into a payload.
        clock: tells the time.
    """

    def __init__(self, packed: Callable[[CallSpec], Payload], clock: Callable[[], float]) -> None:
        self._packed = packed
        self._lock = threading.Lock()
        self._known: dict[int, tuple[int, CallSpec]] = {}  # by id, which it keeps from being used again
        self._payloads: dict[int, Payload] = {}
        self._unready: set[int] = set()  # workers in a row that ended while they loaded one
        self._fuse = Fuse(clock)
        self._deadly: Exception | None = None

    def number(self, spec: CallSpec, number: int | None = None) -> int:
        """What workers know a function by; `number` if they know it from an earlier call."""
        with self._lock:
            if id(spec) not in self._known:
                self._known[id(spec)] = (number or next(_numbers), spec)
            return self._known[id(spec)][0]

    def payload(self, spec: CallSpec) -> Payload:
        """A function as bytes.

        Raises:
            Exception: if it cannot be pickled, or if workers die of it.
        """
        with self._lock:
            if self._deadly is not None:
                raise type(self._deadly)(*self._deadly.args)  # each task its own, for the notes on it
            found = self._payloads.get(id(spec))
            if found is None:
                found = self._payloads[id(spec)] = self._packed(spec)
            return found

    def take(self, spec: CallSpec) -> None:
        """Make a function's bytes now: what it reads is what it is at this moment, however late workers ask.

        What cannot be pickled is told to whoever sends a task.
        """
        with self._lock:
            if id(spec) not in self._payloads:
                try:
                    self._payloads[id(spec)] = self._packed(spec)
                except BaseException:  # the user's code may raise SystemExit, too
                    return

    def unready(self, pid: int, code: int | None, error: Exception) -> None:
        """A worker ended while it loaded a function: after some in a row no other one is to try.

        Args:
            pid: the worker.
            code: its exit code.
            error: what to say then.
        """
        with self._lock:
            if pid not in self._unready:  # several seats may tell of one
                self._unready.add(pid)
                self._fuse.add(code)
            if self._fuse.blown:
                self._deadly = error
                self._payloads.clear()

    def ready(self) -> None:
        """A worker has loaded one."""
        if self._unready:
            self._unready = set()
            self._fuse.reset()

    @property
    def pause_s(self) -> float:
        """Seconds to leave whoever kills workers while they load one alone."""
        return self._fuse.pause_s

    def close(self) -> None:
        """Let their bytes go."""
        with self._lock:
            payloads, self._payloads = list(self._payloads.values()), {}
        for payload in payloads:
            payload.close()
