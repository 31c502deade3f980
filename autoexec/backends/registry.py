"""From the name in a plan to the backend; each is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..records import Plan
from .base import Backend, Chunk, Deliver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["installed", "open_backend", "open_loop"]


def open_backend(
    plan: Plan,
    deliver: Deliver,
    *,
    call: Callable[..., Any] | None,
    executor: Any,
    fork: bool,
    inherited: Sequence[Any] | None,
    serialise: Callable[[Callable[..., Any]], bytes],
    eager: bool = False,
) -> Backend:
    """The backend that `plan` names, ready for tasks.

    Args:
        plan: the plan.
        deliver: receives finished tasks.
        call: the function most tasks will call.
        executor: the caller's own executor, where the plan names none of ours.
        fork: whether worker processes may be forked here and now.
        inherited: the input that forked workers should read.
        serialise: turns functions into bytes.
        eager: whether workers should start before the first task.
    """
    if plan.backend == "threads":
        from .threads import ThreadBackend

        return ThreadBackend(plan.max_workers, deliver, native_threads=plan.native_threads)
    if plan.backend == "processes":
        return _processes(plan, deliver, call, fork, inherited, serialise, eager)
    from .futures import FuturesBackend, in_this_process, loky_executor

    if plan.backend == "joblib":
        executor = loky_executor(plan.max_workers)
        return FuturesBackend(
            executor,
            deliver,
            serialise=serialise,
            renew=lambda: loky_executor(plan.max_workers),
            name="joblib",
            most=2 * plan.max_workers,
        )
    return FuturesBackend(executor, deliver, serialise=None if in_this_process(executor) else serialise)


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


def _processes(
    plan: Plan,
    deliver: Deliver,
    call: Callable[..., Any] | None,
    fork: bool,
    inherited: Sequence[Any] | None,
    serialise: Callable[[Callable[..., Any]], bytes],
    eager: bool,
) -> Backend:
    import os

    if os.name == "nt":  # no descriptors to hand down: the standard library's pool knows how
        from concurrent.futures import ProcessPoolExecutor

        from .futures import FuturesBackend

        pool = ProcessPoolExecutor(plan.max_workers)
        return FuturesBackend(pool, deliver, serialise=serialise, owned=True, name="processes")
    from .processes import ProcessBackend

    return ProcessBackend(
        plan.max_workers,
        deliver,
        serialise=serialise,
        call=call,
        fork=fork,
        inherited=inherited,
        native_threads=plan.native_threads,
        eager=eager,
    )


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    import sys
    from importlib.util import find_spec

    return package in sys.modules or find_spec(package) is not None
