"""Compares what came with what is right: in order or not, whole or in part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .expect import Outcome, fits, is_open

__all__ = ["Wrong", "difference", "shown"]

LONGEST = 160  # characters of what is shown


@dataclass(frozen=True, slots=True)
class Wrong:
    """A complaint.

    Attributes:
        kind: of what, in a word.
        expected: what is right.
        came: what came instead.
    """

    kind: str
    expected: str
    came: str

    def __str__(self) -> str:
        return f"[{self.kind}] expected {self.expected}; came {self.came}"


def difference(
    wanted: Sequence[Outcome], came: Sequence[Any], *, ordered: bool, least: int | None = None
) -> Wrong | None:
    """What is wrong with the values that came, or None.

    Args:
        wanted: the right ones.
        came: those that came.
        ordered: whether their order counts.
        least: how many there must be; None means all.

    >>> difference([(1,), (4,), (7,)], [1, 7], ordered=True).kind
    'lost'
    >>> difference([(1,), (4,)], [4, 1], ordered=False)
    """
    least = len(wanted) if least is None else least
    missing, extra = _unmatched(wanted, came)
    if extra:
        return _strange(wanted, came, extra)
    if len(came) < least:
        return Wrong(
            "lost", f"{least} results", f"{len(came)}; missing are {shown([one[0] for one in missing])}"
        )
    if ordered:
        return _order(wanted, came, missing)
    return None


def _unmatched(wanted: Sequence[Outcome], came: Sequence[Any]) -> tuple[list[Outcome], list[Any]]:
    """What has not come, and what nobody wanted, whatever the order."""
    simple = Counter(one[0] for one in wanted if len(one) == 1)
    waiting = [one for one in wanted if len(one) > 1 or is_open(one[0])]
    extra = []
    for value in came:
        if simple[value] > 0:
            simple[value] -= 1
        elif (found := next((one for one in waiting if fits(one, value)), None)) is not None:
            waiting.remove(found)
            simple[found[0]] -= len(found) == 1
        else:
            extra.append(value)
    return [(value,) for value in simple.elements()] + [one for one in waiting if len(one) > 1], extra


def _strange(wanted: Sequence[Outcome], came: Sequence[Any], extra: list[Any]) -> Wrong:
    """Something came that should not have."""
    place = next((i for i, value in enumerate(came) if value in extra), 0)
    if all(any(fits(one, value) for one in wanted) for value in extra):
        return Wrong("twice", f"each result once, {len(wanted)} in all", f"{shown(extra)} once more")
    right = shown(wanted[place][0]) if place < len(wanted) else "nothing"
    return Wrong("values", f"{right} as result {place}", f"{shown(came[place])} of {len(came)} results")


def _order(wanted: Sequence[Outcome], came: Sequence[Any], missing: list[Outcome]) -> Wrong | None:
    for place, (one, value) in enumerate(zip(wanted, came, strict=False)):
        if not fits(one, value):
            if missing:
                words = f"{shown(value)}; {len(missing)} of {len(wanted)} results are missing"
                return Wrong("lost", f"{shown(one[0])} as result {place}", words)
            return Wrong("order", f"{shown(one[0])} as result {place}", shown(value))
    return None


def shown(value: Any) -> str:
    """A value in short."""
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
