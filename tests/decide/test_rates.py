"""Rates in words, and the gate that keeps them, under made-up clocks."""

from __future__ import annotations

import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.rates import Gate, Rate, parse_rate
from autoexec.errors import MissingExtra, OptionError


def shown(value: object) -> str:
    """A test's name, the same in every process."""
    return repr(value).split(" at 0x")[0]


pytest.importorskip("pyrate_limiter")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        *(
            (text, (10.0, 1.0))
            for text in ("10/s", "10 / sec", "10/second", "10 per second", " 10/S ", "10", 10)
        ),
        *(
            (text, (100.0, 60.0))
            for text in ("100/min", "100/m", "100 per minute", "100/minutes", "100.0/Min")
        ),
        *((text, (1000.0, 3600.0)) for text in ("1000/h", "1000/hour", "1000 per hr")),
        ("5/2s", (5.0, 2.0)),
        ("5 per 10 minutes", (5.0, 600.0)),
        ("20000/day", (20000.0, 86400.0)),
        ("3/100ms", (3.0, pytest.approx(0.1))),
        ("0.5/s", (1.0, 2.0)),
        (".25/min", (1.0, 240.0)),
        (2.5, (2.5, 1.0)),
        (Decimal("0.1"), (1.0, 10.0)),
    ],
    ids=shown,
)
def test_rates_in_words(text: str | float, parsed: tuple[float, float]) -> None:
    """Calls and seconds; less than one call is one call per longer."""
    assert parse_rate(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        *(
            "fast",
            "",
            "/s",
            "10/",
            "10/fortnight",
            "10s",
            "10/s/s",
            "-10/s",
            "1e3/s",
            "10pers",
            "ten/s",
            "1_0/s",
        ),
        *("٣/s", b"10/s", True, None, [10], (10, 1), 1j, object()),
    ],
    ids=shown,
)
def test_no_rate(text: object) -> None:
    """The error shows how a rate looks, and what was given."""
    with pytest.raises(OptionError) as caught:
        parse_rate(text)  # type: ignore[arg-type]
    assert str(caught.value) == f'rate must look like "10/s", "100/min" or "1000/h", not {text!r}'


@pytest.mark.parametrize(
    "text", [0, 0.0, -1, "0/s", "0", "10/0s", float("nan"), float("inf"), 1e300, 5e-324, "0.0000000000001/s"]
)
def test_rates_of_nothing_or_for_ever(text: str | float) -> None:
    """A rate is above zero and finite; no rate is spelt None."""
    with pytest.raises(OptionError, match=r"rate must be above zero and finite, not .*; None sets no rate"):
        parse_rate(text)


@given(st.one_of(st.text(), st.text("0123456789./ smhper"), st.floats(), st.integers()))
def test_any_rate(text: str | float) -> None:
    """Whatever is given, it is a rate that a gate can keep, or an error of ours."""
    try:
        rate = Rate.of(text)
    except OptionError:
        return
    assert rate.limit >= 1
    assert rate.interval_ms >= 1
    assert rate.burst >= 1
    gate = Gate(rate)
    assert gate.wait_s(1.0) == 0.0


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10, 1000, 1)),
        ("100/s", Rate(100, 1000, 5)),
        ("1000/min", Rate(1000, 60000, 1)),
        ("60/s", Rate(60, 1000, 3)),
        ("0.5/s", Rate(1, 2000, 1)),
        ("2.5/s", Rate(25, 10000, 1)),
        ("3/100ms", Rate(3, 100, 1)),
        ("1/0.25ms", Rate(100, 25, 200)),
    ],
)
def test_the_usual_burst(text: str, rate: Rate) -> None:
    """Whole calls in whole milliseconds; as many may begin at once as fit into 50 ms, and one at least."""
    assert Rate.of(text) == rate


def test_a_burst_of_the_callers() -> None:
    """After a quiet time so many calls begin at once, then one by one."""
    gate = Gate(Rate.of("10/s", burst=4))
    assert [gate.wait_s(50.0) for _ in range(5)] == [0.0] * 4 + [pytest.approx(0.1)]
    assert gate.wait_s(50.1) == 0.0
    assert gate.wait_s(50.1) == pytest.approx(0.1)


def test_asking_in_vain_counts_nothing() -> None:
    """Who is told to wait and asks again is not put off further."""
    gate = Gate(Rate.of("10/s"))
    assert gate.wait_s(7.0) == 0.0
    assert [gate.wait_s(7.0 + early) for early in (0.0, 0.04, 0.09)] == [
        pytest.approx(wait) for wait in (0.1, 0.06, 0.01)
    ]
    assert gate.wait_s(7.1) == 0.0


def test_a_gate_knows_when_it_is_as_new() -> None:
    """From then on the whole burst may begin again."""
    gate = Gate(Rate.of("10/s", burst=3))
    assert gate.full_at <= 0.0
    for _ in range(4):
        gate.wait_s(50.0)
    assert gate.full_at == pytest.approx(50.3)
    later = gate.full_at + 0.001
    assert [gate.wait_s(later) for _ in range(4)] == [0.0] * 3 + [pytest.approx(0.1)]


RATES = st.builds(
    Rate,
    limit=st.integers(1, 5000),
    interval_ms=st.integers(1, 120_000),
    burst=st.integers(1, 60),
)
PAUSES = st.lists(st.one_of(st.just(0.0), st.floats(0, 2.0), st.floats(0, 0.01)), max_size=120)
STARTS = st.floats(0, 1e8)  # seconds since the machine was started


@given(RATES, PAUSES, STARTS, st.booleans())
def test_no_window_sees_more(rate: Rate, pauses: list[float], start: float, obey: bool) -> None:
    """In any interval at most limit + burst calls begin, whether callers wait as told or ask at random."""
    gate, now, begun = Gate(rate), start, []
    for pause in pauses:
        now += pause
        wait = gate.wait_s(now)
        if obey and wait:
            now += wait
            wait = gate.wait_s(now)
        if not wait:
            begun.append(now)
    interval = rate.interval_ms / 1000
    for first, since in enumerate(begun):
        within = sum(1 for moment in begun[first:] if moment < since + interval - 2e-6)
        assert within <= rate.limit + rate.burst


@given(RATES, PAUSES, STARTS)
def test_the_wait_is_the_right_one(rate: Rate, pauses: list[float], start: float) -> None:
    """Who waits as told is let in, and nobody is let in earlier."""
    gate, now = Gate(rate), start
    for pause in pauses:
        now += pause
        wait = gate.wait_s(now)
        if wait:
            assert wait <= rate.interval_ms / 1000 / rate.limit + 1e-5
            early = now + wait - 5e-6
            if early > now:
                assert gate.wait_s(early) > 0
            now += wait
            assert gate.wait_s(now) == 0.0


@pytest.mark.parametrize("text", ["1/s", "19.9/s", "300/s", "1234/min", "9000/s"])
def test_who_obeys_gets_the_full_rate(text: str) -> None:
    """Asking again just when told, so many calls begin as were wished for, within a hundredth."""
    gate, now, begun = Gate(Rate.of(text)), 1000.0, 0
    calls, seconds = parse_rate(text)
    end = now + 200 * seconds / calls
    while now < end:
        wait = gate.wait_s(now)
        begun += not wait
        now += wait
    assert begun == pytest.approx(200 + Rate.of(text).burst, rel=0.01)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library, the error says what to install."""
    monkeypatch.setitem(sys.modules, "pyrate_limiter", None)
    with pytest.raises(MissingExtra, match=r"^rate= needs .*: pip install 'autoexec-futures\[io\]'$"):
        Gate(Rate.of(1))
