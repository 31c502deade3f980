"""Looking: what a call has changed of what its function can reach, entry by entry.

What may live here: notes before a call and what differs after it. What that means is for `effects` to say.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable
from io import StringIO

from ..introspect import ATOMS, isa, loaded
from ..introspect.layers import MISSING
from ..own_time import time
from ..worker.process_state import ROWS
from .reach import Place, Reached, reach
from .readings import IGNORED, hidden_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any
else:
    from ..frozen import dataclass

__all__ = ["Change", "Look", "look"]

DEEP = 4  # levels of tuples and lists that are compared by what they hold
MANY = 50  # changes of one container that are told
READ_S = 0.01  # of CPU time for reading what was found


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that is not what it was.

    Attributes:
        place: the container's identity and the key; the same in every look.
        path: what the source calls it.
        name: the key, where it is a name.
        old: what was there, or MISSING.
        new: what is there, or MISSING.
        owner: the object whose attribute it is, or None.
        within: the path of the container.
    """

    place: tuple[int, Any]
    path: str
    name: str
    old: Any
    new: Any
    owner: Any
    within: str = ""


class Look:
    """Notes taken before a call.

    Attributes:
        reached: what can be reached.
    """

    __slots__ = ("_modules", "_notes", "_process", "reached")

    def __init__(self, reached: Reached, until: float) -> None:
        self.reached = reached
        self._notes: list[tuple[Place, Any]] = []
        for place in reached.places:
            if time.thread_time() > until:
                reached.whole = False
                break
            self._notes.append((place, _read(place)))
        self._process, self._modules = _process_state(), len(sys.modules)

    def compare(self) -> list[Change]:
        """What is not what it was, the nearest first."""
        found: list[Change] = []
        for place, old in self._notes:
            if old is not None and not _same(old, new := _read(place)):
                found += _differences(place, old, new)
        now = _process_state()
        if len(sys.modules) != self._modules:  # what is imported may add some
            now["the warning filters"] = self._process["the warning filters"]
        for name, old in self._process.items():
            new = now[name]
            if not (old is None or new is None or _equal(old, new)):
                found.append(Change((0, name), name, name, old, new, None))
        return found


def look(func: Callable[..., Any], args: tuple[Any, ...], until: float, kinds: Iterable[Any] = ()) -> Look:
    """Note what a function can reach, before it is called.

    Args:
        func: the function.
        args: its arguments.
        until: when to stop, by `time.thread_time`.
        kinds: classes that other arguments are of, and functions among these.
    """
    return Look(reach(func, args, until=until, kinds=kinds), until + READ_S)


def _read(place: Place) -> Any:
    """The entries of a place: keys and values, or a list; None where they cannot be had just now."""
    try:
        found = place.read()
    except Exception:
        return None
    if isa(found, dict):
        return [*found.keys()], [*found.values()]
    return found


def _same(old: Any, new: Any) -> bool:
    if new is None:
        return True
    if type(old) is tuple:
        return _identical(old[1], new[1]) and _identical(old[0], new[0])
    return _identical(old, new)


def _identical(old: list[Any], new: list[Any]) -> bool:
    return len(old) == len(new) and all(map(operator.is_, old, new))


def _equal(old: Any, new: Any, depth: int = DEEP) -> bool:
    """Whether an entry that was set again holds what it held: atoms only, others are asked nothing."""
    kind = type(old)
    if kind is not type(new):
        return False
    if kind is tuple or kind is list:
        if old is new or depth == 0 or len(old) != len(new):
            return old is new
        return all(_equal(one, other, depth - 1) for one, other in zip(old, new, strict=True))
    return old is new or (kind in ATOMS and bool(old == new))


def _differences(place: Place, old: Any, new: Any) -> list[Change]:
    if type(old) is not tuple:
        if len(old) == len(new) and all(map(_equal, old, new)):
            return []
        return [Change((id(place.obj), None), place.path, "", old, new, place.owner, place.path)]
    before = dict(zip(map(_key, old[0]), old[1], strict=True))
    after = dict(zip(map(_key, new[0]), new[1], strict=True))
    hidden = hidden_names(type(place.owner)) if place.owner is not None and not isa(place.owner, type) else ()
    found: list[Change] = []
    for key in {**before, **after}:
        was, now = before.get(key, MISSING), after.get(key, MISSING)
        if was is now or _equal(was, now) or key in IGNORED or key in hidden:
            continue
        if len(found) >= MANY:
            break
        name = key if type(key) is str else ""
        path = f"{place.path}.{name}" if place.path and name else place.path or name
        found.append(Change((id(place.obj), key), path, name, was, now, place.owner, place.path))
    if not found and before.keys() == after.keys() and [*before] != [*after]:
        whole = (id(place.obj), None)  # its order
        found.append(Change(whole, place.path, "", [None], new, place.owner, place.path))
    return found


def _key(key: Any) -> Any:
    """Keys are compared by identity, but for those that are nothing but their value."""
    return key if type(key) in ATOMS else ("by identity", id(key))


def _process_state() -> dict[str, Any]:
    """What a call may set for the whole process, by name; None where nobody has asked for it yet."""
    state: dict[str, Any] = {}
    for name, (module, ask) in _ASKED.items():
        there = loaded(module)
        try:
            state[name] = None if there is None else ask(there)
        except Exception:  # closed, or changed by another thread just now
            state[name] = None
    return state


def _numpy_draws(random: Any) -> Any:
    """The state of numpy's own generator, if it was seeded: else nobody expects certain numbers."""
    generator = random.mtrand._rand._bit_generator
    if generator.seed_seq is not None and generator.seed_seq.entropy is not None:
        return None
    return repr(generator.state)


_ASKED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **{row.name: (row.module, row.read) for row in ROWS if row.looked},
    "sys.stdout": ("sys", lambda sys: sys.stdout),
    "sys.stderr": ("sys", lambda sys: sys.stderr),
    "what is printed": ("sys", lambda sys: sys.stdout.tell() if type(sys.stdout) is StringIO else None),
    "sys.excepthook": ("sys", lambda sys: sys.excepthook),
    "the socket timeout": ("socket", lambda socket: [socket.getdefaulttimeout()]),
    "the warning filters": ("warnings", lambda warnings: [*warnings.filters]),
    "signal handlers": ("signal", lambda signal: [*map(signal.getsignal, _signals(signal))]),
    "random": ("random", lambda random: random.getstate()),
    "numpy.random": ("numpy.random", _numpy_draws),
    "the log level": ("logging", lambda logging: [logging.root.level, logging.root.manager.disable]),
    "log handlers": ("logging", lambda logging: [*logging.root.handlers]),
}


def _signals(signal: Any) -> list[int]:
    names = ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]
