"""Context variables hold per item: what one sets reaches neither the next one nor the caller."""

from __future__ import annotations

import contextvars
import decimal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import autoexec
from autoexec.resources import Scope, current, here
from autoexec.worker import context as context_module
from autoexec.worker.context import carried, changed, for_a_thread, may_set_variables, of_call, taken_up
from autoexec.worker.invoke import CallSpec, Task, run_items, run_task

NAME = contextvars.ContextVar("NAME", default="nobody")
OTHER: contextvars.ContextVar[str] = contextvars.ContextVar("OTHER")


def set_and_tell(x: int) -> str:
    """What an item finds; then it sets something else."""
    found = NAME.get()
    NAME.set(f"item {x}")
    OTHER.set(f"item {x}")
    return found


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """No test sets a variable for those that follow, and no item does for its caller."""
    before = contextvars.copy_context()
    yield
    assert changed(before, contextvars.copy_context()) == ""


@pytest.fixture
def me(as_before: None) -> Iterator[contextvars.Context]:
    """The context of a call whose caller has set a variable; by now it has another value."""
    token = NAME.set("me")
    context = contextvars.copy_context()
    NAME.reset(token)
    token = NAME.set("later")
    yield context
    NAME.reset(token)


# Per item ---------------------------------------------------------------------------------------------------


def by_items(context: contextvars.Context, items: list[int]) -> list[Any]:
    """As in the caller's own thread."""
    found: list[Any] = []
    run_items(CallSpec(set_and_tell, context=context), items, found)
    return found


def by_task(context: contextvars.Context, items: list[int]) -> list[Any]:
    """As in a worker for a call of its own."""
    spec = CallSpec(set_and_tell)
    task = Task(spec, 0, items)
    task.context = context
    return run_task(spec, task, "").outcomes


def by_thread(context: contextvars.Context, items: list[int]) -> list[Any]:
    """As in a thread of a pool, which has a copy of the context of a map."""
    spec = CallSpec(set_and_tell, context=context)
    return context.copy().run(run_task, spec, Task(spec, 0, items), "").outcomes


@pytest.mark.parametrize("run", [by_items, by_task, by_thread])
@pytest.mark.parametrize("size", [1, 3])
def test_each_item_finds_what_its_caller_had_at_the_call(
    run: Callable[[contextvars.Context, list[int]], list[Any]], size: int, me: contextvars.Context
) -> None:
    """Not what was set later, nor what an item before it has set, also of an earlier task."""
    for _ in range(2):
        assert run(me, list(range(size))) == ["me"] * size
    assert NAME.get() == "later" and me[NAME] == "me" and OTHER not in me


def test_an_item_that_raises_leaves_nothing_behind_either(me: contextvars.Context) -> None:
    """The copy goes with it."""

    def call(x: int) -> str:
        if x == 1:
            NAME.set("failed")
            raise ValueError
        return NAME.get()

    found: list[Any] = []
    run_items(CallSpec(call, capture=True, context=me), [0, 1, 2], found)
    assert (found[0], found[2]) == ("me", "me")


@pytest.mark.parametrize("backend", ["auto", "serial", "threads"])
@pytest.mark.parametrize("shared", [False, True])
def test_what_items_set_stays_with_them(backend: Any, shared: bool) -> None:
    """From end to end; also where it is another function that sets it, and they have set it before."""
    token = NAME.set("me")
    try:
        call = (lambda x: set_and_tell(x)) if shared else set_and_tell
        assert set(autoexec.map(call, range(500), backend=backend)) == {"me"}
        assert NAME.get() == "me" and OTHER.get("") == ""
    finally:
        NAME.reset(token)


def test_the_precision_of_an_item_is_its_own() -> None:
    """As `decimal.localcontext` would do it, for whoever sets the context itself."""

    def divide(x: int) -> str:
        found = str(decimal.Decimal(1) / 3)
        decimal.setcontext(decimal.Context(prec=x + 1))
        return found

    before = decimal.getcontext()
    with decimal.localcontext(prec=4):
        assert set(autoexec.map(divide, range(50), backend="serial")) == {"0.3333"}
    assert decimal.getcontext().prec == before.prec


# One copy for a block ---------------------------------------------------------------------------------------


class Counted:
    """Makes contexts, and counts them."""

    def __init__(self, context: contextvars.Context) -> None:
        self.made: list[contextvars.Context] = []
        self._context = context

    def __call__(self) -> contextvars.Context:
        self.made.append(self._context.copy())
        return self.made[-1]


@given(blocks=st.lists(st.integers(0, 5), max_size=5))
def test_items_that_set_nothing_share_a_copy_block_by_block(blocks: list[int]) -> None:
    """So a trivial call costs no context; else each has one of its own."""
    for together in (True, False):
        spec, fresh = CallSpec(abs, context=contextvars.copy_context()), Counted(contextvars.copy_context())
        spec.together = together
        for size in blocks:
            run_items(spec, range(size), [], fresh)
        assert len(fresh.made) == (len(blocks) if together else sum(blocks))
        assert spec.together == together and spec.sets == ""


@pytest.mark.parametrize("at", [0, 2, 4])
def test_the_first_that_sets_a_variable_ends_the_sharing(at: int, me: contextvars.Context) -> None:
    """The next block finds what the caller had, and so does each of its items; the name is told."""

    def call(x: int) -> str:
        return set_and_tell(x) if x >= at else NAME.get()

    spec, fresh = CallSpec(call, context=me), Counted(me)
    spec.together = True
    found: list[Any] = []
    run_items(spec, range(5), found, fresh)
    assert found[: at + 1] == ["me"] * (at + 1) and len(fresh.made) == 1
    assert not spec.together and spec.sets in ("NAME", "OTHER")
    found.clear()
    run_items(spec, range(5, 10), found, fresh)
    assert found == ["me"] * 5 and len(fresh.made) == 6 and NAME.get() == "later"


def test_errors_in_a_block_that_shares_a_copy(me: contextvars.Context) -> None:
    """The items behind one still have the context of the caller."""

    def call(x: int) -> str:
        if x == 1:
            raise ValueError
        return NAME.get()

    spec, found = CallSpec(call, capture=True, context=me), list[Any]()
    spec.together = True
    run_items(spec, range(3), found)
    assert (found[0], type(found[1].error), found[2]) == ("me", ValueError, "me") and spec.together


# What may set a variable ------------------------------------------------------------------------------------


def test_a_change_is_told_by_its_name() -> None:
    """Set, set anew, and set to the same."""
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("level")
    before = contextvars.Context()
    after = before.copy()
    assert changed(before, after) == ""
    after.run(variable.set, 1)
    assert changed(before, after) == "level"
    again = after.copy()
    again.run(variable.set, 1)
    assert changed(after, again) == ""
    again.run(variable.set, [1])
    assert changed(after, again) == "level"
    assert changed(after, before) == "a variable that was reset"


def test_set_and_reset_is_no_change() -> None:
    """As context managers do it."""

    def call() -> None:
        NAME.reset(NAME.set("for a moment"))

    before = contextvars.copy_context()
    after = before.copy()
    after.run(call)
    assert changed(before, after) == ""


def _sets(x: int) -> Any:
    return NAME.set("a")


def _sets_within(x: int) -> Any:
    return [(lambda: decimal.localcontext())() for _ in range(x)]


class _Called:
    def __call__(self, x: int) -> Any:
        return x


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: x + 1, False),
        (_sets, True),
        (_sets_within, True),
        (partial(_sets, 1), True),
        (NAME.set, True),
        (abs, False),
        (str.upper, True),  # no code to look at
        (_Called(), True),
        (int, True),
    ],
)
def test_code_that_names_a_way_to_set_a_variable(call: Any, expected: bool) -> None:
    """Or that cannot be looked at; built-in functions set none."""
    assert may_set_variables(call) is expected


# Workers ----------------------------------------------------------------------------------------------------


def test_a_call_finds_the_objects_of_the_worker_that_runs_it(me: contextvars.Context) -> None:
    """Not those of the worker that made the call; all else is as it was there."""
    outer, inner = Scope(), Scope()
    me.run(current.set, outer)
    context = contextvars.copy_context()
    context.run(current.set, inner)
    own = context.run(of_call, me)
    assert own.run(here) is inner and own[NAME] == "me" and me[current] is outer
    own.run(NAME.set, "changed")
    assert me[NAME] == "me"


def test_a_task_finds_them_too(me: contextvars.Context) -> None:
    """Each of its items."""
    me.run(current.set, Scope())
    spec, scope = CallSpec(lambda x: here()), Scope()
    task = Task(spec, 0, [1, 2])
    task.context = me
    context = contextvars.copy_context()
    context.run(current.set, scope)
    assert context.run(run_task, spec, task, "").outcomes == [scope, scope]


def test_what_an_initializer_sets_holds_in_its_thread() -> None:
    """For all its items, whatever these set; no other thread hears of it."""
    context = contextvars.copy_context()
    spec = CallSpec(set_and_tell, initializer=NAME.set, initargs=("set up",), context=context)
    found: list[Any] = []

    def work() -> None:
        found.append(run_task(spec, Task(spec, 0, [1, 2]), "").outcomes)
        found.append(run_task(spec, Task(spec, 0, [3]), "").outcomes)

    thread = threading.Thread(target=context.copy().run, args=(work,))
    thread.start()
    thread.join()
    assert found == [["set up"] * 2, ["set up"]]
    assert NAME.get() == context.run(NAME.get) == "nobody"


# To another process -----------------------------------------------------------------------------------------


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that holds a variable under its name."""
    found = ModuleType("holds_variables")
    found.level = contextvars.ContextVar("level", default=0)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holds_variables", found)
    return found


def test_what_is_set_goes_by_module_and_name(module: ModuleType) -> None:
    """Where a variable is found by its name, and its value can cross."""
    nameless: contextvars.ContextVar[int] = contextvars.ContextVar("nameless")
    context = contextvars.Context()
    context.run(module.level.set, 3)
    context.run(nameless.set, 1)
    context.run(current.set, None)
    values = carried(context, lambda value: True)
    assert values == {("holds_variables", "level"): 3}
    assert carried(context, lambda value: False) == carried(None, lambda value: True) == {}
    there = taken_up(values)
    assert there[module.level] == 3 and module.level.get() == 0


def test_what_is_not_to_be_found_there_is_left_out(module: ModuleType) -> None:
    """Neither a module, nor a name, nor a variable any more: the others are set."""
    module.plain = 1  # type: ignore[attr-defined]
    there = taken_up({
        ("no_such_module", "level"): 1,
        ("holds_variables", "no_such_name"): 2,
        ("holds_variables", "plain"): 3,
        ("holds_variables", "level"): 4,
    })  # fmt: skip
    assert there[module.level] == 4 and changed(contextvars.copy_context(), there) == "level"


def test_a_spec_that_arrives_has_the_callers_variables(module: ModuleType) -> None:
    """Each item there in a copy of its own."""
    import pickle

    spec = CallSpec(abs)
    spec.values = {("holds_variables", "level"): 7}
    copy = pickle.loads(pickle.dumps(spec))
    assert copy.values == spec.values
    context = copy.in_worker()
    assert context[module.level] == 7 and context is not copy.context
    context.run(module.level.set, 8)
    assert copy.fresh_context()[module.level] == 7


LEVEL = contextvars.ContextVar("LEVEL", default="unset")


def tell_and_set(x: int) -> str:
    """What the initializer has set; then something else, which nobody else may see."""
    found = LEVEL.get()
    LEVEL.set(f"item {x}")
    return found


def set_up() -> None:
    """An initializer."""
    LEVEL.set("ready")


async def tell_and_set_async(x: int) -> str:
    """The same, in an event loop."""
    return tell_and_set(x)


@pytest.mark.parametrize("backend", ["auto", "serial", "threads", "processes", "asyncio"])
def test_items_find_what_their_initializer_has_set(backend: str) -> None:
    """All of them, in every worker; neither the caller does, nor another item what one has set."""
    call: Any = tell_and_set_async if backend == "asyncio" else tell_and_set
    results = autoexec.map(
        call,
        range(6),
        backend="auto" if backend == "asyncio" else backend,
        max_workers=2,
        initializer=set_up,
    )
    assert list(results) == ["ready"] * 6
    assert LEVEL.get() == "unset"


def test_a_variable_that_the_script_has_imported_is_found_where_it_comes_from(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh interpreter has another `__main__`."""
    variable = contextvars.ContextVar("V", default="")
    monkeypatch.setattr(sys.modules["__main__"], "V", variable, raising=False)
    monkeypatch.setattr(module, "V", variable, raising=False)
    context = contextvars.copy_context()
    context.run(variable.set, "mine")
    assert carried(context)[module.__name__, "V"] == "mine"


def test_a_variable_may_stand_under_another_name(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Than the one that it tells of itself."""
    variable = contextvars.ContextVar("the level", default="")
    monkeypatch.setattr(module, "LEVEL_OF_MINE", variable, raising=False)
    context = contextvars.copy_context()
    context.run(variable.set, "mine")
    assert carried(context)[module.__name__, "LEVEL_OF_MINE"] == "mine"


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_each_submitted_call_has_the_context_of_its_caller(backend: str) -> None:
    """As it was at that call, in other processes, too."""
    with autoexec.Executor(2, backend=backend) as executor:
        futures = []
        for level in ("low", "high", "low"):
            token = LEVEL.set(level)
            futures.append(executor.submit(tell_and_set, 0))
            LEVEL.reset(token)
        assert [future.result() for future in futures] == ["low", "high", "low"]


def test_a_variable_that_stands_nowhere_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each submitted call asks; only another module may be where it stands."""
    looked: list[str] = []
    look_for = context_module._look_for

    def counting(variable: contextvars.ContextVar[Any]) -> tuple[str, str] | None:
        looked.append(variable.name)
        return look_for(variable)

    monkeypatch.setattr(context_module, "_look_for", counting)
    variable = contextvars.ContextVar("stands nowhere", default=0)
    context = contextvars.Context()
    context.run(variable.set, 1)
    assert carried(context) == carried(context) == {} and len(looked) == 1
    home = ModuleType("stands_here")
    home.VARIABLE = variable  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stands_here", home)
    assert carried(context) == carried(context) == {("stands_here", "VARIABLE"): 1} and len(looked) == 2


def test_a_decimal_precision_goes_along() -> None:
    """Its variable stands in no module; in each thread it is a copy, as it is changed in place."""
    context = contextvars.copy_context()
    context.run(decimal.setcontext, decimal.Context(prec=50))
    there = taken_up(carried(context))
    assert there.run(decimal.getcontext).prec == 50
    one, other = for_a_thread(there), for_a_thread(there)
    one.run(decimal.getcontext).prec = 7
    assert other.run(decimal.getcontext).prec == there.run(decimal.getcontext).prec == 50
    assert of_call(one).run(decimal.getcontext) is not one.run(decimal.getcontext)
