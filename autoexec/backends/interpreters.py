"""Interpreters: workers with a GIL of their own in this process (CPython 3.14 and later).

What may live here: how they are opened, and what they cannot run. All else is the executors'
(`executors.py`): what is sent, is sent as to other processes.

Many extension modules, numpy among them, refuse to be imported in any interpreter but the first. Whether
those do that a function names is tried in an interpreter, once for each module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

from ..introspect import name_of
from ..introspect.code import modules_of
from .executors import ExecutorBackend, executor_backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .opening import Opening

__all__ = ["open_interpreters", "refusal"]

FIRST = (3, 14)  # the version that has them
_tried: dict[str, str] = {}  # module -> why it cannot be imported there, "" if it can


def open_interpreters(opening: Opening) -> ExecutorBackend:
    """The backend of a plan; see `BackendInfo.open`. Whoever names it was asked for its `refusal` before."""
    futures: Any = import_module("concurrent.futures.interpreter")
    pool = futures.InterpreterPoolExecutor(opening.plan.max_workers)
    return executor_backend(opening, pool)


def refusal(func: Callable[..., Any] | None) -> str:
    """Why interpreters cannot run a function, in words; "" where they can. None asks for any at all.

    >>> "CPython 3.14" in refusal(None) or sys.version_info >= FIRST
    True
    """
    if sys.version_info < FIRST:
        first, this = (".".join(map(str, version[:2])) for version in (FIRST, sys.version_info))
        return f"needs CPython {first} or later, this is {this}"
    if func is None:
        return ""
    wanted = modules_of(func)
    unknown = [name for name in wanted if name not in _tried]
    if unknown:
        _try(unknown)
    stuck = next((name for name in wanted if _tried[name]), None)
    if stuck is None:
        return ""
    return f"{name_of(func)} needs {stuck}, which cannot be imported in another interpreter ({_tried[stuck]})"


def _try(modules: list[str]) -> None:
    """Import modules in an interpreter of their own, and remember how that went."""
    interpreters: Any = import_module("concurrent.interpreters")
    interpreter = interpreters.create()
    try:
        interpreter.prepare_main(path=tuple(map(str, sys.path)))
        interpreter.exec("import sys; sys.path[:] = path")
        for name in modules:
            try:
                interpreter.exec(f"import {name}")
                _tried[name] = ""
            except interpreters.ExecutionFailed as error:
                _tried[name] = f"{error.excinfo.type.__name__}: {_telling(error.excinfo.msg)}"
    finally:
        interpreter.close()


def _telling(text: str) -> str:
    """The line of an error's words that says most: the first one about interpreters, or the first one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "interpreter" in line), lines[0] if lines else "it fails")
