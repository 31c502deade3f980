"""Starting and ending worker processes: by fork where that is safe, else as a fresh interpreter.

A forked worker has everything the caller has, within milliseconds. Forking is safe only while no other
thread runs, since a lock that such a thread holds would stay locked in the child for ever; the engine
asks `may_fork` and otherwise starts a fresh interpreter, which takes some 40 ms plus its imports.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib import import_module

from ...introspect import loaded
from ...own_time import time
from . import idle
from .endpoints import Endpoints
from .status_page import StatusPage
from .worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...worker.invoke import CallSpec
    from ..opening import WorkerConfig

__all__ = ["disturbance", "fork_worker", "may_fork", "spawn_worker"]

# Native libraries whose idle threads do not survive a fork, or that forbid it.
FORK_UNSAFE = (
    b"libgomp",
    b"libiomp",
    b"libomp",
    b"libmkl",
    b"libcuda",
    b"libtbb",
    b"libtorch",
    b"libgrpc",
)
ENDING_S = 0.002  # seconds that a thread which was joined may still be there


def may_fork(helpers: int = 0) -> str:
    """Why a fork is not safe right now, or "" when it is.

    Args:
        helpers: threads that are there now and will have ended before the fork.
    """
    if threading.current_thread() is not threading.main_thread():
        return "this is not the main thread"
    return disturbance(helpers)


def disturbance(helpers: int = 0) -> str:
    """What would make a fork in the main thread unsafe, or "" if nothing would; asked in any thread.

    Args:
        helpers: threads that are there now and will have ended before the fork.
    """
    if not sys.platform.startswith("linux"):
        return "only Linux forks safely"
    if threading.active_count() > 1 + helpers:
        return "other Python threads run"
    try:
        return _native_disturbance(helpers)
    except OSError as error:  # no descriptors, or no /proc
        return f"nobody can tell what else runs: {error.strerror}"


def _native_disturbance(helpers: int) -> str:
    if _threads() <= 1 + helpers:
        return ""
    with open("/proc/self/maps", "rb") as file:
        maps = file.read()
    unsafe = next((name for name in FORK_UNSAFE if name in maps), b"")
    if unsafe:
        return f"{unsafe.decode()} runs threads that do not survive a fork"
    # OpenBLAS stops its threads before a fork and starts them again after; others may not.
    if b"openblas" in maps:
        return ""
    until = time.monotonic() + ENDING_S
    while _threads() > 1 + helpers:
        if time.monotonic() > until:
            return "native threads run"
        time.sleep(ENDING_S / 20)
    return ""


def _threads() -> int:
    return len(os.listdir("/proc/self/task")) - idle.helpers()


def fork_worker(
    config: WorkerConfig, functions: dict[int, CallSpec], inherited: Sequence[Any] | None
) -> Worker:
    """Fork a worker that knows `functions` by number and, if given, the input.

    Raises:
        OSError: if no process can be started.
    """
    import_module(".worker_main", __package__)  # once, for all of them to share
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # or both processes would write what is buffered
    worker = None
    # Ctrl-C must not reach both, nor come before what is opened has an owner.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        worker = _forked(config, functions, inherited)
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        except BaseException:  # it came meanwhile
            if worker is not None:
                worker.end(kill=True)
                for seat in worker.seats:
                    seat.leave()
            raise
    return worker


def _forked(config: WorkerConfig, functions: dict[int, CallSpec], inherited: Sequence[Any] | None) -> Worker:
    ends = Endpoints(config)
    try:
        with warnings.catch_warnings():
            # CPython 3.12+ warns of any thread, also of OpenBLAS's, which may_fork has looked at.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
            if pid == 0:
                _child(ends, config, functions, inherited)
    except BaseException:
        ends.give_up()
        raise
    ends.keep()
    return Worker(pid, ends, config, forked=True)


def _child(
    ends: Endpoints, config: WorkerConfig, functions: dict[int, CallSpec], inherited: Sequence[Any] | None
) -> None:
    status = 1
    try:
        from .left_behind import disown
        from .server import WorkerState
        from .surroundings import connections
        from .worker_main import become_worker, serve

        gc.freeze()  # a collection would write to what all share with the caller, and so copy it
        ends.move()
        become_worker(ends.lifeline, config.cores, config.threads)
        disown()
        if (random := loaded("numpy.random")) is not None:
            random.seed()  # as the random module does by itself after a fork
        state = WorkerState(functions, inherited, connections(ends.descriptors))
        serve([(channel, StatusPage(page)) for channel, page in ends.theirs], state, stacks=ends.theirs[0][1])
        status = 0
    finally:
        os._exit(status)


def spawn_worker(config: WorkerConfig) -> Worker:
    """Start a fresh interpreter as a worker; it does not import the caller's `__main__`.

    Raises:
        OSError: if no interpreter can be started.
    """
    main = sys.modules.get("__mp_main__")
    if main is not None:  # a child that multiprocessing spawned: its main module has this name, too
        import cloudpickle

        cloudpickle.register_pickle_by_value(main)
    ends = Endpoints(config)
    seats = [(channel.fileno(), page) for channel, page in ends.theirs]
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        "from autoexec.backends.processes.worker_main import serve_descriptors; "
        f"serve_descriptors({seats}, {ends.lifeline}, {config.writable}, {config.cores}, {config.threads})"
    )
    try:
        pid = _start(code, ends.descriptors, config)
    except BaseException:
        ends.give_up()
        raise
    ends.keep()
    return Worker(pid, ends, config, forked=False)


def _start(code: str, descriptors: Sequence[int], config: WorkerConfig) -> int:
    """Start an interpreter that inherits these descriptors; its process."""
    from ..core_budget import environment

    flags = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    variables = {**os.environ, **environment(config.cores, config.threads)}
    # `subprocess` would take 15 to 20 ms to import. A descriptor put onto itself is inherited.
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in descriptors]
    # Ctrl-C is held back until the worker ignores it: it would tell of it in the middle of its imports.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ()) | {signal.SIGINT}
    arguments = [sys.executable, *flags, "-c", code]
    return os.posix_spawn(sys.executable, arguments, variables, file_actions=actions, setsigmask=held)
