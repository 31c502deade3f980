"""A desk on a stage: a clock that the test sets, and a backend whose calls the test ends by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autoexec.backends.base import Chunk, Failure, Finished
from autoexec.engine.desk import Desk
from autoexec.engine.hosts import Hosts
from autoexec.options import resolve


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Reply:
    """A response as HTTP libraries return them."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class HTTPError(Exception):
    """An error that carries a response."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.response = Reply(status, **headers)


class Inner:
    """A backend that only takes notes.

    Attributes:
        out: tasks submitted and not yet ended, in the order in which they were submitted.
        begun: those of them that a worker has taken.
        lost: tasks that were given up.
        closed: the arguments of every `close`.
        queues: whether it has a queue, from which it gives back what no worker has taken.
    """

    def __init__(self, ended: Callable[[Finished], None]) -> None:
        self.ended, self.queues = ended, False
        self.out: list[Any] = []
        self.begun: list[Any] = []
        self.lost: list[Any] = []
        self.closed: list[dict[str, bool]] = []

    def submit(self, chunk: Chunk) -> None:
        self.out.append(chunk)

    def abandon(self, chunk: Chunk) -> None:
        if chunk in self.out:
            self.out.remove(chunk)
            self.begun.remove(chunk)
            self.lost.append(chunk)

    def withdraw(self) -> list[Chunk]:
        back = [job for job in self.out if self.queues and job not in self.begun]
        self.out = [job for job in self.out if job not in back]
        return back

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        self.closed.append({"wait": wait, "kill": kill})


class Still:
    """Stands where the desk's own thread would be: the test moves the time instead."""

    def join(self) -> None:
        """There is nothing to wait for."""


class Scene:
    """A desk, what is behind it and what came out of it.

    Args:
        clock: the time.
        cap: calls at once at most; 0 leaves that to the backend.
        keep: the desk's journal.
        hosts: those of another desk, which this one shares.
        free: whether the backend alone decides how many calls run at once.
        wishes: options.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        cap: int = 0,
        keep: Any = None,
        hosts: Hosts | None = None,
        free: bool = False,
        **wishes: Any,
    ) -> None:
        self.clock, self.done = clock, list[Finished]()
        options = resolve(wishes)
        self.hosts = hosts or Hosts(options)
        if cap:
            self.hosts.adapt(cap, None, None, 0.0)
        self.inner: Inner
        self.desk = Desk(
            self.hosts,
            self.done.append,
            self._open,
            subject=lambda chunk: (chunk.items[0], chunk.star),
            keep=keep,
            free=free,
        )
        self.alarms = self.desk._alarms
        self.alarms._thread = Still()  # type: ignore[assignment]
        self._count = 0

    def _open(self, ended: Callable[[Finished], None]) -> Inner:
        self.inner = Inner(ended)
        return self.inner

    def give(self, *items: Any, begin: Callable[[], bool] | None = None) -> None:
        """Submit each item as a task."""
        for item in items:
            self.give_task([item], begin)

    def give_task(self, items: list[Any], begin: Callable[[], bool] | None = None) -> None:
        """Submit several items as one task."""
        self.desk.submit(Chunk(self._count, items, abs, begin=begin))
        self._count += len(items)

    @property
    def out(self) -> list[Any]:
        """The first items of the tasks that are at the backend."""
        return [job.items[0] for job in self.inner.out]

    def begin(self, item: Any) -> bool:
        """A worker takes the task of an item."""
        job = self._job(item)
        if job.begin is not None and not job.begin():
            self.inner.out.remove(job)
            return False
        self.inner.begun.append(job)
        return True

    def end(self, item: Any, *values: Any, error: BaseException | None = None) -> None:
        """A worker, which takes the task now if it has not, is done with it."""
        job = self._job(item)
        if job not in self.inner.begun:
            assert self.begin(item)
        self.inner.out.remove(job)
        self.inner.begun.remove(job)
        self.deliver(job, *values, error=error)

    def deliver(self, job: Any, *values: Any, error: BaseException | None = None) -> None:
        """What a worker would report."""
        self.inner.ended(Finished(job, list(values), error, 0.01, 0.0, "the test"))

    def _job(self, item: Any) -> Any:
        return next(job for job in self.inner.out if job.items[0] == item)

    def wait(self, seconds: float) -> None:
        """Let time pass, alarm by alarm."""
        until = self.clock.now + seconds
        while self.alarms._due and self.alarms._due[0][0] <= until:
            self.clock.now = max(self.clock.now, self.alarms._due[0][0])
            with self.hosts.lock:
                self.alarms.wait()
            self.alarms._after()
        self.clock.now = until

    def outcomes(self) -> dict[Any, Any]:
        """What came out, by item."""
        found: dict[Any, Any] = {}
        for finished in self.done:
            for place, item in enumerate(finished.chunk.items):
                assert item not in found, "delivered twice"
                found[item] = finished.values[place] if finished.error is None else finished.error
        return {item: value.error if isinstance(value, Failure) else value for item, value in found.items()}
