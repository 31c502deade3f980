"""Becoming a worker process: a share of the cores, a lifeline to the caller, seats that serve tasks.

Nothing of the caller's `__main__` is imported here: functions that live there arrive by value, so that no
script needs an `if __name__ == "__main__"` guard. A worker ends when its socket ends, when it has rested
for a while, and at once when the caller is gone, however that went.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Sequence
from functools import partial

from ... import resources, role
from .left_behind import clear, disown, note
from .server import Seat, WorkerState
from .shared_memory import access_of
from .standard_input import leave_to_caller
from .status_page import StatusPage
from .surroundings import flush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .channel import Channel

__all__ = ["become_worker", "serve", "serve_descriptors"]

STACKS = 5  # its signal, counted from the last of the real-time ones: "write down what you are doing"


def serve_descriptors(
    seats: Sequence[tuple[int, int]],
    lifeline: int,
    writable: str,
    cores: int,
    threads: int,
    tracker: int = -1,
) -> None:
    """Be a worker that was started as a program of its own.

    Args:
        seats: for each seat the descriptors of its socket and its page.
        lifeline: end of a pipe whose other end the caller holds.
        writable: see `WorkerConfig`.
        cores: what this worker may use.
        threads: its seats.
        tracker: see `WorkerConfig`.
    """
    import _socket

    from .channel import Channel
    from .identity import take
    from .tracker import follow

    access = access_of(writable)
    role.fresh = True
    become_worker(lifeline, cores, threads)
    follow(tracker)
    opened = [(Channel(_socket.socket(fileno=sock), access), StatusPage(page), page) for sock, page in seats]
    take(opened[0][0].receive().load(), lifeline, forked=False)
    serve([(channel, status) for channel, status, _ in opened], WorkerState(), opened[0][2])
    flush()
    os._exit(0)  # threads that an item left behind must not keep the worker alive


def serve(seats: Sequence[tuple[Channel, StatusPage]], state: WorkerState, stacks: int | None = None) -> None:
    """Serve all seats until their sockets end.

    Args:
        seats: the worker's ends.
        state: what the seats share.
        stacks: descriptor of the page behind which stacks are written when they are asked for.
    """
    if stacks is not None:
        _show_stacks(stacks)
    for channel, _ in seats:
        channel.reserve()
    note(seats[0][1])
    os.register_at_fork(after_in_child=partial(_leave_alone, seats))
    if len(seats) == 1:
        Seat(*seats[0], state).serve()
    else:
        threads: list[threading.Thread] = []
        crew = resources.Crew(len(seats), threads)
        threads += [
            threading.Thread(target=_sit, args=(channel, status, state, crew), daemon=True)
            for channel, status in seats
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    resources.close_here()
    clear()


def _leave_alone(seats: Sequence[tuple[Channel, StatusPage]]) -> None:
    """In a process that an item has forked: sockets, pages and children are its parent's."""
    disown()
    for channel, status in seats:
        channel.close()
        status.detach()


def _sit(channel: Channel, status: StatusPage, state: WorkerState, crew: resources.Crew) -> None:
    resources.current.set(scope := resources.Scope(crew=crew))
    try:
        Seat(channel, status, state, alone=False).serve()
    finally:
        scope.close()


def become_worker(lifeline: int, cores: int, threads: int) -> None:
    """Take the role: a share of the cores, and Ctrl-C is the caller's business."""
    import signal

    from ..core_budget import take_share

    role.in_worker = True
    resources.forget()  # what the caller's thread made stays the caller's
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the caller, which ends its workers
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))  # it was held back until here
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _hang_on(lifeline)
    take_share(cores, threads)
    leave_to_caller()


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
