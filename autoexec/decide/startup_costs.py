"""What our own workers cost to start and to feed."""

from __future__ import annotations

from ..records import Calibration
from ..registry import Costs

__all__ = ["process_costs", "thread_costs"]


def thread_costs(calibration: Calibration) -> Costs:
    """Threads of this process."""
    return Costs(0.0, calibration.thread_start, calibration.thread_task)


def process_costs(calibration: Calibration, *, fork: bool, warm: bool = False) -> Costs:
    """Our own worker processes: at rest since an earlier call (`warm`), forked or spawned."""
    if warm:
        start, each = 0.0, calibration.thread_start
    elif fork:
        start, each = calibration.fork_start, calibration.fork_start / 4
    else:
        start, each = calibration.spawn_start, calibration.spawn_start / 8
    return Costs(start, each, calibration.process_task)
