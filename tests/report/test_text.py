"""Profiles and plans as tables."""

from __future__ import annotations

import pytest

from autoexec.frozen import replace
from autoexec.records import Forecast, Plan, Profile, WorkKind
from autoexec.records import spell as seconds
from autoexec.report.text import explanation

PROFILE = Profile(
    "parse",
    12,
    0.0125,
    0.01,
    0.0005,
    0.002,
    other_threads_s=0.003,
    children_s=0.004,
    bytes_in=12_345,
    bytes_out=6_789_000,
    crossing_s=0.0045,
    kind=WorkKind.PYTHON,
    evidence="the GIL was held for 80% of the time",
    remaining=988,
)
PLAN = Plan(
    "processes",
    4,
    2,
    seconds=3.2,
    reason="because it is faster",
    forecasts=(
        Forecast("serial", 1, 1, 12.35),
        Forecast("threads", 4, 2, 11.0, refused="captured generator: 'rows' (job.py:30)"),
        Forecast("processes", 4, 2, 3.2),
    ),
)


def rows(text: str) -> dict[str, str]:
    """The lines after the first, by name."""
    parts = (line.strip().split("  ", 1) for line in text.splitlines()[1:])
    return {part[0]: part[1].strip() if len(part) > 1 else "" for part in parts}


def test_one_item_in_all_its_parts() -> None:
    """Wall, CPU with and without the GIL, waiting, other threads, child processes, bytes."""
    found = rows(explanation(PROFILE, PLAN))
    assert found["one item (12 measured)"] == "12.5 ms"
    assert found["CPU with the GIL"] == "10 ms"
    assert found["CPU without the GIL"] == "500 µs"
    assert found["waiting"] == "2 ms"
    assert found["native threads' CPU"] == "3 ms"
    assert found["child processes' CPU"] == "4 ms"
    assert found["bytes in / out"] == "12,345 / 6,789,000, 4.5 ms to cross"


def test_the_class_in_words_comes_first() -> None:
    """The function, its class and the evidence head the table; what is left follows."""
    lines = explanation(PROFILE, PLAN).splitlines()
    assert lines[0] == "parse: GIL-holding CPU work (the GIL was held for 80% of the time)"
    assert lines[1] == "  rest: 988 items"


def test_every_way_with_its_forecast() -> None:
    """What each way would take with how many workers, and why it is not allowed."""
    found = rows(explanation(PROFILE, PLAN))
    assert found["serial"] == "12.3 s forecast"
    assert found["processes × 4"] == "3.2 s forecast"
    assert found["threads × 4"] == "11 s forecast, not allowed: captured generator: 'rows' (job.py:30)"


def test_the_choice_comes_last() -> None:
    """The last line is the choice with its sentence of reason."""
    last = explanation(PROFILE, PLAN).splitlines()[-1]
    assert last.split(None, 1) == ["choice", "processes × 4: because it is faster"]


def test_what_is_not_known_is_not_shown() -> None:
    """No evidence, no number of items, no sizes: no empty brackets."""
    bare = replace(PROFILE, evidence="", remaining=None, bytes_in=None)
    lines = explanation(bare, PLAN).splitlines()
    assert lines[0] == "parse: GIL-holding CPU work"
    assert "rest:" not in lines[1]
    assert rows("\n".join(lines))["bytes in / out"] == "not measured"
    assert "12,345 / ?," in explanation(replace(PROFILE, bytes_out=None), PLAN)


def test_memory_is_told_where_it_was_measured() -> None:
    """What one item adds while it runs, in mebibytes; nothing where nobody knows."""
    found = rows(explanation(replace(PROFILE, memory_bytes=1500 << 20), PLAN))
    assert found["memory"] == "1,500 MiB more while it runs"
    assert "memory" not in explanation(PROFILE, PLAN)


def test_values_stand_in_one_column() -> None:
    """All values of the table begin at the same place, whatever the names' lengths."""
    for plan in (PLAN, Plan("serial", reason="why not")):
        lines = explanation(replace(PROFILE, remaining=None), plan).splitlines()[1:]
        column = lines[0].index("12.5 ms")
        assert all(line[column - 2 : column] == "  " and line[column] != " " for line in lines)


def test_plain_text() -> None:
    """Nothing a terminal could trip over, no trailing blanks, no last line break."""
    text = explanation(PROFILE, PLAN)
    assert not text.endswith("\n")
    for line in text.splitlines():
        assert line == line.rstrip()
        assert line.isprintable()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (-1.0, "0 s"),
        (2e-9, "2 ns"),
        (1e-6, "1 µs"),
        (0.000_25, "250 µs"),
        (0.001, "1 ms"),
        (0.0125, "12.5 ms"),
        (1.0, "1 s"),
        (99.94, "99.9 s"),
        (600.0, "600 s"),
    ],
)
def test_seconds_in_the_unit_that_fits(value: float, text: str) -> None:
    """Three digits are enough, and no negative durations."""
    assert seconds(value) == text


@pytest.mark.parametrize("value", [0.9996, 0.000_999_9, 1234.0, 86_400.0])
def test_no_exponents(value: float) -> None:
    """A person reads 1 s and 1234 s, not 1e+03 ms and 1.23e+03 s."""
    assert "e+" not in seconds(value)
