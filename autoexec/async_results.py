"""What `amap` returns: an async iterator over results that knows how they came about."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .results import Results

if TYPE_CHECKING:
    from types import TracebackType

    from .records import Plan, Profile
    from .statistics import Stats

R = TypeVar("R")

__all__ = ["AsyncResults", "pulled"]


class AsyncResults(AsyncIterator[R], Generic[R]):
    """An async iterator over results; close it, or leave its `async with` block, to cancel what runs.

    The run is driven by a thread of its own, so that neither waiting for results nor functions that are not
    async hold up the event loop; calls of async functions are tasks in the caller's loop.

    Args:
        start: begins the run; called in that thread when the first result is asked for.
    """

    def __init__(self, start: Callable[[], Results[R]]) -> None:
        self._start = start
        self._results: Results[R] | None = None
        self._values = self._iterate()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        return await self._values.__anext__()

    async def _iterate(self) -> AsyncIterator[R]:
        loop = asyncio.get_running_loop()
        driver = ThreadPoolExecutor(1, thread_name_prefix="autoexec-driver")
        context = contextvars.copy_context()
        starting = driver.submit(context.run, self._start)
        try:
            self._results = await asyncio.wrap_future(starting)
            blocks = self._results.blocks

            def step() -> list[R] | None:
                return context.run(next, blocks, None)

            while (values := await loop.run_in_executor(driver, step)) is not None:
                for value in values:
                    yield value
        finally:
            await self._end(loop, driver, starting)

    async def _end(
        self, loop: asyncio.AbstractEventLoop, driver: ThreadPoolExecutor, starting: Future[Results[R]]
    ) -> None:
        """Let everything go; whoever cancels this meanwhile waits for it, too."""

        def close() -> None:
            if not starting.cancelled() and starting.exception() is None:
                starting.result().close()

        if self._results is not None:
            self._results.interrupt()
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
        return self._results.plan if self._results is not None else None

    @property
    def profile(self) -> Profile | None:
        """What one item costs; None while that is not measured."""
        return self._results.profile if self._results is not None else None

    def stats(self) -> Stats:
        """What happened so far: calls, retries, refusals, latencies, concurrency, host by host."""
        from .statistics import Stats

        return self._results.stats() if self._results is not None else Stats()

    def __repr__(self) -> str:
        return f"<autoexec.AsyncResults {self.plan if self.plan is not None else 'not begun yet'}>"


def pulled(items: AsyncIterable[R], loop: asyncio.AbstractEventLoop) -> Iterator[R]:
    """The items of an async iterable, for a thread other than its loop's."""
    iterator = aiter(items)
    end = object()

    async def step() -> Any:
        return await anext(iterator, end)

    while True:
        value = asyncio.run_coroutine_threadsafe(step(), loop).result()
        if value is end:
            return
        yield value
