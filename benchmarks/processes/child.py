"""One run in this fresh process: `child.py CASE STRATEGY FOLDER URL SIZE` prints a line of JSON.

As in `benchmarks/child.py`, little is imported before the clock starts.
"""

from __future__ import annotations

import sys
from time import perf_counter

if __name__ == "__main__":
    from os.path import abspath, dirname

    sys.path[0] = dirname(dirname(dirname(abspath(__file__))))

    from benchmarks.processes.cases import CASES, opened
    from benchmarks.processes.strategies import STRATEGIES, capture
    from benchmarks.workloads import Place

    name, way, folder, url, size = sys.argv[1:]
    func, items = opened(name, Place(folder, url, float(size)), capture(way))
    run = STRATEGIES[way]

    start = perf_counter()
    results = run(func, items)
    seconds = perf_counter() - start

    import json

    from benchmarks.leftovers import leftovers

    left = leftovers()
    print(json.dumps({"seconds": seconds, "digest": CASES[name].check(results), "left": left}), flush=True)
