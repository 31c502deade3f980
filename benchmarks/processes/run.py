"""Run every case by every strategy, each run in a fresh process, in interleaved rounds; then weigh some.

`python -m benchmarks.processes --only W3,captured --strategies serial,fork8,autoexec --rounds 3`
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from .. import run as harness
from ..workloads import Place
from . import cases, strategies, table

__all__ = ["add_arguments", "main", "measure", "once", "weighed"]

FAR = 1.6  # a peer that took so many times as long as the quickest is not run again
ROUNDS_OF_WEIGHING = 3

Once = Callable[[str, str, Place, float], dict]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `run`."""
    parser.add_argument("--only", metavar="A,B", help=f"of {', '.join(cases.CASES)}")
    parser.add_argument("--strategies", metavar="A,B", help=f"of {', '.join(strategies.STRATEGIES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=60, help="seconds after which a run is a hang")
    parser.add_argument("--size", "--scale", type=float, default=1.0, help="scale of the work")
    parser.add_argument("--every-round", action="store_true", help=f"also of what takes {FAR} times the best")
    parser.add_argument("--no-memory", action="store_true", help="time alone")
    parser.add_argument("--no-time", action="store_true", help="memory alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the runs here")
    parser.add_argument("--load", type=Path, metavar="FILE", help="show the runs of this file, run nothing")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a chart, .svg or .png")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables into this page")


def main(options: argparse.Namespace) -> int:
    """Run, or load, and show."""
    runs = json.loads(options.load.read_text()) if options.load else measure(options)
    print(table.text(runs))
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1))
    if options.plot:
        from .plot import draw

        draw(runs, options.plot)
    if options.markdown:
        table.write(runs, options.markdown, options.plot)
    return 0


def measure(options: argparse.Namespace) -> dict:
    """All runs: seconds by case and strategy, and bytes for the cases that are weighed."""
    names = [name for name in harness._chosen(options.only, cases.CASES) if _ready(name)]
    chosen = harness._chosen(options.strategies, strategies.STRATEGIES) if options.strategies else None
    harness.bytecode()
    runs: dict = {"machine": harness._machine(), "rounds": options.rounds, "timeout": options.timeout}
    runs |= {"size": options.size, "runs": {}, "memory": {}}
    with TemporaryDirectory(prefix="benchmarks-processes-") as folder:
        place = Place(folder, "", options.size)
        for name in names:
            cases.CASES[name].prepare(place)
            ways = _ways(name, chosen)
            if not options.no_time:
                runs["runs"][name] = _rounds(name, ways, place, options, once)
            if name in cases.WEIGHED and not options.no_memory:
                runs["memory"][name] = _rounds(name, ways, place, options, weighed)
    runs["machine"]["load_after"] = harness._load()
    return runs


def _ready(name: str) -> bool:
    if lacking := cases.CASES[name].missing():
        print(f"{name}: skipped, needs {', '.join(lacking)}")
    return not lacking


def _ways(name: str, chosen: list[str] | None) -> list[str]:
    """The strategies of one case, serial first: it gives the right answer."""
    known = strategies.ways(name)
    return [way for way in known if chosen is None or way in chosen or way == "serial"]


def _rounds(name: str, ways: list[str], place: Place, options: argparse.Namespace, once: Once) -> dict:
    """All runs of one case; what hung, failed, was wrong or far from the best is not run again."""
    found: dict = {way: {"seconds": [], "problem": "", "runs": []} for way in ways}
    answer, weighing = "", once is weighed
    for number in range(min(options.rounds, ROUNDS_OF_WEIGHING) if weighing else options.rounds):
        for way in harness._turned(ways, number):
            if found[way]["problem"] or (not options.every_round and _settled(way, found)):
                continue
            run = once(name, way, place, options.timeout)
            answer = answer or run.get("digest", "")
            if "digest" in run and run["digest"] != answer:
                run["problem"] = "wrong answer"
            _keep(found[way], run)
            harness._progress(f"{name:12}", number, way, run)
    return found


def _keep(found: dict, run: dict) -> None:
    found["seconds"].append(run["seconds"])
    found["problem"] = run.get("problem", "")
    found["detail"] = run.get("detail", "")
    found["left"] = max(found.get("left", [0, 0]), run.get("left", [0, 0]))
    found["runs"].append({key: run[key] for key in ("pss", "shared") if key in run})


def _settled(way: str, found: dict) -> bool:
    """Whether another round of this strategy would tell nothing."""
    if way in strategies.OURS or not found[way]["seconds"]:
        return False
    return min(found[way]["seconds"]) > FAR * min(_medians(found), default=float("inf"))


def _medians(found: dict) -> Iterator[float]:
    return (median(run["seconds"]) for run in found.values() if run["seconds"] and not run["problem"])


def once(name: str, way: str, place: Place, timeout: float) -> dict:
    """One run in a fresh process: its seconds and digest, or its problem."""
    return _said(_command(name, way, place), place, timeout)[0]


def weighed(name: str, way: str, place: Place, timeout: float) -> dict:
    """The same with the peak memory of its process tree, in bytes."""
    sampler = [sys.executable, str(Path(__file__).with_name("sampling.py"))]
    run, *peak = _said([*sampler, *_command(name, way, place)], place, timeout)
    run |= peak[0] if peak else {}
    if "pss" in run:
        run["detail"] = f"{run['pss'] / 1e6:.0f} MB, shared {run['shared'] / 1e6:.0f} MB"
    return run


def _command(name: str, way: str, place: Place) -> list[str]:
    child = str(Path(__file__).with_name("child.py"))
    return [sys.executable, child, name, way, place.folder, place.url, str(place.size)]


def _said(command: list[str], place: Place, timeout: float) -> list[dict]:
    """The lines of JSON that a command prints, or one that tells its problem."""
    output, errors, status = harness._ended(command, place.folder, timeout)
    if status is None:
        return [{"seconds": timeout, "problem": "hang"}]
    if status or not output:
        return [{"seconds": timeout, "problem": "failed", "detail": errors.strip()[-2000:]}]
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
