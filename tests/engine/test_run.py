"""One run from the first item to the last: states, deadlines, interrupts, forks, the exit, nesting."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autoexec
from autoexec.engine import run as module
from autoexec.engine.run import TRANSITIONS, State
from autoexec.engine.tracks import TrackState
from autoexec.records import Plan, WorkKind
from tests.engine.fakes import Act, profile_of_a
from tests.forking import in_child

ROOT = str(Path(__file__).parents[2])
SERIAL = Plan("serial")


def states(act: Act) -> list[str]:
    """What a run has passed through."""
    return act.scheduler.states


# States -----------------------------------------------------------------------------------------------------


def test_every_state_leads_to_the_end() -> None:
    """From each there is a way to each that follows it, and none leads out of the last."""
    assert TRANSITIONS[State.DONE] == {}
    assert set(TRANSITIONS) == set(State)
    assert all(State.DONE in follows for state, follows in TRANSITIONS.items() if state is not State.DONE)


def test_a_serial_run() -> None:
    """Asked for: nothing is measured or planned."""
    act = Act(range(5), backend="serial").begin()
    assert act.run.plan is not None and act.run.plan.backend == "serial"
    assert list(act.results()) == list(range(5))
    assert states(act) == ["inline"] and act.run.state is State.DONE


def test_a_sampled_run_that_stays() -> None:
    """Too small to gain anything."""
    act = Act(list(range(5)), SERIAL, backend="auto").begin()
    assert list(act.results()) == list(range(5))
    assert states(act)[0] == "sampling" and act.planner.opened == []
    assert act.run.plan is not None and act.run.plan.backend == "serial"


def test_a_sampled_run_that_goes_elsewhere() -> None:
    """Planned between two items; the monitor has ended by then, as the pool may fork."""
    alive: list[bool] = []
    act = Act(itertools.count(), Plan("processes", 2), profile_of_a(WorkKind.PYTHON), backend="auto")
    act.run._learn = lambda block: act.run._decide()  # type: ignore[method-assign]
    opens = act.planner.open
    act.planner.open = lambda *args, **more: (  # type: ignore[method-assign]
        alive.append(act.monitor.alive) or opens(*args, **more)  # type: ignore[func-returns-value]
    )
    act.begin()
    assert act.run.state is State.POOLED and act.planner.places == [True] and alive == [False]
    assert act.take() == [0]
    assert sorted(act.backend.out) == [1, 2]
    act.results().close()


def test_a_pool_that_is_starting_is_helped() -> None:
    """The caller's core has nothing to do until the first worker is ready; then its track is closed."""
    profile = profile_of_a(WorkKind.PYTHON)
    act = Act(itertools.count(), Plan("processes", 2), profile, backend="auto", ordered=False)
    act.run._learn = lambda block: act.run._decide()  # type: ignore[method-assign]
    act.planner.starting = True
    act.begin()
    results = act.results()
    assert act.run.state is State.HELPING
    assert [next(results) for _ in range(3)] == [0, 3, 4] and sorted(act.backend.out) == [1, 2]
    act.backend.end(act.backend.out[0])
    act.backend.starting = False
    act.take()
    assert act.run.state is State.POOLED and act.run._here.state is not TrackState.OPEN
    results.close()


@pytest.mark.parametrize("wishes", [{"size": abs}, {"item_timeout": 3.0}, {"initializer": list}], ids=str)
def test_who_may_not_run_items_here_does_not_help(wishes: dict[str, Any]) -> None:
    """Heavy ones would not come first, late ones could not be given up."""
    act = Act(range(9), Plan("processes", 2), profile_of_a(WorkKind.PYTHON), **wishes)
    act.planner.starting = True
    assert act.begin().run.state is State.POOLED


def test_work_that_changes_is_looked_at_again() -> None:
    """Instant items first, waiting ones later: the plan is made again."""
    act = Act(range(100), SERIAL, backend="auto").begin()
    block = act.run._inline.run(act.scheduler.take_here(act.run._here, act.run._slot, 1))[0]  # type: ignore[arg-type]
    act.run._expected_s, block.wall_s = 1e-5, 0.03
    assert act.run.state is State.INLINE
    act.run._check(block)
    assert act.run.state is State.SAMPLING and act.monitor.alive


def test_blocks_follow_what_items_take() -> None:
    """Not beyond four times the last; one that takes a little longer is no reason to look closer."""
    act = Act(range(10_000), SERIAL, backend="auto").begin()
    task = act.scheduler.take_here(act.run._here, act.run._slot, 1)
    assert task is not None
    block = act.run._inline.run(task)[0]
    act.run._expected_s, act.run._size, block.wall_s = 1e-5, 10, 1e-5
    act.run._check(block)
    assert act.run._size == 40 and act.run.state is State.INLINE
    block.wall_s = 5e-5
    act.run._check(block)
    assert act.run._size == 30 and act.run.state is State.INLINE
    assert act.monitor.expected_s == pytest.approx(30 * 5e-5)


def test_an_input_that_ends_in_the_sample() -> None:
    """There is nothing left to plan."""
    for items, words in ((iter([1, 2]), "while they were measured"), (iter([]), "nothing was left to run")):
        act = Act(items, SERIAL, backend="auto")
        act.run._learn = act.run.sampler.add  # type: ignore[method-assign]
        list(act.begin().results())
        assert act.run.plan is not None and words in act.run.plan.reason


def test_an_error_of_the_monitor_ends_the_run() -> None:
    """Nobody would plan, or keep the time: whoever takes results hears of it."""
    act = Act(range(9), Plan("threads", 2)).begin()
    act.monitor.failed(RuntimeError("out of order"))
    with pytest.raises(RuntimeError, match="out of order"):
        list(act.results())
    assert act.backend.closed


def test_an_error_of_the_input_comes_last() -> None:
    """After the results of what came before it."""

    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("the input")

    act = Act(source(), Plan("threads", 2)).begin()
    found: list[int] = []
    act.meanwhile += [lambda: act.backend.end(2), lambda: act.backend.end(1)]
    with pytest.raises(LookupError, match="the input"):
        found.extend(act.results())
    assert found == [1, 2]


# Deadlines --------------------------------------------------------------------------------------------------


def test_a_deadline_that_passes_raises() -> None:
    """Nothing is waited for beyond it; what runs is let go."""
    act = Act(range(4), Plan("threads", 2), timeout=2.0).begin()
    with pytest.raises(TimeoutError, match="the results were not complete within timeout="):
        next(act.results())
    assert act.clock.now == pytest.approx(1002.0, abs=0.01)
    assert sum(act.waits) <= 2.01 and max(act.waits) <= 0.25
    assert act.backend.closed == [{"wait": False, "kill": True}]


def test_results_that_are_there_are_delivered_however_late() -> None:
    """A consumer that is slow itself has waited for nobody."""
    act = Act(range(4), Plan("threads", 2), timeout=2.0).begin()
    for item in range(3):
        act.backend.end(item)
    act.clock.go(100.0)
    results = act.results()
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(TimeoutError):
        next(results)
    assert list(results) == []


def test_a_deadline_after_the_last_result_says_nothing() -> None:
    """All are there: nothing was late."""
    act = Act(range(4), Plan("threads", 2), timeout=2.0).begin()
    for item in range(4):
        act.backend.end(item)
    act.clock.go(100.0)
    assert list(act.results()) == [0, 1, 2, 3]


def test_a_deadline_in_the_callers_thread() -> None:
    """Looked at between two blocks: the results of what was running come out first."""

    def work(x: int) -> int:
        act.clock.go(1.0)
        return x

    act = Act(range(9), backend="serial", timeout=2.5, call=work).begin()
    found: list[int] = []
    with pytest.raises(TimeoutError):
        found.extend(act.results())
    assert found == list(range(len(found))) and 3 <= len(found) < 9


# Ends -------------------------------------------------------------------------------------------------------


def test_results_that_nobody_holds_end() -> None:
    """Nothing more begins, and nothing is waited for."""
    act = Act(range(9), Plan("threads", 2)).begin()
    results = act.results()
    act.meanwhile.append(lambda: act.backend.end(0))
    assert next(results) == 0
    del results
    assert act.backend.closed == [{"wait": False, "kill": True}]
    assert act.run.state is State.DONE and act.scheduler.closing


def test_closing_twice_is_fine() -> None:
    """Also after the end."""
    act = Act(range(2), backend="serial").begin()
    results = act.results()
    assert next(results) == 0
    results.close()
    results.close()
    assert list(results) == [] and next(results, None) is None


def test_an_interrupt_from_another_thread_ends_the_iteration() -> None:
    """Without an error; `close` follows."""
    act = Act(range(9), Plan("threads", 2)).begin()
    results = act.results()
    act.meanwhile.append(results.interrupt)
    assert list(results) == []
    assert act.backend.closed


def test_what_is_not_live_any_more_is_forgotten() -> None:
    """The exit closes only runs that somebody may still hold."""
    act = Act(range(2), backend="serial").begin()
    known = weakref.ref(act.run)
    assert any(live() is act.run for live in module._live)
    del act
    gc.collect()
    assert known() is None and all(live() is not None for live in module._live)


def test_at_exit_runs_are_let_go_while_threads_still_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What closes them afterwards, as finalizers do, waits for nobody, and asks nobody."""
    monkeypatch.setattr(module, "_exiting", [])
    act = Act(range(9), Plan("threads", 2)).begin()
    results = act.results()
    monkeypatch.setattr(module, "_live", {weakref.ref(act.run)})
    module._let_all_go()
    assert act.backend.closed == [{"wait": False, "kill": True}]
    with act.scheduler._turns._lock:  # a thread that is gone holds it for ever
        results.close()
        del results
    assert len(act.backend.closed) == 1


# Forks of the user's ----------------------------------------------------------------------------------------

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


@forks
def test_in_a_forked_child_results_are_the_parents() -> None:
    """Whoever takes some there is told so, each time."""
    act = Act(range(9), Plan("threads", 2)).begin()
    act.backend.end(0)
    results = act.results()

    def child() -> list[str]:
        told = []
        for ask in (lambda: next(results), lambda: next(iter(results)), lambda: list(results)):
            for _ in range(2):
                with pytest.raises(autoexec.AutoexecError) as caught:
                    ask()
                told.append(str(caught.value))
        return told

    assert in_child(child) == ["these results belong to the process that forked"] * 6
    assert next(results) == 0


@forks
def test_in_a_forked_child_nothing_is_closed() -> None:
    """Neither workers nor files: they are the parent's, as are locks that threads held there."""
    act = Act(range(9), Plan("threads", 2)).begin()
    results = act.results()

    def child() -> tuple[int, bool]:
        results.close()
        act.run.abandon()
        act.run.finish(early=True)
        module._let_all_go()
        act.scheduler.close()
        return len(act.backend.closed), act.scheduler.closing

    with act.scheduler._turns._lock:
        assert in_child(child) == (0, False)
    results.close()
    assert len(act.backend.closed) == 1


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_an_item_that_forks_gives_its_child_nothing_more() -> None:
    """The child that comes back from an item does not run the rest once more."""
    pid = 0

    def work(x: int) -> int:
        nonlocal pid
        if x == 1:
            pid = os.fork()
        return x

    results = autoexec.map(work, range(5), backend="serial")
    found, error = list[int](), ""
    try:
        found.extend(results)
    except autoexec.AutoexecError as raised:
        error = str(raised)
    if pid == 0:
        os._exit(0 if error == "these results belong to the process that forked" else 1)
    assert found == [0, 1, 2, 3, 4] and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@forks
def test_a_forked_child_may_map() -> None:
    """While the parent's results wait."""
    results = autoexec.map(abs, itertools.count())
    assert next(results) == 0
    assert in_child(lambda: list(autoexec.map(lambda x: -x, range(3)))) == [0, -1, -2]
    assert next(results) == 1
    results.close()


# With real threads and processes ----------------------------------------------------------------------------


def test_ctrl_c_in_an_item_of_the_callers_thread_comes_out_at_once() -> None:
    """`KeyboardInterrupt` does not wait for its turn, and leaves nothing behind."""

    def work(x: int) -> int:
        if x == 3:
            raise KeyboardInterrupt
        return x

    with pytest.raises(KeyboardInterrupt):
        list(autoexec.map(work, range(10)))


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_ctrl_c_while_waiting_for_workers(backend: str) -> None:
    """An interrupt of the consumer ends the call and its processes, whenever it comes."""
    caller, main = os.getpid(), threading.main_thread().ident
    assert main == threading.get_ident()
    began = threading.Event()

    def interrupt() -> None:
        began.wait(30)
        signal.pthread_kill(main, signal.SIGINT)

    results = autoexec.map(
        lambda x: time.sleep(300 if os.getpid() != caller else 0.3),
        range(8),
        backend=backend,
        max_workers=2,
        item_timeout=None,
    )
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 -- it may come at any point from here on
            began.set()
            list(results)
            thread.join()
    finally:
        thread.join()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_raised_inside_workers_come_out(error: type[BaseException]) -> None:
    """What is no `Exception` reaches the consumer from a worker, too."""

    def work(x: int) -> int:
        raise error("from a worker")

    with pytest.raises(error):
        list(autoexec.map(work, range(4), backend="processes", max_workers=2))


def test_native_limits_are_lifted_again() -> None:
    """A run in threads leaves the thread pools of native libraries as they were."""
    pytest.importorskip("numpy")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    before = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    list(autoexec.map(lambda x: x, range(2000), backend="threads"))
    assert [pool["num_threads"] for pool in threadpoolctl.threadpool_info()] == before


@pytest.mark.parametrize("outer", ["threads", "processes"])
@pytest.mark.parametrize("inner", ["auto", "threads", "processes"])
def test_a_map_inside_an_item(outer: str, inner: str) -> None:
    """Nested calls give the results of nested loops."""

    def work(x: int) -> list[int]:
        import autoexec

        return list(autoexec.map(lambda y: x * y, range(5), backend=inner, max_workers=2))

    found = list(autoexec.map(work, range(4), backend=outer, max_workers=2))
    assert found == [[x * y for y in range(5)] for x in range(4)]


def test_an_automatic_map_inside_a_worker_starts_no_processes() -> None:
    """A worker keeps its own work: processes are refused there."""

    def work(x: int) -> tuple[str, str]:
        import autoexec

        def inner(y: int) -> int:
            return sum(i * i for i in range(200_000))

        results = autoexec.map(inner, range(12))
        list(results)
        assert results.plan is not None
        return results.plan.backend, results.plan.reason

    for backend, reason in autoexec.map(work, range(2), backend="processes", max_workers=2):
        assert backend != "processes", reason


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("threads", [4])
def test_calls_from_several_threads_at_once(threads: int, way: dict[str, Any]) -> None:
    """Calls from several threads do not disturb one another."""
    found: dict[int, list[int]] = {}
    go = threading.Barrier(threads)

    def caller(k: int) -> None:
        go.wait()
        found[k] = list(autoexec.map(lambda x: x * k, range(40), **way))

    callers = [threading.Thread(target=caller, args=(k,)) for k in range(threads)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert found == {k: [x * k for x in range(40)] for k in range(threads)}


def test_a_program_that_forgets_its_results_ends() -> None:
    """Results that nobody closes do not keep the interpreter alive."""
    code = (
        "import autoexec, itertools, time\n"
        "a = autoexec.map(lambda x: time.sleep(0.01), itertools.count())\n"
        "b = autoexec.map(lambda x: x, itertools.count(), backend='processes', max_workers=2)\n"
        "c = autoexec.map(lambda x: x, itertools.count())\n"
        "next(a), next(b), next(c)\n"
        "print('done')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, cwd=ROOT, check=False
    )
    assert (ended.stdout, ended.returncode) == ("done\n", 0), ended.stderr
    assert ended.stderr == ""
