"""Judge a call: step into the user's own functions, tell the rest by name and by type."""

from __future__ import annotations

from types import BuiltinMethodType, FunctionType, MethodType, ModuleType

from ..introspect import isa
from ..introspect.layers import MISSING, layers, peek
from ..introspect.libraries import top_package
from ..introspect.methods import ATOMIC, CHANGING_FUNCTIONS, CHANGING_METHODS, LENDING, RETURNING, SILENT
from .stack_values import EMPTY, HANDED, Nested, Ref, Value, element, known_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bytecode import Frame

__all__ = ["call", "define", "parent"]

_PASSING = {"enumerate", "zip", "reversed", "iter", "next", "filter"}
# They read what they are given, and keep nothing of it.
_READING = (
    abs, all, any, bool, bytes, dict, divmod, enumerate, float, format, frozenset, hash, int, isinstance,
    iter, len, list, max, min, ord, range, repr, reversed, round, set, sorted, str, sum, tuple, zip,
)  # fmt: skip


def call(frame: Frame, callee: Value, given: list[Value], named: dict[str, Value]) -> Value:
    """What a call of any of `callee` may return, having noted what it does."""
    frame.entered = False
    results = [_call(frame, ref, given, named) for ref in callee]
    if not frame.entered:  # a function that was walked has told itself what it reads
        how = ""
        if callee and all(ref.obj is isinstance for ref in callee):
            how = "IS_OP"
        elif callee and all(any(ref.obj is one for one in _READING) for ref in callee):
            how = HANDED
        for value in (*given, *named.values()):
            frame.read(value, "" if "key" in named else how)
    _changes_out(frame, named.get("out", EMPTY))
    return frozenset().union(*results)


def _changes_out(frame: Frame, value: Value) -> None:
    frame.write(frozenset(r for r in value if r.root == "arg" or known_container(r)), "out=")


def _call(frame: Frame, ref: Ref, given: list[Value], named: dict[str, Value]) -> Value:
    obj = ref.obj
    if isa(obj, Nested):
        frame.entered = True
        return define(frame, obj, given, named)
    if obj is super:
        return parent(frame, given)
    if ref.parent is not None and not isa(ref.parent.obj, ModuleType):
        own = frozenset({ref.parent})
        if isa(obj, FunctionType):
            if obj.__module__ == "weakref" and not frame.trace.follows(obj.__code__):
                return _method(frame, ref.parent, ref.attr)
            return _enter(frame, obj, [own, *given] if ref.bound else given, named)
        if obj is MISSING or not isa(obj, (type, MethodType)):
            return _method(frame, ref.parent, ref.attr)
    if isa(obj, BuiltinMethodType) and not isa(obj.__self__, (ModuleType, type(None))):
        _changes_first(frame, obj, given)
        return _method(frame, Ref(ref.root, ref.name, obj.__self__), obj.__name__)
    return _plain(frame, ref, given, named)


def _plain(frame: Frame, ref: Ref, given: list[Value], named: dict[str, Value]) -> Value:
    obj = ref.obj
    if obj is MISSING:
        return EMPTY
    _changes_first(frame, obj, given)
    if ref.root == "code" and _name(obj) in _PASSING:
        return frozenset().union(*given)
    if isa(obj, type):
        maker, _ = peek(obj, "__new__")
        made = EMPTY
        if isa(maker, FunctionType):  # it may hand out what is there already
            made = _enter(frame, maker, [frozenset({ref}), *given], named)
        start, _ = peek(obj, "__init__")
        if isa(start, FunctionType):
            _enter(frame, start, [EMPTY, *given], named, fresh=True)
        return made
    if obj is globals or obj is vars:
        return frozenset({Ref("global", "globals()", frame.scope)}) if not given else EMPTY
    core, front, bound = layers(obj)
    if not isa(core, FunctionType):
        return EMPTY
    ahead = [frozenset({Ref(ref.root, ref.name, value)}) for _, value in front]
    extra = {key: frozenset({Ref(ref.root, ref.name, value)}) for key, value in bound.items()}
    return _enter(frame, core, [*ahead, *given], {**extra, **named})


def _changes_first(frame: Frame, obj: Any, given: list[Value]) -> None:
    name = _name(obj)
    followed = isa(obj, FunctionType) and frame.trace.follows(obj.__code__)
    if name in CHANGING_FUNCTIONS and given and not followed:
        frame.write(given[0], name)


def _name(obj: Any) -> str:
    return str(obj.__name__) if isa(obj, (FunctionType, BuiltinMethodType, type)) else ""


def _enter(
    frame: Frame, func: FunctionType, given: list[Value], named: dict[str, Value], fresh: bool = False
) -> Value:
    if not frame.trace.follows(func.__code__):
        return EMPTY
    frame.entered = True
    result = frame.trace.call(func, given, named, frame.depth + 1)
    return EMPTY if fresh else result


def define(frame: Frame, inner: Nested, given: list[Value], named: dict[str, Value]) -> Value:
    """Walk a function that was made inside another one."""
    names = frame.trace.arguments(inner.code, given, named)
    home: Frame = inner.frame
    cells = {
        **inner.cells,
        **{n: v for n, v in frame.state.names.items() if n in inner.cells and home is frame},
    }
    outer = frozenset(name for name in cells if name in home.outer)
    return frame.trace.walk(inner.code, frame.scope, cells, outer, names, frame.depth + (home is not frame))


def parent(frame: Frame, given: list[Value]) -> Value:
    """What `super(...)` stands for: the same object, looked up above a class."""
    kinds = given[0] if given else frame.deref("__class__")
    first = frame.code.co_varnames[:1]
    own = given[1] if len(given) > 1 else frame.state.names.get(first[0] if first else "", EMPTY)
    above = next((ref.obj for ref in kinds if isa(ref.obj, type)), None)
    return frozenset(Ref(r.root, r.name, r.obj, sampled=r.sampled, above=above) for r in own if above)


def _method(frame: Frame, owner: Ref, name: str) -> Value:
    """A method of something that was not walked: tell by its name and its owner's type."""
    own = frozenset({owner})
    if _changes(frame, owner, name):
        frame.write(own, name, atomic=name in ATOMIC)
    else:
        frame.read(own, f".{name}")
    return element(own) if name in LENDING else EMPTY


def _changes(frame: Frame, owner: Ref, name: str) -> bool:
    if owner.root == "code" or name not in CHANGING_METHODS:
        return False
    known = known_container(owner)
    if known is not None and not (known and top_package(type(owner.obj)) == "pandas"):
        return known
    # list.sort and its like return nothing: where the result is used, it is another type's method
    return name in RETURNING or (name in SILENT and frame.following() == "POP_TOP")
