"""The benchmarks of processes: cases and strategies agree, claims are judged, and the commands run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from benchmarks.processes import __main__ as command
from benchmarks.processes import cases, cold, faults, leaks, run, strategies, table, tree
from benchmarks.processes.faults import Faults
from benchmarks.run import ROOT, environment
from benchmarks.workloads import Place
from tests.made_up import MACHINE

NOWHERE = Place("", "", 0.001)
OWN = ("captured", "results", "zipf", "fetch_parse")


# Cases and strategies ---------------------------------------------------------------------------------------


def _digest(name: str, way: str) -> str:
    func, items = cases.opened(name, NOWHERE, strategies.capture(way))
    return cases.CASES[name].check(strategies.STRATEGIES[way](func, items))


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("way", ["threads4", "autoexec"])
def test_own_cases_give_the_serial_answer(name: str, way: str) -> None:
    """Threads and autoexec give the results of the plain loop."""
    if missing := cases.CASES[name].missing():
        pytest.skip(f"needs {', '.join(missing)}")
    assert _digest(name, way) == _digest(name, "serial")


def test_an_array_is_handed_over_in_three_ways() -> None:
    """A closure, a partial and a global hold the same array."""
    pytest.importorskip("numpy")
    answers = []
    for capture in ("closure", "argument", "global"):
        func, items = cases.opened("captured", NOWHERE, capture)
        answers.append([func(item) for item in items])
    assert answers[0] == answers[1] == answers[2]
    assert [strategies.capture(way) for way in ("fork8", "spawn1", "mpire", "autoexec")] == [
        *("global", "argument", "closure", "closure")
    ]


def test_the_last_of_the_zipf_durations_is_sixty_times_the_median() -> None:
    """And it stands at the end of the list."""
    *steps, last = cases.opened("zipf", Place("", "", 1.0), "closure")[1]
    assert last == 60 * median(steps) and len(steps) == 280


def test_a_sweep_belongs_to_one_case() -> None:
    """Counts of threads and processes for `fetch_parse`, a pickled fork for `captured`, none for the rest."""
    assert {"threads4", "processes16", "2x8"} < set(strategies.ways("fetch_parse"))
    assert "fork8_pickled" in strategies.ways("captured")
    assert strategies.ways("W3")[0] == "serial" and not {"threads4", "fork8_pickled"} & set(
        strategies.ways("W3")
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fork8", "spawn1", "mp_pool", "joblib_loky", "mpire", "pebble", "2x8"])
def test_strategies_agree_in_fresh_processes(way: str, tmp_path: Path) -> None:
    """Each way to run processes gives the answer of the plain loop."""
    if strategies.missing(way):
        pytest.skip("not installed")
    name, place = "fetch_parse" if way == strategies.HAND else "captured", Place(str(tmp_path), "", 0.02)
    found = run.once(name, way, place, 50)
    assert "digest" in found, found
    assert found["digest"] == run.once(name, "serial", place, 50)["digest"]


@pytest.mark.slow
def test_a_run_is_weighed_from_outside(tmp_path: Path) -> None:
    """The peak is that of the tree: two workers weigh more than none."""
    place = Place(str(tmp_path), "", 0.5)
    alone = run.weighed("zipf", "serial", place, 50)
    tree_of_three = run.weighed("zipf", "fork8", place, 50)
    assert alone["digest"] == tree_of_three["digest"]
    assert 1e6 < alone["pss"] < tree_of_three["pss"]


def test_a_run_that_fails_or_hangs_says_so(tmp_path: Path) -> None:
    """An unknown strategy fails, and what takes too long is ended."""
    place = Place(str(tmp_path), "", 1.0)
    assert run.once("zipf", "nothing", place, 50)["problem"] == "failed"
    assert run.once("fetch_parse", "serial", place, 0.3)["problem"] == "hang"


def test_processes_are_found_as_descendants() -> None:
    """A child is a member of this process's tree and has memory, files and a thread; later it has none."""
    script = "print(1, flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True, **pipes) as child:
        assert child.stdin and child.stdout and child.stdout.readline()
        assert child.pid in tree.members(os.getpid())
        assert 0 < tree.pss(child.pid) <= tree.rss(child.pid)
        assert tree.descriptors(child.pid) >= 3 and tree.threads(child.pid) == 1
        child.stdin.write(b"\n")
    assert child.pid not in tree.members(os.getpid()) and tree.pss(child.pid) == 0


# Tables -----------------------------------------------------------------------------------------------------


def _run(*seconds: float, problem: str = "", pss: float = 0) -> dict:
    runs: list[dict] = [{"pss": pss}] if pss else [{}]
    return {"seconds": list(seconds), "problem": problem, "left": [0, 0], "runs": runs}


RUNS: dict[str, Any] = {
    "machine": MACHINE,
    "rounds": 1,
    "timeout": 60,
    "runs": {
        "W12": {
            "serial": _run(1.0),
            "fork8": _run(2.0),
            "spawn1": _run(60.0, problem="failed"),
            "autoexec": _run(0.5),
            "autoexec_processes": _run(0.4),
        },
        "captured": {
            "fork8": _run(1.0),
            "pebble": _run(1.1),
            "fork8_pickled": _run(4.0),
            "autoexec": _run(1.2),
        },
        "fetch_parse": {
            "threads16": _run(2.3),
            "processes16": _run(1.5),
            "fork1": _run(4.4),
            "2x8": _run(1.2),
            "autoexec": _run(1.2),
        },
    },
    "memory": {
        "W12": {
            "serial": _run(1.0, pss=1e8),
            "fork8": _run(1.0, pss=3e8),
            "mpire": _run(1.0, pss=2e8, problem="wrong answer"),
            "autoexec": _run(1.0, pss=2.4e8),
        }
    },
}


def test_goals_compare_with_the_right_peers() -> None:
    """Each ratio has its own others: what failed does not count, nor the hand-written in a row's best."""
    found = {goal.title: round(goal.found, 3) for goal in table.goals(RUNS)}
    assert found["the worst of them"] == 1.2
    assert found["fetch_parse over the best count of threads"] == round(1.2 / 2.3, 3)
    assert found["fetch_parse over the best count of processes"] == 0.8
    assert found["fetch_parse over two processes of eight threads"] == 1.0
    assert found["W12 over the best pool"] == 0.25
    assert found["captured over the best fork"] == 1.2
    assert found["captured over the best of those that send it"] == 0.3
    assert found["W12: peak memory over that of the best pool"] == 0.8
    assert "missed" in str(table.Goal("this", 1.2, 1.0)) and "met" in str(table.Goal("this", 1.0, 1.0))


def test_tables_say_who_failed_and_who_was_best() -> None:
    """For a terminal and for a page, which is begun with what it is about."""
    text = table.text(RUNS)
    row = next(line for line in text.splitlines() if line.startswith("W12"))
    assert "failed" in row and "serial 1.000" in row and row.split()[-2:] == ["0.50", "0.40"]
    assert "fork8_pickled" in text and "240" in text


def test_a_page_is_begun_and_kept(tmp_path: Path) -> None:
    """A second run of one part replaces that part alone."""
    page = tmp_path / "page.md"
    table.write(RUNS, page, tmp_path / "chart.svg")
    table.put(page, "cold", "## Cold start\n\nfirst")
    table.put(page, "cold", "## Cold start\n\nlast")
    written = page.read_text()
    assert written.startswith("# Benchmarks of processes") and "(chart.svg)" in written
    assert "last" in written and "first\n<!--" not in written and "| W12 |" in written


def test_slow_peers_run_once_and_ours_always() -> None:
    """What took far longer than the quickest is settled after a round."""
    found = {"fork8": _run(1.0), "spawn8": _run(1.7), "autoexec": _run(9.0), "mpire": _run()}
    assert [way for way in found if run._settled(way, found)] == ["spawn8"]


def test_unknown_names_are_told() -> None:
    """A case or a strategy that does not exist ends the command with those that do."""
    with pytest.raises(SystemExit, match="captured"):
        run.measure(argparse.Namespace(only="nothing", strategies=None))
    with pytest.raises(SystemExit, match="spawn8"):
        run.measure(argparse.Namespace(only="W9", strategies="nothing"))
    with pytest.raises(SystemExit, match="fork_kept"):
        command.main(["cold", "--strategies", "nothing"])


@pytest.mark.slow
def test_the_command_runs_and_draws(tmp_path: Path) -> None:
    """From runs in fresh processes to a file of results, and from there to a page and a chart."""
    pytest.importorskip("matplotlib")
    results, page, chart = tmp_path / "runs.json", tmp_path / "page.md", tmp_path / "chart.svg"
    few = ["--only", "W9", "--strategies", "fork8,autoexec", "--scale", "0.01", "--rounds", "1"]
    assert command.main([*few, "--json", str(results)]) == 0
    again = [sys.executable, "-m", "benchmarks.processes", "--load", str(results)]
    again += ["--markdown", str(page), "--plot", str(chart)]
    subprocess.run(again, check=True, capture_output=True, cwd=ROOT, env=environment(), timeout=50)
    assert "| W9 | counting loop |" in page.read_text() and chart.exists()
    assert list(json.loads(results.read_text())["runs"]["W9"]) == ["serial", "fork8", "autoexec"]


# Cold starts, deaths, leaks ---------------------------------------------------------------------------------


def test_cold_starts_are_compared_with_start_methods_and_joblib() -> None:
    """A peer whose second worker never came is left out of that comparison."""
    common = {"map": 50.0, "maps": 100.0, "script": 200.0}
    found = {
        "fork": {"first": 20.0, "both": 30.0, **common},
        "spawn": {"first": 80.0, "both": 90.0, **common},
        "joblib": {"first": 300.0, "both": nan, **common},
        "autoexec": {"first": 20.0, "both": 24.0, **common},
    }
    goals = {goal.title: goal.found for goal in cold._goals(found)}
    assert goals["first result, over the fastest ProcessPoolExecutor"] == 1.0
    assert goals["two workers, over the fastest ProcessPoolExecutor"] == 0.8
    assert "two workers, over joblib" not in goals and goals["ten maps, over joblib"] == 1.0
    assert cold._rows(found)[3][3] == "-"


@pytest.mark.slow
def test_a_cold_start_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clocks of the script are in order."""
    pytest.importorskip("numpy")
    monkeypatch.setattr(cold, "MAPS", 2)
    for seconds in cold.measure(["fork", "autoexec"], 1).values():
        assert 0 < seconds["first"] <= seconds["map"] < seconds["maps"] < seconds["script"]


LOG = [
    *("+0 7", "-0 7", "+1 8", "-1 8"),  # fine
    "+2 7",  # 7 was killed in it
    *("+3 8", "-3 8"),  # 8 was killed before its result was sent
    *("+4 9", "-4 9", "+5 9", "-5 9"),
]


def _said(*died: int, right: int, errors: tuple = ()) -> dict:
    return {"right": right, "wrong": [], "died": list(died), "errors": list(errors), "seconds": 1.0}


def test_deaths_are_compared_with_the_log() -> None:
    """Held, ended last, never begun, and without cause are told apart; nothing is hidden."""
    found = Faults(**faults.judge(8, 0, [7, 8], LOG, _said(2, 3, 6, right=5)))
    assert (found.held, found.unsent, found.unbegun, found.false) == (1, 1, 1, 0)
    assert found.good
    wrong = Faults(**faults.judge(8, 0, [7, 8], LOG, _said(4, right=7)))
    assert wrong.false == 1 and wrong.hidden == 1 and not wrong.good


def test_an_item_may_run_again_only_for_its_own_death() -> None:
    """With retries the held one may; without them none may, and a death that is left then is a failure."""
    again, other = [*LOG, "+2 9", "-2 9"], [*LOG, "+0 9", "-0 9"]
    assert Faults(**faults.judge(6, 3, [7, 8], again, _said(right=6))).good
    assert faults.judge(6, 0, [7, 8], again, _said(right=6))["again"] == 1
    assert faults.judge(6, 3, [7, 8], other, _said(right=6))["again"] == 1
    assert not Faults(**faults.judge(6, 3, [7, 8], LOG, _said(2, right=5))).good


def test_a_run_without_an_answer_or_with_other_errors_fails() -> None:
    """Every claim is printed with what became of it."""
    silent = Faults(**faults.judge(6, 0, [7], LOG, None))
    assert not silent.good and "FAILS: it ended" in str(silent)
    odd = Faults(**faults.judge(6, 0, [7], LOG, _said(2, right=4, errors=([5, "OSError()"],))))
    assert not odd.good and "1 x OSError()" in str(odd)


@pytest.mark.slow
def test_a_disturbed_run_is_judged(tmp_path: Path) -> None:
    """Workers are killed while it runs; every item has a result or a death of its own."""
    pytest.importorskip("numpy")
    options = argparse.Namespace(seconds=1.0, retries=0, every=0.2, seed=0, pool="autoexec")
    found = faults.run(tmp_path, options)
    assert found.good, str(found)


def _state(maps: int, files: int = 8, children: int = 2, rss: int = 30_000_000) -> dict[str, int]:
    rest = {"threads": 1, "workers_files": 9, "workers_rss": 20_000_000, "shm": 0, "temporary": 0}
    return {"maps": maps, "files": files, "children": children, "rss": rss, **rest}


def test_what_grows_or_stays_is_a_leak() -> None:
    """Flat is flat beside the first third; at the end the workers are gone."""
    before, during, end = _state(0, children=0), [_state(maps) for maps in (50, 100, 150)], _state(150)
    gone = {**end, "children": 0}
    assert all(leaks.claims([before, *during, gone]).values())
    growing = [_state(50), _state(100, files=9), _state(150, files=10, rss=60_000_000)]
    failing = [name for name, holds in leaks.claims([before, *growing, end]).items() if not holds]
    assert failing == ["open files flat", "RSS flat", "children at the end as before"]


@pytest.mark.slow
def test_leaks_are_looked_for() -> None:
    """One map of each kind, looked at twice."""
    pytest.importorskip("numpy")
    states = leaks.measure(6, 3)
    assert [state["maps"] for state in states] == [0, 3, 6, 6]
    assert states[-1]["children"] == 0 and states[-1]["temporary"] == 0
