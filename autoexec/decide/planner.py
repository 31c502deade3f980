"""From forecasts to the plan: drop what is not safe, take the cheapest, prefer fewer moving parts."""

from __future__ import annotations

from collections.abc import Sequence

from ..frozen import replace
from ..records import Forecast, Hazard, Machine, Plan, Profile, WorkKind, spell
from ..registry import SERIAL, ours, row

__all__ = ["choose", "native_budget", "refuse"]

MARGIN = 0.9  # another way must be this much faster than a simpler one: the model's own error
WORTH_S = 0.002  # and save this much: starting anything may go wrong by about that


def refuse(
    forecasts: Sequence[Forecast],
    *,
    hazards: Sequence[Hazard] = (),
    daemon: bool = False,
    stays: str = "",
    unstarted: str = "",
    forks: bool = False,
) -> tuple[Forecast, ...]:
    """Mark what must not be done.

    Args:
        forecasts: the ways.
        hazards: what in the function keeps it in this process, or in one thread.
        daemon: whether this process must not start processes.
        stays: any other reason against other processes.
        unstarted: why no fresh interpreter can be started, or "".
        forks: whether workers can be forked, or are there already.
    """
    crossing = next((str(h) for h in hazards if not h.processes_ok), "") or stays
    threading = next((str(h) for h in hazards if not h.threads_ok), "")
    return tuple(
        replace(
            way,
            refused=way.refused
            or _against(way, threading, crossing, daemon)
            or _unstarted(way, unstarted, forks),
        )
        for way in forecasts
    )


def _unstarted(way: Forecast, words: str, forks: bool) -> str:
    """Why workers of ours cannot be started; somebody else's backend knows best what it starts."""
    info = row(way.backend)
    return words if info.starts_processes and ours(info) and not (forks and info.forks) else ""


def _against(way: Forecast, threading: str, crossing: str, daemon: bool) -> str:
    info = row(way.backend)
    if info.in_process:
        return threading if info.threaded else ""
    if daemon and not crossing and info.starts_processes:
        return "a daemon process or a worker must not start processes"
    return crossing or (threading if way.threads > 1 else "")


def choose(forecasts: Sequence[Forecast], profile: Profile, hazards: Sequence[Hazard] = ()) -> Plan:
    """Take the cheapest way that is not refused; `forecasts` go from simple to complicated.

    >>> from autoexec.records import Forecast, Profile
    >>> profile = Profile("f", 3, 0.01, 0.01, 0.0, 0.0, remaining=100)
    >>> ways = [Forecast("serial", 1, 1, 1.0), Forecast("processes", 2, 2, 0.55)]
    >>> choose(ways, profile).backend
    'processes'
    """
    best = forecasts[0]
    for way in forecasts[1:]:
        if not way.refused and way.seconds < MARGIN * best.seconds and best.seconds - way.seconds > WORTH_S:
            best = way
    return Plan(
        best.backend,
        best.max_workers,
        best.chunksize,
        seconds=best.seconds,
        reason=reason_for(best, forecasts, profile),
        forecasts=tuple(forecasts),
        hazards=tuple(hazards),
        threads=best.threads,
    )


def native_budget(plan: Plan, machine: Machine, profile: Profile) -> int | None:
    """Cores for each worker, and for its native libraries, or None to leave those alone.

    Workers times their shares stay within the usable cores: always for worker processes, which take theirs
    when they start and divide it among their threads; for threads, whose libraries are the caller's, only
    where native threads were seen.
    """
    if plan.backend == SERIAL:
        return None
    if not row(plan.backend).starts_processes and profile.other_threads_s < 0.02 * profile.wall_s:
        return None
    return max(1, machine.usable // plan.max_workers)


def reason_for(best: Forecast, forecasts: Sequence[Forecast], profile: Profile) -> str:
    """One sentence: what the work is, and what the alternative would have cost."""
    work = f"{profile.kind.value} ({profile.evidence})" if profile.evidence else profile.kind.value
    serial = forecasts[0]
    if best.backend != SERIAL:
        least = "at least " if profile.partial else ""  # the item that was watched had not ended yet
        text = f"{work}; {least}{spell(best.seconds)} forecast, {least}{spell(serial.seconds)} in a loop"
        faster = [f for f in forecasts[1:] if f.refused and f.seconds < MARGIN * best.seconds]
        return f"{text}; not {faster[0].backend}: {faster[0].refused}" if faster else text
    cheaper = [f for f in forecasts[1:] if f.seconds < MARGIN * serial.seconds]
    blocked = [f for f in cheaper if f.refused]
    if blocked:
        return f"stays in the caller's thread: {blocked[0].refused}"
    if profile.remaining == 0:
        return "nothing was left when the profile was complete"
    if serial.seconds < 0.02:
        return f"too small to gain: the rest takes {spell(serial.seconds)} in a loop"
    nearest = min(forecasts[1:], key=lambda f: f.seconds, default=serial)
    if profile.kind is WorkKind.PARALLEL:
        return f"{work}: its own library keeps the cores busy already"
    return f"{work}; {spell(serial.seconds)} in a loop, {nearest.backend} would need {spell(nearest.seconds)}"
