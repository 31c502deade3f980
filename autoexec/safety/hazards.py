"""Safety before speed: what in a user's function forbids another process, or even another thread.

Facts only. `find_hazards` reads the code without running it; `dump` tries the one thing that cannot be told
by looking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType

from autoexec import by_value
from autoexec.records import Hazard

from ..introspect import attributes, importable, isa, static_attribute
from ..introspect.code import parameters, place_of
from ..introspect.elsewhere import only_here
from ..introspect.layers import MISSING, captured, defaults, layers, peek
from ..introspect.libraries import is_stdlib
from .captures import dig, is_mutable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from autoexec.unpicklable import Unpicklable

    from .bytecode import Trace

__all__ = ["dump", "find_hazards", "traces", "written"]

_BY_ROOT = {
    "global": "changes a global object",
    "free": "changes a captured object",
    "bound": "changes a captured object",
    "self": "changes its own object",
    "arg": "changes its argument",
}
_BY_HOW = {"global": "writes a global", "nonlocal": "writes a nonlocal"}


def find_hazards(func: Callable[..., object]) -> tuple[Hazard, ...]:
    """What `func` writes to outside itself and what it holds that cannot cross a process border.

    Static: nothing of the user's is run, and any callable is accepted. What C code does is not seen.

    >>> total = []
    >>> [hazard.kind for hazard in find_hazards(lambda x: total.extend(x))]
    ['changes a global object']
    """
    found: dict[Hazard, None] = {}
    for collect in (_from_code, _from_holdings, _from_builtin, _from_names):
        try:
            found.update(dict.fromkeys(collect(func)))
        except Exception:  # an object that resists being looked at is no reason to fail the user's call
            continue
    return _settled(found)


def _settled(found: dict[Hazard, None]) -> tuple[Hazard, ...]:
    """One hazard per thing; threads must be fine with all that was said of it."""
    merged: dict[tuple[str, str], Hazard] = {}
    for hazard in found:
        key = (hazard.kind, hazard.name)
        if key not in merged or (merged[key].threads_ok and not hazard.threads_ok):
            merged[key] = hazard
    return tuple(merged.values())


def _chain(func: Any) -> Iterator[tuple[Any, list[tuple[Any, ...]], dict[str, Any]]]:
    """The callable and what it wraps, each peeled to a plain function."""
    front: list[tuple[Any, ...]] = []
    keywords: dict[str, Any] = {}
    for _ in range(16):
        func, ahead, named = layers(func)
        front, keywords = ahead + front, {**named, **keywords}
        yield func, front, keywords
        func = attributes(func).get("__wrapped__")
        if not callable(func):
            return


def _titled(core: Any, front: list[tuple[Any, ...]]) -> list[tuple[str, Any]]:
    """Bound values under the names of the parameters that they fill."""
    names = parameters(core)
    return [(names[i] if i < len(names) else name, obj) for i, (name, obj) in enumerate(front)]


def traces(func: Any) -> Iterator[Trace]:
    """What reading the code of a callable shows, one for each function that is wrapped in another one."""
    for core, front, keywords in _chain(func):
        target, ahead = core, front
        if isa(core, type):
            target, ahead = peek(core, "__init__")[0], [("self", MISSING), *front]
        if isa(target, FunctionType) and not is_stdlib(target.__code__.co_filename):
            yield _read(target, ahead, keywords)


def written(func: Any) -> tuple[Any, ...]:
    """The objects that outlive a call and that the code of a callable changes, as far as reading shows.

    >>> rows = []
    >>> written(lambda x: rows.append(x)) == (rows,)
    True
    """
    refs = [write.ref for trace in traces(func) for write in trace.writes.values()]
    return tuple(ref.obj for ref in refs if ref.obj is not MISSING and not ref.sampled)


def _from_code(func: Any) -> list[Hazard]:
    found: list[Hazard] = []
    for trace in traces(func):
        found += [Hazard(kind, name, at, ok) for (_, name), (kind, ok, at) in trace.held.items()]
        found += [_as_hazard(trace, write) for write in list(trace.writes.values())]
    return found


def _read(func: FunctionType, front: list[tuple[Any, ...]], keywords: dict[str, Any]) -> Trace:
    from .bytecode import Trace

    trace = Trace(func.__code__)
    given, named = _arguments(func, front, keywords)
    try:
        trace.call(func, given, named, 0)
    except Exception:  # what was seen so far still counts
        trace.left = -1
    return trace


def _arguments(
    func: FunctionType, front: list[tuple[Any, ...]], keywords: dict[str, Any]
) -> tuple[list[Any], Any]:
    from .stack_values import EMPTY, Ref

    code, late = func.__code__, dict(defaults(func))
    names = code.co_varnames[: code.co_argcount]
    given = []
    for i, name in enumerate(names):
        root, obj = "arg", MISSING
        if i < len(front):
            root, obj = ("self" if front[i][0] == "self" else "bound"), front[i][1]
        elif name in keywords:
            root, obj = "bound", keywords[name]
        elif name in late:  # items fill the parameters that must be filled
            root, obj = "bound", late[name]
        given.append(EMPTY if root == "self" and obj is MISSING else frozenset({Ref(root, name, obj)}))
    if code.co_flags & 0x04:
        rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
        given.append(frozenset({Ref("arg", rest)}))
    named = {
        name: frozenset({Ref("bound", name, obj)}) for name, obj in keywords.items() if name not in names
    }
    return given, named


def _as_hazard(trace: Any, write: Any) -> Hazard:
    ref = write.ref
    kind = _BY_HOW.get(write.how, _BY_ROOT[ref.root])
    name = ref.name.split("[...]")[0] + (write.how if write.how.startswith(".") else "")
    if ref.root == "arg":
        name = ref.name.split(".")[0].split("[")[0]
    ok = ref.root == "arg" or trace.locked or (write.atomic and ref.identity not in trace.reads)
    return Hazard(kind, name, write.where, ok)


def _from_holdings(func: Any) -> list[Hazard]:
    """What travels with the function: closure, defaults, its object and bound arguments."""
    found: dict[Hazard, None] = {}
    for core, front, keywords in _chain(func):
        at = place_of(core)
        parts = [(name, obj, 2) for name, obj in [*_titled(core, front), *keywords.items()]]
        if isa(core, FunctionType):
            parts += [(name, obj, 1) for name, obj in (*captured(core), *defaults(core))]
        hits = (hit for name, obj, depth in parts for hit in dig(obj, name, depth))
        found.update((Hazard(kind, name, at, ok), None) for name, kind, ok in hits)
    return list(found)


def _from_builtin(func: Any) -> list[Hazard]:
    """A container's own method, as in `map(results.append, items)`."""
    owner = func.__self__ if isa(func, BuiltinMethodType) else None
    if owner is None or isa(owner, ModuleType):
        return []
    hits = [Hazard(kind, name, place_of(func), ok) for name, kind, ok in dig(owner, "__self__", 0)]
    from ..introspect.methods import ATOMIC, CHANGING_METHODS

    if is_mutable(owner) and func.__name__ in CHANGING_METHODS:
        hits.append(Hazard(_BY_ROOT["free"], func.__qualname__, place_of(func), func.__name__ in ATOMIC))
    return hits


def _from_names(func: Any) -> list[Hazard]:
    from .item_state import item_state

    return item_state(func)


def dump(func: Any, pack: Callable[..., Any] | None = None) -> Any | Unpicklable:
    """`func` as bytes for another process, or what in it cannot be pickled.

    Args:
        func: the function, or what holds it under the name `call`.
        pack: called with it and the right one of pickle's and cloudpickle's `dumps` where the result should
            not be plain bytes.
    """
    from autoexec.unpicklable import Unpicklable, find

    try:
        return _dump(func, pack)
    except Exception as error:  # whatever a user's __reduce__ raises, it cannot cross
        name = _title(func)
        return find(func, name) or Unpicklable(name, type(func).__qualname__, str(error))


def _dump(obj: Any, pack: Callable[..., Any] | None = None) -> Any:
    from autoexec import file_maps
    from autoexec.worker.invoke import CallSpec

    dumps: Callable[..., bytes] = file_maps.dumps
    call = obj.call if type(obj) is CallSpec else obj
    found = obj.importable if type(obj) is CallSpec else importable(obj)
    if not found or only_here(static_attribute(call, "__module__")):
        dumps = by_value.dumps
    return dumps(obj, protocol=5) if pack is None else pack(obj, dumps)


def _title(func: Any) -> str:
    """What the path to a part of `func` begins with."""
    while type(func).__module__.startswith("autoexec."):  # the caller gave what is inside
        inner = peek(func, "call")[0] if hasattr(type(func), "call") else attributes(func).get("__wrapped__")
        if not callable(inner):
            break
        func = inner
    if isa(func, partial):
        return "partial"
    named = isa(func, (FunctionType, MethodType, BuiltinMethodType, type))
    return func.__name__ if named and func.__name__.isidentifier() else "func"
