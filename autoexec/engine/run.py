"""One run, from the first item to the last: the whole story of the library in one file.

    begin ─► sample in the caller's thread ─► decide ─┬─► go on in the caller's thread, guarded
                   (the director watches)             └─► Stream: the rest, in threads or processes
                                                              └─► decide again if the work changes

The caller's thread owns a run. The director's thread touches it only in `_early` and `_pump`, under
`_lock`, and only while the caller's thread is inside an item.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator

from ..errors import blame, unpacked
from ..frozen import replace
from ..records import Plan, Profile, WorkKind, spell
from ..resources import close_here
from .attention import Attention
from .director import Director, Seen
from .feed import Feed
from .loop import Block, Loop
from .measured import Measured
from .outlet import Outlet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from typing import Any

    from ..backends.base import Backend, Deliver
    from ..options import Options
    from .bookkeeping import Keep
    from .judge import Judge
    from .stream import Stream

__all__ = ["Run"]

BUDGET_S = 0.020  # seconds of work to watch before a decision
TRIFLE_S = 0.003  # a rest shorter than this is finished before any pool has started
CRUMB_S = 2e-6  # items shorter than this cost more to send to a worker than to run (measured: 1 to 3 µs)
CRUMBS_S = 0.0003  # seconds of such items that settle it
RAMP = 16  # calls sent out at first when the only evidence is that one call waits
BLOCK_S = 0.0015  # seconds of work per block of a serial run
BLOCK_BYTES = 4 << 20  # of results that a block may hold before the consumer sees the first
MOST = 32_768  # items per block: beyond that the processor's caches suffer


class Run:
    """A function, its items and the options, on their way to results.

    Args:
        call: the function.
        feed: the items.
        options: the resolved options.
        keep: the journal, where there is one.
        loop: the event loop in which the calls of an async function are to run; None for one of our own.

    Attributes:
        plan: how the rest is run, or None as long as that is open.
        profile: what one item costs, or None as long as that is open.
        total: results there will be, or None if unknown.
        patient: whether closing waits for running items.
        outlet: where results pass on their way to the consumer.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        feed: Feed,
        options: Options,
        keep: Keep | None = None,
        loop: AbstractEventLoop | None = None,
    ) -> None:
        self.call, self.feed, self.options = call, feed, options
        self.plan: Plan | None = None
        self.profile: Profile | None = None
        self.total = feed.remaining()
        self.patient = False
        self.outlet = Outlet(call, options, self.total, keep)
        self._keep = keep
        self._attention = Attention(call, options, feed.star, keep, loop)
        self._lock = threading.Lock()
        self._loop = Loop(self._attention.here, feed)
        self._director = Director(self._loop, self._early, self._pump)
        self._measured = Measured(call)
        self._stream: Stream | None = None
        self._judge: Judge | None = None
        self._early_blocks: list[list[Any]] = []
        self._error: BaseException | None = None
        self._sampling = self._interrupted = False
        self._size = 1
        self._expected_s = 0.0  # per item of a serial run
        self._in_main = threading.current_thread() is threading.main_thread()
        self._rejoined = False  # whether the caller's thread drives the stream, and may fork
        self._expected: Profile | None = None  # what the backend to be opened is for
        self._deadline = None if options.timeout is None else time.monotonic() + options.timeout
        self.outlet.hosts = self._attention.hosts

    # The call ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start working: sample and decide, or hand everything to the backend that was asked for."""
        try:
            self.outlet.open()
            self._begin()
        except BaseException:
            self.finish(early=True)
            raise

    def _begin(self) -> None:
        backend = self.options.backend
        if backend == "serial":
            self.plan = Plan("serial", reason="backend='serial' was asked for")
        elif self._attention.is_async or (self.options.item_timeout is not None and backend != "processes"):
            where = "asyncio" if self._attention.is_async else "threads"
            self._open_stream(*self._the_judge().direct(self.feed.remaining(), where), fork=False).fill()
        elif backend in ("auto", "threads"):
            self.feed.look_ahead(self.options.buffersize and self.options.buffersize - 1)
            self._start_sampling()
            self._sample()
        else:
            self._open_stream(*self._the_judge().forced(self.feed.remaining()), fork=True).fill()

    def _start_sampling(self) -> None:
        self._sampling = True
        self._size = 1
        self._director.measure()
        self._measured.restart()

    def _sample(self) -> None:
        """Run the first items here until it is clear what they are, or they end."""
        most = self.options.buffersize
        while self._sampling and self._error is None:
            if most is not None and self._measured.items >= most:
                return  # the window is full; sampling goes on when results are taken
            block = self._next_block(most and most - self._measured.items)
            if block is None:
                return
            self._early_blocks.append(block.out)
        if self._loop.taken:
            self._rejoin()

    def _next_block(self, most: int | None = None) -> Block | None:
        """Run a block here and learn from it; None when the rest is not ours, or there is none."""
        most = most or self.options.buffersize
        size = min(self._size, most) if most else self._size
        if self._keep is not None:
            size = 1  # what is finished is kept before the next item begins
        footprint = self._measured.footprint_for(self.feed) if self._sampling and size == 1 else None
        block = self._loop.run(size)
        if block is None:
            self._rejoin()
            return None
        if footprint is not None:
            self._measured.hazards += footprint(block)
        self._look_over(block)
        if block.error is not None:
            self._fail(block)
        elif self._loop.taken:
            self._measured.add(block)  # the director decided meanwhile
        elif self._sampling:
            self._learn(block)
        else:
            self._check(block)
        return block

    def _look_over(self, block: Block) -> None:
        """Keep what is finished, and name the items that failed."""
        if self._keep is not None:
            self._keep(block.start, block.out)
        if self._attention.hosts is None:
            return
        from ..backends.base import Failure

        for place, value in enumerate(block.out):
            if isinstance(value, Failure):
                args = unpacked(block.items[place], self.feed.star)
                blame(value.error, block.start + place, args, "the caller's thread")

    def _fail(self, block: Block) -> None:
        assert block.error is not None
        if not isinstance(block.error, Exception):
            raise block.error  # Ctrl-C and the like do not wait for their turn
        place = len(block.out)
        item = block.items[place]
        args = unpacked(item, self.feed.star)
        self._error = blame(block.error, block.start + place, args, "the caller's thread")

    # Sampling ---------------------------------------------------------------------------------------------

    def _learn(self, block: Block) -> None:
        self._measured.add(block)
        item, seconds = self._measured.item_s, self._measured.total_s
        rest = self.feed.remaining()
        if self._measured.importing():  # a first call like that says nothing about the rest
            self._director.measure()
            self._measured.restart()
        elif rest is not None and rest * item < TRIFLE_S:
            self._stay("too small to gain", rest)
        elif item < CRUMB_S and seconds > CRUMBS_S:
            if self.options.backend == "auto":
                self._stay("items shorter than sending them anywhere", rest)
            else:
                self._decide()
        elif seconds >= BUDGET_S:
            self._decide()
        elif block.wall_s < BLOCK_S / 4:
            self._size = min(4 * self._size, max(1, int(BLOCK_S / 4 / max(item, 1e-9))))

    def _stay(self, words: str, rest: int | None) -> None:
        """The short way to a serial plan, for items that are over before a verdict is."""
        with self._lock:
            if self._loop.taken:
                return
            self._sampling = False
            item = self._measured.item_s
            seconds = item * (rest or 0)
            self.profile = self._measured.brief(rest)
            self.plan = Plan("serial", seconds=seconds, reason=f"{words}: {spell(item)} per item")
        self._go_serial(rest)

    def _decide(self) -> None:
        """Decide in the caller's thread, between two items."""
        judge = self._the_judge()
        sample = self._measured.sample(self._director, self.feed.remaining())
        plan, profile = judge.plan(sample, self._measured, fork=True)
        if self._unsure(plan, profile):
            return
        with self._lock:
            if self._loop.taken or not self._sampling:
                return
            self._sampling = False
            self.plan, self.profile = plan, profile
            if plan.backend != "serial":
                self._loop.taken = True
        if plan.backend == "serial":
            self._go_serial(self.feed.remaining())
        else:
            self._director.stop()  # a process that has threads must not fork
            self._open_stream(plan, profile, fork=True).fill()

    def _unsure(self, plan: Plan, profile: Profile) -> bool:
        """Whether some more items should be watched before a verdict that is easily wrong."""
        if profile.kind is WorkKind.PARALLEL and self._measured.total_s < 4 * BUDGET_S:
            return True  # BLAS threads spin for a while even when nobody calls them
        return self._director.unproven(plan, profile)

    def _go_serial(self, rest: int | None) -> None:
        self._expected_s = self._measured.item_s
        self._size = self._block_size(self._expected_s)
        if rest == 0:
            self._director.stop()
        else:
            self._director.guard(self._expected_s * self._size)

    def _block_size(self, item_s: float) -> int:
        most = min(self.options.buffersize or MOST, MOST, int(BLOCK_BYTES / self._measured.result_bytes))
        return max(1, min(most, int(BLOCK_S / max(item_s, 1e-9))))

    # The director's thread --------------------------------------------------------------------------------

    def _early(self, seen: Seen) -> bool:
        """Decide while an item still runs in the caller's thread; True when the rest was taken over."""
        with self._lock:
            if self._loop.taken:
                return False
            if not self._sampling:  # a serial run met an item unlike the ones before
                self._measured.restart()
            if self._measured.importing() and not seen.waiting and seen.running_s < 0.5:
                return False  # a first call that imports says nothing about the rest
            with self._measured.own_imports():
                judge = self._the_judge()
                sample = self._measured.sample(self._director, self._loop.remaining(), seen)
                plan, profile = judge.plan(sample, self._measured, fork=False, block=self._loop.block)
            spinning = profile.kind is WorkKind.PARALLEL and seen.running_s < BUDGET_S
            if plan.backend == "serial" or spinning or self._better_forked(plan, seen):
                return False
            self._loop.take_over()
            self._sampling = False
            try:
                stream = self._open_stream(plan, profile, fork=False)
            except Exception:
                self._loop.taken = False  # the caller's thread goes on by itself
                raise
            # The caller's thread keeps a core busy; and one waiting call is little evidence.
            stream.narrow(RAMP if seen.waiting else max(1, judge.machine.usable - 1), hold=seen.waiting)
            with self._measured.own_imports():
                stream.fill(at_hand=True)
            return True

    def _better_forked(self, plan: Plan, seen: Seen) -> bool:
        """Whether to wait until the item has ended: then worker processes can be forked."""
        forks = plan.backend == "processes" and self._in_main and self.options.backend == "auto"
        return forks and seen.running_s < self._the_judge().patience_s()

    def _pump(self) -> None:
        assert self._stream is not None
        cpu, wait = self._director.block_times()
        if self._measured.importing():
            cpu = 0.0  # a first call that imports says nothing about the others
        if self._stream.pump(0.05, cpu, wait):
            with self._measured.own_imports():
                self._the_judge().prepare()

    def _rejoin(self) -> None:
        """The caller's thread is back from its item: it drives the stream from now on."""
        with self._lock:
            stream = self._stream
            if self._sampling:
                self._sampling = False  # the input ended while it was sampled
                self.profile = self._measured.brief(0)
                found = "all items were run while they were measured"
                self.plan = Plan(
                    "serial", reason=found if self._measured.items else "nothing was left to run"
                )
        if stream is not None:
            self._director.dismiss()
            stream.wake()
        self._director.stop()
        self._rejoined = True
        if stream is not None and self.profile is not None and self.profile.partial:
            self.profile, wrong = self._measured.refreshed(self.profile, gil=self._the_judge().machine.gil)
            stream.open_up()
            if self.plan is not None and self.plan.adaptive and not self._measured.importing():
                stream.profiled(self.profile)
            if wrong:
                stream.reconsider(self.profile)

    # Running ----------------------------------------------------------------------------------------------

    def _the_judge(self) -> Judge:
        if self._judge is None:
            from .judge import Judge

            self._judge = Judge(self.call, self.options, self.feed, self._attention.sent)
        return self._judge

    def _open_stream(self, plan: Plan, profile: Profile, *, fork: bool) -> Stream:
        with self._measured.own_imports():
            from .stream import Settings, Stream

        judge = self._the_judge()
        self.plan, self.profile, self._expected = plan, profile, profile
        self._loop.taken = True

        def open_backend(plan: Plan, deliver: Deliver) -> Backend:
            with self._measured.own_imports():
                here = fork or self._rejoined
                backend = self._attention.open(judge, plan, self._expected, deliver, here)
            self.outlet.hosts = self._attention.hosts
            return backend

        settings = Settings(
            self.options,
            open_backend,
            replan=self._replan,
            changed=self._changed,
            forks=self._forks_after,
            deadline=self._deadline,
            gil=judge.machine.gil,
        )
        self._stream = Stream(
            self.feed.for_workers(),
            self._attention.sent,
            plan,
            profile,
            settings,
            undelivered=sum(map(len, self._early_blocks)),
        )
        return self._stream

    def _replan(self, profile: Profile) -> Plan | None:
        if self._attention.is_async:
            return None
        with self._measured.own_imports():
            plan = self._the_judge().replan(profile, self._measured, self._loop.block)
        old = self.plan
        if old is None or plan.backend == old.backend:
            return None
        if plan.backend == "serial" and (self._not_here or plan.seconds < 10 * TRIFLE_S):
            return None  # the workers will be done before it matters
        self._expected = profile
        return replace(plan, reason=f"planned again: {plan.reason}")

    @property
    def _not_here(self) -> bool:
        """Whether the rest may not come back to the caller's thread.

        Items cannot be given up there, or heavy ones have gone ahead of their turn.
        """
        return self.options.item_timeout is not None or self.options.size is not None

    def _forks_after(self, threads: int, wait_s: float) -> bool:
        with self._measured.own_imports():
            judge = self._the_judge()
            return judge.forks_after(threads) and wait_s <= judge.fresh_s()

    def _changed(self, plan: Plan, profile: Profile) -> None:
        _note(f"{self.plan.backend if self.plan else ''} -> {plan}")
        self.plan, self.profile = plan, profile

    def blocks(self) -> Iterator[list[Any]]:
        """Yield lists of results until the input ends; the generator that a consumer drives.

        Raises:
            Exception: what an item, or the input's own iterator, raised, in its place.
            TimeoutError: if the deadline passes.
        """
        complete = False
        try:
            yield []  # once begun, the generator cleans up even if nobody asks for a result
            yield from self.outlet.through(self._blocks())
            error = self._error or self.feed.error
            complete = error is None and not self._interrupted
            if error is not None:
                raise error
        finally:
            self.finish(early=not complete)

    def _blocks(self) -> Iterator[list[Any]]:
        """Results up to the end or the first error: what is there, then what runs here or elsewhere."""
        while self._early_blocks:
            values = self._early_blocks.pop(0)
            yield values
            if self._stream is not None:
                self._stream.delivered(len(values))
        while self._error is None:
            if self._loop.taken and self._stream is not None:
                self._rejoin()
                yield from self._stream.blocks()
                if not self._back_to_caller():
                    return
            block = self._next_block()
            if block is not None:
                yield block.out
                self._check_deadline()
            elif self._stream is None or not self._loop.taken:
                return

    def _back_to_caller(self) -> bool:
        """Whether the stream ended because the rest is for the caller's own thread."""
        assert self.plan is not None
        if self.plan.backend != "serial":
            return False
        self._loop.taken = False
        self._size, self._expected_s = 1, self.profile.wall_s if self.profile else 0.0
        return True

    def _check(self, block: Block) -> None:
        """Let the block size follow a serial run, and look closer when its items have changed."""
        item = block.wall_s / max(1, len(block.out))
        if self.options.backend == "serial":
            self._size = min(self._block_size(item), 4 * self._size)
            return
        if block.wall_s > TRIFLE_S and item > 10 * self._expected_s:
            rest = self.feed.remaining()
            if rest is None or rest * item > BUDGET_S:
                self._start_sampling()
                return
        self._size = min(self._block_size(item), 4 * self._size)
        self._director.expected_s = item * self._size

    def _check_deadline(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline and self.feed.remaining() != 0:
            raise TimeoutError("the results were not complete within timeout=")

    def interrupt(self) -> None:
        """End the results, from another thread, while the consumer waits for one."""
        self._interrupted = True
        if self._stream is not None:
            self._stream.interrupt()

    def finish(self, *, early: bool) -> None:
        """Let everything go: the director, the workers, the bar.

        Args:
            early: whether results are still missing; what has not begun is then cancelled.
        """
        with self._lock:
            self._loop.taken = self._loop.taken or early
        self._director.dismiss()
        if self._stream is not None:
            self._stream.wake()
        if not sys.is_finalizing():
            self._director.stop()
        if self._stream is not None:
            # With a journal, what runs is waited for: its results are kept.
            self._stream.close(wait=not early or self.patient or self._keep is not None, kill=early)
            if self._judge is not None:
                self._remember(self._judge, early)
        close_here()
        self.outlet.close()

    def _remember(self, judge: Judge, early: bool) -> None:
        """What the run has shown: to later plans, and in this one's reason."""
        if not early:
            judge.learn()
        if self.plan is not None and (words := str(judge.memory or "")):
            self.plan = replace(self.plan, reason=f"{self.plan.reason}; {words}")


def _note(text: str) -> None:
    logging = sys.modules.get("logging")
    if logging is not None:  # who has not imported it (11 ms) has not asked for more than warnings
        logging.getLogger("autoexec").info(text)
