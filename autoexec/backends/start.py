"""Starting and ending worker processes: by fork where that is safe, else as a fresh interpreter.

A forked worker has everything the caller has, within milliseconds. Forking is safe only while no other
thread runs, since a lock that such a thread holds would stay locked in the child for ever; the engine
asks `may_fork` and otherwise starts a fresh interpreter, which takes some 40 ms plus its imports.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence

from .slate import SIZE, Slate, open_slate
from .wire import Channel, open_channels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .conduct import Terms

__all__ = ["Seat", "Worker", "fork_worker", "may_fork", "spawn_worker"]

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
GRACE_S = 5.0  # seconds for a worker to end by itself


class Seat:
    """The caller's view of one place in a worker.

    Attributes:
        worker: whose it is.
        channel: the caller's end.
        slate: what runs there.
        known: numbers of the functions that it was sent.
        scene: directory, environment and import path that it has, or None where items may have changed them.
    """

    __slots__ = ("_poll", "channel", "known", "scene", "slate", "worker")

    def __init__(self, worker: Worker, channel: Channel, slate: Slate) -> None:
        import select

        self.worker, self.channel, self.slate = worker, channel, slate
        self.known: set[int] = set()
        self.scene: tuple[str, dict[str, str], list[str]] | None = None
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)
        if worker.watched is not None:
            self._poll.register(worker.watched, select.POLLIN)

    def wait(self, timeout_s: float | None) -> bool | None:
        """Wait for a frame: True if one is there, False if the worker has ended, None after the time."""
        found = dict(self._poll.poll(None if timeout_s is None else max(0.0, 1000 * timeout_s)))
        if not found:
            return None
        return self.channel.fileno() in found

    def leave(self) -> None:
        """Nobody will use it any more."""
        self.worker.left(self)


class Worker:
    """A worker process, from the caller's side.

    Attributes:
        pid: its process.
        seats: its seats.
        terms: what it was started with.
        watched: a descriptor that becomes readable when it ends, or None where there is no such thing.
        forked: whether it is a copy of the caller.
        states: numbers of the functions that it knows as the caller does, by their states (see `kept`).
        rested: whether it has served an earlier call.
    """

    def __init__(self, pid: int, ends: Ends, terms: Terms, *, forked: bool) -> None:
        self.pid, self.terms, self.forked = pid, terms, forked
        self.watched = _watch(pid)
        self.seats = [Seat(self, channel, slate) for channel, slate in ends.ours]
        scene = scene_now()
        for seat in self.seats:
            seat.scene = scene
        self.states: dict[Any, int] = {}
        self.rested = False
        self._ends = ends
        self._taken = set(self.seats)
        self._exit: int | None = None
        self._lock = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        with self._lock:
            if self._exit is None:
                self._exit = self._poll()
            return self._exit is not None

    def end(self, *, kill: bool = False, patience_s: float = GRACE_S) -> int:
        """End the worker and return its exit code (negative: the signal that ended it).

        Args:
            kill: do not let it finish its task.
            patience_s: seconds to wait before it is killed anyway.
        """
        with self._lock:
            if self._exit is None:
                if kill:
                    self._signal(signal.SIGKILL)
                else:
                    self._ends.hang_up()
                self._exit = self._reap(patience_s)
            return self._exit

    def left(self, seat: Seat) -> None:
        """One of its seats is not used any more; with the last one it ends."""
        with self._lock:
            if seat not in self._taken:
                return
            self._taken.remove(seat)
            if self._taken:
                return
        self.end()
        self._ends.hang_up()
        self._ends.close()
        if self.watched is not None:
            os.close(self.watched)
            self.watched = None

    def kill(self) -> None:
        """End the worker at once; whoever waits for its answer sees that it has ended."""
        with self._lock:
            if self._exit is None:
                self._signal(signal.SIGKILL)

    def stacks(self, patience_s: float = 0.2) -> str:
        """What every thread of the worker is doing, as faulthandler tells it; "" if it does not answer."""
        with self._lock:
            return "" if self._exit is not None else self._ends.stacks(self.pid, patience_s)

    def _signal(self, number: int) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def _reap(self, patience_s: float) -> int:
        until = time.monotonic() + patience_s
        pause = 0.0002
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
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else waited for it
            return -signal.SIGKILL
        return os.waitstatus_to_exitcode(status) if pid else None


class Ends:
    """Both sides' descriptors of a worker.

    Attributes:
        ours: channel and slate of each seat, for the caller.
        theirs: the same for the worker, with the descriptor of the slate.
        lifeline: the end of a pipe that the worker hangs on.
    """

    def __init__(self, terms: Terms) -> None:
        self.ours: list[tuple[Channel, Slate]] = []
        self.theirs: list[tuple[Channel, int]] = []
        self.lifeline, self._held = os.pipe()
        self._pages: list[int] = []
        try:
            for _ in range(terms.threads):
                ours, theirs = open_channels(mmap.ACCESS_COPY if terms.writable else mmap.ACCESS_READ)
                try:
                    slate, page = open_slate()
                except BaseException:
                    ours.close()
                    theirs.close()
                    raise
                self.ours.append((ours, slate))
                self.theirs.append((theirs, page))
                self._pages.append(page)
        except BaseException:
            self.give_up()
            raise

    @property
    def descriptors(self) -> list[int]:
        """The worker's own."""
        return [self.lifeline, *(fd for channel, page in self.theirs for fd in (channel.fileno(), page))]

    def keep(self) -> None:
        """In the caller, once the worker has its side: close that."""
        for channel, _ in self.theirs:
            channel.close()
        os.close(self.lifeline)
        _open_ends.add(self)

    def move(self) -> None:
        """In a forked worker: close the caller's side."""
        self.hang_up()
        for _, slate in self.ours:
            slate.close()
        os.close(self._held)

    def give_up(self) -> None:
        """Close everything: no worker could be started."""
        self.keep()
        self.hang_up()
        self.close()

    def hang_up(self) -> None:
        """Close the sockets: the worker ends when it has no task."""
        for channel, _ in self.ours:
            channel.close()

    def close(self) -> None:
        """Let go of everything else; the worker ends if it has not."""
        _open_ends.discard(self)
        for _, slate in self.ours:
            slate.close()
        for page in self._pages:
            os.close(page)
        os.close(self._held)

    def stacks(self, pid: int, patience_s: float) -> str:
        """Ask for stacks and read them from behind the first page."""
        from .worker import STACKS

        page, until = self._pages[0], time.monotonic() + patience_s
        before = max(SIZE, os.fstat(page).st_size)
        try:
            os.kill(pid, signal.SIGRTMAX - STACKS)
        except (AttributeError, ProcessLookupError):
            return ""
        size = 0
        while time.monotonic() < until:  # until it has stopped growing
            time.sleep(0.005)
            last, size = size, os.fstat(page).st_size
            if size > before and size == last:
                break
        return os.pread(page, size - before, before).decode(errors="replace") if size > before else ""


_open_ends: set[Ends] = set()


def _in_child() -> None:
    """After any fork of this process: the caller's ends belong to the caller alone."""
    for ends in list(_open_ends):
        ends.hang_up()
        ends.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def scene_now() -> tuple[str, dict[str, str], list[str]]:
    """Directory ("" where there is none), environment and import path of this process."""
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""
    return folder, dict(os.environ), list(sys.path)


def _watch(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


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
    return len(os.listdir("/proc/self/task"))


def fork_worker(
    terms: Terms, functions: dict[int, Callable[..., Any]], inherited: Sequence[Any] | None
) -> Worker:
    """Fork a worker that knows `functions` by number and, if given, the input.

    Raises:
        OSError: if no process can be started.
    """
    ends, pid = Ends(terms), 0
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # or both processes would write what is buffered
    try:
        with warnings.catch_warnings():
            # CPython 3.12+ warns of any thread, also of OpenBLAS's, which may_fork has looked at.
            warnings.simplefilter("ignore", DeprecationWarning)
            held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))  # it must not reach both
            try:
                pid = os.fork()
                if pid == 0:
                    _child(ends, terms, functions, inherited)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, held)
    except BaseException:
        ends.give_up()
        if pid:  # Ctrl-C came in between
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise
    ends.keep()
    return Worker(pid, ends, terms, forked=True)


def _child(
    ends: Ends, terms: Terms, functions: dict[int, Callable[..., Any]], inherited: Sequence[Any] | None
) -> None:
    status = 1
    try:
        from .worker import Household, become_worker, connections, serve

        gc.freeze()  # a collection would write to what all share with the caller, and so copy it
        ends.move()
        become_worker(ends.lifeline, terms.cores, terms.threads)
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()  # as the random module does by itself after a fork
        household = Household(functions, inherited, connections(ends.descriptors))
        serve([(channel, Slate(page)) for channel, page in ends.theirs], household, stacks=ends.theirs[0][1])
        status = 0
    finally:
        os._exit(status)


def spawn_worker(terms: Terms) -> Worker:
    """Start a fresh interpreter as a worker; it does not import the caller's `__main__`.

    Raises:
        OSError: if no interpreter can be started.
    """
    main = sys.modules.get("__mp_main__")
    if main is not None:  # a child that multiprocessing spawned: its main module has this name, too
        import cloudpickle

        cloudpickle.register_pickle_by_value(main)
    ends = Ends(terms)
    seats = [(channel.fileno(), page) for channel, page in ends.theirs]
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        "from autoexec.backends.worker import serve_descriptors; "
        f"serve_descriptors({seats}, {ends.lifeline}, {terms.writable}, {terms.cores}, {terms.threads})"
    )
    try:
        pid = _start(code, ends.descriptors, terms)
    except BaseException:
        ends.give_up()
        raise
    ends.keep()
    return Worker(pid, ends, terms, forked=False)


def _start(code: str, descriptors: Sequence[int], terms: Terms) -> int:
    """Start an interpreter that inherits these descriptors; its process."""
    from .native import environment

    flags = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    variables = {**os.environ, **environment(terms.cores, terms.threads)}
    # `subprocess` would take 15 to 20 ms to import. A descriptor put onto itself is inherited.
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in descriptors]
    # Ctrl-C is held back until the worker ignores it: it would tell of it in the middle of its imports.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ()) | {signal.SIGINT}
    arguments = [sys.executable, *flags, "-c", code]
    return os.posix_spawn(sys.executable, arguments, variables, file_actions=actions, setsigmask=held)
