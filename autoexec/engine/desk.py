"""Between the stream and the workers: which call begins when, which is given up, which runs again.

    submit ─► line of its host ─► admitted: limit, rate, pause ─► backend ─► ended ─► deliver
                  ▲                                                            │
                  └────────────────── again, after a back-off ◄────────────────┤
                                       given up: item_timeout ◄────────────────┘

A desk is a backend in front of a backend. It obeys `Hosts`, whose lock guards everything here. Its own thread
is started when something has to happen at a certain time: the end of a pause, of a back-off, of a call's
patience.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from ..backends.base import Backend, Chunk, Deliver, Failure, Finished
from ..decide.answers import Answer, judge_error
from ..errors import BrokenWorker, ItemTimeout, WorkerDied, blame, unpacked
from ..records import Ending, spell
from .alarms import Alarms
from .attempts import Attempts, judge_response, no_host
from .hosts import Hosts
from .jobs import Job, Line, Rest, Try

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bookkeeping import Keep

__all__ = ["Desk"]

OK = Answer(Ending.OK)
LOOK_AT = 8  # hosts among which the one with the fewest calls goes first


class Desk:
    """Admits calls to a backend, and decides what becomes of those that fail.

    Args:
        hosts: what is known of the other side.
        deliver: receives finished tasks.
        open_backend: makes the backend behind the desk.
        subject: the arguments of a task's first item, and whether they are several.
        keep: keeps results in a journal, or None.
        free: whether how many calls run at once is the backend's own matter, from the first task on.
    """

    def __init__(
        self,
        hosts: Hosts,
        deliver: Deliver,
        open_backend: Callable[[Deliver], Backend],
        *,
        subject: Callable[[Chunk], tuple[Any, bool]],
        keep: Keep | None = None,
        free: bool = False,
    ) -> None:
        self._hosts, self._deliver, self._subject = hosts, deliver, subject
        self._free = free
        self._item_timeout, self._keep = hosts.options.item_timeout, keep
        self._lines: dict[str, Line] = {}
        self._ready: deque[Line] = deque()
        self._alarms = Alarms(hosts.lock, self._act)
        self._pending = 0  # tasks taken and not yet delivered
        self._closed = self._killed = False
        self._starts: list[Job] = []
        self._results: list[Finished] = []
        self._late: list[Finished] = []
        hosts.desks.append(self)
        self._inner = open_backend(self._ended)
        self._hands_on = getattr(self._inner, "hands_on", False)
        if getattr(self._inner, "item_timeout", None) is not None:  # it ends late calls itself
            self._item_timeout = None

    # Tasks in ---------------------------------------------------------------------------------------------

    def submit(self, chunk: Chunk) -> None:
        """Take a task; it begins when its host allows."""
        named = self._named(chunk)
        with self._hosts.lock:
            self._pending += 1
            if self._free:
                self._hosts.let_go()
                self._free = False
            rest = _all_open(chunk) if len(named) > 1 else None
            for part, host in named:
                self._take(part, host, rest)
            todo = self._decided()
        self._carry_out(*todo)

    def _named(self, chunk: Chunk) -> list[tuple[Chunk, str | Failure]]:
        """A task with its host; its items apart if they are for several, or if each begins at a rate."""
        if len(chunk.items) == 1:
            return [(chunk, self._host_of(chunk))]
        parts = [(part, self._host_of(part)) for part in _singles(chunk)]
        host = parts[0][1]
        together = self._hosts.options.rate is None and all(other == host for _, other in parts)
        return [(chunk, host)] if together and isinstance(host, str) else parts

    def _host_of(self, chunk: Chunk) -> str | Failure:
        item, star = self._subject(chunk)
        try:
            return self._hosts.name_of(item, star)
        except Exception as error:  # per= raised: that is this item's failure
            return no_host(error)

    def _take(self, chunk: Chunk, host: str | Failure, rest: Rest | None) -> None:
        if isinstance(host, Failure):
            self._hosts.tally.failed(host.error, "")
            self._conclude(chunk, rest, host, "")
        else:
            self._queue(Job(chunk, self._line(host), Attempts(), rest))

    def _line(self, host: str) -> Line:
        line = self._lines.get(host)
        if line is None:
            line = self._lines[host] = Line(self._hosts.lane(host))
        return line

    def _queue(self, job: Job, *, first: bool = False) -> None:
        if first:
            job.line.jobs.appendleft(job)
        else:
            job.line.jobs.append(job)
        if job.line.alarm == math.inf or job.line.alarm <= time.monotonic():  # whoever rings it may be late
            self._list(job.line)

    def _list(self, line: Line) -> None:
        if not line.listed and line.jobs:
            line.listed = True
            self._ready.append(line)

    def withdraw(self) -> list[Chunk]:
        """Give back the tasks that no worker has begun; those that are to run again stay."""
        back: list[Chunk] = []
        queued = [job for job in self._inner.withdraw() if isinstance(job, Job)]
        with self._hosts.lock:
            for job in reversed(queued):  # those that run again go back to the front of their line
                self._hosts.cancel(job.line.lane, job.ticket, time.monotonic())
                job.unbegun()
                if job.fresh:
                    back.append(job)
                else:
                    self._queue(job, first=True)
            back.reverse()
            for line in self._lines.values():
                back += [job for job in line.jobs if job.fresh]
                line.jobs = deque(job for job in line.jobs if not job.fresh)
            self._pending -= len(back)
            todo = self._decided()
        self._carry_out(*todo)
        return back

    # Calls out --------------------------------------------------------------------------------------------

    def _admit(self, now: float) -> None:
        """Let begin what may, host by host in turn."""
        while self._ready and not self._hosts.full():
            line = self._next_line()
            line.listed = False
            if not line.jobs:
                continue
            if line.lane.closed is not None:
                self._refuse(line)
                continue
            wait = line.lane.wait_s(now)
            if wait == 0.0:
                job = line.jobs.popleft()
                job.ticket = self._hosts.begin(line.lane, now)
                if job.begin is None and self._item_timeout is None:
                    job.since = now
                    job.attempts.begin(now)
                else:
                    job.begin = partial(self._begin, job, job.begin)
                self._starts.append(job)
                self._list(line)
            elif wait != math.inf:
                self._look_again(line, now + wait)

    def _next_line(self) -> Line:
        """The next host: of some in turn, the one with the fewest calls, lest a slow one takes all places."""
        ready = self._ready
        if len(ready) == 1:
            return ready.popleft()
        least = min(range(min(LOOK_AT, len(ready))), key=lambda place: ready[place].lane.in_flight)
        line = ready[least]
        del ready[least]
        return line

    def _look_again(self, line: Line, when: float) -> None:
        if when < line.alarm:
            line.alarm = when

            def ring() -> None:
                line.alarm = math.inf
                self._list(line)

            self._alarms.set(when, ring)

    def _refuse(self, line: Line) -> None:
        lane = line.lane
        while line.jobs:
            job = line.jobs.popleft()
            rest = _all_open(job) if len(job.items) > 1 else job.rest
            for part in _singles(job):
                self._hosts.tally.failed(error := lane.refusal(), lane.host)
                job.attempts.tell(error)
                self._conclude(part, rest, Failure(error), "")

    def _decided(self) -> tuple[list[Job], list[Finished], list[Finished]]:
        """What is to be started, delivered and given up now; under the lock."""
        if not self._killed:
            self._admit(time.monotonic())
        todo = self._starts, self._results, self._late
        self._starts, self._results, self._late = [], [], []
        self._pending -= len(todo[1])
        return todo

    def _act(self) -> None:
        with self._hosts.lock:
            todo = self._decided()
        self._carry_out(*todo)

    def _carry_out(
        self, starts: list[Job], results: list[Finished], late: list[Finished], hand: bool = False
    ) -> Job | None:
        """Do what was decided, without the lock, which workers need meanwhile.

        With `hand`, one job is returned for the worker whose thread this is.
        """
        own = starts.pop(0) if hand and starts else None
        for job in starts:
            self._inner.submit(job)
        for finished in results:
            self._deliver(finished)
        for finished in late:
            abandon = getattr(self._inner, "abandon", None)
            if abandon is not None:
                abandon(finished.chunk)
            self._finish(finished)
        if self._closed and results:
            self._drained()
        return own

    def _begin(self, job: Job, begin: Callable[[], bool] | None) -> bool:
        """A worker has taken the job; False if nobody wants it any more."""
        now = time.monotonic()
        wanted = begin is None or begin()
        with self._hosts.lock:
            job.since = now
            job.attempts.begin(now)
            if not wanted:
                job.settled = True
                self._hosts.cancel(job.line.lane, job.ticket, now)
                self._list(job.line)
                self._pending -= 1
            elif self._item_timeout is not None:
                self._alarms.set(now + self._item_timeout, partial(self._overdue, job))
        if not wanted:
            self._act()
            self._hosts.poke(but=self)
            self._drained()
        return wanted

    # Outcomes ---------------------------------------------------------------------------------------------

    def _ended(self, finished: Finished) -> Job | None:
        """A worker is done with a job; called in any thread. Returns what the worker may do next."""
        return self._finish(finished, hand=self._hands_on)

    def _finish(self, finished: Finished, hand: bool = False) -> Job | None:
        job = finished.chunk
        assert isinstance(job, Job)
        if self._keep is not None and not job.settled:
            self._keep(job.start, finished.values)
        tries = self._tries(job, finished)
        with self._hosts.lock:
            if not job.settled:
                self._settle(job, finished, tries)
            todo = self._decided()
        own = self._carry_out(*todo, hand=hand)
        self._hosts.poke(but=self)
        return own

    def revive(self) -> None:
        """Somebody else's call has ended: look again at the hosts that were full."""
        with self._hosts.lock:
            for line in self._lines.values():
                if line.alarm == math.inf:
                    self._list(line)
            todo = self._decided()
        self._carry_out(*todo)

    def _tries(self, job: Job, finished: Finished) -> list[Try]:
        """What became of each item that did not go well, and of the only one of a task."""
        now = time.monotonic()
        if len(job.items) == 1:
            answer, error = _judged(finished)
            return [Try(0, answer, error, self._delay(job.attempts, error, answer, now))]
        failed = [
            (place, value.error) for place, value in enumerate(finished.values) if type(value) is Failure
        ]
        tries = []
        for place, error in failed:
            attempts, answer = Attempts(job.since), judge_error(error, time.time())
            tries.append(Try(place, answer, error, self._delay(attempts, error, answer, now)))
        return tries

    def _delay(
        self, attempts: Attempts, error: BaseException | None, answer: Answer, now: float
    ) -> float | None:
        return None if self._killed else self._hosts.delay(attempts, error, answer, now)

    def _settle(self, job: Job, finished: Finished, tries: list[Try]) -> None:
        job.settled = True
        count, now = max(1, len(finished.values)), time.monotonic()
        first, *more = [*(tried.answer for tried in tries), *[OK] * (count - len(tries))]
        seconds = finished.wall_s / count
        self._hosts.end(job.line.lane, job.ticket, now, first, seconds, finished.cpu_s)
        for answer in more:
            self._hosts.also(job.line.lane, now, answer, seconds)
        self._list(job.line)
        if len(job.items) == 1:
            self._settle_one(job, finished, tries[0])
        else:
            self._settle_many(job, finished, tries)

    def _settle_one(self, job: Job, finished: Finished, tried: Try) -> None:
        if tried.error is not None and isinstance(tried.error, Exception):
            job.attempts.note(tried.error, finished.wall_s)
            if self._again(job, tried):
                return
        if job.rest is None and finished.error is not None and _ends_the_run(finished.error):
            self._result(finished)
            return
        value = Failure(finished.error) if finished.error is not None else finished.values[0]
        if isinstance(value, Failure):
            self._give_up(job, value)
        self._conclude(job, job.rest, value, finished.where, finished)

    def _settle_many(self, job: Job, finished: Finished, tries: list[Try]) -> None:
        """Run the items of a task that failed again, one by one."""
        rest, singles = Rest(finished, 0), _singles(job)
        for tried in tries:
            failure = finished.values[tried.place]
            part = Job(singles[tried.place], job.line, Attempts(job.since), rest)
            part.attempts.note(failure.error, 0.0)
            if self._again(part, tried):
                rest.places += 1
            else:
                self._give_up(part, failure)
                blame(failure.error, part.start, unpacked(part.items[0], part.star), finished.where)
        if not rest.places:
            self._result(finished)

    def _again(self, job: Job, tried: Try) -> bool:
        """Whether a job that failed runs again; it is then put back into its line when its time comes."""
        if tried.delay_s is None or self._killed:
            return False
        if not self._hosts.may_retry(job.line.lane, job.attempts, tried.answer):
            return False
        fresh = Job(job, job.line, job.attempts, job.rest)
        fresh.begin = None  # the task's own was asked when it was tried first
        self._alarms.set(time.monotonic() + tried.delay_s, partial(self._queue, fresh, first=True))
        return True

    def _give_up(self, job: Job, failure: Failure) -> None:
        job.attempts.tell(failure.error)
        self._hosts.tally.failed(failure.error, job.line.lane.host)

    def _overdue(self, job: Job) -> None:
        """Its patience is over: the call is given up, and others have its place."""
        if job.settled:
            return
        limit = self._item_timeout or 0.0
        error = ItemTimeout(f"the call took longer than item_timeout={limit:g} s and was given up")
        where = f"a worker; given up after {spell(limit)}"
        self._late.append(Finished(job, [], error, limit, 0.0, where))

    def _conclude(
        self, job: Chunk, rest: Rest | None, value: Any, where: str, finished: Finished | None = None
    ) -> None:
        """The last word on an item: into the task that it belongs to, and out when that is complete."""
        if isinstance(value, Failure):
            blame(value.error, job.start, unpacked(job.items[0], job.star), where or "no worker")
        if rest is None:
            wall, cpu = (finished.wall_s, finished.cpu_s) if finished else (0.0, 0.0)
            self._result(Finished(job, [value], None, wall, cpu, where))
            return
        rest.finished.values[job.start - rest.finished.chunk.start] = value
        rest.places -= 1
        if not rest.places:
            self._result(rest.finished)

    def _result(self, finished: Finished) -> None:
        self._results.append(finished)

    # The end ----------------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int] | None:
        """Calls that have begun so far, and those of them that run now.

        None once some were refused: it is then the other side that says how many there may be.
        """
        with self._hosts.lock:
            tally = self._hosts.tally
            return None if tally.refusals else (tally.calls + tally.at_once, tally.at_once)

    def warm_up(self, count: int) -> int:
        """Have up to `count` more workers at hand, where that is possible; returns how many are new."""
        warm_up = getattr(self._inner, "warm_up", None)
        return warm_up(count) if warm_up is not None else 0

    def profiled(self, latency_s: float, held_s: float) -> None:
        """The first item, which ran in the caller's own thread, has ended."""
        with self._hosts.lock:
            self._hosts.profiled(latency_s, held_s)
        self._act()

    def _drained(self) -> None:
        """Close the backend when the last task is through and no more will come."""
        with self._hosts.lock:
            if not self._closed or self._pending:
                return
            self._alarms.end()
        self._inner.close(wait=False)

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """Finish what was submitted and end the backend.

        Args:
            wait: return only when that has happened.
            kill: drop what has not begun or is to run again.
        """
        with self._hosts.lock:
            self._closed = True
            self._killed = self._killed or kill
            if kill and self in self._hosts.desks:
                self._hosts.desks.remove(self)
            if kill:
                for line in self._lines.values():
                    line.jobs.clear()
            idle = self._killed or not self._pending
            if idle:
                self._alarms.end()
        while wait and not idle:  # the alarms may have no thread, where no more are to be had
            with self._hosts.lock:
                if self._pending:
                    self._alarms.wait()
                idle = not self._pending
            self._act()
        if idle:
            self._inner.close(wait=wait, kill=kill)
        if wait:
            with self._hosts.lock:
                self._alarms.end()
                if self in self._hosts.desks:
                    self._hosts.desks.remove(self)
            self._alarms.join()

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
        seen = getattr(self._inner, "costs", None)
        return seen() if seen is not None else {}


def _singles(chunk: Chunk) -> list[Chunk]:
    """The items of a task, each as a task of its own."""
    return [
        Chunk(chunk.start + place, chunk.items[place : place + 1], chunk.call, chunk.star)
        for place in range(len(chunk.items))
    ]


def _all_open(chunk: Chunk) -> Rest:
    """A task none of whose items has come to anything yet."""
    count = len(chunk.items)
    return Rest(Finished(chunk, [None] * count, None, 0.0, 0.0, ""), count)


def _ends_the_run(error: BaseException) -> bool:
    """Whether an error is more than one item's own: SystemExit and the like, or a worker that is unfit."""
    return not isinstance(error, Exception) or isinstance(error, (BrokenWorker, WorkerDied))


def _judged(finished: Finished) -> tuple[Answer, BaseException | None]:
    """What the other side made of a task, and the error that says so."""
    if finished.error is not None:
        return judge_error(finished.error, time.time()), finished.error
    if len(finished.values) != 1:
        return OK, None
    value = finished.values[0]
    if isinstance(value, Failure):
        return judge_error(value.error, time.time()), value.error
    return judge_response(value)
