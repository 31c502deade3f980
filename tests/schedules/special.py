"""Rare kinds of schedules, which need their options, items and consumers together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .schedule import Fault, Phase

if TYPE_CHECKING:
    from .draw import Hand

__all__ = ["SHARE", "SPECIAL"]

CRAWL = 25  # pages
SHORT_S = 0.03  # for eight items of 20 ms, at most two at once
PATIENCE_S = 0.4  # for items that are instant, if they do not hang


def _fed(hand: Hand) -> bool:
    """A crawl: items are found in results."""
    if hand.door not in ("map", "decorated") or not hand.count:
        return False
    hand.cut(CRAWL)
    hand.shape, hand.options["buffersize"] = "fed", 1
    hand.consumer = hand.rng.choice(("all", "slow", "break"))
    hand.leave = hand.rng.randint(0, hand.count - 1)
    return True


def _exit(hand: Hand) -> bool:
    """An item ends the program."""
    if not hand.count:
        return False
    hand.shape = hand.rng.choice(("list", "generator"))
    hand.options["on_error"] = hand.rng.choice(("raise", "return", "skip"))
    hand.faults = (Fault(hand.place(), "exit"),)
    hand.consumer = hand.rng.choice(("all", "slow"))
    return True


def _late(hand: Hand) -> bool:
    """The time for all of it is clearly too short."""
    hand.count, hand.phases = 8, (Phase(8, "waits", 0.02),)
    hand.options |= {"timeout": SHORT_S, "max_workers": hand.rng.randint(1, 2)}
    hand.shape = hand.rng.choice(("list", "generator"))
    return True


def _hanging(hand: Hand) -> bool:
    """Two items take too long."""
    if hand.backend in ("serial", "own", "joblib"):
        return False
    hand.count = min(max(hand.count, 4), 40)
    hand.phases = (Phase(hand.count, "instant"),)
    hand.options |= {"item_timeout": PATIENCE_S, "max_workers": hand.rng.randint(2, 6)}
    hand.options["on_error"] = hand.rng.choice(("return", "skip"))
    tries = int(hand.chance(0.3))
    if tries:
        hand.options["retries"] = 1
    places = sorted(hand.rng.sample(range(hand.count), 2))
    hand.faults = tuple(Fault(place, "hang", tries) for place in places)
    return True


def _dying(hand: Hand) -> bool:
    """A worker process crashes."""
    if hand.asynchronous:
        return False
    hand.backend, hand.notes, hand.options["backend"] = "processes", "file", "processes"
    hand.options.pop("pool", None)
    hand.count = min(max(hand.count, 4), 60)
    hand.phases = (Phase(hand.count, hand.rng.choice(("computes", "waits")), 0.0005),)
    hand.options["on_error"] = hand.rng.choice(("return", "raise", "skip"))
    if hand.chance(0.5):
        hand.options["retries"] = 2
    hand.faults = (Fault(hand.place(), "die", hand.rng.choice((0, 1))),)
    return True


def _unfit(hand: Hand) -> bool:
    """Workers cannot be made ready."""
    hand.options["initializer"] = "raises"
    hand.shape = hand.rng.choice(("list", "generator"))
    return True


SPECIAL: dict[str, Callable[[Hand], bool]] = {
    "fed": _fed,
    "exit": _exit,
    "late": _late,
    "hanging": _hanging,
    "dying": _dying,
    "unfit": _unfit,
}
SHARE = {"fed": 25.0, "exit": 25.0, "late": 15.0, "hanging": 10.0, "dying": 10.0, "unfit": 10.0}
