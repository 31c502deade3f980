"""One core budget: shares of worker processes, limits of threads, and that the libraries really obey."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from autoexec.backends import core_budget as native
from autoexec.backends import native_pools as pools
from autoexec.backends.core_budget import VARIABLES, environment, limited
from autoexec.backends.native_pools import Pool
from autoexec.backends.threads import ThreadBackend
from autoexec.records import Plan
from tests.backends.partner import partner


def run(code: str, **env: str) -> Any:
    """What a fresh interpreter prints, as JSON; the native variables are those given."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**kept, **env}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Library:
    """A library with a pool of threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.history: list[int] = []

    def change(self, threads: int) -> None:
        self.history.append(threads)
        self.threads = threads

    def pool(self, *, by_thread: bool = False) -> Pool:
        return Pool("lib", lambda: self.threads, self.change, by_thread)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """One loaded library, with 8 threads."""
    found = Library(8)
    monkeypatch.setattr(native, "_loaded", lambda: [found.pool()])
    return found


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No native variable is set, and none is afterwards."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(native, "_before", {})
    monkeypatch.setattr(native, "_threads_before", {})
    monkeypatch.setattr("autoexec.role.cores", None)
    yield monkeypatch
    for name in VARIABLES:
        os.environ.pop(name, None)


# The environment --------------------------------------------------------------------------------------------


def test_every_library_gets_the_share(bare: pytest.MonkeyPatch) -> None:
    """Each variable has the worker's cores."""
    assert environment(3) == dict.fromkeys(VARIABLES, "3")
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"} <= {
        *environment(3)
    }


def test_threads_of_a_worker_divide_its_share(bare: pytest.MonkeyPatch) -> None:
    """What one of several threads may start is less; joblib is told of all cores."""
    found = environment(8, threads=3)
    assert found.pop("LOKY_MAX_CPU_COUNT") == "8"
    assert {*found.values()} == {"2"}
    assert environment(2, threads=8)["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("text", "expected"), [("1", "1"), ("2,1", "2"), ("16", "4"), ("", "4"), ("many", "4"), ("0", "4")]
)
def test_a_smaller_wish_of_the_user_stays(bare: pytest.MonkeyPatch, text: str, expected: str) -> None:
    """A share limits and never gives more; nonsense is no wish."""
    bare.setenv("OMP_NUM_THREADS", text)
    assert environment(4)["OMP_NUM_THREADS"] == expected


# A worker's share -------------------------------------------------------------------------------------------


def test_a_share_is_taken_and_taken_again(bare: pytest.MonkeyPatch, library: Library) -> None:
    """A kept worker may get another share; what was there before it bounds them all."""
    from autoexec import role

    bare.setenv("MKL_NUM_THREADS", "2")
    for cores, threads in ((1, 1), (4, 4), (99, 8), (2, 2)):
        native.take_share(cores)
        assert role.cores == cores
        assert library.threads == threads
        assert os.environ["OMP_NUM_THREADS"] == os.environ["LOKY_MAX_CPU_COUNT"] == str(cores)
        assert os.environ["MKL_NUM_THREADS"] == str(min(2, cores))


def test_a_share_is_divided_among_threads(bare: pytest.MonkeyPatch, library: Library) -> None:
    """A worker that runs several items at a time gives each its part."""
    native.take_share(6, threads=3)
    assert library.threads == 2


FRESH = """
import json, threadpoolctl
from autoexec.backends.core_budget import take_share
take_share({cores})
import numpy, joblib
numpy.ones((300, 300)) @ numpy.ones((300, 300))
from autoexec.measure.machine import look, usable_cores
found = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
print(json.dumps([found, joblib.effective_n_jobs(-1), joblib.cpu_count(), look().usable, usable_cores()]))
"""


@pytest.mark.parametrize("cores", [1, 2])
def test_a_fresh_worker_keeps_to_its_share(cores: int) -> None:
    """Libraries loaded later, joblib and autoexec itself see the same budget."""
    for package in ("numpy", "joblib", "threadpoolctl"):
        pytest.importorskip(package)
    usable = run("from autoexec.measure.machine import usable_cores; print(usable_cores())")
    found, *others = run(FRESH.format(cores=cores))
    assert found
    assert all(threads <= cores for threads in found)
    assert others == [min(cores, joblib_cores()), min(cores, joblib_cores()), *[min(cores, usable)] * 2]


def joblib_cores() -> int:
    """What joblib takes for the number of cores here."""
    return int(run("import joblib; print(joblib.cpu_count())"))


FORKED = """
import contextlib, json, os, sys
import numpy, threadpoolctl
a = numpy.ones((700, 700))
a @ a
from autoexec.backends import core_budget as native
def told():
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
asked = []
for cores in {shares}:
    read, write = os.pipe()
    with native.limited(cores) if {born} else contextlib.nullcontext():
        if not os.fork():
            native.take_share(cores)
            for _ in range(8):
                a @ a
            import joblib
            found = [told(), joblib.effective_n_jobs(-1), len(os.listdir("/proc/self/task"))]
            os.write(write, json.dumps(found).encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        asked.append(json.load(file))
    os.wait()
print(json.dumps([asked, told()]))
"""
needs_openblas = pytest.mark.skipif(
    sys.platform != "linux" or not all(map(find_spec, ("numpy", "joblib", "threadpoolctl"))),
    reason="forks, and looks at numpy's and joblib's threads",
)


@needs_openblas
@pytest.mark.parametrize("born", [True, False])
def test_openblas_obeys_in_a_forked_worker(born: bool) -> None:
    """A library born with all its threads computes with the share; born in a limit, it starts no thread."""
    two = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    (one, many), after = run(FORKED.format(shares=[1, 64], born=born), **two)
    assert one[:2] == [[1] * len(one[0]), 1]
    assert one[2] == 1 or not born
    assert many[0] == [2] * len(many[0])  # more cores than the library had threads: it keeps those
    assert after == [2] * len(after)  # a worker's share is its own affair


def test_without_native_libraries_nothing_is_imported() -> None:
    """A worker of pure Python pays some environment variables."""
    heavy = "{'ctypes', 'threadpoolctl', 'numpy', 'multiprocessing', 'autoexec.backends.native_pools'}"
    code = (
        "import json, sys\nfrom autoexec.backends.core_budget import take_share\ntake_share(1)\n"
        f"print(json.dumps(sorted({heavy} & set(sys.modules))))"
    )
    assert run(code) == []


class Numexpr(ModuleType):
    """numexpr's way: setting returns what it was."""

    threads = 8

    def set_num_threads(self, threads: int) -> int:
        old, self.threads = self.threads, threads
        return old


def test_numexpr_is_asked(bare: pytest.MonkeyPatch) -> None:
    """It has read the environment already; a smaller number that it has stays."""
    bare.setattr(native, "_loaded", list)
    module = Numexpr("numexpr")
    bare.setitem(sys.modules, "numexpr", module)
    native.take_share(3)
    assert module.threads == 3
    native.take_share(5)
    assert module.threads == 3


class Numba(ModuleType):
    """numba's way: a mask over the threads it has launched."""

    threads = 8

    def __init__(self) -> None:
        super().__init__("numba")
        self.config = SimpleNamespace(NUMBA_NUM_THREADS=8)

    def set_num_threads(self, threads: int) -> None:
        assert 1 <= threads <= 8
        self.threads = threads

    def get_num_threads(self) -> int:
        return self.threads


@pytest.mark.parametrize("launched", [True, False])
def test_numba_is_asked_once_its_threads_run(bare: pytest.MonkeyPatch, launched: bool) -> None:
    """Its variable must not change from then on: the next compilation would raise."""
    bare.setattr(native, "_loaded", list)
    module, parallel = Numba(), ModuleType("numba.np.ufunc.parallel")
    parallel._is_initialized, parallel.NUM_THREADS = launched, 8  # type: ignore[attr-defined]
    bare.setitem(sys.modules, "numba", module)
    bare.setitem(sys.modules, "numba.np.ufunc.parallel", parallel)
    native.take_share(2)
    assert (module.threads, module.config.NUMBA_NUM_THREADS) == ((2, 8) if launched else (8, 2))
    launching: int = parallel.NUM_THREADS
    assert launching == (8 if launched else 2)
    assert ("NUMBA_NUM_THREADS" in os.environ) != launched


# Limits in threads ------------------------------------------------------------------------------------------


def test_limits_are_lifted(library: Library) -> None:
    """Inside the block the limit, after it what was there, also after an error."""
    with limited(3):
        assert library.threads == 3
    assert library.threads == 8
    with contextlib.suppress(KeyError), limited(3):
        raise KeyError
    assert library.threads == 8


def test_overlapping_limits(library: Library) -> None:
    """The smallest holds while it lasts, in whatever order the blocks end; the last one restores."""
    first, second, third = limited(4), limited(2), limited(16)
    for block, threads in ((first, 4), (second, 2), (third, 2)):
        block.__enter__()
        assert library.threads == threads
    first.__exit__(None, None, None)
    assert library.threads == 2
    second.__exit__(None, None, None)
    assert library.threads == 8  # sixteen were allowed, but it had eight
    third.__exit__(None, None, None)
    assert library.threads == 8
    assert library.history == [4, 2, 8]


def _threads(native_threads: int) -> Any:
    """Two threads with a limit for native libraries."""
    return partner(
        lambda tasks, track: ThreadBackend(tasks, 2, native_threads=native_threads), Plan("threads", 2)
    )


def test_openmp_is_set_in_the_threads_that_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number belongs to a thread: the caller's keeps its own, each worker sets it for itself."""
    numbers = threading.local()
    get = lambda: getattr(numbers, "threads", 8)  # noqa: E731
    pool = Pool("libgomp", get, lambda threads: setattr(numbers, "threads", threads), by_thread=True)
    monkeypatch.setattr(native, "_loaded", lambda: [pool])
    with _threads(3) as made:
        made.submit([0], call=lambda _: get())
        assert made.next().values == [3]
    assert get() == 8


def test_the_threads_backend_limits_openblas() -> None:
    """Items see the limit, and after the run all is as before."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pytest.importorskip("numpy")

    def told() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]

    before = told()
    with _threads(1) as made:
        made.submit([0], call=lambda _: told())
        assert made.next().values == [[1] * len(before)]
    assert told() == before


# Finding the pools ------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_both_ways_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place and through threadpoolctl: the same libraries with the same threads."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pytest.importorskip("numpy")
    try:
        direct = pools._openblas_alone()
    except ValueError as reason:
        pytest.skip(f"another native library is loaded: {reason}")
    known = list(pools._known_to_threadpoolctl())
    assert {pool.name: pool.before for pool in direct} == {pool.name: pool.before for pool in known}
    for pool in direct:
        pool.lower(1)
    assert all(found["num_threads"] == 1 for found in threadpoolctl.threadpool_info())
    for pool in direct:
        pool.restore()
    assert {pool.name: pool.before for pool in pools.loaded_pools()} == {p.name: p.before for p in known}


@pytest.mark.parametrize("error", [OSError, ValueError, AttributeError])
def test_threadpoolctl_stands_in(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """A build that hides its number, other libraries, no /proc: the slow way knows them all."""

    def fails() -> list[Pool]:
        raise error

    monkeypatch.setattr(pools, "_openblas_alone", fails)
    monkeypatch.setattr(pools, "_known_to_threadpoolctl", lambda: iter([Library(5).pool()]))
    assert [pool.before for pool in pools.loaded_pools()] == [5]
