"""`zipf`: durations of a Zipf distribution, and one of 60 times their median, last in the list."""

from __future__ import annotations

from random import Random
from statistics import median

from ..workloads import Place
from ..workloads.counting import count

__all__ = ["count", "items"]

ITEMS = 280
STEPS = 14_000  # half a millisecond
RANKS = range(1, 101)
EXPONENT = 1.2
LAST = 60


def items(name: str, place: Place) -> list[int]:
    """Steps to count."""
    weights = [rank**-EXPONENT for rank in RANKS]
    ranks = Random(14).choices(RANKS, weights, k=place.scaled(ITEMS))
    return [STEPS * rank for rank in (*ranks, LAST * round(median(ranks)))]
