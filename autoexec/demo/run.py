"""Four workloads on real input, each run by autoexec and by the plain loop.

autoexec goes first, so that it pays for the imports, the caches and its pools, and the loop does not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from autoexec.demo import nuclei, work
from autoexec.demo.extra import require
from autoexec.demo.service import httpbin_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from autoexec.records import Plan, Profile

__all__ = ["Case", "Outcome", "cases", "main", "run_case"]

SAMPLED_PIXELS = 100_000_000
"""Pixels of source image in a quick run: some two seconds of work whichever image is installed."""


@dataclass(frozen=True, slots=True)
class Case:
    """One workload; `bar` says whether its items last long enough for a progress bar to cost nothing."""

    title: str
    function: Callable[[Any], Any]
    items: Sequence[Any]
    bar: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What autoexec found, planned (at first and in the end) and delivered; `seconds` is the whole call."""

    profile: Profile | None
    plan: Plan | None
    last_plan: Plan | None
    seconds: float
    results: list[Any]


def main(quick: bool = False) -> int:
    """Run the four cases and print what happened; 1 if a result differs from the plain loop's."""
    require("requests", "tqdm")
    with httpbin_service() as address:
        equal = [run_case(number, case) for number, case in enumerate(cases(address, quick), 1)]
    if all(equal):
        print("\nAll results equal those of the plain loop.")
        return 0
    print("\nSome results DIFFER from those of the plain loop: please report this.")
    return 1


def cases(address: str, quick: bool) -> Iterator[Case]:
    """Yield the workloads, made when their turn comes; `quick` keeps a sixth of the items."""
    scale = 1 if quick else 6
    urls = [f"{address}/delay/0.05?item={item}" for item in range(40 * scale)]
    yield Case(f"{len(urls)} API calls of 50 ms each (requests, httpbin on loopback)", work.fetch, urls)

    image, source = nuclei.load()
    images = nuclei.varied(image, scale * SAMPLED_PIXELS // image.size)
    yield Case(f"Counting nuclei in {len(images)} images ({source})", nuclei.count_nuclei, images)

    blocks = range(2_000, 2_000 + 50 * scale)  # so far up, one block costs like another
    yield Case(f"Longest Collatz chain in {len(blocks)} blocks of numbers", work.longest_collatz, blocks)

    numbers = range(200_000 * scale)
    yield Case(f"The cube of {len(numbers):,} numbers", work.cube, numbers, bar=False)


def run_case(number: int, case: Case) -> bool:
    """Run one case both ways, print it, and say whether the results are equal."""
    print(f"\n{number}. {case.title}", flush=True)
    ours = run_autoexec(case)
    for label, text in found(ours):
        line(label, text)
    print("   serial     ", end="", flush=True)  # the number follows when the loop is done
    seconds, results = run_serial(case)
    print(f"{duration(seconds)} in a plain loop")
    line("speed-up", f"{seconds / ours.seconds:.2f} ×")
    equal = ours.results == results
    verdict = f"all {len(results):,} equal the loop's" if equal else "DIFFER from the loop's"
    line("results", verdict)
    return equal


def run_autoexec(case: Case) -> Outcome:
    """Let autoexec run the case; the first plan is kept, for its forecast covers (nearly) all items."""
    import autoexec

    start = time.perf_counter()
    stream = autoexec.map(case.function, case.items, progress=case.bar)
    values = iter(stream)
    results = list(islice(values, 1))
    plan = stream.plan
    results.extend(values)
    seconds = time.perf_counter() - start
    return Outcome(stream.profile, plan or stream.plan, stream.plan, seconds, results)


def run_serial(case: Case) -> tuple[float, list[Any]]:
    """Run the case in a plain loop."""
    function = case.function
    start = time.perf_counter()
    results = [function(item) for item in case.items]
    return time.perf_counter() - start, results


def found(ours: Outcome) -> Iterator[tuple[str, str]]:
    """Yield what autoexec has to say, label by label."""
    if ours.profile is not None:
        yield "class", ours.profile.kind.value
        yield "", ours.profile.evidence
    forecast = "none made"
    if ours.plan is not None:
        yield "plan", str(ours.plan)
        forecast = duration(ours.plan.seconds)
    if ours.last_plan is not None and ours.last_plan != ours.plan:
        yield "then", str(ours.last_plan)
    yield "forecast", f"{forecast} for the rest; measured {duration(ours.seconds)} for the whole call"


def duration(seconds: float) -> str:
    """Write seconds for reading.

    >>> duration(12.345), duration(0.0123)
    ('12.35 s', '12.3 ms')
    """
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def line(label: str, text: str) -> None:
    """Print one labelled line, folded to the width of a page; nothing for an empty text."""
    import textwrap

    if text:
        first = f"   {label:<11}"
        print(textwrap.fill(text, 110, initial_indent=first, subsequent_indent=" " * len(first)), flush=True)
