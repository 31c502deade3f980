"""What each worker makes once for itself: a session, a client, a connection.

A worker is a thread, a process, or an event loop with all its tasks. It opens a *scope* when it begins and
closes it when it ends; what was made in between is closed then, last first. The scope travels in a context
variable, so that threads and tasks find their own by the same line. The caller's own thread has a scope of
its own while items run in it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import CodeType

from .introspect import isa, name_of, static_attribute
from .own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Generic, ParamSpec, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])
    T = TypeVar("T")
    P = ParamSpec("P")

    class _Generic(Generic[T]):
        """`PerWorker` is generic for type checkers; at run time that would cost the import of typing."""
else:

    class _Generic:
        __slots__ = ()

        def __class_getitem__(cls, item: object) -> type:
            return cls


__all__ = [
    "Crew",
    "PerWorker",
    "Scope",
    "close_here",
    "current",
    "forget",
    "here",
    "note_closing",
    "per_worker",
    "runs_items",
    "share_here",
]


class Crew:
    """The threads of one pool, which share the cores that its maker may keep busy.

    Args:
        max_workers: threads at most.
        threads: those that run, kept up to date by the pool.
    """

    __slots__ = ("_max_workers", "_outer", "_threads")

    def __init__(self, max_workers: int, threads: Sequence[object]) -> None:
        scope = current.get()
        self._outer = scope.crew if scope is not None else None
        self._max_workers, self._threads = max_workers, threads

    def share(self, cores: int) -> int:
        """Cores out of `cores` that one of the threads may keep busy.

        Pools of more threads than cores are for work that waits: there those count that were needed so far.
        """
        if self._outer is not None:
            cores = self._outer.share(cores)
        workers = self._max_workers
        if workers > cores:
            workers = min(workers, len(self._threads))
        return max(1, cores // max(1, workers))


class Scope:
    """What one worker has made.

    Args:
        concurrency: calls that may share it: 1 in a thread or process, many in an event loop.
        crew: whom the worker shares the cores with.

    Attributes:
        made: what was made, by the token of its `PerWorker`.
        making_s: seconds that making it took; a client that loads certificates takes some 50 ms.
    """

    __slots__ = ("concurrency", "crew", "made", "making_s")

    def __init__(self, concurrency: int = 1, crew: Crew | None = None) -> None:
        self.concurrency, self.crew = concurrency, crew
        self.made: dict[object, Any] = {}
        self.making_s = 0.0

    def take_all(self) -> list[Any]:
        """Everything made, last first; the scope forgets it."""
        made, self.made = list(self.made.values()), {}
        return made[::-1]

    def close(self) -> None:
        """Close everything made, last first; an error in one does not keep the others open."""
        for thing in self.take_all():
            if static_attribute(thing, "close") is not None:  # a proxy would ask the other side to close
                try:
                    thing.close()
                except Exception as error:
                    note_closing(thing, error)


class _Threads(threading.local):
    """Threads that are no workers of ours (the caller's own) have a scope each, made when wanted."""

    scope: Scope | None = None
    floor: FrameType | None = None  # what called `forget`: below it the stack is a parent's


_threads = _Threads()
current: ContextVar[Scope | None] = ContextVar("autoexec_scope", default=None)


def here() -> Scope:
    """The scope of the worker that runs this."""
    scope = current.get()
    if scope is None:
        scope = _threads.scope
        if scope is None:
            scope = _threads.scope = Scope()
    return scope


def share_here(cores: int) -> int:
    """Cores out of `cores` that the worker that runs this may keep busy; all of them in any other thread."""
    scope = current.get()
    return cores if scope is None or scope.crew is None else scope.crew.share(cores)


_runners: set[CodeType] = set()


def runs_items(function: F) -> F:
    """Mark a function: while it is on a thread's stack, items of some run are being run in that thread."""
    _runners.add(function.__code__)
    return function


def close_here() -> None:
    """Close what items made in this thread while it was no worker of ours; not while one still runs in it.

    The stack says whether one does. A count would be wrong for ever after a Ctrl-C that comes while an item
    leaves and is being counted out.
    """
    scope = _threads.scope
    if scope is None or not scope.made:
        return
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame is not _threads.floor:
        if frame.f_code in _runners:
            return
        frame = frame.f_back
    scope.close()


def forget() -> None:
    """Start afresh, without closing anything: in a forked process all that belongs to its parent."""
    current.set(None)
    _threads.scope = None
    _threads.floor = sys._getframe(1)


_left: list[Scope] = []  # a parent's: never let go, as that might close a connection under it


def _in_child() -> None:
    """After any fork of this process: what was made before is the parent's; it is made anew when wanted."""
    scope = current.get()
    if scope is not None:
        _left.append(scope)
        current.set(Scope(scope.concurrency, scope.crew))
    if _threads.scope is not None:
        _left.append(_threads.scope)
        _threads.scope = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class PerWorker(_Generic["T"]):
    """One object for each worker; call it to get this worker's own.

    It pickles by what makes it, so that functions that use it can go to processes.
    """

    __slots__ = ("_args", "_factory", "_kwargs", "_token")

    def __init__(
        self, factory: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], token: str
    ) -> None:
        self._factory, self._args, self._kwargs, self._token = factory, args, kwargs, token

    def __call__(self) -> T:
        """This worker's own object, made now if it is wanted for the first time.

        Raises:
            Exception: what making it raised; the next call tries again.
        """
        scope = here()
        found: Any = scope.made.get(self._token)
        if found is None:
            began = time.perf_counter()
            pool = _pool_for(self._factory, scope.concurrency, self._args, self._kwargs)
            found = self._factory(*self._args, **self._kwargs, **pool)
            scope.making_s += time.perf_counter() - began
            scope.made[self._token] = found
        return found  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return PerWorker, (self._factory, self._args, self._kwargs, self._token)

    def __repr__(self) -> str:
        return f"autoexec.per_worker({name_of(self._factory)})"


def per_worker(factory: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> PerWorker[T]:
    """An object that every worker makes once for itself, such as a session with its connections.

    Call what is returned inside the function to get the worker's own. It is closed (by its `close`, or
    `aclose` in an event loop) when the worker ends. An event loop counts as one worker: a
    `aiohttp.ClientSession` or `httpx.AsyncClient` made here gets a connection pool as large as the number
    of calls that may run at once; any other factory can have a parameter named `concurrency`, which is
    given that number.

    Args:
        factory: makes the object.
        *args: its arguments.
        **kwargs: its keyword arguments.

    >>> import autoexec
    >>> numbers = autoexec.per_worker(list, (1, 2))
    >>> list(autoexec.map(lambda i: numbers()[i], [0, 1]))
    [1, 2]
    """
    import uuid

    return PerWorker(factory, args, kwargs, uuid.uuid4().hex)


def _pool_for(
    factory: Callable[..., Any], concurrency: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Keyword arguments that make a client's connection pool as large as the concurrency.

    What the caller gave is left alone.
    """
    name = f"{static_attribute(factory, '__module__')}.{static_attribute(factory, '__qualname__')}"
    if name in _POOLS:
        own, pool = _POOLS[name]
        return pool(concurrency) if concurrency > 1 and own not in kwargs else {}
    names = _parameters(factory)
    if "concurrency" in names and "concurrency" not in (*names[: len(args)], *kwargs):
        return {"concurrency": concurrency}
    return {}


def _parameters(factory: Any) -> tuple[str, ...]:
    """The names of a function's or a class's parameters, the positional ones first."""
    call = static_attribute(factory, "__init__") if isa(factory, type) else factory
    code = static_attribute(call, "__code__")
    if not isa(code, CodeType):
        return ()
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return names[1:] if isa(factory, type) else names


def _aiohttp_pool(concurrency: int) -> dict[str, Any]:
    import aiohttp

    return {"connector": aiohttp.TCPConnector(limit=concurrency)}


def _httpx_pool(concurrency: int) -> dict[str, Any]:
    import httpx

    return {"limits": httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)}


# Client -> the parameter that sets its pool, and what it is set to.
_POOLS: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "aiohttp.client.ClientSession": ("connector", _aiohttp_pool),
    "httpx.AsyncClient": ("limits", _httpx_pool),
}


def note_closing(thing: object, error: Exception) -> None:
    """Log that something could not be closed; the work it was for is done."""
    import logging

    logging.getLogger("autoexec").warning("closing %s of a worker: %r", type(thing).__qualname__, error)
