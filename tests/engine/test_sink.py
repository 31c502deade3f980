"""The way out: what becomes of failures, what is counted, shown and logged."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.engine.limits import Limits
from autoexec.engine.result_order import Failed
from autoexec.engine.sink import Sink
from autoexec.errors import BrokenWorker, Refused
from autoexec.options import resolve


class Bar:
    """A bar that takes notes.

    Attributes:
        items: of each update.
        texts: what stood behind the counts.
        closed: how often it was closed.
    """

    def __init__(self) -> None:
        self.items: list[float] = []
        self.texts: list[str] = []
        self.closed = 0

    def update(self, n: float = 1) -> None:
        self.items.append(n)

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        self.texts.append(s)

    def close(self) -> None:
        self.closed += 1


def sink(*, attended: bool = True, **wishes: Any) -> Sink:
    """The way out of a run with these options."""
    options = resolve(wishes)
    made = Sink(abs, options, None)
    if attended:
        made.limits = Limits(options)
    return made


def failed(error: BaseException, place: int = 7, *notes: str) -> Failed:
    """An item that failed for good."""
    return Failed(error, place, -place, False, "thread 3", list(notes))


def through(out: Sink, *blocks: list[Any]) -> list[Any]:
    """What comes out of it: lists, and errors that are to be raised between them."""
    return [part for block in blocks for part in out.parts(block)]


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> Bar:
    """The bar that a run opens."""
    bar = Bar()
    monkeypatch.setattr("autoexec.report.progress.open_bar", lambda total: bar)
    return bar


WRONG = ValueError("wrong")

# Failures ---------------------------------------------------------------------------------------------------


def test_results_pass_as_they_are() -> None:
    """Blocks without a failure are handed on, not copied."""
    block = [1, None, ValueError("a result like any other")]
    assert through(sink(on_error="skip"), block)[0] is block


def test_nothing_is_looked_through_where_nothing_has_failed() -> None:
    """Who knows that says so."""
    block = [1, 2]
    out = sink()
    assert out.parts(block, failures=False)[0] is block and out.delivered == 2


def test_an_error_stands_in_its_place() -> None:
    """The results before it come out first; those behind it are there for who goes on."""
    out = sink(on_error="raise")
    assert through(out, [1, 2], [3, failed(WRONG), 4]) == [[1, 2], [3], WRONG, [4]]
    assert out.delivered == 4


def test_an_error_is_returned_in_its_place() -> None:
    """`on_error="return"` gives the error itself, not what it travelled in."""
    out = sink(on_error="return")
    assert through(out, [1, failed(WRONG)], [failed(WRONG), 2]) == [[1, WRONG], [WRONG, 2]]
    assert out.delivered == 4


def test_an_error_is_left_out() -> None:
    """`on_error="skip"` counts only what is delivered."""
    out = sink(on_error="skip")
    assert through(out, [1, failed(WRONG)], [failed(WRONG)], [2]) == [[1], [2]]
    assert out.delivered == 2 and out.stats(0.0).items == 2


@pytest.mark.parametrize("wish", ["raise", "return", "skip"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, BrokenWorker])
def test_what_is_more_than_an_items_own_error_is_raised(kind: type[BaseException], wish: Any) -> None:
    """Whatever the options say."""
    error = kind("end")
    assert through(sink(on_error=wish), [1, failed(error), 2]) == [[1], error, [2]]


def test_an_error_names_its_item() -> None:
    """By its place, with its arguments and where it ran."""
    (error,) = through(sink(), [failed(ValueError("x"), 3)])
    assert error.__notes__ == ["autoexec: item 3 (-3) ran in thread 3"]


@pytest.mark.parametrize(
    ("kind", "notes", "told"),
    [(ValueError, ["a"], []), (ValueError, ["a", "b"], ["a", "b"]), (Refused, ["a"], ["a"])],
    ids=["one try", "two tries", "refused after a try"],
)
def test_an_error_tells_of_its_tries(kind: type[Exception], notes: list[str], told: list[str]) -> None:
    """One failure tells nothing that its error does not say."""
    (error,) = through(sink(), [failed(kind("x"), 3, *notes)])
    assert error.__notes__[:-1] == [f"autoexec: {note}" for note in told]


def test_without_limits_there_is_little_to_tell() -> None:
    """Where single calls are not attended to nobody counts them."""
    out = sink(attended=False)
    through(out, [1, 2])
    assert out.stats(0.0).items == 2 and out.stats(0.0).calls == 0


BLOCKS = st.lists(st.lists(st.one_of(st.integers(), st.just("wrong")), min_size=1, max_size=6), max_size=6)


@given(BLOCKS, st.sampled_from(["raise", "return", "skip"]))
def test_each_wish_keeps_the_order(blocks: list[list[Any]], wish: str) -> None:
    """Results come in their order, however they are cut into blocks; as many are counted as come out."""
    out, flat = sink(on_error=wish), [value for block in blocks for value in block]
    made = [[failed(WRONG) if value == "wrong" else value for value in block] for block in blocks]
    parts = through(out, *made)
    assert all(part for part in parts if isinstance(part, list))
    got = [value for part in parts for value in (part if isinstance(part, list) else [part])]
    kept = [WRONG if value == "wrong" else value for value in flat if value != "wrong" or wish != "skip"]
    assert got == kept
    assert out.delivered == len(got) - (flat.count("wrong") if wish == "raise" else 0)


# The bar ----------------------------------------------------------------------------------------------------


def test_the_bar_counts_items_that_are_left_out(bar: Bar) -> None:
    """It counts what is through, not what is delivered."""
    out = sink(on_error="skip", progress=True)
    out.open()
    through(out, [1, failed(WRONG)], [failed(WRONG)])
    assert bar.items == [2, 1] and out.delivered == 1
    assert bar.texts == ["0 at once"] * 2


def test_the_bar_of_plain_calls_has_only_counts(bar: Bar) -> None:
    """Where single calls are not attended to there is nothing to say of them."""
    out = sink(attended=False, progress=True)
    out.open()
    through(out, [1, 2])
    assert bar.items == [2] and bar.texts == []


def test_no_bar_unless_wanted(bar: Bar) -> None:
    """Without `progress=True` none is opened."""
    out = sink()
    out.open()
    through(out, [1])
    out.close()
    assert bar.items == [] and bar.closed == 0


# The end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", ["return", "skip"])
def test_the_summary_is_logged_once(wish: str, caplog: pytest.LogCaptureFixture) -> None:
    """However often the run is closed: one line names the function and what failed."""
    out = sink(on_error=wish)
    assert out.limits is not None
    for _ in range(2):
        out.limits.metrics.failed("ValueError", "example.org")
    with caplog.at_level(logging.WARNING, logger="autoexec"):
        out.close()
        out.close()
    (record,) = caplog.records
    assert "abs: items failed: 2 ValueError (example.org)" in record.getMessage()


@pytest.mark.parametrize(("wish", "failing"), [("raise", True), ("skip", False)])
def test_nothing_to_sum_up(wish: str, failing: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An error that was raised says it all; without any there is nothing to say."""
    out = sink(on_error=wish)
    assert out.limits is not None
    if failing:
        out.limits.metrics.failed("ValueError", "")
    with caplog.at_level(logging.WARNING, logger="autoexec"):
        out.close()
    assert not caplog.records


def test_closing_closes_the_bar_once(bar: Bar) -> None:
    """Whoever closes first."""
    out = sink(progress=True)
    out.open()
    out.close()
    out.close()
    assert bar.closed == 1
