"""CPU clocks that can be read from another thread, and the ones beside it.

On Linux a thread's clock has a number that follows from the thread's own; reading it is an error once the
thread has ended. Elsewhere `pthread_getcpuclockid` is asked, for threads that run for sure: asked for one
that has ended it may crash. Where it is missing (Windows, macOS) the process clock stands in, which is right
as long as the watched thread is the only busy one.
"""

from __future__ import annotations

import os
import sys
import threading

from ..own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

resource: Any
try:  # here: later it would look as if an item had imported it
    import resource
except ImportError:  # Windows
    resource = None

__all__ = [
    "NativeShare",
    "ThreadClock",
    "age_clock",
    "began_before",
    "children_cpu",
    "native_cpu",
    "native_threads_run",
]

LOOKED_AT = 64  # threads: looking at one costs some 10 µs


class ThreadClock:
    """The CPU seconds of one thread of this process, readable from any other.

    >>> clock = ThreadClock(threading.get_ident(), threading.get_native_id())
    >>> clock.cpu() >= 0.0
    True
    """

    __slots__ = ("_clock_id", "_native_id")

    def __init__(self, ident: int, native_id: int) -> None:
        self._native_id = native_id
        getter = getattr(time, "pthread_getcpuclockid", None)
        self._clock_id: int | None
        if sys.platform == "linux":
            self._clock_id = _clock_id(native_id)
        else:
            self._clock_id = getter(ident) if getter else None

    def cpu(self) -> float:
        """CPU seconds used so far."""
        if self._clock_id is None:
            return time.process_time()
        try:
            return time.clock_gettime(self._clock_id)
        except OSError:  # the thread has ended: results may be taken in another one
            return 0.0

    def sleeping(self) -> bool:
        """Whether the thread sleeps in the kernel right now (True where that cannot be asked).

        A thread that a busy machine does not let run uses no CPU either; it is runnable, not waiting.
        """
        return sys.platform != "linux" or not _runs(self._native_id)

    def queued(self) -> float:
        """Seconds so far in which the thread was ready to run but other work had the processor.

        On a busy machine that is neither waiting nor computing. 0.0 where the system does not say.
        """
        try:
            with open(f"/proc/self/task/{self._native_id}/schedstat", "rb") as file:
                return int(file.read().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0

    def children(self) -> frozenset[bytes]:
        """The child processes that the thread started and nobody has waited for yet."""
        if sys.platform == "linux":
            try:
                with open(f"/proc/self/task/{self._native_id}/children", "rb") as file:
                    return frozenset(file.read().split())
            except OSError:  # a kernel without that file
                pass
        try:
            import psutil

            return frozenset(str(child.pid).encode() for child in psutil.Process().children())
        except OSError:  # no descriptor is left to ask with
            return frozenset()


def _clock_id(native_id: int) -> int:
    """The number of a thread's CPU clock on Linux, as the kernel's `MAKE_THREAD_CPUCLOCK` has it."""
    return (~native_id << 3) | 6


def age_clock() -> float:
    """Seconds on the clock by which the system tells when a process began; 0.0 where that is not known."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else 0.0


def began_before(pid: bytes, when: float) -> bool:
    """Whether a process began before a reading of `age_clock`; False where nobody can tell.

    A thread that ends leaves its children to another one of its process, which has not started these.
    """
    if sys.platform != "linux":
        return False
    try:
        with open(b"/proc/%s/stat" % pid, "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return False
    return (ticks + 1) / os.sysconf("SC_CLK_TCK") <= when


def asleep(thread: threading.Thread) -> bool:
    """Whether a thread is waiting for something right now, as far as the system tells."""
    return thread.native_id is not None and not _runs(thread.native_id)


def children_cpu() -> float:
    """CPU seconds of all children that have ended and were waited for."""
    if resource is None:
        return 0.0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(usage.ru_utime + usage.ru_stime)


def native_cpu() -> float:
    """CPU seconds of this process that no Python thread used: BLAS and OpenMP pools.

    Threads that end take their seconds with them, so a difference of two readings may be a little high.
    """
    if sys.platform != "linux":
        return 0.0
    used = 0.0
    for thread in threading.enumerate():
        if thread.native_id is None:  # about to start
            continue
        try:
            used += time.clock_gettime(_clock_id(thread.native_id))
        except OSError:  # ended meanwhile
            continue
    return max(0.0, time.process_time() - used)


def native_threads_run() -> bool:
    """Whether a thread that is none of Python's runs or waits for a processor (False where nobody says)."""
    if sys.platform != "linux":
        return False
    try:
        tasks = os.listdir("/proc/self/task")
    except OSError:
        return False
    ours = {thread.native_id for thread in threading.enumerate()}
    return any(_runs(int(task)) for task in tasks[:LOOKED_AT] if int(task) not in ours)


def _runs(native_id: int) -> bool:
    try:
        with open(f"/proc/self/task/{native_id}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split(None, 1)[0] == b"R"
    except (OSError, IndexError):
        return False


class NativeShare:
    """The cores' worth of CPU that native threads use, from the later half of what was looked at.

    The earlier half would mislead: OpenBLAS's threads spin for 30 to 100 ms after they were started or used.

    Attributes:
        before: whether native threads ran when it began: not, then, because of what has run since.
    """

    __slots__ = ("_looks", "before")

    def __init__(self) -> None:
        self._looks: list[tuple[float, float]] = []
        self.before = False

    def restart(self) -> None:
        """Forget what was seen."""
        self._looks = [(time.perf_counter(), native_cpu())]
        self.before = native_threads_run()

    def look(self) -> None:
        """Take a reading, if the last is some milliseconds old."""
        now = time.perf_counter()
        if now - self._looks[-1][0] > 0.004:
            self._looks.append((now, native_cpu()))

    def share(self) -> float:
        """CPU seconds per second, 0.0 before anything was seen."""
        if not self._looks:
            return 0.0
        now, used = time.perf_counter(), native_cpu()
        since, before = self._looks[len(self._looks) // 2]
        return max(0.0, used - before) / max(now - since, 1e-6)
