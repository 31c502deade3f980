"""When memory gets short: how much must stay free, and whether one more task may begin. Pure arithmetic.

The number of workers was chosen so that their items fit; this is for what nobody could know then: items
larger than the watched ones, other programs that grow, results that wait for a slow consumer.
"""

from __future__ import annotations

from ..records import Machine, Plan, Profile
from . import sizing

__all__ = ["Admission", "cap_words", "reserve"]

RESERVE = 256 << 20  # bytes to keep free for the caller, the kernel and what tasks under way still take
SHARE = 16  # of a control group's limit the reserve is at most a sixteenth: small containers are full early
AGAIN = 2  # reserves that must be free before tasks begin again; below that, one freed page would do


def reserve(limit: int | None) -> int:
    """Bytes to keep free under a control group's limit, or None without one.

    >>> reserve(None) >> 20, reserve(512 << 20) >> 20
    (256, 32)
    """
    return RESERVE if limit is None else min(RESERVE, limit // SHARE)


def cap_words(plan: Plan, machine: Machine, profile: Profile) -> str:
    """That memory keeps a plan from having a worker process for each core, or "" if it does not."""
    if plan.backend not in ("processes", "joblib"):
        return ""
    fitting = sizing.process_workers(machine, profile, profile.remaining)
    if plan.max_workers != fitting or fitting >= sizing.cpu_workers(machine, profile.remaining):
        return ""
    return f"no more than {fitting} workers fit into {machine.memory_available >> 20:,} MiB of free memory"


class Admission:
    """Decides, between two tasks, whether another one may begin.

    With no task under way one always may, however little is free: else nothing would ever end.

    Attributes:
        short: whether memory is short at the moment.
        times: how often it has become short.
        least: the fewest bytes that were available when it was, or None.

    >>> admission = Admission()
    >>> [admission.may_begin(free << 20, 4 << 30, running=3) for free in (900, 200, 400, 600)]
    [True, False, False, True]
    """

    __slots__ = ("least", "short", "times")

    def __init__(self) -> None:
        self.short = False
        self.times = 0
        self.least: int | None = None

    def may_begin(self, available: int, limit: int | None, running: int, item_bytes: int = 0) -> bool:
        """Whether a task may begin now.

        Args:
            available: bytes that may still be allocated.
            limit: bytes the control groups allow in all, or None.
            running: tasks under way.
            item_bytes: what one item adds to the memory, if known.
        """
        floor = reserve(limit) * (AGAIN if self.short else 1)
        short = available - item_bytes < floor
        if short and running and not self.short:
            self.times += 1
        self.short = short and (self.short or running > 0)
        if self.short and (self.least is None or available < self.least):
            self.least = available
        return not short or running == 0

    def __str__(self) -> str:
        if not self.times:
            return ""
        held = "once" if self.times == 1 else f"{self.times} times"
        return f"memory was short {held}: fewer tasks ran at a time ({(self.least or 0) >> 20} MiB were left)"
