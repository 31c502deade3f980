"""The clocks of this library, which no one else's patch stops.

Tests freeze the functions of the `time` module, wherever a module has a name for them. A run whose clock
stands still would never look again. So this is a `time` module of our own, made anew by the interpreter.
"""

from __future__ import annotations

import _thread
import time as _shared
from types import BuiltinFunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import time
    from types import ModuleType

__all__ = ["time"]


def _own() -> ModuleType:
    """Another `time` module; the usual one where the interpreter makes no second."""
    try:
        spec = _shared.__spec__
        made: ModuleType = spec.loader.create_module(spec)  # type: ignore[union-attr, assignment]
        spec.loader.exec_module(made)  # type: ignore[union-attr]
    except Exception:
        return _shared
    if not isinstance(_thread.start_new_thread, BuiltinFunctionType):  # greenlets: sleep lets others run
        made.sleep = _shared.sleep  # type: ignore[attr-defined]
    return made


if not TYPE_CHECKING:
    time = _own()
