"""What an object holds, as a text that is the same in every process: two models are two functions.

What may live here: texts of what is bound to a function and has no key of its own. No address goes into
them, and no order of a set. What belongs to one process alone (a lock, a socket, an open file) counts by its
type; a named function or class by its name; a function of the standard library by its name, with all that it
holds.
"""

from __future__ import annotations

import sys
from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType

from ..errors import JournalError, shown
from ..introspect import ATOMS, attributes, bare, isa, members_of, static_attribute
from ..introspect.layers import cells, content
from ..introspect.libraries import is_library_type, is_stdlib
from .keys import canonical, pack, qualified

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["held"]

# What a library's client or connection can do: how it is set counts, not its sessions, cookies and pools.
_VERBS = ("send", "request", "execute", "cursor", "recv", "connect", "urlopen")
LEVELS = 100  # objects within objects
_APART = ("weakref", "threading", "_thread", "logging")  # caches that come and go, and what a process has


def held(value: Any, text_of: Callable[[FunctionType], bytes], known: tuple[Any, ...] = ()) -> bytes:
    """The canonical text of an object with all that it holds.

    Args:
        value: any object.
        text_of: the text of a function that has no name of its own.
        known: objects that are accounted for elsewhere.

    >>> held([1, {"a": 2}], lambda func: b"") == held([1, {"a": 2}], lambda func: b"")
    True
    >>> held({1}, lambda func: b"") == held({2}, lambda func: b"")
    False
    """
    return _Texts(text_of, known).text(value)


class _Texts:
    """The texts of one object and its parts.

    An object that is met again is named by its number in the order in which they are met.
    """

    def __init__(self, text_of: Callable[[FunctionType], bytes], known: tuple[Any, ...]) -> None:
        self._text_of, self._known = text_of, known
        self._met: dict[int, tuple[int, Any]] = {}
        self._levels = 0

    def text(self, obj: Any) -> bytes:
        known = type(obj) not in ATOMS and any(obj is each or bare(obj) is each for each in self._known)
        if known:
            return pack("known")
        try:
            return canonical(obj)
        except (TypeError, ValueError, RecursionError):  # no value that is told by its text
            pass
        obj = bare(obj)
        if id(obj) in self._met:
            return pack("again", b"%d" % self._met[id(obj)][0])
        if self._levels == LEVELS:
            raise JournalError(
                f"the journal cannot tell what is bound to the function: it has more than {LEVELS} levels, "
                f"down to {shown(obj)}; bind less, or pass it with the items and give key="
            )
        self._met[id(obj)] = (len(self._met), obj)  # held on to: no other gets its address meanwhile
        self._levels += 1
        try:
            return self._of(obj)
        finally:
            self._levels -= 1

    def _of(self, obj: Any) -> bytes:
        kind = type(obj)
        if isa(obj, ModuleType):
            return pack("module", obj.__name__.encode())
        if isa(obj, type):
            return pack("class", qualified(obj).encode())
        if isa(obj, FunctionType):
            return self._function(obj)
        if isa(obj, (MethodType, BuiltinMethodType)):
            return pack("method", qualified(obj).encode(), self.text(obj.__self__))
        if isa(obj, partial):
            parts = (self.text(obj.func), self.text(obj.args), self._pairs(obj.keywords))
            return pack("partial", *parts)
        head = qualified(kind).encode()
        if kind.__module__.partition(".")[0] in _APART:
            return pack("apart", head)
        wrapped = attributes(obj).get("__wrapped__")
        if wrapped is not None and not isa(obj, type) and kind.__module__ == "functools":
            return pack("wraps", head, self.text(wrapped))  # not what an lru_cache has gathered
        if is_library_type(kind) and any(hasattr(kind, verb) for verb in _VERBS):
            return pack("client", head, self._pairs(_plain(attributes(obj))))
        inside = [*self._inside(obj)]
        if not inside:
            inside = [self._made_of(obj)]
        return pack("object", head, *inside)

    def _function(self, func: FunctionType) -> bytes:
        name = qualified(func).encode()
        if is_stdlib(func.__code__.co_filename):
            return pack("function", name)
        contents = [content(cell, _EMPTY) for _, cell in cells(func)]
        texts = [b"" if value is _EMPTY else self.text(value) for value in contents]
        local = "<" in func.__qualname__
        defaults = [self.text((func.__defaults__, func.__kwdefaults__))] if local else []
        return pack("function", name, self._text_of(func) if local else b"", *texts, *defaults)

    def _inside(self, obj: Any) -> Iterator[bytes]:
        """What an object holds as a container, an array, in its attributes and its slots."""
        if isa(obj, dict):
            yield self._pairs(dict(dict.items(obj)))
        elif isa(obj, (list, tuple)):
            base: Any = list if isa(obj, list) else tuple
            yield pack("list", *[self.text(part) for part in base.__iter__(obj)])
        elif isa(obj, (set, frozenset)):
            base = set if isa(obj, set) else frozenset
            # Each for itself: numbers of objects that were met would follow the order of the set.
            alone = [held(part, self._text_of, self._known) for part in base.__iter__(obj)]
            yield pack("set", *sorted(alone))
        elif isa(obj, (bytearray, memoryview)):
            yield pack("bytes", bytes(obj))
        elif (numpy := sys.modules.get("numpy")) is not None and isa(obj, numpy.ndarray):
            yield pack("array", str(obj.dtype).encode(), canonical(tuple(obj.shape)))
            yield self.text(obj.tolist()) if obj.dtype.hasobject else obj.tobytes()
        if own := attributes(obj):
            yield self._pairs(own)
        for name, _ in members_of(type(obj)):
            filled = static_attribute(obj, name, _EMPTY)
            yield pack("slot", name.encode(), b"" if filled is _EMPTY else self.text(filled))

    def _pairs(self, values: dict[Any, Any]) -> bytes:
        """Keys and values, in the order of the texts of the keys."""
        rows = sorted(
            ((held(key, self._text_of, self._known), key) for key in values), key=lambda row: row[0]
        )
        return pack("dict", *[part for text, key in rows for part in (text, self.text(values[key]))])

    def _made_of(self, obj: Any) -> bytes:
        """What would make an object of C code again, if it tells."""
        try:
            made = obj.__reduce_ex__(4)
        except Exception:  # it cannot leave its process
            return b""
        if isa(made, str):
            return pack("made", str(made).encode())
        parts = [list(part) if i > 2 and part is not None else part for i, part in enumerate(made)]
        return pack("made", *[self.text(part) for part in parts])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if type(value) in ATOMS}


_EMPTY: Any = object()
