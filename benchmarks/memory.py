"""Mapping over an endless input must not fill the memory."""

from __future__ import annotations

from .fresh import fresh

__all__ = ["main", "measure"]

FUNCTIONS = {
    "trivial": "return bytes(10_000)",
    "waiting": "time.sleep(0.0005); return bytes(10_000)",
    "computing": "total = sum(range(5_000)); return bytes(10_000 + total % 2)",
}
RESULTS = 10_000

_SCRIPT = """
import itertools, sys, time
import psutil
import autoexec

taken = 0

def f(x):
    {body}

def numbers():
    global taken
    for taken in itertools.count():
        yield taken

if __name__ == "__main__":
    process = psutil.Process()
    results = autoexec.map(f, numbers())
    marks, ahead = [], 0
    for number in range({results}):
        next(results)
        ahead = max(ahead, taken - number)
        if number + 1 in ({results} // 10, {results} // 2, {results}):
            workers = process.children(recursive=True)
            marks.append(sum(p.memory_info().rss for p in [process, *workers]) / 1e6)
    results.close()
    print(*marks, ahead)
"""


def measure(body: str) -> list[float]:
    """Megabytes resident (workers included) after a tenth, half and all of the results; items read ahead."""
    return [float(word) for word in fresh(_SCRIPT.format(body=body, results=RESULTS)).stdout.split()]


def main() -> str:
    """One line per kind of function for the page."""
    lines = [f"Memory over `itertools.count()`, {RESULTS:,} results of 10 kB taken (RSS with all workers):"]
    for name, body in FUNCTIONS.items():
        early, half, late, ahead = measure(body)
        lines.append(
            f"- {name}: {early:.1f} MB after {RESULTS // 10:,}, {half:.1f} after {RESULTS // 2:,}, "
            f"{late:.1f} at the end ({(late / early - 1):+.0%}); "
            f"the input was read {ahead:.0f} items ahead at most"
        )
    return "\n".join(lines)
