"""The parallel part of a run: tasks out to a backend, results back in order, the window between.

One thread at a time drives a stream: the consumer's, or the director's while the caller's thread is still
inside an item. Workers only put finished tasks into the inbox.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from ..backends.base import Backend, Chunk, Deliver, Finished, run_items
from ..decide import sizing
from ..decide.drift import Drift
from ..decide.opening import SHORT
from ..errors import blame, unpacked
from ..frozen import replace
from ..measure.probe import quick_switching
from ..measure.weight import weight
from ..records import Plan, Profile
from .feed import Feed
from .inbox import ANY, Inbox
from .valve import STEP_S, Valve
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any

    from ..options import Options
else:
    from ..frozen import dataclass

__all__ = ["Settings", "Stream"]

WEIGH_AFTER, WEIGHED = 64, 32  # results between two that are weighed, and how many of these count
TOGETHER = 64  # single results that are handed on in one list
PULL_S = 0.002  # seconds the caller's iterator may take while results wait to be delivered

Open = Callable[[Plan, Deliver], Backend]
Replan = Callable[[Profile], Plan | None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a stream is given by its run, and whom it asks there.

    Attributes:
        options: the caller's: buffersize, chunksize, ordered, journal.
        open_backend: makes the backend of a plan.
        replan: asked when the work contradicts the profile; a plan to change to, or None.
        changed: told of a plan that was changed to, and of its profile.
        forks: whether workers may be forked in the caller's thread, once so many threads of ours have ended,
            and whether that is worth so many seconds of waiting for them.
        deadline: `time.monotonic()` by which every result must be there, or None.
        gil: whether the interpreter has one.
    """

    options: Options
    open_backend: Open
    replan: Replan
    changed: Callable[[Plan, Profile], None]
    forks: Callable[[int, float], bool]
    deadline: float | None = None
    gil: bool = True


class Stream:
    """Runs what is left of a feed according to a plan, and to the plans that follow it.

    Args:
        feed: the items that are left.
        call: the function.
        plan: the first plan.
        profile: what the plan rests on.
        settings: those of the run.
        undelivered: results that wait for the consumer already.
    """

    def __init__(
        self,
        feed: Feed,
        call: Callable[..., Any],
        plan: Plan,
        profile: Profile,
        settings: Settings,
        *,
        undelivered: int = 0,
    ) -> None:
        options = settings.options
        self._feed, self._call, self._settings = feed, call, settings
        self._fixed_window, self._chunksize = options.buffersize, options.chunksize
        self._journal = options.journal is not None  # results are kept as soon as they are there
        kept = options.in_process or options.item_timeout is not None
        self._free = options.backend == "auto" and not kept  # to leave this process
        self._ordered = options.ordered
        self._inbox = Inbox()
        self._ready: dict[int, Finished] = {}
        self._next = feed.first()
        self._in_flight = undelivered  # items run or handed out, and not yet delivered
        self._under_way = 0  # tasks handed out and not yet finished
        self._backends: list[Backend] = []
        self._to_caller = self._interrupted = False
        self._weights: deque[int] = deque(maxlen=WEIGHED)
        self._arrivals = 0  # results since the last one that was weighed
        self._valve = Valve()
        self._spare: tuple[Plan, Profile, Backend] | None = None  # to change to, if it proves right
        self._adopt(plan, profile)

    def _adopt(self, plan: Plan, profile: Profile, backend: Backend | None = None) -> None:
        self._plan, self._profile = plan, profile
        alone = self._journal or plan.threads > 1
        self._one_by_one = plan.adaptive or (alone and self._chunksize is None)
        self._chunk = 1 if self._one_by_one else self._chunksize or plan.chunksize
        self._window = self._fixed_window or sizing.window_size(profile, plan.at_once, self._chunk)
        self._drift = Drift(plan, profile, time.perf_counter())
        watched = plan.adaptive and plan.backend == "threads" and self._settings.gil and self._free
        self._watch = Watch() if watched else None
        self._backends.append(backend or self._settings.open_backend(plan, self._inbox.put))

    # Out --------------------------------------------------------------------------------------------------

    def fill(self, *, at_hand: bool = False) -> None:
        """Hand out tasks until the window is full, or the input ends.

        Args:
            at_hand: only items that can be had without running the caller's iterator.
        """
        if self._to_caller:
            return
        backend, until = self._backends[-1], 0.0
        window = self._valve.within(self._window)
        while self._in_flight < window:
            size = min(self._size(), window - self._in_flight)
            if at_hand:
                size = min(size, self._feed.at_hand())
            elif not self._feed.at_hand():
                # A slow iterator must not keep back results, nor the caller once the workers are busy.
                now = time.perf_counter()
                until = until or now + PULL_S
                self._absorb(self._inbox.take())
                if now > until and (self._ready or self._under_way >= 2 * self._plan.at_once):
                    return
            start, items = self._feed.take(size) if size else (0, ())
            if not len(items):
                return
            self._in_flight += len(items)
            self._under_way += 1
            backend.submit(Chunk(start, items, self._call, self._feed.star))

    def _size(self) -> int:
        """Items of the next task: as planned, but smaller towards the end so that workers finish together."""
        if self._chunksize is not None or self._chunk == 1:
            return self._chunk
        remaining = self._feed.remaining()
        if remaining is None:
            return self._chunk
        return max(1, min(self._chunk, remaining // (2 * self._plan.at_once)))

    # In ---------------------------------------------------------------------------------------------------

    def pump(self, timeout: float, alone_s: float = 0.0, waited_s: float = 0.0) -> bool:
        """Take in what has finished and hand out more of what is at hand; used by the director.

        Args:
            timeout: seconds to wait for something to finish.
            alone_s: CPU seconds of the call that runs in the caller's thread, so far.
            waited_s: and the other seconds of that call; 0.0 if none runs.

        Returns:
            Whether there is time to prepare for other processes.
        """
        if self._watch is not None:
            timeout = min(timeout, self._watch.due_s())
        self._absorb(self._inbox.wait(ANY, STEP_S if self._valve.narrowed else timeout))
        self._valve.step(self._window, self._warm_up, alone_s=alone_s, waited_s=waited_s)
        self._look(alone_s, waited_s)
        self.fill(at_hand=True)
        return self._spare is None and self._valve.prepares(alone_s)

    def narrow(self, limit: int, *, hold: bool = False) -> None:
        """Let only `limit` items out at first, then more and more while they leave the processor alone.

        Args:
            limit: items.
            hold: let none out until the first call has shown what it does after its wait. Short runs do not
                wait for that, nor do those of which not all would be out by then (see `Opening`).
        """
        rest = self._feed.remaining() or 0
        if hold and self._watch is not None and SHORT < rest <= self._plan.max_workers:
            self._valve.hold(rest)
        else:
            self._valve.narrow(limit, doubles=self._plan.backend == "threads")

    def open_up(self) -> None:
        """Let all items out."""
        self._valve.open()

    def _warm_up(self, count: int) -> int:
        return int(self._backends[-1].warm_up(count))  # type: ignore[attr-defined]

    def profiled(self, profile: Profile) -> None:
        """The first item, which ran in the caller's own thread while this began, has ended."""
        if self._watch is not None:
            self._watch.first_ended(profile.held_s)
            if self._valve.held_back and sizing.mixes(profile) and self._left_alone(profile):
                return
        tell = getattr(self._backends[-1], "profiled", None)
        if tell is not None:
            # What a single call computes may be its imports, or the first connection to a host.
            tell(profile.wall_s, profile.held_s if profile.items > 1 else 0.0)

    def _left_alone(self, profile: Profile) -> bool:
        """Change to processes if that is better; the first call was alone, and no other one is out."""
        profile = replace(profile, remaining=self._feed.remaining())
        if self._spare is not None:
            self._change(*self._spare)
        elif plan := self._settings.replan(profile):
            self._change(plan, profile, wait=True)  # a process that has threads must not fork
        return self._watch is None

    def delivered(self, count: int) -> None:
        """The consumer took results that were there before."""
        self._in_flight -= count

    def interrupt(self) -> None:
        """End `blocks`, from another thread."""
        self._interrupted = True
        self.wake()

    def wake(self) -> None:
        """End a `pump` that waits, from another thread."""
        self._inbox.wake()

    def _absorb(self, arrived: list[Finished]) -> None:
        for finished in arrived:
            self._under_way -= 1
            self._ready[finished.chunk.start] = finished
            if self._feed.scattered:
                self._settle(finished)
            if finished.wall_s:
                count = len(finished.values) or 1
                self._drift.note(count, finished.wall_s, finished.cpu_s)
                if self._watch is not None:
                    self._watch.note(count, finished.wall_s, finished.cpu_s)
        if self._plan.adaptive and self._fixed_window is None:
            self._weigh(arrived)

    def _settle(self, finished: Finished) -> None:
        """Make room now: out of order, a result may wait until the end for those before it."""
        self._in_flight -= len(finished.chunk.items)
        if finished.error is not None and self._ordered:
            self._take_back(self._backends[-1])
            self._feed.end_at(finished.chunk.start)

    def _weigh(self, arrived: list[Finished]) -> None:
        """Look at one result of many."""
        self._arrivals += len(arrived)
        due = len(self._weights) < sizing.SOME or self._arrivals > WEIGH_AFTER
        if due and arrived and arrived[-1].values:
            self._weights.append(weight(arrived[-1].values[-1]))
            self._arrivals = 0

    def _widened(self) -> bool:
        """Whether others may begin while the consumer waits for one slow call and the window is full."""
        if not self._plan.adaptive or self._fixed_window is not None or self._in_flight < self._window:
            return False
        before, self._window = self._window, min(2 * self._window, sizing.waiting_window(self._weights))
        return self._window > before

    def _helped(self) -> bool:
        """Run a task here while no worker is ready: this core would have nothing to do."""
        spare = getattr(self._backends[-1], "spare", None)
        chunk = spare() if spare is not None and self._free else None
        if chunk is None:
            return False
        finished = Finished(chunk, *run_items(chunk.call, chunk.items, chunk.star), "the caller's thread")
        if finished.error is not None and not isinstance(finished.error, Exception):
            raise finished.error  # Ctrl-C and the like do not wait for their turn
        self._absorb([finished])
        return True

    def _await_one(self) -> None:
        """Block until the task that is due next, or any if there is no order, is finished.

        Raises:
            TimeoutError: if the deadline passes first.
        """
        due = self._next if self._ordered and not self._feed.scattered else ANY
        arrived = self._inbox.wait(due, self._patience())
        self._absorb(arrived)
        if not arrived and self._left_s() == 0.0:
            raise TimeoutError("the results were not complete within timeout=")

    def _left_s(self) -> float | None:
        """Seconds until the deadline, if there is one."""
        deadline = self._settings.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _patience(self) -> float | None:
        left = self._left_s()
        if self._watch is None:
            return left
        return self._watch.due_s() if left is None else min(left, self._watch.due_s())

    def blocks(self) -> Iterator[list[Any]]:
        """Yield lists of results, in order or as they complete, until the feed is empty.

        It ends early, with everything delivered that was handed out, when a new plan says that the
        caller's own thread should run the rest.

        Raises:
            Exception: what an item raised, in its place.
            TimeoutError: if the deadline passes.
        """
        while not self._interrupted:
            self.fill()
            finished = self._pick()
            if finished is None:
                if not self._under_way:
                    if self._feed.at_hand() and not self._to_caller:
                        continue
                    return
                if self._widened() or self._helped():
                    continue
                self._await_one()
                self._reconsider()
                continue
            yield from self._out(finished)

    def _out(self, finished: Finished | None) -> Iterator[list[Any]]:
        """What is finished, single results that are ready together in one list."""
        values: list[Any] = []
        gone = 0
        while finished is not None:
            count = len(finished.chunk.items)
            self._next = finished.chunk.start + count
            gone += count
            values = values + finished.values if values else finished.values
            if finished.error is not None or count > 1 or len(values) >= TOGETHER:
                break
            finished = self._pick()
        if values:
            yield values
        self._in_flight -= 0 if self._feed.scattered else gone
        if finished is not None and finished.error is not None:
            raise self._blamed(finished)

    def _pick(self) -> Finished | None:
        if self._ordered:
            return self._ready.pop(self._next, None)
        return self._ready.popitem()[1] if self._ready else None

    def _blamed(self, finished: Finished) -> BaseException:
        place = len(finished.values)
        item = finished.chunk.items[place] if place < len(finished.chunk.items) else ()
        args = unpacked(item, finished.chunk.star)
        assert finished.error is not None
        return blame(finished.error, finished.chunk.start + place, args, finished.where)

    # Changing the plan ------------------------------------------------------------------------------------

    def _look(self, alone_s: float = 0.0, waited_s: float = 0.0) -> None:
        """See whether calls that waited queue for the GIL now, and what follows."""
        watch, count = self._watch, getattr(self._backends[-1], "counts", None)
        counts = count() if watch is not None and count is not None else None
        if watch is None or counts is None:
            return
        begun, running = counts
        rest, queued = self._feed.remaining(), max(0, self._under_way - running)
        left = 0 if not self._feed.at_hand() and not queued else None if rest is None else rest + queued
        watch.first_runs(alone_s, waited_s)
        profile = watch.look(begun, running, self._profile, left)
        if profile is not None and not self._forks_soon():
            with quick_switching:
                self._get_ready(profile)
        if self._spare is not None:
            self._use_or_drop(watch)

    def _forks_soon(self) -> bool:
        """Whether workers can be forked once the first call, with nothing else out, has ended."""
        return self._valve.holds and self._settings.forks(1 + self._valve.started, 0.0)

    def _get_ready(self, profile: Profile) -> None:
        """Start the workers that are wanted if the others do as the first call does: cores are idle."""
        plan = self._settings.replan(profile) if self._spare is None else None
        if plan is not None and plan.backend != "serial":
            self._spare = (plan, profile, self._settings.open_backend(plan, self._inbox.put))

    def _use_or_drop(self, watch: Watch) -> None:
        assert self._spare is not None
        plan, profile, backend = self._spare
        verdict = watch.verdict(profile)
        if verdict is None:
            return
        self._spare = None
        if verdict:
            self._change(plan, profile, backend)
        else:
            backend.close(wait=False, kill=True)

    def _reconsider(self) -> None:
        self._look()
        self._follow_item_time()
        if not self._feed.at_hand() and self._under_way <= self._plan.at_once:
            return  # nothing is left that could run in another way
        profile = self._drift.judge(time.perf_counter(), self._left(), gil=self._settings.gil)
        if profile is not None:
            self.reconsider(profile)

    def reconsider(self, profile: Profile) -> None:
        """Ask for a plan for a corrected profile, and change to it if it is another."""
        plan = self._settings.replan(profile)
        if plan is not None:
            self._change(plan, profile, wait=self._soon_alone(plan, profile))

    def _soon_alone(self, plan: Plan, profile: Profile) -> bool:
        """Whether the threads, which keep all cores busy, end soon, and workers can be forked after that."""
        old = self._plan
        if (old.backend, plan.backend) != ("threads", "processes"):
            return False
        return self._settings.forks(old.max_workers, profile.wall_s * old.max_workers)

    def _change(
        self, plan: Plan, profile: Profile, backend: Backend | None = None, *, wait: bool = False
    ) -> None:
        """Run what no worker has begun by another plan."""
        old = self._backends[-1]
        self._take_back(old)
        old.close(wait=wait)
        self._spare = None
        self._settings.changed(plan, profile)
        self._valve.open()
        if plan.backend == "serial":
            self._to_caller = True
        else:
            self._adopt(plan, profile, backend)

    def _take_back(self, backend: Backend) -> None:
        """Return to the feed what no worker has begun."""
        for chunk in backend.withdraw():
            self._in_flight -= len(chunk.items)
            self._under_way -= 1
            self._feed.give_back(chunk.start, chunk.items)

    def _left(self) -> int | None:
        """Items that no worker has begun, about."""
        remaining = self._feed.remaining()
        if remaining is None:
            return None
        return remaining + max(0, self._under_way - self._plan.at_once) * self._chunk

    def _follow_item_time(self) -> None:
        """Let the size of tasks follow what items really take."""
        item = self._drift.item_s
        if self._chunksize is not None or item <= 0.0 or self._one_by_one:
            return
        if self._chunk == 1 and item > sizing.TASK_S / 10:
            return
        wanted = min(sizing.MOST, int(sizing.TASK_S / item), 4 * self._chunk)
        heavy = (self._profile.bytes_in or 0) + (self._profile.bytes_out or 0)
        if heavy:
            wanted = min(wanted, (4 << 20) // heavy)
        if self._fixed_window is not None:
            wanted = min(wanted, self._fixed_window // (2 * self._plan.at_once))
        self._chunk = max(1, wanted)
        if self._fixed_window is None:
            self._window = max(self._window, 3 * self._plan.at_once * self._chunk)

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """End the backends.

        Args:
            wait: until they are gone.
            kill: cancel what has not begun, and end what can be ended.
        """
        if self._spare is not None:
            self._spare[2].close(wait=wait, kill=True)
        for backend in self._backends:
            backend.close(wait=wait, kill=kill)
        self._ready.clear()
