"""Both sides' descriptors of a worker: sockets, shared pages, and the pipe that the worker hangs on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from ...own_time import time
from .channel import Channel, open_channels
from .shared_memory import access_of
from .status_page import SIZE, StatusPage, open_status_page
from .streams import beside_the_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..opening import WorkerConfig

__all__ = ["Endpoints"]


class Endpoints:
    """Both sides' descriptors of a worker.

    Attributes:
        ours: channel and status of each seat, for the caller.
        theirs: the same for the worker, with the descriptor of the status.
        lifeline: the end of a pipe that the worker hangs on.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self.ours: list[tuple[Channel, StatusPage]] = []
        self.theirs: list[tuple[Channel, int]] = []
        self._pages: list[int] = []
        with beside_the_streams():
            self._open(config)

    def _open(self, config: WorkerConfig) -> None:
        self.lifeline, self._held = os.pipe()
        try:
            for _ in range(config.threads):
                ours, theirs = open_channels(access_of(config.writable))
                try:
                    status, page = open_status_page()
                except BaseException:
                    ours.close()
                    theirs.close()
                    raise
                self.ours.append((ours, status))
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
        for channel, _ in self.ours:
            channel.reserve()
        os.close(self.lifeline)
        _open_ends.add(self)

    def move(self) -> None:
        """In a forked worker: close the caller's side."""
        self.hang_up()
        for _, status in self.ours:
            status.close()
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
        for _, status in self.ours:
            status.close()
        for page in self._pages:
            os.close(page)
        os.close(self._held)

    def stacks(self, ask: Callable[[int], bool], patience_s: float) -> str:
        """Ask for stacks, by a signal, and read them from behind the first page."""
        from .worker_main import STACKS

        page, until = self._pages[0], time.monotonic() + patience_s
        before = max(SIZE, os.fstat(page).st_size)
        try:
            if not ask(signal.SIGRTMAX - STACKS):
                return ""
        except AttributeError:  # no such signals here
            return ""
        size = 0
        while time.monotonic() < until:  # until it has stopped growing
            time.sleep(0.005)
            last, size = size, os.fstat(page).st_size
            if size > before and size == last:
                break
        return os.pread(page, size - before, before).decode(errors="replace") if size > before else ""


_open_ends: set[Endpoints] = set()


def _in_child() -> None:
    """After any fork of this process: the caller's ends belong to the caller alone."""
    for ends in list(_open_ends):
        ends.hang_up()
        ends.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
