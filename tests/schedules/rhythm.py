"""What the items of a schedule do: phases of one kind, or a first item unlike the others."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from .schedule import Phase

__all__ = ["pick", "rhythm"]

FORMS = {"none": 3, "one": 33, "two": 25, "three": 12, "first": 16, "turns": 11}
MOST = 3_000  # items
MOST_SLOW = 400  # of them that take their time
WAITING = 3.0  # how much more there is of what waits: it overlaps
SECONDS = {"computes": (0.0001, 0.008), "waits": (0.0003, 0.01), "both": (0.0003, 0.01)}
FIRST_S = (0.002, 0.01, 0.035)  # of a first item unlike the others


def pick(rng: random.Random, weights: Mapping[str, float]) -> str:
    """One of the names, by their weights."""
    (name,) = rng.choices(list(weights), list(weights.values()))
    return name


def rhythm(rng: random.Random, *, heavy: bool, alone: bool) -> tuple[Phase, ...]:
    """The phases of a schedule; their last says how many items there are.

    Args:
        rng: where chance comes from.
        heavy: whether there is so much to do that many workers pay off.
        alone: whether one item runs after the other.
    """
    budget_s = rng.uniform(0.1, 0.4) if heavy else rng.uniform(0.002, 0.025)
    more = 1.0 if alone else WAITING
    form = pick(rng, FORMS)
    if form == "none":
        return ()
    if form == "turns":
        kinds = rng.sample(("instant", "computes", "waits", "both"), rng.randint(2, 3))
        return (_phase(rng, 0, "+".join(kinds), budget_s),)
    phases = [_first(rng)] if form == "first" else []
    number = {"two": 2, "three": 3}.get(form, 1)
    for _ in range(number):
        kind = _other(rng, phases)
        start = phases[-1].upto if phases else 0
        phases.append(_phase(rng, start, kind, budget_s / number * (more if kind == "waits" else 1.0)))
    return tuple(phases)


def _first(rng: random.Random) -> Phase:
    return Phase(1, rng.choice(("computes", "waits", "instant")), rng.choice(FIRST_S))


def _other(rng: random.Random, phases: list[Phase]) -> str:
    """Another kind than that of the phase before."""
    kinds = ["instant", "computes", "waits", "waits", "both"]
    return rng.choice([kind for kind in kinds if not phases or kind != phases[-1].kind])


def _phase(rng: random.Random, start: int, kind: str, budget_s: float) -> Phase:
    """Items of one kind from `start` on, as many as there is time for."""
    if kind == "instant":
        return Phase(start + int(_between(rng, 1, max(2, MOST - start))), kind)
    seconds = round(_between(rng, *SECONDS.get(kind, SECONDS["both"])), 5)
    number = max(1, min(int(budget_s / seconds), MOST_SLOW))
    return Phase(start + (number if rng.random() < 0.9 else min(number, 2)), kind, seconds)


def _between(rng: random.Random, least: float, most: float) -> float:
    """Small numbers as often as large ones."""
    return math.exp(rng.uniform(math.log(least), math.log(most)))
