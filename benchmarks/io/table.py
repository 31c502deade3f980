"""From runs to ratios, geometric means and goals; as text and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import exp, log
from pathlib import Path
from statistics import median

from ..table import write_into
from . import cases
from .services import SERVICES
from .strategies import OURS, PEERS

__all__ = ["best_fixed", "markdown", "text", "typical", "write"]

HEAD = """# Benchmarks of waiting work

`make bench-io` runs all of this and rewrites the tables and the plot on this page. Every run is a fresh
process with compiled bytecode; the clock starts before a strategy's library is imported and stops when all
results are there and the pool is closed. The strategies take turns, round by round. Of the others, what
takes more than a second is run twice at most, and once if it took 1.6 times as long as the quickest.

The services are simulated in the client's process, with real threads and in real time: each call asks a model
how long it takes, and sleeps for so long. `threads`, `joblib`, `gather` (`asyncio.gather` with a semaphore)
and `aiometer` have the number of calls at once in their name, or their default. After a refusal they sleep as
long as `Retry-After` says and try again; autoexec is given `retries=20`. The workloads are those of
[the other page](benchmarks.md); asyncio runs their blocking functions with `asyncio.to_thread`.
"""
CELLS = (
    "Cells: time over that of the best fixed number of threads (of equals, within 2 %, the smallest is "
    "named), in brackets the mean calls under way and the share of calls refused. `>` was not run, or ended, "
    "because it takes more than {timeout:g} s, and counts with its lower bound; `-` failed; * means that "
    "some are missing."
)
GEOMETRIC, WORST, POLITE, REFUSALS, BESIDE = 1.15, 1.35, 32, 0.02, 1.05


def _median(run: dict) -> float:
    return median(run["seconds"])


def _good(run: dict) -> bool:
    return bool(run["seconds"]) and not run["problem"]


def _fixed(ways: dict) -> dict[int, float]:
    """Median seconds of each fixed number of threads that got through."""
    counted = {way: re.fullmatch(r"threads(\d+)", way) for way in ways}
    return {int(found[1]): _median(ways[way]) for way, found in counted.items() if found and _good(ways[way])}


def best_fixed(ways: dict) -> tuple[int, float] | None:
    """The smallest fixed number of threads within 2 % of the best, and the median seconds of the best."""
    fixed = _fixed(ways)
    best = min(fixed.values(), default=0.0)
    return (min(count for count, seconds in fixed.items() if seconds <= 1.02 * best), best) if fixed else None


def _best_peer(ways: dict) -> float | None:
    return min((_median(run) for way, run in ways.items() if way not in OURS and _good(run)), default=None)


def typical(run: dict | None) -> dict:
    """Of the rounds of one strategy, what the service saw in the one of median length; {} without any."""
    seen = [one for one in (run or {}).get("runs", []) if "mean" in one and not one["problem"]]
    return sorted(seen, key=lambda one: one["seconds"])[len(seen) // 2] if seen else {}


def ratio(ways: dict, way: str) -> float | None:
    """Time over that of the best fixed count; a lower bound for what took too long, None for what failed."""
    run, best = ways.get(way), best_fixed(ways)
    if not run or not best or not run["seconds"] or run["problem"] not in ("", "too long"):
        return None
    return _median(run) / best[1]


def _cell(ways: dict, way: str) -> str:
    value = ratio(ways, way)
    if value is None:
        return "n/a" if way in ways and ways[way]["problem"] == "n/a" else "-"
    if ways[way]["problem"]:
        return f">{value:.1f}"
    seen = typical(ways[way])
    if not seen:
        return f"{value:.2f}"
    return f"{value:.2f} ({seen['mean']:.0f}{_percent(seen['refused'])})"


def _percent(share: float) -> str:
    return f"; {share:.1%}" if share else ""


def _geometric(values: list[float]) -> float:
    return exp(sum(map(log, values)) / len(values))


def _strategies(runs: dict) -> list[str]:
    """The columns: all but the fixed counts that were only tried in order to find the best."""
    ran = {way for found in runs["runs"].values() for way in found}
    known = (*PEERS, *OURS)
    others = sorted(way for way in ran.difference(known) if not re.fullmatch(r"threads\d+", way))
    return [*(way for way in known if way in ran), *others]


def _part(runs: dict, names: tuple[str, ...]) -> dict[str, dict]:
    return {name: runs["runs"][name] for name in names if name in runs["runs"]}


def _ratios(runs: dict, names: tuple[str, ...]) -> Iterator[list[str]]:
    """Time over the best fixed count for some of the cases, in cells, the head first."""
    found, columns = _part(runs, names), _strategies(runs)
    if not found:
        return
    yield ["", "", "best fixed", *columns]
    for name, ways in found.items():
        best = best_fixed(ways)
        first = f"{best[0]}: {best[1]:.2f} s" if best else "-"
        yield [name, cases.title(name), first, *(_cell(ways, way) for way in columns)]
    for title, function in (("geometric mean", _geometric), ("the worst", max)):
        cells = []
        for way in columns:
            values = [value for ways in found.values() if (value := ratio(ways, way)) is not None]
            bound = ">" if any(_bound(ways, way) for ways in found.values()) else ""
            star = "" if len(values) == len(found) else "*"
            cells.append(f"{bound}{function(values):.2f}{star}" if values else "-")
        yield ["", title, "", *cells]


def _bound(ways: dict, way: str) -> bool:
    return way in ways and ways[way]["problem"] == "too long"


def _sweep(runs: dict) -> Iterator[list[str]]:
    """Median seconds of every fixed count that was run."""
    fixed = {name: _fixed(ways) for name, ways in runs["runs"].items()}
    counts = sorted({count for found in fixed.values() for count in found})
    if counts:
        yield ["", "", *map(str, counts)]
    for name, found in fixed.items() if counts else ():
        yield [
            name,
            cases.title(name),
            *(f"{found[count]:.2f}" if count in found else "" for count in counts),
        ]


def goals(runs: dict) -> list[str]:
    """How each of our ways stands to what was aimed at."""
    lines = []
    services = _part(runs, tuple(SERVICES))
    for way in OURS:
        ratios = {name: value for name, ways in services.items() if (value := ratio(ways, way))}
        if not ratios:
            continue
        worst = max(ratios, key=lambda name: ratios[name])
        said = [f"geometric mean {_geometric(list(ratios.values())):.2f} of {len(ratios)} (goal {GEOMETRIC})"]
        said.append(f"worst {ratios[worst]:.2f} ({worst}; goal {WORST})")
        if knee := typical(services.get("knee", {}).get(way)):
            said.append(f"mean concurrency at the knee {knee['mean']:.1f} (goal {POLITE})")
        if refusing := typical(services.get("refusing", {}).get(way)):
            said.append(f"refused {refusing['refused']:.2%} (goal {REFUSALS:.0%})")
        lines.append(f"{way}, services: {', '.join(said)}.")
    return lines + _beside(runs)


def _beside(runs: dict) -> list[str]:
    """Ours over the best of all the others, counts of the sweep included."""
    lines = []
    for way in OURS:
        values = [
            _median(ways[way]) / peer
            for ways in runs["runs"].values()
            if way in ways and _good(ways[way]) and (peer := _best_peer(ways))
        ]
        if values:
            mean = _geometric(values)
            lines.append(
                f"{way} over the best of all others, row by row: geometric mean {mean:.2f} of {len(values)} "
                f"(goal {BESIDE})."
            )
    return lines


def _remarks(runs: dict) -> list[str]:
    lines = [
        "{processor}, {cores} cores, {system}, CPython {python}, {date}; medians of up to {rounds} rounds "
        "(load {load_before:.1f} before, {load_after:.1f} after).".format(
            **runs["machine"], rounds=runs["rounds"]
        ),
        CELLS.format(**runs),
    ]
    for name, ways in runs["runs"].items():
        for way, found in ways.items():
            left = max((one.get("left", [0, 0]) for one in found["runs"]), default=[0, 0])
            if way in OURS and any(left):
                lines.append(f"{name}: {way} left {left[0]} threads and {left[1]} processes.")
    return lines


def text(runs: dict) -> str:
    """The tables for a terminal."""
    parts = [_aligned(list(rows)) for rows in _tables(runs)]
    return "\n\n".join([*filter(None, parts), *goals(runs), *_remarks(runs)])


def _tables(runs: dict) -> Iterator[Iterator[list[str]]]:
    yield _ratios(runs, tuple(SERVICES))
    yield _ratios(runs, cases.WAITING)
    yield _sweep(runs)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown(runs: dict) -> list[str]:
    """Services, workloads and sweep as Markdown tables; an empty string for what was not run."""
    return [_piped(list(rows)) for rows in _tables(runs)]


def _piped(rows: list[list[str]]) -> str:
    if not rows:
        return ""
    rules = ["---", "---", *["---:"] * (len(rows[0]) - 2)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rules, *rows[1:]))


def write(runs: dict, page: Path, plot: Path | None) -> None:
    """Put what was run into its place on the page, which is begun if there is none."""
    if not page.exists():
        page.write_text(HEAD, encoding="utf-8")
    services, workloads, sweep = markdown(runs)
    remarks = "\n".join(f"- {line}" for line in (*goals(runs), *_remarks(runs)))
    picture = f"\n\n![concurrency over time, one panel for each service]({plot.name})" if plot else ""
    content = {
        "services": f"## Services\n\n{services}{picture}" if services else "",
        "workloads": f"## Workloads\n\n{workloads}" if workloads else "",
        "sweep": f"## Fixed numbers of threads, seconds\n\n{sweep}" if sweep else "",
        "remarks": f"## Remarks\n\n{remarks}",
    }
    for part, written in content.items():
        if written:
            write_into(page, part, written)
