"""Cold start: a script that has imported numpy, until two workers have given results; and ten maps."""

from __future__ import annotations

import argparse
import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from .. import run as harness
from ..io.table import _aligned, _piped
from . import table

__all__ = ["WAYS", "add_arguments", "main", "measure"]

START_METHODS = ("fork", "forkserver", "spawn")
KEPT = tuple(f"{method}_kept" for method in START_METHODS)  # one pool for all the maps
OURS, JOBLIB = "autoexec", "joblib"
WAYS = (*START_METHODS, *KEPT, JOBLIB, OURS)
MAPS = 10
TIMEOUT_S = 60.0
FIELDS = {
    "first": "first result, ms",
    "both": "two workers, ms",
    "map": "one map, ms",
    "maps": "ten maps, ms",
    "script": "the script, ms",
}
BESIDE_EXECUTOR, BESIDE_JOBLIB = 1.0, 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cold`."""
    parser.add_argument("--strategies", metavar="A,B", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table into this page")


def main(options: argparse.Namespace) -> int:
    """Measure and show."""
    found = measure(harness._chosen(options.strategies, dict.fromkeys(WAYS)), options.rounds)
    rows, remarks = list(_rows(found)), [*map(str, _goals(found)), _remark(options.rounds)]
    print(_aligned(rows), *remarks, sep="\n")
    if options.markdown:
        lines = "\n".join(f"- {line}" for line in remarks)
        table.put(options.markdown, "cold", f"## Cold start\n\n{_piped(rows)}\n\n{lines}")
    return 0


def measure(ways: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each way, in interleaved rounds of fresh interpreters."""
    harness.bytecode()
    seen: dict[str, list[dict[str, float]]] = {
        way: [] for way in ways if find_spec(way.partition("_")[0]) or way not in (JOBLIB, OURS)
    }
    with TemporaryDirectory(prefix="benchmarks-cold-") as folder:
        for number in range(rounds):
            for way in harness._turned(list(seen), number):
                seen[way].append(_once(way, folder))
    return {way: {field: _median(runs, field) for field in FIELDS} for way, runs in seen.items()}


def _median(runs: list[dict[str, float]], field: str) -> float:
    """Of the rounds that saw it: a second worker may come too late for any item."""
    return median([run[field] for run in runs if not math.isnan(run[field])] or [math.nan])


def _once(way: str, folder: str) -> dict[str, float]:
    """One run of the script, in milliseconds."""
    command = [sys.executable, str(Path(__file__).with_name("script.py")), way, str(MAPS)]
    start = perf_counter()
    output, errors, status = harness._ended(command, folder, TIMEOUT_S)
    script = perf_counter() - start
    if status or not output:
        why = (
            "it did not end" if status is None else (errors.strip().splitlines() or [f"status {status}"])[-1]
        )
        raise SystemExit(f"{way} failed: {why}")
    return {field: seconds * 1e3 for field, seconds in {**json.loads(output), "script": script}.items()}


def _rows(found: dict[str, dict[str, float]]) -> list[list[str]]:
    rows = [["", "", *FIELDS.values()]]
    for way, values in found.items():
        cells = ["-" if math.isnan(values[field]) else f"{values[field]:.0f}" for field in FIELDS]
        rows.append([way, _title(way), *cells])
    return rows


def _title(way: str) -> str:
    if way in KEPT:
        return "ProcessPoolExecutor, one for all maps"
    return {JOBLIB: "joblib.Parallel", OURS: "autoexec.map(backend='processes')"}.get(
        way, "ProcessPoolExecutor"
    )


def _goals(found: dict[str, dict[str, float]]) -> list[table.Goal]:
    """Ours over the fastest start method and over joblib; what never saw a second worker is not compared."""
    goals = []
    for field in ("first", "both", "maps"):
        values = {way: one[field] for way, one in found.items() if not math.isnan(one[field])}
        for title, names, limit in (
            ("the fastest ProcessPoolExecutor", START_METHODS, BESIDE_EXECUTOR),
            ("joblib", (JOBLIB,), BESIDE_JOBLIB),
        ):
            if value := table.ratio(values, names):
                goals.append(table.Goal(f"{FIELDS[field].removesuffix(', ms')}, over {title}", value, limit))
    return goals


def _remark(rounds: int) -> str:
    return (
        f"Medians of {rounds} rounds of fresh scripts; the clock starts behind `import numpy`. Two workers: "
        "when the second of them had finished an item, if it did. Without `_kept` each of the ten maps has a "
        "pool of its own; joblib and autoexec keep their workers by themselves. The script: from the start "
        "of its interpreter to its end."
    )
