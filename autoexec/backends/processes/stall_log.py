"""Log lines when nothing moves, or one worker does not: which items run where, since when, their stacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .exit_messages import short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["PATIENCE_S", "TIMES", "stands_still", "tell"]

PATIENCE_S = 30.0  # seconds without a result before anything is said
TIMES = 20.0  # and so many times the longest item so far


LOCK = (
    "it may wait for a lock that another thread held when it was forked, which nobody will release: "
    "item_timeout= ends such items, backend='threads' needs no fork"
)


def tell(supervisors: Iterable[Supervisor], waited_s: float, now: float) -> None:
    """Log what all workers are doing."""
    _warn([f"no item has finished for {waited_s:.0f} s", *_words(supervisors, now)])


def stands_still(supervisor: Supervisor, now: float, *, begun: bool) -> None:
    """Log that one worker, and perhaps no other, takes no CPU and does not come on.

    Args:
        supervisor: its supervisor.
        now: the time.
        begun: whether it has begun its task; else it was ended, and another one has it.
    """
    lines = ["a worker process stands still and takes no CPU", *_words([supervisor], now)]
    _warn([*lines, LOCK if begun else "it has begun nothing: another process takes its place"])


def _warn(lines: list[str]) -> None:
    import logging

    logging.getLogger("autoexec").warning("%s", "\n".join(lines))


def _words(supervisors: Iterable[Supervisor], now: float) -> Iterator[str]:
    told = set()
    for supervisor in supervisors:
        seat, task = supervisor.seat, supervisor.running
        if seat is None or task is None:
            continue
        if not seat.status.since:  # nor has it a way to show its stacks yet: the signal for that would end it
            yield f"process {seat.worker.pid} is still starting"
            continue
        place = seat.status.place
        at = min(place or 0, len(task.task.items) - 1)
        index, item = task.task.place + at, task.task.items[at]
        since = now - seat.status.since
        yield f"item {index} ({short(item)}) in process {seat.worker.pid} for {since:.0f} s"
        if seat.worker.pid not in told:
            told.add(seat.worker.pid)
            yield seat.worker.stacks().rstrip() or "(its stack could not be read)"
