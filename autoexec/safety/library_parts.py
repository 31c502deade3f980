"""What stands in libraries that is not theirs: what a program, or a test, has put in the place of their own.

What may live here: whether something is a library's own, and what code names in modules of libraries.
"""

from __future__ import annotations

import builtins
import sys
from collections import deque
from types import BuiltinFunctionType, FunctionType, ModuleType

from ..introspect import isa, static_attribute
from ..introspect.code import modules_imported, names_of
from ..introspect.libraries import of_library, replaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["is_dunder", "read_in_libraries"]

MOST = 2000  # names in modules that are looked at; they take a third of a millisecond
_BUILTIN = frozenset(("__debug__", "__build_class__", "__loader__", "__spec__", "Ellipsis", "NotImplemented"))


def is_dunder(name: str) -> bool:
    """Whether a name is one that the interpreter knows, such as `__doc__`."""
    return name.startswith("__") and name.endswith("__")


def read_in_libraries(
    func: FunctionType, seen: dict[int, ModuleType] | None = None, *, deep: bool = True
) -> Iterator[tuple[ModuleType, str, Any]]:
    """What code reads in modules of libraries that it names or imports: module, name and value.

    Args:
        func: the function.
        seen: modules that were gone through for what others have put there, by identity; more are added.
        deep: whether modules are gone through so.
    """
    names = set(names_of(func.__code__))
    scope = func.__globals__
    homes: list[Any] = [
        *(scope.get(name) for name in names),
        *modules_imported(func.__code__, scope, of_library),
    ]
    own: dict[int, ModuleType] = {}
    while homes:
        module = homes.pop()
        if not isa(module, ModuleType) or id(module) in own or not of_library(module):
            continue
        own[id(module)] = module
        inside = vars(module)
        for name in sorted(names & inside.keys()):
            if isa(inside[name], ModuleType):
                homes.append(inside[name])
            elif not is_dunder(name):
                yield module, name, inside[name]
    if deep:
        yield from _put_there([*own.values()], {} if seen is None else seen)
    added = {name: vars(builtins)[name] for name in names - scope.keys() if _added(name)}
    yield from ((builtins, name, value) for name, value in added.items())


def _added(name: str) -> bool:
    """Whether a name of all modules is not one that Python itself has put there."""
    value = vars(builtins).get(name, builtins)
    if value is builtins or value is None or name in _BUILTIN:
        return False
    kind = type(value)
    if kind.__module__ in ("builtins", "_sitebuiltins") and isa(value, (BuiltinFunctionType, type)):
        return bool(static_attribute(value, "__module__") != "builtins")
    return kind.__module__ != "_sitebuiltins"


def _put_there(
    modules: list[ModuleType], seen: dict[int, ModuleType]
) -> Iterator[tuple[ModuleType, str, Any]]:
    """What others have put into modules and what those are made of, the nearest first.

    What a library's function calls is not named by the code that calls it.
    """
    ahead, left = deque(modules), MOST
    while ahead and left > 0:
        module = ahead.popleft()
        if id(module) in seen:
            continue
        seen[id(module)] = module
        inside = vars(module)
        left -= len(inside)
        for name, value in list(inside.items()):
            if _is_strange(value, module):
                yield module, name, value
            elif isa(value, type):
                left -= 4
                yield from ((module, f"{name}.{key}", part) for key, part in _strange_parts(value, module))
            elif (more := _leads_to(value, inside)) is not None:
                ahead.append(more)


def _is_strange(value: Any, module: ModuleType) -> bool:
    kind = type(value)
    if kind is FunctionType:
        return value.__globals__ is not vars(module) and replaced(value)
    if isa(value, type):
        return value.__module__ != module.__name__ and replaced(value)
    return kind.__module__ == "unittest.mock"


def _strange_parts(kind: type, module: ModuleType) -> list[tuple[str, Any]]:
    """Methods that others have put into a class of this module."""
    if kind.__module__ != module.__name__:
        return []
    own = vars(module)
    return [
        (key, part)
        for key, part in list(vars(kind).items())
        if type(part) is FunctionType and part.__globals__ is not own and replaced(part)
    ]


def _leads_to(value: Any, inside: dict[str, Any]) -> ModuleType | None:
    """The library's module that something comes from."""
    if type(value) is FunctionType:
        return None if value.__globals__ is inside else sys.modules.get(value.__module__)
    return value if type(value) is ModuleType and of_library(value) else None
