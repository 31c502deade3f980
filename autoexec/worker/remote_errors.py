"""Errors that cross a process border: with what they were raised from, and what tells where they were raised.

What may live here: taking errors apart, and making them again. An error arrives with its class, arguments,
attributes, notes, cause, context and the members of its group; what of that cannot be sent is left out.

Nothing is added to the chain: an error without a cause arrives without one. Where it was raised stands in its
traceback, in frames that name file, function and line of the other side.
"""

from __future__ import annotations

import os
import pickle
from types import FrameType, FunctionType, TracebackType

from ..introspect import slots_of
from ..known_objects import dumps as plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Place: TypeAlias = tuple[str, str, int]
    Frames: TypeAlias = list[Place]

__all__ = ["Unsent", "portable", "restored"]

LONGEST = 100  # errors of one chain
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_OWN = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__")  # by which a class says what it is


class Unsent:
    """In the place of a result that cannot be sent to the caller: the error that says so."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _unsent, (portable(self.error),)


def _unsent(data: bytes) -> Unsent:
    return Unsent(restored(data))


# Going ----------------------------------------------------------------------------------------------------


def portable(error: BaseException) -> bytes:
    """What `restored` makes the error of again, on the other side."""
    chain = _chain(error)
    places = {id(one): place for place, one in enumerate(chain)}
    links = [_Link(one, places) for one in chain]
    return pickle.dumps(links, protocol=5)


def _chain(error: BaseException) -> list[BaseException]:
    """The error, and those that it was raised from or holds, each once."""
    found: dict[int, BaseException] = {}
    line = [error]
    while line and len(found) < LONGEST:
        one = line.pop(0)
        if id(one) not in found:
            found[id(one)] = one
            line += [other for other in (*_members(one), one.__cause__, one.__context__) if other is not None]
    return list(found.values())


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


class _Link:
    """One error of a chain.

    Args:
        error: the error.
        places: of the errors of the chain, by id.
    """

    def __init__(self, error: BaseException, places: dict[int, int]) -> None:
        members = [places.get(id(one)) for one in _members(error)]
        self.members = [place for place in members if place is not None]
        self.cause = places.get(id(error.__cause__))
        self.context = places.get(id(error.__context__))
        self.hides_context = error.__suppress_context__
        self.frames = _frames(error.__traceback__)
        self.data = _packed(error)


def _frames(traceback: TracebackType | None) -> Frames:
    """Where an error has passed, but for our own frames."""
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(_OURS):
            found.append((code.co_filename, code.co_name, traceback.tb_lineno or 0))
        traceback = traceback.tb_next
    return found


def _packed(error: BaseException) -> bytes:
    """The error by itself: as it says, or in parts, or in those parts that can be sent.

    Many classes, such as those of httpx, cannot be made again from their `args`, or come to something else.
    """
    for make in (_as_it_says, _Parts, _Parts.that_can_be_sent):
        try:
            sent = make(error)
        except Exception:
            continue
        if sent is not None and (data := _bytes(sent, type(error))) is not None:
            return data
    from ..errors import AutoexecError

    return pickle.dumps(AutoexecError(f"{_shown(error)} (the error itself cannot be pickled)"))


def _as_it_says(error: BaseException) -> BaseException | None:
    """The error, if its class has a way of its own to be pickled, or is Python's."""
    kind = type(error)
    base = _base(kind)
    if isinstance(error, BaseExceptionGroup):
        return None
    own = any(getattr(kind, name) is not getattr(base, name) for name in _OWN)
    return error if own or kind is base else None


def _base(kind: type) -> Any:
    """The class of Python's own, or of C code, that an error is built on."""
    return next(one for one in kind.__mro__ if one.__module__ == "builtins")


class _Parts:
    """An error taken apart; it is unpickled as the error, which is not initialised a second time."""

    def __init__(self, error: BaseException) -> None:
        kind: Any = type(error)
        _, self.made_of, *more = _base(kind).__reduce__(error)
        self.kind, self.args = kind, error.args
        if isinstance(error, BaseExceptionGroup):
            self.made_of, self.args = (error.message,), ()
        state = more[0] if more and isinstance(more[0], dict) else {}  # such as the name of an ImportError
        own = vars(error)
        self.own = dict(own)
        self.set = {name: value for name, value in state.items() if name not in own} | dict(slots_of(error))

    @classmethod
    def that_can_be_sent(cls, error: BaseException) -> _Parts:
        """What cannot be sent is left out, and among its arguments replaced by words."""
        parts = cls(error)
        parts.made_of, parts.args = _sendable(parts.made_of), _sendable(parts.args)
        parts.own = {name: value for name, value in parts.own.items() if _bytes(value) is not None}
        parts.set = {name: value for name, value in parts.set.items() if _bytes(value) is not None}
        return parts

    def __reduce__(self) -> tuple[Any, ...]:
        return _together, (self.kind, self.made_of, self.args, self.own, self.set)


def _sendable(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value if _bytes(value) is not None else _words(value) for value in values)


def _words(value: object) -> str:
    return f"<{type(value).__qualname__}, which cannot be sent>"


def _bytes(value: object, kind: type | None = None) -> bytes | None:
    """A value pickled, plainly or by value, if it can be loaded again; an error as one of that class."""
    from ..by_value import dumps

    for dump in (plain, dumps):
        try:
            data = dump(value, 5)
            found = pickle.loads(data)
        except Exception:
            continue
        if kind is None or type(found) is kind or type(found) is _Group:
            return data
    return None


def _shown(error: BaseException) -> str:
    try:
        return f"{type(error).__qualname__}: {error}"
    except Exception:
        return type(error).__qualname__


# Coming ---------------------------------------------------------------------------------------------------


class _Group:
    """A group that waits for its members."""

    def __init__(self, kind: type, message: str, own: dict[str, Any], more: dict[str, Any]) -> None:
        self.kind, self.message, self.own, self.more = kind, message, own, more

    def filled(self, members: list[BaseException]) -> BaseException:
        """The group."""
        error: BaseException = _base(self.kind).__new__(self.kind, self.message, members)
        return _dressed(error, self.own, self.more)


def _together(
    kind: type[BaseException],
    made_of: tuple[Any, ...],
    args: tuple[Any, ...],
    own: dict[str, Any],
    more: dict[str, Any],
) -> Any:
    base = _base(kind)
    if issubclass(base, BaseExceptionGroup):
        return _Group(kind, made_of[0], own, more)
    error: Any = base.__new__(kind, *made_of)
    base.__init__(error, *made_of)
    object.__setattr__(error, "args", args)  # a frozen class refuses any other way
    return _dressed(error, own, more)


def _dressed(error: BaseException, own: dict[str, Any], more: dict[str, Any]) -> BaseException:
    vars(error).update(own)
    for name, value in more.items():
        object.__setattr__(error, name, value)
    return error


def restored(data: bytes) -> BaseException:
    """The error that `portable` has packed, with the traceback of the other side.

    Raises:
        Exception: if it cannot be made again here.
    """
    links = pickle.loads(data)
    errors: dict[int, BaseException] = {}
    for place in reversed(range(len(links))):  # members stand behind their groups
        _make(place, links, errors)
    for place, link in enumerate(links):
        _join(errors[place], link, errors)
    return errors[0]


def _make(place: int, links: list[_Link], errors: dict[int, BaseException]) -> BaseException:
    if place not in errors:
        found = pickle.loads(links[place].data)
        if type(found) is _Group:
            found = found.filled([_make(member, links, errors) for member in links[place].members])
        errors[place] = found
    return errors[place]


def _join(error: BaseException, link: _Link, errors: dict[int, BaseException]) -> None:
    """Give an error what belongs to it; not by assignment, which a frozen class would refuse."""
    if link.cause is not None:
        _set(error, "__cause__", errors[link.cause])
    if link.context is not None:
        _set(error, "__context__", errors[link.context])
    _set(error, "__suppress_context__", link.hides_context)
    _set(error, "__traceback__", _traceback(link.frames))


def _set(error: BaseException, name: str, value: object) -> None:
    vars(BaseException)[name].__set__(error, value)


def _traceback(frames: Frames) -> TracebackType | None:
    """A traceback through frames with these files, functions and lines."""
    made: dict[Place, FrameType] = {}  # a recursion has one place a thousand times
    traceback = None
    for place in reversed(frames):
        frame = made[place] = made.get(place) or _frame(*place)
        traceback = TracebackType(traceback, frame, 0, place[2])
    return traceback


def _frame(file: str, name: str, line: int) -> FrameType:
    """One of a generator that was not begun: it leads to no other frame, and so holds nothing of ours."""
    code = _nothing.__code__
    units = len(code.co_code) // 2
    # All of it stands in that line; in which column is not told, or nothing would be underlined, on a line.
    lines = b"".join(bytes((LINE_ALONE + min(8, units - at) - 1, 0)) for at in range(0, units, 8))
    code = code.replace(
        co_filename=file, co_name=name, co_qualname=name, co_firstlineno=line, co_linetable=lines
    )
    frame: FrameType = FunctionType(code, {})().gi_frame
    return frame


def _nothing() -> Any:
    yield


LINE_ALONE = 0x80 | 13 << 3  # of CPython's table of locations: an entry that names no column
