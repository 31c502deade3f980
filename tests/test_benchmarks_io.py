"""The simulated services behave as described, and the benchmarks of waiting work run and render."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from math import inf
from pathlib import Path
from typing import Any

import pytest

from benchmarks.io import cases, run, services, strategies, table
from benchmarks.io.services import SERVICES, Refused, Service
from benchmarks.run import ROOT, environment
from benchmarks.workloads import Place
from tests.made_up import MACHINE

NOWHERE = Place("", "", 0.001)


def _seconds(model: services.Steady, *arrivals: float) -> list[float]:
    return [round(model.seconds(now), 2) for now in arrivals]


def test_a_constant_service_takes_a_tenth_of_a_second_whoever_calls() -> None:
    """Every latency is 100 ms, 5 % up or down."""
    model = services.Steady()
    assert all(0.095 <= model.seconds(0.0) <= 0.105 for _ in range(1000))


def test_log_normal_latencies_have_their_median_and_mean() -> None:
    """Median 100 ms, mean as the table of services has it."""
    model = services.Steady(services.uneven)
    drawn = sorted(model.seconds(0.0) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(0.1, rel=0.05)
    assert sum(drawn) / len(drawn) == pytest.approx(SERVICES["lognormal"].alone_s, rel=0.05)


def test_a_queue_serves_first_come_first_served() -> None:
    """Beyond what is served at once each wave takes a tenth of a second more."""
    model = services.Queueing((inf, 2))
    assert _seconds(model, 0, 0, 0, 0, 0) == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3], abs=0.021)
    assert _seconds(model, 10) == pytest.approx([0.1], abs=0.011)


def test_a_queue_follows_its_capacity() -> None:
    """When fewer are served, those under way end first; when more are, the waiting ones begin at once."""
    model = services.Queueing((1, 4), (2, 1), (inf, 4))
    assert _seconds(model, 0.95, 0.95, 0.95, 0.95) == pytest.approx([0.1] * 4, abs=0.011)
    alone = [model.seconds(1.0) for _ in range(9)]  # one by one from 1.05 on
    assert alone == pytest.approx([0.15 + 0.1 * turn for turn in range(9)], abs=0.06)
    rest = [model.seconds(1.0) for _ in range(4)]  # the first of them, or none, before the phase ends
    assert rest == pytest.approx([1.1] * 4, abs=0.06)


def test_a_degrading_service_answers_fewer_the_more_call() -> None:
    """Twice the limit makes a call four times as long."""
    model = services.Degrading(4)
    drawn = [model.seconds(0.0) for _ in range(8)]
    assert drawn[3] == pytest.approx(0.1, rel=0.06) and drawn[7] == pytest.approx(0.4, rel=0.06)


def test_a_limited_service_refuses_a_crowd_and_a_rate() -> None:
    """No more than so many at once, nor within a second; both limits lift with time."""
    model = services.Limited(2, 3)
    assert _seconds(model, 0.0, 0.0) == pytest.approx([0.1, 0.1], abs=0.011)
    with pytest.raises(Refused):
        model.seconds(0.05)
    model.seconds(0.2)
    with pytest.raises(Refused) as refusal:
        model.seconds(0.9)
    assert refusal.value.response.status_code == 429
    assert refusal.value.response.headers["Retry-After"] == "1"
    model.seconds(1.1)


class _Scripted(services.Steady):
    """Refuses the first call, then answers at once."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def seconds(self, now: float) -> float:
        self.asked += 1
        if self.asked == 1:
            raise Refused
        return 0.0


def test_a_service_counts_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers, refusals and concurrency are in its record, for blocking and for async calls."""
    monkeypatch.setattr(services, "REFUSAL_S", 0.0)
    service = Service(_Scripted())
    with pytest.raises(Refused):
        service.call(1)

    async def three() -> list[int]:
        return await asyncio.gather(*map(service.acall, range(3)))

    assert asyncio.run(three()) == [0, 1, 2]
    assert service.call(7) == 7
    record = service.record()
    assert record["answered"] == 4 and record["refused"] == 1 / 5
    assert record["max"] == 3 and len(record["timeline"]) == services.BINS


def test_the_timeline_is_the_mean_level_of_each_part() -> None:
    """Two calls, one for the whole time, one for its first half."""
    timeline, most = services._binned([(0.0, 1), (0.0, 1), (5.0, -1), (10.0, -1)], 0.0, 10.0)
    half = services.BINS // 2
    assert timeline == pytest.approx([2.0] * half + [1.0] * half) and most == 2


@pytest.mark.parametrize("way", ["threads2", "gather2", "aiometer2", "joblib2"])
def test_the_others_are_patient(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each peer tries again after a refusal and returns all results in order."""
    if strategies.missing(way):
        pytest.skip("not installed")
    monkeypatch.setattr(services, "RETRY_AFTER_S", 0)
    service = Service(_Scripted())
    assert strategies.run(way, strategies.Job(service.call, range(5), service.acall, True)) == list(range(5))
    assert service.refused == 1


@pytest.mark.parametrize("name", SERVICES)
def test_autoexec_gets_every_answer_once(name: str) -> None:
    """Each service at its smallest, through `autoexec.map`."""
    job, check = cases.opened(name, NOWHERE)
    digest, seen = check(strategies.run("autoexec", job))
    assert digest == cases.expected(name, NOWHERE.size) and seen["answered"] == len(job.items)


def test_arithmetic_says_what_cannot_end_in_time() -> None:
    """Seven thousand calls of 100 ms take 700 s one by one, a knee no more than it can serve."""
    assert cases.at_least_s("constant", 1, 1.0) == pytest.approx(700)
    assert cases.at_least_s("knee", 256, 1.0) == pytest.approx(3)
    assert cases.at_least_s("knee", strategies.at_once("autoexec"), 1.0) == 0


@pytest.mark.slow
def test_runs_in_fresh_processes_fill_the_page(tmp_path: Path) -> None:
    """A strategy that fails gets a dash, one that would take too long a bound, and the rest goes on."""
    page = tmp_path / "page.md"
    ways = "threads1,threads0,threads32,joblib0,autoexec"
    options = ["--only", "short", "--size", "0.05", "--rounds", "1", "--timeout", "0.2"]
    run.main([*options, "--strategies", ways, "--markdown", str(page)])
    written = page.read_text()
    row = next(line for line in written.splitlines() if line.startswith("| short"))
    assert row.count("| - |") == 1 and "| 32: 0." in row
    assert "autoexec, services: geometric mean" in written


def _run(seconds: float, problem: str = "", **seen: Any) -> dict:
    one = {"seconds": seconds, "problem": problem, "left": [0, 0], **seen}
    return {"seconds": [seconds], "problem": problem, "runs": [one]}


SEEN = {"mean": 25.0, "max": 30, "refused": 0.01, "span": 2.0, "timeline": [20.0, 30.0]}
RUNS = {
    "machine": MACHINE,
    "rounds": 1,
    "timeout": 12,
    "runs": {
        "knee": {
            "threads": _run(12.0, "too long"),
            "threads16": _run(2.0, **SEEN),
            "threads32": _run(4.0, **SEEN),
            "joblib": _run(12.0, "failed"),
            "autoexec": _run(2.5, **SEEN),
            "autoexec_async": _run(0.0, "n/a"),
        },
        "W4": {"threads32": _run(1.0), "autoexec": _run(1.5)},
    },
}


def test_ratios_are_against_the_best_fixed_count() -> None:
    """The table divides by the best number of threads, and marks what failed, took too long or is missing."""
    services_part, workloads, sweep = table.markdown(RUNS)
    row = next(line for line in services_part.splitlines() if line.startswith("| knee"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:] == ["16: 2.00 s", ">6.0", "2.00 (25; 1.0%)", "-", "1.25 (25; 1.0%)", "n/a"]
    assert "1.50" in workloads and "| 2.00 | 4.00 |" in sweep
    assert "geometric mean 1.25 of 1" in table.text(
        RUNS
    ) and "mean concurrency at the knee 25.0" in table.text(RUNS)


@pytest.mark.slow
def test_a_plot_is_small(tmp_path: Path) -> None:
    """One panel for each service that ran, letters as text."""
    pytest.importorskip("matplotlib")
    runs, chart = tmp_path / "runs.json", tmp_path / "chart.svg"
    runs.write_text(json.dumps(RUNS))
    command = [sys.executable, "-m", "benchmarks.io", "--load", str(runs), "--plot", str(chart)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment(), timeout=50)
    drawn = chart.read_text()
    assert "16 at once" in drawn and len(drawn) < 100_000


def test_unknown_names_are_told() -> None:
    """A case or strategy that does not exist ends the command with those that do."""
    with pytest.raises(SystemExit, match=r"there are .*knee"):
        run.measure(argparse.Namespace(only="nothing"))
    with pytest.raises(SystemExit, match="gather32"):
        strategies.run("nothing", strategies.Job(abs, [1]))
