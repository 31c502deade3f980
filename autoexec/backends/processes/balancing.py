"""What is left of a long task is shared out to workers that have nothing to do."""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["AGAIN_S", "relieve"]

LONG_S = 0.03  # a task that runs longer than this was cut too large
SPARED_S = 0.005  # of work, at least, that somebody else should get by it
AGAIN_S = 0.03  # seconds between two looks while others run
SELDOM_S = 0.5  # and while nobody runs more than one item


def relieve(supervisors: Iterable[Supervisor], now: float) -> float:
    """Have the worker with the most left of a long task stop after the item that it runs.

    Returns:
        Seconds after which to look again.
    """
    most, heaviest = SPARED_S, None
    pause = SELDOM_S
    for supervisor in supervisors:
        left, ran_s = supervisor.load(now)
        if left is None:
            continue
        if left or ran_s < LONG_S:  # it may not even have begun
            pause = AGAIN_S
        if ran_s > LONG_S and left and (work := left * supervisor.pace(ran_s)) > most:
            most, heaviest = work, supervisor
    if heaviest is not None:
        heaviest.cut()
    return pause
