"""What a fresh interpreter would find by name: not what was loaded from a path, or made by hand.

What may live here: whether a module is to be had elsewhere. What lives in one that is not travels by value.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from . import MAIN, attributes, isa
from .libraries import of_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["made_by_hand", "only_here"]

_known: dict[str, tuple[ModuleType, list[Any], bool]] = {}


def only_here(name: object) -> bool:
    """Whether a module of the user's, which is loaded, would not be found, or another one in its place.

    >>> only_here("json"), only_here("no.such.module")
    (False, False)
    """
    module = sys.modules.get(name) if type(name) is str else None
    if not isa(module, ModuleType) or name in MAIN or of_library(module):
        return False
    assert type(name) is str
    assert module is not None
    known = _known.get(name)
    if known is None or known[0] is not module or known[1] != sys.path:
        known = _known[name] = module, list(sys.path), not _found(name, module)
    return known[2]


def made_by_hand(name: str) -> bool:
    """Whether what stands in `sys.modules` under a name was put there by somebody: no import would find it.

    >>> made_by_hand("json"), made_by_hand("__main__"), made_by_hand("no.such.module")
    (False, False, False)
    """
    module = sys.modules.get(name)
    if module is None or name in MAIN:
        return False
    if not isa(module, ModuleType):
        return True
    return (
        type(module) is ModuleType and vars(module).get("__spec__") is None and "__file__" not in vars(module)
    )


def _found(name: str, module: ModuleType) -> bool:
    """Whether an import would find the file that this module comes from."""
    above, _, _ = name.rpartition(".")
    path = None
    if above:
        folders = attributes(sys.modules.get(above)).get("__path__")
        if only_here(above) or folders is None:
            return False
        path = list(folders)
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        try:
            spec = find and find(name, path)
        except Exception:  # a finder of somebody's that expects something else
            continue
        if spec is not None:
            return _same(spec.origin, module)
    return False


def _same(origin: object, module: ModuleType) -> bool:
    file = vars(module).get("__file__")
    if not (isinstance(origin, str) and isinstance(file, str)):
        return True  # a namespace, or no file at all: there is nothing to tell them apart by
    return os.path.realpath(origin) == os.path.realpath(file) or origin.endswith(".pyc")
