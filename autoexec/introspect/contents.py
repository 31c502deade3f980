"""What an object holds and names: the edges from it to others, and the text that leads to each.

What may live here: edges. Which of them to follow, in what order and how far, is for whoever walks:
`safety.reach` (places that can change), `safety.moving` (what is near), `safety.globals_read` (what is set in
modules), `known_objects` (identities), `worker.generators` (streams). Nothing of the user's is run: no
property, no `__getattr__`, no overridden iteration or `repr`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinMethodType, CodeType, FunctionType, GeneratorType, MethodType, ModuleType

from . import ATOMS, attributes, isa, slots_of
from .code import modules_imported, names_of
from .layers import captured, cells, content, defaults, functions_in
from .libraries import is_library, of_user

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Part = tuple[str, object, Any]

__all__ = [
    "held_by",
    "in_modules",
    "named",
    "of_class",
    "of_function",
    "of_generator",
    "parts",
    "shown",
    "title",
    "wrapped_by",
]


def of_function(func: FunctionType) -> Iterator[Any]:
    """What a function holds: cells, defaults, attributes; and what it names, if it is the user's."""
    for pairs in (cells(func), defaults(func), [*attributes(func).items()]):
        yield from (value for _, value in pairs)
    if not is_library(func.__code__.co_filename):
        yield from (value for _, _, value in named(func.__code__, func.__globals__))


def named(code: CodeType, scope: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """What code names in its own module, and in modules of the user's that it names or imports.

    Each as the name of the module, its own name, and the value.
    """
    names = names_of(code)
    home = str(scope.get("__name__", ""))
    yield from ((home, name, scope[name]) for name in names if name in scope)
    modules = [*(scope.get(name) for name in names), *modules_imported(code, scope, of_user)]
    for module, name, value in in_modules((*names, "__getattr__"), modules, of_user):
        yield module.__name__, name, value


def in_modules(
    names: Iterable[str], homes: Iterable[Any], enters: Callable[[ModuleType], bool]
) -> Iterator[tuple[ModuleType, str, Any]]:
    """What stands under these names in those of some objects that are modules, and in modules inside them."""
    ahead, seen = [*homes], set()
    while ahead:
        module = ahead.pop()
        if not isa(module, ModuleType) or id(module) in seen or not enters(module):
            continue
        seen.add(id(module))
        for name in names:
            if name in vars(module):
                ahead.append(vars(module)[name])
                yield module, name, vars(module)[name]


def wrapped_by(func: FunctionType) -> list[tuple[str, Any]]:
    """Of a wrapper that a library has made only what is the user's: the functions in it, by variable."""
    found = [(name, one) for name, value in captured(func) for one in functions_in(value)]
    return [*found, ("", attributes(func).get("__wrapped__"))]


def of_class(cls: type) -> list[Any]:
    """What a class holds, and what it is made of."""
    return [*vars(cls).values(), *cls.__bases__, type(cls)]


def of_generator(generator: GeneratorType[Any, Any, Any]) -> list[Any]:
    """What a generator that is not at its end holds: its variables, and what it iterates over just now."""
    frame = generator.gi_frame
    if frame is None:
        return []
    found = [*gc.get_referents(generator), *frame.f_locals.values()]
    return found + [value for _, _, value in named(generator.gi_code, frame.f_globals)]


def held_by(obj: object) -> list[tuple[str, Any]]:
    """The attributes of an object, in its dictionary and in slots."""
    return [*attributes(obj).items(), *slots_of(obj)]


def parts(obj: Any) -> Iterator[Part]:
    """The parts of `obj`: the text of the step to each, the key that belongs between its brackets, the part.

    >>> [text for text, key, part in parts(3 + 4j)][-1]
    '.__class__'
    >>> next(parts({"a": [1]}))
    ('[{}]', 'a', [1])
    """
    kind = type(obj)
    for base, insides in _KINDS:
        if issubclass(kind, base):
            yield from insides(obj)
    if kind.__module__ in ("functools", "collections", "numpy"):
        yield from _library_parts(obj, kind.__name__)
    # Also what C code shows: what cannot be pickled may lie there.
    own = (*attributes(obj).items(), *slots_of(obj, native=True))
    yield from ((f".{name}", None, value) for name, value in own)
    yield ".__class__", None, kind


def _dict_parts(obj: Any) -> Iterator[Part]:
    for key, value in dict.items(obj):
        yield "[{}]", key, value
        yield ".keys()[{}]", key, key


def _list_parts(obj: Any) -> Iterator[Part]:
    values = list.__iter__(obj) if isinstance(obj, list) else tuple.__iter__(obj)
    yield from (("[{}]", i, value) for i, value in enumerate(values))


def _set_parts(obj: Any) -> Iterator[Part]:
    yield from (("{...}", None, value) for value in obj)


def _error_parts(obj: Any) -> Iterator[Part]:
    yield from ((".args[{}]", i, value) for i, value in enumerate(obj.args))


def _method_parts(obj: Any) -> Iterator[Part]:
    yield ".__self__", None, obj.__self__
    yield ".__func__", None, getattr(obj, "__func__", None)


def _class_parts(obj: Any) -> Iterator[Part]:
    yield from ((f".{name}", None, value) for name, value in list(vars(obj).items()))


def _function_parts(func: FunctionType) -> Iterator[Part]:
    yield from ((".__closure__[{}]", name, content(cell)) for name, cell in cells(func))
    late = func.__kwdefaults__ or {}
    for name, value in defaults(func):
        yield (".__kwdefaults__[{}]" if name in late else ".__defaults__[{}]"), name, value
    yield from ((".__globals__[{}]", name, value) for name, value in list(func.__globals__.items()))


def _library_parts(obj: Any, kind: str) -> Iterator[Part]:
    if kind == "partial":
        yield ".func", None, obj.func
        yield from ((".args[{}]", i, value) for i, value in enumerate(obj.args))
        yield from ((".keywords[{}]", name, value) for name, value in obj.keywords.items())
    elif kind == "deque":
        yield from (("[{}]", i, value) for i, value in enumerate(obj))
    elif kind == "ndarray" and obj.dtype.hasobject:
        yield from ((".flat[{}]", i, value) for i, value in enumerate(obj.flat))


_KINDS: tuple[tuple[Any, Any], ...] = (
    (dict, _dict_parts),
    ((list, tuple), _list_parts),
    ((set, frozenset), _set_parts),
    (BaseException, _error_parts),
    ((MethodType, BuiltinMethodType), _method_parts),
    (FunctionType, _function_parts),
    (type, _class_parts),
)


def shown(key: object) -> str:
    """A key as people would write it, or the name of its type where only its own `repr` could tell.

    >>> shown("a"), shown(object())
    ("'a'", 'object')
    """
    return f"{key!r:.40}" if type(key) in ATOMS else title(key)


def title(obj: object) -> str:
    """The name of the type of `obj`, with its module where that says more.

    >>> import collections
    >>> title(1), title(collections.deque())
    ('int', 'collections.deque')
    """
    kind = type(obj)
    near = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if near else f"{kind.__module__}.{kind.__qualname__}"
