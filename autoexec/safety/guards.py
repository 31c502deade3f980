"""Does code fill a place only after it has looked at a flag, or at what is filled along with it?

What may live here: where a look decides whether a store is reached, as far as the order of instructions
tells. A model and its table are loaded by one helper, which is called only while there is no model.
"""

from __future__ import annotations

from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any, TypeAlias

    # The instructions of code, and which of them read and set a place.
    Accesses: TypeAlias = Callable[[str, CodeType], tuple[list[Any], list[int], list[int]]]

__all__ = ["behind"]

NEAR = 6  # instructions between what is asked and the jump that depends on it
_LEAVING = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE")


def behind(
    flags: Collection[str],
    name: str,
    codes: list[CodeType],
    accesses: Accesses,
    makers: Collection[str] = (),
) -> bool:
    """Whether all code that fills a place does so only where a look at one of the flags lets it.

    Args:
        flags: names of places that were filled at the same time.
        name: of the place.
        codes: all code that may fill it.
        accesses: where code reads and sets a place.
        makers: functions that fill what they make.
    """
    filled = False
    for code in codes:
        steps, _, stores = accesses(name, code)
        if not stores or code.co_name in makers:
            continue
        filled = True
        if not (_all_covered(flags, code, steps, stores, accesses) or _called(flags, code, codes, accesses)):
            return False
    return filled


def _called(flags: Collection[str], code: CodeType, codes: list[CodeType], accesses: Accesses) -> bool:
    """Whether code is named by others only where such a look lets them."""
    named = False
    for other in codes:
        steps, loads, _ = accesses(code.co_name, other) if other is not code else ([], [], [])
        if loads:
            named = True
            if not _all_covered(flags, other, steps, loads, accesses):
                return False
    return named


def _all_covered(
    flags: Collection[str], code: CodeType, steps: list[Any], stores: list[int], accesses: Accesses
) -> bool:
    spans = [span for flag in flags for at in accesses(flag, code)[1] if (span := _span(steps, at))]
    return all(any(first < store < last for first, last in spans) for store in stores)


def _span(steps: list[Any], at: int) -> tuple[int, int] | None:
    """The instructions that are reached only as the value that is loaded here has it."""
    for jump in range(at + 1, min(at + 1 + NEAR, len(steps))):
        name = steps[jump].opname
        orders = name == "COMPARE_OP" and any(sign in str(steps[jump].argval) for sign in "<>")
        if orders or name == "BINARY_OP" or name.startswith("STORE_") or name in _LEAVING:
            return None
        if name.startswith("POP_JUMP"):
            goal, end = steps[jump].argval, len(steps)
            target = next((i for i, step in enumerate(steps) if step.offset >= goal), end)
            if target <= jump:
                return None
            if steps[target - 1].opname in _LEAVING and all(
                not step.opname.startswith("POP_JUMP") for step in steps[jump + 1 : target]
            ):
                return jump, len(steps)  # what is there already is returned at once
            return jump, target
    return None
