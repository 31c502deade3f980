"""Process backends for tests: opened with few words, closed whatever happens."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from autoexec.backends.opening import Setting, TaskRules, WorkerConfig
from autoexec.backends.processes.backend import ProcessBackend
from autoexec.backends.processes.payload import Payload, pack
from autoexec.engine.tracks import Track
from autoexec.records import Plan
from autoexec.safety.hazards import dump
from autoexec.unpicklable import Unpicklable
from autoexec.worker.invoke import CallSpec, Error, Task, TaskResult
from tests.backends.partner import Partner


def _packed(call: Any) -> Payload:
    found = dump(call, pack)
    if isinstance(found, Unpicklable):
        raise TypeError(str(found))
    return found  # type: ignore[no-any-return]


def _bytes(call: Any) -> bytes:
    found = dump(call)
    assert isinstance(found, bytes)
    return found


SETTING = Setting(spec=None, serialise=_bytes, packed=_packed)


class Outcome:
    """What became of a task.

    Attributes:
        start: the place of its first item.
        values: results of its first items; where errors are captured, these too, as `Error`.
        error: what ended it, if it does not capture errors.
        result: the result as it was told.
    """

    def __init__(self, task: Task, result: TaskResult) -> None:
        self.start, self.result = task.place, result
        self.values, self.error = list(result.outcomes), None
        ends = self.values and type(self.values[-1]) is Error and not task.spec.capture
        if ends:
            self.error = self.values.pop().error
        self.where = result.worker
        self.wall_s, self.cpu_s = result.ended - result.began, result.cpu_s


class Opened(Partner):
    """A backend and what it has delivered."""

    def __init__(self, workers: int, setting: Setting, call: Any, *, capture: bool) -> None:
        plan = Plan("processes", workers, threads=setting.config.threads)

        def make(scheduler: Any, track: Track) -> ProcessBackend:
            return ProcessBackend(scheduler, workers, track.add, setting)

        super().__init__(make, plan, setting.spec if call is not None else None, capture=capture)

    def finished(self) -> Outcome:
        """What is delivered next."""
        done = self.next()
        return Outcome(done.task, done.result)

    def run(self, items: Sequence[Any], size: int, call: Any = None) -> dict[int, Any]:
        """All items in tasks of so many: results or errors by index.

        An item after the first error of a task that does not capture is missing.
        """
        found: dict[int, Any] = {}
        for start in range(0, len(items), size):
            self.submit(items[start : start + size], start, call)
        if self.capture:
            return self.collect(len(items))
        waiting = set(range(0, len(items), size))
        while waiting or self.scheduler._ledger.under_way() or not self.empty:
            one = self.finished()
            if one.result.outcomes:
                waiting.discard(one.start)
            found.update(outcome([one]))
        return found

    @property
    def pids(self) -> set[int]:
        """Its worker processes."""
        return {worker.pid for worker in self.backend._pool._workers}


def outcome(done: Any) -> dict[int, Any]:
    """Results and errors by index; an index that comes twice is an error."""
    found: dict[int, Any] = {}
    for each in done:
        values = [value.error if type(value) is Error else value for value in each.result.outcomes]
        for index, value in enumerate(values, each.start):
            assert index not in found
            found[index] = value
    return found


@contextmanager
def opened(
    call: Callable[..., Any] | None,
    workers: int = 1,
    *,
    fork: bool = False,
    capture: bool = False,
    config: WorkerConfig = SETTING.config,
    strict: bool = True,
    setting: Setting = SETTING,
    **rules: Any,
) -> Iterator[Opened]:
    """A backend of `workers` workers for `call`; what is left of it is ended afterwards."""
    spec = None if call is None else CallSpec(call, capture=capture)
    task_rules = TaskRules(strict=strict, **rules)
    setting = replace(setting, spec=spec, fork=fork, config=config, rules=task_rules)
    made = Opened(workers, setting, call, capture=capture)
    try:
        yield made
        if not made.backend.killed:
            made.finish()
    finally:
        made.kill()


def fork() -> int:
    """`os.fork`, though pytest's own native thread, which watches the time, is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
