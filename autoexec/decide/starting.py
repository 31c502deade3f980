"""What pools cost to start and to feed, as the cost model sees them."""

from __future__ import annotations

from ..records import Calibration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from ..frozen import dataclass

__all__ = ["Pool", "joblib_pool", "process_pool", "thread_pool"]

JOBLIB_TASK_S = 0.0008  # per task through loky, both ends (measured)
JOBLIB_WORKER_S = 0.02  # per worker beyond the first (measured)


@dataclass(frozen=True, slots=True)
class Pool:
    """A kind of pool.

    Attributes:
        backend: its name in a plan.
        start_s: seconds to start it with its first worker.
        worker_s: seconds that each worker adds; forking copies page tables, spawning shares the cores.
        task_s: seconds that a task costs, both ends together.
    """

    backend: str
    start_s: float
    worker_s: float
    task_s: float

    def starting_s(self, workers: int) -> float:
        """Seconds until so many workers run.

        >>> Pool("processes", 0.5, 0.125, 0.0).starting_s(4)
        1.0
        """
        return self.start_s + workers * self.worker_s


def thread_pool(calibration: Calibration) -> Pool:
    """Threads of this process."""
    return Pool("threads", 0.0, calibration.thread_start, calibration.thread_task)


def process_pool(calibration: Calibration, *, fork: bool, warm: bool = False) -> Pool:
    """Our own worker processes: at rest since an earlier call (`warm`), forked or spawned."""
    if warm:
        start, each = 0.0, calibration.thread_start
    elif fork:
        start, each = calibration.fork_start, calibration.fork_start / 4
    else:
        start, each = calibration.spawn_start, calibration.spawn_start / 8
    return Pool("processes", start, each, calibration.process_task)


def joblib_pool(calibration: Calibration) -> Pool:
    """The loky workers of joblib."""
    return Pool("joblib", calibration.joblib_start, JOBLIB_WORKER_S, JOBLIB_TASK_S)
