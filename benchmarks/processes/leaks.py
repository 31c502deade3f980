"""Hundreds of maps in one process: what it and its workers hold after every fifty, and at the end."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import run as harness
from ..io.table import _aligned, _piped
from . import table

__all__ = ["add_arguments", "claims", "main", "measure"]

MAPS, EVERY = 500, 50
MAP_S = 5.0  # far more than any map takes
FIELDS = {
    "maps": "maps",
    "files": "open files",
    "threads": "threads",
    "rss": "RSS, MB",
    "children": "children",
    "workers_files": "files of a worker",
    "workers_rss": "RSS of a worker, MB",
    "shm": "/dev/shm",
    "temporary": "temp files",
}
GROWTH, SLACK_BYTES = 1.05, 4_000_000  # what an allocator may still take after the first third


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `leaks`."""
    parser.add_argument("--maps", type=int, default=MAPS)
    parser.add_argument("--every", type=int, default=EVERY, help="maps between two looks")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table into this page")


def main(options: argparse.Namespace) -> int:
    """Run and show; 1 if something grew or was left."""
    harness.bytecode()
    states = measure(options.maps, options.every)
    rows, held = _rows(states), claims(states)
    remarks = [f"{'holds' if holds else 'FAILS'}: {claim}" for claim, holds in held.items()]
    print(_aligned(rows), *remarks, sep="\n")
    if options.markdown:
        lines = "\n".join(f"- {remark}" for remark in remarks)
        table.put(options.markdown, "leaks", f"## {options.maps} maps\n\n{_piped(rows)}\n\n{lines}")
    return 0 if all(held.values()) else 1


def measure(maps: int, every: int) -> list[dict[str, int]]:
    """What was held before, after every so many maps, and after the workers were ended."""
    with TemporaryDirectory(prefix="benchmarks-leaks-") as folder:
        command = [sys.executable, str(Path(__file__).with_name("leaking.py")), str(maps), str(every)]
        environment = harness.environment() | {"TMPDIR": folder}
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=60 + MAP_S * maps,
            check=False,
        )
    if done.returncode:
        raise SystemExit("the script ended by itself; its own message stands above")
    return [json.loads(line) for line in done.stdout.splitlines()]


def claims(states: list[dict[str, int]]) -> dict[str, bool]:
    """What should be flat, and whether it is: from the first third of the looks on, and at the end."""
    before, *during, end = states
    early, late = during[: -(-len(during) // 3)], during[-1]
    names = ("files", "threads", "children", "workers_files", "shm", "temporary")
    flat = {name: late[name] <= max(state[name] for state in early) for name in names}
    flat |= {
        name: late[name] <= GROWTH * max(state[name] for state in early) + SLACK_BYTES
        for name in ("rss", "workers_rss")
    }
    found = {f"{FIELDS[name].removesuffix(', MB')} flat": holds for name, holds in flat.items()}
    gone = {name: end[name] <= before[name] for name in ("threads", "children", "shm", "temporary")}
    # Modules that were loaded meanwhile may keep a file open, such as the random source.
    gone["files"] = end["files"] <= before["files"] + 2
    return found | {f"{FIELDS[name]} at the end as before": holds for name, holds in gone.items()}


def _rows(states: list[dict[str, int]]) -> list[list[str]]:
    """The states in cells, the head first."""
    rows = [["", *FIELDS.values()]]
    for at, state in enumerate(states):
        label = "before" if at == 0 else "at the end" if at == len(states) - 1 else ""
        rows.append([label, *(_shown(name, state[name]) for name in FIELDS)])
    return rows


def _shown(name: str, value: int) -> str:
    return f"{value / 1e6:.1f}" if name.endswith("rss") else str(value)
