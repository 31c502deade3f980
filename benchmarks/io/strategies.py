"""The ways to run waiting work, each as its user would write it.

Libraries are imported inside, because the import is part of what a run costs.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any

__all__ = ["OURS", "PEERS", "Job", "Unavailable", "at_once", "missing", "run"]

OURS = ("autoexec", "autoexec_async")
# Those of a fixed number of threads are called `threads8`, `threads32` and so on; `threads` is the default.
PEERS = (
    "threads",
    "threads32",
    "threads128",
    "joblib",
    "joblib32",
    "gather32",
    "gather128",
    "aiometer32",
    "aiometer128",
)
RETRIES = 20


class Unavailable(Exception):
    """This strategy does not exist here."""


class Job:
    """What to run: a blocking function, the same as an async function if there is one, and the items."""

    def __init__(
        self,
        call: Callable[[Any], Any],
        items: Sequence[Any],
        acall: Callable[[Any], Awaitable[Any]] | None = None,
        refuses: bool = False,
    ) -> None:
        self.call, self.items, self.acall, self.refuses = call, items, acall, refuses

    def patient(self) -> Callable[[Any], Any]:
        """The blocking function; after a refusal it sleeps as long as it is told, and tries again."""
        if not self.refuses:
            return self.call
        from functools import partial

        return partial(_patient, self.call)

    def apatient(self) -> Callable[[Any], Awaitable[Any]]:
        """The async function, equally patient; without one, the blocking one in a thread."""
        from functools import partial

        if self.acall is None:
            return partial(_in_thread, self.call)
        return partial(_apatient, self.acall) if self.refuses else self.acall


def _patient(call: Callable[[Any], Any], item: Any) -> Any:
    from time import sleep

    while True:
        try:
            return call(item)
        except Exception as error:
            sleep(_retry_after(error))


async def _apatient(acall: Callable[[Any], Awaitable[Any]], item: Any) -> Any:
    from asyncio import sleep

    while True:
        try:
            return await acall(item)
        except Exception as error:
            await sleep(_retry_after(error))


def _retry_after(error: Exception) -> float:
    """Seconds to wait; an error that is no refusal is raised again."""
    response = getattr(error, "response", None)
    if response is None or response.status_code != 429:
        raise error
    return float(response.headers["Retry-After"])


async def _in_thread(call: Callable[[Any], Any], item: Any) -> Any:
    from asyncio import to_thread

    return await to_thread(call, item)


def threads(job: Job, count: int | None) -> list[Any]:
    """`ThreadPoolExecutor`."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(job.patient(), job.items))


def joblib(job: Job, count: int | None) -> list[Any]:
    """`joblib.Parallel` with threads."""
    from joblib import Parallel, delayed

    call, jobs = job.patient(), -1 if count is None else count
    return Parallel(n_jobs=jobs, backend="threading")(delayed(call)(item) for item in job.items)


def gather(job: Job, count: int | None) -> list[Any]:
    """`asyncio.gather` with a semaphore."""
    import asyncio

    async def main() -> list[Any]:
        acall, semaphore = job.apatient(), asyncio.Semaphore(count or 32)

        async def one(item: Any) -> Any:
            async with semaphore:
                return await acall(item)

        _make_room(job, count)
        return await asyncio.gather(*map(one, job.items))

    return asyncio.run(main())


def aiometer(job: Job, count: int | None) -> list[Any]:
    """`aiometer.run_all`."""
    import asyncio
    from functools import partial

    import aiometer

    async def main() -> list[Any]:
        _make_room(job, count)
        acall = job.apatient()
        calls = [partial(acall, item) for item in job.items]
        return await aiometer.run_all(calls, max_at_once=count)

    return asyncio.run(main())


def _make_room(job: Job, count: int | None) -> None:
    """Let `asyncio.to_thread` have as many threads as calls may run."""
    if job.acall is None:
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(count))


def autoexec(job: Job, count: int | None) -> list[Any]:
    """`autoexec.map`."""
    import autoexec

    return list(autoexec.map(job.call, job.items, **_options(job)))


def autoexec_async(job: Job, count: int | None) -> list[Any]:
    """`autoexec.map` of an async function."""
    import autoexec

    if job.acall is None or not hasattr(autoexec, "amap"):
        raise Unavailable
    return list(autoexec.map(job.acall, job.items, **_options(job)))


def _options(job: Job) -> dict[str, Any]:
    return {"retries": RETRIES} if job.refuses else {}


_FAMILIES = {
    function.__name__: function for function in (threads, joblib, gather, aiometer, autoexec, autoexec_async)
}


def _parts(name: str) -> tuple[str, int | None]:
    """ "threads32" is ("threads", 32)."""
    family = name.rstrip("0123456789")
    if family not in _FAMILIES:
        raise SystemExit(f"unknown strategy {name!r}; there are {', '.join((*PEERS, *OURS))}")
    return family, int(name[len(family) :]) if name != family else None


def run(name: str, job: Job) -> list[Any]:
    """All results by the strategy of that name."""
    family, count = _parts(name)
    return _FAMILIES[family](job, count)


def at_once(name: str) -> int | None:
    """How many calls the strategy has under way at most; None for those that find out."""
    family, count = _parts(name)
    if family in OURS or count:
        return count
    cores = os.cpu_count() or 1
    return min(32, cores + 4) if family == "threads" else cores


def missing(name: str) -> bool:
    """Whether the strategy's package is not installed."""
    from importlib.util import find_spec

    family = _parts(name)[0]
    return family in ("joblib", "aiometer") and find_spec(family) is None
