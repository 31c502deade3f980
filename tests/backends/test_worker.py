"""The worker's side, run in a thread of this process: answers, errors, rest, and its end."""

from __future__ import annotations

import itertools
import mmap
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoexec.backends import frames, serving
from autoexec.backends.base import Capturing, Failure
from autoexec.backends.parcels import INLINE, by_value, load, pack
from autoexec.backends.prepared import Prepared
from autoexec.backends.serving import Household
from autoexec.backends.slate import LOG, Slate, entries, open_slate
from autoexec.backends.surroundings import connections
from autoexec.backends.wire import open_channels
from autoexec.backends.worker import serve
from autoexec.errors import BrokenWorker
from tests.backends.opened import fork

READ = mmap.ACCESS_READ
Answer = tuple[list[Any], Any, int]


class Served:
    """A worker's loop at the other end of a socket."""

    def __init__(self, functions: dict[int, Any], inherited: Any = None, access: int = READ) -> None:
        self.channel, self.theirs = open_channels(access)
        self.slate, page = open_slate()
        self._slate = Slate(page)
        os.close(page)
        self.household = Household(functions, inherited)
        self._serials = itertools.count(1)
        self.kinds: list[int] = []
        seats = [(self.theirs, self._slate)]
        self.thread = threading.Thread(target=serve, args=(seats, self.household), daemon=True)
        self.thread.start()

    def learn(self, number: int, call: Callable[..., Any]) -> None:
        self.channel.send(frames.FUNCTION, by_value(call), number, 0)

    def ask(self, number: int, items: Any, *, star: bool = False, start: int = 0) -> Answer:
        """Send a task; its values, its problem and why nothing was run."""
        self.channel.send(frames.TASK, pack((number, star, start, items)), next(self._serials))
        return self.answer()

    def answer(self) -> Answer:
        values: list[Any] = []
        self.kinds = []
        while True:
            frame = self.channel.receive()
            self.kinds.append(frame.kind)
            if frame.kind == frames.VALUE:
                assert frame.first == len(values)
                values.append(frame.load())
                continue
            log = frame.part(0 if frame.kind == frames.LOG else -1)
            values += [load(entry) for entry in entries(log)]
            assert frame.first == len(values)
            if frame.kind == frames.DONE:
                problem, wall, cpu, unfit = frame.load()
                assert wall >= 0 and cpu >= 0
                return values, problem, unfit

    def end(self) -> None:
        self.channel.close()
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.theirs.close()
        self.slate.close()
        self._slate.close()


@pytest.fixture(autouse=True)
def no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker registers for ever is not registered in this process."""
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: None)


@pytest.fixture
def served() -> Iterator[Served]:
    """A worker that knows `abs` as function 1 and inherits a list."""
    made = Served({1: abs}, [-10, -20, -30, -40])
    yield made
    made.end()


def test_a_known_function(served: Served) -> None:
    """Small values come back in one frame."""
    assert served.ask(1, [-1, -2]) == ([1, 2], None, 0)
    assert served.kinds == [frames.DONE]


def test_a_new_function_is_remembered(served: Served) -> None:
    """A function is sent once; arguments may be tuples."""
    served.learn(2, pow)
    assert served.ask(2, [(2, 3)], star=True)[0] == [8]
    assert served.ask(2, [(3, 2)], star=True, start=1)[0] == [9]


def test_a_slice_of_the_inherited_input(served: Served) -> None:
    """Two numbers stand for items that the worker has already."""
    assert served.ask(1, 3, start=1)[0] == [20, 30]


def test_an_error_with_what_came_before(served: Served) -> None:
    """Values up to the error, the error, and its traceback as text."""
    values, (error, text), unfit = served.ask(1, [-1, "x", -3])
    assert values == [1] and isinstance(error, TypeError) and "Traceback" in text and not unfit


def test_errors_as_values() -> None:
    """With a capturing function the items after a failure run."""
    made = Served({1: Capturing(abs)})
    values, problem, _ = made.ask(1, [-1, "x", -3])
    assert [values[0], values[2], problem] == [1, 3, None] and isinstance(values[1], Failure)
    assert isinstance(values[1].error, TypeError)
    made.end()


def test_an_exit_belongs_to_its_item(served: Served) -> None:
    """`SystemExit` is an error like others, and the worker goes on."""
    served.learn(2, sys.exit)
    assert isinstance(served.ask(2, [3])[1][0], SystemExit)
    assert served.ask(1, [-3])[0] == [3]


def test_an_error_that_holds_a_large_array() -> None:
    """The array goes beside it, and so do the results before it."""
    made = Served({})

    def work(x: int) -> int:
        if x == 2:
            raise ValueError(np.arange(50_000.0))
        return x

    made.learn(1, work)
    values, (error, _), _ = made.ask(1, [0, 1, 2, 3])
    assert values == [0, 1] and error.args[0].sum() == sum(range(50_000))
    made.end()


# Results of all sizes ---------------------------------------------------------------------------------------


def test_more_results_than_the_page_holds(served: Served) -> None:
    """They are sent in between, in order."""
    served.learn(2, lambda n: bytes([n % 256]) * 10_000)
    values, _, _ = served.ask(2, range(40))
    assert values == [bytes([n]) * 10_000 for n in range(40)]
    assert frames.LOG in served.kinds and served.kinds.count(frames.LOG) < 10


def test_small_and_large_results_keep_their_order(served: Served) -> None:
    """In the log, in a frame of their own, in a segment, as an array."""

    def work(n: int) -> Any:
        import numpy as np

        size = [10, 70_000, 10, 200_000, 10][n % 5]
        return np.full(size, n, dtype="u1") if n % 2 else bytes([n]) * size

    served.learn(2, work)
    values, problem, _ = served.ask(2, range(20))
    assert problem is None and [value[0] for value in values] == list(range(20))
    assert [len(value) for value in values] == [10, 70_000, 10, 200_000, 10] * 4


def test_results_are_the_callers_own(served: Served) -> None:
    """Arrays that come back can be written to."""
    served.learn(2, lambda n: __import__("numpy").zeros(n))
    for array in served.ask(2, [10, 5_000, 100_000])[0]:
        array += 1
        assert array.sum() == len(array)


def test_what_is_on_the_page_while_an_item_runs() -> None:
    """The caller sees the item and the results before it at any moment."""
    made, reached, gate = Served({}), threading.Event(), threading.Event()

    def work(x: int) -> int:
        if x == 2:
            reached.set()
            assert gate.wait(20)
        return x

    made.household.functions[1] = work
    made.channel.send(frames.TASK, pack((1, False, 0, [0, 1, 2, 3])), 77)
    assert reached.wait(20)
    first, log = made.slate.rescued()
    assert (made.slate.serial, made.slate.place, first) == (77, 2, 0)
    assert [load(entry) for entry in log] == [0, 1]
    made.slate.stop()
    gate.set()
    assert made.answer() == ([0, 1, 2], None, 0)  # the last item is left for somebody else
    made.end()


# What cannot be loaded or sent ------------------------------------------------------------------------------


def test_a_task_that_cannot_be_loaded_is_answered(served: Served) -> None:
    """Garbage and unknown functions are errors; the worker goes on."""
    from autoexec.backends.parcels import Parcel

    served.channel.send(frames.TASK, Parcel(b"not a pickle"), 1)
    values, (error, _), unfit = served.answer()
    assert (values, unfit) == ([], frames.ITEMS_UNFIT) and isinstance(error, Exception)
    _, (error, _), unfit = served.ask(99, [1])
    assert isinstance(error, KeyError) and unfit == frames.ITEMS_UNFIT
    assert served.ask(1, [-5])[0] == [5]


def _explode() -> None:
    raise LookupError("not here")


class Explosive:
    """Cannot be loaded."""

    def __call__(self, x: int) -> int:
        return x

    def __reduce__(self) -> Any:
        return _explode, ()


def test_a_function_that_cannot_be_loaded_is_an_answer_to_its_tasks(served: Served) -> None:
    """Nothing of them was run, and they say why."""
    served.learn(2, Explosive())
    for _ in range(2):
        values, (error, _), unfit = served.ask(2, [1, 2])
        assert (values, unfit) == ([], frames.FUNCTION_UNFIT) and "not here" in str(error)


@pytest.mark.parametrize("capturing", [False, True])
def test_a_result_that_cannot_be_sent(capturing: bool) -> None:
    """It is an error that names the way to what is wrong with it."""

    def work(x: int) -> Any:
        return {"lock": threading.Lock()} if x == 1 else x

    made = Served({1: Capturing(work) if capturing else work})
    values, problem, _ = made.ask(1, [0, 1, 2])
    error = values[1].error if capturing else problem[0]
    assert "result['lock']" in str(error) and "backend='threads'" in str(error)
    assert len(values) == (3 if capturing else 1) and values[0] == 0
    made.end()


def test_a_result_that_only_travels_by_value(served: Served) -> None:
    """Lambdas and local classes come back."""
    served.learn(2, lambda x: lambda: x + 1)
    assert served.ask(2, [1])[0][0]() == 2


# Arrays, initializers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("capturing", [False, True])
def test_writing_to_a_shared_array_says_what_to_do(capturing: bool) -> None:
    """The error names the option."""

    def work(array: Any) -> None:
        array[0] = 1

    made = Served({1: Capturing(work) if capturing else work})
    values, problem, _ = made.ask(1, [np.zeros(INLINE)])
    error = values[0].error if capturing else problem[0]
    assert any("writable='copy'" in note for note in error.__notes__)
    made.end()


def test_a_private_copy_may_be_written_to() -> None:
    """The caller's array stays as it is."""

    def work(array: Any) -> float:
        array += 1
        return float(array.sum())

    made, array = Served({1: work}, access=mmap.ACCESS_COPY), np.zeros(INLINE)
    assert made.ask(1, [array, array])[0] == [INLINE, 2 * INLINE] and array.sum() == 0
    made.end()


@pytest.mark.parametrize("capturing", [False, True])
def test_an_initializer_that_raises_is_not_an_items_error(capturing: bool) -> None:
    """The task ends with it, though errors of items are values."""
    call: Any = Prepared(abs, divmod, (1, 0))
    made = Served({1: Capturing(call) if capturing else call})
    values, (error, _), unfit = made.ask(1, [-1, -2])
    assert values == [] and not unfit and isinstance(error, BrokenWorker)
    made.end()


# Scene and rest ---------------------------------------------------------------------------------------------


def test_the_worker_moves_to_where_the_caller_is(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directory, environment and import path; its own share of the cores stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("OMP_NUM_THREADS", "STAYS", "GOES"):
        monkeypatch.setenv(name, "1")
    target = tmp_path / "there"
    target.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "8", "COMES": "2"}
    del environment["GOES"]
    monkeypatch.setenv("COMES", "0")
    served.channel.send(frames.SCENE, pack((str(target), environment, [*sys.path, "/else"])))
    served.learn(2, lambda x: (os.getcwd(), os.environ.get(x), __import__("sys").path[-1]))
    found = served.ask(2, ["COMES", "GOES", "STAYS", "OMP_NUM_THREADS"])[0]
    assert [value for _, value, _ in found] == ["2", None, "1", "1"]
    assert {(folder, path) for folder, _, path in found} == {(str(target), "/else")}


def test_a_worker_at_rest_forgets_functions_and_input(served: Served) -> None:
    """But for those it is to remember."""
    served.learn(2, pow)
    served.channel.send(frames.REST, pack((1,)))
    assert served.ask(1, [-1])[0] == [1]
    assert served.ask(2, [(1, 2)], star=True)[2] == frames.ITEMS_UNFIT
    assert served.ask(1, 3, start=1)[2] == frames.ITEMS_UNFIT
    assert list(served.household.functions) == [1]


def test_a_worker_at_rest_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it serves a call it waits for ever."""
    monkeypatch.setattr(serving, "REST_S", 0.02)
    made = Served({1: abs})
    assert made.ask(1, [-1])[0] == [1]
    assert made.thread.is_alive()
    made.channel.send(frames.REST, pack(()))
    made.thread.join(20)
    assert not made.thread.is_alive()
    made.end()


def test_connections_of_the_caller_lead_nowhere_after_the_call() -> None:
    """Copied sockets and pipes do; what was opened since, files, and its own stay as they are."""
    pid = fork()
    if pid == 0:  # descriptors are this process's own
        code = 1
        try:
            code = _let_go()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _let_go() -> int:
    copied, peer = socket.socketpair()
    reading, writing = os.pipe()
    own, _ = socket.socketpair()
    file = os.open("/proc/self/stat", os.O_RDONLY)
    household = Household({}, None, connections([own.fileno()]))
    peer.close()
    os.close(reading)
    later = os.pipe()  # gets the numbers that were closed
    household.rest(())
    null = os.stat(os.devnull).st_rdev
    gone = [os.fstat(fd).st_rdev == null for fd in (copied.fileno(), writing)]
    kept = [os.fstat(fd).st_rdev != null for fd in (own.fileno(), file, *later)]
    return 0 if all(gone) and all(kept) else 3


# The end ----------------------------------------------------------------------------------------------------


def test_the_worker_ends_with_its_socket() -> None:
    """When the caller closes or is gone, the loop returns."""
    Served({}).end()


@pytest.mark.parametrize("size", [1, LOG, 3 * INLINE])
def test_a_worker_whose_caller_is_gone_before_the_answer(size: int) -> None:
    """An answer that nobody takes ends the loop without an error."""
    begun, gate = threading.Event(), threading.Event()

    def slow(x: int) -> bytes:
        begun.set()
        assert gate.wait(20)
        return bytes(x)

    made = Served({1: slow})
    made.channel.send(frames.TASK, pack((1, False, 0, [size])), 1)
    assert begun.wait(20)
    made.channel.close()
    gate.set()
    made.end()


def test_several_seats_run_at_once() -> None:
    """Each seat has a socket and a page of its own; functions are shared."""
    barrier = threading.Barrier(3, timeout=20)

    def meet(x: int) -> int:
        barrier.wait()
        return x

    ends = [open_channels(mmap.ACCESS_READ) for _ in range(3)]
    pages = [open_slate() for _ in range(3)]
    household = Household({1: meet})
    seats = [(theirs, Slate(page)) for (_, theirs), (_, page) in zip(ends, pages, strict=True)]
    thread = threading.Thread(target=serve, args=(seats, household))
    thread.start()
    for place, (ours, _) in enumerate(ends):
        ours.send(frames.TASK, pack((1, False, 0, [place])), place + 1)
    answers = [ours.receive() for ours, _ in ends]
    assert [load(next(entries(frame.part(-1)))) for frame in answers] == [0, 1, 2]
    assert [pages[place][0].serial for place in range(3)] == [1, 2, 3]
    for ours, _ in ends:
        ours.close()
    thread.join(20)
    assert not thread.is_alive()
    for (slate, page), (their_channel, their_slate) in zip(pages, seats, strict=True):
        slate.close()
        their_slate.close()
        their_channel.close()
        os.close(page)


def test_a_pickled_failure_keeps_its_error() -> None:
    """The error of a value comes out with the traceback of the other side."""
    try:
        raise LookupError("gone")
    except LookupError as error:
        found = pickle.loads(pickle.dumps(Failure(error)))
    assert isinstance(found.error, LookupError) and "Traceback" in str(found.error.__cause__)
