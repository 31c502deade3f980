"""Where a value on the interpreter's stack came from, as far as reading the bytecode can tell."""

from __future__ import annotations

from types import CodeType, ModuleType

from ..introspect.layers import MISSING, peek
from .captures import is_mutable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "DERIVED",
    "EMPTY",
    "FILLS",
    "HANDED",
    "LIST",
    "NULL",
    "SLICE",
    "Nested",
    "Ref",
    "State",
    "Value",
    "attribute",
    "boxed",
    "derived",
    "element",
    "from_itself",
    "known_container",
    "resize",
]

_LONGEST = 80


class Ref:
    """A thing that outlives the call, reached from `root`: "global", "free", "self", "bound", "arg", "code".

    `obj` is the object itself where it can be known without running anything; `sampled` says that it
    only stands for others of its type. `parent` is what an attribute was taken from.
    """

    __slots__ = ("above", "attr", "bound", "key", "name", "obj", "parent", "root", "sampled")

    def __init__(
        self,
        root: str,
        name: str,
        obj: Any = MISSING,
        *,
        parent: Ref | None = None,
        attr: str = "",
        sampled: bool = False,
        bound: bool = False,
        above: type | None = None,
    ) -> None:
        self.root, self.name, self.obj, self.parent, self.attr = root, name, obj, parent, attr
        self.sampled, self.bound, self.above = sampled, bound, above
        known = obj is not MISSING and not sampled
        self.key: tuple[Any, ...] = (id(obj), attr, above) if known else (root, name, above)
        if parent is not None or root == "arg":
            self.key += (root, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def identity(self) -> object:
        """What reads and writes of the same container have in common."""
        return id(self.obj) if self.obj is not MISSING and not self.sampled else (self.root, self.name)

    @property
    def inner(self) -> bool:
        """Whether this is an element of the thing that has a name."""
        return self.name.endswith("[...]")


Value = frozenset[Ref]
EMPTY: Value = frozenset()
NULL: Value = frozenset({Ref("code", "NULL")})
SLICE: Value = frozenset({Ref("code", "slice")})
LIST: Value = frozenset({Ref("code", "list")})


DERIVED = "derived"  # what is done with a container whose new entry follows from what is in it


HANDED = "handed to what only reads it"
FILLS = "__missing__"  # what fills in an entry when it is asked for


class Nested:
    """A function defined inside the one being read."""

    __slots__ = ("cells", "code", "frame")

    def __init__(self, code: CodeType, frame: Any, cells: dict[str, Value]) -> None:
        self.code, self.frame, self.cells = code, frame, cells


class State:
    """The stack and the local variables at one point of a function."""

    __slots__ = ("names", "stack")

    def __init__(self, stack: list[Value] | None = None, names: dict[str, Value] | None = None) -> None:
        self.stack: list[Value] = [] if stack is None else stack
        self.names: dict[str, Value] = {} if names is None else names

    def copy(self) -> State:
        """An independent copy."""
        return State(self.stack.copy(), self.names.copy())

    def absorb(self, other: State) -> bool:
        """Allow for having come from `other` too; whether that added anything."""
        grown = False
        for name, value in other.names.items():
            mine = self.names.get(name)
            if mine is None or not value <= mine:
                self.names[name] = value if mine is None else mine | value
                grown = grown or bool(value)
        for i in range(1, min(len(self.stack), len(other.stack)) + 1):
            if self.stack[-i] is not other.stack[-i] and not other.stack[-i] <= self.stack[-i]:
                self.stack[-i] |= other.stack[-i]
                grown = True
        return grown


def attribute(value: Value, name: str) -> Value:
    """What `value.name` may be."""
    return frozenset(_attribute(ref, name) for ref in value if ref.root != "code")


def _attribute(ref: Ref, name: str) -> Ref:
    if ref.above is not None:
        return _inherited(ref, ref.above, name)
    obj, bound = peek(ref.obj, name) if ref.obj is not MISSING else (MISSING, False)
    root = ref.root
    path = f"{ref.name}.{name}" if len(ref.name) < _LONGEST else ref.name
    if isinstance(ref.obj, ModuleType):
        root = "global"
    return Ref(root, path, obj, parent=ref, attr=name, bound=bound, sampled=ref.sampled)


def _inherited(ref: Ref, above: type, name: str) -> Ref:
    kind = ref.obj if isinstance(ref.obj, type) else type(ref.obj)
    mro = kind.__mro__ if ref.obj is not MISSING else above.__mro__
    rest = mro[mro.index(above) + 1 :] if above in mro else ()
    plain = Ref(ref.root, ref.name, ref.obj, sampled=ref.sampled)
    for base in rest:
        if name in vars(base):
            return Ref(ref.root, f"{ref.name}.{name}", vars(base)[name], parent=plain, attr=name, bound=True)
    return Ref(ref.root, f"{ref.name}.{name}", parent=plain, attr=name)


def element(value: Value) -> Value:
    """What an element of `value` may be."""
    outside = (_element(ref) for ref in value if ref.root != "code")
    return frozenset((*outside, *(ref.obj for ref in value if isinstance(ref.obj, Ref))))


def boxed(value: Value) -> Value:
    """A new tuple or list that holds `value`: itself nobody else's, but its elements are."""
    boxes = [Ref("code", "box", ref) for ref in value if ref.root != "code"]
    for box in boxes:
        box.key = ("box", *box.obj.key)
    return frozenset(boxes)


def derived(value: Value) -> Value:
    """What is computed from elements of containers: nobody else's, but it is known what it comes from."""
    inside = [ref.obj for ref in value if ref.root == "code" and isinstance(ref.obj, Ref)]
    known = [ref for ref in (*value, *inside) if _marks(ref)]
    marks = (ref.name if ref.root == "code" else f"from {ref.root} {ref.name}" for ref in known)
    return frozenset(Ref("code", mark) for mark in marks)


def from_itself(owner: Value, value: Value) -> Value:
    """Those of `owner` from whose elements `value` may follow."""
    marks = {ref.name for ref in derived(value)}
    return frozenset(ref for ref in owner if f"from {ref.root} {ref.name}[...]" in marks)


def _marks(ref: Ref) -> bool:
    return ref.name.startswith("from ") if ref.root == "code" else ref.inner


def _element(ref: Ref) -> Ref:
    if ref.inner:
        return Ref(ref.root, ref.name)
    return Ref(ref.root, f"{ref.name}[...]", _sample(ref.obj), sampled=True)


def _sample(obj: Any) -> Any:
    """One element that stands for all, where taking it runs nobody's code."""
    try:
        if isinstance(obj, dict) and type(obj).__module__ in ("builtins", "collections"):
            return next(iter(dict.values(obj)), MISSING)
        if type(obj) in (list, tuple) and obj:
            return obj[0]
    except Exception:  # changed by another thread meanwhile
        return MISSING
    return MISSING


def known_container(ref: Ref) -> bool | None:
    """Whether the thing is a mutable container, or None if that cannot be told."""
    return None if ref.obj is MISSING else is_mutable(ref.obj)


def resize(stack: list[Value], change: int) -> None:
    """Drop from the top of the stack, or add unknowns."""
    if change < 0:
        del stack[change:]
    else:
        stack.extend([EMPTY] * change)
