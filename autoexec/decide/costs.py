"""The cost model: predicted seconds of every way to run the rest.

For n items, with per item h seconds of CPU under the GIL, f seconds of CPU without it, s seconds of
waiting, x seconds to cross a process border, C usable cores, a task every k items costing o seconds:

    serial        n (h + f + s)
    threads(w)    n / min(w / (h+f+s+o), 1 / (h+o), C / (h+f+o))     + starting w threads
    processes(p)  n / min(p / (h+f+s+x+o/k), C / (h+f+x+o/k), 1/x')  + starting p workers

Without a GIL the 1 / (h+o) term goes. x' is the caller's half of x: it feeds one worker at a time.
The terms are the three things that can be short: workers, the GIL, cores (an operational bound in the
sense of Denning and Buzen, "The Operational Analysis of Queueing Network Models", 1978).
"""

from __future__ import annotations

import math

from ..records import Calibration, Forecast, Machine, Profile, WorkKind
from . import sizing

__all__ = ["forecasts"]

UNKNOWN_N = 100_000  # items assumed where nobody knows: start-up is then spread thin
JOBLIB_TASK_S = 0.0008  # per task through loky, both ends (measured)


def forecasts(
    profile: Profile,
    machine: Machine,
    calibration: Calibration,
    *,
    max_workers: int | None = None,
    chunksize: int | None = None,
    window: int | None = None,
    fork: bool = True,
    inherited: bool = False,
    joblib: bool = False,
) -> tuple[Forecast, ...]:
    """Predict every way to run what remains, serial first.

    Args:
        profile: what one item costs; `profile.remaining` is n (unknown: 100,000 are assumed).
        machine: what may be used.
        calibration: what pools cost.
        max_workers: the caller's own number, obeyed.
        chunksize: the caller's own number, obeyed.
        window: items that may be in flight, if bounded by the caller.
        fork: whether workers can be forked here and now; spawning is slower.
        inherited: whether forked workers see the input already, so that only results cross.
        joblib: whether joblib is installed.
    """
    n = profile.remaining if profile.remaining is not None else UNKNOWN_N
    wall, cpu, held = profile.wall_s, profile.cpu_s, profile.held_s if machine.gil else 0.0
    cores = min(float(machine.usable), machine.quota or math.inf)

    def threads() -> Forecast:
        waits = profile.wait_s > 0.25 * wall or profile.kind is WorkKind.SUBPROCESS
        workers = max_workers or (
            sizing.cpu_workers(machine, profile.remaining)
            if not waits or profile.kind is WorkKind.SUBPROCESS
            else sizing.io_workers(machine, profile, profile.remaining)
        )
        chunk = chunksize or sizing.chunk_size(
            profile, workers, profile.remaining, overhead_s=calibration.thread_task, window=window
        )
        task = calibration.thread_task / chunk
        outside = max(profile.other_threads_s, profile.children_s)
        rate = _least(
            workers / (wall + task),
            1 / (held + task) if machine.gil and held + task > 0 else math.inf,
            cores / (cpu + outside + task) if cpu + outside + task > 0 else math.inf,
        )
        seconds = max(n / rate, _rounds(n, chunk, workers) * (wall + task))
        return Forecast("threads", workers, chunk, seconds + workers * calibration.thread_start)

    def processes(name: str, start: float, task_s: float, per_start: float) -> Forecast:
        workers = max_workers or sizing.process_workers(machine, profile, profile.remaining)
        chunk = chunksize or sizing.chunk_size(
            profile, workers, profile.remaining, overhead_s=task_s, window=window
        )
        bytes_in, bytes_out, cross = profile.bytes_in or 0, profile.bytes_out or 0, profile.crossing_s
        if inherited and name == "processes":
            cross *= bytes_out / max(1, bytes_in + bytes_out)
            bytes_in = 0
        pipe = (bytes_in + bytes_out) * calibration.byte
        each = cpu + cross + pipe + task_s / chunk
        outside = max(profile.other_threads_s, profile.children_s)
        rate = _least(
            workers / (each + profile.wait_s),
            cores / (each + outside) if each + outside > 0 else math.inf,
            1 / ((cross + pipe) / 2 + task_s / 2 / chunk),
        )
        rounds = _rounds(n, chunk, workers) * (each + profile.wait_s)
        return Forecast(name, workers, chunk, max(n / rate, rounds) + start + workers * per_start)

    serial = Forecast("serial", 1, 1, n * wall)
    if fork:
        start, per_start = calibration.fork_start, calibration.fork_start / 4
    else:
        start, per_start = calibration.spawn_start, calibration.spawn_start / 8
    ways = [serial, threads(), processes("processes", start, calibration.process_task, per_start)]
    if joblib:
        ways.append(processes("joblib", calibration.joblib_start, JOBLIB_TASK_S, 0.02))
    return tuple(ways)


def _rounds(items: int, chunk: int, workers: int) -> int:
    """Items that the busiest worker runs when tasks go round."""
    return min(items, math.ceil(math.ceil(items / chunk) / workers) * chunk)


def _least(*rates: float) -> float:
    return max(1e-12, min(rates))
