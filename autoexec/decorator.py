"""`@autoexec.parallel`: the function stays what it is and gains `map`, `starmap`, `submit`, `explain`."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from . import api
from .errors import OptionError
from .frozen import replace
from .introspect import importable, named
from .options import ROWS, Options
from .registry import AUTO

if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Unpack

    from .executor import Executor
    from .options import Wishes
    from .records import Machine
    from .results import Results

__all__ = ["Parallel", "parallel"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


if TYPE_CHECKING:

    class _Declared(Generic[P, R]):
        __wrapped__: Callable[P, R]
        __name__: str
        __qualname__: str
        __place__: FunctionType
        __content__: FunctionType
else:
    _Declared = Generic  # a class with annotations of its own would hide the function's


class Parallel(_Declared[P, R]):
    """A function with ways to run it over many items. Calling it calls the function, nothing else.

    It has the function's attributes, pickles as functions do (by name where another process finds it, else by
    value, which takes cloudpickle), and binds as a method where it stands in a class.
    """

    __slots__ = ("__content__", "__dict__", "__place__", "__weakref__", "_descriptor", "_options")

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            """What the function has and this has not: its code, its defaults, a cache, a label."""
            if name in ("__wrapped__", *Parallel.__slots__):  # not there yet: it is being unpickled
                raise AttributeError(name)
            return getattr(self.__wrapped__, name)

    def __init__(self, func: Callable[P, R], options: Options) -> None:
        self._descriptor: Any = func  # what binds to objects
        inner: Callable[P, R] = func.__func__ if isinstance(func, (staticmethod, classmethod)) else func
        functools.update_wrapper(self, inner, updated=())
        self._options = options
        self._name_parts()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.__wrapped__(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        descriptor = self._descriptor
        if not hasattr(type(descriptor), "__get__"):
            return self
        bound = descriptor.__get__(instance, owner)
        if bound is self.__wrapped__:
            return self
        return _Bound(self, getattr(bound, "__self__", instance), bound)

    @overload
    def map(
        self: Parallel[P, Coroutine[Any, Any, T]], *iterables: Iterable[Any], **options: Unpack[Wishes]
    ) -> Results[T]: ...
    @overload
    def map(self, *iterables: Iterable[Any], **options: Unpack[Wishes]) -> Results[R]: ...
    def map(self, *iterables: Iterable[Any], **options: Unpack[Wishes]) -> Results[Any]:
        """`autoexec.map` of this function, with the decorator's options and these on top."""
        return api.start(self._target(), api.check_items(iterables), api.resolved(options, self._options))

    @overload
    def starmap(
        self: Parallel[P, Coroutine[Any, Any, T]],
        iterable: Iterable[Iterable[Any]],
        **options: Unpack[Wishes],
    ) -> Results[T]: ...
    @overload
    def starmap(self, iterable: Iterable[Iterable[Any]], **options: Unpack[Wishes]) -> Results[R]: ...
    def starmap(self, iterable: Iterable[Iterable[Any]], **options: Unpack[Wishes]) -> Results[Any]:
        """`autoexec.starmap` of this function."""
        return api.start(
            self._target(), api.check_items((iterable,)), api.resolved(options, self._options), star=True
        )

    @overload
    def submit(self: Parallel[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    @overload
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[Any]:
        """Run one call in the background, in an executor that all decorated functions share."""
        return shared_executor().submit(self._target(), *args, **kwargs)

    def explain(
        self, *iterables: Iterable[Any], machine: Machine | None = None, **options: Unpack[Wishes]
    ) -> None:
        """`autoexec.explain` of this function."""
        api.explain(self._target(), *iterables, machine=machine, **options)

    def _target(self) -> Callable[..., R]:
        """What workers call: this object where they find it by name, else the bare function."""
        return self if importable(self) else self.__wrapped__

    # On the way to another process ------------------------------------------------------------------------

    def _name_parts(self) -> None:
        """Make the two functions that stand for this object in a pickle; see `__reduce_ex__`."""
        held: dict[str, Any] = {}

        def place() -> None:
            """Nothing: only its name counts."""

        def content() -> dict[str, Any]:
            return held

        for name, part in (("__place__", place), ("__content__", content)):
            part.__module__ = self.__module__
            part.__qualname__ = f"{vars(self).get('__qualname__', '')}.{name}"
            setattr(self, name, part)

    def __reduce__(self) -> str:
        return self.__qualname__

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By name or by value, as the pickler that asks would send a function of this name.

        `pickle` sends functions by name; cloudpickle sends them by value where a fresh interpreter would not
        find them; and an object cannot know who asks. But two functions that are found as attributes of this
        object are sent in the one way or the other: by name they lead back to it, by value they bring what it
        is made of. There are two, because what it is made of may refer to it.
        """
        binds = type(self._descriptor)
        state = {"attributes": vars(self).copy(), "options": _portable(self._options)}
        state["binds"] = binds if binds in (staticmethod, classmethod) else None
        if not named(self):
            return _blank, (), state
        if protocol < 4:  # there are no dotted names yet
            return self.__reduce__()
        self.__content__().update(state)
        return _found_or_blank, (self.__place__,), self.__content__

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, FunctionType):
            if state is getattr(self, "__content__", None):  # by name: here it is, complete
                return
            state = state()
        vars(self).update(state["attributes"])
        self._options, binds = state["options"], state["binds"]
        self._descriptor = self.__wrapped__ if binds is None else binds(self.__wrapped__)
        self._name_parts()

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __repr__(self) -> str:
        return f"<autoexec.parallel {self.__wrapped__!r}>"


class _Bound(Parallel[P, R]):
    """A method of an object (or of a class); it is compared, hashed, pickled and copied as bound methods are.

    Args:
        func: what stands in the class.
        instance: the object.
        bound: the function bound to it, if that is more than a method.
    """

    __slots__ = ("__func__", "__self__")

    def __init__(self, func: Parallel[..., R], instance: object, bound: Callable[P, R] | None = None) -> None:
        vars(self).update(vars(func))
        self.__wrapped__: Any = MethodType(func.__wrapped__, instance) if bound is None else bound
        self.__func__, self.__self__ = func, instance
        self._options, self._descriptor = func._options, None

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Bound):
            return NotImplemented
        return self.__self__ is other.__self__ and self.__func__ == other.__func__

    def __hash__(self) -> int:
        return hash((id(self.__self__), self.__func__))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return getattr, (self.__self__, self.__func__.__name__)

    def __copy__(self) -> Any:
        return type(self)(self.__func__, self.__self__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        from copy import deepcopy

        return type(self)(self.__func__, deepcopy(self.__self__, memo))

    def _target(self) -> Callable[..., R]:
        bound: Callable[..., R] = self.__wrapped__
        return bound


def _blank() -> Parallel[..., Any]:
    return Parallel.__new__(Parallel)


def _found_or_blank(place: Callable[..., Any]) -> Parallel[..., Any]:
    """The object that this function is found at, or an empty one if it has come by value."""
    found: Any = sys.modules.get(place.__module__)
    for part in place.__qualname__.split(".")[:-1]:
        found = getattr(found, part, None)
    here = isinstance(found, Parallel) and getattr(found, "__place__", None) is place
    return found if here else _blank()


def _portable(options: Options) -> Options:
    """Without an executor of the caller's, which stays where it is."""
    return options if isinstance(options.backend, str) else replace(options, backend=AUTO)


@overload
def parallel(func: Callable[P, R], /) -> Parallel[P, R]: ...
@overload
def parallel(**options: Unpack[Wishes]) -> Callable[[Callable[P, R]], Parallel[P, R]]: ...
def parallel(func: Callable[P, R] | None = None, /, **options: Unpack[Wishes]) -> Any:
    """Give a function `map`, `starmap`, `submit` and `explain`.

    On class methods it stands above `@classmethod`; since CPython 3.13 that decorator no longer lets what is
    below it bind to the class.

    Args:
        func: the function, when the decorator is used without parentheses.
        **options: defaults for its calls; see `autoexec.Options`.

    Raises:
        OptionError: if what is decorated cannot be called, or an option cannot be meant.

    >>> import autoexec
    >>> @autoexec.parallel
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> double(4), list(double.map([1, 2, 3]))
    (8, [2, 4, 6])
    """
    resolved = api.resolved(options)
    if func is not None:
        if options:
            raise OptionError("use @parallel or @parallel(option=...), not both at once")
        return _decorated(func, resolved)
    return lambda func: _decorated(func, resolved)


class _Door:
    """A function with `**options`, whose signature shows each of them: drawn from their rows, when wanted."""

    def __init__(self, func: Callable[..., Any]) -> None:
        functools.update_wrapper(self, func)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)  # type: ignore[attr-defined]

    @property
    def __signature__(self) -> Any:
        import inspect

        known = inspect.signature(self.__wrapped__)  # type: ignore[attr-defined]
        kinds: dict[str, Any] = Options.__annotations__
        given = [one for one in known.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        drawn = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=row.default, annotation=kinds[name]
            )
            for name, row in ROWS.items()
        ]
        jobs = drawn[0].replace(name="n_jobs")
        return known.replace(parameters=[*given, drawn[0], jobs, *drawn[1:]])

    def __reduce__(self) -> str:
        return str(self.__qualname__)  # type: ignore[attr-defined]


if not TYPE_CHECKING:
    parallel = _Door(parallel)


def _decorated(func: Callable[P, R], options: Options) -> Parallel[P, R]:
    api.check_function(func.__func__ if isinstance(func, (staticmethod, classmethod)) else func)
    return Parallel(func, options)


_lock = threading.RLock()  # a finalizer may submit, too


def shared_executor() -> Executor:
    """The executor behind `f.submit`, made when first wanted; its work is finished at exit."""
    with _lock:
        return _make_shared()


@functools.cache
def _make_shared() -> Executor:
    from .executor import Executor

    return Executor()


def _in_child() -> None:
    """After any fork of this process: another thread may have held the lock. The executor sees to itself."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
