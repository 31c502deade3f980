"""A million trivial calls through `autoexec.map` beside the list comprehension they replace."""

from __future__ import annotations

from statistics import median

from .fresh import fresh

__all__ = ["GOAL", "main", "measure"]

GOAL = 1.15
ROUNDS = 9

_SCRIPT = """
from time import perf_counter
import autoexec

def f(x):
    return x

def ours(items):
    return list(autoexec.map(f, items))

def plain(items):
    return [f(x) for x in items]

{way}(range(1000))
start = perf_counter()
results = {way}(range(10**6))
print(perf_counter() - start)
assert results == list(range(10**6))
"""


def measure(rounds: int = ROUNDS) -> tuple[float, float]:
    """Median seconds of ours and of the comprehension, in alternating fresh interpreters, warm."""
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for number in range(rounds):
        for way in ("ours", "plain") if number % 2 else ("plain", "ours"):
            seconds[way].append(float(fresh(_SCRIPT.format(way=way)).stdout))
    return median(seconds["ours"]), median(seconds["plain"])


def main() -> str:
    """One line for the page."""
    ours, plain = measure()
    return (
        f"A million trivial calls: `list(autoexec.map(f, range(10**6)))` {ours * 1e3:.1f} ms, "
        f"`[f(x) for x in range(10**6)]` {plain * 1e3:.1f} ms: ratio {ours / plain:.2f} (goal {GOAL})."
    )
