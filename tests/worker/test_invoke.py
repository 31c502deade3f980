"""The one place where a call is made: four loops, errors as values, what a task comes to."""

from __future__ import annotations

import contextvars
import gc
import math
import pickle
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.errors import BrokenWorker
from autoexec.worker.invoke import (
    Apart,
    CallSpec,
    Error,
    Task,
    is_clean,
    run_async,
    run_items,
    run_task,
    serving,
)

WORDS = contextvars.ContextVar("WORDS", default="")


class Thing:
    """Can be seen to go."""


class Mine(Exception):
    """So can this."""


def fail(thing: Thing) -> None:
    """Holds on to nothing itself."""
    del thing
    raise Mine


@pytest.fixture
def no_collection() -> Iterator[None]:
    """What lives on in a cycle is not collected meanwhile."""
    gc.disable()
    yield
    gc.enable()


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


def test_an_error_holds_on_to_nothing_but_the_functions_frames(no_collection: None) -> None:
    """Items, outcomes and the error itself are not kept alive by its traceback, not even in a cycle."""
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


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("star", [False, True])
@given(
    capture=st.booleans(),
    items=st.lists(st.sampled_from([1, 2, ValueError, SystemExit, BrokenWorker]), max_size=12),
)
def test_the_loops_do_as_a_plain_one_would(
    star: bool, together: bool, capture: bool, items: list[Any]
) -> None:
    """Whatever is raised where; `outcomes` need be no list."""

    class Outcomes:
        def __init__(self) -> None:
            self.found: list[Any] = []

        def append(self, outcome: Any) -> None:
            self.found.append(type(outcome.error) if type(outcome) is Error else outcome)

    def call(x: Any, *more: int) -> Any:
        assert more == ((7,) if star else ())
        if isinstance(x, type):
            raise x
        return x

    expected, ends = list[Any](), False
    for item in items:
        if not ends:
            expected.append(item)
            ends = isinstance(item, type) and (not capture or item in (SystemExit, BrokenWorker))
    spec, found = CallSpec(call, star=star, capture=capture), Outcomes()
    spec.together = together
    run_items(spec, [(item, 7) for item in items] if star else items, found)
    assert found.found == expected


@pytest.mark.parametrize("item", [5, None], ids=repr)
def test_what_is_no_tuple_of_arguments_is_that_items_error(item: Any) -> None:
    """The loop goes on behind it."""
    assert kinds(outcomes(CallSpec(divide, star=True, capture=True), [(9, 3), item, (8, 4)])) == [
        3, TypeError, 2,
    ]  # fmt: skip


# Initializers -----------------------------------------------------------------------------------------------


def in_a_thread(call: Callable[..., Any], *args: Any) -> Any:
    """What a call comes to in a thread of its own."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call(*args)))
    thread.start()
    thread.join()
    return found.pop()


def test_an_initializer_runs_once_in_each_worker() -> None:
    """Before its first item, with its arguments; for each run anew."""
    ran: list[Any] = []

    def twice(spec: CallSpec) -> list[Any]:
        return [outcomes(spec, [1, 2]), outcomes(spec, [3])]

    def call(x: int) -> int:
        return len(ran)

    for run in (1, 2):
        spec = CallSpec(call, initializer=lambda *args: ran.append(args), initargs=(run, "b"))
        assert in_a_thread(twice, spec) == [[len(ran)] * 2, [len(ran)]]
        assert in_a_thread(twice, spec) == [[len(ran)] * 2, [len(ran)]]
    assert ran == [(1, "b"), (1, "b"), (2, "b"), (2, "b")]


def test_an_initializer_that_raises_makes_its_worker_unfit() -> None:
    """No item is taken; the next task tries again."""
    tries: list[int] = []

    def start() -> None:
        tries.append(len(tries))
        if len(tries) < 3:
            raise OSError("no licence")

    def run() -> list[Any]:
        spec, items = CallSpec(abs, capture=True, initializer=start), iter([-1, -2])
        return [outcomes(spec, items), list(outcomes(spec, items)), outcomes(spec, items)]

    (first,), (second,), third = in_a_thread(run)
    assert type(first) is type(second) is BrokenWorker
    assert "start raised OSError: no licence" in str(first) and type(first.__cause__) is OSError
    assert third == [1, 2] and tries == [0, 1, 2]


def test_an_initializer_that_exits_ends_the_task_alike() -> None:
    """`SystemExit` is an outcome, too: nothing escapes into the worker."""

    def leave() -> None:
        raise SystemExit(3)

    (found,) = in_a_thread(outcomes, CallSpec(abs, initializer=leave), [1])
    assert type(found) is SystemExit and found.code == 3


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


def test_a_task_holds_on_to_nothing_once_it_has_run(no_collection: None) -> None:
    """Not even where an item raised: its error leads to the function's frames alone."""
    spec = CallSpec(fail, capture=True)
    task = Task(spec, 0, [Thing()])
    seen, result = weakref.ref(task.items[0]), run_task(spec, task, "here")
    error = result.outcomes[0].error
    del task, result
    assert seen() is None
    gone = weakref.ref(error)
    del error
    assert gone() is None


def test_each_thread_serves_its_own_scheduler() -> None:
    """No other thread knows of it; a thread that serves none has depth 0."""
    assert (serving.tasks, serving.depth) == (None, 0)

    def serve() -> tuple[Any, int]:
        serving.tasks, serving.depth = "a scheduler", serving.depth + 1
        return serving.tasks, serving.depth

    assert in_a_thread(serve) == in_a_thread(serve) == ("a scheduler", 1)
    assert (serving.tasks, serving.depth) == (None, 0)


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
    """With the places where it was raised."""
    found: list[Any] = []
    run_items(CallSpec(divide, capture=True), [0], found)
    copy = pickle.loads(pickle.dumps(found[0]))
    assert type(copy) is Error and type(copy.error) is ZeroDivisionError
    assert copy.error.__cause__ is None
    assert [frame.name for frame in traceback.extract_tb(copy.error.__traceback__)][-1] == "divide"
    assert repr(copy) == f"Error({found[0].error!r})"  # the words are the interpreter's


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


def test_a_call_apart_is_not_held_on_to(no_collection: None) -> None:
    """Neither its arguments nor its value, though the frame waits for the next call."""
    apart, thing = Apart(), Thing()
    seen = weakref.ref(thing)
    made = [apart(lambda x: x, thing)]
    del thing
    assert made[0] is seen()
    made.clear()
    assert seen() is None


def test_an_error_of_a_call_apart_is_in_no_cycle(no_collection: None) -> None:
    """It goes when nobody holds it any more, and so does what was called with."""
    apart, thing = Apart(), Thing()

    found: list[BaseException] = []
    try:
        apart(fail, thing)
    except Mine as error:
        found.append(error)
    seen, gone = weakref.ref(thing), weakref.ref(found[0])
    del thing
    assert seen() is None
    found.clear()
    assert gone() is None


def test_a_call_apart_within_one_is_refused() -> None:
    """One frame, one call; the outer one goes on."""
    apart = Apart()

    def call() -> str:
        with pytest.raises(ValueError, match="already executing"):
            apart(abs, -1)
        return "outer"

    assert apart(call) == "outer" and apart(abs, -1) == 1


def test_a_call_apart_is_seen_from_no_frame_above_while_it_runs_either() -> None:
    """What the function itself sees above it ends with the frame that is apart, once that is suspended."""
    apart, frames = Apart(), []
    apart(lambda: frames.append(sys._getframe()))
    above = frames[0].f_back
    assert above is not None and above.f_code.co_name == "_calls" and above.f_back is None
