"""What `map` returns: an iterator over results that knows how they came about."""

from __future__ import annotations

import operator
from _thread import allocate_lock, get_ident, interrupt_main, start_new_thread
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain

from .errors import AutoexecError
from .own_thread import whose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Generic, TypeVar

    from .engine.run import Run
    from .records import Plan, Profile
    from .statistics import Stats

    R = TypeVar("R")

    class _Iterator(Iterator[R], Generic[R]):
        """`Results` is generic for type checkers; at run time that would cost the import of typing."""
else:

    class _Iterator(Iterator):
        __slots__ = ()

        def __class_getitem__(cls, item: object) -> type:
            return cls


__all__ = ["Results"]

AGAIN = 8  # times that an end is tried
SOON_S = 0.005  # until who was interrupted may wait for something: a signal just before that would not end it
ROOM = 1 << 20  # results that room is made for at once: a length may be a guess, or a lie


class _Error:
    """An iterator that raises an error once and has ended then: the error of an item, in its place."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error: BaseException | None = error

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        error, self._error = self._error, None
        if error is None:
            raise StopIteration
        try:
            raise error
        finally:
            del error  # its traceback leads to this frame


def _told(error: BaseException) -> BaseException:
    """An item's error as whoever takes results sees it: a StopIteration would end them (PEP 479)."""
    if not isinstance(error, StopIteration):
        return error
    told = RuntimeError("an item raised StopIteration")
    told.__cause__ = error
    for note in getattr(error, "__notes__", ()):
        told.add_note(note)
    return told


class _Blocks:
    """Hands out iterators over blocks of results, to several readers; the C loop of `chain` does the rest.

    Two readers of one chain replace each other's block. So a block that was handed out and is not used up is
    handed out again before anything new: nothing is lost, whoever takes it.
    """

    __slots__ = ("__del__", "_given", "_lock", "_readers", "closed", "run")
    __del__: Callable[[], object]

    def __init__(self, run: Run) -> None:
        self.run = run
        self.__del__ = partial(__del__, run)
        self.closed = False
        self._lock = allocate_lock()
        self._readers: set[int] = set()  # marked from before they try the lock until they have let it go
        self._given: list[Iterator[Any]] = []

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Iterator[Any]:
        try:
            self.run.check_process()
        except AutoexecError as error:  # raised here it would be the end of the chain, and told only once
            return _Error(error)
        me = get_ident()
        scheduler = self.run.scheduler
        if me in self._readers or scheduler.within or whose() is scheduler:
            # No error of ours may leave this method: the chain would take it for the end of all blocks.
            words = "results were asked for by an item, a callback or a finalizer of these very results"
            return _Error(AutoexecError(words))
        try:
            self._readers.add(me)
            with self._lock:
                return self._next()
        finally:
            self._readers.discard(me)
            self.settle()

    def settle(self) -> None:
        """Once all is let go a finalizer has nothing to do: a Ctrl-C that came amid one would be lost."""
        if self.run.let_go:
            self.__del__ = int

    @property
    def reading(self) -> bool:
        """Whether this thread is taking a block right now: a finalizer, an item or a signal handler asks."""
        return get_ident() in self._readers

    def _next(self) -> Iterator[Any]:
        given = self._given
        while given:
            if operator.length_hint(given[-1]):
                return given[-1]
            given.pop()
        if self.closed:
            raise StopIteration
        block = self.run.next_block()
        if isinstance(block, BaseException):
            return _Error(_told(block))
        iterator = iter(block)
        given.append(iterator)
        return iterator


def __del__(run: Run) -> None:  # noqa: N807 (a finalizer, by its name for those that look at the stack)
    """Nobody holds the results of a run any more. What Ctrl-C raises here is raised again afterwards."""
    interrupted = False
    for _ in range(AGAIN):  # else it would go nowhere, and nobody else would end the run
        try:
            run.abandon()
            break
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        with suppress(RuntimeError):
            start_new_thread(_interrupt, ())  # here it would be lost in its turn


def _interrupt() -> None:
    """As Ctrl-C does, which also ends a wait: once that has begun."""
    import signal
    import threading

    from .own_time import time

    time.sleep(SOON_S)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        interrupt_main()


class Results(_Iterator["R"]):
    """An iterator over results; close it, or leave its `with` block, to cancel what has not begun.

    Results arrive in blocks inside; iterating hands them out one by one through the standard library's
    own chain iterator, at next to no cost per item.
    """

    __slots__ = ("_blocks", "_flat", "_run")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._blocks = _Blocks(run)
        self._flat: Iterator[R] = chain.from_iterable(self._blocks)

    def begin(self) -> None:
        """Have the run start working; from now on it ends with these results."""
        try:
            self._run.begin()
        finally:
            self._blocks.settle()

    def __iter__(self) -> Iterator[R]:  # noqa: PYI034 (the chain itself, so that no Python runs per item)
        return iter(()) if self._blocks.closed else self._flat

    def __next__(self) -> R:
        if self._blocks.closed:
            raise StopIteration
        self._run.check_process()
        return next(self._flat)

    def __length_hint__(self) -> int:
        """How many results there may be, for `list` to make room."""
        return max(0, min(self._run.total or 0, ROOM))

    def close(self) -> None:
        """Cancel what has not begun, wait for what runs in threads, end worker processes at once.

        Called from within `next`, by an item or a signal handler, it does not wait: `next` does. Nor does it
        in a finalizer that comes up in the midst of this package's own code.
        """
        self._blocks.closed = True
        self._run.patient = True
        if self._blocks.reading:
            self._run.end()
        else:
            self._run.close()
            self._blocks.settle()

    def take_block(self) -> list[R] | BaseException | None:
        """The next results in a list, the error that is due instead, or None at the end.

        For a consumer in another thread: an error that is raised through a future may arrive as another one.
        """
        if self._blocks.closed:
            return None
        try:
            return self._run.next_block()
        except StopIteration:
            return None
        except BaseException as error:
            return error

    def interrupt(self) -> None:
        """End the iteration from another thread than the one that waits in it; `close` must follow."""
        self._run.interrupt()

    def __enter__(self) -> Results[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def plan(self) -> Plan | None:
        """How the rest is run and why; None while the first items are still being measured."""
        return self._run.plan

    @property
    def profile(self) -> Profile | None:
        """What one item costs; None while that is being measured, and where the backend was given."""
        return self._run.profile

    def stats(self) -> Stats:
        """What happened so far: calls, retries, refusals, latencies, concurrency, host by host."""
        return self._run.stats()

    def __repr__(self) -> str:
        plan = self.plan
        return f"<autoexec.Results {plan if plan is not None else 'not planned yet'}>"
