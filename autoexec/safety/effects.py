"""What a function does to the caller's state, from what looking has seen around some of its items.

What may live here: what a change means. Three questions are asked of each: did it happen once, into a place
that was empty (a model that is loaded when it is first needed), does the code look there before it writes,
and is what was put there plain data? Then every worker does the same for itself, and nothing is lost. Any
other change is an effect: its items must run where the caller's state is.
"""

from __future__ import annotations

import os
from types import CodeType, ModuleType

from ..introspect import isa, name_of
from ..introspect.code import parameters, place_of
from ..introspect.layers import MISSING, layers
from ..own_time import time
from ..records import CHANGES_ARGUMENT, Hazard
from .captures import dig
from .look import Change, Look, look
from .mutation import Arguments
from .reach import third_party
from .readings import has_method

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Effects"]

LOOKS = 2  # items that are looked at
AGAIN = 3  # and where the last of them has filled something for the first time
BUDGET_S = 0.01  # of CPU time for the notes before an item: others on the machine must not cut them short
_STORES = ("STORE_GLOBAL", "STORE_NAME", "STORE_ATTR", "STORE_DEREF")
# A constant: the name is asked for by `hasattr`, or is a key.
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_DEREF", "LOAD_CONST")
_MAKERS = ("__init__", "__new__", "__post_init__", "__setstate__")  # what they fill is not there before
_NOTHING = ("CACHE", "NOP", "EXTENDED_ARG")
_NEAR = 3  # instructions between a value that is loaded and what is done with it
# What a client, a connection or a writer can do: such a thing is not for two processes.
VERBS = ("send", "execute", "request", "cursor", "recv", "connect", "urlopen", "write", "__next__")
# Of the process: a worker's own. Its generators are seeded anew; filters change with what its threads import.
_OWN = ("numpy.random", "the warning filters", "log handlers", "signal handlers")
_FILLED = ("writes a global", "writes a nonlocal", "changes its own object", "changes a global object")


class Effects:
    """Looks around some items of one function.

    Attributes:
        looks: items that were compared.
        whole: whether everything that the function can reach was noted each time.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self._func = func
        self.looks = 0
        self.whole = True
        self._look: Look | None = None
        self._found: dict[tuple[int, Any], _Found] = {}
        self._codes: list[CodeType] = []
        self._used: list[tuple[str, str, bool]] = []
        self._args: Arguments | None = None
        self._changed: dict[int, None] = {}

    def before(self, args: tuple[Any, ...]) -> None:
        """Note what can be reached; an item is run next. Never raises: what resists is not known."""
        try:
            self._args = Arguments(args)
            self._look = look(self._func, args, time.thread_time() + BUDGET_S)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self.whole = False

    def after(self, args: tuple[Any, ...]) -> None:
        """It has run. Never raises."""
        notes, self._look = self._look, None
        tokens, self._args = self._args, None
        self.looks += 1
        try:
            if tokens is not None:
                self._changed.update(dict.fromkeys(tokens.changed(args)))
            if notes is not None:
                self._compare(notes)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self.whole = False

    def _compare(self, notes: Look) -> None:
        self.whole = self.whole and notes.reached.whole
        self._codes, self._used = notes.reached.codes, notes.reached.used
        for change in notes.compare():
            if self._tells(change):
                known = self._found.get(change.place)
                if known is None:
                    self._found[change.place] = _Found(change, self.looks)
                else:
                    known.when.append(self.looks)

    def _tells(self, change: Change) -> bool:
        """Whether a change says something of the function: not an import, nor a draw that nobody seeded."""
        return not (_imported(change) or (change.name == "random" and not self._seeded()))

    def lost(self, notes: Look) -> list[Hazard]:
        """What differs from notes that were taken in a worker, but for places that are filled once."""
        self._codes = notes.reached.codes
        found = []
        for change in notes.compare():
            filled = _empty(change.old) and bool(change.name) and _guarded(change.name, self._codes)
            own = not change.place[0] and change.name in _OWN
            if self._tells(change) and not (filled or own):
                found.append(_Found(change, 1).hazard(place_of(self._func)))
        return found

    @property
    def wanted(self) -> bool:
        """Whether one more look would tell something."""
        if self.looks < LOOKS:
            return True
        changed = [*self._found.values()]
        return self.looks < AGAIN and any(one.when == [self.looks] and one.empty for one in changed)

    def hazards(self, *, strict: bool = False) -> tuple[Hazard, ...]:
        """What keeps the function with the caller's state; when `strict`, also what was not seen whole."""
        at = place_of(self._func)
        changed = [*self._found.values()]  # another thread may compare meanwhile
        found = [one.hazard(at) for one in changed if strict or not self._set_once(one)]
        if strict and not self.whole:
            found.append(Hazard("reaches more than was looked at", name_of(self._func), at, True))
        found += [Hazard(kind, name, at, ok) for name, kind, ok in self._used]
        found += [Hazard(CHANGES_ARGUMENT, self._argument(i), at, True) for i in self._changed]
        return tuple(dict.fromkeys(found))

    def explains(self, hazard: Hazard) -> bool:
        """Whether what the code shows is a place that is filled once, when it is first needed."""
        if hazard.kind not in _FILLED or self.looks < LOOKS:
            return False
        name = hazard.name.rpartition(".")[2]
        if hazard.kind.startswith("changes") and name == hazard.name:
            return False  # what is in the place is changed, not the place
        touched = [one for one in [*self._found.values()] if one.name == name]
        return bool(touched) and all(map(self._set_once, touched))

    def _set_once(self, found: _Found) -> bool:
        if len(found.when) > 1 or found.when[0] == self.looks or not found.empty:
            return False
        return bool(found.name) and not found.shared and _guarded(found.name, self._codes)

    def _argument(self, index: int) -> str:
        core, front, _ = layers(self._func)
        names, place = parameters(core), index + len(front)
        return names[place] if place < len(names) else f"args[{index}]"

    @property
    def settled(self) -> bool:
        """Whether other processes may have the rest: one item was seen, two if something changed."""
        return self.looks >= (LOOKS if self._found else 1) and not (self._found and self.wanted)

    def _seeded(self) -> bool:
        """Whether the program seeds `random`, which does not tell."""
        return any("seed(" in _source(code.co_filename) for code in self._codes[:1])


class _Found:
    """What is kept of a change, and in which looks it was seen: nothing of the user's."""

    __slots__ = ("empty", "name", "path", "process", "shared", "threads_ok", "when")

    def __init__(self, change: Change, look: int) -> None:
        self.when = [look]
        self.name, self.path, self.process = change.name, change.path, change.place[0] == 0
        self.empty = _empty(change.old)
        self.shared = self.empty and _shared(change.new)
        # What belongs to a library sees to its own threads.
        theirs = change.owner is not None and third_party(type(change.owner))
        counts = type(change.new) in (int, float) and (
            change.old is MISSING or type(change.old) in (int, float)
        )
        self.threads_ok = not self.process and (theirs or not counts)

    def hazard(self, at: str) -> Hazard:
        """The same for a plan, with where the function stands."""
        kind = "changes the process" if self.process else "changes what outlives it"
        return Hazard(kind, self.path or "an object", at, self.threads_ok)


def _source(filename: str) -> str:
    try:
        if not os.path.isfile(filename):  # a pipe would wait for ever
            return ""
        with open(filename, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except (OSError, ValueError):
        return ""


def _imported(change: Change) -> bool:
    """A module that was imported when it was first needed."""
    late = change.old is MISSING or type(change.old).__name__ == "lazy_import"
    return late and isa(change.new, ModuleType)


def _empty(old: Any) -> bool:
    if type(old) in (dict, list, set, str, tuple):
        return not old
    return old is MISSING or old is None or old is False


def _shared(value: Any) -> bool:
    """Whether this is something that two processes must not share: a connection, a client, a writer."""
    return any(has_method(type(value), verb) for verb in VERBS) or bool(
        [hit for hit in dig(value, "", 2) if hit[1] not in ("captured lock", "captured random generator")]
    )


def _guarded(name: str, codes: list[CodeType]) -> bool:
    """Whether all code that fills a place looks there first, and neither orders nor adds up what it finds."""
    from dis import get_instructions

    filled = False
    for code in codes:
        if not _names(code, name):
            continue
        steps = [step for step in get_instructions(code) if step.opname not in _NOTHING]
        asks = [at for at, step in enumerate(steps) if step.opname in _LOADS and _about(step.argval) == name]
        stores = [at for at, step in enumerate(steps) if step.opname in _STORES and step.argval == name]
        stores += [at + 1 for at in asks if steps[at + 1].opname == "STORE_SUBSCR"]
        if not stores:
            continue
        looks = min(asks, default=len(steps)) + 1 < min(stores)
        if not looks and code.co_name in _MAKERS:
            continue
        filled = True
        if not looks or any(_computes(steps, at) for at in asks if at + 1 < max(stores)):
            return False
    return filled


def _names(code: CodeType, name: str) -> bool:
    return any(name in names for names in (code.co_names, code.co_freevars, code.co_cellvars, code.co_consts))


def _computes(steps: list[Any], at: int) -> bool:
    """Whether a value that is loaded is ordered, or added to."""
    near = steps[at + 1 : at + 1 + _NEAR]
    return any(
        step.opname == "BINARY_OP" or (step.opname == "COMPARE_OP" and _orders(step.argval)) for step in near
    )


def _about(argval: Any) -> Any:
    return argval[-1] if isinstance(argval, tuple) and argval else argval


def _orders(argval: Any) -> bool:
    return any(sign in str(argval) for sign in ("<", ">"))
