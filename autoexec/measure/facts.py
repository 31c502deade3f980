"""What plans rest on beside the sample, here and now; doors hand it to whatever they start.

What may live here: where the facts come from. Nothing below a door asks for them itself.
"""

from __future__ import annotations

from collections.abc import Callable

from ..records import Calibration, Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from ..frozen import dataclass

__all__ = ["Facts", "here"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What plans rest on beside the sample; handed in by whoever starts a run.

    Attributes:
        machine: what may be used.
        calibration: what pools cost there.
        learn: told what a run has seen: seconds, by the names of `Calibration`.
    """

    machine: Machine
    calibration: Calibration = Calibration()
    learn: Callable[..., object] = lambda **seconds: None


def here() -> Facts:
    """This machine as it is at the moment, what its pools cost, and where that is remembered.

    >>> here().machine.usable >= 1
    True
    """
    from . import calibration, machine

    return Facts(machine.look(), calibration.load(), calibration.learn)
