"""Long runs: do they leak, and what does a kill cost?

python -m benchmarks.io.endurance leak --calls 50000
python -m benchmarks.io.endurance kill --items 5000 --kills 10
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import autoexec
from benchmarks.run import ROOT, environment
from tests.servers.behaving import behaving_service, stats

__all__ = ["Killed", "Leak", "State", "kill_run", "leak_run", "main"]

SAMPLES = 60
PATIENCE_S = 120.0


# Leaks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """What this process has after so many results: bytes resident, threads, descriptors."""

    results: int
    rss: int
    threads: int
    descriptors: int


@dataclass(frozen=True)
class Leak:
    """How that went over a run.

    Attributes:
        calls: by the server's own count.
        seconds: from the first call to the last result.
        states: in the order of time; the last one after the run.
        most_at_once: calls at once at most, by the server's count.
        plan: how the calls were run.
    """

    calls: int
    seconds: float
    states: tuple[State, ...]
    most_at_once: int
    plan: str

    def thirds(self, name: str) -> tuple[float, float]:
        """The medians of the first and of the last third of the run."""
        values = [getattr(state, name) for state in self.states[:-1]]
        third = max(1, len(values) // 3)
        return statistics.median(values[:third]), statistics.median(values[-third:])

    def __str__(self) -> str:
        last = self.states[-1]
        (rss, late), threads, files = (self.thirds(name) for name in ("rss", "threads", "descriptors"))
        rate, growth = self.calls / self.seconds, late / rss - 1
        return "\n".join(
            [
                f"{self.calls:,} calls in {self.seconds:.1f} s ({rate:,.0f}/s; {self.most_at_once} at once)",
                f"plan: {self.plan}",
                f"medians of the first third -> the last ({len(self.states) - 1} samples), then at its end",
                f"memory in MB: {rss / 1e6:.1f} -> {late / 1e6:.1f} ({growth:+.1%}), {last.rss / 1e6:.1f}",
                f"threads: {threads[0]:g} -> {threads[1]:g}, {last.threads}",
                f"descriptors: {files[0]:g} -> {files[1]:g}, {last.descriptors}",
            ]
        )


def _requests() -> Any:
    import requests

    session = requests.Session()
    session.trust_env = False  # no look for proxies before each call
    return session


def _httpx() -> Any:
    import httpx

    return httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False)


def _aiohttp() -> Any:
    import aiohttp

    return aiohttp.ClientSession()


_sessions, _clients, _aio = map(autoexec.per_worker, (_requests, _httpx, _aiohttp))


def _by_requests(url: str) -> int:
    answer = _sessions().get(url, timeout=PATIENCE_S)
    return len(answer.content)


async def _by_httpx(url: str) -> int:
    return len((await _clients().get(url)).content)


async def _by_aiohttp(url: str) -> int:
    async with _aio().get(url) as answer:
        return len(await answer.read())


CLIENTS = {"requests": _by_requests, "httpx": _by_httpx, "aiohttp": _by_aiohttp}


def leak_run(address: str, calls: int, client: str = "requests", **options: Any) -> Leak:
    """Call the server so often in one run; look at this process now and then.

    Args:
        address: of a behaving server that has counted nothing yet.
        calls: how many.
        client: a name of `CLIENTS`.
        **options: for `autoexec.map`; calls of `requests` stay in threads of this process unless said.
    """
    if client == "requests":
        options = {"backend": "threads", **options}
    url = f"{address}/constant"
    results = autoexec.map(CLIENTS[client], (url for _ in range(calls)), **options)
    began, every, states = time.perf_counter(), max(1, calls // SAMPLES), []
    for number, _ in enumerate(results, 1):
        if number % every == 0:
            states.append(_state(number))
    seconds = time.perf_counter() - began
    served, plan = stats(address)["/constant"], str(results.plan)
    return Leak(served["calls"], seconds, (*states, _state(calls)), served["most_at_once"], plan)


def _state(results: int) -> State:
    import psutil

    rss = psutil.Process().memory_info().rss
    return State(results, rss, threading.active_count(), len(os.listdir("/proc/self/fd")))


# Kills ------------------------------------------------------------------------------------------------------

_SCRIPT = """
import json, os, sys, time
import autoexec

journal, results, items, ms, workers = *sys.argv[1:3], *map(int, sys.argv[3:])

def fetch(number):
    os.write(1, b"+%d\\n" % number)
    time.sleep(ms / 1000 * (number * 7919 % 10) / 5)
    os.write(1, b"-%d\\n" % number)
    return {"id": number, "square": number * number}

if __name__ == "__main__":
    values = list(autoexec.map(fetch, range(items), journal=journal, max_workers=workers))
    with open(results, "w") as file:
        json.dump(values, file)
"""


@dataclass(frozen=True)
class Killed:
    """What a run that was killed again and again came to.

    Attributes:
        rows: results in the journal.
        names: different items in it.
        results: what the last, complete run delivered.
        calls: that began in all runs.
        open: calls that had begun and not ended, by the function's own log, summed over the kills.
        most_at_once: calls at once at most, in any run.
        kept: results in the journal after each kill.
    """

    items: int
    kills: int
    rows: int
    names: int
    results: tuple[dict[str, int], ...]
    calls: int
    open: int
    most_at_once: int
    kept: tuple[int, ...]

    @property
    def for_nothing(self) -> int:
        """Calls whose item was called again later."""
        return self.calls - self.items

    @property
    def right(self) -> bool:
        """Whether the results are those of an uninterrupted run, in its order."""
        return self.results == tuple({"id": n, "square": n * n} for n in range(self.items))

    def __str__(self) -> str:
        most, kept = self.kills * self.most_at_once, ", ".join(map(str, self.kept))
        return "\n".join(
            [
                f"{self.items:,} items, killed {self.kills} times; kept by then: {kept}",
                f"journal: {self.rows:,} rows for {self.names:,} items",
                f"results equal and in order: {self.right}",
                f"calls: {self.calls:,}, {self.for_nothing} of them for nothing",
                f"in flight at the kills: {self.open} by the function's log, {most} at most",
            ]
        )


def kill_run(
    folder: Path, items: int, kills: int, *, seed: int = 0, ms: int = 5, workers: int = 32
) -> Killed:
    """Run a script over `items` with a journal, kill it so often, and let it finish.

    Each run is killed when so many of its calls have ended; the numbers are random, and such that something
    is left for the last run.
    """
    script, journal, results = folder / "script.py", folder / "run.sqlite", folder / "results.json"
    script.write_text(_SCRIPT)
    command = [sys.executable, str(script), str(journal), str(results), *map(str, (items, ms, workers))]
    cuts = [0, *sorted(random.Random(seed).sample(range(1, items - workers), kills))]
    kept, calls, still, most = [], 0, 0, 0
    for ends in [after - before for before, after in pairwise(cuts)] + [None]:
        begun, left, peak = _counted(_run_until(command, ends))
        calls, still, most = calls + begun, still + left, max(most, peak)
        kept.append(_rows(journal)[0])
    rows, names = _rows(journal)
    found = tuple(json.loads(results.read_text()))
    return Killed(items, kills, rows, names, found, calls, still, most, tuple(kept[:-1]))


def _run_until(command: list[str], ends: int | None) -> list[bytes]:
    """Run until so many calls have ended, then kill -9; None lets it finish. What it wrote of its calls."""
    lines: list[bytes] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if ends is not None and line.startswith(b"-"):
                ends -= 1
                if not ends:
                    process.kill()
    if process.returncode != (0 if ends is None else -signal.SIGKILL):
        raise SystemExit("the script ended by itself; its own message stands above")
    return lines


def _counted(lines: list[bytes]) -> tuple[int, int, int]:
    """Calls that began, of those the ones that have not ended, and how many there were at once at most."""
    begun = now = most = 0
    for line in lines:
        begun += line.startswith(b"+")
        now += 1 if line.startswith(b"+") else -1
        most = max(most, now)
    return begun, now, most


def _rows(journal: Path) -> tuple[int, int]:
    """Rows in a journal, and different keys among them; looked at without changing it."""
    with TemporaryDirectory() as folder:
        for path in journal.parent.glob(f"{journal.name}*"):
            Path(folder, path.name).write_bytes(path.read_bytes())
        connection = sqlite3.connect(Path(folder, journal.name))
        try:
            query = "SELECT count(*), count(DISTINCT key) FROM results"
            rows, names = connection.execute(query).fetchone()
        finally:
            connection.close()
    return rows, names


# The command ------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Run one of the two and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.io.endurance", description=__doc__)
    ways = parser.add_subparsers(dest="way", required=True)
    leak = ways.add_parser("leak", help="many calls in one run: does anything grow?")
    leak.add_argument("--calls", type=int, default=50_000)
    leak.add_argument("--workers", type=int, default=16, help="calls at once at most; 0: as found out")
    leak.add_argument("--client", choices=list(CLIENTS), default="requests")
    kill = ways.add_parser("kill", help="a journalled run that is killed at random moments")
    kill.add_argument("--items", type=int, default=5_000)
    kill.add_argument("--kills", type=int, default=10)
    kill.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.way == "leak":
        with behaving_service() as address:
            print(leak_run(address, given.calls, given.client, max_workers=given.workers or None))
    else:
        with TemporaryDirectory() as folder:
            print(kill_run(Path(folder), given.items, given.kills, seed=given.seed))


if __name__ == "__main__":
    main()
