"""What runs inside a worker process: take a task, run its items, send back what became of them.

Nothing of the caller's `__main__` is imported here: functions that live there arrive by value, so that no
script needs an `if __name__ == "__main__"` guard. A worker ends when its socket ends, when it has rested
for a while, and at once when the caller is gone, however that went.

A worker has one seat, or several: threads that take tasks from sockets of their own.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pickle import dumps

from .. import resources, role
from . import frames
from .base import Capturing, Failure
from .native import CORES, VARIABLES
from .parcels import Apart, Parcel, by_value, pack
from .portable import portable
from .prepared import Prepared
from .slate import Slate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .wire import Channel, Frame

__all__ = ["Household", "become_worker", "serve", "serve_descriptors"]

OWN = frozenset((*VARIABLES, CORES))  # variables that the worker's share has set
REST_S = 30.0  # seconds without a call after which a kept worker ends
STACKS = 5  # its signal, counted from the last of the real-time ones: "write down what you are doing"
HINT = (
    "autoexec: arrays that come to a worker through shared memory are read-only; give writable='copy' "
    "for a private copy, or copy the array in the function"
)


class Household:
    """What the seats of a worker share.

    Args:
        functions: functions known by number already (a forked worker inherits them).
        inherited: the input, where a forked worker inherits it.
        copied: the caller's sockets and pipes that a fork has copied, by `connections`.
    """

    def __init__(
        self,
        functions: dict[int, Callable[..., Any]] | None = None,
        inherited: Sequence[Any] | None = None,
        copied: dict[int, tuple[int, int]] | None = None,
    ) -> None:
        self.functions: dict[int, Any] = functions or {}
        self.inherited = inherited
        self._copied = copied or {}
        self.lock = threading.Lock()

    def rest(self, known: Collection[int]) -> None:
        """The call is over: let go of what belongs to it, but for the functions with these numbers."""
        self.inherited = None
        with self.lock:
            self.functions = {n: call for n, call in self.functions.items() if n in known}
            copied, self._copied = self._copied, {}
        if copied:
            _hang_up(copied)


class Seat:
    """One place at which a worker runs tasks."""

    def __init__(self, channel: Channel, slate: Slate, household: Household) -> None:
        self._channel, self._slate, self._household = channel, slate, household
        self._serial = self._count = 0
        self._capturing = False
        self._apart = Apart()

    def serve(self) -> None:
        """Answer frames until the socket ends."""
        patience: float | None = None
        while True:
            try:
                if patience is not None and not self._channel.wait(patience):
                    return
                frame = self._channel.receive()
                patience = REST_S if frame.kind == frames.REST else None
                self._answer(frame)
            except (EOFError, OSError):
                return
            del frame

    def _answer(self, frame: Frame) -> None:
        if frame.kind == frames.TASK:
            self._task(frame)
        elif frame.kind == frames.FUNCTION:
            self._learn(frame)
        elif frame.kind == frames.SCENE:
            _set_scene(*frame.load())
        elif frame.kind == frames.REST:
            resources.close_here()
            self._household.rest(frame.load())

    def _learn(self, frame: Frame) -> None:
        """A function that the tasks to come will call."""
        number = frame.serial
        self._slate.loading(frame.first, function=True)
        with self._household.lock:
            if number not in self._household.functions:
                try:
                    self._household.functions[number] = frame.load()
                except BaseException as error:
                    self._household.functions[number] = Failure(error)
        self._slate.loading(0)

    def _task(self, frame: Frame) -> None:
        self._slate.loading(frame.serial)
        self._serial, self._count = frame.serial, 0
        try:
            number, star, start, items = frame.load()
            call = self._household.functions[number]
            if isinstance(items, int):
                assert self._household.inherited is not None
                items = self._household.inherited[start:items]
        except BaseException as error:
            self._slate.take(frame.serial)
            self._done(error, 0.0, 0.0, frames.ITEMS_UNFIT)
            return
        self._slate.loading(frame.serial, function=True)  # the initializer is not the item's own time
        unprepared = _prepare(call)
        self._slate.take(frame.serial)
        if type(call) is Failure:
            self._done(call.error, 0.0, 0.0, frames.FUNCTION_UNFIT)
        elif unprepared is not None:
            self._done(unprepared, 0.0, 0.0)
        else:
            self._run(call, items, star)

    def _run(self, call: Callable[..., Any], items: Sequence[Any], star: bool) -> None:
        self._capturing = type(call) is Capturing
        begin, keep = self._slate.begin, self._keep
        error: BaseException | None = None
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            for place, item in enumerate(items):
                if not begin(place):
                    break
                keep(call(*item) if star else call(item))
        except BaseException as raised:  # SystemExit in a worker belongs to the item, too
            error = raised
            _hint(error)
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
        self._slate.end()
        _flush()
        self._done(error, wall, cpu)

    def _keep(self, value: Any) -> None:
        """Write a result down, or send it where it is large.

        Raises:
            TypeError: if it cannot be pickled.
        """
        if type(value) is Failure:
            _hint(value.error)
        apart = self._apart
        try:
            data = dumps(value, protocol=5, buffer_callback=apart)
        except Exception:  # a local class, a lambda: by value, perhaps
            apart.taken.clear()
            self._send(self._packed(value))
        else:
            if apart.taken or not self._slate.keep(data):
                self._send(Parcel(data, apart.taken))
                apart.taken.clear()
        self._count += 1

    def _send(self, parcel: Parcel) -> None:
        """Send a result that has buffers, does not fit on the page, or took another pickler."""
        if parcel.buffers or not self._slate.keep(parcel.data):
            self._send_log()
            if parcel.buffers or not self._slate.keep(parcel.data):
                self._channel.send(frames.VALUE, parcel, self._serial, self._count)
                parcel.close()
                self._slate.sent(self._count + 1)

    def _packed(self, value: Any) -> Parcel:
        try:
            return _pack(value)
        except Exception as error:
            problem = _refused(value, error)
            if not self._capturing:
                raise problem from error
            return _pack(Failure(problem))

    def _send_log(self) -> None:
        log = self._slate.written()
        if len(log):
            self._channel.send(frames.LOG, Parcel(log), self._serial, self._count)
            self._slate.sent(self._count)

    def _done(self, error: BaseException | None, wall_s: float, cpu_s: float, unfit: int = 0) -> None:
        problem = portable(error) if error is not None else None
        parcel = _pack((problem, wall_s, cpu_s, unfit))
        parcel = Parcel(parcel.data, [*parcel.buffers, self._slate.written()])
        self._channel.send(frames.DONE, parcel, self._serial, self._count)
        parcel.close()


def _prepare(call: Any) -> BaseException | None:
    """Run the initializer, if there is one and it has not run here; what it raised."""
    inner = call.call if type(call) is Capturing else call
    try:
        if type(inner) is Prepared:
            inner.prepare()
    except BaseException as error:
        return error
    return None


def _pack(value: Any) -> Parcel:
    try:
        return pack(value)
    except Exception:
        return by_value(value)


def _refused(value: object, error: Exception) -> TypeError:
    """Why a result cannot be sent."""
    from ..unpicklable import explain

    found = TypeError(f"a result cannot be sent back from a worker process: {explain(value, 'result')}")
    found.__cause__ = error
    return found


def _hint(error: BaseException) -> None:
    """Say how to get an array that can be written to, where that may be what failed."""
    if isinstance(error, (ValueError, TypeError, BufferError)):
        text = str(error)
        if "read-only" in text or "readonly" in text:
            from ..errors import add_note

            add_note(error, HINT)


# Becoming a worker ------------------------------------------------------------------------------------------


def serve_descriptors(
    seats: Sequence[tuple[int, int]], lifeline: int, writable: bool, cores: int, threads: int
) -> None:
    """Be a worker that was started as a program of its own.

    Args:
        seats: for each seat the descriptors of its socket and its page.
        lifeline: end of a pipe whose other end the caller holds.
        writable: whether arrays from shared memory may be written to, in private.
        cores: what this worker may use.
        threads: its seats.
    """
    import _socket
    import mmap

    from .wire import Channel

    access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
    become_worker(lifeline, cores, threads)
    opened = [(Channel(_socket.socket(fileno=sock), access), Slate(page), page) for sock, page in seats]
    serve([(channel, slate) for channel, slate, _ in opened], Household(), opened[0][2])
    _flush()
    os._exit(0)  # threads that an item left behind must not keep the worker alive


def serve(seats: Sequence[tuple[Channel, Slate]], household: Household, stacks: int | None = None) -> None:
    """Serve all seats until their sockets end.

    Args:
        seats: the worker's ends.
        household: what the seats share.
        stacks: descriptor of the page behind which stacks are written when they are asked for.
    """
    if stacks is not None:
        _show_stacks(stacks)
    os.register_at_fork(after_in_child=partial(_leave_alone, seats))
    if len(seats) == 1:
        Seat(*seats[0], household).serve()
    else:
        threads: list[threading.Thread] = []
        crew = resources.Crew(len(seats), threads)
        threads += [
            threading.Thread(target=_sit, args=(channel, slate, household, crew), daemon=True)
            for channel, slate in seats
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    resources.close_here()


def _leave_alone(seats: Sequence[tuple[Channel, Slate]]) -> None:
    """In a process that an item has forked: sockets and pages are its parent's."""
    for channel, slate in seats:
        channel.close()
        slate.detach()


def _sit(channel: Channel, slate: Slate, household: Household, crew: resources.Crew) -> None:
    resources.current.set(scope := resources.Scope(crew=crew))
    try:
        Seat(channel, slate, household).serve()
    finally:
        scope.close()


def become_worker(lifeline: int, cores: int, threads: int) -> None:
    """Take the role: a share of the cores, and Ctrl-C is the caller's business."""
    import signal

    from .native import take_share

    role.in_worker = True
    resources.forget()  # what the caller's thread made stays the caller's
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the caller, which ends its workers
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))  # it was held back until here
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _hang_on(lifeline)
    take_share(cores, threads)


def _hang_on(lifeline: int) -> None:
    """End with the caller, even in the middle of an item.

    On Linux the kernel sends SIGKILL when the other end of the pipe is closed; elsewhere a thread waits.
    """
    try:
        import fcntl
        import signal

        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:  # it is gone already
            os._exit(1)
    except (ImportError, AttributeError, OSError):
        threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()


F_SETSIG = 10 if sys.platform == "linux" else -1  # the fcntl module does not name it


def _watch(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os._exit(1)


def _show_stacks(page: int) -> None:
    """On a signal, every thread's stack is written behind the page."""
    import signal

    try:
        import faulthandler

        os.lseek(page, 0, os.SEEK_END)
        faulthandler.register(signal.SIGRTMAX - STACKS, file=page, all_threads=True)
    except (ImportError, AttributeError, OSError, ValueError, RuntimeError):  # no such signals here
        return


def connections(own: Collection[int]) -> dict[int, tuple[int, int]]:
    """The sockets and pipes of this process, but for its own and the standard streams: what each leads to."""
    import stat

    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            about = os.fstat(int(name))
        except OSError:
            continue
        if stat.S_ISSOCK(about.st_mode) or stat.S_ISFIFO(about.st_mode):
            found[int(name)] = about.st_dev, about.st_ino
    return {fd: where for fd, where in found.items() if fd > 2 and fd not in own}


def _hang_up(copied: dict[int, tuple[int, int]]) -> None:
    """Connections and pipes of the caller, which a fork has copied, are not kept open by a worker at rest.

    Their descriptors lead nowhere from then on, rather than to what is opened next.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor, where in connections(()).items():
        if copied.get(descriptor) == where:
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def _set_scene(folder: str, environment: dict[str, str], path: list[str]) -> None:
    """Work where the caller works now: directory, environment, import path."""
    if folder:
        os.chdir(folder)
    mine = dict(os.environ)
    for name in mine.keys() - environment.keys() - OWN:
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if name not in OWN})
    sys.path[:] = path


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
