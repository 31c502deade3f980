"""Whose something is: the user's own, or a library's.

What may live here: the rules that tell them apart, by file, by module, by name.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from types import BuiltinFunctionType, FunctionType, ModuleType

from . import attributes, importable, isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["is_library", "is_library_type", "is_stdlib", "of_library", "top_package"]

_STDLIB = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_OURSELVES = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@cache
def is_stdlib(filename: str) -> bool:
    """Whether code from this file belongs to the standard library (or to autoexec itself).

    >>> is_stdlib("<frozen os>"), is_stdlib("<stdin>")
    (True, False)
    """
    if filename.startswith("<frozen"):
        return True
    inside = filename.startswith(_STDLIB) and "-packages" + os.sep not in filename
    return inside or filename.startswith(_OURSELVES)


@cache
def is_library(filename: str) -> bool:
    """Whether code from this file was installed rather than written by the user."""
    return is_stdlib(filename) or f"-packages{os.sep}" in filename


def top_package(kind: type) -> str:
    """The name of the package that a class says it belongs to."""
    return kind.__module__.partition(".")[0]


def of_library(obj: Any) -> bool:
    """Whether it is a module, a class or a function that was installed, and has a name there."""
    if isa(obj, ModuleType):
        file = vars(obj).get("__file__")
        return is_library(file) if file else obj.__name__ in sys.builtin_module_names
    if isa(obj, (type, BuiltinFunctionType)):
        module = sys.modules.get(getattr(obj, "__module__", None) or "")
        named = module is not None and getattr(module, obj.__name__, None) is obj
        return named and of_library(module)
    if isa(obj, FunctionType):
        return is_library(obj.__code__.co_filename) and importable(obj)
    kind = type(obj)
    return kind.__module__ == "numpy" and kind.__name__ in ("ufunc", "_ArrayFunctionDispatcher")


def is_library_type(kind: type) -> bool:
    """A library's object keeps caches and connections of its own, which are no business of ours."""
    path = attributes(sys.modules.get(kind.__module__)).get("__file__")
    if path is None:
        return kind.__module__ in sys.builtin_module_names
    return kind.__module__ != "__main__" and is_library(path)
