"""The ways to run `func` over `items` in processes, each as its user would write it.

Libraries are imported inside, because the import is part of what a run costs; pools are closed inside, and
workers that a library would keep for the next call are ended, because that is part of it too.
"""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec

from ..strategies import joblib_loky, mpire, serial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Function = Callable[[Any], Any]
    Items = Sequence[Any]

__all__ = [
    "FORKED",
    "HAND",
    "OURS",
    "PEERS",
    "PICKLING",
    "STRATEGIES",
    "SWEPT_PROCESSES",
    "SWEPT_THREADS",
    "capture",
    "missing",
    "ways",
]

CORES = os.cpu_count() or 1


def executor(method: str, chunks: int, workers: int, func: Function, items: Items) -> list[Any]:
    """`ProcessPoolExecutor` with that many chunks for each worker, 0 for one item at a time."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    size = -(-len(items) // (chunks * workers)) if chunks else 1
    with ProcessPoolExecutor(workers, get_context(method)) as pool:
        return list(pool.map(func, items, chunksize=size))


def mp_pool(func: Function, items: Items) -> list[Any]:
    """`multiprocessing.Pool.map`, forked."""
    from multiprocessing import get_context

    with get_context("fork").Pool() as pool:
        results = pool.map(func, items)
        pool.close()
        pool.join()
    return results


def pebble(func: Function, items: Items) -> list[Any]:
    """`pebble.ProcessPool.map`, forked."""
    from multiprocessing import get_context

    from pebble import ProcessPool

    with ProcessPool(CORES, context=get_context("fork")) as pool:
        return list(pool.map(func, items).result())


def threads(workers: int, func: Function, items: Items) -> list[Any]:
    """`ThreadPoolExecutor`."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(func, items))


def by_hand(func: Function, items: Items) -> list[Any]:
    """Two forked processes of eight threads, each with every second item."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    results: list[Any] = [None] * len(items)
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        shares = pool.map(partial(threads, 8, func), [items[0::2], items[1::2]])
        results[0::2], results[1::2] = shares
    return results


def autoexec(func: Function, items: Items, **options: Any) -> list[Any]:
    """`autoexec.map`."""
    import autoexec

    results = list(autoexec.map(func, items, **options))
    if hasattr(autoexec, "shutdown"):
        autoexec.shutdown()
    return results


SWEPT_THREADS = {f"threads{count}": count for count in (4, 8, 16, 32, 64)}
SWEPT_PROCESSES = {f"processes{count}": count for count in (2, 4, 8, 16)}
HAND = "2x8"
FORKED = ("fork1", "fork8", "mp_pool", "mpire", "pebble")  # which hand the captured array on by forking
PICKLED_FORK = "fork8_pickled"
PICKLING = (PICKLED_FORK, "forkserver1", "forkserver8", "spawn1", "spawn8")  # ... or by sending it
OURS = ("autoexec", "autoexec_processes")

STRATEGIES: dict[str, Callable[[Function, Items], list[Any]]] = {
    "serial": serial,
    **{
        f"{method}{chunks or 1}": partial(executor, method, chunks, CORES)
        for method in ("fork", "forkserver", "spawn")
        for chunks in (0, 8)
    },
    "mp_pool": mp_pool,
    "joblib_loky": joblib_loky,
    "mpire": mpire,
    "pebble": pebble,
    PICKLED_FORK: partial(executor, "fork", 8, CORES),
    **{name: partial(threads, count) for name, count in SWEPT_THREADS.items()},
    **{name: partial(executor, "fork", 0, count) for name, count in SWEPT_PROCESSES.items()},
    HAND: by_hand,
    "autoexec": autoexec,
    "autoexec_processes": partial(autoexec, backend="processes"),
}
SWEPT = (*SWEPT_THREADS, *SWEPT_PROCESSES, HAND)
PEERS = tuple(way for way in STRATEGIES if way not in ("serial", PICKLED_FORK, *SWEPT, *OURS))


def capture(way: str) -> str:
    """How its user hands a large array to the function: forks inherit a global, pickle takes no closure."""
    if way in FORKED and way != "mpire":
        return "global"
    return "argument" if way in PICKLING else "closure"


def ways(name: str) -> list[str]:
    """What a case is run by."""
    extra = {"captured": (PICKLED_FORK,), "fetch_parse": SWEPT}.get(name, ())
    return [way for way in ("serial", *PEERS, *extra, *OURS) if not missing(way)]


def missing(way: str) -> bool:
    """Whether the strategy's package is not installed."""
    package = way.split("_")[0]
    return package in ("joblib", "mpire", "pebble") and find_spec(package) is None
