"""`@autoexec.parallel`: the function stays what it is and gains `map`, `starmap`, `submit`, `explain`."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from . import api
from .errors import OptionError
from .options import Options

if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Unpack

    from .executor import Executor
    from .options import Wishes
    from .results import Results

__all__ = ["Parallel", "parallel"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Parallel(Generic[P, R]):
    """A function with ways to run it over many items. Calling it calls the function, nothing else.

    It pickles by its name, as functions do, and binds as a method where it stands in a class.
    """

    __wrapped__: Callable[P, R]
    __qualname__: str

    def __init__(self, func: Callable[P, R], options: Options) -> None:
        functools.update_wrapper(self, func)
        self._options = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.__wrapped__(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        bind = getattr(self.__wrapped__, "__get__", None)
        if bind is None:
            return self
        bound = bind(instance, owner)
        return self if bound is self.__wrapped__ else _Bound(bound, self._options)

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

    def explain(self, *iterables: Iterable[Any], **options: Unpack[Wishes]) -> None:
        """`autoexec.explain` of this function."""
        api.explain(self._target(), *iterables, **options)

    def _target(self) -> Callable[..., R]:
        """What workers call: this object where they find it by name, else the bare function."""
        return self if self.__module__ != "__main__" and _found(self) else self.__wrapped__

    def __reduce__(self) -> str:
        return self.__qualname__

    def __repr__(self) -> str:
        return f"<autoexec.parallel {self.__wrapped__!r}>"


class _Bound(Parallel[P, R]):
    """A method of an object; it pickles as the bound method does."""

    def __reduce__(self) -> Any:
        bound: Any = self.__wrapped__
        return _rebind, (bound.__self__, bound.__name__)

    def _target(self) -> Callable[..., R]:
        return self.__wrapped__


def _rebind(instance: object, name: str) -> Any:
    return getattr(instance, name)


def _found(wrapper: Parallel[Any, Any]) -> bool:
    import sys

    found: Any = sys.modules.get(wrapper.__module__)
    for part in getattr(wrapper, "__qualname__", "").split("."):  # partials and callable objects have none
        found = getattr(found, part, None)
    return found is wrapper


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


def _decorated(func: Callable[P, R], options: Options) -> Parallel[P, R]:
    if not isinstance(func, (staticmethod, classmethod)):
        api.check_function(func)
    return Parallel(func, options)


_lock = threading.Lock()


def shared_executor() -> Executor:
    """The executor behind `f.submit`, made when first wanted; its work is finished at exit."""
    with _lock:
        return _make_shared()


@functools.cache
def _make_shared() -> Executor:
    from .executor import Executor

    return Executor()
