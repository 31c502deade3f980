"""The cost model: predicted seconds of every way to run the rest.

For n items, with per item h seconds of CPU under the GIL, f seconds of CPU without it, s seconds of
waiting, x seconds to cross a process border, C usable cores, a task every k items costing o seconds:

    serial          n (h + f + s)
    threads(w)      n / min(w / (h+f+s+o), 1 / (h+o), C / (h+f+o))     + starting w threads
    processes(p)    n / min(p / (h+f+s+x+o/k), C / (h+f+x+o/k), 1/x')  + starting p workers
    processes(p, t) n / min(p t / (h+f+s+x+o), p / h, C / (h+f+x+o), 1/x')  + starting p workers

The last are p processes of t threads each, for items that wait and then compute. Without a GIL its terms
(1 / (h+o), p / h) go. x' is the caller's half of x: it feeds one worker at a time.
The terms are the things that can be short: workers, GILs, cores (an operational bound in the sense of
Denning and Buzen, "The Operational Analysis of Queueing Network Models", 1978). Where it is not the
workers, the first wait comes on top: until it is over nothing else has anything to do.
"""

from __future__ import annotations

import math

from ..records import Calibration, Forecast, Machine, Profile, WorkKind
from ..registry import PROCESSES, SERIAL, THREADS, Costs, row
from . import sizing
from .startup_costs import process_costs, thread_costs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from ..frozen import dataclass

__all__ = ["Settings", "forecasts"]

UNKNOWN_N = 100_000  # items assumed where nobody knows: start-up is then spread thin


@dataclass(frozen=True, slots=True)
class Settings:
    """What is settled before anything is weighed.

    Attributes:
        max_workers: the caller's own number, obeyed: workers, or for processes of threads calls at once.
        chunksize: the caller's own number, obeyed.
        window: items that may be in flight, if bounded by the caller.
        fork: whether workers can be forked here and now; spawning is slower.
        warm: whether worker processes of an earlier call are there.
        inherited: whether forked workers see the input already, so that only results cross.
        others: what else may be weighed: backends whose items run elsewhere, each with what it costs.
        mixed: whether worker processes may have several threads.
    """

    max_workers: int | None = None
    chunksize: int | None = None
    window: int | None = None
    fork: bool = True
    warm: bool = False
    inherited: bool = False
    others: tuple[tuple[str, Costs], ...] = ()
    mixed: bool = True


@dataclass(frozen=True, slots=True)
class _Case:
    """All that a forecast rests on."""

    profile: Profile
    machine: Machine
    calibration: Calibration
    settings: Settings

    @property
    def items(self) -> int:
        return UNKNOWN_N if self.profile.remaining is None else self.profile.remaining

    @property
    def cores(self) -> float:
        return min(float(self.machine.usable), self.machine.quota or math.inf)

    @property
    def outside_s(self) -> float:
        """CPU seconds per item beside its own thread."""
        return max(self.profile.other_threads_s, self.profile.children_s)

    def chunk(self, workers: int, task_s: float) -> int:
        """Items per task."""
        profile, settings = self.profile, self.settings
        return settings.chunksize or sizing.chunk_size(
            profile, workers, profile.remaining, overhead_s=task_s, window=settings.window
        )

    def seconds(self, lanes: int, chunk: int, each_s: float, others: float) -> float:
        """Seconds for all items.

        Args:
            lanes: items that run at once.
            chunk: items per task.
            each_s: seconds of one item, its wait included.
            others: items per second that GILs, cores and the caller allow.
        """
        n = self.items
        by_lanes = max(n * each_s / lanes, _rounds(n, chunk, lanes) * each_s)
        first_wait = max(0.0, self.profile.wait_s - self.profile.children_s)
        return max(by_lanes, n / max(1e-12, others) + first_wait)


def forecasts(
    profile: Profile, machine: Machine, calibration: Calibration, settings: Settings | None = None
) -> tuple[Forecast, ...]:
    """Predict every way to run what remains, serial first, from simple to complicated.

    Args:
        profile: what one item costs; `profile.remaining` is n (unknown: 100,000 are assumed).
        machine: what may be used.
        calibration: what pools cost.
        settings: what is settled already.
    """
    case = _Case(profile, machine, calibration, settings or Settings())
    own = process_costs(calibration, fork=case.settings.fork, warm=case.settings.warm)
    ways = [Forecast(SERIAL, 1, 1, case.items * profile.wall_s), _threads(case)]
    ways.append(_elsewhere(case, PROCESSES, own))
    mixed = _processes_of_threads(case, own)
    if mixed is not None:
        ways.append(mixed)
    ways += [_elsewhere(case, name, costs) for name, costs in case.settings.others]
    return tuple(ways)


def _threads(case: _Case) -> Forecast:
    profile, costs = case.profile, thread_costs(case.calibration)
    workers = case.settings.max_workers or _thread_count(case)
    chunk = case.chunk(workers, costs.task_s)
    task = costs.task_s / chunk
    others = min(
        _rate(1, profile.held_s + task if case.machine.gil else 0.0),
        _rate(case.cores, profile.cpu_s + case.outside_s + task),
    )
    seconds = case.seconds(workers, chunk, profile.wall_s + task, others)
    return Forecast(THREADS, workers, chunk, seconds + costs.starting_s(workers))


def _thread_count(case: _Case) -> int:
    profile, machine = case.profile, case.machine
    if profile.kind is WorkKind.SUBPROCESS or profile.wait_s <= 0.25 * profile.wall_s:
        return sizing.cpu_workers(machine, profile.remaining)
    return sizing.io_workers(machine, profile, profile.remaining)


def _elsewhere(case: _Case, name: str, costs: Costs) -> Forecast:
    profile = case.profile
    workers = case.settings.max_workers or sizing.process_workers(case.machine, profile, profile.remaining)
    chunk = case.chunk(workers, costs.task_s)
    return Forecast(name, workers, chunk, _across(case, name, costs, workers, 1, chunk))


def _processes_of_threads(case: _Case, costs: Costs) -> Forecast | None:
    """The forecast where there is something to gain: a GIL that is one too few, and waiting to fill."""
    if not (case.settings.mixed and case.machine.gil and sizing.mixes(case.profile)):
        return None
    remaining, settings = case.profile.remaining, case.settings
    workers, threads = sizing.process_threads(case.machine, case.profile, remaining, settings.max_workers)
    if workers < 2 or threads < 2:
        return None
    chunk = settings.chunksize or 1
    seconds = _across(case, PROCESSES, costs, workers, threads, chunk)
    return Forecast(PROCESSES, workers, chunk, seconds, threads=threads)


def _across(case: _Case, name: str, costs: Costs, workers: int, threads: int, chunk: int) -> float:
    """Seconds where items run elsewhere."""
    profile, task = case.profile, costs.task_s / chunk
    cross = _crossing_s(case, name)
    each = profile.cpu_s + cross + task
    others = min(
        _rate(case.cores, each + case.outside_s),
        _rate(workers, profile.held_s if case.machine.gil else 0.0),
        _rate(1, cross / 2 + task / 2),
    )
    seconds = case.seconds(workers * threads, chunk, each + profile.wait_s, others)
    return seconds + costs.starting_s(workers)


def _crossing_s(case: _Case, name: str) -> float:
    """Seconds to send one item's arguments and result, both ends together."""
    profile = case.profile
    bytes_in, bytes_out, seconds = profile.bytes_in or 0, profile.bytes_out or 0, profile.crossing_s
    if case.settings.inherited and row(name).forks:
        seconds *= bytes_out / max(1, bytes_in + bytes_out)
        bytes_in = 0
    return seconds + (bytes_in + bytes_out) * case.calibration.byte


def _rate(servers: float, seconds: float) -> float:
    """Items per second of what needs so many seconds for each."""
    return servers / seconds if seconds > 0 else math.inf


def _rounds(items: int, chunk: int, workers: int) -> int:
    """Items that the busiest worker runs when tasks go round."""
    return min(items, math.ceil(math.ceil(items / chunk) / workers) * chunk)
