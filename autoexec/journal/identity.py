"""Which function a journal's rows belong to, and whether its code is still the same.

What is bound to a function (arguments of a partial, `self`, the variables a local function captures) is
part of its name, with all that it holds: the same lambda over another base address is another function.
Helpers that the function calls are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import MAGIC_NUMBER
from types import CodeType, FunctionType, MethodType, ModuleType

from ..errors import JournalError
from ..introspect import attributes, isa, static_attribute
from ..introspect.layers import captured
from .held import held
from .keys import canonical, digest, item_key, pack, qualified

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any
else:
    from ..frozen import dataclass

__all__ = ["FunctionIdentity", "function_identity"]

_MOST_LAYERS = 32
# What CPython 3.13 and later store in a class: its line, and attribute names in the order of a set.
_PLACE = frozenset({"__firstlineno__", "__static_attributes__"})
_FLAGS = 0x3EC  # of a code object: *args, **kwargs, generator, coroutine; not its __future__ imports


@dataclass(frozen=True, slots=True)
class FunctionIdentity:
    """A function as a journal knows it.

    Attributes:
        name: module and qualified name, with a digest of what is bound to it.
        code: the interpreter's magic number and a digest of the bytecode; empty where there is none.
        source: a digest of the source text; empty where it is not known.
    """

    name: str
    code: str
    source: str

    def changed(self, since: FunctionIdentity) -> bool:
        """Whether this is other code: other bytecode from the same compiler, else another source."""
        if self.code == since.code:
            return False
        if self.code.partition(":")[0] == since.code.partition(":")[0]:
            return True
        return bool(self.source and since.source) and self.source != since.source


def function_identity(func: Any, changed: tuple[Any, ...] = ()) -> FunctionIdentity:
    """Name, code and source of a function, a method, a partial, a class, a callable object or a builtin.

    Args:
        func: the function.
        changed: objects bound to it that its calls change: what they hold says nothing of the function.

    >>> def double(x):
    ...     return 2 * x
    >>> function_identity(double).name.rpartition(".")[2]
    'double'
    """
    layers = list(_layers(func))
    functions = [layer for layer in layers if isa(layer, FunctionType)]
    codes = pack("codes", *[_function_text(function) for function in functions])
    code = f"{MAGIC_NUMBER.hex()}:{digest(codes).hex()}" if functions else ""
    bound = [text for layer in layers for text in _bound(layer, (*functions, *changed))]
    name = next((qualified(layer) for layer in reversed(layers) if not isa(layer, _Self)), "")
    if bound:
        name += f"[{digest(pack('bound', *bound)).hex()}]"
    return FunctionIdentity(name, code, _source(functions))


class _Self:
    """An object to which a method is bound."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _layers(func: Any) -> Iterator[Any]:
    """The callable and what is inside it, from the outside in: the last that has a name names it."""
    for _ in range(_MOST_LAYERS):
        if isa(func, partial):
            yield func
            func = func.func
        elif isa(func, MethodType):
            yield _Self(func.__self__)
            func = func.__func__
        elif isa(func, type):
            yield from _makers(func)
            yield func
            return
        elif callable(inner := attributes(func).get("__wrapped__")):
            if isa(func, FunctionType):
                yield func
            func = inner
        else:
            yield from _innermost(func)
            return


def _makers(kind: type) -> Iterator[FunctionType]:
    for name in ("__new__", "__init__"):
        maker = getattr(kind, name)
        if isa(maker, FunctionType):
            yield maker


def _innermost(func: Any) -> Iterator[Any]:
    call = type(func).__call__
    if isa(func, FunctionType):
        yield func
    elif isa(call, FunctionType):
        yield _Self(func)
        yield call
    else:
        owner = static_attribute(func, "__self__")
        if owner is not None and not isa(owner, ModuleType):
            yield _Self(owner)
        elif static_attribute(func, "__name__") is None:  # operator.itemgetter(1) and its kin
            yield _Self(_made_of(func))
        yield func


def _made_of(func: Any) -> Any:
    """The arguments that would make a nameless callable of C code again, if it tells."""
    try:
        return func.__reduce__()[1]
    except Exception:
        return func


# What is bound ----------------------------------------------------------------------------------------------


def _bound(layer: Any, functions: tuple[FunctionType, ...]) -> Iterator[bytes]:
    """Canonical texts of what is bound in one layer; the other layers are no part of it."""
    if isa(layer, _Self):
        kind = layer.value if isa(layer.value, type) else type(layer.value)
        yield pack("self", qualified(kind).encode(), _content(layer.value, functions))
        return
    for label, value in _values(layer):
        if not any(value is each for each in functions):
            yield pack(label, _content(value, functions))


def _content(value: Any, functions: tuple[FunctionType, ...]) -> bytes:
    """The key of what is bound, or a digest of all that it holds."""
    return _key(value) or digest(held(value, _unnamed, functions))


def _unnamed(func: FunctionType) -> bytes:
    return _code_text(func.__code__, func.__doc__)


def _values(layer: Any) -> Iterator[tuple[str, Any]]:
    if isa(layer, partial):
        yield from ((f"arg {i}", value) for i, value in enumerate(layer.args))
        yield from ((f"keyword {name}", layer.keywords[name]) for name in sorted(layer.keywords))
    elif isa(layer, FunctionType):
        if _is_local(layer):
            yield from _defaults(layer)
        yield from ((f"captured {name}", value) for name, value in captured(layer))


def _is_local(func: FunctionType) -> bool:
    """Whether one `def` or lambda can make many functions, which then differ by their defaults."""
    return "<" in func.__qualname__


def _defaults(func: FunctionType) -> Iterator[tuple[str, Any]]:
    yield from ((f"default {i}", value) for i, value in enumerate(func.__defaults__ or ()))
    keywords = func.__kwdefaults__ or {}
    yield from ((f"default {name}", keywords[name]) for name in sorted(keywords))


def _key(value: object) -> bytes:
    try:
        return item_key(value)
    except JournalError:
        return b""


# Code -------------------------------------------------------------------------------------------------------


def _function_text(func: FunctionType) -> bytes:
    defaults = [] if _is_local(func) else [pack(label, _key(value)) for label, value in _defaults(func)]
    return pack("function", _code_text(func.__code__, func.__doc__), *defaults)


def _code_text(code: CodeType, doc: str | None = None) -> bytes:
    """What a code object does, without where it stands: no file name, no line numbers, no docstring."""
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _FLAGS)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    head = (canonical(counts), canonical(names), code.co_exceptiontable)
    if _PLACE.intersection(code.co_names):
        return pack("class", *head, *_class_body(code))
    constants = list(code.co_consts)
    if doc is not None and constants and constants[0] == doc:
        constants[0] = None
    return pack("code", *head, code.co_code, *[_constant(value) for value in constants])


def _class_body(code: CodeType) -> list[bytes]:
    """The instructions of a class body, without those that store where it stands."""
    import dis

    texts: list[bytes] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_NAME" and instruction.argval in _PLACE:
            texts.pop()  # the instruction that loads the value
        elif instruction.opcode in dis.hasconst:
            texts.append(pack(instruction.opname, _constant(instruction.argval)))
        else:
            texts.append(pack(instruction.opname, canonical(instruction.arg)))
    return texts


def _constant(value: Any) -> bytes:
    if isinstance(value, CodeType):
        return _code_text(value)
    if isinstance(value, tuple):
        return pack("tuple", *[_constant(part) for part in value])
    if isinstance(value, frozenset):
        return pack("frozenset", *sorted(_constant(part) for part in value))
    if isinstance(value, slice):
        return pack("slice", *[_constant(part) for part in (value.start, value.stop, value.step)])
    try:
        return canonical(value)
    except TypeError:  # Ellipsis, complex
        return pack(type(value).__name__, repr(value).encode())


def _source(functions: list[FunctionType]) -> str:
    import inspect
    from textwrap import dedent

    texts = []
    for function in functions:
        try:
            texts.append(dedent(inspect.getsource(function.__code__)).rstrip().encode("utf-8", "replace"))
        except Exception:  # typed in, generated, or its file is gone
            return ""
    return digest(pack("source", *texts)).hex() if texts else ""
