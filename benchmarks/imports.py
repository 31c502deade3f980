"""What `import autoexec` costs, and which modules it brings in."""

from __future__ import annotations

from statistics import median

from .fresh import fresh

__all__ = ["FORBIDDEN", "main", "measure"]

FORBIDDEN = ("numpy", "joblib", "psutil", "requests", "multiprocessing")
ROUNDS = 7
USED = "import autoexec; autoexec.map"
BESIDE = "import concurrent.futures.thread"


def measure(code: str) -> dict[str, int]:
    """Microseconds of each module that `code` imports, beyond those of an empty program."""
    return {name: cost for name, cost in _times(code).items() if name not in _times("pass")}


def _times(code: str) -> dict[str, int]:
    lines = fresh(code, "-X", "importtime").stderr.splitlines()
    rows = [line.removeprefix("import time:").split("|") for line in lines if line.startswith("import time:")]
    return {name.strip(): int(cost) for cost, _, name in rows if cost.strip().isdigit()}


def _total(code: str) -> float:
    """Median milliseconds."""
    return median(sum(measure(code).values()) for _ in range(ROUNDS)) / 1e3


def main() -> str:
    """One line for the page."""
    modules = measure("import autoexec")
    heavy = [name for name in FORBIDDEN if any(found.split(".")[0] == name for found in modules)]
    ours, used, beside = _total("import autoexec"), _total(USED), _total(BESIDE)
    own = sorted(name for name in modules if name.split(".")[0] == "autoexec")
    return (
        f"`import autoexec` takes {ours:.1f} ms ({used:.1f} when `autoexec.map` is looked up too), "
        f"`{BESIDE}` {beside:.1f} ms: ratio {ours / beside:.2f} "
        f"(goal 2); {len(modules)} modules ({len(own)} of its own), "
        f"of the heavy ones {', '.join(heavy) or 'none'}."
    )
