"""What is run: six of the fifteen workloads, and four that only processes are asked for."""

from __future__ import annotations

from importlib import import_module

from ..workloads import WORKLOADS, Workload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..workloads import Place

__all__ = ["CASES", "WEIGHED", "opened"]

WEIGHED = ("W2", "W12", "captured")  # whose memory is measured too


class Case(Workload):
    """A workload of this folder."""

    def _found(self, attribute: str) -> Any:
        return getattr(import_module(f"{__package__}.{self._module}"), attribute, None)


CASES: dict[str, Workload] = {name: WORKLOADS[name] for name in ("W2", "W3", "W9", "W10", "W12", "W13")} | {
    case.name: case
    for case in (
        Case("captured", "a captured array of 200 MB", "captured", "reduce_part", ("numpy",)),
        Case("results", "results of 2 MB", "arrays", "compute", ("numpy",)),
        Case("zipf", "Zipf durations, a long one last", "zipf", "count"),
        Case("fetch_parse", "wait 40 ms, then parse 15 ms", "fetching", "fetch_and_parse"),
    )
}


def opened(name: str, place: Place, capture: str) -> tuple[Callable[[Any], Any], Sequence[Any]]:
    """The function and its items; `capture` says how the function of `captured` gets at its array."""
    func, items = CASES[name].setup(place)
    if name == "captured":
        from . import captured

        func = captured.holding(place, capture)
    return func, items
