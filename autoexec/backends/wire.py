"""How caller and worker talk: length-prefixed pickles over two pipes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Pipe", "open_pipes"]

HEADER = 8  # bytes of the length before each message
PIPE_SIZE = 1 << 20  # a wider pipe lets large messages pass with fewer switches between the two ends
SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux; the fcntl module names it from 3.10 on, but not everywhere


class Pipe:
    """One end of a pair of pipes: messages are bytes."""

    __slots__ = ("_read", "_write")

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write

    @property
    def descriptors(self) -> tuple[int, int]:
        """The reading and the writing descriptor."""
        return self._read, self._write

    def send(self, data: bytes) -> None:
        """Write one message.

        Raises:
            OSError: if the other end is gone.
        """
        message = len(data).to_bytes(HEADER, "little")
        if len(data) < 1 << 16:
            self._write_all(message + data)
        else:
            self._write_all(message)
            self._write_all(data)

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._write, view) :]

    def receive(self) -> bytearray:
        """Read one message.

        Raises:
            EOFError: if the other end is gone.
        """
        return self._read_all(int.from_bytes(self._read_all(HEADER), "little"))

    def _read_all(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = os.readv(self._read, [view])
            if not count:
                raise EOFError
            view = view[count:]
        return data

    def close(self) -> None:
        """Close both descriptors; the other end sees the end of file."""
        for descriptor in (self._read, self._write):
            if descriptor >= 0:
                os.close(descriptor)
        self._read = self._write = -1


def open_pipes() -> tuple[Pipe, Pipe]:
    """Two connected ends: the caller's and the worker's."""
    worker_read, caller_write = os.pipe()
    caller_read, worker_write = os.pipe()
    for descriptor in (caller_write, worker_write):
        _widen(descriptor)
    return Pipe(caller_read, caller_write), Pipe(worker_read, worker_write)


def _widen(descriptor: int) -> None:
    try:
        import fcntl

        fcntl.fcntl(descriptor, SET_PIPE_SIZE, PIPE_SIZE)
    except (ImportError, OSError):  # not Linux, or over the user's limit for pipes
        pass


def loads(data: Any) -> Any:
    """Load a message."""
    import pickle

    return pickle.loads(data)
