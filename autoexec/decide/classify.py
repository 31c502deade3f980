"""From what was measured to what kind of work it is: arithmetic and a table of rules.

Rule 1: nothing here asks the machine or the clock. Rule 2: the first rule of `RULES` that holds names
the class; docs/how-it-decides.md prints the same table.
"""

from __future__ import annotations

from collections.abc import Callable

from ..records import Profile, Sample, WorkKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from ..frozen import dataclass

__all__ = ["RULES", "Shares", "profile_of"]

ENOUGH_S = 0.008  # seconds of probing below which the GIL share is noise, and CPU counts as held
QUIET = 0.15  # a probe on a busy machine calls up to this share of GIL-free time held (measured)
MOSTLY = 0.75  # share of waiting from which on work is IO-bound, whoever tells
PRESSED = 1.45  # cores: a holder of the GIL and a busy thread take turns on one (measured: 0.8 to 1.3), so
# does code that takes and releases the GIL every few microseconds; native code makes it 1.6 to 2.0
LEFT_OVER = 0.6  # a probe beside threads that spin, on two cores, misses up to a quarter (measured)
SURE = (
    0.5  # a probe on a crowded machine misses up to half of the held time; more held than free counts as held
)


@dataclass(frozen=True, slots=True)
class Shares:
    """Where the seconds of one item go, each as a share of its wall time."""

    cpu: float
    held: float
    free: float
    wait: float
    native: float
    children: float
    pressed: float


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the classification: the class, when it holds, and the words for it."""

    kind: WorkKind
    holds: Callable[[Shares], bool]
    words: str


RULES: tuple[Rule, ...] = (
    Rule(
        WorkKind.SUBPROCESS,
        lambda s: s.children > 0.25 and s.children > s.cpu,
        "child processes used {s.children:.0%} of a core while the function waited",
    ),
    Rule(
        WorkKind.PARALLEL,
        lambda s: s.native > 0.25 and s.native > 0.3 * s.cpu,
        "native threads of this process used {s.native:.0%} of a core beside the function's own {s.cpu:.0%}",
    ),
    Rule(WorkKind.IO, lambda s: s.wait > MOSTLY, "it waited {s.wait:.0%} of the time"),
    Rule(
        WorkKind.MIXED,
        lambda s: s.wait > 0.25,
        "it waited {s.wait:.0%} of the time and computed {s.cpu:.0%}",
    ),
    Rule(
        WorkKind.PYTHON,
        lambda s: s.pressed < PRESSED,
        "it and a busy thread together used {s.pressed:.2g} cores: it lets go of the GIL, but never for long",
    ),
    Rule(
        WorkKind.NATIVE,
        lambda s: s.free > s.held,
        "the GIL was free for {s.free:.0%} of the time while it computed",
    ),
    Rule(WorkKind.PYTHON, lambda s: True, "the GIL was held for {s.held:.0%} of the time"),
)


def profile_of(sample: Sample, *, gil: bool = True) -> Profile:
    """Conclude from a `Sample` what one item costs and what kind of work it is.

    >>> sample = Sample("f", walls=(0.1, 0.1), cpus=(0.001, 0.001), counts=(1, 1), looked_s=0.2)
    >>> profile_of(sample).kind
    <WorkKind.IO: 'IO-bound'>
    """
    wall, cpu = typical(sample)
    wall = max(cpu, wall * (1.0 - _queued_share(sample)))
    shares = _shares(sample, wall, cpu, gil)
    rule = next(rule for rule in RULES if rule.holds(shares))
    return Profile(
        function=sample.function,
        items=sum(sample.counts),
        wall_s=wall,
        held_s=shares.held * wall,
        free_s=shares.free * wall,
        wait_s=shares.wait * wall,
        other_threads_s=shares.native * wall,
        children_s=shares.children * wall,
        spread=_spread(sample.walls),
        first_s=sample.first_s or (sample.walls[0] if sample.walls else sample.running_s),
        bytes_in=sample.bytes_in,
        bytes_out=sample.bytes_out,
        crossing_s=sample.crossing_s,
        held_share=sample.held_share,
        kind=rule.kind,
        evidence=rule.words.format(s=shares),
        remaining=sample.remaining,
        partial=sample.running_s > 0.0,
        memory_bytes=sample.memory_bytes,
    )


def typical(sample: Sample) -> tuple[float, float]:
    """Wall and CPU seconds to expect of the next item.

    The mean, not the median: with two-humped durations the sum of the rest is what counts. A first
    item unlike the rest (imports, caches) is left out; one that still runs counts for what it has
    taken so far, or for twice that when it is the only one (nothing says that it is about to end).
    """
    rows = list(zip(sample.walls, sample.cpus, sample.counts, strict=True))
    if _first_is_odd(sample.walls):
        rows = rows[1:]
    count = sum(n for _, _, n in rows)
    wall = sum(w * n for w, _, n in rows)
    cpu = sum(c * n for _, c, n in rows)
    if sample.running_s and (not rows or sample.running_s > 3 * wall / count):
        factor = 1.0 if rows else 2.0
        wall, cpu, count = wall + factor * sample.running_s, cpu + factor * sample.running_cpu_s, count + 1
    return (wall / count, min(cpu, wall) / count) if count else (0.0, 0.0)


def _total(sample: Sample) -> float:
    return sum(w * n for w, n in zip(sample.walls, sample.counts, strict=True)) + sample.running_s


def _queued_share(sample: Sample) -> float:
    """The share of the time that a busy machine took away: the item itself neither ran nor waited."""
    total = _total(sample)
    return min(0.95, sample.queued_s / total) if total else 0.0


def _first_is_odd(walls: tuple[float, ...]) -> bool:
    rest = sorted(walls[1:])
    return len(rest) >= 2 and walls[0] > 3 * rest[-1]


def _shares(sample: Sample, wall: float, cpu: float, gil: bool) -> Shares:
    if wall <= 0.0:
        return Shares(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0)
    total = _total(sample) * (1.0 - _queued_share(sample))
    busy = min(1.0, cpu / wall)
    held = busy * _held_of_cpu(sample, busy) if gil else 0.0
    children = sample.children_s / total
    if sample.child_waited:
        children = max(children, 1.0 - busy)
    pressed = 2.0 if sample.pressed_cores is None or not gil else sample.pressed_cores
    native = 0.0 if _left_over(sample, busy) else sample.native_share
    return Shares(busy, held, busy - held, 1.0 - busy, native, children, pressed)


def _left_over(sample: Sample, busy: float) -> bool:
    """Whether native threads only spin after something earlier: BLAS is not called with the GIL held."""
    enough = sample.looked_s >= ENOUGH_S and sample.held_share > LEFT_OVER * busy
    return enough and sample.native_before


def _held_of_cpu(sample: Sample, busy: float) -> float:
    """Which part of the CPU time held the GIL."""
    if sample.looked_s < ENOUGH_S or busy == 0.0:
        return 1.0  # too short to tell; the cautious answer
    if sample.pressed_cores is not None and sample.pressed_cores < PRESSED:
        return 1.0  # threads would take turns, whatever a look in between shows
    share = min(1.0, sample.held_share / busy)
    return 0.0 if share < QUIET else 1.0 if share > SURE else share


def _spread(walls: tuple[float, ...]) -> float:
    if len(walls) < 4:
        return 0.0
    ordered = sorted(walls)
    quarter = len(ordered) // 4
    middle = ordered[len(ordered) // 2]
    return (ordered[-1 - quarter] - ordered[quarter]) / middle if middle else 0.0
