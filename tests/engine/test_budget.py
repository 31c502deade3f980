"""One budget of cores and memory, through a whole run: what workers see, and what is learned of items."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

import autoexec
from autoexec.backends.base import Chunk, Finished
from autoexec.backends.threads import ThreadBackend
from autoexec.engine import measured as module
from autoexec.engine.loop import Block
from autoexec.engine.measured import Measured
from autoexec.measure import machine
from autoexec.resources import Crew, Scope, current, share_here

MIB = 1 << 20


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


def test_a_map_in_a_thread_stays_there_when_no_core_is_left(cores: Callable[[int], None]) -> None:
    """Two threads may run on two cores: computing inside an item is a loop, in that thread."""
    cores(2)

    def burn(y: int) -> int:
        return sum(i * i for i in range(20_000))

    def work(x: int) -> tuple[str, str]:
        results = autoexec.map(burn, range(60))
        list(results)
        assert results.plan is not None
        return threading.current_thread().name, results.plan.backend

    # One at a time: two that compute would wait for each other's GIL, which looks like any waiting.
    done: SimpleQueue[Finished] = SimpleQueue()
    backend = ThreadBackend(2, done.put)
    for x in range(2):
        backend.submit(Chunk(x, [x], work))
        ((name, inner),) = done.get(timeout=60).values
        assert name.startswith("autoexec")
        assert inner == "serial"
    backend.close()


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
    def burn(y):
        return sum(i * i for i in range(20_000))
    results = autoexec.map(burn, range(60))
    list(results)
    found = look()
    return [found.usable, found.daemon, os.environ["LOKY_MAX_CPU_COUNT"], os.environ["OMP_NUM_THREADS"],
            joblib.effective_n_jobs(-1), results.plan.backend]
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
    """autoexec, joblib and the native libraries are told the same; with one core work stays put."""
    pytest.importorskip("joblib")
    pytest.importorskip("numpy")
    command = [sys.executable, "-c", before + SEEN.format(workers=workers)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found, native, usable = json.loads(done.stdout)
    share = max(1, usable // workers)
    assert native == share
    for seen in found:
        assert seen[:5] == [share, share == 1, str(share), str(share), share]
        assert share > 1 or seen[5] == "serial"


# Memory -----------------------------------------------------------------------------------------------------


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The answers of the following looks at the memory, in mebibytes; the last one holds on."""
    answers = [(100, 100)]

    def resident() -> tuple[int, int]:
        used, most = answers.pop(0) if len(answers) > 1 else answers[0]
        return used * MIB, most * MIB

    monkeypatch.setattr(module, "resident", resident)
    return answers


def ran(items: int, seconds: float = 0.01) -> Block:
    """A block that was run."""
    block = Block(0, list(range(items)))
    block.run(abs, False)
    block.wall_s = seconds
    return block


def sample(measured: Measured, seen: Any = None) -> int:
    """What a sample would tell."""
    idle = SimpleNamespace(
        items=0, held_share=0.0, looked_s=0.0, pressed_cores=None, native_share=0.0, native_before=False,
        queued_s=0.0,
        running_s=0.0, cpu_s=0.0, child=False,
    )  # fmt: skip
    director: Any = SimpleNamespace(children_s=0.0, seen=lambda: idle)
    return measured.sample(director, None, seen and idle).memory_bytes // MIB


def test_the_hungriest_item_counts(looks: list[tuple[int, int]]) -> None:
    """Each block is compared with what was in use before it, and divided by its items."""
    looks[:] = [(100, 100), (110, 150), (110, 170), (130, 200), (130, 200)]
    measured = Measured(abs)
    for items, expected in ((1, 50), (1, 60), (3, 60), (1, 60)):
        measured.add(ran(items))
        assert sample(measured) == expected
    assert measured.brief(None).memory_bytes == 60 * MIB


def test_short_blocks_are_not_weighed(looks: list[tuple[int, int]]) -> None:
    """Looking would cost more than they do; what they hold shows with the next one."""
    looks[:] = [(100, 100), (140, 150)]
    measured = Measured(abs)
    measured.add(ran(1, seconds=1e-5))
    assert sample(measured) == 0
    measured.add(ran(1))
    assert sample(measured) == 50


def test_an_item_that_still_runs_counts(looks: list[tuple[int, int]]) -> None:
    """A decision in the middle of the first item knows what it has taken so far."""
    looks[:] = [(100, 100), (400, 400)]
    assert sample(Measured(abs), seen=True) == 300


def test_a_restart_forgets(looks: list[tuple[int, int]]) -> None:
    """A first item that imports says nothing of the next ones."""
    looks[:] = [(100, 100), (300, 300), (300, 300), (310, 310)]
    measured = Measured(abs)
    measured.add(ran(1))
    measured.restart()
    assert measured.memory_bytes == 0
    measured.add(ran(1))
    assert measured.memory_bytes == 10 * MIB


HUNGRY = """
import autoexec, json
def work(x):
    block = bytearray(b"x") * (80 << 20)
    return sum(block[::4096])
found = autoexec.profile(work, range(20))
print(json.dumps(found.memory_bytes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only what is above all that was")
def test_real_items_are_weighed() -> None:
    """What an item takes and gives back is seen in its profile."""
    done = subprocess.run([sys.executable, "-c", HUNGRY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 75 * MIB < json.loads(done.stdout) < 120 * MIB
