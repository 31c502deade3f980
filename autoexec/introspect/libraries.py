"""Whose something is: the user's own, or a library's.

What may live here: the rules that tell them apart, by file, by module, by name.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from . import MAIN, attributes, importable, isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "is_library", "is_library_type", "is_stdlib", "of_library", "of_user", "replaced", "top_package"
]  # fmt: skip

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
    """Whether code from this file was installed rather than written by the user.

    A package of the user's own may be installed, too: from a folder of this machine, or without an installer.
    """
    if is_stdlib(filename):
        return True
    folder, mark, inside = filename.rpartition(f"-packages{os.sep}")
    if not mark:
        return False
    own = _own_work(folder + mark)
    return own is not None and inside.partition(os.sep)[0].removesuffix(".py") not in own


@cache
def _own_work(folder: str) -> frozenset[str] | None:
    """The modules in a folder of packages that were installed from a folder of this machine.

    None if no installer has ever been there. One listing and a look for each package: half a millisecond.
    """
    try:
        installed = [name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return frozenset()
    if not installed and not folder.startswith((sys.prefix + os.sep, sys.base_prefix + os.sep)):
        return None
    found: set[str] = set()
    for name in installed:
        about = os.path.join(folder, name)
        if name.endswith(".dist-info") and os.path.exists(os.path.join(about, "direct_url.json")):
            try:
                found |= _built_here(about)
            except (OSError, ValueError, KeyError, TypeError):  # whatever that is, it is no installer's
                continue
    return frozenset(found)


def _built_here(about: str) -> set[str]:
    """The modules of an installed package, if the folder that it was built from is on this machine."""
    import json

    with open(os.path.join(about, "direct_url.json"), encoding="utf-8") as file:
        origin = json.load(file)
    if "dir_info" not in origin or not os.path.isdir(origin["url"].removeprefix("file://")):
        return set()
    with open(os.path.join(about, "RECORD"), encoding="utf-8") as file:
        files = [line.partition(",")[0] for line in file]
    tops = {name.partition("/")[0].removesuffix(".py") for name in files if name.endswith(".py")}
    return tops - {".."}


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
    if isa(obj, FunctionType):  # one that a library has made around the user's own is the user's
        return is_library(obj.__code__.co_filename) and importable(obj) and _of_library_module(obj)
    kind = type(obj)
    return kind.__module__ == "numpy" and kind.__name__ in ("ufunc", "_ArrayFunctionDispatcher")


def of_user(obj: Any) -> bool:
    """Whether it is none of those."""
    return not of_library(obj)


def _of_library_module(obj: Any) -> bool:
    home = sys.modules.get(obj.__module__)
    return home is not None and of_library(home)


def is_library_type(kind: type) -> bool:
    """A library's object keeps caches and connections of its own, which are no business of ours."""
    path = attributes(sys.modules.get(kind.__module__)).get("__file__")
    if path is None:
        return kind.__module__ in sys.builtin_module_names
    return kind.__module__ != "__main__" and is_library(path)


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
