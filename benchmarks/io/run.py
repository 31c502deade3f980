"""Run every service and workload by every strategy, each run in a fresh process, in interleaved rounds.

`python -m benchmarks.io --only knee,constant --rounds 1 --counts 16,32,64`
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import run as harness
from ..server import serving
from ..workloads import WORKLOADS, Place
from . import cases, strategies, table

__all__ = ["main", "measure", "one_run"]

# A long run of the others hardly varies: it is made twice at most, once if it took FAR times the quickest.
LONG_S, TWICE, FAR = 1.0, 2, 1.6
MARGIN_S = 3.0  # for the interpreter and the setup, which are not timed


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, or load, and show."""
    options = _parser().parse_args(arguments)
    runs = json.loads(options.load.read_text()) if options.load else measure(options)
    print(table.text(runs))
    if options.json:
        options.json.write_text(json.dumps(runs))
    if options.plot:
        from . import plot

        plot.draw(runs, options.plot)
    if options.markdown:
        table.write(runs, options.markdown, options.plot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.io", description=__doc__)
    parser.add_argument("--only", metavar="A,B", help=f"of {', '.join(cases.CASES)}")
    parser.add_argument(
        "--strategies", metavar="A,B", help="these alone, such as threads64,gather32,autoexec"
    )
    parser.add_argument("--counts", metavar="8,16", help="fixed counts, the same for every service")
    parser.add_argument("--all-counts", action="store_true", help="1, 2, 4 ... 256 for every service")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=10, help="seconds after which a run is ended")
    parser.add_argument("--size", type=float, default=1.0, help="scale of the work; 1 is three seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the runs here")
    parser.add_argument("--load", type=Path, metavar="FILE", help="show the runs of this file, run nothing")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw concurrency over time, .svg or .png")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables into this page")
    return parser


def measure(options: argparse.Namespace) -> dict:
    """All runs, by case and strategy."""
    names = harness._chosen(options.only, dict.fromkeys(cases.CASES))
    harness.bytecode()
    runs: dict = {"machine": harness._machine(), "timeout": options.timeout, "runs": {}}
    runs |= {"rounds": options.rounds, "size": options.size}
    with TemporaryDirectory(prefix="benchmarks-io-") as folder, serving() as url:
        place = Place(folder, url, options.size)
        for name in names:
            if _ready(name, place):
                runs["runs"][name] = _rounds(name, _ways(name, options), place, options)
    runs["machine"]["load_after"] = harness._load()
    return runs


def _ready(name: str, place: Place) -> bool:
    """Prepare a workload's data; False if it lacks a package."""
    if name not in WORKLOADS:
        return True
    if lacking := WORKLOADS[name].missing():
        print(f"{name}: skipped, needs {', '.join(lacking)}")
        return False
    WORKLOADS[name].prepare(place)
    return True


def _ways(name: str, options: argparse.Namespace) -> list[str]:
    """The strategies for one case: fixed counts, peers, ours; each once."""
    if options.strategies:
        ways = options.strategies.split(",")
    else:
        if options.all_counts:
            counts = cases.EVERY_COUNT
        elif options.counts:
            counts = tuple(map(int, options.counts.split(",")))
        else:
            counts = cases.counts(name)
        ways = [*(f"threads{count}" for count in counts), *strategies.PEERS, *strategies.OURS]
    return [way for way in dict.fromkeys(ways) if not strategies.missing(way)]


def _rounds(name: str, ways: list[str], place: Place, options: argparse.Namespace) -> dict:
    """All runs of one case; what failed, or was far from the quickest, is not run again."""
    found: dict = {way: {"seconds": [], "problem": "", "runs": []} for way in ways}
    answer, lower = cases.expected(name, place.size), {}
    for way in ways:
        lower[way] = cases.at_least_s(name, strategies.at_once(way), place.size)
        if lower[way] > options.timeout:
            found[way] |= {"seconds": [lower[way]], "problem": "too long"}
    for number in range(options.rounds):
        shift = number % len(ways)
        for way in ways[shift:] + ways[:shift]:
            if found[way]["problem"] or _settled(way, found):
                continue
            run = one_run(name, way, place, options.timeout)
            answer = answer or run.get("digest")
            if not run["problem"] and run["digest"] != answer:
                run["problem"] = f"wrong answer {run['digest']}"
            if run["problem"] == "too long":
                run["seconds"] = max(options.timeout, lower[way])
            found[way]["seconds"].append(run["seconds"])
            found[way]["problem"] = run["problem"]
            found[way]["runs"].append(run)
            _progress(name, number, way, run)
    return found


def _settled(way: str, found: dict) -> bool:
    """Whether another round of this strategy would tell nothing."""
    mine = found[way]["seconds"]
    if way in strategies.OURS or not mine or min(mine) < LONG_S:
        return False
    good = [min(run["seconds"]) for run in found.values() if run["seconds"] and not run["problem"]]
    return len(mine) >= TWICE or min(mine) > FAR * min(good)


def one_run(name: str, way: str, place: Place, timeout: float) -> dict:
    """One run in a fresh process: what its child says, or its problem."""
    command = [sys.executable, str(Path(__file__).with_name("child.py")), name, way]
    command += [place.folder, place.url, str(place.size)]
    output, errors, status = harness._ended(command, place.folder, timeout + MARGIN_S)
    if status is None:
        return {"seconds": timeout, "problem": "too long"}
    if status or not output:
        return {"seconds": timeout, "problem": "failed", "detail": errors.strip()[-2000:]}
    return json.loads(output.splitlines()[-1])


def _progress(name: str, number: int, way: str, run: dict) -> None:
    detail = run.get("detail", "").splitlines()
    seen = (
        f"mean {run['mean']:5.1f}  max {run['max']:3}  refused {run['refused']:.1%}" if "mean" in run else ""
    )
    remark = f"{seen}  {run['problem']} {detail[-1] if detail else ''}".rstrip()
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"  {name:10}round {number + 1}  {way:15}{run['seconds']:7.3f} s  {load}  {remark}", flush=True)
