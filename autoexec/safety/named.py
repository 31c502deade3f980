"""Which things of the whole process a code object names: looked up where the code would find them.

What may live here: one flat pass over instructions, with the one object that was loaded last. So a `seed`, an
`input` or a `patch` of the user's own is nobody else's, and `from os import chdir as cd` is `os.chdir`.

There are two readers. This one looks at every function within reach, once, and mostly at no more than its
names (`_telling`): to name a thing is enough. `bytecode` has to know which value an instruction works on, so
it walks branches and calls with values on a stack, at many times the price, and goes a few calls deep. What
an instruction means to both stands in `introspect.code`.
"""

from __future__ import annotations

import sys
from dis import get_instructions
from opcode import opmap
from types import CodeType, FunctionType, ModuleType

from ..introspect import attributes, isa, loaded
from ..introspect.code import IMPORT, global_or_builtin, imported, where
from ..introspect.layers import MISSING, peek
from ..introspect.libraries import of_library
from .captures import foreign
from .process_names import ALWAYS, LOOPS, NAMES, ONE_AT_A_TIME, OWN_THREAD, SETTERS, STDIN, WINDOWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from dis import Instruction
    from typing import Any

__all__ = ["CodeReader", "known_objects"]

_TABLES = (
    ("always", ALWAYS),
    ("setter", SETTERS),
    ("thread", OWN_THREAD),
    ("loop", LOOPS),
    ("stdin", STDIN),
)
_SEEDS = ("seed", "setstate", "set_state")
_CHANGES = ("update", "pop", "popitem", "clear", "__setitem__", "__delitem__")  # of os.environ
_ASKS = ("isatty", "encoding", "errors", "closed", "name", "mode")  # of standard input, that read nothing
_TAKES = ("get", "get_nowait")
_OF_LOGGERS = {"setLevel": "setter", "removeHandler": "always", "removeFilter": "always"}
_STORE_ATTR = opmap["STORE_ATTR"]
_AWAITED = 0x280  # code of a coroutine or an async generator, which has a running loop
_BETWEEN = ("CACHE", "NOP", "EXTENDED_ARG", "PRECALL", "PUSH_NULL", "COPY", "RESUME", "NOT_TAKEN")
_KEYS = ("LOAD_", "FORMAT_", "BUILD_STRING", "CONVERT")  # how the key of a mapping is made


class _Unloaded:
    """A module that code imports when it runs, and that nobody has imported yet."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def _rows() -> Iterator[tuple[str, str, str]]:
    for group, table in _TABLES:
        for module, names in table.items():
            yield from ((group, module, name) for name in names.split() if not _kept_apart(module, name))


def known_objects() -> dict[int, tuple[str, str]]:
    """The objects that the rows stand for, by identity: the group and the name of each."""
    found: dict[int, tuple[str, str]] = {}
    for group, module, name in _rows():
        obj: Any = loaded(module)
        for part in name.split("."):
            obj = vars(obj).get(part) if isa(obj, (ModuleType, type)) else None
        if obj is not None:
            found.setdefault(id(obj), (group, _label(module, name)))
    return found


def _label(module: str, name: str) -> str:
    return name if module == "builtins" else f"{module}.{name}"


def _kept_apart(module: str, name: str) -> bool:
    """Whether this interpreter keeps it apart for each context."""
    if name == "catch_warnings":
        return bool(getattr(sys.flags, "context_aware_warnings", 0))
    if (module, name) == ("numpy", "set_printoptions"):
        return not str(attributes(loaded("numpy")).get("__version__", "1")).startswith("1.")
    return False


class CodeReader:
    """Reads one code object.

    Args:
        found: told of each thing its group, its name, where it stands, and whether what is done varies.
        known: see `known_objects`.
        code: the code.
        scope: the globals of its function.
        local: what its variables are known to be; what it imports is added.
    """

    def __init__(
        self,
        found: Callable[..., None],
        known: dict[int, tuple[str, str]],
        code: CodeType,
        scope: dict[str, Any],
        local: dict[str, Any],
    ) -> None:
        self._tell, self._known = found, known
        self._code, self._scope, self._local = code, scope, local
        self._value: Any = MISSING  # what was loaded last, as the source calls it:
        self._path = ""
        self._shared = False  # whether it came from a global or captured variable
        self._module: Any = MISSING  # what was imported last
        self._environ = False  # whether `os.environ` was loaded, and since then no more than a key of it
        self._steps: list[Instruction] = []

    def read(self) -> None:
        """Tell what it names."""
        if not self._telling():
            return
        self._steps = list(get_instructions(self._code))
        if "/dev/stdin" in self._code.co_consts:
            self._found("stdin", "/dev/stdin", 0)
        for at, step in enumerate(self._steps):
            handle = _HANDLERS.get(step.opname) or _by_beginning(step.opname)
            if handle is not None:
                handle(self, at, step.argval)
            elif step.opname not in _BETWEEN:
                self._value = MISSING
            if step.opname not in _BETWEEN and not step.opname.startswith(_KEYS):
                self._environ = False

    def _telling(self) -> bool:
        """Whether reading it may tell anything: stepping through all code would take too long."""
        names = self._code.co_names
        if not NAMES.isdisjoint(names) or not {"open", "getattr", *_TAKES}.isdisjoint(names):
            return True
        held = [*(self._scope.get(name) for name in names), *self._local.values()]
        odd = any(id(value) in self._known or _is_odd(value) for value in held)
        odd = odd or _STORE_ATTR in self._code.co_code[::2]
        return odd or "/dev/stdin" in self._code.co_consts

    # Instructions -----------------------------------------------------------------------------------------

    def _global(self, at: int, name: str) -> None:
        self._shared = True
        found, built_in = global_or_builtin(name, self._scope)
        self._load(at, name, self._local.get(name, found) if built_in else found)

    def _variable(self, at: int, name: Any) -> None:
        last = name[-1] if isinstance(name, tuple) else name
        self._shared = last in self._code.co_freevars
        self._load(at, last, self._local.get(last, MISSING))

    def _constant(self, at: int, value: object) -> None:
        """`getattr(os, "chdir")` is told as well."""
        if isinstance(value, str) and isa(self._value, ModuleType) and value in NAMES:
            self._attribute(at, value)
        self._value = MISSING

    def _import(self, at: int, _: str) -> None:
        bound = imported(self._steps, at, self._scope)[1]
        self._module = loaded(bound) or _Unloaded(bound)
        self._load(at, bound, self._module)

    def _import_from(self, at: int, name: str) -> None:
        self._value = self._module
        self._attribute(at, name)
        if self._steps[at - 1].opname != IMPORT or self._steps[at - 2].argval is None:
            self._module = self._value  # import a.b.c as d

    def _store(self, at: int, name: Any) -> None:
        """A variable is told as long as it gets what was loaded, or imported, right before."""
        first = name[0] if isinstance(name, tuple) else name
        if self._value is not MISSING:
            self._local.setdefault(first, self._value)
        self._value = MISSING

    def _store_attribute(self, at: int, name: str) -> None:
        owner = self._value
        if isa(owner, ModuleType) and of_library(owner):
            self._found("setter", f"{owner.__name__}.{name}", at)
        elif self._shared and not (owner is MISSING or isa(owner, ModuleType) or foreign(owner)):
            self._found("object", f"{self._path}.{name}", at)
        self._value = MISSING

    def _store_entry(self, at: int, _: object) -> None:
        if self._environ:
            self._found("setter", "os.environ", at)
        self._value = MISSING

    def _attribute(self, at: int, name: str) -> None:
        owner, path = self._value, f"{self._path}.{name}"
        if type(owner) is _Unloaded:
            rows = [(group, _label(module, known)) for group, module, known in _rows()]
            for group, label in rows:
                if label == f"{owner.name}.{name}" and not self._only_asks(at, group):
                    self._found(group, label, at)
            self._value, self._path = _Unloaded(f"{owner.name}.{name}"), path
            return
        if owner is MISSING:
            if name in _OF_LOGGERS and "getLogger" in self._code.co_names:  # those are everybody's, too
                self._found(_OF_LOGGERS[name], f"logging.Logger.{name}", at)
            return
        self._told_by_owner(at, owner, name)
        value = peek(owner, name)[0]
        if value is MISSING and isa(owner, ModuleType):
            inside = f"{owner.__name__}.{name}"
            value = loaded(inside) or _Unloaded(
                inside
            )  # a package may import its parts when they are asked for
        self._load(at, path, value)

    # What they load ---------------------------------------------------------------------------------------

    def _load(self, at: int, path: str, value: Any) -> None:
        self._value, self._path = value, path
        if value is MISSING:
            return
        self._environ = self._environ or _is_environ(value)
        group, label = self._known.get(id(value), ("", ""))
        if group and not self._only_asks(at, group):
            self._found(group, label, at)
        elif isa(value, FunctionType) and str(value.__module__) in ONE_AT_A_TIME:
            self._found("always", f"{value.__module__}.{value.__name__}", at)
        elif value is open and self._given_0(at):
            self._found("stdin", "open(0)", at)

    def _told_by_owner(self, at: int, owner: Any, name: str) -> None:
        """What is told by the object whose attribute is named."""
        if isa(owner, ModuleType):
            if owner.__name__ in WINDOWS:
                self._found("window", f"{owner.__name__}.{name}", at)
        elif _is_environ(owner) and name in _CHANGES:
            self._found("setter", "os.environ", at)
        elif name in _SEEDS and (foreign(owner) or ("",))[0] == "captured random generator":
            self._found("always", f"{self._path}.{name}", at)
        elif name in _TAKES and (foreign(owner) or ("",))[0] == "captured queue":
            self._found("queue", self._path, at)

    def _only_asks(self, at: int, group: str) -> bool:
        """Whether standard input is asked what reads nothing, or a coroutine for the loop that it runs in."""
        if group == "loop":
            return bool(self._code.co_flags & _AWAITED)
        after = self._steps[at + 1] if at + 1 < len(self._steps) else None
        return group == "stdin" and after is not None and after.argval in _ASKS

    def _given_0(self, at: int) -> bool:
        """Whether the first argument of the call of what was just loaded is 0."""
        after = [step for step in self._steps[at + 1 : at + 4] if step.opname not in _BETWEEN]
        const = bool(after) and after[0].opname in ("LOAD_CONST", "LOAD_SMALL_INT")
        return const and type(after[0].argval) is int and after[0].argval == 0

    def _found(self, group: str, label: str, at: int) -> None:
        self._tell(group, label, where(self._code), varies=self._varies(at))

    def _varies(self, at: int) -> bool:
        """Whether variables stand in the call of what was just loaded; if it is not called, in its line."""
        begin = _begin(self._steps[at])
        calls = [step for step in self._steps[at:] if step.opname.startswith("CALL")]
        ends = [_end(step) for step in calls if _begin(step) == begin][:1]
        variables = [
            _begin(step) for step in self._steps if step.opname.startswith(("LOAD_FAST", "LOAD_DEREF"))
        ]
        return any(begin <= one <= ends[0] if ends else one[0] == begin[0] for one in variables)


_HANDLERS: dict[str, Callable[[CodeReader, int, Any], None]] = {
    **dict.fromkeys(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"), CodeReader._global),
    **dict.fromkeys(("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"), CodeReader._variable),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD"), CodeReader._attribute),
    "LOAD_CONST": CodeReader._constant,
    IMPORT: CodeReader._import,
    "IMPORT_FROM": CodeReader._import_from,
    "STORE_DEREF": CodeReader._store,
    "STORE_ATTR": CodeReader._store_attribute,
    **dict.fromkeys(("STORE_SUBSCR", "DELETE_SUBSCR"), CodeReader._store_entry),
}


def _by_beginning(name: str) -> Callable[[CodeReader, int, Any], None] | None:
    """Variables have instructions for two at once, and more in each version."""
    if name.startswith("LOAD_FAST"):
        return CodeReader._variable
    return CodeReader._store if name.startswith("STORE_FAST") else None


def _is_environ(value: object) -> bool:
    return type(value).__module__ == "os" and type(value).__name__ == "_Environ"


def _is_odd(value: Any) -> bool:
    """Whether a value is told by what it is, not by a row."""
    if isa(value, ModuleType):
        return value.__name__ in WINDOWS or value.__name__ in ONE_AT_A_TIME
    if isa(value, FunctionType):
        return str(value.__module__) in ONE_AT_A_TIME
    return _is_environ(value) or type(value).__module__ in ("random", "numpy.random.mtrand")


def _begin(step: Instruction) -> tuple[int, int]:
    where = step.positions
    return (0, 0) if where is None else (where.lineno or 0, where.col_offset or 0)


def _end(step: Instruction) -> tuple[int, int]:
    where = step.positions
    return (0, 0) if where is None else (where.end_lineno or 0, where.end_col_offset or 0)
