"""The maps that `leaks` watches: `leaking.py MAPS EVERY` prints a line of JSON after every so many maps.

In turn: small integers, arrays of 2 MB as items, arrays of 2 MB as results, an item that raises, a run
that is closed early, and a worker that dies.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from itertools import count, islice

import numpy as np

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = 250_000  # of eight bytes: 2 MB


def square(number: int) -> int:
    """Next to nothing."""
    return number * number


def total(array: np.ndarray) -> float:
    """A small result of a large item."""
    return float(array.sum())


def filled(number: int) -> np.ndarray:
    """A large result of a small item."""
    return np.full(VALUES, number, np.float64)


def fail_at_three(number: int) -> int:
    """One item raises."""
    if number == 3:
        raise ValueError(number)
    return number


def die_at_three(number: int) -> int:
    """One item ends its worker."""
    if number == 3:
        os._exit(9)
    return number


def integers() -> None:
    """Small items, small results."""
    assert list(_mapped(square, range(64))) == [number * number for number in range(64)]


def arguments() -> None:
    """Large items."""
    arrays = (np.full(VALUES, number, np.float64) for number in range(6))
    assert list(_mapped(total, arrays)) == [VALUES * number for number in range(6)]


def large_results() -> None:
    """Large results."""
    assert [float(array[-1]) for array in _mapped(filled, range(6))] == list(range(6))


def error() -> None:
    """An error that ends the run."""
    try:
        list(_mapped(fail_at_three, range(8)))
    except ValueError:
        return
    raise AssertionError("no error came")


def early_close() -> None:
    """Large results of an endless input, of which two are taken."""
    results = _mapped(filled, count())
    assert [float(array[0]) for array in islice(results, 2)] == [0, 1]
    results.close()


def death() -> None:
    """A worker dies, the others' results come."""
    import autoexec

    found = list(_mapped(die_at_three, range(8), on_error="return"))
    died = [number for number, value in enumerate(found) if isinstance(value, autoexec.WorkerDied)]
    assert 3 in died, found


def _mapped(func, items, **options):  # type: ignore[no-untyped-def]
    import autoexec

    return autoexec.map(func, items, backend="processes", max_workers=2, **options)


MIX: tuple[Callable[[], None], ...] = (integers, arguments, large_results, error, early_close, death)


def state(maps: int) -> dict[str, int]:
    """What this process and its workers hold."""
    from benchmarks.processes import tree

    gc.collect()
    own, workers = os.getpid(), tree.members(os.getpid())
    return {
        "maps": maps,
        "files": tree.descriptors(own),
        "threads": tree.threads(own),
        "rss": tree.rss(own),
        "children": len(workers),
        "workers_files": max(map(tree.descriptors, workers), default=0),
        "workers_rss": max(map(tree.rss, workers), default=0),
        "shm": tree.shm_entries(),
        "temporary": len(os.listdir(tempfile.gettempdir())),
    }


def main(maps: int, every: int) -> None:
    """Run the mix, and end the workers at last."""
    import autoexec

    print(json.dumps(state(0)), flush=True)
    for number in range(1, maps + 1):
        MIX[number % len(MIX)]()
        if number % every == 0:
            print(json.dumps(state(number)), flush=True)
    if hasattr(autoexec, "shutdown"):
        autoexec.shutdown()
    print(json.dumps(state(maps)), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
