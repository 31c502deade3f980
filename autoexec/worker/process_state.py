"""What a program sets for its whole process, as rows: how each is read here, and set in a worker.

What may live here: the table, and who asks it. A row is read only where its module has been imported, and
cheaply; what is read consists of tuples of plain values, so that it can be compared and sent. Whoever starts
workers tells them what differs from what they have (`difference`, `take_over`); whoever looks for effects
compares the same rows. What no row can hold, such as a stream that output was sent to, is in `bound`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import cache

from .. import role
from ..introspect import Same, loaded
from . import logging_state
from .settings import differing, numpy_prints, pandas_options, set_numpy_prints, set_pandas_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context
    from typing import Any

__all__ = [
    "ROWS",
    "Row",
    "all_rows",
    "begun",
    "bound",
    "difference",
    "holds",
    "outputs",
    "read",
    "settle",
    "take_over",
    "with_what_crosses",
]

Scene = dict[str, object]
ANY: Any = object()  # no value is the usual one: a fresh interpreter is always told


class Row:
    """One thing that a process has one of.

    Attributes:
        name: what people call it.
        module: whose it is; it is asked only where that was imported.
        read: what it is, given the module.
        set: makes it that.
        usual: what a fresh interpreter has without being told.
        early: whether it has to stand before anything of the user's is loaded.
        varies: whether it is a context variable's, so that items find it in the context of their call.
        looked: whether an item that changes it changes what its caller would find.
        held: whether it holds objects of the program's, in entries: copies of this process have them.
    """

    __slots__ = ("early", "held", "looked", "module", "name", "read", "set", "usual", "varies")

    def __init__(
        self,
        name: str,
        module: str,
        read: Callable[[Any], object],
        set: Callable[[Any, Any], object],  # noqa: A002
        usual: object = ANY,
        *,
        early: bool = False,
        varies: bool = False,
        looked: bool = False,
        held: bool = False,
    ) -> None:
        self.name, self.module, self.read, self.set, self.usual = name, module, read, set, usual
        self.early, self.varies, self.looked, self.held = early, varies, looked, held


@cache
def all_rows() -> dict[str, Row]:
    """By name, with those of registries, which only worker processes are told of."""
    from .registries import HELD, PLAIN

    found = {row.name: row for row in ROWS}
    for table in (PLAIN, HELD):
        for name, module, read, change, usual, *more in table:
            known = ANY if usual is ... else usual
            found[name] = Row(
                name, module, read, change, known, held=table is HELD, **dict.fromkeys(more, True)
            )
    return found


# Asking, and telling ----------------------------------------------------------------------------------------


def read(context: Context | None = None) -> Scene:
    """All rows whose modules have been imported, by name.

    Args:
        context: in which the caller's items run; None for that of this thread.
    """
    from .registries import is_sent

    found: Scene = {}
    if context is not None:
        context = context.copy()
    for row in all_rows().values():
        module = loaded(row.module)
        if module is None:
            continue
        try:
            found[row.name] = context.run(row.read, module) if context and row.varies else row.read(module)
            if row.held:
                entries: Any = found[row.name]
                found[row.name] = tuple(filter(is_sent, entries))
        except Exception:  # closed, or another thread changes it just now
            continue
    return found


def begun() -> Scene:
    """What a fresh interpreter that starts now has from the beginning."""
    found = {name: all_rows()[name].read(sys.modules[all_rows()[name].module]) for name in STARTED_WITH}
    path: Any = found["sys.path"]
    if any(type(entry) is not str for entry in path):
        del found["sys.path"]  # it gets only those that imports look at
    return found


def difference(now: Scene, told: Scene | None, *, copy: bool = False) -> Scene:
    """What a worker has to be told.

    Args:
        now: as `read` gives it.
        told: what it was told, or has; None where its items may have changed anything.
        copy: whether it is a copy of this process, and so has what its rows hold (see `bound`).
    """
    if copy:
        now = {name: value for name, value in now.items() if not all_rows()[name].held}
    if told is None:
        return dict(now)
    return {name: value for name, value in now.items() if told.get(name, all_rows()[name].usual) != value}


def holds(scene: Scene) -> bool:
    """Whether objects of the program's are in it, which may be found by no name elsewhere."""
    return any(value and all_rows()[name].held for name, value in scene.items())


def with_what_crosses(scene: Scene, crosses: Callable[[object], bool]) -> tuple[Scene, list[str]]:
    """Without the objects that cannot be sent, and the names of the rows that held them."""
    found, lacking = dict(scene), []
    for name, value in scene.items():
        entries: Any = value
        if all_rows()[name].held:
            found[name] = tuple(entry for entry in entries if crosses(entry))
            lacking += [name] * (found[name] != entries)
        elif not crosses(value):
            del found[name]
            lacking.append(name)
    return found, lacking


def take_over(scene: Scene) -> Scene:
    """Set what has to stand first, in a worker; what is left waits for `settle`.

    Raises:
        RuntimeError: something cannot be set here; it says what.
    """
    late = {name: value for name, value in scene.items() if not all_rows()[name].early}
    for name, value in scene.items():
        if name not in late:
            _set(all_rows()[name], value, ())
    return late


def settle(scene: Scene, contexts: Iterable[Context] = ()) -> None:
    """Set what is left, now that a function and its modules are there.

    Args:
        scene: what `take_over` has left.
        contexts: of calls that were made already.

    Raises:
        RuntimeError: something cannot be set here; it says what.
    """
    contexts = tuple(contexts)
    for name, value in scene.items():
        _set(all_rows()[name], value, contexts)


def _set(row: Row, value: Any, contexts: tuple[Context, ...]) -> None:
    try:
        module = loaded(row.module)
        if module is None:
            if value == row.usual:
                return
            from importlib import import_module

            module = import_module(row.module)
        row.set(module, value)
        if row.varies:
            for context in contexts:
                context.run(row.set, module, value)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise RuntimeError(f"a worker process cannot have {row.name} as it is here ({problem})") from error


# What no row can hold ---------------------------------------------------------------------------------------


def bound() -> tuple[tuple[str, Same], ...]:
    """What this process has put in the place of its own: a copy has it, others have copies at most."""
    from .registries import held_parts, signal_handlers

    found = [
        (f"sys.{name}", stream)
        for name in ("stdin", "stdout", "stderr")
        if (stream := getattr(sys, name, None)) is not getattr(sys, f"__{name}__", None)
    ]
    for row in all_rows().values():
        module = loaded(row.module) if row.held else None
        if module is not None:
            entries: Any = row.read(module)
            for entry in entries:
                name = f"{row.module}.{entry[0]}" if row.name.startswith("hooks of") else row.name
                found += [(name, part) for part in held_parts(entry)]
    logging, signal = loaded("logging"), loaded("_signal")
    if logging is not None:
        found += [("a log handler", handler) for handler in logging_state.bound(logging)]
    if signal is not None:
        found += [("a signal's handler", handler) for handler in signal_handlers(signal)]
    return tuple((name, Same(obj)) for name, obj in found)


def outputs() -> tuple[object, ...]:
    """What standard output and error lead to; workers have the same as long as it is that."""
    found: list[object] = []
    for descriptor in (1, 2):
        try:
            about = os.fstat(descriptor)
        except OSError:
            found.append(None)
        else:
            found.append((about.st_dev, about.st_ino))
    return tuple(found)


# How the rows are read and set ------------------------------------------------------------------------------


def _folder(os: Any) -> str:
    try:
        return str(os.getcwd())
    except OSError:  # it was removed
        return ""


def _set_folder(os: Any, folder: str) -> None:
    if folder and _folder(os) != folder:
        os.chdir(folder)


def _set_environment(os: Any, items: tuple[tuple[str, str], ...]) -> None:
    wanted = {name: value for name, value in items if name not in role.variables}
    for name in os.environ.keys() - wanted.keys() - role.variables:
        del os.environ[name]
    os.environ.update(wanted)


def _path(sys: Any) -> tuple[Any, ...]:
    """Other entries than these are passed over by imports, and may not go elsewhere."""
    entries = [entry for entry in sys.path if isinstance(entry, (str, bytes, os.PathLike))]
    return tuple(str.__getitem__(one, slice(None)) if isinstance(one, str) else one for one in entries)


def _set_path(sys: Any, path: tuple[Any, ...]) -> None:
    sys.path[:] = path


def _set_argv(sys: Any, argv: tuple[str, ...]) -> None:
    sys.argv = list(argv)


def _umask(os: Any) -> int:
    """Read where that is possible; else set and set back, which other threads might see."""
    try:
        with open("/proc/self/status", "rb") as file:
            found = file.read(512).partition(b"Umask:")[2].split(None, 1)
        return int(found[0], 8)
    except (OSError, IndexError, ValueError):
        mask: int = os.umask(0o077)
        os.umask(mask)
        return mask


def _zone(time: Any) -> tuple[Any, ...]:
    return tuple(time.tzname), time.timezone


def _set_zone(time: Any, zone: tuple[Any, ...]) -> None:
    if _zone(time) != zone and hasattr(time, "tzset"):
        time.tzset()


def _program(main: Any) -> tuple[Any, ...]:
    """What children of multiprocessing are told to import."""
    return getattr(main, "__file__", None), getattr(getattr(main, "__spec__", None), "name", None)


def _set_program(main: Any, value: tuple[Any, ...]) -> None:
    file, name = value
    if role.fresh:  # a copy is that program
        main.__file__ = file
        if name is not None:
            from importlib.machinery import ModuleSpec

            main.__spec__ = ModuleSpec(name, None)


def _collecting(gc: Any) -> tuple[Any, ...]:
    return gc.isenabled(), tuple(gc.get_threshold())


def _set_collecting(gc: Any, how: tuple[Any, ...]) -> None:
    gc.enable() if how[0] else gc.disable()
    gc.set_threshold(*how[1])


def _decimal(decimal: Any) -> tuple[Any, ...]:
    own = decimal.getcontext()
    traps = tuple(sorted(signal.__name__ for signal, on in own.traps.items() if on))
    return own.prec, own.rounding, own.Emin, own.Emax, own.capitals, own.clamp, traps


def _set_decimal(decimal: Any, value: tuple[Any, ...]) -> None:
    prec, rounding, low, high, capitals, clamp, traps = value
    signals = [getattr(decimal, name) for name in traps]
    decimal.setcontext(decimal.Context(prec, rounding, low, high, capitals, clamp, [], signals))


_DECIMAL = (28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0, ("DivisionByZero", "InvalidOperation", "Overflow"))


def _filters(warnings: Any) -> tuple[Any, ...]:
    """A category by its name: loading its module in a worker would be a price that nobody asked for."""
    return tuple(
        (action, _pattern(message), kind.__module__, kind.__qualname__, _pattern(module), line)
        for action, message, kind, module, line in warnings.filters
    )


def _pattern(found: Any) -> Any:
    return found if found is None or type(found) is str else (found.pattern, int(found.flags))


def _set_filters(warnings: Any, rows: tuple[Any, ...]) -> None:
    """A filter whose category is not there is left out: what is not loaded warns of nothing."""
    if _filters(warnings) == rows:
        return
    import re

    made: list[tuple[Any, ...]] = []
    for action, message, home, name, module, line in rows:
        kind: Any = loaded(home)
        for part in name.split("."):
            kind = getattr(kind, part, None)
        if isinstance(kind, type):
            texts = [re.compile(*text) if type(text) is tuple else text for text in (message, module)]
            made.append((action, texts[0], kind, texts[1], line))
    warnings.filters[:] = made
    for name in ("_filters_mutated", "_filters_mutated_lock_held"):  # before 3.14, and from then on
        if hasattr(warnings, name):
            getattr(warnings, name)()
            break


def _errors(numpy: Any) -> tuple[Any, ...]:
    return tuple(numpy.geterr().items())


def _set_errors(numpy: Any, items: tuple[Any, ...]) -> None:
    numpy.seterr(**dict(items))


_ERRORS = (("divide", "warn"), ("over", "warn"), ("under", "ignore"), ("invalid", "warn"))


def _authkey(process: Any) -> bytes:
    return bytes(process.current_process().authkey)


def _set_authkey(process: Any, key: bytes) -> None:
    process.current_process().authkey = key


def _sklearn(config: Any) -> tuple[Any, ...]:
    return differing(config.get_config(), _SKLEARN)


def _set_sklearn(config: Any, items: tuple[Any, ...]) -> None:
    known = config.get_config()
    config.set_config(**{name: value for name, value in {**_SKLEARN, **dict(items)}.items() if name in known})


_SKLEARN: dict[str, object] = {
    "assume_finite": False,
    "working_memory": 1024,
    "print_changed_only": True,
    "display": "diagram",
    "pairwise_dist_chunk_size": 256,
    "enable_cython_pairwise_dist": True,
    "array_api_dispatch": False,
    "transform_output": "default",
    "enable_metadata_routing": False,
    "skip_parameter_validation": False,
}


def _attribute(name: str) -> tuple[Callable[[Any], object], Callable[[Any, Any], object]]:
    return lambda module: getattr(module, name), lambda module, value: setattr(module, name, value)


# An environment comes before the time zone that it names.
ROWS = (
    Row("the working directory", "os", _folder, _set_folder, early=True, looked=True),
    Row("os.environ", "os", lambda os: (*os.environ.items(),), _set_environment, early=True, looked=True),
    Row("sys.path", "sys", _path, _set_path, early=True, looked=True),
    Row("sys.argv", "sys", lambda sys: (*sys.argv,), _set_argv, early=True, looked=True),
    Row("the program's file", "__main__", _program, _set_program, (None, None), early=True),
    Row(
        "the recursion limit",
        "sys",
        lambda sys: sys.getrecursionlimit(),
        lambda sys, limit: sys.setrecursionlimit(limit),
        1000,
        early=True,
        looked=True,
    ),
    Row(
        "the limit of digits",
        "sys",
        lambda sys: sys.get_int_max_str_digits(),
        lambda sys, limit: sys.set_int_max_str_digits(limit),
        early=True,
        looked=True,
    ),
    Row("sys.dont_write_bytecode", "sys", *_attribute("dont_write_bytecode"), early=True),
    Row("the umask", "os", _umask, lambda os, mask: os.umask(mask), early=True),
    Row("the time zone", "time", _zone, _set_zone, early=True, looked=True),
    Row(
        "the locale",
        "_locale",
        lambda locale: locale.setlocale(locale.LC_ALL, None),
        lambda locale, value: locale.setlocale(locale.LC_ALL, value),
        early=True,
        looked=True,
    ),
    Row("the garbage collector", "gc", _collecting, _set_collecting, looked=True),
    Row("the decimal context", "decimal", _decimal, _set_decimal, _DECIMAL, varies=True, looked=True),
    Row("the warning filters", "warnings", _filters, _set_filters),
    Row(
        "the socket timeout",
        "socket",
        lambda socket: socket.getdefaulttimeout(),
        lambda socket, timeout: socket.setdefaulttimeout(timeout),
        None,
    ),
    Row(
        "the csv field size",
        "_csv",
        lambda csv: csv.field_size_limit(),
        lambda csv, limit: csv.field_size_limit(limit),
        131072,
        looked=True,
    ),
    Row("the folder for temporary files", "tempfile", *_attribute("tempdir"), None),
    Row("log levels", "logging", logging_state.levels, logging_state.set_levels, logging_state.LEVELS),
    Row("log files", "logging", logging_state.handlers, logging_state.set_handlers, ()),
    Row("multiprocessing's key", "multiprocessing.process", _authkey, _set_authkey),
    Row(
        "multiprocessing's start method",
        "multiprocessing",
        lambda module: module.get_start_method(allow_none=True),
        lambda module, method: module.set_start_method(method, force=True),
        None,
    ),
    Row("numpy's error state", "numpy", _errors, _set_errors, _ERRORS, varies=True, looked=True),
    Row("numpy's print options", "numpy", numpy_prints, set_numpy_prints, (), varies=True),
    Row("pandas' options", "pandas._config.config", pandas_options, set_pandas_options, ()),
    Row("scikit-learn's settings", "sklearn._config", _sklearn, _set_sklearn, ()),
    Row("Pillow's largest image", "PIL.Image", *_attribute("MAX_IMAGE_PIXELS"), 89478485),
    Row("Pillow's patience with files", "PIL.ImageFile", *_attribute("LOAD_TRUNCATED_IMAGES"), False),
)
STARTED_WITH = ("the working directory", "sys.path")  # what a fresh interpreter is started with
