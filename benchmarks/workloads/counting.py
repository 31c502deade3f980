"""W9: a counting loop."""

from __future__ import annotations

from . import Place

ITEMS = 8
STEPS = 7_000_000


def count(steps: int) -> int:
    """Count down, one by one."""
    done = 0
    while done < steps:
        done += 1
    return done


def items(name: str, place: Place) -> list[int]:
    """Eight loops of nearly equal length."""
    return [place.scaled(STEPS + 1000 * k) for k in range(ITEMS)]
