"""Brings facts and judgment together: machine, calibration, hazards and forecasts make a plan."""

from __future__ import annotations

from collections.abc import Callable

from ..backends import registry
from ..decide import costs, planner, sizing
from ..decide.classify import profile_of
from ..frozen import replace
from ..measure import calibration, machine, pickling
from ..records import Forecast, Hazard, Machine, Plan, Profile, Sample, WorkKind
from .measured import Measured, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..backends.base import Backend, Deliver
    from ..options import Options
    from .feed import Feed
    from .loop import Block

__all__ = ["Judge"]

WORTH_CROSSING_S = 0.02  # a serial rest shorter than this is not worth measuring what pickling costs


class Judge:
    """Plans one run; asks the machine once.

    Args:
        call: the function.
        options: the caller's.
        feed: the items; forked workers may inherit them.
        sent: what workers call, where that is more than the function.

    Attributes:
        machine: what may be used.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        options: Options,
        feed: Feed | None = None,
        sent: Callable[..., Any] | None = None,
    ) -> None:
        self._call, self._options, self._feed = call, options, feed
        self._sent = call if sent is None else sent
        self.machine: Machine = machine.look()
        self._calibration = calibration.load()
        self._hazards: tuple[Hazard, ...] | None = None
        self._opened: list[Backend] = []

    # Plans ------------------------------------------------------------------------------------------------

    def plan(
        self, sample: Sample, measured: Measured, *, fork: bool, block: Block | None = None
    ) -> tuple[Plan, Profile]:
        """The plan for what a sample showed, and the profile it rests on.

        Args:
            sample: the figures.
            measured: what else is known of the items.
            fork: whether this is a place to fork from.
            block: what runs right now, if anything.
        """
        profile = profile_of(sample, gil=self.machine.gil)
        profile, stays = self._with_crossing(profile, measured, block)
        return self._choose(profile, measured, fork=fork, stays=stays), profile

    def replan(self, profile: Profile, measured: Measured) -> Plan:
        """The plan for a profile that was corrected while the work went on."""
        return self._choose(profile, measured, fork=False, stays="")

    def forced(self, remaining: int | None) -> tuple[Plan, Profile]:
        """The plan when the caller named a backend: no sample, the size of tasks follows the work."""
        backend = self._options.backend
        name = backend if isinstance(backend, str) else type(backend).__name__
        workers = self._options.max_workers or sizing.cpu_workers(self.machine, remaining)
        plan = Plan(name, workers, self._options.chunksize or 1, reason="the caller asked for this backend")
        return plan, self._unsampled(remaining)

    def direct(self, remaining: int | None, backend: str = "threads") -> tuple[Plan, Profile]:
        """The plan for async functions, and for calls that are given up after a while: none runs here."""
        unsafe = backend == "threads" and next((h for h in self.hazards() if not h.threads_ok), None)
        cap = 1 if unsafe else sizing.io_cap(self.machine, self._options.max_workers)
        reason = "item_timeout= keeps calls out of the caller's thread"
        if backend == "asyncio":
            reason = "an async function, whose calls share one event loop"
        plan = Plan(backend, cap, reason=f"{reason}; {unsafe}" if unsafe else reason, adaptive=True)
        return plan, self._unsampled(remaining, WorkKind.IO)

    def _unsampled(self, remaining: int | None, kind: WorkKind = WorkKind.TINY) -> Profile:
        name = name_of(self._call)
        return Profile(name, 0, 0.0, 0.0, 0.0, 0.0, kind=kind, remaining=remaining, evidence="not sampled")

    def _choose(self, profile: Profile, measured: Measured, *, fork: bool, stays: str) -> Plan:
        ways = self._forecasts(profile, fork)
        if self._options.backend == "threads":
            ways = (ways[0], replace(ways[1], seconds=min(ways[1].seconds, 0.5 * ways[0].seconds - 1.0)))
        plan = planner.choose(ways, profile)
        if plan.backend != "serial" and self._options.backend != "threads":
            hazards = tuple(dict.fromkeys(measured.hazards + self.hazards()))
            stays = stays or self._kept_here()
            ways = planner.refuse(ways, hazards=hazards, daemon=self.machine.daemon, stays=stays)
            plan = planner.choose(ways, profile, hazards)
        return self._adaptive(self._with_budget(plan, profile), profile)

    def _kept_here(self) -> str:
        """The option that keeps calls in this process, in words, or ""."""
        name = self._options.in_process
        return f"{name}= works in threads only" if name else ""

    def _adaptive(self, plan: Plan, profile: Profile) -> Plan:
        """Calls that wait are as many at once as the other side, the GIL and the machine turn out to bear."""
        if plan.backend != "threads" or profile.kind not in (WorkKind.IO, WorkKind.MIXED):
            return plan
        return replace(
            plan, max_workers=sizing.io_cap(self.machine, self._options.max_workers), adaptive=True
        )

    def _forecasts(self, profile: Profile, fork: bool) -> tuple[Forecast, ...]:
        if profile.remaining == 0:
            return (Forecast("serial", 1, 1, 0.0),)
        forks = fork and self._may_fork(director=True)
        return costs.forecasts(
            profile,
            self.machine,
            self._calibration,
            max_workers=self._options.max_workers,
            chunksize=self._options.chunksize,
            window=self._options.buffersize,
            fork=forks,
            inherited=forks and self._inherited() is not None,
            joblib=registry.installed("joblib"),
        )

    def _with_budget(self, plan: Plan, profile: Profile) -> Plan:
        if self._options.backend == "threads":
            plan = replace(plan, reason="backend='threads' was asked for")
        native = planner.native_budget(plan, self.machine, profile)
        return plan if native is None else replace(plan, native_threads=native)

    # Facts ------------------------------------------------------------------------------------------------

    def hazards(self) -> tuple[Hazard, ...]:
        """What in the function's code and belongings keeps it in this process."""
        if self._hazards is None:
            from ..measure.glance import harmless

            if harmless(self._call):
                self._hazards = ()
            else:
                from ..measure.hazards import find_hazards

                self._hazards = find_hazards(self._call)
        return self._hazards

    def _with_crossing(
        self, profile: Profile, measured: Measured, block: Block | None
    ) -> tuple[Profile, str]:
        """The profile with what it costs to send one item, and why that is impossible ("" if it is not)."""
        rest = profile.remaining
        if profile.kind is WorkKind.IO or (rest is not None and rest * profile.wall_s < WORTH_CROSSING_S):
            return profile, ""
        if measured.last is None:
            return self._with_running(profile, block)
        args, value = measured.last
        there, back = pickling.crossing(args), pickling.crossing(value)
        if there is None or back is None:
            what = "argument" if there is None else "result"
            kind = type(args[0] if there is None and args else value).__qualname__
            return profile, f"its {what} cannot be pickled: {kind} ({name_of(self._call)})"
        return replace(
            profile, bytes_in=there.size, bytes_out=back.size, crossing_s=there.seconds + back.seconds
        ), ""

    def _with_running(self, profile: Profile, block: Block | None) -> tuple[Profile, str]:
        if block is None:
            return profile, ""
        there = pickling.crossing(block.items[min(len(block.out), len(block.items) - 1)])
        if there is None:
            return profile, f"its argument cannot be pickled ({name_of(self._call)})"
        return replace(profile, bytes_in=there.size, crossing_s=there.seconds), ""

    def _may_fork(self, *, director: bool = False) -> bool:
        if not self.machine.can_fork or self._options.backend == "joblib":
            return False
        from ..backends.start import may_fork

        return may_fork(1 if director else 0) == ""

    def _inherited(self) -> Any:
        return self._feed.sequence if self._feed is not None else None

    # Backends ---------------------------------------------------------------------------------------------

    def open(self, plan: Plan, deliver: Deliver, *, fork: bool, eager: bool = False) -> Backend:
        """Make the backend of a plan; `eager` if its workers will be wanted at once."""
        forks = fork and plan.backend == "processes" and self._may_fork()
        backend = registry.open_backend(
            plan,
            deliver,
            call=self._sent,
            executor=self._options.backend,
            fork=forks,
            inherited=self._inherited() if forks else None,
            serialise=self._serialised,
            eager=eager,
        )
        self._opened.append(backend)
        return backend

    def _serialised(self, call: Callable[..., Any]) -> bytes:
        from ..measure.hazards import serialise

        data = serialise(call)
        if isinstance(data, Hazard):
            raise TypeError(f"{data}: it cannot be sent to another process")
        return data

    def learn(self) -> None:
        """Remember what pools cost here."""
        for backend in self._opened:
            seen = getattr(backend, "costs", None)
            if seen is not None and (found := seen()):
                calibration.learn(**found)
