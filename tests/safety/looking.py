"""Looks around items, and what is left of what they and the code show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autoexec.safety.effects import Effects
from autoexec.safety.hazards import find_hazards


def looked(func: Callable[[int], Any], *items: int) -> Effects:
    """What is seen around some items."""
    effects = Effects(func)
    for item in items:
        effects.before((item,))
        func(item)
        effects.after((item,))
    return effects


def kept(func: Callable[[int], Any], *items: int) -> list[str]:
    """The names of what is left of what code and looks show."""
    effects = looked(func, *items)
    left = [*(one for one in find_hazards(func) if not effects.explains(one)), *effects.hazards()]
    return [hazard.name for hazard in left]
