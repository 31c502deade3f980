"""What a function holds on to, told by type alone: no library is imported and no user code is run."""

from __future__ import annotations

import sys
from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType

from ..introspect import isa
from ..introspect.contents import held_by
from ..introspect.libraries import top_package

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "dig",
    "foreign",
    "is_mutable",
]

_LOCK = ("captured lock", True)
_QUEUE = ("captured queue", True)
_FILE = ("captured open file", False)
_SOCKET = ("captured socket", False)
_ITERATOR = ("captured iterator", False)
_DATABASE = ("captured database connection", False)
_WORKER = ("captured thread, process or pool", False)
_LOOP = ("captured event loop", False)
_WIDGET = ("captured window", False)
_WEAK = ("captured weak reference", True)
_LOCAL = ("captured thread-local", True)
_RANDOM = ("captured random generator", True)  # copies in several processes would draw the same numbers

# (module, class) anywhere among the bases -> (kind, whether threads keep the meaning)
_TYPES: dict[tuple[str, str], tuple[str, bool]] = {
    ("_thread", "lock"): _LOCK,
    ("_thread", "RLock"): _LOCK,
    ("_thread", "_local"): _LOCAL,
    **{
        ("threading", name): _LOCK
        for name in ("_RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")
    },
    ("multiprocessing.synchronize", "SemLock"): _LOCK,
    ("multiprocessing.synchronize", "Condition"): _LOCK,
    ("multiprocessing.synchronize", "Event"): _LOCK,
    **{("asyncio.locks", name): _LOCK for name in ("Lock", "Event", "Condition", "Semaphore", "Barrier")},
    ("queue", "Queue"): _QUEUE,
    ("_queue", "SimpleQueue"): _QUEUE,
    ("asyncio.queues", "Queue"): _QUEUE,
    ("multiprocessing.queues", "Queue"): _QUEUE,
    ("multiprocessing.queues", "SimpleQueue"): _QUEUE,
    ("_io", "_IOBase"): _FILE,
    ("tempfile", "_TemporaryFileWrapper"): _FILE,
    ("zipfile", "ZipFile"): _FILE,
    ("tarfile", "TarFile"): _FILE,
    ("mmap", "mmap"): _FILE,
    ("_socket", "socket"): _SOCKET,
    ("http.client", "HTTPConnection"): _SOCKET,
    ("multiprocessing.connection", "_ConnectionBase"): _SOCKET,
    ("builtins", "generator"): ("captured generator", False),
    ("builtins", "coroutine"): ("captured coroutine", False),
    ("builtins", "async_generator"): ("captured generator", False),
    ("_csv", "writer"): _FILE,
    ("_csv", "Writer"): _FILE,
    ("csv", "DictWriter"): _FILE,
    ("sqlite3", "Connection"): _DATABASE,
    ("sqlite3", "Cursor"): _DATABASE,
    ("threading", "Thread"): _WORKER,
    ("concurrent.futures._base", "Executor"): _WORKER,
    ("concurrent.futures._base", "Future"): _WORKER,
    ("multiprocessing.process", "BaseProcess"): _WORKER,
    ("multiprocessing.pool", "Pool"): _WORKER,
    ("subprocess", "Popen"): _WORKER,
    ("asyncio.events", "AbstractEventLoop"): _LOOP,
    ("_asyncio", "Future"): _LOOP,
    ("tkinter", "Misc"): _WIDGET,
    ("tkinter", "Variable"): _WIDGET,
    **{(module, name): _WEAK for module in ("weakref", "_weakref") for name in ("ReferenceType", "ref")},
    **{("weakref", name): _WEAK for name in ("ProxyType", "CallableProxyType", "WeakValueDictionary")},
    **{("weakref", name): _WEAK for name in ("WeakKeyDictionary", "finalize")},
    ("_weakrefset", "WeakSet"): _WEAK,
    ("random", "Random"): _RANDOM,
    ("numpy.random._generator", "Generator"): _RANDOM,
    ("numpy.random.mtrand", "RandomState"): _RANDOM,
    ("tqdm.std", "tqdm"): ("captured progress bar", True),
}
_DATABASE_SHAPES = (
    ("cursor", "commit", "close"),
    ("execute", "fetchone", "close"),
    ("commit", "rollback", "close"),
)
_CONTAINERS = {
    ("builtins", "list"),
    ("builtins", "dict"),
    ("builtins", "set"),
    ("builtins", "bytearray"),
    ("collections", "deque"),
    ("collections", "UserDict"),
    ("collections", "UserList"),
    ("collections", "ChainMap"),
    ("array", "array"),
    ("numpy", "ndarray"),
    ("queue", "Queue"),
    ("_queue", "SimpleQueue"),
    ("os", "_Environ"),
}
# The methods of these modules' objects that look like a container's do change them.
_MUTABLE_MODULES = ("_hashlib", "_sha", "_md5", "_blake2")
_MUTABLE_BASES = {"MutableMapping", "MutableSequence", "MutableSet"}
_FIRST = 64


def foreign(obj: object) -> tuple[str, bool] | None:
    """What makes `obj` unfit to cross a process border: its kind and whether threads may share it."""
    kind = type(obj)
    if kind in (FunctionType, ModuleType, type, dict, list, str, int, float, BuiltinMethodType, MethodType):
        return None
    if obj is sys.stdout or obj is sys.stderr or obj is sys.stdin or obj is sys.__stdout__:
        return None
    if kind.__name__ == "SystemRandom":  # has no state
        return None
    for base in kind.__mro__[:-1]:
        found = _TYPES.get((base.__module__, base.__name__))
        if found is not None:
            return found
    if isa(obj, type):
        return None
    if hasattr(kind, "__next__"):
        return _ITERATOR
    if any(all(hasattr(kind, name) for name in shape) for shape in _DATABASE_SHAPES):
        return _DATABASE
    return None


def is_mutable(obj: object) -> bool:
    """Whether `obj` is a container whose `append`, `update` and the like change it."""
    for base in type(obj).__mro__[:-1]:
        module, name = base.__module__, base.__name__
        if (module, name) in _CONTAINERS or name in _MUTABLE_BASES:
            return True
        if module.startswith(_MUTABLE_MODULES) or top_package(base) == "pandas":
            return True
    return False


def _pickles_itself(obj: object) -> bool:
    """Whether the class says itself how to be pickled, so that what it holds is its own affair."""
    kind = type(obj)
    return (
        kind.__reduce__ is not object.__reduce__
        or kind.__reduce_ex__ is not object.__reduce_ex__
        or getattr(kind, "__getstate__", None) is not getattr(object, "__getstate__", None)
    )


def _inside(obj: Any, name: str) -> list[tuple[str, object]]:
    if isa(obj, (ModuleType, type, FunctionType)):
        return []
    if isa(obj, MethodType):
        return [(f"{name}.__self__", obj.__self__)]
    if isa(obj, partial):
        named = [(f"{name}.{key}", value) for key, value in obj.keywords.items()]
        return [(f"{name}.args[{i}]", value) for i, value in enumerate(obj.args)] + named
    if type(obj).__module__ == "builtins" or isa(obj, (dict, list, tuple)):
        return _elements(obj, name)
    return [] if _pickles_itself(obj) else [(f"{name}.{key}", value) for key, value in held_by(obj)]


def _elements(obj: Any, name: str) -> list[tuple[str, object]]:
    if isa(obj, dict):
        return [(f"{name}[{key!r:.40}]", obj[key]) for key in list(obj)[:_FIRST] if type(key) in (str, int)]
    if isa(obj, (list, tuple)):
        return [(f"{name}[{i}]", value) for i, value in enumerate(obj[:_FIRST])]
    if isa(obj, (set, frozenset)):
        return [(f"{name}[...]", value) for value in list(obj)[:_FIRST]]
    return []


def dig(obj: object, name: str, depth: int) -> list[tuple[str, str, bool]]:
    """All (name, kind, threads_ok) of unfit objects in `obj` and `depth` levels below it."""
    found = foreign(obj)
    if found is not None:
        return [(name, *found)]
    if depth == 0:
        return []
    return [hit for below, value in _inside(obj, name) for hit in dig(value, below, depth - 1)]
