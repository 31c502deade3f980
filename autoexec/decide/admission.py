"""When memory gets short: how much must stay free, and whether one more task may begin. Pure arithmetic.

The number of workers was chosen so that their items fit; this is for what nobody could know then: items
larger than the watched ones, other programs that grow, results that wait for a slow consumer.
"""

from __future__ import annotations

from ..records import Machine, Plan, Profile
from ..registry import row
from . import sizing

__all__ = ["AGAIN", "Admission", "cap_words", "reserve"]

RESERVE = 256 << 20  # bytes to keep free for the caller, the kernel and what tasks under way still take
SHARE = 16  # of a control group's limit the reserve is at most a sixteenth: small containers are full early
QUIET_S = 60.0  # seconds after the kernel has ended a worker until one more may run again; doubled each time
AGAIN = 2  # reserves that must be free before tasks begin again; below that, one freed page would do


def reserve(limit: int | None) -> int:
    """Bytes to keep free under a control group's limit, or None without one.

    >>> reserve(None) >> 20, reserve(512 << 20) >> 20
    (256, 32)
    """
    return RESERVE if limit is None else min(RESERVE, limit // SHARE)


def cap_words(plan: Plan, machine: Machine, profile: Profile) -> str:
    """That memory keeps a plan from having a worker process for each core, or "" if it does not."""
    if not row(plan.backend).starts_processes:
        return ""
    fitting = sizing.process_workers(machine, profile, profile.remaining)
    if plan.max_workers != fitting or fitting >= sizing.cpu_workers(machine, profile.remaining):
        return ""
    return f"no more than {fitting} workers fit into {machine.memory_available >> 20:,} MiB of free memory"


class Admission:
    """Decides, between two tasks, whether another one may begin.

    With no task under way one always may, however little is free: else nothing would ever end.

    Attributes:
        kills: how often the kernel has ended a worker for want of memory.
        most: tasks that may run at a time since then, or None.
        short: whether memory is short at the moment.
        times: how often it has become short.
        least: the fewest bytes that were available when it was, or None.

    >>> admission = Admission()
    >>> [admission.may_begin(free << 20, 4 << 30, running=3) for free in (900, 200, 400, 600)]
    [True, False, False, True]
    """

    __slots__ = ("_quiet_s", "_until", "kills", "least", "most", "short", "times")

    def __init__(self) -> None:
        self.kills = 0
        self.most: int | None = None
        self._quiet_s, self._until = QUIET_S / 2, 0.0
        self.short = False
        self.times = 0
        self.least: int | None = None

    def killed(self, running: int, now: float) -> None:
        """The kernel has ended a worker, while so many others ran: one less at a time from now on.

        One that ran alone was too large by itself, and says nothing of the others. After a while one more may
        try, in case the one that died was unlike the others; after each death that while is twice as long, so
        that a run of n minutes loses about log2(n) items to such trials.
        """
        self.kills += 1
        if not running:
            return
        self.most = running if self.most is None else min(running, self.most)
        self._quiet_s *= 2
        self._until = now + self._quiet_s

    def may_begin(
        self, available: int, limit: int | None, running: int, wanted: int = 0, now: float = 0.0
    ) -> bool:
        """Whether a task may begin now.

        Args:
            available: bytes that may still be allocated.
            limit: bytes the control groups allow in all, or None.
            running: tasks under way.
            wanted: bytes that they and this one may still take, as far as that is known.
            now: seconds by a clock of one's own.
        """
        if self.most is not None and running >= self.most:
            if now < self._until:
                return False
            self.most, self._until = self.most + 1, now + self._quiet_s
        floor = reserve(limit) * (AGAIN if self.short else 1)
        short = available - wanted < floor
        if short and running and not self.short:
            self.times += 1
        self.short = short and (self.short or running > 0)
        if self.short and (self.least is None or available < self.least):
            self.least = available
        return not short or running == 0

    def __str__(self) -> str:
        words = []
        if self.times:
            fewer = f"fewer tasks ran at a time ({(self.least or 0) >> 20} MiB were left)"
            words.append(f"memory was short {_often(self.times)}: {fewer}")
        if self.kills:
            fewer = "the kernel ended a worker, and fewer ran after that"
            words.append(f"memory ran out {_often(self.kills)}: {fewer}")
        return "; ".join(words)


def _often(times: int) -> str:
    return "once" if times == 1 else f"{times} times"
