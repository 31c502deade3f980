"""What an object really has and what a function really is, told without running anything of the user's.

What may live here: questions about one object or function that every floor asks, and nothing that takes long
to import. What code names is in `code`, what an object holds in `contents`, whose something is in
`libraries`, what another process would find in `elsewhere`, how to unwrap in `layers`, which module is being
imported in `importing`, the one table of methods that change things in `methods`.

Mocks, proxies of remote objects and clients that build paths answer every attribute that they are asked for:
`__code__`, `__wrapped__`, `close`. What a `__getattr__` makes up on the spot is not believed here; what
counts lies in the object itself, in its class, or in C code.
"""

from __future__ import annotations

import sys
from functools import partial
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    WrapperDescriptorType,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = [
    "ATOMS",
    "CO_ASYNC_GENERATOR",
    "CO_COROUTINE",
    "MAIN",
    "Same",
    "attributes",
    "bare",
    "flags",
    "importable",
    "isa",
    "loaded",
    "members_of",
    "name_of",
    "named",
    "slots_of",
    "static_attribute",
]

CO_COROUTINE, CO_ASYNC_GENERATOR = 0x80, 0x200  # as in inspect, whose import takes 11 ms
# Types whose values hold nothing and never change: they are what they are in every process.
ATOMS = frozenset((int, float, complex, bool, str, bytes, type(None), type(...), range))
MAIN = ("__main__", "__mp_main__")  # names of the module that a fresh interpreter has not got
_MISSING: Any = object()
_ROOT = __name__.partition(".")[0]
_LAYERS = 32  # of wrappers around wrappers
# Attributes that say of a callable that its calls are awaited, and the values that they may have.
_MARKS = (
    ("_is_coroutine_marker", "inspect", ("_is_coroutine_mark", "_is_coroutine_marker")),
    ("_is_coroutine", "asyncio.coroutines", ("_is_coroutine",)),
)


class Same:
    """An object as a value that equals nothing but itself; it is kept: no other one gets its address."""

    __slots__ = ("obj",)

    def __init__(self, obj: object) -> None:
        self.obj = obj

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.obj is self.obj

    def __hash__(self) -> int:
        return id(self.obj)


def isa(obj: object, kinds: type | tuple[type, ...]) -> bool:
    """`isinstance` that never asks the object itself, whose `__class__` may be a trap."""
    return issubclass(type(obj), kinds)


def attributes(obj: object) -> dict[str, Any]:
    """The instance dictionary of `obj`, or an empty one."""
    try:
        found = object.__getattribute__(obj, "__dict__")
    except Exception:
        return {}
    return found if isa(found, dict) else {}


def static_attribute(obj: Any, name: str, default: Any = None) -> Any:
    """The attribute that an object has without being asked, else `default`. Never raises.

    Like `inspect.getattr_static`, a property or a function of the class comes as it stands there; but what C
    code or a slot holds is fetched.

    >>> from unittest.mock import Mock
    >>> static_attribute(Mock(), "__wrapped__"), static_attribute(len, "__name__")
    (None, 'len')
    """
    found = _in_classes(type(obj).__mro__, name)
    if isa(found, (GetSetDescriptorType, MemberDescriptorType)):
        return _fetched(found, obj, default)
    own = _in_classes(obj.__mro__, name) if isa(obj, type) else attributes(obj).get(name, _MISSING)
    if own is not _MISSING:
        return own
    return default if found is _MISSING else found


def slots_of(obj: object, *, native: bool = False) -> Iterator[tuple[str, Any]]:
    """The attributes of `obj` that lie in slots, as far as they are set; see `members_of`.

    >>> class Point:
    ...     __slots__ = ("x", "y")
    >>> point = Point()
    >>> point.y = 2
    >>> [*slots_of(point)]
    [('y', 2)]
    """
    for name, member in members_of(type(obj), native=native):
        value = _fetched(member, obj, _MISSING)
        if value is not _MISSING:
            yield name, value


def members_of(cls: type, *, native: bool = False) -> Iterator[tuple[str, MemberDescriptorType]]:
    """The slots that a class gives to its objects, by name; if `native`, also what C code shows like that."""
    for kind in cls.__mro__:
        if native or "__slots__" in vars(kind):
            for name, member in list(vars(kind).items()):
                slot = isa(member, MemberDescriptorType) and member.__objclass__ is kind
                if slot and not (native and name.startswith("__")):
                    yield name, member


def _in_classes(classes: Iterable[type], name: str) -> Any:
    for base in classes:
        if name in base.__dict__:
            return base.__dict__[name]
    return _MISSING


def _fetched(descriptor: Any, obj: object, default: Any) -> Any:
    try:
        return descriptor.__get__(obj, type(obj))
    except Exception:  # an empty slot
        return default


def name_of(func: object) -> str:
    """What people call a function; of a callable object the name of its type.

    >>> name_of(str.upper), name_of(print)
    ('str.upper', 'print')
    """
    while isa(func, MethodType):
        func = func.__func__  # type: ignore[attr-defined]
    names = (static_attribute(func, name) for name in ("__qualname__", "__name__"))
    return next((name for name in names if isa(name, str)), type(func).__qualname__)


def bare(func: Any) -> Any:
    """The function inside one of our own wrappers, whose calls call it and nothing else; or `func` itself."""
    while str(type(func).__module__).partition(".")[0] == _ROOT:
        inner = attributes(func).get("__wrapped__")
        if inner is None:
            break
        func = inner
    return func


def named(obj: object) -> bool:
    """Whether this very object is found under its own name in its module, in this process."""
    module, path = static_attribute(obj, "__module__"), static_attribute(obj, "__qualname__")
    if not isa(module, str) or not isa(path, str):
        return False
    found: Any = sys.modules.get(module)
    try:
        for part in path.split("."):
            found = getattr(found, part, None)
    except Exception:  # a class or a module whose own `__getattr__` fails
        return False
    return found is obj


def importable(obj: object) -> bool:
    """Whether a fresh interpreter, too, finds this very object under its name.

    >>> importable(print), importable(lambda: None)
    (True, False)
    """
    return static_attribute(obj, "__module__") not in MAIN and named(obj)


# Coroutines -------------------------------------------------------------------------------------------------


def loaded(name: str) -> Any:
    """A module that has been imported; None also while another thread is still at it: parts are missing then.

    >>> loaded("autoexec.introspect").__name__, loaded("no.such.module")
    ('autoexec.introspect', None)
    """
    module = sys.modules.get(name)
    return None if getattr(getattr(module, "__spec__", None), "_initializing", False) else module


def flags(func: Any) -> int:
    """The `co_flags` of the code that a call of `func` runs, and hands on the result of; 0 for C code.

    What only wraps another function in Python code is a function of its own: the wrapper that makes an async
    function synchronous is synchronous.

    >>> async def fetch(url): ...
    >>> flags(fetch) & CO_COROUTINE, flags(partial(fetch, "")) & CO_COROUTINE, flags(len)
    (128, 128, 0)
    """
    for _ in range(_LAYERS):
        kind = type(func)
        if kind is FunctionType and not func.__dict__:  # nearly all of them
            return int(func.__code__.co_flags)
        if func is None or kind is BuiltinFunctionType or issubclass(kind, type):
            return 0
        found = None if kind is MethodType else _own_flags(func)
        if found is not None:
            return found
        func = _called(func)
    return 0


def _own_flags(func: object) -> int | None:
    if _marked(func, *_MARKS[0]) or _marked(func, *_MARKS[1]):
        return CO_COROUTINE
    code = static_attribute(func, "__code__")
    found: Any = None if code is None else static_attribute(code, "co_flags")
    return int(found) if isa(found, int) else None


def _marked(func: object, name: str, home: str, values: tuple[str, ...]) -> bool:
    mark = static_attribute(func, name)
    known = attributes(sys.modules.get(home)) if mark is not None else {}
    return any(known.get(value) is mark for value in values if value in known)


def _called(func: Any) -> Any:
    """What a callable that has no code of its own calls, or None if nothing is known of that."""
    if isa(func, MethodType):
        return func.__func__
    if isa(func, partial):
        return static_attribute(func, "func")
    if (inner := bare(func)) is not func:
        return inner
    call, wrapped = _in_classes(type(func).__mro__, "__call__"), static_attribute(func, "__wrapped__")
    if wrapped is not None and isa(call, WrapperDescriptorType):  # functools.lru_cache and its kin
        return wrapped
    if isa(call, (staticmethod, classmethod)):
        return call.__func__
    return None if call is _MISSING or isa(call, WrapperDescriptorType) else call
