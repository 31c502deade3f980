"""Objects as bytes that can cross: small ones in a message, large buffers beside it in shared memory.

Pickle protocol 5 hands out the buffers of arrays instead of copying them. Small payloads are one message;
beyond `INLINE` bytes everything but the message's head lies in a segment, which the other side maps:
arrays then look straight into it.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence

from ...file_maps import dumps
from .shared_memory import aligned, share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["INLINE", "Apart", "Payload", "by_value", "load", "pack"]

INLINE = 128 << 10  # bytes: from about here on mapping is cheaper than copying through a socket (measured)
APART = 16 << 10  # bytes of a buffer below which it is pickled with the rest

Dump = Callable[..., bytes]


class Payload:
    """An object on its way.

    Attributes:
        data: the pickle.
        buffers: buffers that it refers to.
        segment: descriptor of a segment that holds both, or None if they travel in the message.
        size: bytes of the segment, or of data and buffers.
    """

    __slots__ = ("buffers", "data", "segment", "size")

    def __init__(self, data: bytes | memoryview, buffers: Sequence[memoryview] = ()) -> None:
        self.data, self.buffers = data, tuple(buffers)
        self.segment: int | None = None
        self.size = aligned(len(data)) + sum(aligned(len(buffer)) for buffer in self.buffers)
        if self.size > INLINE:
            self.segment = share((data, *self.buffers), self.size)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of the pickle and of each buffer."""
        return len(self.data), *map(len, self.buffers)

    def close(self) -> None:
        """Close the segment; whoever has mapped it keeps it."""
        if self.segment is not None:
            os.close(self.segment)
            self.segment = None

    __del__ = close


class Apart:
    """Takes large buffers out of a pickle: a `buffer_callback`.

    Attributes:
        taken: the buffers.
    """

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken: list[memoryview] = []

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer if it is large; True leaves it in the pickle."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if len(raw) < APART:
            return True
        self.taken.append(raw)
        return False


def pack(value: object, dump: Dump = dumps) -> Payload:
    """Pickle `value`, its large buffers apart.

    Args:
        value: anything.
        dump: `file_maps.dumps`, or another one with its signature.

    Raises:
        Exception: whatever pickling raises.
    """
    apart = Apart()
    return Payload(dump(value, protocol=5, buffer_callback=apart), apart.taken)


def by_value(value: object) -> Payload:
    """`pack` for what lives in `__main__` or has no name that could be imported."""
    from ...by_value import dumps

    return pack(value, dumps)


def load(data: Any, buffers: Sequence[memoryview] = ()) -> Any:
    """The object again.

    Raises:
        Exception: whatever loading raises.
    """
    return pickle.loads(data, buffers=buffers)
