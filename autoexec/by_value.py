"""Pickling functions and classes by value, as cloudpickle does; where their code stands goes along."""

from __future__ import annotations

import io
import sys
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from types import CodeType, FunctionType, ModuleType

from .introspect import isa
from .introspect.elsewhere import only_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["dumps"]

UNKNOWN = "<dynamic-code>"  # what cloudpickle says instead


def dumps(
    value: object,
    protocol: int = 5,
    buffer_callback: Callable[[Any], Any] | None = None,
) -> bytes:
    """`cloudpickle.dumps`, except that code keeps the name of its file.

    Since 3.1.3 cloudpickle leaves the name out, and a traceback from another process could not show the line.

    Raises:
        ImportError: cloudpickle is not installed.
        Exception: whatever pickling raises.

    >>> import pickle
    >>> pickle.loads(dumps(dumps)) is dumps
    True
    """
    with io.BytesIO() as file:
        pickler = _pickler()(file, protocol=protocol, buffer_callback=buffer_callback)
        try:
            pickler.dump(value)
        finally:
            pickler.told.end()
        return file.getvalue()


@cache
def _pickler() -> Any:
    """Made when it is first needed: importing cloudpickle takes tens of milliseconds."""
    from cloudpickle import Pickler  # type: ignore[import-untyped, unused-ignore]

    reduce = Pickler.dispatch_table[CodeType]

    def located(code: CodeType) -> tuple[Any, ...]:
        make, args, *more = reduce(code)
        return (make, tuple(code.co_filename if one == UNKNOWN else one for one in args), *more)

    class Located(Pickler):  # type: ignore[misc, unused-ignore]
        """Sends by value, too, what lives in modules that exist only here."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.told = _Told()

        def reducer_override(self, obj: Any) -> Any:
            """What cloudpickle does, which is told first of a module that nobody else has."""
            self.told.look(obj)
            return super().reducer_override(obj)

    Located.dispatch_table = ChainMap({CodeType: located}, Pickler.dispatch_table)
    return Located


class _Told:
    """Modules that cloudpickle was told to send by value, as long as one object is pickled."""

    def __init__(self) -> None:
        self._modules: list[ModuleType] = []

    def look(self, obj: Any) -> None:
        """Tell it of the module of a function or class, or of a module, if that exists only here."""
        name = None
        if isa(obj, (FunctionType, type)):
            name = obj.__module__
        elif isa(obj, ModuleType):
            name = obj.__name__
        if only_here(name) and name not in _registry():
            import cloudpickle

            self._modules.append(sys.modules[str(name)])
            cloudpickle.register_pickle_by_value(self._modules[-1])

    def end(self) -> None:
        """Elsewhere in the program it does as it did before."""
        for module in self._modules:
            if module.__name__ in _registry():
                import cloudpickle

                cloudpickle.unregister_pickle_by_value(module)


def _registry() -> Any:
    from cloudpickle.cloudpickle import list_registry_pickle_by_value

    return list_registry_pickle_by_value()
