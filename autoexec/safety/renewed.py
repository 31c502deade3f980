"""What of a function's belongings every process has anew, rather than a copy of the caller's.

What may live here: what takes the place of such things in the bytes for a fresh interpreter. A forked worker
has inherited them; see `watch`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..introspect import ATOMS, loaded
from .reach import reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..known_objects import Known, Reduce

__all__ = ["departing"]


def departing(
    known: Known, func: Callable[..., Any], made: tuple[tuple[str, str, tuple[Any, ...]], ...], *, locks: bool
) -> Reduce:
    """As `Known.departing`, short of what a worker has of its own.

    Args:
        known: the table of the function.
        func: the function.
        made: what its first item has made for this process alone; see `Effects.made`.
        locks: whether its locks guard nothing that processes share, and its weak memos are empty.
    """
    reduce = known.departing()
    own = _objects(func, made)
    if not (own or locks):
        return reduce

    def leave(obj: object) -> tuple[Any, ...] | None:
        if id(obj) in own:
            return _nothing, ()
        if locks and (maker := _maker(obj)) is not None:
            return maker, ()
        return reduce(obj)

    return leave


def _objects(
    func: Callable[..., Any], made: tuple[tuple[str, str, tuple[Any, ...]], ...]
) -> dict[int, object]:
    """What stands in such places now, by identity."""
    found: dict[int, object] = {}
    for place in reach(func).places if made else ():
        for within, name, _ in made:
            value = place.named().get(name) if place.path == within else None
            if type(value) not in ATOMS:
                found[id(value)] = value
    return found


def _maker(obj: object) -> Callable[[], object] | None:
    """What makes a new one of a lock, or of a memo that keeps nothing."""
    kind: Any = type(obj)
    if kind is type(threading.Lock()):
        return threading.Lock
    if kind is type(threading.RLock()):
        return threading.RLock
    weakref = loaded("weakref")
    return kind if weakref is not None and kind is weakref.WeakValueDictionary else None


def _nothing() -> None:
    """In its place, until it is made there."""
