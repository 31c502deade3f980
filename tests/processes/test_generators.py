"""What a function draws random numbers from is seeded anew in workers, wherever it is found."""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from autoexec.worker.generators import give_entropy, own_streams
from tests.processes.work import run

np = pytest.importorskip("numpy")

DICE = random.Random(1)
RNG = np.random.default_rng(2)
OLD = np.random.RandomState(3)
EACH = [np.random.default_rng(seed) for seed in range(40)]


class Loaded(random.Random):
    """A user's kind of generator, with a `seed` of its own."""

    def seed(self, *args: Any, **keywords: Any) -> None:
        """Always the same, unless the kind below is asked."""
        super().seed(5)


class Simulation:
    """An object that has a generator, and a class that has one."""

    SHARED = random.Random(4)
    __slots__ = ("__dict__", "kept")

    def __init__(self) -> None:
        self.own, self.kept = np.random.default_rng(5), Loaded()

    def step(self, _: Any = None) -> Any:
        """Draw from all of them."""
        return self.SHARED.random(), float(self.own.random()), self.kept.random()


SIMULATION = Simulation()
settings = sys.modules[__name__]


def _global(_: Any = None) -> Any:
    return DICE.random(), float(RNG.random()), float(OLD.normal())


def _called(_: Any = None) -> Any:
    return _global(), SIMULATION.step()


def _module(_: Any = None) -> Any:
    return settings.DICE.random()


def _default(_: Any = None, dice: Any = random.Random(7)) -> Any:  # noqa: B008
    return dice.random()


def _captured() -> Callable[[Any], Any]:
    dice = random.Random(8)
    return lambda _=None: dice.random()


WAYS = {
    "global": _global,
    "called": _called,
    "module": _module,
    "default": _default,
    "captured": _captured(),
    "partial": functools.partial(lambda dice, _=None: dice.random(), random.Random(9)),
    "method": Simulation().step,
    "spawned": lambda _=None: float(RNG.spawn(1)[0].random()),
}


def _flat(value: Any) -> list[Any]:
    return [part for inner in value for part in _flat(inner)] if type(value) is tuple else [value]


@pytest.mark.parametrize("way", WAYS)
def test_each_worker_draws_its_own(way: str, start: str) -> None:
    """No number twice, in one map or in the next."""
    call = WAYS[way]
    drawn = [*run(call, range(20), on_error="raise"), *run(call, range(20), on_error="raise")]
    assert all(len({_flat(value)[i] for value in drawn}) == 40 for i in range(len(_flat(drawn[0]))))


def test_a_stream_for_each_item_stays_what_it_is(start: str) -> None:
    """Items that bring, or choose, their own generators draw what the loop draws."""
    want = [float(np.random.default_rng(seed).random()) for seed in range(40)]
    items = [np.random.default_rng(seed) for seed in range(40)]
    assert list(run(lambda rng: float(rng.random()), iter(items), on_error="raise")) == want
    assert list(run(lambda i: float(EACH[i].random()), iter(range(40)), on_error="raise")) == want


def test_how_many_are_found() -> None:
    """Each once; none where there is none, and nothing of libraries is asked."""
    assert give_entropy(_called) == 6 and give_entropy(_global) == 3
    assert give_entropy(lambda x: x) == give_entropy(len) == give_entropy(None) == 0
    assert give_entropy(lambda: random.SystemRandom().random()) == 0


def test_a_cached_draw_is_forgotten() -> None:
    """The second half of a pair of normal numbers is kept for later: it would be drawn everywhere."""
    for generator, draw in ((random.Random(1), "gauss"), (np.random.RandomState(1), "normal")):
        method = getattr(generator, draw)
        method(0.0, 1.0)
        state = generator.getstate() if draw == "gauss" else generator.get_state()
        expected = method(0.0, 1.0)
        (generator.setstate if draw == "gauss" else generator.set_state)(state)
        assert give_entropy(lambda method=method, generator=generator: None) == 1
        assert method(0.0, 1.0) != expected


def test_libraries_own_streams() -> None:
    """Numpy's global one, which a fork copies."""
    before = np.random.get_state()
    own_streams()
    after = np.random.get_state()
    np.random.set_state(before)
    assert (before[1] != after[1]).any()
