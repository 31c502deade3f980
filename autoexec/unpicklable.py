"""What in an object cannot be pickled: the path to it, its type, and what to do about it.

The object is pickled once more by the standard library's pickler in Python, whose output goes nowhere and
which remembers what it is inside of. Where it fails, the objects on that stack are the way to the culprit.
So the user's `__reduce__` and `__getstate__` run exactly as often as in any other pickling, and the size of
what lies beside the way does not matter much: plain values are passed over, buffers are not copied.
"""

from __future__ import annotations

from .introspect import ATOMS
from .introspect.contents import parts, shown, title
from .own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any
else:
    from .frozen import dataclass

__all__ = ["Unpicklable", "explain", "find", "refused"]

LIMIT_S = 0.5  # arbitrary: long enough for some 100,000 objects, short beside the run that failed
LOOK_EVERY = 256  # objects between two looks at the clock
DIVES = 20  # times that the search begins anew further down when the recursion limit stops it
LONGEST = 160  # characters of a path that are shown

# The caller does not know what autoexec wraps functions in: step -> what the path is called from there on.
_OURS = {".call": "", ".__wrapped__": "", ".initializer": "initializer", ".initargs": "initargs"}
_THREADS = "or use backend='threads'"
_INSTEAD = {
    "result": f"return plain data instead, {_THREADS}",
    "exception": f"raise an error that holds plain data, {_THREADS}",
    "args": f"pass what it is made from and open it inside the function, {_THREADS}",
    "initargs": f"pass what it is made from and open it inside the initializer, {_THREADS}",
    "": f"open it inside the function or with autoexec.per_worker (or initializer=), {_THREADS}",
}


@dataclass(frozen=True, slots=True)
class Unpicklable:
    """The part of an object that cannot be pickled.

    Attributes:
        path: the way to it, as in `func.__closure__['conn'].socket`.
        type: the name of its type.
        error: what pickling it says.
    """

    path: str
    type: str
    error: str

    def __str__(self) -> str:
        root = self.path.partition(".")[0].partition("[")[0]
        instead = _INSTEAD.get(root, _INSTEAD[""])
        return f"{self.path} ({self.type}) cannot be pickled: {self.error}; {instead}"


def explain(obj: object, name: str, limit_s: float = LIMIT_S, *, error: BaseException | None = None) -> str:
    """One sentence for people: what in `obj`, which is called `name`, cannot be pickled. See `find`.

    `error` is what came when it was tried, told where nothing can be found now.

    >>> import threading
    >>> print(explain({"lock": threading.Lock()}, "result"))  # doctest: +ELLIPSIS
    result['lock'] (_thread.lock) cannot be pickled: cannot pickle '_thread.lock' object; return plain data...
    """
    found = find(obj, name, limit_s)
    if found is not None:
        return str(found)
    why = "" if error is None else f": {type(error).__name__}: {_text(error)}"
    return f"{name} ({title(obj)}) can be pickled here, but not sent and loaded again{why}"


def refused(obj: object, name: str, error: BaseException, problem: str = "") -> TypeError:
    """The error of something that cannot be sent: `problem` and what is the matter, caused by `error`."""
    words = explain(obj, name, error=error)
    found = TypeError(f"{problem}: {words}" if problem else words)
    found.__cause__ = error
    return found


def find(obj: object, name: str, limit_s: float = LIMIT_S) -> Unpicklable | None:
    """The part of `obj` that cannot be pickled, or None if all of it can. Never raises.

    Args:
        obj: anything; functions and classes that have no importable name go by value, with cloudpickle.
        name: what `obj` is called; "result", "exception" and "args" have their own advice.
        limit_s: seconds after which the search ends, with the deepest path so far.

    >>> print(find(lambda x: x, "func"))
    None
    >>> find([1, {"rows": iter([1]), "source": (n for n in "abc")}], "result").path
    "result[1]['source']"
    """
    try:
        return _search(obj, name, time.perf_counter() + limit_s)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an object that resists being looked at has a name at least
        return Unpicklable(name, title(obj), _text(error))


def _search(obj: Any, name: str, until: float) -> Unpicklable | None:
    """Pickle, and begin anew further down where only the recursion limit ended it."""
    stack: list[_Level] = []
    path, error = name, _pickled(obj, stack, until)
    if error is None:
        return None
    for _ in range(DIVES):
        path, part = _path(stack, path)
        if not isinstance(error, RecursionError) or part is obj:
            return Unpicklable(_shortened(path), title(part), _text(error))
        stack = []
        obj, again = part, _pickled(part, stack, until)
        if again is None or isinstance(again, _TimeUp):
            break
        error = again
    return Unpicklable(_shortened(path), title(obj), "it is nested too deeply")


# Pickling -------------------------------------------------------------------------------------------------


class _TimeUp(Exception):
    """The search ends."""


class _Level:
    """An object that is being pickled, and what its `__reduce__` gave."""

    __slots__ = ("obj", "reduced")

    def __init__(self, obj: Any) -> None:
        self.obj = obj
        self.reduced: tuple[Any, ...] = ()


class _Nowhere:
    """A file that forgets."""

    def write(self, _: object) -> int:
        return 0


def _pickled(obj: Any, stack: list[_Level], until: float) -> BaseException | None:
    """What pickling `obj` raises, or None; `stack` then tells where."""
    try:
        _tracer(stack, until).save(obj)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error.with_traceback(None)  # whose frames would hold everything
    return None


def _tracer(stack: list[_Level], until: float) -> Any:
    import pickle

    try:
        from cloudpickle import Pickler
    except ImportError:
        from pickle import Pickler
    model = Pickler(_Nowhere(), protocol=5)
    base: Any = vars(pickle)["_Pickler"]  # the same in Python: only there can the way down be seen

    class Tracer(base):  # type: ignore[misc]
        """Keeps the way down to what is being pickled; a level stays on the stack when it fails."""

        def __init__(self) -> None:
            super().__init__(_Nowhere(), protocol=5, buffer_callback=lambda _: None)
            self.write = lambda *_: None
            for name in ("dispatch_table", "reducer_override"):
                if hasattr(model, name):
                    setattr(self, name, getattr(model, name))
            self.saved = 0

        def save(self, obj: Any, save_persistent_id: bool = True) -> None:
            if type(obj) in ATOMS:
                return
            self.saved += 1
            stack.append(_Level(obj))
            if self.saved % LOOK_EVERY == 0 and time.perf_counter() > until:
                raise _TimeUp
            super().save(obj, save_persistent_id)
            stack.pop()

        def save_reduce(self, *reduced: Any, obj: Any = None) -> None:
            stack[-1].reduced = reduced
            super().save_reduce(*reduced, obj=obj)

    return Tracer()


# The path -------------------------------------------------------------------------------------------------


def _path(stack: list[_Level], path: str) -> tuple[str, Any]:
    """The way down the stack in the words of the objects on it, and the last of them."""
    i = 0
    while i + 1 < len(stack):
        obj = stack[i].obj
        step, i = _step(stack, i)
        if type(obj).__module__.startswith("autoexec.") and step in _OURS:
            path = _OURS[step] or path
        else:
            path += step
    return path, stack[i].obj if stack else None


def _step(stack: list[_Level], i: int) -> tuple[str, int]:
    """From level `i` to the nearest one below that is visible in its object: the step's text, its level."""
    below: dict[int, int] = {}
    for level in range(len(stack) - 1, i, -1):
        below[id(stack[level].obj)] = level
    nearest = len(stack)
    found: tuple[str, object] = ("", None)
    for text, key, value in parts(stack[i].obj):
        level = below.get(id(value), nearest)
        if level < nearest:
            nearest, found = level, (text, key)
            if level == i + 1:
                break
    if nearest == len(stack):
        return _unseen(stack[i], stack[i + 1].obj), i + 1
    return found[0].replace("[{}]", f"[{shown(found[1])}]"), nearest


def _unseen(level: _Level, below: Any) -> str:
    """The step to something that only the object's own `__reduce__` or `__getstate__` shows."""
    for place, part in enumerate(level.reduced[:3]):
        if part is below and place:
            return f".__reduce__()[{place}]"
    return "" if isinstance(below, (tuple, dict)) else "[...]"


def _text(error: BaseException) -> str:
    if isinstance(error, _TimeUp):
        return "the search for what is wrong took too long and ended here"
    try:
        text = str(error)
    except Exception:
        text = ""
    return text or type(error).__qualname__


def _shortened(path: str) -> str:
    return path if len(path) <= LONGEST else f"{path[: LONGEST // 2]}...{path[-LONGEST // 2 :]}"
