"""From runs to medians, ratios and goals; as text and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median

from ..io.table import _aligned, _geometric, _piped
from ..table import _cell, _counts, _median, write_into
from . import strategies
from .cases import CASES
from .strategies import HAND, OURS, PEERS, STRATEGIES

__all__ = ["HEAD", "Goal", "best", "goals", "put", "ratio", "seconds", "text", "weights", "write"]

HEAD = """# Benchmarks of processes

`make bench-processes` runs all of this and rewrites the tables and the plot on this page. Every run is a
fresh process with compiled bytecode; the clock starts before a strategy's library is imported and stops
when all results are there and the pool is closed, kept workers of joblib and autoexec included. The
strategies take turns, round by round; a peer that took 1.6 times as long as the quickest is not run again.
Results are compared with those of the plain loop by a digest.

`fork`, `forkserver` and `spawn` are `ProcessPoolExecutor` with that start method, one item at a time (1) or
in eight chunks for each worker (8); `mp_pool` is `multiprocessing.Pool.map`, `joblib_loky`, `mpire` and
`pebble` are used as they come. `autoexec` chooses by itself, which may be threads; `autoexec_processes` is
told `backend="processes"`. The first six rows are those of [the other page](benchmarks.md). `captured`
reads parts of an array of 200 MB: forked workers find it in a global, `mpire`, joblib and autoexec get a
closure (which joblib memmaps), the others a `functools.partial` (plain pickle takes no closure). `results`
returns arrays of 2 MB. `zipf` has durations of a Zipf distribution, and one item of 60 times their median
at the end of the list. `fetch_parse` waits 40 ms and then uses 15 ms of CPU under the GIL, 160 times; `2x8`
is two processes of eight threads, written by hand.

Memory is the sum of the proportional set sizes of the whole process tree, looked at from outside every
20 ms, in runs of their own.

`cold` times a script that has imported numpy, until its first results. `faults` lets another process kill a
worker at random every 200 ms during a run of 10,000 items; each item writes into a log when it begins and
when it ends, so that every `WorkerDied` can be compared with what the killed worker really held. `leaks` runs
500 maps in one process: small integers, arrays as items and as results, errors, early closes, dying workers.
Both end with status 1 if something that they claim does not hold (`--pool pebble` disturbs a
`pebble.ProcessPool` in the same way).
"""
# The largest ratio that is good, for each goal.
MEAN, WORST, PHOTOGRAPHS, WEIGHT = 1.00, 1.15, 0.90, 1.00
BY_THREADS, BY_PROCESSES, BY_HAND = 0.62, 0.95, 1.10
INHERITED, PICKLED = 1.00, 0.50


class Goal:
    """A ratio that was found beside the largest that is good."""

    def __init__(self, title: str, found: float, limit: float) -> None:
        self.title, self.found, self.limit = title, found, limit

    def __str__(self) -> str:
        word = "met" if self.found <= self.limit else "missed"
        return f"{self.title}: {self.found:.2f} (goal {self.limit:.2f}: {word})"


def seconds(ways: dict) -> dict[str, float]:
    """Median seconds of the strategies that got through; a hang counts with the timeout."""
    return {way: _median(run) for way, run in ways.items() if _counts(run)}


def weights(ways: dict) -> dict[str, float]:
    """Median peak bytes of the strategies that got through."""
    found = {way: [one["pss"] for one in run["runs"] if "pss" in one] for way, run in ways.items()}
    return {way: median(found[way]) for way in found if found[way] and not ways[way]["problem"]}


def best(values: dict[str, float], names: Iterable[str]) -> str:
    """Which of the names has the smallest value, "" if none has one."""
    there = [name for name in names if name in values]
    return min(there, key=values.__getitem__, default="")


def ratio(values: dict[str, float], names: Iterable[str], way: str = OURS[0]) -> float | None:
    """One of ours over the best of the names; None if there is nothing to compare."""
    other = best(values, names)
    return values[way] / values[other] if other and way in values else None


def _others(values: dict[str, float]) -> list[str]:
    """All that stand beside ours in a row: what is written by hand for one case is a mark, not a peer."""
    return [way for way in values if way not in (*OURS, HAND)]


def _pools(values: dict[str, float]) -> list[str]:
    """The same without the plain loop, whose memory no pool can have."""
    return [way for way in _others(values) if way != "serial"]


# Goals ------------------------------------------------------------------------------------------------------


def goals(runs: dict) -> list[Goal]:
    """How autoexec stands to what was aimed at, for all that was run."""
    times = {name: seconds(ways) for name, ways in runs["runs"].items()}
    found = [Goal(title, value, limit) for title, value, limit in _all(times) if value is not None]
    for name, ways in runs["memory"].items():
        values = weights(ways)
        if value := ratio(values, _pools(values)):
            found.append(Goal(f"{name}: peak memory over that of the best pool", value, WEIGHT))
    return found


def _all(times: dict[str, dict[str, float]]) -> Iterator[tuple[str, float | None, float]]:
    rows = [value for values in times.values() if (value := ratio(values, _others(values)))]
    if rows:
        yield (
            f"time over the best of all others, geometric mean of {len(rows)}",
            _geometric(rows),
            MEAN,
        )
        yield "the worst of them", max(rows), WORST
    fetching, captured = times.get("fetch_parse", {}), times.get("captured", {})
    photographs = times.get("W12", {})
    yield "fetch_parse over the best count of threads", ratio(fetching, strategies.SWEPT_THREADS), BY_THREADS
    swept = ratio(fetching, strategies.SWEPT_PROCESSES)
    yield "fetch_parse over the best count of processes", swept, BY_PROCESSES
    yield "fetch_parse over two processes of eight threads", ratio(fetching, [HAND]), BY_HAND
    yield "W12 over the best pool", ratio(photographs, _pools(photographs)), PHOTOGRAPHS
    yield "captured over the best fork", ratio(captured, strategies.FORKED), INHERITED
    yield "captured over the best of those that send it", ratio(captured, strategies.PICKLING), PICKLED


# Tables -----------------------------------------------------------------------------------------------------


def _speed(runs: dict) -> Iterator[list[str]]:
    """Median seconds in cells, the head first."""
    columns = _columns(runs["runs"], ("serial", *PEERS, *OURS))
    if not runs["runs"]:
        return
    yield ["", "", *columns, "best of the others", *(f"{way} / best" for way in OURS)]
    ratios: dict[str, list[float]] = {way: [] for way in OURS}
    for name, ways in runs["runs"].items():
        values = seconds(ways)
        other, ends = best(values, _others(values)), []
        for way in OURS:
            value = ratio(values, _others(values), way)
            ratios[way] += [value] if value else []
            ends.append(f"{value:.2f}" if value else "-")
        cells = [_cell(ways.get(way)) for way in columns]
        yield [name, CASES[name].title, *cells, f"{other} {values[other]:.3f}" if other else "-", *ends]
    yield from _summary(ratios, len(columns))


def _summary(ratios: dict[str, list[float]], width: int) -> Iterator[list[str]]:
    rows: tuple[tuple[str, Callable[[list[float]], float]], ...] = (
        ("geometric mean", _geometric),
        ("the worst", max),
    )
    for title, function in rows:
        cells = [f"{function(values):.2f}" if values else "-" for values in ratios.values()]
        yield ["", title, *[""] * (width + 1), *cells]


def _columns(found: dict, known: Iterable[str]) -> list[str]:
    ran = {way for ways in found.values() for way in ways}
    return [way for way in known if way in ran]


def _extra(runs: dict) -> Iterator[list[str]]:
    """What only one case is run by: median seconds, and ours over them."""
    rows = []
    for name, ways in runs["runs"].items():
        values = seconds(ways)
        extra = [way for way in STRATEGIES if way in ways and way not in ("serial", *PEERS, *OURS)]
        for way in extra:
            value = ratio(values, [way])
            rows.append([name, way, _cell(ways[way]), f"{value:.2f}" if value else "-"])
    if rows:
        yield ["", "", "seconds", "autoexec over it"]
        yield from rows


def _memory(runs: dict) -> Iterator[list[str]]:
    """Median peak megabytes in cells, the head first."""
    if not runs["memory"]:
        return
    columns = _columns(runs["memory"], STRATEGIES)
    yield ["", "", *columns, "best pool", *(f"{way} / best" for way in OURS)]
    for name, ways in runs["memory"].items():
        values = weights(ways)
        cells = [f"{values[way] / 1e6:.0f}" if way in values else "-" for way in columns]
        ends = [ratio(values, _pools(values), way) for way in OURS]
        shown = (f"{value:.2f}" if value else "-" for value in ends)
        yield [name, CASES[name].title, *cells, best(values, _pools(values)) or "-", *shown]


def _remarks(runs: dict) -> list[str]:
    line = (
        "{processor}, {cores} cores, {system}, CPython {python}, {date}; medians of up to "
        "{rounds} rounds, each run a fresh process, cold start included (load {load_before:.1f} before, "
        "{load_after:.1f} after)."
    )
    lines = [line.format(**runs["machine"], rounds=runs["rounds"])]
    for name, ways in runs["runs"].items():
        for way in OURS:
            threads, children = ways.get(way, {}).get("left", (0, 0))
            if threads or children:
                lines.append(f"{name}: {way} left {threads} threads and {children} processes.")
    return lines


def _tables(runs: dict) -> dict[str, list[list[str]]]:
    return {
        "Seconds": list(_speed(runs)),
        "Seconds of what one case alone is run by": list(_extra(runs)),
        "Peak memory of the process tree, MB": list(_memory(runs)),
    }


def text(runs: dict) -> str:
    """The tables for a terminal."""
    parts = [f"{title}\n{_aligned(rows)}" for title, rows in _tables(runs).items() if rows]
    return "\n\n".join([*parts, "\n".join(map(str, goals(runs))), *_remarks(runs)])


def write(runs: dict, page: Path, plot: Path | None) -> None:
    """Put what was run into its place on the page."""
    names = ("speed", "extra", "memory")
    for name, (title, rows) in zip(names, _tables(runs).items(), strict=True):
        picture = f"\n\n![time over the best of the others]({plot.name})" if plot and name == "speed" else ""
        if rows:
            put(page, name, f"## {title}\n\n{_piped(rows)}{picture}")
    lines = "\n".join(f"- {line}" for line in (*goals(runs), *_remarks(runs)))
    put(page, "goals", f"## Goals\n\n{lines}")


def put(page: Path, part: str, content: str) -> None:
    """Put one part into its place on the page, which is begun if there is none."""
    if not page.exists():
        page.write_text(HEAD, encoding="utf-8")
    write_into(page, part, content)
