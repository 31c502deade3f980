"""Pickling functions and classes by value, as cloudpickle does; where their code stands goes along."""

from __future__ import annotations

import contextlib
import io
import sys
from collections import ChainMap
from collections.abc import Callable, Collection, Iterator
from functools import cache
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["dumps", "travelling_whole"]

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
        _pickler()(file, protocol=protocol, buffer_callback=buffer_callback).dump(value)
        return file.getvalue()


@contextlib.contextmanager
def travelling_whole(names: Collection[str]) -> Iterator[None]:
    """Meanwhile functions and classes of these modules go by value: another process could not import them."""
    if not names:
        yield
        return
    import cloudpickle

    there = cloudpickle.list_registry_pickle_by_value()
    modules = [sys.modules[name] for name in names if name in sys.modules and name not in there]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            with contextlib.suppress(ValueError):  # another thread has had the same in mind
                cloudpickle.unregister_pickle_by_value(module)


@cache
def _pickler() -> Any:
    """Made when it is first needed: importing cloudpickle takes tens of milliseconds."""
    from cloudpickle import Pickler  # type: ignore[import-untyped, unused-ignore]

    reduce = Pickler.dispatch_table[CodeType]

    def located(code: CodeType) -> tuple[Any, ...]:
        make, args, *more = reduce(code)
        return (
            make,
            tuple(code.co_filename if type(one) is str and one == UNKNOWN else one for one in args),
            *more,
        )

    table = ChainMap({CodeType: located}, Pickler.dispatch_table)
    return type("Located", (Pickler,), {"dispatch_table": table})
