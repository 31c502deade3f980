"""Turns: who may change the tables, and when; the lock, and what is done before and after.

Rule 1: nothing here has a thread; whoever comes does the work.
Rule 2: all tables change under one lock, and no code of the user's runs under it, nor any that may wait. A
delivery has three phases: judge (the user's code, no lock), commit (the tables), act (futures, the journal,
new threads: no lock, in the worker's own thread).
Rule 3: threads of ours append what they have to say to `_events` and only *try* the lock. Whoever holds it
works off all events and looks once more after releasing it; who finds it held waits at its own gate for the
answer. So no finalizer and no signal handler can hang on it, and few threads queue for it. A consumer, which
may be the main thread, uses `with` alone: a `KeyboardInterrupt` between `acquire` and `try` would leave the
lock held for ever.
A thread is marked in `_inside` from before it tries the lock until after it has let it go: what a finalizer
or a signal handler asks for in between is done when that is over.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterable

from ..errors import AutoexecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Turns", "nested"]


class Turns:
    """The lock of one scheduler, what is to be said under it, and what is to be done after it.

    Args:
        clock: tells the time, as `time.monotonic` does.
        before_release: called, with the lock, before that is let go: who waits gets what there is for it.
        crash: called, with the lock, with an error that ends the run.

    Attributes:
        clock: the same.
        crash: the same.
        acts: what is to be done as soon as the lock is let go.
        torn: whether an event was left in the middle: some slot may wait for what is lost.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        before_release: Callable[[float], object],
        crash: Callable[[BaseException], object],
    ) -> None:
        self.clock, self._before_release, self.crash = clock, before_release, crash
        self.acts: list[Callable[[], object]] = []
        self.torn = False
        self._lock, self._main = allocate_lock(), threading.main_thread().ident
        self._inside: set[int] = set()
        self._events: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def post(self, handle: Callable[..., None], *about: Any) -> None:
        """Something has happened: it is handled, with the time, under the lock, by this thread or another."""
        self._events.append((handle, about))
        self._try()

    def locked(self, step: Callable[[float], Any] | None = None) -> Any:
        """Work off the events, then do `step`; for consumers, and for whoever is in the main thread.

        Raises:
            AutoexecError: if this thread is in the middle of something else, and there is a `step`.
        """
        me = get_ident()
        if me in self._inside:  # from a signal handler or a finalizer, in the middle of it
            if step is None:
                return None
            raise nested()
        found: Any = None
        acts: Iterable[Callable[[], object]] = ()
        try:
            self._inside.add(me)
            with self._lock:
                now = self.clock()
                self._work_off(now)
                found = step(now) if step is not None else None
                self._before_release(now)
                acts, self.acts = self.acts, []
        except BaseException as error:
            self._tear(error)
            raise
        finally:
            self._inside.discard(me)
            if acts:
                self._act(acts)
            if self._events:
                self._try()
        return found

    def soon(self, step: Callable[[float], None]) -> None:
        """Do something at once, or if this thread is in the middle of something else, right after that."""
        if self.within:
            self._events.append((step, ()))
        else:
            self.locked(step)

    @property
    def within(self) -> bool:
        """Whether this thread is in the middle of something here: a finalizer, or a signal handler, asks."""
        return get_ident() in self._inside

    def crashed(self, error: BaseException) -> None:
        """Something escaped a thread of ours: the run ends with it."""
        self.post(self._on_crash, error)

    def fault(self, error: Exception) -> None:
        """A fault of ours, under the lock: whoever waits must hear of it."""
        self.torn = True
        self.crash(error)

    def _try(self) -> None:
        """Work off the events, unless somebody else is at it and will look once more."""
        me = get_ident()
        if me == self._main:
            self.locked()
            return
        while self._events and me not in self._inside:
            acts: Iterable[Callable[[], object]] = ()
            try:
                self._inside.add(me)
                if not self._lock.acquire(False):
                    return
                try:
                    now = self.clock()
                    self._work_off(now)
                    self._before_release(now)
                    acts, self.acts = self.acts, []
                finally:
                    self._lock.release()
            except BaseException as error:
                self._tear(error)
                raise
            finally:
                self._inside.discard(me)
            if acts:
                self._act(acts)

    def _work_off(self, now: float) -> None:
        events = self._events
        while events:
            handle, about = events.popleft()
            try:
                handle(now, *about)
            except Exception as error:
                self.fault(error)

    def _act(self, acts: Iterable[Callable[[], object]]) -> None:
        """What is to be done without the lock; what is left of it after an error is done by the next one."""
        left = iter(acts)
        try:
            for act in left:
                act()
        except BaseException as error:
            self._events.append((self._on_left, (list(left),)))
            if not isinstance(error, Exception):
                self._tear(error)
                raise
            self.crashed(error)

    def _tear(self, error: BaseException) -> None:
        """Something was left in the middle: nobody knows what is lost, so that this cannot go on."""
        self.torn = True
        if isinstance(error, KeyboardInterrupt):  # it is raised here; its frames would hold on to the results
            error = KeyboardInterrupt(*error.args)
        self._events.append((self._on_crash, (error,)))

    def _on_left(self, now: float, acts: list[Callable[[], object]]) -> None:
        self.acts += acts

    def _on_crash(self, now: float, error: BaseException) -> None:
        self.crash(error)


def nested() -> AutoexecError:
    """The error of who asks for something in the middle of something else in the same thread."""
    return AutoexecError("results were asked for while the same thread was handing some out")
