"""One run in this fresh process: `child.py CASE STRATEGY FOLDER URL SIZE` prints a line of JSON.

As in `benchmarks/child.py`, little is imported before the clock starts.
"""

from __future__ import annotations

import sys
from time import perf_counter

if __name__ == "__main__":
    from os.path import abspath, dirname

    sys.path[0] = dirname(dirname(dirname(abspath(__file__))))

    from benchmarks.io.cases import opened
    from benchmarks.io.strategies import Unavailable, run

    class Place:
        """As `benchmarks.workloads.Place`, without its imports."""

        folder, url, size = sys.argv[3], sys.argv[4], float(sys.argv[5])

        def scaled(self, number: int) -> int:
            return max(2, round(number * self.size))

    job, check = opened(sys.argv[1], Place())

    start = perf_counter()
    try:
        results = run(sys.argv[2], job)
        problem = ""
    except Unavailable:
        results, problem = [], "n/a"
    seconds = perf_counter() - start

    import json

    from benchmarks.leftovers import leftovers

    left = leftovers()
    digest, seen = ("", {}) if problem else check(results)
    print(json.dumps({"seconds": seconds, "digest": digest, "problem": problem, "left": left, **seen}))
