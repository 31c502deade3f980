"""How many calls may run, when, and which run again: for each host apart, and for all together.

Nothing here waits, and nothing has a lock or a clock. The scheduler's lock guards everything, and `now` is
handed in as monotonic seconds. Only `name_of` and `delay` run the user's own code; they are called without
the lock and change nothing.
"""

from __future__ import annotations

import heapq
from math import inf

from ..decide.answers import PLAIN, Answer
from ..decide.concurrency import Controller, Ticket
from ..decide.gil_bound import GilBound
from ..decide.hosts import key_function, plain_host
from ..errors import WorkerDied
from ..own_time import time
from ..records import Ending, spell
from .host_counts import HostTable
from .host_limits import Group
from .metrics import Metrics, kind_of
from .verdict import OK as FINE
from .verdict import Response, Try, judge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..decide.rates import Gate, Rate
    from ..decide.retries import Budget, Retries
    from ..options import Options
    from ..statistics import Stats
    from ..worker.invoke import Task, TaskResult

__all__ = ["Limits"]

IDLE = 32  # groups without a task that stay as they are, the last ones: their next item may just be late
OK, REFUSED, ERROR = Ending.OK, Ending.REFUSED, Ending.ERROR  # members of an enum are slow to look up


class Limits:
    """All limits of a run.

    Args:
        options: the user's.
        gil: whether the calls run under a GIL that they share.

    Attributes:
        options: the user's.
        metrics: counts of all calls.
        held_share: share of a call's CPU seconds that is taken to hold the GIL.
        plain: types of values that say nothing of the other side.
        fine: the answer of a call that went well.
        quick_name: gives what `name_of` does, where no code of the user's has to run to tell; else None.
    """

    plain, fine = PLAIN, FINE

    def __init__(self, options: Options, *, gil: bool = True, date: Callable[[], float] = time.time) -> None:
        self.options, self.date = options, date
        self.metrics = Metrics()
        self.held_share = 1.0
        per = options.per
        self._key = key_function(per)
        self._key_of_args = key_function((lambda args: per(*args)) if callable(per) else per)
        self.quick_name: Callable[[object], str | None] = plain_host if per is None else _not_quickly
        self._groups: dict[str, Group] = {}
        self._idle: dict[str, Group] = {}  # the last ones, in the order in which they became so
        self._obeyed: list[tuple[float, str]] = []  # others that stay until then
        self._hosts = HostTable()
        self._now = -inf  # when a call last ended
        self._cap = 0  # calls at once over all groups; 0: no matter of ours
        self._items: int | None = None
        self._latency_s: float | None = None
        self._gil = GilBound()
        self._shares_gil = gil
        self._rate = _rate(options)
        self._retries = _retries(options)

    # Groups -----------------------------------------------------------------------------------------------

    def name_of(self, item: Any, star: bool = False) -> str:
        """The group of an item, or of a tuple of arguments; asks the user's `per=`: no lock.

        Raises:
            Exception: what `per=` raised.
        """
        return self._key_of_args(item) if star else self._key(item)

    def group(self, name: str) -> Group:
        """The group of that name; made if it is new, or was forgotten."""
        group = self._groups.get(name)
        if group is None:
            group = self._new(name)
        elif group.idle:
            group.idle = False
            if self._idle.pop(name, None) is None and self._cap:  # it was to be obeyed, no more
                group.limit_by(self._limiter())
        return group

    def _new(self, name: str) -> Group:
        gate = _gate(self._rate)
        group = Group(name, self._hosts.of(name), gate, _budget(self.options))
        if self._cap:
            group.limit_by(self._limiter())
        self._groups[name] = group
        self._items = None  # from the second one on, nobody knows how many are whose
        return group

    def forget(self, group: Group) -> None:
        """Nothing waits in a group, runs, or is to run again: what is known of its host may go.

        The last few stay as they are, as does what has to be obeyed: a pause, a rate, a host that asked to be
        left alone for longer than anybody waits. The counts stay in any case.
        """
        if self._groups.get(group.name) is not group:
            return
        group.idle = True
        self._idle[group.name] = group
        if len(self._idle) > IDLE:
            oldest = self._idle.pop(next(iter(self._idle)))
            self._drop(oldest)
        while self._obeyed and self._obeyed[0][0] <= self._now:
            _, name = heapq.heappop(self._obeyed)
            left = self._groups.get(name)
            if left is not None and left.idle and name not in self._idle:
                self._drop(left)

    def _drop(self, group: Group) -> None:
        until = group.obeyed_until()
        if group.limiter is not None:
            group.look(self._now)
        if until <= self._now:
            del self._groups[group.name]
            self._hosts.merge_rare(self._groups)
        else:
            group.limit_by(None)
            if until < inf:
                heapq.heappush(self._obeyed, (until, group.name))

    # How many at once -------------------------------------------------------------------------------------

    def adapt(self, cap: int, items: int | None, latency_s: float | None, held_s: float) -> None:
        """From now on, set how many calls may run at once.

        Args:
            cap: calls at once at most, over all groups.
            items: calls there will be, or None.
            latency_s: seconds of one call, or None if that is not known yet.
            held_s: seconds for which one call holds the GIL.
        """
        self._cap, self._latency_s = cap, latency_s
        self._items = None if self._groups else items
        if latency_s is not None:
            self._note_profile(latency_s, held_s)
        for group in self._groups.values():
            if group.limiter is None:
                group.limit_by(self._limiter())

    def let_go(self) -> None:
        """From now on, how many calls run at once is no matter of ours: they have other GILs."""
        self._cap = 0
        for group in self._groups.values():
            group.limit_by(None)

    def profiled(self, latency_s: float, held_s: float) -> None:
        """The first item, which ran in the caller's own thread, has ended; `held_s` 0.0 if not known."""
        self._latency_s = latency_s
        self._note_profile(latency_s, held_s)
        for group in self._groups.values():
            if group.limiter is not None:
                group.limiter.profiled(latency_s, 0.0)

    def _note_profile(self, latency_s: float, held_s: float) -> None:
        if held_s and self._shares_gil:
            self._gil.note(latency_s, held_s)

    def _limiter(self) -> Controller:
        return Controller(self._cap, items=self._items, latency_s=self._latency_s, gil=self._gil)

    def full(self) -> bool:
        """Whether no further call may begin anywhere."""
        at_once = self.metrics.at_once
        if at_once < self._gil.most:
            return at_once >= self._cap > 0
        return self._cap > 0

    def limit(self, now: float) -> int:
        """Calls that may run at once now, over all groups; 0 where that is no matter of ours."""
        if not self._cap:
            return 0
        limits = [group.limiter.limit(now) for group in self._groups.values() if group.limiter is not None]
        return min(self._cap, sum(limits)) if limits else self._limiter().limit(now)

    # Calls ------------------------------------------------------------------------------------------------

    def begin(self, group: Group, now: float) -> Ticket | None:
        """One more call begins. What is returned belongs to `end` or `cancel`."""
        self.metrics.began(now)
        group.in_flight += 1
        limiter = group.limiter
        return limiter.started(now) if limiter is not None else None

    def end(
        self, group: Group, ticket: Ticket | None, now: float, answer: Answer, seconds: float, cpu_s: float
    ) -> None:
        """A call has ended after so many seconds, with so much CPU time in its thread."""
        group.in_flight -= 1
        self._now = now
        self._count(group, now, answer, seconds)
        if ticket is not None:
            # As the worker measured it: a thread may have had to be started, or to wait for the GIL, before.
            ticket.begun = now - seconds
            held_s = cpu_s * self.held_share if self._shares_gil else None
            ticket.controller.ended(ticket, now, answer.ending, held_s=held_s)

    def also(self, group: Group, now: float, answer: Answer, seconds: float) -> None:
        """One more item of a task that `end` was told of."""
        self.metrics.at_once += 1
        self._count(group, now, answer, seconds)

    def _count(self, group: Group, now: float, answer: Answer, seconds: float) -> None:
        ending, counts = answer.ending, group.counts
        self.metrics.ended(now, ending, seconds)
        counts.calls += 1
        if ending is OK:
            if group.budget is not None:
                group.budget.earn()
        elif ending is REFUSED:
            counts.refusals += 1
        else:
            counts.errors += 1
        if answer.retry_after_s is not None:
            group.obey(answer.retry_after_s, now)

    def cancel(self, group: Group, ticket: Ticket | None, now: float) -> None:
        """A call that was let begin did not, or was cut short from this side."""
        group.in_flight -= 1
        self._now = now
        self.metrics.cancelled()
        if ticket is not None:
            ticket.controller.ended(ticket, now, ERROR)

    def blocked(self, what: str, seconds: float) -> str | None:
        """A call of an async function computed for so long that no other one could go on.

        Returns:
            A warning to be logged without the lock, the first time; then None.
        """
        first = not self.metrics.blocked_s
        self.metrics.blocked_s += seconds
        if not first:
            return None
        return (
            f"{what} computed for {spell(seconds)} inside the event loop, which keeps all other calls "
            "waiting; put such work into asyncio.to_thread, or map an ordinary function"
        )

    def judge(self, task: Task, result: TaskResult, now: float) -> list[Try]:
        """What each item of a task says of the other side; the user's code: no lock.

        Raises:
            BaseException: what that raised, if it is no `Exception`.
        """
        return judge(self, task, result, now)

    # Once more? -------------------------------------------------------------------------------------------

    def delay(
        self, attempts: int, since: float, error: BaseException | None, answer: Answer, now: float
    ) -> float | None:
        """Seconds until a call that failed should run again, or None; asks the user's policy: no lock.

        Args:
            attempts: how often the call was made so far.
            since: monotonic seconds at which it was made first.
            error: what it raised, or stands for the response that it returned; None if all went well.
            answer: what the other side made of it.
            now: monotonic seconds.
        """
        if self._retries is None or error is None:
            return None
        shown = None if isinstance(error, Response) else error
        delay = self._retries.next_delay(attempts, shown, answer, since, now)
        return 0.0 if delay is not None and isinstance(error, WorkerDied) else delay  # a fresh one is there

    def may_retry(self, group: Group, answer: Answer) -> str | None:
        """None if the group's budget allows one more retry, which then counts; else why not, as a note."""
        paused = answer.ending is REFUSED and answer.retry_after_s  # the pause protects who refuses
        if group.closed is not None:
            return group.no_retry()
        if not paused and group.budget is not None and not group.budget.spend():
            return group.no_retry()
        group.counts.retries += 1
        self.metrics.retries += 1
        return None

    # What came of it --------------------------------------------------------------------------------------

    def failed(self, error: BaseException | str, group_name: str) -> None:
        """An item failed for good: its error, or with the lock held better what `kind_of` says of it."""
        kind = error if isinstance(error, str) else kind_of(error)
        self.metrics.failed(kind, group_name)

    def stats(self, items: int, now: float) -> Stats:
        """Everything counted so far, as a value; `items` were delivered."""
        rows = self._hosts.rows()
        for name, _ in rows:
            group = self._groups.get(name)
            if group is not None and (group.limiter is not None or not self._cap):
                group.look(now)
        return self.metrics.stats(items, tuple(counts.stats(name) for name, counts in rows))


def _not_quickly(item: object) -> None:
    """The user's `per=` has to be asked."""


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
