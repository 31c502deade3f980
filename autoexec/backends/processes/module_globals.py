"""A function that travels with values for the modules it is found in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from ... import role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Values = dict[tuple[str, str], Any]
    Registered = tuple[str, str, tuple[Any, ...]]

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
        made: what the modules hold that were made by hand, by name.
        registered: what is to be registered: module, path of the method that does it, and its arguments.
    """

    __slots__ = ("_call", "_made", "_main", "_registered", "_unsent", "_values")

    def __init__(
        self,
        call: Any,
        values: Values,
        main: dict[str, Any] | None = None,
        unsent: dict[tuple[str, str], str] | None = None,
        made: dict[str, dict[str, Any]] | None = None,
        registered: Sequence[Registered] = (),
    ) -> None:
        self._call, self._values, self._main, self._unsent = call, values, main or {}, unsent or {}
        self._made, self._registered = made or {}, registered

    def __reduce__(self) -> tuple[Any, ...]:
        # The call tells last what else it has met (`known_objects`).
        made, given = _Done(_make, self._made), _Done(_set, self._values, self._unsent)
        return _arrived, (made, given, self._main, self._call, self._registered)


class _Done:
    """A call that is made where this is unpickled: what comes after it finds it done."""

    __slots__ = ("_args", "_call")

    def __init__(self, call: Any, *args: Any) -> None:
        self._call, self._args = call, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call, self._args


def kind_of(value: object) -> str:
    """What a value is, in a word that can be compared elsewhere."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _arrived(
    _made: None, _given: None, main: dict[str, Any], call: Any, registered: Sequence[Registered]
) -> Any:
    if role.fresh:  # a copy of the caller has them
        vars(sys.modules["__main__"]).update(main)
        for module, path, args in registered:
            method: Any = import_module(module)
            for name in path.split("."):
                method = getattr(method, name)
            method(*args)
    return call


def _make(made: dict[str, dict[str, Any]]) -> None:
    for name, held in made.items():
        if role.fresh:
            module = sys.modules.get(name)
            if type(module) is not ModuleType or "__file__" in vars(module):
                module = sys.modules[name] = ModuleType(name)
            vars(module).update(held)


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
