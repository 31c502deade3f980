"""Whether a module is being imported, whose end others would wait for.

What may live here: what is told by modules and stacks. While a thread imports a module, any other thread that
needs that module waits until it is done; so the importing thread must not wait for such others.
"""

from __future__ import annotations

import sys

from . import attributes, bare, static_attribute
from .layers import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["being_imported"]


def being_imported(func: Any, thread: int | None = None) -> str:
    """A module that is being imported: the function's own, or one in the stack of a thread; or "".

    >>> being_imported(len)
    ''
    """
    own = static_attribute(layers(bare(func))[0], "__module__")
    if type(own) is str and _initializing(attributes(sys.modules.get(own))):
        return own
    frame = None if thread is None else sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_name == "<module>" and _initializing(frame.f_globals):
            return str(frame.f_globals.get("__name__"))
        frame = frame.f_back
    return ""


def _initializing(names: dict[str, Any]) -> bool:
    return getattr(names.get("__spec__"), "_initializing", False) is True
