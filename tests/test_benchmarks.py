"""The benchmarks run: every workload at its smallest, and the arithmetic of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks import strategies, table
from benchmarks.run import one_run
from benchmarks.server import serving
from benchmarks.workloads import FIFTEEN, WORKLOADS, Place
from tests.made_up import MACHINE

SMALLEST = 0.001
Strategy = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service on loopback and a folder for prepared data."""
    with serving() as url:
        yield Place(str(tmp_path_factory.mktemp("data")), url, SMALLEST)


@pytest.fixture(scope="module")
def prepared(place: Place) -> Callable[[str], tuple[Any, ...]]:
    """A workload by name with its function, its items and the serial digest, made once."""

    @cache
    def prepare(name: str) -> tuple[Any, ...]:
        workload = WORKLOADS[name]
        workload.prepare(place)
        func, items = workload.setup(place)
        return workload, func, items, workload.check(strategies.serial(func, items))

    return prepare


@pytest.mark.parametrize("strategy", [strategies.threads, strategies.autoexec])
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_gives_the_serial_answer(name: str, strategy: Strategy, prepared: Any) -> None:
    """A thread pool and autoexec give each workload's serial results."""
    if missing := WORKLOADS[name].missing():
        pytest.skip(f"needs {', '.join(missing)}")
    workload, func, items, expected = prepared(name)
    assert workload.check(strategy(func, items)) == expected


def test_one_run_in_a_fresh_process(place: Place) -> None:
    """A run reports its seconds and its digest, and leaves nothing."""
    run = one_run("W9", "serial", place, 60)
    func, items = WORKLOADS["W9"].setup(place)
    assert run["seconds"] > 0
    assert run["digest"] == WORKLOADS["W9"].check([func(item) for item in items])
    assert run["left"] == [0, 0]


def test_a_run_that_does_not_end_is_a_hang(place: Place) -> None:
    """The timeout ends a run and everything that it started."""
    run = one_run("W9", "serial", Place(place.folder, place.url, 1000), 0.5)
    assert run["problem"] == "hang"


def _run(*seconds: float, problem: str = "") -> dict:
    return {"seconds": list(seconds), "problem": problem, "left": [0, 0]}


RUNS = {
    "machine": MACHINE,
    "rounds": 1,
    "timeout": 60,
    "runs": {
        "W1": {"serial": _run(4.0), "threads": _run(2.0, 1.0, 9.0), "autoexec": _run(1.0)},
        "W9": {"serial": _run(2.0), "threads": _run(60.0, problem="hang"), "autoexec": _run(4.0)},
    },
}


def test_regret_is_against_the_best_of_the_others() -> None:
    """Medians are divided by the smallest median that is not autoexec's own."""
    assert table.ratios(RUNS) == {
        "W1": {"serial": 2.0, "threads": 1.0, "autoexec": 0.5},
        "W9": {"serial": 1.0, "threads": 30.0, "autoexec": 2.0},
    }
    assert "1.00" in table.text(RUNS).splitlines()[3]


def test_a_page_keeps_what_stands_around_the_generated_part(tmp_path: Path) -> None:
    """Writing a part twice replaces it and nothing else."""
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nbefore\n")
    for content in ("first", table.markdown(RUNS)):
        table.write_into(page, "speed", content)
    page.write_text(page.read_text() + "after\n")
    table.write_into(page, "speed", "last")
    text = page.read_text()
    assert text.startswith("# Title\n\nbefore\n\n<!-- speed") and text.endswith("after\n")
    assert "last" in text and "first" not in text and "regret" not in text


def test_the_fifteen_are_fifteen() -> None:
    """The small W14 is a row of its own, outside the fifteen."""
    assert len(FIFTEEN) == 15 and len(WORKLOADS) == 16
