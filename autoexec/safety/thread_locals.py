"""Values that the caller's thread has put into thread-locals, and that a function reads.

What may live here: telling those from what the function, or the class of the thread-local, fills by itself
in every thread: a session for each, a depth that begins at 0.
"""

from __future__ import annotations

import threading
from types import CodeType, FunctionType

from ..introspect import ATOMS, isa
from ..introspect.code import codes_of
from ..introspect.layers import inside
from ..introspect.libraries import is_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Fills = Callable[[str, CodeType], bool | None]

__all__ = ["set_by_caller"]

_WHOLE = ("__dict__", "vars")  # code that may read all of it


def set_by_caller(found: list[tuple[str, Any]], codes: list[CodeType], fills: Fills) -> list[str]:
    """What the function reads of the values that the thread which asks has set, as the source calls it.

    Args:
        found: the thread-locals, each with what it is called.
        codes: the code that the function reaches.
        fills: whether code fills an attribute by itself; None where it does not set it at all.
    """
    return [
        f"{path}.{name}"
        for path, local in found
        for name, value in list(_values(local).items())
        if _read(name, local, codes, fills) and not _made_alike(name, value, type(local))
    ]


def _values(local: Any) -> dict[str, Any]:
    try:
        values = threading.local.__getattribute__(local, "__dict__")
    except Exception:  # of a class whose `__init__` fails in this thread
        return {}
    return values if isa(values, dict) else {}


def _read(name: str, local: Any, codes: list[CodeType], fills: Fills) -> bool:
    """Whether code reads an attribute that nobody but the caller has filled."""
    called = {known for code in codes for known in code.co_names}
    texts = {text for code in codes for text in code.co_consts if type(text) is str}
    methods = _methods(type(local))
    own = [code for method, code in methods if method in called and method != "__init__"]
    named = name in called or name in texts or any(name in code.co_names for code in own)
    if not named and called.isdisjoint(_WHOLE):
        return False
    told = [told for code in (*codes, *own) if (told := fills(name, code)) is not None]
    return not told or not all(told)


def _methods(kind: type) -> list[tuple[str, CodeType]]:
    """The code of the user's own methods of a class, and of its properties."""
    members = [(name, member) for base in kind.__mro__ for name, member in vars(base).items()]
    functions = [
        (name, func)
        for name, member in members
        for func in inside(member) or [member]
        if isa(func, FunctionType) and not is_library(func.__code__.co_filename)
    ]
    return [(name, code) for name, func in functions for code in codes_of(func.__code__)]


def _made_alike(name: str, value: object, kind: type) -> bool:
    """Whether every thread begins with such a value: what `__init__` makes, or the very constant in it."""
    makers = [code for method, code in _methods(kind) if method == "__init__" and name in code.co_names]
    if not makers:
        return False
    if type(value) not in ATOMS:
        return True
    from dis import get_instructions

    constants = [
        step.argval for code in makers for step in get_instructions(code) if step.opname in _CONSTANT
    ]
    return any(type(one) is type(value) and one == value for one in constants)


_CONSTANT = ("LOAD_CONST", "LOAD_SMALL_INT", "LOAD_COMMON_CONSTANT", "RETURN_CONST")
