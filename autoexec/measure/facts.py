"""What plans rest on beside the sample, here and now; doors hand it to whatever they start.

What may live here: where the facts come from. Nothing below a door asks for them itself.
"""

from __future__ import annotations

from ..records import Facts

__all__ = ["here"]


def here() -> Facts:
    """This machine as it is at the moment, what its pools cost, and where that is remembered.

    >>> here().machine.usable >= 1
    True
    """
    from . import calibration, machine

    return Facts(machine.look(), calibration.load(), calibration.learn)
