"""What a run knows of the other side, host by host: how many calls may run, when, and which run again.

It is shared by the desk, which sends calls to workers, and by calls that run in the caller's own thread.
Everything here is under `Hosts.lock`, held by its users; nothing here waits.
"""

from __future__ import annotations

import math
import threading
import time

from ..backends.base import Failure
from ..decide.answers import Answer, judge_value
from ..decide.concurrency import Controller, Ticket
from ..decide.gil_bound import GilBound
from ..decide.hosts import key_function
from ..errors import Refused
from ..records import Ending, spell
from .tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..decide.rates import Gate, Rate
    from ..decide.retries import Budget, Retries
    from ..options import Options
    from ..statistics import HostStats, Stats

__all__ = [
    "LONGEST_PAUSE_S",
    "Attempts",
    "Hosts",
    "Lane",
    "Response",
    "add_note",
    "judge_response",
    "no_host",
]

LONGEST_PAUSE_S = 600.0  # of `Retry-After` that is waited for; who asks for more is not called again
LEAST_S = 0.0005  # between two looks at the same lane


class Attempts:
    """How often one item was tried, and what came of it."""

    __slots__ = ("count", "notes", "since")

    def __init__(self, since: float = 0.0) -> None:
        self.count, self.since = int(since > 0.0), since  # one try has begun, or none yet
        self.notes: list[str] = []

    def begin(self, now: float) -> None:
        """One more try begins."""
        self.count += 1
        self.since = self.since or now

    def note(self, error: BaseException, seconds: float) -> None:
        """One more try failed after so many seconds."""
        from ..decide.retries import attempt_note

        self.notes.append(attempt_note(self.count, error, seconds))

    def tell(self, error: BaseException) -> None:
        """Write on the last error what became of every try."""
        if self.count > 1 or len(self.notes) > 1 or isinstance(error, Refused):
            for note in self.notes:
                add_note(error, f"autoexec: {note}")


class Lane:
    """One host.

    Attributes:
        host: its name.
        controller: how many calls may run at once; None leaves that to the backend.
        gate: when the next call may begin; None without `rate=`.
        budget: retries in hand; None without `retries=`.
        closed: seconds for which the host asked to be left alone, if that was too long to wait for.
        waited_s: seconds in which a rate or a pause held calls back.
    """

    __slots__ = (
        "_held_since",
        "_paused_until",
        "budget",
        "calls",
        "closed",
        "controller",
        "errors",
        "gate",
        "host",
        "refusals",
        "retries",
        "waited_s",
    )

    def __init__(
        self, host: str, controller: Controller | None, gate: Gate | None, budget: Budget | None
    ) -> None:
        self.host, self.controller, self.gate, self.budget = host, controller, gate, budget
        self.closed: float | None = None
        self.calls = self.retries = self.refusals = self.errors = 0
        self.waited_s = self._paused_until = 0.0
        self._held_since: float | None = None

    @property
    def in_flight(self) -> int:
        """Calls that run, as far as that is watched."""
        return self.controller.in_flight if self.controller is not None else 0

    def wait_s(self, now: float) -> float:
        """0.0 if a call may begin now (its rate then counts it), else seconds; inf until a call ends."""
        if now < self._paused_until:
            return self._hold(now, self._paused_until - now)
        control = self.controller
        if control is not None and control.in_flight >= control.limit(now):
            change = control.next_change(now)
            return math.inf if change is None else max(LEAST_S, change - now)
        wait = self.gate.wait_s(now) if self.gate is not None else 0.0
        if wait:
            return self._hold(now, wait)
        if self._held_since is not None:
            self.waited_s += now - self._held_since
            self._held_since = None
        return 0.0

    def _hold(self, now: float, wait: float) -> float:
        if self._held_since is None:
            self._held_since = now
        return wait

    def pause(self, now: float, seconds: float) -> None:
        """Let no call begin for so long."""
        until = now + seconds
        if until > self._paused_until:
            self._paused_until = until
            if self.controller is not None:
                self.controller.pause(until)

    def refusal(self) -> Refused:
        """The error of an item that is not called because of what the host asked for."""
        return Refused(
            f"{self.host or 'the other side'} asked to be left alone for {spell(self.closed or 0.0)} "
            f"(Retry-After); autoexec waits {spell(LONGEST_PAUSE_S)} at most, so the item was not called"
        )

    def stats(self) -> HostStats:
        """Its counts as a value."""
        from ..statistics import HostStats

        control = self.controller
        return HostStats(
            self.host,
            self.calls,
            self.retries,
            self.refusals,
            self.errors,
            self.waited_s,
            control.limit(time.monotonic()) if control is not None else 0,
            control.reason if control is not None else "",
        )


class Hosts:
    """All hosts of a run, and what holds for all of them together.

    Args:
        options: the caller's.

    Attributes:
        lock: to be held around everything here.
        options: the caller's.
        tally: counts of all calls.
        held_share: share of a call's CPU seconds that is taken to hold the GIL.
    """

    def __init__(self, options: Options) -> None:
        self.lock = threading.Lock()
        self.tally = Tally()
        self.held_share = 1.0
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
        return self._retries.next_delay(attempts.count, shown, answer, attempts.since, now)

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


def no_host(error: Exception) -> Failure:
    """The failure of an item for which `per=` raised."""
    add_note(error, "autoexec: raised by per=, before the item was called")
    return Failure(error)


def judge_response(value: object) -> tuple[Answer, Exception | None]:
    """What a value that was returned says of the other side, and an error if it says to try again."""
    answer = judge_value(value, time.time())
    return answer, Response(f"answer {answer.status}") if answer.transient else None


class Response(Exception):
    """A response that was returned, not raised, and that says to try again."""


def add_note(error: BaseException, note: str) -> None:
    """Write a note on an error, if it takes any: an exception may be frozen."""
    try:
        error.add_note(note)
    except Exception:
        return


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
