"""A function that travels with values for the modules it is found in."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["WithModuleGlobals"]


class WithModuleGlobals:
    """It is unpickled as the function itself, once the values are where it reads them.

    Args:
        call: the function, or what holds it.
        values: by module and name.
    """

    __slots__ = ("_call", "_values")

    def __init__(self, call: Any, values: dict[tuple[str, str], Any]) -> None:
        self._call, self._values = call, values

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._values, self._call)  # the call tells last what else it has met


def _arrived(values: dict[tuple[str, str], Any], call: Any) -> Any:
    for (module, name), value in values.items():
        setattr(import_module(module), name, value)
    return call
