"""What autoexec raises itself, each with one thing the caller would do differently."""

from __future__ import annotations

__all__ = ["AutoexecError", "MissingExtra", "OptionError", "WorkerDied", "blame", "unpacked"]


class AutoexecError(Exception):
    """The base of all errors that are autoexec's own."""


class OptionError(AutoexecError, ValueError, TypeError):
    """An argument that cannot be meant: raised at the call, before any item has run."""


class MissingExtra(AutoexecError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class WorkerDied(AutoexecError, RuntimeError):
    """A worker process ended (killed, `os._exit`, out of memory) while it held items.

    The message names the items that it held; the next call starts with fresh workers.
    """


def unpacked(item: object, star: bool) -> tuple[object, ...]:
    """An item as the arguments it stands for, even if it cannot be unpacked."""
    try:
        return tuple(item) if star else (item,)  # type: ignore[arg-type]
    except Exception:
        return (item,)


def blame(error: BaseException, index: int, args: tuple[object, ...], where: str) -> BaseException:
    """Note on `error` which item raised it and where that item ran; return it.

    >>> error = blame(ValueError("no"), 3, ("x",), "thread")
    >>> error.__notes__
    ["autoexec: item 3 ('x') ran in thread"]
    """
    try:
        shown = ", ".join(map(repr, args))
    except Exception:  # a repr that raises must not hide the item's own error
        shown = "an item whose repr raises"
    if len(shown) > 100:
        shown = shown[:97] + "..."
    try:
        error.add_note(f"autoexec: item {index} ({shown}) ran in {where}")
    except Exception:  # an exception may be frozen; it arrives without the note, then
        return error
    return error
