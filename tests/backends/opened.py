"""Process backends for tests: opened with few words, closed whatever happens."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from autoexec.backends.base import Capturing, Chunk, Failure, Finished
from autoexec.backends.conduct import Conduct, Setting, Terms
from autoexec.backends.parcels import Parcel, pack
from autoexec.backends.processes import ProcessBackend
from autoexec.measure.hazards import dump
from autoexec.unpicklable import Unpicklable

WAIT_S = 30.0


def _packed(call: Callable[..., Any]) -> Parcel:
    found = dump(call, pack)
    if isinstance(found, Unpicklable):
        raise TypeError(str(found))
    return found  # type: ignore[no-any-return]


def _bytes(call: Callable[..., Any]) -> bytes:
    found = dump(call)
    assert isinstance(found, bytes)
    return found


SETTING = Setting(call=None, serialise=_bytes, packed=_packed)


class Opened:
    """A backend and what it has delivered."""

    def __init__(self, workers: int, setting: Setting) -> None:
        self.inbox: SimpleQueue[Finished] = SimpleQueue()
        self.backend = ProcessBackend(workers, self.inbox.put, setting)
        self._call = setting.call

    def submit(self, items: Sequence[Any], start: int = 0, call: Any = None, *, star: bool = False) -> None:
        """One task."""
        self.backend.submit(Chunk(start, items, call or self._call, star))

    def next(self) -> Finished:
        """What is delivered next."""
        return self.inbox.get(timeout=WAIT_S)

    def run(self, items: Sequence[Any], size: int, call: Any = None) -> dict[int, Any]:
        """All items in tasks of so many: results or errors by index.

        An item after the first error of a task that does not capture is missing.
        """
        starts = range(0, len(items), size)
        for start in starts:
            self.submit(items[start : start + size], start, call)
        return outcome(self.next() for _ in starts)

    @property
    def pids(self) -> set[int]:
        """Its worker processes."""
        return {worker.pid for worker in self.backend._staff._workers}


def outcome(done: Any) -> dict[int, Any]:
    """Results and errors by index; an index that comes twice is an error."""
    found: dict[int, Any] = {}
    for finished in done:
        values = [value.error if type(value) is Failure else value for value in finished.values]
        values += [] if finished.error is None else [finished.error]
        for index, value in enumerate(values, finished.chunk.start):
            assert index not in found
            found[index] = value
    return found


@contextmanager
def opened(
    call: Callable[..., Any] | None,
    workers: int = 1,
    *,
    fork: bool = False,
    capture: bool = False,
    terms: Terms = SETTING.terms,
    strict: bool = True,
    setting: Setting = SETTING,
    **conduct: Any,
) -> Iterator[Opened]:
    """A backend of `workers` workers for `call`; what is left of it is ended afterwards."""
    sent: Any = Capturing(call) if capture and call is not None else call
    made = Opened(
        workers,
        replace(setting, call=sent, fork=fork, terms=terms, conduct=Conduct(strict=strict, **conduct)),
    )
    try:
        yield made
        made.backend.close()
    finally:
        made.backend.close(kill=True)


def fork() -> int:
    """`os.fork`, though pytest's own native thread, which watches the time, is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
