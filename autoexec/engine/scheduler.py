"""The scheduler: who comes with what, and who gets what; the doors for workers, backends and the consumer.

It is passive: it has no thread; whoever comes does the work (`turns`). A worker *asks* (`next`, `exchange`),
a consumer *takes* (`take`), whoever watches the time *ticks*. What waits, what is out and what is finished
stands in the tables (`ledger`), which the other parts share. They know what is before them in `__init__`, and
nothing of what follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ..own_time import time
from ..worker.invoke import CallSpec, Task, TaskResult
from .changes import Changes
from .delivery import Delivery
from .fork_generation import generation
from .handing_out import HandingOut
from .ledger import Ledger
from .result_order import Failed, Window
from .settling import Settling
from .slot_mail import Mail
from .tracks import Naming, Slot, Track, TrackState
from .turns import Turns
from .waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .deadlines import Deadlines
    from .limits import Limits
    from .source import Source
    from .tracks import End

__all__ = ["Scheduler"]


class Scheduler:
    """The scheduler of one run, or of one executor.

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
        queues: all queues in which tasks wait.
        tracks: all tracks there ever were.
        states: what the run has passed through, for the error that should never be seen.
        calls: what only executors ask for.
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
        self._ledger = ledger = Ledger(source, ordered=ordered, most=most)
        self.window: Window = ledger.window
        self.queue, self.queues, self.tracks = ledger.queue, ledger.queues, ledger.tracks
        self.states = ledger.states
        self.apart: Callable[..., Any] = lambda call, *args: call(*args)
        self._generation = generation()
        self._turns = turns = Turns(clock, self._before_release, self._crash)
        self._mail = mail = Mail(ledger, turns)
        resolve: Callable[..., object] | None = None
        if source is None:
            from .futures import resolve
        self._delivery = Delivery(ledger, turns, mail, resolve)
        self._waiting = waiting = Waiting(ledger)
        self._settling = settling = Settling(
            ledger, turns, mail, waiting, keep=keep, ends_at_error=ends_at_error, resolve=resolve
        )
        self._changes = changes = Changes(ledger, turns, mail, waiting, settling)
        self._handing_out = handing_out = HandingOut(
            ledger, turns, mail, waiting, settling, changes, spec=spec, item_timeout=item_timeout
        )
        self._item_timeout, self._timer = item_timeout, timer
        self._deadlines: Deadlines | None = None
        if item_timeout is not None:
            self._see_to_deadlines()
        if source is None:
            from .executor_calls import Calls

            self._see_to_deadlines()
            self.calls = Calls(ledger, turns, mail, waiting, self._delivery, changes, handing_out)

    def _see_to_deadlines(self) -> None:
        """From now on something may be due at some time; a map of short items never imports what it takes."""
        if self._deadlines is None:
            from .deadlines import Deadlines

            self._deadlines = Deadlines(
                self._ledger, self._turns, self._mail, self._waiting, self._settling, self._handing_out,
                item_timeout=self._item_timeout, timer=self._timer,
            )  # fmt: skip

    def _before_release(self, now: float) -> None:
        """Give out what may be given out, ring who waits."""
        try:
            self._handing_out.match(now)
        except Exception as error:  # a fault of ours, as in an event
            self._turns.fault(error)
        if self._delivery.wants:
            self._delivery.look()
        if self._deadlines is not None and not self._ledger.closing:
            self._deadlines.set()

    def _crash(self, error: BaseException) -> None:
        self._delivery.crash(error)

    # Workers ------------------------------------------------------------------------------------------------

    @property
    def clock(self) -> Callable[[], float]:
        """Tells the time."""
        return self._turns.clock

    def next(self, slot: Slot, timeout: float | None = None) -> Task | End | None:
        """A task for a slot, which has none; `END` when there will be no more, None after the time.

        Args:
            slot: the one that asks.
            timeout: seconds to wait; it goes on waiting at the next call.
        """
        if not slot.asking and slot.mail is None:
            slot.asking = True  # its event may not have been worked off when the time is over
            self._turns.post(self._handing_out.on_asked, slot)
        found = self._answer(slot, timeout)
        slot.asking = found is None
        return found

    def ahead(self, slot: Slot) -> Task | None:
        """One more task for a slot that has one already, if one may begin now."""
        self._turns.post(self._handing_out.on_asked_ahead, slot)
        found = self._answer(slot)
        return found if isinstance(found, Task) else None

    def completed(self, slot: Slot, task: Task, result: TaskResult, *, ask: bool = True) -> Task | End | None:
        """What became of a task; returns the next one (or `END`), or None if none is asked for."""
        self._turns.post(
            self._settling.on_done, slot, task, result, self._settling.judged(slot, task, result), ask
        )
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
        self._turns.post(
            self._settling.on_done, slot, task, result, self._settling.judged(slot, task, result), True
        )
        del task, result
        if idle:
            self._turns.post(self._mail.on_leaving, slot)
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
                self._name(slot, mail)
            elif mail is not None:
                return mail
        return None

    def _name(self, slot: Slot, naming: Naming) -> None:
        """A slot finds out whom tasks concern, before it gets one."""
        self._handing_out.name(naming)
        self._turns.post(self._handing_out.on_named, slot, naming)

    def collect(self, slot: Slot) -> Task | End | None:
        """The answer that a slot without a thread was rung for."""
        mail, slot.mail = slot.mail, None
        if isinstance(mail, Naming):
            self._name(slot, mail)
            return None
        return mail

    def ask(self, slot: Slot) -> None:
        """A slot without a thread wants a task: it is rung when there is one."""
        self._turns.post(self._handing_out.on_asked, slot)

    # Backends -----------------------------------------------------------------------------------------------

    def opened(self, track: Track) -> None:
        """The workers of a track may ask."""
        self._turns.post(self._changes.on_opened, track)

    def on_failed(self, told: Callable[[Track], object]) -> None:
        """Somebody is to be told, without the lock, of a track that has no workers."""
        self._changes.told = told

    def failed(self, slot: Slot, error: BaseException) -> None:
        """The backend of a slot can have no workers."""
        self._turns.post(self._changes.on_failed, slot.track, error)

    def not_opened(self, track: Track, error: BaseException) -> None:
        """A track cannot be opened."""
        self._turns.post(self._changes.on_failed, track, error)

    def unborn(self, slot: Slot, error: BaseException) -> None:
        """The worker of a slot could not be started."""
        self._turns.post(self._changes.on_unborn, slot, error)

    def gone(self, slot: Slot) -> None:
        """The worker of a slot has ended."""
        self._turns.post(self._changes.on_gone, slot)

    def returned(self, slot: Slot, task: Task) -> None:
        """A task was never begun, and never will be."""
        self._turns.post(self._settling.on_done, slot, task, TaskResult([]), [], False)

    def crashed(self, error: BaseException) -> None:
        """Something escaped a thread of ours: the run ends with it."""
        self._turns.crashed(error)

    # Anybody ------------------------------------------------------------------------------------------------

    def close(self, *, finish: bool = False) -> None:
        """Nothing more begins, or with `finish` nothing more than what is there already.

        In a process that was forked meanwhile nothing happens: its copy of the lock may never be given back.
        """
        if self._generation != generation():
            return
        self._ledger.closing = self._ledger.closing or not finish
        self._turns.post(self._delivery.on_close, finish)

    def tick(self) -> float:
        """Do what is due; returns when to come again (infinite: not before something happens)."""
        deadlines = self._deadlines
        if deadlines is None:
            return math.inf
        deadlines.told = math.inf
        self._turns.post(deadlines.on_due)
        return deadlines.told

    @property
    def within(self) -> bool:
        """Whether this thread is in the middle of something here: a finalizer, or a signal handler, asks."""
        return self._turns.within

    # The consumer -------------------------------------------------------------------------------------------

    def take(self) -> list[Any] | End | None:
        """Finished items, `END`, or None if there is nothing yet: then `wait`, or do something.

        Raises:
            BaseException: what ended the run.
            AutoexecError: if the tables do not add up at the end.
        """
        found = self._turns.locked(self._delivery.take)
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[no-any-return]

    def wait(self, seconds: float) -> bool:
        """Until there may be something to take, or for so many seconds; whether it was the former."""
        return self._delivery.wait(seconds)

    def ring(self) -> None:
        """End a wait."""
        self._turns.post(self._delivery.on_news)

    def take_here(self, track: Track, slot: Slot, most: int) -> Task | None:
        """A task for the caller's own thread, of up to `most` items."""

        def step(now: float) -> Task | Naming | None:
            track.chunks.size = most
            if track.state is not TrackState.OPEN or self._ledger.busy >= self._ledger.most:
                return None
            found = self._handing_out.pick(track, now)
            if isinstance(found, Task):
                self._handing_out.give_to(slot, found, now)
            return found

        while True:
            found: Task | Naming | None = self._turns.locked(step)
            if not isinstance(found, Naming):
                return found
            self.apart(self._handing_out.name, found)
            naming = found
            self._turns.locked(lambda now: self._handing_out.enqueue_named(now, naming))  # noqa: B023

    def cut_here(self, task: Task, count: int) -> None:
        """The input has ended after so many items of a task that was taken here: nobody has the others."""

        def step(_: float) -> None:
            source = self._ledger.source
            assert source is not None
            source.cut(task.place + len(task.items), task.place + count)
            task.items = task.items[:count]

        self._turns.locked(step)

    def completed_here(self, slot: Slot, task: Task, result: TaskResult) -> None:
        """What became of a task in the caller's own thread."""
        tries = self.apart(self._settling.judged, slot, task, result)
        self._turns.locked(lambda now: self._settling.on_done(now, slot, task, result, tries, False))

    def stock(self, items: list[Any]) -> None:
        """Items that the consumer has pulled from its iterator."""
        source = self._ledger.source
        assert source is not None
        self._turns.locked(lambda now: source.put_by(items))

    def to_pull(self) -> int:
        """Items that may be pulled from the iterator now."""
        return self._ledger.to_pull()

    # Who plans ----------------------------------------------------------------------------------------------

    def change(self, opens: Iterable[Track] = (), drains: Iterable[Track] = (), state: str = "") -> None:
        """Tracks that are to be opened soon, and tracks that get no more tasks; they never reopen."""

        def step(_: float) -> None:
            if state:
                self._ledger.states.append(state)
            self._ledger.tracks += [track for track in opens if track not in self._ledger.tracks]
            for track in drains:
                self._changes.drain(track)
            self._ledger.check_sum()

        self._turns.soon(step)

    def give_back(self, slot: Slot, task: Task, at: int) -> None:
        """The items of a task from `at` on were taken away from the slot that has it: they wait again."""

        def step(_: float) -> None:
            if task.serial in self._ledger.out:
                self._waiting.cut(slot.track.queue, task, at)

        self._turns.locked(step)

    def finished(self, most: int) -> list[Any]:
        """Some values that wait for the consumer, taken all over the window."""
        values = self._turns.locked(lambda _: self._ledger.window.some(most))
        return [value for value in values if type(value) is not Failed]

    def widen(self, room: int) -> None:
        """So many items may be taken and not yet delivered."""

        def step(_: float) -> None:
            self._ledger.room = room

        self._turns.locked(step)

    def for_workers(self) -> Source:
        """What is left of the input is handed out as it suits workers from now on; returns who does that."""

        def step(_: float) -> Source:
            source = self._ledger.source
            assert source is not None
            self._ledger.source = source.for_workers()  # here: nobody takes from it meanwhile
            return self._ledger.source

        return self._turns.locked(step)  # type: ignore[no-any-return]

    def attend(self, limits: Limits | None) -> None:
        """From now on these limits hold for the tasks of the map, or none."""
        if limits is not None:
            self._see_to_deadlines()

        def step(_: float) -> None:
            if limits is None:
                self._ledger.queue.free()
            else:
                self._ledger.queue.limit(limits)

        self._turns.soon(step)

    def tell_limits(self, change: Callable[[], object]) -> None:
        """Change something about limits, under the lock; it must run no code of the user's."""

        def step(_: float) -> None:
            change()
            for queue in self._ledger.queues:
                queue.revive()

        self._turns.soon(step)

    def allow(self, track: Track, busy: int) -> None:
        """So many slots of a track may be busy from now on."""

        def step(_: float) -> None:
            track.allowed = busy

        self._turns.soon(step)

    def warm_up(self, track: Track, count: int) -> int:
        """Have up to `count` more slots at hand for tasks to come; how many there really are."""
        return self._handing_out.warm_up(track, count)

    # What can be seen from outside --------------------------------------------------------------------------

    @property
    def window_failed(self) -> bool:
        """Whether an error waits that ends the results."""
        return self._ledger.below < math.inf

    @property
    def retries(self) -> int:
        """Items that are to run again."""
        return len(self._ledger.retries)

    @property
    def busy(self) -> int:
        """Calls that run at once now."""
        return self._ledger.busy

    @property
    def due(self) -> float:
        """When to tick, at the latest."""
        return math.inf if self._deadlines is None else self._deadlines.told

    def stuck(self) -> tuple[int, ...] | None:
        """Whether a consumer waits for what nobody is going to do, by a fault of ours; None if it does not.

        Nothing is out, nothing is due at any time, and a worker has nothing to do; but not all is handed out.

        Returns:
            A mark that is another one once anything has moved.
        """

        def step(_: float) -> tuple[int, ...] | None:
            due = math.inf if self._deadlines is None else self._deadlines.due()
            return None if due < math.inf else self._ledger.standing_still()

        return self._turns.locked(step)  # type: ignore[no-any-return]

    def stuck_words(self) -> str:
        """What the tables hold, for whoever is to find out why nothing moves."""
        return self._ledger.stuck_words()

    def crammed(self) -> bool:
        """Whether nothing more may be taken from the input because of what is not delivered yet."""
        return self._ledger.crammed()

    def enough_out(self) -> bool:
        """Whether workers have something to do for a while."""
        return self._ledger.enough_out()

    def ledger(self) -> dict[str, int]:
        """How many items are in which table."""
        return self._ledger.counts()

    @property
    def source(self) -> Source | None:
        """The items of a map, or None."""
        return self._ledger.source

    @property
    def error(self) -> BaseException | None:
        """What ended the run, or None."""
        return self._ledger.error

    @property
    def closing(self) -> bool:
        """Whether nothing more begins."""
        return self._ledger.closing

    @property
    def room(self) -> int:
        """Items that may be taken and not yet delivered."""
        return self._ledger.room

    @room.setter
    def room(self, items: int) -> None:
        self._ledger.room = items
