"""Compare the arguments of a call before and after it, at a price that fits their size."""

from __future__ import annotations

import zlib

from ..introspect.layers import MISSING
from .readings import is_array, is_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = ["Arguments"]

_LIMIT: Final = 32 << 20  # bytes

_SIMPLE = frozenset({int, float, str, bytes, bool, type(None), complex, range, slice, type, type(...)})


class _TooMuch(Exception):
    """More bytes than may be compared."""


class _Sink:
    """A file that keeps a checksum and the length of what is written to it, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.limit, self.size, self.sums = limit, 0, (0, 1)

    def write(self, data: Any) -> int:
        length = data.nbytes if isinstance(data, memoryview) else len(data)
        self.size += length
        if self.size > self.limit:
            raise _TooMuch
        self.sums = (zlib.crc32(data, self.sums[0]), zlib.adler32(data, self.sums[1]))
        return int(length)


def _simple(obj: object, depth: int = 8) -> bool:
    """Whether nothing can change `obj`."""
    if type(obj) in _SIMPLE or is_path(obj):
        return True
    return type(obj) is tuple and depth > 0 and all(_simple(one, depth - 1) for one in obj)


def _array(obj: Any, limit: int) -> object:
    if obj.nbytes > limit:
        raise _TooMuch
    if obj.dtype.hasobject:
        return _pickled(obj, limit)
    flat = obj if obj.flags.c_contiguous else obj.copy(order="C")
    return obj.shape, str(obj.dtype), zlib.crc32(flat.reshape(-1).view("u1")) if obj.size else 0


def _pickled(obj: object, limit: int) -> object:
    import pickle

    sink = _Sink(limit)
    pickle.Pickler(sink, protocol=5).dump(obj)
    return sink.size, sink.sums


def _deep(obj: object) -> object:
    """A value that differs once `obj` has changed, or MISSING where that would cost too much."""
    try:
        if is_array(obj):
            return _array(obj, _LIMIT)
        return _pickled(obj, _LIMIT)
    except Exception:  # what cannot be pickled cannot be compared (and never crosses to a process)
        return MISSING


class Arguments:
    """The arguments of one call, before and after it."""

    __slots__ = ("_tokens",)

    def __init__(self, args: tuple[object, ...]) -> None:
        self._tokens = [None if _simple(arg) else _deep(arg) for arg in args]

    def changed(self, args: tuple[object, ...]) -> list[int]:
        """The places of those that are not what they were."""
        return [i for i, (arg, old) in enumerate(zip(args, self._tokens, strict=False)) if _differs(arg, old)]


def _differs(arg: object, old: object) -> bool:
    return old is not None and old is not MISSING and _deep(arg) != old
