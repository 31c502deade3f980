"""A log line when nothing moves: which items run where, for how long, and what their workers are doing."""

from __future__ import annotations

from collections.abc import Iterable

from .exit_messages import short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["PATIENCE_S", "TIMES", "tell"]

PATIENCE_S = 30.0  # seconds without a result before anything is said
TIMES = 20.0  # and so many times the longest item so far


def tell(supervisors: Iterable[Supervisor], waited_s: float, now: float) -> None:
    """Log what all workers are doing."""
    import logging

    lines = [f"no item has finished for {waited_s:.0f} s"]
    told = set()
    for supervisor in supervisors:
        seat, task = supervisor.seat, supervisor.running
        if seat is None or task is None:
            continue
        if not seat.status.since:  # nor has it a way to show its stacks yet: the signal for that would end it
            lines.append(f"process {seat.worker.pid} is still starting")
            continue
        place = seat.status.place
        at = min(place or 0, len(task.task.items) - 1)
        index, item = task.task.place + at, task.task.items[at]
        since = now - seat.status.since
        lines.append(f"item {index} ({short(item)}) in process {seat.worker.pid} for {since:.0f} s")
        if seat.worker.pid not in told:
            told.add(seat.worker.pid)
            lines.append(seat.worker.stacks().rstrip() or "(its stack could not be read)")
    logging.getLogger("autoexec").warning("%s", "\n".join(lines))
