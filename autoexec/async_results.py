"""What `amap` returns: an async iterator over results that knows how they came about."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .results import Results

if TYPE_CHECKING:
    from types import TracebackType

    from .records import Plan, Profile
    from .statistics import Stats

R = TypeVar("R")

__all__ = ["AsyncResults", "Pulled"]


class AsyncResults(AsyncIterator[R], Generic[R]):
    """An async iterator over results; close it, or leave its `async with` block, to cancel what runs.

    The run is driven by a thread of its own, so that neither waiting for results nor functions that are not
    async hold up the event loop; calls of async functions are tasks in the caller's loop.

    Args:
        start: begins the run; called in that thread when the first result is asked for.
        sources: where its items come from, as far as that is the caller's loop.
    """

    def __init__(self, start: Callable[[], Results[R]], sources: Sequence[Pulled[Any]] = ()) -> None:
        self._begun: list[Results[R]] = []
        # It does not hold this object: results that are dropped, as by `break`, end at once.
        self._values = _iterate(start, sources, self._begun)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        return await self._values.__anext__()

    async def aclose(self) -> None:
        """Cancel the calls that run and wait until they are gone."""
        await self._values.aclose()  # type: ignore[attr-defined]

    async def __aenter__(self) -> AsyncResults[R]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def plan(self) -> Plan | None:
        """How the calls are run and why; None before the first result is asked for."""
        return self._begun[0].plan if self._begun else None

    @property
    def profile(self) -> Profile | None:
        """What one item costs; None while that is not measured."""
        return self._begun[0].profile if self._begun else None

    def stats(self) -> Stats:
        """What happened so far: calls, retries, refusals, latencies, concurrency, host by host."""
        from .statistics import Stats

        return self._begun[0].stats() if self._begun else Stats()

    def __repr__(self) -> str:
        return f"<autoexec.AsyncResults {self.plan if self.plan is not None else 'not begun yet'}>"


async def _iterate(
    start: Callable[[], Results[R]], sources: Sequence[Pulled[Any]], begun: list[Results[R]]
) -> AsyncIterator[R]:
    loop = asyncio.get_running_loop()
    driver = ThreadPoolExecutor(1, thread_name_prefix="autoexec-driver")
    context = contextvars.copy_context()
    starting = driver.submit(context.run, start)
    try:
        begun.append(await asyncio.wrap_future(starting))
        results = begun[0]

        def step() -> list[R] | BaseException | None:
            return context.run(results.take_block)

        while (values := await loop.run_in_executor(driver, step)) is not None:
            if isinstance(values, BaseException):
                try:
                    raise values
                finally:
                    del values  # its traceback leads to this frame
            for value in values:
                yield value
    finally:
        for source in sources:
            source.stop()
        if begun:
            begun[0].interrupt()
        await _end(loop, driver, starting)


async def _end(
    loop: asyncio.AbstractEventLoop, driver: ThreadPoolExecutor, starting: Future[Results[R]]
) -> None:
    """Let everything go; whoever cancels this meanwhile waits for it, too."""

    def close() -> None:
        if not starting.cancelled() and starting.exception() is None:
            starting.result().close()

    closing = loop.run_in_executor(driver, close)  # after the start, which may still go on
    cancelled = None
    while not closing.done():
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError as error:
            cancelled = error
    driver.shutdown(wait=False)
    if cancelled is not None:
        raise cancelled


class Pulled(Iterator[R]):
    """The items of an async iterable, for a thread other than its loop's."""

    def __init__(self, items: AsyncIterable[R], loop: asyncio.AbstractEventLoop) -> None:
        self._iterator, self._loop = aiter(items), loop
        self._waiting: Future[Any] | None = None
        self._stopped = False

    def __next__(self) -> R:
        self._waiting = asyncio.run_coroutine_threadsafe(self._step(), self._loop)
        if self._stopped:
            self._waiting.cancel()
        try:
            value = self._waiting.result()
        except CancelledError:
            if not self._stopped:
                raise
            value = self
        if value is self:
            raise StopIteration
        return value  # type: ignore[no-any-return]

    async def _step(self) -> Any:
        return await anext(self._iterator, self)

    def stop(self) -> None:
        """Give no more items, not even the one that is waited for; from any thread."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()
