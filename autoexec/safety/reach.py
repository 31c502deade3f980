"""All of the user's that a function can reach, as places whose contents can be noted and compared.

What may live here: the walk. It asks objects nothing that runs code of the user's, and stops at libraries:
what those keep for themselves is their own affair.

A place is a container (a dict, a list, the attributes of an object, a cell, the names that code uses in a
module) whose entries are compared by identity: the notes keep them alive, so that none can be replaced by
another one at the same address.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from functools import partial
from itertools import islice
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)

from ..introspect import ATOMS, attributes, bare, isa, loaded, members_of
from ..introspect.code import codes_of, modules_imported
from ..introspect.contents import wrapped_by
from ..introspect.layers import MISSING, cells, defaults, inside
from ..introspect.libraries import is_library, is_library_type, is_stdlib, of_library, of_user, top_package
from ..own_time import time
from .captures import foreign
from .readings import (
    IGNORED,
    LARGE,
    SAMPLE,
    all_names,
    cell_content,
    data_reader,
    elements_of,
    entries_of,
    has_method,
    hidden_names,
    is_data,
    is_path,
    slot_values,
    some_names,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["Place", "Reached", "kinds_of", "put_back", "reach", "third_party", "with_subclasses"]

MOST = 20_000  # places
# Modules whose objects count, cache and connect for themselves.
PRIVATE = ("logging", "threading", "concurrent.", "asyncio.", "warnings", "weakref", "re.")
KINDS_DEPTH, KINDS_FIRST, KINDS_MOST = 2, 16, 64  # of the classes of arguments
CHAIN = 32  # loggers, one above the other
LIBRARY_DEPTH = 3  # levels of a library's objects that are gone into
# Code that can reach every name of its module.
REFLECTING = frozenset({"globals", "exec", "eval", "_getframe", "locals", "vars", "modules", "stack"})
# Methods of C objects whose state nobody sees, that change it.
WRITTEN = ("compress", "decompress", "feed", "update", "decode")
# What `captures` calls those whose use leaves traces elsewhere.
USED = frozenset(
    f"captured {what}"
    for what in (
        "iterator",
        "generator",
        "open file",
        "socket",
        "database connection",
        "event loop",
        "window",
    )
)
_LEAVES = (
    ModuleType,
    CodeType,
    FrameType,
    BuiltinMethodType,
    MethodWrapperType,
    GetSetDescriptorType,
    MemberDescriptorType,
)


class Place:
    """A container, and how its contents are read.

    Attributes:
        obj: the container.
        path: what the source calls it.
        read: its entries, by key, or keys and values; a list for what has no keys.
        owner: the object whose attributes these are, or None.
    """

    __slots__ = ("obj", "owner", "path", "read")

    def __init__(self, obj: Any, path: str, read: Callable[[], Any], owner: Any = None) -> None:
        self.obj, self.path, self.read, self.owner = obj, path, read, owner

    def named(self) -> dict[str, Any]:
        """The entries that have a name."""
        found = self.read()
        pairs = found.items() if isa(found, dict) else zip(*found, strict=True) if isa(found, tuple) else ()
        return {key: value for key, value in pairs if type(key) is str}


def put_back(place: Place, name: str, old: Any) -> Any:
    """Let an entry of a place be what it was; what stood there meanwhile."""
    obj, known = place.obj, place.named()[name]
    if isa(obj, CellType):
        obj.cell_contents = old
    elif isa(obj, dict):
        if old is MISSING:
            dict.pop(obj, name, None)
        else:
            dict.__setitem__(obj, name, old)
    elif old is MISSING:
        delattr(obj, name)
    else:
        setattr(obj, name, old)
    return known


def reach(
    func: Any, args: tuple[Any, ...] = (), *, until: float = float("inf"), kinds: Iterable[Any] = ()
) -> Reached:
    """The places that a function can reach, the nearest first.

    Args:
        func: the function.
        args: what it is called with; of these only the classes are gone into, and functions.
        until: when to stop, by `time.thread_time`.
        kinds: classes that other arguments are of, and functions among these.
    """
    walk = _Walk()
    walk.meet(func, "")
    given = [*kinds_of(args).values(), *kinds]
    for kind in with_subclasses([one for one in given if isa(one, type)]):
        walk.meet(kind, kind.__name__)
    for one in given:
        walk.meet(one, one.__name__)
    for hook in _hooks():
        walk.meet(hook, getattr(hook, "__name__", "a hook"))
    whole = walk.go(until)
    found = Reached(walk.places, walk.functions, walk.codes, walk.used, walk.thread_locals, whole)
    found.locks = walk.locks
    return found


def kinds_of(args: tuple[Any, ...]) -> dict[Any, Any]:
    """The user's classes among those of arguments, and of what stands in these; functions by their code."""
    found: dict[Any, Any] = {}
    ahead: list[tuple[Any, int]] = [(arg, 0) for arg in args]
    for value, depth in ahead:
        kind = type(value)
        if kind in ATOMS or isa(value, type):
            continue
        if kind is FunctionType:
            if not is_library(value.__code__.co_filename):
                found.setdefault(value.__code__, value)
        elif kind in (tuple, list, dict, MethodType, partial):
            parts = inside(value) if kind in (MethodType, partial) else None
            parts = parts or (value.values() if kind is dict else value)
            if depth < KINDS_DEPTH:
                ahead += [(part, depth + 1) for part in islice(parts, KINDS_FIRST)]
        elif kind not in found and not is_library_type(kind):
            found[kind] = kind
    return found


def with_subclasses(kinds: Iterable[type]) -> dict[type, None]:
    """These classes, and what is derived of the same bases of the user's: later items may be such."""
    found: dict[type, None] = dict.fromkeys(kinds)
    ahead: list[type] = [base for kind in found for base in kind.__mro__[:-1] if not is_library_type(base)]
    for base in ahead:
        if len(found) >= KINDS_MOST:
            break
        found[base] = None
        derived: list[type] = type.__subclasses__(base)
        ahead += [kind for kind in derived if kind not in found]
    return found


class Reached:
    """What a walk has found.

    Attributes:
        places: what can be changed.
        functions: the user's own, and the library's that wrap them.
        codes: the user's own code that may change it.
        used: name, kind and whether threads may share it, of what is used up, or connected to somewhere.
        thread_locals: those, each with what the source calls it.
        whole: whether that is all.
        locks: what those are called that only keep others out, and those that also tell something.
    """

    __slots__ = ("codes", "functions", "locks", "places", "thread_locals", "used", "whole")

    def __init__(
        self,
        places: list[Place],
        functions: list[FunctionType],
        codes: list[CodeType],
        used: list[tuple[str, str, bool]],
        thread_locals: list[tuple[str, Any]],
        whole: bool,
    ) -> None:
        self.places, self.functions, self.codes, self.used = places, functions, codes, used
        self.thread_locals, self.whole = thread_locals, whole
        self.locks: list[tuple[str, bool]] = []


class _Walk:
    """Breadth first: what lies near is likelier to be changed."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.functions: list[FunctionType] = []
        self.codes: list[CodeType] = []
        self.used: list[tuple[str, str, bool]] = []
        self.thread_locals: list[tuple[str, Any]] = []
        self.locks: list[tuple[str, bool]] = []
        self._all = True
        self._seen: dict[int, Any] = {}
        self._named: dict[int, set[str]] = {}  # what was looked at in a module
        self._held: list[ModuleType] = []  # found as values, so that any code may name what is in them
        self._ahead: deque[tuple[Any, str, int]] = deque()

    def meet(self, obj: Any, path: str, depth: int = 0) -> None:
        """Something that is to be looked at, so many levels inside a library's object."""
        if type(obj) in ATOMS or id(obj) in self._seen or isa(obj, _LEAVES) or is_path(obj):
            if isa(obj, (BuiltinMethodType, MethodWrapperType)):
                self._owner(obj.__self__, path, depth)
            elif isa(obj, ModuleType):
                self._held.append(obj)
            return
        self._seen[id(obj)] = obj
        self._ahead.append((obj, path, depth))

    def _owner(self, owner: Any, path: str, depth: int) -> None:
        """What a method of C code works on, such as `results.append` or the `__next__` of an iterator."""
        if isa(owner, (ModuleType, type(None))):
            return
        unfit = foreign(owner)
        if unfit is not None:
            self._foreign(owner, path, unfit, 0)
        else:
            self.meet(owner, path, depth)

    def go(self, until: float) -> bool:
        """Look at everything; False where there was more of it than is looked at."""
        count = 0
        while self._ahead or self._modules_held():
            count += 1
            if len(self.places) >= MOST or (not count % 64 and time.thread_time() > until):
                return False
            obj, path, depth = self._ahead.popleft()
            try:
                self._look(obj, path, depth)
            except KeyboardInterrupt:
                raise
            except BaseException:  # an object that resists being looked at, or is changed just now
                self._all = False
        return self._all

    def _modules_held(self) -> bool:
        """Whether modules that are found as values, not by a name, hold more to look at."""
        held, self._held = self._held, []
        names = tuple({name for code in self.codes for name in code.co_names}) if held else ()
        for module in {id(module): module for module in held}.values():
            self._module(module, names)
        return bool(self._ahead)

    def _look(self, obj: Any, path: str, depth: int) -> None:
        if isa(obj, FunctionType):
            self._function(obj, path)
        elif isa(obj, type):
            self._class(obj, path)
        elif isa(obj, MethodType):
            self.meet(obj.__func__, path)
            self.meet(obj.__self__, path or "self")
        elif isa(obj, CellType):
            self._add(obj, path, partial(cell_content, obj))
            self._children(cell_content(obj), path, 0)
        elif (parts := inside(obj)) is not None:
            for part in parts:
                self.meet(part, path)
        else:
            self._object(obj, path, depth)

    def _add(self, obj: Any, path: str, read: Callable[[], Any], owner: Any = None) -> None:
        self.places.append(Place(obj, path, read, owner))

    # Functions and classes --------------------------------------------------------------------------------

    def _function(self, func: FunctionType, path: str) -> None:
        if (inner := bare(func)) is not func:
            self.meet(inner, path)
            return
        self.functions.append(func)
        if is_library(func.__code__.co_filename):
            for name, value in wrapped_by(func):
                self.meet(value, name or path)
            for name, value in attributes(func).items():
                if isa(value, MappingProxyType):  # what it shows of itself: the registry of a dispatch
                    self.meet(value, f"{func.__name__}.{name}")
            return
        for name, value in (*cells(func), *defaults(func)):
            self.meet(value, name)
        parts = [*codes_of(func.__code__)]
        self.codes += parts
        self._names(func.__globals__, parts)
        self._dict(func.__dict__, func.__name__, func)

    def _names(self, namespace: dict[str, Any], codes: list[CodeType]) -> None:
        """The names that code uses in its module. Not `contents.named`: those not bound yet count."""
        names = dict.fromkeys(name for code in codes for name in code.co_names)
        texts = [text for code in codes for text in code.co_consts if type(text) is str]
        names.update(dict.fromkeys(text for text in texts if text in namespace))
        if "getLogger" in names:
            self._loggers_named(texts)
        # What pytest makes of an assertion asks for local variables.
        far = REFLECTING - {"locals"} if "@py_builtins" in names else REFLECTING
        whole = not far.isdisjoint(names)
        read = partial(all_names, namespace) if whole else partial(some_names, namespace, tuple(names))
        self._add(namespace, "", read)
        for name, value in read().items():
            if isa(value, ModuleType):
                self._module(value, tuple(names))
            elif value is not MISSING:
                self.meet(value, name)
        for module in modules_imported(codes[0], namespace, of_user):
            self._module(module, tuple(names))

    def _loggers_named(self, texts: list[str]) -> None:
        """Loggers that are asked for by their names when the function runs: the names may be made then."""
        for logger_type in _loggers():
            known = logger_type.manager.loggerDict  # type: ignore[attr-defined]
            for text in texts:
                self.meet(known.get(text), text)
            for name, logger in list(known.items()):
                if attributes(logger).get("handlers") or attributes(logger).get("filters"):
                    self.meet(logger, name)

    def _module(self, module: ModuleType, names: tuple[str, ...]) -> None:
        """What code names in a module of the user's."""
        known = self._named.setdefault(id(module), set())
        new = tuple(name for name in names if name not in known)
        if not new or of_library(module):
            return
        known.update(new)
        self._seen[id(module)] = module
        self.meet(vars(module).get("__getattr__"), module.__name__)
        read = partial(some_names, vars(module), new)
        self._add(module, module.__name__, read)
        for name, value in read().items():
            if isa(value, ModuleType):
                self._module(value, names)
            elif value is not MISSING:
                self.meet(value, f"{module.__name__}.{name}")

    def _class(self, kind: type, path: str) -> None:
        if is_library_type(kind) or kind.__module__ == "builtins":
            return
        name = kind.__qualname__
        self._add(kind, name, partial(all_names, vars(kind)), kind)
        for key, value in list(vars(kind).items()):
            if key in IGNORED:
                continue
            self.meet(value, f"{name}.{key}")
        for base in (*kind.__bases__, type(kind)):
            self.meet(base, base.__name__)

    # Objects ----------------------------------------------------------------------------------------------

    def _object(self, obj: Any, path: str, depth: int) -> None:
        kind = type(obj)
        if (unfit := foreign(obj)) is not None:
            self._foreign(obj, path, unfit, depth)
        elif isa(obj, _loggers()):
            self._logger(obj)
        elif is_data(obj):
            if (read := data_reader(obj)) is not None:
                self._add(obj, path, read)
            else:
                self._all = False
        elif not is_library_type(kind) or kind.__module__ == "builtins" or top_package(kind) == "collections":
            self._own(obj, path, depth)
        elif depth < LIBRARY_DEPTH and not _private(obj):
            self._own(obj, path, depth + 1)

    def _own(self, obj: Any, path: str, depth: int) -> None:
        """What an object holds: entries, attributes, slots; of C code what the collector knows of it."""
        self.meet(type(obj), type(obj).__name__)
        entries = self._entries(obj, path, depth)
        own = attributes(obj)
        if own or type(obj).__dictoffset__:  # an empty one may get its first attribute
            self._dict(own, path, obj, depth)
        if not is_library_type(type(obj)):
            self._slots(obj, path, depth)
        elif not own and not entries:
            seen = gc.is_tracked(obj) and self._referents(obj, path, depth)
            if not seen and depth <= 1 and any(has_method(type(obj), verb) for verb in WRITTEN):
                self.used.append(
                    (path or type(obj).__name__, "captured object with a state of its own", False)
                )

    def _foreign(self, obj: Any, path: str, unfit: tuple[str, bool], depth: int) -> None:
        """Iterators, files, connections are held to be used, whatever they show."""
        if type(obj).__module__ == "_io" and type(obj).__name__ in ("StringIO", "BytesIO"):
            self._add(obj, path, lambda: [obj.tell()])
        elif unfit[0] == "captured lock":
            self.locks.append((path, type(obj).__module__ == "_thread"))
        elif unfit[0] == "captured thread-local":
            self.thread_locals.append((path or type(obj).__name__, obj))
        elif unfit[0] in USED and not depth:
            self.used.append((path or type(obj).__name__, *unfit))

    def _logger(self, logger: Any) -> None:
        """What a record reaches: the handlers, up the chain."""
        for _ in range(CHAIN):
            if not isa(logger, _loggers()):
                return
            self._dict(attributes(logger), str(logger.name), logger, LIBRARY_DEPTH)
            for handler in logger.handlers:
                self.meet(handler, type(handler).__name__)
                self._handler(handler)
            for kept in logger.filters:
                self.meet(kept, type(kept).__name__)
            logger = logger.parent if logger.propagate else None

    def _handler(self, handler: Any) -> None:
        """What a handler of the library's keeps: records, a stream that is no file, another handler."""
        own = attributes(handler)
        for name in ("buffer", "stream", "queue", "target"):
            self.meet(own.get(name), f"{type(handler).__name__}.{name}", 1)
        for kept in own.get("filters", ()):
            self.meet(kept, type(kept).__name__)

    def _entries(self, obj: Any, path: str, depth: int) -> bool:
        """What a container holds; whether it is one."""
        if isa(obj, (dict, MappingProxyType)):
            self._dict(obj, path, None, depth)
        elif isa(obj, (list, deque, set)):
            self._add(obj, path, partial(elements_of, obj))
            self._children(elements_of(obj), path, depth)
        elif isa(obj, tuple):
            step = max(1, tuple.__len__(obj) // LARGE)
            self._children(tuple.__getitem__(obj, slice(None, None, step)), path, depth)
        elif isa(obj, frozenset):
            self._children([*islice(frozenset.__iter__(obj), LARGE)], path, depth)
        else:
            return False
        return True

    def _dict(self, mapping: Any, path: str, owner: Any = None, depth: int = 0) -> None:
        self._add(mapping, path, partial(entries_of, mapping), owner)
        hidden = hidden_names(type(owner)) if owner is not None else ()
        for key, value in _sampled([*zip(*entries_of(mapping), strict=True)]):
            if type(value) not in ATOMS and key not in hidden and not (depth and "cache" in str(key)):
                self.meet(value, _joined(path, key, owner), depth)
            if type(key) not in ATOMS:
                self.meet(key, path, depth)

    def _slots(self, obj: Any, path: str, depth: int) -> None:
        slots = (*members_of(type(obj), native=True),)
        if slots:
            read = partial(slot_values, obj, slots)
            self._add(obj, path, read, obj)
            for name, value in read().items():
                if value is not MISSING:
                    self.meet(value, f"{path}.{name}", depth)

    def _referents(self, obj: Any, path: str, depth: int) -> bool:
        """What an object of C code holds, such as the children of an element; whether it shows anything."""
        held = gc.get_referents(obj)
        for value in held:
            if isa(value, FunctionType):  # what it calls, such as the comparison of a `cmp_to_key`
                self.meet(value, path)
        found = [one for one in held if not isa(one, (type, ModuleType, FunctionType))]
        if found:
            self._add(obj, path, partial(gc.get_referents, obj))
            self._children(found, path, depth)
        return bool(found)

    def _children(self, items: Any, path: str, depth: int) -> None:
        values: Iterable[Any] = items.values() if isa(items, dict) else items
        for value in _sampled(list(values)):
            if type(value) not in ATOMS:
                self.meet(value, f"{path}[...]" if not isa(items, dict) else path, depth)


def _sampled(items: list[Any]) -> list[Any]:
    """All of a few, some of many, spread."""
    if len(items) <= LARGE:
        return items
    return items[:: max(1, len(items) // SAMPLE)]


def _joined(path: str, key: Any, owner: Any) -> str:
    if owner is not None:
        return f"{path}.{key}" if path else str(key)
    return f"{path}[{key!r:.40}]" if type(key) in ATOMS else f"{path}[...]"


def _hooks() -> list[Any]:
    """Functions and objects of the user's that the interpreter calls for everybody."""
    warnings = loaded("warnings")
    shown = vars(warnings).get("showwarning") if warnings else None
    hooks = [sys.stdout, sys.stderr, sys.excepthook, shown]
    functions = [hook for hook in hooks if isa(hook, FunctionType) and not of_library(hook)]
    return functions + [hook for hook in hooks if not is_library_type(type(hook))]


def _loggers() -> tuple[type, ...]:
    """The class of loggers, if anybody has imported it."""
    logging = loaded("logging")
    return () if logging is None else (logging.Logger,)


def _private(obj: Any) -> bool:
    """Objects of libraries that count, cache and connect for themselves."""
    return type(obj).__module__.startswith(PRIVATE)


def third_party(kind: type) -> bool:
    """Whether a class was installed, and is not of the standard library."""
    path = attributes(loaded(kind.__module__)).get("__file__")
    return path is not None and is_library(path) and not is_stdlib(path)
