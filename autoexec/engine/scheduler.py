"""The scheduler: what waits, what is out, what is finished, and which worker gets what. It is passive.

Rule 1: it has no thread; whoever comes does the work. A worker *asks* (`next`, `completed`), a consumer
*takes* (`take`), whoever watches the time *ticks*.
Rule 2: all tables change under one lock, and no code of the user's runs under it, nor any that may wait. A
delivery has three phases: judge (the user's code, no lock), commit (the tables), act (futures, the journal,
new threads: no lock, in the worker's own thread).
Rule 3: threads of ours append what they have to say to `_events` and only *try* the lock. Whoever holds it
works off all events and looks once more after releasing it; who finds it held waits at its own gate for the
answer. So no finalizer and no signal handler can hang on it, and few threads queue for it. A consumer, which
may be the main thread, uses `with` alone: a `KeyboardInterrupt` between `acquire` and `try` would leave the
lock held for ever.
A thread is marked in `_inside` from before it tries the lock until after it has let it go: what a finalizer
or a signal handler asks for in between is done when that is over.
Rule 4: at release no open track has both a parked slot and a task that it may begin.
Rule 5, the ledger: each place is in exactly one table, and a run ends only when the source is over and all
tables but "handed out" are empty. Counts are lengths of tables.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from ..errors import AutoexecError, BrokenWorker, ItemTimeout, WorkerDied, add_note
from ..records import spell
from ..worker.invoke import CallSpec, Error, Task, TaskResult
from .forks import generation
from .queues import Line, TaskQueue, counted, part
from .tracks import DONE, END, Naming, Slot, Track, TrackState
from .verdict import OK, Try, judge
from .window import Failed, Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .limits import Limits
    from .source import Source
    from .tracks import End

__all__ = ["Scheduler", "fatal", "nested"]

FEW, MANY = 8, 256  # items that one look pulls from the source for groups that cannot begin any
FULL = 1 << 62


class Scheduler:
    """The tables of one run, or of one executor.

    Args:
        spec: what a map calls; None for an executor, whose tasks bring their own.
        source: the items of a map, or None.
        ordered: whether results leave in the order of their places.
        most: calls at once over all tracks, or None.
        keep: writes finished items into a journal, or None.
        ends_at_error: whether an error ends the results, so that nothing behind it need begin.
        item_timeout: seconds that one call may take, or None; some backends see to it themselves.
        clock: tells the time, as `time.monotonic` does.
        timer: told when to tick next, without the lock.

    Attributes:
        window: what is finished.
        queue: where the tasks of a map wait.
        tracks: all tracks there ever were.
        room: items that may be taken and not yet delivered.
        delivered: items whose results the consumer has used.
        error: what ended the run, or None.
        closing: whether nothing more begins.
        states: what the run has passed through, for the error that should never be seen.
        on_failed: told, without the lock, of a track that has no workers.
        apart: what the caller's own thread calls the user's code by.
    """

    def __init__(
        self,
        spec: CallSpec | None,
        source: Source | None,
        *,
        ordered: bool = True,
        most: int | None = None,
        keep: Callable[[int, list[Any]], None] | None = None,
        ends_at_error: bool = True,
        item_timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[float], object] = lambda when: None,
    ) -> None:
        self.spec, self.source = spec, source
        self.window = Window(ordered=ordered)
        self.queue = TaskQueue()
        self.queues: list[TaskQueue] = [self.queue]
        self.tracks: list[Track] = []
        self.room = FULL
        self.delivered = 0
        self.error: BaseException | None = None
        self.closing = False
        self.states: list[str] = []
        self.on_failed: Callable[[Track], object] | None = None
        self.apart: Callable[..., Any] = lambda call, *args: call(*args)
        self._most = math.inf if most is None else most
        self._keep, self._ends_at_error, self._item_timeout = keep, ends_at_error, item_timeout
        self._clock, self._timer = clock, timer
        self._lock = allocate_lock()
        self._inside: set[int] = set()
        self._torn = False  # whether an event was left in the middle: some slot may wait for what is lost
        self._events: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._acts: list[Callable[[], object]] = []
        self._out: dict[int, tuple[Task, Slot]] = {}
        self._retries: list[tuple[float, int, Task, TaskQueue]] = []
        self._keeping: dict[int, Task] = {}
        self._calls: set[Task] = set()  # of an executor, as long as their futures are not done
        self._late: dict[int, Task] = {}  # given up, and not yet judged
        self._timed: deque[tuple[float, int]] = deque()  # tasks with a time limit, the oldest first
        self._serial = self._busy = 0
        self._withdrawn = self._dropped = self._left = self._resolved = self._put = 0
        self._below = math.inf  # the place of an error that ends the results: nothing behind it begins
        self._look = FEW
        self._slow_names = False
        self._bell = allocate_lock()
        self._bell.acquire()
        self._wants = self._news = self._finishing = False
        self._timer_at = math.inf
        self._generation = generation()
        self._forward: dict[TaskQueue, TaskQueue] = {}  # where calls for a queue that was given up go

    # The lock ---------------------------------------------------------------------------------------------

    def _locked(self, step: Callable[[float], Any] | None = None) -> Any:
        """Work off the events, then do `step`; for consumers, and for whoever is in the main thread."""
        me = get_ident()
        if me in self._inside:  # from a signal handler or a finalizer, in the middle of it
            if step is None:
                return None
            raise nested()
        found: Any = None
        acts: Iterable[Callable[[], object]] = ()
        try:
            self._inside.add(me)
            with self._lock:
                now = self._clock()
                self._work_off(now)
                found = step(now) if step is not None else None
                acts = self._settled(now)
        except BaseException as error:
            self._tear(error)
            raise
        finally:
            self._inside.discard(me)
            self._act(acts)
            if self._events:
                self._try()
        return found

    def _soon(self, step: Callable[[float], None]) -> None:
        """Do something at once, or if this thread is in the middle of something else, right after that."""
        if self.within:
            self._events.append((step, ()))
        else:
            self._locked(step)

    @property
    def within(self) -> bool:
        """Whether this thread is in the middle of something here: a finalizer, or a signal handler, asks."""
        return get_ident() in self._inside

    def _try(self) -> None:
        """Work off the events, unless somebody else is at it and will look once more."""
        me = get_ident()
        if threading.main_thread().ident == me:
            self._locked()
            return
        while self._events and me not in self._inside:
            acts: Iterable[Callable[[], object]] | None = None
            try:
                self._inside.add(me)
                if not self._lock.acquire(False):
                    return
                try:
                    now = self._clock()
                    self._work_off(now)
                    acts = self._settled(now)
                finally:
                    self._lock.release()
            except BaseException as error:
                self._tear(error)
                raise
            finally:
                self._inside.discard(me)
            self._act(acts)

    def _tear(self, error: BaseException) -> None:
        """Something was left in the middle: nobody knows what is lost, so that this cannot go on."""
        self._torn = True
        self._events.append((self._on_crash, (error,)))

    def _act(self, acts: Iterable[Callable[[], object]]) -> None:
        """What is to be done without the lock; what is left of it after an error is done by the next one."""
        left = iter(acts)
        try:
            for act in left:
                act()
        except BaseException as error:
            self._events.append((self._on_left, (list(left),)))
            if not isinstance(error, Exception):
                self._tear(error)
                raise
            self.crashed(error)

    def _on_left(self, now: float, acts: list[Callable[[], object]]) -> None:
        self._acts += acts

    def _on_crash(self, now: float, error: BaseException) -> None:
        self._crash(error)

    def _work_off(self, now: float) -> None:
        events = self._events
        while events:
            handle, about = events.popleft()
            try:
                handle(now, *about)
            except Exception as error:  # a fault of ours: whoever waits must hear of it
                self._torn = True
                self._crash(error)

    def _settled(self, now: float) -> list[Callable[[], object]]:
        """Give out what may be given out, ring who waits; what is to be done without the lock."""
        try:
            self._match(now)
        except Exception as error:  # a fault of ours, as in an event
            self._torn = True
            self._crash(error)
        if self._wants and (self._news or self._something()):
            self._wants = self._news = False
            self._bell.release()
        if not self.closing and (due := self._due()) < self._timer_at:
            self._timer_at = due
            self._acts.append(partial(self._timer, due))
        acts, self._acts = self._acts, []
        return acts

    def _post(self, handle: Callable[..., None], *about: Any) -> None:
        self._events.append((handle, about))
        self._try()

    # Workers ----------------------------------------------------------------------------------------------

    def next(self, slot: Slot, timeout: float | None = None) -> Task | End | None:
        """A task for a slot, which has none; `END` when there will be no more, None after the time.

        Args:
            slot: the one that asks.
            timeout: seconds to wait; it goes on waiting at the next call.
        """
        if not slot.asking and slot.mail is None:
            slot.asking = True  # its event may not have been worked off when the time is over
            self._post(self._asked, slot)
        found = self._answer(slot, timeout)
        slot.asking = found is None
        return found

    def ahead(self, slot: Slot) -> Task | None:
        """One more task for a slot that has one already, if one may begin now."""
        self._post(self._asked_ahead, slot)
        found = self._answer(slot)
        return found if isinstance(found, Task) else None

    def completed(self, slot: Slot, task: Task, result: TaskResult, *, ask: bool = True) -> Task | End | None:
        """What became of a task; returns the next one (or `END`), or None if none is asked for."""
        self._post(self._done, slot, task, result, self._judged(slot, task, result), ask)
        return None if slot.gate is None else self._answer(slot)

    def exchange(self, slot: Slot, *, idle: bool = False) -> Task | End | None:
        """What `slot.finished` says became of its task, for the next one (or `END`).

        Nothing here holds on to the finished task while the slot waits.

        Args:
            slot: the one that has finished.
            idle: whether it is told `END` when there is nothing to do now.
        """
        assert slot.finished is not None
        (task, result), slot.finished = slot.finished, None
        self._post(self._done, slot, task, result, self._judged(slot, task, result), True)
        del task, result
        if idle:
            self._post(self._leaving, slot)
        return self._answer(slot)

    def _answer(self, slot: Slot, timeout: float | None = None) -> Task | End | None:
        """What a slot is told; None after the time. What it has to do meanwhile is done here."""
        while slot.gate.acquire(timeout=-1 if timeout is None else timeout):
            mail = slot.mail
            if mail is not None:
                slot.mail = None  # not before there is one: it may come at this very moment
            while slot.todo:
                slot.todo.pop(0)()
            if isinstance(mail, Naming):
                self._name(mail)
                self._post(self._named, slot, mail)
            elif mail is not None:
                return mail
        return None

    def collect(self, slot: Slot) -> Task | End | None:
        """The answer that a slot without a thread was rung for."""
        mail, slot.mail = slot.mail, None
        if isinstance(mail, Naming):
            self._name(mail)
            self._post(self._named, slot, mail)
            return None
        return mail

    def ask(self, slot: Slot) -> None:
        """A slot without a thread wants a task: it is rung when there is one."""
        self._post(self._asked, slot)

    def _name(self, naming: Naming) -> None:
        """Find out whom tasks concern: the user's code."""
        limits = naming.queue.limits
        for task in naming.tasks:
            try:
                name = "" if limits is None else limits.name_of(task.items[0], task.spec.star)
            except Exception as error:
                add_note(error, "autoexec: raised by per=, before the item was called")
                naming.names.append(error)
            except BaseException as error:
                self.crashed(error)
                naming.names.append(error)
            else:
                naming.names.append(name)
        del naming, limits  # see `run_items`: an error must not hold on to itself

    def _judged(self, slot: Slot, task: Task, result: TaskResult) -> list[Try]:
        limits = slot.track.queue.limits
        if limits is None or result.withdrawn:
            return []
        try:
            return judge(limits, task, result, self._clock())
        except BaseException as error:  # such as SystemExit, from a function that says what is worth a retry
            self.crashed(error)
            return []

    # Backends ---------------------------------------------------------------------------------------------

    def opened(self, track: Track) -> None:
        """The workers of a track may ask."""
        self._post(self._on_opened, track)

    def failed(self, slot: Slot, error: BaseException) -> None:
        """The backend of a slot can have no workers."""
        self._post(self._on_failed, slot.track, error)

    def not_opened(self, track: Track, error: BaseException) -> None:
        """A track cannot be opened."""
        self._post(self._on_failed, track, error)

    def unborn(self, slot: Slot, error: BaseException) -> None:
        """The worker of a slot could not be started."""
        self._post(self._on_unborn, slot, error)

    def gone(self, slot: Slot) -> None:
        """The worker of a slot has ended."""
        self._post(self._on_gone, slot)

    def crashed(self, error: BaseException) -> None:
        """Something escaped a thread of ours: the run ends with it."""
        self._post(self._on_crash, error)

    def returned(self, slot: Slot, task: Task) -> None:
        """A task was never begun, and never will be."""
        self._post(self._done, slot, task, TaskResult([]), [], False)

    def kept(self, task: Task, place: int, outcomes: list[Any]) -> None:
        """Items of a task are in the journal."""
        self._post(self._on_kept, task, place, outcomes)

    # Anybody ----------------------------------------------------------------------------------------------

    def put(self, task: Task, queue: TaskQueue) -> None:
        """A call of an executor; from any thread, signal handlers and finalizers included."""
        self._post(self._on_put, task, queue)

    def cancelled(self, task: Task) -> bool:
        """Nobody wants a call any more; whether it was still waiting, as far as that is known at once."""
        gone: list[bool] = []
        self._post(self._on_cancelled, task, gone)
        return bool(gone)

    def waiting(self, queue: TaskQueue | None = None) -> list[Task]:
        """The calls that wait, or that are to run again."""

        def step(_: float) -> list[Task]:
            queues = self.queues if queue is None else [queue]
            found = [task for each in queues for task in each.waiting()]
            return found + [task for _, _, task, where in self._retries if queue in (None, where)]

        # A signal handler may ask, too: what it sees may be in the middle of a change.
        return step(0.0) if self.within else self._locked(step)

    def take_back(self, task: Task) -> bool:
        """Take a call away that waits, or that is to run again; False if somebody has it."""

        def step(_: float) -> bool:
            again = next((entry for entry in self._retries if entry[2] is task), None)
            if again is not None:
                self._retries.remove(again)
                heapq.heapify(self._retries)
                self._withdraw(again[3], task)
                return True
            return self._drop(task)

        return bool(self._locked(step))

    def left(self, track: Track) -> list[Task]:
        """The tasks that the slots of a track have; nobody waits for them any more."""

        def step(_: float) -> list[Task]:
            found = [task for task, slot in self._out.values() if slot.track is track]
            for task in found:
                slot = self._out.pop(task.serial)[1]
                del slot.tasks[task.serial]
                slot.left = True
                if not slot.tasks:
                    self._free_one(track)
                self._left += len(task.items)
                self._calls.discard(task)
            return found

        return self._locked(step)  # type: ignore[no-any-return]

    def take_over(self, slot: Slot, task: Task) -> bool:
        """Give a task that waits to a slot of a track that nobody else knows; False if it does not wait."""

        def step(now: float) -> bool:
            queue = next((each for each in self.queues if each.drop(task)), None)
            if queue is None:
                return False
            slot.track.queue = queue
            if queue.limits is not None:  # it counts, whatever they say: somebody waits for it
                task.ticket = queue.limits.begin(task.group.group, now)
            self._give_to(slot, task, now)
            return True

        return bool(self._locked(step))

    def move(self, source: TaskQueue, target: TaskQueue) -> None:
        """The calls of one queue wait in another one from now on."""

        def step(_: float) -> None:
            tasks = sorted(source.waiting(), key=lambda task: task.place)
            source.clear()
            self._forward[source] = target
            self._forward.pop(target, None)
            for task in tasks:
                self._rehome(task, source, target)
            if source in self.queues:
                self.queues.remove(source)

        self._soon(step)

    def _home(self, queue: TaskQueue) -> TaskQueue:
        """Where the calls of a queue wait by now."""
        while queue in self._forward:
            queue = self._forward[queue]
        return queue

    def _rehome(self, task: Task, source: TaskQueue, target: TaskQueue) -> None:
        line: Line | None = task.group
        self._leave(source, line)
        self._requeue(task, target, line.group.name if line is not None else "")

    def _requeue(self, task: Task, queue: TaskQueue, name: str) -> None:
        if queue not in self.queues:
            self.queues.append(queue)
        task.group = None
        if queue.limits is not None:
            self._enqueue(queue, task, name)
        else:
            queue.put(task)

    def enlarge(self, track: Track, more: int) -> None:
        """A track may have so many more slots."""

        def step(_: float) -> None:
            track.most += more
            track.allowed += more

        self._soon(step)

    def join(self) -> None:
        """Wait until all calls that were put are done; `close(finish=True)` comes first."""
        while not self._locked(lambda _: self._ready_to_end()):
            self._bell.acquire(timeout=0.25)

    def close(self, *, finish: bool = False) -> None:
        """Nothing more begins, or with `finish` nothing more than what is there already.

        In a process that was forked meanwhile nothing happens: its copy of the lock may never be given back.
        """
        if self._generation != generation():
            return
        self.closing = self.closing or not finish
        self._post(self._on_close, finish)

    def tick(self) -> float:
        """Do what is due; returns when to come again (infinite: not before something happens)."""
        self._timer_at = math.inf
        self._post(self._due_now)
        return self._timer_at

    # The consumer -----------------------------------------------------------------------------------------

    def take(self) -> list[Any] | End | None:
        """Finished items, `END`, or None if there is nothing yet: then `wait`, or do something.

        Raises:
            BaseException: what ended the run.
            AutoexecError: if the tables do not add up at the end.
        """
        found = self._locked(self._taken)
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[no-any-return]

    def _taken(self, now: float) -> list[Any] | End | BaseException | None:
        self.delivered = self.window.handed
        self._resumed()
        if block := self.window.pop():
            return block
        if self.error is not None:
            return self.error
        if self.closing:  # what is missing was dropped, by whoever closed it
            return END
        if self.source is None or self._finished():
            return self._checked() or END
        self._bell.acquire(False)
        self._wants = True
        return None

    def _resumed(self) -> None:
        """The consumer comes again after an error: what lies behind that may begin."""
        window = self.window
        if window.handed > self._below if window.ordered else not window.ready:
            self._below = math.inf

    def wait(self, seconds: float) -> bool:
        """Until there may be something to take, or for so many seconds; whether it was the former."""
        return self._bell.acquire(timeout=max(0.0, seconds))

    def ring(self) -> None:
        """End a wait."""
        self._post(self._on_news)

    def take_here(self, track: Track, slot: Slot, most: int) -> Task | None:
        """A task for the caller's own thread, of up to `most` items."""

        def step(now: float) -> Task | Naming | None:
            track.chunks.size = most
            if track.state is not TrackState.OPEN or self._busy >= self._most:
                return None
            found = self._pick(track, now)
            if isinstance(found, Task):
                self._give_to(slot, found, now)
            return found

        while True:
            found: Task | Naming | None = self._locked(step)
            if not isinstance(found, Naming):
                return found
            self.apart(self._name, found)
            naming = found
            self._locked(lambda now: self._enqueue_named(now, naming))  # noqa: B023

    def completed_here(self, slot: Slot, task: Task, result: TaskResult) -> None:
        """What became of a task in the caller's own thread."""
        tries = self.apart(self._judged, slot, task, result)
        self._locked(lambda now: self._done(now, slot, task, result, tries, False))

    def stock(self, items: list[Any]) -> None:
        """Items that the consumer has pulled from its iterator."""
        source = self.source
        assert source is not None
        self._locked(lambda now: source.put_by(items))

    def to_pull(self) -> int:
        """Items that may be pulled from the iterator now."""
        source = self.source
        assert source is not None
        if source.ended or self._below < math.inf:
            return 0
        return max(0, self.room - (source.pulled - self.delivered))

    def change(self, opens: Iterable[Track] = (), drains: Iterable[Track] = (), state: str = "") -> None:
        """Tracks that are to be opened soon, and tracks that get no more tasks; they never reopen."""

        def step(_: float) -> None:
            if state:
                self.states.append(state)
            self.tracks += opens
            for track in drains:
                self._drain(track)
            self._check_sum()

        self._soon(step)

    def give_back(self, slot: Slot, task: Task, at: int) -> None:
        """The items of a task from `at` on were taken away from the slot that has it: they wait again."""

        def step(_: float) -> None:
            if task.serial in self._out and at < len(task.items):
                left = part(task, at, len(task.items))
                task.items = task.items[:at]
                slot.track.queue.put(counted(left), first=True)

        self._locked(step)

    def crammed(self) -> bool:
        """Whether nothing more may be taken from the input because of what is not delivered yet."""
        source = self.source
        if source is None or self._below < math.inf:
            return False
        if source.sequence is not None:
            return bool(source.at_hand) and self._room() <= 0
        return not (source.ended or source.at_hand) and self.to_pull() <= 0

    def finished(self, most: int) -> list[Any]:
        """Some values that wait for the consumer, taken all over the window."""
        return [
            value for value in self._locked(lambda _: self.window.some(most)) if type(value) is not Failed
        ]

    def widen(self, room: int) -> None:
        """So many items may be taken and not yet delivered."""

        def step(_: float) -> None:
            self.room = room

        self._locked(step)

    def hand_over(self, source: Source) -> None:
        """What is left of the input is handed out by another source from now on."""

        def step(_: float) -> None:
            self.source = source

        self._locked(step)

    def attend(self, limits: Limits | None) -> None:
        """From now on these limits hold for the tasks of the map, or none."""

        def step(_: float) -> None:
            if limits is None:
                self.queue.free()
            else:
                self.queue.limit(limits)

        self._soon(step)

    def tell_limits(self, change: Callable[[], object]) -> None:
        """Change something about limits, under the lock; it must run no code of the user's."""

        def step(_: float) -> None:
            change()
            for queue in self.queues:
                queue.revive()

        self._soon(step)

    def allow(self, track: Track, busy: int) -> None:
        """So many slots of a track may be busy from now on."""

        def step(_: float) -> None:
            track.allowed = busy

        self._soon(step)

    def warm_up(self, track: Track, count: int) -> int:
        """Have up to `count` more slots at hand for tasks to come; how many there really are."""
        made: list[Slot] = []

        def step(_: float) -> None:
            if track.elastic and not self.closing:
                made.extend(track.add() for _ in range(min(count, track.most - len(track.slots))))

        self._locked(step)
        for slot in made:
            self._start(track, slot)
        self._locked()  # some may not have been born
        return sum(slot in track.slots for slot in made)

    # What can be seen from outside ------------------------------------------------------------------------

    @property
    def window_failed(self) -> bool:
        """Whether an error waits that ends the results."""
        return self._below < math.inf

    @property
    def retries(self) -> int:
        """Items that are to run again."""
        return len(self._retries)

    @property
    def busy(self) -> int:
        """Calls that run at once now."""
        return self._busy

    @property
    def due(self) -> float:
        """When to tick, at the latest."""
        return self._timer_at

    def stuck(self) -> tuple[int, ...] | None:
        """Whether a consumer waits for what nobody is going to do, by a fault of ours; None if it does not.

        Nothing is out, nothing is due at any time, and a worker has nothing to do; but not all is handed out.

        Returns:
            A mark that is another one once anything has moved.
        """
        return self._locked(self._stuck)  # type: ignore[no-any-return]

    def _stuck(self, now: float) -> tuple[int, ...] | None:
        source = self.source
        assert source is not None
        moves = self._out or self._late or self._keeping or self._due() < math.inf or self.window.due
        if moves or self.closing or any(queue.naming for queue in self.queues):
            return None
        if not (self._open() or source.at_hand) or not any(map(_idle, self.tracks)):
            return None
        return self._serial, self.window.ready, self.window.handed

    def stuck_words(self) -> str:
        """What the tables hold, for whoever is to find out why nothing moves."""
        return f"nothing moves although something could: {self._told(self.ledger())}"

    def enough_out(self) -> bool:
        """Whether workers have something to do for a while."""
        return len(self._out) + self.queue.items >= 2 * sum(len(track.slots) for track in self.tracks)

    # Events, under the lock -------------------------------------------------------------------------------

    def _asked(self, now: float, slot: Slot) -> None:
        if slot.tasks and not self.closing:
            self._crash(AutoexecError(f"a worker of {slot.track.name} has lost {len(slot.tasks)} tasks"))
        self._park(slot)

    def _asked_ahead(self, now: float, slot: Slot) -> None:
        track, found = slot.track, None
        patient = self._item_timeout is None  # else no item may wait behind one that takes too long
        if patient and track.state is TrackState.OPEN and not track.held and self._plenty(track):
            found = self._pick(track, now, naming=False)
        if isinstance(found, Task):
            self._give_to(slot, found, now)
        elif isinstance(found, Naming):  # the first of its kind: it is for a slot that has nothing to do
            _put_back(found)
        self._tell(slot, found if isinstance(found, Task) else DONE)

    def _leaving(self, now: float, slot: Slot) -> None:
        """A slot does not wait for a task that is not there."""
        if slot.parked:
            slot.track.parked.remove(slot)
            slot.track.slots.discard(slot)
            self._tell(slot, END)

    def _plenty(self, track: Track) -> bool:
        """Whether so much waits that no other slot would miss a task."""
        count = track.queue.items
        if self.source is not None:
            count += max(0, min(self.source.at_hand, self._room()))
        return count >= len(track.slots) * track.chunks.size

    def _park(self, slot: Slot) -> None:
        """A slot has nothing to do: it gets a task by and by, or is told that there will be none."""
        track = slot.track
        if slot.left or self.closing or track.state not in (TrackState.OPEN, TrackState.OPENING):
            self._tell(slot, END)
        else:
            slot.parked = True
            track.parked.append(slot)

    def _free_one(self, track: Track) -> None:
        """A slot has no task any more."""
        self._busy -= not track.bounded
        track.busy -= 1

    def _tell(self, slot: Slot, mail: Task | End | Naming) -> None:
        slot.parked = False
        slot.mail = mail
        if slot.gate is not None:
            _open_gate(slot)
        else:
            assert slot.track.backend is not None
            slot.track.rung.append(slot)  # here, under the lock, lest one overtake another
            self._acts.append(partial(slot.track.backend.ring, slot.track.rung))

    def _done(
        self, now: float, slot: Slot, task: Task, result: TaskResult, tries: list[Try], ask: bool
    ) -> None:
        if self._out.get(task.serial, (None, None))[1] is not slot:
            # Given up meanwhile, or somebody else's by now: a second answer is refused, the slot is nobody's.
            slot.left = True
        else:
            del self._out[task.serial]
            track = slot.track
            del slot.tasks[task.serial]
            slot.began = now
            if not slot.tasks:
                self._free_one(track)
            count = len(result.outcomes)
            if count:
                wall = result.ended - result.began
                track.done += count
                track.wall_s += wall
                track.cpu_s += result.cpu_s
                track.note(count, wall, result.cpu_s)
            self._settle(now, slot, task, result, tries)
        if slot.gate is None:
            self._acts += slot.todo  # nobody waits at its gate to do it
            slot.todo.clear()
        if ask:
            self._park(slot)
            if slot.todo:
                _open_gate(slot)  # it has something to do, with or without a task
        elif slot.gate is not None:
            self._tell(slot, DONE)

    def _settle(self, now: float, slot: Slot, task: Task, result: TaskResult, tries: list[Try]) -> None:
        """Each item of a task into the table where it belongs now."""
        queue, outcomes = slot.track.queue, result.outcomes
        line: Line | None = task.group
        self._tell_limits(now, task, result, tries)
        if result.withdrawn:
            self._withdraw(queue, task)
            return
        goes = True
        if len(task.items) > len(outcomes):
            goes = not self._back(slot.track, task, len(outcomes), split=result.split)
        problems = {one.at: one for one in tries if one.error is not None}
        if result.clean and not problems:
            self._finish(slot, task, task.place, outcomes)
            if goes:
                self._leave(queue, line)
            return
        final: list[Any] = []
        start = task.place
        for at, outcome in enumerate(outcomes):
            problem = problems.get(at)
            if problem is not None and self._again(now, queue, task, at, problem, result):
                self._finish(slot, task, start, final)
                final, start = [], task.place + at + 1
            elif type(outcome) is Error:
                final.append(self._given_up(queue, task, at, outcome, problem, result.worker))
            else:
                final.append(outcome)
        self._finish(slot, task, start, final)
        if goes:
            self._leave(queue, line)

    def _tell_limits(self, now: float, task: Task, result: TaskResult, tries: list[Try]) -> None:
        """A call has ended, under the limits under which it began."""
        line: Line | None = task.group
        if line is None:
            return
        limits, ticket, task.ticket = line.limits, task.ticket, None
        count = len(result.outcomes)
        if not count:
            limits.cancel(line.group, ticket, now)
        else:
            seconds = (result.ended - result.began) / count
            answers = [one.answer for one in tries]
            limits.end(line.group, ticket, now, answers[0] if answers else OK, seconds, result.cpu_s)
            for answer in answers[1:]:
                limits.also(line.group, now, answer, seconds)
        for other in self.queues:
            if other.limits is limits:
                other.ended(line.group)

    def _back(self, track: Track, task: Task, at: int, *, split: bool = False) -> bool:
        """Items of a task that were not begun wait again: all together, in shares, or one by one.

        Returns:
            Whether it is the task itself that waits, and not parts of it.
        """
        if at == 0 and not split:
            task.attempt -= 1
            self._put_again(track.queue, task)
            return True
        size = len(task.items)
        step = 1 if split else max(1, -(-(size - at) // (2 * max(1, len(track.slots)))))
        for start in reversed(range(at, size, step)):
            left = part(task, start, min(size, start + step))
            left.alone = True
            track.queue.put(counted(left), first=True)
        return False

    def _put_again(self, queue: TaskQueue, task: Task) -> None:
        """A task waits again, before the others; where its queue was given up, in the one that followed."""
        home = self._home(queue)
        if home is queue:
            queue.put(task, first=True)
        else:
            self._rehome(task, queue, home)

    def _again(
        self, now: float, queue: TaskQueue, task: Task, at: int, problem: Try, result: TaskResult
    ) -> bool:
        """Whether an item that failed runs again; it then waits for its time."""
        single = len(task.items) == 1
        again = task if single else part(task, at, at + 1)
        if not single:
            again.attempt, again.since = 1, task.since
        again.notes = problem.notes = [*again.notes, problem.note(again.attempt, result)]
        if problem.delay_s is None or self.closing or queue.limits is None or again.group is None:
            return False  # without a group: it began before there were limits
        refusal = queue.limits.may_retry(again.group.group, problem.answer)
        if refusal:
            again.notes.append(refusal)
            return False
        self._serial += 1
        heapq.heappush(self._retries, (now + problem.delay_s, self._serial, counted(again), queue))
        return True

    def _given_up(
        self, queue: TaskQueue, task: Task, at: int, outcome: Error, problem: Try | None, worker: str
    ) -> Failed:
        """An item that has failed for good."""
        place = task.place + at
        notes = problem.notes if problem is not None else task.notes
        if queue.limits is not None:
            kind = problem.kind if problem is not None else ""
            name = task.group.group.name if task.group is not None else ""
            queue.limits.failed(kind or type(outcome.error).__qualname__, name)
        if task.future is None and (self._ends_at_error or fatal(outcome.error)):
            self._below = min(self._below, place if self.window.ordered else -1)
            if self.source is not None and self.source.scattered:
                self.source.end_at(place)
        self.window.failures = True
        return Failed(outcome.error, place, task.items[at], task.spec.star, worker, notes)

    def _finish(self, slot: Slot, task: Task, place: int, outcomes: list[Any]) -> None:
        """Items that have come to an end: to the consumer, to the journal first, or to their future."""
        if not outcomes:
            return
        if task.future is not None:
            self._resolved += len(outcomes)
            slot.todo.append(partial(self._resolve, task, outcomes[0]))
        elif self._keep is not None and not all(type(outcome) is Failed for outcome in outcomes):
            self._serial += 1
            held = part(task, place - task.place, place - task.place + len(outcomes))
            held.serial = self._serial
            self._keeping[held.serial] = held
            slot.todo.append(partial(self._write, held, outcomes))
        else:
            self.window.add(place, outcomes)

    def _resolve(self, task: Task, outcome: Any) -> None:
        """A call has ended: its future hears of it, unless it was cancelled and never begun."""
        self._calls.discard(task)
        if task.begin() and (self.error is None or not task.future.done()):
            resolve(task.future, outcome)

    def _write(self, task: Task, outcomes: list[Any]) -> None:
        """Items into the journal: in the worker's own thread, without the lock."""
        assert self._keep is not None
        try:
            self._keep(task.place, outcomes)
        except BaseException as error:
            self.crashed(error)
        for item, outcome in zip(task.items, outcomes, strict=True):
            if type(outcome) is Failed:  # a result that cannot be kept, too
                outcome.item, outcome.star = item, task.spec.star
        self.kept(task, task.place, outcomes)

    def _on_kept(self, now: float, task: Task, place: int, outcomes: list[Any]) -> None:
        if self._keeping.pop(task.serial, None) is not None:
            self.window.add(place, outcomes)

    def _leave(self, queue: TaskQueue, line: Line | None) -> None:
        if line is not None:
            queue.let_go(line)

    # Tasks for slots --------------------------------------------------------------------------------------

    def _match(self, now: float) -> None:
        """Give tasks to slots that wait, and make slots where more may begin than wait."""
        self._look = max(self._look, FEW)
        for track in self.tracks:
            if track.state is TrackState.OPEN and not track.held:
                if track.queue.items or self.source is not None:  # an executor may have many without
                    self._match_track(track, now)
            elif track.parked and track.state is not TrackState.OPENING and not track.held:
                self._dismiss(track)
        self._look = FEW
        for queue in self.queues:
            if queue.refused:
                self._refuse(queue)

    def _match_track(self, track: Track, now: float) -> None:
        while track.parked or (track.elastic and len(track.slots) < track.most):
            if self._busy >= self._most or track.busy >= track.allowed:
                return
            found = self._pick(track, now)
            if found is None:
                return
            born = not track.parked
            slot = track.add() if born else track.parked.pop()
            if isinstance(found, Task):
                self._give_to(slot, found, now)
            self._tell(slot, found)
            if born:
                assert track.backend is not None
                self._acts.append(partial(self._start, track, slot))

    def _start(self, track: Track, slot: Slot) -> None:
        assert track.backend is not None
        try:
            track.backend.start(slot)
        except Exception as error:
            self.unborn(slot, error)

    def _give_to(self, slot: Slot, task: Task, now: float) -> None:
        self._serial += 1
        task.serial = self._serial
        task.attempt += 1
        task.since = task.since or now
        if not slot.tasks:
            self._busy += not slot.track.bounded
            slot.track.busy += 1
            slot.began = now
        slot.tasks[task.serial] = task
        self._out[task.serial] = (task, slot)
        if self._item_timeout is not None and not slot.track.ends_late:
            self._timed.append((now + self._item_timeout, task.serial))

    def _pick(self, track: Track, now: float, *, naming: bool = True) -> Task | Naming | None:
        """A task that a slot of this track may begin, or tasks that it should name first."""
        if self.closing:
            return None
        queue = track.queue
        most = track.chunks.next(None if self.source is None else self._ahead())
        while True:
            task = queue.take(now, most, self._below)
            if task is not None:
                self._look = max(self._look, FEW)
                return task
            if self.source is None or queue is not self.queue or self._look <= 0:
                return None
            found = self._from_source(queue, most, naming)
            if found is None or isinstance(found, (Task, Naming)):
                return found

    def _ahead(self) -> int | None:
        """Items that have not begun, or None if nobody can know."""
        assert self.source is not None
        rest = self.source.remaining()
        return None if rest is None else rest + self.queue.items

    def _from_source(self, queue: TaskQueue, most: int, naming: bool) -> Task | Naming | bool | None:
        """Take more items: a task without limits, something to name, or True if lines have got some."""
        source, spec = self.source, self.spec
        assert source is not None
        assert spec is not None
        if self._below < math.inf and min(queue.raw_place, source.position) >= self._below:
            return None
        if self._slow_names and queue.limits is not None and (queue.naming or not naming):
            return None
        if queue.limits is not None and queue.limits.full():
            return None
        task = queue.take_raw(most)
        if task is None:
            count = min(most, self._room())
            place, items = source.take(count) if count > 0 else (0, ())
            if not len(items):
                return None
            task = Task(spec, place, items)
        if queue.limits is None:
            return task
        self._look -= 1
        return self._named_at_once(queue, task, naming)

    def _room(self) -> int:
        """Items that may be taken from the source."""
        source = self.source
        assert source is not None
        if source.sequence is None:
            return self.room  # what is at hand was pulled already
        if source.scattered:
            return self.room - (source.taken - self.window.ready - self.window.handed)
        return self.room - (source.taken - self.delivered)

    def _named_at_once(self, queue: TaskQueue, task: Task, naming: bool) -> Naming | bool | None:
        """Put the items of a task into the lines of their groups, or have somebody ask the user's code.

        Without `naming` whoever asks has no time for that: the task waits for somebody else.
        """
        limits, star = queue.limits, task.spec.star
        assert limits is not None
        if len(task.items) == 1:
            quick = limits.quick_name(task.items[0], star)
            if quick is not None:
                self._enqueue(queue, task, quick)
                return True
            singles = [task]
        else:
            singles = [part(task, at, at + 1) for at in range(len(task.items))]
            names = [limits.quick_name(item, star) for item in task.items]
            known = [name for name in names if name is not None]
            if len(known) == len(names):
                self._enqueue_runs(queue, task, known)
                return True
        self._slow_names = True
        if not naming:
            queue.put(task, first=True)
            return None
        queue.naming += len(singles)
        return Naming(queue, singles)

    def _enqueue(self, queue: TaskQueue, task: Task, name: str) -> None:
        task.group = queue.line(name)
        queue.put(counted(task))

    def _enqueue_runs(self, queue: TaskQueue, task: Task, names: list[str]) -> None:
        """Neighbours of one group together, unless each call waits for its turn at a rate."""
        assert queue.limits is not None
        apart, start = queue.limits.options.rate is not None, 0
        for at in range(1, len(names) + 1):
            if at == len(names) or apart or names[at] != names[start]:
                self._enqueue(queue, part(task, start, at), names[start])
                start = at

    def _named(self, now: float, slot: Slot, naming: Naming) -> None:
        self._enqueue_named(now, naming)
        self._park(slot)

    def _enqueue_named(self, now: float, naming: Naming) -> None:
        queue, run, names = naming.queue, [], []
        queue.naming -= len(naming.tasks)
        for task, name in zip(naming.tasks, naming.names, strict=True):
            if isinstance(name, str):
                run.append(task)
                names.append(name)
            else:
                failed = self._given_up(queue, task, 0, Error(name), None, "no worker")
                self.window.add(task.place, [failed])
        if len(run) == len(naming.tasks) > 1:
            items = [task.items[0] for task in run]
            self._enqueue_runs(queue, Task(run[0].spec, run[0].place, items), names)
        else:
            for task, name in zip(run, names, strict=True):
                self._enqueue(queue, task, name)

    def _refuse(self, queue: TaskQueue) -> None:
        """Tasks of a group that asked to be left alone for too long."""
        tasks, queue.refused = queue.refused, []
        for task in tasks:
            queue.items -= len(task.items)
            line: Line = task.group
            for at in range(len(task.items)):
                error = Error(line.group.refusal())
                failed = self._given_up(queue, task, at, error, None, "no worker")
                if task.future is not None:
                    self._resolved += 1
                    self._acts.append(partial(self._resolve, task, failed))
                else:
                    self.window.add(task.place + at, [failed])
            queue.let_go(line)

    # Tracks -----------------------------------------------------------------------------------------------

    def _on_opened(self, now: float, track: Track) -> None:
        if track.state in (TrackState.PLANNED, TrackState.OPENING):
            track.state = TrackState.OPEN
        self._news = True

    def _on_failed(self, now: float, track: Track, error: BaseException) -> None:
        if track.state is TrackState.FAILED:
            return
        track.state, track.error = TrackState.FAILED, error
        self._dismiss(track)
        self._take_back(now, track)
        self._news = True
        if self.on_failed is not None:
            self._acts.append(partial(self.on_failed, track))

    def _take_back(self, now: float, track: Track) -> None:
        tasks = [task for slot in track.slots for task in slot.tasks.values()]
        for task in sorted(tasks, key=lambda task: -task.place):  # each goes before the others
            self._out.pop(task.serial, None)
            self._tell_limits(now, task, TaskResult([]), [])
            self._back(track, task, 0)
        for slot in track.slots:
            if slot.tasks:
                self._free_one(track)
            slot.tasks.clear()
        track.slots.clear()

    def _on_unborn(self, now: float, slot: Slot, error: BaseException) -> None:
        track = slot.track
        track.slots.discard(slot)
        track.most = len(track.slots)
        for task in list(slot.tasks.values()):
            if self._out.pop(task.serial, None) is not None:
                self._free_one(track)
                self._tell_limits(now, task, TaskResult([]), [])
                self._back(track, task, 0)
        slot.tasks.clear()
        if isinstance(slot.mail, Naming):
            _put_back(slot.mail)
            slot.mail = None
        if not track.slots and track.state is TrackState.OPEN:
            self._on_failed(now, track, error)

    def _on_gone(self, now: float, slot: Slot) -> None:
        track = slot.track
        if slot.tasks and not (slot.left or self.closing):
            count = len(slot.tasks)
            self._crash(AutoexecError(f"a worker of {track.name} ended while it held {count} tasks"))
        track.slots.discard(slot)
        self._acts += slot.todo  # there is some if it was told of the end too early
        slot.todo.clear()
        if slot.parked:
            slot.parked = False
            track.parked.remove(slot)
        if track.state is TrackState.DRAINING and not track.slots:
            track.state = TrackState.CLOSED
            self._news = True

    def _drain(self, track: Track) -> None:
        if track.state in (TrackState.CLOSED, TrackState.FAILED):
            return
        track.state = TrackState.DRAINING
        self._dismiss(track)
        if not track.slots:
            track.state = TrackState.CLOSED
        elif track.backend is not None:
            self._acts.append(track.backend.recall)

    def _dismiss(self, track: Track) -> None:
        """Tell the slots that wait that there will be no more tasks."""
        parked, track.parked = track.parked, []
        for slot in parked:
            self._tell(slot, END)
        if self._torn:
            self._free_all(track)

    def _free_all(self, track: Track) -> None:
        """What some slots wait for may have been lost: they all are told that this is the end."""
        for slot in track.slots:
            if slot.gate is not None:
                slot.mail = slot.mail or END
                _open_gate(slot)

    # Time -------------------------------------------------------------------------------------------------

    def _due(self) -> float:
        due = min((queue.due for queue in self.queues if queue.limits is not None), default=math.inf)
        if self._retries:
            due = min(due, self._retries[0][0])
        if self._timed:
            due = min(due, self._timed[0][0])
        return due

    def _due_now(self, now: float) -> None:
        self._look = MANY
        for queue in self.queues:
            queue.ring(now)
        while self._retries and self._retries[0][0] <= now:
            _, _, task, queue = heapq.heappop(self._retries)
            self._put_again(queue, task)
        while self._timed and (self._timed[0][0] <= now or self._timed[0][1] not in self._out):
            _, serial = self._timed.popleft()
            if serial in self._out:
                self._overdue(now, *self._out[serial])

    def _overdue(self, now: float, task: Task, slot: Slot) -> None:
        """The patience with a call is over: nobody waits for it, and another slot takes its place."""
        track, limit = slot.track, self._item_timeout or 0.0
        del self._out[task.serial]
        del slot.tasks[task.serial]
        self._late[task.serial] = task
        slot.left = True
        track.slots.discard(slot)
        self._free_one(track)
        error = ItemTimeout(f"the call took longer than item_timeout={limit:g} s and was given up")
        where = f"a worker; given up after {spell(limit)}"
        result = TaskResult([Error(error)], now - limit, now, 0.0, where)
        assert track.backend is not None
        self._acts.append(partial(self._give_up, track, slot, task, result))

    def _give_up(self, track: Track, slot: Slot, task: Task, result: TaskResult) -> None:
        """What follows when a call is given up: the user's code is asked whether it runs again."""
        assert track.backend is not None
        track.backend.abandon(slot, task)
        tries = self._judged(slot, task, result)
        self._post(self._settle_late, Slot(track, threaded=False), task, result, tries)

    def _settle_late(self, now: float, slot: Slot, task: Task, result: TaskResult, tries: list[Try]) -> None:
        del self._late[task.serial]
        self._settle(now, slot, task, result, tries)
        self._acts += slot.todo
        slot.todo.clear()

    # Executors --------------------------------------------------------------------------------------------

    def _on_put(self, now: float, task: Task, queue: TaskQueue) -> None:
        self._put += 1
        task.place = self._put
        if self.error is not None:
            self._withdrawn += 1
            task.group = None
            self._acts.append(partial(self._fail_call, task))
            return
        self._calls.add(task)
        self._requeue(task, self._home(queue), task.group or "")

    def _on_cancelled(self, now: float, task: Task, gone: list[bool]) -> None:
        if self._drop(task):
            gone.append(True)

    def _drop(self, task: Task) -> bool:
        queue = next((each for each in self.queues if each.drop(task)), None)
        if queue is not None:
            self._withdraw(queue, task)
        return queue is not None

    def _withdraw(self, queue: TaskQueue, task: Task) -> None:
        self._withdrawn += len(task.items)
        self._calls.discard(task)
        self._leave(queue, task.group)

    def _ready_to_end(self) -> bool:
        if self._open() and self.error is None:
            self._bell.acquire(False)
            self._wants = True
            return False
        for track in self.tracks:
            self._drain(track)
        return True

    # The end ----------------------------------------------------------------------------------------------

    def _crash(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        self.closing = self._news = True
        if self.source is None:
            self._fail_calls()

    def _fail_calls(self) -> None:
        """An executor cannot go on: whoever waits for a call hears of it."""
        self._withdrawn += sum(queue.clear() for queue in self.queues) + len(self._retries)
        self._retries.clear()
        self._acts += [partial(self._fail_call, task) for task in self._calls]

    def _fail_call(self, task: Task) -> None:
        broken = AutoexecError(f"the executor cannot go on: {self.error!r}")
        broken.__cause__ = self.error
        self._resolve(task, Failed(broken, 0, None, False, "", []))

    def _on_news(self, now: float) -> None:
        self._news = True

    def _on_close(self, now: float, finish: bool) -> None:
        self._finishing = self._finishing or finish
        if finish:
            return
        self._withdrawn += sum(queue.clear() for queue in self.queues)
        self._withdrawn += sum(len(task.items) for _, _, task, _ in self._retries)
        self._retries.clear()
        self._timed.clear()
        self._dropped += self.window.drop()
        for track in self.tracks:
            self._dismiss(track)
        self._news = True

    def _finished(self) -> bool:
        return self.source is not None and self.source.over and not self._open()

    def _open(self) -> bool:
        """Whether any item is on its way."""
        return bool(
            self._out
            or self._retries
            or self._keeping
            or self._late
            or self.window.ready
            or any(queue.items or queue.naming for queue in self.queues)
        )

    def _something(self) -> bool:
        """Whether a consumer that waits has something to do."""
        if self.window.due or self.error is not None or self._finished():
            return True
        if self._finishing and not self._open():
            return True
        source = self.source
        if source is None or source.ended or source.at_hand:
            return False
        return self.to_pull() > 0

    def ledger(self) -> dict[str, int]:
        """How many items are in which table."""
        return {
            "pulled": self.source.pulled if self.source is not None else self._put,
            "at hand": self.source.pulled - self.source.taken if self.source is not None else 0,
            "waiting": sum(queue.items + queue.naming for queue in self.queues),
            "out": sum(len(task.items) for task, _ in list(self._out.values())),
            "to be retried": sum(len(task.items) for _, _, task, _ in list(self._retries)),
            "being kept": sum(len(task.items) for task in list(self._keeping.values())),
            "given up": sum(len(task.items) for task in list(self._late.values())),
            "ready": self.window.ready,
            "delivered": self.window.handed + self._resolved,
            "withdrawn": self._withdrawn,
            "dropped": self._dropped,
            "left running": self._left,
        }

    def _check_sum(self) -> None:
        """Each place is in one table.

        Raises:
            AutoexecError: if not.
        """
        counts = self.ledger()
        if counts["pulled"] != sum(counts.values()) - counts["pulled"]:
            raise self._mismatch(counts)

    def _checked(self) -> AutoexecError | None:
        """What is wrong with the end of a run: it ends when every place has been handed out."""
        counts = self.ledger()
        return None if counts["pulled"] == counts["delivered"] else self._mismatch(counts)

    def _mismatch(self, counts: dict[str, int]) -> AutoexecError:
        return AutoexecError(f"results were lost, which must not happen: {self._told(counts)}")

    def _told(self, counts: dict[str, int]) -> str:
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        return f"{told}; states: {', '.join(self.states)}; please report this with the script"


def _put_back(naming: Naming) -> None:
    """Nobody has found out whom some tasks concern: somebody else will."""
    naming.queue.naming -= len(naming.tasks)
    naming.queue.put_raw(naming.tasks)


def _idle(track: Track) -> bool:
    """Whether a track is open and could run something."""
    if track.state is not TrackState.OPEN or track.held or track.busy >= track.allowed:
        return False
    grows = track.elastic and len(track.slots) < track.most
    return bool(track.parked) or grows or not (track.elastic or track.threaded)


def nested() -> AutoexecError:
    """The error of who asks for something in the middle of something else in the same thread."""
    return AutoexecError("results were asked for while the same thread was handing some out")


def _open_gate(slot: Slot) -> None:
    """There is something for the thread of a slot, which may not even have come for the last thing yet."""
    if slot.gate.locked():
        slot.gate.release()


def fatal(error: BaseException) -> bool:
    """Whether an error is more than one item's own: SystemExit and the like, or a worker that is unfit."""
    return not isinstance(error, Exception) or isinstance(error, BrokenWorker)


def resolve(future: Any, outcome: Any) -> None:
    """Give a future its result or error; it holds on to nothing else of its call."""
    if hasattr(future._condition, "task"):
        future._condition.task = None
    if type(outcome) is Failed:
        error = outcome.error
        if len(outcome.notes) > 1 or (outcome.notes and isinstance(error, WorkerDied)):
            for note in outcome.notes:
                add_note(error, f"autoexec: {note}")
        future.set_exception(error)
    else:
        future.set_result(outcome)
