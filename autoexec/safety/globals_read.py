"""What a function reads in modules: a fresh interpreter has them as on the first day.

A function that is found by name on the other side brings its module, imported anew. What the program has set
there meanwhile (a configuration, a table that was loaded, the attribute of a class, a function that a test
has put in the place of another) has to travel along, or the function would do something else than in the
loop. Modules whose file has changed since, or that have none, travel whole.
"""

from __future__ import annotations

import builtins
import os
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from itertools import islice
from types import CodeType, FunctionType, MethodType, ModuleType

from ..introspect import ATOMS, MAIN, attributes, bare, importable, isa, loaded, static_attribute
from ..introspect.code import codes_of, imports_of, names_of, steps_of
from ..introspect.contents import held_by, named
from ..introspect.elsewhere import made_by_hand, only_here
from ..introspect.layers import captured, defaults, inside, layers
from ..introspect.libraries import is_library_type, is_stdlib, of_library, replaced
from ..worker.registries import signal_handlers
from .copies_only import displaces, own_codecs
from .fingerprint import DEEPEST
from .library_parts import is_dunder, read_in_libraries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ModuleState", "module_state"]

MANY = 64  # values of a table that are looked at
MOST = 2000  # values in all
SLACK_S = 0.1  # seconds by which the beginning of a process is known
PLAIN = (*ATOMS, list, dict, set, tuple, frozenset)  # what an attribute of a class is taken along as
# By which things are found that code does not name.
BY_NAME = frozenset(
    (
        *("loads", "load", "Unpickler", "modules", "__main__", "getattr", "eval", "exec", "globals"),
        *("import_module", "Pool", "Process", "Manager", "get_context", "ProcessPoolExecutor", "Parallel"),
    )
)
SIGNALS = frozenset(("getsignal", "raise_signal"))
_FILLED = ("_abc_impl", "_field_defaults", "_fields")  # attributes that libraries give to classes


class ModuleState:
    """What a worker has to be given with a function.

    Attributes:
        values: by module and name; the name of a class's attribute has a dot.
        mocks: what tests have put in the place of others, by the same; nobody would see calls of a copy.
        filled: those that the function itself may fill: a worker may fill its own.
        strange: whether some of it stands in libraries, which other functions of a worker would find, too.
        unknown: names of modules that no other process could import as they are here.
        names: of globals and attributes that the user's code uses.
        main: functions and classes that stand in `__main__`, by name.
        made: modules that were made by hand, by name.
        registered: what was registered: module, path of the method that does it, and its arguments.
        copies: what only a copy of this process has: what is done with it, and its name.
    """

    __slots__ = (
        *("copies", "filled", "made", "main", "mocks", "names", "registered", "strange", "unknown", "values"),
    )

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Any] = {}
        self.mocks: dict[tuple[str, str], Any] = {}
        self.filled: set[tuple[str, str]] = set()
        self.strange = False
        self.unknown: set[str] = set()
        self.names: set[str] = set()
        self.main: dict[str, Any] = {}
        self.made: dict[str, Any] = {}
        self.registered: list[tuple[str, str, tuple[Any, ...]]] = []
        self.copies: list[tuple[str, str]] = []


def module_state(func: Callable[..., object]) -> ModuleState:
    """All that a function reads in modules that a worker imports anew.

    >>> module_state(lambda x: x).values, module_state(len).values
    ({}, {})
    """
    walk = _Walk()
    try:
        walk.meet(func, 0)
        walk.modules()
    except Exception:  # an object that resists being looked at is no reason to fail
        pass
    if not BY_NAME.isdisjoint(walk.state.names):
        names = attributes(sys.modules.get("__main__"))
        walk.state.main.update((name, value) for name, value in list(names.items()) if _of_main(value))
    return walk.state


class _Walk:
    """From function to function."""

    def __init__(self) -> None:
        self.state = ModuleState()
        self._seen: set[int] = set()
        self._modules: dict[int, ModuleType] = {}  # of libraries, gone through
        self._left = MOST
        self._held_modules: list[ModuleType] = []  # found as values: any code may name what is in them

    def modules(self) -> None:
        """What code names in modules that are held by a variable."""
        while self._held_modules:
            module = self._held_modules.pop()
            if id(module) in self._seen or of_library(module):
                continue
            self._seen.add(id(module))
            inside = vars(module)
            for name in self.state.names & inside.keys():
                if isa(inside[name], ModuleType):
                    self._held_modules.append(inside[name])
                self._value(module.__name__, name, inside[name], 0)

    def meet(self, obj: Any, depth: int) -> None:
        """A callable, and all that it calls or is made of."""
        obj, bound, keywords = layers(obj)
        for value in (*(value for _, value in bound), *keywords.values()):
            self._held(value, depth)
        if isa(obj, type):
            self._class(obj, depth)
            return
        if isa(obj, FunctionType) and "registry" in vars(obj):
            self._generic(obj, depth)
        if not isa(obj, FunctionType) or id(obj) in self._seen or depth > DEEPEST or of_library(obj):
            return
        self._seen.add(id(obj))
        self._imports(obj)
        self._in_main(obj)
        self._home(obj.__module__)
        self.state.names.update(names_of(obj.__code__))
        for _, value in (*captured(obj), *defaults(obj), *attributes(obj).items()):
            self._held(value, depth)
        stored = {name for code in codes_of(obj.__code__) for _, name in steps_of(code, "STORE_GLOBAL")}
        for module, name, value in named(obj.__code__, obj.__globals__):
            if module not in sys.modules:
                continue
            if name in stored:
                self.state.filled.add((module, name))
            self._value(module, name, value, depth)
        for home, name, value in read_in_libraries(obj, self._modules):
            self._in_library(home, name, value, depth)

    def _imports(self, func: FunctionType) -> None:
        """Modules that only this process has, and codecs that it may have."""
        names = names_of(func.__code__)
        held = [func.__globals__.get(name) for name in names]
        modules = [attributes(value).get("__name__", "") for value in held if isa(value, ModuleType)]
        for name in (*imports_of(func.__code__, func.__globals__), *modules):
            parts = name.split(".")
            for path in (".".join(parts[: at + 1]) for at in range(len(parts))):
                if made_by_hand(path):
                    self.state.made[path] = sys.modules[path]
        for name in own_codecs(func.__code__):
            self.state.copies.append(("uses a codec, or a handler of its errors", name))
        if not SIGNALS.isdisjoint(names) and (signal := loaded("_signal")) and signal_handlers(signal):
            self.state.copies.append(("asks for handlers of signals", "signal"))

    def _generic(self, func: FunctionType, depth: int) -> None:
        """A function of `functools.singledispatch`: others may have registered more with it."""
        home, path = func.__module__, func.__qualname__
        for kind, part in list(getattr(func, "registry", {}).items()):
            self.meet(part, depth + 1)
            if importable(func) and not of_library(func) and home != static_attribute(part, "__module__"):
                self.state.registered.append((home, f"{path}.register", (kind, part)))

    def _registered(self, module: str, path: str, kind: type) -> None:
        """Classes that were registered with an abstract one, or with one below it."""
        ahead, left = [(module, path, kind)], MANY
        while ahead and left > 0:
            home, name, kind = ahead.pop()
            left -= 1
            below: list[Any] = type.__subclasses__(kind)
            ahead += [(each.__module__, each.__qualname__, each) for each in below]
            if "_abc_impl" not in vars(kind) or not importable(kind):
                continue
            references: Any = import_module("_abc")._get_dump(kind)[0]
            for reference in references:
                sub = reference()
                if isa(sub, type) and sub.__module__ != home and not is_library_type(sub):
                    self.state.registered.append((home, f"{name}.register", (sub,)))

    def _held(self, value: Any, depth: int) -> None:
        """What a closure holds goes by value, but for what its functions and its class read."""
        if type(value) in ATOMS or depth > DEEPEST or self._left <= 0:
            return
        self._left -= 1
        if type(value) in (dict, list, tuple, set, frozenset):
            if id(value) in self._seen:
                return
            self._seen.add(id(value))
            values = value.values() if type(value) is dict else value
            for part in islice(values, MANY):
                self._held(part, depth + 1)
        elif isa(bare(value), FunctionType) or isa(value, type):
            self.meet(value, depth + 1)
        elif (parts := inside(value)) is not None:
            for part in parts:
                self._held(part, depth + 1)
        else:
            self._class_of(value, depth)

    def _class_of(self, value: Any, depth: int) -> None:
        if isa(value, ModuleType):
            self._held_modules.append(value)
            return
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        self._class(type(value), depth + 1)
        theirs = is_library_type(type(value))
        for _, part in islice(held_by(value), MANY):
            if not theirs or isa(part, (FunctionType, MethodType, partial)):
                self._held(part, depth + 1)

    def _value(self, module: str, name: str, value: Any, depth: int) -> None:
        if isa(value, ModuleType):
            return
        if isa(bare(value), FunctionType) or isa(value, type):
            self.meet(value, depth + 1)
            if _comes_with(module, name, value):
                return
        else:
            self._held(value, depth)
        if module not in MAIN and not only_here(module):
            self._set(module, name, value)

    def _set(self, module: str, name: str, value: Any) -> None:
        values = self.state.mocks if type(value).__module__ == "unittest.mock" else self.state.values
        values[module, name] = value

    def _in_main(self, value: Any) -> None:
        """A thing of `__main__`, if it stands there under its own name."""
        name = static_attribute(value, "__qualname__")
        if _of_main(value) and attributes(sys.modules.get("__main__")).get(name) is value:
            self.state.main[name] = value

    def _in_library(self, home: ModuleType, name: str, value: Any, depth: int) -> None:
        """What others have put into a library, and what is set there for all."""
        if isa(value, type) and displaces(value, home.__name__, name):
            self.state.copies.append(("uses what stands in the place of a class", f"{home.__name__}.{name}"))
        elif replaced(value) or home is builtins:
            self.meet(value, depth + 1)
            self._strange(home.__name__, name, value)
        elif isa(value, type):
            self._class_of_library(home.__name__, name, value, depth)
        elif type(value) in ATOMS and not is_stdlib(attributes(home).get("__file__") or "<frozen>"):
            self._strange(home.__name__, name, value)

    def _class_of_library(self, module: str, name: str, kind: type, depth: int) -> None:
        self._registered(module, name, kind)
        for key, value in list(vars(kind).items()):
            if not is_dunder(key) and replaced(value):
                self.meet(value, depth + 1)
                self._strange(module, f"{name}.{key}", value)

    def _strange(self, module: str, name: str, value: Any) -> None:
        self._set(module, name, value)
        self.state.strange = True

    # Classes and modules of the user's --------------------------------------------------------------------

    def _class(self, kind: type, depth: int) -> None:
        """Methods read globals, too; and attributes of a class are set as those of a module are."""
        if id(kind) in self._seen or depth > DEEPEST or is_library_type(kind):
            return
        self._seen.add(id(kind))
        self._in_main(kind)
        self._home(kind.__module__)
        self._registered(kind.__module__, kind.__qualname__, kind)
        sent = importable(kind) and type(kind).__module__ in ("builtins", "abc")
        for key, value in list(vars(kind).items()):
            self._held(value, depth)
            code = isa(value, (staticmethod, classmethod, property)) or isa(bare(value), FunctionType)
            if not code and type(value) not in PLAIN and type(value).__module__ != "unittest.mock":
                continue
            if sent and not is_dunder(key) and key not in _FILLED and not _is_own(kind, value):
                self._set(kind.__module__, f"{kind.__qualname__}.{key}", value)
        for base in (*kind.__bases__, type(kind)):
            self._class(base, depth + 1)

    def _home(self, name: str) -> None:
        if name not in self.state.unknown and name not in MAIN and not _as_on_disk(name):
            self.state.unknown.add(name)


def _comes_with(module: str, name: str, value: Any) -> bool:
    """Whether a function or a class is what a module that is imported anew has under this name."""
    inner = bare(value)
    if isa(inner, FunctionType) and inner.__globals__ is attributes(sys.modules.get(module)):
        return inner.__name__ in (name, "<lambda>") or "<locals>" in inner.__qualname__
    home, path = static_attribute(value, "__module__"), static_attribute(value, "__qualname__")
    return (home, path) == (module, name) and importable(value)


def _is_own(kind: type, value: Any) -> bool:
    """Whether a function in a class is what its module puts there: it is known by its name."""
    if isa(value, (staticmethod, classmethod)):
        value = value.__func__
    value = bare(value)
    if isa(value, property):
        return True
    return isa(value, FunctionType) and value.__module__ == kind.__module__


def _of_main(value: Any) -> bool:
    return isa(value, (FunctionType, type)) and static_attribute(value, "__module__") in MAIN


# Files ------------------------------------------------------------------------------------------------------


def _as_on_disk(name: str) -> bool:
    """Whether another process that imports a module gets the code that this one has.

    Only files that are younger than this process are read.
    """
    module = sys.modules.get(name)
    file = attributes(module).get("__file__")
    if module is None or attributes(module).get("__spec__") is None:
        return True  # made by hand: nobody can tell where it came from, and its name is all there is
    if file is None:
        return False
    if not file.endswith(".py"):
        return True
    try:
        if os.stat(file).st_mtime < _began():
            return True
        with open(file, "rb") as opened:
            text = opened.read()
        there = compile(text, file, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return False
    loader = type(attributes(module).get("__loader__"))
    same = CodeType.__eq__ if loader.__module__.startswith("_frozen_importlib") else _alike
    return _same_code(vars(module), {code.co_qualname: code for code in codes_of(there)}, file, same)


def _alike(code: CodeType, there: CodeType) -> bool:
    """Whether code may be what the file says, as rewritten by whoever loads it (pytest, a tracer)."""
    shape = [(each.co_firstlineno, each.co_argcount, each.co_kwonlyargcount) for each in (code, there)]
    told = [
        {*each.co_names, *(const for const in each.co_consts if type(const) in ATOMS)}
        for each in (code, there)
    ]
    return shape[0] == shape[1] and told[1] <= told[0]


def _same_code(
    names: dict[str, Any], there: dict[str, CodeType], file: str, same: Callable[[CodeType, CodeType], bool]
) -> bool:
    """Whether the functions of a module, and of its classes, are what its file says now."""
    for value in list(names.values()):
        parts = vars(value).values() if isa(value, type) else (value,)
        for part in parts:
            func = getattr(part, "__func__", part)
            code = getattr(func, "__code__", None) if isa(func, FunctionType) else None
            if code is None or code.co_filename != file:
                continue
            written = there.get(code.co_qualname)
            if written is None or not same(code, written):
                return False
    return True


@cache
def _began() -> float:
    """When this process began, to a tenth of a second; 0.0 where nobody can tell."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/uptime", "rb") as file:
            up = float(file.read().split()[0])
        return time.time() - up + ticks / os.sysconf("SC_CLK_TCK") - SLACK_S
    except (OSError, ValueError, IndexError):
        return 0.0
