"""One budget of cores, through a whole run: what workers see of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

import autoexec
from autoexec.measure import machine
from autoexec.resources import Crew, Scope, current, share_here


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes this a machine of so many cores."""

    def make(count: int) -> None:
        monkeypatch.setattr(machine.here, "affinity", lambda: (frozenset(range(count)), "made up"))
        monkeypatch.setattr(machine.here, "reachable_cores", len)
        monkeypatch.setattr(machine.here, "quota", lambda: None)
        monkeypatch.setattr(machine, "_override", lambda: None)

    return make


# Threads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "workers", "share"), [(8, 2, 4), (8, 3, 2), (2, 2, 1), (2, 1, 2)])
def test_an_item_in_a_thread_sees_its_share(
    cores: Callable[[int], None], count: int, workers: int, share: int
) -> None:
    """Workers times what each may use is no more than there is; afterwards this thread has all again."""
    cores(count)

    def work(x: int) -> tuple[bool, int, int]:
        time.sleep(0.002)
        here = threading.current_thread() is caller
        return here, machine.look().usable, machine.usable_cores()

    caller = threading.current_thread()
    with autoexec.Executor(backend="threads", max_workers=workers) as executor:
        found = [executor.submit(work, x) for x in range(8)]
        assert all(future.result() in ((False, share, share), (True, count, count)) for future in found)
        assert any(not future.result()[0] for future in found)
    assert machine.look().usable == count


def test_shares_of_shares() -> None:
    """A pool inside a worker of a pool divides what that worker has."""
    token = current.set(Scope(crew=Crew(3, [])))
    try:
        assert share_here(16) == 5
        inner = Crew(2, [])
        current.set(Scope(crew=inner))
        assert share_here(16) == 2
        assert share_here(1) == 1
    finally:
        current.reset(token)
    assert share_here(16) == 16


def test_a_large_pool_counts_the_threads_it_needed() -> None:
    """Hundreds are allowed for work that waits: what each may keep busy follows from how many run."""
    threads: list[object] = []
    crew = Crew(256, threads)
    shares = []
    for _ in range(10):
        shares.append(crew.share(8))
        threads.append(object())
    assert shares == [8, 8, 4, 2, 2, 1, 1, 1, 1, 1]
    assert Crew(4, threads).share(8) == 2


# Processes --------------------------------------------------------------------------------------------------


SEEN = """
import json, os
import autoexec
def work(x):
    import joblib
    from autoexec.measure.machine import look
    found = look()
    return [found.usable, found.daemon, os.environ["LOKY_MAX_CPU_COUNT"], os.environ["OMP_NUM_THREADS"],
            joblib.effective_n_jobs(-1)]
results = autoexec.map(work, range(4), backend="processes", max_workers={workers})
print(json.dumps([list(results), results.plan.native_threads, autoexec.machine().usable]))
"""


SPAWNED = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()  # a process with threads does not fork
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("before", ["", "import numpy", SPAWNED], ids=["fork", "numpy", "spawn"])
def test_an_item_in_a_process_sees_its_share(workers: int, before: str) -> None:
    """autoexec, joblib and the native libraries are told the same; with one core no processes are started."""
    pytest.importorskip("joblib")
    pytest.importorskip("numpy")
    command = [sys.executable, "-c", before + SEEN.format(workers=workers)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found, native, usable = json.loads(done.stdout)
    share = max(1, usable // workers)
    assert native == share
    for seen in found:
        assert seen == [share, share == 1, str(share), str(share), share]
