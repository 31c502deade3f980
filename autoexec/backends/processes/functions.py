"""The functions of one call: the numbers that workers know them by, and their bytes, made once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from . import exit_messages
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
    """

    def __init__(self, packed: Callable[[CallSpec], Payload]) -> None:
        self._packed = packed
        self._lock = threading.Lock()
        self._known: dict[int, tuple[int, CallSpec]] = {}  # by id, which it keeps from being used again
        self._payloads: dict[int, Payload] = {}
        self._unready: dict[int, float] = {}  # workers in a row that ended while they loaded one
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

    def unready(self, pid: int, weight: float, error: Exception) -> None:
        """A worker ended while it loaded a function: after some in a row no other one is to try."""
        with self._lock:
            self._unready[pid] = weight  # of which several seats may tell
            if sum(self._unready.values()) >= exit_messages.MOST:
                self._deadly = error
                self._payloads.clear()

    def ready(self) -> None:
        """A worker has loaded one."""
        self._unready = {}

    def close(self) -> None:
        """Let their bytes go."""
        with self._lock:
            payloads, self._payloads = list(self._payloads.values()), {}
        for payload in payloads:
            payload.close()
