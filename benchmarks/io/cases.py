"""What is run: the services, and those of the fifteen workloads that wait."""

from __future__ import annotations

from .services import SERVICES, open_service
from .strategies import Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..workloads import Place

__all__ = ["CASES", "EVERY_COUNT", "WAITING", "at_least_s", "counts", "expected", "opened", "title"]

WAITING = ("W4", "W5", "W6", "W11", "W15")
CASES = (*SERVICES, *WAITING)
EVERY_COUNT = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def opened(name: str, place: Place) -> tuple[Job, Callable[[Sequence[Any]], tuple[str, dict]]]:
    """The job, and what says a digest of its results and what the service saw (nothing for a workload)."""
    if name not in SERVICES:
        return _workload(name, place)
    service, items = open_service(name, place.size)

    def check(results: Sequence[Any]) -> tuple[str, dict]:
        from ..digest import digest

        seen = service.record()
        if seen["answered"] != len(items):
            return f"{seen['answered']}-answers-for-{len(items)}-items", seen
        return digest(results), seen

    return Job(service.call, items, service.acall, SERVICES[name].refuses), check


def _workload(name: str, place: Place) -> tuple[Job, Callable[[Sequence[Any]], tuple[str, dict]]]:
    from ..workloads import WORKLOADS

    func, items = WORKLOADS[name].setup(place)
    return Job(func, items), lambda results: (WORKLOADS[name].check(list(results)), {})


def expected(name: str, size: float) -> str | None:
    """The digest of the right answer; None where it takes a run to know."""
    if name not in SERVICES:
        return None
    from ..digest import digest

    return digest(open_service(name, size)[1])


def title(name: str) -> str:
    """What stands beside the name in the table."""
    if name in SERVICES:
        return SERVICES[name].title
    from ..workloads import WORKLOADS

    return WORKLOADS[name].title


def counts(name: str) -> tuple[int, ...]:
    """Fixed counts worth trying."""
    return SERVICES[name].counts if name in SERVICES else (16, 64)


def at_least_s(name: str, workers: int | None, size: float) -> float:
    """Seconds below which so many at once cannot come, 0 if unknown."""
    return SERVICES[name].at_least_s(workers) * size if name in SERVICES and workers else 0.0
