"""Estimate a density in pure Python: the GIL is held throughout, so processes are what helps.

    python examples/crunch_numbers.py [--small]

Each item is one window width of a Parzen estimate: the share of sample points that fall into a
square of that width around the origin.
"""

import random
import sys
import time

import autoexec

GENERATOR = random.Random(7)
POINTS = [(GENERATOR.gauss(0, 1), GENERATOR.gauss(0, 1)) for _ in range(10_000)]


def density(width):
    """Return the estimated density at the origin with a window of this width."""
    half = width / 2
    inside = 0
    for x, y in POINTS:
        if abs(x) <= half and abs(y) <= half:
            inside += 1
    return inside / len(POINTS) / width**2


def main(small=False):
    widths = [0.2 + 0.0005 * step for step in range(200 if small else 8_000)]

    if not small:
        autoexec.explain(density, widths)  # what one item costs, and every way to run the rest

    start = time.perf_counter()
    results = autoexec.map(density, widths)
    best = max(zip(results, widths, strict=True))
    print(f"{len(widths)} widths in {time.perf_counter() - start:.2f} s; highest density {best[0]:.4f}")
    print(results.plan)


main(small="--small" in sys.argv)
