"""An initializer runs once in every worker, before anything else does."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from autoexec import resources
from autoexec.backends.base import Capturing
from autoexec.backends.prepared import Prepared
from autoexec.errors import BrokenWorker
from autoexec.resources import Scope

LOG: list[tuple[Any, ...]] = []


def note(*args: Any) -> None:
    """An initializer that takes notes."""
    LOG.append(args)


def refuse(why: str) -> None:
    """An initializer that fails."""
    LOG.append(("refused",))
    raise LookupError(why)


def add(left: int, right: int) -> int:
    """The function."""
    LOG.append(("called",))
    return left + right


@pytest.fixture(autouse=True)
def worker() -> Iterator[Scope]:
    """A worker of its own for each test, and no notes yet."""
    LOG.clear()
    scope = Scope()
    token = resources.current.set(scope)
    yield scope
    resources.current.reset(token)


def in_worker(call: Any, *args: Any) -> Any:
    """The result of a call in another worker of this process."""
    found: list[Any] = []

    def run() -> None:
        resources.current.set(Scope())
        found.append(call(*args))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    (result,) = found
    return result


def test_once_in_a_worker() -> None:
    """Before the first call, with its arguments."""
    prepared = Prepared(add, note, (1, "two"))
    assert LOG == []
    assert [prepared(i, i) for i in range(3)] == [0, 2, 4]
    assert [(1, "two"), *[("called",)] * 3] == LOG


def test_in_every_worker() -> None:
    """Each one is prepared for itself."""
    prepared = Prepared(add, note, ())
    assert prepared(1, 1) == in_worker(prepared, 1, 1) == in_worker(prepared, 1, 1) == 2
    assert LOG.count(()) == 3


def test_a_thread_that_is_no_worker() -> None:
    """The caller's own thread is prepared, too, once for all items that run in it."""
    resources.current.set(None)
    prepared = Prepared(add, note, ())
    try:
        assert [prepared(1, i) for i in range(2)] == [1, 2]
    finally:
        resources.close_here()
    assert LOG.count(()) == 1


def test_each_run_prepares() -> None:
    """The same initializer of another run is another one."""
    Prepared(add, note, ("first",))(1, 1)
    Prepared(add, note, ("second",))(1, 1)
    assert LOG == [("first",), ("called",), ("second",), ("called",)]


def test_closing_a_prepared_worker(worker: Scope, caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to close; who works there afterwards is prepared again."""
    prepared = Prepared(add, note, ())
    prepared(1, 1)
    worker.close()
    prepared(1, 1)
    assert LOG.count(()) == 2 and not caplog.records


def test_a_failing_initializer_breaks_the_worker() -> None:
    """No item runs; the error tells whose fault it was, and what that was."""
    prepared = Prepared(add, refuse, ("no licence",))
    for _ in range(2):
        with pytest.raises(
            BrokenWorker, match="the initializer refuse raised LookupError: no licence"
        ) as caught:
            prepared(1, 1)
        assert isinstance(caught.value.__cause__, LookupError)
    assert ("called",) not in LOG


def test_a_broken_worker_is_no_items_own_error() -> None:
    """What captures the errors of items lets it through."""
    with pytest.raises(BrokenWorker):
        Capturing(Prepared(add, refuse, ("no",)))(1, 1)


def test_the_functions_own_errors_are_its_own() -> None:
    """They arrive unchanged, and the worker stays prepared."""
    prepared = Prepared(int, note, ())
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            prepared("x")
    assert LOG == [()]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_travels(protocol: int) -> None:
    """Copies that meet in one worker prepare it once."""
    prepared = Prepared(add, note, ("here",))
    copies = [pickle.loads(pickle.dumps(prepared, protocol)) for _ in range(2)]
    assert [copy(1, 2) for copy in (*copies, prepared)] == [3, 3, 3]
    assert LOG.count(("here",)) == 1 and copies[0].call is add
