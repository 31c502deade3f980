"""What a run adds to a function and to a backend, and when it adds nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from autoexec.backends.base import Backend, Capturing, Chunk, Deliver, Finished
from autoexec.backends.prepared import Prepared
from autoexec.engine.attention import Attention
from autoexec.engine.desk import Desk
from autoexec.engine.front import Attended
from autoexec.options import resolve
from autoexec.records import Plan, Profile
from tests.engine.scene import Inner

ADAPTIVE = Plan("threads", 4, adaptive=True)
ATTENDED = [{"per": str}, {"rate": "5/s"}, {"retries": 1}, {"on_error": "return"}, {"on_error": "skip"}]


async def wait_for(item: int) -> int:
    """An async function."""
    return item


class Judge:
    """Opens backends that only take notes.

    Attributes:
        opened: plan, whether to fork and whether to be eager, for each.
        inner: the backend opened last.
    """

    machine = SimpleNamespace(gil=True)

    def __init__(self) -> None:
        self.opened: list[tuple[Plan, bool, bool]] = []
        self.inner: Inner

    def open(
        self,
        plan: Plan,
        deliver: Deliver,
        *,
        fork: bool,
        eager: bool = False,
        profile: Profile | None = None,
    ) -> Inner:
        self.opened.append((plan, fork, eager))
        self.inner = Inner(deliver)
        return self.inner


def attention(
    call: Callable[..., Any] = abs, *, star: bool = False, keep: Any = None, **wishes: Any
) -> Attention:
    """What a run with these options adds."""
    for extra, module in (("retries", "tenacity"), ("rate", "pyrate_limiter")):
        if extra in wishes:
            pytest.importorskip(module)
    return Attention(call, resolve(wishes), star, keep)


def opened(care: Attention, plan: Plan, profile: Profile | None = None) -> tuple[Any, Judge, list[Finished]]:
    """The backend of a plan, who opened what is behind it, and what comes out."""
    judge, done = Judge(), list[Finished]()
    backend: Backend = care.open(judge, plan, profile, done.append, fork=True)  # type: ignore[arg-type]
    return backend, judge, done


# Functions --------------------------------------------------------------------------------------------------


def test_a_plain_call_is_left_alone() -> None:
    """Nobody pays for what was not asked for."""
    care = attention()
    assert care.here is care.sent is abs
    assert care.hosts is None and not care.is_async


@pytest.mark.parametrize("wishes", ATTENDED, ids=str)
def test_single_calls_are_attended_to(wishes: dict[str, Any]) -> None:
    """Here they wait their turn; in workers their errors become values."""
    care = attention(**wishes)
    assert isinstance(care.here, Attended) and isinstance(care.sent, Capturing)
    assert care.sent.call is abs and care.hosts is not None


def test_an_async_function_is_sent_as_it_is() -> None:
    """What it raises comes with its task: calling it raises nothing yet."""
    care = attention(wait_for, on_error="return")
    assert care.is_async and care.sent is wait_for and isinstance(care.here, Attended)


def test_an_initializer_goes_along() -> None:
    """Wherever the function is called, one and the same initializer belongs to it."""
    care = attention(initializer=list)
    assert isinstance(care.sent, Prepared) and care.here is care.sent
    assert care.sent.call is abs and care.hosts is None


def test_an_initializer_inside_the_care() -> None:
    """Its failure is no item's own, so it stands inside of what captures errors."""
    care = attention(initializer=list, on_error="return")
    assert isinstance(care.sent, Capturing) and isinstance(care.sent.call, Prepared)
    assert isinstance(care.here, Attended) and care.here(-3) == 3


# Backends ---------------------------------------------------------------------------------------------------


def test_a_plain_plan_gets_its_backend() -> None:
    """No desk stands in front of it."""
    care, plan = attention(), Plan("processes", 2)
    backend, judge, _ = opened(care, plan)
    assert backend is judge.inner and judge.opened == [(plan, True, True)]
    assert care.hosts is None


def test_an_adaptive_plan_gets_a_desk() -> None:
    """Somebody has to set the number of calls, even if single calls need no attention."""
    care = attention()
    backend, judge, done = opened(care, ADAPTIVE)
    assert isinstance(backend, Desk) and care.hosts is not None
    assert (judge.opened == [(ADAPTIVE, True, True)] and 1 <= care.hosts.limit <= 4) or not care.hosts.limit
    for start in range(10):
        backend.submit(Chunk(start, [start], abs))
    assert 1 <= len(judge.inner.out) <= 4 and done == []
    backend.close(kill=True)


@pytest.mark.parametrize("wishes", ATTENDED, ids=str)
def test_attended_calls_get_a_desk(wishes: dict[str, Any]) -> None:
    """One that knows the same hosts as the calls in the caller's own thread, and sets no limit."""
    care = attention(**wishes)
    hosts = care.hosts
    backend, judge, _ = opened(care, Plan("threads", 4))
    assert isinstance(backend, Desk) and care.hosts is hosts
    assert hosts is not None and hosts.limit == 0 and not hosts.full()
    backend.close(kill=True)
    assert judge.inner.closed == [{"wait": True, "kill": True}]


def test_a_second_plan_keeps_what_is_known() -> None:
    """What was learned of the other side does not end with a backend."""
    care = attention()
    first, _, _ = opened(care, ADAPTIVE)
    hosts = care.hosts
    second, _, _ = opened(care, ADAPTIVE)
    assert first is not second and care.hosts is hosts
    for backend in (first, second):
        backend.close(kill=True)


@pytest.mark.parametrize("star", [False, True])
def test_the_host_is_found_in_the_arguments(star: bool) -> None:
    """`per=` gets an item, or the arguments that a tuple stands for."""
    seen: list[tuple[Any, ...]] = []

    def per(*args: Any) -> str:
        seen.append(args)
        return "host"

    care = attention(star=star, per=per)
    backend, _, _ = opened(care, Plan("threads", 4))
    backend.submit(Chunk(0, [("a", "b")], abs, star))
    assert seen == [("a", "b") if star else (("a", "b"),)]
    backend.close(kill=True)


def test_results_are_kept_as_they_come() -> None:
    """The desk tells the journal of each result."""
    kept: list[tuple[int, list[Any]]] = []
    care = attention(on_error="return", keep=lambda start, values: kept.append((start, values)))
    backend, judge, done = opened(care, Plan("threads", 4))
    backend.submit(Chunk(7, ["x"], abs))
    (job,) = judge.inner.out
    judge.inner.ended(Finished(job, [1], None, 0.0, 0.0, "the test"))
    assert kept == [(7, [1])] and [finished.values for finished in done] == [[1]]
    backend.close()


def test_async_calls_go_to_an_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to what the judge opens; it tells the hosts who kept the loop busy."""
    asked: dict[str, Any] = {}

    def open_loop(plan: Plan, deliver: Deliver, *, loop: Any, blocked: Any) -> Inner:
        asked.update(plan=plan, loop=loop, blocked=blocked)
        return Inner(deliver)

    monkeypatch.setattr("autoexec.backends.registry.open_loop", open_loop)
    care, plan = attention(wait_for), Plan("asyncio", 8, adaptive=True)
    backend, judge, _ = opened(care, plan)
    assert isinstance(backend, Desk) and judge.opened == []
    assert asked["plan"] is plan and asked["loop"] is None
    asked["blocked"](Chunk(3, ["x"], wait_for), 0.5)
    assert care.hosts is not None and care.hosts.stats(0).blocked_s == 0.5
    backend.close(kill=True)
