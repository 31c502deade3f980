"""What each instruction does to the stack and the variables, on CPython 3.11 to 3.15 alike.

An instruction without a handler here is counted by its net effect on the stack and leaves unknowns.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType

from ..introspect import isa
from ..introspect.code import IMPORT, imported
from ..introspect.layers import MISSING
from .bytecode_calls import call, define, parent
from .stack_values import (
    DERIVED,
    EMPTY,
    FILLS,
    LIST,
    NULL,
    SLICE,
    Nested,
    Ref,
    Value,
    attribute,
    boxed,
    derived,
    element,
    from_itself,
    known_container,
    resize,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from dis import Instruction
    from typing import TypeAlias

    from .bytecode import Frame

    _Handler: TypeAlias = Callable[[Frame, Instruction], None]

__all__ = ["HANDLERS", "IDENTITY", "INPUTS", "LEAVING"]

# Instructions whose inputs the net effect on the stack does not tell.
INPUTS = {
    "COMPARE_OP": 2,
    "CONTAINS_OP": 2,
    "IS_OP": 2,
    "TO_BOOL": 1,
    "UNARY_NOT": 1,
    "UNARY_NEGATIVE": 1,
    "UNARY_POSITIVE": 1,
    "UNARY_INVERT": 1,
    "FORMAT_VALUE": 1,
    "FORMAT_SIMPLE": 1,
    "FORMAT_WITH_SPEC": 2,
    "CONVERT_VALUE": 1,
    "GET_LEN": 0,
    "LIST_TO_TUPLE": 1,
    "CALL_INTRINSIC_1": 1,
    "CALL_INTRINSIC_2": 2,
    "BINARY_SLICE": 3,
    "BEFORE_WITH": 1,
    "BEFORE_ASYNC_WITH": 1,
    "LOAD_SPECIAL": 1,
    "GET_AITER": 1,
    "GET_AWAITABLE": 1,
    "YIELD_VALUE": 1,
    "MATCH_CLASS": 3,
}
# Nothing goes on below these.
LEAVING = {"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE", "RETURN_VALUE"}
LEAVING |= {"RETURN_CONST", "RERAISE", "RAISE_VARARGS", "JUMP"}
# Jumps that do not look at what their operand contains.
IDENTITY = {"POP_JUMP_IF_NONE", "POP_JUMP_IF_NOT_NONE", "FOR_ITER", "SEND", "END_ASYNC_FOR"} | LEAVING
IDENTITY |= {f"POP_JUMP_{way}_IF_{what}" for way in ("FORWARD", "BACKWARD") for what in ("NONE", "NOT_NONE")}

HANDLERS: dict[str, _Handler] = {}
_NULL_FIRST = sys.version_info < (3, 13)


def _on(*names: str) -> Callable[[_Handler], _Handler]:
    def register(handle: _Handler) -> _Handler:
        HANDLERS.update(dict.fromkeys(names, handle))
        return handle

    return register


@_on("CACHE", "EXTENDED_ARG", "NOP", "RESUME", "PRECALL", "MAKE_CELL", "COPY_FREE_VARS", "NOT_TAKEN")
def _nothing(frame: Frame, _line: Instruction) -> None:
    """Instructions that move no values (PRECALL's are counted with its CALL)."""


@_on("LOAD_CONST", "LOAD_SMALL_INT", "LOAD_COMMON_CONSTANT")
def _constant(frame: Frame, line: Instruction) -> None:
    if isinstance(line.argval, CodeType):
        frame.push(frozenset({Ref("code", line.argval.co_name, line.argval)}))
    else:
        frame.push(SLICE if isinstance(line.argval, slice) else EMPTY)


@_on("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
def _load_fast(frame: Frame, line: Instruction) -> None:
    frame.push(_local(frame, line.argval))


@_on("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW")
def _load_two(frame: Frame, line: Instruction) -> None:
    frame.push(*(_local(frame, name) for name in line.argval))


def _local(frame: Frame, name: str) -> Value:
    """A local variable; a variable shared with inner functions is a cell here, which is passed on unread."""
    if name in frame.code.co_freevars or (name in frame.code.co_cellvars and not _NULL_FIRST):
        return EMPTY
    value = frame.state.names.get(name, EMPTY)
    frame.trace.hold(value, frame.where)
    return value


@_on("LOAD_FAST_AND_CLEAR")
def _load_clear(frame: Frame, line: Instruction) -> None:
    frame.push(frame.state.names.pop(line.argval, EMPTY))


@_on("STORE_FAST", "STORE_FAST_MAYBE_NULL")
def _store_fast(frame: Frame, line: Instruction) -> None:
    frame.store(line.argval, frame.pop())


@_on("STORE_FAST_STORE_FAST")
def _store_two(frame: Frame, line: Instruction) -> None:
    for name in line.argval:
        frame.store(name, frame.pop())


@_on("STORE_FAST_LOAD_FAST")
def _store_load(frame: Frame, line: Instruction) -> None:
    frame.store(line.argval[0], frame.pop())
    frame.push(_local(frame, line.argval[1]))


@_on("DELETE_FAST")
def _delete_fast(frame: Frame, line: Instruction) -> None:
    frame.state.names.pop(line.argval, None)


@_on("LOAD_CLOSURE")
def _closure(frame: Frame, _line: Instruction) -> None:
    frame.push(EMPTY)


@_on("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
def _load_deref(frame: Frame, line: Instruction) -> None:
    if line.opname == "LOAD_FROM_DICT_OR_DEREF":
        frame.pop()
    frame.load(frame.deref(line.argval))


@_on("STORE_DEREF", "DELETE_DEREF")
def _store_deref(frame: Frame, line: Instruction) -> None:
    name = line.argval
    value = frame.pop() if line.opname == "STORE_DEREF" else EMPTY
    if name in frame.outer:
        frame.write(frozenset({Ref("free", name)}), "nonlocal")
    elif name not in frame.free:
        frame.store(name, value)


@_on("LOAD_GLOBAL")
def _load_global(frame: Frame, line: Instruction) -> None:
    null = bool((line.arg or 0) & 1)
    if null and _NULL_FIRST:
        frame.push(NULL)
    frame.load(frame.variable(line.argval))
    if null and not _NULL_FIRST:
        frame.push(NULL)


@_on("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
def _load_name(frame: Frame, line: Instruction) -> None:
    if line.opname != "LOAD_NAME":
        frame.pop()
    known = frame.state.names.get(line.argval)
    frame.load(frame.variable(line.argval) if known is None else known)


@_on("STORE_NAME")
def _store_name(frame: Frame, line: Instruction) -> None:
    frame.store(line.argval, frame.pop())


@_on("STORE_GLOBAL", "DELETE_GLOBAL")
def _store_global(frame: Frame, line: Instruction) -> None:
    if line.opname == "STORE_GLOBAL":
        frame.read(frame.pop())
    frame.write(frozenset({Ref("global", line.argval)}), "global")


@_on("PUSH_NULL")
def _push_null(frame: Frame, _line: Instruction) -> None:
    frame.push(NULL)


@_on("LOAD_ATTR", "LOAD_METHOD")
def _load_attr(frame: Frame, line: Instruction) -> None:
    method = line.opname == "LOAD_METHOD" or (sys.version_info >= (3, 12) and bool((line.arg or 0) & 1))
    frame.load(attribute(frame.pop(), line.argval))
    if method:
        frame.push(NULL)


@_on("LOAD_SUPER_ATTR")
def _load_super(frame: Frame, line: Instruction) -> None:
    _, kinds, own = frame.take(3)
    frame.load(attribute(parent(frame, [kinds, own]), line.argval))
    if (line.arg or 0) & 1:
        frame.push(NULL)


@_on("STORE_ATTR", "DELETE_ATTR")
def _store_attr(frame: Frame, line: Instruction) -> None:
    owner = frame.pop()
    if line.opname == "STORE_ATTR":
        frame.read(frame.pop())
    frame.write(owner, "." + line.argval)


@_on("BINARY_SUBSCR")
def _subscript(frame: Frame, _line: Instruction) -> None:
    key, owner = frame.pop(), frame.pop()
    frame.read(owner, "[]")
    frame.read(key)
    found = element(owner) | _filled_in(frame, owner, key)
    if key is SLICE:  # a slice of a list is a copy, of an array a view
        found = frozenset(r for r in owner if type(r.obj).__name__ == "ndarray")
    frame.load(found)


def _filled_in(frame: Frame, owner: Value, key: Value) -> Value:
    """What a `__missing__` of the user's gives where an entry is not there."""
    makers = frozenset(ref for ref in attribute(owner, FILLS) if isa(ref.obj, FunctionType) and ref.bound)
    if not makers:
        return EMPTY
    frame.read(frozenset(ref.parent for ref in makers if ref.parent is not None), FILLS)
    return call(frame, makers, [key], {})


@_on("BINARY_OP")
def _binary(frame: Frame, line: Instruction) -> None:
    if line.argrepr == "[]":
        _subscript(frame, line)
        return
    right, left = frame.pop(), frame.pop()
    frame.read(left | right)
    if not line.argrepr.endswith("="):
        frame.push(derived(left | right))
        return
    same = frozenset(ref for ref in left if known_container(ref) or (ref.obj is MISSING and right >= LIST))
    frame.write(same, line.argrepr)
    frame.push(same or derived(left | right))


@_on("BUILD_LIST", "BUILD_TUPLE")
def _build_list(frame: Frame, line: Instruction) -> None:
    inside: Value = frozenset().union(*frame.take(line.arg or 0))
    frame.read(inside)
    frame.push(boxed(inside) | (LIST if line.opname == "BUILD_LIST" else EMPTY))


@_on("BUILD_SLICE")
def _build_slice(frame: Frame, line: Instruction) -> None:
    for value in frame.take(line.arg or 2):
        frame.read(value)
    frame.push(SLICE)


@_on("STORE_SUBSCR")
def _store_subscript(frame: Frame, _line: Instruction) -> None:
    value, owner, key = frame.take(3)
    frame.read(value | key)
    frame.read(from_itself(owner, value), DERIVED)
    frame.write(owner, "[...]", atomic=key is not SLICE)


@_on("DELETE_SUBSCR")
def _delete_subscript(frame: Frame, _line: Instruction) -> None:
    owner, key = frame.take(2)
    frame.read(key)
    frame.write(owner, "del")


@_on("STORE_SLICE")
def _store_slice(frame: Frame, _line: Instruction) -> None:
    value, owner, _, _ = frame.take(4)
    frame.read(value)
    frame.write(owner, "[:]")


@_on("GET_ITER", "GET_YIELD_FROM_ITER")
def _get_iter(frame: Frame, line: Instruction) -> None:
    frame.read(frame.top())
    resize(frame.state.stack, frame.effect(line.opcode, line.arg))


@_on("FOR_ITER")
def _for_iter(frame: Frame, line: Instruction) -> None:
    spare = 2 if sys.version_info >= (3, 15) else 1  # 3.15 keeps an index above the iterator
    source = frame.state.stack[-spare] if len(frame.state.stack) >= spare else EMPTY
    frame.jump(line)
    if frame.state.stack:
        frame.state.stack[-1] = element(source)


@_on("UNPACK_SEQUENCE", "UNPACK_EX")
def _unpack(frame: Frame, line: Instruction) -> None:
    source, arg = frame.pop(), line.arg or 0
    frame.read(source)
    if line.opname == "UNPACK_SEQUENCE":
        frame.push(*[element(source)] * arg)
    else:  # the starred name gets a new list
        frame.push(*[element(source)] * (arg >> 8), EMPTY, *[element(source)] * (arg & 0xFF))


@_on("COPY")
def _copy(frame: Frame, line: Instruction) -> None:
    depth = line.arg or 1
    frame.push(frame.state.stack[-depth] if depth <= len(frame.state.stack) else EMPTY)


@_on("SWAP")
def _swap(frame: Frame, line: Instruction) -> None:
    stack, depth = frame.state.stack, line.arg or 1
    if depth <= len(stack):
        stack[-1], stack[-depth] = stack[-depth], stack[-1]


@_on("POP_TOP", "POP_ITER", "END_FOR", "POP_EXCEPT", "END_SEND")
def _discard(frame: Frame, line: Instruction) -> None:
    resize(frame.state.stack, frame.effect(line.opcode, line.arg))


@_on("RETURN_VALUE")
def _return(frame: Frame, _line: Instruction) -> None:
    value = frame.pop()
    frame.read(value)
    frame.returned |= frozenset(
        ref for ref in value if ref.root != "code" or isinstance(ref.obj, (Nested, Ref))
    )


@_on(IMPORT)
def _import_name(frame: Frame, _line: Instruction) -> None:
    frame.take(2)
    name = imported(frame.lines, frame.index, frame.scope)[1]
    frame.push(frozenset({Ref("global", name, sys.modules.get(name, MISSING))}))


@_on("IMPORT_FROM")
def _import_from(frame: Frame, line: Instruction) -> None:
    found = attribute(frame.top(), line.argval)
    frame.load(frozenset(Ref("global", line.argval, ref.obj) for ref in found))


@_on("MAKE_FUNCTION")
def _make_function(frame: Frame, line: Instruction) -> None:
    code = next((ref.obj for ref in frame.pop() if isinstance(ref.obj, CodeType)), None)
    frame.take(-frame.effect(line.opcode, line.arg))
    if code is None:
        frame.push(EMPTY)
        return
    inner = Nested(code, frame, {name: frame.deref(name) for name in code.co_freevars})
    frame.trace.kept.append(inner)
    if code.co_varnames[:1] != (".0",):  # comprehensions are called at once, with what they run over
        define(frame, inner, [], {})
    frame.push(frozenset({Ref("code", code.co_name, inner)}))


@_on("SET_FUNCTION_ATTRIBUTE")
def _function_attribute(frame: Frame, _line: Instruction) -> None:
    func = frame.pop()
    frame.pop()
    frame.push(func)


@_on("KW_NAMES")
def _kw_names(frame: Frame, line: Instruction) -> None:
    frame.keywords = frame.code.co_consts[line.arg or 0]


@_on("CALL", "CALL_KW")
def _call(frame: Frame, line: Instruction) -> None:
    if line.opname == "CALL_KW":
        frame.pop()
        frame.keywords = frame.lines[frame.index - 1].argval
    keywords, frame.keywords = frame.keywords, ()
    given = frame.take(line.arg or 0)
    split = len(given) - len(keywords)
    callee, ahead = _callee(frame)
    found = call(frame, callee, ahead + given[:split], dict(zip(keywords, given[split:], strict=False)))
    frame.push(found | derived(frozenset().union(*given)))


def _callee(frame: Frame) -> tuple[Value, list[Value]]:
    """The two slots below the arguments: a callable and NULL (either way round), or a function and `self`."""
    first, second = frame.take(2)
    if first is NULL:
        return second, []
    return first, [] if second is NULL else [second]


@_on("CALL_FUNCTION_EX")
def _call_star(frame: Frame, line: Instruction) -> None:
    change = frame.effect(line.opcode, line.arg)
    keywords = frame.take(-change - 2)
    given = frame.pop()
    callee, ahead = _callee(frame)
    for value in (given, *keywords):
        frame.read(value)
    frame.push(call(frame, callee, ahead + [element(given)] * 8 * bool(given), {}))
