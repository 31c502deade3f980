"""How caller and worker talk: frames over a socket.

A frame is a head, the sizes of its parts, and the parts: a pickle and the buffers that it refers to. Where
they are large only the head is written, with the descriptor of a segment that holds the parts.
"""

from __future__ import annotations

import _socket  # what is needed of `socket`, without the 15 ms that its other half takes
import errno
import mmap
import os
import select
import struct
import sys
import time

from ...errors import AutoexecError
from .payload import Payload, load
from .shared_memory import aligned, map_segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Channel", "Frame", "open_channels"]

HEAD = struct.Struct("<BBHIQQQ")  # kind, in a segment?, 0, parts, serial, first, bytes
DESCRIPTOR = struct.Struct("i")
BUFFER = 1 << 20  # bytes that may wait in the socket, if the system allows
NOWAIT = getattr(_socket, "MSG_DONTWAIT", 0)
CLOSED = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
# On Linux a descriptor can be looked at before it is taken: one that finds no place is then not lost.
PEEK = _socket.MSG_PEEK if sys.platform == "linux" else 0
TRIES = 2000  # to find a free descriptor, where others have taken even the one kept for it: ten seconds
PAUSE_S = 0.005
LACK = (
    "no file descriptor is free for what a worker has sent: the program holds as many as it may (ulimit -n); "
    "let go of some, raise the limit, or use backend='threads'"
)


class Frame:
    """A message.

    Attributes:
        kind: what it is for.
        serial: the task it belongs to.
        first: the place of its first value in the task.
    """

    __slots__ = ("_parts", "first", "kind", "serial")

    def __init__(self, kind: int, serial: int, first: int, parts: list[memoryview]) -> None:
        self.kind, self.serial, self.first, self._parts = kind, serial, first, parts

    def part(self, place: int) -> memoryview:
        """One of its parts as bytes; nothing if it has fewer."""
        return self._parts[place] if place < len(self._parts) else memoryview(b"")

    def load(self) -> Any:
        """The object in it.

        Raises:
            Exception: whatever loading raises.
        """
        return load(self._parts[0], self._parts[1:])


class Channel:
    """One end of a socket pair.

    A lack of descriptors is no end of the other side: one is kept in reserve, in whose place a segment's can
    arrive, and what has no room stays in the socket meanwhile.

    Args:
        sock: the socket.
        access: how segments that arrive here are mapped.
    """

    __slots__ = ("_access", "_reserve", "_reserves", "_sock")

    def __init__(self, sock: _socket.socket, access: int) -> None:
        self._sock, self._access = sock, access
        sock.settimeout(None)  # whatever socket.setdefaulttimeout() says for sockets of the user's
        self._reserves, self._reserve = False, -1

    def reserve(self) -> None:
        """From now on keep a descriptor in reserve, if there is one."""
        self._reserves = True
        if self._reserve < 0:
            try:
                self._reserve = os.open(os.devnull, os.O_RDONLY)
            except OSError:
                return

    def fileno(self) -> int:
        """The descriptor."""
        return self._sock.fileno()

    def send(
        self,
        kind: int,
        payload: Payload,
        serial: int = 0,
        first: int = 0,
        busy: Callable[[], None] | None = None,
    ) -> None:
        """Write a frame.

        Args:
            kind: what it is for.
            payload: its content.
            serial: the task it belongs to.
            first: the place of its first value in the task.
            busy: called instead of blocking while the other end sends, too; it has to take a frame.

        Raises:
            OSError: if the other end is gone.
        """
        sizes = payload.sizes
        apart = payload.segment is not None
        head = HEAD.pack(kind, apart, 0, len(sizes), serial, first, payload.size)
        table = struct.pack(f"<{len(sizes)}Q", *sizes)
        if apart:
            try:
                self._write(head + table, payload.segment, busy)
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:  # the system lets no more descriptors be under way
                    raise
            else:
                return
            head = HEAD.pack(kind, False, 0, len(sizes), serial, first, payload.size)
        self._write(b"".join((head, table, payload.data, *payload.buffers)), None, busy)

    def _write(self, data: bytes, descriptor: int | None, busy: Callable[[], None] | None) -> None:
        rights = []
        if descriptor is not None:
            rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, DESCRIPTOR.pack(descriptor))]
        view = memoryview(data)
        while view:
            try:
                sent = self._sock.sendmsg([view], rights, NOWAIT if busy else 0)
            except BlockingIOError:
                if busy is not None and self.wait(None, select.POLLIN | select.POLLOUT) & select.POLLIN:
                    busy()
                continue
            view, rights = view[sent:], []

    def wait(self, timeout_s: float | None, events: int = select.POLLIN) -> int:
        """Wait until the socket is ready; the events that came, 0 after the time."""
        poll = select.poll()
        poll.register(self._sock.fileno(), events)
        found = poll.poll(None if timeout_s is None else max(0.0, timeout_s * 1000))
        return found[0][1] if found else 0

    def receive(self) -> Frame:
        """Read a frame.

        Raises:
            EOFError: if the other end is gone.
            OSError: the same, in other words.
            AutoexecError: if there is no descriptor for what has come.
        """
        head, descriptor = self._head()
        try:
            kind, apart, _, count, serial, first, size = HEAD.unpack(head)
            sizes = struct.unpack(f"<{count}Q", self._read(8 * count))
            if apart:
                if descriptor is None:
                    raise EOFError("the segment of a frame got lost")
                taken, descriptor = descriptor, None
                return Frame(kind, serial, first, _cut(map_segment(taken, size, self._access), sizes, True))
        finally:
            if descriptor is not None:
                os.close(descriptor)
            if self._reserves and self._reserve < 0:
                self.reserve()
        return Frame(kind, serial, first, _cut(memoryview(self._read(sum(sizes))), sizes, False))

    def _head(self) -> tuple[bytearray, int | None]:
        head = bytearray(HEAD.size)
        if PEEK:
            count = self._sock.recv_into(head, 0, PEEK)
            if not count:
                raise EOFError
            descriptor = self._descriptor() if head[1] or count < 2 else None
            return self._read(HEAD.size), descriptor
        count, rights, _, _ = self._sock.recvmsg_into([head], _socket.CMSG_SPACE(DESCRIPTOR.size), CLOSED)
        if not count:
            raise EOFError
        descriptor = DESCRIPTOR.unpack(rights[0][2][: DESCRIPTOR.size])[0] if rights else None
        if count < HEAD.size:
            head[count:] = self._read(HEAD.size - count)
        return head, descriptor

    def _descriptor(self) -> int | None:
        """The descriptor that comes with what is in the socket, where it stays."""
        for _ in range(TRIES):
            _, rights, flags, _ = self._sock.recvmsg(1, _socket.CMSG_SPACE(DESCRIPTOR.size), PEEK | CLOSED)
            if rights:
                found: int = DESCRIPTOR.unpack(rights[0][2][: DESCRIPTOR.size])[0]
                return found
            if not flags & _socket.MSG_CTRUNC:
                return None
            if self._reserve >= 0:
                self._close_reserve()
            else:
                time.sleep(PAUSE_S)
        raise AutoexecError(LACK)

    def _close_reserve(self) -> None:
        reserve, self._reserve = self._reserve, -1
        if reserve >= 0:
            os.close(reserve)

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._sock.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]
        return data

    def hurry(self) -> None:
        """From now on a frame that does not come within a second is taken for the end of the other side."""
        self._sock.settimeout(1.0)

    def close(self) -> None:
        """Close this end; the other one sees the end of file."""
        self._sock.close()
        self._reserves = False
        self._close_reserve()


def _cut(data: memoryview, sizes: tuple[int, ...], apart: bool) -> list[memoryview]:
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at = aligned(at + size) if apart else at + size
    return parts


def open_channels(access: int) -> tuple[Channel, Channel]:
    """Two connected ends: the caller's, and the worker's, which maps what it is given with `access`."""
    ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    for end in ends:
        try:
            end.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, BUFFER)
        except OSError:
            continue
    # What a worker returns is the caller's own.
    return Channel(ends[0], mmap.ACCESS_WRITE), Channel(ends[1], access)
