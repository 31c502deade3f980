"""Random generators that a function draws from: copies in several processes must not draw the same numbers.

What may live here: where such generators are found, and how each kind gets fresh entropy. A worker does that
when it gets to know a function. What a loop would draw cannot be had in several processes, seeded or not; the
planner keeps seeded ones in the caller, unless worker processes were asked for.

Generators inside lists, dicts and items are left as they are: one for each item is how streams are made the
same everywhere.
"""

from __future__ import annotations

from types import FunctionType, ModuleType

from ..introspect import ATOMS, isa, loaded
from ..introspect.contents import held_by, of_class, of_function
from ..introspect.layers import inside
from ..introspect.libraries import is_library_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
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


def _parts(obj: Any) -> Iterable[Any]:
    """What of an object a call may use by its name."""
    if isa(obj, FunctionType):
        return of_function(obj)
    if (parts := inside(obj)) is not None:
        return parts
    if isa(obj, type):
        return () if is_library_type(obj) else of_class(obj)
    # Of libraries' objects as well: a stream in one is as good as any.
    return () if isa(obj, ModuleType) else [type(obj), *(value for _, value in held_by(obj))]
