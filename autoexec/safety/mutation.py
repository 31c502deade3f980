"""Compare objects before and after a call, at a price that fits their size."""

from __future__ import annotations

import operator
import zlib
from collections import deque
from functools import cached_property
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace

from ..introspect import attributes, isa, loaded
from ..introspect.layers import MISSING
from ..introspect.libraries import is_library_type, top_package
from .captures import foreign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = ["Changes"]

_ARGUMENT_LIMIT: Final = 32 << 20
_ARRAY_LIMIT: Final = 16 << 20
# Captured objects are looked at around every sampled item: about a millisecond of pickling at most.
_HELD_LIMIT: Final = 256 << 10

_SIMPLE = frozenset({int, float, str, bytes, bool, type(None), complex, range, slice, type, type(...)})
_INERT = (ModuleType, type, FunctionType, BuiltinFunctionType, MethodType)
_WATCHED = {"array", "pandas", "collections"}


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


def _simple(obj: object) -> bool:
    """Whether nothing can change `obj`."""
    if type(obj) in _SIMPLE or _is_path(obj):
        return True
    return type(obj) is tuple and all(map(_simple, obj))


def _is_path(obj: object) -> bool:
    """Paths do not change; asking by name spares those who use none the import of pathlib."""
    pathlib = loaded("pathlib")
    return pathlib is not None and isa(obj, pathlib.PurePath)


def _is_array(obj: object) -> bool:
    return any(base.__name__ == "ndarray" and base.__module__ == "numpy" for base in type(obj).__mro__)


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


def _deep(obj: object, limit: int, arrays: int) -> object:
    """A value that differs once `obj` has changed, or MISSING where that would cost too much."""
    try:
        if _is_array(obj):
            return _array(obj, arrays)
        return _pickled(obj, limit)
    except Exception:  # what cannot be pickled cannot be compared (and never crosses to a process)
        return MISSING


def _shallow(obj: Any) -> list[Any]:
    """The elements themselves, kept alive so that none can be replaced by one at the same address."""
    if isa(obj, dict):
        return [*dict.keys(obj), *dict.values(obj)]
    if isa(obj, (list, deque)):
        return list(obj)
    if isa(obj, (set, frozenset)):
        return [len(obj), *obj]
    own = _state(obj)
    return [*own.keys(), *own.values()]


def _state(obj: object) -> dict[str, Any]:
    """The attributes of an object, without what a `cached_property` has stored there."""
    own, cached = attributes(obj), _caching(type(obj))
    return {key: value for key, value in own.items() if key not in cached} if cached else own


def _caching(kind: type) -> set[str]:
    """The names of a class's cached properties."""
    members = (item for base in kind.__mro__ for item in vars(base).items())
    return {name for name, member in members if isa(member, cached_property)}


def _same(old: list[Any], new: list[Any]) -> bool:
    return len(old) == len(new) and all(map(operator.is_, old, new))


def _watched(obj: object) -> bool:
    """Whether a captured object has a state of the user's own that a call could change."""
    if type(obj) in _SIMPLE or isa(obj, _INERT) or _is_path(obj) or foreign(obj) is not None:
        return False
    kind = type(obj)
    if isa(obj, (list, dict, set, bytearray, deque, SimpleNamespace)) or _is_array(obj):
        return True
    if top_package(kind) in _WATCHED:
        return True
    return kind.__module__ != "builtins" and not is_library_type(kind)


class Changes:
    """The watched objects of one function, and the arguments of one call."""

    def __init__(self, held: list[tuple[str, Any]]) -> None:
        known: dict[int, tuple[str, Any]] = {}
        for name, obj in held:
            if id(obj) not in known and _watched(obj):
                known[id(obj)] = (name, obj)
        self._held = list(known.values())
        self._large: set[int] = set()
        self._before: list[tuple[list[Any], object]] = []
        self._args: list[object] = []

    def before(self, args: tuple[object, ...]) -> None:
        """Remember the state of the arguments and of what is held."""
        self._args = [None if _simple(arg) else _deep(arg, _ARGUMENT_LIMIT, _ARGUMENT_LIMIT) for arg in args]
        self._before = [self._look(obj) for _, obj in self._held]

    def after(self, args: tuple[object, ...]) -> tuple[list[int], list[str]]:
        """The places of the arguments and the names of the held objects that are not what they were."""
        wrong = [i for i, (arg, old) in enumerate(zip(args, self._args, strict=False)) if _differs(arg, old)]
        pairs = zip(self._held, self._before, strict=False)
        held = [name for (name, obj), old in pairs if self._changed(obj, old)]
        self._before, self._args = [], []
        return wrong, held

    def _look(self, obj: Any) -> tuple[list[Any], object]:
        try:
            return _shallow(obj), self._token(obj)
        except Exception:  # changed by another thread while being copied
            return [], MISSING

    def _token(self, obj: Any) -> object:
        if id(obj) in self._large:
            return MISSING
        token = _deep(_state(obj) if _caching(type(obj)) else obj, _HELD_LIMIT, _ARRAY_LIMIT)
        if token is MISSING:
            self._large.add(id(obj))
        return token

    def _changed(self, obj: Any, old: tuple[list[Any], object]) -> bool:
        try:
            if not _same(old[0], _shallow(obj)):
                return True
        except Exception:  # somebody is changing it right now
            return True
        return old[1] is not MISSING and self._token(obj) != old[1]


def _differs(arg: object, old: object) -> bool:
    return old is not None and old is not MISSING and _deep(arg, _ARGUMENT_LIMIT, _ARGUMENT_LIMIT) != old
