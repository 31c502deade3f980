"""`captured`: items that each read a part of one large array, which the function holds."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..workloads import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = 25_000_000  # of eight bytes: 200 MB
PARTS = 40
ARRAY = np.empty(0)


def reduce_part(array: np.ndarray, part: int) -> tuple[float, float]:
    """The mean of one part, and two sums over every other value of it with a Python `if` for each."""
    length = len(array) // PARTS
    values = array[part * length : (part + 1) * length]
    sampled, total = values[::2].tolist(), 0.0
    for limit in (0.25, 0.75):
        for value in sampled:
            if value > limit:
                total += value * value
            else:
                total -= value
    return float(values.mean()), total


def reduce_part_of_global(part: int) -> tuple[float, float]:
    """The same for the array of this module: forked workers have it already."""
    return reduce_part(ARRAY, part)


def holding(place: Place, capture: str) -> Callable[[int], tuple[float, float]]:
    """The function with its array: captured by a closure, as an argument of a partial, or as a global."""
    global ARRAY
    array = np.random.default_rng(7).random(place.scaled(VALUES))
    if capture == "global":
        ARRAY = array
        return reduce_part_of_global
    if capture == "argument":
        return partial(reduce_part, array)

    def reduce_captured(part: int) -> tuple[float, float]:
        return reduce_part(array, part)

    return reduce_captured


def items(name: str, place: Place) -> range:
    """Numbers of parts; a smaller place has smaller parts."""
    return range(PARTS)
