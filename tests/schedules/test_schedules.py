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
from .check import SKIP, check
from .draw import draw
from .expect import expected
from .parent import ROOT, Report, supervise
from .run import run, runs_here
from .schedule import Fault, Phase, Schedule
from .words import in_words

SHARE, GROUP = 150, 15  # schedules that are run here, and how many of them by one test
# What cannot hold before the engine is replaced: items see one another's context variables, and sometimes one
# more runs, or is pulled, than `max_workers` or `buffersize` say.
NOT_YET = "context,crowd,buffer"
# Schedules that go wrong with that engine, and why. ENDLESS ones hang, or leave threads that are waited for.
WRONG = {
    **dict.fromkeys((7, 26, 39, 139, 140), "an input that has ended is asked again"),
    **dict.fromkeys((36, 109), "an input whose length raises is refused"),
    27: "asyncio takes an item's CancelledError for its own",
    51: "with buffersize=1 the next item is pulled before the result is delivered",
    82: "two threads cannot share results",
}
ENDLESS = {
    **dict.fromkeys((44, 88, 99), "two threads cannot share results"),
    **dict.fromkeys((47, 94), "results that are dropped live on in the traceback of an item's error"),
}

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children are read from /proc")


@pytest.fixture(autouse=True)
def not_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known, and not mended yet, is not complained of."""
    monkeypatch.setenv(SKIP, NOT_YET)


def wrong(reports: Iterator[Report]) -> list[str]:
    """What went wrong, in words."""
    return [f"seed {report.seed}: {one}" for report in reports for one in report.wrong]


# The library ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, SHARE, GROUP))
def test_what_comes_is_what_the_loop_gives(first: int, tmp_path: Path) -> None:
    """Whatever the door, the input, the items, the options and the consumer."""
    seeds = [seed for seed in range(first, first + GROUP) if seed not in WRONG | ENDLESS]
    seeds = [seed for seed in seeds if runs_here(draw(seed))]
    assert wrong(supervise(seeds, str(tmp_path))) == []


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=pytest.mark.xfail(strict=False, run=seed in WRONG, reason=reason))
        for seed, reason in sorted((WRONG | ENDLESS).items())
    ],
)
def test_what_the_next_engine_will_do(seed: int, tmp_path: Path) -> None:
    """The rest of the share; what takes too long to fail is not even run."""
    assert wrong(supervise([seed], str(tmp_path), limit_s=2.0)) == []


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
    monkeypatch.delenv(SKIP)
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
