"""A chart of the runs: one cell per workload and strategy, coloured by its time over the best time."""

from __future__ import annotations

from math import log10, nan
from pathlib import Path

from .table import ratios

__all__ = ["draw"]

WORST = 10


def draw(runs: dict, file: Path) -> None:
    """Draw time over best time, logarithmic colours from 1 to 10, into an .svg or .png file."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no chart")
        return
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "benchmarks"
    import matplotlib.pyplot as plt

    relative = ratios(runs)
    names = list(relative)
    ways = list(dict.fromkeys(way for row in relative.values() for way in row))
    cells = [[relative[name].get(way, nan) for name in names] for way in ways]
    figure, axes = plt.subplots(
        figsize=(1.5 + 0.62 * len(names), 1.2 + 0.42 * len(ways)), layout="constrained"
    )
    colours = [[log10(min(max(cell, 1), WORST)) if cell == cell else nan for cell in row] for row in cells]
    axes.imshow(colours, cmap="RdYlGn_r", vmin=0, vmax=log10(WORST), aspect="auto")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(ways)), ways)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            axes.text(x, y, _label(cell), ha="center", va="center", fontsize=8)
    axes.set_title("Time over the best of the others", fontsize=10)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def _label(cell: float) -> str:
    if cell != cell:
        return "-"
    return f"{cell:.2f}" if cell < WORST else f"{cell:.0f}"
