"""autoexec finds out what kind of work a function does and runs it the right way.

>>> import autoexec
>>> list(autoexec.map(str.upper, ["a", "b"]))
['A', 'B']

The doors: `api` (map, starmap, amap, explain), `decorator`, `executor`, `cli` with `demo`. What they hand
back: `results` and `async_results` (iterators; the run behind them is `engine.run`), `records` (plan,
profile, machine), `statistics`, `errors`. The rooms below, each with a map of its own: `engine`, `safety`,
`decide`, `measure`, `backends` (a row for each in `registry`), `worker`, `journal`, `report`, `introspect`.
On the ground: `options` and `checks`, `resources` (what a worker makes once, closed with it), `unpicklable`
(why something cannot be sent, in words), `by_value` (functions as bytes), `known_objects` (what goes by a
number there and back), `file_maps` (memory maps as maps), `own_thread` (threads of ours), `own_time` (clocks
that nobody stops), `python_program` (is there a Python to start?), `role` (is this a worker?), `resident`
(memory of a process), `brief` (values as short text), `frozen` (a light dataclass), `testing`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .api import amap, explain, machine, map, profile, shutdown, starmap
    from .async_results import AsyncResults
    from .decorator import Parallel, parallel
    from .errors import (
        AutoexecError,
        BrokenWorker,
        EffectLost,
        ItemTimeout,
        JournalError,
        MissingExtra,
        OptionError,
        Refused,
        WorkerDied,
    )
    from .executor import Executor
    from .options import Options
    from .records import Forecast, Hazard, Machine, Plan, Profile, WorkKind
    from .registry import BackendInfo, Costs, register_backend
    from .resources import PerWorker, per_worker
    from .results import Results
    from .statistics import Failures, HostStats, Stats

__all__ = [
    "AsyncResults",
    "AutoexecError",
    "BackendInfo",
    "BrokenWorker",
    "Costs",
    "EffectLost",
    "Executor",
    "Failures",
    "Forecast",
    "Hazard",
    "HostStats",
    "ItemTimeout",
    "JournalError",
    "Machine",
    "MissingExtra",
    "OptionError",
    "Options",
    "Parallel",
    "PerWorker",
    "Plan",
    "Profile",
    "Refused",
    "Results",
    "Stats",
    "WorkKind",
    "WorkerDied",
    "amap",
    "explain",
    "machine",
    "map",
    "parallel",
    "per_worker",
    "profile",
    "register_backend",
    "shutdown",
    "starmap",
]

__version__ = "0.1.0"

# Importing autoexec costs next to nothing; a name brings its module when it is first used.
_HOME = {
    "api": ("amap", "explain", "machine", "map", "profile", "shutdown", "starmap"),
    "decorator": ("Parallel", "parallel"),
    "errors": (
        "AutoexecError",
        "BrokenWorker",
        "EffectLost",
        "ItemTimeout",
        "JournalError",
        "MissingExtra",
        "OptionError",
        "Refused",
        "WorkerDied",
    ),
    "async_results": ("AsyncResults",),
    "executor": ("Executor",),
    "options": ("Options",),
    "records": (
        "Forecast",
        "Hazard",
        "Machine",
        "Plan",
        "Profile",
        "WorkKind",
    ),
    "registry": ("BackendInfo", "Costs", "register_backend"),
    "resources": ("PerWorker", "per_worker"),
    "results": ("Results",),
    "statistics": ("Failures", "HostStats", "Stats"),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "testing":  # a module for whoever writes tests
        return import_module(".testing", __name__)
    for module, names in _HOME.items():
        if name in names:
            value = getattr(import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
