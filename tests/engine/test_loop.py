"""The caller's loop, looked into and cut short by another thread: no item lost, none doubled."""

# ruff: noqa: B023 -- each loop lives as long as its round

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autoexec.engine.feed import Feed
from autoexec.engine.loop import Block, Loop

KINDS: dict[str, Callable[[int], Any]] = {
    "list": lambda n: list(range(n)),
    "tuple": lambda n: tuple(range(n)),
    "range": range,
    "range with a step": lambda n: range(3, 3 + 7 * n, 7),
    "long range": lambda n: range(2**70, 2**70 + n),
    "generator": lambda n: (x for x in range(n)),
}


@pytest.fixture
def fine_switching() -> Iterator[None]:
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def _values(kind: str, n: int) -> list[int]:
    return list(KINDS[kind](n))


def _rest(feed: Feed) -> list[tuple[int, Any]]:
    found = []
    while True:
        start, items = feed.take(5)
        if not len(items):
            return found
        found += [(start + i, item) for i, item in enumerate(items)]


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "long range"])
@pytest.mark.parametrize("size", [1, 7, 2000])
def test_a_theft_at_any_moment_loses_and_doubles_nothing(kind: str, size: int, fine_switching: None) -> None:
    """What the loop ran and what was stolen together are all items, each once, in order."""
    n, trials = 2000, 100
    expected = list(enumerate(_values(kind, n)))
    cut = 0
    for trial in range(20 * trials):
        if trial >= trials and cut:  # where the cores are taken, the thief may come late again and again
            break
        ran: list[Any] = []
        loop = Loop(lambda x, ran=ran: ran.append(x), Feed((KINDS[kind](n),)))
        go = threading.Barrier(2)

        def thief(loop: Loop = loop, go: threading.Barrier = go, spins: int = 13 * (trial % trials)) -> None:
            go.wait()
            for _ in range(spins):
                pass
            loop.take_over()

        thread = threading.Thread(target=thief)
        thread.start()
        go.wait()
        while loop.run(size) is not None:
            pass
        thread.join()
        rest = _rest(loop.feed)
        cut += bool(rest)
        assert [x for _, x in expected] == ran + [x for _, x in rest], f"trial {trial}"
        assert rest == expected[len(ran) :]
    assert cut  # at least some thefts came before the end


@pytest.mark.parametrize("kind", ["list", "tuple", "range", "range with a step"])
def test_a_theft_inside_every_item(kind: str) -> None:
    """The rest taken while item k runs begins with item k + 1, for every k."""
    n = 12
    values = _values(kind, n)
    for k in range(n):
        ran: list[Any] = []
        loop: Loop

        def call(x: Any, k: int = k, ran: list[Any] = ran) -> None:
            ran.append(x)
            if x == values[k]:
                thread = threading.Thread(target=loop.take_over)
                thread.start()
                thread.join()

        loop = Loop(call, Feed((KINDS[kind](n),)))
        while loop.run(n) is not None:
            pass
        assert ran == values[: k + 1]
        assert [x for _, x in _rest(loop.feed)] == values[k + 1 :]


def test_stealing_from_a_block_with_an_error_gives_the_rest_back() -> None:
    """The item that raises was ours; those after it are not lost."""
    loop: Loop

    def call(x: int) -> int:
        if x == 2:
            loop.take_over()
            raise ValueError(x)
        return x

    loop = Loop(call, Feed((list(range(6)),)))
    block = loop.run(6)
    assert block is not None and block.out == [0, 1] and isinstance(block.error, ValueError)
    assert _rest(loop.feed) == [(3, 3), (4, 4), (5, 5)]


def test_a_block_says_what_it_ran() -> None:
    """Results, seconds and the error of a block are there when it is over."""
    loop = Loop(lambda a, b: a + b, Feed(([1, 2, 3], [4, 5, 6])))
    block = loop.run(2)
    assert block is not None and block.out == [5, 7] and block.error is None
    assert block.wall_s >= 0 and block.cpu_s >= 0
    assert loop.block is None and loop.remaining() == 1


def test_nothing_is_run_after_a_take_over() -> None:
    """Once taken, the loop gives nothing more to run."""
    loop = Loop(abs, Feed(([1, 2],)))
    assert loop.take_over() == 0
    assert loop.run(1) is None
    assert _rest(loop.feed) == [(0, 1), (1, 2)]


def test_interrupts_are_kept_as_the_blocks_error() -> None:
    """Also what is no `Exception` ends a block as its error."""

    def call(x: int) -> int:
        raise KeyboardInterrupt

    block = Block(0, [1])
    block.run(call, False)
    assert isinstance(block.error, KeyboardInterrupt)
