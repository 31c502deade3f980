"""Arrays that workers share may be asked for as if they were written to; who writes there is found out."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import autoexec
from autoexec.backends.opening import WorkerConfig
from autoexec.backends.processes import messages, shared_memory, written
from autoexec.backends.processes.payload import by_value, load, pack
from autoexec.backends.processes.shared_memory import WATCHED, map_segment, share
from autoexec.backends.processes.start import fork_worker, spawn_worker
from autoexec.backends.processes.status_page import entries
from autoexec.backends.processes.worker import Worker
from autoexec.backends.processes.written import Writes
from autoexec.worker.invoke import CallSpec
from tests.processes.work import run

np = pytest.importorskip("numpy")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel")

PAGE = mmap.PAGESIZE


@pytest.fixture
def view() -> Iterator[memoryview]:
    """A segment of twenty pages, mapped as a worker maps it."""
    descriptor = share([bytes(20 * PAGE)], 20 * PAGE)
    assert descriptor is not None
    found = map_segment(descriptor, 20 * PAGE, WATCHED)
    yield found
    segment: Any = found.obj
    found.release()
    segment.close()


# What the kernel tells --------------------------------------------------------------------------------------


def test_each_write_is_found_once(view: memoryview) -> None:
    """Wherever it is; reading is none."""
    writes = Writes()
    sum(view)
    assert not writes.found(last=True)
    for place in (0, 7 * PAGE + 5, 20 * PAGE - 1):
        view[place] = 1
        assert writes.found(last=True) and not writes.found(last=True)


def test_a_write_is_none_of_the_others(view: memoryview) -> None:
    """The map is private: a second one of the same bytes has what was there before."""
    view[0] = 1
    descriptor = share([bytes(view)], len(view))
    assert descriptor is not None
    other = map_segment(descriptor, len(view), mmap.ACCESS_READ)
    assert other.readonly and other[0] == 1
    with pytest.raises(TypeError):
        other[0] = 2


def test_looks_are_rare_among_short_items(view: memoryview) -> None:
    """A look waits until it costs next to nothing; the last one does not."""
    writes = Writes()
    assert not writes.found(last=True)
    writes._next = float("inf")
    view[0] = 1
    assert not writes.found() and writes.found(last=True)


def test_where_the_kernel_does_not_tell_nothing_can_be_written_to(monkeypatch: Any) -> None:
    """As before: an error for who tries."""
    monkeypatch.setattr(written, "_flags", lambda begin, size: b"")
    descriptor = share([bytes(PAGE)], PAGE)
    assert descriptor is not None
    view = map_segment(descriptor, PAGE, WATCHED)
    assert view.readonly and view[0] == 0


def test_where_memory_is_counted_in_advance_nothing_can_be_written_to(monkeypatch: Any) -> None:
    """A private map may be refused; one that is only read costs nothing."""
    mapped = shared_memory._map

    def refusing(descriptor: int, size: int, access: int) -> Any:
        if access == mmap.ACCESS_COPY:
            raise OSError("no memory")
        return mapped(descriptor, size, access)

    monkeypatch.setattr(shared_memory, "_map", refusing)
    descriptor = share([bytes(PAGE)], PAGE)
    assert descriptor is not None
    assert map_segment(descriptor, PAGE, WATCHED).readonly


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads that numpy has
def test_a_forked_process_sees_its_own_pages(view: memoryview) -> None:
    """And not those of its parent."""
    assert not Writes().found(last=True)
    pid = os.fork()
    if pid == 0:
        view[0] = 1
        os._exit(0 if Writes().found(last=True) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not Writes().found(last=True)


# In a worker ------------------------------------------------------------------------------------------------


def _asks(array: Any) -> float:
    """As compiled code does that takes arrays without const."""
    found: float = (ctypes.c_double * array.size).from_buffer(array)[0]
    return found


def _writes(array: Any) -> float:
    array[array.size // 2] = 7.0
    return 0.0


def _adds(array: Any) -> float:
    np.add.at(array, [1, 1], 1.0)
    return 0.0


def _fills(array: Any) -> float:
    ctypes.memset(array.ctypes.data, 1, 8)
    return 0.0


@pytest.fixture(params=["forked", "fresh"])
def start(request: pytest.FixtureRequest) -> Any:
    """Makes one worker that knows function 1."""
    made: list[Worker] = []

    def make(call: Any, writable: str) -> Worker:
        spec, config = CallSpec(call, capture=True), WorkerConfig(writable=writable)
        made.append(
            fork_worker(config, {1: spec}, None) if request.param == "forked" else spawn_worker(config)
        )
        if request.param == "fresh":
            made[0].seats[0].channel.send(messages.FUNCTION, by_value(spec), 1, 1)
        return made[0]

    yield make
    for seat in made[0].seats:
        seat.leave()


def _ask(worker: Worker, items: list[Any]) -> list[Any]:
    """What has come of each item: its value, or its error; and what the worker says at the end."""
    channel, outcomes, task = worker.seats[0].channel, [], pack((1, 0, items))
    channel.send(messages.TASK, task, 1)
    while (frame := channel.receive()).kind != messages.DONE:
        outcomes += [load(entry) for entry in entries(frame.part(0))]
    outcomes += [load(entry) for entry in entries(frame.part(-1))]
    *_, lost, _ = frame.load()
    task.close()
    return [getattr(one, "error", one) for one in outcomes] + [lost]


def _arrays() -> list[Any]:
    return [np.full(30_000, float(i)) for i in range(3)]


def test_code_may_ask_for_memory_that_can_be_written_to(start: Any) -> None:
    """Where autoexec has chosen: as in the loop."""
    worker = start(_asks, "watched")
    assert _ask(worker, _arrays()) == [0.0, 1.0, 2.0, ""] == _ask(worker, _arrays())


@pytest.mark.parametrize("call", [_writes, _adds, _fills])
def test_who_writes_there_is_named(call: Any, start: Any) -> None:
    """By whatever code: an error that names the function, and what to do."""
    *outcomes, lost = _ask(start(call, "watched"), _arrays())
    said = [str(one) for one in outcomes if isinstance(one, autoexec.EffectLost)] + [lost] * bool(lost)
    assert said and all(call.__name__ in words and "through shared memory" in words for words in said)
    assert lost or "writable='copy'" in said[0]


@pytest.mark.parametrize("call", [_adds, _fills])
def test_code_that_does_not_ask_raises_rather_than_crashes(call: Any) -> None:
    """With backend="processes", where arrays are read-only: `np.add.at` ended its worker.

    Newer versions of numpy ask, and raise themselves.
    """
    errors = list(run(call, iter(_arrays()), chunksize=1))
    kinds = {type(error) for error in errors}
    assert len(errors) == 3 and kinds <= {autoexec.EffectLost, ValueError}
    assert call is _adds or kinds == {autoexec.EffectLost}


def test_private_copies_are_nobodys_affair(start: Any) -> None:
    """With writable="copy"."""
    assert _ask(start(_writes, "copy"), _arrays()) == [0.0, 0.0, 0.0, ""]


def test_read_only_stays_an_error_at_the_line_that_writes(start: Any) -> None:
    """With a backend that was asked for by name."""
    *outcomes, lost = _ask(start(_writes, ""), _arrays())
    assert [type(one) for one in outcomes] == [ValueError] * 3 and lost == ""
    assert "writable='copy'" in outcomes[0].__notes__[-1]
