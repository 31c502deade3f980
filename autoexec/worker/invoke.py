"""The call: the one place where a user's function is called, on every backend and from every door.

Rule 1: whoever runs items runs them by `run_items`, `run_task` or `run_async`. Rule 2: each item runs in a
copy of the context of its call, so that what it sets reaches neither the next one nor the caller. Rule 3:
what an item raises becomes a value here; nobody below has to catch anything.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial

from ..errors import BrokenWorker
from ..introspect import importable
from ..own_time import time
from .context import changed, of_call, prepare, prepared, taken_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any, Protocol

    from ..known_objects import Known

    class Surround(Protocol):
        """What stands around the tasks of a function in a worker process."""

        def begin(self, args: tuple[Any, ...]) -> None:
            """A task begins; its first item's arguments."""

        def end(self) -> tuple[str, list[Any]]:
            """It has ended; what went wrong meanwhile, in words, or "", and what is to go home."""

        def came(self, place: int, entries: list[Any], /) -> str:
            """In the caller's process: what the task at a place sends home; what is wrong with it, or ""."""

        def over(self) -> str:
            """In the caller's process: the run has ended; what is wrong with what was sent home, or ""."""

        def rest(self) -> None:
            """The call that the worker served is over."""

    class Around(Protocol):
        """What stands around each item, wherever it runs; it is sent along with the function."""

        def __call__(self, place: int, args: tuple[Any, ...], /) -> AbstractContextManager[Any]:
            """What is entered before the call of the item at a place, and left after it, in its context.

            What that gives, if not None, are more keyword arguments. Places count the items of the run: with
            a journal those that it does not hold yet.
            """

    class Outcomes(Protocol):
        """Takes what becomes of each item, in order."""

        def append(self, outcome: Any, /) -> object: ...


__all__ = [
    "Apart",
    "CallSpec",
    "Error",
    "Task",
    "TaskResult",
    "fatal",
    "is_clean",
    "run_alone",
    "run_async",
    "run_items",
    "run_task",
    "serving",
]


class _Serving(threading.local):
    """Whose worker a thread is.

    Attributes:
        tasks: the scheduler that it asks for tasks, or None.
        depth: calls that it runs while it waits for them, one inside the other.
    """

    tasks: Any = None
    depth = 0


serving = _Serving()


class Apart:
    """Calls the user's code in a frame that leads nowhere.

    The traceback of an error holds on to the frame that called, and to those above it: in the caller's own
    thread they lead to whoever takes the results, and so to the results. The frame of a generator that is
    suspended has none above it. One call at a time; not for calls within a call.
    """

    __slots__ = ("_frame",)

    def __init__(self) -> None:
        self._frame = self._calls()
        next(self._frame)

    @staticmethod
    def _calls() -> Generator[Any, tuple[Callable[..., Any], tuple[Any, ...]], None]:
        found: list[Any] = [None]
        while True:
            call, args = yield found.pop()  # while it waits for the next call it holds on to nothing
            try:
                found.append(call(*args))
            except BaseException as error:
                found.append(Error(error))
            del call, args

    def __call__(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call a function.

        Raises:
            BaseException: what it raised.
        """
        found = self._frame.send((call, args))
        if type(found) is Error:
            try:
                raise found.error
            finally:
                del call, args, found  # its traceback leads to this frame
        return found


class Error:
    """An item's error as a value, standing in its place among outcomes."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        from .remote_errors import portable

        return _failed, (portable(self.error),)

    def __repr__(self) -> str:
        return f"Error({self.error!r})"


def _failed(data: bytes) -> Error:
    """An error that has crossed a process border."""
    from .remote_errors import restored

    return Error(restored(data))


def fatal(error: BaseException) -> bool:
    """Whether an error is more than one item's own: SystemExit and the like, or a worker that is unfit."""
    return not isinstance(error, Exception) or isinstance(error, BrokenWorker)


class CallSpec:
    """What a run calls, and how; made once for a run.

    Attributes:
        call: the function.
        star: whether items are argument tuples.
        capture: whether an item's error is a value among others; else it ends its task.
        initializer: called with `initargs` once in every worker before its first item, or None.
        initargs: its arguments.
        token: by what a worker remembers that it ran.
        context: the caller's context variables at the call, or None where each worker has its own.
        together: whether the items of a task may share one copy of the context, because nothing in code and
            sample sets a variable; compared after the task, and unset by the first that does.
        sets: the name of a context variable that an item was seen to set, or "".
        values: in a fresh worker what its caller's context variables had, by module and name.
        around: what stands around each item, on every backend, the outermost first.
        surround: what stands around each task in a worker process, or None; handed in by the engine.
        known: what the function reaches that goes by numbers to other processes and back, or None until then.
    """

    __slots__ = (
        "around", "call", "capture", "context", "initargs", "initializer", "known", "sets", "star",
        "surround", "together", "token", "values",
    )  # fmt: skip

    def __init__(
        self,
        call: Callable[..., Any],
        *,
        star: bool = False,
        capture: bool = False,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        token: str = "",
        context: contextvars.Context | None = None,
        around: tuple[Around, ...] = (),
    ) -> None:
        self.call, self.star, self.capture = call, star, capture
        self.initializer, self.initargs = initializer, initargs
        self.token = token or (_token() if initializer is not None else "")
        self.context, self.together, self.sets = context, False, ""
        self.values: dict[tuple[str, str], Any] = {}
        self.around = around
        self.surround: Surround | None = None
        self.known: Known | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        own = (self.call, self.star, self.capture, self.initializer, self.initargs, self.token, self.values)
        return _arrived, (*own, self.around, self.surround, self.known)

    @property
    def importable(self) -> bool:
        """Whether a fresh interpreter finds all that it holds under its name: then plain pickle will do."""
        found = importable(self.call) and not self.values and all(importable(one) for one in self.around)
        return found and (self.initializer is None or (importable(self.initializer) and not self.initargs))

    def know(self) -> Known:
        """The table of what the function reaches, as it was when this was first asked."""
        if self.known is None:
            from ..known_objects import known_to

            self.known = known_to(self.call, self.initializer, *self.initargs)
        return self.known

    def begin(self, item: Any) -> None:
        """A task begins in a worker process, with this item: what stands around tasks is told."""
        if self.surround is not None:
            args = item if self.star else (item,)
            self.surround.begin(args if type(args) is tuple else ())

    def in_worker(self) -> contextvars.Context:
        """The same in a worker, which has objects of its own."""
        assert self.context is not None
        return of_call(self.context)

    def fresh_context(self) -> contextvars.Context:
        """A context of its own for an item."""
        return contextvars.copy_context() if self.context is None else self.context.copy()


def _arrived(
    call: Callable[..., Any],
    star: bool,
    capture: bool,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
    token: str,
    values: dict[tuple[str, str], Any],
    around: tuple[Around, ...] = (),
    surround: Surround | None = None,
    known: Known | None = None,
) -> CallSpec:
    """A spec in another process."""
    spec = CallSpec(
        call, star=star, capture=capture, initializer=initializer, initargs=initargs, token=token,
        around=around,
    )  # fmt: skip
    spec.values, spec.surround, spec.known = values, surround, known
    if values:
        spec.context = taken_up(values)
    return spec


def _token() -> str:
    import uuid

    return uuid.uuid4().hex


class Task:
    """Items that one worker runs one after the other.

    Attributes:
        serial: its number, as given out; another one at each try.
        spec: what to call.
        place: of its first item, in the order in which the input was pulled.
        items: the items; argument tuples if `spec.star`.
        attempt: how often its only item has begun, or 0.
        group: whose limits hold for it, or None.
        future: for whom it runs, if not for a map.
        context: the context of its own call, or None for that of its spec.
        since: when its only item was begun first, by `time.monotonic`.
        notes: what became of earlier tries.
        ticket: what the limits of its group know it by.
        route: which backends may run it: those that serve this route.
        asked: whether `begin` was asked already.
        alone: whether it must not go together with others: it was cut out of a larger one.
    """

    __slots__ = (
        "alone",
        "asked", "attempt", "context", "future", "group", "items", "notes", "place", "route", "serial",
        "since", "spec", "ticket",
    )  # fmt: skip

    def __init__(self, spec: CallSpec, place: int, items: Sequence[Any]) -> None:
        self.spec, self.place, self.items = spec, place, items
        self.serial = self.attempt = 0
        self.group: Any = None
        self.future: Any = None
        self.context: contextvars.Context | None = None
        self.since = 0.0
        self.notes: list[str] = []
        self.ticket: Any = None
        self.route: Any = None
        self.asked = self.alone = False

    def begin(self) -> bool:
        """Whether anybody still wants it; asked by the worker that takes it."""
        if self.future is None or self.asked:
            return True
        self.asked = True
        return bool(self.future.set_running_or_notify_cancel())

    def __repr__(self) -> str:
        return f"<Task {self.serial}: {len(self.items)} from {self.place}>"


class TaskResult:
    """What became of a task.

    Attributes:
        outcomes: what became of its first items: values, or `Error`s. Items behind these have not begun.
        began: when it began, by `time.monotonic`.
        ended: when it ended.
        cpu_s: CPU seconds of the worker's thread.
        worker: the worker, for notes ("process 4711").
        clean: whether there is no `Error` among the outcomes, as far as that is known.
        split: whether what is left of it has to go item by item.
        withdrawn: whether nobody wanted it any more: nothing of it was begun.
    """

    __slots__ = ("began", "clean", "cpu_s", "ended", "outcomes", "split", "withdrawn", "worker")

    def __init__(
        self,
        outcomes: list[Any],
        began: float = 0.0,
        ended: float = 0.0,
        cpu_s: float = 0.0,
        worker: str = "",
        *,
        clean: bool = False,
        split: bool = False,
        withdrawn: bool = False,
    ) -> None:
        self.outcomes, self.began, self.ended, self.cpu_s, self.worker = (
            outcomes, began, ended, cpu_s, worker,
        )  # fmt: skip
        self.clean, self.split, self.withdrawn = clean, split, withdrawn


def run_items(
    spec: CallSpec,
    items: Iterable[Any],
    outcomes: Outcomes,
    fresh: Callable[[], contextvars.Context] | None = None,
    place: int = 0,
) -> None:
    """Call the function for each item; what becomes of it goes to `outcomes`.

    It ends with the items, or with an error: any where `spec.capture` is False, else one that is more than
    the item's own affair (`SystemExit`, `KeyboardInterrupt`, an initializer that failed).

    Args:
        spec: what to call.
        items: from where the items are taken one by one, just before they are run.
        outcomes: a list, or what stands for one.
        fresh: makes the context of an item; None for the spec's own.
        place: of the first item, in the order in which the input was pulled.
    """
    fresh = spec.fresh_context if fresh is None else fresh
    if spec.initializer is not None:
        try:
            found = prepare(spec)
        except BaseException as error:
            outcomes.append(Error(error))
            return
        if found:
            fresh = partial(prepared, fresh, found)
    call, star = spec.call, spec.star
    if spec.around:
        call, star, items = partial(_call_within, spec), True, enumerate(items, place)
    if spec.together:
        context = fresh()
        before = context.copy()
        context.run(_call_each, call, star, spec.capture, items, outcomes, None)
        if name := changed(before, context):
            spec.together, spec.sets = False, name
    else:
        _call_each(call, star, spec.capture, items, outcomes, fresh)
    items = outcomes = ()  # type: ignore[assignment]


# The traceback of an error holds on to the frames of whoever called the function, and through their variables
# to items and outcomes, the error itself among them: a cycle. So these functions leave none behind.


def _call_each(
    call: Callable[..., Any],
    star: bool,
    capture: bool,
    items: Iterable[Any],
    outcomes: Outcomes,
    fresh: Callable[[], contextvars.Context] | None,
) -> None:
    iterator, going = iter(items), True
    while going:
        going = False
        try:
            _call_all(call, star, iterator, outcomes, fresh)
        except BaseException as error:
            outcomes.append(Error(error))
            going = capture and not fatal(error)
    del items, outcomes, iterator


def _call_all(
    call: Callable[..., Any],
    star: bool,
    items: Iterator[Any],
    out: Outcomes,
    fresh: Callable[[], contextvars.Context] | None,
) -> None:
    """The four loops: for single arguments or tuples, in one context for all or one for each.

    `out.append` is looked up each time: CPython knows how to add to a list without calling anything. (A `map`
    in C would take an item's StopIteration for its own.)
    """
    item: Any = None
    try:
        if fresh is not None:
            if star:
                for item in items:
                    out.append(fresh().run(call, *item))
            else:
                for item in items:
                    out.append(fresh().run(call, item))
        elif star:
            for item in items:
                out.append(call(*item))
        else:
            for item in items:
                out.append(call(item))
    finally:
        del items, out, item


def _call_within(spec: CallSpec, place: int, item: Any) -> Any:
    """Call the function for one item, within what stands around each."""
    args = item if spec.star else (item,)
    try:
        return _within(spec.call, spec.around, place, args, {})
    finally:
        del item, args


def _within(
    call: Callable[..., Any],
    around: tuple[Around, ...],
    place: int,
    args: tuple[Any, ...],
    more: dict[str, Any],
) -> Any:
    """The same, within those of them that are still to be entered."""
    try:
        if not around:
            return call(*args, **more)
        with around[0](place, args) as found:
            return _within(call, around[1:], place, args, {**more, **found} if found else more)
    finally:
        del args, more


def run_task(spec: CallSpec, task: Task, worker: str, items: Iterator[Any] | None = None) -> TaskResult:
    """Run the items of a task in this thread, each in a copy of the thread's own context.

    Args:
        spec: what to call.
        task: the task.
        worker: who runs it, for notes.
        items: an iterator over its items, where somebody else may exhaust it; the others have not begun.
    """
    if task.future is not None and not task.begin():
        return TaskResult([], worker=worker, withdrawn=True)
    outcomes: list[Any] = []
    fresh = contextvars.copy_context if task.context is None else partial(of_call, task.context)
    cpu, began = time.thread_time(), time.monotonic()
    run_items(spec, task.items if items is None else items, outcomes, fresh, place=task.place)
    cpu, ended = time.thread_time() - cpu, time.monotonic()
    clean = type(outcomes[0]) is not Error if len(outcomes) == 1 else is_clean(spec, outcomes)
    results = [TaskResult(outcomes, began, ended, cpu, worker, clean=clean)]
    del task, items, outcomes
    return results.pop()


def run_alone(
    spec: CallSpec,
    args: tuple[Any, ...],
    values: dict[tuple[str, str], Any] | None = None,
    context: contextvars.Context | None = None,
) -> Any:
    """Run one call that no scheduler knows of, in a worker of somebody else's executor.

    Args:
        spec: what is called, once.
        args: its arguments.
        values: what the caller's context variables had, where this is another process.
        context: a context of the call's own, where it is not.

    Raises:
        BaseException: what it raises.
    """
    if values:
        context = taken_up(values)
    outcomes: list[Any] = []
    try:
        run_items(spec, (args,), outcomes, None if context is None else context.copy)
        if type(outcomes[0]) is Error:
            raise outcomes[0].error
        return outcomes[0]
    finally:
        del outcomes, args


def is_clean(spec: CallSpec, outcomes: Sequence[Any]) -> bool:
    """Whether there is no `Error` among outcomes; without `spec.capture` only the last can be one."""
    if not spec.capture:
        return not outcomes or type(outcomes[-1]) is not Error
    return not any(type(outcome) is Error for outcome in outcomes)


def run_async(spec: CallSpec, item: Any, place: int = 0) -> Any:
    """Call an async function for an item: what is to be awaited."""
    if spec.around:
        return _await_within(spec.call, spec.around, place, item if spec.star else (item,), {})
    return spec.call(*item) if spec.star else spec.call(item)


async def _await_within(
    call: Callable[..., Any],
    around: tuple[Around, ...],
    place: int,
    args: tuple[Any, ...],
    more: dict[str, Any],
) -> Any:
    """Await an async function for one item, within what stands around each."""
    if not around:
        return await call(*args, **more)
    with around[0](place, args) as found:
        return await _await_within(call, around[1:], place, args, {**more, **found} if found else more)
