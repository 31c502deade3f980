"""Whether a worker of an earlier call still knows a function as the caller knows it now.

Two answers: `state_of` is a value that stays equal while the function would do the same: its code and that of
the functions it calls, their defaults, captured values and the globals they read. `travels` says whether the
function takes all of that along when it is sent, so that any worker will do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, ModuleType

from ..introspect import ATOMS, Same, importable, isa
from ..introspect.code import imports_of, names_of, steps_of
from ..introspect.elsewhere import made_by_hand
from ..introspect.layers import MISSING, cells, content
from ..introspect.libraries import of_library
from ..measure.sizes import weight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any

__all__ = ["held_bytes", "state_of", "travels"]

DYNAMIC = {"globals", "vars", "eval", "exec", "__import__", "import_module"}  # ways to reach what nobody sees
DEEPEST = 20  # functions that call functions that call functions


class _Unsure(Exception):
    """Something may change without anybody seeing it."""


class _OfLibrary:
    """What a library keeps under a name: its own affair, as long as it is the same object."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def state_of(func: Callable[..., object]) -> Hashable | None:
    """What a function's behaviour depends on, as a value; None where that cannot be told.

    >>> double = lambda x: 2 * x
    >>> state_of(double) == state_of(lambda x: 3 * x), state_of([].append)
    (False, None)
    """
    try:
        state: Hashable = _state(func, {}, 0)
        hash(state)
    except Exception:  # _Unsure, or an object that resists being looked at
        return None
    return state


def _state(obj: Any, seen: dict[int, int], depth: int) -> Hashable:
    if type(obj) in ATOMS:
        return type(obj), repr(obj) if type(obj) in (float, complex) else obj  # 0.0 is not -0.0
    if type(obj) in (tuple, frozenset):
        return type(obj), tuple(_state(part, seen, depth) for part in obj)
    if of_library(obj):
        return ("library", obj.__name__, getattr(obj, "__module__", ""), *_own_parts(obj, seen, depth))
    if type(obj) is _OfLibrary:
        return "held by a library", Same(obj.value)
    if isa(obj, partial):
        held = (obj.func, obj.args, tuple(obj.keywords.items()))
        return "partial", tuple(_state(part, seen, depth) for part in held)
    if type(obj) is not FunctionType or depth > DEEPEST:
        raise _Unsure
    if id(obj) in seen:
        return "again", seen[id(obj)]
    seen[id(obj)] = len(seen)
    if _remembers(obj.__code__, frozenset(obj.__code__.co_freevars)):
        raise _Unsure
    return obj.__code__, tuple((name, _state(part, seen, depth + 1)) for name, part in _reads(obj, deep=True))


def _own_parts(obj: Any, seen: dict[int, int], depth: int) -> Iterator[Hashable]:
    """What a library's class has of others: parts that were replaced, and plain settings."""
    from ..introspect.libraries import replaced

    if isa(obj, type):
        for name, value in sorted(vars(obj).items()):
            if not name.startswith("__") and (type(value) in ATOMS or replaced(value)):
                yield name, _state(value, seen, depth + 1)


def held_bytes(func: Callable[..., object]) -> int:
    """About what the values weigh that a function reads beside its arguments.

    >>> table = bytes(1000)
    >>> held_bytes(lambda i: table[i]) >= 1000
    True
    """
    core: Any = func
    while isa(core, partial):
        core = core.func
    try:
        return sum(weight(value) for _, value in _reads(core)) if isa(core, FunctionType) else 0
    except Exception:
        return 0


def travels(func: Callable[..., object]) -> bool:
    """Whether sending a function to another process sends everything of the user's that it needs.

    >>> travels(lambda x: 2 * x), travels(len)
    (True, True)
    """
    try:
        return _travels(func, set(), 0)
    except Exception:
        return False


def _travels(obj: Any, seen: set[int], depth: int) -> bool:
    if type(obj) in ATOMS or of_library(obj) or type(obj) is _OfLibrary or id(obj) in seen:
        return True
    seen.add(id(obj))
    if depth > DEEPEST:
        return False
    if type(obj) in (tuple, frozenset, list, set):
        return all(_travels(part, seen, depth + 1) for part in obj)
    if type(obj) is dict:
        return all(_travels(part, seen, depth + 1) for item in obj.items() for part in item)
    if isa(obj, partial):
        return all(_travels(part, seen, depth + 1) for part in (obj.func, obj.args, obj.keywords))
    if type(obj) is FunctionType:
        return not importable(obj) and all(_travels(part, seen, depth + 1) for _, part in _reads(obj))
    return _is_array(obj)


def _is_array(obj: object) -> bool:
    kind = type(obj)
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray" and not obj.dtype.hasobject  # type: ignore[attr-defined]


def _reads(func: FunctionType, *, deep: bool = False) -> Iterator[tuple[str, Any]]:
    """What a function reads beside its arguments; `deep`: also what others have put into libraries."""
    from .copies_only import own_codecs
    from .library_parts import read_in_libraries

    yield "defaults", func.__defaults__ or ()
    yield from sorted((func.__kwdefaults__ or {}).items())
    yield from ((name, content(cell, _Unsure())) for name, cell in cells(func))
    for name in sorted(names_of(func.__code__)):
        value = func.__globals__.get(name, MISSING)
        if value is not MISSING:
            yield name, value
    yield from sorted(vars(func).items())
    for name in sorted(imports_of(func.__code__, func.__globals__)):
        yield name, _module(name)
    for module, name, value in read_in_libraries(func, deep=deep):
        yield f"{module.__name__}.{name}", value if _tells(value) else _OfLibrary(value)
    if DYNAMIC.intersection(names_of(func.__code__)) or (deep and own_codecs(func.__code__)):
        yield "what it looks up by name", _Unsure()


def _tells(value: Any) -> bool:
    """Whether what stands in a library's module is more than the library's own affair."""
    from ..introspect.libraries import replaced

    return type(value) in ATOMS or of_library(value) or replaced(value)


def _remembers(code: CodeType, free: frozenset[str]) -> bool:
    """Whether a function, or one inside it, sets globals or captured variables: its next call may differ."""
    stores = steps_of(code, "STORE_GLOBAL", "STORE_DEREF")
    if any(op == "STORE_GLOBAL" or name in free for op, name in stores):
        return True
    inner = (part for part in code.co_consts if isa(part, CodeType))
    return any(_remembers(part, free & {*part.co_freevars}) for part in inner)


def _module(name: str) -> Any:
    """What a function that imports this gets, or something that tells where it would come from."""
    top = name.partition(".")[0]
    if made_by_hand(name) or made_by_hand(top):
        raise _Unsure
    if top in sys.stdlib_module_names:
        return None
    if top in sys.modules:
        return sys.modules[top]
    from importlib.util import find_spec

    found, unborn = find_spec(top) if top else None, ModuleType(name)
    unborn.__file__ = found.origin if found is not None else None
    return unborn
