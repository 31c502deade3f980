"""Starting and ending worker processes: by fork where that is safe, else as a fresh interpreter.

A forked worker has everything the caller has, within milliseconds. Forking is safe only while no other
thread runs, since a lock that such a thread holds would stay locked in the child for ever; the engine
asks `may_fork` and otherwise starts a fresh interpreter, which takes some 60 ms plus its imports.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence

from .native import VARIABLES
from .wire import Pipe, open_pipes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Worker", "fork_worker", "may_fork", "spawn_worker"]

# Native libraries whose idle threads do not survive a fork, or that forbid it.
FORK_UNSAFE = (b"libgomp", b"libiomp", b"libomp", b"libmkl", b"libcuda", b"libtbb", b"libtorch", b"libgrpc")

_callers_ends: set[Pipe] = set()
_lock = threading.Lock()


class Worker:
    """A worker process and the caller's end of its pipes."""

    __slots__ = ("_exit", "_lock", "_process", "pid", "pipe")

    def __init__(self, pid: int, pipe: Pipe, process: Any = None) -> None:
        self.pid, self.pipe = pid, pipe
        self._process = process
        self._exit: int | None = None
        self._lock = threading.Lock()

    def close(self, *, kill: bool = False, patience_s: float = 5.0) -> int | None:
        """End the worker and return its exit code (negative: the signal that ended it).

        Args:
            kill: do not let it finish its task.
            patience_s: seconds to wait before it is killed anyway.
        """
        with self._lock:
            if self._exit is None:
                with _lock:
                    _callers_ends.discard(self.pipe)
                self.pipe.close()
                if kill:
                    self._signal(signal.SIGKILL)
                self._exit = self._reap(patience_s)
            return self._exit

    def kill(self) -> None:
        """End the worker at once; whoever waits for its answer sees the end of the pipe."""
        with self._lock:
            if self._exit is None:
                self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def _reap(self, patience_s: float) -> int:
        until = time.monotonic() + patience_s
        pause = 0.0005
        while True:
            code = self._poll()
            if code is not None:
                return code
            if time.monotonic() > until:
                self._signal(signal.SIGKILL)
                until += 60.0
            time.sleep(pause)
            pause = min(0.02, 2 * pause)

    def _poll(self) -> int | None:
        if self._process is not None:
            code: int | None = self._process.poll()
            return code
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else waited for it
            return -1
        return os.waitstatus_to_exitcode(status) if pid else None


def may_fork(helpers: int = 0) -> str:
    """Why a fork is not safe right now, or "" when it is.

    Args:
        helpers: threads that are there now and will have ended before the fork.
    """
    if not sys.platform.startswith("linux"):
        return "only Linux forks safely"
    if threading.active_count() > 1 + helpers or threading.current_thread() is not threading.main_thread():
        return "other Python threads run"
    threads = len(os.listdir("/proc/self/task"))
    if threads <= 1 + helpers:
        return ""
    with open("/proc/self/maps", "rb") as file:
        maps = file.read()
    unsafe = next((name for name in FORK_UNSAFE if name in maps), b"")
    if unsafe:
        return f"{unsafe.decode()} runs threads that do not survive a fork"
    # OpenBLAS stops its threads before a fork and starts them again after; others may not.
    return "" if b"openblas" in maps else "native threads run"


def fork_worker(
    call: Callable[..., Any], function_id: int, inherited: Sequence[Any] | None, native_threads: int | None
) -> Worker:
    """Fork a worker that knows `call` and, if given, the input."""
    ours, theirs = open_pipes()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # or both processes would write what is buffered
    with warnings.catch_warnings():
        # CPython 3.12+ warns of any thread, also of OpenBLAS's, which may_fork has looked at.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _child(theirs, ours, call, function_id, inherited, native_threads)
    theirs.close()
    worker = Worker(pid, ours)
    with _lock:
        _callers_ends.add(ours)
    return worker


def _child(
    theirs: Pipe,
    ours: Pipe,
    call: Callable[..., Any],
    function_id: int,
    inherited: Sequence[Any] | None,
    native_threads: int | None,
) -> None:
    status = 1
    try:
        from .worker import become_worker, serve

        become_worker()
        ours.close()
        for other in _callers_ends:  # or the workers before this one would never see their pipes end
            other.close()
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()  # as the random module does by itself after a fork
        serve(theirs, {function_id: call}, inherited, native_threads)
        status = 0
    finally:
        os._exit(status)


def spawn_worker(native_threads: int | None) -> Worker:
    """Start a fresh interpreter as a worker; it does not import the caller's `__main__`.

    Raises:
        OSError: if no interpreter can be started.
    """
    import subprocess

    main = sys.modules.get("__mp_main__")
    if main is not None:  # a child that multiprocessing spawned: its main module has this name, too
        import cloudpickle

        cloudpickle.register_pickle_by_value(main)
    ours, theirs = open_pipes()
    read, write = theirs.descriptors
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        "from autoexec.backends.worker import serve_descriptors; "
        f"serve_descriptors({read}, {write}, {native_threads})"
    )
    flags = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    environment = None
    if native_threads is not None:
        environment = {**os.environ, **dict.fromkeys(VARIABLES, str(native_threads))}
    try:
        process = subprocess.Popen(
            [sys.executable, *flags, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=(read, write),
            env=environment,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    worker = Worker(process.pid, ours, process)
    with _lock:
        _callers_ends.add(ours)
    return worker
