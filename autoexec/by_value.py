"""Pickling functions and classes by value, as cloudpickle does; where their code stands goes along.

What may live here: what is done otherwise than by cloudpickle. What goes by a table (`known_objects`) goes by
that, and a class of this process is never written over by a copy of it that comes back.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import ChainMap
from collections.abc import Callable, Collection, Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from weakref import WeakValueDictionary

from .file_maps import rows
from .introspect import isa
from .introspect.elsewhere import only_here
from .known_objects import reduced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["dumps", "travelling_whole"]

UNKNOWN = "<dynamic-code>"  # what cloudpickle says instead
_copies: WeakValueDictionary[int, type] = WeakValueDictionary()  # classes that came from elsewhere, by id


def dumps(
    value: object,
    protocol: int = 5,
    buffer_callback: Callable[[Any], Any] | None = None,
) -> bytes:
    """`cloudpickle.dumps`, except for what this file is about.

    Since 3.1.3 cloudpickle leaves the name of a code's file out, and a traceback from another process could
    not show the line.

    Raises:
        ImportError: cloudpickle is not installed.
        Exception: whatever pickling raises.

    >>> import pickle
    >>> pickle.loads(dumps(dumps)) is dumps
    True
    """
    rows()
    with io.BytesIO() as file:
        here = buffer_callback is not None  # apart: for processes that share memory with this one
        pickler = _pickler(here)(file, protocol=protocol, buffer_callback=buffer_callback)
        try:
            pickler.dump(value)
        finally:
            pickler.told.end()
        return file.getvalue()


@contextlib.contextmanager
def travelling_whole(names: Collection[str]) -> Iterator[None]:
    """Meanwhile functions and classes of these modules go by value: another process could not import them."""
    told = _Told()
    for name in names:
        if name in sys.modules:
            told.send(name)
    try:
        yield
    finally:
        told.end()


def _pickler(here: bool) -> Any:
    """Made when it is first needed: importing cloudpickle takes tens of milliseconds."""
    from cloudpickle import Pickler  # type: ignore[import-untyped, unused-ignore]

    return _located(Pickler, here)


@cache
def _located(Pickler: Any, here: bool) -> Any:  # noqa: N803
    """Of the cloudpickle that is there now: `patch.dict(sys.modules)` may have dropped an earlier one."""
    reduce, module = Pickler.dispatch_table[CodeType], Pickler.dispatch_table[ModuleType]

    def located(code: CodeType) -> tuple[Any, ...]:
        make, args, *more = reduce(code)
        return (
            make,
            tuple(code.co_filename if type(one) is str and one == UNKNOWN else one for one in args),
            *more,
        )

    class Located(Pickler):  # type: ignore[misc]
        """Sends by value, too, what lives in modules that exist only here."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.told = _Told()

        def reducer_override(self, obj: Any) -> Any:
            """By a table, or as cloudpickle does, which is told first of a module that nobody else has."""
            found = reduced(obj)
            if found is not None:
                return found
            self.told.look(obj)
            found = super().reducer_override(obj)
            if found is NotImplemented:
                return _member(obj)
            return _class(obj, found) if isa(obj, type) and len(found) == 6 else found

    own = {CodeType: located, ModuleType: lambda obj: _module(module(obj))}
    Located.dispatch_table = ChainMap(own, rows() if here else {}, Pickler.dispatch_table)
    return Located


class _Told:
    """Modules that cloudpickle was told to send by value, until the end."""

    def __init__(self) -> None:
        self._modules: list[ModuleType] = []

    def look(self, obj: Any) -> None:
        """Tell it of the module of a function or class, or of a module, if that exists only here."""
        name = None
        if isa(obj, (FunctionType, type)):
            name = obj.__module__
        elif isa(obj, ModuleType):
            name = obj.__name__
        if only_here(name):
            self.send(str(name))

    def send(self, name: str) -> None:
        """What lives in this module goes by value from now on."""
        if name not in _registry():
            import cloudpickle

            self._modules.append(sys.modules[name])
            cloudpickle.register_pickle_by_value(self._modules[-1])

    def end(self) -> None:
        """Elsewhere in the program it does as it did before."""
        for module in self._modules:
            import cloudpickle

            with contextlib.suppress(ValueError):  # another thread has had the same in mind
                cloudpickle.unregister_pickle_by_value(module)


def _registry() -> Any:
    from cloudpickle.cloudpickle import list_registry_pickle_by_value

    return list_registry_pickle_by_value()


def _module(reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """A module by value, without who has loaded it here: that may hold on to anything (pytest's does)."""
    make, args, *more = reduced
    state = args[1] if len(args) == 2 else None
    if type(state) is not dict:
        return reduced
    return make, (args[0], {**state, "__loader__": None, "__spec__": None}), *more


def _member(obj: Any) -> Any:
    """A member of an enumeration by its name: its value may have only itself."""
    enum: Any = sys.modules.get("enum")
    if enum is None or not isa(obj, enum.Enum) or type(obj).__reduce_ex__ is not enum.Enum.__reduce_ex__:
        return NotImplemented
    name = obj._name_
    return (_named, (type(obj), name)) if type(obj)._member_map_.get(name) is obj else NotImplemented


def _named(cls: Any, name: str) -> Any:
    return cls._member_map_[name]


def _class(cls: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """A class by value: with its slots, and filled only where it is a copy."""
    make, args, state, _, _, fill = reduced
    slots = vars(cls).get("__slots__")
    if slots is not None and make.__name__ == "_make_skeleton_class":
        args[3].setdefault("__slots__", slots)
    return _skeleton, (make, args), (fill, state), None, None, _filled


def _skeleton(make: Callable[..., type], args: tuple[Any, ...]) -> type:
    """The class that cloudpickle knows by the number in `args`, or a new one, which is a copy."""
    from cloudpickle import cloudpickle as theirs  # type: ignore[import-untyped, unused-ignore]

    found = theirs._DYNAMIC_CLASS_TRACKER_BY_ID.get(args[-2])
    if found is None:
        try:
            found = make(*args)
        except (AttributeError, TypeError):  # a NamedTuple has slots of its own making
            if make.__name__ != "_make_skeleton_class" or args[3].pop("__slots__", None) is None:
                raise
            found = make(*args)
        _copies[id(found)] = found
    return found  # type: ignore[no-any-return]


def _filled(cls: type, held: tuple[Callable[[type, Any], object], Any]) -> type:
    """A copy gets what the class has; a class that was made here is what it was."""
    fill, state = held
    if _copies.get(id(cls)) is cls:
        fill(cls, state)
    return cls
