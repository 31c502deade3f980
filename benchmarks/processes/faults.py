"""A long run whose workers are killed at random by another process: what it delivers, and what it says."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import TextIO

from .. import run as harness
from . import table, tree

__all__ = ["Faults", "add_arguments", "judge", "main", "run"]

ITEMS, FOR_S, MS = 10_000, 60.0, 10.0  # two workers take 50 s without deaths
EVERY_S = 0.2
STALL_S = 30.0  # a run in which no item begins for so long hangs
GONE_S = 2.0  # after the end of a run its processes have so long to go


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `faults`."""
    parser.add_argument(
        "--seconds", type=float, default=FOR_S, help=f"of killing; {ITEMS:,} items for {FOR_S:.0f}"
    )
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--every", type=float, default=EVERY_S, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pool", choices=["autoexec", "pebble"], default="autoexec")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the counts into this page")


def main(options: argparse.Namespace) -> int:
    """Run it and print the counts; 1 if a claim does not hold."""
    harness.bytecode()
    with TemporaryDirectory(prefix="benchmarks-faults-") as folder:
        faults = run(Path(folder), options)
    print(faults)
    if options.markdown:
        part = f"faults-{options.retries}" if options.retries else "faults"
        title = f"Deaths, with `retries={options.retries}`" if options.retries else "Deaths"
        table.put(options.markdown, part, f"## {title}\n\n```\n{faults}\n```")
    return 0 if faults.good else 1


@dataclass(frozen=True)
class Faults:
    """What a run with deaths came to, by its own results and by the log that the items wrote.

    Attributes:
        items: how many there were.
        retries: that each was allowed.
        kills: workers killed.
        seconds: of the run; None if it hung.
        right, wrong: results.
        errors: errors other than `WorkerDied`, by their repr.
        held: `WorkerDied` for items that had begun and not ended on a killed worker.
        unsent: ... for the item that a killed worker had ended last, whose result may have died with it.
        unbegun: ... for items of which nobody had begun.
        false: ... for any other item.
        again: items that ran more than once although none or not enough of their runs died.
        hidden: items that died on a worker, had no retries, and are not reported.
        left: processes that outlived the run.
        names: how many more names there were in /dev/shm after it.
    """

    items: int
    retries: int
    kills: int
    seconds: float | None
    right: int = 0
    wrong: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    held: int = 0
    unsent: int = 0
    unbegun: int = 0
    false: int = 0
    again: int = 0
    hidden: int = 0
    left: int = 0
    names: int = 0

    @property
    def died(self) -> int:
        """How many `WorkerDied` there were."""
        return self.held + self.unsent + self.unbegun + self.false

    def claims(self) -> dict[str, bool]:
        """What the run promises, and whether it holds."""
        each = self.right + self.died == self.items
        # A kill may fall between the start of an item and its line in the log, or its end and its result.
        borders = max(2, self.kills // 10)
        held_only = not self.false and self.unsent + self.unbegun <= borders
        return {
            "it ended": self.seconds is not None,
            "workers were killed": self.kills > 0,
            "every other result is right": self.seconds is not None and each and not self.wrong,
            "no error but WorkerDied": not self.errors,
            "WorkerDied only for what a dead worker held": held_only,
            "no item ran again without need": not self.again,
            "no death is hidden": not self.hidden,
            "with retries no error at all": not self.retries or not self.died,
            "nothing is left": not self.left and not self.names,
        }

    @property
    def good(self) -> bool:
        """Whether all of it holds."""
        return all(self.claims().values())

    def __str__(self) -> str:
        ended = "it gave no answer" if self.seconds is None else f"it took {self.seconds:.1f} s"
        lines = [
            f"{self.items:,} items, retries={self.retries}: {self.kills} workers killed, {ended}",
            f"results right {self.right:,}, wrong {self.wrong}, other errors {sum(self.errors.values())}",
            f"WorkerDied {self.died}: {self.held} begun and not ended on a killed worker,",
            f"  {self.unsent} ended last by one, {self.unbegun} not yet begun, {self.false} without cause",
            f"ran again without need {self.again}, deaths not reported {self.hidden}",
            f"left behind: {self.left} processes, {self.names} names in /dev/shm",
            *(f"{count} x {text}" for text, count in list(self.errors.items())[:5]),
            *(f"{'holds' if holds else 'FAILS'}: {claim}" for claim, holds in self.claims().items()),
        ]
        return "\n".join(lines)


# Running ----------------------------------------------------------------------------------------------------


def run(folder: Path, options: argparse.Namespace) -> Faults:
    """Run the script, kill one of its workers at a time until it ends, and compare with its log."""
    count, retries = max(1, round(ITEMS * options.seconds / FOR_S)), options.retries
    log, names = folder / "log", tree.shm_entries()
    log.touch()
    script = str(Path(__file__).with_name("faulty.py"))
    command = [sys.executable, script, *map(str, (log, count, MS, retries)), options.pool]
    with (
        (folder / "said").open("w+") as output,
        subprocess.Popen(
            command, stdout=output, env=harness.environment(), cwd=folder, start_new_session=True
        ) as process,
    ):
        killed = list(_killing(process, log, options))
        hung = process.poll() is None
        left = 0 if hung else _left(process.pid)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    text = (folder / "said").read_text()
    said = json.loads(text) if text and not hung else None
    judged = judge(count, retries, killed, log.read_text().splitlines(), said)
    return Faults(**{**judged, "left": left, "names": max(0, tree.shm_entries() - names)})


def _killing(process: subprocess.Popen[bytes], log: Path, options: argparse.Namespace) -> Iterator[int]:
    """Kill a worker at random, again and again for so many seconds, and wait for the end of the run or for a
    stall; the process ids of the killed.

    A worker is a descendant that has begun an item: helpers of the pool are let alone.
    """
    begun, chance, start = set(), random.Random(options.seed), monotonic()
    moved, due = start, start + options.every
    with log.open() as file:
        while process.poll() is None and monotonic() < moved + STALL_S:
            sleep(max(0.0, min(due - monotonic(), 0.05)))
            if new := _begun(file):
                begun, moved = begun | new, monotonic()
            if monotonic() < due:
                continue
            due += options.every
            workers = sorted(begun.intersection(tree.members(process.pid)))
            if workers and monotonic() < start + options.seconds:
                victim = chance.choice(workers)
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    yield victim


def _begun(file: TextIO) -> set[int]:
    """The processes that have begun items since the last look."""
    found = set()
    while line := file.readline():
        if not line.endswith("\n"):  # it is being written
            file.seek(file.tell() - len(line))
            break
        if line[0] == "+":
            found.add(int(line.split()[1]))
    return found


def _left(leader: int) -> int:
    """Processes of the run's session that are still there after a while."""
    deadline = monotonic() + GONE_S
    while tree.members(leader) and monotonic() < deadline:
        sleep(0.05)
    return len(tree.members(leader))


# Judging ----------------------------------------------------------------------------------------------------


def judge(count: int, retries: int, killed: list[int], lines: list[str], said: dict | None) -> dict:
    """Compare what the run said with what its items wrote.

    Args:
        count: of items.
        retries: that each was allowed.
        killed: process ids.
        lines: of the log.
        said: what the script printed; None if it hung.
    """
    begins, last, open_ = _told(lines)
    held = Counter(number for pid in killed for number in open_[pid])
    unsent = Counter(last[pid] for pid in set(killed) if pid in last)
    facts = {"items": count, "retries": retries, "kills": len(killed), "seconds": said and said["seconds"]}
    if said is None:
        return facts
    kinds = Counter(_kind(number, held, unsent, begins) for number in said["died"])
    reported = set(said["died"])
    return facts | {
        "right": said["right"],
        "wrong": len(said["wrong"]),
        "errors": dict(Counter(text for _, text in said["errors"])),
        **{kind: kinds[kind] for kind in ("held", "unsent", "unbegun", "false")},
        "again": sum(
            1 for number, runs in begins.items() if runs > 1 + _excused(number, retries, held, unsent)
        ),
        "hidden": 0 if retries else sum(1 for number in held if number not in reported),
    }


def _told(lines: list[str]) -> tuple[Counter[int], dict[int, int], dict[int, set[int]]]:
    """How often each item began; the item that each process ended last, if that was its last word; and
    the items that each process has begun and not ended.
    """
    begins: Counter[int] = Counter()
    last: dict[int, int] = {}
    still: dict[int, set[int]] = {}
    for line in lines:
        number, pid = map(int, line[1:].split())
        mine = still.setdefault(pid, set())
        if line[0] == "+":
            begins[number] += 1
            mine.add(number)
            last.pop(pid, None)
        else:
            mine.discard(number)
            last[pid] = number
    return begins, last, _Empty(still)


class _Empty(dict[int, set[int]]):
    """A worker that wrote nothing held nothing."""

    def __missing__(self, pid: int) -> set[int]:
        return set()


def _kind(number: int, held: Counter[int], unsent: Counter[int], begins: Counter[int]) -> str:
    """Why an item may be told that its worker died."""
    if held[number]:
        return "held"
    if unsent[number]:
        return "unsent"
    return "false" if begins[number] else "unbegun"


def _excused(number: int, retries: int, held: Counter[int], unsent: Counter[int]) -> int:
    """How many more runs of an item its deaths explain."""
    return held[number] + unsent[number] if retries else 0
