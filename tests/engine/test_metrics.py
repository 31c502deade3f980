"""Counts of a run: close to the truth, and bounded however long the run is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.engine.host_counts import OTHERS
from autoexec.engine.metrics import KINDS, POINTS, SHARES, Histogram, Metrics, Timeline, kind_of
from autoexec.records import Ending
from autoexec.statistics import Failures

SECONDS = st.floats(1e-6, 1e4)


@given(st.lists(SECONDS, min_size=1, max_size=300))
def test_latencies_are_within_three_percent(seconds: list[float]) -> None:
    """Each share is what numpy finds among all values, as near as the buckets are fine."""
    numpy = pytest.importorskip("numpy")
    histogram = Histogram()
    for value in seconds:
        histogram.add(value)
    found = histogram.shares()
    assert [share for share, _ in found] == list(SHARES)
    for share, value in found[:-1]:
        low, high = (numpy.quantile(seconds, share + off, method="inverted_cdf") for off in (-1e-9, 1e-9))
        assert 0.97 * low <= value <= 1.03 * high
    assert found[-1][1] == max(seconds)
    assert [value for _, value in found] == sorted(value for _, value in found)


def test_nothing_was_timed() -> None:
    """Before the first call there are no latencies; a call of no time at all is none of trouble."""
    histogram = Histogram()
    assert histogram.shares() == ()
    histogram.add(0.0)
    assert histogram.shares() == tuple((share, 0.0) for share in SHARES)


def test_any_number_of_seconds_has_a_bucket() -> None:
    """From less than a nanosecond to more than a lifetime, and what a clock that was set back leaves over."""
    histogram = Histogram()
    for seconds in (-1.0, 0.0, 1e-300, 5e-10, 1e-9, 1.0, 2e9, 1e300, float("inf")):
        histogram.add(seconds)
    assert [calls for calls in histogram._buckets if calls] == [5, 1, 3]
    assert dict(histogram.shares())[0.5] == pytest.approx(1e-9, rel=0.03)
    assert len(histogram._buckets) < 1000


@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.integers(0, 300)), max_size=1500), st.integers(0, 10**6))
def test_a_timeline_is_bounded_and_in_order(steps: list[tuple[float, int]], begin: int) -> None:
    """At most 512 points, each later than the one before, all of them really noted; the first at zero."""
    timeline, now = Timeline(), float(begin)
    noted = set()
    for gap, value in steps:
        now += gap
        timeline.note(now, value)
        noted.add((now - begin - steps[0][0], value))
    points = timeline.points()
    times = [time for time, _ in points]
    assert len(points) < POINTS and bool(points) == bool(steps)
    assert times == sorted(set(times))
    assert all(any(abs(t - time) < 1e-3 and v == value for t, v in noted) for time, value in points[:9])
    assert not points or points[0] == (0.0, steps[0][1])


def test_a_long_timeline_keeps_the_whole_run() -> None:
    """Points are thinned evenly: the first stays, the last is near the end."""
    timeline = Timeline()
    for step in range(100_000):
        timeline.note(step * 0.01, step)
    points = timeline.points()
    assert POINTS // 4 < len(points) < POINTS
    assert points[0] == (0.0, 0) and points[-1][0] > 0.99 * 1000
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(points)]
    assert max(gaps) < 3 * min(gaps)


@given(st.lists(st.sampled_from(Ending), max_size=60), st.integers(0, 5))
def test_counts(endings: list[Ending], running: int) -> None:
    """Every call is counted once and under one head; refusals are no latencies."""
    metrics = Metrics()
    for step in range(len(endings) + running):
        metrics.began(float(step))
    for step, ending in enumerate(endings):
        metrics.ended(100.0 + step, ending, 0.5)
    stats = metrics.stats(7, ())
    refused, fine = endings.count(Ending.REFUSED), endings.count(Ending.OK)
    assert (stats.items, stats.calls, stats.at_once) == (7, len(endings), running)
    assert (stats.refusals, stats.errors) == (refused, len(endings) - refused - fine)
    assert bool(stats.latency_s) == (len(endings) > refused)


class Named(Exception):
    """An error as HTTP libraries raise them."""

    def __init__(self, **facts: Any) -> None:
        super().__init__()
        vars(self).update(facts)


def test_failures_are_counted_by_kind_and_host() -> None:
    """The most frequent first; a status makes a kind of its own."""

    class Answer:
        status_code = 404

    metrics = Metrics()
    for error, host in (
        (KeyError("x"), "a"),
        (Named(response=Answer()), "a"),
        (Named(response=Answer()), "a"),
        (Named(status=500), "b"),
    ):
        metrics.failed(kind_of(error), host)
    assert metrics.stats(0, ()).failures == (
        Failures("Named 404", "a", 2),
        Failures("KeyError", "a", 1),
        Failures("Named 500", "b", 1),
    )


def test_rare_failures_are_counted_together() -> None:
    """However many hosts fail, the kinds and the frequent ones are told apart, and none is lost."""
    metrics = Metrics()
    for host in range(3 * KINDS):
        metrics.failed("KeyError", f"{host}.org")
        metrics.failed("Timeout", "slow.org")
    found = metrics.stats(0, ()).failures
    assert len(found) <= 2 * KINDS
    assert found[0] == Failures("Timeout", "slow.org", 3 * KINDS)
    assert sum(failure.count for failure in found) == 6 * KINDS
    assert any(failure.kind == "KeyError" and failure.host == OTHERS for failure in found)


def test_in_a_few_words() -> None:
    """For a progress bar: what runs, and only those troubles that there are; at the end, what failed."""
    metrics = Metrics()
    for _ in range(4):
        metrics.began(1.0)
    metrics.cancelled()
    metrics.ended(1.5, Ending.TIMEOUT, 0.5)
    metrics.ended(1.5, Ending.REFUSED, 0.5)
    metrics.retries += 2
    assert metrics.brief() == "1 at once, 1 errors, 1 refused, 2 retries"
    assert metrics.failures() == ""
    for number in range(10):
        metrics.failed(f"Error{number}", "a.org" if number else "")
    assert metrics.failures().startswith("1 Error0, 1 Error1 (a.org), ")
    assert metrics.failures().endswith(", 2 others")


@pytest.mark.parametrize("status", ["teapot", None, b"4"])
def test_what_only_looks_like_a_status(status: object) -> None:
    """Whatever is no whole number is not written beside the class."""
    assert kind_of(Named(status=status)) == "Named"
