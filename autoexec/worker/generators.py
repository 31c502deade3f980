"""Random generators that a function draws from: copies in several processes must not draw the same numbers.

What may live here: where such generators are found, and how each kind gets fresh entropy. A worker does that
when it gets to know a function. What a loop would draw cannot be had in several processes, seeded or not; the
planner keeps seeded ones in the caller, unless worker processes were asked for.

Generators inside lists, dicts and items are left as they are: one for each item is how streams are made the
same everywhere.
"""

from __future__ import annotations

from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType

from ..introspect import ATOMS, attributes, isa, loaded, slots_of
from ..introspect.code import names_of
from ..introspect.libraries import is_library, is_library_type, of_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["give_entropy", "own_streams"]

MOST = 2000  # objects that are looked at
CONTAINERS = (list, tuple, dict, set, frozenset)
# Libraries' own generators, which a fork copies: module, and what it calls to be seeded anew.
OF_LIBRARIES = (("numpy.random", "seed"), ("torch", "seed"))  # the random module does so by itself


def own_streams() -> None:
    """After a fork: libraries' own generators draw other numbers here."""
    for module, name in OF_LIBRARIES:
        seed = getattr(loaded(module), name, None)
        if seed is not None:
            seed()


def give_entropy(func: Any) -> int:
    """Seed anew what a function draws from, as far as that is found; how many generators that were.

    >>> import random
    >>> dice = random.Random(1)
    >>> give_entropy(lambda: dice.random())
    1
    """
    count = 0
    for generator, seed in _generators(func):
        try:
            seed(generator)
        except Exception:  # a kind of bits that nobody knows how to seed
            continue
        count += 1
    return count


def _kinds() -> dict[type, Callable[[Any], object]]:
    """The kinds of generators there are in this process, and how each is seeded anew."""
    kinds: dict[type, Callable[[Any], object]] = {}
    random, numpy = loaded("random"), loaded("numpy.random")
    if random is not None:
        kinds[random.SystemRandom] = lambda generator: None  # has no state
        kinds[random.Random] = random.Random.seed
    if numpy is not None:
        kinds[numpy.Generator] = lambda generator: generator.bit_generator.__init__()
        kinds[numpy.RandomState] = numpy.RandomState.seed
    return kinds


def _generators(func: Any) -> Iterator[tuple[Any, Callable[[Any], object]]]:
    kinds = _kinds()
    ahead, seen = [func], {id(func): func}
    while ahead and len(seen) < MOST:
        obj = ahead.pop()
        seed = next((seed for kind, seed in kinds.items() if isa(obj, kind)), None)
        if seed is not None:
            yield obj, seed
            continue
        for part in _parts(obj):
            if type(part) not in ATOMS and not isa(part, CONTAINERS) and id(part) not in seen:
                seen[id(part)] = part  # kept, so that no other one gets its id
                ahead.append(part)


def _parts(obj: Any) -> Iterator[Any]:
    """What of an object a call may use by its name."""
    if isa(obj, FunctionType):
        yield from _of_function(obj)
    elif isa(obj, CellType):
        try:
            yield obj.cell_contents
        except ValueError:  # it is empty
            return
    elif isa(obj, partial):
        yield from (obj.func, *obj.args, *obj.keywords.values())
    elif isa(obj, MethodType):
        yield from (obj.__self__, obj.__func__)
    elif isa(obj, (property, staticmethod, classmethod)):
        yield from (getattr(obj, name, None) for name in ("fget", "__func__"))
    elif not isa(obj, ModuleType):
        yield from _of_class(obj) if isa(obj, type) else _of_instance(obj)


def _of_function(func: FunctionType) -> Iterator[Any]:
    if not is_library(func.__code__.co_filename):
        yield from _named(func)
    yield from func.__closure__ or ()
    yield from func.__defaults__ or ()
    yield from (func.__kwdefaults__ or {}).values()
    yield from attributes(func).values()


def _of_class(cls: type) -> Iterator[Any]:
    if not is_library_type(cls):
        yield from [*vars(cls).values()]
        yield from cls.__mro__[1:-1]


def _of_instance(obj: Any) -> Iterator[Any]:
    yield type(obj)
    yield from [*attributes(obj).values()]
    yield from (value for _, value in slots_of(obj))


def _named(func: FunctionType) -> Iterator[Any]:
    """Globals that its code names, and what it names in modules of the user's."""
    names = names_of(func.__code__)
    for name in names:
        value = func.__globals__.get(name)
        yield value
        if isa(value, ModuleType) and not of_library(value):
            yield from (vars(value).get(inner) for inner in names)
