"""A result that cannot be sent, found late: computed here where nobody can tell, else an error says so."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autoexec
from autoexec.backends.processes import payload
from tests.backends.opened import opened

LATE = 70


def compute(x: int) -> Any:
    """A generator for some of the later items; it takes 10 ms."""
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        pass
    return (n for n in range(x)) if x >= LATE and x % 10 == 0 else x


def noting(path: str) -> Callable[[int], Any]:
    """The same as `compute`, with an effect outside."""

    def noted(x: int) -> Any:
        with open(path, "ab") as file:
            file.write(b"%d\n" % x)
        return compute(x)

    return noted


def plain(values: list[Any]) -> list[Any]:
    """With the length of what a generator gives."""
    return [value if type(value) is int else len(list(value)) for value in values]


@pytest.mark.usefixtures("known_costs", "start")
@pytest.mark.parametrize("more", [{}, {"on_error": "return"}, {"chunksize": 8}], ids=str)
def test_where_nobody_can_tell_it_is_computed_here(more: dict[str, Any]) -> None:
    """And what is left stays here; the plan says so."""
    results = autoexec.map(compute, range(100), **more)
    assert plain(list(results)) == list(range(100))
    assert results.plan is not None and results.plan.backend == "serial"
    assert "from item " in results.plan.reason and "cannot be pickled" in results.plan.reason


@pytest.mark.usefixtures("known_costs", "start")
def test_where_somebody_can_tell_it_is_an_error_and_never_called_twice(journal: Any) -> None:
    """What was computed before is there, each once."""
    found, results = [], autoexec.map(noting(journal.path), range(100))
    with pytest.raises(TypeError, match="cannot be sent back from a worker process"):
        found += results
    assert set(journal.counts().values()) == {1}
    assert found == list(range(len(found)))


def test_processes_that_were_asked_for(start: str) -> None:
    """An error in its place; the others go on."""
    found = list(autoexec.map(compute, range(100), backend="processes", max_workers=2, on_error="return"))
    assert [x for x in range(100) if isinstance(found[x], TypeError)] == [70, 80, 90]
    assert all(found[x] == x for x in range(100) if x not in (70, 80, 90))


def test_the_rest_of_a_task_that_was_broken_off_runs_once(journal: Any) -> None:
    """A worker stops after such a result; nothing else of its task is called twice."""
    work = noting(journal.path)
    with opened(work, fork=True, capture=True) as pool:
        found = pool.run(range(60, 80), 20)
    assert isinstance(found.pop(10), TypeError)
    assert found == {at: 60 + at for at in range(20) if at != 10}
    assert set(journal.counts().values()) == {1}


def test_the_backend_asks_whether_it_may_be_called_again(journal: Any) -> None:
    """With its place and its arguments; without leave it is an error."""
    asked: list[Any] = []

    def again(place: int, args: tuple[object, ...], error: BaseException) -> bool:
        asked.append((place, args, type(error)))
        return False

    with opened(compute, capture=True, strict=False, again=again) as pool:
        found = pool.run(range(65, 75), 10)
    assert isinstance(found[5], TypeError) and asked == [(5, (70,), TypeError)]


def test_a_send_that_failed_does_not_spoil_the_next_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """There was no room for its buffers: they do not go with the next one."""
    real, parent, failed = payload.share, os.getpid(), []

    def share(parts: Any, size: int) -> Any:
        if os.getpid() != parent and not failed:
            failed.append(1)
            raise OSError(28, "No space left on device")
        return real(parts, size)

    monkeypatch.setattr(payload, "share", share)
    with opened(lambda x: np.full(300_000, x, "u1"), fork=True, capture=True) as pool:
        found = pool.run(range(4), 4)
    assert isinstance(found[0], OSError)
    assert [set(found[x].tolist()) for x in (1, 2, 3)] == [{1}, {2}, {3}]
