"""The plain loop behind the library's doors: what it gives must never be wrong, or the schedules are.

    python -m tests.schedules 0 2000 --kind threads --library tests.schedules.plain

Items run in the thread that asks for the result. Of the options it knows what schedules use of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import pickle
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from autoexec.errors import BrokenWorker, ItemTimeout, JournalError

from .faults import Refusal

__all__ = ["Executor", "amap", "map", "parallel", "shutdown", "starmap"]

GONE = object()  # what is skipped
_journals: dict[str, dict[Any, Any]] = {}


def map(func: Callable[..., Any], *iterables: Iterable[Any], **options: Any) -> Results:
    """The loop over one or several iterables."""
    rows = zip(*iterables, strict=False) if len(iterables) > 1 else ((item,) for item in iter(iterables[0]))
    return Results(Loop(func, options), iter(rows))


def starmap(func: Callable[..., Any], iterable: Iterable[Iterable[Any]], **options: Any) -> Results:
    """The loop over tuples of arguments."""
    return Results(Loop(func, options), (tuple(row) for row in iterable))


def shutdown() -> None:
    """There is nothing to end."""


class Loop:
    """Calls a function, item by item, as the options say."""

    def __init__(self, func: Callable[..., Any], options: dict[str, Any]) -> None:
        self.func, self.options = func, options
        self.ready: set[int] = set()
        self.count = 0
        timeout = options.get("timeout")
        self.until = None if timeout is None else time.monotonic() + timeout
        self.known = _journals.setdefault(options["journal"], {}) if "journal" in options else None

    def outcome(self, row: tuple[Any, ...]) -> Any:
        """The value of an item, its error where errors are returned, `GONE` where they are skipped.

        Raises:
            BaseException: the item's error.
        """
        self.in_time()
        place, self.count = self.count, self.count + 1
        if self.known is not None and place in self.known:
            return self.known[place]
        try:
            value = self._tried(row)
            self._keep(place, value)
        except BrokenWorker:
            raise
        except Exception as error:
            error.add_note(f"item {place} (...)")
            return self._failed(error)
        return value

    def _failed(self, error: Exception) -> Any:
        how = self.options.get("on_error", "raise")
        if how == "raise":
            raise error
        return error if how == "return" else GONE

    def in_time(self) -> None:
        """Look at the clock.

        Raises:
            TimeoutError: if the time for all is over.
        """
        if self.until is not None and time.monotonic() > self.until:
            raise TimeoutError("not complete")

    def _keep(self, place: int, value: Any) -> None:
        if self.known is None:
            return
        try:
            pickle.dumps(value)
        except Exception as error:
            raise JournalError(str(error)) from error
        self.known[place] = value

    def _tried(self, row: tuple[Any, ...]) -> Any:
        if callable(self.options.get("per")):
            self.options["per"](*row)
        policy = self.options.get("retries", 0)
        most = policy + 1 if isinstance(policy, int) else policy.stop.max_attempt_number
        for attempt in range(1, most + 1):
            try:
                value = self._in_time_of_one(row)
            except BrokenWorker:
                raise
            except Exception as error:
                if attempt == most or not self._worth(error):
                    raise
            else:
                if attempt == most or getattr(value, "status_code", 200) == 200:
                    return value
        raise AssertionError

    def _worth(self, error: Exception) -> bool:
        on = self.options.get("retry_on")
        if on is None:
            return isinstance(error, (ConnectionError, TimeoutError, Refusal))
        return isinstance(error, on) if isinstance(on, type) else bool(on(error))

    def _in_time_of_one(self, row: tuple[Any, ...]) -> Any:
        limit = self.options.get("item_timeout")
        if limit is None or limit > 1.0:
            return self._prepared(row)
        found: Future[Any] = Future()

        def call() -> None:
            try:
                found.set_result(self._prepared(row))
            except BaseException as error:
                found.set_exception(error)

        threading.Thread(target=call, name="autoexec-plain").start()
        try:
            return found.result(limit)
        except TimeoutError as error:
            raise error if found.done() else ItemTimeout("too long") from error

    def _prepared(self, row: tuple[Any, ...]) -> Any:
        initializer, here = self.options.get("initializer"), threading.get_ident()
        if initializer is not None and here not in self.ready:
            try:
                initializer(*self.options.get("initargs", ()))
            except Exception as error:
                raise BrokenWorker("unfit") from error
            self.ready.add(here)
        return contextvars.copy_context().run(self._call, row)

    def _call(self, row: tuple[Any, ...]) -> Any:
        value = self.func(*row)
        return _awaited(value) if asyncio.iscoroutine(value) else value


def _awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    loop = asyncio.new_event_loop()  # `asyncio.run` asks a task that has failed for its repr
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


class Results:
    """The loop as an iterator; several threads may share it."""

    def __init__(self, loop: Loop, rows: Iterator[tuple[Any, ...]]) -> None:
        self._loop, self._rows = loop, rows
        self._closed, self._lock = False, threading.Lock()

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> Any:
        with self._lock:
            while not self._closed:
                try:
                    row = next(self._rows)
                except BaseException:
                    self._closed = True  # an iterator that is at its end stays there
                    raise
                value = self._loop.outcome(row)
                if value is not GONE:
                    return value
        raise StopIteration

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncResults:
    """The loop as an async iterator."""

    def __init__(self, values: AsyncIterator[Any]) -> None:
        self._values: Any = values

    def __aiter__(self) -> AsyncResults:
        return self

    async def __anext__(self) -> Any:
        return await self._values.__anext__()

    async def aclose(self) -> None:
        """Nothing more will come."""
        await self._values.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def amap(func: Callable[..., Any], *iterables: Any, **options: Any) -> AsyncResults:
    """The loop in a thread of its own, so that an event loop goes on."""

    async def values() -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        plain = [_pulled(aiter(one), loop) if hasattr(one, "__aiter__") else one for one in iterables]
        results = map(func, *plain, **options)
        while (value := await asyncio.to_thread(_next_in_thread, results)) is not GONE:
            if isinstance(value, Raised):
                raise value.error
            yield value

    return AsyncResults(values())


def _pulled(items: AsyncIterator[Any], loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """The items of an async iterator, for a thread other than its loop's."""

    async def step() -> Any:
        return await anext(items, GONE)

    while (item := asyncio.run_coroutine_threadsafe(step(), loop).result()) is not GONE:
        yield item


class Raised:
    """An error on its way to another thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _next_in_thread(results: Results) -> Any:
    try:
        return next(results, GONE)
    except BaseException as error:
        return Raised(error)


class Decorated:
    """A function with the doors."""

    def __init__(self, func: Callable[..., Any], options: dict[str, Any]) -> None:
        self._func, self._options = func, options

    def map(self, *iterables: Iterable[Any], **options: Any) -> Results:
        """The loop."""
        return map(self._func, *iterables, **{**self._options, **options})

    def starmap(self, iterable: Iterable[Any], **options: Any) -> Results:
        """The loop over tuples of arguments."""
        return starmap(self._func, iterable, **{**self._options, **options})

    def submit(self, *args: Any) -> Future[Any]:
        """One call."""
        return _shared().submit(self._func, *args)


@functools.cache
def _shared() -> Executor:
    return Executor()


def parallel(func: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Give a function the doors."""
    return Decorated(func, options) if func is not None else lambda func: Decorated(func, options)


class Executor(ThreadPoolExecutor):
    """The standard library's threads, with the options around each call."""

    def __init__(self, **options: Any) -> None:
        one = options.get("backend") == "serial"
        workers = (
            1
            if one
            else min(options.get("max_workers", 8), getattr(options.get("backend"), "_max_workers", 8))
        )
        super().__init__(workers, thread_name_prefix="autoexec-plain")
        self._options, self._loops = options, dict[Any, Loop]()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """One call."""
        loop = self._loops.setdefault(fn, Loop(fn, self._options))
        return super().submit(loop.outcome, args)

    def map(self, fn: Callable[..., Any], *iterables: Any, **options: Any) -> Any:
        """All at once, or as the loop does it where the standard library has no way yet."""
        if "buffersize" in options:
            return (value for value in map(fn, *iterables, **{**self._options, **options}))
        return super().map(fn, *iterables, **options)
