"""W10: which of 5000 points lie inside a polygon, with matplotlib."""

from __future__ import annotations

import numpy as np
from matplotlib.path import Path

from . import Place

ITEMS = 300
VERTICES = 640
POINTS = np.random.default_rng(10).random((5000, 2))


def inside(spikes: int) -> int:
    """How many of the points a star with this many spikes contains."""
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    radius = 0.35 + 0.1 * np.sin(spikes * angle)
    star = Path(0.5 + np.column_stack((radius * np.cos(angle), radius * np.sin(angle))))
    return int(star.contains_points(POINTS).sum())


def items(name: str, place: Place) -> range:
    """Numbers of spikes."""
    return range(place.scaled(ITEMS))
