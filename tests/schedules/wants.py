"""The options that a schedule may have: how often, where, and with what value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .inputs import COUNTED

if TYPE_CHECKING:
    from .draw import Hand

__all__ = ["WANTS"]

Ask = Callable[["Hand"], Any]
CHANGING = ("growing", "shrinking")  # inputs that `size=` or a journal would collect at the call


@dataclass(frozen=True, slots=True)
class Want:
    """An option.

    Attributes:
        name: of the option.
        chance: how often it is given.
        may: whether it can be given with what was drawn before.
        value: draws its value.
    """

    name: str
    chance: Callable[[Hand], float]
    may: Ask
    value: Ask


def _maps(hand: Hand) -> bool:
    """`map` in one of its forms."""
    return hand.door not in ("submit", "shared", "executor map")


def _iterates(hand: Hand) -> bool:
    return _maps(hand) or hand.door == "executor map"


def _calls(hand: Hand) -> bool:
    """Options for single calls do not reach into an executor of the user's that was given to ours."""
    return hand.door != "shared" and (_maps(hand) or hand.backend != "own")


def _one_by_one(hand: Hand) -> bool:
    """`Executor.map` makes one call of a chunk, which would run again as a whole."""
    return hand.door != "executor map" or hand.options.get("chunksize", 1) == 1


def _collects(hand: Hand) -> bool:
    return _maps(hand) and hand.shape not in CHANGING


def _on_error(hand: Hand) -> str:
    return "return" if hand.shape == "growing" or hand.chance(0.65) else "skip"


def _per(hand: Hand) -> str:
    raises = ["raises"] * (hand.shape != "shrinking")  # where the loop may end before
    ways = ["function"] * 4 + raises + ["team"] * 4 * (hand.items == "teams")
    return str(hand.rng.choice(ways))


WANTS = (
    Want("chunksize", lambda _: 0.15, _iterates, lambda hand: hand.rng.choice((1, 2, 3, 5, 9, 50))),
    Want(
        "buffersize",
        lambda hand: 0.4 if hand.shape in COUNTED else 0.1,
        _iterates,
        lambda hand: hand.rng.choice((1, 1, 2, 3, 5, 8, 16, 64)),
    ),
    Want("timeout", lambda _: 0.04, _iterates, lambda _: 60.0),
    Want("ordered", lambda _: 0.14, _maps, lambda _: False),
    Want("on_error", lambda _: 0.24, _maps, _on_error),
    Want(
        "size",
        lambda _: 0.05,
        lambda hand: _collects(hand) and "buffersize" not in hand.options and hand.shape != "breaking",
        lambda _: True,
    ),
    Want("journal", lambda _: 0.06, lambda hand: _collects(hand) and hand.shape != "async", lambda _: True),
    Want(
        "key",
        lambda hand: 1.0 if hand.items in ("teams", "locked", "shy") else 0.2,
        lambda hand: "journal" in hand.options,
        lambda _: True,
    ),
    Want("codec", lambda _: 0.3, lambda hand: "journal" in hand.options, lambda _: "json"),
    Want("per", lambda _: 0.1, _maps, _per),
    Want(
        "retries",
        lambda _: 0.13,
        lambda hand: _calls(hand) and _one_by_one(hand),
        lambda hand: hand.rng.randint(1, 3),
    ),
    Want(
        "retry_on",
        lambda _: 0.3,
        lambda hand: "retries" in hand.options,
        lambda hand: hand.rng.choice(("class", "function")),
    ),
    Want(
        "rate",
        lambda _: 0.05,
        lambda hand: _calls(hand) and hand.backend in ("auto", "threads") and hand.count <= 150,
        lambda hand: float(hand.rng.choice((4_000, 10_000, 30_000))),
    ),
    Want("burst", lambda _: 0.5, lambda hand: "rate" in hand.options, lambda hand: hand.rng.randint(1, 50)),
    Want(
        "item_timeout",
        lambda _: 0.05,
        lambda hand: _calls(hand) and hand.backend in ("auto", "threads", "processes"),
        lambda _: 40.0,
    ),
    Want("initializer", lambda _: 0.06, _calls, lambda _: "counts"),
)
