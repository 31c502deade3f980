"""The backends: one row for each, and nowhere else its name.

What may live here: facts about backends, as data, and where the code of each is. Whoever wants to know
something about a backend asks its row. The code is imported when a backend is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from .errors import AutoexecError, MissingExtra, OptionError, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any
else:
    from .frozen import dataclass

__all__ = [
    "ASYNCIO",
    "AUTO",
    "PROCESSES",
    "SERIAL",
    "THEIRS",
    "THREADS",
    "BackendInfo",
    "Costs",
    "call",
    "check",
    "find",
    "installed",
    "names",
    "need",
    "opened",
    "ours",
    "refusal",
    "register_backend",
    "row",
    "weighed",
]

AUTO = "auto"  # no backend, but the wish that autoexec chooses one
SERIAL, THREADS, ASYNCIO, PROCESSES = "serial", "threads", "asyncio", "processes"
GROUP = "autoexec.backends"  # of entry points
LONGEST_S = 1e9  # seconds that a start may be said to take
FACTS = {bool: "True or False", int: "a whole number of at least 1", str: "text"}
METHODS = ("name", "starting", "start", "ring", "recall", "abandon", "close", "costs")  # of a `Backend`
_OWN = os.name != "nt"  # there, no descriptors can be handed down: the standard library's pool knows how
_CODE = "autoexec.backends"


@dataclass(frozen=True, slots=True)
class Costs:
    """What the workers of a backend cost, as the cost model sees them.

    Attributes:
        start_s: seconds to start the first worker.
        worker_s: seconds that each worker adds: forking copies page tables, fresh ones share the cores.
        task_s: seconds that a task costs, both ends together.
    """

    start_s: float
    worker_s: float
    task_s: float

    def starting_s(self, workers: int) -> float:
        """Seconds until so many workers run.

        >>> Costs(0.5, 0.125, 0.0).starting_s(4)
        1.0
        """
        return self.start_s + workers * self.worker_s


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """What there is to know of a backend.

    The defaults are right for an executor whose workers are other processes. Code is given as a function, or
    as text, "package.module:function", which is imported when it is wanted.

    Attributes:
        name: what `backend=` calls it.
        open: called with an `Opening` (see `autoexec.backends.opening`); returns a `Backend` (see
            `autoexec.backends.base`). It may raise OSError or RuntimeError where workers cannot be had.
        costs: what its workers cost, or a function of the `Calibration` that says so; None, and "auto" never
            chooses it.
        refuses: a function of the user's function that says in words why this backend cannot run it, ""
            where it can; with None, why it can run nothing here.
        package: the package that it needs beside autoexec.
        extra: the extra that brings that package.
        needs: what else it needs, in words.
        public: whether `backend=` may name it.
        in_process: whether items see the caller's own objects.
        own_gil: whether each worker has a GIL of its own.
        starts_processes: whether its workers are other processes of the machine.
        forks: whether workers may be forked from the caller's thread.
        can_kill: whether an item that runs can be ended together with its worker.
        gives_up: whether `item_timeout=` works with it.
        paces: whether `rate=` works with it.
        elastic: whether slots are made as they are needed; else `open` makes them.
        threaded: whether each slot has a thread that waits for its answer.
        ends_late: whether it ends calls that take longer than `item_timeout=` itself.
        bounded: whether it runs no more than the plan's number at once, however many tasks it is given.
        ahead: tasks for each worker: two, where it does not ask for its next one itself.
    """

    name: str
    open: Callable[..., Any] | str = ""
    costs: Costs | Callable[[Any], Costs] | None = None
    refuses: Callable[[Any], str] | str = ""
    package: str = ""
    extra: str = ""
    needs: str = ""
    public: bool = True
    in_process: bool = False
    own_gil: bool = True
    starts_processes: bool = True
    forks: bool = False
    can_kill: bool = False
    gives_up: bool = False
    paces: bool = False
    elastic: bool = True
    threaded: bool = False
    ends_late: bool = False
    bounded: bool = True
    ahead: int = 2


def _here(name: str, code: str, **facts: Any) -> BackendInfo:
    """The row of a backend whose items see the caller's own objects."""
    usual = {"in_process": True, "own_gil": False, "starts_processes": False, "bounded": False, "ahead": 1}
    return BackendInfo(name, code, **(usual | facts))


_ROWS: dict[str, BackendInfo] = {
    info.name: info
    for info in (
        _here(SERIAL, "", elastic=False),  # the caller's own thread: nothing is opened
        _here(THREADS, f"{_CODE}.threads:open_backend", threaded=True, gives_up=True, paces=True),
        _here(ASYNCIO, f"{_CODE}.event_loop:open_backend", public=False, gives_up=True, paces=True),
        BackendInfo(
            PROCESSES,
            f"{_CODE}.processes.backend:open_backend" if _OWN else f"{_CODE}.executors:open_standard",
            forks=_OWN,
            can_kill=_OWN,
            gives_up=True,
            elastic=not _OWN,
            threaded=_OWN,
            ends_late=_OWN,
            bounded=not _OWN,
            ahead=1 if _OWN else 2,
        ),
        BackendInfo(
            "joblib",
            f"{_CODE}.executors:open_loky",
            costs=lambda calibration: Costs(
                calibration.joblib_start, 0.02, 0.0008
            ),  # per worker, task: measured
            package="joblib",
            extra="joblib",
        ),
        BackendInfo(  # without costs: nobody compares yet what it finds there of the program's state
            "interpreters",
            f"{_CODE}.interpreters:open_interpreters",
            refuses=f"{_CODE}.interpreters:refusal",
            needs="CPython 3.14",
            starts_processes=False,
        ),
    )
}
# The caller's own `concurrent.futures.Executor`; plans call it by the name of its class.
THEIRS = BackendInfo(
    "", f"{_CODE}.executors:open_theirs", public=False, bounded=False, starts_processes=False
)


def row(name: str) -> BackendInfo:
    """The row of a backend that a plan names.

    >>> row("threads").in_process, row("processes").in_process
    (True, False)
    """
    return _ROWS.get(name, THEIRS)


def names() -> tuple[str, ...]:
    """What `backend=` may be called, "auto" first.

    >>> names()[:4]
    ('auto', 'serial', 'threads', 'processes')
    """
    return (AUTO, *(info.name for info in _ROWS.values() if info.public))


def find(name: str) -> BackendInfo:
    """The row of a backend that the caller names; third parties are looked for where it is none of ours.

    Raises:
        OptionError: if there is none, or what stands for it does not import.
        MissingExtra: if its package is not installed.
    """
    info = _ROWS.get(name) or _announced(name)
    if info is None or not info.public:
        known = [AUTO, *(_described(each) for each in _ROWS.values() if each.public)]
        known += [each.name for each in _entry_points() if each.name not in _ROWS]
        raise OptionError(
            f"unknown backend {shown(name)}; choose from {', '.join(known)}, or pass a "
            "concurrent.futures.Executor"
        )
    if info.package:
        need(info.package, f"backend={info.name!r}", info.extra)
    check(info, None)
    return info


def check(info: BackendInfo, func: Callable[..., Any] | None) -> None:
    """Refuse a backend that cannot run a function; None asks for any at all.

    Raises:
        OptionError: saying why.
    """
    if words := refusal(info, func):
        raise OptionError(f"backend={info.name!r} cannot be used: {words}")


def _described(info: BackendInfo) -> str:
    words = refusal(info, None)
    if info.extra and not installed(info.package):
        words = f"needs the extra {info.extra}"
    return f"{info.name} ({words})" if words else info.name


def _entry_points() -> Iterator[Any]:
    from importlib.metadata import entry_points

    yield from entry_points(group=GROUP)


def _announced(name: str) -> BackendInfo | None:
    """A backend that an installed package announces, from now on one of the rows."""
    found = next((each for each in _entry_points() if each.name == name), None)
    if found is None:
        return None
    try:
        info = found.load()
    except Exception as error:
        raise OptionError(
            f"backend={name!r} is announced by {found.value}, which does not import: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(info, BackendInfo) or info.name != name:
        raise OptionError(f"{found.value} must be the BackendInfo of {name!r}, not {shown(info)}")
    register_backend(info)
    return info


def register_backend(info: BackendInfo) -> None:
    """Make a backend known: from now on `backend=` may name it, and "auto" weighs it if it has `costs`.

    A package announces its own by an entry point of the group `autoexec.backends`, whose name is that of the
    backend and whose object is its `BackendInfo`; it is then loaded when it is named.

    Args:
        info: its row.

    Raises:
        OptionError: if the name is taken, or a part of the row cannot be meant.

    >>> import autoexec
    >>> from autoexec.testing import FakeBackend
    >>> autoexec.register_backend(autoexec.BackendInfo("at_once", FakeBackend))
    >>> list(autoexec.map(abs, [-1, -2], backend="at_once"))
    [1, 2]
    """
    if type(info) is not BackendInfo:
        raise OptionError(f"register_backend takes a BackendInfo, not {shown(info)}")
    name: object = info.name
    if not (isinstance(name, str) and name.isidentifier()):
        raise OptionError(f"the name of a backend must be an identifier, not {shown(name)}")
    if name == AUTO or name in _ROWS:
        raise OptionError(f"there is a backend {name!r} already; give yours another name")
    _check_code(name, "open", info.open)
    if info.refuses != "":
        _check_code(name, "refuses", info.refuses)
    if not (info.costs is None or callable(info.costs) or _sound(info.costs)):
        raise OptionError(
            f"costs of backend {name!r} must be Costs of seconds, or a function, not {shown(info.costs)}"
        )
    _check_facts(info)
    _ROWS[name] = info


def _sound(costs: object) -> bool:
    """Whether these are costs that can be added up."""
    if not isinstance(costs, Costs):
        return False
    seconds: tuple[object, ...] = (costs.start_s, costs.worker_s, costs.task_s)
    return all(isinstance(one, (int, float)) and 0 <= one < LONGEST_S for one in seconds)


def _check_facts(info: BackendInfo) -> None:
    """Refuse a row whose facts are not of their kinds: what rests on them would wait for ever."""
    usual = BackendInfo("")
    for fact in BackendInfo.__match_args__[4:]:
        value, kind = getattr(info, fact), type(getattr(usual, fact))
        if type(value) is not kind or (kind is int and value < 1):
            raise OptionError(f"{fact} of backend {info.name!r} must be {FACTS[kind]}, not {shown(value)}")


def _check_code(name: str, part: str, code: object) -> None:
    text = isinstance(code, str) and code.count(":") == 1
    if not text and not callable(code):
        raise OptionError(
            f"{part} of backend {name!r} must be a function, or 'package.module:function', not {shown(code)}"
        )


def call(code: Callable[..., Any] | str, *args: Any) -> Any:
    """Call what a row gives as a function or as text."""
    if isinstance(code, str):
        from importlib import import_module

        module, _, function = code.partition(":")
        code = getattr(import_module(module), function)
    return code(*args)  # type: ignore[operator]


def refusal(info: BackendInfo, func: Callable[..., Any] | None) -> str:
    """Why a backend cannot run a function here, in words; "" where it can."""
    if not info.refuses:
        return ""
    try:
        words = call(info.refuses, func)
    except Exception as error:
        return f"it cannot tell what it can run ({type(error).__name__}: {error})"
    return words if isinstance(words, str) else ""


def weighed(calibration: Any) -> tuple[tuple[str, Costs], ...]:
    """The backends that "auto" weighs beside its own threads and processes, and what they cost."""
    known = [info for info in _ROWS.values() if info.costs is not None]
    told = [
        (info.name, _told(info, calibration)) for info in known if not info.package or installed(info.package)
    ]
    return tuple((name, costs) for name, costs in told if costs is not None)


def _told(info: BackendInfo, calibration: Any) -> Costs | None:
    """What a backend costs; None, with a warning, where it says nothing that can be used."""
    try:
        costs = info.costs(calibration) if callable(info.costs) else info.costs
        if _sound(costs):
            return costs
        words = shown(costs)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
    import logging

    logging.getLogger("autoexec").warning("backend %r is left out: its costs are %s", info.name, words)
    return None


def opened(info: BackendInfo, opening: Any) -> Any:
    """Open a backend.

    Args:
        info: its row.
        opening: what it is opened with.

    Raises:
        OSError: if what it needs cannot be had.
        RuntimeError: likewise.
        MissingExtra: if its package is not installed.
        AutoexecError: if it cannot be opened for any other reason, or lacks a method.
    """
    what = f"backend {info.name!r}"
    try:
        backend = call(info.open, opening)
    except (OSError, RuntimeError, AutoexecError):
        raise
    except Exception as error:
        raise AutoexecError(f"{what} could not be opened: {type(error).__name__}: {error}") from error
    missing = [name for name in METHODS if getattr(backend, name, None) is None]
    if missing:
        raise AutoexecError(f"{what} cannot be used: what it opened has no {', '.join(missing)}")
    return backend


def ours(info: BackendInfo) -> bool:
    """Whether a backend's code is of this library."""
    return isinstance(info.open, str) and info.open.startswith(f"{_CODE}.")


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it (nor importlib.util, which takes longer)."""
    import sys

    if package in sys.modules:
        return sys.modules[package] is not None
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return any(find is not None and find(package, None) is not None for find in finders)


def need(package: str, wish: str, extra: str) -> None:
    """Refuse a wish whose package is not installed.

    Raises:
        MissingExtra: naming the extra that brings it.
    """
    from importlib.util import find_spec

    try:
        found = find_spec(package) is not None
    except ValueError:  # something stands in for it that nobody has imported
        found = True
    if not found:
        raise MissingExtra(f"{wish} needs {package}: pip install 'autoexec-futures[{extra}]'")
