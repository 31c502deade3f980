"""The scheduler against a plain list: whatever happens in whatever order, each item comes out once.

AUTOEXEC_MACHINE_EXAMPLES sets how many histories are tried.
"""

from __future__ import annotations

import math
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autoexec.engine.limits import Limits
from autoexec.engine.queues import TaskQueue
from autoexec.engine.result_order import Failed
from autoexec.engine.source import Source, open_source
from autoexec.engine.tracks import END, Naming, Slot, Track, TrackState
from autoexec.errors import ItemTimeout
from autoexec.worker.invoke import Task, TaskResult

from .stage import Stage, backend, limits

EXAMPLES = int(os.environ.get("AUTOEXEC_MACHINE_EXAMPLES", "150"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)

PICK = st.integers(0, 1000)  # which of what there is, modulo their number
OUTCOMES = st.lists(st.sampled_from("vvvvvvvvvrref"), min_size=5, max_size=5)  # values, two kinds of errors
MOVES = rule(picks=st.lists(PICK, min_size=4, max_size=12), how=OUTCOMES)
TIMEOUT = "timeout"


class _Stage(Stage):
    """A stage that looks at each task that is given out, and at whom it is given to."""

    def watch(self) -> None:
        """Begin to look."""
        give = self.scheduler._handing_out.give_to
        self.wrong: list[str] = []
        self.paused = False  # whether the consumer is busy with an error

        def watched(slot: Slot, task: Task, now: float) -> None:
            if self.scheduler.closing:
                self.wrong.append(f"{task} began after the end")
            if (
                self.scheduler.source is not None
                and task.place + len(task.items) > self.scheduler._ledger.below
            ):
                self.wrong.append(f"{task} began behind an error at {self.scheduler._ledger.below}")
            if self.paused:
                self.wrong.append(f"{task} began while the consumer had an error")
            give(slot, task, now)

        self.scheduler._handing_out.give_to = watched  # type: ignore[method-assign]


class Machine(RuleBasedStateMachine):
    """What both kinds of schedulers have: tracks, slots, time, and events that wait."""

    stage: _Stage
    queues: list[TaskQueue | None]

    def __init__(self) -> None:
        super().__init__()
        self.tracks: list[Track] = []
        self.fresh: list[Slot] = []  # have not asked yet
        self.hands: list[tuple[Slot, Task, int]] = []  # what slots run, with the number it has for them
        self.stale: list[tuple[Slot, Task]] = []  # what slots run although nobody waits for it any more
        self.over: list[Slot] = []  # were told the end
        self.told: set[int] = set()  # abandoned tasks, already seen
        self.held = 0  # steps for which somebody has the lock
        self.last: dict[Any, Any] = {}  # what came of a place, or a task, the last time
        self.open_at_most = 3
        self.own: Slot | None = None  # of the caller's thread

    def set_up(self, stage: _Stage, elastic: bool) -> None:
        """Everything is there, a first track included."""
        self.stage = stage
        stage.watch()
        self.really_try = stage.scheduler._turns._try

        def try_it() -> None:
            if not self.held:
                self.really_try()

        stage.scheduler._turns._try = try_it  # type: ignore[method-assign]
        self.open_track(3, 2, elastic, False, False, True, 0)

    # What happens to tracks -------------------------------------------------------------------------------

    @precondition(lambda self: sum(t.state is TrackState.OPEN for t in self.tracks) < self.open_at_most)
    @rule(
        most=st.integers(1, 4),
        chunksize=st.integers(1, 5),
        elastic=st.booleans(),
        bounded=st.booleans(),
        late=st.booleans(),
        opens=st.booleans(),
        queue=PICK,
    )
    def open_track(
        self, most: int, chunksize: int, elastic: bool, bounded: bool, late: bool, opens: bool, queue: int
    ) -> None:
        """One more track; it may open later."""
        track = self.stage.track(
            most,
            chunksize=chunksize,
            elastic=elastic,
            bounded=bounded and elastic,
            ends_late=late,
            opens=opens,
            queue=self.queues[queue % len(self.queues)],
        )
        self.tracks.append(track)
        if not elastic:
            self.fresh += [track.add() for _ in range(most)]

    def _some(self, among: list[Any], which: int) -> Any:
        return among[which % len(among)]

    def _in(self, *states: TrackState) -> list[Track]:
        return [track for track in self.tracks if track.state in states]

    @precondition(lambda self: self._in(TrackState.OPENING))
    @rule(which=PICK, well=st.booleans())
    def opened(self, which: int, well: bool) -> None:
        """A track that was being opened is open, or cannot be."""
        track = self._some(self._in(TrackState.OPENING), which)
        if well:
            self.stage.scheduler.opened(track)
        else:
            self.stage.scheduler.not_opened(track, OSError("it cannot be opened"))
            self._forget(track)

    @precondition(lambda self: len(self._in(TrackState.OPEN)) > 1)
    @rule(which=PICK)
    def drain(self, which: int) -> None:
        """A track gets no more tasks."""
        self.release()
        if self._in(TrackState.OPEN):
            self.stage.scheduler.change(drains=[self._some(self._in(TrackState.OPEN), which)])

    @precondition(lambda self: self._in(TrackState.OPEN))
    @rule(which=PICK)
    def fail(self, which: int) -> None:
        """A track has lost all its workers at once."""
        track = self._some(self._in(TrackState.OPEN), which)
        if track.slots:
            self.stage.scheduler.failed(next(iter(track.slots)), OSError("all are gone"))
            self._forget(track)

    def _forget(self, track: Track) -> None:
        """Its slots are nobody's from now on; some of them answer all the same."""
        self.fresh = [slot for slot in self.fresh if slot.track is not track]
        self.stale += [(slot, task) for slot, task, _ in self.hands if slot.track is track]
        self.hands = [entry for entry in self.hands if entry[0].track is not track]
        for slot in backend(track).rung:
            if isinstance(slot.mail, Naming):  # what it was asked to do first it still does
                self.stage.scheduler.collect(slot)
        backend(track).rung.clear()
        backend(track).dead = True

    @precondition(lambda self: self.tracks)
    @rule(which=PICK, refuse=st.booleans())
    def refuse(self, which: int, refuse: bool) -> None:
        """No more workers can be started for a track, or they can again."""
        backend(self._some(self.tracks, which)).refuse = RuntimeError("no threads") if refuse else None

    @precondition(lambda self: self._in(TrackState.OPEN))
    @rule(which=PICK, busy=st.integers(1, 4))
    def allow(self, which: int, busy: int) -> None:
        """More or fewer of its slots may be busy: no fewer than are."""
        track = self._some(self._in(TrackState.OPEN), which)
        self.stage.scheduler.allow(track, busy)

    # What happens to slots --------------------------------------------------------------------------------

    @precondition(lambda self: self.fresh)
    @rule(which=PICK)
    def ask(self, which: int) -> None:
        """A worker is ready."""
        slot = self._some(self.fresh, which)
        self.fresh.remove(slot)
        self.stage.scheduler.ask(slot)

    def _rung(self) -> list[Slot]:
        return [slot for track in self.tracks for slot in backend(track).rung]

    @precondition(lambda self: self._rung())
    @rule(which=PICK)
    def look(self, which: int) -> None:
        """A slot looks at what it was told."""
        slot = self._some(self._rung(), which)
        backend(slot.track).rung.remove(slot)
        found = self.stage.scheduler.collect(slot)
        if isinstance(found, Task):
            self._had(slot, found)
            self.hands.append((slot, found, found.serial))
        elif found is END:
            self.over.append(slot)

    def _had(self, slot: Slot, task: Task) -> None:
        """A slot has got a task: nobody else has it."""
        for other, _, _ in self.hands:
            assert other is not slot or slot.tasks, "a slot has two tasks that did not ask for a second"
        mine = set(self.keys(task))
        for _, other_task, _ in self.hands:
            assert not mine & set(self.keys(other_task)), "handed out twice"

    def keys(self, task: Task) -> list[Any]:
        """What a task stands for."""
        raise NotImplementedError

    @precondition(lambda self: self.hands)
    @rule(which=PICK)
    def ahead(self, which: int) -> None:
        """A slot asks for one more task before it has finished the one it has."""
        slot = self._some(self.hands, which)[0]
        if self.held or slot is self.own or slot.track.bounded:
            return
        if len(slot.tasks) == 1 and slot not in self._rung():
            self.stage.scheduler._turns.post(self.stage.scheduler._handing_out.on_asked_ahead, slot)

    def _go_on(self, picks: list[int], how: list[str]) -> None:
        """What happens most of the time: slots ask, look, and finish, and somebody takes what there is."""
        for which in picks:
            kind, which = which % 10, which // 10
            if kind < 4 and self.fresh:
                self.ask(which)
            elif kind < 4 and self._rung():
                self.look(which)
            elif kind < 8 and self.hands:
                self.complete(which, how[which % 5 :] + how, 1)
            else:
                self.consume(which)
            self.adds_up()

    # Under several names: rules are chosen, and some left out of a whole history, without regard to this.
    go_on_1, go_on_2, go_on_3, go_on_4 = MOVES(_go_on), MOVES(_go_on), MOVES(_go_on), MOVES(_go_on)
    go_on_5, go_on_6, go_on_7, go_on_8 = MOVES(_go_on), MOVES(_go_on), MOVES(_go_on), MOVES(_go_on)

    def consume(self, which: int) -> None:
        """What a consumer does, where there is one."""

    @precondition(lambda self: self.hands)
    @rule(which=PICK, how=OUTCOMES, cut=PICK)
    def complete(self, which: int, how: list[str], cut: int) -> None:
        """A task has come to something: values, errors, or only its first items."""
        slot, task, _ = self._some(self.hands, which)
        size = len(task.items)
        count = size if cut % 3 else cut % (size + 1)
        result = self._result(task, how, count)
        result.split = bool(cut % 2) and count < size
        self.finish(slot, task, result)

    def _result(self, task: Task, how: list[str], count: int) -> TaskResult:
        outcomes: list[Any] = []
        for at in range(count):
            kind = how[at % len(how)] if self.errors else "v"
            value: Any = self.keys(task)[at]
            if kind == "r":
                value = OSError(value, "again")
            elif kind in "ef":
                value = self.final(value)
            outcomes.append(value)
            if isinstance(value, BaseException) and not task.spec.capture:
                break
        return self.stage.result(task, *outcomes) if outcomes else TaskResult([])

    errors = True
    final: Any = ValueError

    def finish(self, slot: Slot, task: Task, result: TaskResult) -> None:
        """A slot says what came of its task, and asks for the next one if that was its last."""
        serial = next(number for other, each, number in self.hands if other is slot and each is task)
        self.hands.remove((slot, task, serial))
        for key, outcome in zip(self.keys(task), result.outcomes, strict=False):
            self.last[key] = getattr(outcome, "error", outcome)
        more = len(slot.tasks) > 1 or any(other is slot for other, _, _ in self.hands)
        self.stage.scheduler.completed(slot, task, result, ask=not more)

    @precondition(lambda self: self.stale)
    @rule(which=PICK)
    def answer_late(self, which: int) -> None:
        """A slot that nobody waits for answers all the same."""
        slot, task = self._some(self.stale, which)
        self.stale.remove((slot, task))
        self.stage.scheduler.completed(slot, task, self.stage.result(task, *["late"] * len(task.items)))

    @precondition(lambda self: self.over)
    @rule(which=PICK)
    def gone(self, which: int) -> None:
        """A worker that was told the end has ended."""
        slot = self._some(self.over, which)
        self.over.remove(slot)
        if not any(other is slot for other, _, _ in self.hands):
            self.stage.scheduler.gone(slot)

    # Time, and the order of things ------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 1.0, 7.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes, and whoever keeps it comes by."""
        self.release()
        self.stage.clock.now += seconds
        if self.stage.scheduler.due <= self.stage.clock.now:
            assert self.stage.scheduler.tick() > self.stage.clock.now, "the time is kept without pause"
        self._see_abandoned()

    def _see_abandoned(self) -> None:
        for track in self.tracks:
            for slot, task in backend(track).given_up:
                if id(slot) not in self.told:
                    self.told.add(id(slot))
                    self._abandoned(slot, task)

    def _abandoned(self, slot: Slot, task: Task) -> None:
        for key in self.keys(task):
            self.last[key] = TIMEOUT
        self.hands = [entry for entry in self.hands if entry[0] is not slot]
        self.stale.append((slot, task))
        while slot in backend(slot.track).rung:  # it has not even looked
            backend(slot.track).rung.remove(slot)

    @precondition(lambda self: not self.held)
    @rule(steps=st.integers(2, 5))
    def hold(self, steps: int) -> None:
        """Somebody has the lock for a while: what others have to say waits."""
        self.held = steps

    def release(self) -> None:
        """The lock is free again, and all is worked off."""
        self.held = 0
        self.stage.scheduler._turns._try()

    @invariant()
    def adds_up(self) -> None:
        """Each place is in one table, nobody waits for what may begin, and nothing began that must not."""
        if not hasattr(self, "stage"):
            return
        if self.held:
            self.held -= 1
            if self.held == 0:
                self.release()
        assert not self.stage.wrong, self.stage.wrong
        if not self.held:
            self.stage.check()
        assert self.stage.scheduler.error is None, self.stage.scheduler.error

    # The end ----------------------------------------------------------------------------------------------

    def serve(self) -> bool:
        """Everybody looks, and finishes what they have; whether anything moved."""
        moved = bool(self.fresh or self.hands or self._rung())
        while self.fresh:
            self.ask(0)
        while self._rung():
            self.look(0)
        while self.hands:
            slot, task, _ = self.hands[0]
            self.finish(slot, task, self._result(task, ["v"], len(task.items)))
            self.adds_up()
        return moved

    def to_the_end(self) -> None:
        """Until all is done: then everybody has what they waited for, or this never ends."""
        self.release()
        self.errors = False
        for track in self.tracks:
            backend(track).refuse = None
        idle = 0
        while idle < 9:
            if self.arrived():
                return
            if self.serve():
                idle = 0
                continue
            if self.stage.scheduler.due < math.inf:
                self.pass_time(max(0.0, self.stage.scheduler.due - self.stage.clock.now))
                continue
            idle += 1
            for track in self._in(TrackState.OPENING):
                self.stage.scheduler.opened(track)
            for track in self._in(TrackState.OPEN):
                self.stage.scheduler.allow(track, track.most)
            if not (self.fresh or self.hands or self._rung()):
                self.help_out()
        raise AssertionError(f"it stands still: {self.stage.scheduler.ledger()}")

    def arrived(self) -> bool:
        """Whether everything is done; takes what there is."""
        raise NotImplementedError

    def help_out(self) -> None:
        """Nothing moves any more: there is no track for what waits."""
        served = {id(t.queue) for t in self._in(TrackState.OPEN) if t.slots or t.elastic}
        for at, queue in enumerate(self.queues):
            if id(queue or self.stage.scheduler.queue) not in served:
                self.open_track(2, 3, False, False, True, True, at)


class Items(Machine):
    """A map: items from any kind of source, results in the order of the input or as they come."""

    queues = [None]  # noqa: RUF012

    @initialize(
        count=st.integers(0, 40),
        kind=st.sampled_from(["list", "iterator", "shrinking", "heavy"]),
        ordered=st.booleans(),
        group=st.sampled_from(["", "", "retries", "hosts", "slow names", "bad names", "rate"]),
        room=st.sampled_from([None, None, 1, 2, 5]),
        most=st.sampled_from([None, None, 1, 3]),
        ends=st.booleans(),
        capture=st.booleans(),
        item_timeout=st.sampled_from([None, None, 5.0]),
        keeps=st.booleans(),
        elastic=st.booleans(),
    )
    def begin(
        self,
        count: int,
        kind: str,
        ordered: bool,
        group: str,
        room: int | None,
        most: int | None,
        ends: bool,
        capture: bool,
        item_timeout: float | None,
        keeps: bool,
        elastic: bool,
    ) -> None:
        """A run."""
        self.items = [f"http://{'abc'[at % 3]}/{at}" for at in range(count)]
        self.kind, self.raised = kind, {}
        self.kept: list[tuple[Any, ...]] = []
        stage = _Stage(
            source=self._source(kind),
            capture=capture or bool(group),
            limits=self._limits(group),
            ordered=ordered,
            most=most,
            keep=(lambda place, values: None) if keeps else None,
            ends_at_error=ends,
            item_timeout=item_timeout,
        )
        if room is not None:
            stage.scheduler.room = room
        stage.scheduler.kept = lambda *about: self.kept.append(about)  # type: ignore[method-assign]
        self.ordered, self.ends = ordered, ends
        self.delivered: list[int] = []
        self.ended = self.had_error = False
        self.here: Track | None = None
        self.set_up(stage, elastic)

    def _source(self, kind: str) -> Source:
        if kind == "iterator":
            return Source((iter(self.items),))
        if kind == "heavy":
            weigh = open_source((list(self.items),), False, lambda item: ord(item[7]) ** 3 % 7)
            return weigh.for_workers()
        return Source((self.items,))

    def _limits(self, group: str) -> Limits | None:
        if not group:
            return None
        if group == "retries":
            return limits(retries=2, retry_on=OSError)
        if group == "hosts":
            return limits(4, retries=2, retry_on=OSError)
        if group == "rate":
            return limits(4, rate="4/s", retries=1, retry_on=OSError)
        return limits(4, per=self._per if group == "bad names" else lambda item: item[7])

    def _per(self, item: str) -> str:
        if int(item.rpartition("/")[2]) % 5 == 3:
            raise self.raised.setdefault(item, LookupError(item))
        return item[7]

    def keys(self, task: Task) -> list[int]:
        """The places."""
        return list(range(task.place, task.place + len(task.items)))

    def _had(self, slot: Slot, task: Task) -> None:
        super()._had(slot, task)
        for place, item in zip(self.keys(task), task.items, strict=True):
            assert item == self._item(place), "an item at another's place"
            assert place not in self.delivered, "what was delivered is run again"

    def _item(self, place: int) -> str:
        return f"http://{'abc'[place % 3]}/{place}"

    # The consumer -----------------------------------------------------------------------------------------

    @rule()
    def take(self) -> None:
        """The consumer takes what there is now."""
        if self.ended:
            return
        self.stage.paused = False
        found = self.stage.scheduler.take()
        if found is END:
            self.ended = True
            self._check_end()
        for outcome in found if isinstance(found, list) else []:
            self._check_outcome(outcome)

    def _check_outcome(self, outcome: Any) -> None:
        failed = type(outcome) is Failed
        value = outcome.error if failed else outcome
        place = outcome.place if failed else outcome
        if self.ordered:
            assert place == len(self.delivered), "out of order"
        assert place not in self.delivered, "delivered twice"
        self.delivered.append(place)
        if type(value) is ItemTimeout:
            assert self.last[place] == TIMEOUT
        elif type(value) is LookupError:
            assert value is self.raised[self._item(place)]
        else:
            assert value is self.last[place] or value == self.last[place], "not what came of it last"
        assert all(place not in self.keys(task) for _, task, _ in self.hands), "delivered while it runs"
        if failed and self.ends:
            self.stage.paused = not self.had_error  # a run ends with the first one: nobody comes again
            self.had_error = True
            if self.kind == "heavy":  # what came ahead of its turn is dropped: the run ends here, as all do
                self.ended = True
                self.stage.scheduler.close()

    def _check_end(self) -> None:
        scheduler, source = self.stage.scheduler, self.stage.source
        assert not self.hands and not self.kept and not scheduler.retries
        assert source is not None and source.over
        assert sorted(self.delivered) == list(range(len(self.items)))

    def consume(self, which: int) -> None:
        """The consumer pulls and takes; the journal gets what it is to keep."""
        if self.kind == "iterator" and not self.ended:
            self.pull(1 + which % 9)
        if self.kept:
            self.keep(which)
        self.take()

    @precondition(lambda self: self.kind == "iterator" and not self.ended)
    @rule(count=st.integers(1, 9))
    def pull(self, count: int) -> None:
        """The consumer reads from its iterator, as far as there is room."""
        count = min(count, self.stage.scheduler.to_pull())
        if count:
            assert self.stage.source is not None
            self.stage.scheduler.stock(self.stage.source.pull(count))

    @precondition(lambda self: self.kind == "shrinking")
    @rule()
    def shrink(self) -> None:
        """The caller's list has one item less, if that has not begun."""
        source = self.stage.source
        assert source is not None
        if len(self.items) > source.position:
            self.items.pop()

    @precondition(lambda self: self.kept)
    @rule(which=PICK)
    def keep(self, which: int) -> None:
        """The journal has got something."""
        about = self._some(self.kept, which)
        self.kept.remove(about)
        self.stage.scheduler._turns.post(self.stage.scheduler._settling._on_kept, *about)

    @precondition(lambda self: self.stage.spec.capture)
    @rule(group=st.sampled_from(["", "hosts", "slow names"]))
    def attend(self, group: str) -> None:
        """From now on calls are looked at one by one, or not any more."""
        self.release()
        queue = self.stage.scheduler.queue
        if (queue.limits is None) == bool(group) and not queue.naming:
            self.stage.scheduler.attend(limits(4) if group == "hosts" else self._limits(group))

    # The caller's own thread ------------------------------------------------------------------------------

    @precondition(lambda self: self.here is None and self.stage.scheduler._handing_out._item_timeout is None)
    @rule(size=st.integers(1, 5))
    def run_here(self, size: int) -> None:
        """The caller's thread is a track, too, and takes a task."""
        self.here = self.stage.track(1)
        self.own = self.here.add()
        self.tracks.append(self.here)
        self._take_here(size)

    def _take_here(self, size: int) -> None:
        assert self.here is not None
        assert self.own is not None
        task = self.stage.scheduler.take_here(self.here, self.own, size)
        if task is not None:
            assert len(task.items) <= size
            self._had(self.own, task)
            self.hands.append((self.own, task, task.serial))

    def _runs_here(self) -> Task | None:
        return next((task for slot, task, _ in self.hands if slot is self.own), None)

    @precondition(lambda self: self.here is not None and not self._runs_here())
    @rule(size=st.integers(1, 5))
    def run_more_here(self, size: int) -> None:
        """And the next one."""
        self._take_here(size)

    @precondition(lambda self: self._runs_here())
    @rule(at=st.integers(0, 5), drains=st.booleans())
    def steal(self, at: int, drains: bool) -> None:
        """What the caller's thread has not begun is taken away, by the monitor."""
        task = self._runs_here()
        assert task is not None and self.here is not None and self.own is not None
        if drains:
            self.stage.scheduler.change(drains=[self.here])
        self.stage.scheduler.give_back(self.own, task, max(1, at))

    def finish(self, slot: Slot, task: Task, result: TaskResult) -> None:
        """The caller's thread does not ask."""
        if slot is not self.own:
            super().finish(slot, task, result)
            return
        self.hands = [entry for entry in self.hands if entry[0] is not slot]
        for key, outcome in zip(self.keys(task), result.outcomes, strict=False):
            self.last[key] = getattr(outcome, "error", outcome)
        self.stage.scheduler.completed_here(slot, task, result)

    # The end ----------------------------------------------------------------------------------------------

    def serve(self) -> bool:
        """The caller's thread serves, too."""
        if self.here is not None and self.here.state is TrackState.OPEN and not self._runs_here():
            self._take_here(9)
        return super().serve()

    def arrived(self) -> bool:
        """Whether the run has ended; takes what there is."""
        for _ in range(99):
            before = len(self.delivered)
            if self.kind == "iterator" and not self.ended:
                self.pull(9)
            while self.kept:
                self.keep(0)
            self.take()
            if self.ended or len(self.delivered) == before:
                break
        return self.ended

    def teardown(self) -> None:
        """However it went, it can be brought to its end: exactly the outcomes of a plain list."""
        if hasattr(self, "stage"):
            self.to_the_end()


class EarlyEnd(Items):
    """The same, closed in the middle of it."""

    closed = False

    @precondition(lambda self: not self.closed and len(self.delivered) + len(self.hands) > 1)
    @rule()
    def close(self) -> None:
        """Nobody wants the rest."""
        self.closed = self.ended = True
        self.stage.scheduler.close()

    def take(self) -> None:
        """Nobody takes any more after that."""
        if not self.closed:
            super().take()

    def teardown(self) -> None:
        """What runs comes to its end, and everybody is told; nothing begins."""
        if not hasattr(self, "stage"):
            return
        if not self.closed:
            self.close()
        self.release()
        for _ in range(99):
            while self.kept:
                self.keep(0)
            if not self.serve():
                break
        scheduler = self.stage.scheduler
        scheduler._ledger.check_sum()
        assert not scheduler._ledger.out and not scheduler._ledger.retries and scheduler.busy == 0
        assert all(not track.parked for track in self.tracks)
        assert scheduler._deadlines is None or scheduler._deadlines.due() == math.inf


class Calls(Machine):
    """An executor: calls with futures, several queues, cancelling, moving."""

    final = SystemExit

    @initialize(
        queues=st.integers(1, 3),
        limited=st.sampled_from(["", "", "retries", "hosts"]),
        most=st.sampled_from([None, None, 2]),
        item_timeout=st.sampled_from([None, 5.0]),
        elastic=st.booleans(),
    )
    def begin(
        self, queues: int, limited: str, most: int | None, item_timeout: float | None, elastic: bool
    ) -> None:
        """An executor."""
        shared = None
        if limited:
            shared = limits(3 if limited == "hosts" else 0, retries=2, retry_on=OSError)
        self.queues = [TaskQueue(shared) for _ in range(queues)]
        self.moved: set[int] = set()
        self.calls: list[Task] = []
        self.gone_calls: set[int] = set()  # taken back by somebody else
        self.set_up(_Stage(most=most, item_timeout=item_timeout, ends_at_error=False), elastic)

    def keys(self, task: Task) -> list[int]:
        """The call itself."""
        return [id(task)]

    @rule(which=PICK, groups=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5))
    def put(self, which: int, groups: list[str]) -> None:
        """Some more calls."""
        queue = self._some(self.queues, which)
        assert queue is not None
        self.calls += [self.stage.put_within(queue, group=group) for group in groups]

    def consume(self, which: int) -> None:
        """There is always more to do."""
        self.put(which, ["a", "b", "c"][which % 3 :])

    @precondition(lambda self: self.calls)
    @rule(which=PICK)
    def cancel(self, which: int) -> None:
        """Nobody wants a call any more, if it has not begun."""
        task = self._some(self.calls, which)
        if task.future.done() or task.asked:
            return
        task.future.cancelled = True
        self.stage.scheduler.calls.cancelled(task)

    @precondition(lambda self: len(self.queues) > 1)
    @rule(which=PICK, to=PICK)
    def move(self, which: int, to: int) -> None:
        """The calls of one queue wait in another from now on; the queue serves nobody again."""
        source, target = self._some(self.queues, which), self._some(self.queues, to)
        if source is target:
            return
        self.release()
        self.stage.scheduler.calls.move(source, target)
        self.queues.remove(source)
        drains = [track for track in self._in(TrackState.OPEN, TrackState.OPENING) if track.queue is source]
        self.stage.scheduler.change(drains=drains)

    @precondition(lambda self: self.calls)
    @rule(which=PICK)
    def take_back(self, which: int) -> None:
        """A call goes another way altogether."""
        task = self._some(self.calls, which)
        if self.stage.scheduler.calls.take_back(task):
            assert not task.future.results
            self.gone_calls.add(id(task))

    @precondition(lambda self: self.calls)
    @rule(which=PICK, well=st.booleans())
    def help(self, which: int, well: bool) -> None:
        """A worker that waits for a call runs it itself."""
        task = self._some(self.calls, which)
        chunks = self.stage.track(1, queue=TaskQueue(), opens=False).chunks
        slot = Slot(Track("helping", TaskQueue(), 0, chunks, bounded=True), threaded=False)
        if not self.stage.scheduler.calls.take_over(slot, task):
            return
        self.release()
        if not task.begin():
            result = TaskResult([], withdrawn=True)
        else:
            self.last[id(task)] = id(task) if well else OSError("again")
            result = self.stage.result(task, self.last[id(task)])
        self.stage.scheduler.completed(slot, task, result, ask=False)

    def _result(self, task: Task, how: list[str], count: int) -> TaskResult:
        if not task.begin():
            return TaskResult([], withdrawn=True)
        return super()._result(task, how, count)

    def arrived(self) -> bool:
        """Whether all calls are done."""
        return not self.stage.scheduler._ledger.under_way() and not self.stage.scheduler._turns._events

    def teardown(self) -> None:
        """Each future has heard exactly once of what came of its call."""
        if not hasattr(self, "stage"):
            return
        self.to_the_end()
        self.stage.scheduler.close(finish=True)
        assert self.stage.scheduler._turns.locked(lambda _: self.stage.scheduler.calls._ready_to_end())
        for task in self.calls:
            results = task.future.results
            if task.future.cancelled or id(task) in self.gone_calls:
                assert results == []
                continue
            assert len(results) == 1, results
            if type(results[0]) is ItemTimeout:
                assert self.last[id(task)] == TIMEOUT
            else:
                assert results[0] == self.last[id(task)]
        assert not self.stage.scheduler._ledger.calls
        for queue in self.queues:
            assert queue is not None and not queue._lines and not queue.items


class TestItems(Items.TestCase):
    settings = SETTINGS


class TestEarlyEnd(EarlyEnd.TestCase):
    settings = SETTINGS


class TestCalls(Calls.TestCase):
    settings = SETTINGS
