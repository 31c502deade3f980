"""The values that travel between the floors: frozen, small, made for reading.

Seconds are floats, sizes are bytes, shares run from 0 to 1.
"""

from __future__ import annotations

from enum import Enum

from .registry import SERIAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field
else:
    from .frozen import dataclass, field

__all__ = [
    "Calibration",
    "Ending",
    "Forecast",
    "Hazard",
    "Machine",
    "NativePool",
    "Plan",
    "Profile",
    "Sample",
    "WorkKind",
]


def spell(seconds: float) -> str:
    """Seconds in the unit that fits, for people.

    >>> spell(0.0125), spell(3.2), spell(4e-6), spell(0.0), spell(1234.5)
    ('12.5 ms', '3.2 s', '4 µs', '0 s', '1234 s')
    """
    if seconds < 5e-10:
        return "0 s"
    for unit, scale in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3)):
        if float(f"{seconds * scale:.3g}") < 1000:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def spell_way(backend: str, workers: int, threads: int = 1, most: str = "") -> str:
    """A way to run items, for people.

    >>> spell_way("processes", 2, 8), spell_way("threads", 16, most="up to "), spell_way("serial", 1)
    ('processes × 2 × 8 threads', 'threads × up to 16', 'serial')
    """
    inside = f" × {threads} threads" if threads > 1 else ""
    return backend if backend == SERIAL else f"{backend} × {most}{workers}{inside}"


class WorkKind(Enum):
    """What a function's time is made of, in the words people use."""

    IO = "IO-bound"
    NATIVE = "GIL-releasing native code"
    PYTHON = "GIL-holding CPU work"
    PARALLEL = "already parallel"
    SUBPROCESS = "waiting for a child process"
    MIXED = "mixed waiting and computing"
    TINY = "too small to matter"


@dataclass(frozen=True, slots=True)
class NativePool:
    """A thread pool inside a native library, as threadpoolctl sees it."""

    library: str
    threads: int
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What may be used here. Build one by hand to ask how a plan would look elsewhere.

    Attributes:
        usable: cores that CPU work may keep busy: the smallest of the limits below and, in a worker of ours,
            its share.
        physical: physical cores of the hardware.
        logical: logical processors of the hardware.
        affinity: logical processors this process may run on.
        quota: CPUs the control groups allow, fractional, or None.
        python_cpu_count: the value of `PYTHON_CPU_COUNT` / `-X cpu_count`, or None.
        memory_available: bytes that may still be allocated.
        memory_limit: bytes the control groups allow in all, or None.
        gil: whether this interpreter has a GIL that is switched on.
        start_method: how multiprocessing would start processes by default.
        can_fork: whether the platform can fork at all (Linux; macOS frameworks do not survive it).
        daemon: whether this is a daemon process, or a worker of ours with a share of one core: such must not
            start processes.
        descriptors: file descriptors that may still be opened.
        no_python: why no fresh interpreter can be started, in words, or "": workers can then only be forked.
        native_pools: thread pools of the native libraries loaded so far.
        derivation: one line per limit, saying where it was found.
    """

    usable: int
    physical: int
    logical: int
    affinity: int
    quota: float | None = None
    python_cpu_count: int | None = None
    memory_available: int = 8 << 30
    memory_limit: int | None = None
    gil: bool = True
    start_method: str = "fork"
    can_fork: bool = True
    daemon: bool = False
    descriptors: int = 1024
    no_python: str = ""
    native_pools: tuple[NativePool, ...] = ()
    derivation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibration:
    """What pools cost on this machine, in seconds, and where each figure comes from.

    The defaults were measured on a quiet two-core Linux virtual machine with CPython 3.11 to 3.15
    (docs/how-it-decides.md); real runs replace them by what they see.
    """

    thread_start: float = 80e-6
    thread_task: float = 25e-6
    fork_start: float = 0.008
    spawn_start: float = 0.060
    process_task: float = 150e-6
    joblib_start: float = 0.300
    byte: float = 1.2e-9
    source: str = "defaults"


# Kinds of hazards that more than one room asks for.
CHANGES_ARGUMENT = "changes its argument"  # harmless where arguments may be copies
SETS_PROCESS = "sets what all threads share"
SETS_AND_BACK = "changes for an item's own time"
NEEDS_THREAD = "needs the caller's thread"


@dataclass(frozen=True, slots=True)
class Hazard:
    """Something in a function that must not cross a process border, or not even a thread's.

    Attributes:
        kind: what it is, in a few words ("writes a global", "captured lock", ...).
        name: the object, as the source calls it.
        where: file and line of the function.
        threads_ok: whether threads of this process keep the meaning.
        processes_ok: whether other processes do, of one thread each.
    """

    kind: str
    name: str
    where: str
    threads_ok: bool
    processes_ok: bool = False

    @property
    def here_only(self) -> bool:
        """Whether it is for the caller's own thread: not even one other thread would do."""
        return not self.threads_ok and (self.kind == NEEDS_THREAD or not self.processes_ok)

    def __str__(self) -> str:
        return f"{self.kind}: {self.name!r} ({self.where})"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the watched items showed, before anything is concluded from it.

    Attributes:
        function: qualified name of the function.
        walls: seconds per item, in the order they ran; a batch of tiny items stands as its mean.
        cpus: CPU seconds of the item's own thread, beside `walls`.
        counts: how many items each entry of `walls` stands for.
        held_share: share of the watched time in which the GIL was held.
        looked_s: seconds the probe looked; below some milliseconds `held_share` says little.
        pressed_cores: cores the thread kept busy together with one that wants the GIL without pause: about 1
            when they take turns, about 2 when it needs no GIL; None if that was not tried.
        native_share: CPU seconds per second of native threads (BLAS pools), of late.
        native_before: whether native threads ran already before the first of these items.
        children_s: CPU seconds of child processes in all.
        queued_s: seconds in which the thread was ready to run but the processor was taken.
        running_s: seconds the item that still runs has taken so far; 0.0 if none runs.
        running_cpu_s: CPU seconds of that item so far.
        child_waited: whether the running item has a child process.
        first_s: seconds of the very first item, which may not be among `walls`.
        bytes_in: pickled size of one item's arguments.
        bytes_out: pickled size of one result.
        crossing_s: seconds for one trip of arguments and result over a process border.
        remaining: items left, or None if unknown.
        memory_bytes: the most that one item was seen to add to this process's memory; 0 where unknown.
    """

    function: str
    walls: tuple[float, ...] = ()
    cpus: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    held_share: float = 0.0
    looked_s: float = 0.0
    pressed_cores: float | None = None
    native_share: float = 0.0
    native_before: bool = False
    children_s: float = 0.0
    queued_s: float = 0.0
    running_s: float = 0.0
    running_cpu_s: float = 0.0
    child_waited: bool = False
    first_s: float = 0.0
    bytes_in: int | None = None
    bytes_out: int | None = None
    crossing_s: float = 0.0
    remaining: int | None = None
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """What one item costs: medians over the items that were run and watched.

    Attributes:
        function: qualified name of the function.
        items: how many items were watched.
        wall_s: seconds from start to end of one item.
        held_s: CPU seconds of the item's own thread with the GIL held.
        free_s: CPU seconds of the item's own thread with the GIL released.
        wait_s: seconds in which the item's thread neither ran nor waited for the GIL.
        other_threads_s: CPU seconds spent meanwhile in native threads (a BLAS pool).
        children_s: CPU seconds spent meanwhile in child processes.
        spread: interquartile range of the wall seconds over their median.
        first_s: seconds of the very first item (imports, caches and connections included).
        bytes_in: pickled size of one item's arguments, or None if not measured.
        bytes_out: pickled size of one result, or None if not measured.
        crossing_s: seconds to pickle and load one item's arguments and result, both ends together.
        held_share: share of the watched time in which somebody held the GIL.
        kind: the class that follows.
        evidence: one sentence saying which measurement decided the class.
        remaining: items left when the profile was taken, or None if unknown.
        partial: whether it was taken while an item was still running.
        memory_bytes: the most that one item adds to the memory while it runs, its result included; 0 where
            unknown, or below a mebibyte.
    """

    function: str
    items: int
    wall_s: float
    held_s: float
    free_s: float
    wait_s: float
    other_threads_s: float = 0.0
    children_s: float = 0.0
    spread: float = 0.0
    first_s: float = 0.0
    bytes_in: int | None = None
    bytes_out: int | None = None
    crossing_s: float = 0.0
    held_share: float = 0.0
    kind: WorkKind = WorkKind.TINY
    evidence: str = ""
    remaining: int | None = None
    partial: bool = False
    memory_bytes: int = 0

    @property
    def cpu_s(self) -> float:
        """CPU seconds of one item in its own thread."""
        return self.held_s + self.free_s

    def __str__(self) -> str:
        parts = [
            f"{spell(self.held_s)} CPU with the GIL",
            f"{spell(self.free_s)} without",
            f"{spell(self.wait_s)} waiting",
        ]
        return f"{self.function}: {self.kind.value}; {spell(self.wall_s)} per item ({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Forecast:
    """One way to run the rest, and how long it should take.

    Attributes:
        backend: the name of one of the registry's rows.
        max_workers: workers it would use.
        chunksize: items per task.
        seconds: predicted seconds for the rest (for 100,000 items when their number is unknown).
        refused: why this way is not allowed, or "" when it is.
        threads: threads in each worker process; `max_workers` times as many calls run at once.
    """

    backend: str
    max_workers: int
    chunksize: int
    seconds: float
    refused: str = ""
    threads: int = 1

    @property
    def way(self) -> str:
        """The way in words: "serial", "threads × 16", "processes × 2 × 8 threads"."""
        return spell_way(self.backend, self.max_workers, self.threads)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the rest will be run, and why.

    Attributes:
        backend: the name of one of the registry's rows, or the class name of the caller's own executor.
        max_workers: threads or processes at most.
        chunksize: items per task at the start (it follows the measured item time unless given).
        native_threads: cores that each worker may keep busy, its native libraries included, or None to leave
            those alone.
        seconds: predicted seconds for the rest.
        reason: one sentence.
        forecasts: every way that was weighed.
        hazards: what forbids some of them.
        adaptive: whether the number of calls at once follows the answers, with `max_workers` as its cap.
        threads: threads in each worker process, for work that waits and then computes with the GIL.
    """

    backend: str
    max_workers: int = 1
    chunksize: int = 1
    native_threads: int | None = None
    seconds: float = 0.0
    reason: str = ""
    forecasts: tuple[Forecast, ...] = field(default=(), repr=False)
    hazards: tuple[Hazard, ...] = ()
    adaptive: bool = False
    threads: int = 1

    @property
    def at_once(self) -> int:
        """Calls that run at once at most."""
        return self.max_workers * self.threads

    @property
    def alone(self) -> bool:
        """Whether no two items may run in one process at once."""
        return any(not hazard.threads_ok for hazard in self.hazards)

    def __str__(self) -> str:
        most = "up to " if self.adaptive and self.max_workers > 1 else ""
        return f"{spell_way(self.backend, self.max_workers, self.threads, most)}: {self.reason}"


class Ending(Enum):
    """How a call ended, in the eyes of whoever sets how many may run at once."""

    OK = "ok"
    ERROR = "error"
    REFUSED = "refused"
    TIMEOUT = "timeout"
