"""One core budget: workers times the threads of their native libraries stay within the usable cores.

A library reads its number of threads from the environment when it is loaded, and afterwards can only be
asked. So a fresh worker is started with `environment`, a forked one asks the libraries it was born with
(`take_share`), and threads of this process lower them for as long as they run (`limited`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

from .. import role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .native_pools import Pool

__all__ = ["VARIABLES", "environment", "limited", "take_share"]

CORES = "LOKY_MAX_CPU_COUNT"  # what joblib, and with it scikit-learn, takes for the number of cores

# Read by libraries when they are loaded: BLAS and OpenMP, and others with pools of their own.
VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    CORES,
)

# The variables, and the threads of each library, as they were before this process took a share.
_before: dict[str, str | None] = {}
_threads_before: dict[str, int] = {}


def environment(cores: int, threads: int = 1) -> dict[str, str]:
    """The variables for a worker that may keep `cores` cores busy, from `threads` threads at a time.

    A smaller number that the user set stays.

    >>> environment(3)["LOKY_MAX_CPU_COUNT"]
    '3'
    """
    each = max(1, cores // threads)
    limits = {**dict.fromkeys(VARIABLES, each), CORES: cores}
    return {name: str(min(limit, _asked(name) or limit)) for name, limit in limits.items()}


def _asked(name: str) -> int:
    """The number a variable was set to by others than us; 0 for none. OpenMP has one per level of nesting."""
    text = (_before[name] if name in _before else os.environ.get(name)) or ""
    first = text.partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() else 0


def take_share(cores: int, threads: int = 1) -> None:
    """Called by a worker process at its start: keep no more than `cores` cores busy from now on.

    Sets what `autoexec.map` plans with, the environment that libraries and joblib read, and the pools of the
    libraries that are loaded already (in a forked worker). Takes a millisecond where numpy is loaded, some
    microseconds elsewhere. May be called again with another share; libraries never get more threads than they
    were born with.

    Args:
        cores: the worker's share of the usable cores.
        threads: items that the worker runs at a time.
    """
    role.cores, role.variables = cores, frozenset(VARIABLES)
    wanted = environment(cores, threads)
    if getattr(_numba_pool(), "_is_initialized", False):
        del wanted["NUMBA_NUM_THREADS"]  # numba refuses to compile when it changes under its threads
    for name in wanted:
        _before.setdefault(name, os.environ.get(name))
    os.environ.update(wanted)
    each = max(1, cores // threads)
    for pool in _loaded():
        pool.before = _threads_before.setdefault(pool.name, pool.before)
        pool.lower(each)
    _lower_python_packages(each)


def _numba_pool() -> Any:
    return sys.modules.get("numba.np.ufunc.parallel")


def _lower_python_packages(threads: int) -> None:
    """Ask packages whose pools only they themselves can set."""
    numexpr, numba, pool = sys.modules.get("numexpr"), sys.modules.get("numba"), _numba_pool()
    with contextlib.suppress(Exception):  # half imported, or another version: its pool stays as it is
        if numexpr is not None and (old := numexpr.set_num_threads(threads)) < threads:
            numexpr.set_num_threads(old)
    with contextlib.suppress(Exception):
        if numba is not None and pool._is_initialized:
            numba.set_num_threads(min(threads, numba.get_num_threads()))
        elif numba is not None:  # it has read its variable, but not launched so many yet
            pool.NUM_THREADS = numba.config.NUMBA_NUM_THREADS = int(os.environ["NUMBA_NUM_THREADS"])


def _loaded() -> list[Pool]:
    """The native pools of this process; none, at no cost, while nothing is loaded that would bring one."""
    if "numpy" not in sys.modules and "torch" not in sys.modules:
        return []
    from .native_pools import loaded_pools

    return loaded_pools()


class _Limits:
    """The limits that hold in this process at the moment: runs in threads may overlap in any order.

    The lock may be taken twice: a finalizer that ends a run may come up while its thread is in here. Whoever
    went in first goes over the pools again then.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Also in a forked process: limits of its parent's runs are not its own, nor is their lock."""
        self.lock = threading.RLock()
        self.wanted: list[int] = []
        self.pools: list[Pool] = []

    def add(self, threads: int) -> None:
        with self.lock:
            if not self.wanted and not self.pools:
                self.pools = _loaded()
            self.wanted.append(threads)
            self._settle()

    def remove(self, threads: int) -> None:
        with self.lock:
            if threads in self.wanted:
                self.wanted.remove(threads)
            self._settle()

    def _settle(self) -> None:
        done: list[int] | None = None
        while done != self.wanted:
            done = list(self.wanted)
            for pool in self.pools:
                if pool.by_thread:  # the caller's own thread may still compute with all of its threads
                    continue
                if done:
                    pool.lower(min(done))
                else:
                    pool.restore()
        if not self.wanted:
            self.pools = []

    def hold_here(self) -> None:
        """Let them hold in the calling thread, which is to end with the run: OpenMP counts by thread.

        Without the lock: the thread that has it may wait for this one, in a finalizer.
        """
        threads = min(self.wanted, default=0)
        for pool in self.pools:
            if pool.by_thread and threads:
                pool.lower(threads)


_limits = _Limits()


@contextlib.contextmanager
def limited(threads: int) -> Iterator[Callable[[], None]]:
    """Keep BLAS and OpenMP pools of this process to `threads` threads inside the block.

    Where several blocks overlap the smallest number holds; after the last one all is as before. Does nothing
    while numpy, which brings such a pool, is not loaded.

    A worker that is forked in the block is born with the limit: set only there, it would start OpenBLAS's
    pool anew (numpy from 2.5 on), whose threads spin for 30 ms.

    Yields:
        What each thread that computes in the block calls first: OpenMP keeps a number for every thread.
    """
    _limits.add(threads)
    try:
        yield _limits.hold_here
    finally:
        _limits.remove(threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limits.forget)
