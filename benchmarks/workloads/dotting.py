"""W8: matrix products by a BLAS that already uses every core."""

from __future__ import annotations

import numpy as np

from . import Place

ITEMS = 32
_random = np.random.default_rng(8)
LEFT, RIGHT = _random.random((1000, 1000)), _random.random((1000, 1000))


def dot(number: int) -> float:
    """A few products of two matrices of a thousand rows."""
    for _ in range(2):
        product = np.dot(LEFT, RIGHT)
    return float(product[number, number])


def items(name: str, place: Place) -> range:
    """Places on the diagonal."""
    return range(place.scaled(ITEMS))


def tidy(results: list[float]) -> list[str]:
    """Rounded, because the order of a sum depends on the number of BLAS threads."""
    return [f"{result:.8g}" for result in results]
