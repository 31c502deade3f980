"""Calls with care in the caller's own thread: their turn, their retries, their failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autoexec.backends.base import Chunk, Failure
from autoexec.engine.front import Attended, open_desk
from autoexec.engine.hosts import Hosts
from autoexec.errors import BrokenWorker, Refused
from autoexec.options import resolve
from autoexec.records import Plan, Profile, WorkKind
from tests.engine.scene import Clock, HTTPError, Inner, Reply

pytest.importorskip("tenacity")


class Sleeping(Clock):
    """A clock that sleeping moves on.

    Attributes:
        slept: seconds of every sleep.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def thread_time(self) -> float:
        return 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Sleeping:
    """The time of calls in this thread."""
    clock = Sleeping()
    monkeypatch.setattr("autoexec.engine.front.time", clock)
    return clock


def attended(call: Callable[..., Any], star: bool = False, **wishes: Any) -> tuple[Attended, Hosts]:
    """The function as the caller's thread calls it."""
    hosts = Hosts(resolve(wishes))
    return Attended(call, hosts, star), hosts


def script(*outcomes: Any) -> Callable[[Any], Any]:
    """A function that returns or raises one thing after the other."""
    left = list(outcomes)

    def call(item: Any) -> Any:
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return call


def test_a_value_is_just_returned(clock: Sleeping) -> None:
    """Nothing waits, one call is counted."""
    here, hosts = attended(abs, on_error="return")
    assert here(-3) == 3 and clock.slept == []
    assert (hosts.tally.calls, hosts.tally.at_once) == (1, 0)


def test_several_arguments(clock: Sleeping) -> None:
    """With `star` the host is found among the arguments."""
    here, hosts = attended(lambda url, n: n, star=True, on_error="return")
    assert here("http://a.org/1", 7) == 7
    assert [entry.host for entry in hosts.stats(0).hosts] == ["a.org"]


def test_an_error_comes_back_as_a_value(clock: Sleeping) -> None:
    """The run goes on; what becomes of the error is decided where results are delivered."""
    error = ValueError("x")
    here, hosts = attended(script(error), on_error="return")
    failure = here(1)
    assert isinstance(failure, Failure) and failure.error is error
    assert hosts.stats(0).failures[0].kind == "ValueError"


def test_retries_run_here_after_a_sleep(clock: Sleeping) -> None:
    """The back-off is slept, so that whoever watches this thread sees it wait."""
    here, hosts = attended(script(ConnectionError("a"), ConnectionError("b"), 5), retries=2)
    assert here(1) == 5
    assert len(clock.slept) == 2 and hosts.tally.calls == 3 and hosts.tally.retries == 2


def test_the_last_error_tells_of_all(clock: Sleeping) -> None:
    """After the retries its notes name every attempt."""
    here, _ = attended(script(ConnectionError("a"), ConnectionError("b")), retries=1)
    failure = here(1)
    assert str(failure.error) == "b"
    assert ["attempt 1" in failure.error.__notes__[0], "attempt 2" in failure.error.__notes__[1]] == [
        True
    ] * 2


def test_a_response_that_says_to_try_again(clock: Sleeping) -> None:
    """It is; and if that does not help it is the result."""
    last = Reply(503)
    here, _ = attended(script(Reply(503), last), retries=1)
    assert here(1) is last


def test_retry_after_is_slept(clock: Sleeping) -> None:
    """At least as long as asked for, in steps of a second at most while it waits its turn."""
    here, _ = attended(script(HTTPError(429, Retry_After="30"), 5), retries=1)
    assert here(1) == 5
    assert sum(clock.slept) >= 30


def test_a_pause_holds_the_next_item_too(clock: Sleeping) -> None:
    """Without retries the item fails, and the next one waits."""
    here, _ = attended(script(HTTPError(429, Retry_After="5"), 7))
    assert isinstance(here(1), Failure)
    began = clock.now
    assert here(2) == 7 and clock.now - began == pytest.approx(5, abs=0.1)
    assert max(clock.slept) <= 1.0


def test_a_closed_host_is_not_called(clock: Sleeping) -> None:
    """Its items are refused without a call."""
    here, hosts = attended(script(HTTPError(503, Retry_After="100000")), retries=3)
    assert isinstance(here(1).error, HTTPError)
    assert isinstance(here(2).error, Refused)
    assert hosts.tally.calls == 1


def test_an_error_of_per_is_the_items_own(clock: Sleeping) -> None:
    """The function is not called."""
    here, hosts = attended(script(), per=lambda item: 1 // item)
    failure = here(0)
    assert isinstance(failure.error, ZeroDivisionError)
    assert any("per=" in note for note in failure.error.__notes__)
    assert hosts.tally.calls == 0


def test_a_rate_is_kept_here_too(clock: Sleeping) -> None:
    """Three calls at two a second take a second."""
    pytest.importorskip("pyrate_limiter")
    here, _ = attended(abs, rate="2/s", burst=1)
    began = clock.now
    for item in range(3):
        here(item)
    assert clock.now - began == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, BrokenWorker])
def test_what_ends_the_run_goes_through(clock: Sleeping, kind: type[BaseException]) -> None:
    """It is not made a value, and is not tried again."""
    here, hosts = attended(script(kind()), retries=3, on_error="return")
    with pytest.raises(kind):
        here(1)
    assert hosts.tally.calls == 0


# The desk of a plan -----------------------------------------------------------------------------------------


def subject(chunk: Chunk) -> tuple[Any, bool]:
    """What the host is found in."""
    return chunk.items[0], False


def desk_for(plan: Plan, profile: Profile | None) -> Hosts:
    """The hosts after a desk was opened for a plan."""
    hosts = Hosts(resolve({}))
    open_desk(hosts, plan, profile, lambda _: None, Inner, subject=subject).close()
    return hosts


def test_only_adaptive_plans_set_the_concurrency() -> None:
    """Elsewhere the number of workers is the plan's."""
    assert desk_for(Plan("threads", 5), None).lane("a").controller is None
    assert desk_for(Plan("threads", 5, adaptive=True), None).lane("a").controller is not None


def test_the_profile_tells_how_much_of_a_call_holds_the_gil() -> None:
    """What was measured of whole items counts; a first glance at a running one does not."""
    profile = Profile("f", 3, 0.1, 0.01, 0.03, 0.06, kind=WorkKind.IO)
    plan = Plan("threads", 5, adaptive=True)
    assert desk_for(plan, profile).held_share == pytest.approx(0.25)
    glance = Profile("f", 1, 0.1, 0.01, 0.03, 0.06, kind=WorkKind.IO, partial=True)
    assert desk_for(plan, glance).held_share == 1.0


def test_a_late_profile_reaches_the_hosts() -> None:
    """What the first item took is learned when it ends, and may let more calls begin."""
    hosts, made = Hosts(resolve({})), list[Inner]()

    def open_backend(ended: Any) -> Inner:
        made.append(Inner(ended))
        return made[0]

    plan = Plan("threads", 5, adaptive=True)
    desk = open_desk(hosts, plan, None, lambda _: None, open_backend, subject=subject)
    desk.submit(Chunk(0, [1], abs))
    desk.profiled(0.1, 0.0)
    assert len(made[0].out) == 1
    desk.close(kill=True)
