"""What is visible in an object: its parts, and the text that leads to each of them.

Nothing of the user's is run: no property, no `__getattr__`, no overridden iteration or `repr`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import BuiltinMethodType, FunctionType, MemberDescriptorType, MethodType

from . import ATOMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Part = tuple[str, object, Any]

__all__ = ["parts", "shown", "title"]


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
    yield from ((f".{name}", None, value) for name, value in _attributes(obj))
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
    code, values = func.__code__, func.__defaults__ or ()
    for name, cell in zip(code.co_freevars, func.__closure__ or (), strict=False):
        yield ".__closure__[{}]", name, _content(cell)
    names = code.co_varnames[: code.co_argcount]
    late = zip(names[len(names) - len(values) :], values, strict=False)
    yield from ((".__defaults__[{}]", name, value) for name, value in late)
    yield from ((".__kwdefaults__[{}]", name, value) for name, value in (func.__kwdefaults__ or {}).items())
    yield from ((".__globals__[{}]", name, value) for name, value in list(func.__globals__.items()))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _library_parts(obj: Any, kind: str) -> Iterator[Part]:
    if kind == "partial":
        yield ".func", None, obj.func
        yield from ((".args[{}]", i, value) for i, value in enumerate(obj.args))
        yield from ((".keywords[{}]", name, value) for name, value in obj.keywords.items())
    elif kind == "deque":
        yield from (("[{}]", i, value) for i, value in enumerate(obj))
    elif kind == "ndarray" and obj.dtype.hasobject:
        yield from ((".flat[{}]", i, value) for i, value in enumerate(obj.flat))


def _attributes(obj: Any) -> Iterator[tuple[str, Any]]:
    """Instance attributes and filled slots, without running properties or `__getattr__`."""
    try:
        found = object.__getattribute__(obj, "__dict__")
    except Exception:
        found = {}
    yield from list(found.items()) if isinstance(found, dict) else ()
    slots = [pair for base in type(obj).__mro__ for pair in vars(base).items()]
    for name, slot in slots:
        if type(slot) is MemberDescriptorType and not name.startswith("__"):
            try:
                yield name, slot.__get__(obj)
            except Exception:
                continue


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
