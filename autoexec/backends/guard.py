"""A backend of somebody else's, whose faults are told from ours.

What may live here: what its methods raise that they must not, as an error, or a warning, that names it.
"""

from __future__ import annotations

import logging

from ..errors import AutoexecError, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Any

    from ..worker.invoke import Task
    from .base import Backend, Slot

__all__ = ["Guard"]


class Guard:
    """Passes everything on to a backend.

    What `ring`, `recall` or `abandon` raise ends the run, as an `AutoexecError`. What `close` or
    `costs` raise comes when the results are there: that is a warning.

    Args:
        backend: the backend.
        name: what `backend=` calls it.
    """

    def __init__(self, backend: Backend, name: str) -> None:
        self._backend, self.name = backend, name

    @property
    def starting(self) -> bool:
        """Whether no worker has finished anything yet."""
        try:
            return bool(self._backend.starting)
        except Exception as error:
            raise self._fault("starting", error) from error

    def start(self, slot: Slot) -> None:
        """Have a worker for a slot.

        Raises:
            RuntimeError: if it cannot be had.
        """
        try:
            self._backend.start(slot)
        except (OSError, RuntimeError):
            raise
        except Exception as error:
            raise self._fault("start()", error) from error

    def ring(self, rung: deque[Any]) -> None:
        """There are answers for these slots."""
        try:
            self._backend.ring(rung)
        except Exception as error:
            raise self._fault("ring()", error) from error

    def recall(self) -> None:
        """Tasks that were given out ahead are wanted back."""
        try:
            self._backend.recall()
        except Exception as error:
            raise self._fault("recall()", error) from error

    def abandon(self, slot: Slot, task: Task) -> None:
        """Nobody waits for what a slot runs any more."""
        try:
            self._backend.abandon(slot, task)
        except Exception as error:
            raise self._fault("abandon()", error) from error

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """Let the workers go."""
        try:
            self._backend.close(wait=wait, kill=kill)
        except Exception as error:
            _log.warning("%s; its workers may still be there", self._fault("close()", error))

    def costs(self) -> dict[str, float]:
        """Measured seconds; none where it tells something else."""
        try:
            return _seconds(self._backend.costs())
        except Exception as error:
            _log.warning("%s", self._fault("costs()", error))
            return {}

    def _fault(self, part: str, error: Exception) -> AutoexecError:
        return AutoexecError(
            f"backend {self.name!r} is at fault: its {part} raised {type(error).__name__}: {error}"
        )


_log = logging.getLogger("autoexec")


def _seconds(costs: object) -> dict[str, float]:
    """What a backend has measured.

    Raises:
        TypeError: if that is no dict of numbers by name.

    >>> _seconds({"fork_start": 0.01})
    {'fork_start': 0.01}
    """
    if not isinstance(costs, dict) or not all(
        isinstance(key, str) and isinstance(value, (int, float)) for key, value in costs.items()
    ):
        raise TypeError(f"it must return a dict of seconds by name, not {shown(costs)}")
    return costs
