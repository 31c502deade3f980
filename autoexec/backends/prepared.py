"""A function that has an initializer run first, once in every worker, wherever the worker is."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import BrokenWorker
from ..resources import here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Prepared"]


class Prepared:
    """`call`, with `initializer(*initargs)` before its first call in a worker.

    Raises:
        BrokenWorker: instead of every call, where the initializer raised.
    """

    __slots__ = ("_args", "_initializer", "_token", "call")

    def __init__(
        self,
        call: Callable[..., Any],
        initializer: Callable[..., object],
        args: tuple[Any, ...],
        token: str = "",
    ) -> None:
        self.call, self._initializer, self._args = call, initializer, args
        self._token = token or _token()

    def __call__(self, *args: Any) -> Any:
        """Prepare this worker if that was not done yet, and call the function."""
        self.prepare()
        return self.call(*args)

    def prepare(self) -> None:
        """Prepare this worker if that was not done yet.

        Raises:
            BrokenWorker: if the initializer raises.
        """
        made = here().made
        if self._token not in made:
            try:
                self._initializer(*self._args)
            except Exception as error:
                name = getattr(self._initializer, "__qualname__", self._initializer)
                raise BrokenWorker(
                    f"the initializer {name} raised {type(error).__qualname__}: {error}"
                ) from error
            made[self._token] = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Prepared, (self.call, self._initializer, self._args, self._token)


def _token() -> str:
    import uuid

    return uuid.uuid4().hex
