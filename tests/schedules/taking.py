"""Draws how the results of a schedule are taken, and how often it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rhythm import pick

if TYPE_CHECKING:
    from .draw import Hand

__all__ = ["FED", "FUTURES", "draw_consumer", "draw_times"]

FED = ("growing", "shrinking", "fed")  # shapes that change with the results
FUTURES = ("submit", "shared")  # doors that give futures
EARLY = {"break": 9.0, "raise": 5.0, "close": 8.0, "never": 2.0}


def draw_consumer(hand: Hand) -> None:
    """How results are taken."""
    hand.consumer = pick(hand.rng, _consumers(hand))
    if _goes_on(hand) and hand.chance(0.25):
        hand.consumer = "on"
    hand.leave = hand.rng.randint(0, max(0, hand.count - 1)) if hand.chance(0.7) else min(3, hand.count)


def _goes_on(hand: Hand) -> bool:
    """Whether it is clear what comes after an error."""
    plain = hand.door in ("map", "starmap") and hand.shape not in ("breaking", "growing")
    return plain and hand.raising and bool(hand.options.get("ordered", True))


def _consumers(hand: Hand) -> dict[str, float]:
    """The consumers that can be meant, with their weights."""
    if hand.door in FUTURES:
        some = 10.0 if hand.count else 0.0
        return {"all": 40, "as completed": 15, "with": 15, "cancel": 10, "shutdown": some, "drop": 10}
    if hand.door == "amap":
        return {"all": 60, "slow": 10, "with": 7, **EARLY}
    fed, broken = hand.shape in FED, hand.raising or hand.shape == "breaking"
    # `Executor.map` gives a generator, as in the standard library: not for two threads at a time.
    generator = hand.door == "executor map"
    return {
        **EARLY,
        "all": 36,
        "list": 0 if fed else 14,
        "slow": 8,
        "with": 0 if generator else 7,
        "readers": 0 if fed or broken or generator else 5,
        "elsewhere": 3,
        "started elsewhere": 2,
    }


def draw_times(hand: Hand) -> None:
    """Once, or several times, one after the other or at once."""
    if hand.door != "shared" and hand.backend != "joblib":
        turns = 0 if hand.shape in FED or hand.door in (*FUTURES, "amap") else 4
        threads = 1 if hand.away else 5  # worker processes that cannot be forked take their time
        hand.times = pick(hand.rng, {"once": 85, "twice": 6, "threads": threads, "interleaved": turns})
    if hand.times == "interleaved":
        hand.consumer = "all"
    permanent = not any(fault.tries for fault in hand.faults) and "per" not in hand.options
    if "journal" in hand.options and permanent and hand.door != "amap" and hand.chance(0.5):
        hand.times, hand.consumer = "resumed", "all"
