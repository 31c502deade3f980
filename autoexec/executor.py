"""`autoexec.Executor`: the standard library's executor interface, with the decision inside."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Executor as BaseExecutor
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextvars import copy_context
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from .api import check_function, facts_here, resolved
from .backends.executors import in_this_process
from .checks import is_async
from .engine.call_specs import spec_of
from .engine.submit import Submissions
from .errors import OptionError
from .options import ROWS, Options
from .own_thread import whose
from .own_time import time
from .worker.context import carried
from .worker.invoke import CallSpec, Error, run_alone, run_items

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack

    from .options import Wishes
    from .records import Plan

__all__ = ["Executor"]

ENTERING_S = 0.001  # between two looks whether calls that are being submitted have arrived
P = ParamSpec("P")
R = TypeVar("R")


class Executor(BaseExecutor):
    """An executor that learns each function from its first submissions and routes the rest.

    Functions that wait go to many threads, functions that release the GIL to as many threads as there
    are cores, functions that hold it to processes, what must stay in this process to threads, and async
    functions to an event loop.

    Args:
        **options: see `autoexec.Options`; those for a whole map (`timeout`, `chunksize`, `buffersize`,
            `ordered`, `progress`, `on_error`, `size` and the journal's) have no meaning here.

    Raises:
        OptionError: if an option cannot be meant, or would have no effect.

    >>> import autoexec
    >>> with autoexec.Executor() as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    def __init__(self, workers: int | None = None, /, **options: Unpack[Wishes]) -> None:
        if workers is not None:  # the first positional argument, as in the standard library
            options = {"max_workers": workers, **options}
        self._options = resolved(options)
        _check(self._options)
        self._shut_down = False
        self._begin()
        self._open()
        _executors.add(self)

    def _begin(self) -> None:
        """Nothing is submitted yet."""
        self._lock = threading.RLock()  # a finalizer may submit, too
        self._given: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._entering: dict[object, int] = {}  # submissions on their way, by the thread of each
        self._submissions: Submissions | None = None

    def _open(self) -> Submissions:
        if self._submissions is None:
            self._submissions = Submissions(self._options, _open_submissions.discard, facts=facts_here)
            _open_submissions.add(self._submissions)
            self._finalizer = weakref.finalize(self, _let_go, self._submissions)
            self._finalizer.atexit = False
        return self._submissions

    def _leave(self) -> None:
        """In a forked child: what was submitted, and those who run it, are the parent's."""
        self._finalizer.detach()
        self._begin()

    @overload
    def submit(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]: ...
    @overload
    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    def submit(self, fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Future[Any]:
        """Schedule `fn(*args, **kwargs)` and return its future.

        Raises:
            RuntimeError: after `shutdown`, and when the interpreter ends.
            OptionError: if `fn` is not callable, or async where the executor has a `backend`.
        """
        check_function(fn, self._options)
        return self._submit(fn, args, kwargs)

    def _submit(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        about: Callable[..., Any] | None = None,
    ) -> Future[Any]:
        with self._lock:
            if self._shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if _over or not threading.main_thread().is_alive():  # nobody would come to run it
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            own = self._options.backend
            if isinstance(own, BaseExecutor):  # its future says it best
                here = copy_context()  # context variables hold per call
                found = (None, here) if in_this_process(own) else (carried(here), None)
                spec = spec_of(partial(fn, **kwargs) if kwargs else fn, self._options, star=True)
                future: Future[Any] = own.submit(run_alone, spec, args, *found)
                self._given.add(future)
                return future
            submissions, token = self._open(), object()
            self._entering[token] = threading.get_ident()
        try:  # without the lock: a finalizer may submit in a thread for which this one has to wait now
            return submissions.submit(fn, args, kwargs, about)
        finally:
            self._entering.pop(token, None)

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """Like the built-in `map`, run in the background, as CPython 3.14 defines it.

        Args:
            fn: called with one item of each iterable.
            *iterables: collected at once, unless `buffersize` is given.
            timeout: seconds from this call until a result must be there, or None.
            chunksize: items that are run one after the other as one task.
            buffersize: tasks that may be submitted and not yet delivered; None submits all at once.

        Raises:
            TimeoutError: from the iterator, if a result is late.
            OptionError: if an argument cannot be meant.
            AutoexecError: if the input changes what it has handed out, and no copy can be made of that.
            RuntimeError: after `shutdown`.
        """
        wish = resolved({"timeout": timeout, "chunksize": chunksize, "buffersize": buffersize})
        timeout, chunksize, buffersize = wish.timeout, wish.chunksize or 1, wish.buffersize
        check_function(fn, self._options)
        if not iterables:
            raise OptionError("no items: give at least one iterable after the function")
        deadline = None if timeout is None else time.monotonic() + timeout
        rows = _rows(iterables, ahead=buffersize is None)
        if chunksize == 1 or is_async(fn):
            tasks: Iterator[Future[Any]] = (self.submit(fn, *row) for row in rows)
            return _results(tasks, deadline, buffersize)
        chunks = iter(lambda: list(islice(rows, chunksize)), [])
        tasks = (self._submit(_run_chunk, (fn, chunk), {}, fn) for chunk in chunks)
        return (value for values in _results(tasks, deadline, buffersize) for value in values)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; end the workers when what was submitted is done.

        Args:
            wait: return only then. One of its own calls cannot wait for itself: there it returns at once.
            cancel_futures: cancel what has not begun.
        """
        with self._lock:
            first, self._shut_down = not self._shut_down, True
        submissions = self._submissions
        wait = wait and (submissions is None or whose() is not submissions.scheduler)
        if submissions is not None and not submissions.scheduler.within:
            me = threading.get_ident()
            while any(thread != me for thread in list(self._entering.values())):
                time.sleep(ENTERING_S)
        if cancel_futures:
            if submissions is not None:
                submissions.cancel()
            for future in list(self._given):
                future.cancel()
        if wait:
            wait_for(list(self._given))
        if submissions is not None and (first or wait):
            submissions.close(wait=wait)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block when all calls are done; Ctrl-C cancels them and ends worker processes."""
        if error is not None and not isinstance(error, Exception):
            self._kill()
        try:
            self.shutdown()
        except BaseException:
            self._kill()
            raise

    def _kill(self) -> None:
        if self._submissions is not None:
            self._submissions.kill()

    @property
    def plans(self) -> dict[str, Plan]:
        """Where the functions learned so far are sent, and why, by their names."""
        return {} if self._submissions is None else self._submissions.describe()

    def __repr__(self) -> str:
        plans = ", ".join(f"{name}: {plan.backend}" for name, plan in self.plans.items())
        return f"<autoexec.Executor {plans or 'nothing learned yet'}>"


def _check(options: Options) -> None:
    """Refuse what the calls would not obey; the rows of the options say what that is."""
    wished = {name: row for name, row in ROWS.items() if getattr(options, name) != row.default}
    for name, row in wished.items():
        if row.executor:
            raise OptionError(f"{name}= {row.executor}")
    if isinstance(options.backend, BaseExecutor):
        for name, row in wished.items():
            if not row.theirs:
                raise OptionError(f"{name}= does not reach into an executor of yours; leave backend= out")


def _rows(iterables: tuple[Iterable[Any], ...], *, ahead: bool) -> Iterator[tuple[Any, ...]]:
    """The arguments of the calls, in the state in which the iterables handed them out."""
    if all(type(each) in (list, tuple, range, str, bytes, set, frozenset, dict) for each in iterables):
        return zip(*iterables, strict=False)  # what they hold is nobody's to change but the caller's
    from .engine.source import as_handed_out

    if len(iterables) == 1:
        return ((item,) for item in as_handed_out(iterables[0], "an executor", hold=ahead))
    return as_handed_out(zip(*iterables, strict=False), "an executor", hold=ahead)


def _run_chunk(fn: Callable[..., R], rows: list[tuple[Any, ...]]) -> list[R]:
    """In a worker: the results of some rows, or the error of the first that fails."""
    outcomes: list[Any] = []
    run_items(CallSpec(fn, star=True), rows, outcomes)
    try:
        if outcomes and isinstance(outcomes[-1], Error):
            raise outcomes[-1].error
        return outcomes
    finally:
        del outcomes, rows  # its traceback leads to this frame


def _results(tasks: Iterator[Future[R]], deadline: float | None, buffersize: int | None) -> Iterator[R]:
    """Submit now (all, or a buffer full), deliver as asked; as `concurrent.futures` does it."""
    futures = deque(islice(tasks, buffersize) if buffersize is not None else tasks)

    def deliver() -> Iterator[R]:
        try:
            while futures:
                first = [futures.popleft()]
                if buffersize is not None:
                    futures.extend(islice(tasks, 1))
                yield _outcome(first, deadline)  # which nothing here holds meanwhile
        finally:
            for waiting in futures:
                waiting.cancel()

    return deliver()


def _outcome(first: list[Future[R]], deadline: float | None) -> R:
    """The result of the future in the list, which is empty from then on."""
    future = first.pop()
    try:
        return future.result(None if deadline is None else deadline - time.monotonic())
    except TimeoutError:
        future.cancel()
        raise
    finally:
        del future


_executors: weakref.WeakSet[Executor] = weakref.WeakSet()
_open_submissions: set[Submissions] = set()
_over: list[bool] = []  # whether the interpreter ends, and what was submitted has been seen to
_left: list[
    Submissions
] = []  # in a forked child: never to be closed, nor forgotten, as that might close something


def _let_go(submissions: Submissions) -> None:
    """The executor is gone; its pending work is not."""
    submissions.close(wait=False)


@atexit.register
def _finish_all() -> None:
    """Pending work is finished when the interpreter exits, as with the standard library's executors.

    After Ctrl-C worker processes are ended instead: they do not hear of it themselves.
    """
    _over.append(True)
    ended_by = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    for submissions in list(_open_submissions):
        if isinstance(ended_by, KeyboardInterrupt):
            submissions.kill()
        submissions.close(wait=True)


def _in_child() -> None:
    """After any fork of this process: calls that are under way are the parent's, executors start afresh."""
    _left.extend(_open_submissions)
    _open_submissions.clear()
    for executor in list(_executors):
        executor._leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
