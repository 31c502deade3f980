"""What a worker has around it: the caller's directory and environment."""

from __future__ import annotations

import os
import sys

from ..core_budget import CORES, VARIABLES

__all__ = ["flush", "set_scene"]

OWN = frozenset((*VARIABLES, CORES))  # variables that the worker's share has set


def set_scene(folder: str, environment: dict[str, str], path: list[str]) -> None:
    """Work where the caller works now: directory, environment, import path."""
    if folder:
        os.chdir(folder)
    mine = dict(os.environ)
    for name in mine.keys() - environment.keys() - OWN:
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if name not in OWN})
    sys.path[:] = path


def flush() -> None:
    """Write out what was printed; the program may have put anything in place of a stream."""
    for stream in {id(one): one for one in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)}.values():
        try:
            stream.flush()  # type: ignore[union-attr]
        except Exception:  # none, closed, broken, or an object that knows nothing of it
            continue
