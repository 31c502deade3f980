"""Errors that cross a process border, with their traceback as text."""

from __future__ import annotations

import pickle
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["RemoteTraceback", "Unsent", "portable", "restored", "with_traceback"]


class Unsent:
    """In the place of a result that cannot be sent to the caller: the error that says so."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return restored, (Unsent, *portable(self.error))


class RemoteTraceback(Exception):
    """The traceback of an error inside a worker process, as text; it is the error's `__cause__`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def portable(error: BaseException) -> tuple[Any, str]:
    """What arrives as the error on the other side, and its traceback as text.

    Some classes cannot be made again from their `args`, such as those of httpx: they travel in parts. What
    cannot travel at all becomes a plain error.
    """
    import traceback

    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # its own `__str__` raises
        text = f"{type(error).__qualname__}, whose text cannot be had"
    for sent in (error, _Parts(error)):
        if _survives(sent):
            return sent, text
    from ..errors import AutoexecError

    return AutoexecError(f"{_shown(error)} (the error itself cannot be pickled)"), text


def _shown(error: BaseException) -> str:
    try:
        return f"{type(error).__qualname__}: {error}"
    except Exception:
        return type(error).__qualname__


def _survives(sent: object) -> bool:
    try:
        return isinstance(pickle.loads(pickle.dumps(sent)), BaseException)
    except Exception:
        try:
            import cloudpickle

            return isinstance(cloudpickle.loads(cloudpickle.dumps(sent)), BaseException)
        except Exception:
            return False


class _Parts:
    """An error taken apart; it is unpickled as the error."""

    def __init__(self, error: BaseException) -> None:
        kept = {name: value for name, value in vars(error).items() if _can_be_pickled(value)}
        self._parts = type(error), error.args, kept

    def __reduce__(self) -> tuple[Any, ...]:
        return _together, self._parts


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True


def _together(cls: type[BaseException], args: tuple[Any, ...], kept: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls, *args)
    object.__setattr__(error, "args", args)  # a frozen class refuses any other way
    vars(error).update(kept)
    return error


def restored(made: Callable[[BaseException], Any], error: BaseException, text: str) -> Any:
    """What carried an error, made again on this side, with the traceback from the other one."""
    return made(with_traceback(error, text))


def with_traceback(error: BaseException, text: str) -> BaseException:
    """The error with the traceback of the other side as its cause, if it takes one: it may be frozen."""
    try:
        error.__cause__ = RemoteTraceback(text)
    except Exception:
        return error
    return error
