"""A page of memory that worker and caller both see: what runs, since when, and the results so far.

It outlives the worker. When one dies, the caller reads here which item it was running, finds the results of
the items before that one, which had not been sent yet, and sees which processes it has left behind.
"""

from __future__ import annotations

import mmap
import os

from ...own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["SIZE", "StatusPage"]

LOG = 64 << 10  # bytes for results that wait to be sent
HEADER = 128
CHILDREN = 64  # that are noted; more are not
FAMILY = 16 * CHILDREN
SIZE = HEADER + FAMILY + LOG
LENGTH = 4  # bytes before each result in the log

# Places in the header, in words of eight bytes. Each is written by one store: a reader sees the old or the
# new value, whenever the writer is stopped.
LOADING, SERIAL, PLACE, BASE, USED, STOP, FIRST, ADDED = range(8)
IDLE = 0
_BLANK = bytearray(HEADER + FAMILY)  # what is seen of a page that is gone: nothing runs


class StatusPage:
    """The page, from either side.

    Args:
        descriptor: of a segment of `SIZE` bytes; it stays the caller's to close.
    """

    __slots__ = ("_family", "_log", "_map", "_since", "_words")

    def __init__(self, descriptor: int) -> None:
        self._map: mmap.mmap | None = mmap.mmap(descriptor, SIZE)
        self._split(memoryview(self._map))

    def _split(self, view: memoryview) -> None:
        self._words = view[:64].cast("Q")
        self._since = view[64:HEADER].cast("d")
        self._family = view[HEADER : HEADER + FAMILY].cast("Q")
        self._log = view[HEADER + FAMILY :]

    # The worker's side ------------------------------------------------------------------------------------

    def loading(self, serial: int, *, function: bool = False) -> None:
        """A task, or the function for it, is about to be loaded, which may run code of its arguments."""
        self._words[LOADING] = 2 * serial + function
        self._since[0] = time.monotonic()

    def take(self, serial: int) -> None:
        """A task begins."""
        words = self._words
        words[PLACE] = words[BASE] = words[USED] = words[STOP] = IDLE
        words[SERIAL] = serial
        words[LOADING] = IDLE

    def begin(self, place: int) -> bool:
        """The item at this place of the task begins; False if the caller wants the rest of the task back."""
        words = self._words
        if words[STOP]:
            return False
        self._since[0] = time.monotonic()
        words[PLACE] = place + 1
        return True

    def end(self) -> None:
        """Nothing runs."""
        self._words[PLACE] = IDLE

    def keep(self, data: bytes | memoryview) -> bool:
        """Write a result down; False if there is no room for it."""
        words, log, size = self._words, self._log, len(data)
        at = words[USED] + LENGTH
        stop = at + size
        if stop > LOG:
            return False
        log[at - LENGTH : at] = size.to_bytes(LENGTH, "little")
        log[at:stop] = data
        words[USED] = stop
        return True

    def written(self) -> memoryview:
        """The results that wait to be sent."""
        return self._log[: self._words[USED]]

    def sent(self, count: int) -> None:
        """Results up to this place of the task have been sent."""
        self._words[USED] = 0
        self._words[BASE] = count

    def weigh(self, first: int, added: int) -> None:
        """The worker's bytes before its first item, and the most that were added to them so far."""
        self._words[FIRST], self._words[ADDED] = first, max(0, added)

    def note_children(self, children: Sequence[tuple[int, int]]) -> None:
        """These are the processes that the worker has: the number of each, and when it began."""
        family, blank = self._family, [(0, 0)] * (CHILDREN - len(children))
        for at, (pid, since) in enumerate((*children[:CHILDREN], *blank)):
            if (family[2 * at], family[2 * at + 1]) != (pid, since):
                family[2 * at] = 0  # between these nobody is named
                family[2 * at + 1], family[2 * at] = since, pid

    def detach(self) -> None:
        """Write to a page of one's own from now on."""
        self._split(memoryview(bytearray(SIZE)))

    # The caller's side ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Give back the items of the task that have not begun."""
        self._words[STOP] = 1

    @property
    def loads(self) -> tuple[int, bool]:
        """The serial of the task that is being loaded, or 0; and whether it is its function."""
        return self._words[LOADING] // 2, bool(self._words[LOADING] % 2)

    @property
    def serial(self) -> int:
        """The serial of the task begun last."""
        return self._words[SERIAL]

    @property
    def place(self) -> int | None:
        """The place of the item that runs, or None."""
        place = self._words[PLACE]
        return place - 1 if place else None

    @property
    def since(self) -> float:
        """When it began, by `time.monotonic`."""
        return self._since[0]

    @property
    def weighed(self) -> tuple[int, int]:
        """The worker's bytes before its first item, and the most that were added since; zeros if unknown."""
        return self._words[FIRST], self._words[ADDED]

    def rescued(self) -> tuple[int, list[memoryview]]:
        """What a worker that died had not sent: the place of the first result, and the results."""
        return self._words[BASE], list(entries(self.written()))

    @property
    def children(self) -> list[tuple[int, int]]:
        """The processes that the worker has: the number of each, and when it began."""
        words = self._family.tolist()
        return [(pid, since) for pid, since in zip(words[::2], words[1::2], strict=True) if pid]

    def close(self) -> None:
        """Let the page go, with the last view of it: other threads may look at it right now."""
        self._split(memoryview(_BLANK))
        self._map = None


def entries(log: memoryview) -> Iterator[memoryview]:
    """The results in a log."""
    at = 0
    while at < len(log):
        size = int.from_bytes(log[at : at + LENGTH], "little")
        at += LENGTH
        yield log[at : at + size]
        at += size


def open_status_page() -> tuple[StatusPage, int]:
    """A new page, and its descriptor, for the worker.

    Raises:
        OSError: if there is no room for it.
    """
    from .shared_memory import create

    descriptor = create(SIZE)
    try:
        return StatusPage(descriptor), descriptor
    except BaseException:
        os.close(descriptor)
        raise
