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
from autoexec.engine.feed import Feed
from autoexec.engine.stream import Stream
from autoexec.options import Options
from autoexec.records import Plan, Profile


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
        open_backend=open_backend,
        replan=lambda profile: None,
        options=Options(**options),
        deadline=deadline,
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
