"""A pool of workers as a run uses it: its track, how far it is opened, and whether the work fits the plan."""

from __future__ import annotations

from ..decide import sizing
from ..decide.drift import Drift
from ..decide.slow_start import SHORT
from ..errors import AutoexecError
from ..frozen import replace
from ..measure.gil_probe import quick_switching
from ..measure.sizes import weight
from ..records import Plan, Profile
from ..registry import SERIAL, THREADS, row
from .contention import Contention
from .ramp import STEP_S, Ramp
from .tracks import Chunks, TrackState, track_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .run import Run

__all__ = ["Pool"]

RAMP = 16  # calls sent out at first when the only evidence is that one call waits
TEND_S = 0.05  # seconds between two looks while the caller's thread is inside an item
PULLED = 4096  # items of a task of an input that has to be pulled: it is not read too far ahead
ATTENDED_S = 0.0005  # seconds of a call from which a task of its own, and its limits, cost below 5 %
WEIGHED = 32  # results that are weighed before the window grows


class Pool:
    """What a plan is carried out by.

    Args:
        run: whose it is.
        plan: the plan.
        profile: what it rests on.

    Attributes:
        track: where its slots are.
        next_plan: what it is to be followed by, or None.
        next_profile: what that rests on.
        spare: the pool that is to follow, if it is open already.
        waited: whether its threads have to end before the next pool is opened.
    """

    def __init__(self, run: Run, plan: Plan, profile: Profile) -> None:
        options = run.options
        self.plan, self.profile, self._run = plan, profile, run
        info = row(plan.backend)
        alone = options.journal is not None or plan.threads > 1
        # In threads a task for each call costs little, and a host that refuses is left alone at once.
        long = profile.partial or profile.wall_s > ATTENDED_S
        alone = alone or (options.attended and info.in_process and long)
        single = plan.adaptive or (alone and options.chunksize is None)
        heavy = (profile.bytes_in or 0) + (profile.bytes_out or 0)
        most = sizing.MOST if run.source.sequence is not None else PULLED
        chunks = Chunks(
            plan, options.chunksize, single=single, window=options.buffersize, bytes_each=heavy, most=most
        )
        self.track = track_of(plan, run.scheduler.queue, chunks, options.backend)
        self.track.note = self._note
        self.next_plan: Plan | None = None
        self.next_profile = profile
        self.spare: Pool | None = None
        self.waited = False
        self._clock = run.clock
        self._drift = Drift(plan, profile, self._clock())
        kept = options.in_process or options.item_timeout is not None
        self._free = options.free and not kept  # to leave this process
        watched = plan.adaptive and plan.backend == THREADS and run.planner.machine.gil and self._free
        self._contention = Contention(self._clock) if watched else None
        self._ramp = Ramp(self._clock)

    # Opening ----------------------------------------------------------------------------------------------

    def open(self, *, fork: bool) -> bool:
        """Make the backend; False if it cannot be had, `track.error` then says why."""
        run, track = self._run, self.track
        scheduler = run.scheduler
        run.source = scheduler.for_workers()
        run.source.for_pool(in_process=row(self.plan.backend).in_process)
        track.state = TrackState.OPENING
        scheduler.change(opens=[track])
        try:
            track.backend = run.planner.open(
                self.plan,
                scheduler,
                track,
                fork=fork,
                eager=True,
                profile=self.profile,
                loop=run.loop,
                blocked=self._blocked,
            )
        except (OSError, RuntimeError, AutoexecError) as error:
            scheduler.not_opened(track, error)
            return False
        return True

    def begin(self) -> None:
        """Its workers may ask from now on; until then the limits are those of the pool before it."""
        run = self._run
        self._attend()
        if run.options.buffersize is None:
            run.scheduler.room = sizing.window_size(self.profile, self.plan.at_once, self.track.chunks.size)
        run.scheduler.opened(self.track)

    def _attend(self) -> None:
        """Limits, where the plan adapts or the options ask for attention."""
        run, plan, profile = self._run, self.plan, self.profile
        if plan.adaptive:
            run.limit()
            limits = run.sink.limits
            assert limits is not None
            gil = run.planner.machine.gil
            sampled = profile if profile.items and not profile.partial else None
            run.scheduler.tell_limits(
                lambda: limits.adapt(
                    plan.max_workers,
                    profile.remaining,
                    sampled.wall_s if sampled is not None else None,
                    sampled.held_s if sampled is not None and gil else 0.0,
                )
            )
            if not gil:
                limits.held_share = 0.0
            elif sampled is not None and sampled.cpu_s > 0.0:
                limits.held_share = sampled.held_s / sampled.cpu_s
        elif run.sink.limits is not None:  # they still count, and hold nobody back
            run.scheduler.tell_limits(run.sink.limits.let_go)

    def _blocked(self, task: Any, seconds: float) -> None:
        from ..introspect import name_of

        limits = self._run.sink.limits
        assert limits is not None
        what = f"{name_of(self._run.call)} (item {task.place})"
        words: list[str | None] = []
        self._run.scheduler.tell_limits(lambda: words.append(limits.blocked(what, seconds)))
        if words and words[0]:
            import logging

            logging.getLogger("autoexec").warning("%s", words[0])

    @property
    def starting(self) -> bool:
        """Whether no worker has finished anything yet, and some have to be started first."""
        backend = self.track.backend
        return backend is not None and backend.starting and not self.track.done

    # How far it is opened ---------------------------------------------------------------------------------

    def narrow(self, *, waiting: bool) -> None:
        """Let only some calls out at first: the caller keeps a core busy, or one call is all that is known.

        Short runs do not wait for what that call shows after its wait, nor do those of which not all would be
        out by then (see `SlowStart`).
        """
        rest = self._run.remaining() or 0
        if waiting and self._contention is not None and SHORT < rest <= self.plan.max_workers:
            self._ramp.hold(rest)
        else:
            limit = RAMP if waiting else max(1, self._run.planner.machine.usable - 1)
            self._ramp.narrow(limit, doubles=self.plan.backend == THREADS)
        self.track.allowed = self._ramp.within(self.track.most)

    def open_up(self) -> None:
        """Let all out."""
        self._ramp.open()
        self._allow()

    def _allow(self) -> None:
        for _ in range(2):  # once more, as the other thread may have opened it meanwhile
            allowed = self._ramp.within(self.track.most)
            if allowed != self.track.allowed:
                self._run.scheduler.allow(self.track, allowed)

    def tend(self, alone_s: float, waited_s: float) -> float:
        """Open further while the first call goes on; returns the seconds until the next look.

        Args:
            alone_s: CPU seconds of the call that runs in the caller's thread, so far.
            waited_s: and the other seconds of that call; 0.0 if none runs.
        """
        self._ramp.step(self.track.most, self._warm_up, alone_s=alone_s, waited_s=waited_s)
        self._allow()
        self.look(alone_s, waited_s)
        if self.spare is None and self._ramp.prepares(alone_s):
            self._run.planner.prepare()
        if self._ramp.narrowed:
            return STEP_S
        return min(TEND_S, self._contention.due_s()) if self._contention is not None else TEND_S

    def _warm_up(self, count: int) -> int:
        return self._run.scheduler.warm_up(self.track, count)

    def first_ended(self, profile: Profile, *, importing: bool) -> None:
        """The first item, which ran in the caller's own thread while this began, has ended."""
        if self.plan.adaptive and not importing and self._first_shows(profile):
            return
        self.open_up()  # not before: it would let out what is better run elsewhere

    def _first_shows(self, profile: Profile) -> bool:
        """Learn from the first item; whether the others are run in another way."""
        if self._contention is not None:
            self._contention.first_ended(profile.held_s)
            if self._ramp.holds and sizing.mixes(profile) and self._left_alone(profile):
                return True
        limits = self._run.sink.limits
        if limits is not None:
            # What a single call computes may be its imports, or the first connection to a host.
            seconds = profile.held_s if profile.items > 1 else 0.0
            self._run.scheduler.tell_limits(lambda: limits.profiled(profile.wall_s, seconds))
        return False

    def _left_alone(self, profile: Profile) -> bool:
        """Change to processes if that is better; the first call was alone, and no other one is out."""
        profile = replace(profile, remaining=self._run.remaining())
        if self.spare is not None:
            self._run.change_to(self.spare.plan, self.spare.profile)
        elif plan := self._run.replan(profile):
            self._run.change_to(plan, profile, alone=True)
        return self.next_plan is not None

    # Does the work fit? -----------------------------------------------------------------------------------

    def _note(self, items: int, wall_s: float, cpu_s: float) -> None:
        """A task has ended; under the scheduler's lock."""
        self._drift.note(items, wall_s, cpu_s)
        if self._contention is not None:
            self._contention.note(items, wall_s, cpu_s)
        if self.track.chunks.fixed is None:
            self.track.chunks.follow(self._drift.item_s)
        if self._run.options.buffersize is None and not self.plan.adaptive:
            scheduler = self._run.scheduler
            scheduler.room = max(scheduler.room, 3 * self.plan.at_once * self.track.chunks.size)

    def look(self, alone_s: float = 0.0, waited_s: float = 0.0) -> None:
        """See whether calls that waited queue for the GIL now, and what follows."""
        contention, limits = self._contention, self._run.sink.limits
        if contention is None or limits is None or limits.metrics.refusals:
            return
        source, queued = self._run.source, self._run.scheduler.queue.items
        left = self._run.remaining() if source.at_hand or queued else 0
        contention.first_runs(alone_s, waited_s)
        metrics = limits.metrics
        begun, running = metrics.calls + metrics.at_once, metrics.at_once
        profile = contention.look(begun, running, self.profile, left)
        if profile is not None and not self._forks_soon():
            with quick_switching:
                self._get_ready(profile)
        if self.spare is not None:
            self._use_or_drop(contention)

    def _forks_soon(self) -> bool:
        """Whether workers can be forked once the first call, with nothing else out, has ended."""
        return self._ramp.holds and self._run.planner.forks_after(1 + self._ramp.started)

    def _get_ready(self, profile: Profile) -> None:
        """Start the workers that are wanted if the others do as the first call does: cores are idle."""
        if self.spare is not None or self.next_plan is not None:
            return
        plan = self._run.replan(profile)
        if plan is None or plan.backend == SERIAL:
            return
        spare = Pool(self._run, plan, profile)
        if spare.open(fork=False):
            self.spare = spare

    def _use_or_drop(self, contention: Contention) -> None:
        spare = self.spare
        assert spare is not None
        verdict = contention.verdict(spare.profile)
        if verdict:
            self._run.change_to(spare.plan, spare.profile)
        elif verdict is False:
            self._drop_spare()

    def _drop_spare(self) -> None:
        spare, self.spare = self.spare, None
        if spare is not None:
            self._run.scheduler.change(drains=[spare.track])
            if spare.track.backend is not None:
                spare.track.backend.close(wait=False, kill=True)

    def drifted(self, remaining: int | None) -> Profile | None:
        """The corrected profile, if what happened contradicts the one that the plan rests on."""
        source, queue = self._run.source, self._run.scheduler.queue
        if source.over and not queue.items:
            return None  # nothing is left that could run in another way
        gil = self._run.planner.machine.gil
        return self._drift.judge(self._clock(), remaining, gil=gil)

    def due_s(self) -> float:
        """Seconds until the next look."""
        return self._contention.due_s() if self._contention is not None else TEND_S * 2

    # What comes after it ----------------------------------------------------------------------------------

    def follow(self, plan: Plan, profile: Profile, *, alone: bool = False) -> None:
        """It is drained, and followed by another plan.

        Args:
            plan: that one.
            profile: what it rests on.
            alone: whether no call of this pool is out.
        """
        self.next_plan, self.next_profile = plan, profile
        self.open_up()
        if self.spare is not None and self.spare.plan.backend != plan.backend:
            self._drop_spare()
        if self.spare is None:  # threads of ours that end soon are waited for: then workers can be forked
            self.waited = alone or self._soon_alone(plan, profile)

    def _soon_alone(self, plan: Plan, profile: Profile) -> bool:
        """Whether the threads, which keep all cores busy, end soon, and workers can be forked after that."""
        if self.plan.backend != THREADS or not row(plan.backend).forks:
            return False
        planner, threads = self._run.planner, self.plan.max_workers
        after = planner.forks_after(threads + self._run.monitor.alive)
        return after and profile.wall_s * threads <= planner.fresh_s()

    def may_be_followed(self) -> bool:
        """Whether the next plan can be carried out now."""
        return not self.waited or self.track.state in (TrackState.CLOSED, TrackState.FAILED)

    def backend_close(self) -> None:
        """It has been drained: let its workers go when they have nothing more to do."""
        if self.track.backend is not None:
            self.track.backend.close(wait=self.waited)

    # Memory of results ------------------------------------------------------------------------------------

    def widen(self) -> bool:
        """Let others begin while the consumer waits for one slow call and the window is full."""
        scheduler = self._run.scheduler
        if not self.plan.adaptive or self._run.options.buffersize is not None or not scheduler.crammed():
            return False
        weights = [weight(value) for value in scheduler.finished(WEIGHED)]
        wanted = min(2 * scheduler.room, sizing.waiting_window(weights))
        if wanted <= scheduler.room:
            return False
        scheduler.widen(wanted)
        return True
