"""W14: a function so small that nothing pays but the plain loop."""

from __future__ import annotations

from . import Place

MANY = 8_000_000
FEW = 160_000


def cube(x: int) -> int:
    """The third power."""
    return x * x * x


def items(name: str, place: Place) -> range:
    """Eight million integers for W14; for W14s as many as take 16 ms."""
    return range(place.scaled(MANY if name == "W14" else FEW))
