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

import heapq
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count

from ..backends.base import Backend, Chunk, Deliver, Failure, Finished
from ..decide.answers import Answer, judge_error
from ..errors import BrokenWorker, ItemTimeout, WorkerDied, blame, unpacked
from ..records import Ending, spell
from .hosts import Attempts, Hosts, Lane, judge_response, no_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..decide.concurrency import Ticket
    from .bookkeeping import Keep

__all__ = ["Desk"]

OK = Answer(Ending.OK)


class _Job(Chunk):
    """One try of a task; a task of several items is tried again item by item.

    Attributes:
        attempts: how often its item was tried.
        line: the host that it waits for or runs at.
        settled: whether its outcome is known, or no longer wanted.
        rest: the task that it is a part of, with the place in it, or None.
        since: when a worker began it, 0.0 before.
        ticket: what the host's controller knows it by.
    """

    __slots__ = ("attempts", "line", "rest", "settled", "since", "ticket")

    def __init__(self, chunk: Chunk, line: _Line, attempts: Attempts, rest: _Rest | None = None) -> None:
        super().__init__(chunk.start, chunk.items, chunk.call, chunk.star, chunk.begin)
        self.line, self.attempts, self.rest = line, attempts, rest
        self.settled, self.since = False, 0.0
        self.ticket: Ticket | None = None


class _Line:
    """The jobs that wait for one host."""

    __slots__ = ("alarm", "jobs", "lane", "listed")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.jobs: deque[_Job] = deque()
        self.listed = False  # among those that may admit a call
        self.alarm = math.inf  # when it will be looked at again


class _Try:
    """How one try of an item ended, and when it may be tried again (None: not at all)."""

    __slots__ = ("answer", "delay_s", "error", "place")

    def __init__(
        self, place: int, answer: Answer, error: BaseException | None, delay_s: float | None
    ) -> None:
        self.place, self.answer, self.error, self.delay_s = place, answer, error, delay_s


class _Rest:
    """A finished task some of whose items run again."""

    __slots__ = ("finished", "places")

    def __init__(self, finished: Finished, places: int) -> None:
        self.finished, self.places = finished, places


class Desk:
    """Admits calls to a backend, and decides what becomes of those that fail.

    Args:
        hosts: what is known of the other side.
        deliver: receives finished tasks.
        open_backend: makes the backend behind the desk.
        subject: the arguments of a task's first item, and whether they are several.
        item_timeout: seconds one call may take, or None.
        keep: keeps results in a journal, or None.
    """

    def __init__(
        self,
        hosts: Hosts,
        deliver: Deliver,
        open_backend: Callable[[Deliver], Backend],
        *,
        subject: Callable[[Chunk], tuple[Any, bool]],
        item_timeout: float | None = None,
        keep: Keep | None = None,
    ) -> None:
        self._hosts, self._deliver, self._subject = hosts, deliver, subject
        self._item_timeout, self._keep = item_timeout, keep
        self._lines: dict[str, _Line] = {}
        self._ready: deque[_Line] = deque()
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._changed = threading.Condition(hosts.lock)
        self._timer: threading.Thread | None = None
        self._pending = 0  # tasks taken and not yet delivered
        self._closed = self._killed = False
        self._starts: list[_Job] = []
        self._results: list[Finished] = []
        self._late: list[Finished] = []
        self._inner = open_backend(self._ended)
        self._hands_on = getattr(self._inner, "hands_on", False)

    # Tasks in ---------------------------------------------------------------------------------------------

    def submit(self, chunk: Chunk) -> None:
        """Take a task; it begins when its host allows."""
        item, star = self._subject(chunk)
        failure = host = None
        try:
            host = self._hosts.name_of(item, star)
        except Exception as error:  # per= raised: that is this item's failure
            failure = no_host(error)
        with self._hosts.lock:
            self._pending += 1
            if failure is not None:
                self._hosts.tally.failed(failure.error, "")
                self._conclude(chunk, None, failure, "")
            elif host is not None:
                self._queue(_Job(chunk, self._line(host), Attempts()))
            todo = self._decided()
        self._carry_out(*todo)

    def _line(self, host: str) -> _Line:
        line = self._lines.get(host)
        if line is None:
            line = self._lines[host] = _Line(self._hosts.lane(host))
        return line

    def _queue(self, job: _Job, *, first: bool = False) -> None:
        if first:
            job.line.jobs.appendleft(job)
        else:
            job.line.jobs.append(job)
        if job.line.alarm == math.inf:
            self._list(job.line)

    def _list(self, line: _Line) -> None:
        if not line.listed and line.jobs:
            line.listed = True
            self._ready.append(line)

    def withdraw(self) -> list[Chunk]:
        """Give back the tasks that were never begun; those that are to run again stay."""
        with self._hosts.lock:
            back: list[Chunk] = []
            for line in self._lines.values():
                fresh = [job for job in line.jobs if not job.attempts.count]
                line.jobs = deque(job for job in line.jobs if job.attempts.count)
                back += fresh
            self._pending -= len(back)
        return back

    # Calls out --------------------------------------------------------------------------------------------

    def _admit(self, now: float) -> None:
        """Let begin what may, host by host in turn."""
        while self._ready and not self._hosts.full():
            line = self._ready.popleft()
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

    def _look_again(self, line: _Line, when: float) -> None:
        if when < line.alarm:
            line.alarm = when

            def ring() -> None:
                line.alarm = math.inf
                self._list(line)

            self._at(when, ring)

    def _refuse(self, line: _Line) -> None:
        while line.jobs:
            job = line.jobs.popleft()
            self._hosts.tally.failed(error := line.lane.refusal(), line.lane.host)
            self._conclude(job, job.rest, Failure(error), "")

    def _decided(self) -> tuple[list[_Job], list[Finished], list[Finished]]:
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
        self, starts: list[_Job], results: list[Finished], late: list[Finished], hand: bool = False
    ) -> _Job | None:
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

    def _begin(self, job: _Job, begin: Callable[[], bool] | None) -> bool:
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
                self._at(now + self._item_timeout, partial(self._overdue, job))
        if not wanted:
            self._act()
            self._drained()
        return wanted

    # Outcomes ---------------------------------------------------------------------------------------------

    def _ended(self, finished: Finished) -> _Job | None:
        """A worker is done with a job; called in any thread. Returns what the worker may do next."""
        return self._finish(finished, hand=self._hands_on)

    def _finish(self, finished: Finished, hand: bool = False) -> _Job | None:
        job = finished.chunk
        assert isinstance(job, _Job)
        if self._keep is not None and not job.settled:
            self._keep(job.start, finished.values)
        tries = self._tries(job, finished)
        with self._hosts.lock:
            if not job.settled:
                self._settle(job, finished, tries)
            todo = self._decided()
        return self._carry_out(*todo, hand=hand)

    def _tries(self, job: _Job, finished: Finished) -> list[_Try]:
        """What became of each item that did not go well, and of the only one of a task."""
        now = time.monotonic()
        if len(job.items) == 1:
            answer, error = _judged(finished)
            return [_Try(0, answer, error, self._delay(job.attempts, error, answer, now))]
        failed = [
            (place, value.error) for place, value in enumerate(finished.values) if type(value) is Failure
        ]
        tries = []
        for place, error in failed:
            attempts, answer = Attempts(job.since), judge_error(error, time.time())
            tries.append(_Try(place, answer, error, self._delay(attempts, error, answer, now)))
        return tries

    def _delay(
        self, attempts: Attempts, error: BaseException | None, answer: Answer, now: float
    ) -> float | None:
        return None if self._killed else self._hosts.delay(attempts, error, answer, now)

    def _settle(self, job: _Job, finished: Finished, tries: list[_Try]) -> None:
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

    def _settle_one(self, job: _Job, finished: Finished, tried: _Try) -> None:
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

    def _settle_many(self, job: _Job, finished: Finished, tries: list[_Try]) -> None:
        """Run the items of a task that failed again, one by one."""
        rest = _Rest(finished, 0)
        for tried in tries:
            failure = finished.values[tried.place]
            single = Chunk(
                job.start + tried.place, job.items[tried.place : tried.place + 1], job.call, job.star
            )
            part = _Job(single, job.line, Attempts(job.since), rest)
            part.attempts.note(failure.error, 0.0)
            if self._again(part, tried):
                rest.places += 1
            else:
                self._give_up(part, failure)
                blame(failure.error, part.start, unpacked(part.items[0], part.star), finished.where)
        if not rest.places:
            self._result(finished)

    def _again(self, job: _Job, tried: _Try) -> bool:
        """Whether a job that failed runs again; it is then put back into its line when its time comes."""
        if tried.delay_s is None or self._killed:
            return False
        if not self._hosts.may_retry(job.line.lane, job.attempts, tried.answer):
            return False
        fresh = _Job(job, job.line, job.attempts, job.rest)
        fresh.begin = None  # the task's own was asked when it was tried first
        self._at(time.monotonic() + tried.delay_s, partial(self._queue, fresh, first=True))
        return True

    def _give_up(self, job: _Job, failure: Failure) -> None:
        job.attempts.tell(failure.error)
        self._hosts.tally.failed(failure.error, job.line.lane.host)

    def _overdue(self, job: _Job) -> None:
        """Its patience is over: the call is given up, and others have its place."""
        if job.settled:
            return
        limit = self._item_timeout or 0.0
        error = ItemTimeout(f"the call took longer than item_timeout={limit:g} s and was given up")
        where = f"a worker; given up after {spell(limit)}"
        self._late.append(Finished(job, [], error, limit, 0.0, where))

    def _conclude(
        self, job: Chunk, rest: _Rest | None, value: Any, where: str, finished: Finished | None = None
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

    # Time -------------------------------------------------------------------------------------------------

    def _at(self, when: float, action: Callable[[], None]) -> None:
        """Have something done under the lock at a certain time."""
        first = not self._alarms or when < self._alarms[0][0]
        heapq.heappush(self._alarms, (when, next(self._order), action))
        if self._timer is None:
            self._timer = threading.Thread(target=self._watch, name="autoexec-desk", daemon=True)
            try:
                self._timer.start()
            except RuntimeError:  # no more threads at interpreter shutdown: `close` keeps the time
                self._timer = None
        elif first:
            self._changed.notify_all()

    def _watch(self) -> None:
        while True:
            with self._hosts.lock:
                if self._killed or (self._closed and not self._pending):
                    return
                self._wait_and_ring()
            self._act()

    def _wait_and_ring(self) -> None:
        """Wait for a change or the next alarm, and do what is due."""
        now = time.monotonic()
        if not self._alarms or self._alarms[0][0] > now:
            self._changed.wait(self._alarms[0][0] - now if self._alarms else None)
            now = time.monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            heapq.heappop(self._alarms)[2]()

    # The end ----------------------------------------------------------------------------------------------

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
            self._changed.notify_all()
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
            self._changed.notify_all()
            if kill:
                for line in self._lines.values():
                    line.jobs.clear()
                self._alarms.clear()
            idle = kill or not self._pending
            timer = self._timer
        while wait and not idle:  # the timer may be missing, where no more threads can be had
            with self._hosts.lock:
                if self._pending:
                    self._wait_and_ring()
                idle = not self._pending
            self._act()
        if idle:
            self._inner.close(wait=wait, kill=kill)
        if wait and timer is not None and timer is not threading.current_thread():
            timer.join()

    def costs(self) -> dict[str, float]:
        """Measured seconds, by the names of `Calibration`."""
        seen = getattr(self._inner, "costs", None)
        return seen() if seen is not None else {}


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
