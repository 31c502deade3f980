"""`results`: a little computing in pure Python for each result of 2 MB."""

from __future__ import annotations

import numpy as np

from ..workloads import Place

ITEMS = 120
STEPS = 150_000
VALUES = 250_000  # of eight bytes: 2 MB


def compute(seed: int) -> np.ndarray:
    """An array that depends on a long chain of small steps."""
    state = seed
    for _ in range(STEPS):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return np.arange(VALUES, dtype=np.float64) + state


def items(name: str, place: Place) -> range:
    """Seeds."""
    return range(place.scaled(ITEMS))
