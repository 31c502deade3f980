"""Frozen, slotted records at a tenth of the import time of `dataclasses`.

`dataclasses` brings `inspect` and with it 13 ms on CPython 3.11, as much as a whole thread pool; a call whose
work takes 90 ms feels that. What is here covers `@dataclass(frozen=True, slots=True)` with plain defaults
and nothing more. Type checkers see the real decorator, and `dataclasses.replace`, `fields` and `asdict`
work: the description they ask for is made when they ask.
"""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

__all__ = ["Field", "dataclass", "field", "replace"]

_MISSING = object()


class Field:
    """A default, and whether `repr` shows it."""

    def __init__(self, default: object, repr: bool) -> None:  # noqa: A002 (the name dataclasses gives it)
        self.default, self.repr = default, repr


def field(*, default: Any = _MISSING, repr: bool = True) -> Any:  # noqa: A002
    """A field that is not just a default."""
    return Field(default, repr)


def dataclass(*, frozen: bool, slots: bool) -> Callable[[type[T]], type[T]]:
    """Make a frozen class with slots from a class of annotations; both flags must be True."""
    assert (frozen, slots) == (True, True)
    return _build


def _build(cls: type[T]) -> type[T]:
    names = tuple(cls.__annotations__)
    namespace = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")}
    given = {name: namespace.pop(name) for name in names if name in namespace}
    fields = {
        name: value if isinstance(value, Field) else Field(value, True) for name, value in given.items()
    }
    defaults = {name: entry.default for name, entry in fields.items() if entry.default is not _MISSING}
    namespace.update(
        __slots__=names,
        __init__=_init(names, defaults),
        __repr__=_repr([name for name in names if name not in fields or fields[name].repr]),
        __match_args__=names,
        __qualname__=cls.__qualname__,
        __signature__=_Signature(names, defaults),
        __dataclass_fields__=_Description(names, defaults),
        **_METHODS,
    )
    made: Any = type(cls.__name__, cls.__bases__, namespace)
    return made  # type: ignore[no-any-return]


def _init(names: tuple[str, ...], defaults: dict[str, object]) -> Any:
    assign, known = object.__setattr__, frozenset(names)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        given = dict(zip(names, args, strict=False))
        if len(args) > len(names) or not kwargs.keys() <= known - given.keys():
            wrong = sorted(kwargs.keys() - (known - given.keys())) or list(args[len(names) :])
            raise TypeError(f"{type(self).__qualname__}() got what it has no place for: {wrong}")
        values = defaults | given | kwargs
        for name in names:
            if name not in values:
                raise TypeError(f"{type(self).__qualname__}() needs {name!r}")
            assign(self, name, values[name])

    return __init__


class _Signature:
    """What `inspect` and `help` show of the arguments, made on demand."""

    def __init__(self, names: tuple[str, ...], defaults: dict[str, object]) -> None:
        self._names, self._defaults = names, defaults

    def __get__(self, instance: object, owner: type) -> Any:
        from inspect import Parameter, Signature

        kind = Parameter.POSITIONAL_OR_KEYWORD
        return Signature(
            [Parameter(n, kind, default=self._defaults.get(n, Parameter.empty)) for n in self._names]
        )


def _repr(shown: list[str]) -> Any:
    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    return __repr__


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__match_args__)


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _refuse(self: Any, name: str, *_: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change field {name!r} of a {type(self).__qualname__}")


def replace(record: T, /, **changes: Any) -> T:
    """A copy of `record` with some fields changed.

    >>> from autoexec.records import Plan
    >>> replace(Plan("threads", 2), max_workers=3).max_workers
    3
    """
    names: tuple[str, ...] = record.__match_args__  # type: ignore[attr-defined]
    return type(record)(**{name: getattr(record, name) for name in names} | changes)


_METHODS = {
    "__eq__": _eq,
    "__hash__": lambda self: hash(_values(self)),
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__reduce__": lambda self: (type(self), _values(self)),
    "__replace__": replace,
}


class _Description:
    """What the `dataclasses` module asks a class for, made on demand."""

    def __init__(self, names: tuple[str, ...], defaults: dict[str, object]) -> None:
        self._names, self._defaults = names, defaults
        self._made: dict[str, Any] | None = None

    def __get__(self, instance: object, owner: type) -> dict[str, Any]:
        if self._made is None:
            import dataclasses

            rows: list[Any] = [
                (name, object, dataclasses.field(default=self._defaults[name]))
                if name in self._defaults
                else name
                for name in self._names
            ]
            made = dataclasses.make_dataclass("Description", rows)
            self._made = {entry.name: entry for entry in dataclasses.fields(made)}
        return self._made
