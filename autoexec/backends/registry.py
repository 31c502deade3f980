"""From the name in a plan to the backend; each is imported when it is chosen."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..records import Plan
from .base import Backend, Slot, Tasks
from .conduct import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor
    from dataclasses import dataclass
else:
    from ..frozen import dataclass

__all__ = ["Shape", "installed", "open_backend", "shape_of"]

OUTSTANDING = 256  # calls that somebody else's executor holds at most, where it does not tell its workers
AHEAD = 2  # tasks for each worker of an executor: so that none waits for the next one


@dataclass(frozen=True, slots=True)
class Shape:
    """What a backend's workers look like to the scheduler.

    Attributes:
        most: slots at most.
        elastic: whether slots are made as they are needed.
        threaded: whether each slot has a thread that waits for its answer.
        ends_late: whether it ends calls that take longer than `item_timeout=` itself.
        bounded: whether it runs no more than the plan's number at once, however many tasks it is given.
    """

    most: int
    elastic: bool = False
    threaded: bool = True
    ends_late: bool = False
    bounded: bool = False


def shape_of(plan: Plan, executor: object = None) -> Shape:
    """The shape of the backend that `plan` names.

    Args:
        plan: the plan.
        executor: the caller's own, where the plan names none of ours.
    """
    if plan.backend == "threads":
        return Shape(plan.max_workers, elastic=True)
    if plan.backend == "asyncio":
        return Shape(plan.max_workers, elastic=True, threaded=False)
    if plan.backend == "processes" and os.name != "nt":  # there the standard library's pool is used
        return Shape(plan.at_once, ends_late=True)
    if plan.backend in ("joblib", "processes"):
        return Shape(AHEAD * plan.max_workers, elastic=True, threaded=False, bounded=True)
    from .executors import capacity

    return Shape(AHEAD * capacity(executor, OUTSTANDING // AHEAD), elastic=True, threaded=False)


def open_backend(plan: Plan, tasks: Tasks, add: Callable[[], Slot], setting: Setting) -> Backend:
    """The backend that `plan` names, ready to serve slots.

    Args:
        plan: the plan.
        tasks: the scheduler.
        add: makes a slot, for backends that are not elastic.
        setting: what it is opened for.

    Raises:
        OSError: if processes cannot be started.
        RuntimeError: if threads cannot be started.
    """
    context = setting.spec.context if setting.spec is not None else None
    if plan.backend == "threads":
        from .threads import ThreadBackend

        return ThreadBackend(tasks, plan.max_workers, context=context, native_threads=plan.native_threads)
    if plan.backend == "asyncio":
        from .event_loop import EventLoopBackend

        return EventLoopBackend(
            tasks, plan.max_workers, loop=setting.loop, blocked=setting.blocked, context=context
        )
    if plan.backend == "processes" and os.name != "nt":
        from .processes import ProcessBackend

        return ProcessBackend(tasks, plan.max_workers, add, setting)
    return _executor(plan, tasks, setting)


def _executor(plan: Plan, tasks: Tasks, setting: Setting) -> Backend:
    from .executors import ExecutorBackend, in_this_process, loky_executor

    if plan.backend == "joblib":

        def renew() -> Executor:
            return loky_executor(plan.max_workers, plan.native_threads)

        return ExecutorBackend(tasks, renew(), serialise=setting.serialise, renew=renew, name="joblib")
    if plan.backend == "processes":  # no descriptors to hand down: the standard library's pool knows how
        from concurrent.futures import ProcessPoolExecutor

        pool = ProcessPoolExecutor(plan.max_workers)
        return ExecutorBackend(tasks, pool, serialise=setting.serialise, owned=True, name="processes")
    executor = setting.executor
    return ExecutorBackend(
        tasks, executor, serialise=None if in_this_process(executor) else setting.serialise
    )


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it (nor importlib.util, which takes longer)."""
    import sys

    if package in sys.modules:
        return True
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return any(find is not None and find(package, None) is not None for find in finders)
