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


def portable(error: BaseException) -> tuple[BaseException, str]:
    """The error and its traceback as text; an error that does not survive pickling becomes a plain one."""
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        try:
            import cloudpickle

            cloudpickle.loads(cloudpickle.dumps(error))
        except Exception:
            from ..errors import AutoexecError

            error = AutoexecError(f"{type(error).__qualname__}: {error} (the error itself cannot be pickled)")
    return error, text


def restored(made: Callable[[BaseException], Any], error: BaseException, text: str) -> Any:
    """What carried an error, made again on this side, with the traceback from the other one."""
    error.__cause__ = RemoteTraceback(text)
    return made(error)
