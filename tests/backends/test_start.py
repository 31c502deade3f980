"""Starting and ending workers: what forbids a fork, which descriptors are open, how they end."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoexec.backends.opening import WorkerConfig
from autoexec.backends.processes import endpoints, messages, native_threads, start
from autoexec.backends.processes.payload import by_value, load, pack
from autoexec.backends.processes.start import fork_worker, may_fork, spawn_worker
from autoexec.backends.processes.status_page import entries
from autoexec.backends.processes.worker import Worker
from autoexec.worker.invoke import CallSpec
from tests.backends.opened import opened

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")

ROOT = str(Path(__file__).parents[2])


LINKS = """[__import__("os").readlink(f"/proc/self/fd/{fd}") for fd in range(100)
            if __import__("os").path.islink(f"/proc/self/fd/{fd}")]"""


# May it fork? -----------------------------------------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the native thread with which pytest watches the time."""
    monkeypatch.setattr(start, "_threads", lambda: threading.active_count())


@pytest.mark.usefixtures("alone")
def test_a_process_with_one_thread_may_fork() -> None:
    """There is nothing against it."""
    assert may_fork() == ""


@pytest.mark.usefixtures("alone")
def test_other_threads_forbid_it_but_for_those_that_will_have_ended() -> None:
    """And so does any thread but the main one."""
    gate, said = threading.Event(), []
    thread = threading.Thread(target=lambda: (said.append(may_fork(1)), gate.wait(20)))
    thread.start()
    assert may_fork() == "other Python threads run" and may_fork(1) == ""
    gate.set()
    thread.join(20)
    assert said == ["this is not the main thread"] and may_fork() == ""


def test_elsewhere_nothing_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fork copies on other systems is not fit to run."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux" in may_fork()


@pytest.mark.parametrize(
    ("maps", "threads", "said"),
    [
        (b"/usr/lib/libgomp-a34b.so.1", 5, "libgomp runs threads"),
        (b"/opt/libcuda.so", 2, "libcuda runs threads"),
        (b"7f-80 r-xp 00 fd:00 5 /x/libscipy_openblas64_.so", 4, ""),
        (b"7f-80 r-xp 00 fd:00 5 /x/libscipy_openblas64_.so", 5, "native threads run"),
        (b"7 r 5 /x/libopenblas.so\n8 r 5 /x/libopenblas.so\n9 r 6 /y/libscipy_openblas.so", 7, ""),
        (b"7 r 5 /x/libopenblas.so\n8 r 5 /x/libopenblas.so\n9 r 6 /y/libscipy_openblas.so", 8, "native"),
        (b"7 r 5 /x/libopenblas.so\n8 r 5 /x/libomp.so", 2, "libomp runs threads"),
        (b"7 r 5 /x/libopenblas.so\n8 r 5 /x/polars/polars.abi3.so", 2, "polars runs threads"),
        (b"7 r 5 /x/libopenblas.so\n8 r 5 /x/grpc/_cython/cygrpc.cpython-311.so", 2, "libgrpc runs"),
        (b"/usr/lib/libc.so.6", 2, "native threads run"),
        (b"7 r 5 /home/polars/lib/libopenblas.so", 2, ""),
        (b"/home/openblas/libc.so.6", 2, "native threads run"),
    ],
)
def test_native_threads_forbid_it_unless_they_survive(
    monkeypatch: pytest.MonkeyPatch, maps: bytes, threads: int, said: str
) -> None:
    """OpenBLAS stops its threads before a fork, and has as many as it was told; nobody knows of others."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    monkeypatch.setattr(start, "_threads", lambda: threads)
    monkeypatch.setattr(native_threads, "strangers", list)
    monkeypatch.setattr(start, "ENDING_S", 0.001)
    monkeypatch.setattr(start, "open", lambda *_: io.BytesIO(maps), raising=False)
    assert may_fork().startswith(said) and bool(may_fork()) == bool(said)


def test_threads_with_names_are_nobodys_that_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few there are: those of OpenBLAS are called as the main one is."""
    name = bytearray(16)

    def named(ready: threading.Event, gate: threading.Event) -> None:
        import ctypes

        name[:] = ctypes.create_string_buffer(b"polars-0", 16).raw
        ctypes.CDLL(None).prctl(15, bytes(name), 0, 0, 0)
        ready.set()
        gate.wait(20)

    monkeypatch.setattr(start, "ENDING_S", 0.001)
    before = len(native_threads.strangers())
    ready, gate = threading.Event(), threading.Event()
    thread = threading.Thread(target=named, args=(ready, gate))
    thread.start()
    assert ready.wait(20)
    assert "polars-0" in native_threads.strangers() and len(native_threads.strangers()) >= before + 1
    assert "'polars-0'" in start._native_disturbance(before)
    gate.set()
    thread.join(20)


def test_a_thread_that_is_just_ending_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was joined may be there for a moment."""
    counts = iter([2, 2, 2, 1, 1, 1])
    monkeypatch.setattr(start, "_threads", lambda: next(counts))
    monkeypatch.setattr(native_threads, "strangers", list)
    monkeypatch.setattr(start, "ENDING_S", 5.0)
    monkeypatch.setattr(start, "open", lambda *_: io.BytesIO(b""), raising=False)
    assert may_fork() == ""


# A worker ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["forked", "fresh"])
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """One worker that knows function 1: it returns what an expression is worth over there."""
    call = lambda text: eval(text)  # noqa: E731
    if request.param == "forked":
        made = fork_worker(WorkerConfig(), {1: CallSpec(call)}, None)
    else:
        made = spawn_worker(WorkerConfig())
        made.seats[0].channel.send(messages.FUNCTION, by_value(CallSpec(call)), 1, 1)
    yield made
    for seat in made.seats:
        seat.leave()


def _ask(worker: Worker, text: str) -> Any:
    channel = worker.seats[0].channel
    channel.send(messages.TASK, pack((1, 0, [text])), 1)
    frame = channel.receive()
    problem, *_ = frame.load()
    assert problem is None, problem
    return load(next(entries(frame.part(-1))))


def test_a_worker_answers_and_ends(worker: Worker) -> None:
    """With exit code 0 when its sockets are closed."""
    assert _ask(worker, "__import__('os').getpid()") == worker.pid and not worker.over
    assert worker.end() == 0 and worker.over and worker.end(kill=True) == 0


def test_a_worker_can_be_killed(worker: Worker) -> None:
    """Whoever waits for its answer sees it."""
    worker.kill()
    assert worker.seats[0].wait(20) is not None
    assert worker.end() == -signal.SIGKILL
    worker.kill()


def test_leaving_twice_closes_once(worker: Worker) -> None:
    """The second time may not close what has the number by then."""
    (seat,) = worker.seats
    seat.leave()
    held = [os.dup(0) for _ in range(12)]
    seat.leave()
    for descriptor in held:
        os.fstat(descriptor)
        os.close(descriptor)


def test_ctrl_c_is_the_callers_business(worker: Worker) -> None:
    """It does not end a worker; SIGTERM does."""
    assert _ask(worker, "1") == 1
    os.kill(worker.pid, signal.SIGINT)
    assert _ask(worker, "2") == 2
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.seats[0].wait(20) is not None and worker.end() == -signal.SIGTERM


def test_a_worker_has_no_descriptors_of_another_ones() -> None:
    """The second of two does not keep the first one's sockets, or its lifeline, open."""
    first, second = (
        fork_worker(WorkerConfig(), {1: CallSpec(lambda text: eval(text))}, None) for _ in range(2)
    )
    theirs = {os.readlink(f"/proc/self/fd/{first.seats[0].channel.fileno()}")}
    links = _ask(second, LINKS)
    assert not theirs & set(links)
    assert first.end() == 0  # sees the end of its socket though the second one lives
    assert not second.over
    for each in (first, second):
        each.seats[0].leave()


def test_a_fresh_worker_has_no_descriptors_but_its_own() -> None:
    """What the caller opened does not reach it, not even what may be inherited."""
    reading, writing = os.pipe()
    made = spawn_worker(WorkerConfig())
    made.seats[0].channel.send(messages.FUNCTION, by_value(CallSpec(lambda text: eval(text))), 1, 1)
    pipe = os.readlink(f"/proc/self/fd/{reading}")
    links = _ask(made, LINKS)
    assert pipe not in links
    os.close(reading)
    os.close(writing)
    made.seats[0].leave()


def test_stacks_tell_what_a_worker_is_doing(worker: Worker) -> None:
    """Each time anew; of one that is over there is nothing to tell."""
    worker.seats[0].channel.send(messages.TASK, pack((1, 0, ["__import__('signal').pause()"])), 1)
    while worker.seats[0].status.place is None:
        os.sched_yield()
    for _ in range(2):
        found = worker.stacks(20.0)
        assert "most recent call first" in found and found.count("in serve\n") >= 1
    worker.end(kill=True)
    assert worker.stacks() == ""


def test_a_worker_that_somebody_else_waited_for(worker: Worker) -> None:
    """Its exit code is unknown; that it has ended is not."""
    worker.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED)
    assert worker.over and worker.end() is None


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes out, and nothing stays open."""

    def refuse(*_: Any, **__: Any) -> int:
        raise BlockingIOError("no more processes")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(os, "posix_spawn", refuse)
    for attempt in (
        lambda: fork_worker(WorkerConfig(threads=2), {}, None),
        lambda: spawn_worker(WorkerConfig()),
    ):
        with pytest.raises(BlockingIOError):
            attempt()
    assert os.listdir("/proc/self/fd") == before and not endpoints._open_ends


def test_no_page_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets that were opened for it are closed again."""
    made: list[int] = []
    real = endpoints.open_status_page

    def second_fails() -> Any:
        made.append(1)
        if len(made) == 2:
            raise OSError("no room")
        return real()

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(endpoints, "open_status_page", second_fails)
    with pytest.raises(OSError, match="no room"):
        fork_worker(WorkerConfig(threads=2), {}, None)
    assert os.listdir("/proc/self/fd") == before


def test_what_is_buffered_is_written_once() -> None:
    """A fork copies no output that waits to be written."""
    code = (
        "import sys\n"
        "from autoexec.backends.opening import WorkerConfig\n"
        "from autoexec.backends.processes.start import fork_worker\n"
        "print('once', end='')\n"
        "made = fork_worker(WorkerConfig(), {}, None)\n"
        "made.seats[0].leave()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=20, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("once", "", 0)


def test_optimised_callers_have_optimised_workers() -> None:
    """With -O, assertions are gone on both sides."""
    code = (
        "from tests.backends.opened import opened\n"
        "with opened(lambda x: __debug__) as pool:\n"
        "    print(pool.run([0], 1))\n"
    )
    for flag, found in (("-O", "{0: False}\n"), ("-q", "{0: True}\n")):
        ended = subprocess.run(
            [sys.executable, flag, "-c", code],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=20,
            check=False,
        )
        assert ended.stdout == found, ended.stderr


def test_the_seat_of_a_lost_worker_still_has_its_last_words() -> None:
    """What it sent before it ended is there to be read."""
    made = fork_worker(WorkerConfig(), {1: CallSpec(os._exit), 2: CallSpec(abs)}, None)
    channel = made.seats[0].channel
    channel.send(messages.TASK, pack((2, 0, [-5])), 1)
    channel.send(messages.TASK, pack((1, 0, [4])), 2)
    assert made.watched is not None and select.select([made.watched], [], [], 20)[0]
    assert made.seats[0].wait(0) is True
    assert load(next(entries(channel.receive().part(-1)))) == 5
    assert made.end(kill=True) == 4
    made.seats[0].leave()


def test_where_nobody_can_tell_what_runs_nobody_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """All descriptors are in use: a reason like any other, and no error of the caller's."""

    def refuse() -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(start, "_threads", refuse)
    monkeypatch.setattr("threading.active_count", lambda: 1)
    if sys.platform.startswith("linux"):
        assert start.disturbance() == "nobody can tell what else runs: Too many open files"


def _first_filter(_: int) -> str:
    return str(warnings.filters[0])


def test_a_copy_has_the_callers_warning_filters() -> None:
    """Not the one that stands while the fork is made."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with opened(_first_filter, fork=True) as pool:
            assert pool.run([0], 1)[0] == str(warnings.filters[0])
