"""Brings facts and judgment together: machine, calibration, hazards and forecasts make a plan."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property, partial
from types import ModuleType

from ..backends.opening import Opening, Setting, TaskRules, WorkerConfig
from ..decide import admission as memory
from ..decide import costs, planner, sizing
from ..decide.classify import profile_of
from ..errors import shown, unpacked
from ..frozen import replace
from ..introspect import Same, loaded, name_of
from ..introspect.code import place_of
from ..measure.facts import Facts
from ..measure.sizes import weight
from ..records import CHANGES_ARGUMENT, Forecast, Hazard, Plan, Profile, Sample, WorkKind
from ..registry import ASYNCIO, PROCESSES, SERIAL, THREADS, opened, ours, row, weighed
from ..safety import fingerprint, serialization
from .memory import Memory
from .sampling import Sampler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..backends.base import Backend
    from ..backends.inline import Block
    from ..backends.processes.payload import Payload
    from ..options import Options
    from ..safety.globals_read import ModuleState
    from ..worker.invoke import CallSpec
    from .scheduler import Scheduler
    from .source import Source
    from .tracks import Track

__all__ = ["Planner"]

HEAVY_BYTES = 8 << 20  # of input, which forked workers read where it is
EXPLAIN_S = 0.1  # seconds to look for what cannot be pickled, while the work waits for a plan
WANTED = (  # by the way to other processes, each after what is slow in it
    *("..backends.processes.backend", "typing", "inspect", "logging", "uuid", "cloudpickle"),
    *("..safety.hazards", "..unpicklable"),
)
BARE = 150  # modules of a program that imports next to nothing
MODULE_S = 0.0003  # seconds to import a module (measured: 0.2 to 0.4 ms, many at a time)
WORTH_WAITING = 1.5  # how much longer an item may take than what it would cost not to wait for it
WORTH_CROSSING_S = 0.02  # a serial rest shorter than this is not worth measuring what pickling costs


class Planner:
    """Plans one run; asks the machine once.

    Args:
        call: the function.
        options: the caller's.
        source: the items; forked workers may inherit them.
        spec: what workers call; None where there will be none.
        facts: what the machine is and what its pools cost.

    Attributes:
        machine: what may be used.
        memory: watched while worker processes run; None before.
        caller: the number of the thread that takes the results, where there is one.
        unsent: why the rest is for the caller's own thread, once a result could not be sent; "" before.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        options: Options,
        source: Source | None = None,
        spec: CallSpec | None = None,
        *,
        facts: Facts,
    ) -> None:
        self._call, self._options, self._source, self._spec = call, options, source, spec
        self.machine, self._calibration, self._learn = facts.machine, facts.calibration, facts.learn
        self._hazards: tuple[Hazard, ...] | None = None
        # An initializer has to run again; and workers end with the executor that they belong to.
        self._again = options.initializer is None and source is not None
        self._opened: list[Backend] = []
        self._wanted = list(WANTED)
        self._memos: dict[str, dict[Any, Any]] = {}  # what workers send home entries for, by path
        # And what they make for themselves: places that the caller's first item has filled, locks.
        self._made: tuple[tuple[str, str, tuple[Any, ...]], ...] = ()
        self._renewed = False
        self._looked = False  # whether items were looked at
        self._modules: ModuleState | None = None
        self._lacking: list[str] = []  # of what the caller has set, as workers have not got it
        self.memory: Memory | None = None
        self._stayed, self._why = 0, ""
        self.caller: int | None = None
        self.unsent = ""

    # Plans ------------------------------------------------------------------------------------------------

    def plan(
        self, sample: Sample, sampler: Sampler, *, fork: bool, block: Block | None = None
    ) -> tuple[Plan, Profile]:
        """The plan for what a sample showed, and the profile it rests on.

        Args:
            sample: the figures.
            sampler: what else is known of the items.
            fork: whether this is a place to fork from.
            block: what runs right now, if anything.
        """
        profile = profile_of(sample, gil=self.machine.gil)
        profile, stays = self._with_crossing(profile, sampler, block)
        return self._choose(profile, sampler, fork=fork, stays=stays), profile

    def replan(self, profile: Profile, sampler: Sampler, block: Block | None = None) -> Plan:
        """The plan for a profile that was corrected while the work went on.

        Args:
            profile: the corrected one.
            sampler: what else is known of the items.
            block: what runs in the caller's thread right now, if anything.
        """
        stays = ""
        if profile.bytes_in is None:  # nobody thought of sending items anywhere yet
            profile, stays = self._with_crossing(profile, sampler, block)
        return self._choose(profile, sampler, fork=False, stays=stays)

    def forced(self, remaining: int | None) -> tuple[Plan, Profile]:
        """The plan when the caller named a backend: no sample, the size of tasks follows the work."""
        backend = self._options.backend
        name = backend if isinstance(backend, str) else type(backend).__name__
        workers = self._options.max_workers or sizing.cpu_workers(self.machine, remaining)
        plan = Plan(name, workers, self._options.chunksize or 1, reason="the caller asked for this backend")
        profile = self._unsampled(remaining)
        if backend == PROCESSES and (lost := self._ties(fork=True, monitor=False)):
            plan = replace(plan, reason=f"{plan.reason}; {lost[0]}", hazards=lost)
        return self._with_budget(plan, profile), profile

    def direct(self, remaining: int | None, backend: str = THREADS) -> tuple[Plan, Profile]:
        """The plan for async functions, and for calls that are given up after a while: none runs here."""
        unsafe = backend == THREADS and next((h for h in self.hazards() if not h.threads_ok), None)
        cap = 1 if unsafe else sizing.io_cap(self.machine, self._options.max_workers)
        reason = "item_timeout= keeps calls out of the caller's thread"
        if backend == ASYNCIO:
            reason = "an async function, whose calls share one event loop"
        plan = Plan(backend, cap, reason=f"{reason}; {unsafe}" if unsafe else reason, adaptive=True)
        return plan, self._unsampled(remaining, WorkKind.IO)

    def _unsampled(self, remaining: int | None, kind: WorkKind = WorkKind.TINY) -> Profile:
        name = name_of(self._call)
        return Profile(name, 0, 0.0, 0.0, 0.0, 0.0, kind=kind, remaining=remaining, evidence="not sampled")

    def _choose(self, profile: Profile, sampler: Sampler, *, fork: bool, stays: str) -> Plan:
        ways = self._forecasts(profile, fork)
        if self._options.backend == THREADS and len(ways) > 1:
            ways = (ways[0], replace(ways[1], seconds=min(ways[1].seconds, 0.5 * ways[0].seconds - 1.0)))
        plan = planner.choose(ways, profile)
        moves = self._source.moves() if plan.backend != SERIAL and self._source is not None else ""
        if plan.backend != SERIAL and (moves or self._options.backend != THREADS):
            hazards = (
                *self._importing(), *self._moving(moves), *self._against(sampler), *self._ties(fork)
            )  # fmt: skip
            stays = stays or self._kept_here()
            ways = planner.refuse(
                ways,
                hazards=hazards,
                daemon=self.machine.daemon,
                stays=stays,
                unstarted=self.machine.no_python,
                forks=bool(self.machine.no_python) and self._forks_or_has(fork),
            )
            plan = planner.choose(ways, profile, hazards)
        return self._adaptive(self._with_budget(plan, profile), profile)

    def _against(self, sampler: Sampler) -> tuple[Hazard, ...]:
        """What the sample and the code show against other processes, short of what the caller allows."""
        if self._options.effects == "ignore":
            return ()
        strict = self._options.effects == "strict"
        found = sampler.against(self.hazards(), strict=strict)
        self._memos, self._made = ({}, ()) if strict else (sampler.memos, sampler.made)
        self._renewed = not strict and sampler.effects is not None and sampler.effects.renewed
        self._looked = self._looked or sampler.effects is not None
        copies = self._options.writable == "copy"
        found = tuple(hazard for hazard in found if not (copies and hazard.kind == CHANGES_ARGUMENT))
        if found and self._source is not None and (name := self._source.shared):
            return (*found, Hazard("may change what its input reads", name, found[0].where, False))
        return found

    def importing(self) -> str:
        """The module that is being imported while this runs: its importer must not wait for others; or ""."""
        from ..introspect.importing import being_imported

        return being_imported(self._call, self.caller)

    def _importing(self) -> tuple[Hazard, ...]:
        name = "" if self._options.backend == THREADS else self.importing()
        words = "runs while a module is imported, for which workers would wait"
        return (Hazard(words, name, place_of(self._call), False),) if name else ()

    def _moving(self, words: str) -> tuple[Hazard, ...]:
        """What changes in the input while it is read on: each item is run before the next is pulled."""
        return (Hazard(words, "items", place_of(self._call), False),) if words else ()

    def _ties(self, fork: bool, *, monitor: bool = True) -> tuple[Hazard, ...]:
        """What the function uses that a worker could not be given."""
        if self._options.effects == "ignore":
            return ()
        from ..safety.ties import ties

        forks = fork and self._may_fork(monitor=monitor)
        state = self._module_state
        return ties(self._call, lambda: state().names, forks=forks, copies=lambda: state().copies)

    def _kept_here(self) -> str:
        """The option that keeps calls in this process, in words, or ""."""
        name = self._options.in_process
        return f"{name}= works in threads only" if name else ""

    def _forks_or_has(self, fork: bool) -> bool:
        """Whether workers are there without a fresh interpreter."""
        return self._sits_ready() or (fork and self._may_fork(monitor=True))

    def _adaptive(self, plan: Plan, profile: Profile) -> Plan:
        """Calls that wait are as many at once as the other side, the GIL and the machine turn out to bear."""
        if plan.backend != THREADS or profile.kind not in (WorkKind.IO, WorkKind.MIXED):
            return plan
        return replace(
            plan, max_workers=sizing.io_cap(self.machine, self._options.max_workers), adaptive=True
        )

    def _forecasts(self, profile: Profile, fork: bool) -> tuple[Forecast, ...]:
        if profile.remaining == 0:
            return (Forecast(SERIAL, 1, 1, 0.0),)
        forks = fork and self._may_fork(monitor=True)
        settings = costs.Settings(
            max_workers=self._options.max_workers,
            chunksize=self._options.chunksize,
            window=self._options.buffersize,
            fork=forks,
            warm=self._sits_ready(),
            inherited=forks and self._inherited(profile) is not None,
            others=weighed(self._calibration),
            mixed=self._options.item_timeout is None,  # or a worker would end that others still use
        )
        return costs.forecasts(profile, self.machine, self._calibration, settings)

    def _with_budget(self, plan: Plan, profile: Profile) -> Plan:
        if self._options.backend == THREADS and not plan.hazards:
            plan = replace(plan, reason="backend='threads' was asked for")
        if self._options.max_workers is None and (words := memory.cap_words(plan, self.machine, profile)):
            plan = replace(plan, reason=f"{plan.reason}; {words}")
        native = planner.native_budget(plan, self.machine, profile)
        return plan if native is None else replace(plan, native_threads=native)

    # Facts ------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Import a little of what other processes would need, while there is nothing else to do.

        Among threads that compute, each of the hundred system calls of an import waits for the GIL.
        """
        if self._options.free and not self.machine.daemon and self._wanted:
            from importlib import import_module

            import_module(self._wanted.pop(0), __package__)

    @cached_property
    def _harmless(self) -> bool:
        """Whether a glance at the code is enough."""
        from ..safety.quick_check import harmless

        return harmless(self._call)

    def hazards(self) -> tuple[Hazard, ...]:
        """What in the function's code and belongings keeps it in this process."""
        if self._hazards is None:
            if self._harmless:
                self._hazards = ()
            else:
                from ..safety.hazards import find_hazards

                self._hazards = find_hazards(self._call)
        return self._hazards

    def _with_crossing(self, profile: Profile, sampler: Sampler, block: Block | None) -> tuple[Profile, str]:
        """The profile with what it costs to send one item, and why that is impossible ("" if it is not)."""
        rest = profile.remaining
        if rest is not None and rest * profile.wall_s < WORTH_CROSSING_S:
            return profile, ""
        if self.importing():
            return profile, ""  # pickling would wait for that import; `_choose` names it
        waits = profile.kind is WorkKind.IO and not sizing.mixes(profile)
        if waits and all(hazard.threads_ok for hazard in self._against(sampler)):
            return profile, ""  # threads are for that; `_choose` asks again, which takes 0.1 ms by now
        if sampler.last is None:
            return self._with_running(profile, block)
        args, value = sampler.last
        there, back = serialization.crossing(args, load=False), serialization.crossing(value)
        if there is None or back is None:
            return profile, self._stuck(args, "args") if there is None else self._stuck(value, "result")
        return replace(
            profile, bytes_in=there.size, bytes_out=back.size, crossing_s=there.seconds + back.seconds
        ), ""

    def _with_running(self, profile: Profile, block: Block | None) -> tuple[Profile, str]:
        if block is None:
            return profile, ""
        item = block.items[min(len(block.out), len(block.items) - 1)]
        there = serialization.crossing(item, load=False)
        if there is None:
            star = self._source is not None and self._source.star
            return profile, self._stuck(unpacked(item, star), "args")
        return replace(profile, bytes_in=there.size, crossing_s=there.seconds), ""

    def _stuck(self, value: object, name: str) -> str:
        """Why something cannot be sent to another process, in words."""
        from ..unpicklable import explain

        return f"{explain(value, name, EXPLAIN_S)} ({name_of(self._call)})"

    def _may_fork(self, *, monitor: bool = False) -> bool:
        if not self.machine.can_fork or not self._options.may_fork:
            return False
        from ..backends.processes.start import may_fork

        return may_fork(1 if monitor else 0) == ""

    def forks_after(self, threads: int) -> bool:
        """Whether workers may be forked in the caller's thread when so many threads have ended."""
        if not self.machine.can_fork:
            return False
        from ..backends.processes.start import disturbance

        return disturbance(threads) == ""

    def patience_s(self) -> float:
        """Seconds that an item which runs in the main thread may take before fresh interpreters are started.

        Asked in the monitor's thread. Once the item has ended, workers can be forked, and need not import
        again what the function needs.
        """
        if self._sits_ready() or not self.forks_after(1):
            return 0.0
        return WORTH_WAITING * self.fresh_s()

    def fresh_s(self) -> float:
        """Seconds that fresh interpreters take longer than forked workers to know what the function needs."""
        imports = MODULE_S * max(0, len(sys.modules) - BARE)
        return imports + self._calibration.byte * (
            fingerprint.held_bytes(self._call) + self._input_bytes(None)
        )

    def _sits_ready(self) -> bool:
        """Whether workers of an earlier call wait that know the function."""
        kept = loaded("autoexec.backends.processes.idle")
        return kept is not None and kept.knows(self._state())

    def _inherited(self, profile: Profile | None) -> Any:
        """The input, where sending it would cost more than workers that can be used again are worth."""
        return self._source.sequence if self._source and self._input_bytes(profile) > HEAVY_BYTES else None

    def _input_bytes(self, profile: Profile | None) -> int:
        """About what the whole input weighs, where it lies in memory."""
        items = self._source.sequence if self._source is not None else None
        if not items or type(items) is range:
            return 0
        known = profile.bytes_in if profile is not None else None
        return len(items) * (weight(items[len(items) // 2]) if known is None else known)

    # Backends ---------------------------------------------------------------------------------------------

    def open(
        self,
        plan: Plan,
        scheduler: Scheduler,
        track: Track,
        *,
        fork: bool,
        eager: bool = False,
        profile: Profile | None = None,
        loop: Any = None,
        blocked: Callable[[Any, float], None] = lambda task, seconds: None,
    ) -> Backend:
        """Make the backend of a plan; `eager` if its workers will be wanted at once.

        Args:
            plan: the plan.
            scheduler: whom its workers ask.
            track: where its slots are.
            fork: whether this is a place to fork from.
            eager: whether its workers will be wanted at once.
            profile: what it is for.
            loop: the caller's event loop, for calls of async functions.
            blocked: told of such calls that kept the loop from all others.

        Raises:
            OSError: if processes cannot be started.
            RuntimeError: if threads cannot be started.
        """
        forks, self._modules = fork and row(plan.backend).forks and self._may_fork(), None
        if self._watched(plan) and self._spec is not None:
            from ..safety.memos import Home
            from ..safety.watch import Watch

            known = self._spec.surround
            self._spec.surround = known or Watch(
                self._call, tuple(self._memos), self._made, Home(self._memos)
            )
        setting = Setting(
            spec=self._spec,
            serialise=self._serialised,
            packed=self._packed,
            executor=self._options.backend,
            fork=forks,
            inherited=self._inherited(profile) if forks else None,
            eager=eager,
            config=self._config(plan),
            rules=self._rules(plan, profile, scheduler.clock, forks)
            if plan.backend == PROCESSES
            else TaskRules(),
            loop=loop,
            stayed=self._note_stayed,
            lacking=self._lacking.extend,
            blocked=blocked,
            clock=scheduler.clock,
        )
        info = row(plan.backend)
        backend: Backend = opened(info, Opening(plan, scheduler, track.add, setting))
        if not ours(info):
            from ..backends.guard import Guard

            backend = Guard(backend, info.name)
        self._opened.append(backend)
        return backend

    def _note_stayed(self, items: int, error: BaseException) -> None:
        self._stayed += items
        self._why = self._why or f"{type(error).__name__}: {shown(error)}"

    @property
    def afterwards(self) -> list[str]:
        """What went otherwise than planned, in words."""
        words = [str(self.memory or "")]
        if self._stayed:
            words.append(
                f"{self._stayed} items ran in this process, as workers could not have them ({self._why})"
            )
        if self._lacking:
            names = ", ".join(dict.fromkeys(self._lacking))
            words.append(f"workers have not got all of the caller's state, as it cannot be sent: {names}")
        return words

    def _watched(self, plan: Plan) -> bool:
        """Whether workers look at what items change: autoexec has chosen, and a glance was not enough."""
        looks = self._options.looks and self._source is not None
        enough = self._harmless and not self._looked  # items with methods of their own are looked at, too
        return looks and not (row(plan.backend).in_process or enough)

    def _config(self, plan: Plan) -> WorkerConfig:
        writable = self._options.writable or ""
        if self._options.free and not writable:
            writable = "copy" if self._options.effects == "ignore" else "watched"
        return WorkerConfig(plan.threads, plan.native_threads or 1, writable)

    def _rules(
        self, plan: Plan, profile: Profile | None, clock: Callable[[], float], forks: bool
    ) -> TaskRules:
        self.memory = Memory(profile.memory_bytes if profile is not None else 0, clock=clock)
        return TaskRules(
            item_timeout=self._options.item_timeout,
            strict=self._options.backend == PROCESSES,
            alone=plan.alone,
            expected_s=profile.wall_s if profile is not None else 0.0,
            state=self._state(),
            # What was put into a library stands in the way of others; a copy is asked for its own only.
            keep=self._again and (forks or not self._module_state().strange),
            travels=self._again and fingerprint.travels(self._call),
            starved=self.memory.starved,
            roomy=self.memory.roomy,
            again=self._calls_again,
        )

    def _module_state(self) -> ModuleState:
        """What the function reads in modules that a fresh interpreter imports anew: once for each opening."""
        if self._modules is None:
            from ..safety.globals_read import module_state

            self._modules = module_state(self._call)
        return self._modules

    def _calls_again(self, place: int, args: tuple[object, ...], error: BaseException) -> bool:
        """Whether the caller may call an item that a worker has called: where that makes no difference."""
        from ..safety.repeatable import repeatable

        free = self._again and self._options.free and self._options.item_timeout is None
        if not free or self._options.size is not None or not repeatable(self._call, args):
            return False
        self.unsent = self.unsent or (
            f"stays in the caller's thread from item {place} on, which was called again there, since nobody "
            f"can tell: {error}"
        )
        return True

    def _state(self) -> Any:
        """What the function depends on, for workers that may know it; None where that cannot be told."""
        if not self._again:
            return None
        state = fingerprint.state_of(self._call)
        spec = self._spec
        if state is None or spec is None:
            return state
        # Variables of the caller's are the context's own: a worker that knows others must not be used.
        variables = tuple((variable, Same(value)) for variable, value in (spec.context or {}).items())
        return (spec.capture, spec.star, frozenset(variables), state)

    def _serialised(self, spec: CallSpec) -> bytes:
        return self._equipped(spec, _as_bytes)  # type: ignore[no-any-return]

    def _packed(self, spec: CallSpec) -> Payload:
        from ..backends.processes.payload import pack

        return self._equipped(spec, pack)  # type: ignore[no-any-return]

    def _equipped(self, spec: CallSpec, send: Callable[[Any, Any], Any]) -> Any:
        """A function for another process, with what it reads in modules that are imported anew there."""
        from .. import by_value
        from ..backends.processes.module_globals import WithModuleGlobals, kind_of
        from ..known_objects import at_hand
        from ..safety.hazards import dump
        from ..safety.renewed import departing
        from ..unpicklable import Unpicklable
        from ..worker.context import carried

        spec.values = carried(spec.context, serialization.crosses)
        state, known = self._module_state(), spec.know()
        values, main, registered = state.values, state.main, state.registered
        unsent = {key: kind_of(value) for key, value in state.mocks.items()}
        made = self._made_modules(state)
        leaving = partial(departing, known, self._call, self._made, locks=self._renewed)
        with by_value.travelling_whole(state.unknown):
            if values or main or unsent or state.unknown or made or registered:
                try:
                    with at_hand(known, leaving()):
                        whole = WithModuleGlobals(spec, values, main, unsent, made, registered)
                        return send(whole, by_value.dumps)
                except Exception:  # the function, or some of that: then as much as can be sent
                    values = {key: value for key, value in values.items() if serialization.crosses(value)}
                    main = {name: value for name, value in main.items() if serialization.crosses(value)}
                registered = [row for row in registered if serialization.crosses(row)]
                kept = state.values.keys() - values.keys() - state.filled
                unsent.update((key, kind_of(state.values[key])) for key in kept)

            def sent(spec: CallSpec, dumps: Callable[..., bytes]) -> Any:
                if not (values or main or unsent or state.unknown or made or registered):
                    return send(spec, dumps)
                return send(WithModuleGlobals(spec, values, main, unsent, made, registered), by_value.dumps)

            with at_hand(known, leaving()):
                found = dump(spec, sent)
        if isinstance(found, Unpicklable):
            raise TypeError(f"{name_of(self._call)} cannot be sent to another process: {found}")
        return found

    def _made_modules(self, state: ModuleState) -> dict[str, dict[str, Any]]:
        """What modules hold that were made by hand, as far as it can be sent."""
        found = {}
        for name, module in state.made.items():
            if type(module) is ModuleType:
                held = {key: value for key, value in vars(module).items() if not key.startswith("__")}
                found[name] = {key: value for key, value in held.items() if serialization.crosses(value)}
                self._lacking += [f"{name}.{key}" for key in held.keys() - found[name].keys()]
            else:
                self._lacking.append(f"the module {name}")
        return found

    def learn(self) -> None:
        """Remember what pools cost here."""
        for backend in self._opened:
            if found := backend.costs():
                self._learn(**found)


def _as_bytes(value: object, dumps: Callable[..., bytes]) -> bytes:
    return dumps(value, protocol=5)
