"""`map` and `starmap` as a caller meets them, on every backend: order, laziness, errors, bad input."""

# ruff: noqa: PT012, RUF043, E501 -- the loop around an error collects what came before it

from __future__ import annotations

import contextlib
import contextvars
import functools
import gc
import importlib.util
import itertools
import operator
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import autoexec
from autoexec import api
from autoexec.errors import OptionError
from autoexec.testing import made_up_machine

# CPython warns of any fork beside threads; the pools that tests bring along fork where they were told to.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

IN_THIS_PROCESS = ("serial", "threads", "auto")


def _square(x: int) -> int:
    return x * x


class Counted:
    """An endless or finite iterator that counts what was pulled."""

    def __init__(self, stop: int | None = None) -> None:
        self.pulled = 0
        self.stop = stop

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.stop is not None and self.pulled >= self.stop:
            raise StopIteration
        self.pulled += 1
        return self.pulled - 1


# One contract, every backend --------------------------------------------------------------------------------


def test_results_are_those_of_the_loop_in_its_order(way: dict[str, Any]) -> None:
    """Any function gives the same results in the same order on every backend."""
    work = lambda x: (x, x % 7, str(x))  # noqa: E731 -- lambdas are what users write
    assert list(autoexec.map(work, range(100), **way)) == [work(x) for x in range(100)]


def test_importable_functions_give_the_same_results(way: dict[str, Any]) -> None:
    """A function of a module gives the same results on every backend."""
    assert list(autoexec.map(_square, list(range(40)), **way)) == [x * x for x in range(40)]


def test_unordered_results_are_the_same_results(way: dict[str, Any]) -> None:
    """`ordered=False` delivers each result once."""
    found = list(autoexec.map(lambda x: x * x, range(50), ordered=False, **way))
    assert sorted(found) == [x * x for x in range(50)]


def test_several_iterables_end_with_the_shortest(way: dict[str, Any]) -> None:
    """Several iterables are zipped as the built-in `map` does."""
    found = list(autoexec.map(lambda a, b, c: (a, b, c), range(9), "abcd", itertools.count(5), **way))
    assert found == list(zip(range(9), "abcd", itertools.count(5)))


def test_starmap_unpacks_items(way: dict[str, Any]) -> None:
    """`starmap` unpacks tuples and lists."""
    pairs = [(2, 3), [3, 2], (10, 0)]
    assert list(autoexec.starmap(lambda a, b: a**b, pairs, **way)) == [8, 9, 1]


def test_items_that_are_tuples_arrive_whole(way: dict[str, Any]) -> None:
    """`map` does not unpack items that happen to be tuples."""
    assert list(autoexec.map(lambda pair: pair, [(1, 2), (3,), ()], **way)) == [(1, 2), (3,), ()]


@pytest.mark.parametrize("items", [[], (), range(0), iter([]), {}, ""])
@pytest.mark.parametrize("backend", ["auto", "serial", "threads", "processes"])
def test_no_items_no_results(items: Any, backend: str) -> None:
    """An empty input ends at once."""
    assert list(autoexec.map(lambda x: x, items, backend=backend)) == []


@pytest.mark.parametrize("backend", ["auto", "serial", "threads", "processes"])
@pytest.mark.parametrize(
    "items", [{1: "a", 2: "b"}, {3, 4}, "text", b"bytes", (5, 6), [[1], [2]], range(7, 1, -2)]
)
def test_any_kind_of_collection_is_taken(items: Any, backend: str) -> None:
    """Dictionaries, sets, strings, bytes and nested lists are iterated as in a loop."""
    assert list(autoexec.map(lambda x: x, items, backend=backend)) == list(items)


@pytest.mark.parametrize("length", [0, 3, 20, sys.maxsize])
def test_a_length_that_lies_is_not_believed(length: int) -> None:
    """Room for the results is made as they come: nothing fails for want of memory."""

    class Pages:
        def __iter__(self) -> Iterator[int]:
            return iter(range(10))

        def __len__(self) -> int:
            return length

    results = autoexec.map(abs, Pages())
    assert 0 <= operator.length_hint(results) <= 1 << 20
    assert list(results) == list(range(10))


def test_values_that_are_none_or_false_are_results(way: dict[str, Any]) -> None:
    """Empty results are results."""
    values = [None, False, 0, "", (), []]
    assert list(autoexec.map(lambda x: x, values, **way)) == values


def test_an_error_comes_in_its_place_with_a_note(way: dict[str, Any]) -> None:
    """What came before an error is delivered; the error says which item, its repr and where."""

    def work(x: int) -> int:
        if x == 7:
            raise ValueError("seven")
        return x

    results = autoexec.map(work, range(20), **way)
    found = []
    with pytest.raises(ValueError, match="seven") as caught:
        for value in results:
            found.append(value)  # noqa: PERF402 -- what came before the error is what is tested
    assert found == list(range(7))
    note = " ".join(caught.value.__notes__)
    assert "item 7 (7) ran in" in note
    assert next(results, "end") == "end"


def test_the_error_of_a_chunk_names_its_item(way: dict[str, Any]) -> None:
    """With several items per task the note still names the one item."""
    results = autoexec.map(lambda x: 1 // (x - 5), range(12), chunksize=4, **way)
    found = []
    with pytest.raises(ZeroDivisionError) as caught:
        for value in results:
            found.append(value)  # noqa: PERF402
    assert found == [1 // (x - 5) for x in range(5)]
    assert any("item 5 (5)" in note for note in caught.value.__notes__)


def test_an_iterator_that_raises_does_so_after_its_items(way: dict[str, Any]) -> None:
    """The input's own error comes after the results of what it gave before."""

    def broken() -> Iterator[int]:
        yield from range(5)
        raise OSError("the disk is gone")

    found = []
    with pytest.raises(OSError, match="the disk is gone"):
        for value in autoexec.map(lambda x: x + 1, broken(), **way):
            found.append(value)  # noqa: PERF402
    assert found == [1, 2, 3, 4, 5]


def test_stop_iteration_of_an_item_does_not_end_the_results_silently(way: dict[str, Any]) -> None:
    """A `StopIteration` that escapes an item is an error, not the end."""

    def work(x: int) -> int:
        if x == 3:
            raise StopIteration
        return x

    with pytest.raises(RuntimeError, match="an item raised StopIteration") as caught:
        list(autoexec.map(work, range(6), **way))
    assert type(caught.value.__cause__) is StopIteration
    assert any("item 3 (3)" in note for note in caught.value.__notes__)


def test_each_result_is_made_once(way: dict[str, Any], journal: Any) -> None:
    """Every item runs exactly once."""
    note = journal.note
    list(autoexec.map(lambda x: note(x), range(60), **way))
    assert journal.counts() == {str(x): 1 for x in range(60)}


def test_calls_can_follow_one_another(way: dict[str, Any]) -> None:
    """A call leaves everything ready for the next, errors and early ends included."""
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            list(autoexec.map(lambda x: 1 // x, [1, 0, 1], **way))
        results = autoexec.map(lambda x: x, range(30), **way)
        assert next(results) == 0
        results.close()
        assert list(autoexec.map(lambda x: -x, range(5), **way)) == [0, -1, -2, -3, -4]


# Laziness and ends ------------------------------------------------------------------------------------------


def test_work_starts_at_the_call(way: dict[str, Any], journal: Any) -> None:
    """As with `Executor.map`, items run before the first result is asked for."""
    if way["backend"] == "serial":
        pytest.skip("a loop in the caller's thread cannot run ahead of its consumer")
    note = journal.note
    with autoexec.map(lambda x: note(x), range(4), **way):
        assert journal.wait_for(1)


def test_an_endless_generator_works(way: dict[str, Any]) -> None:
    """Results of an endless input come without its end, and it is not pulled without bound."""
    source = Counted()
    with autoexec.map(lambda x: x * 2, source, **way) as results:
        assert list(itertools.islice(results, 100)) == [2 * x for x in range(100)]
        assert source.pulled < 50_000


@pytest.mark.parametrize("buffersize", [1, 3, 16])
def test_buffersize_bounds_what_is_pulled(way: dict[str, Any], buffersize: int) -> None:
    """Never more than `buffersize` items are pulled and not delivered."""
    source = Counted()
    most = 0
    with autoexec.map(lambda x: x, source, buffersize=buffersize, **way) as results:
        most = source.pulled
        for delivered in range(1, 200):
            assert next(results) == delivered - 1
            most = max(most, source.pulled - delivered)
    assert most <= buffersize


def test_closing_early_cancels_what_has_not_begun(way: dict[str, Any], journal: Any) -> None:
    """After `close` no further item begins."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        time.sleep(0.01)
        return x

    results = autoexec.map(work, range(2000), **way)
    assert next(results) == 0
    results.close()
    begun = len(journal.lines())
    assert begun < 2000
    assert list(results) == []
    if not isinstance(way["backend"], str):
        return  # what a process of the caller's own pool has prefetched is still run there
    assert len(journal.lines()) == begun


def test_a_with_block_closes(way: dict[str, Any]) -> None:
    """Leaving the `with` block early closes; so does an error inside it."""
    with pytest.raises(KeyError), autoexec.map(lambda x: x, itertools.count(), **way) as results:
        assert next(results) == 0
        raise KeyError("mine")
    assert next(results, "closed") == "closed"


def test_breaking_out_of_the_loop_is_enough(way: dict[str, Any]) -> None:
    """A loop that is left, and its results forgotten, leaves nothing behind."""
    for x in autoexec.map(lambda x: x, itertools.count(), **way):
        if x > 10:
            break


def _leaky(how: str) -> Any:
    items: Any = range(100) if how != "serial" else itertools.count()
    work: Callable[[int], Any] = (lambda x: time.sleep(0.02)) if how == "threads" else (lambda x: x)
    return autoexec.map(work, items, backend="processes" if how == "processes" else "auto", max_workers=2)


@pytest.mark.parametrize("how", ["serial", "threads", "processes"])
def test_results_that_are_never_asked_for_leave_nothing(how: str) -> None:
    """Results that are dropped before the first `next` are closed, too."""
    results = _leaky(how)
    assert results is not None
    del results


def test_closing_twice_is_fine(way: dict[str, Any]) -> None:
    """`close` may be called again, and after the end."""
    results = autoexec.map(lambda x: x, range(5), **way)
    results.close()
    results.close()
    with autoexec.map(lambda x: x, range(5), **way) as results:
        assert list(results) == [0, 1, 2, 3, 4]
    results.close()


def test_unordered_results_come_as_they_complete() -> None:
    """`ordered=False` does not wait for an item that hangs."""
    gate = threading.Event()

    def work(x: int) -> int:
        if x == 0:
            assert gate.wait(20)
        return x

    with ThreadPoolExecutor(2) as executor:
        results = autoexec.map(work, range(6), backend=executor, ordered=False)
        first = [next(results) for _ in range(5)]
        gate.set()
        assert sorted(first) == [1, 2, 3, 4, 5]
        assert list(results) == [0]


def test_ordered_results_wait_for_their_turn() -> None:
    """By default a quick item does not overtake a slow one."""
    begun, gate = threading.Event(), threading.Event()

    def work(x: int) -> int:
        if x == 0:
            assert gate.wait(20)
        if x == 5:
            begun.set()
        return x

    with ThreadPoolExecutor(2) as executor:
        results = autoexec.map(work, range(6), backend=executor)
        taker = threading.Thread(target=lambda: (begun.wait(20), gate.set()))
        taker.start()
        assert list(results) == list(range(6))
        taker.join()


# Time limits ------------------------------------------------------------------------------------------------


def test_a_timeout_does_not_wait_for_threads() -> None:
    """`timeout` raises in the consumer while an item still runs in a thread."""
    gate = threading.Event()
    with ThreadPoolExecutor(2) as executor:
        results = autoexec.map(lambda x: gate.wait(20), range(4), backend=executor, timeout=0.2)
        try:
            with pytest.raises(TimeoutError):
                next(results)
        finally:
            gate.set()


def test_a_timeout_ends_worker_processes() -> None:
    """`timeout` ends processes that hang."""
    results = autoexec.map(
        lambda x: time.sleep(300), range(4), backend="processes", max_workers=2, timeout=0.5
    )
    with pytest.raises(TimeoutError):
        list(results)


def test_a_timeout_of_a_serial_run_counts_from_the_call() -> None:
    """In the caller's own thread the limit is noticed between items."""
    gate = threading.Event()
    with pytest.raises(TimeoutError):
        list(autoexec.map(lambda x: gate.wait(0.02), itertools.count(), backend="serial", timeout=0.1))


def test_a_generous_timeout_changes_nothing(way: dict[str, Any]) -> None:
    """Results that are in time come as without a limit."""
    assert list(autoexec.map(lambda x: x, range(20), timeout=50, **way)) == list(range(20))


# What an item sees ------------------------------------------------------------------------------------------

name_of_the_call = contextvars.ContextVar("name_of_the_call", default="nobody")


@pytest.mark.parametrize("backend", IN_THIS_PROCESS)
def test_context_variables_reach_the_items(backend: str) -> None:
    """Items see the context variables of the call."""
    token = name_of_the_call.set("me")
    try:

        def work(x: int) -> str:
            time.sleep(0.02)
            return name_of_the_call.get()

        found = set(autoexec.map(work, range(12), backend=backend, max_workers=4))
    finally:
        name_of_the_call.reset(token)
    assert found == {"me"}


@pytest.mark.parametrize("backend", IN_THIS_PROCESS)
def test_warnings_of_items_reach_the_caller(backend: str) -> None:
    """A warning that an item gives is one that the caller sees."""

    def work(x: int) -> int:
        warnings.warn(f"item {x}", UserWarning, stacklevel=1)
        return x

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert list(autoexec.map(work, range(5), backend=backend)) == list(range(5))
    assert {str(w.message) for w in caught} >= {f"item {x}" for x in range(5)}


def test_threads_share_the_callers_objects() -> None:
    """Threads are threads of this process."""
    found = set(autoexec.map(lambda x: os.getpid(), range(10), backend="threads"))
    assert found == {os.getpid()}


@pytest.mark.parametrize("backend", ["processes", "joblib"])
def test_processes_are_other_processes(backend: str) -> None:
    """What was asked to run in processes does."""
    if backend == "joblib":
        pytest.importorskip("joblib")
    found = set(autoexec.map(lambda x: os.getpid(), range(10), backend=backend, max_workers=2))
    assert os.getpid() not in found


def test_the_callers_executor_runs_the_items() -> None:
    """Items run in the threads of the executor that was given, and it stays open."""
    with ThreadPoolExecutor(2, thread_name_prefix="mine") as executor:
        names = list(autoexec.map(lambda x: threading.current_thread().name, range(10), backend=executor))
        assert all(name.startswith("mine") for name in names)
        assert executor.submit(pow, 2, 3).result() == 8


def test_max_workers_bounds_the_threads() -> None:
    """No more items run at once than `max_workers` allows, the caller's thread included."""
    lock = threading.Lock()
    running = [0, 0]

    def work(x: int) -> None:
        with lock:
            running[0] += 1
            running[1] = max(running)
        time.sleep(0.02)
        with lock:
            running[0] -= 1

    list(autoexec.map(work, range(30), backend="threads", max_workers=3))
    assert running[1] <= 4  # the first item may still run in the caller's thread


# What the results know --------------------------------------------------------------------------------------


def test_results_know_their_plan_and_profile() -> None:
    """After an automatic run plan and profile are there and readable."""
    results = autoexec.map(lambda x: x + 1, range(1000))
    assert list(results) == list(range(1, 1001))
    assert results.plan is not None and results.plan.backend == "serial" and results.plan.reason
    assert results.profile is not None and results.profile.items > 0
    assert "serial" in repr(results)


def test_waiting_goes_to_threads() -> None:
    """Items that sleep are run in threads, and the plan says why."""
    results = autoexec.map(lambda x: time.sleep(0.05), range(40))
    list(results)
    assert results.plan is not None and results.plan.backend == "threads"
    assert results.plan.max_workers > 4
    assert results.plan.reason


def test_a_forced_backend_is_in_the_plan(way: dict[str, Any]) -> None:
    """The plan names the backend that was asked for."""
    backend = way["backend"]
    if backend == "auto":
        pytest.skip("nothing was asked for")
    results = autoexec.map(lambda x: time.sleep(0.01), range(10), **way)
    list(results)
    assert results.plan is not None
    assert results.plan.backend == (backend if isinstance(backend, str) else type(backend).__name__)


def test_profile_measures_and_explain_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """`profile` returns what an item costs; `explain` prints the choice."""
    found = autoexec.profile(lambda x: time.sleep(0.03), range(50))
    assert found.kind is autoexec.WorkKind.IO
    autoexec.explain(lambda x: time.sleep(0.03), range(50))
    text = capsys.readouterr().out
    assert "threads" in text and "serial" in text


def test_profiling_passes_on_an_items_error() -> None:
    """What an item raises comes out of `profile`, with its note."""
    with pytest.raises(ZeroDivisionError) as caught:
        autoexec.profile(lambda x: 1 // x, [0, 1])
    assert "item 0 (0)" in caught.value.__notes__[0]


# The progress bar -------------------------------------------------------------------------------------------


class FakeBar:
    def __init__(self) -> None:
        self.count = 0.0
        self.closed = False

    def update(self, n: float = 1) -> bool:
        self.count += n
        return True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> FakeBar:
    """A bar that counts in place of the real one."""
    from autoexec.report import progress

    bar = FakeBar()
    monkeypatch.setattr(progress, "open_bar", lambda total: bar)
    return bar


def test_the_bar_counts_every_item(way: dict[str, Any], bar: FakeBar) -> None:
    """The bar has counted every item when the results end, and is closed."""
    pytest.importorskip("tqdm")
    assert list(autoexec.map(lambda x: x, range(77), progress=True, **way)) == list(range(77))
    assert bar.count == 77 and bar.closed


def test_the_bar_is_closed_after_an_error(bar: FakeBar) -> None:
    """An item that raises leaves no open bar."""
    pytest.importorskip("tqdm")
    with pytest.raises(ZeroDivisionError):
        list(autoexec.map(lambda x: 1 // x, [1, 1, 0], progress=True))
    assert bar.count == 2 and bar.closed


def test_the_real_bar_works() -> None:
    """The real bar opens, counts and closes."""
    pytest.importorskip("tqdm")
    assert list(autoexec.map(lambda x: x, range(5), progress=True)) == list(range(5))


# Bad input --------------------------------------------------------------------------------------------------


async def _coroutine(x: int) -> int:
    return x


async def _async_generator(x: int) -> Any:
    yield x


class AsyncCallable:
    async def __call__(self, x: int) -> int:
        return x


BAD_FUNCTIONS = {
    "text": "abs",
    "none": None,
    "number": 3,
    "async generator": _async_generator,
    "partial of one": functools.partial(_async_generator, 1),
}
ASYNC_FUNCTIONS = {
    "function": _coroutine,
    "partial": functools.partial(_coroutine),
    "object": AsyncCallable(),
    "method": AsyncCallable().__call__,
}


@pytest.mark.parametrize("func", BAD_FUNCTIONS.values(), ids=BAD_FUNCTIONS)
def test_what_cannot_be_called_is_refused(func: Any) -> None:
    """Anything but a plain callable is an error at the call, before an item is pulled."""
    source = Counted(3)
    for door in (autoexec.map, autoexec.starmap, autoexec.profile, autoexec.explain):
        with pytest.raises(autoexec.OptionError):
            door(func, source)
    assert source.pulled == 0


@pytest.mark.parametrize("func", ASYNC_FUNCTIONS.values(), ids=ASYNC_FUNCTIONS)
def test_async_functions_run(func: Any) -> None:
    """Whatever gives a coroutine when called is awaited, by `map` and by `starmap`."""
    assert list(autoexec.map(func, range(5))) == list(range(5))
    assert list(autoexec.starmap(func, [(x,) for x in range(5)])) == list(range(5))


@pytest.mark.parametrize("func", ASYNC_FUNCTIONS.values(), ids=ASYNC_FUNCTIONS)
def test_an_async_function_cannot_be_studied(func: Any) -> None:
    """`profile` and `explain` watch calls in this thread; the message says why there is nothing to learn."""
    for door in (autoexec.profile, autoexec.explain):
        with pytest.raises(autoexec.OptionError, match=r"async.*event loop"):
            door(func, range(3))


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_an_async_function_takes_no_backend(backend: str) -> None:
    """Its calls run in an event loop and nowhere else."""
    with pytest.raises(autoexec.OptionError, match="event loop"):
        autoexec.map(_coroutine, [1], backend=backend)


BAD_OPTIONS: list[dict[str, Any]] = [
    *({"max_workers": bad} for bad in (0, -1, 1.5, "2", True)),
    *({"n_jobs": bad} for bad in (0, 1.5, "2", True)),
    {"n_jobs": 2, "max_workers": 2},
    {"backend": "magic"},
    {"backend": 3},
    {"backend": None},
    {"backend": ThreadPoolExecutor},
    *({"chunksize": bad} for bad in (0, -3, 2.5, "many")),
    *({"buffersize": bad} for bad in (0, -3, 2.5)),
    *({"timeout": bad} for bad in (-1, -0.001, "soon", float("nan"))),
    {"worker": 3},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """Such an option is an `OptionError` (a ValueError and a TypeError) that names it, before anything ran."""
    source, ran = Counted(3), []
    with pytest.raises(autoexec.OptionError) as caught:
        autoexec.map(ran.append, source, **options)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, TypeError)
    assert any(name in str(caught.value) for name in options)
    assert source.pulled == 0 and ran == []


@pytest.mark.parametrize("iterables", [(), (5,), (None,), ([1], 5), (object(),)])
def test_items_that_are_none_are_refused(iterables: tuple[Any, ...]) -> None:
    """No iterable, or one that is none, is an error at the call."""
    with pytest.raises(autoexec.OptionError, match="item|iterable"):
        autoexec.map(lambda *x: x, *iterables)


@pytest.mark.parametrize(
    ("options", "package"), [({"backend": "joblib"}, "joblib"), ({"progress": True}, "tqdm")]
)
def test_a_missing_package_is_named_with_its_extra(
    options: dict[str, Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An optional package that is not there is an error at the call that says what to install."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == package else real(name, *more)
    )
    source = Counted(3)
    with pytest.raises(autoexec.MissingExtra, match=rf"{package}.*pip install .*\[") as caught:
        autoexec.map(lambda x: x, source, **options)
    assert isinstance(caught.value, ImportError)
    assert source.pulled == 0


@pytest.mark.parametrize(("n_jobs", "workers"), [(1, 1), (3, 3), (-1, 8), (-2, 7), (-8, 1), (-99, 1)])
def test_n_jobs_means_what_joblib_means(n_jobs: int, workers: int, eight_cores: None) -> None:
    """`n_jobs` is an alias: negative numbers count from the usable cores."""
    assert api.resolved({"n_jobs": n_jobs}).max_workers == workers


def test_a_huge_range_is_lazy() -> None:
    """A range too long for `len` is taken lazily, as the built-in `map` takes it."""
    with autoexec.map(lambda x: x, range(10**30)) as results:
        assert next(results) == 0


@pytest.mark.parametrize("backend", ["auto", "serial", "processes"])
def test_starmap_of_what_cannot_be_unpacked_fails_in_its_place(backend: str) -> None:
    """An item that is no tuple raises where it stands, with its note."""
    results = autoexec.starmap(lambda a, b: a + b, [(2, 3), 5], backend=backend)  # type: ignore[list-item]
    assert next(results) == 5
    with pytest.raises(TypeError) as caught:
        next(results)
    assert any("item 1 (5)" in note for note in getattr(caught.value, "__notes__", []))


def test_an_item_in_a_thread_that_asks_for_results_of_its_own_map_is_told_so() -> None:
    """It would wait for itself."""
    held: list[Any] = []
    ready = threading.Event()
    patience_s = 30.0

    def ask(x: int) -> str:
        assert ready.wait(patience_s)
        if threading.current_thread() is threading.main_thread():
            return "here"
        try:
            return str(next(held[0]))
        except autoexec.AutoexecError as error:
            return str(error)

    results = autoexec.map(ask, range(4), item_timeout=2 * patience_s, max_workers=2)
    held.append(results)
    ready.set()
    assert ["of these very results" in told for told in results] == [True] * 4


@pytest.mark.parametrize("backend", ["serial", "auto", "threads"])
@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
def test_what_is_no_exception_comes_in_its_place_too(backend: str, kind: type[BaseException]) -> None:
    """What was finished before it is delivered first, as in a loop."""

    def call(x: int) -> int:
        if x == 3:
            raise kind
        return x

    got: list[int] = []
    with pytest.raises(kind):
        for value in autoexec.map(call, range(6), backend=backend):
            got.append(value)  # noqa: PERF402 -- what came before the error counts
    assert got == [0, 1, 2]


def test_results_that_were_taken_are_dropped_without_any_python() -> None:
    """A finalizer that ran then, or after an error, would be a place where Ctrl-C is lost."""
    called: list[str] = []

    def note(frame: Any, event: str, arg: object) -> None:
        if frame.f_globals.get("__name__", "").startswith("autoexec."):
            called.append(frame.f_code.co_name)

    def interrupted(x: int) -> int:
        raise KeyboardInterrupt

    def dropped(kept: list[Any]) -> None:
        sys.setprofile(note)
        try:
            kept.clear()
            gc.collect()
        finally:
            sys.setprofile(None)

    gc.collect()  # what others have left
    with contextlib.suppress(KeyboardInterrupt):
        autoexec.map(interrupted, [1, 2])
    dropped([])
    for backend in ("auto", "threads"):
        taken = [iter(autoexec.map(abs, [1, 2], backend=backend))]
        assert list(taken[0]) == [1, 2]
        dropped(taken)
    assert set(called) <= {"_calls"}  # a suspended frame that is closed: signals are not looked at there


def test_ctrl_c_amid_a_finalizer_comes_afterwards() -> None:
    """The run is ended all the same, and the caller is told."""
    from autoexec import results

    ended: list[bool] = []
    began = time.monotonic()

    class Run:
        def abandon(self) -> None:
            if not ended:
                ended.append(False)
                raise KeyboardInterrupt
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        results.__del__(Run())  # type: ignore[arg-type]
        threading.Event().wait(30.0)
    assert ended == [False, True] and time.monotonic() - began < 20.0  # a wait is ended, too


def test_explain_tells_how_it_would_look_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """On a machine that is made up: with more cores there are more workers to forecast."""

    def work(x: int) -> int:
        return sum(i * i for i in range(20_000)) + x

    for cores in (1, 64):
        autoexec.explain(work, range(100_000), machine=made_up_machine(cores, memory_available=1 << 40))
        assert f"processes × {cores} " in capsys.readouterr().out
    autoexec.parallel(work).explain(range(1000), machine=made_up_machine(16))
    assert "processes × 16 " in capsys.readouterr().out


@pytest.mark.parametrize(
    "machine", [64, "here", autoexec.machine, made_up_machine], ids=["number", "word", "function", "maker"]
)
def test_a_machine_that_is_none(machine: Any) -> None:
    """It is refused at the call; nothing has run."""
    called: list[int] = []
    with pytest.raises(OptionError, match=r"machine must be an autoexec.Machine"):
        autoexec.explain(called.append, [1], machine=machine)
    assert called == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"usable": 0}, "machine.usable must be at least 1, not 0"),
        ({"logical": "many"}, "machine.logical must be a whole number, not 'many'"),
        ({"memory_available": float("nan")}, "machine.memory_available must be a whole number, not nan"),
        ({"descriptors": -1}, "machine.descriptors must be at least 0, not -1"),
        ({"quota": 0.0}, "machine.quota must be more than 0 CPUs"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_machine_that_cannot_be(facts: dict[str, Any], words: str) -> None:
    """The fact that is wrong is named."""
    with pytest.raises(OptionError, match=words):
        autoexec.explain(abs, [1], machine=made_up_machine(4, **facts))
