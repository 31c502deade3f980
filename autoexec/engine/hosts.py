"""What a run knows of the other side, host by host: how many calls may run, when, and which run again.

It is shared by the desk, which sends calls to workers, and by calls that run in the caller's own thread.
Everything here is under `Hosts.lock`, held by its users; nothing here waits.
"""

from __future__ import annotations

import threading
import time

from ..decide.answers import Answer
from ..decide.concurrency import Controller, Ticket
from ..decide.gil_bound import GilBound
from ..decide.hosts import key_function
from ..errors import WorkerDied
from ..records import Ending, spell
from .attempts import Attempts, Response
from .lane import LONGEST_PAUSE_S, Lane
from .tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..decide.rates import Gate, Rate
    from ..decide.retries import Budget, Retries
    from ..options import Options
    from ..statistics import Stats
    from .desk import Desk

__all__ = ["Hosts"]


class Hosts:
    """All hosts of a run, and what holds for all of them together.

    Args:
        options: the caller's.

    Attributes:
        lock: to be held around everything here.
        options: the caller's.
        tally: counts of all calls.
        held_share: share of a call's CPU seconds that is taken to hold the GIL.
        desks: whose calls these are, beside those in the caller's own thread.
    """

    def __init__(self, options: Options) -> None:
        self.lock = threading.Lock()
        self.tally = Tally()
        self.held_share = 1.0
        self.desks: list[Desk] = []
        self._gil = GilBound()
        self.options = options
        per = options.per
        self._key = key_function(per)
        self._key_of_args = key_function((lambda args: per(*args)) if callable(per) else per)
        self._lanes: dict[str, Lane] = {}
        self._cap = 0  # calls at once over all hosts; 0: no matter of ours
        self._items: int | None = None
        self._latency_s: float | None = None
        self._held_s = 0.0
        self._rate = _rate(options)
        self._retries = _retries(options)

    def adapt(self, cap: int, items: int | None, latency_s: float | None, held_s: float) -> None:
        """From now on, set how many calls may run at once.

        Args:
            cap: calls at once at most, over all hosts.
            items: calls there will be, or None.
            latency_s: seconds of one call, or None if that is not known yet.
            held_s: seconds for which one call holds the GIL.
        """
        self._cap, self._items, self._latency_s, self._held_s = cap, items, latency_s, held_s
        if latency_s is not None:
            self._gil.note(latency_s, held_s)
        for lane in self._lanes.values():
            if lane.controller is None:
                lane.controller = self._controller()

    def let_go(self) -> None:
        """From now on, how many calls run at once is no matter of ours: they have other GILs."""
        self._cap = 0
        for lane in self._lanes.values():
            lane.controller = None

    def profiled(self, latency_s: float, held_s: float) -> None:
        """The first item, which ran in the caller's own thread, has ended."""
        self._latency_s, self._held_s = latency_s, held_s
        if held_s:
            self._gil.note(latency_s, held_s)
        for lane in self._lanes.values():
            if lane.controller is not None:
                lane.controller.profiled(latency_s, held_s)

    def _controller(self) -> Controller:
        alone = not self._lanes
        return Controller(
            self._cap, items=self._items if alone else None, latency_s=self._latency_s, held_s=self._held_s
        )

    def name_of(self, item: Any, star: bool = False) -> str:
        """The host that an item, or a tuple of arguments, is for; asks the caller's `per=`: no lock.

        Raises:
            Exception: what `per=` raised.
        """
        return self._key_of_args(item) if star else self._key(item)

    def lane(self, host: str) -> Lane:
        """The lane of a host; made if it is new."""
        lane = self._lanes.get(host)
        if lane is None:
            controller = self._controller() if self._cap else None
            lane = Lane(host, controller, _gate(self._rate), _budget(self.options))
            self._lanes[host] = lane
        return lane

    def full(self) -> bool:
        """Whether no further call may begin anywhere."""
        return bool(self._cap) and self.tally.at_once >= min(self._cap, max(1.0, self._gil.limit()))

    def begin(self, lane: Lane, now: float) -> Ticket | None:
        """One more call begins."""
        self.tally.began(now)
        return lane.controller.started(now) if lane.controller is not None else None

    def end(
        self, lane: Lane, ticket: Ticket | None, now: float, answer: Answer, seconds: float, cpu_s: float
    ) -> None:
        """A call has ended after so many seconds, with so much CPU time in its thread."""
        held = cpu_s * self.held_share
        self.tally.ended(now, answer.ending, seconds)
        lane.calls += 1
        if answer.ending is Ending.REFUSED:
            lane.refusals += 1
        elif answer.ending is not Ending.OK:
            lane.errors += 1
        elif lane.budget is not None:
            lane.budget.earn()
        if ticket is not None and lane.controller is not None:
            # As the worker measured it: a thread may have had to be started, or to wait for the GIL, before.
            ticket.begun = now - seconds
            lane.controller.ended(ticket, now, answer.ending, held_s=held)
            if answer.ending is Ending.OK:
                self._gil.note(seconds, held, now)
        self._obey(lane, answer, now)

    def also(self, lane: Lane, now: float, answer: Answer, seconds: float) -> None:
        """One more item of a task that `end` was told of."""
        self.tally.at_once += 1
        self.end(lane, None, now, answer, seconds, 0.0)

    def poke(self, but: Desk | None = None) -> None:
        """A call has ended: its place may be one that another desk waits for; not under the lock."""
        if self.desks != [but]:
            for desk in tuple(self.desks):
                if desk is not but:
                    desk.revive()

    def cancel(self, lane: Lane, ticket: Ticket | None, now: float) -> None:
        """A call that was let begin did not, or was cut short from this side."""
        self.tally.at_once -= 1
        if ticket is not None and lane.controller is not None:
            lane.controller.ended(ticket, now, Ending.ERROR)

    def blocked(self, what: str, seconds: float) -> None:
        """A call of an async function computed for so long that no other one could go on."""
        with self.lock:
            first = not self.tally.blocked_s
            self.tally.blocked_s += seconds
        if first:
            import logging

            logging.getLogger("autoexec").warning(
                "%s computed for %s inside the event loop, which keeps all other calls waiting; put such "
                "work into asyncio.to_thread, or map an ordinary function",
                what,
                spell(seconds),
            )

    def _obey(self, lane: Lane, answer: Answer, now: float) -> None:
        wish = answer.retry_after_s
        if wish is None:
            return
        if wish > LONGEST_PAUSE_S:
            lane.closed = wish
        else:
            lane.pause(now, wish)

    def delay(
        self, attempts: Attempts, error: BaseException | None, answer: Answer, now: float
    ) -> float | None:
        """Seconds until a call that failed should run again, or None; asks the caller's policy: no lock."""
        if self._retries is None or error is None:
            return None
        shown = None if isinstance(error, Response) else error
        delay = self._retries.next_delay(attempts.count, shown, answer, attempts.since, now)
        return 0.0 if delay is not None and isinstance(error, WorkerDied) else delay  # a fresh one is there

    def may_retry(self, lane: Lane, attempts: Attempts, answer: Answer) -> bool:
        """Whether the host's budget allows one more retry, which is then counted."""
        if lane.closed is not None:
            return False
        paused = answer.ending is Ending.REFUSED and answer.retry_after_s  # the pause protects who refuses
        if not paused and lane.budget is not None and not lane.budget.spend():
            attempts.notes.append("not tried again: the retry budget of this host is used up")
            return False
        lane.retries += 1
        self.tally.retries += 1
        return True

    def stats(self, items: int) -> Stats:
        """Everything counted so far, as a value."""
        with self.lock:
            return self.tally.stats(items, tuple(lane.stats() for lane in self._lanes.values()))

    @property
    def limit(self) -> int:
        """Calls that may run at once now, over all hosts; 0 where that is no matter of ours."""
        now = time.monotonic()
        with self.lock:
            limits = [lane.controller.limit(now) for lane in self._lanes.values() if lane.controller]
        return min(self._cap, sum(limits))


def _rate(options: Options) -> Rate | None:
    if options.rate is None:
        return None
    from ..decide.rates import Rate

    return Rate.of(options.rate, options.burst)


def _gate(rate: Rate | None) -> Gate | None:
    if rate is None:
        return None
    from ..decide.rates import Gate

    return Gate(rate)


def _retries(options: Options) -> Retries | None:
    if not options.retries:
        return None
    from ..decide.retries import Retries

    return Retries.of(options.retries, options.retry_on)


def _budget(options: Options) -> Budget | None:
    if not options.retries:
        return None
    from ..decide.retries import Budget

    return Budget(options.retry_budget)
