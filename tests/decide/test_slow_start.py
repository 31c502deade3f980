"""The width of the opening as a function of time: where it begins, grows and ends."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autoexec.decide.slow_start import DOUBLING_S, EIGHT, FEW, SHORT, SOME, STEP_S, THREAD_S, SlowStart

CAPS = st.integers(1, 2000)
ITEMS = st.none() | st.integers(0, 10**6)
LATENCIES = st.none() | st.floats(0.0, 30.0)
TIMES = st.floats(0.0, 60.0)
OPENINGS = st.builds(SlowStart, CAPS, ITEMS, LATENCIES)
EPSILON = 1e-9  # of rounding


def out(opening: SlowStart, elapsed: float) -> int:
    """Whole calls that may be out."""
    return math.floor(opening.width(elapsed) + EPSILON)


@given(CAPS, ITEMS, LATENCIES, TIMES)
def test_never_wider_than_the_cap(cap: int, items: int | None, latency: float | None, elapsed: float) -> None:
    """And never narrower than one call."""
    assert 1.0 <= SlowStart(cap, items, latency).width(elapsed) <= cap


@given(OPENINGS, TIMES, TIMES)
def test_never_narrower_than_before(opening: SlowStart, one: float, other: float) -> None:
    """It only grows with time, up to rounding."""
    early, late = sorted((one, other))
    assert opening.width(early) <= opening.width(late) + EPSILON


@given(CAPS, CAPS, st.integers(0, SHORT), LATENCIES, TIMES)
def test_a_larger_cap_is_never_narrower(
    one: int, other: int, items: int, latency: float | None, elapsed: float
) -> None:
    """In a short run the cap only cuts off."""
    low, high = sorted((one, other))
    narrow, wide = (SlowStart(cap, items, latency).width(elapsed) for cap in (low, high))
    assert narrow == min(low, wide)


@pytest.mark.parametrize(("items", "first"), [(None, FEW), (SHORT, EIGHT), (SHORT + 1, FEW), (10**6, FEW)])
@pytest.mark.parametrize("latency", [None, 0.0, 0.2])
@pytest.mark.parametrize("cap", [1, 6, 500])
def test_the_first_calls(items: int | None, first: float, latency: float | None, cap: int) -> None:
    """A few, whatever is known; some more where the whole run is short."""
    assert SlowStart(cap, items, latency).width(0.0) == min(cap, first)


# Short runs -------------------------------------------------------------------------------------------------


@given(st.integers(SHORT, 2000), st.integers(0, SHORT), st.floats(0.04, 1.4))
def test_a_short_run_is_out_early(cap: int, items: int, latency: float) -> None:
    """Three doublings, from 8 to 64, within 15 % of a latency that is known."""
    opening = SlowStart(cap, items, latency)
    assert opening.short and opening.width(0.15 * latency) == pytest.approx(SHORT)
    assert opening.width(0.0) == EIGHT


def test_a_short_run_of_unknown_latency_goes_almost_at_once() -> None:
    """As fast as threads start: there is no time to be careful, and not much to be careful about."""
    opening = SlowStart(500, 40, None)
    assert opening.width((SHORT - EIGHT) * THREAD_S) == pytest.approx(SHORT)
    assert opening.width((20 - EIGHT) * THREAD_S) < 20


@given(st.integers(0, SHORT), LATENCIES, CAPS)
def test_a_short_run_has_no_last_step_before_the_top(items: int, latency: float | None, cap: int) -> None:
    """The clock goes on however late the answers are, to 64 calls or the cap."""
    assert SlowStart(cap, items, latency).width(60.0) == min(cap, SHORT)


# Other runs -------------------------------------------------------------------------------------------------


@given(st.integers(100, 2000), st.none() | st.integers(SHORT + 1, 10**6), st.floats(0.01, 30.0), TIMES)
def test_answers_take_over_from_the_clock(cap: int, items: int | None, latency: float, more: float) -> None:
    """Once a latency is over, the clock lets no more out."""
    opening = SlowStart(cap, items, latency)
    assert opening.width(latency + more) == opening.width(latency)
    assert opening.next_step(latency + more) is None


@given(st.integers(17, 2000), st.none() | st.integers(SHORT + 1, 10**6))
def test_an_unknown_latency_sets_no_end(cap: int, items: int | None) -> None:
    """Slow services get the cap in the end."""
    assert SlowStart(cap, items, None).width(60.0) == cap


@given(st.integers(17, 2000), st.none() | st.integers(SHORT + 1, 10**6))
def test_a_slow_service_is_met_slowly(cap: int, items: int | None) -> None:
    """Latencies above the longest doubling make the clock no slower, unless the run has many waves."""
    assume(items is None or items < 32 * cap)
    early = SlowStart(cap, items, 5.0).width(DOUBLING_S)
    assert early >= SlowStart(cap, items, 50.0).width(DOUBLING_S) - EPSILON


def test_a_long_run_doubles_once_per_latency() -> None:
    """It loses little by that, and asks no service for more than it can bear."""
    long, middle = SlowStart(100, 100_000, 0.05), SlowStart(100, 1000, 0.05)
    assert SOME < long.width(0.05) < middle.width(0.05) < 2 * SOME


def test_a_run_of_one_wave_is_out_before_the_first_answer() -> None:
    """The fewer they are, the sooner; 256 take most of a latency."""
    for calls, share in ((65, 0.19), (128, 0.53), (256, 0.87)):
        assert SlowStart(500, calls, 0.2).width(share * 0.2) >= calls


# The next step ----------------------------------------------------------------------------------------------


@given(OPENINGS, TIMES)
def test_the_next_step_lies_ahead(opening: SlowStart, elapsed: float) -> None:
    """By a step at least, so that nobody is asked more often, or at the very end of the opening."""
    step = opening.next_step(elapsed)
    assert step is None or step >= elapsed + STEP_S or elapsed < step == opening._stop


@given(OPENINGS, TIMES, st.floats(0.0, 1.0))
def test_before_the_next_step_nothing_changes(opening: SlowStart, elapsed: float, share: float) -> None:
    """No call is let out before it, except within the shortest step; none at all if there is no next step."""
    step = opening.next_step(elapsed)
    if step is None:
        assert out(opening, elapsed + 60.0 * share) == out(opening, elapsed)
    elif step > elapsed + STEP_S:
        before = elapsed + share * (step - elapsed) * (1.0 - 1e-6)
        assert math.floor(opening.width(before) - EPSILON) <= out(opening, elapsed)


@given(OPENINGS, TIMES)
def test_the_next_step_is_where_the_width_grows(opening: SlowStart, elapsed: float) -> None:
    """One more call may go then, unless the first answer is due before."""
    step = opening.next_step(elapsed)
    if step is not None and (opening.short or opening.latency_s is None or step <= opening.latency_s):
        assert out(opening, step) > math.floor(opening.width(elapsed))


@given(OPENINGS)
def test_the_clock_is_asked_a_bounded_number_of_times(opening: SlowStart) -> None:
    """From step to step it comes to its top, letting out at least one call each time."""
    elapsed: float | None = 0.0
    for _ in range(2100):
        assert elapsed is not None
        following = opening.next_step(elapsed)
        if following is None:
            break
        elapsed = following
    else:
        pytest.fail("no end")
    assert out(opening, elapsed) == out(opening, elapsed + 1000.0)
