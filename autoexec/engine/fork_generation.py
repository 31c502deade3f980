"""Has this process been forked since? What belongs to the parent must not be touched in the child."""

from __future__ import annotations

import os

__all__ = ["generation"]

_generation = [0]


def generation() -> int:
    """A number that is another one in every child."""
    return _generation[0]


def _forked() -> None:
    _generation[0] += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
