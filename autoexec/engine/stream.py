"""The parallel part of a run: tasks out to a backend, results back in order, the window between.

One thread at a time drives a stream: the consumer's, or the director's while the caller's thread is still
inside an item. Workers only put finished tasks into the inbox.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from ..backends.base import Backend, Chunk, Deliver, Finished
from ..decide import sizing
from ..decide.drift import Drift
from ..errors import blame, unpacked
from ..measure.weight import weight
from ..records import Plan, Profile
from .feed import Feed
from .inbox import ANY, Inbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..options import Options

__all__ = ["Stream"]

RAMP_S = 0.001  # seconds between two steps when more and more waiting calls are let out
RAMP_BUSY = 0.9  # cores: starting threads takes most of one for a moment, computing items more for longer
WEIGH_AFTER, WEIGHED = 64, 32  # results between two that are weighed, and how many of these count
TOGETHER = 64  # single results that are handed on in one list
PULL_S = 0.002  # seconds the caller's iterator may take while results wait to be delivered

Open = Callable[[Plan, Deliver], Backend]
Replan = Callable[[Profile], Plan | None]


class Stream:
    """Runs what is left of a feed according to a plan, and to the plans that follow it.

    Args:
        feed: the items that are left.
        call: the function.
        plan: the first plan.
        profile: what the plan rests on.
        open_backend: makes the backend of a plan.
        replan: asked when the work contradicts the profile; a plan to change to, or None.
        options: the caller's: buffersize, chunksize, ordered, journal.
        deadline: `time.monotonic()` by which every result must be there, or None.
        gil: whether the interpreter has one.
        undelivered: results that wait for the consumer already.
    """

    def __init__(
        self,
        feed: Feed,
        call: Callable[..., Any],
        plan: Plan,
        profile: Profile,
        *,
        open_backend: Open,
        replan: Replan,
        options: Options,
        deadline: float | None = None,
        gil: bool = True,
        undelivered: int = 0,
    ) -> None:
        self._feed, self._call = feed, call
        self._open, self._replan = open_backend, replan
        self._fixed_window, self._chunksize = options.buffersize, options.chunksize
        self._journal = options.journal is not None  # results are kept as soon as they are there
        self._ordered, self._deadline, self._gil = options.ordered, deadline, gil
        self._inbox = Inbox()
        self._ready: dict[int, Finished] = {}
        self._next = feed.first()
        self._in_flight = undelivered  # items run or handed out, and not yet delivered
        self._under_way = 0  # tasks handed out and not yet finished
        self._backends: list[Backend] = []
        self._to_caller = self._interrupted = False
        self._weights: deque[int] = deque(maxlen=WEIGHED)
        self._arrivals = 0  # results since the last one that was weighed
        self._ramp: int | None = None
        self._ramp_cpu = self._ramp_time = 0.0
        self._adopt(plan, profile)

    def _adopt(self, plan: Plan, profile: Profile) -> None:
        self._plan, self._profile = plan, profile
        self._one_by_one = plan.adaptive or (self._journal and self._chunksize is None)
        self._chunk = 1 if self._one_by_one else self._chunksize or plan.chunksize
        self._window = self._fixed_window or sizing.window_size(profile, plan.max_workers, self._chunk)
        self._drift = Drift(plan, profile, time.perf_counter())
        self._backends.append(self._open(plan, self._inbox.put))

    # Out --------------------------------------------------------------------------------------------------

    def fill(self, *, at_hand: bool = False) -> None:
        """Hand out tasks until the window is full, or the input ends.

        Args:
            at_hand: only items that can be had without running the caller's iterator.
        """
        if self._to_caller:
            return
        backend, until = self._backends[-1], 0.0
        window = self._window if self._ramp is None else min(self._window, self._ramp)
        while self._in_flight < window:
            size = min(self._size(), window - self._in_flight)
            if at_hand:
                size = min(size, self._feed.at_hand())
            elif not self._feed.at_hand():
                # A slow iterator must not keep back results, nor the caller once the workers are busy.
                now = time.perf_counter()
                until = until or now + PULL_S
                self._absorb(self._inbox.take())
                if now > until and (self._ready or self._under_way >= 2 * self._plan.max_workers):
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
        return max(1, min(self._chunk, remaining // (2 * self._plan.max_workers)))

    # In ---------------------------------------------------------------------------------------------------

    def pump(self, timeout: float) -> None:
        """Take in what has finished and hand out more of what is at hand; used by the director."""
        self._absorb(self._inbox.wait(ANY, timeout if self._ramp is None else RAMP_S))
        if self._ramp is not None:
            self._climb()
        self.fill(at_hand=True)

    def ramp_up(self, limit: int | None) -> None:
        """Let only `limit` items out at first, then twice as many every millisecond while they leave the
        processor alone; None opens up at once.
        """
        self._ramp = limit
        self._ramp_cpu, self._ramp_time = time.process_time(), time.perf_counter()

    def _climb(self) -> None:
        cpu, now = time.process_time(), time.perf_counter()
        busy = (cpu - self._ramp_cpu) / max(1e-6, now - self._ramp_time)
        self._ramp_cpu, self._ramp_time = cpu, now
        if self._ramp is not None and busy < RAMP_BUSY and self._plan.backend == "threads":
            self._ramp = None if self._ramp > self._window else 2 * self._ramp

    def profiled(self, profile: Profile) -> None:
        """The first item, which ran in the caller's own thread while this began, has ended."""
        tell = getattr(self._backends[-1], "profiled", None)
        if tell is not None:
            # What a single call computes may be its imports, or the first connection to a host.
            tell(profile.wall_s, profile.held_s if profile.items > 1 else 0.0)

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
            if finished.wall_s:
                self._drift.note(len(finished.values) or 1, finished.wall_s, finished.cpu_s)
        if self._plan.adaptive and self._fixed_window is None:
            self._weigh(arrived)

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

    def _await_one(self) -> None:
        """Block until the task that is due next, or any if there is no order, is finished.

        Raises:
            TimeoutError: if the deadline passes first.
        """
        arrived = self._inbox.wait(self._next if self._ordered else ANY, self._patience())
        self._absorb(arrived)
        if not arrived and self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimeoutError("the results were not complete within timeout=")

    def _patience(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

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
                if self._widened():
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
        self._in_flight -= gone
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

    def _reconsider(self) -> None:
        self._follow_item_time()
        if not self._feed.at_hand() and self._under_way <= self._plan.max_workers:
            return  # nothing is left that could run in another way
        profile = self._drift.judge(time.perf_counter(), self._left(), gil=self._gil)
        if profile is not None:
            self.reconsider(profile)

    def reconsider(self, profile: Profile) -> None:
        """Ask for a plan for a corrected profile, and change to it if it is another."""
        plan = self._replan(profile)
        if plan is None:
            return
        old = self._backends[-1]
        for chunk in old.withdraw():
            self._in_flight -= len(chunk.items)
            self._under_way -= 1
            self._feed.give_back(chunk.start, chunk.items)
        old.close(wait=False)
        if plan.backend == "serial":
            self._to_caller = True
        else:
            self._adopt(plan, profile)

    def _left(self) -> int | None:
        """Items that no worker has begun, about."""
        remaining = self._feed.remaining()
        if remaining is None:
            return None
        return remaining + max(0, self._under_way - self._plan.max_workers) * self._chunk

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
            wanted = min(wanted, self._fixed_window // (2 * self._plan.max_workers))
        self._chunk = max(1, wanted)
        if self._fixed_window is None:
            self._window = max(self._window, 3 * self._plan.max_workers * self._chunk)

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """End the backends.

        Args:
            wait: until they are gone.
            kill: cancel what has not begun, and end what can be ended.
        """
        for backend in self._backends:
            backend.close(wait=wait, kill=kill)
        self._ready.clear()
