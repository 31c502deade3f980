"""A user's script that has imported numpy and then maps a function of pure Python: `script.py WAY MAPS`.

It prints a line of JSON: seconds from the first line after its imports to the first result in hand, to the
first item that a second process finished, and to the end of the first map and of all maps.
"""

from __future__ import annotations

import os
import sys
from time import perf_counter

import numpy as np

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Answer = tuple[int, float, int]

ITEMS = range(24)
STEPS = 60_000  # a few milliseconds
assert np.__name__ == "numpy"


def work(number: int) -> Answer:
    """Count for a while; say where and when that ended (the clock is the same in all processes of Linux)."""
    total = number
    for step in range(STEPS):
        total += step & 3
    return os.getpid(), perf_counter(), total


def executor(method: str) -> Iterator[Answer]:
    """`ProcessPoolExecutor`."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(2, get_context(method)) as pool:
        yield from pool.map(work, ITEMS)


def kept(method: str, maps: int) -> Iterator[Iterator[Answer]]:
    """`ProcessPoolExecutor` that serves all maps."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(2, get_context(method)) as pool:
        for _ in range(maps):
            yield pool.map(work, ITEMS)


def joblib() -> Iterator[Answer]:
    """`joblib.Parallel`, which keeps its workers by itself."""
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=2, return_as="generator")(delayed(work)(number) for number in ITEMS)


def autoexec() -> Iterator[Answer]:
    """`autoexec.map` in processes, which keeps its workers by itself."""
    import autoexec

    yield from autoexec.map(work, ITEMS, backend="processes", max_workers=2)


def all_maps(way: str, maps: int) -> Iterator[Iterator[Answer]]:
    """The results of each map."""
    method, _, keep = way.partition("_")
    if keep:
        return kept(method, maps)
    once = {"joblib": joblib, "autoexec": autoexec}.get(way, lambda: executor(way))
    return (once() for _ in range(maps))


def main(way: str, maps: int) -> dict[str, float]:
    """Run and look at the clock."""
    first, ends, stamps = 0.0, [], {}
    start = perf_counter()
    for results in all_maps(way, maps):
        for process, stamp, _ in results:
            first = first or perf_counter()
            if not ends and process != os.getpid():
                stamps[process] = min(stamp, stamps.get(process, stamp))
        ends.append(perf_counter())
    both = sorted(stamps.values())[1] if len(stamps) > 1 else float("nan")
    return {"first": first - start, "both": both - start, "map": ends[0] - start, "maps": ends[-1] - start}


if __name__ == "__main__":
    import json

    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
