"""The one helper thread of a run: it measures the caller's thread, and keeps the time.

It has four ways to be:

- *measuring*: half a millisecond at a time, with the GIL probe, while the first items run;
- *guarding*: looking up now and then while a serial plan runs, to see whether the items changed;
- *tending*: opening further what was opened while the caller's thread still finishes its item;
- *waiting* for the time at which the scheduler wants to be ticked.

It decides nothing: it is given what to call. It is started when it is needed first, and has ended before
anything forks.
"""

from __future__ import annotations

import contextvars
import math
import threading
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable

from ..measure.clocks import NativeShare, ThreadClock, age_clock, began_before, children_cpu
from ..measure.gil_probe import GilProbe, fine_switching, quick_switching
from ..own_thread import OwnThread
from ..own_time import time
from ..records import WorkKind
from ..registry import THREADS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..backends.inline import Block, InlineBackend
    from ..measure.momentary import Momentary
    from ..records import Plan, Profile

__all__ = ["Monitor", "Seen"]

WAITING_S = 0.0015  # an item that used no CPU for so long is waiting; waking up late takes at most 1 ms
LONG_S = 0.030  # an item still computing after so long is classified while it runs
PRESS_S = 0.005  # seconds of wanting the GIL without pause; costs a thread that needs it half of them
PRESS_ROUNDS = 3
GUARD_S = 0.02  # seconds between two looks at a serial run
STEADY_S = 0.0015  # between two looks of the probe: a thread that keeps the GIL is active for longer (SWITCH)
IDLE_S = 60.0  # seconds of one wait, where nothing is due


class Seen:
    """What was seen of the block that is running: how long, how many items, with how much CPU."""

    __slots__ = (
        "child",
        "cpu_s",
        "held_share",
        "items",
        "looked_s",
        "meanwhile",
        "native_before",
        "native_share",
        "pressed_cores",
        "queued_s",
        "running_s",
        "waiting",
    )

    def __init__(self) -> None:
        self.running_s = self.cpu_s = self.held_share = self.looked_s = self.native_share = 0.0
        self.pressed_cores: float | None = None
        self.meanwhile: tuple[str, ...] = ()  # of the process, what was set while items ran
        self.queued_s = 0.0
        self.items = 0
        self.child = self.waiting = self.native_before = False


class Monitor:
    """Watches the thread that makes it, and keeps the time.

    Args:
        inline: what runs in that thread.
        early: called, in the monitor's thread, when the running item shows enough for a decision; it returns
            True when the rest was taken over (then `tend` follows), False to go on watching.
        tend: called again and again after a take-over; returns the seconds until it wants to be called again.
        tick: called when the time has come; returns the next time.
        failed: told of an error that escapes.
        clock: tells the time, as `time.monotonic` does.
    """

    def __init__(
        self,
        inline: InlineBackend | None,
        early: Callable[[Seen], bool],
        tend: Callable[[], float],
        tick: Callable[[], float],
        failed: Callable[[BaseException], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inline, self._early, self._tend, self._tick, self._failed = inline, early, tend, tick, failed
        self._now = clock
        self._clock = ThreadClock(threading.get_ident(), threading.get_native_id())
        # Plain flags: Ctrl-C amid the methods of an Event would leave its lock held for ever.
        self._stop = self._measuring = self._press = False
        self._guarding = self._tending = self._ended = False
        self._thread: threading.Thread | None = None
        self._bell = allocate_lock()
        self._bell.acquire()
        self._probe = GilProbe(lambda seconds: self._bell.acquire(timeout=seconds))
        self._starting = allocate_lock()
        self._due = math.inf  # written by the monitor's own thread alone
        self._wishes: deque[float] = deque()  # what others want it to be
        self.expected_s = 0.0  # seconds a block should take; set while guarding
        self._own: ThreadClock | None = None
        self._children = self._queued = self._own_queued = self._cpu = 0.0
        self._known: frozenset[bytes] = frozenset()
        self._since = 0.0
        self._child_seen = False
        self._native = NativeShare()
        self._pressed: float | None = None
        self._momentary: Momentary | None = None
        self.whose: object = None

    # Called by other threads ------------------------------------------------------------------------------

    def measure(self) -> None:
        """Begin (again) to measure the thread that made this."""
        self._baseline()
        self._guarding = False
        self._measuring = True
        self._start()

    def _start(self) -> None:
        if self._ended:
            return
        if self._thread is not None or not self._starting.acquire(False):
            self._ring()
            return
        try:
            if self._thread is None:
                self._start_thread()
        finally:
            self._starting.release()

    def _start_thread(self) -> None:
        # Under the caller's context: what this thread opens hands it on to the items.
        context = contextvars.copy_context()
        thread = OwnThread(context.run, (self._run,), "autoexec-monitor", whose=self.whose)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # no threads to be had, as at interpreter shutdown: nobody watches, then
            self._thread = None

    def _ring(self) -> None:
        try:
            self._bell.release()
        except RuntimeError:  # it has been rung already
            pass

    def _baseline(self) -> None:
        self._children, self._queued, self._cpu = children_cpu(), self._clock.queued(), self._clock.cpu()
        self._own_queued = self._own.queued() if self._own is not None else 0.0
        self._known, self._child_seen = self._clock.children(), False
        self._since = age_clock()
        self._native.restart()
        self._probe.restart()
        if self._block is None:  # else an item has begun, and may have set what it sets
            self._note_process()
        self._press = False
        self._pressed = None

    def _note_process(self) -> None:
        if self._momentary is not None:
            self._momentary.note()
            return
        from ..measure.momentary import Momentary

        self._momentary = Momentary()

    def guard(self, expected_s: float) -> None:
        """From now on only look whether blocks take much longer than `expected_s` seconds."""
        self.expected_s = expected_s
        self._guarding = True
        self._measuring = False

    def wake_at(self, when: float) -> None:
        """Tick the scheduler then, at the latest."""
        self._wishes.append(when)
        if threading.current_thread() is not self._thread:
            self._start()

    @property
    def alive(self) -> bool:
        """Whether it has a thread."""
        return self._thread is not None

    def rest(self) -> None:
        """Nothing is to be watched any more; the time is kept as long as something is due."""
        self._measuring = False
        self._guarding = self._tending = False
        self._ring()

    def dismiss(self) -> None:
        """Ask the thread to end, for good; `stop` waits for it."""
        self._ended = True
        self._stop = True
        self._ring()

    def end(self) -> None:
        """End the thread for good, and wait for it."""
        self.dismiss()
        self.stop()

    def stop(self) -> None:
        """End the thread; afterwards this process has one thread less. It may be started again."""
        thread = self._thread
        if thread is None:
            return
        self._stop = True
        self._ring()
        if thread is not threading.current_thread():
            try:
                thread.join()
            except RuntimeError:  # Ctrl-C came before it was heard of: it ends as soon as it begins
                return
        self._thread = None
        self._ring()
        self._measuring = False
        self._guarding = self._tending = False
        if not self._ended:  # else somebody may be starting it at this very moment
            self._stop = False
        self._bell.acquire(False)

    def press(self) -> bool:
        """Have the thread want the GIL without pause for a moment; False if that was done already."""
        if self._press:
            return False
        self._press = True
        return True

    def unproven(self, plan: Plan, profile: Profile) -> bool:
        """Whether threads were chosen for work that seems to leave the GIL alone, and that was not tried yet.

        It will be while some more items run: a probe on a crowded machine finds the GIL free too often.
        """
        if profile.kind is not WorkKind.NATIVE or plan.backend != THREADS:
            return False
        return self._thread is not None and (self.press() or self.pressing)

    @property
    def pressing(self) -> bool:
        """Whether that was asked for and is not over."""
        return self._press and self._pressed is None

    def seen(self) -> Seen:
        """What was measured since `measure`, without a running item."""
        seen = Seen()
        seen.held_share, seen.looked_s = self._probe.share, self._probe.looked_s
        seen.native_share, seen.native_before = self._native.share(), self._native.before
        seen.pressed_cores = self._pressed
        seen.queued_s = self._queued_s()
        if self._momentary is not None:
            if self._block is None:
                self._momentary.settle()
            seen.meanwhile = self._momentary.names
        return seen

    def _queued_s(self) -> float:
        """Seconds that the watched thread has lost to other programs.

        When it hands the GIL to this thread, it sleeps until this one has a processor: that is no waiting of
        its own if in between it keeps the GIL as long as it may.
        """
        queued = max(0.0, self._clock.queued() - self._queued)
        active = self._clock.cpu() - self._cpu + queued
        if self._own is None or active < STEADY_S * self._probe.looks:
            return queued
        return queued + max(0.0, self._own.queued() - self._own_queued)

    @property
    def _block(self) -> Block | None:
        return self._inline.block if self._inline is not None else None

    def block_times(self) -> tuple[float, float]:
        """Seconds for which the watched thread computed and waited in its block; zeros if it runs none."""
        block = self._block
        if block is None:
            return 0.0, 0.0
        cpu = self._clock.cpu() - block.cpu_before
        return cpu, max(0.0, self._now() - block.began - cpu)

    @property
    def children_s(self) -> float:
        """CPU seconds of children that ended since `measure`, if the watched thread started any."""
        if not self._child_seen:
            return 0.0
        return max(0.0, children_cpu() - self._children)

    # The monitor's own thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._own = ThreadClock(threading.get_ident(), threading.get_native_id())
            while not self._over():
                self._live()
        except BaseException as error:  # whoever takes results has to hear of it
            self._failed(error)

    def _over(self) -> bool:
        """Whether this thread is to end: it was told so, or is not the monitor's any more.

        A `join` that Ctrl-C interrupts may take a thread for ended that is not (CPython before 3.13).
        """
        return self._stop or self._thread is not threading.current_thread()

    def _tends(self) -> bool:
        return self._tending

    def _live(self) -> None:
        if self._measuring:
            with fine_switching:
                self._tending = self._measure()
        elif self._tending:
            with quick_switching:
                while not self._over() and self._tends():
                    self._wait(self._tend())
        elif self._guarding:
            self._guard()
        else:
            self._wait(IDLE_S)

    def _wait(self, seconds: float) -> None:
        """Wait for so long, or until rung; what is due meanwhile is done."""
        left = min(seconds, self._next_tick() - self._now())
        if left > 0.0:
            self._bell.acquire(timeout=left)
        self._tick_if_due()

    def _next_tick(self) -> float:
        while self._wishes:
            self._due = min(self._due, self._wishes.popleft())
        return self._due

    def _tick_if_due(self) -> None:
        if self._now() >= self._next_tick():
            self._due = self._tick()  # what others wish meanwhile is looked at afterwards

    def _measure(self) -> bool:
        """Probe until told otherwise; True when the rest was taken over."""
        under_way = _UnderWay(self._now)
        while self._measuring and not self._over():
            whole = self._probe.look()
            self._tick_if_due()
            if not whole:
                continue
            self._native.look()
            if self._momentary is not None and self._block is not None:
                self._momentary.look()
            if self.pressing and self._block is not None:
                self._squeeze()
            if not under_way.same(self._block, self._clock, late=self._probe.late):
                continue
            if under_way.idle_s and not self._child_seen:
                self._child_seen = self._has_child()
            waiting = under_way.idle_s >= WAITING_S and self._clock.sleeping()
            if under_way.running_s < under_way.enough_s and not (waiting and not under_way.told):
                continue
            if not waiting and self._probe.share < 0.5 and self.press():
                self._squeeze()
            under_way.told = True
            under_way.enough_s = max(LONG_S, 2 * under_way.running_s)
            seen = self._seen_of(under_way, waiting)
            with quick_switching:
                if self._early(seen):
                    self._measuring = False
                    return True
        return False

    def _has_child(self) -> bool:
        """Whether the watched thread has started a process since `measure`."""
        new = self._clock.children() - self._known
        old = {pid for pid in new if began_before(pid, self._since)}
        self._known |= old  # of a thread that has ended, as the starter of a pool
        return new != old

    def _squeeze(self) -> None:
        """Want the GIL without pause, and see how many cores the watched thread and this one keep busy.

        The best of some short rounds counts: other work on the machine only takes away.
        """
        assert self._own is not None
        mine = self._own
        with quick_switching:
            self._pressed = max(self._squeeze_once(mine) for _ in range(PRESS_ROUNDS))
        self._probe.skip()

    def _squeeze_once(self, mine: ThreadClock) -> float:
        began = self._now()
        before = self._clock.cpu() + mine.cpu()
        while self._now() - began < PRESS_S:
            pass
        after = self._clock.cpu() + mine.cpu()
        return (after - before) / (self._now() - began)

    def _seen_of(self, under_way: _UnderWay, waiting: bool) -> Seen:
        seen = self.seen()
        seen.running_s, seen.cpu_s, seen.items = under_way.running_s, under_way.cpu_s, under_way.items
        if waiting and seen.cpu_s > 0.25 * seen.running_s:
            seen.running_s, seen.cpu_s = under_way.idle_s, 0.0  # what came before (an import) is over
        seen.waiting = waiting
        seen.child = waiting and self._child_seen
        return seen

    def _guard(self) -> None:
        """Look up now and then; a block that takes far too long is measured."""
        self._wait(GUARD_S)
        block = self._block
        if block is None or self._measuring or self._stop or not self._guarding:
            return
        if self._now() - block.began > max(GUARD_S, 10 * self.expected_s):
            self._baseline()
            self._guarding = False
            self._measuring = True


class _UnderWay:
    """What the watched thread has done in its present block since the monitor first looked at it.

    Attributes:
        running_s: seconds since then.
        cpu_s: CPU seconds of the thread since then.
        idle_s: seconds up to now in which it used no CPU.
        items: items that ended meanwhile.
        enough_s: seconds of computing after which a decision is due.
        told: whether a decision was asked for already.
    """

    __slots__ = (
        "_block",
        "_cpu",
        "_done",
        "_now",
        "_since",
        "cpu_s",
        "enough_s",
        "idle_s",
        "items",
        "running_s",
        "told",
    )

    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock
        self._block: Block | None = None
        self._begin(None, 0.0, 0.0)

    def _begin(self, block: Block | None, since: float, cpu: float) -> None:
        self._block, self._since, self._cpu = block, since, cpu
        self._done = len(block.out) if block is not None else 0
        self.running_s = self.cpu_s = self.idle_s = 0.0
        self.items, self.enough_s, self.told = 0, LONG_S, False

    def same(self, block: Block | None, clock: ThreadClock, *, late: bool) -> bool:
        """Whether there is a block, looked at before or seen from its beginning; its figures are then new."""
        if block is None:
            self._block = None
            return False
        now, cpu = self._now(), clock.cpu()
        if block is not self._block:
            fresh = not block.out
            self._begin(block, block.began if fresh else now, block.cpu_before if fresh else cpu)
        running, used = now - self._since, cpu - self._cpu
        # Reading the clocks and the system's own work leave some microseconds even to a sleeper.
        idle = not late and used - self.cpu_s < 0.2 * (running - self.running_s)
        self.idle_s = self.idle_s + running - self.running_s if idle else 0.0
        self.running_s, self.cpu_s = running, used
        self.items = len(block.out) - self._done
        return True
