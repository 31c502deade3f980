"""The parallel part with a made-up backend: order, window and chunks whatever finishes first."""

# ruff: noqa: PT017 -- an error may or may not come, by the example

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.backends.base import Chunk, Deliver, Finished, run_items
from autoexec.engine import valve
from autoexec.engine.feed import Feed
from autoexec.engine.stream import Settings, Stream
from autoexec.engine.valve import HOLD_S, PREPARE_S
from autoexec.frozen import replace
from autoexec.options import Options
from autoexec.records import Plan, Profile, WorkKind


class Shuffled:
    """A backend that finishes tasks in any order, some whenever it is given another one.

    Args:
        deliver: receives finished tasks.
        seed: of the order.
        held: tasks that wait at most.
    """

    name = "shuffled"

    def __init__(self, deliver: Deliver, seed: int, held: int) -> None:
        self._deliver, self._random, self._held = deliver, random.Random(seed), held
        self.waiting: list[Chunk] = []
        self.sizes: list[int] = []
        self.most = 0
        self.out = 0
        self.closed = False

    def submit(self, chunk: Chunk) -> None:
        self.sizes.append(len(chunk.items))
        self.waiting.append(chunk)
        self.out += len(chunk.items)
        self.most = max(self.most, self.out)
        while len(self.waiting) > self._held:
            self.finish_one()

    def finish_one(self) -> None:
        chunk = self.waiting.pop(self._random.randrange(len(self.waiting)))
        values, error, _, _ = run_items(chunk.call, chunk.items, chunk.star)
        self._deliver(Finished(chunk, values, error, 0.0, 0.0, "nowhere"))

    def withdraw(self) -> list[Chunk]:
        back, self.waiting = self.waiting, []
        return back

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        self.closed = True


def _stream(
    feed: Feed, call: Any, seed: int, held: int, plan: Plan, *, deadline: float | None = None, **options: Any
) -> tuple[Stream, Shuffled]:
    made: list[Shuffled] = []

    def open_backend(plan: Plan, deliver: Deliver) -> Shuffled:
        made.append(Shuffled(deliver, seed, held))
        return made[-1]

    profile = Profile("f", 1, 0.01, 0.01, 0.0, 0.0)
    stream = Stream(
        feed,
        call,
        plan,
        profile,
        Settings(
            Options(**options),
            open_backend,
            replan=lambda profile: None,
            changed=lambda plan, profile: None,
            forks=lambda threads, wait_s: False,
            deadline=deadline,
        ),
    )
    return stream, made[0]


PLANS = st.builds(Plan, st.just("threads"), st.integers(1, 4), st.integers(1, 7))


@given(
    n=st.integers(0, 80),
    plan=PLANS,
    seed=st.integers(0, 99),
    window=st.one_of(st.none(), st.integers(1, 30)),
    chunksize=st.one_of(st.none(), st.integers(1, 9)),
    ordered=st.booleans(),
    lazy=st.booleans(),
)
def test_order_window_and_chunks(
    n: int, plan: Plan, seed: int, window: int | None, chunksize: int | None, ordered: bool, lazy: bool
) -> None:
    """Every item once, in order if asked; never more than the window, never chunks larger than asked."""
    feed = Feed((iter(range(n)) if lazy else range(n),))
    stream, backend = _stream(
        feed, lambda x: -x, seed, 0, plan, buffersize=window, chunksize=chunksize, ordered=ordered
    )
    found: list[int] = []
    for values in stream.blocks():
        found += values
        backend.out -= len(values)
    expected = [-x for x in range(n)]
    assert (found if ordered else sorted(found, reverse=True)) == expected
    if window is not None:
        assert backend.most <= window + max(backend.sizes, default=0)
        assert max(backend.sizes, default=0) <= window
    if chunksize is not None:
        assert max(backend.sizes, default=0) <= chunksize
    assert sum(backend.sizes) == n
    stream.close()
    assert backend.closed


@given(n=st.integers(1, 40), bad=st.integers(0, 39), plan=PLANS, seed=st.integers(0, 99))
def test_an_error_comes_after_what_was_before_it(n: int, bad: int, plan: Plan, seed: int) -> None:
    """In order, exactly the results before the first bad item are delivered, then its error."""

    def call(x: int) -> int:
        if x >= bad:
            raise ValueError(x)
        return x

    stream, _ = _stream(Feed((range(n),)), call, seed, 0, plan)
    found: list[int] = []
    try:
        for values in stream.blocks():
            found += values
    except ValueError as error:
        assert error.args == (bad,)
        assert f"item {bad} ({bad})" in error.__notes__[0]
        assert bad < n
    else:
        assert bad >= n
    assert found == list(range(min(n, bad)))


def test_the_window_is_not_filled_beyond_what_is_delivered() -> None:
    """With nothing delivered, no more than the window is pulled from the input."""
    pulled = []

    def source() -> Iterator[int]:
        for i in range(100):
            pulled.append(i)
            yield i

    stream, backend = _stream(Feed((source(),)), abs, 0, 99, Plan("threads", 2, 3), buffersize=8)
    stream.fill()
    assert len(pulled) == 8 and sum(backend.sizes) == 8
    stream.fill()
    assert len(pulled) == 8
    stream.close(kill=True)


def test_at_hand_does_not_touch_the_iterator() -> None:
    """From another thread only what was pulled ahead is handed out."""
    source = iter(range(100))
    feed = Feed((source,))
    feed.look_ahead(4)
    stream, backend = _stream(feed, abs, 0, 99, Plan("threads", 2, 3))
    stream.fill(at_hand=True)
    assert sum(backend.sizes) == 4
    assert next(source) == 4
    stream.close(kill=True)


def test_a_deadline_that_has_passed_raises() -> None:
    """Nothing is waited for after the deadline."""
    stream, _ = _stream(Feed((range(4),)), abs, 0, 99, Plan("threads", 2, 1), deadline=0.0)
    with pytest.raises(TimeoutError):
        next(stream.blocks())
    stream.close(kill=True)


@pytest.mark.parametrize(
    ("more", "size"), [({}, 7), ({"journal": "j"}, 1), ({"journal": "j", "chunksize": 3}, 3)]
)
def test_a_journal_sends_items_one_by_one(more: dict[str, Any], size: int) -> None:
    """What is finished is to be kept at once, unless the caller asks for larger tasks."""
    stream, backend = _stream(Feed((range(300),)), str, 1, 0, Plan("processes", 2, 7), **more)
    assert [value for block in stream.blocks() for value in block] == [str(i) for i in range(300)]
    assert set(backend.sizes[:10]) == {size}


# Calls that wait and then compute -------------------------------------------------------------------------

ADAPTIVE = Plan("threads", 200, adaptive=True)
WAITS = Profile("f", 1, 0.01, 0.0, 0.0, 0.01, kind=WorkKind.IO, partial=True)
MIXED = Profile("f", 1, 0.055, 0.015, 0.0, 0.04, kind=WorkKind.MIXED)
SEATED = Plan("processes", 2, threads=8)


class Begun(Shuffled):
    """A backend that begins the first few tasks and keeps the others in a queue."""

    def __init__(self, deliver: Deliver, begins: int) -> None:
        super().__init__(deliver, 0, 10_000)
        self.begins, self.warm = begins, 0
        self.killed = self.waited = False

    def counts(self) -> tuple[int, int]:
        running = min(self.begins, len(self.waiting))
        return running, running

    def warm_up(self, count: int) -> int:
        self.warm += count
        return count

    def withdraw(self) -> list[Chunk]:
        back, self.waiting = self.waiting[self.begins :], self.waiting[: self.begins]
        return back

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        self.closed, self.killed, self.waited = True, kill, wait


class Watched:
    """Says what the test wants to hear."""

    def __init__(self) -> None:
        self.found: Profile | None = None
        self.said: bool | None = None
        self.left: list[int | None] = []

    def due_s(self) -> float:
        return 0.001

    def first_runs(self, cpu_s: float, wait_s: float) -> None:
        pass

    def look(self, begun: int, running: int, profile: Profile, left: int | None) -> Profile | None:
        self.left.append(left)
        found, self.found = self.found, None
        return found

    def verdict(self, profile: Profile) -> bool | None:
        return self.said

    def note(self, items: int, wall_s: float, cpu_s: float) -> None:
        pass

    def first_ended(self, cpu_s: float) -> None:
        pass


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter

    def process_time(self) -> float:
        return 0.0


class Mixed:
    """A stream of calls in threads, and what becomes of it.

    Args:
        n: items.
        begins: how many of them the first backend begins.
        plan: the first plan.
    """

    def __init__(self, n: int = 100, begins: int = 4, plan: Plan = ADAPTIVE, **options: Any) -> None:
        self.made: list[Begun] = []
        self.changes: list[tuple[Plan, Profile]] = []
        self.asked: list[tuple[int, float]] = []
        self.forks = False
        self._begins = begins
        self.stream = Stream(
            Feed((range(n),)),
            str,
            plan,
            WAITS,
            Settings(
                Options(**options),
                self._open,
                replan=lambda profile: SEATED,
                changed=lambda plan, profile: self.changes.append((plan, profile)),
                forks=self._forks,
            ),
        )
        self.watch = Watched()
        if self.stream._watch is not None:
            self.stream._watch = self.watch  # type: ignore[assignment]

    def _open(self, plan: Plan, deliver: Deliver) -> Begun:
        self.made.append(Begun(deliver, self._begins if plan.backend == "threads" else 10_000))
        return self.made[-1]

    def _forks(self, threads: int, wait_s: float) -> bool:
        self.asked.append((threads, wait_s))
        return self.forks

    def finish(self) -> list[str]:
        """Let all tasks end, and take the results."""
        for backend in self.made:
            while backend.waiting:
                backend.finish_one()
        return [value for block in self.stream.blocks() for value in block]


def test_calls_that_queue_for_the_gil_go_to_processes() -> None:
    """Workers start at once; what no thread has begun moves when others prove to compute, too."""
    mixed = Mixed()
    mixed.stream.fill()
    mixed.watch.found = MIXED
    mixed.stream.pump(0.0)
    threads, processes = mixed.made
    assert not processes.waiting and not mixed.changes, "one call is little evidence"
    mixed.watch.said = True
    mixed.stream.pump(0.0)
    assert mixed.changes == [(SEATED, MIXED)]
    assert len(threads.waiting) == 4 and threads.closed and not threads.killed
    assert [chunk.start for chunk in processes.waiting] == list(range(4, 100))
    assert set(processes.sizes) == {1}
    assert mixed.watch.left == [96, 96]
    assert mixed.finish() == list(map(str, range(100)))


def test_workers_that_prove_unwanted_are_sent_away() -> None:
    """The first call only did once what others need not do."""
    mixed = Mixed()
    mixed.stream.fill()
    mixed.watch.found, mixed.watch.said = MIXED, False
    mixed.stream.pump(0.0)
    assert mixed.made[1].closed and mixed.made[1].killed
    assert not mixed.changes and not mixed.made[0].closed
    assert len(mixed.made[0].waiting) == 100


@pytest.mark.parametrize("forks", [True, False])
def test_threads_that_end_soon_are_waited_for(forks: bool) -> None:
    """A process without threads can fork its workers; they need not import what the function needs."""
    busy = Mixed(20, begins=2, plan=Plan("threads", 2))
    busy.forks = forks
    busy.stream.fill()
    busy.stream.reconsider(replace(WAITS, wall_s=0.05, kind=WorkKind.PYTHON))
    assert busy.asked == [(2, 0.1)], "both may have an item before them, and share the GIL"
    assert busy.made[0].waited is forks and not busy.made[0].killed
    assert len(busy.changes) == 1 and len(busy.made) == 2


def test_nobody_waits_for_other_changes() -> None:
    """Only from threads to processes is there something to gain."""
    busy = Mixed(20, plan=Plan("asyncio", 2))
    busy.stream.fill()
    busy.stream.reconsider(WAITS)
    assert not busy.asked and not busy.made[0].waited


def test_closing_ends_workers_that_wait_for_a_verdict() -> None:
    """Nothing is left behind."""
    mixed = Mixed()
    mixed.stream.fill()
    mixed.watch.found = MIXED
    mixed.stream.pump(0.0)
    mixed.stream.close()
    assert mixed.made[0].closed and mixed.made[1].killed


@pytest.mark.parametrize(
    ("plan", "options"),
    [
        (Plan("threads", 4), {}),
        (Plan("asyncio", 200, adaptive=True), {}),
        (ADAPTIVE, {"backend": "threads"}),
        (ADAPTIVE, {"rate": 5.0}),
        (ADAPTIVE, {"item_timeout": 1.0}),
    ],
    ids=["computing", "asyncio", "threads asked for", "rate", "item_timeout"],
)
def test_only_calls_that_may_leave_are_watched(plan: Plan, options: dict[str, Any]) -> None:
    """Others would gain nothing from it."""
    assert Mixed(plan=plan, **options).stream._watch is None


@pytest.mark.parametrize(("n", "held"), [(64, False), (65, True), (200, True), (201, False)])
def test_the_first_call_goes_alone(n: int, held: bool) -> None:
    """Short runs do not wait for it to show itself, nor those of which some are left by then in any case."""
    mixed = Mixed(n)
    mixed.stream.narrow(16, hold=True)
    mixed.stream.fill()
    assert len(mixed.made[0].waiting) == (0 if held else 16)


def test_threads_are_warm_when_the_others_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """They start while the first calls wait; after a while all are let out."""
    clock = Clock()
    monkeypatch.setattr(valve, "time", clock)
    mixed = Mixed(150)
    mixed.stream.narrow(16, hold=True)
    mixed.stream.fill()
    for _ in range(60):
        mixed.stream.pump(0.0)
    assert mixed.made[0].warm == 150
    assert not mixed.made[0].waiting
    clock.now = HOLD_S + 0.001
    mixed.stream.pump(0.0)
    assert not mixed.made[0].waiting, "it has ended, and what it did will be told"
    mixed.stream.pump(0.0, 0.0, HOLD_S)
    assert len(mixed.made[0].waiting) == 150


def held_back(monkeypatch: pytest.MonkeyPatch) -> Mixed:
    """A stream whose first call, in the caller's thread, computes after its wait: nothing else is out."""
    clock = Clock()
    monkeypatch.setattr(valve, "time", clock)
    mixed = Mixed(150)
    mixed.stream.narrow(16, hold=True)
    clock.now = HOLD_S + 0.001
    mixed.stream.pump(0.0, alone_s=0.005)
    assert not mixed.made[0].waiting and not mixed.made[0].warm
    mixed.stream.open_up()
    return mixed


def test_a_first_call_that_computes_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was alone, so its figures are right; the others then go to processes of threads."""
    mixed = held_back(monkeypatch)
    mixed.stream.profiled(MIXED)
    assert mixed.changes == [(SEATED, replace(MIXED, remaining=150))]
    mixed.stream.fill()
    assert mixed.finish() == list(map(str, range(150)))
    assert mixed.made[1].sizes == [1] * 150


def test_workers_that_started_meanwhile_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first call still computed it was clear what it would come to."""
    mixed = held_back(monkeypatch)
    mixed.watch.found = MIXED
    mixed.stream.pump(0.0, alone_s=0.006)
    assert len(mixed.made) == 2 and not mixed.changes
    mixed.stream.profiled(replace(MIXED, held_s=0.017))
    assert len(mixed.made) == 2
    assert mixed.changes == [(SEATED, MIXED)]


def test_a_first_call_that_only_waits_lets_the_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once: it has shown what it does."""
    mixed = held_back(monkeypatch)
    mixed.stream.profiled(replace(WAITS, partial=False))
    mixed.stream.fill()
    assert not mixed.changes
    assert len(mixed.made[0].waiting) == 150


def test_time_to_prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only while the first calls have been waiting for a while."""
    clock = Clock()
    monkeypatch.setattr(valve, "time", clock)
    mixed = Mixed(150)
    mixed.stream.narrow(16, hold=True)
    assert not mixed.stream.pump(0.0)
    clock.now = PREPARE_S + 0.001
    assert mixed.stream.pump(0.0)
    assert not mixed.stream.pump(0.0, alone_s=0.002)
