"""`fetch_parse`: wait as for a page, then work on it in pure Python."""

from __future__ import annotations

from time import sleep, thread_time

from ..workloads import Place

ITEMS = 160
WAIT_S = 0.040
PARSE_S = 0.015


def fetch_and_parse(page: int) -> int:
    """Wait 40 ms, then use 15 ms of CPU under the GIL, however busy the cores are."""
    sleep(WAIT_S)
    end = thread_time() + PARSE_S
    total = 0
    while thread_time() < end:
        total = sum(number * number for number in range(100))
    return page + total


def items(name: str, place: Place) -> range:
    """Numbers of pages."""
    return range(place.scaled(ITEMS))
