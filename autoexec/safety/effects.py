"""What a function does to the caller's state, from what looking has seen around some of its items.

What may live here: what a change means. Three questions are asked of each: did it happen once, into a place
that was empty (a model that is loaded when it is first needed), does the code look there before it writes,
and is what was put there plain data? Then every worker does the same for itself, and nothing is lost. Any
other change is an effect: its items must run where the caller's state is.
"""

from __future__ import annotations

import os
from itertools import islice
from types import CodeType, FunctionType, ModuleType

from ..introspect import isa, name_of
from ..introspect.code import parameters, place_of
from ..introspect.layers import MISSING, layers
from ..introspect.methods import CHANGING_METHODS
from ..own_time import time
from ..records import CHANGES_ARGUMENT, SETS_AND_BACK, Hazard
from .captures import dig
from .guards import behind
from .look import Change, Look, look
from .memos import is_memo
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
MANY = 64  # elements of what was put somewhere that are looked at
BUDGET_S = 0.01  # of CPU time for the notes before an item: others on the machine must not cut them short
_STORES = ("STORE_GLOBAL", "STORE_NAME", "STORE_ATTR", "STORE_DEREF")
# A constant: the name is asked for by `hasattr`, or is a key.
_LOADS = (
    "LOAD_GLOBAL",
    "LOAD_NAME",
    "LOAD_ATTR",
    "LOAD_DEREF",
    "LOAD_CONST",
    "LOAD_FAST",
    "LOAD_FAST_BORROW",
)
_MAKERS = ("__init__", "__new__", "__post_init__", "__setstate__")  # what they fill is not there before
_NOTHING = ("CACHE", "NOP", "EXTENDED_ARG")
_NEAR = 3  # instructions between a value that is loaded and what is done with it
# What a client, a connection or a writer can do: such a thing is not for two processes.
VERBS = ("send", "execute", "request", "cursor", "recv", "connect", "urlopen", "write", "__next__")
# Of the process: a worker's own. Its generators are seeded anew; filters change with what its threads import.
_OWN = ("numpy.random", "the warning filters", "log handlers", "signal handlers")
_MEMO = ("changes a global object", "changes a captured object", "changes its own object")
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
        self._locks: list[tuple[str, bool]] = []
        self._locals: list[str] = []  # values of thread-locals that the caller's thread has set
        self._args: Arguments | None = None
        self._changed: dict[int, None] = {}
        self._crossed: dict[int, bool] = {}  # whether entries of a memo can be sent home
        self._dicts: dict[int, tuple[str, dict[Any, Any]]] = {}  # those that may be memos, by identity
        # Memos, as far as the code shows, by identity, each with what it is called there.
        self._read: dict[int, tuple[Any, set[str]]] = {}
        self._read_at = -1  # after so many looks: what a memo holds says more of it
        self.renewed = False  # whether workers may have locks and weak memos of their own, begun anew
        # What was not amid an item what it was before it, by place; and what was set back afterwards.
        self._amid: dict[tuple[int, Any], str] = {}
        self._set_back: dict[str, None] = {}

    def before(self, args: tuple[Any, ...]) -> None:
        """Note what can be reached; an item is run next. Never raises: what resists is not known."""
        try:
            self._args = Arguments(args)
            self._look = look(self._func, args, time.thread_time() + BUDGET_S)
            reached = self._look.reached
            self._used = reached.used  # told at once: a decision may not wait for the item's end
            if not self.looks and reached.thread_locals:  # an item may fill them, too
                from .thread_locals import set_by_caller

                self._locals = set_by_caller(reached.thread_locals, reached.codes, fills)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self.whole = False

    def amid(self) -> None:
        """It runs, in another thread: what is changed for as long as that? Never raises.

        What was empty may just be filled, once and for all: that is no sign of it.
        """
        notes = self._look
        if notes is None:
            return
        try:
            changes = notes.compare()
        except Exception:
            return
        self._amid.update(
            (change.place, change.path)
            for change in changes
            if change.place[0] and not _empty(change.old) and self._tells(change)
        )

    def after(self, args: tuple[Any, ...]) -> None:
        """It has run. Never raises."""
        notes, self._look = self._look, None
        amid, self._amid = self._amid, {}
        tokens, self._args = self._args, None
        self.looks += 1
        try:
            if tokens is not None:
                self._changed.update(dict.fromkeys(tokens.changed(args)))
            if notes is not None:
                self._compare(notes, amid)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self.whole = False

    def _compare(self, notes: Look, amid: dict[tuple[int, Any], str]) -> None:
        self.whole = self.whole and notes.reached.whole
        self._codes, self._used = notes.reached.codes, notes.reached.used
        self._locks = notes.reached.locks
        for place in notes.reached.places:
            if place.owner is None and place.path and is_memo(place.obj):
                self._dicts.setdefault(id(place.obj), (place.path, place.obj))
        changes = notes.compare()
        left = {change.place for change in changes}
        self._set_back.update((path, None) for place, path in amid.items() if place not in left)
        for change in changes:
            if self._tells(change):
                known = self._found.get(change.place)
                if known is None:
                    self._found[change.place] = _Found(change, self.looks)
                elif known.when[-1] != self.looks:  # two functions may name the same place
                    known.when.append(self.looks)

    def _tells(self, change: Change) -> bool:
        """Whether a change says something of the function: not an import, nor a draw that nobody seeded."""
        return not (_imported(change) or (change.name == "random" and not self._seeded()))

    def memos(self) -> dict[str, dict[Any, Any]]:
        """The dicts that are memos, by code and by what was seen; by their paths."""
        dicts = dict(self._dicts)  # another thread may compare meanwhile
        if not dicts:
            return {}
        spoiled = {one.holder for one in [*self._found.values()] if not one.adds}
        known = {key: dicts[key] for key in self._named_memos() if key in dicts and key not in spoiled}
        paths = [path for path, _ in known.values()]
        return {path: memo for path, memo in known.values() if paths.count(path) == 1 and self._comes(memo)}

    def _comes(self, memo: dict[Any, Any]) -> bool:
        """Whether its entries can be sent home, as far as the last of them tells."""
        last = [*islice(reversed(dict.items(memo)), 1)]
        known = self._crossed.get(id(memo))
        if known is None and last:
            from .serialization import crossing

            known = self._crossed[id(memo)] = crossing(last[0]) is not None
        return known is not False

    def _named_memos(self) -> dict[int, tuple[Any, set[str]]]:
        if self._read_at != self.looks:
            from .memos import named_memos

            self._read, self._read_at = named_memos(self._func), self.looks
        return self._read

    def lost(self, notes: Look, memos: dict[int, dict[Any, Any]]) -> list[Hazard]:
        """What differs from notes that were taken in a worker, but for places that are filled once.

        Args:
            notes: the notes.
            memos: by identity, dicts whose new entries go home.
        """
        self._codes = notes.reached.codes
        found = []
        changes = notes.compare()
        flags = {change.name for change in changes if change.name and _empty(change.old)}
        for change in changes:
            if change.place[0] in memos and change.old is MISSING:
                continue
            filled = (
                _empty(change.old)
                and bool(change.name)
                and (_guarded(change.name, self._codes) or self._behind(flags, [change.name]))
            )
            own = not change.place[0] and change.name in _OWN
            if self._tells(change) and not (filled or own or _came_again(change)):
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
        memos = {} if strict else {id(memo) for memo in self.memos().values()}
        found = [
            one.hazard(at) for one in changed if strict or not (one.holder in memos or self._set_once(one))
        ]
        if strict and not self.whole:
            found.append(Hazard("reaches more than was looked at", name_of(self._func), at, True))
        made = () if strict else [one.path for one in changed if self._set_once(one)]
        # What was made in this thread may be for it alone; another process makes one of its own.
        found += [
            Hazard(kind, name, at, ok, name in made)
            for name, kind, ok in self._used
            if not (ok and name in made)
        ]
        found += [Hazard("reads what the caller's thread has set", name, at, False) for name in self._locals]
        amid = {**self._set_back, **dict.fromkeys([*self._amid.values()])}
        found += [Hazard(SETS_AND_BACK, path or "an object", at, False, True) for path in amid]
        found += [Hazard(CHANGES_ARGUMENT, self._argument(i), at, True) for i in self._changed]
        return tuple(dict.fromkeys(found))

    def explains(self, hazard: Hazard) -> bool:
        """Whether what the code shows is a memo, or a place that is filled once, when it is first needed."""
        held = hazard.kind.startswith("captured")
        if hazard.kind in _MEMO and self._is_memo(hazard.name):
            return True
        if self.looks < LOOKS or not (held or hazard.kind in _FILLED):
            return False
        name, changed = hazard.name.rpartition(".")[2], [*self._found.values()]
        if hazard.kind == "captured lock":  # it guards what is filled once, or what is only computed
            explained = self._guards_nothing(name)
            self.renewed = self.renewed or explained
            return explained
        if hazard.kind == "captured weak reference":
            explained = self._is_memo(hazard.name)
            self.renewed = self.renewed or explained
            return explained
        if held:  # it was not there before the first item made it
            touched = [one for one in changed if one.shared and _same_place(hazard.name, one.path)]
        elif hazard.name == "globals()":
            touched = [one for one in changed if not one.within]
        elif hazard.kind.startswith("changes") and name == hazard.name:  # what is in the place is changed
            touched = [one for one in changed if _same_place(name, one.within)]
        else:
            touched = [one for one in changed if one.name == name]
        if not touched and not held:  # a part of what was made then
            once = {one.name for one in changed if one.name and self._set_once(one)}
            return bool(once) and behind(once, name, self._codes, _accesses)
        return bool(touched) and all(map(self._set_once, touched))

    def _is_memo(self, name: str) -> bool:
        """Whether what the code calls so is a memo: one that comes home, or one that keeps nothing."""
        if any(_same_place(name, path) for path in self.memos()):
            return True
        home = {id(memo) for memo in self.memos().values()}
        called = [key for key, (_, names) in self._named_memos().items() if name in names]
        return bool(called) and all(key in home or self._passes(key) for key in called)

    def _passes(self, key: int) -> bool:
        memo = self._named_memos()[key][0]
        return not isa(memo, dict) and not len(memo)

    def _guards_nothing(self, lock: str) -> bool:
        """Whether the items change nothing beside a lock but what every process may fill for itself."""
        plain = [alone for path, alone in self._locks if path.rpartition(".")[2] == lock]
        if not (plain and all(plain)):  # an event that is set is seen by others
            return False
        memos = {id(memo) for memo in self.memos().values()}
        touched = [
            one for one in self._found.values() if self._beside(lock, one.name, one.within.rpartition(".")[2])
        ]
        if touched:
            return all(one.holder in memos or self._set_once(one) for one in touched)
        from .repeatable import repeatable

        return not self._found and repeatable(self._func)

    def _beside(self, lock: str, *names: str) -> bool:
        """Whether the code that fills a place names a lock as well."""
        return any(
            _names(code, lock) and any(_names(code, name) for name in names if name) for code in self._codes
        )

    def made(self) -> tuple[tuple[str, str, tuple[Any, ...]], ...]:
        """What the first item has made for this process alone: container, name, and what was there before.

        A worker that inherits it empties the place again, and makes one of its own.
        """
        changed = [one for one in self._found.values() if one.shared and self._set_once(one)]
        return tuple((one.within, one.name, () if one.old is MISSING else (one.old,)) for one in changed)

    def _set_once(self, found: _Found) -> bool:
        if len(found.when) > 1 or found.when[0] == self.looks or not found.empty:
            return False
        if found.shared and not found.replaced:
            return False
        names = [name for name in (found.name, found.within.rpartition(".")[2]) if name]
        if any(_guarded(name, self._codes) for name in names):
            return True
        changed = [*self._found.values()]
        # Where others are emptied, to be made anew, this would be filled twice.
        again = found.replaced or not any(one.shared for one in changed)
        flags = {one.name for one in changed if one.name and one.empty and one.when == found.when}
        return again and self._behind(flags, names)

    def _behind(self, flags: set[str], names: list[str]) -> bool:
        return any(behind(flags, name, self._codes, _accesses, _MAKERS) for name in names)

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

    __slots__ = (
        "adds", "empty", "holder", "name", "old", "path", "process", "replaced", "shared", "threads_ok",
        "when", "within",
    )  # fmt: skip

    def __init__(self, change: Change, look: int) -> None:
        self.when = [look]
        self.name, self.path, self.process = change.name, change.path, change.place[0] == 0
        self.holder, self.adds = change.place[0], change.old is MISSING and change.place[1] is not None
        self.within, self.empty = change.within, _empty(change.old)
        self.old = change.old if change.old is MISSING or change.old is False else None
        self.replaced = bool(change.name) and (change.old is MISSING or change.old in (None, False))
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


def _same_place(name: str, path: str) -> bool:
    """Whether what reading calls a place is what looking calls it: one of them may know more of the way."""
    return name == path or name.endswith(f".{path}") or path.endswith(f".{name}")


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


def _came_again(change: Change) -> bool:
    """A method that came once more with its class, which a later item brought: the same code."""
    old, new = change.old, change.new
    if not (isa(change.owner, type) and isa(old, FunctionType) and isa(new, FunctionType)):
        return False
    return bool(old.__code__ == new.__code__ and old.__defaults__ == new.__defaults__)


def _empty(old: Any) -> bool:
    if type(old) in (dict, list, set, str, tuple):
        return not old
    return old is MISSING or old is None or old is False


def _shared(value: Any) -> bool:
    """Whether this is something that two processes must not share: a connection, a client, a writer."""
    if type(value) in (list, tuple):
        return any(map(_shared, value[:MANY]))
    if type(value) is dict:
        return any(map(_shared, [*islice(value.values(), MANY)]))
    return any(has_method(type(value), verb) for verb in VERBS) or bool(
        [hit for hit in dig(value, "", 2) if hit[1] not in ("captured lock", "captured random generator")]
    )


def fills(name: str, code: CodeType) -> bool | None:
    """Whether code that sets a place does so before it reads it, or looks there first; None: it sets none."""
    steps, asks, stores = _accesses(name, code)
    if not stores:
        return None
    return min(stores) < min(asks, default=len(steps)) or _guarded(name, [code])


def _accesses(name: str, code: CodeType) -> tuple[list[Any], list[int], list[int]]:
    """The instructions of code, and which of them read and set a place."""
    from dis import get_instructions

    if not _names(code, name):
        return [], [], []
    steps = [step for step in get_instructions(code) if step.opname not in _NOTHING]
    asks = [at for at, step in enumerate(steps) if step.opname in _LOADS and _about(step.argval) == name]
    stores = [at for at, step in enumerate(steps) if step.opname in _STORES and step.argval == name]
    stores += [at + 1 for at in asks if at + 1 < len(steps) and _fills(steps, at + 1)]
    return steps, asks, stores


def _guarded(name: str, codes: list[CodeType]) -> bool:
    """Whether all code that fills a place looks there first, and neither orders nor adds up what it finds."""
    filled = False
    for code in codes:
        steps, asks, stores = _accesses(name, code)
        if not stores:
            continue
        looks = min(asks, default=len(steps)) + 1 < min(stores)
        if not looks and code.co_name in _MAKERS:
            continue
        filled = True
        if not looks or any(_computes(steps, at) for at in asks if at + 1 < max(stores)):
            return False
    return filled


def _fills(steps: list[Any], at: int) -> bool:
    """Whether the step after a container was loaded, or the one after its key, puts something into it."""
    step = steps[at]
    if step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
        return step.argval in CHANGING_METHODS
    after = steps[at + 1].opname if at + 1 < len(steps) else ""
    return step.opname == "STORE_SUBSCR" or (step.opname.startswith("LOAD_") and after == "STORE_SUBSCR")


def _names(code: CodeType, name: str) -> bool:
    tables = (code.co_names, code.co_freevars, code.co_cellvars, code.co_consts, code.co_varnames)
    return any(name in names for names in tables)


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
