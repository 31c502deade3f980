"""What `autoexec.Executor` learns of the functions that it is given, and where it sends them."""

from __future__ import annotations

import atexit
import gc
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

import autoexec
from tests.forking import in_child

PATIENCE_S = 30.0
counted = 0
CITY: ContextVar[str] = ContextVar("CITY", default="nowhere")


def wait_a_little(_: object) -> int:
    """A call that waits some milliseconds."""
    time.sleep(0.004)
    return os.getpid()


def divide(n: int) -> tuple[int, int]:
    """Pure-Python work of some milliseconds."""
    return os.getpid(), sum(n % divisor == 0 for divisor in range(1, 60_000))


def divide_and_count(n: int) -> int:
    """The same, and a global is written."""
    global counted
    counted += 1
    return divide(n)[0]


def fail_often(x: int) -> int:
    """Every other call raises."""
    if x % 2:
        raise LookupError(x)
    return divide(x)[1]


def results(futures: list[Future[Any]]) -> list[Any]:
    """All results, in order."""
    return [future.result(PATIENCE_S) for future in futures]


@pytest.fixture
def crowd(known_costs: object) -> Any:
    """An executor on what it takes for a machine of eight cores."""
    with autoexec.Executor(max_workers=2) as executor:
        yield executor


# Routing ----------------------------------------------------------------------------------------------------


def test_waiting_goes_to_threads(crowd: autoexec.Executor) -> None:
    """A function that waits is sent to threads of this process, and `plans` says so."""
    pids = results([crowd.submit(wait_a_little, x) for x in range(40)])
    assert set(pids) == {os.getpid()}
    plan = crowd.plans["wait_a_little"]
    assert plan.backend == "threads"
    assert plan.reason


def test_python_work_goes_to_processes(crowd: autoexec.Executor) -> None:
    """A function that computes with the GIL held is sent to processes; the watched calls ran here."""
    results([crowd.submit(divide, n) for n in range(30)])
    assert crowd.plans["divide"].backend == "processes"
    pid, _ = crowd.submit(divide, 7).result(PATIENCE_S)
    assert pid != os.getpid()


def test_a_probe_that_is_misled_is_not_enough(crowd: autoexec.Executor, known_costs: SimpleNamespace) -> None:
    """On a crowded machine the GIL seems free; what counts is how calls run beside one that wants it."""
    known_costs.held_share = 0.0
    results([crowd.submit(divide, n) for n in range(60)])
    assert crowd.plans["divide"].backend == "processes"


def test_each_function_is_judged_for_itself(crowd: autoexec.Executor) -> None:
    """Unlike functions in one executor have plans of their own."""
    waiting = [crowd.submit(wait_a_little, x) for x in range(20)]
    working = [crowd.submit(divide, n) for n in range(20)]
    results(waiting + working)
    assert (crowd.plans["wait_a_little"].backend, crowd.plans["divide"].backend) == ("threads", "processes")
    assert "divide: processes" in repr(crowd)


def test_nothing_is_known_at_first() -> None:
    """Before the first call there are no plans, and `repr` says so."""
    with autoexec.Executor() as executor:
        assert executor.plans == {}
        assert "nothing learned yet" in repr(executor)


def test_map_teaches_as_submit_does(crowd: autoexec.Executor) -> None:
    """`map` is `submit` for each item."""
    list(crowd.map(divide, range(30)))
    assert crowd.plans["divide"].backend == "processes"


def test_map_with_chunks_teaches_the_function(crowd: autoexec.Executor) -> None:
    """Chunks of unlike functions are told apart."""
    list(crowd.map(wait_a_little, range(40), chunksize=2))
    list(crowd.map(divide, range(30), chunksize=2))
    assert crowd.submit(divide, 3).result(PATIENCE_S)[0] != os.getpid()
    assert {pid for pid, _ in list(crowd.map(divide, range(8), chunksize=2))} != {os.getpid()}


# What must stay stays ---------------------------------------------------------------------------------------


def test_a_function_that_writes_a_global_stays(crowd: autoexec.Executor) -> None:
    """Its calls run in this process, all of them count, and the plan names the global."""
    global counted
    counted = 0
    assert set(results([crowd.submit(divide_and_count, n) for n in range(30)])) == {os.getpid()}
    assert counted == 30
    plan = crowd.plans["divide_and_count"]
    assert plan.backend != "processes"
    assert "counted" in plan.reason or any("counted" in str(hazard) for hazard in plan.hazards)


def test_a_function_that_writes_a_captured_list_stays(crowd: autoexec.Executor) -> None:
    """What it appends is there afterwards."""
    found: list[int] = []

    def collect(n: int) -> None:
        found.append(divide(n)[1])

    results([crowd.submit(collect, n) for n in range(30)])
    assert len(found) == 30


@pytest.mark.parametrize(
    "chunksize",
    [
        1,
        pytest.param(3),
    ],
)
def test_chunks_of_a_function_that_must_stay(crowd: autoexec.Executor, chunksize: int) -> None:
    """Chunking does not hide the function from the judgment."""
    found: list[int] = []

    def collect(n: int) -> None:
        found.append(divide(n)[1])

    list(crowd.map(collect, range(45), chunksize=chunksize))
    assert len(found) == 45


def test_a_method_that_changes_its_object_stays(crowd: autoexec.Executor) -> None:
    """The object at hand is the one that changes."""
    tally = Tally()
    results([crowd.submit(tally.add, n) for n in range(30)])
    assert tally.total == 30


class Tally:
    def __init__(self) -> None:
        self.total = 0
        self.lock = threading.Lock()

    def add(self, n: int) -> None:
        divide(n)
        with self.lock:
            self.total += 1


def test_a_captured_lock_stays(crowd: autoexec.Executor) -> None:
    """A function that holds a lock runs in this process."""
    lock = threading.Lock()

    def guarded(n: int) -> int:
        with lock:
            return divide(n)[0]

    assert set(results([crowd.submit(guarded, n) for n in range(30)])) == {os.getpid()}


def test_two_closures_of_one_code(crowd: autoexec.Executor) -> None:
    """The second has captured what must stay; that the first was harmless does not matter."""

    def making(extra: Any) -> Callable[[int], int]:
        def inner(n: int) -> int:
            divide(n)
            if extra is not None:
                extra.add(n)
            return os.getpid()

        return inner

    results([crowd.submit(making(None), n) for n in range(30)])
    found: set[int] = set()
    results([crowd.submit(making(found), n) for n in range(10)])
    assert found == set(range(10))


def test_arguments_that_cannot_be_pickled_stay(crowd: autoexec.Executor) -> None:
    """A call with such an argument runs here although the function was sent to processes."""
    results([crowd.submit(first_of, n) for n in range(30)])
    lock = threading.Lock()
    assert crowd.submit(first_of, 3, lock).result(PATIENCE_S) == os.getpid()


def first_of(n: int, *rest: object) -> int:
    """Work that takes any further argument."""
    return divide(n)[0]


# Once, and not one after the other --------------------------------------------------------------------------


@pytest.mark.parametrize("work", [wait_a_little, divide], ids=["waiting", "computing"])
def test_each_call_runs_once(crowd: autoexec.Executor, journal: Any, work: Callable[[int], Any]) -> None:
    """Learning, handing over and routing neither lose a call nor repeat one."""
    note = journal.note

    def noted(n: int) -> int:
        note(n)
        work(n)
        return n

    assert results([crowd.submit(noted, n) for n in range(80)]) == list(range(80))
    assert journal.counts() == {str(n): 1 for n in range(80)}


def test_a_long_first_call_does_not_hold_back_the_rest() -> None:
    """The first call waits for the last one: they must be under way together."""
    with autoexec.Executor() as executor:
        last = threading.Event()

        def meet(n: int) -> bool:
            if n == 5:
                last.set()
            return last.wait(PATIENCE_S)

        assert all(results([executor.submit(meet, n) for n in range(6)]))


def test_a_long_computation_does_not_hold_back_the_rest(crowd: autoexec.Executor) -> None:
    """The first call computes until another has run."""
    stop = threading.Event()

    def first(n: int) -> bool:
        if n:
            stop.set()
        patience = time.monotonic() + 5
        while not stop.is_set() and time.monotonic() < patience:
            sum(range(1000))
        return stop.is_set()

    assert all(results([crowd.submit(first, n) for n in range(4)]))


def test_calls_that_come_later_are_not_held_back() -> None:
    """The second call is submitted when the first already waits for it."""
    with autoexec.Executor() as executor:
        begun, met = threading.Event(), threading.Event()

        def meet(first: bool) -> bool:
            if first:
                begun.set()
                return met.wait(PATIENCE_S)
            met.set()
            return True

        one = executor.submit(meet, True)
        assert begun.wait(PATIENCE_S)
        assert executor.submit(meet, False).result(PATIENCE_S)
        assert one.result(PATIENCE_S)


def test_a_function_that_was_tiny_may_come_to_wait() -> None:
    """Two calls that meet each other run at once although a thousand before took no time."""
    with autoexec.Executor(max_workers=2) as executor:
        meeting = threading.Barrier(2, timeout=5)

        def perhaps_meet(meet: bool) -> bool:
            if meet:
                meeting.wait()
            return True

        results([executor.submit(perhaps_meet, False) for _ in range(1000)])
        assert all(results([executor.submit(perhaps_meet, True) for _ in range(2)]))


def test_failing_calls_are_learned_too(crowd: autoexec.Executor) -> None:
    """Exceptions arrive where they belong, before and after the decision."""
    futures = [crowd.submit(fail_often, x) for x in range(40)]
    for x, future in enumerate(futures):
        error = future.exception(PATIENCE_S)
        assert isinstance(error, LookupError) == bool(x % 2)
    assert "fail_often" in crowd.plans


@pytest.mark.parametrize("options", [{}, {"backend": "threads"}, {"max_workers": 1}], ids=str)
@pytest.mark.parametrize("holds", [None, sqlite3.connect], ids=["nothing", "what threads must not share"])
def test_calls_that_wait_for_calls_as_deep_as_it_gets(options: dict[str, Any], holds: Any) -> None:
    """One inside the other, far more than there are workers."""
    with autoexec.Executor(**options) as executor:
        held = holds and holds(":memory:", check_same_thread=False)

        def down(n: int) -> int:
            assert held is None or held.total_changes == 0
            time.sleep(0.001)
            return 0 if n == 0 else 1 + executor.submit(down, n - 1).result(PATIENCE_S)

        assert executor.submit(down, 150).result(PATIENCE_S) == 150
        if held is not None:
            held.close()


@pytest.mark.parametrize("options", [{}, {"backend": "threads"}, {"max_workers": 1}], ids=str)
def test_a_call_may_end_its_executor(options: dict[str, Any]) -> None:
    """It does not wait for itself; others are done as ever."""
    executor = autoexec.Executor(**options)

    def end() -> str:
        executor.shutdown(wait=True)
        return "ended"

    others = [executor.submit(wait_a_little, x) for x in range(5)]
    assert executor.submit(end).result(PATIENCE_S) == "ended"
    results(others)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)
    executor.shutdown()


# Options ----------------------------------------------------------------------------------------------------


def test_a_callers_own_executor() -> None:
    """Calls go to the executor that was given, and it stays open."""
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        with autoexec.Executor(backend=pool) as executor:
            name = executor.submit(lambda: threading.current_thread().name).result(PATIENCE_S)
        assert name.startswith("mine")
        assert pool.submit(len, "abc").result(PATIENCE_S) == 3


def test_cancelling_in_a_callers_own_executor() -> None:
    """A pending call is cancelled for good, a running one is not."""
    with ThreadPoolExecutor(1) as pool, autoexec.Executor(backend=pool) as executor:
        begun, go = threading.Event(), threading.Event()
        ran: list[str] = []

        def first() -> str:
            begun.set()
            go.wait(PATIENCE_S)
            return "first"

        running = executor.submit(first)
        pending = executor.submit(ran.append, "second")
        assert begun.wait(PATIENCE_S)
        try:
            assert pending.cancel()
            assert not running.cancel()
        finally:
            go.set()
        assert running.result(PATIENCE_S) == "first"
    assert ran == []


def test_the_number_of_workers_is_kept(journal: Any) -> None:
    """`max_workers` is the most that run at once, given by position or by name."""
    for executor in (autoexec.Executor(2, backend="threads"), autoexec.Executor(n_jobs=2, backend="threads")):
        with executor:
            lock, together, most = threading.Lock(), [0], [0]

            def run(_: int, lock: Any = lock, together: Any = together, most: Any = most) -> None:
                with lock:
                    together[0] += 1
                    most[0] = max(most[0], together[0])
                time.sleep(0.001)
                with lock:
                    together[0] -= 1

            list(executor.map(run, range(50)))
        assert most[0] == 2


@pytest.mark.parametrize(
    "options",
    [
        {"max_workers": 0},
        {"max_workers": -1},
        {"max_workers": 1.5},
        {"max_workers": True},
        {"backend": "thread"},
        {"backend": 7},
        {"n_jobs": 0},
        {"n_jobs": 2, "max_workers": 2},
        {"workers": 3},
    ],
    ids=str,
)
def test_options_that_cannot_be_meant(options: dict[str, Any]) -> None:
    """They are errors when the executor is made."""
    with pytest.raises(autoexec.OptionError):
        autoexec.Executor(**options)


@pytest.mark.parametrize(
    ("options", "instead"),
    [
        ({"timeout": 1.0}, "Executor.map"),
        ({"chunksize": 2}, "Executor.map"),
        ({"buffersize": 3}, "Executor.map"),
        ({"ordered": False}, "as_completed"),
        ({"progress": True}, "autoexec.map"),
        ({"on_error": "skip"}, "a future holds"),
        ({"journal": "run.sqlite"}, "a future holds"),
        ({"codec": "json"}, "a future holds"),
        ({"size": len}, "a future holds"),
    ],
    ids=str,
)
def test_options_that_it_would_not_obey(options: dict[str, Any], instead: str) -> None:
    """They are refused, with what to use instead; as their defaults they say nothing."""
    if "progress" in options:
        pytest.importorskip("tqdm")
    with pytest.raises(autoexec.OptionError, match=f"^{next(iter(options))}= .*{instead}"):
        autoexec.Executor(**options)
    autoexec.Executor(timeout=None, ordered=True, progress=False, on_error="raise").shutdown()


@pytest.mark.parametrize(
    "options", [{"max_workers": 2}, {"writable": "copy"}, {"initializer": print}], ids=str
)
def test_options_that_a_callers_own_executor_would_not_obey(options: dict[str, Any]) -> None:
    """It runs the calls as it was told to by its maker."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(autoexec.OptionError, match="an executor of yours"):
        autoexec.Executor(backend=pool, **options)


@pytest.mark.parametrize(
    "options", [{"timeout": math.inf}, {"chunksize": 10**19}, {"buffersize": 10**19}], ids=str
)
def test_numbers_without_end_for_map(options: dict[str, Any]) -> None:
    """No limit, all at once, everything: `map` takes them as `autoexec.map` does."""
    with autoexec.Executor(2) as executor:
        assert list(executor.map(abs, range(20), **options)) == list(range(20))


def test_async_functions_run_in_an_event_loop() -> None:
    """Their futures hold what they return; beside `backend=` they are refused."""

    async def later(x: int) -> int:
        return -x

    with autoexec.Executor() as executor:
        assert [executor.submit(later, x).result(PATIENCE_S) for x in range(3)] == [0, -1, -2]
    with autoexec.Executor(backend="threads") as executor, pytest.raises(autoexec.OptionError, match="async"):
        executor.submit(later, 1)


def test_no_items_is_an_error() -> None:
    """`map` with a function alone is a mistake."""
    with autoexec.Executor() as executor, pytest.raises(autoexec.OptionError, match="no items"):
        executor.map(len)


def test_results_are_not_kept_alive() -> None:
    """After a call nothing but its future holds the arguments and the result."""
    import weakref

    class Thing:
        pass

    with autoexec.Executor(backend="threads", max_workers=1) as executor:
        thing = Thing()
        seen = weakref.ref(thing)
        executor.submit(id, thing).result(PATIENCE_S)
        executor.submit(len, "").result(PATIENCE_S)
        del thing
        gc.collect()
        assert seen() is None


@pytest.mark.parametrize("end", ["drop", "shutdown without waiting"])
def test_nothing_is_kept_of_executors_that_are_gone(end: str) -> None:
    """What the functions of a dropped executor held is let go."""
    import weakref

    class Thing:
        pass

    def use() -> weakref.ref[Thing]:
        thing = Thing()
        executor = autoexec.Executor()
        executor.submit(lambda: id(thing)).result(PATIENCE_S)
        if end != "drop":
            executor.shutdown(wait=False)
        return weakref.ref(thing)

    seen = use()
    until = time.monotonic() + 5
    while seen() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert seen() is None


# In a forked child ------------------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")


def add_one(x: int) -> int:
    """A quick call."""
    return x + 1


@needs_fork
@pytest.mark.parametrize("backend", ["auto", "threads", "processes"])
def test_an_executor_starts_afresh_in_a_forked_child(backend: str) -> None:
    """It has neither the threads nor the workers of its parent, whose own go on."""

    def child() -> tuple[Any, ...]:
        value = executor.submit(add_one, 1).result(PATIENCE_S)
        rest = list(executor.map(add_one, range(3)))
        executor.shutdown()
        return value, rest

    with autoexec.Executor(2, backend=backend) as executor:
        results([executor.submit(add_one, x) for x in range(300)])
        assert in_child(child) == (2, [1, 2, 3])
        assert results([executor.submit(add_one, x) for x in range(10)]) == list(range(1, 11))


@needs_fork
def test_calls_that_are_under_way_are_the_parents() -> None:
    """A child that shuts down, drops the executor or ends does not wait for them, nor touch them."""

    def child() -> dict[str, Any]:
        executor.shutdown()
        atexit._run_exitfuncs()
        gc.collect()
        return executor.plans

    begun, go = threading.Event(), threading.Event()

    def hold() -> str:
        begun.set()
        assert go.wait(PATIENCE_S)
        return "held"

    with autoexec.Executor(1, backend="threads") as executor:
        held, waiting = executor.submit(hold), executor.submit(add_one, 1)
        assert begun.wait(PATIENCE_S)
        try:
            assert in_child(child) == {}
        finally:
            go.set()
        assert (held.result(PATIENCE_S), waiting.result(PATIENCE_S)) == ("held", 2)


@needs_fork
def test_an_executor_that_was_shut_down_stays_so_in_a_child() -> None:
    """As in its parent."""
    executor = autoexec.Executor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        in_child(lambda: executor.submit(add_one, 1).result(PATIENCE_S))


# Workers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["auto", "threads"])
@pytest.mark.parametrize("more", [{}, {"per": str}])
def test_every_worker_is_prepared_once(backend: str, more: dict[str, Any]) -> None:
    """The initializer runs in each thread before its first call, in the one that learns too."""
    prepared: list[threading.Thread] = []
    ran: list[threading.Thread] = []

    def prepare(what: str) -> None:
        assert what == "!"
        prepared.append(threading.current_thread())

    def work(number: int) -> int:
        assert threading.current_thread() in prepared
        ran.append(threading.current_thread())
        return number

    with autoexec.Executor(2, backend=backend, initializer=prepare, initargs=("!",), **more) as executor:
        assert list(executor.map(work, range(300))) == list(range(300))
    assert set(prepared) == set(ran) and len(prepared) == len(set(prepared))


def test_what_the_learning_thread_made_is_closed() -> None:
    """A session that was made while the function was watched does not stay open."""
    made: list[Any] = []

    class Session:
        def __init__(self) -> None:
            self.open = True
            made.append(self)

        def close(self) -> None:
            self.open = False

    session = autoexec.per_worker(Session)
    with autoexec.Executor(2) as executor:
        assert all(executor.map(lambda _: session().open, range(300)))
    assert made and not any(one.open for one in made)


def test_context_variables_hold_per_call_in_an_executor_of_ones_own() -> None:
    """Each call has what its caller had when it was submitted; what it sets, no other call sees."""
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("the caller's")

    def call(x: int) -> str:
        seen = variable.get("nothing")
        variable.set(f"that of {x}")
        return seen

    with ThreadPoolExecutor(1) as own, autoexec.Executor(backend=own) as pool:
        assert [pool.submit(call, x).result() for x in range(3)] == ["the caller's"] * 3
        assert list(pool.map(call, range(3))) == ["the caller's"] * 3


def go_to(city: str) -> str:
    """Where a call begins; it ends elsewhere."""
    found = CITY.get()
    CITY.set(city)
    return found


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_calls_in_an_executor_of_others_find_the_context_of_their_submission(kind: Any) -> None:
    """Also where its workers are older than that, and what one call sets reaches no other."""
    with kind(1) as theirs, autoexec.Executor(backend=theirs) as executor:
        executor.submit(go_to, "Rome").result(PATIENCE_S)
        token = CITY.set("Pisa")
        later = [executor.submit(go_to, city) for city in ("Lucca", "Siena")]
        CITY.reset(token)
        assert [future.result(PATIENCE_S) for future in later] == ["Pisa", "Pisa"]
        assert CITY.get() == "nowhere"


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_shutdown_waits_for_callbacks(backend: str) -> None:
    """As the standard library's do: when it returns, futures are done and have told so."""
    added, begun, gate = threading.Event(), threading.Event(), threading.Event()
    told: list[str] = []

    def callback(future: Future[bool]) -> None:
        begun.set()
        gate.wait(50)
        told.append("callback")

    executor = autoexec.Executor(2, backend=backend)
    executor.submit(added.wait, 50).add_done_callback(callback)
    added.set()

    def ends() -> None:
        executor.shutdown()
        told.append("shutdown")

    closer = threading.Thread(target=ends)
    assert begun.wait(50)
    closer.start()
    closer.join(0.2)
    assert closer.is_alive()
    gate.set()
    closer.join()
    assert told == ["callback", "shutdown"]
