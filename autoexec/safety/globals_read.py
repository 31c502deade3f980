"""Globals of the user's modules that a function reads: a fresh interpreter has them as on the first day.

A function that is found by name on the other side brings its module, imported anew. What the program has set
there meanwhile (a configuration, a table that was loaded) has to travel along, or the function would do
something else than in the loop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType

from ..introspect import MAIN, bare, isa
from ..introspect.code import names_of
from ..introspect.elsewhere import only_here
from ..introspect.layers import layers
from ..introspect.libraries import of_library
from .fingerprint import DEEPEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["module_globals"]


def module_globals(func: Callable[..., object]) -> dict[tuple[str, str], Any]:
    """Values by module and name; functions, classes and modules, which are found there anyway, are left out.

    >>> module_globals(lambda x: x), module_globals(len)
    ({}, {})
    """
    found: dict[tuple[str, str], Any] = {}
    try:
        _collect(func, found, set(), 0)
    except Exception:  # an object that resists being looked at is no reason to fail
        return found
    return found


def _collect(obj: Any, found: dict[tuple[str, str], Any], seen: set[int], depth: int) -> None:
    obj = layers(obj)[0]
    if not isa(obj, FunctionType) or id(obj) in seen or depth > DEEPEST or of_library(obj):
        return
    seen.add(id(obj))
    for cell in obj.__closure__ or ():
        _collect(cell.cell_contents, found, seen, depth + 1)
    for module, name, value in _read(obj):
        if isa(bare(value), FunctionType):
            _collect(value, found, seen, depth + 1)
        elif not isa(value, (type, ModuleType)) and module not in MAIN and not only_here(module):
            found[module, name] = value


def _read(func: FunctionType) -> Iterator[tuple[str, str, Any]]:
    """Module, name and value of what the code names: globals, and attributes of modules of the user's."""
    names, values = set(names_of(func.__code__)), func.__globals__
    home = str(values.get("__name__", ""))
    for name in names & values.keys():
        value = values[name]
        if isa(value, ModuleType) and not of_library(value):
            inside = vars(value)
            yield from ((value.__name__, attr, inside[attr]) for attr in names & inside.keys())
        elif home in sys.modules:
            yield home, name, value
