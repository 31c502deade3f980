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

from ... import python_program
from ...errors import AutoexecError
from ...own_time import time
from . import idle, interpreter, messages, native_threads, tracker
from .endpoints import Endpoints
from .handles import Held
from .identity import birth
from .payload import pack
from .status_page import StatusPage
from .streams import copies
from .surroundings import flush
from .worker import Worker, importing_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...worker.invoke import CallSpec
    from ..opening import WorkerConfig

__all__ = ["check_fresh", "disturbance", "fork_worker", "may_fork", "spawn_worker"]

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
# Where the caller imports what, and where it found us, if that cannot be told from there any more.
FRESH = """
import sys
sys.path[:] = {path!a}
try:
    from autoexec.backends.processes.worker_main import serve_descriptors
except ImportError:
    sys.path.append({root!a})
    from autoexec.backends.processes.worker_main import serve_descriptors
    del sys.path[-1]
{serve}
"""
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
    unsafe = native_threads.forbidden(maps)
    if unsafe:
        return f"{unsafe} runs threads that do not survive a fork"
    most = 1 + helpers + native_threads.surviving(maps)
    until = time.monotonic() + ENDING_S
    while _threads() > most or len(native_threads.strangers()) > helpers:
        if time.monotonic() > until:
            strange = native_threads.strangers()
            return (
                f"native threads run, such as {strange[0]!r}"
                if len(strange) > helpers
                else "native threads run"
            )
        time.sleep(ENDING_S / 20)
    return ""


def _threads() -> int:
    return len(os.listdir("/proc/self/task")) - idle.helpers()


def fork_worker(
    config: WorkerConfig,
    functions: dict[int, CallSpec],
    inherited: Sequence[Any] | None,
    held: Held | None = None,
) -> Worker:
    """Fork a worker that knows `functions` by number and, if given, the input.

    Args:
        config: what it is started with.
        functions: what it knows.
        inherited: the input, or None.
        held: what this process has open, if that is known already.

    Raises:
        OSError: if no process can be started.
    """
    import_module(".worker_main", __package__)  # once, for all of them to share
    flush()  # or both processes would write what is buffered
    held = held or Held()
    worker = None
    # Ctrl-C must not reach both, nor come before what is opened has an owner.
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        worker = _forked(config, functions, inherited, held)
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        except BaseException:  # it came meanwhile
            if worker is not None:
                worker.end(kill=True)
                for seat in worker.seats:
                    seat.leave()
            raise
    return worker


def _forked(
    config: WorkerConfig, functions: dict[int, CallSpec], inherited: Sequence[Any] | None, held: Held
) -> Worker:
    ends, about = Endpoints(config), birth()
    try:
        with warnings.catch_warnings():
            # CPython 3.12+ warns of any thread, also of OpenBLAS's, which may_fork has looked at.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:  # with the filters that the caller has
            _child(ends, config, functions, inherited, held, about)
    except BaseException:
        ends.give_up()
        raise
    ends.keep()
    return Worker(pid, ends, config, forked=True)


def _child(
    ends: Endpoints,
    config: WorkerConfig,
    functions: dict[int, CallSpec],
    inherited: Sequence[Any] | None,
    held: Held,
    about: dict[str, Any],
) -> None:
    status = 1
    try:
        from ...worker.generators import give_entropy, own_streams
        from .identity import take
        from .left_behind import disown
        from .server import WorkerState
        from .worker_main import become_worker, serve

        gc.freeze()  # a collection would write to what all share with the caller, and so copy it
        ends.move()
        become_worker(ends.lifeline, config.cores, config.threads)
        take(about, ends.lifeline, forked=True)
        disown()
        own_streams()
        for spec in functions.values():
            give_entropy(spec.call)
        state = WorkerState(functions, inherited, held.leave(ends.descriptors))
        serve([(channel, StatusPage(page)) for channel, page in ends.theirs], state, stacks=ends.theirs[0][1])
        status = 0
    finally:
        os._exit(status)


def check_fresh() -> None:
    """Refuse where no fresh interpreter can be started, now or later.

    Raises:
        AutoexecError: saying why.
    """
    if words := python_program.lacking():
        raise AutoexecError(
            f"no worker process can be started: {words}. One can be forked on Linux, in the main thread "
            "while it is alone; else use backend='threads', or name a Python: multiprocessing.set_executable"
        )


def spawn_worker(config: WorkerConfig) -> Worker:
    """Start a fresh interpreter as a worker; it does not import the caller's `__main__`.

    Raises:
        AutoexecError: if there is none to be started here.
        OSError: if none can be started now.
    """
    check_fresh()
    main = sys.modules.get("__mp_main__")
    if main is not None:  # a child that multiprocessing spawned: its main module has this name, too
        import cloudpickle

        cloudpickle.register_pickle_by_value(main)
    ends = Endpoints(config)
    seats = [(channel.fileno(), page) for channel, page in ends.theirs]
    serve = (
        f"serve_descriptors({seats}, {ends.lifeline}, {config.writable!r}, {config.cores}, {config.threads}, "
        f"{config.tracker})"
    )
    code = FRESH.format(path=importing_path(), root=ROOT, serve=serve)
    inherited = [*ends.descriptors, config.tracker] if config.tracker != tracker.NONE else ends.descriptors
    try:
        ends.ours[0][0].send(messages.BIRTH, pack(birth()))  # not as an argument: anybody can read those
        pid = _start(code, inherited, config)
    except BaseException:
        ends.give_up()
        raise
    ends.keep()
    return Worker(pid, ends, config, forked=False)


def _start(code: str, descriptors: Sequence[int], config: WorkerConfig) -> int:
    """Start an interpreter that inherits these descriptors; its process."""
    from ..core_budget import environment

    variables = {**interpreter.variables(), **environment(config.cores, config.threads)}
    # `subprocess` would take 15 to 20 ms to import. A descriptor put onto itself is inherited.
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in descriptors]
    # Ctrl-C is held back until the worker ignores it: it would tell of it in the middle of its imports.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ()) | {signal.SIGINT}
    python = python_program.path()
    arguments = [python, *interpreter.arguments(), "-c", code]
    with copies() as streams:
        actions += [(os.POSIX_SPAWN_DUP2, copy, stream) for stream, copy in streams.items()]
        return os.posix_spawn(python, arguments, variables, file_actions=actions, setsigmask=held)
