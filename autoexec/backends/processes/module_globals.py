"""A function that travels with values for the modules it is found in."""

from __future__ import annotations

import sys
from importlib import import_module

from ... import role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Values = dict[tuple[str, str], Any]

__all__ = ["WithModuleGlobals", "kind_of"]

_MISSING = object()


class WithModuleGlobals:
    """It is unpickled as the function itself, once the values are where it reads them.

    Args:
        call: the function, or what holds it.
        values: by module and name; the name of a class's attribute has a dot.
        main: functions and classes that stand in `__main__`, which a fresh interpreter finds there, too.
        unsent: of values that cannot be sent what they are, by the same: a module that is imported anew may
            make its own, such as a lock.
    """

    __slots__ = ("_call", "_main", "_unsent", "_values")

    def __init__(
        self,
        call: Any,
        values: Values,
        main: dict[str, Any] | None = None,
        unsent: dict[tuple[str, str], str] | None = None,
    ) -> None:
        self._call, self._values, self._main, self._unsent = call, values, main or {}, unsent or {}

    def __reduce__(self) -> tuple[Any, ...]:
        # The call tells last what else it has met (`known_objects`).
        return _arrived, (_Given(self._values, self._unsent), self._main, self._call)


class _Given:
    """The values: unpickled before the function, they stand where it is loaded."""

    __slots__ = ("_unsent", "_values")

    def __init__(self, values: Values, unsent: dict[tuple[str, str], str]) -> None:
        self._values, self._unsent = values, unsent

    def __reduce__(self) -> tuple[Any, ...]:
        return _set, (self._values, self._unsent)


def kind_of(value: object) -> str:
    """What a value is, in a word that can be compared elsewhere."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _arrived(_: None, main: dict[str, Any], call: Any) -> Any:
    if role.fresh:  # a copy of the caller has them
        vars(sys.modules["__main__"]).update(main)
    return call


def _set(values: Values, unsent: dict[tuple[str, str], str]) -> None:
    for (module, path), value in values.items():
        *holders, name = path.split(".")
        holder: Any = import_module(module)
        for each in holders:
            holder = getattr(holder, each)
        setattr(holder, name, value)
    for (module, path), kind in unsent.items():
        found: Any = import_module(module)
        for each in path.split("."):
            found = getattr(found, each, _MISSING)
        if found is _MISSING or kind_of(found) != kind:
            there = "missing" if found is _MISSING else f"a {kind_of(found)}"
            raise TypeError(
                f"{module}.{path} is a {kind} here, which cannot be sent to another process, and {there} in "
                "one that imports the module anew; set it where the module is imported, or use "
                "backend='threads'"
            )
