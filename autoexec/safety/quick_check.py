"""A first glance at a function: most have nothing to hide, and a full reading costs 15 ms to import.

`harmless` is sure when it says True: the function stores nowhere but in its own variables, names no method
that changes things, and refers to constants, to libraries without a state of the whole process, and to
functions of the same kind only. Anything else is for `hazards` to read properly.
"""

from __future__ import annotations

from opcode import opmap
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

from ..introspect import bare, isa
from ..introspect.code import codes_of, names_of
from ..introspect.libraries import is_library, is_library_type, of_library
from ..introspect.methods import CHANGING_FUNCTIONS, CHANGING_METHODS
from .process_names import NAMES, ONE_AT_A_TIME, WINDOWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["harmless"]

DEPTH = 3  # helper functions of helper functions that are followed

_STORES = ("GLOBAL", "NAME", "ATTR", "SUBSCR", "SLICE", "DEREF")
_FORBIDDEN = frozenset(opmap.get(f"{verb}_{what}", -1) for verb in ("STORE", "DELETE") for what in _STORES)
_FORBIDDEN_NAMES = (
    CHANGING_METHODS
    | CHANGING_FUNCTIONS
    | {
        *("exec", "eval", "print", "open", "globals", "locals", "vars", "setattr", "delattr"),
        "random",  # draws of a generator that may have been seeded
    }
    | NAMES
)
_ATOMS = (int, float, str, bytes, bool, type(None), complex)
# Modules with a state of the whole process behind their functions.
_STATEFUL = (
    frozenset({"random", "os", "sys", "ctypes", "warnings", "locale", "decimal", "signal", "logging"})
    | WINDOWS
    | ONE_AT_A_TIME
)


def harmless(func: Any, depth: int = DEPTH) -> bool:
    """Whether a glance is enough to see that `func` changes and holds nothing that outlives its call.

    >>> harmless(lambda x: x + 1)
    True
    >>> seen = []
    >>> harmless(lambda x: seen.append(x))
    False
    """
    try:
        return _harmless(func, depth)
    except Exception:  # it resists being looked at, or a captured variable has no value yet
        return False


def _harmless(func: Any, depth: int) -> bool:
    func = bare(func)
    if isa(func, BuiltinFunctionType):
        return isa(func.__self__, (ModuleType, type(None)))
    if type(func) is not FunctionType or depth == 0:
        return False
    code = func.__code__
    return (
        _stores_nothing(code)
        and not (func.__defaults__ or func.__kwdefaults__ or hasattr(func, "__wrapped__"))
        and all(_plain(cell.cell_contents, depth) for cell in func.__closure__ or ())
        and all(_plain(func.__globals__[name], depth) for name in names_of(code) if name in func.__globals__)
    )


def _stores_nothing(code: CodeType) -> bool:
    stores = any(_FORBIDDEN.intersection(part.co_code[::2]) for part in codes_of(code))
    return not stores and _FORBIDDEN_NAMES.isdisjoint(names_of(code))


def _plain(value: Any, depth: int) -> bool:
    kinds = (FunctionType, BuiltinFunctionType, type)
    if isa(value := bare(value), kinds) and value.__name__ in _FORBIDDEN_NAMES:
        return False  # under another name, too
    if isa(value, BuiltinFunctionType):
        return isa(value.__self__, (ModuleType, type(None)))
    if isa(value, FunctionType):
        if is_library(value.__code__.co_filename):
            return not (value.__closure__ or hasattr(value, "__wrapped__"))
        return _harmless(value, depth - 1)
    if isa(value, ModuleType):
        return of_library(value) and value.__name__ not in _STATEFUL
    if isa(value, type):
        return value.__module__ == "builtins" or is_library_type(value)
    return type(value) in _ATOMS
