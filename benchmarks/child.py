"""One run in this fresh process: `child.py WORKLOAD STRATEGY FOLDER URL SIZE`.

It prints the seconds, the digest, and how many threads and child processes were left behind.
Only what the interpreter has loaded anyway is imported before the clock starts, lest some strategy finds its
imports already paid for.
"""

from __future__ import annotations

import sys
from time import perf_counter

if __name__ == "__main__":
    from os.path import abspath, dirname

    sys.path[0] = dirname(dirname(abspath(__file__)))

    from benchmarks.strategies import STRATEGIES
    from benchmarks.workloads import WORKLOADS, Place

    name, strategy, folder, url, size = sys.argv[1:]
    func, items = WORKLOADS[name].setup(Place(folder, url, float(size)))
    run = STRATEGIES[strategy]

    start = perf_counter()
    results = run(func, items)
    seconds = perf_counter() - start

    from benchmarks.leftovers import leftovers

    print(repr(seconds), WORKLOADS[name].check(results), *leftovers(), flush=True)
