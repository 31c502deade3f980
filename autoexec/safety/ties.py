"""What a function uses of this process that no worker can be given.

What may live here: streams that output was sent elsewhere from, the seed of hashes. What can be set in a
worker is in `worker.process_state`; what items change is for `effects`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection

from ..introspect.code import place_of
from ..records import Hazard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["redirected", "ties"]

PRINTS = frozenset(
    ("print", "pprint", "pp", "print_exc", "print_exception", "print_stack", "stdout", "stderr")
)


def redirected() -> tuple[str, ...]:
    """The standard streams that lead to another place than what this process was started with.

    >>> import contextlib, io
    >>> with contextlib.redirect_stdout(io.StringIO()):
    ...     found = redirected()
    >>> "sys.stdout" in found
    True
    """
    found = []
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name, None)
        own = stream is None or stream is getattr(sys, f"__{name}__", None)
        if not own and not _leads_to(stream, descriptor):
            found.append(f"sys.{name}")
    return tuple(found)


def _leads_to(stream: Any, descriptor: int) -> bool:
    try:
        mine, own = os.fstat(stream.fileno()), os.fstat(descriptor)
    except Exception:  # it is no file, or is closed
        return False
    return (mine.st_dev, mine.st_ino) == (own.st_dev, own.st_ino)


def ties(
    func: Callable[..., object],
    names: Callable[[], Collection[str]],
    *,
    forks: bool,
    copies: Callable[[], Collection[tuple[str, str]]] = tuple,
) -> tuple[Hazard, ...]:
    """What would not be the same in a worker.

    Args:
        func: the function.
        names: gives the names of globals and attributes that it, and the user's functions that it calls, use.
        forks: whether workers would be copies of this process.
        copies: gives what else of this process only a copy has: what is done with it, and its name.
    """
    found = []
    streams = redirected()
    if streams and not PRINTS.isdisjoint(names()):
        kind = "prints, and what is printed goes elsewhere"
        found += [Hazard(kind, name, place_of(func), True) for name in streams]
    if not forks and sys.flags.hash_randomization and not _seeded() and "hash" in names():
        kind = "depends on the hash seed, which only a copy of this process has"
        found.append(Hazard(kind, "hash", place_of(func), True))
    if not forks:
        found += [
            Hazard(f"{kind}, which only a copy of this process has", name, place_of(func), True)
            for kind, name in copies()
        ]
    return tuple(found)


def _seeded() -> bool:
    """Whether the seed was given, so that a fresh interpreter gets it, too."""
    return not sys.flags.ignore_environment and os.environ.get("PYTHONHASHSEED", "random").isdecimal()
