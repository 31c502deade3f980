"""Concurrency over time under autoexec: one panel for each service, the best fixed count as a line."""

from __future__ import annotations

from pathlib import Path

from .services import SERVICES
from .strategies import OURS
from .table import best_fixed, typical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

COLUMNS = 4
COLOURS = dict(zip(OURS, ("C0", "C1"), strict=True))


def draw(runs: dict, file: Path) -> None:
    """Draw the round of median length into an .svg or .png file."""
    names = [name for name in SERVICES if name in runs["runs"]]
    if not names:
        return
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no plot")
        return
    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 8}
    import matplotlib.pyplot as plt

    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.6 * columns, 2.0 * rows + 0.3), layout="constrained", squeeze=False
    )
    for axes, name in zip(grid.flat, names, strict=False):
        _panel(axes, name, runs["runs"][name])
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel("seconds since the first call")
    figure.supylabel("calls under way")
    figure.legend(*_legend(grid.flat[: len(names)]), loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def _panel(axes: Axes, name: str, ways: dict) -> None:
    if best := best_fixed(ways):
        axes.axhline(best[0], color="0.6", linewidth=1, linestyle="--", label="best fixed count")
        axes.plot([best[1]], [best[0]], marker="|", markersize=9, color="0.4")
    for way, colour in COLOURS.items():
        if seen := typical(ways.get(way)):
            step = seen["span"] / len(seen["timeline"])
            times = [step * (at + 0.5) for at in range(len(seen["timeline"]))]
            axes.plot(times, seen["timeline"], color=colour, linewidth=1, label=way)
    axes.set_title(f"{name}: {SERVICES[name].title}", fontsize=7)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)


def _legend(panels: list[Axes]) -> tuple[list, list[str]]:
    found: dict = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
