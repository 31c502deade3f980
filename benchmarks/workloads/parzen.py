"""W3: Parzen-window density for many window widths, in loops of pure Python."""

from __future__ import annotations

from random import Random

from . import Place

WIDTHS = 100
CENTRES = [(k - 8) / 8 for k in range(17)]
_random = Random(3)
POINTS = [(_random.gauss(0, 1), _random.gauss(0, 1), _random.gauss(0, 1)) for _ in range(10_000)]


def density(width: float) -> tuple[float, float]:
    """The share of points in a cube of this width around some centres, over its volume."""
    inside = 0
    for centre in CENTRES:
        for point in POINTS:
            for coordinate in point:
                if abs(coordinate - centre) / width > 0.5:
                    break
            else:
                inside += 1
    return width, inside / (len(CENTRES) * len(POINTS)) / width**3


def items(name: str, place: Place) -> list[float]:
    """Widths from 0.3 up to 3."""
    return [0.3 + 2.7 * k / WIDTHS for k in range(place.scaled(WIDTHS))]
