"""The ways to run `func` over `items`: each is what its user would write, and closes what it opened.

Libraries are imported inside, because the import is part of what a run costs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

__all__ = ["STRATEGIES", "missing"]

Function = Callable[[Any], Any]
Items = Sequence[Any]


def serial(func: Function, items: Items) -> list[Any]:
    """The plain loop."""
    return [func(item) for item in items]


def _threads(func: Function, items: Items, workers: int | None) -> list[Any]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(func, items))


def threads(func: Function, items: Items) -> list[Any]:
    """`ThreadPoolExecutor` as it comes."""
    return _threads(func, items, None)


def threads32(func: Function, items: Items) -> list[Any]:
    """`ThreadPoolExecutor` of 32."""
    return _threads(func, items, 32)


def threads64(func: Function, items: Items) -> list[Any]:
    """`ThreadPoolExecutor` of 64."""
    return _threads(func, items, 64)


def processes1(func: Function, items: Items) -> list[Any]:
    """`ProcessPoolExecutor` as it comes: one item per task."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor() as pool:
        return list(pool.map(func, items))


def processes(func: Function, items: Items) -> list[Any]:
    """`ProcessPoolExecutor` with eight chunks per worker."""
    from concurrent.futures import ProcessPoolExecutor

    chunks = 8 * (os.cpu_count() or 1)
    with ProcessPoolExecutor() as pool:
        return list(pool.map(func, items, chunksize=-(-len(items) // chunks)))


def mp_pool(func: Function, items: Items) -> list[Any]:
    """`multiprocessing.Pool.map`."""
    import multiprocessing

    with multiprocessing.Pool() as pool:
        results = pool.map(func, items)
        pool.close()
        pool.join()
    return results


def joblib_loky(func: Function, items: Items) -> list[Any]:
    """`joblib.Parallel` as it comes; its reusable workers are shut down at the end."""
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    results = Parallel(n_jobs=-1)(delayed(func)(item) for item in items)
    get_reusable_executor().shutdown(wait=True)
    return results


def joblib_threading(func: Function, items: Items) -> list[Any]:
    """`joblib.Parallel` with threads."""
    from joblib import Parallel, delayed

    return Parallel(n_jobs=-1, backend="threading")(delayed(func)(item) for item in items)


def mpire(func: Function, items: Items) -> list[Any]:
    """`mpire.WorkerPool.map`; it would unpack tuples into arguments, so those are wrapped."""
    from mpire import WorkerPool

    single = [(item,) for item in items] if isinstance(items[0], tuple) else items
    with WorkerPool() as pool:
        return pool.map(func, single, concatenate_numpy_output=False)


def autoexec(func: Function, items: Items) -> list[Any]:
    """`autoexec.map`."""
    import autoexec

    results = list(autoexec.map(func, items))
    autoexec.shutdown()  # the other pools are closed, too
    return results


STRATEGIES: dict[str, Callable[[Function, Items], list[Any]]] = {
    "serial": serial,
    "threads": threads,
    "threads32": threads32,
    "threads64": threads64,
    "processes1": processes1,
    "processes": processes,
    "mp_pool": mp_pool,
    "joblib_loky": joblib_loky,
    "joblib_threading": joblib_threading,
    "mpire": mpire,
    "autoexec": autoexec,
}


def missing(name: str) -> bool:
    """Whether the strategy's package is not installed."""
    package = name.split("_")[0]
    return package in ("joblib", "mpire") and find_spec(package) is None
