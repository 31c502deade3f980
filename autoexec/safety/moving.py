"""Inputs that change while they are read on, or while the function runs.

What may live here: what of an input may be read ahead of the calls before. Three questions. Is an item done
with (`still`): nobody but us can change it? Do the items move (`Moving`): does pulling the next one change
those before, as with `itertools.groupby`, or a generator that fills one list again and again? And can the
function change what the input reads (`shared`), as where it puts more into the list that a generator empties?
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from itertools import islice
from types import CellType, CodeType, FrameType, FunctionType, GeneratorType, MethodType, ModuleType
from zlib import crc32

from ..introspect import ATOMS, attributes, bare, isa, loaded, slots_of
from ..introspect.code import names_of
from ..introspect.contents import held_by, of_function, of_generator, wrapped_by
from ..introspect.layers import content, inside
from ..introspect.libraries import is_library, is_library_type
from .readings import has_method, is_array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["LOOKS", "Fed", "Moving", "calibrate", "in_common", "plain", "shared", "still"]

LOOKS = 3  # pulls around which the items before are looked at
ENOUGH = 2  # of them before workers read ahead: two objects that are handed out in turn show at the second
PARTS = 256  # parts of an item, or of a container, that are looked at
NODES = 2000  # objects of a walk, or of a glance
LEVELS = 6  # and steps from the function, or the input
DEEP = 3  # levels of containers in an item that may still be done with
WHOLE = 4 << 20  # bytes of a buffer that are looked at in full
SMALL = 16  # entries of a container that a walk goes into
# Standard classes whose instances never change, by module; a class is asked for only when an item is of it.
_VALUES = ("datetime", "decimal", "fractions", "uuid", "pathlib", "ipaddress")
_LEAVES: tuple[Any, ...] = (*ATOMS, type, ModuleType, CodeType, FrameType)

_known: dict[type, bool] = {}  # whether instances of a type never change
_PLAIN = (tuple.__iter__, frozenset.__iter__)  # of what holds the same for ever
_begun: list[bool] = []
_own: list[int] = []  # references to an item that only its reader has


# Done with --------------------------------------------------------------------------------------------------


def calibrate(read: Callable[[Iterator[Any], int, list[Any]], object]) -> None:
    """Learn how many references an item has that nobody has but its reader, where that calls `still`."""
    if not _begun:
        _begun.append(True)
        read(iter([object] for _ in range(1)), 1, [])


def still(item: Any) -> bool:
    """Whether nothing but the function can change an item that was just pulled.

    To be called by the loop that reads, as its own references to the item are counted.
    """
    references = sys.getrefcount(item)
    if not _own:
        _own.append(references)
    return _done(item, references <= _own[0], DEEP, counted=True)


def _done(part: Any, own: bool, deep: int, *, counted: bool = False) -> bool:
    """Whether a part never changes, or is ours alone: `own` says that of what holds it."""
    kind = type(part)
    if kind in ATOMS or _never(kind):
        return True
    if deep == 0:
        return False
    if kind.__dictoffset__ == 0 and getattr(kind, "__iter__", None) in _PLAIN:
        values = part
    elif (
        not own
        or kind not in (list, dict, set, bytearray)
        or (not counted and sys.getrefcount(part) > _part_references())
    ):
        return False
    elif kind is bytearray:
        return True
    else:
        values = [*part, *part.values()] if kind is dict else part
    if len(values) > 2 * PARTS:
        return all(type(value) in ATOMS for value in values)
    return all(type(value) in ATOMS or _done(value, own, deep - 1) for value in values)


def _part_references() -> int:
    if len(_own) < 2:
        _own.append(_count_in([[object]]))
    return _own[1]


def _count_in(values: list[Any]) -> int:
    """References to a part that only what holds it has, as `_done` finds them."""
    counts: list[int] = []

    def done(part: Any, *told: Any, counted: bool = False) -> bool:
        counts.append(sys.getrefcount(part))
        return bool(told) or counted

    all(type(value) in ATOMS or done(value, True, 0) for value in values)
    return counts[0]


def _never(kind: type) -> bool:
    found = _known.get(kind)
    if found is None:
        module = sys.modules.get(kind.__module__)
        standard = kind.__module__.partition(".")[0] in _VALUES
        found = standard and getattr(module, kind.__name__, None) is kind
        enum = sys.modules.get("enum")
        found = found or (enum is not None and issubclass(kind, enum.Enum))
        if len(_known) < PARTS:
            _known[kind] = found
    return found


# Moving -----------------------------------------------------------------------------------------------------


class Moving:
    """Looks at the items that were handed out, before and after the next one is pulled.

    Args:
        iterator: where the items come from.

    Attributes:
        looks: pulls that were looked at.
        words: what was seen to move, or "".
        advances: whether items advance the input itself, so that no copy of one would do.
    """

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._kept: list[Any] = []
        self._before: list[Any] = []
        self._last: Any = None
        self.looks = 0
        self.words = ""
        self.advances = False

    @property
    def unsure(self) -> bool:
        """Whether too few pulls were looked at to let workers read ahead."""
        return self.looks < ENOUGH and not self.words

    @property
    def wanted(self) -> bool:
        """Whether the next pull is to be looked at."""
        return bool(self._kept) and self.looks < LOOKS and not self.words

    def before(self) -> None:
        """The next item is about to be pulled."""
        self._before = [glance(item) for item in self._kept]

    def after(self) -> None:
        """It has been."""
        self.looks += 1
        for item, before in zip(self._kept, self._before, strict=True):
            if glance(item) != before:
                self.words = f"the input changes a {type(item).__name__} that it has handed out"
        self._before = []

    def pulled(self, item: Any) -> None:
        """An item that is not done with has been pulled."""
        if self.words:
            return
        again, self._last = item is self._last, item
        if any(item is one for one in self._kept):
            self.looks = min(self.looks, LOOKS - 1)  # handed out again: once more, then
        elif again:
            self._kept.append(item)
            self.looks = min(self.looks, LOOKS - 1)
        elif len(self._kept) < LOOKS:
            self._kept.append(item)
            if name := self._advancing(item):
                self.words, self.advances = f"a {name} among its items advances the input", True

    def _advancing(self, item: Any) -> str:
        """The type of an iterator within an item that reads from what the input reads from, or ""."""
        parts = [item, *item[:SMALL]] if isa(item, tuple) else [item]
        parts += [part for row in parts[1:] if isa(row, tuple) for part in row[:SMALL]]  # of a zip, say
        own: set[int] | None = None
        for part in parts:
            if not _iterates(part):
                continue
            try:
                if own is None:
                    own = {key for key, value in walk([self._iterator]).items() if _iterates(value)}
                if not own.isdisjoint(key for key, value in walk([part]).items() if _iterates(value)):
                    return type(part).__name__
            except Exception:  # it resists being looked at, or there is too much
                continue
        return ""

    def copyable(self) -> bool:
        """Whether what moves can be copied at the moment when it is pulled."""
        from .serialization import crosses

        return not self.advances and all(crosses(item) for item in self._kept)


_HOOKS = (
    "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__",
    "__new__", "__del__", "__setattr__",
)  # fmt: skip


def plain(obj: Any) -> bool:
    """Whether it is nothing but containers, buffers and atoms: then nobody can tell a copy from it.

    >>> plain([1, {"a": (2, 3)}]), plain([object()])
    (True, False)
    """
    return _plain(obj, DEEP, [NODES])


def _plain(obj: Any, deep: int, left: list[int]) -> bool:
    kind = type(obj)
    left[0] -= 1
    if kind in ATOMS or kind is bytearray or (kind.__module__ == "array" and kind.__name__ == "array"):
        return True
    if deep == 0 or left[0] < 0:
        return False
    if kind in (list, tuple, set, frozenset, deque):
        return all(_plain(part, deep - 1, left) for part in obj)
    if kind is dict:
        return all(_plain(part, deep - 1, left) for entry in obj.items() for part in entry)
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return obj.base is None and not obj.dtype.hasobject
    return _is_usual(kind) and all(_plain(part, deep - 1, left) for _, part in held_by(obj))


def _is_usual(kind: type) -> bool:
    """Whether copying an object of this class runs nothing of the user's."""
    own = [name for base in kind.__mro__[:-1] for name in _HOOKS if name in vars(base)]
    return not own and type(kind) is type and kind.__module__ != "builtins" and not is_library_type(kind)


def _iterates(obj: object) -> bool:
    return has_method(type(obj), "__next__")


def glance(obj: Any) -> Any:
    """What an object looks like now, to be compared with another glance; runs nothing of the user's."""
    return _glance(obj, DEEP, [NODES])


def _glance(obj: Any, deep: int, left: list[int]) -> Any:
    kind = type(obj)
    if kind in ATOMS:
        return kind, repr(obj) if kind in (float, complex) else obj  # nan is not itself
    left[0] -= 1
    if deep == 0 or left[0] < 0 or _is_mapped(obj):
        return id(obj)
    if isa(obj, (list, tuple)):
        count = len(obj) if kind in (list, tuple) else kind.__len__(obj)
        ends = [*obj[:PARTS], *(obj[-PARTS:] if count > PARTS else ())]
        inside: Any = (count, [_glance(part, deep - 1, left) for part in ends])
    elif isa(obj, dict):
        some = [(_glance(k, deep - 1, left), _glance(v, deep - 1, left)) for k, v in _head(dict.items(obj))]
        inside = (dict.__len__(obj), some)
    elif isa(obj, deque):
        inside = [_glance(part, deep - 1, left) for part in _head(deque.__iter__(obj))]
    elif isa(obj, (set, frozenset)):
        inside = frozenset(id(part) for part in _head(obj))
    else:
        inside = _bytes_of(obj)
    own = [(name, _glance(value, deep - 1, left)) for name, value in _head(attributes(obj).items())]
    slots = [(name, _glance(value, deep - 1, left)) for name, value in _head(slots_of(obj))]
    if inside is None and not (own or slots):
        inside = _told(obj, deep, left)
    return id(obj), inside, own, slots


def _told(obj: Any, deep: int, left: list[int]) -> Any:
    """What an object of C code says that it is made of."""
    try:
        made: Any = obj.__reduce_ex__(4) if not _iterates(obj) else None
    except Exception:
        return None
    return _made(made, deep, left) if type(made) is tuple else None


def _made(part: Any, deep: int, left: list[int]) -> Any:
    """A glance at what was made for it: which object that is says nothing."""
    if deep and type(part) in (tuple, list):
        return [_made(one, deep - 1, left) for one in part[:PARTS]]
    if deep and type(part) is dict:
        return [
            (_glance(key, deep, left), _made(value, deep - 1, left)) for key, value in _head(part.items())
        ]
    return _glance(part, deep, left)


def _head(values: Iterable[Any]) -> list[Any]:
    return list(islice(values, PARTS))


def _is_mapped(obj: Any) -> bool:
    """Whether it looks into a file or a memory that is shared: others may write there."""
    for _ in range(DEEP):
        kind = type(obj)
        if kind.__module__ == "mmap":
            return True
        if kind is memoryview:
            obj = obj.obj
        elif is_array(obj):
            obj = obj.base
        else:
            return False
    return False


def _bytes_of(obj: Any) -> Any:
    """What a buffer holds: a bytearray, an array, an array of numpy."""
    try:
        with memoryview(obj) as view:
            if view.nbytes > WHOLE:
                flat = view if view.ndim == 1 else view.cast("B").cast("B")
                step = max(1, len(flat) // PARTS)
                return view.nbytes, crc32(flat[::step].tobytes())
            return view.nbytes, crc32(view.tobytes())
    except Exception:  # no buffer, or one that cannot be looked at
        return None


# What both reach --------------------------------------------------------------------------------------------


def shared(iterators: Iterable[Any], func: Callable[..., Any]) -> str:
    """The type of something that can change, which the input reads and the function reaches, or ""."""
    return in_common(iterators, func)[0]


def in_common(iterators: Iterable[Any], func: Callable[..., Any]) -> tuple[str, list[Any]]:
    """The same, and all such data of the user's: what libraries keep for themselves is their own affair."""
    try:
        theirs, read = walk([func]), [*iterators]
        name = next((type(value).__name__ for key, value in walk(read).items() if key in theirs), "")
        own = walk(read, own=True).items() if name else ()
        return name, [value for key, value in own if key in theirs and _is_of_the_users(value)]
    except Exception:  # an object that resists being looked at, or too much to tell
        return "object", []


def _is_of_the_users(obj: Any) -> bool:
    """Whether it is the user's own, a container, or a generator of random numbers."""
    kind = type(obj)
    return kind.__module__ in ("builtins", "collections", "random") or not is_library_type(kind)


def _shallow(obj: Any) -> Any:
    """A glance at its own parts: those of its parts are shared, too, and are looked at by themselves."""
    random = loaded("random")
    if random is not None and isa(obj, random.Random) and not isa(obj, random.SystemRandom):
        return random.Random.getstate(obj)
    return _glance(obj, 1, [NODES])


class Fed:
    """Looks at what the input and the function share, before and after an item is pulled.

    A generator that counts or draws changes it; then no item may be pulled before those before have run.

    Args:
        objects: what is shared.

    Attributes:
        words: what was seen to change, or "".
    """

    def __init__(self, objects: list[Any]) -> None:
        self._objects = objects[:PARTS]
        self._before: list[Any] = []
        self._looks = 0
        self.words = ""

    @property
    def unsure(self) -> bool:
        """Whether too few pulls were looked at to let workers read ahead."""
        return self._looks < ENOUGH and not self.words

    def before(self) -> None:
        """The next item is about to be pulled."""
        if self._looks < LOOKS:
            self._before = [_shallow(one) for one in self._objects]

    def after(self) -> None:
        """It has been."""
        if not self._before:
            return
        self._looks += 1
        for one, before in zip(self._objects, self._before, strict=True):
            if _shallow(one) != before:
                self.words = f"the input changes a {type(one).__name__} that the function reads"
        self._before = []


def walk(roots: Iterable[Any], *, own: bool = False) -> dict[int, Any]:
    """What can change, and is near: what code names, cells, attributes, what iterators hold.

    Args:
        roots: where it begins.
        own: whether objects of libraries are not gone into.

    Raises:
        ValueError: if it is too much to tell.
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = [(root, LEVELS) for root in roots]
    while waiting:
        obj, deep = waiting.pop()
        if id(obj) in seen or isa(obj, _LEAVES):
            continue
        seen.add(id(obj))
        if len(seen) > NODES:
            raise ValueError("too much to tell")
        if not isa(obj, (FunctionType, tuple)) and inside(obj) is None:
            found[id(obj)] = obj
        if deep and (not own or _is_of_the_users(obj) or type(obj).__module__ in ("itertools", "functools")):
            waiting += [(part, deep - 1) for part in _near(bare(obj))]
    return found


def _near(obj: Any) -> Iterable[Any]:
    kind = type(obj)
    if isa(obj, FunctionType):
        if is_library(obj.__code__.co_filename):
            return [value for _, value in wrapped_by(obj)]
        return _with_classes(obj.__code__, [*of_function(obj)])
    if isa(obj, GeneratorType):
        return _with_classes(obj.gi_code, of_generator(obj))
    if isa(obj, MethodType) and isa(obj.__func__, FunctionType):
        return _with_classes(obj.__func__.__code__, [obj.__func__, obj.__self__])
    if (parts := inside(obj)) is not None:
        return parts
    if kind in (list, dict, set, tuple, deque):
        return gc.get_referents(obj) if len(obj) <= SMALL else ()
    if kind.__module__ in ("builtins", "itertools"):
        return gc.get_referents(obj) if _iterates(obj) else ()
    methods = [vars(base).get(name) for base in kind.__mro__ for name in ("__call__", "__next__")]
    return [*(value for _, value in held_by(obj)), *(each for each in methods if isa(each, FunctionType))]


def _with_classes(code: CodeType, values: list[Any]) -> list[Any]:
    """And what the code names in their classes. Not all of a class: two functions may use one in peace."""
    known = [content(each) if isa(each, CellType) else each for each in values]
    bases = {base for each in known for base in (each if isa(each, type) else type(each)).__mro__}
    own = [base for base in bases if not is_library_type(base)]
    return values + [vars(base)[name] for name in names_of(code) for base in own if name in vars(base)]
