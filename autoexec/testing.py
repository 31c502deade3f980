"""For tests, yours and ours: a machine that is made up, a clock that the test sets, a backend that it moves.

What may live here: stand-ins for what the library is handed (the machine, the time, workers), and nothing
that it needs itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .own_time import time
from .records import Machine
from .worker.invoke import Error, Task, TaskResult, run_items

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .backends.base import Tasks
    from .backends.opening import Opening

__all__ = ["FakeBackend", "FakeClock", "made_up_machine"]


def made_up_machine(cores: int = 2, **facts: Any) -> Machine:
    """A machine of so many cores, to ask how a plan would look there.

    Args:
        cores: physical ones, all of which may be used.
        **facts: what else is known of it; see `autoexec.Machine`.

    >>> made_up_machine(64, memory_available=1 << 40).usable
    64
    """
    return Machine(**{**dict.fromkeys(("usable", "physical", "logical", "affinity"), cores), **facts})


class FakeClock:
    """Tells the time, and the CPU seconds of a process, that the test has set.

    >>> clock = FakeClock()
    >>> began = clock()
    >>> clock.go(2.5)
    >>> clock() - began
    2.5
    """

    def __init__(self) -> None:
        self.now, self.cpu = 1000.0, 0.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now

    def process(self) -> float:
        """CPU seconds."""
        return self.cpu

    def go(self, seconds: float, cores: float = 0.0) -> None:
        """Let time pass, with so many cores busy."""
        self.now += seconds
        self.cpu += seconds * cores


class FakeBackend:
    """A backend without workers: it runs each task as soon as it gets it, or the test ends it by hand.

    As `BackendInfo.open` it runs them at once, in the thread that hands them over.

    Args:
        opening: what a backend is opened with.
        tasks: the scheduler, where there is no `opening`.
        at_once: whether tasks are run at once; else the test says what becomes of each.
        clock: tells the time.

    Attributes:
        refuse: what `start` raises.
        started: slots for which a worker was to be started.
        abandoned: tasks that were given up.
        recalled: how often tasks were wanted back.
        closed: the arguments of every `close`.
        starting: whether its workers are not ready.
        sizes: items of each task that it was given.

    >>> import autoexec
    >>> autoexec.register_backend(autoexec.BackendInfo("fake", FakeBackend))
    >>> results = autoexec.map(str, [1, 2], backend="fake")
    >>> list(results), results.plan.backend
    (['1', '2'], 'fake')
    """

    name = "fake"

    def __init__(
        self,
        opening: Opening | None = None,
        *,
        tasks: Tasks | None = None,
        at_once: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tasks: Any = tasks if opening is None else opening.tasks
        self.refuse: Exception | None = None
        self.started: list[Any] = []
        self.abandoned: list[Task] = []
        self.recalled = 0
        self.closed: list[dict[str, bool]] = []
        self.starting = False
        self.sizes: list[int] = []
        self._at_once, self._clock, self._taking = at_once, clock, False
        self._out: list[tuple[Any, Task]] = []
        self._waiting: list[Any] = []  # slots that have a gate, and have asked

    # What the scheduler calls -----------------------------------------------------------------------------

    def start(self, slot: Any) -> None:
        """A slot may have a worker.

        Raises:
            Exception: what `refuse` says.
        """
        if self.refuse is not None:
            raise self.refuse
        self.started.append(slot)
        if slot.gate is not None:
            self._waiting.append(slot)

    def ring(self, rung: deque[Any]) -> None:
        """There are answers for these slots; what comes while one is taken is taken after it."""
        if self._taking:
            return
        self._taking = True
        try:
            while rung:
                slot = rung.popleft()
                self._take(slot, self.tasks.collect(slot))
        finally:
            self._taking = False

    def recall(self) -> None:
        """Tasks are wanted back; the test gives them, by `return_all`."""
        self.recalled += 1

    def abandon(self, slot: Any, task: Task) -> None:
        """Nobody waits for a task any more."""
        self._out = [(other, has) for other, has in self._out if has is not task]
        self.abandoned.append(task)

    def close(self, *, wait: bool = True, kill: bool = False) -> None:
        """It is noted."""
        self.closed.append({"wait": wait, "kill": kill})

    def costs(self) -> dict[str, float]:
        """Nothing was measured."""
        return {}

    # What the test calls ----------------------------------------------------------------------------------

    def ask(self, slot: Any) -> None:
        """A worker that is there from the beginning asks for its first task."""
        self._waiting.append(slot)
        self.look()

    def look(self) -> None:
        """Slots that have a gate see whether there is an answer for them."""
        moved = True
        while moved:
            moved = False
            for slot in list(self._waiting):
                found = self.tasks.next(slot, 0.0)
                if found is not None:
                    moved = True
                    self._waiting.remove(slot)
                    self._take(slot, found)

    def _take(self, slot: Any, answer: Any) -> None:
        if isinstance(answer, Task):
            if not answer.begin():
                self._end(slot, answer, TaskResult([], withdrawn=True))
                return
            self.sizes.append(len(answer.items))
            self._out.append((slot, answer))
            if self._at_once:
                self.run(answer)
        elif answer is not None:
            self.tasks.gone(slot)

    def _end(self, slot: Any, task: Task, result: TaskResult) -> None:
        if slot.gate is None:
            self.tasks.completed(slot, task, result)
        else:
            self.tasks.completed(slot, task, result, ask=False)
            self._waiting.append(slot)
            self.look()

    @property
    def tasks_out(self) -> list[Task]:
        """Its tasks, in the order in which they were given to it."""
        self.look()
        return [task for _, task in self._out]

    @property
    def out(self) -> list[Any]:
        """The first items of its tasks."""
        return [task.items[0] for task in self.tasks_out]

    def task(self, item: Any) -> Task:
        """The task with that first item."""
        return next(task for task in self.tasks_out if task.items[0] == item)

    def end(self, item: Any, *outcomes: Any, seconds: float = 0.01, cpu_s: float = 0.0) -> None:
        """The task of an item ends; exceptions among the outcomes stand for errors, none for the items."""
        self.end_task(self.task(item), *outcomes, seconds=seconds, cpu_s=cpu_s)

    def end_task(
        self, task: Task, *outcomes: Any, seconds: float = 0.01, cpu_s: float = 0.0, split: bool = False
    ) -> None:
        """A task ends; with `split` what it has not come to goes on one by one."""
        slot = next(slot for slot, has in self._out if has is task)
        self._out.remove((slot, task))
        self._end(slot, task, self.result(task, *outcomes, seconds=seconds, cpu_s=cpu_s, split=split))

    def late(self, slot: Any, task: Task, *outcomes: Any) -> None:
        """An answer that nobody waits for any more."""
        self.tasks.completed(slot, task, self.result(task, *outcomes), ask=False)

    def result(
        self, task: Task, *outcomes: Any, seconds: float = 0.01, cpu_s: float = 0.0, split: bool = False
    ) -> TaskResult:
        """What became of a task."""
        made = [Error(one) if isinstance(one, BaseException) else one for one in outcomes or task.items]
        now, clean = self._clock(), not any(type(one) is Error for one in made)
        return TaskResult(made, now - seconds, now, cpu_s, "the test", clean=clean, split=split)

    def run(self, task: Task, *, seconds: float = 0.01, cpu_s: float = 0.0) -> None:
        """A worker really calls the function, and takes as long as that says."""
        made: list[Any] = []
        run_items(task.spec, task.items, made, place=task.place)
        outcomes = [one.error if type(one) is Error else one for one in made]
        self.end_task(task, *outcomes, seconds=seconds, cpu_s=cpu_s)

    def return_all(self) -> None:
        """Workers give back what they have not begun, as after `recall`."""
        for slot, task in self._out:
            self.tasks.returned(slot, task)
            self.tasks.gone(slot)
        self._out.clear()
        self.look()
