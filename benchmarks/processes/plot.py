"""The chart of the other page for these runs: time over the best, by case and strategy."""

from __future__ import annotations

from pathlib import Path

from .. import plot
from .strategies import HAND, OURS

__all__ = ["draw"]


def draw(runs: dict, file: Path) -> None:
    """Draw it into an .svg or .png file; of ours, the one that chooses by itself."""
    left_out = (*OURS[1:], HAND)
    kept = {
        name: {way: run for way, run in ways.items() if way not in left_out}
        for name, ways in runs["runs"].items()
    }
    plot.draw({**runs, "runs": kept}, file)
