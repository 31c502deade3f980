"""What a plan and the options say to worker processes: how they are started, how tasks are treated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..own_time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context
    from dataclasses import dataclass
    from typing import Any

    from ..records import Plan
    from ..worker.invoke import CallSpec
    from .base import Slot, Tasks
    from .processes.payload import Payload
else:
    from ..frozen import dataclass

__all__ = ["Opening", "Setting", "TaskRules", "WorkerConfig"]


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker is started with.

    Attributes:
        threads: seats in each worker process.
        cores: cores that each worker may use, its native libraries included.
        writable: whether arrays from shared memory may be written to: "" (an error), "copy" (in private), or
            "watched" (an error for who does, afterwards; code may ask for it, and not write).
        tracker: descriptor of the caller's tracker of shared memory, or -1; filled in when workers start.
    """

    threads: int = 1
    cores: int = 1
    writable: str = ""
    tracker: int = -1


@dataclass(frozen=True, slots=True)
class TaskRules:
    """How tasks are to be treated.

    Attributes:
        item_timeout: seconds after which the worker that runs an item is ended, or None.
        strict: whether an item that cannot be pickled is an error; else the caller runs it.
        alone: whether it must not run in another thread of the caller's then: the next plan has the rest.
        expected_s: seconds that an item should take, or 0.0 where nobody knows.
        state: what the function's behaviour depends on, or None where that cannot be told; workers that know
            a function in the same state need not be sent it again.
        keep: whether workers may serve a later call, too.
        travels: whether a worker that has not got the function behaves like the caller once it was sent it.
        starved: asked whether the kernel has ended processes for want of memory lately, while so many others
            ran a task.
        roomy: asked before each task whether there is memory for one more, given how many run, the most that
            an item was seen to add to a worker, and a way to find out what those that run, and one more,
            would still take if each came to so many bytes.
        again: asked, given an item's place, its arguments, and why its result cannot be sent, whether the
            caller itself calls it once more, and keeps the rest; told by that to do so.
    """

    item_timeout: float | None = None
    strict: bool = False
    alone: bool = False
    expected_s: float = 0.0
    state: Any = None
    keep: bool = True
    travels: bool = False
    starved: Callable[[int], bool] = lambda running: False
    roomy: Callable[[int, int, Callable[[int], int]], bool] = lambda running, most, still: True
    again: Callable[[int, tuple[object, ...], BaseException], bool] = lambda place, args, error: False


@dataclass(frozen=True, slots=True)
class Setting:
    """What a backend is opened for.

    Attributes:
        spec: what most tasks will call; forked workers inherit it.
        serialise: turns such a thing into bytes.
        packed: turns it into a payload.
        executor: the caller's own, where the plan names none of ours.
        fork: whether workers may be forked, here and now.
        inherited: the whole input, if forked workers should read it instead of being sent it.
        eager: whether workers should start before the first task.
        config: what worker processes are started with.
        rules: how they treat tasks.
        loop: the caller's running event loop, or None for one of our own.
        stayed: told how many items could not be sent to workers, or loaded there, and run here; and why.
        lacking: told what of the caller's state workers have not got.
        blocked: told of calls of async functions that kept the loop from all others.
        clock: tells the time, as `time.monotonic` does; worker processes have the machine's.
    """

    spec: CallSpec | None
    serialise: Callable[[CallSpec], bytes]
    packed: Callable[[CallSpec], Payload]
    executor: Any = None
    fork: bool = False
    inherited: Sequence[Any] | None = None
    eager: bool = False
    config: WorkerConfig = WorkerConfig()
    rules: TaskRules = TaskRules()
    loop: Any = None
    stayed: Callable[[int, BaseException], None] = lambda items, error: None
    lacking: Callable[[list[str]], None] = lambda names: None
    blocked: Callable[[Any, float], None] = lambda task, seconds: None
    clock: Callable[[], float] = time.monotonic

    @property
    def context(self) -> Context | None:
        """The caller's context variables, if they hold for all tasks."""
        return self.spec.context if self.spec is not None else None


@dataclass(frozen=True, slots=True)
class Opening:
    """All that a backend is opened with; `BackendInfo.open` gets it.

    Attributes:
        plan: what it is to carry out.
        tasks: the scheduler.
        add: makes a slot, for backends that are not elastic.
        setting: what it is for.
    """

    plan: Plan
    tasks: Tasks
    add: Callable[[], Slot]
    setting: Setting
