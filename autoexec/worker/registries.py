"""What programs add to the standard library and set in it: names, formats, limits, hooks.

What may live here: rows of `process_state` for modules with registries or settings of their own. Those of
plain values are told to every worker. Those that hold functions or objects of the program's (`HELD`) a copy
has as they are; others are sent copies of them, as far as they can be sent.
"""

from __future__ import annotations

import sys
import threading
from types import FunctionType

from .. import role
from ..introspect import attributes, importable
from ..introspect.libraries import replaced
from . import logging_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Entries: TypeAlias = tuple[tuple[Any, ...], ...]

__all__ = ["HELD", "PLAIN", "held_parts", "is_sent", "signal_handlers"]

# Attributes that programs set: module, class or "", name, and what is there without that.
_SETTINGS: tuple[tuple[str, str, str, Any], ...] = (
    ("sys", "", "pycache_prefix", None),
    ("sys", "", "tracebacklimit", 1000),
    ("logging", "", "raiseExceptions", True),
    ("http.client", "", "_MAXHEADERS", 100),
    ("http.client", "", "_MAXLINE", 65536),
    ("http.client", "HTTPConnection", "debuglevel", 0),
    ("http.client", "HTTPSConnection", "debuglevel", 0),
    ("gettext", "", "_current_domain", "messages"),
    ("pickle", "", "DEFAULT_PROTOCOL", 5 if sys.version_info >= (3, 14) else 4),
)
_DIALECT = (
    *("delimiter", "quotechar", "doublequote", "escapechar"),
    *("lineterminator", "quoting", "skipinitialspace", "strict"),
)
_LEVELS = {50: "CRITICAL", 40: "ERROR", 30: "WARNING", 20: "INFO", 10: "DEBUG", 0: "NOTSET"}
_NAMESPACES = 7  # that come with the module
_NOW = 2  # dlopen's RTLD_NOW


# Plain values -----------------------------------------------------------------------------------------------


def _settings(module: str) -> tuple[Any, Any]:
    rows = [row[1:] for row in _SETTINGS if row[0] == module]

    def read(found: Any) -> tuple[Any, ...]:
        told = []
        for kind, name, usual in rows:
            value = getattr(getattr(found, kind) if kind else found, name, usual)
            if value != usual:
                told.append((kind, name, value))
        return tuple(told)

    def change(found: Any, told: tuple[Any, ...]) -> None:
        wanted = {(kind, name): value for kind, name, value in told}
        for kind, name, usual in rows:
            owner, value = getattr(found, kind) if kind else found, wanted.get((kind, name), usual)
            if getattr(owner, name, usual) != value:
                setattr(owner, name, value)

    return read, change


def _stack(thread: Any) -> int:
    size: int = thread.stack_size()  # which sets it to the usual one
    if size:
        thread.stack_size(size)
    return size


def _affinity(os: Any) -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0)))


def _set_affinity(os: Any, wanted: tuple[int, ...]) -> None:
    if _affinity(os) != wanted:
        os.sched_setaffinity(0, wanted)


def _niceness(os: Any) -> int:
    return int(os.getpriority(os.PRIO_PROCESS, 0))


def _set_niceness(os: Any, wanted: int) -> None:
    """Where it may: to be less nice than an initializer has made the worker takes a privilege."""
    if _niceness(os) != wanted:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, wanted)
        except PermissionError:
            return


def _limits(resource: Any) -> tuple[Any, ...]:
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return tuple((name, *resource.getrlimit(getattr(resource, name))) for name in names)


def _set_limits(resource: Any, limits: tuple[Any, ...]) -> None:
    for name, soft, hard in limits:
        number = getattr(resource, name)
        if resource.getrlimit(number) != (soft, hard):
            try:
                resource.setrlimit(number, (soft, hard))
            except (PermissionError, ValueError):  # a hard limit of the worker's is lower
                highest = resource.getrlimit(number)[1]
                resource.setrlimit(number, (soft, highest))


def _own_signals(signal: Any) -> set[int]:
    """Whose handlers a worker needs: how it is ended, and how it is asked what it does."""
    names = ("SIGINT", "SIGTERM", "SIGKILL", "SIGSTOP", "SIGIO", "SIGCHLD")
    return {int(getattr(signal, name)) for name in names if hasattr(signal, name)}


def _ignored(signal: Any) -> tuple[Any, ...]:
    """Signals that are ignored, or do what they do to any program, where Python sets that otherwise."""
    own, last = _own_signals(signal), getattr(signal, "SIGRTMIN", 32)
    python = {int(getattr(signal, name)) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)}
    found = []
    for number in range(1, int(last)):
        if number in own:
            continue
        handler = signal.getsignal(number)
        usual = signal.SIG_IGN if number in python else signal.SIG_DFL
        if handler in (signal.SIG_IGN, signal.SIG_DFL) and handler != usual:
            found.append((number, int(handler)))
    return tuple(found)


def _ignore(signal: Any, wanted: tuple[Any, ...]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # only there handlers are set
    before = dict(_ignored(signal))
    python = {int(getattr(signal, name)) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)}
    for number in before.keys() - dict(wanted).keys():
        signal.signal(number, signal.SIG_IGN if number in python else signal.SIG_DFL)
    for number, handler in wanted:
        if before.get(number) != handler:
            signal.signal(number, handler)


def signal_handlers(signal: Any) -> list[Any]:
    """Functions that the program has set, which only a copy of it has."""
    own, last = _own_signals(signal), int(getattr(signal, "SIGRTMIN", 32))
    found = (signal.getsignal(number) for number in range(1, last) if number not in own)
    return [handler for handler in found if callable(handler)]


def _blocked(signal: Any) -> tuple[int, ...]:
    found = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}
    return tuple(sorted(found - _own_signals(signal)))


def _block(signal: Any, wanted: tuple[int, ...]) -> None:
    before = _blocked(signal)
    if before != wanted:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, set(before) - set(wanted))
        signal.pthread_sigmask(signal.SIG_BLOCK, set(wanted) - set(before))


def _tracing(tracemalloc: Any) -> int:
    return int(tracemalloc.get_traceback_limit()) if tracemalloc.is_tracing() else 0


def _trace(tracemalloc: Any, frames: int) -> None:
    if _tracing(tracemalloc) != frames:
        tracemalloc.stop()
        if frames:
            tracemalloc.start(frames)


def _encodings(sys: Any) -> tuple[Any, ...]:
    streams = (sys.__stdout__, sys.__stderr__)
    return tuple((getattr(one, "encoding", None), getattr(one, "errors", None)) for one in streams)


def _set_encodings(sys: Any, wanted: tuple[Any, ...]) -> None:
    for stream, now, (encoding, errors) in zip(
        (sys.__stdout__, sys.__stderr__), _encodings(sys), wanted, strict=True
    ):
        if now != (encoding, errors) and encoding is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding=encoding, errors=errors)


def _new_contexts(decimal: Any) -> tuple[Any, ...]:
    own = decimal.DefaultContext
    return own.prec, own.rounding, own.Emin, own.Emax, own.capitals, own.clamp


def _set_new_contexts(decimal: Any, wanted: tuple[Any, ...]) -> None:
    own = decimal.DefaultContext
    own.prec, own.rounding, own.Emin, own.Emax, own.capitals, own.clamp = wanted


def _dialects(csv: Any) -> tuple[Any, ...]:
    made = ((name, csv.get_dialect(name)) for name in csv.list_dialects())
    found = ((name, *(getattr(one, key) for key in _DIALECT)) for name, one in made)
    return tuple(row for row in found if row not in _CSV)


def _set_dialects(csv: Any, wanted: tuple[Any, ...]) -> None:
    if _dialects(csv) == wanted:
        return
    for row in _dialects(csv):
        csv.unregister_dialect(row[0])
    for name, *values in (*_CSV, *wanted):
        csv.register_dialect(name, **dict(zip(_DIALECT, values, strict=True)))


_CSV = (
    ("excel", ",", '"', True, None, "\r\n", 0, False, False),
    ("excel-tab", "\t", '"', True, None, "\r\n", 0, False, False),
    ("unix", ",", '"', True, None, "\n", 1, False, False),
)


def _mime_types(mimetypes: Any) -> tuple[Any, ...]:
    """All of them: what a program has added is not told apart from what files of the system say."""
    if mimetypes._db is None:
        return ()
    return tuple(tuple(table.items()) for table in mimetypes._db.types_map)


def _set_mime_types(mimetypes: Any, wanted: tuple[Any, ...]) -> None:
    if not wanted or _mime_types(mimetypes) == wanted:
        return
    if mimetypes._db is None:
        mimetypes.init()
    for strict, items in enumerate(wanted):
        table, new = mimetypes._db.types_map[strict], dict(items)
        for extension in table.keys() - new.keys():
            kind = table.pop(extension)
            mimetypes._db.types_map_inv[strict].get(kind, [extension]).remove(extension)
        for extension, kind in items:
            if table.get(extension) != kind:
                mimetypes.add_type(kind, extension, bool(strict))


def _namespaces(etree: Any) -> tuple[Any, ...]:
    return tuple(etree._namespace_map.items())[_NAMESPACES:]


def _set_namespaces(etree: Any, wanted: tuple[Any, ...]) -> None:
    for uri, _ in _namespaces(etree):
        del etree._namespace_map[uri]
    etree._namespace_map.update(wanted)


def _level_names(logging: Any) -> tuple[Any, ...]:
    return tuple(item for item in logging._levelToName.items() if _LEVELS.get(item[0]) != item[1])


def _set_level_names(logging: Any, wanted: tuple[Any, ...]) -> None:
    for level, name in _level_names(logging):
        del logging._levelToName[level]
        logging._nameToLevel.pop(name, None)
    for level, name in {**_LEVELS, **dict(wanted)}.items():
        if logging._levelToName.get(level) != name:
            logging.addLevelName(level, name)


def _buffers(numpy: Any) -> int:
    return int(numpy.getbufsize())


# Name, module, how it is read, how it is set, what is usual, and whether it has to stand early or varies.
PLAIN: tuple[tuple[Any, ...], ...] = (
    ("the size of threads' stacks", "_thread", _stack, lambda thread, size: thread.stack_size(size), 0),
    (
        "the switch interval",
        "sys",
        lambda sys: role.switch_interval or sys.getswitchinterval(),
        lambda sys, seconds: sys.setswitchinterval(seconds),
        0.005,
    ),
    (
        "how libraries are loaded",
        "sys",
        lambda sys: sys.getdlopenflags(),
        lambda sys, flags: sys.setdlopenflags(flags),
        _NOW,
        "early",
    ),
    ("the encoding of output", "sys", _encodings, _set_encodings, ...),
    ("settings of sys", "sys", *_settings("sys"), ()),
    ("the processors", "os", _affinity, _set_affinity, ...),
    ("niceness", "os", _niceness, _set_niceness, ...),
    ("limits of the process", "resource", _limits, _set_limits, ...),
    ("signals that are ignored", "_signal", _ignored, _ignore, ()),
    ("signals that are blocked", "_signal", _blocked, _block, ...),
    (
        "the collector's debugging",
        "gc",
        lambda gc: gc.get_debug(),
        lambda gc, flags: gc.set_debug(flags),
        0,
    ),
    (
        "faulthandler",
        "faulthandler",
        lambda module: module.is_enabled(),
        lambda module, on: module.enable() if on else module.disable(),
        False,
    ),
    ("tracemalloc", "tracemalloc", _tracing, _trace, 0),
    (
        "the decimal context of threads",
        "decimal",
        _new_contexts,
        _set_new_contexts,
        (28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0),
    ),
    ("settings of logging", "logging", *_settings("logging"), ()),
    ("names of log levels", "logging", _level_names, _set_level_names, ()),
    ("csv dialects", "csv", _dialects, _set_dialects, ()),
    ("mime types", "mimetypes", _mime_types, _set_mime_types, ()),
    ("namespaces of xml", "xml.etree.ElementTree", _namespaces, _set_namespaces, ()),
    ("settings of http.client", "http.client", *_settings("http.client"), ()),
    ("settings of gettext", "gettext", *_settings("gettext"), ()),
    ("settings of pickle", "pickle", *_settings("pickle"), ()),
    (
        "the first day of weeks",
        "calendar",
        lambda calendar: int(calendar.c.firstweekday),
        lambda calendar, day: calendar.setfirstweekday(day),
        0,
    ),
    (
        "numpy's buffers",
        "numpy",
        _buffers,
        lambda numpy, size: numpy.setbufsize(size),
        8192,
        "varies",
    ),
)


# Functions and objects of the program's ---------------------------------------------------------------------

# What a program may put in the place of a library's own, and the name of that, or None.
_HOOKS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "sys": tuple(
        (name, f"__{name}__") for name in ("excepthook", "displayhook", "breakpointhook", "unraisablehook")
    ),
    "threading": (("excepthook", "__excepthook__"),),
    "warnings": (("showwarning", "_showwarning_orig"), ("formatwarning", "_formatwarning_orig")),
    "logging": (
        ("_logRecordFactory", "LogRecord"),
        ("_loggerClass", "Logger"),
        ("lastResort", "_defaultLastResort"),
    ),
    "ssl": (("_create_default_https_context", "create_default_context"),),
    "urllib.request": (("_opener", None),),
}
_MAIN_LOGGER = "root"


def _hooks(name: str) -> tuple[Any, Any]:
    rows = _HOOKS[name]

    def usual(module: Any, other: str | None) -> Any:
        return None if other is None else getattr(module, other, None)

    def read(module: Any) -> Entries:
        found = []
        for hook, other in rows:
            value = getattr(module, hook, None)
            if value is not usual(module, other):
                found.append((hook, value))
        return tuple(found)

    def change(module: Any, entries: Entries) -> None:
        wanted: dict[str, Any] = dict(entries)
        before: dict[str, Any] = dict(read(module))
        for hook, other in rows:
            value = wanted.get(hook, usual(module, other))
            if hook in wanted or hook in before:
                setattr(module, hook, value)

    return read, change


def _main_part(value: Any) -> Any:
    """What stands for an entry: of a function with its settings the function."""
    return value[0] if type(value) is tuple and value else value


def _registry(*names: str) -> tuple[Any, Any]:
    """Dicts of a module: entries that are the program's, by the name of the dict."""

    def read(module: Any) -> Entries:
        found = []
        for name in names:
            for key, value in list(getattr(module, name, {}).items()):
                if replaced(_main_part(value)):
                    found.append((name, key, value))
        return tuple(found)

    def change(module: Any, entries: Entries) -> None:
        for name, key, _ in read(module):
            if (name, key) not in [entry[:2] for entry in entries]:
                getattr(module, name).pop(key, None)
        for name, key, value in entries:
            getattr(module, name)[key] = value

    return read, change


def _finders(sys: Any) -> Entries:
    found = []
    for name in ("meta_path", "path_hooks"):
        for at, finder in enumerate(getattr(sys, name)):
            if replaced(finder) or replaced(type(finder)):
                found.append((name, at, finder))
    return tuple(found)


def _set_finders(sys: Any, entries: Entries) -> None:
    for name, _, finder in _finders(sys):
        getattr(sys, name).remove(finder)
    for name, at, finder in entries:
        getattr(sys, name).insert(at, finder)
    if entries:
        sys.path_importer_cache.clear()


def _filters(logging: Any) -> Entries:
    found = []
    for logger in logging_state.loggers(logging):
        found += [(logger.name, one) for one in logger.filters]
    return tuple(found)


def _set_filters(logging: Any, entries: Entries) -> None:
    for logger in logging_state.loggers(logging):
        logger.filters.clear()
    for name, one in entries:
        _logger(logging, name).addFilter(one)


def _handlers(logging: Any) -> Entries:
    """Those that are more than a file or a stream: of a class of the program's, or with parts of it."""
    found = []
    for logger in logging_state.loggers(logging):
        for handler in logger.handlers:
            kind = type(handler)
            known = kind.__module__ in ("logging", "logging.handlers") or replaced(kind)
            if known and kind is not logging.NullHandler and not logging_state.words(logging, handler):
                found.append((logger.name, _Handler(handler)))
    return tuple(found)


def _set_handlers(logging: Any, entries: Entries) -> None:
    for logger in logging_state.loggers(logging):
        for handler in [*logger.handlers]:
            if attributes(handler).get("_autoexec_copy"):
                logger.removeHandler(handler)
    for name, one in entries:
        _logger(logging, name).addHandler(one)


def _logger(logging: Any, name: str) -> Any:
    return logging.root if name == _MAIN_LOGGER else logging.getLogger(name)


def is_sent(entry: tuple[Any, ...]) -> bool:
    """Whether others are sent it: what is the program's own, or is found by its name.

    What a library has put there, such as the hooks of a notebook, serves the process that it was made for.
    """
    value = _main_part(entry[-1])
    if value is None or type(value) is _Handler or replaced(value) or replaced(type(value)):
        return True
    return importable(value) or type(value).__module__ == "urllib.request"


def held_parts(entry: tuple[Any, ...]) -> list[Any]:
    """What an entry holds: an object, what that consists of, and the members of its lists."""
    last = entry[-1]
    obj = last.handler if type(last) is _Handler else _main_part(last)
    if isinstance(obj, (type, FunctionType)):
        return [obj]
    held = list(attributes(obj).values())
    return [obj, *held, *(one for value in held if type(value) in (list, tuple) for one in value)]


class _Handler:
    """A log handler on its way: all but its lock, and of a standard stream the name."""

    __slots__ = ("handler",)

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def __eq__(self, other: object) -> bool:
        return type(other) is _Handler and other.handler is self.handler

    def __hash__(self) -> int:
        return id(self.handler)

    def __reduce__(self) -> tuple[Any, ...]:
        held = {name: value for name, value in attributes(self.handler).items() if name != "lock"}
        stream = held.get("stream")
        names = [f"__{name}__" for name in ("stdout", "stderr")]
        name = next((name for name in names if stream is not None and stream is getattr(sys, name)), "")
        if name or "baseFilename" in held:  # a file is opened again when the first record comes
            held["stream"] = None
        return _arrived, (type(self.handler), held, name)


def _arrived(kind: type, held: dict[str, Any], stream: str) -> Any:
    handler: Any = object.__new__(kind)
    vars(handler).update(held, _autoexec_copy=True)
    if stream:
        handler.stream = getattr(sys, stream)
    handler.createLock()
    return handler


def _policy(events: Any) -> Entries:
    """Its class: an instance belongs to one process."""
    kind = type(getattr(events, "_event_loop_policy", None))
    return () if kind.__module__ in ("builtins", "asyncio.unix_events") else (("", kind),)


def _set_policy(events: Any, entries: Entries) -> None:
    if _policy(events) != entries:
        events._event_loop_policy = entries[0][1]() if entries else None


def _call_on_errors(numpy: Any) -> Entries:
    found = numpy.geterrcall()
    return () if found is None else (("", found),)


def _set_call_on_errors(numpy: Any, entries: Entries) -> None:
    numpy.seterrcall(entries[0][1] if entries else None)


# As above; a copy has them, and any other worker is told.
HELD: tuple[tuple[Any, ...], ...] = (
    ("what finds modules", "sys", _finders, _set_finders, (), "early"),
    *((f"hooks of {name}", name, *_hooks(name), ()) for name in _HOOKS),
    ("the policy of event loops", "asyncio.events", _policy, _set_policy, ()),
    ("reducers of copyreg", "copyreg", *_registry("dispatch_table"), ()),
    ("adapters of sqlite3", "sqlite3", *_registry("adapters", "converters"), ()),
    ("archive formats", "shutil", *_registry("_ARCHIVE_FORMATS", "_UNPACK_FORMATS"), ()),
    ("log filters", "logging", _filters, _set_filters, ()),
    ("log handlers", "logging", _handlers, _set_handlers, ()),
    ("numpy's call on errors", "numpy", _call_on_errors, _set_call_on_errors, (), "varies"),
)
