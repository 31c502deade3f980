"""Memos: dicts that a function only looks up by key and adds to, so that it need not compute the same twice.

What may live here: telling a memo from a counter, a register, a group by key; and its way home. Each worker
fills a copy of its own. What it has added comes home with its results, and is added to the caller's dict at
the end of the run, in the order of the items: the memo ends as after the loop. Workers that disagree on a key
convict it: what is filled in did not follow from the key alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from types import CodeType

from ..introspect import ATOMS, isa, loaded
from .captures import dig
from .stack_values import DERIVED, FILLS, HANDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from .bytecode import Trace

    Entries: TypeAlias = list[tuple[str, list[tuple[Any, Any]]]]

__all__ = ["Home", "added", "is_key", "is_memo", "memos_of", "named_memos"]

# What may be done with a memo, and with what is found in it, whatever that is.
_ASKING = frozenset(("CONTAINS_OP", "[]", ".get", ".__contains__", ".__getitem__", FILLS))
_LOOKING = frozenset(("CONTAINS_OP", ".get", ".__contains__", FILLS))  # before anything is added
_ADDING = frozenset(("[...]", "setdefault", "__setitem__"))
_HANDING = frozenset(
    ("RETURN_VALUE", "IS_OP", "TO_BOOL", "UNARY_NOT", "BINARY_OP", "COMPARE_OP", "CONTAINS_OP", "[]", DERIVED,
     "BUILD_TUPLE", "BUILD_LIST", "LIST_APPEND")
)  # fmt: skip
# What else may be done with what is found, where that is plain data: a copy is made, or it is read.
_READING = frozenset(
    (HANDED, "GET_ITER", "FOR_ITER", "GET_LEN", "BINARY_SLICE", "UNPACK_SEQUENCE", "LIST_EXTEND",
     "SET_UPDATE", "DICT_UPDATE", "DICT_MERGE", ".items", ".keys", ".values", ".get", ".copy", ".index",
     ".count", "YIELD_VALUE", "BINARY_SUBSCR")
)  # fmt: skip
# What a class of the user's must leave as a dict has it, for its objects to be filled like one.
_OWN = (
    "__setitem__", "__getitem__", "__contains__", "__len__", "__iter__", "__eq__", "get", "setdefault",
    "items",
)  # fmt: skip
_JUMPS = ("POP_JUMP_", "JUMP_IF_", "FORMAT_")
MANY = 64  # values that are looked at to see whether all are of a kind that cannot change


def memos_of(func: Callable[..., Any]) -> dict[int, dict[Any, Any]]:
    """The dicts that a function and its helpers use as memos, as far as their code shows, by identity.

    >>> cache = {}
    >>> def square(x):
    ...     if x not in cache:
    ...         cache[x] = x * x
    ...     return cache[x]
    >>> def count(x):
    ...     cache[x] = cache.get(x, 0) + 1
    >>> list(memos_of(square).values()), memos_of(count)
    ([{}], {})
    """
    return {key: memo for key, (memo, _) in named_memos(func).items() if isa(memo, dict)}


def named_memos(func: Callable[..., Any]) -> dict[int, tuple[Any, set[str]]]:
    """The same, each with what the code calls it; and weak ones, whose entries have all gone again."""
    from .hazards import traces

    read = [*traces(func)]
    if not all(trace.whole for trace in read):
        return {}
    written = [write.ref.obj for trace in read for write in trace.writes.values()]
    found = {id(obj): obj for obj in written if is_memo(obj) or _is_passing(obj)}
    return {
        key: (memo, {name for trace in read for _, name in trace.names.get(key, ())})
        for key, memo in found.items()
        if any(_asks_first(trace, key) for trace in read)
        and all(_only_asks(trace, key, memo) for trace in read)
    }


def is_memo(obj: Any) -> bool:
    """Whether it can be a memo that is filled here: a dict, or of a class that leaves that as it is."""
    if type(obj) is dict:
        return True
    if not isa(obj, dict) or type(type(obj)) is not type:
        return False
    between = type(obj).__mro__[: type(obj).__mro__.index(dict)]
    ours = not any(base.__module__ in ("collections", "builtins") for base in between)
    return ours and not any(name in vars(base) for base in between for name in _OWN)


def _is_passing(obj: Any) -> bool:
    """Whether it keeps its values only as long as somebody else does, and nobody does now."""
    weakref = loaded("weakref")
    return weakref is not None and type(obj) is weakref.WeakValueDictionary and not len(obj)


def _asks_first(trace: Trace, key: int) -> bool:
    """Whether somebody finds out that an entry is missing: else the last one may be meant, not the first."""
    uses = trace.uses.get(key, set())
    if not _LOOKING.isdisjoint(uses) or ("[]" in uses and trace.catches):
        return True
    return any(write.ref.identity == key and write.how == "setdefault" for write in trace.writes.values())


def _only_asks(trace: Trace, key: int, memo: dict[Any, Any]) -> bool:
    if not trace.uses.get(key, set()) <= _ASKING:
        return False
    values = {(root, f"{name}[...]") for root, name in trace.names.get(key, ())}
    for write in trace.writes.values():
        if write.ref.identity == key and write.how not in _ADDING:
            return False
        if write.ref.identity in values:
            return False
    uses = set().union(*(trace.uses.get(value, set()) for value in values))
    left = {use for use in uses - _HANDING if not use.startswith(_JUMPS)}
    if not left:
        return True
    held = [*islice(dict.values(memo), MANY)] if isa(memo, dict) else []
    return bool(held) and all(map(_flat if left <= _READING else _fixed, held))


def _flat(value: Any) -> bool:
    """Whether it is a container of what cannot change, or cannot change itself."""
    if type(value) in (list, set):
        return all(map(_fixed, value))
    if type(value) is dict:
        return all(map(_fixed, value.values())) and all(map(_fixed, value))
    return _fixed(value)


def _fixed(value: Any) -> bool:
    """Whether nothing that is done with a value can change it."""
    if type(value) in ATOMS or type(value) is CodeType:
        return True
    if type(value) in (tuple, frozenset):
        return all(map(_fixed, value))
    regex = loaded("re")
    return regex is not None and isa(value, regex.Pattern)


def is_key(key: Any) -> bool:
    """Whether a key is nothing but its value, so that it is the same key in another process."""
    return type(key) in ATOMS or (type(key) in (tuple, frozenset) and all(map(is_key, key)))


def added(memo: dict[Any, Any], before: int) -> list[tuple[Any, Any]] | None:
    """The entries that came after so many; None where they cannot go home, or where there are fewer now."""
    new = [*islice(dict.items(memo), before, None)] if len(memo) >= before else None
    if new is None or any(not is_key(key) or dig(value, "", 2) for key, value in new):
        return None
    return new


class Home:
    """What workers have added to the caller's memos, until the run ends.

    Args:
        memos: the caller's own, by the paths at which every walk finds them.
    """

    def __init__(self, memos: dict[str, dict[Any, Any]]) -> None:
        self._memos = memos
        self._came: list[tuple[int, str, list[tuple[Any, Any]]]] = []
        self._values: dict[tuple[str, Any], Any] = {}

    def take(self, place: int, entries: Iterable[tuple[str, list[tuple[Any, Any]]]]) -> str:
        """Entries of the task that begins at a place; the path of a memo whose workers disagree, or ""."""
        for path, new in entries:
            self._came.append((place, path, new))
            memo = self._memos[path]
            for key, value in new:
                known = self._values.setdefault((path, key), memo.get(key, value))
                if known is not value and not _alike(known, value):
                    return path
        return ""

    def deliver(self) -> str:
        """Add what is missing, in the order of the items; the path of a memo that differs, or ""."""
        came, self._came = sorted(self._came, key=lambda one: one[0]), []
        odd = ""
        for _, path, new in came:
            for key, value in new:
                known = self._memos[path].setdefault(key, value)
                odd = odd if known is value or _alike(known, value) else path
        self._values.clear()
        return odd


def _alike(one: Any, other: Any) -> bool:
    """Whether two values may be the same: what is not plain is given the benefit of the doubt."""
    if type(one) is not type(other):
        return False
    if type(one) in (tuple, list) and len(one) == len(other):
        return all(map(_alike, one, other))
    if type(one) in (tuple, list):
        return False
    return type(one) not in ATOMS or one == other or repr(one) == repr(other)  # nan
