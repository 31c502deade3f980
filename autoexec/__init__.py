"""autoexec finds out what kind of work a function does and runs it the right way.

>>> import autoexec
>>> list(autoexec.map(str.upper, ["a", "b"]))
['A', 'B']
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .api import explain, machine, map, profile, starmap
    from .decorator import Parallel, parallel
    from .errors import AutoexecError, MissingExtra, OptionError, WorkerDied
    from .executor import Executor
    from .options import Options
    from .records import Forecast, Hazard, Machine, Plan, Profile, WorkKind
    from .results import Results

__all__ = [
    "AutoexecError",
    "Executor",
    "Forecast",
    "Hazard",
    "Machine",
    "MissingExtra",
    "OptionError",
    "Options",
    "Parallel",
    "Plan",
    "Profile",
    "Results",
    "WorkKind",
    "WorkerDied",
    "explain",
    "machine",
    "map",
    "parallel",
    "profile",
    "starmap",
]

__version__ = "0.1.0"

# Importing autoexec costs next to nothing; a name brings its module when it is first used.
_HOME = {
    "api": ("explain", "machine", "map", "profile", "starmap"),
    "decorator": ("Parallel", "parallel"),
    "errors": ("AutoexecError", "MissingExtra", "OptionError", "WorkerDied"),
    "executor": ("Executor",),
    "options": ("Options",),
    "records": ("Forecast", "Hazard", "Machine", "Plan", "Profile", "WorkKind"),
    "results": ("Results",),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOME.items():
        if name in names:
            value = getattr(import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
