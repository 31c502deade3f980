"""What is inside a callable: partials, bound methods, wrappers, objects with `__call__`; cells and defaults.

What may live here: the one way to unwrap, to look at an attribute without running anything, and to take apart
what only stands for something else.
"""

from __future__ import annotations

from _weakref import ReferenceType
from functools import partial, partialmethod
from gc import get_referents
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)

from . import attributes, bare, isa, slots_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["MISSING", "captured", "cells", "content", "defaults", "functions_in", "inside", "layers", "peek"]

MISSING: Any = object()


def peek(obj: Any, name: str) -> tuple[Any, bool]:
    """The attribute `name`, without running properties or `__getattr__`; and whether its class has it."""
    if isa(obj, ModuleType):
        return vars(obj).get(name, MISSING), False
    own = MISSING if isa(obj, type) else attributes(obj).get(name, MISSING)
    if own is not MISSING:
        return own, False
    for base in obj.__mro__ if isa(obj, type) else type(obj).__mro__:
        if name in vars(base):
            return _unbound(vars(base)[name], obj)
    return MISSING, False


def _unbound(found: Any, obj: object) -> tuple[Any, bool]:
    if isa(found, staticmethod):
        return found.__func__, False
    if isa(found, classmethod):
        return found.__func__, True
    if isa(found, MemberDescriptorType):
        try:
            return found.__get__(obj), False
        except Exception:
            return MISSING, False
    if isa(found, FunctionType):
        return found, not isa(obj, type)
    return (MISSING, False) if hasattr(type(found), "__get__") else (found, False)


def layers(func: Any) -> tuple[Any, list[tuple[Any, ...]], dict[str, Any]]:
    """Peel partials and bound methods: the core callable, the values bound in front, the keywords bound.

    Each bound value comes as a tuple (name, value).
    """
    front: list[tuple[Any, ...]] = []
    keywords: dict[str, Any] = {}
    for _ in range(32):
        if isa(func, partial):
            front = [(f"partial.args[{i}]", value) for i, value in enumerate(func.args)] + front
            keywords = {**func.keywords, **keywords}
            func = func.func
        elif isa(func, MethodType):
            front = [("self", func.__self__), *front]
            func = func.__func__
        elif not isa(func, (FunctionType, BuiltinMethodType, type)):
            inner = _callable_core(func)
            if inner is None:
                break
            func, bound = inner
            front = bound + front
        else:
            break
    return func, front, keywords


def _callable_core(func: Any) -> tuple[Any, list[tuple[Any, ...]]] | None:
    if (inner := bare(func)) is not func:
        return inner, []
    wrapped = attributes(func).get("__wrapped__")
    if callable(wrapped) and not isa(peek(type(func), "__call__")[0], FunctionType):
        return wrapped, []  # functools.lru_cache and its kin in C
    call, _ = peek(type(func), "__call__")
    return (call, [("self", func)]) if isa(call, FunctionType) else None


# Parts ------------------------------------------------------------------------------------------------------


def content(cell: CellType, default: Any = None) -> Any:
    """What a cell holds; `default` while its variable has no value."""
    try:
        return cell.cell_contents
    except ValueError:
        return default


def cells(func: FunctionType) -> Iterator[tuple[str, CellType]]:
    """The variables that a function shares with the one around it."""
    return zip(func.__code__.co_freevars, func.__closure__ or (), strict=False)


def captured(func: FunctionType) -> Iterator[tuple[str, Any]]:
    """What those hold that have a value."""
    found = ((name, content(cell, MISSING)) for name, cell in cells(func))
    return ((name, value) for name, value in found if value is not MISSING)


def defaults(func: FunctionType) -> Iterator[tuple[str, Any]]:
    """What parameters have that are not given, by name.

    >>> [*defaults(lambda a, b=1, *, c=2: None)]
    [('b', 1), ('c', 2)]
    """
    code, values = func.__code__, func.__defaults__ or ()
    yield from zip(code.co_varnames[code.co_argcount - len(values) : code.co_argcount], values, strict=False)
    yield from (func.__kwdefaults__ or {}).items()


def inside(obj: Any) -> list[Any] | None:
    """The parts of what stands for something else: cells, methods, partials, properties and their kin.

    None of what stands for itself.

    >>> inside([1].append), inside(property(len)), inside(1)
    ([[1]], [<built-in function len>, None, None], None)
    """
    if isa(obj, CellType):
        return [content(obj)]
    if isa(obj, MethodType):
        return [obj.__func__, obj.__self__]
    if isa(obj, (BuiltinMethodType, MethodWrapperType)):
        return [] if isa(obj.__self__, ModuleType) else [obj.__self__]
    if isa(obj, (partial, partialmethod)):
        return [obj.func, *obj.args, *obj.keywords.values(), *attributes(obj).values()]
    if isa(obj, (staticmethod, classmethod)):
        return [obj.__func__]
    if isa(obj, ReferenceType):  # a weak one, as observers are kept; of a method its function, too
        return [ReferenceType.__call__(obj), *(value for _, value in slots_of(obj))]
    if isa(obj, property):
        return [obj.fget, obj.fset, obj.fdel]
    if type(obj).__module__ == "functools":  # caches, cached properties, methods by type, keys
        return functions_in(attributes(obj)) or functions_in(get_referents(obj))
    return None


def functions_in(value: Any) -> list[Any]:
    """The functions that something of a library's holds, one by one or in a registry."""
    kinds = (FunctionType, MethodType, partial)
    if isa(value, kinds):
        return [value]
    if isa(value, (dict, MappingProxyType)):
        value = [*value.values()]
    return [one for one in value if isa(one, kinds)] if isa(value, (list, tuple)) else []
