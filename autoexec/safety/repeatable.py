"""Could anybody tell that a function was called once more for an item? Only where the answer is a sure no.

What changes in this program is for `effects` and `hazards` to say; here is asked what is sent, written,
printed or started. So all that code names has to be known: built-in types, and libraries that compute.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, ModuleType

from ..introspect import bare, isa
from ..introspect.code import names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["repeatable"]

DEPTH = 4  # helper functions of helper functions that are followed
_TYPES = (str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset, range, slice)
_ATTRIBUTES = frozenset(name for cls in _TYPES for name in dir(cls))
_TALKING = frozenset(
    {"__import__", "breakpoint", "eval", "exec", "exit", "help", "input", "open", "print", "quit", "setattr"}
)
_BUILT_IN = frozenset(vars(builtins)) - _TALKING
# Libraries that compute and nothing else.
_COMPUTING = frozenset(
    (
        *("builtins", "base64", "binascii", "bisect", "cmath", "collections", "copy", "datetime", "difflib"),
        *("fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator"),
        *("re", "statistics", "string", "struct", "textwrap", "time", "unicodedata", "zlib", "numpy"),
        *("_bisect", "_collections", "_functools", "_heapq", "_json", "_operator", "_struct", "_thread"),
        "threading",
    )
)
# And what of them does more than that, or works on somebody else's behalf.
_MORE = frozenset({"dump", "memmap", "open_memmap", "save", "savetxt", "savez", "start", "tofile"})


def repeatable(func: Any, args: Iterable[object] = ()) -> bool:
    """Whether nobody outside this program could tell that `func` was called twice with these arguments.

    >>> repeatable(lambda x: (n * x for n in range(x)))
    True
    >>> repeatable(lambda x: print(x))
    False
    """
    try:
        # What the methods of other objects do, no name tells.
        return all(map(_simple, args)) and _computes(func, DEPTH)
    except Exception:  # it resists being looked at
        return False


def _simple(value: object) -> bool:
    return type(value).__module__ in _COMPUTING


def _computes(func: Any, depth: int) -> bool:
    func = bare(func)
    if isa(func, MethodDescriptorType):
        return func.__objclass__.__module__ in _COMPUTING
    if isa(func, BuiltinFunctionType):
        home = func.__self__
        plain = home is None or isa(home, ModuleType)
        silent = func.__name__ not in _TALKING | _MORE
        return silent and (func.__module__ in _COMPUTING if plain else _simple(home))
    if type(func) is not FunctionType or depth == 0 or hasattr(func, "__wrapped__"):
        return False
    cells = [cell.cell_contents for cell in func.__closure__ or ()]
    given = (*(func.__defaults__ or ()), *(func.__kwdefaults__ or {}).values())
    names = names_of(func.__code__)
    values = [func.__globals__[name] for name in names if name in func.__globals__]
    modules = [value for value in (*cells, *values) if isa(value, ModuleType)]
    known = _ATTRIBUTES.union(_BUILT_IN, *map(dir, modules)) - _MORE
    return all(name in known or name in func.__globals__ for name in names) and all(
        _plain(value, depth) for value in (*cells, *given, *values)
    )


def _plain(value: Any, depth: int) -> bool:
    if isa(value, ModuleType):
        return value.__name__ in _COMPUTING and value is not builtins
    if isa(value, type):
        return value.__module__ in _COMPUTING
    if callable(value):
        return _computes(value, depth - 1)
    return _simple(value)
