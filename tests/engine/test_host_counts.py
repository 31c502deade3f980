"""Counts host by host: none is lost, however many hosts there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.engine import host_counts
from autoexec.engine.host_counts import HOSTS, OTHERS, HostTable
from autoexec.statistics import HostStats


def test_a_host_keeps_its_counts() -> None:
    """The same name gives the same counts, as a value under its name."""
    table = HostTable()
    counts = table.of("a.org")
    counts.calls, counts.retries, counts.refusals, counts.errors, counts.waited_s = 5, 1, 2, 3, 0.5
    counts.limit, counts.reason = 4, "opening"
    assert table.of("a.org") is counts is not table.of("b.org")
    assert counts.stats("a.org") == HostStats("a.org", 5, 1, 2, 3, 0.5, 4, "opening")
    assert [name for name, _ in table.rows()] == ["a.org", "b.org"]


@given(st.lists(st.integers(0, 9), max_size=60))
def test_beyond_the_bound_those_with_few_calls_stand_together(calls: list[int]) -> None:
    """The rows are those with the most calls, in the order in which they came; the last one has the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_counts, "HOSTS", 5)
        table = HostTable()
        for number, count in enumerate(calls):
            table.of(f"{number}.org").calls += count
            table.merge_rare(())
            assert len(table._counts) <= 10
        rows = table.rows()
    assert sum(counts.calls for _, counts in rows) == sum(calls)
    named = [int(name[:-4]) for name, _ in rows if name != OTHERS]
    assert len(named) <= 5 and named == sorted(named)
    if len(calls) <= 10:
        assert sorted(calls[number] for number in named) == sorted(calls)[-5:]


def test_hosts_that_are_needed_are_not_merged() -> None:
    """Calls to them still run, and are counted where they were; the table itself stays small."""
    table = HostTable()
    kept = table.of("kept.org")
    for number in range(5 * HOSTS):
        table.of(f"{number}.org").calls += 1
        table.merge_rare(("kept.org",))
        assert len(table._counts) <= 2 * HOSTS + 1
    assert table.of("kept.org") is kept
    kept.calls += 2
    rows = dict(table.rows())
    assert rows["kept.org"].calls == 2
    assert rows[OTHERS].calls == 4 * HOSTS + 1
