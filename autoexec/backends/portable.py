"""Errors that cross a process border, with their traceback as text."""

from __future__ import annotations

import pickle
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["RemoteTraceback", "portable", "restored"]


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

    text = "".join(traceback.format_exception(error))
    for sent in (error, _Parts(error)):
        if _survives(sent):
            return sent, text
    from ..errors import AutoexecError

    return AutoexecError(f"{type(error).__qualname__}: {error} (the error itself cannot be pickled)"), text


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
    error.args = args
    vars(error).update(kept)
    return error


def restored(made: Callable[[BaseException], Any], error: BaseException, text: str) -> Any:
    """What carried an error, made again on this side, with the traceback from the other one."""
    error.__cause__ = RemoteTraceback(text)
    return made(error)
