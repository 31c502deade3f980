"""What pools cost on this machine: measured, kept per user, corrected by every run.

The file is plain text: a heading with the format's version, then one line per host key (host, usable cores,
Python and kernel), so that a home folder shared by a cluster, or two Pythons side by side, do not push each
other's figures out. Nothing that can happen to a cache (missing, garbled, read-only, disk full) ever raises:
the figures then live in memory only.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import sys
import time
import zlib
from collections.abc import Callable

from autoexec import python_program, role
from autoexec.frozen import replace
from autoexec.measure import machine
from autoexec.records import Calibration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

__all__ = ["VERSION", "cache_file", "flush", "forget", "host_key", "learn", "load", "measure"]

VERSION = 1
"""Of the file's format and of what the figures mean; another version's file is not read."""

_HEADING = f"autoexec calibration {VERSION}"
_DEFAULTS: dict[str, float] = {
    name: value
    for name in Calibration.__match_args__
    if isinstance(value := getattr(Calibration(), name), float)
}
_MOST_HOSTS = 64
_MOST_BYTES = 64 << 10
# A figure that nobody has seen yet moves half the way to what is seen, a known one a fifth: one slow start on
# a busy machine must not frighten later plans away from processes.
_FIRST_WEIGHT, _WEIGHT = 0.5, 0.2
# Outside of this span around the default it is not the machine that was measured, but an accident.
_LEAST, _MOST = 0.1, 20.0


class _Kept:
    """The figures of this process; the value is replaced as a whole, so readers need no lock."""

    known: Calibration | None = None
    unsaved: bool = False
    owner: int = 0


def load() -> Calibration:
    """The figures for this machine: what was kept, else the defaults. Reads the file once per process."""
    if _Kept.known is None:
        _Kept.known = _stored()
    return _Kept.known


def learn(**seconds: float) -> None:
    """Move the named figures towards what a run has just seen; kept in memory, saved when Python exits.

    Args:
        seconds: fields of `Calibration` and the seconds that were seen. What is not a finite,
            non-negative number is ignored.

    Raises:
        TypeError: for a name that is not a figure of `Calibration`.
    """
    if unknown := seconds.keys() - _DEFAULTS.keys():
        raise TypeError(f"not a figure of Calibration: {', '.join(sorted(unknown))}")
    known = load()
    seen = {name: value for name, value in seconds.items() if math.isfinite(value) and value >= 0}
    if seen:
        moved = {name: _moved(name, getattr(known, name), value) for name, value in seen.items()}
        _keep(replace(known, source="learned from runs on this machine", **moved))


def flush() -> None:
    """Write what was learned since the last time; does nothing in a worker or a forked child."""
    if not _Kept.unsaved or _Kept.known is None or role.in_worker or _Kept.owner != os.getpid():
        return
    _Kept.unsaved = False
    with contextlib.suppress(OSError, ValueError):
        _save(_Kept.known)


def forget() -> None:
    """Drop the figures in memory, unsaved ones too; the next `load` reads the file again."""
    _Kept.known, _Kept.unsaved = None, False


def measure() -> Calibration:
    """Try it all out now, in less than a second, and save the figures.

    Threads, a fork where that is safe, and a fresh interpreter on a pipe; what could not be tried
    keeps its present figure.
    """
    # The fork goes first, while there are no other threads.
    seen = _best(_try_fork, 2) | _best(_try_threads, 10) | _best(_try_spawn, 2)
    clamped = {name: _clamped(name, value) for name, value in seen.items()}
    _keep(replace(load(), source="measured on this machine", **clamped))
    flush()
    return load()


def cache_file() -> str | None:
    """Where the figures are kept, or None when this user has no place for them.

    `AUTOEXEC_CACHE_DIR` overrides the platform's folder for caches.
    """
    folder = os.environ.get("AUTOEXEC_CACHE_DIR") or _user_cache()
    return os.path.join(folder, "calibration.txt") if os.path.isabs(folder) else None


def host_key() -> str:
    """What the figures hold for: host, usable cores, Python and a hash of the kernel's release."""
    node, release = _host()
    python = f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}"
    kernel = zlib.crc32(release.encode("utf-8", "replace"))
    return "/".join(["-".join(node.split()), str(machine.usable_cores()), python, f"{kernel:08x}"])


def _user_cache() -> str:
    # platformdirs takes about ten milliseconds to import, which the first call of every script would pay; its
    # rule for Linux is these two lines (a test holds them to it).
    if sys.platform == "linux":
        folder = _xdg_cache() or os.path.join(os.path.expanduser("~"), ".cache", "autoexec")
    else:
        import platformdirs

        folder = str(platformdirs.user_cache_path("autoexec", appauthor=False))
    return folder


def _xdg_cache() -> str:
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    return os.path.join(base, "autoexec") if os.path.isabs(base) else ""


def _host() -> tuple[str, str]:
    if sys.platform != "win32":
        system = os.uname()
        names = system.nodename, system.release
    else:
        import platform

        names = platform.node(), platform.version()
    return names


def _clamped(name: str, value: float) -> float:
    default = _DEFAULTS[name]
    return min(max(value, default * _LEAST), default * _MOST)


def _moved(name: str, old: float, seen: float) -> float:
    weight = _FIRST_WEIGHT if old == _DEFAULTS[name] else _WEIGHT
    return _clamped(name, old + weight * (_clamped(name, seen) - old))


def _keep(figures: Calibration) -> None:
    if _Kept.owner != os.getpid():  # a forked child inherits the flag and the exit hook, but owns neither
        _Kept.owner = os.getpid()
        with contextlib.suppress(RuntimeError):  # Python is exiting already
            atexit.unregister(flush)
            atexit.register(flush)
    _Kept.known, _Kept.unsaved = figures, True


def _stored() -> Calibration:
    path = cache_file()
    line = _lines(path).get(host_key()) if path else None
    return Calibration() if line is None else _parsed(line)


def _lines(path: str) -> dict[str, str]:
    """The figures of every host in the file; nothing if it is not a file of this version."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return {}
    heading, *lines = text.split("\n")
    if heading != _HEADING:
        return {}
    return {key: rest for key, tab, rest in (line.partition("\t") for line in lines) if tab and rest}


def _parsed(line: str) -> Calibration:
    r"""Figures from one line; what is missing or makes no sense stays at its default.

    >>> _parsed("measured here\tfork_start=0.004\tbyte=lots").fork_start
    0.004
    """
    source, *entries = line.split("\t")
    found: dict[str, float] = {}
    for name, _, text in (entry.partition("=") for entry in entries):
        with contextlib.suppress(ValueError):
            if name in _DEFAULTS and math.isfinite(value := float(text)):
                found[name] = _clamped(name, value)
    return replace(Calibration(), source=source, **found) if found else Calibration()


def _line(figures: Calibration) -> str:
    return "\t".join([figures.source, *(f"{name}={getattr(figures, name):.6g}" for name in _DEFAULTS)])


def _save(figures: Calibration) -> None:
    path = cache_file()
    if path is None:
        return
    hosts, key = _lines(path), host_key()
    hosts.pop(key, None)
    kept = [*hosts.items()][-(_MOST_HOSTS - 1) :]
    text = "\n".join([_HEADING, *(f"{host}\t{rest}" for host, rest in kept), f"{key}\t{_line(figures)}", ""])
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    _replace_file(path, text.encode("utf-8", "replace"))


def _replace_file(path: str, content: bytes) -> None:
    """Write to a neighbour first, so that no reader ever sees half a file."""
    draft = f"{path}.{os.getpid()}"
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


# The trials of `measure`.

_FORKS, _THREADS, _TASKS, _TRIPS, _BYTES = 2, 4, 400, 3, 4 << 20

# What a spawned worker of the standard pool imports, then an echo that tells the size of what it got.
_WORKER = """
import pickle, sys
from concurrent.futures import process
from multiprocessing import spawn
read, write = sys.stdin.buffer, sys.stdout.buffer
while True:
    pickle.dump(len(pickle.load(read)), write)
    write.flush()
"""


def _best(trial: Callable[[], dict[str, float]], rounds: int) -> dict[str, float]:
    """The least of each figure: what else the machine does can only make a trial slower."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        with contextlib.suppress(Exception):  # no threads left, a broken pool, a site that prints on the pipe
            best |= {name: min(value, best.get(name, value)) for name, value in trial().items()}
    return best


def _try_fork() -> dict[str, float]:
    """The standard pool with forked workers; only where no thread could lose its locks by it."""
    here = machine.look()
    if not here.can_fork or here.daemon or _threads() != 1:
        return {}
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    begun = time.perf_counter()
    with ProcessPoolExecutor(_FORKS, multiprocessing.get_context("fork")) as pool:
        list(pool.map(abs, range(_FORKS)))
        started = time.perf_counter()
        list(pool.map(abs, range(_TASKS)))
        done = time.perf_counter()
    return {"fork_start": (started - begun) / _FORKS, "process_task": (done - started) / _TASKS}


def _threads() -> int:
    """Threads of this process, native ones too; any number above one when it cannot be told."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 2


def _try_threads() -> dict[str, float]:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    begun = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        # As long as nobody is done, every submission starts a thread.
        go = Event()
        for _ in range(_THREADS):
            pool.submit(go.wait, 10)
        started = time.perf_counter()
        go.set()
        list(pool.map(abs, range(_TASKS)))
        done = time.perf_counter()
    return {"thread_start": (started - begun) / _THREADS, "thread_task": (done - started) / _TASKS}


def _try_spawn() -> dict[str, float]:
    """A fresh interpreter on a pipe: seconds until its first answer, and per byte."""
    python = python_program.path()
    if not python:
        return {}
    import subprocess
    import threading

    begun = time.perf_counter()
    command = [python, "-c", _WORKER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as worker:
        alarm = threading.Timer(10, worker.kill)  # a worker that hangs must not hang the doctor
        alarm.start()
        try:
            _trip(worker, b"")
            start = time.perf_counter() - begun
            load = bytes(_BYTES)
            byte = sorted(_trip(worker, load) for _ in range(_TRIPS))[_TRIPS // 2] / _BYTES
        finally:
            alarm.cancel()
            worker.kill()
            alarm.join()
    return {"spawn_start": start, "byte": byte}


def _trip(worker: subprocess.Popen[bytes], payload: bytes) -> float:
    """Seconds until the worker has told how much it got."""
    import pickle

    assert worker.stdin
    assert worker.stdout
    begun = time.perf_counter()
    pickle.dump(payload, worker.stdin, protocol=pickle.HIGHEST_PROTOCOL)
    worker.stdin.flush()
    pickle.load(worker.stdout)
    return time.perf_counter() - begun
