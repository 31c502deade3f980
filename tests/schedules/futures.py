"""Calls that are submitted one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, as_completed, wait
from dataclasses import dataclass, field
from typing import Any

from .faults import reveal

__all__ = ["FUTURES", "Settled", "settle"]

CANCELLED = ("cancelled",)


@dataclass
class Settled:
    """What became of submitted calls.

    Attributes:
        outcomes: of each, or `CANCELLED`.
        cancels: whether some may be cancelled.
        over: when the executor was shut down, in nanoseconds.
        remarks: what is wrong in itself.
    """

    outcomes: list[Any] = field(default_factory=list)
    cancels: bool = False
    over: int | None = None
    remarks: list[str] = field(default_factory=list)


@dataclass
class Submitting:
    """What calls are submitted with.

    Attributes:
        executor: where to, or None for the one that all decorated functions share.
        submit: submits one item.
        rows: the items.
        leave: calls after which the consumer does what it is named for.
    """

    executor: Any
    submit: Callable[[Any], Future[Any]]
    rows: list[Any]
    leave: int
    settled: Settled = field(default_factory=Settled)

    def all(self) -> list[Future[Any]]:
        """Submit everything."""
        return [self.submit(row) for row in self.rows]

    def end(self) -> None:
        """Shut down the executor, if it is ours."""
        if self.executor is not None:
            self.executor.shutdown()
            self.settled.over = time.perf_counter_ns()


def _in_order(work: Submitting) -> list[Future[Any]]:
    futures = work.all()
    wait(futures)
    work.end()
    return futures


def _as_completed(work: Submitting) -> list[Future[Any]]:
    futures = work.all()
    came = sum(1 for _ in as_completed(futures))
    if came != len(futures):
        work.settled.remarks.append(f"lost: as_completed gave {came} of {len(futures)} futures")
    work.end()
    return futures


def _with(work: Submitting) -> list[Future[Any]]:
    if work.executor is None:
        return _in_order(work)
    with work.executor:
        futures = work.all()
    work.settled.over = time.perf_counter_ns()
    _expect_done(work, futures)
    return futures


def _cancelling(work: Submitting) -> list[Future[Any]]:
    """Some are cancelled at once."""
    work.settled.cancels = True
    futures = work.all()
    for future in futures[work.leave :]:
        future.cancel()
    work.end()
    return futures


def _shutting_down(work: Submitting) -> list[Future[Any]]:
    """What has not begun is cancelled."""
    if work.executor is None:
        return _in_order(work)
    work.settled.cancels = True
    futures = work.all()
    wait(futures[: work.leave])
    work.executor.shutdown(cancel_futures=True)
    work.settled.over = time.perf_counter_ns()
    _expect_done(work, futures)
    try:
        work.submit(work.rows[0])
    except RuntimeError:
        return futures
    work.settled.remarks.append("late: the executor took a call after shutdown()")
    return futures


def _dropping(work: Submitting) -> list[Future[Any]]:
    """The executor is dropped; its calls are finished."""
    futures = work.all()
    work.executor = work.submit = None  # type: ignore[assignment]
    wait(futures)
    return futures


def _expect_done(work: Submitting, futures: list[Future[Any]]) -> None:
    if waiting := sum(not future.done() for future in futures):
        work.settled.remarks.append(f"lost: {waiting} futures are not done after shutdown()")


FUTURES: dict[str, Callable[[Submitting], list[Future[Any]]]] = {
    "all": _in_order,
    "as completed": _as_completed,
    "with": _with,
    "cancel": _cancelling,
    "shutdown": _shutting_down,
    "drop": _dropping,
}


def settle(name: str, work: Submitting) -> Settled:
    """Submit everything and wait for what becomes of it."""
    work.settled.outcomes = [_outcome(future) for future in FUTURES[name](work)]
    return work.settled


def _outcome(future: Future[Any]) -> Any:
    if future.cancelled():
        return CANCELLED
    error = future.exception()
    return reveal(future.result() if error is None else error)
