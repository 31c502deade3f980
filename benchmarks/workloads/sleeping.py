"""W4 and W15: waiting, in unequal lengths and in many short pieces."""

from __future__ import annotations

import time
from math import sqrt

from . import Place

LONGEST = 0.25


def nap(seconds: float) -> float:
    """Sleep, and say how long."""
    time.sleep(seconds)
    return seconds


def nap_and_roots(number: int) -> float:
    """Sleep 7 ms, then two square roots."""
    time.sleep(0.007)
    return sqrt(number) + sqrt(number + 1)


def items(name: str, place: Place) -> list[float] | range:
    """16 lengths in a mixed order for W4, 300 numbers for W15."""
    if name == "W15":
        return range(place.scaled(300))
    return [LONGEST * place.size * ((7 * k) % 16 + 1) / 16 for k in range(16)]
