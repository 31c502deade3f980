"""The way out: what becomes of failures, what is counted, shown and logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.backends.base import Failure
from autoexec.engine.hosts import Hosts
from autoexec.engine.outlet import Outlet
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


class Keep:
    """A journal that has kept one result before all others.

    Attributes:
        ordered: what `merge` was told.
        closed: how often it was closed.
    """

    def __init__(self, *kept: Any) -> None:
        self.kept, self.closed = list(kept), 0
        self.ordered: list[bool] = []

    def merge(self, blocks: Iterator[list[Any]], *, ordered: bool) -> Iterator[list[Any]]:
        self.ordered.append(ordered)
        yield self.kept
        yield from blocks

    def close(self) -> None:
        self.closed += 1


def outlet(*, attended: bool = True, keep: Any = None, **wishes: Any) -> Outlet:
    """The way out of a run with these options."""
    options = resolve(wishes)
    made = Outlet(abs, options, None, keep)
    if attended:
        made.hosts = Hosts(options)
    return made


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
    assert next(outlet(on_error="skip").through(iter([block]))) is block


def test_an_error_ends_the_run() -> None:
    """It is raised in its place: the results before it come out first, those behind it do not."""
    out = outlet(on_error="raise")
    blocks = out.through(iter([[1, 2], [3, Failure(WRONG), 4], [5]]))
    assert [next(blocks), next(blocks)] == [[1, 2], [3]]
    with pytest.raises(ValueError, match="wrong") as caught:
        next(blocks)
    assert caught.value is WRONG and out.delivered == 3


def test_an_error_is_returned_in_its_place() -> None:
    """`on_error="return"` gives the error itself, not what it travelled in."""
    out = outlet(on_error="return")
    assert list(out.through(iter([[1, Failure(WRONG)], [Failure(WRONG), 2]]))) == [[1, WRONG], [WRONG, 2]]
    assert out.delivered == 4


def test_an_error_is_left_out() -> None:
    """`on_error="skip"` counts only what is delivered."""
    out = outlet(on_error="skip")
    assert list(out.through(iter([[1, Failure(WRONG)], [Failure(WRONG)], [2]]))) == [[1], [], [2]]
    assert out.delivered == 2 and out.stats().items == 2


def test_nothing_is_treated_where_nobody_attends() -> None:
    """Without a desk there are no failures as values: nothing is looked through."""
    out, block = outlet(attended=False), [1, Failure(WRONG)]
    assert next(out.through(iter([block]))) is block
    assert out.stats().items == 2 and out.stats().calls == 0


BLOCKS = st.lists(st.lists(st.one_of(st.integers(), st.just(Failure(WRONG))), max_size=6), max_size=6)


@given(BLOCKS, st.sampled_from(["raise", "return", "skip"]))
def test_each_wish_keeps_the_order(blocks: list[list[Any]], wish: str) -> None:
    """Results come in their order, however they are cut into blocks; as many are counted as come out."""
    out, got, flat = outlet(on_error=wish), list[Any](), [value for block in blocks for value in block]
    failed = [place for place, value in enumerate(flat) if isinstance(value, Failure)]
    try:
        for values in out.through(iter(blocks)):
            got += values
    except ValueError:
        assert wish == "raise" and failed
    good = [value for value in flat if not isinstance(value, Failure)]
    expected = {
        "raise": flat[: failed[0]] if failed else flat,
        "return": [WRONG if isinstance(value, Failure) else value for value in flat],
        "skip": good,
    }
    assert got == expected[wish] and out.delivered == len(got)


# The bar ----------------------------------------------------------------------------------------------------


def test_the_bar_counts_items_that_are_left_out(bar: Bar) -> None:
    """It counts what is through, not what is delivered."""
    out = outlet(on_error="skip", progress=True)
    out.open()
    list(out.through(iter([[1, Failure(WRONG)], [Failure(WRONG)]])))
    assert bar.items == [2, 1] and out.delivered == 1
    assert bar.texts == ["0 at once"] * 2


def test_the_bar_of_plain_calls_has_only_counts(bar: Bar) -> None:
    """Where single calls are not attended to there is nothing to say of them."""
    out = outlet(attended=False, progress=True)
    out.open()
    list(out.through(iter([[1, 2]])))
    assert bar.items == [2] and bar.texts == []


def test_no_bar_unless_wanted(bar: Bar) -> None:
    """Without `progress=True` none is opened."""
    out = outlet()
    out.open()
    list(out.through(iter([[1]])))
    out.close()
    assert bar.items == [] and bar.closed == 0


# The end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", ["return", "skip"])
def test_the_summary_is_logged_once(wish: str, caplog: pytest.LogCaptureFixture) -> None:
    """However often the run is closed: one line names the function and what failed."""
    out = outlet(on_error=wish)
    assert out.hosts is not None
    for _ in range(2):
        out.hosts.tally.failed(WRONG, "example.org")
    with caplog.at_level(logging.WARNING, logger="autoexec"):
        out.close()
        out.close()
    (record,) = caplog.records
    assert "abs: items failed: 2 ValueError (example.org)" in record.getMessage()


@pytest.mark.parametrize(("wish", "failing"), [("raise", True), ("skip", False)])
def test_nothing_to_sum_up(wish: str, failing: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An error that was raised says it all; without any there is nothing to say."""
    out = outlet(on_error=wish)
    assert out.hosts is not None
    if failing:
        out.hosts.tally.failed(WRONG, "")
    with caplog.at_level(logging.WARNING, logger="autoexec"):
        out.close()
    assert not caplog.records


@pytest.mark.parametrize("ordered", [True, False])
def test_kept_results_are_merged(ordered: bool, bar: Bar) -> None:
    """Those of the journal count and show like the others."""
    keep = Keep("kept")
    out = outlet(keep=keep, ordered=ordered, progress=True)
    out.open()
    assert list(out.through(iter([["new"]]))) == [["kept"], ["new"]]
    assert keep.ordered == [ordered]
    assert out.delivered == 2 and bar.items == [1, 1]


def test_closing_closes_journal_and_bar_once(bar: Bar) -> None:
    """Whoever closes first."""
    keep = Keep()
    out = outlet(keep=keep, progress=True)
    out.open()
    out.close()
    out.close()
    assert keep.closed == bar.closed == 1
