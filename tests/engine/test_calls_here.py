"""Calls with care in the caller's own thread: their turn, their retries, their failures."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from autoexec.engine.run import State
from autoexec.errors import BrokenWorker, Refused
from autoexec.records import Plan
from tests.engine.fakes import Act, HTTPError, Reply, notes

pytest.importorskip("tenacity")


def script(*outcomes: Any) -> Callable[..., Any]:
    """A function that returns or raises one thing after the other."""
    left = list(outcomes)

    def call(*args: Any) -> Any:
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return call


def here(call: Callable[..., Any], *items: Any, **wishes: Any) -> Act:
    """A run whose plan is to stay in the caller's thread."""
    return Act(list(items), Plan("serial"), call=call, **{"backend": "auto", "on_error": "return", **wishes})


def run(act: Act) -> list[Any]:
    """All results; whatever waits, time passes."""
    act.begin()
    return list(act.results())


def test_a_value_is_just_returned() -> None:
    """Nothing waits, one call is counted."""
    act = here(abs, -3)
    assert run(act) == [3] and act.clock.now == 1000.0
    assert (act.limits.metrics.calls, act.limits.metrics.at_once) == (1, 0)


def test_several_arguments() -> None:
    """The host is found among the arguments."""
    act = here(lambda url, n: n, ("http://a.org/1", 7), star=True)
    assert run(act) == [7]
    assert [entry.host for entry in act.run.stats().hosts] == ["a.org"]


def test_an_error_comes_back_as_a_value() -> None:
    """The run goes on, and the error names its item."""
    error = ValueError("x")
    act = here(script(error, 2), 1, 2)
    assert run(act) == [error, 2] and "item 0 (1) ran in the caller's thread" in notes(error)
    assert act.run.stats().failures[0].kind == "ValueError"


def test_retries_run_here_after_a_while() -> None:
    """After the back-off; nothing else is done meanwhile where there is nothing else."""
    act = here(script(ConnectionError("a"), ConnectionError("b"), 5), 1, retries=2)
    assert run(act) == [5]
    assert act.clock.now > 1000.0
    assert act.limits.metrics.calls == 3 and act.limits.metrics.retries == 2


def test_the_last_error_tells_of_all() -> None:
    """After the retries its notes name every attempt."""
    act = here(script(ConnectionError("a"), ConnectionError("b")), 1, retries=1)
    (error,) = run(act)
    assert str(error) == "b"
    assert "attempt 1: ConnectionError: a" in notes(error) and "attempt 2: ConnectionError: b" in notes(error)


def test_a_response_that_says_to_try_again() -> None:
    """It is; and if that does not help it is the result."""
    last = Reply(503)
    assert run(here(script(Reply(503), last), 1, retries=1)) == [last]


def test_a_pause_that_was_asked_for_is_kept() -> None:
    """At least as long as that; a signal is seen at least four times a second."""
    act = here(script(HTTPError(429, Retry_After="30"), 5), 1, retries=1)
    assert run(act) == [5]
    assert act.clock.now >= 1030.0 and max(act.waits) <= 0.25


def test_a_pause_holds_the_next_item_too() -> None:
    """Without retries the item fails, and the next one waits."""
    act = here(script(HTTPError(429, Retry_After="5"), 7), 1, 2, backend="serial")
    found = run(act)
    assert isinstance(found[0], HTTPError) and found[1] == 7
    assert act.clock.now == pytest.approx(1005.0, abs=0.3)


def test_a_closed_host_is_not_called() -> None:
    """Its items are refused without a call."""
    act = here(script(HTTPError(503, Retry_After="100000")), 1, 2, retries=3, backend="serial")
    first, second = run(act)
    assert isinstance(first, HTTPError) and isinstance(second, Refused)
    assert act.limits.metrics.calls == 1


def test_an_error_of_per_is_the_items_own() -> None:
    """The function is not called."""
    act = here(script(), 0, per=lambda item: 1 // item)
    (error,) = run(act)
    assert isinstance(error, ZeroDivisionError) and "per=" in notes(error)
    assert act.limits.metrics.calls == 0


def test_calls_that_wait_for_their_turn_go_to_threads() -> None:
    """While the sample is taken: there others may wait, and the caller's thread takes results."""
    pytest.importorskip("pyrate_limiter")
    plan = Plan("threads", 4, adaptive=True)
    act = Act(itertools.count(1), plan, call=abs, backend="auto", rate="2/s", burst=1).begin()
    act.take()
    assert act.run.state is State.POOLED and act.run.plan is not None
    assert act.run.plan.reason == "calls wait for their turn"
    assert act.given == [1] and act.backend.out == []
    act.wait(0.51)
    assert act.backend.out == [2]
    act.results().close()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_run_comes_out_at_once(kind: type[BaseException]) -> None:
    """It does not wait for its turn, and is not tried again."""
    act = here(script(1, kind()), 1, 2, 3, retries=3)
    with pytest.raises(kind):
        run(act)


def test_an_initializer_that_fails_ends_the_run() -> None:
    """It is no item's own error: none is called, whatever the options say."""
    act = here(script(), 1, 2, initializer=script(ValueError("no session")))
    with pytest.raises((BrokenWorker, ValueError), match="no session"):
        run(act)
