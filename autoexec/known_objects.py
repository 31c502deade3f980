"""Objects of the caller's that a worker has, too: each goes by a number, there and back.

What may live here: the table of one function, how it is filled at the call, and what an object in it is
pickled as. Classes and functions that a fresh interpreter does not find under their name, members of
enumerations, and objects that are nothing but themselves (`MISSING = object()`) would else come back as
copies: `is`, `isinstance` and `except` would miss them.

A token is the number of what the function reaches, in the order of the walk: the same for a function in the
same state. What only stands in a module beside it goes by module and name, as found at the call.
"""

from __future__ import annotations

import copyreg
import io
import itertools
import pickle
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from functools import partial
from importlib import import_module
from types import FunctionType, ModuleType
from weakref import ref

from .file_maps import dumps as maps_too
from .file_maps import rows
from .introspect import ATOMS, MAIN, attributes, importable, isa
from .introspect.code import names_of
from .introspect.contents import held_by, in_modules, of_class, of_function
from .introspect.layers import inside
from .introspect.libraries import is_library_type, of_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Token: TypeAlias = int | tuple[str, str]
    Reduce: TypeAlias = Callable[[object], tuple[Any, ...] | None]

__all__ = ["Known", "Shadow", "at_hand", "dumps", "known_to", "reduced", "results"]

MOST = 10_000  # objects that are looked at
WIDEST = 100  # parts of a container that are
FEW = 8  # attributes of an object that is nothing but itself
_OBJECT: Any = object  # what it has, without a type checker's views of that
TYPEVARS = ("TypeVar", "ParamSpec", "TypeVarTuple")


_later = itertools.count(1)


class _Now(threading.local):
    """What a thread pickles and loads by just now."""

    known: Known | None = None
    reduce: Reduce | None = None


_now = _Now()


class at_hand:  # noqa: N801
    """While it is open, what this thread pickles or loads goes by a table.

    Args:
        known: the table, or None for no one's.
        reduce: what says what an object is pickled as, instead of the table.
    """

    __slots__ = ("_before", "_these")

    def __init__(self, known: Known | None, reduce: Reduce | None = None) -> None:
        self._these = known, reduce if reduce is not None or known is None else known.all

    def __enter__(self) -> None:
        self._before = _now.known, _now.reduce
        _now.known, _now.reduce = self._these

    def __exit__(self, *raised: object) -> None:
        _now.known, _now.reduce = self._before


def reduced(obj: object) -> tuple[Any, ...] | None:
    """What an object is pickled as in this thread, if it goes by a table."""
    return None if _now.reduce is None else _now.reduce(obj)


class Known:
    """The table of one function.

    Attributes:
        objects: by token.
        sent: tokens that every worker knows that was sent the function.
        kinds: of those that are neither classes nor functions.
    """

    def __init__(self) -> None:
        self.objects: dict[Token, Any] = {}
        self.sent: set[Token] = set()
        self._tokens: dict[int, Token] = {}
        self._states: dict[Token, Any] = {}  # of those that are nothing but themselves, as they were
        self._homes: dict[Token, tuple[str, str]] | None = None
        self.kinds: set[type] = set()
        self._late: set[Token] = set()
        self._whole: Shadow | None = None
        self._partly: Shadow = Shadow({})

    def __bool__(self) -> bool:
        return bool(self.objects or self._homes)

    def add(self, obj: object, token: Token | None = None, state: Any = None) -> None:
        """One more; `state` is what it holds if it is nothing but itself."""
        token = len(self.objects) if token is None else token
        self.objects[token] = obj
        self._tokens[id(obj)] = token
        if state is not None:
            self._states[token] = state
        if not isa(obj, (type, FunctionType)):
            self.kinds.add(type(obj))

    def knows(self, obj: object) -> bool:
        """Whether it is in the table."""
        return id(obj) in self._tokens

    def token(self, obj: object) -> Token | None:
        """What an object goes by; None if it is not in the table, or has been changed since."""
        token = self._tokens.get(id(obj))
        if token is None or self.objects.get(token) is not obj:
            return None
        if token in self._states and lone(obj) != self._states[token]:
            return None
        return token

    def recall(self, token: Token) -> Any:
        """The object.

        Raises:
            LookupError: if it is not here.
        """
        if token not in self.objects:
            home = (self._homes or {}).get(token)
            if home is None:
                raise LookupError(f"a worker named an object that is not known here ({token})")
            found = _at(*home)
            self.add(found, token, None if _by_itself(found) else lone(found))
        return self.objects[token]

    # Pickling ---------------------------------------------------------------------------------------------

    def shared(self, tokens: Collection[Token] | None = None, *, grows: bool = False) -> Reduce:
        """For values on their way to somebody who knows what these tokens (None: all) stand for.

        Args:
            tokens: what is known there.
            grows: whether objects that are only now met get a token, too.
        """
        return partial(self._reduced, tokens, grows)

    def all(self, obj: object) -> tuple[Any, ...] | None:
        """What an object is pickled as for somebody who knows all of them."""
        return self._reduced(None, False, obj)

    def _reduced(self, tokens: Collection[Token] | None, grows: bool, obj: object) -> tuple[Any, ...] | None:
        token = self.token(obj)
        if token is None and grows and type(obj) is object:
            token = self._meet(obj)
        if token is None:
            return None
        if token not in self._late and (tokens is None or token in tokens):
            return _recall, (token,)
        if token in self._states:
            return _stand_in, (token, type(obj), self._states[token]), _state_of(obj)
        return None

    def _meet(self, obj: object) -> Token | None:
        """A token of its own for one that comes among items; its other end makes an object for it."""
        if len(self._late) > MOST:
            return None
        token = self._tokens.setdefault(id(obj), -next(_later))  # other threads may meet it, too
        self._late.add(token)
        self._states[token] = {}
        self.objects[token] = obj
        return token

    def shadow(self, *, whole: bool) -> Shadow:
        """What a worker knows of it: all, if it was forked, or what is `sent`."""
        if self._whole is None:
            self._whole, self._partly = Shadow(self.objects), Shadow(self.objects, self.sent)
        return self._whole if whole else self._partly

    def common(self, shadow: Shadow) -> Collection[Token] | None:
        """The tokens that a worker knows, and knows as the same objects; None if it knows all of them."""
        if shadow is self._whole:
            return None
        if shadow is self._partly:
            return self.sent
        return {token for token, obj in self.objects.items() if shadow.has(token, obj)}

    def departing(self) -> Reduce:
        """For the function itself on its way to other interpreters; notes in `sent` what goes along."""
        homes = self._find_homes()
        self.sent.clear()
        self.sent.update(homes)

        def reduce(obj: object) -> tuple[Any, ...] | None:
            if obj is self:
                return _arrived, ({token: self.objects[token] for token in self.sent - {*homes}}, homes)
            token = self.token(obj)
            if token is None:
                return None
            if token in homes:  # what it holds here may have been set since its module was imported
                state = _state_of(obj) if token in self._states and type(obj) is not object else None
                return (_at, homes[token], state) if state else (_at, homes[token])
            self.sent.add(token)
            if token in self._states and type(obj) is not object:
                return _made, (type(obj),), _state_of(obj)
            return None

        return reduce

    def __reduce__(self) -> tuple[Any, ...]:
        homes = self._find_homes()
        self.sent.clear()
        self.sent.update(homes)
        return _arrived, ({}, homes)

    def _find_homes(self) -> dict[Token, tuple[str, str]]:
        """Where fresh interpreters find what has only itself: in a module that they import."""
        if self._homes is None:
            wanted = {id(self.objects[token]): token for token in self._states}
            self._homes = {token: home for token, obj in self.objects.items() if (home := _home(obj))}
            for module, name, value in _standing(wanted):
                self._homes.setdefault(wanted[id(value)], (module, name))
        return self._homes


def dumps(value: object, protocol: int = 5, buffer_callback: Callable[[Any], Any] | None = None) -> bytes:
    """`pickle.dumps`, except that members and lone objects go by the table at hand."""
    known, reduce = _now.known, _now.reduce
    if known is None or reduce is None or type(value) in ATOMS:
        return maps_too(value, protocol, buffer_callback)
    return _dumped(value, protocol, buffer_callback, reduce, {object, *known.kinds})


def results(known: Known | None) -> Callable[..., bytes]:
    """What a worker pickles results by: `pickle.dumps` where the table has only classes and functions."""
    if known is None or not known.kinds:
        return maps_too

    def dumps(value: object, protocol: int, buffer_callback: Callable[[Any], Any]) -> bytes:
        if type(value) in ATOMS:
            return pickle.dumps(value, protocol)
        return _dumped(value, protocol, buffer_callback, known.all, known.kinds)

    return dumps


def _dumped(
    value: object,
    protocol: int,
    buffer_callback: Callable[[Any], Any] | None,
    reduce: Reduce,
    kinds: Collection[type],
) -> bytes:
    with io.BytesIO() as file:
        pickler = pickle.Pickler(file, protocol, buffer_callback=buffer_callback)
        maps = rows() if buffer_callback is not None and "numpy" in sys.modules else {}
        table: dict[type, Any] = {**maps, **copyreg.dispatch_table}
        for kind in kinds:
            table[kind] = partial(_else, reduce, table.get(kind), protocol)
        pickler.dispatch_table = table
        pickler.dump(value)
        return file.getvalue()


def _else(reduce: Reduce, other: Any, protocol: int, obj: Any) -> Any:
    found = reduce(obj)
    if found is not None:
        return found
    return obj.__reduce_ex__(protocol) if other is None else other(obj)


def _home(obj: Any) -> tuple[str, str] | None:
    """Where a member stands whose class is imported."""
    if not (_is_member(obj) and importable(type(obj))):
        return None
    return type(obj).__module__, f"{type(obj).__qualname__}.{obj._name_}"


def _standing(wanted: dict[int, Any]) -> Iterator[tuple[str, str, Any]]:
    if not wanted:
        return
    for module, found in list(sys.modules.items()):
        if module in MAIN or module.startswith("autoexec."):
            continue
        for name, value in list(attributes(found).items()):
            if id(value) in wanted:
                yield module, name, value


class Shadow:
    """What a worker knows, as its caller remembers it; nothing is kept alive by that.

    Args:
        objects: by token.
        sent: the tokens that it knows, or None for all of them.
    """

    __slots__ = ("_refs", "_sent")

    def __init__(self, objects: dict[Token, Any], sent: set[Token] | None = None) -> None:
        self._refs = {token: _ref(obj) for token, obj in objects.items()}
        self._sent = sent

    def has(self, token: Token, obj: object) -> bool:
        """Whether the worker has this object under that token."""
        found = self._refs.get(token)
        return found is not None and found() is obj and (self._sent is None or token in self._sent)


def _ref(obj: Any) -> Callable[[], Any]:
    try:
        return ref(obj)
    except TypeError:
        return lambda: obj


# At the other end -----------------------------------------------------------------------------------------


def _recall(token: Token) -> Any:
    if _now.known is None:
        raise LookupError("an object goes by a number here, and nobody has said whose")
    return _now.known.recall(token)


def _stand_in(token: Token, kind: type, held: Any) -> Any:
    """An object that is nothing but itself, the same one each time."""
    known = _now.known
    if known is None:
        return _made(kind)
    if token not in known.objects:
        known.add(_made(kind), token, held)
    return known.objects[token]


def _made(kind: type) -> Any:
    return object.__new__(kind)


def _at(module: str, name: str) -> Any:
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _arrived(along: dict[Token, Any], homes: dict[Token, tuple[str, str]]) -> Known:
    known = Known()
    known._homes = homes
    for token, obj in along.items():
        known.add(obj, token, None if _by_itself(obj) else lone(obj))
    for token, (module, name) in homes.items():
        if module in sys.modules:  # else it is found when it is wanted
            try:
                found = _at(module, name)
            except AttributeError:
                continue
            known.add(found, token, None if _by_itself(found) else lone(found))
    return known


def _by_itself(obj: object) -> bool:
    """Whether it is what it is, whatever it holds."""
    return isa(obj, (type, FunctionType)) or _is_member(obj) or _is_typevar(obj)


# The walk -------------------------------------------------------------------------------------------------


def lone(obj: Any) -> Any:
    """What an object holds that is equal to nothing but itself, if that is plain; None of any other.

    >>> lone(object()), lone([])
    ({}, None)
    """
    kind, plain = type(obj), _OBJECT
    if kind is object:
        return {}
    try:
        if kind.__eq__ is not plain.__eq__ or kind.__getstate__ is not plain.__getstate__:
            return None
        if kind.__reduce_ex__ is not plain.__reduce_ex__:
            return None
        if kind.__reduce__ is plain.__reduce__:
            reduce: Any = plain.__reduce_ex__
            made, args, _, *more = reduce(obj, 2)
            if made is not vars(copyreg)["__newobj__"] or len(args) > 1 or any(more):
                return None
        elif type(obj.__reduce__()) is not str:
            return None
        state = _state_of(obj)
    except Exception:  # it cannot be pickled, or resists
        return None
    own, slots = state if type(state) is tuple else (state, None)
    held = {**(own or {}), **(slots or {})}
    return held if len(held) <= FEW and all(type(value) in ATOMS for value in held.values()) else None


def _state_of(obj: Any) -> Any:
    return _OBJECT.__getstate__(obj)


def known_to(*roots: Any) -> Known:
    """What some functions can reach now, and the modules that they stand in.

    >>> missing = object()
    >>> known = known_to(lambda x, default=missing: x)
    >>> known.token(missing), known.token(object())
    (1, None)
    """
    known = Known()
    modules: dict[str, Any] = {}
    for value in _walk(roots, modules):
        _enter(known, value)
    modules["__main__"] = sys.modules.get("__main__")
    if len(modules) == 1:  # a library's function calls what its arguments bring
        modules |= {name: found for name, found in list(sys.modules.items()) if _of_user(found)}
    for name, module in modules.items():
        for key, value in list(attributes(module).items()):
            if type(value) not in ATOMS:
                _enter(known, value, (name, key))
            for member in _members(value):
                _enter(known, member, (name, f"{key}.{member._name_}"))
    return known


def _of_user(module: Any) -> bool:
    return isa(module, ModuleType) and bool(attributes(module).get("__file__")) and not of_library(module)


def _members(obj: Any) -> list[Any]:
    found = vars(obj).get("_member_map_") if isa(obj, type) else None
    return [one for one in found.values() if _is_member(one)] if type(found) is dict else []


def _enter(known: Known, obj: Any, token: Token | None = None) -> None:
    """Add it, if its identity matters and its name does not tell it."""
    if known.knows(obj):
        return
    if isa(obj, (type, FunctionType)):
        if not importable(obj):
            known.add(obj, token)
    elif _is_member(obj):
        if not (importable(type(obj)) and type(obj._value_) in ATOMS):  # which may be equal to itself alone
            known.add(obj, token)
    elif _is_typevar(obj):
        known.add(obj, token)
    elif (state := lone(obj)) is not None:
        known.add(obj, token, state)


def _is_typevar(obj: object) -> bool:
    return type(obj).__module__ == "typing" and type(obj).__name__ in TYPEVARS


def _is_member(obj: object) -> bool:
    enum: Any = sys.modules.get("enum")
    return enum is not None and isa(obj, enum.Enum)


def _walk(roots: tuple[Any, ...], modules: dict[str, Any]) -> Iterator[Any]:
    """Everything of the user's that the roots reach, each once; the modules that it stands in."""
    line, seen = deque(roots), {*map(id, ATOMS)}
    kept = []  # what was made on the way keeps its id
    while line and len(seen) < MOST:
        obj = line.popleft()
        if type(obj) in ATOMS or id(obj) in seen:
            continue
        seen.add(id(obj))
        kept.append(obj)
        if isa(obj, ModuleType):
            if not of_library(obj):
                modules.setdefault(obj.__name__, obj)
            continue
        if isa(obj, (type, FunctionType)) and of_library(obj):
            continue
        yield obj
        line.extend(_parts(obj, modules))


def _parts(obj: Any, modules: dict[str, Any]) -> list[Any]:
    if isa(obj, FunctionType):
        return _read_by(obj, modules)
    if isa(obj, type):
        return of_class(obj)
    if (parts := inside(obj)) is not None:
        return parts
    if type(obj) in (list, tuple, set, frozenset, dict) and len(obj) <= WIDEST:
        return [*obj, *obj.values()] if type(obj) is dict else [*obj]
    if is_library_type(type(obj)):
        return [type(obj), attributes(obj).get("__wrapped__")]
    return [type(obj), *(value for _, value in held_by(obj)[:WIDEST])]


def _read_by(obj: FunctionType, modules: dict[str, Any]) -> list[Any]:
    """What a function holds, or names, in libraries too; its module is one that counts."""
    home: Any = sys.modules.get(obj.__module__ or "")
    if isa(home, ModuleType) and attributes(home) is obj.__globals__:
        modules.setdefault(home.__name__, home)
    names = names_of(obj.__code__)
    modules_named = [obj.__globals__.get(name) for name in names]
    return [*of_function(obj), *(value for _, _, value in in_modules(names, modules_named, of_library))]
