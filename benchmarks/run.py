"""Run every workload by every strategy, each run in a fresh process, in interleaved rounds.

`python -m benchmarks run --only W1,W5 --strategies serial,threads64,autoexec --rounds 3`
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from . import strategies, table
from .server import serving
from .workloads import WORKLOADS, Place

__all__ = ["add_arguments", "bytecode", "environment", "main", "one_run"]

ROOT = Path(__file__).resolve().parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `run`."""
    parser.add_argument("--only", metavar="W1,W5", help="these workloads alone")
    parser.add_argument("--strategies", metavar="a,b", help=f"of {', '.join(strategies.STRATEGIES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=60, help="seconds after which a run is a hang")
    parser.add_argument("--size", type=float, default=1.0, help="scale of the work; 1 is two seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the runs here")
    parser.add_argument("--load", type=Path, metavar="FILE", help="show the runs of this file, run nothing")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a chart, .svg or .png")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table into this page")


def main(options: argparse.Namespace) -> None:
    """Run, or load, and show."""
    runs = json.loads(options.load.read_text()) if options.load else _measure(options)
    print(table.text(runs))
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1))
    if options.plot:
        from . import plot

        plot.draw(runs, options.plot)
    if options.markdown:
        table.write_into(options.markdown, "speed", table.markdown(runs))


def bytecode() -> None:
    """Compile what is ours, and warn of what is not compiled: imports would look slower than at a user's."""
    for folder in ("autoexec", "benchmarks"):
        compileall.compile_dir(ROOT / folder, quiet=2)
    for package in ("numpy", "joblib", "mpire"):
        spec = find_spec(package)
        if spec and spec.cached and not os.path.exists(spec.cached):
            print(f"warning: {package} has no bytecode (python -m compileall): its imports will look slow")


def environment() -> dict[str, str]:
    """The environment of a run: bytecode is used, and loopback needs no proxy."""
    changes = {"no_proxy": "127.0.0.1", "PYTHONPATH": str(ROOT)}
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | changes


def _measure(options: argparse.Namespace) -> dict:
    names = _chosen(options.only, WORKLOADS)
    ways = _chosen(options.strategies, strategies.STRATEGIES)
    ways = ["serial", *(way for way in ways if way != "serial" and not strategies.missing(way))]
    bytecode()
    runs: dict = {"machine": _machine(), "rounds": options.rounds, "timeout": options.timeout, "runs": {}}
    with TemporaryDirectory(prefix="benchmarks-") as folder, serving() as url:
        place = Place(folder, url, options.size)
        for name in names:
            if lacking := WORKLOADS[name].missing():
                print(f"{name}: skipped, needs {', '.join(lacking)}")
                continue
            if remark := WORKLOADS[name].prepare(place):
                print(f"{name}: {remark}")
            runs["runs"][name] = _rounds(name, ways, place, options)
    runs["machine"]["load_after"] = _load()
    return runs


def _chosen(wish: str | None, known: dict) -> list[str]:
    if not wish:
        return list(known)
    names = wish.split(",")
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"unknown: {', '.join(unknown)} (there are {', '.join(known)})")
    return names


def _rounds(name: str, ways: list[str], place: Place, options: argparse.Namespace) -> dict:
    """All runs of one workload; what hung, failed or was wrong once is not run again."""
    found: dict = {way: {"seconds": [], "problem": ""} for way in ways}
    answer = ""
    for number in range(options.rounds):
        for way in _turned(ways, number):
            if found[way]["problem"]:
                continue
            run = one_run(name, way, place, options.timeout)
            answer = answer or run.get("digest", "")
            if "digest" in run and run["digest"] != answer:
                run["problem"] = "wrong answer"
            found[way]["seconds"].append(run["seconds"])
            found[way]["problem"] = run.get("problem", "")
            found[way]["detail"] = run.get("detail", "")
            found[way]["left"] = max(found[way].get("left", [0, 0]), run.get("left", [0, 0]))
            _progress(name, number, way, run)
    return found


def _turned(ways: list[str], number: int) -> Iterator[str]:
    """Serial first in the first round (it gives the right answer), then another one begins each round."""
    shift = number % len(ways)
    yield from ways[shift:] + ways[:shift]


def one_run(name: str, way: str, place: Place, timeout: float) -> dict:
    """One run in a fresh process: its seconds and digest, or its problem."""
    command = [sys.executable, str(ROOT / "benchmarks" / "child.py"), name, way]
    command += [place.folder, place.url, str(place.size)]
    output, errors, status = _ended(command, place.folder, timeout)
    if status is None:
        return {"seconds": timeout, "problem": "hang"}
    if status or not output:
        return {"seconds": timeout, "problem": "failed", "detail": errors.strip()[-500:]}
    seconds, digest, threads, children = output.split()[-4:]
    return {"seconds": float(seconds), "digest": digest, "left": [int(threads), int(children)]}


def _ended(command: list[str], folder: str, timeout: float) -> tuple[str, str, int | None]:
    """What the command printed, and its exit status: None when it had to be ended."""
    pipe, status = subprocess.PIPE, None
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment(), cwd=folder, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
            status = process.returncode
        except subprocess.TimeoutExpired:
            output = errors = ""
        finally:
            # The process has a group of its own, so this reaches the workers it may have left, and no others.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return output, errors, status


def _progress(name: str, number: int, way: str, run: dict) -> None:
    detail = run.get("detail", "").splitlines()
    remark = f"{run.get('problem', '')} {detail[-1] if detail else ''}".strip()
    print(f"  {name:5}round {number + 1}  {way:17}{run['seconds']:8.3f} s  {remark}", flush=True)


def _machine() -> dict:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "date": date.today().isoformat(),
        "load_before": _load(),
    }


def _load() -> float:
    """How many programs wanted a core in the last minute, this one included."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
