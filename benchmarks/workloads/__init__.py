"""The fifteen workloads (and W14s, the small W14), each about two seconds of plain loop on one core.

The work of each stands in a module of its own, as it would in a user's script. This table only names it,
and imports next to nothing, because the runs measure cold starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["FIFTEEN", "WORKLOADS", "Place", "Workload"]


class Place:
    """Where prepared data lies, where the HTTP service answers, how large the work is (1 is full size)."""

    def __init__(self, folder: str, url: str = "", size: float = 1.0) -> None:
        self.folder, self.url, self.size = folder, url, size

    def scaled(self, number: int) -> int:
        """`number` at this place's size, at least 2."""
        return max(2, round(number * self.size))


class Workload:
    """One row of the table: a module with `prepare`, `items` and the function to map, found by name."""

    def __init__(self, name: str, title: str, module: str, func: str, needs: tuple[str, ...] = ()) -> None:
        self.name, self.title, self.needs = name, title, needs
        self._module, self._func = module, func

    def _found(self, attribute: str) -> Any:
        return getattr(import_module(f"{__name__}.{self._module}"), attribute, None)

    def missing(self) -> list[str]:
        """The packages that it needs and that are not installed."""
        return [package for package in self.needs if find_spec(package) is None]

    def prepare(self, place: Place) -> str:
        """Write what the items will read, once for all runs; returns a remark or an empty string."""
        found = self._found("prepare")
        return (found(place) or "") if found else ""

    def setup(self, place: Place) -> tuple[Callable[[Any], Any], Sequence[Any]]:
        """The function and its items; not timed."""
        return self._found(self._func), self._found("items")(self.name, place)

    def check(self, results: list[Any]) -> str:
        """A digest of the results that is equal for equal results."""
        from ..digest import digest

        tidy = self._found("tidy")
        return digest(tidy(results) if tidy else results)


_IMAGES = ("numpy", "scipy", "skimage", "tifffile")

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W1", "nuclei in images, paths", "nuclei", "find_in_file", _IMAGES),
        Workload("W2", "nuclei in images, arrays", "nuclei", "find_in_array", _IMAGES),
        Workload("W3", "Parzen window, pure Python", "parzen", "density"),
        Workload("W4", "16 unequal sleeps", "sleeping", "nap"),
        Workload("W5", "API calls, 50 ms", "calling", "call"),
        Workload("W6", "write large text files", "writing", "write"),
        Workload("W7", "add large arrays", "adding", "add", ("numpy",)),
        Workload("W8", "np.dot (threaded BLAS)", "dotting", "dot", ("numpy",)),
        Workload("W9", "counting loop", "counting", "count"),
        Workload("W10", "matplotlib path containment", "containment", "inside", ("numpy", "matplotlib")),
        Workload("W11", "annotate images, 5 chained POSTs", "calling", "annotate", ("PIL", "numpy")),
        Workload("W12", "load photographs", "photographs", "load", ("PIL", "numpy")),
        Workload("W13", "rows, a Python if per value", "rows", "adjust", ("numpy",)),
        Workload("W14", "cube(x), trivial calls", "cubes", "cube"),
        Workload("W14s", "cube(x), 16 ms in all", "cubes", "cube"),
        Workload("W15", "300 x (sleep 7 ms + 2 roots)", "sleeping", "nap_and_roots"),
    )
}
FIFTEEN = tuple(name for name in WORKLOADS if name != "W14s")
