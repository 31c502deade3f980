"""How results are taken in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .consume import PAUSE_S, PAUSES, Desk, Left, Taken

__all__ = ["consume_async"]


async def _take(desk: Desk, results: Any, upto: int | None = None) -> None:
    if upto == 0:
        return
    async for value in results:
        if desk.note(value) == upto:
            return
    desk.taken.complete = True


async def _all(desk: Desk) -> None:
    await _take(desk, desk.start())


async def _slow(desk: Desk) -> None:
    every = max(1, desk.count // PAUSES)
    results: Any = desk.start()
    async for value in results:
        if desk.note(value) % every == 0:
            await asyncio.sleep(PAUSE_S)
    desk.taken.complete = True


async def _break(desk: Desk) -> None:
    results = desk.start()
    await _take(desk, results, desk.leave)
    del results
    desk.taken.leave()


async def _never(desk: Desk) -> None:
    desk.start()
    desk.taken.leave()


async def _close(desk: Desk) -> None:
    results: Any = desk.start()
    await _take(desk, results, desk.leave)
    await results.aclose()
    desk.taken.leave(closed=True)
    if late := [value async for value in results]:
        desk.taken.remarks.append(f"late: {len(late)} results after aclose()")


async def _with(desk: Desk) -> None:
    results: Any = desk.start()
    async with results:
        await _take(desk, results, desk.leave)
    desk.taken.leave(closed=True)


async def _raise(desk: Desk) -> None:
    async def loop() -> None:
        results = desk.start()
        await _take(desk, results, desk.leave)
        if not desk.taken.complete:
            raise Left

    try:
        await loop()
    except Left:
        pass
    desk.taken.leave()


CONSUMERS: dict[str, Callable[[Desk], Awaitable[None]]] = {
    "all": _all,
    "slow": _slow,
    "break": _break,
    "never": _never,
    "close": _close,
    "with": _with,
    "raise": _raise,
}


async def consume_async(name: str, desk: Desk) -> Taken:
    """Take results; what comes out of the iterator is noted, too."""
    try:
        await CONSUMERS[name](desk)
    except BaseException as error:
        desk.taken.fail(error)
    return desk.taken
