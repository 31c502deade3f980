"""Does what happens contradict the plan? Facts in, a corrected profile out; no clock, no threads."""

from __future__ import annotations

from ..frozen import replace
from ..records import Plan, Profile, WorkKind
from ..registry import row
from .classify import MOSTLY

__all__ = ["FACTOR", "Drift"]

FACTOR = 10.0  # items this much longer or shorter than sampled are other items
LOOK_S = 0.1  # seconds between two judgments: some switch intervals, some tasks
STUCK = 1.25  # cores kept busy by two or more threads: below that they want the GIL


class Drift:
    """Watches finished tasks and says when the profile no longer holds.

    Tell it of each finished task with `note`; ask `judge` now and then.
    """

    __slots__ = ("_began", "_cpu", "_items", "_plan", "_profile", "_wall")

    def __init__(self, plan: Plan, profile: Profile, now: float) -> None:
        self._plan, self._profile = plan, profile
        self._restart(now)

    def _restart(self, now: float) -> None:
        self._began, self._items, self._wall, self._cpu = now, 0, 0.0, 0.0

    def note(self, items: int, wall_s: float, cpu_s: float) -> None:
        """Some items of one task are done: their seconds in the worker, and its CPU seconds."""
        self._items += items
        self._wall += wall_s
        self._cpu += cpu_s

    @property
    def item_s(self) -> float:
        """Seconds per item of late, or 0.0 before the first."""
        return self._wall / self._items if self._items else 0.0

    def judge(self, now: float, remaining: int | None, *, gil: bool = True) -> Profile | None:
        """The corrected profile when the plan's own is contradicted, else None."""
        span = now - self._began
        if span < LOOK_S or not self._items:
            return None
        item, cpu = self.item_s, self._cpu / self._items
        busy = self._cpu / span
        found: Profile | None = None
        if gil and self._stuck(busy, item, cpu):
            found = replace(
                self._corrected(item, cpu, remaining, held=1.0, stuck=True),
                kind=WorkKind.PYTHON,
                evidence=f"{self._plan.max_workers} threads keep {busy:.1f} cores busy: they want the GIL",
            )
        elif self._other_items(item, cpu):
            expected = self._profile.wall_s
            share = self._profile.held_s / self._profile.cpu_s if self._profile.cpu_s else 1.0
            if self._profile.partial and item > expected and cpu < 0.25 * item:
                self._profile = self._corrected(item, cpu, remaining, held=share)  # only an early guess
            else:
                found = replace(
                    self._corrected(item, cpu, remaining, held=share),
                    evidence=f"items take {item:.3g} s, not the {expected:.3g} s that were sampled",
                )
        self._restart(now)
        return found

    def _other_items(self, item: float, cpu: float) -> bool:
        """Whether the items are unlike those that were sampled.

        Work that computes is judged by its CPU time: on a busy machine its wall time grows by itself, and
        among the threads of a process it waits for the GIL.
        """
        expected = self._profile.wall_s
        if self._profile.wait_s < 0.25 * expected or self._plan.threads > 1:
            expected, item = self._profile.cpu_s, cpu
        return expected > 0 and not expected / FACTOR < item < expected * FACTOR

    def _stuck(self, busy: float, item: float, cpu: float) -> bool:
        if not row(self._plan.backend).in_process or self._plan.max_workers < 2 or self._plan.adaptive:
            return False  # of calls that wait, `Crowding` knows more
        # The threads were ready to run (not waiting for something else) but one core's worth ran.
        return 0.75 < busy < STUCK and self._profile.kind is not WorkKind.PYTHON and cpu > 0.001

    def _corrected(
        self, item: float, cpu: float, remaining: int | None, *, held: float, stuck: bool = False
    ) -> Profile:
        cpu = min(cpu, item)
        if stuck:
            item = max(cpu, min(item, cpu + self._profile.wait_s))  # the rest was waiting for the GIL
        wait = max(0.0, item - cpu)
        kind = self._profile.kind
        if not stuck:
            kind = WorkKind.IO if wait > MOSTLY * item else kind
        return replace(
            self._profile,
            wall_s=item,
            held_s=held * cpu,
            free_s=(1 - held) * cpu,
            wait_s=wait,
            kind=kind,
            remaining=remaining,
            partial=False,
        )
