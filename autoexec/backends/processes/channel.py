"""How caller and worker talk: frames over a socket.

A frame is a head, the sizes of its parts, and the parts: a pickle and the buffers that it refers to. Where
they are large only the head is written, with the descriptor of a segment that holds the parts.
"""

from __future__ import annotations

import _socket  # what is needed of `socket`, without the 15 ms that its other half takes
import mmap
import os
import select
import struct

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

    Args:
        sock: the socket.
        access: how segments that arrive here are mapped.
    """

    __slots__ = ("_access", "_sock")

    def __init__(self, sock: _socket.socket, access: int) -> None:
        self._sock, self._access = sock, access
        sock.settimeout(None)  # whatever socket.setdefaulttimeout() says for sockets of the user's

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
        data = head + struct.pack(f"<{len(sizes)}Q", *sizes)
        if not apart:
            data = b"".join((data, payload.data, *payload.buffers))
        self._write(data, payload.segment, busy)

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
        return Frame(kind, serial, first, _cut(memoryview(self._read(sum(sizes))), sizes, False))

    def _head(self) -> tuple[bytearray, int | None]:
        head = bytearray(HEAD.size)
        count, rights, _, _ = self._sock.recvmsg_into([head], _socket.CMSG_SPACE(DESCRIPTOR.size), CLOSED)
        if not count:
            raise EOFError
        descriptor = DESCRIPTOR.unpack(rights[0][2][: DESCRIPTOR.size])[0] if rights else None
        if count < HEAD.size:
            head[count:] = self._read(HEAD.size - count)
        return head, descriptor

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
