"""The run that `faults` disturbs: `faulty.py LOG ITEMS MS RETRIES POOL` prints a line of JSON.

Every item writes `+number pid` when it begins and `-number pid` when it ends, each in one appended write.
Every tenth brings an array and every tenth returns one, so that workers also die while these cross.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from time import perf_counter

import numpy as np

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Function = Callable[[tuple[int, np.ndarray | None]], Any]

VALUES = 40_000  # of eight bytes: 320 kB


def work(log: str, seconds: float, item: tuple[int, np.ndarray | None]) -> Any:
    """Keep a core busy for so long."""
    number, array = item
    _note(log, f"+{number} {os.getpid()}\n")
    end = perf_counter() + seconds
    total = 0 if array is None else int(array.sum()) // VALUES
    while perf_counter() < end:
        pass
    result: Any = np.full(VALUES, number, np.float64) if number % 10 == 5 else (number, total)
    _note(log, f"-{number} {os.getpid()}\n")
    return result


def _note(log: str, line: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


def items(count: int) -> Iterator[tuple[int, np.ndarray | None]]:
    """Numbers, every tenth with an array."""
    for number in range(count):
        yield number, np.full(VALUES, number, np.float64) if number % 10 == 0 else None


def right(number: int, value: Any) -> bool:
    """Whether it is the result of that item."""
    if number % 10 == 5:
        return isinstance(value, np.ndarray) and value.shape == (VALUES,) and bool((value == number).all())
    return bool(value == (number, number if number % 10 == 0 else 0))


def by_autoexec(func: Function, count: int, retries: int) -> Iterator[Any]:
    """`autoexec.map`; a dead worker's item brings `WorkerDied`."""
    import autoexec

    options = {"retries": retries} if retries else {}
    return autoexec.map(func, items(count), backend="processes", max_workers=2, on_error="return", **options)


def by_pebble(func: Function, count: int, retries: int) -> Iterator[Any]:
    """`pebble.ProcessPool`; a dead worker's item brings `ProcessExpired`. It has no retries."""
    from multiprocessing import get_context

    from pebble import ProcessPool

    with ProcessPool(2, context=get_context("fork")) as pool:
        for future in [pool.schedule(func, args=[item]) for item in items(count)]:
            yield future.exception() or future.result()


def main(log: str, count: int, seconds: float, retries: int, pool: str) -> dict[str, Any]:
    """Run it, and sort what came."""
    found: dict[str, Any] = {"right": 0, "wrong": [], "died": [], "errors": []}
    start = perf_counter()
    ways = {"autoexec": by_autoexec, "pebble": by_pebble}
    for number, value in enumerate(ways[pool](partial(work, log, seconds), count, retries)):
        if type(value).__name__ in ("WorkerDied", "ProcessExpired"):
            found["died"].append(number)
        elif isinstance(value, Exception):
            found["errors"].append([number, repr(value)])
        elif right(number, value):
            found["right"] += 1
        else:
            found["wrong"].append(number)
    return found | {"seconds": perf_counter() - start}


if __name__ == "__main__":
    log, count, ms, retries, pool = sys.argv[1:]
    print(json.dumps(main(log, int(count), float(ms) / 1000, int(retries), pool)))
