"""The caller's own thread as a backend: blocks of items, seen and cut from other threads."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.backends.inline import WHERE, InlineBackend
from autoexec.resources import close_here, here
from autoexec.worker.invoke import CallSpec, Error, Task
from tests.backends.partner import WAIT_S

NAME = contextvars.ContextVar("NAME", default="nobody")


def backend(call: Any, *, capture: bool = False, **more: Any) -> InlineBackend:
    """What runs a function here."""
    return InlineBackend(CallSpec(call, capture=capture, context=contextvars.copy_context(), **more))


def run(made: InlineBackend, items: Any, **more: Any) -> list[Any]:
    """What becomes of a task of these items; errors as they are."""
    _, result = made.run(Task(made._spec, 0, items), **more)
    assert result.worker == WHERE and 0.0 < result.began <= result.ended and result.cpu_s >= 0.0
    assert result.clean == (not any(type(one) is Error for one in result.outcomes))
    return [one.error if type(one) is Error else one for one in result.outcomes]


@pytest.mark.parametrize("kind", [list, tuple])
@given(items=st.lists(st.integers(0, 3), max_size=10), capture=st.booleans())
def test_a_block_comes_to_what_a_loop_would(kind: Any, items: list[int], capture: bool) -> None:
    """Without capturing it ends with the first error."""
    found = run(backend(lambda x: 6 // x, capture=capture), kind(items))
    end = len(items) if capture or 0 not in items else items.index(0) + 1
    assert [type(one) if isinstance(one, Exception) else one for one in found] == [
        6 // x if x else ZeroDivisionError for x in items[:end]
    ]


@given(size=st.integers(1, 12), at=st.integers(0, 11), bad=st.none() | st.integers(0, 11))
def test_a_block_that_is_cut_short_loses_and_doubles_nothing(size: int, at: int, bad: int | None) -> None:
    """What another thread takes away while an item runs is not run here; the block says how far it came."""
    ran: list[int] = []
    taken: list[Any] = []

    def call(x: int) -> int:
        ran.append(x)
        if x == at:
            thread = threading.Thread(target=lambda: taken.append(made.steal()))
            thread.start()
            thread.join(WAIT_S)
        if x == bad:
            raise ValueError(x)
        return x

    made = backend(call)
    task = Task(made._spec, 0, list(range(size)))
    _, result = made.run(task)
    first_bad = size if bad is None else bad
    if at < size and at <= first_bad:
        assert taken == [(task, at + 1)]
        end = at + 1
    else:
        assert taken == []
        end = min(size, first_bad + 1)
    assert ran == list(range(end)) and len(result.outcomes) == end
    assert made.steal() is None and made.block is None


def test_the_block_that_runs_can_be_seen() -> None:
    """From another thread: its task, and what came of its items so far."""
    inside, go, seen = threading.Event(), threading.Event(), list[Any]()

    def call(x: int) -> int:
        if x == 2:
            inside.set()
            assert go.wait(WAIT_S)
        return x

    made = backend(call)

    def look() -> None:
        assert inside.wait(WAIT_S)
        assert made.block is not None
        seen.append((made.block.task, list(made.block.out), made.block.error))
        go.set()

    thread = threading.Thread(target=look)
    thread.start()
    task = Task(made._spec, 0, [0, 1, 2, 3])
    made.run(task)
    thread.join(WAIT_S)
    assert seen == [(task, [0, 1], None)] and made.block is None


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_thread(kind: type[BaseException]) -> None:
    """Ctrl-C is raised here, at once; all else, or in a worker's thread, is the item's own."""

    def call(x: int) -> int:
        if x == 1:
            raise kind
        return x

    made = backend(call, capture=True)
    if kind is KeyboardInterrupt:
        with pytest.raises(kind):
            run(made, [0, 1, 2])
    else:
        assert [type(one) for one in run(made, [0, 1, 2])] == [int, kind]
    assert made.block is None
    assert [type(one) for one in run(made, [0, 1, 2], raises=False)] == [int, kind]
    assert run(made, [5]) == [5]


def test_a_run_within_an_item_is_another_ones() -> None:
    """A map in a map: the inner one has a backend of its own, and the block of the outer stays."""
    inner = backend(abs)

    def call(x: int) -> Any:
        found = run(inner, [x, -x])
        assert made.block is not None and inner.block is None
        return found

    made = backend(call)
    assert run(made, [1, 2]) == [[1, 1], [2, 2]]


@pytest.mark.parametrize("sampling", [False, True])
def test_items_run_in_copies_of_their_callers_context(sampling: bool) -> None:
    """While it samples, what they set is looked at; then it is told which variable that was."""

    def call(x: int) -> str:
        found = NAME.get()
        if x == 2:
            NAME.set(f"item {x}")
        return found

    token = NAME.set("me")
    made = backend(call)
    NAME.reset(token)
    made.sampling = sampling
    assert run(made, [0, 1]) == ["me"] * 2 and made._spec.sets == ""
    assert run(made, [2, 3]) == ["me"] * 2
    assert made._spec.sets == ("NAME" if sampling else "") and made._contexts == []
    assert NAME.get() == "nobody"


def test_a_task_of_a_call_of_its_own_has_that_context() -> None:
    """As for an executor's first calls, which are watched."""
    made = backend(lambda x: NAME.get())
    task = Task(made._spec, 0, [1, 2])
    task.context = contextvars.copy_context()
    task.context.run(NAME.set, "the caller of this one")
    assert made.run(task)[1].outcomes == ["the caller of this one"] * 2


def test_what_items_make_here_lives_until_the_last_run_has_ended() -> None:
    """A run that ends within another one does not close what that one still uses."""
    closed: list[Any] = []

    class Client:
        def close(self) -> None:
            closed.append(self)

    def call(x: int) -> int:
        here().made.setdefault("client", Client())
        close_here()  # an inner run ends
        return len(closed)

    def work() -> None:  # in a thread that has run nothing yet
        seen.append((run(backend(call), [1, 2]), len(here().made), len(closed)))
        close_here()
        seen.append((len(closed), here().made))

    seen: list[Any] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(WAIT_S)
    assert seen == [([0, 0], 1, 0), (1, {})]


class Thing:
    """Can be seen to go."""


def test_nothing_is_held_once_a_block_is_over() -> None:
    """Neither items nor errors: not even in a cycle."""

    class Mine(Exception):
        pass

    def fail(thing: Any) -> None:
        del thing
        raise Mine

    gc.disable()
    try:
        made = backend(fail, capture=True)
        task = Task(made._spec, 0, [Thing()])
        seen = weakref.ref(task.items[0])
        block, result = made.run(task)
        gone = weakref.ref(result.outcomes[0].error)
        del task, block, result
        assert seen() is None and gone() is None
    finally:
        gc.enable()


def test_there_is_nothing_to_open_or_to_end() -> None:
    """The caller's thread is there, asks by itself, and cannot be given up."""
    made = backend(abs)
    made.start(None)  # type: ignore[arg-type]
    made.ring(deque())
    made.recall()
    made.abandon(None, Task(made._spec, 0, []))  # type: ignore[arg-type]
    made.close()
    assert made.costs() == {} and made.name == "serial" and run(made, [-1]) == [1]
