"""What stands in libraries that is not theirs: what a program, or a test, has put in the place of their own.

What may live here: whether something is a library's own, and what code names in modules of libraries.
"""

from __future__ import annotations

import sys
from types import FunctionType, MethodType, ModuleType

from ..introspect import MAIN, attributes, isa
from ..introspect.code import modules_imported, names_of
from ..introspect.contents import in_modules
from ..introspect.libraries import is_library, of_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["is_dunder", "read_in_libraries", "replaced"]


def is_dunder(name: str) -> bool:
    """Whether a name is one that the interpreter knows, such as `__doc__`."""
    return name.startswith("__") and name.endswith("__")


def replaced(value: Any) -> bool:
    """Whether something that was found in a library's module or class is somebody else's.

    >>> import json
    >>> replaced(json.loads), replaced(json.JSONEncoder)
    (False, False)
    """
    if isa(value, (staticmethod, classmethod)):
        value = value.__func__
    if isa(value, MethodType):
        value = value.__func__
    if isa(value, FunctionType):
        file = value.__code__.co_filename
        return _users(value.__globals__.get("__name__")) if file.startswith("<") else not is_library(file)
    if isa(value, type):
        return _users(value.__module__)
    kind = type(value)
    return kind.__module__ == "unittest.mock" or (callable(value) and _users(kind.__module__))


def _users(name: Any) -> bool:
    """Whether a module is the user's; what C code makes may name one that is not there."""
    file = attributes(sys.modules.get(name)).get("__file__") if name not in MAIN else None
    return name in MAIN or (file is not None and not is_library(file))


def read_in_libraries(func: FunctionType) -> Iterator[tuple[ModuleType, str, Any]]:
    """What code names in modules of libraries that it names or imports: module, name and value."""
    names = sorted(names_of(func.__code__))
    scope = func.__globals__
    homes = [*(scope.get(name) for name in names), *modules_imported(func.__code__, scope, of_library)]
    for module, name, value in in_modules(names, homes, of_library):
        if not (isa(value, ModuleType) or is_dunder(name)):
            yield module, name, value
