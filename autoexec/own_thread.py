"""Threads of ours, whose end cannot swallow a Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["OwnThread", "whose"]


class OwnThread(threading.Thread):
    """A daemon thread that CPython's own books forget as soon as it has run.

    `threading` keeps a weak reference to each thread, with a callback in Python that runs in whichever thread
    drops the last strong one. A signal handler that raises just then, in the main thread, raises for nobody.

    Args:
        target: what to run.
        args: its arguments.
        name: of the thread.
        whose: the scheduler whose results it must not wait for, since they wait for it; or None.
    """

    def __init__(
        self,
        target: Callable[..., object],
        args: tuple[Any, ...] = (),
        name: str = "",
        whose: object = None,
    ) -> None:
        super().__init__(target=target, args=args, name=name or None, daemon=True)
        self.whose = whose

    def run(self) -> None:
        """Run the target; then nobody is told when this object is gone."""
        try:
            super().run()
        finally:
            books = getattr(threading, "_dangling", None)
            if books is not None:
                books.discard(self)


def whose() -> object:
    """For whose results this thread works, or None."""
    return getattr(threading.current_thread(), "whose", None)
