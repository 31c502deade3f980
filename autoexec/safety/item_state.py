"""What a function sets for an item's own time, needs of the thread that it runs in, or takes in order.

What may live here: what it means that code names such a thing. State of that kind is equal before an item and
after it, so that comparing does not find it; who names what is for `named` to read.
"""

from __future__ import annotations

import time
from types import FunctionType

from ..introspect import attributes, isa, loaded
from ..introspect.code import codes_of, where
from ..introspect.layers import captured, layers
from ..introspect.libraries import is_library
from ..records import NEEDS_THREAD, SETS_AND_BACK, SETS_PROCESS, Hazard
from .named import CodeReader, known_objects
from .reach import reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["item_state"]

REACH_S = 0.01  # of CPU time for finding the functions
MOST = 500  # functions that are read
# Group of names -> kind, and whether other processes of one thread each may have it.
_MEANS = {
    "always": (SETS_PROCESS, True),
    "setter": (SETS_PROCESS, True),
    "thread": (NEEDS_THREAD, True),
    "loop": (NEEDS_THREAD, False),
    "window": (NEEDS_THREAD, False),
    "stdin": ("reads standard input", False),
    "object": (SETS_AND_BACK, True),  # items that are looked at tell whether it is left behind
    "queue": ("takes from a shared queue", False),
}


def item_state(func: Callable[..., Any]) -> list[Hazard]:
    """What forbids other threads, and maybe other processes, although nothing of it is left behind.

    >>> import os, random
    >>> def work(path): os.chdir(path); return os.listdir()
    >>> [(hazard.name, hazard.threads_ok, hazard.processes_ok) for hazard in item_state(work)]
    [('os.chdir', False, True)]
    >>> item_state(lambda x: random.Random(x).random())
    []
    """
    reading = _Reading()
    core = layers(func)[0]
    for one in reach(func, until=time.thread_time() + REACH_S).functions[:MOST]:
        reading.read(one, _given(func) if one is core else {})
    return reading.hazards()


def _given(func: Any) -> dict[str, Any]:
    """What is bound to the first parameters, such as `self`."""
    core, front, keywords = layers(func)
    names = core.__code__.co_varnames
    return {**dict(zip(names, [value for _, value in front], strict=False)), **keywords}


class _Site:
    """A place in the code that names something: where, and whether what is done there varies."""

    __slots__ = ("at", "varies")

    def __init__(self, at: str, *, varies: bool) -> None:
        self.at, self.varies = at, varies


class _Reading:
    """Adds up what functions name."""

    def __init__(self) -> None:
        self._known = known_objects()
        self._sites: dict[tuple[str, str], list[_Site]] = {}
        self._names: set[str] = set()

    def read(self, func: FunctionType, given: dict[str, Any]) -> None:
        """Read a function, and those that are made inside it.

        Args:
            func: the function.
            given: values of its parameters, where they are bound.
        """
        if "patchings" in func.__dict__:  # made by `mock.patch`, which wraps it
            self._found("always", "unittest.mock.patch", where(func.__code__), varies=True)
        cells = dict(captured(func))
        for inside in _managers(cells.values()):
            self.read(inside, {})
        if is_library(func.__code__.co_filename):
            return
        local = {**cells, **given}  # functions inside see what those around them import
        for code in codes_of(func.__code__):
            self._names.update(code.co_names)
            CodeReader(self._found, self._known, code, func.__globals__, local).read()

    def _found(self, group: str, label: str, at: str, *, varies: bool) -> None:
        self._sites.setdefault((group, label), []).append(_Site(at, varies=varies))

    def hazards(self) -> list[Hazard]:
        """What that means."""
        return [
            Hazard(_MEANS[group][0], label, sites[0].at, False, self._elsewhere(group, label))
            for (group, label), sites in self._sites.items()
            if not self._harmless(group, sites)
        ]

    def _harmless(self, group: str, sites: list[_Site]) -> bool:
        if group in ("setter", "object"):  # to the same value, again and again
            return len(sites) == 1 and not sites[0].varies
        if group == "loop":  # it makes one for the thread that it is in
            return "set_event_loop" in self._names
        return group == "queue" and not self._names.isdisjoint(("put", "put_nowait"))  # and gives it back

    def _elsewhere(self, group: str, label: str) -> bool:
        """Whether other processes may have it."""
        if label in ("signal.alarm", "signal.setitimer") and "signal.signal" not in self._labels():
            return not _alarmed()
        return _MEANS[group][1]

    def _labels(self) -> set[str]:
        return {label for _, label in self._sites}


def _managers(values: Iterable[Any]) -> Iterator[FunctionType]:
    """The functions of context managers that decorate: what `contextmanager` makes keeps its own."""
    for value in values:
        func = attributes(value).get("func") if type(value).__module__ == "contextlib" else None
        if isinstance(func, FunctionType):
            yield func


def _alarmed() -> bool:
    """Whether the program has a handler of its own for the alarm: a fresh process has none."""
    signal = loaded("signal")
    known = signal is not None and hasattr(signal, "SIGALRM")
    return known and isa(signal.getsignal(signal.SIGALRM), FunctionType)
