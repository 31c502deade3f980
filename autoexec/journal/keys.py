"""Which result belongs to which item of which function, told the same in every process.

A key is a digest of a canonical text that names the type of every part, so 1, 1.0 and True differ. The
text uses neither `hash` nor `pickle`, which change from run to run and from one Python to the next.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from enum import Enum, Flag
from hashlib import blake2b

from ..errors import JournalError, shown
from ..introspect import name_of, static_attribute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["KEY_BYTES", "canonical", "digest", "item_key", "pack", "qualified"]

KEY_BYTES = 16


def item_key(item: object) -> bytes:
    """The 16 bytes that stand for an item in a journal.

    Strings, bytes, numbers, bool, None, tuples, frozensets, paths, dates and times, Decimal, Fraction,
    UUID, members of enums, and the frozen dataclasses and named tuples made of such have one.

    Raises:
        JournalError: if the item, or something in it, is none of these.

    >>> item_key("a") == item_key("a"), item_key(1) == item_key(1.0), item_key((1, None)).hex()[:8]
    (True, False, '066eae07')
    """
    try:
        return digest(canonical(item))
    except _NoKey as error:
        kind = error.args[0]
    except RecursionError:
        kind = "too many levels"
    raise JournalError(
        f"no stable key for {shown(item)} (it {'holds' if kind != type(item).__name__ else 'is'} "
        f"{kind!r}); give key= a function that returns a string or number for it"
    )


def digest(text: bytes) -> bytes:
    """The 16 bytes that stand for a canonical text."""
    return blake2b(text, digest_size=KEY_BYTES).digest()


def qualified(thing: Any) -> str:
    """Module and qualified name; the script that runs is `__main__` in spawned processes too."""
    module = static_attribute(thing, "__module__") or "builtins"
    return f"{'__main__' if module == '__mp_main__' else module}.{name_of(thing)}"


def pack(tag: str, *parts: bytes) -> bytes:
    """A tag and parts as one text that can be read in one way only."""
    return b"%b(%b)" % (tag.encode(), b"".join([b"%d:%b" % (len(part), part) for part in parts]))


def canonical(item: object) -> bytes:
    """The text whose digest is the item's key.

    Raises:
        TypeError: if there is none; its argument names the type.
    """
    kind = type(item)
    write = _WRITERS.get(kind)
    if write is None:
        write = _WRITERS[kind] = _writer_for(kind)
    return write(item)


class _NoKey(TypeError):
    """A part of an item has no canonical text; the argument names its type."""


def _writer_for(kind: type) -> Callable[[Any], bytes]:
    """How items of a type that is met for the first time are written."""
    home = kind.__module__.partition(".")[0]
    if (home, kind.__name__) in _STANDARD and getattr(sys.modules[home], kind.__name__, None) is kind:
        return _STANDARD[home, kind.__name__]
    if issubclass(kind, Flag):
        return lambda item: pack("flag", _text(qualified(kind)), canonical(item.value))
    if issubclass(kind, Enum):
        return lambda item: pack("enum", _text(qualified(kind)), _text(item.name))
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        names: Iterable[str] = kind._fields
        return _by_field(kind, names)
    params = vars(kind).get("__dataclass_params__")
    if params is not None and params.frozen:
        return _by_field(kind, _compared(kind))
    raise _NoKey(kind.__name__)


def _by_field(kind: type, names: Iterable[str]) -> Callable[[Any], bytes]:
    head = _text(qualified(kind))
    rows = [(_text(name), name) for name in names]

    def write(item: Any) -> bytes:
        parts = [part for label, name in rows for part in (label, canonical(getattr(item, name)))]
        return pack("record", head, *parts)

    return write


def _compared(kind: type) -> list[str]:
    """The fields that count when two instances are compared."""
    from dataclasses import fields

    return [entry.name for entry in fields(kind) if entry.compare]


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _zone(item: Any) -> bytes:
    """A time zone by its name: two zones may share an offset today."""
    zone = item.tzinfo
    if zone is None:
        return b""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None) or item.tzname() or ""
    return _text(str(name))


def _moment(tag: str) -> Callable[[Any], bytes]:
    return lambda item: pack(tag, _text(item.isoformat()), b"%d" % item.fold, _zone(item))


def _as_str(tag: str) -> Callable[[Any], bytes]:
    return lambda item: pack(tag, _text(str(item)))


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    str: lambda item: pack("str", item.encode("utf-8", "surrogatepass")),
    bytes: lambda item: pack("bytes", item),
    int: lambda item: pack("int", b"%x" % item),
    float: lambda item: pack("float", item.hex().encode()),
    bool: lambda item: pack("bool", b"1" if item else b"0"),
    type(None): lambda item: pack("None"),
    tuple: lambda item: pack("tuple", *[canonical(part) for part in item]),
    frozenset: lambda item: pack("frozenset", *sorted([canonical(part) for part in item])),
}
# Modules that an item's type proves to be imported, so that none is imported for this.
_STANDARD: dict[tuple[str, str], Callable[[Any], bytes]] = {
    ("datetime", "datetime"): _moment("datetime"),
    ("datetime", "time"): _moment("time"),
    ("datetime", "date"): lambda item: pack("date", _text(item.isoformat())),
    ("datetime", "timedelta"): lambda item: pack(
        "timedelta", b"%d" % item.days, b"%d" % item.seconds, b"%d" % item.microseconds
    ),
    ("decimal", "Decimal"): _as_str("Decimal"),
    ("fractions", "Fraction"): lambda item: pack(
        "Fraction", b"%x" % item.numerator, b"%x" % item.denominator
    ),
    ("uuid", "UUID"): lambda item: pack("UUID", item.bytes),
    **{
        ("pathlib", name): _as_str(name)
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
}
