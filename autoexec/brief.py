"""An object in few words, at a price that does not depend on its size.

The text is that of `repr`, as far as it goes: strings are cut before they are written, containers and records
are written part by part until there is enough, arrays are named by their shape. Only an object that writes
itself, by a `__repr__` of its own, is asked for all of its words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from .introspect import isa
from .introspect.contents import title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Piece = str | tuple[Any]  # text, or a part that is still to be written
    Writer = Callable[[Any], Iterator[Piece]]

__all__ = ["NO_WORDS", "brief"]

NO_WORDS = "an item whose repr raises"
DEEPEST = 8  # levels of nesting that are written
LONGEST = 500  # characters of a string, and digits of a number, that are written
FEW = 16  # elements of an array that is written out
_SHORT = frozenset((float, bool, complex, type(None)))
# Whatever of theirs has a shape holds more than anybody wants to read.
_ARRAYS = (
    "numpy",
    "scipy",
    "pandas",
    "polars",
    "pyarrow",
    "torch",
    "tensorflow",
    "jaxlib",
    "cupy",
    "xarray",
    "dask",
)


def brief(item: object, most: int) -> str:
    """`repr(item)` in at most `most` characters: its beginning and "..." where there is more. Never raises.

    >>> brief({"id": 7, "rows": [1, 2]}, 40), brief(list(range(10**6)), 20)
    ("{'id': 7, 'rows': [1, 2]}", '[0, 1, 2, 3, 4, 5...')
    """
    try:
        text = repr(item) if _is_short(item, most) else _written(item, most)
    except Exception:  # a `__repr__` of theirs
        return NO_WORDS
    return text if len(text) <= most else text[: max(0, most - 3)] + "..."


def _is_short(item: Any, most: int) -> bool:
    """Whether it needs no second look, as most items do not."""
    kind = type(item)
    if kind is str or kind is bytes:
        return len(item) <= most
    return kind in _SHORT or (kind is int and item.bit_length() < 64)


def _written(item: object, most: int) -> str:
    """More than `most` characters only where there is more to say."""
    text, size = [], 0
    open_ = [_pieces(item)]  # what is being written, and what it is a part of
    while open_ and size <= most:
        piece = next(open_[-1], None)
        if piece is None:
            open_.pop()
        elif isinstance(piece, str):
            text.append(piece)
            size += len(piece)
        else:
            open_.append(_pieces(piece[0]) if len(open_) < DEEPEST else iter(("...",)))
    return "".join(text)


def _pieces(obj: Any) -> Iterator[Piece]:
    author = next(base for base in type(obj).__mro__ if "__repr__" in base.__dict__)
    write = _WRITERS.get((author.__module__, author.__qualname__)) or _generated(author)
    if write is not None:
        return write(obj)
    if str(author.__module__).partition(".")[0] in _ARRAYS:
        return _array(obj)
    return iter((repr(obj),))


# Atoms and arrays -------------------------------------------------------------------------------------------


def _text(obj: Any) -> Iterator[Piece]:
    base: Any = next(base for base in (str, bytes, bytearray) if isa(obj, base))
    if base.__len__(obj) <= LONGEST:
        yield base.__repr__(obj)
    else:
        yield base.__repr__(base.__getitem__(obj, slice(LONGEST)))
        yield "..."


def _int(obj: Any) -> Iterator[Piece]:
    bits = int.bit_length(obj)
    yield int.__repr__(obj) if bits < 3 * LONGEST else f"<{title(obj)} of {bits} bits>"


def _array(obj: Any) -> Iterator[Piece]:
    if isa(obj, (str, bytes)):  # numpy has its own
        return _text(obj)
    shape: Any = getattr(obj, "shape", None)
    dtype = getattr(obj, "dtype", None)
    if not isa(shape, tuple) or (_few(shape) and not getattr(dtype, "hasobject", False)):
        return iter((repr(obj),))
    return iter((f"<{title(obj)} of shape {shape}{'' if dtype is None else f', {dtype}'}>",))


def _few(shape: tuple[Any, ...]) -> bool:
    return all(isa(length, int) for length in shape) and math.prod(shape) <= FEW


# Containers -------------------------------------------------------------------------------------------------


def _listed(begin: str, parts: Iterable[Any], end: str) -> Iterator[Piece]:
    yield begin
    for place, part in enumerate(parts):
        if place:
            yield ", "
        yield (part,)
    yield end


def _pairs(begin: str, pairs: Iterable[tuple[Any, Any]], end: str) -> Iterator[Piece]:
    yield begin
    for place, (key, value) in enumerate(pairs):
        if place:
            yield ", "
        yield (key,)
        yield ": "
        yield (value,)
    yield end


def _list(obj: Any) -> Iterator[Piece]:
    return _listed("[", list.__iter__(obj), "]")


def _tuple(obj: Any) -> Iterator[Piece]:
    return _listed("(", tuple.__iter__(obj), ",)" if tuple.__len__(obj) == 1 else ")")


def _set(obj: Any) -> Iterator[Piece]:
    base: Any = set if isa(obj, set) else frozenset
    name = type(obj).__name__
    if not base.__len__(obj):
        return iter((f"{name}()",))
    begin, end = ("{", "}") if type(obj) is set else (f"{name}({{", "})")
    return _listed(begin, base.__iter__(obj), end)


def _deque(obj: Any) -> Iterator[Piece]:
    return _listed(f"{type(obj).__name__}([", obj, "])" if obj.maxlen is None else f"], maxlen={obj.maxlen})")


def _view(obj: Any) -> Iterator[Piece]:
    return _listed(f"{type(obj).__name__}([", obj, "])")


def _numbers(obj: Any) -> Iterator[Piece]:
    return _listed(f"array({obj.typecode!r}, [", obj, "])")


def _dict(obj: Any) -> Iterator[Piece]:
    return _pairs("{", dict.items(obj), "}")


def _special_dict(obj: Any) -> Iterator[Piece]:
    return _pairs(f"{type(obj).__name__}({{", dict.items(obj), "})")


def _default_dict(obj: Any) -> Iterator[Piece]:
    yield f"{type(obj).__name__}("
    yield (obj.default_factory,)
    yield from _pairs(", {", dict.items(obj), "})")


def _data(obj: Any) -> Iterator[Piece]:
    yield (obj.data,)


# Records ----------------------------------------------------------------------------------------------------


def _record(name: str, fields: Iterable[tuple[str, Any]]) -> Iterator[Piece]:
    yield f"{name}("
    for place, (label, value) in enumerate(fields):
        yield f"{', ' if place else ''}{label}"
        yield (value,)
    yield ")"


def _error(obj: Any) -> Iterator[Piece]:
    return _record(type(obj).__name__, (("", arg) for arg in obj.args))


def _namespace(obj: Any) -> Iterator[Piece]:
    known = type(obj).__name__
    name = "namespace" if known == "SimpleNamespace" else known
    return _record(name, ((f"{label}=", value) for label, value in list(vars(obj).items())))


def _partial(obj: Any) -> Iterator[Piece]:
    named = ((f"{label}=", value) for label, value in obj.keywords.items())
    return _record(title(obj), [("", obj.func), *(("", arg) for arg in obj.args), *named])


def _method(obj: Any) -> Iterator[Piece]:
    yield f"<bound method {getattr(obj.__func__, '__qualname__', '?')} of "
    yield (obj.__self__,)
    yield ">"


def _named_tuple(obj: Any) -> Iterator[Piece]:
    values = zip(obj._fields, tuple.__iter__(obj), strict=False)
    return _record(type(obj).__name__, ((f"{label}=", value) for label, value in values))


def _dataclass(obj: Any) -> Iterator[Piece]:
    labels = [entry.name for entry in obj.__dataclass_fields__.values() if entry.repr]
    return _record(type(obj).__qualname__, ((f"{label}=", getattr(obj, label)) for label in labels))


def _attrs(obj: Any) -> Iterator[Piece]:
    labels = [entry.name for entry in obj.__attrs_attrs__ if entry.repr is True]
    return _record(type(obj).__qualname__, ((f"{label}=", getattr(obj, label)) for label in labels))


def _generated(author: Any) -> Writer | None:
    """How a record writes itself whose `__repr__` was generated: it would tell all of each field."""
    own = author.__dict__["__repr__"]
    code = getattr(getattr(own, "__wrapped__", own), "__code__", None)
    file = getattr(code, "co_filename", "")
    if "__dataclass_fields__" in author.__dict__ and file == "<string>":
        return _dataclass
    if "_fields" in author.__dict__ and getattr(own, "__module__", "") == "collections":
        return _named_tuple
    return _attrs if "__attrs_attrs__" in author.__dict__ and file.startswith("<attrs") else None


# By the class whose `__repr__` an object has.
_WRITERS: dict[tuple[str, str], Writer] = {
    **{("builtins", name): _text for name in ("str", "bytes", "bytearray")},
    ("builtins", "int"): _int,
    ("builtins", "list"): _list,
    ("builtins", "tuple"): _tuple,
    ("builtins", "set"): _set,
    ("builtins", "frozenset"): _set,
    ("builtins", "dict"): _dict,
    **{("builtins", name): _view for name in ("dict_keys", "dict_values", "dict_items")},
    **{("collections", name): _special_dict for name in ("OrderedDict", "Counter")},
    ("collections", "defaultdict"): _default_dict,
    **{("collections", name): _data for name in ("UserDict", "UserList")},
    ("collections", "deque"): _deque,
    ("array", "array"): _numbers,
    ("builtins", "BaseException"): _error,
    ("types", "SimpleNamespace"): _namespace,
    ("functools", "partial"): _partial,
    ("builtins", "method"): _method,
}
