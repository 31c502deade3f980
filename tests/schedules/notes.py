"""What items note of their calls: in a list, or from other processes as lines of a file."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Call", "at_once", "counted", "note", "read"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an item.

    Attributes:
        place: the item.
        began: when, in nanoseconds of the system's own clock, which all processes share.
        ended: when, or 0 where the call was cut short.
        who: process and thread.
        remark: what the item found wrong, or "".
    """

    place: int
    began: int
    ended: int = 0
    who: str = ""
    remark: str = ""


def note(path: str, place: int, began: int, ended: int, remark: str = "") -> None:
    """Append a line; lines of several processes do not mix."""
    line = f"{place} {began} {ended} {os.getpid()}.{threading.get_ident()} {remark}\n"
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(path: str, memory: Iterable[tuple[int, int, int, str]]) -> list[Call]:
    """All calls, in the order in which they began; what was noted at begin and at end is one call."""
    calls: dict[tuple[int, int], Call] = {}
    for call in [*(Call(p, b, e, "here", remark) for p, b, e, remark in list(memory)), *_lines(path)]:
        known = calls.get((call.place, call.began))
        if known is None or not known.ended:
            calls[call.place, call.began] = call
    return sorted(calls.values(), key=lambda call: call.began)


def _lines(path: str) -> Iterable[Call]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        place, began, ended, who, *remark = line.split(" ", 4)
        yield Call(int(place), int(began), int(ended), who, *remark)


def counted(calls: Iterable[Call]) -> Counter[int]:
    """How often each item was called."""
    return Counter(call.place for call in calls)


def at_once(calls: Iterable[Call], limit_s: float | None = None) -> int:
    """The most calls that ran at the same time; one that was cut short counts for its first moment.

    Args:
        calls: all of them.
        limit_s: seconds after which a call is given up and counts no more.
    """
    edges = []
    for call in calls:
        ended = call.ended or call.began + 1
        if limit_s is not None:
            ended = min(ended, call.began + int(limit_s * 1e9))
        edges += [(call.began, 1), (ended, -1)]
    running = most = 0
    for _, step in sorted(edges):  # at the same moment ends come first
        running += step
        most = max(most, running)
    return most
