"""The demo's other functions: one that waits, one that computes in pure Python, one that is too small."""

from __future__ import annotations

__all__ = ["cube", "fetch", "longest_collatz"]

BLOCK = 4_000
"""Starting points per block of `longest_collatz`: some 30 ms of work."""


def fetch(url: str) -> str:
    """Call the service and return the item number that it echoes."""
    import requests

    with requests.Session() as session:
        session.trust_env = False  # a proxy set for the outside world has no business on loopback
        answer = session.get(url, timeout=30)
    answer.raise_for_status()
    item: str = answer.json()["args"]["item"]
    return item


def longest_collatz(block: int) -> tuple[int, int]:
    """Return the longest Collatz chain that begins in this block, and where it begins."""
    return max((chain(start), start) for start in range(block * BLOCK + 1, (block + 1) * BLOCK + 1))


def chain(number: int) -> int:
    """Count the steps from `number` down to 1.

    >>> chain(6)
    8
    """
    steps = 0
    while number != 1:
        number = 3 * number + 1 if number % 2 else number // 2
        steps += 1
    return steps


def cube(number: int) -> int:
    """Return the third power: far less work than handing it to anyone."""
    return number * number * number
