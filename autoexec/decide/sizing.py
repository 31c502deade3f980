"""How many workers, how many items per task, how many items in flight: pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..records import Machine, Profile, WorkKind

__all__ = [
    "chunk_size",
    "cpu_workers",
    "io_cap",
    "io_workers",
    "mixes",
    "process_threads",
    "process_workers",
    "waiting_window",
    "window_size",
]

IO_CAP = 256  # calls that wait at once at most, unless `max_workers` says so; the limit below it adapts
HELD_S = 0.00075  # GIL seconds per call from which it pays to send calls away: five times what sending costs
WAITS = 0.1  # share of waiting from which another thread has something to do meanwhile
CALL_DESCRIPTORS = 2  # a socket, and another one while a name is looked up
CALL_BYTES = 1 << 20  # of a waiting thread: the pages of its stack that are in use, and a response
WORKER_BYTES = 64 << 20  # of a fresh Python worker with numpy imported (measured: 30 to 60 MB)
TASK_S = 0.02  # a task this long makes a pool's cost per task (0.1 to 0.3 ms) about 1 %
MOST = 8192  # items per task: beyond that nothing gets cheaper, and an endless input is read far ahead
WINDOW = 1024  # results that may wait for the consumer when they are small
WAITING_WINDOW = 16_384  # the same for waiting work, once some results were weighed
WAITING_BYTES = 64 << 20  # and what they may weigh together
SOME = 8  # results that are weighed before that
WINDOW_BYTES = 256 << 20  # and what they may weigh together


def cpu_workers(machine: Machine, items: int | None) -> int:
    """Workers for work that computes: the usable physical cores, never more than there are items."""
    return max(1, min(machine.usable, items if items is not None else machine.usable))


def process_workers(machine: Machine, profile: Profile, items: int | None) -> int:
    """Worker processes: as `cpu_workers`, but no more than fit into the free memory.

    What crosses is there up to four times, pickled and not, on both sides; what the item itself was seen to
    add holds its result already.
    """
    crossing = (profile.bytes_in or 0) + (profile.bytes_out or 0)
    each = WORKER_BYTES + max(4 * crossing, 2 * crossing + profile.memory_bytes)
    return max(1, min(cpu_workers(machine, items), int(0.8 * machine.memory_available / each)))


def io_cap(machine: Machine, max_workers: int | None = None) -> int:
    """Calls that may wait at once at most: the caller's number, else as descriptors and memory allow."""
    if max_workers is not None:
        return max_workers
    descriptors = (machine.descriptors - 64) // CALL_DESCRIPTORS
    return max(1, min(IO_CAP, descriptors, int(0.5 * machine.memory_available / CALL_BYTES)))


def io_workers(machine: Machine, profile: Profile, items: int | None, cap: int = IO_CAP) -> int:
    """Threads for work that waits: enough that some core or the GIL is busy, up to `cap`.

    With h seconds of GIL-held CPU and c CPU seconds in items of w seconds, w/h threads keep the GIL
    busy and C w/c threads the cores; half as many again covers the unevenness.
    """
    wanted = float(cap)
    if machine.gil and profile.held_s > 0 and not profile.partial:
        wanted = min(wanted, 2.0 + 1.5 * profile.wall_s / profile.held_s)
    if profile.cpu_s > 0 and not profile.partial:
        wanted = min(wanted, 2.0 + 1.5 * machine.usable * profile.wall_s / profile.cpu_s)
    workers = max(1, min(int(wanted), cap, io_cap(machine)))
    return workers if items is None else max(1, min(workers, items))


def mixes(profile: Profile) -> bool:
    """Whether items wait and also hold the GIL, both for long enough that processes of threads may pay.

    >>> mixes(Profile("fetch_and_parse", 3, 0.055, 0.015, 0.0, 0.040, kind=WorkKind.MIXED))
    True
    """
    if profile.partial or profile.kind in (WorkKind.SUBPROCESS, WorkKind.PARALLEL):
        return False
    return profile.held_s >= HELD_S and profile.wait_s >= WAITS * profile.wall_s


def process_threads(
    machine: Machine, profile: Profile, items: int | None, max_workers: int | None = None
) -> tuple[int, int]:
    """Worker processes, and threads in each, for work that waits and then computes with the GIL.

    As many processes as `process_workers`; as many threads as keep a GIL busy, and a third more than
    `io_workers` has, since between two calls a thread of a worker queues for the GIL once more (measured: 8
    threads kept it busy for 88 % of the time where 10 did for 93 %, and 16 stood in each other's way).
    `max_workers` bounds the calls at once, which is one times the other.

    >>> process_threads(Machine(2, 2, 2, 2), Profile("f", 3, 0.055, 0.015, 0.0, 0.040), 160)
    (2, 10)
    """
    processes = process_workers(machine, profile, items)
    cap = io_cap(machine, max_workers)
    processes = min(processes, cap)
    wanted = math.ceil(2.0 + 2.0 * profile.wall_s / max(profile.held_s, HELD_S))
    most = cap // processes if items is None else min(cap // processes, math.ceil(items / processes))
    return processes, max(1, min(wanted, most))


def chunk_size(
    profile: Profile, workers: int, items: int | None, *, overhead_s: float, window: int | None = None
) -> int:
    """Items per task: tasks of about 20 ms, but enough of them that the workers end together.

    Work that waits goes one by one: a task is as cheap as its wait is long.
    """
    if profile.wall_s <= 0.0:
        return 1
    if profile.kind in (WorkKind.IO, WorkKind.SUBPROCESS) and profile.wall_s > 20 * overhead_s:
        return 1
    size = max(1.0, max(TASK_S, 20 * overhead_s) / profile.wall_s)
    if items is not None:
        size = min(size, items / (4 * workers))
    if window is not None:
        size = min(size, window / (2 * workers))
    heavy = (profile.bytes_in or 0) + (profile.bytes_out or 0)
    if heavy:
        size = min(size, (4 << 20) / heavy)
    return max(1, min(MOST, int(size)))


def waiting_window(weights: Sequence[int]) -> int:
    """Items of waiting work that may be under way or wait for the consumer.

    Calls whose times vary widely end far out of order: the slowest of thousands must not hold up the rest.

    Args:
        weights: bytes of some results.
    """
    if len(weights) < SOME:
        return WINDOW
    return max(WINDOW, min(WAITING_WINDOW, WAITING_BYTES * len(weights) // max(1, sum(weights))))


def window_size(profile: Profile, workers: int, chunk: int) -> int:
    """Items that may be under way or wait for the consumer, when `buffersize` does not say."""
    least = 3 * workers * chunk
    if profile.bytes_out:
        return max(least, min(max(WINDOW, 2 * least), WINDOW_BYTES // profile.bytes_out))
    return max(WINDOW, 2 * least)
