"""How the contents of a place are read: entry by entry as C code sees them, or a sample of too many.

What may live here: reading, and what is not read at all.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from types import BuiltinMethodType, CellType, FunctionType

from ..introspect import isa, loaded
from ..introspect.layers import MISSING, content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "HUGE",
    "IGNORED",
    "LARGE",
    "SAMPLE",
    "all_names",
    "cell_content",
    "data_reader",
    "elements_of",
    "entries_of",
    "has_method",
    "hidden_names",
    "is_array",
    "is_data",
    "is_path",
    "slot_values",
    "some_names",
]

HUGE = 50_000  # entries beyond which a container is compared by a sample
LENGTH = "its length"
LARGE = 2_000  # entries of a container; of a larger one only a sample is gone into
SAMPLE = 64
BYTES_MOST = 32 << 20  # of an array that are summed up; 80 MB take some 30 ms
BLOCK = 512  # words of 8 bytes: a block of an array, whose sum is compared
EXACT = 1 << 20  # bytes up to which every byte counts; 32 MB of blocks take 4 ms
# What classes, functions and modules keep for the interpreter.
IGNORED = frozenset(
    {
        "__slotnames__",
        "__annotations_cache__",
        "__annotate_func__",
        "__annotations__",
        "__warningregistry__",
        "__abstractmethods__",
        "_abc_impl",
        "__doc__",
        "__builtins__",
        "__cached__",
        "__loader__",  # which may hold on to anything: pytest's does
        "__spec__",
        "__static_attributes__",
        "__firstlineno__",
        "__conditional_annotations__",
        "__weakref__",
        "__dict__",
        "_value2member_map_",
        "_member_map_",
        "_unhashable_values_",
        "_hashable_values_",
    }
)


def has_method(kind: type, name: str) -> bool:
    """Whether a class has a method of that name, without asking it or its metaclass."""
    return any(name in vars(base) for base in kind.__mro__)


def hidden_names(kind: type) -> set[str]:
    """Names in an object's attributes that its class fills in: cached properties and their kin."""
    found = set()
    for base in kind.__mro__:
        for name, member in vars(base).items():
            descriptor = has_method(type(member), "__get__") and not has_method(type(member), "__set__")
            if descriptor and not isa(member, (FunctionType, staticmethod, classmethod, BuiltinMethodType)):
                found.add(name)
    return found


def entries_of(mapping: Any) -> tuple[list[Any], list[Any]]:
    """The keys and the values of a dict; of a huge one both ends, where new ones come, and its length.

    As C code sees it: a class of the user's may have ways of its own. A copy of the dict would ask keys of
    the user's whether they are equal.
    """
    if not isa(mapping, dict):
        return _apart(list(mapping.items())) if len(mapping) <= HUGE else ([LENGTH], [len(mapping)])
    if isa(mapping, OrderedDict):  # whose order is not that of the dict inside
        keys = [*islice(OrderedDict.__iter__(mapping), HUGE)]
        return keys, [dict.get(mapping, key) for key in keys]
    count = dict.__len__(mapping)
    items = dict.items(mapping)
    if count <= HUGE:
        return _apart([*items])
    ends = [*islice(items, SAMPLE), *islice(reversed(items), SAMPLE)]
    return _apart([*ends, (LENGTH, count)])


def _apart(items: list[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [key for key, _ in items], [value for _, value in items]


def elements_of(items: Any) -> list[Any]:
    """The elements of a list, deque or set; of a huge one its length and a sample."""
    kind: Any = next(base for base in (list, deque, set) if isa(items, base))
    count, each = kind.__len__(items), kind.__iter__(items)
    if count <= HUGE:
        return [*each]
    some = list.__getitem__(items, slice(None, None, count // LARGE)) if kind is list else islice(each, LARGE)
    return [count, *some]


def cell_content(cell: CellType) -> dict[str, Any]:
    """What a cell holds, under no name; MISSING while its variable has no value."""
    return {"": content(cell, MISSING)}


def some_names(namespace: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """These names of a module, bound or not."""
    return {name: namespace.get(name, MISSING) for name in names}


def all_names(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The names of a module or a class, but for those that the interpreter keeps there."""
    if len(namespace) > HUGE:
        return {LENGTH: len(namespace)}
    return {name: value for name, value in list(namespace.items()) if name not in IGNORED}


def slot_values(obj: Any, slots: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """What the slots of an object hold; MISSING where one is empty."""
    found = {}
    for name, member in slots:
        try:
            found[name] = member.__get__(obj)
        except AttributeError:
            found[name] = MISSING
    return found


def is_array(obj: object) -> bool:
    """Whether it is an array of numpy, without importing that."""
    return any(base.__name__ == "ndarray" and base.__module__ == "numpy" for base in type(obj).__mro__)


def is_path(obj: object) -> bool:
    """Paths keep parts of themselves at hand, and never change."""
    pathlib = loaded("pathlib")  # asked by name: those who use none are spared the import
    return pathlib is not None and isa(obj, pathlib.PurePath)


def is_data(obj: Any) -> bool:
    """Whether it is an array or a buffer of numbers."""
    if isa(obj, bytearray) or (type(obj).__module__ == "array" and type(obj).__name__ == "array"):
        return True
    return is_array(obj)


def data_reader(obj: Any) -> Callable[[], Any] | None:
    """How the contents of an array or buffer are read; None where that would take too long."""
    if isa(obj, bytearray) or type(obj).__module__ == "array":
        return partial(_sum, obj)
    if obj.nbytes > BYTES_MOST:
        return None
    if obj.dtype.hasobject:
        return partial(list, obj.flat) if obj.size <= HUGE else None
    small = obj.flags.c_contiguous or obj.nbytes <= EXACT
    return partial(_array_sum, obj) if small else None


def _sum(obj: Any) -> list[Any]:
    """Of copies of its ends where it is long: a view would keep another thread from changing its length."""
    from zlib import crc32

    count = len(obj)
    if count <= EXACT:
        return [count, crc32(obj[:])]
    return [count, crc32(obj[:BLOCK]), crc32(obj[-BLOCK:])]


def _array_sum(obj: Any) -> list[int]:
    from zlib import crc32

    flat = obj if obj.flags.c_contiguous else obj.copy(order="C")
    if not obj.size:
        return [*obj.shape]
    data = flat.reshape(-1).view("u1")
    if len(data) > EXACT:
        whole = len(data) // (8 * BLOCK) * 8 * BLOCK
        sums = data[:whole].view("u8").reshape(-1, BLOCK).sum(axis=1)
        return [*obj.shape, crc32(sums.view("u1")), crc32(data[whole:])]
    return [*obj.shape, crc32(data)]
