"""The thread beside the loop: it measures the caller's thread, and decides while an item still runs.

It has three ways to be:

- *measuring*: half a millisecond at a time, with the GIL probe, while the first items run;
- *guarding*: looking up now and then while a serial plan runs, to see whether the items changed;
- *pumping*: handing out the rest to other workers while the caller's thread finishes its item.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable

from ..measure.clocks import NativeShare, ThreadClock, children_cpu
from ..measure.probe import GilProbe, fine_switching, quick_switching
from ..records import WorkKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..records import Plan, Profile
    from .loop import Block, Loop

__all__ = ["Director", "Seen"]

WAITING_S = 0.0015  # an item that used no CPU for so long is waiting; waking up late takes at most 1 ms
LONG_S = 0.030  # an item still computing after so long is classified while it runs
PRESS_S = 0.005  # seconds of wanting the GIL without pause; costs a thread that needs it half of them
PRESS_ROUNDS = 3
GUARD_S = 0.02  # seconds between two looks at a serial run
STEADY_S = 0.0015  # between two looks of the probe: a thread that keeps the GIL is active for longer (SWITCH)


class Seen:
    """What the director saw of the block that is running: how long, how many items, with how much CPU."""

    __slots__ = (
        "child",
        "cpu_s",
        "held_share",
        "items",
        "looked_s",
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
        self.queued_s = 0.0
        self.items = 0
        self.child = self.waiting = self.native_before = False


class Director:
    """Watches the thread that makes it.

    Args:
        loop: the loop to look into.
        early: called, in the director's thread, when the running item shows enough for a decision;
            it returns True when the rest was taken over (then `pump` follows), False to go on watching.
        pump: called again and again after a take-over until `stop`.
    """

    def __init__(self, loop: Loop, early: Callable[[Seen], bool], pump: Callable[[], None]) -> None:
        self._loop, self._early, self._pump = loop, early, pump
        self._clock = ThreadClock(threading.get_ident(), threading.get_native_id())
        self._stop = threading.Event()
        self._measuring = threading.Event()
        self._probe = GilProbe(self._stop)
        self._thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.expected_s = 0.0  # seconds a block should take; set while guarding
        self._own: ThreadClock | None = None
        self._children = self._queued = self._own_queued = self._cpu = 0.0
        self._known: frozenset[bytes] = frozenset()
        self._child_seen = False
        self._native = NativeShare()
        self._press = threading.Event()
        self._pressed: float | None = None

    # Called by the watched thread -------------------------------------------------------------------------

    def measure(self) -> None:
        """Begin (again) to measure."""
        self._baseline()
        self._measuring.set()
        if self._thread is None:
            # Under the caller's context: what this thread opens hands it on to the items.
            context = contextvars.copy_context()
            self._thread = threading.Thread(
                target=context.run, args=(self._run,), name="autoexec-director", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # no threads at interpreter shutdown: nobody watches, then
                self._thread = None

    def _baseline(self) -> None:
        self._children, self._queued, self._cpu = children_cpu(), self._clock.queued(), self._clock.cpu()
        self._own_queued = self._own.queued() if self._own is not None else 0.0
        self._known, self._child_seen = self._clock.children(), False
        self._native.restart()
        self._probe.restart()
        self._press.clear()
        self._pressed = None

    def guard(self, expected_s: float) -> None:
        """From now on only look whether blocks take much longer than `expected_s` seconds."""
        self.expected_s = expected_s
        self._measuring.clear()

    def dismiss(self) -> None:
        """Ask the thread to end; `stop` waits for it."""
        self._stop.set()

    def stop(self) -> None:
        """End the thread; afterwards this process has one thread less."""
        thread = self._thread
        if thread is None:
            return
        self._stop.set()
        if thread is not threading.current_thread():
            thread.join()
        self._thread = None
        self._stop.clear()

    def press(self) -> bool:
        """Have the thread want the GIL without pause for a moment; False if that was done already."""
        if self._press.is_set():
            return False
        self._press.set()
        return True

    def unproven(self, plan: Plan, profile: Profile) -> bool:
        """Whether threads were chosen for work that seems to leave the GIL alone, and that was not tried yet.

        It will be while some more items run: a probe on a crowded machine finds the GIL free too often.
        """
        if profile.kind is not WorkKind.NATIVE or plan.backend != "threads":
            return False
        return self.press() or self.pressing

    @property
    def pressing(self) -> bool:
        """Whether that was asked for and is not over."""
        return self._press.is_set() and self._pressed is None

    def seen(self) -> Seen:
        """What was measured since `measure`, without a running item."""
        seen = Seen()
        seen.held_share, seen.looked_s = self._probe.share, self._probe.looked_s
        seen.native_share, seen.native_before = self._native.share(), self._native.before
        seen.pressed_cores = self._pressed
        seen.queued_s = self._queued_s()
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

    def block_times(self) -> tuple[float, float]:
        """Seconds for which the watched thread computed and waited in its block; zeros if it runs none."""
        block = self._loop.block
        if block is None:
            return 0.0, 0.0
        cpu = self._clock.cpu() - block.cpu_before
        return cpu, max(0.0, time.perf_counter() - block.began - cpu)

    @property
    def children_s(self) -> float:
        """CPU seconds of children that ended since `measure`, if the watched thread started any."""
        if not self._child_seen:
            return 0.0
        return max(0.0, children_cpu() - self._children)

    # The director's own thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        self._own = ThreadClock(threading.get_ident(), threading.get_native_id())
        try:
            while not self._stop.is_set():
                if self._measuring.is_set():
                    with fine_switching:
                        taken = self._measure()
                else:
                    taken = self._guard()
                with quick_switching:
                    while taken and not self._stop.is_set():
                        self._pump()
        except BaseException as error:  # the caller's thread finds it and goes on by itself
            self.error = error

    def _measure(self) -> bool:
        """Probe until told otherwise; True when the rest was taken over."""
        under_way = _UnderWay()
        while self._probe.look() and self._measuring.is_set():
            self._native.look()
            if self.pressing and self._loop.block is not None:
                self._squeeze()
            if not under_way.same(self._loop, self._clock, late=self._probe.late):
                continue
            if under_way.idle_s and not self._child_seen:
                self._child_seen = not self._clock.children() <= self._known
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
                    return True
        return False

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
        began = time.perf_counter()
        before = self._clock.cpu() + mine.cpu()
        while time.perf_counter() - began < PRESS_S:
            pass
        after = self._clock.cpu() + mine.cpu()
        return (after - before) / (time.perf_counter() - began)

    def _seen_of(self, under_way: _UnderWay, waiting: bool) -> Seen:
        seen = self.seen()
        seen.running_s, seen.cpu_s, seen.items = under_way.running_s, under_way.cpu_s, under_way.items
        if waiting and seen.cpu_s > 0.25 * seen.running_s:
            seen.running_s, seen.cpu_s = under_way.idle_s, 0.0  # what came before (an import) is over
        seen.waiting = waiting
        seen.child = waiting and self._child_seen
        return seen

    def _guard(self) -> bool:
        """Look up now and then; a block that takes far too long is measured."""
        while not self._stop.wait(GUARD_S) and not self._measuring.is_set():
            block = self._loop.block
            if block is not None and time.perf_counter() - block.began > max(GUARD_S, 10 * self.expected_s):
                self._baseline()
                self._measuring.set()
        return False


class _UnderWay:
    """What the watched thread has done in its present block since the director first looked at it.

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
        "_since",
        "cpu_s",
        "enough_s",
        "idle_s",
        "items",
        "running_s",
        "told",
    )

    def __init__(self) -> None:
        self._block: Block | None = None
        self._begin(None, 0.0, 0.0)

    def _begin(self, block: Block | None, since: float, cpu: float) -> None:
        self._block, self._since, self._cpu = block, since, cpu
        self._done = len(block.out) if block is not None else 0
        self.running_s = self.cpu_s = self.idle_s = 0.0
        self.items, self.enough_s, self.told = 0, LONG_S, False

    def same(self, loop: Loop, clock: ThreadClock, *, late: bool) -> bool:
        """Whether there is a block, looked at before or seen from its beginning; its figures are then new."""
        block = loop.block
        if block is None:
            self._block = None
            return False
        now, cpu = time.perf_counter(), clock.cpu()
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
