"""W7: additions of large arrays, which release the GIL and are held back by memory bandwidth."""

from __future__ import annotations

import numpy as np

from . import Place

ITEMS = 40
REPEATS = 34
LEFT = np.arange(2_000_000, dtype=np.float64)
RIGHT = np.linspace(0, 1, 2_000_000)


def add(offset: int) -> float:
    """Add two large arrays a few times over."""
    for _ in range(REPEATS):
        total = LEFT + RIGHT
    return float(total[offset]) + offset


def items(name: str, place: Place) -> range:
    """Offsets."""
    return range(place.scaled(ITEMS))
