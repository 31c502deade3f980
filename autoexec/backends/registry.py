"""From the name in a plan to the backend; each is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable

from ..records import Plan
from .base import Backend, Chunk, Deliver
from .conduct import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor
    from typing import Any

__all__ = ["installed", "open_backend", "open_loop"]


def open_backend(plan: Plan, deliver: Deliver, setting: Setting) -> Backend:
    """The backend that `plan` names, ready for tasks.

    Args:
        plan: the plan.
        deliver: receives finished tasks.
        setting: what it is opened for.
    """
    if plan.backend == "threads":
        from .threads import ThreadBackend

        return ThreadBackend(plan.max_workers, deliver, native_threads=plan.native_threads)
    if plan.backend == "processes":
        return _processes(plan, deliver, setting)
    from .futures import FuturesBackend, in_this_process, loky_executor

    if plan.backend == "joblib":

        def renew() -> Executor:
            return loky_executor(plan.max_workers, plan.native_threads)

        return FuturesBackend(
            renew(),
            deliver,
            serialise=setting.serialise,
            renew=renew,
            name="joblib",
            most=2 * plan.max_workers,
        )
    executor = setting.executor
    return FuturesBackend(
        executor, deliver, serialise=None if in_this_process(executor) else setting.serialise
    )


def open_loop(plan: Plan, deliver: Deliver, *, loop: Any, blocked: Callable[[Chunk, float], None]) -> Backend:
    """The backend for async functions.

    Args:
        plan: the plan.
        deliver: receives finished tasks.
        loop: the caller's running event loop, or None for one of our own.
        blocked: told of calls that kept the loop from all others.
    """
    from .aio import AioBackend

    return AioBackend(plan.max_workers, deliver, loop=loop, blocked=blocked)


def _processes(plan: Plan, deliver: Deliver, setting: Setting) -> Backend:
    import os

    if os.name == "nt":  # no descriptors to hand down: the standard library's pool knows how
        from concurrent.futures import ProcessPoolExecutor

        from .futures import FuturesBackend

        pool = ProcessPoolExecutor(plan.max_workers)
        return FuturesBackend(pool, deliver, serialise=setting.serialise, owned=True, name="processes")
    from .processes import ProcessBackend

    return ProcessBackend(plan.max_workers, deliver, setting)


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    import sys
    from importlib.util import find_spec

    return package in sys.modules or find_spec(package) is not None
