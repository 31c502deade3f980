"""Read a function's bytecode for what it writes to and what it holds on to.

A symbolic walk: every slot of the stack and every local variable carries the set of outside things it
may be (`Value`); the values a call creates itself are the empty set. Branches are joined, loops are
walked until nothing new arrives, and functions of the user's own are entered with the caller's values,
so that a helper which fills its argument is judged by what it was given. For what is told by its name alone
there is a flat reader, `named`, which says why there are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import CodeType, FunctionType

from ..introspect.code import global_or_builtin, where
from ..introspect.layers import MISSING, cells, content, defaults
from ..introspect.libraries import is_library
from ..introspect.methods import CHANGING_METHODS
from .captures import foreign
from .opcodes import HANDLERS, IDENTITY, INPUTS, LEAVING
from .stack_values import EMPTY, Ref, State, Value, known_container, resize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from dis import Instruction
    from typing import Any
else:
    from ..frozen import dataclass

__all__ = ["Frame", "Trace", "Write"]

# How far helpers are followed: calls deep, functions in all, and instructions (some 5 µs each) in all.
_DEEPEST, _MOST, _LONGEST = 4, 100, 20_000
_PASSES = 4
_CONSTANT = {type(None), bool, int, float, complex, str, bytes, tuple, frozenset}
_LOCKS = {"captured lock"}
# Writing to these is what they are for; that they are held is said anyway.
_APART = {"captured thread-local", "captured lock", "captured queue"}


@dataclass(frozen=True, slots=True)
class Write:
    """One write to something that outlives the call."""

    ref: Ref
    how: str
    atomic: bool
    where: str


class Trace:
    """All that was seen in one function and the helpers it reaches."""

    def __init__(self, top: CodeType) -> None:
        self.top = top
        self.writes: dict[tuple[Any, ...], Write] = {}
        self.reads: set[object] = set()
        self.uses: dict[object, set[str]] = {}  # what is done with what: instructions, methods
        self.names: dict[object, set[tuple[str, str]]] = {}
        self.held: dict[tuple[str, str], tuple[str, bool, str]] = {}
        self.locked = False
        self.catches = False  # a key that is missing
        self.left = _LONGEST
        self._memo: dict[tuple[Any, ...], Value] = {}
        self.kept: list[Any] = []  # ids are keys above, so nothing may be freed before the end

    @property
    def whole(self) -> bool:
        """Whether all of it was read."""
        return self.left >= 0 and len(self._memo) < _MOST

    def follows(self, code: CodeType) -> bool:
        """Whether this code is the user's own (or the very one that was asked about)."""
        return code is self.top or not is_library(code.co_filename)

    def call(self, func: FunctionType, given: Sequence[Value], named: dict[str, Value], depth: int) -> Value:
        """Walk a plain function as called with these values; what it may return."""
        free = {name: frozenset({Ref("free", name, content(cell, MISSING))}) for name, cell in cells(func)}
        names = self.arguments(func.__code__, given, named)
        late = {name: frozenset({Ref("bound", name, value)}) for name, value in defaults(func)}
        names = {**late, **names}
        return self.walk(func.__code__, func.__globals__, free, frozenset(free), names, depth)

    def walk(
        self,
        code: CodeType,
        scope: dict[str, Any],
        free: dict[str, Value],
        outer: frozenset[str],
        names: dict[str, Value],
        depth: int,
    ) -> Value:
        """Walk one code object, once for the same arguments."""
        key = (code, frozenset(names.items()), frozenset(free.items()))
        if key in self._memo or depth > _DEEPEST or len(self._memo) >= _MOST or self.left < 0:
            return self._memo.get(key, EMPTY)
        self._memo[key] = EMPTY
        frame = Frame(self, code, scope, free, outer, depth)
        for value in (*free.values(), *names.values()):
            self.hold(value, frame.where, unused=True)
        result = self._memo[key] = frame.run(names)
        return result

    def arguments(self, code: CodeType, given: Sequence[Value], named: dict[str, Value]) -> dict[str, Value]:
        """The values by the names of the parameters that they fill."""
        count = code.co_argcount
        names = dict(zip(code.co_varnames[:count], given, strict=False))
        names.update((name, v) for name, v in named.items() if name in code.co_varnames)
        if code.co_flags & 0x04 and len(given) > count:
            rest = code.co_varnames[count + code.co_kwonlyargcount]
            names[rest] = frozenset().union(*given[count:])
        return names

    def hold(self, value: Value, at: str, unused: bool = False) -> None:
        """Note those of `value` that must not cross a process border."""
        for ref in value:
            if ref.obj is MISSING or ref.root == "code":
                continue
            self.kept.append(ref.obj)
            found = foreign(ref.obj)
            if found is not None:
                self.held.setdefault((found[0], ref.name), (*found, at))
                self.locked = self.locked or (found[0] in _LOCKS and not unused)

    def write(self, value: Value, how: str, atomic: bool, at: str) -> None:
        """Note a write to each of `value`, except to what threads keep apart by themselves."""
        for ref in value:
            if ref.root == "code" or _unwritable(ref):
                continue
            self.kept.append(ref.obj)
            self.names.setdefault(ref.identity, set()).add((ref.root, ref.name))
            entry = Write(ref, how, atomic and not ref.inner, at)
            self.writes[(ref.key, how, entry.atomic, at)] = entry

    def read(self, value: Value, at: str, how: str) -> None:
        """Note that the contents of each of `value` are looked at or handed on."""
        for ref in value:
            if ref.root == "code":
                continue
            self.uses.setdefault(ref.identity, set()).add(how)
            self.names.setdefault(ref.identity, set()).add((ref.root, ref.name))
            if ref.parent is not None and ref.attr in CHANGING_METHODS and known_container(ref.parent):
                self.write(frozenset({ref.parent}), ref.attr, False, at)  # handed on as a function
            self.reads.add(ref.identity)


def _unwritable(ref: Ref) -> bool:
    """Whether a write to it is no news, or (a default of None, say) not possible at all."""
    if ref.obj is MISSING or ref.sampled:
        return False
    found = foreign(ref.obj)
    return type(ref.obj) in _CONSTANT or (found is not None and found[0] in _APART)


class Frame:
    """The walk over one code object."""

    def __init__(
        self,
        trace: Trace,
        code: CodeType,
        scope: dict[str, Any],
        free: dict[str, Value],
        outer: frozenset[str],
        depth: int,
    ) -> None:
        import dis

        self.trace, self.code, self.scope, self.free, self.outer, self.depth = (
            trace,
            code,
            scope,
            free,
            outer,
            depth,
        )
        self.where = where(code)
        trace.catches = trace.catches or "KeyError" in code.co_names
        book = dis.Bytecode(code)
        self.lines: list[Instruction] = list(book)
        trace.left -= len(self.lines)
        self.handlers: list[Any] = list(getattr(book, "exception_entries", ()))
        self.effect = dis.stack_effect
        self.argued = dis.HAVE_ARGUMENT
        self.jumps = set(dis.hasjrel) | set(dis.hasjabs)
        self.arrivals: dict[int, State] = {}
        self.state = State()
        self.index = 0
        self.grown = self.entered = False
        self.keywords: tuple[str, ...] = ()
        self.returned: Value = EMPTY

    def run(self, names: dict[str, Value]) -> Value:
        """Walk until the loops bring nothing new; what the function may return."""
        for _ in range(_PASSES):
            self.grown = False
            self._sweep(State([], dict(names)))
            if not self.grown:
                break
        return self.returned

    def _sweep(self, start: State) -> None:
        self.state, live, stored = start, True, True
        for index, line in enumerate(self.lines):
            self.index = index
            arriving = self.arrivals.get(line.offset)
            if arriving is not None:
                if live:
                    self.state.absorb(arriving)
                else:
                    self.state = arriving.copy()
                live = stored = True
            self._guard(line.offset, stored)
            stored = line.opname.startswith("STORE_")
            self._step(line)
            live = live and line.opname not in LEAVING

    def _guard(self, offset: int, stored: bool) -> None:
        """Let the state here reach the handlers that cover this instruction."""
        for entry in self.handlers:
            if entry.start <= offset < entry.end and (stored or offset == entry.start):
                stack = self.state.stack[: entry.depth] + [EMPTY] * (1 + bool(entry.lasti))
                self.arrive(entry.target, State(stack, self.state.names.copy()))

    def arrive(self, target: int, state: State) -> None:
        """Join `state` into what reaches the instruction at offset `target`."""
        known = self.arrivals.get(target)
        if known is None:
            self.arrivals[target] = state
            grown = True
        else:
            grown = known.absorb(state)
        self.grown = self.grown or (grown and target <= self.lines[self.index].offset)

    def _step(self, line: Instruction) -> None:
        handle = HANDLERS.get(line.opname)
        if line.opcode in self.jumps and handle is None:
            self.jump(line)
        elif handle is not None:
            handle(self, line)
        else:
            self._unknown(line)

    def jump(self, line: Instruction) -> None:
        """Let the state reach the target too."""
        if line.opname not in IDENTITY:
            self.read(self.top())
        state = self.state.copy()
        resize(state.stack, self.effect(line.opcode, line.arg, jump=True))
        self.arrive(line.argval, state)
        resize(self.state.stack, self.effect(line.opcode, line.arg, jump=False))

    def _unknown(self, line: Instruction) -> None:
        arg = line.arg if line.opcode >= self.argued else None
        change = self.effect(line.opcode, arg)
        inputs = INPUTS.get(line.opname)
        if inputs is None and line.opname.startswith("BUILD_"):
            inputs = 1 - change
        if inputs is None:
            inputs = -change if change < 0 else 0
        for _ in range(inputs):
            self.read(self.pop())
        resize(self.state.stack, change + inputs)

    # The stack

    def top(self) -> Value:
        """The topmost value, left in place."""
        return self.state.stack[-1] if self.state.stack else EMPTY

    def pop(self) -> Value:
        """The topmost value, taken away."""
        return self.state.stack.pop() if self.state.stack else EMPTY

    def take(self, count: int) -> list[Value]:
        """Pop `count` values, in the order they were pushed."""
        return [self.pop() for _ in range(count)][::-1]

    def push(self, *values: Value) -> None:
        """Put values on the stack, the last on top."""
        self.state.stack.extend(values)

    def load(self, value: Value) -> None:
        """Push a value that was just reached, noting whether it may cross."""
        self.trace.hold(value, self.where)
        self.push(value)

    # Variables

    def variable(self, name: str) -> Value:
        """A global, or nothing for a built-in that is not one of the user's things."""
        obj, built_in = global_or_builtin(name, self.scope)
        return frozenset({Ref("code" if built_in else "global", name, obj)})

    def deref(self, name: str) -> Value:
        """A variable shared with another function."""
        return self.free[name] if name in self.free else self.state.names.get(name, EMPTY)

    def store(self, name: str, value: Value) -> None:
        """Give a local variable its value."""
        self.state.names[name] = value

    def write(self, value: Value, how: str, atomic: bool = False) -> None:
        """Note a write at this function's line."""
        self.trace.write(value, how, atomic, self.where)

    def read(self, value: Value, how: str = "") -> None:
        """Note that contents are looked at; by this instruction, if nothing else is said."""
        self.trace.read(value, self.where, how or self.lines[self.index].opname)

    def following(self) -> str:
        """The name of the next instruction."""
        after = self.lines[self.index + 1 : self.index + 2]
        return after[0].opname if after else ""
