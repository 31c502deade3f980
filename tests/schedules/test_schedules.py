"""Some of the random schedules; `python -m tests.schedules FIRST COUNT` runs as many as are wanted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from . import faulty, plain, surroundings
from .check import check
from .draw import draw
from .expect import expected
from .parent import ROOT, Report, supervise
from .run import run, runs_here
from .schedule import Fault, Phase, Schedule
from .words import in_words

SHARE, GROUP = 150, 15  # schedules that are run here, and how many of them by one test

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children are read from /proc")


def wrong(reports: Iterator[Report]) -> list[str]:
    """What went wrong, in words."""
    return [f"seed {report.seed}: {one}" for report in reports for one in report.wrong]


# The library ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, SHARE, GROUP))
def test_what_comes_is_what_the_loop_gives(first: int, tmp_path: Path) -> None:
    """Whatever the door, the input, the items, the options and the consumer."""
    seeds = [seed for seed in range(first, first + GROUP) if runs_here(draw(seed))]
    assert wrong(supervise(seeds, str(tmp_path))) == []


# The schedules ----------------------------------------------------------------------------------------------


def test_the_plain_loop_is_never_wrong(tmp_path: Path) -> None:
    """What is expected is what a loop gives, for all that does not need other processes."""
    seeds = [seed for seed in range(SHARE, SHARE + 80) if draw(seed).kind == "threads"]
    assert wrong(supervise(seeds, str(tmp_path), library="tests.schedules.plain")) == []


# A fault of a library, and the schedule in which it is seen.
SIMPLE = Schedule(0, "map", 12, (Phase(12, "waits", 0.0005),), shape="generator")
SEEN: dict[str, dict[str, Any]] = {
    "too many at once": {"options": (("max_workers", 2),)},
    "too much is read": {"options": (("buffersize", 2),)},
    "items begin after close": {"consumer": "close", "leave": 2},
    "another error": {"faults": (Fault(5, "value"),)},
    "no error": {"faults": (Fault(5, "value"),)},
    "an error without its note": {"faults": (Fault(5, "value"),)},
    "items see one another's context": {"context": True},
    "futures are cancelled": {"door": "submit", "shape": "list"},
    "shutdown does not wait": {"door": "submit", "shape": "list", "consumer": "with"},
}


@pytest.mark.parametrize("fault", faulty.FAULTS)
def test_what_a_library_does_wrong_is_seen(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fault is complained of by its name; the plain loop gives no cause for that."""
    monkeypatch.setattr(surroundings, "PATIENCE_S", 0.1)
    schedule = replace(SIMPLE, **SEEN.get(fault, {}))
    kind, library = faulty.FAULTS[fault]
    try:
        found = check(schedule, run(schedule, library, str(tmp_path / "faulty")))
    finally:
        faulty.let_go()
    assert kind in {one.kind for one in found}, found
    assert check(schedule, run(schedule, plain, str(tmp_path / "plain"))) == []


def test_a_hang_and_a_crash_are_told_with_their_seeds(tmp_path: Path) -> None:
    """The others go on behind them, in another process."""
    plainest = (seed for seed in count() if _plainest(draw(seed)))
    seeds = list(islice(plainest, 4))
    reports = list(supervise(seeds, str(tmp_path), library="tests.schedules.faulty", limit_s=1.5))
    assert [report.seed for report in reports] == seeds
    kinds = [[one.kind for one in report.wrong] for report in reports]
    assert kinds == [[], ["hang"], ["crash"], []]
    assert "faulty.py" in reports[1].wrong[0].came  # where it hangs
    assert "exit status 7" in reports[2].wrong[0].came


def _plainest(schedule: Schedule) -> bool:
    return (schedule.door, schedule.consumer, schedule.times, schedule.kind) == (
        "map",
        "all",
        "once",
        "threads",
    )


def test_two_children_at_a_time(tmp_path: Path) -> None:
    """Each seed is run once, and each report is of one of them."""
    reports = supervise(range(20), str(tmp_path), jobs=2, library="tests.schedules.plain")
    assert sorted(report.seed for report in reports) == list(range(20))


def test_the_command(tmp_path: Path) -> None:
    """It sums up, and shows a schedule in words."""
    command = [sys.executable, "-m", "tests.schedules", "--library", "tests.schedules.plain"]
    seed = next(seed for seed in count() if _plainest(draw(seed)))
    ran = subprocess.run([*command, "0", "8", "--kind", "threads"], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout[:5], ran.stderr) == (0, "0 of ", "")
    shown = subprocess.run([*command, "--show", str(seed)], cwd=ROOT, capture_output=True, text=True)
    assert shown.stdout.startswith(in_words(draw(seed)))
    assert shown.stdout.endswith("nothing is wrong\n")


def test_every_schedule_can_be_meant() -> None:
    """No draw fails, none is empty words, and one seed always gives the same."""
    for seed in range(2000):
        schedule = draw(seed)
        assert schedule == draw(seed) and in_words(schedule)
        assert len(expected(schedule).outcomes) == schedule.count
