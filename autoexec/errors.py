"""What autoexec raises itself, each with one thing the caller would do differently."""

from __future__ import annotations

__all__ = [
    "AutoexecError",
    "BrokenWorker",
    "EffectLost",
    "ItemTimeout",
    "JournalError",
    "MissingExtra",
    "OptionError",
    "Refused",
    "WorkerDied",
    "blame",
    "shown",
    "unpacked",
]

SHOWN = 100  # characters of an item


class AutoexecError(Exception):
    """The base of all errors that are autoexec's own."""


class OptionError(AutoexecError, ValueError, TypeError):
    """An argument that cannot be meant: raised at the call, before any item has run."""


class MissingExtra(AutoexecError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class _Broken(AutoexecError, RuntimeError):
    """A `BrokenExecutor` of `concurrent.futures`, too, for programs that expect one.

    It is one from the first instance on: who has none catches none, and that module takes 10 ms.
    """

    def __init__(self, *args: object) -> None:
        _as_broken()
        super().__init__(*args)


class WorkerDied(_Broken):
    """A worker process ended (killed, `os._exit`, out of memory) while it ran the item that this stands for.

    The message names the item and how the worker ended; the other items go on. `retries=` runs it again.
    """


class ItemTimeout(AutoexecError, TimeoutError):
    """One call took longer than `item_timeout=`.

    A call of an async function was cancelled; a worker process was killed, and another took its place. A
    thread cannot be killed: the call was given up, its thread runs on without anybody waiting for it, and
    another thread took its place.
    """


class Refused(AutoexecError):
    """An item was not called: its host asked, by a `Retry-After` too long to wait for, to be left alone."""


class BrokenWorker(_Broken):
    """The `initializer` raised in a worker; its error is the `__cause__` (from a process: in words)."""


def _as_broken() -> None:
    """Name the errors of pools among the bases: of those pools that anybody here can know."""
    from concurrent.futures import BrokenExecutor

    from .introspect import loaded

    # That of interpreters is one of threads, too: it comes before it.
    modules = [loaded(f"concurrent.futures.{kind}") for kind in ("process", "interpreter", "thread")]
    names = ("BrokenProcessPool", "BrokenInterpreterPool", "BrokenThreadPool")
    found = [getattr(m, name) for m, name in zip(modules, names, strict=True) if hasattr(m, name)]
    bases = (AutoexecError, *(found or [BrokenExecutor]))
    if _Broken.__bases__ != bases:
        _Broken.__bases__ = bases


class EffectLost(AutoexecError, RuntimeError):
    """An item in a worker process changed something of your program that no item had changed before.

    It was changed in that process only. Use `backend="threads"`, return what is to be kept, or give
    `effects="ignore"` where nobody will look there.

    Attributes:
        instead: the same advice, for the end of its text.
    """

    instead = (
        "Return what is to be kept, use backend='threads', or give effects='ignore' if nobody looks there"
    )


class JournalError(AutoexecError):
    """The journal cannot be used, or a result cannot be kept in it; what it holds already is safe.

    Attributes:
        value: the result that could not be kept, where there is one.
    """

    def __init__(self, *args: object, value: object = None) -> None:
        super().__init__(*args)
        self.value = value


def unpacked(item: object, star: bool) -> tuple[object, ...]:
    """An item as the arguments it stands for, even if it cannot be unpacked."""
    try:
        return tuple(item) if star else (item,)  # type: ignore[arg-type]
    except Exception:
        return (item,)


def shown(item: object, most: int = SHOWN) -> str:
    """An item in at most `most` characters, whatever its size, even if its own words raise.

    >>> shown(("a", 1)), shown("x" * 10**6, 10)
    ("('a', 1)", "'xxxxxx...")
    """
    from .brief import brief

    return brief(item, most)


def blame(error: BaseException, index: int, args: tuple[object, ...], where: str) -> BaseException:
    """Note on `error` which item raised it and where that item ran; return it.

    >>> error = blame(ValueError("no"), 3, ("x",), "thread")
    >>> error.__notes__
    ["autoexec: item 3 ('x') ran in thread"]
    """
    words = ", ".join(map(shown, args[:SHOWN]))
    if len(words) > SHOWN:
        words = words[: SHOWN - 3] + "..."
    add_note(error, f"autoexec: item {index} ({words}) ran in {where}")
    return error


def add_note(error: BaseException, note: str) -> None:
    """Write a note on an error, if it takes any: an exception may be frozen."""
    try:
        error.add_note(note)
    except Exception:
        return
