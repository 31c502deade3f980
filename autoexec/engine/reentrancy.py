"""Whether a thread is in the middle of our own code: then a finalizer, a signal handler or a callback asks.

Such a thread may hold what others of ours need in order to end, so nothing may be waited for in it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

__all__ = ["in_the_midst"]

ROOT = __name__.partition(".")[0]
# Modules through which users end a run; others call these, too, but not while anything is held.
_WAYS = tuple(f"{ROOT}.{name}" for name in ("engine.reentrancy", "engine.run", "results", "async_results"))
# Modules that call the user's code, or are called by it, with nothing held.
_CLEAR = tuple(
    f"{ROOT}.{name}"
    for name in ("worker.invoke", "engine.source", "own_thread", "api", "decorator", "executor")
)
_DOORS = tuple(f"{ROOT}.{name}" for name in ("cli", "demo", "__main__"))


def in_the_midst() -> bool:
    """Whether whoever ends a run, in this thread, came up in the midst of what this package was doing.

    >>> in_the_midst()
    False
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and _module(frame) in _WAYS:
        finalizer = frame.f_code.co_name == "__del__"
        frame = frame.f_back
        if finalizer:
            break
    while frame is not None and not _module(frame).startswith(f"{ROOT}."):
        frame = frame.f_back
    if frame is None:
        return False
    module = _module(frame)
    return module not in _CLEAR and not module.startswith(_DOORS)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
