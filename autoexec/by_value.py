"""Pickling functions and classes by value, as cloudpickle does; where their code stands goes along."""

from __future__ import annotations

import io
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from types import CodeType

from .file_maps import rows

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
    rows()
    with io.BytesIO() as file:
        here = buffer_callback is not None  # apart: for processes that share memory with this one
        _pickler(here)(file, protocol=protocol, buffer_callback=buffer_callback).dump(value)
        return file.getvalue()


@cache
def _pickler(here: bool) -> Any:
    """Made when it is first needed: importing cloudpickle takes tens of milliseconds."""
    from cloudpickle import Pickler  # type: ignore[import-untyped, unused-ignore]

    reduce = Pickler.dispatch_table[CodeType]

    def located(code: CodeType) -> tuple[Any, ...]:
        make, args, *more = reduce(code)
        return (make, tuple(code.co_filename if one == UNKNOWN else one for one in args), *more)

    table = ChainMap({CodeType: located}, rows() if here else {}, Pickler.dispatch_table)
    return type("Located", (Pickler,), {"dispatch_table": table})
