"""The program that fresh interpreters are started with, or why there is none.

What may live here: what tells a Python from a program that has one inside. Such a program (frozen, or with an
embedded interpreter) would start itself again if it were taken for a Python.
"""

from __future__ import annotations

import os
import sys

from .introspect import loaded

__all__ = ["lacking", "path"]

NAMES = ("python", "pypy", "graalpy")  # what the file of an interpreter has in its name
FROZEN = ("frozen", "oxidized", "_MEIPASS")  # what PyInstaller, cx_Freeze, py2exe, PyOxidizer set in sys


def path() -> str:
    """The file of a Python, "" if there is none; `multiprocessing.set_executable` may have named it.

    >>> lacking() or os.path.isabs(path())
    True
    """
    told = _told()
    if told and told != sys.executable and not _unfit(told):
        return told  # a program with an interpreter inside can say so where a Python is
    return "" if _frozen() or _unfit(sys.executable) else sys.executable


def lacking() -> str:
    """Why no fresh interpreter can be started, in words; "" where one can."""
    if path():
        return ""
    if _frozen():
        file = sys.executable or "its file"
        return f"this program is frozen ({file} is the program itself, and no Python)"
    return _unfit(sys.executable)


def _told() -> str:
    spawn = loaded("multiprocessing.spawn")
    found = spawn.get_executable() if spawn is not None else None
    return os.fsdecode(found) if isinstance(found, (str, bytes)) else ""


def _frozen() -> bool:
    return any(getattr(sys, name, None) for name in FROZEN)


def _unfit(file: object) -> str:
    """Why a file is no Python, in words."""
    if not isinstance(file, str) or not file:
        return "this interpreter does not know its program (sys.executable is empty)"
    if not (os.path.isfile(file) and os.access(file, os.X_OK)):
        return f"sys.executable ({file}) is no program that can be run"
    if not (_named(file) or _named(os.path.realpath(file))):
        return f"sys.executable ({file}) is a program with an interpreter inside, and no Python"
    return ""


def _named(file: str) -> bool:
    return any(name in os.path.basename(file).lower() for name in NAMES)
