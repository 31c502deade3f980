"""The machine as a value: what may be used here, and where each limit was found.

`look` is the way of every planned call and costs well under two milliseconds on Linux; `look_closely` is for
people, and may import what it needs. This is the one place that chooses the platform's module.
"""

from __future__ import annotations

import math
import os
import sys

from autoexec import python_program, resources, role
from autoexec.frozen import replace
from autoexec.introspect import loaded
from autoexec.records import Machine, NativePool

if sys.platform == "linux":
    from autoexec.measure import linux as here
elif sys.platform == "win32":
    from autoexec.measure import windows as here
else:
    from autoexec.measure import darwin as here

__all__ = ["look", "look_closely", "memory_now", "oom_kills", "rounded", "usable_cores"]


def look() -> Machine:
    """What may be used now. Cheap: asks the system, imports nothing heavy, leaves `native_pools` empty.

    >>> look().usable >= 1
    True
    """
    cpus, cpus_source = here.affinity()
    reachable, physical, logical = here.reachable_cores(cpus), here.physical_cores(), here.logical_cores()
    limit, override = here.quota(), _override()
    memory_available, memory_limit, memory_source = here.memory()
    method, method_source = _start_method()
    decided, usable = _tightest(reachable, len(cpus), limit, override)
    share = _share(usable)
    if share is not None and share < usable:
        decided, usable = "the worker's share", share
    return Machine(
        usable=usable,
        physical=physical,
        logical=logical,
        affinity=len(cpus),
        quota=limit and limit[0],
        python_cpu_count=override and override[0],
        memory_available=memory_available,
        memory_limit=memory_limit,
        gil=_gil(),
        start_method=method,
        can_fork=_can_fork(method, method_source),
        daemon=_daemon(),
        descriptors=here.descriptors(),
        no_python=(no_python := python_program.lacking()),
        derivation=(
            f"physical cores: {reachable} reachable of {physical}",
            f"affinity: {len(cpus)} of {logical} logical processors ({cpus_source})",
            _quota_line(limit),
            _override_line(override),
            *([] if share is None else [f"the worker's share: {share}"]),
            f"memory: {memory_available / 2**30:.1f} GiB available ({memory_source})",
            f"start method: {method} ({method_source})",
            *([f"fresh interpreters: none, {no_python}"] if no_python else []),
            f"usable: {usable}, decided by {decided}",
        ),
    )


def look_closely() -> Machine:
    """As `look`, with the native libraries' thread pools and multiprocessing's own word on start methods."""
    import multiprocessing  # once loaded, `look` asks it rather than assume the platform's default

    multiprocessing.get_all_start_methods()
    return replace(look(), native_pools=_native_pools())


def usable_cores() -> int:
    """Cores that CPU work may keep busy; the same number as `look().usable`, for less."""
    cpus, _ = here.affinity()
    usable = _tightest(here.reachable_cores(cpus), len(cpus), here.quota(), _override())[1]
    return _share(usable) or usable


def memory_now() -> tuple[int, int | None]:
    """Bytes that may still be allocated, and bytes the control groups allow in all or None; below 0.1 ms."""
    available, limit, _ = here.memory()
    return available, limit


def oom_kills() -> int:
    """Processes that the kernel has ended for want of memory, in our control group where it counts them.

    A rise says that a worker that was killed meanwhile was killed for that. 0 where nobody counts.
    """
    return here.oom_kills()


def rounded(cpus: float) -> int:
    """Whole workers for a fractional quota: to the nearest, halves up, never below one.

    With a quota of 1.5 a second worker still has half a CPU to win; with 1.2 it would mostly be throttled.

    >>> [rounded(quota) for quota in (0.25, 1.2, 1.5, 2.0, 3.9)]
    [1, 1, 2, 2, 4]
    """
    return max(1, math.floor(cpus + 0.5))


def _tightest(
    reachable: int, affinity: int, limit: tuple[float, str] | None, override: tuple[int, str] | None
) -> tuple[str, int]:
    """Name and value of the smallest limit; among equals the first: hardware before wishes."""
    limits = [("physical cores", reachable), ("affinity", affinity)]
    if limit:
        limits.append(("control group quota", rounded(limit[0])))
    if override:
        limits.append((override[1], override[0]))
    return min(limits, key=lambda named: named[1])


def _share(usable: int) -> int | None:
    """Cores of `usable` that are left to this worker; None in what is no worker of ours."""
    mine = usable if role.cores is None else min(usable, role.cores)
    share = resources.share_here(mine)
    return None if share == mine and role.cores is None else share


def _quota_line(limit: tuple[float, str] | None) -> str:
    if limit is None:
        return "control group quota: none"
    return f"control group quota: {limit[0]:g} CPUs, counted as {rounded(limit[0])} ({limit[1]})"


def _override_line(override: tuple[int, str] | None) -> str:
    return (
        "PYTHON_CPU_COUNT: not set"
        if override is None
        else f"PYTHON_CPU_COUNT: {override[0]} ({override[1]})"
    )


def _override() -> tuple[int, str] | None:
    """The CPU count that the user told Python to assume, and where."""
    option = sys._xoptions.get("cpu_count")
    source = "-X cpu_count" if option is not None else "PYTHON_CPU_COUNT"
    # Since 3.13 the interpreter reads both, once, when it starts; os.cpu_count tells the outcome.
    settled = getattr(sys, "_get_cpu_count_config", None)
    if settled is not None:
        count = settled()
        return (count, source) if count > 0 else None
    if option is None and not sys.flags.ignore_environment:
        option = os.environ.get("PYTHON_CPU_COUNT")
    count = _positive(option)
    return (count, source) if count else None


def _positive(text: object) -> int:
    """The number that `text` spells, or 0 ("default", "", garbage)."""
    try:
        return max(0, int(text)) if isinstance(text, str) else 0
    except ValueError:
        return 0


def _gil() -> bool:
    enabled = getattr(sys, "_is_gil_enabled", None)
    return True if enabled is None else bool(enabled())


def _start_method() -> tuple[str, str]:
    """How multiprocessing would start processes, and who says so."""
    context = getattr(loaded("multiprocessing.context"), "_default_context", None)
    if context is None:
        return _platform_start_method(), "platform default"
    method = context.get_start_method(allow_none=True)
    if method:
        return str(method), "set in multiprocessing"
    return str(context.get_all_start_methods()[0]), "platform default"  # documented: the default comes first


def _platform_start_method() -> str:
    forks = sys.platform not in ("win32", "darwin")
    return ("forkserver" if sys.version_info >= (3, 14) else "fork") if forks else "spawn"


def _can_fork(method: str, source: str) -> bool:
    # macOS frameworks do not survive a fork. Where another method was settled on, we respect it: whoever set
    # it may hold something that a fork would break, and that is worth more than the milliseconds.
    return sys.platform == "linux" and (method == "fork" or source == "platform default")


def _daemon() -> bool:
    """Whether to start no processes; a worker with cores to spare may, within its share."""
    process = loaded("multiprocessing.process")
    alone = role.in_worker and (role.cores or 1) < 2
    return alone or (process is not None and bool(process.current_process().daemon))


def _native_pools() -> tuple[NativePool, ...]:
    try:
        import threadpoolctl  # type: ignore[import-not-found,import-untyped,unused-ignore]

        found = threadpoolctl.threadpool_info()
    except Exception:  # not installed, or a library that it cannot ask: a missing line in a table
        return ()
    return tuple(
        NativePool(str(pool.get("internal_api", "?")), int(pool.get("num_threads", 1)), pool.get("version"))
        for pool in found
    )
