"""The one place where a call is made: four loops, errors as values, what a task comes to."""

from __future__ import annotations

import contextvars
import gc
import math
import pickle
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.errors import BrokenWorker
from autoexec.worker import remote_errors
from autoexec.worker.invoke import Apart, CallSpec, Error, Task, is_clean, run_async, run_items, run_task

WORDS = contextvars.ContextVar("WORDS", default="")


def outcomes(spec: CallSpec, items: Any) -> list[Any]:
    """What `run_items` makes of items, errors as they are."""
    found: list[Any] = []
    run_items(spec, items, found)
    return [each.error if type(each) is Error else each for each in found]


def kinds(found: list[Any]) -> list[Any]:
    """Values, and the classes of errors."""
    return [type(each) if isinstance(each, BaseException) else each for each in found]


def divide(*numbers: int) -> int:
    """10 by a number, or one by another."""
    return 10 // numbers[0] if len(numbers) == 1 else numbers[0] // numbers[1]


# Loops ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("star", "items"), [(False, [1, 2, 5]), (True, [(10, 1), (10, 2), (10, 5)])])
def test_the_four_loops(star: bool, items: list[Any], together: bool) -> None:
    """Single arguments or tuples, in one context for all or in one for each."""
    spec = CallSpec(divide, star=star)
    spec.together = together
    assert outcomes(spec, items) == [10, 5, 2]


@pytest.mark.parametrize("together", [False, True])
def test_an_error_ends_a_task_that_does_not_capture(together: bool) -> None:
    """What came before it is there; nothing behind it is taken."""
    spec, items = CallSpec(divide), iter([2, 1, 0, 5])
    spec.together = together
    assert kinds(outcomes(spec, items)) == [5, 10, ZeroDivisionError]
    assert list(items) == [5]


@pytest.mark.parametrize("together", [False, True])
@given(st.lists(st.integers(0, 3), max_size=12))
def test_errors_are_values_where_a_task_captures(together: bool, items: list[int]) -> None:
    """Each in its place, and the loop goes on behind it."""
    spec = CallSpec(divide, capture=True)
    spec.together = together
    assert kinds(outcomes(spec, items)) == [10 // x if x else ZeroDivisionError for x in items]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, BrokenWorker])
def test_what_is_more_than_an_items_own_affair_ends_the_task(kind: type[BaseException]) -> None:
    """Even where errors are values."""

    def leave(x: int) -> int:
        if x == 1:
            raise kind
        return x

    assert kinds(outcomes(CallSpec(leave, capture=True), [0, 1, 2])) == [0, kind]


def test_a_stop_iteration_of_the_functions_is_an_error() -> None:
    """It does not end the loop in silence, as it would a generator."""

    def stop(x: int) -> None:
        raise StopIteration(x)

    assert kinds(outcomes(CallSpec(stop, capture=True), [1, 2])) == [StopIteration] * 2


def test_items_are_taken_one_by_one_just_before_they_run() -> None:
    """Whoever hands them out can stop after the one that runs."""
    steps: list[str] = []

    def items() -> Iterator[int]:
        for i in range(3):
            steps.append(f"take {i}")
            yield i

    run_items(CallSpec(lambda i: steps.append(f"run {i}")), items(), [])
    assert steps == ["take 0", "run 0", "take 1", "run 1", "take 2", "run 2"]


def test_an_error_holds_on_to_nothing_but_the_functions_frames() -> None:
    """Items, outcomes and the error itself are not kept alive by its traceback, not even in a cycle."""

    class Thing:
        pass

    class Mine(Exception):
        pass

    def fail(thing: Thing) -> None:
        del thing
        raise Mine

    gc.disable()
    try:
        items = [Thing(), Thing()]
        seen = [weakref.ref(item) for item in items]
        found: list[Any] = []
        run_items(CallSpec(fail, capture=True), items, found)
        errors = [each.error for each in found]
        gone = weakref.ref(found[0].error)
        del items, found
        assert [ref() for ref in seen] == [None, None]
        del errors
        assert gone() is None
    finally:
        gc.enable()


# Tasks ------------------------------------------------------------------------------------------------------


def test_what_a_task_comes_to() -> None:
    """Outcomes, clocks and who ran it."""
    result = run_task(spec := CallSpec(divide, capture=True), Task(spec, 3, [2, 0]), "thread 1")
    assert result.outcomes[0] == 5 and type(result.outcomes[1]) is Error
    assert 0.0 < result.began <= result.ended and result.cpu_s >= 0.0
    assert (result.worker, result.clean, result.split, result.withdrawn) == ("thread 1", False, False, False)
    assert run_task(spec, Task(spec, 0, [2]), "").clean


def test_a_task_that_nobody_wants_is_not_run() -> None:
    """Its future was cancelled before it began."""
    ran: list[int] = []
    task = Task(CallSpec(ran.append), 0, [1])
    task.future = Future()
    assert task.future.cancel()
    result = run_task(task.spec, task, "here")
    assert result.withdrawn and result.outcomes == [] and ran == []


def test_a_task_is_asked_once_whether_it_is_wanted() -> None:
    """One that was asked already is begun; one of a map always is."""
    task = Task(CallSpec(abs), 0, [1])
    assert task.begin() and not task.asked
    task.future = Future()
    assert task.begin() and task.asked and task.future.running() and task.begin()


def test_a_task_runs_in_the_context_of_its_own_call() -> None:
    """Where it has one; else in that of whoever runs it."""
    spec = CallSpec(lambda x: WORDS.get())
    task = Task(spec, 0, [1])
    token = WORDS.set("at the call")
    task.context = contextvars.copy_context()
    WORDS.reset(token)
    assert run_task(spec, task, "").outcomes == ["at the call"]
    token = WORDS.set("of the thread")
    assert run_task(spec, Task(spec, 0, [1]), "").outcomes == ["of the thread"]
    WORDS.reset(token)


@given(st.lists(st.booleans(), max_size=6), st.booleans())
def test_whether_there_is_an_error(fails: list[bool], capture: bool) -> None:
    """Anywhere among values; without capturing only the last can be one."""
    if not capture:
        fails = [False] * len(fails[:-1]) + fails[-1:]
    found = [Error(ValueError()) if fail else 1 for fail in fails]
    assert is_clean(CallSpec(abs, capture=capture), found) == (not any(fails))


def test_what_is_to_be_awaited() -> None:
    """An async function is called with an item or with its arguments."""

    async def add(*numbers: int) -> int:
        return sum(numbers)

    for star, item in ((False, 3), (True, (1, 2))):
        call = run_async(CallSpec(add, star=star), item)
        with pytest.raises(StopIteration) as ended:
            call.send(None)
        assert ended.value.value == 3


# On the way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_spec_travels(protocol: int) -> None:
    """With all that workers need; what only the caller has, its context, stays."""
    spec = CallSpec(
        divide, star=True, capture=True, initializer=print, initargs=(1,), context=contextvars.copy_context()
    )
    copy = pickle.loads(pickle.dumps(spec, protocol))
    assert (copy.call, copy.star, copy.capture) == (divide, True, True)
    assert (copy.initializer, copy.initargs, copy.token) == (print, (1,), spec.token)
    assert copy.context is None and not copy.together and spec.token


def test_each_run_has_a_token_of_its_own() -> None:
    """Where there is something that a worker has to remember."""
    first, second = (CallSpec(abs, initializer=print).token for _ in range(2))
    assert first and second and first != second
    assert CallSpec(abs).token == "" and CallSpec(abs, initializer=print, token="a").token == "a"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (CallSpec(math.sqrt), True),
        (CallSpec(math.sqrt, star=True, capture=True), True),
        (CallSpec(lambda x: x), False),
        (CallSpec(math.sqrt, initializer=print), True),
        (CallSpec(math.sqrt, initializer=lambda: None), False),
        (CallSpec(math.sqrt, initializer=print, initargs=("may be of __main__",)), False),
    ],
)
def test_what_a_fresh_interpreter_finds_by_name(spec: CallSpec, found: bool) -> None:
    """Then plain pickle will do, and cloudpickle need not be imported."""
    assert spec.importable is found
    spec.values = {("decimal", "x"): 1}
    assert not spec.importable


def test_an_error_among_outcomes_travels() -> None:
    """With its traceback as text."""
    found: list[Any] = []
    run_items(CallSpec(divide, capture=True), [0], found)
    copy = pickle.loads(pickle.dumps(found[0]))
    assert type(copy) is Error and type(copy.error) is ZeroDivisionError
    assert isinstance(copy.error.__cause__, remote_errors.RemoteTraceback) and "divide" in str(
        copy.error.__cause__
    )
    assert repr(copy) == "Error(ZeroDivisionError('integer division or modulo by zero'))"


# Apart ------------------------------------------------------------------------------------------------------


def test_a_call_apart_gives_what_it_gives() -> None:
    """Its value, or its error, again and again."""
    apart = Apart()
    assert apart(divide, 10, 5) == 2
    for error in (ZeroDivisionError, KeyboardInterrupt, GeneratorExit, StopIteration):
        with pytest.raises(error):
            apart(_raise, error)
    assert apart(divide, 10, 5) == 2


def _raise(kind: Callable[[], BaseException]) -> None:
    raise kind()


def test_an_error_of_a_call_apart_does_not_lead_to_its_caller() -> None:
    """Above the frame that called there is none: whoever holds the error does not hold the caller."""
    apart, found = Apart(), []
    apart(run_items, CallSpec(divide, capture=True), [0], found)
    frame = found[0].error.__traceback__.tb_frame
    while frame is not None:
        assert frame.f_code is not test_an_error_of_a_call_apart_does_not_lead_to_its_caller.__code__
        frame = frame.f_back
