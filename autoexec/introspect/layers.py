"""What is inside a callable: partials, bound methods, wrappers, objects with `__call__`.

What may live here: the one way to unwrap, and to look at an attribute without running anything.
"""

from __future__ import annotations

from functools import partial
from types import BuiltinMethodType, FunctionType, MemberDescriptorType, MethodType, ModuleType

from . import attributes, bare, isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MISSING", "layers", "peek"]

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
