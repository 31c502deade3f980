"""What the planner says of functions, arguments and results that cannot leave this process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from autoexec.backends.inline import Block
from autoexec.engine.planning import Planner
from autoexec.engine.sampling import Sampler
from autoexec.engine.source import Source
from autoexec.measure.facts import Facts
from autoexec.options import Options
from autoexec.records import Hazard, Profile, WorkKind
from autoexec.safety.effects import Effects
from autoexec.worker.invoke import CallSpec, Task
from tests.engine.fakes import made_up_machine

LOCK = threading.Lock()
BUSY = Profile("work", 3, 0.1, 0.1, 0.0, 0.0, kind=WorkKind.PYTHON, remaining=1000)


def work(x: Any) -> Any:
    """Something to plan."""
    return x


def planner(call: Callable[..., Any] = work, star: bool = False, **wishes: Any) -> Planner:
    """Plans calls on a made-up machine."""
    facts = Facts(made_up_machine())
    return Planner(call, Options(**wishes), Source(([],), star), CallSpec(call), facts=facts)


def _stays(
    args: tuple[Any, ...] | None, value: Any = None, block: Block | None = None, star: bool = False
) -> str:
    sampler = Sampler(work)
    sampler.last = None if args is None else (args, value)
    _, stays = planner(star=star)._with_crossing(BUSY, sampler, block)
    return stays


@pytest.mark.parametrize(
    ("args", "value", "path"),
    [
        (({"handle": LOCK},), 1, "args[0]['handle']"),
        ((1, [LOCK]), 1, "args[1][0]"),
        ((1,), {"rows": [1, 2, LOCK]}, "result['rows'][2]"),
        ((1,), (x for x in "abc"), "result"),
    ],
)
def test_the_path_to_what_keeps_a_function_here(args: tuple[Any, ...], value: Any, path: str) -> None:
    """The reason names it, its type and the function."""
    stays = _stays(args, value)
    assert stays.startswith(f"{path} (")
    assert "cannot be pickled" in stays and stays.endswith("(work)")


@pytest.mark.parametrize(("item", "star"), [([1, LOCK], False), ((LOCK, 1), True)])
def test_an_item_that_still_runs(item: Any, star: bool) -> None:
    """Its arguments are looked at before there is any result."""
    path = "args[0] " if star else "args[0][1] "
    assert _stays(None, block=Block(Task(CallSpec(work), 0, [item]), 0.0), star=star).startswith(path)


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_items_that_advance_the_input_stay_here(backend: str) -> None:
    """Whatever others would gain: the plan names them."""
    source = Source((itertools.groupby(range(50), key=lambda i: i // 5),))
    source.put_by(source.pull(1))
    facts = Facts(made_up_machine())
    plans = Planner(work, Options(backend=backend), source, CallSpec(work), facts=facts)
    plan = plans._choose(BUSY, Sampler(work), fork=False, stays="")
    assert plan.backend == "serial" and "advances the input" in str(plan)


def test_what_can_cross_stays_nowhere() -> None:
    """No reason, and the bytes are known."""
    sampler = Sampler(work)
    sampler.last = (("a",), "b")
    profile, stays = planner()._with_crossing(BUSY, sampler, None)
    assert stays == "" and profile.bytes_in and profile.bytes_out


class Unloadable:
    """Pickles, but does not load again."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_a_result_that_does_not_load_again() -> None:
    """Nothing in it can be accused."""
    assert _stays((1,), Unloadable()).startswith("result (")
    assert "can be pickled here, but not sent and loaded again (work)" in _stays((1,), Unloadable())


def test_a_function_that_cannot_be_sent() -> None:
    """A backend that asks for its bytes gets the path in a `TypeError`."""

    def make() -> Callable[[int], Any]:
        conn = {"lock": LOCK}

        def func(x: int) -> Any:
            return conn, x

        return func

    func = make()
    with pytest.raises(
        TypeError, match=r"func cannot be sent to another process: func.__closure__\['conn'\]"
    ) as caught:
        planner(func)._serialised(CallSpec(func))
    assert "autoexec.per_worker" in str(caught.value)
    assert isinstance(planner(func)._serialised(CallSpec(work)), bytes)


def test_copies_of_arguments_may_be_changed() -> None:
    """With `writable="copy"` that hazard says nothing against other processes; all others still do."""
    argument = Hazard("changes its argument", "x", "here.py:1", True)
    other = Hazard("changes a captured object", "seen", "here.py:1", False)
    sampler = Sampler(work)
    sampler.effects = Seen((argument, other))
    assert planner()._against(sampler) == (argument, other)
    assert planner(writable="copy")._against(sampler) == (other,)


class Seen(Effects):
    """What was seen is made up."""

    def __init__(self, found: tuple[Hazard, ...], explained: bool = False) -> None:
        super().__init__(work)
        self.found, self.explained = found, explained

    def hazards(self, *, strict: bool = False) -> tuple[Hazard, ...]:
        return self.found

    def explains(self, hazard: Hazard) -> bool:
        return self.explained


LEVEL: Any = None


def lazy(x: int) -> Any:
    """Fills a place once."""
    global LEVEL
    if LEVEL is None:
        LEVEL = {"a": 1}
    return LEVEL["a"] + x


def test_what_is_filled_once_is_explained() -> None:
    """What the code shows does not count once items have shown that it happens once."""
    sampler = Sampler(lazy)
    sampler.effects = Seen((), explained=False)
    (written,) = planner(lazy)._against(sampler)
    assert written.kind == "writes a global"
    sampler.effects = Seen((), explained=True)
    assert planner(lazy)._against(sampler) == ()
    assert planner(lazy, effects="strict")._against(sampler) == (written,)
    sampler.effects = Seen((written,))
    assert planner(lazy, effects="ignore")._against(sampler) == ()


def test_a_rest_of_nothing_has_one_way() -> None:
    """When the input ends just as a plan is made, threads that were asked for have nothing to do, either."""
    sampler = Sampler(work)
    profile = Profile("work", 3, 0.1, 0.0, 0.0, 0.1, kind=WorkKind.IO, remaining=0)
    plan = planner(backend="threads")._choose(profile, sampler, fork=False, stays="")
    assert plan.backend == "serial"


def test_with_one_core_what_computes_stays() -> None:
    """In a worker that shares two cores with another one, a loop is the best there is."""
    sampler = Sampler(work)
    sampler.last = ((1,), 1)
    facts = Facts(made_up_machine(1))
    spec = CallSpec(work)
    one = Planner(work, Options(), Source(([],)), spec, facts=facts)
    assert one._choose(BUSY, sampler, fork=True, stays="").backend == "serial"
    facts = Facts(made_up_machine(2))
    two = Planner(work, Options(), Source(([],)), spec, facts=facts)
    profile = two._with_crossing(BUSY, sampler, None)[0]
    assert two._choose(profile, sampler, fork=True, stays="").backend == "processes"
