"""What a worker does with its tasks: load them, run their items, send back what became of each.

A worker has one seat, or several: threads that take tasks from sockets of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextvars import copy_context
from functools import partial
from pickle import dumps

from ... import resources
from ...own_time import time
from ...resident import WEIGHED_S, resident
from ...worker.context import of_call, prepare, taken_up
from ...worker.invoke import CallSpec, Error, run_items
from ...worker.remote_errors import Unsent, portable
from . import messages
from .payload import Apart, Payload, by_value, pack
from .status_page import StatusPage
from .surroundings import flush, hang_up, set_scene

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .channel import Channel, Frame

__all__ = ["Seat", "WorkerState"]

REST_S = 30.0  # seconds without a call after which a kept worker ends
UNSENT = "a result cannot be sent back from a worker process"
HINT = (
    "autoexec: arrays that come to a worker through shared memory are read-only; give writable='copy' "
    "for a private copy, or copy the array in the function"
)


class WorkerState:
    """What the seats of a worker share.

    Args:
        functions: functions known by number already (a forked worker inherits them).
        inherited: the input, where a forked worker inherits it.
        copied: the caller's sockets and pipes that a fork has copied, by `connections`.
    """

    def __init__(
        self,
        functions: dict[int, CallSpec] | None = None,
        inherited: Sequence[Any] | None = None,
        copied: dict[int, tuple[int, int]] | None = None,
    ) -> None:
        self.functions: dict[int, Any] = functions or {}
        self.inherited = inherited
        self._copied = copied or {}
        self.lock = threading.Lock()

    def rest(self, known: Collection[int]) -> None:
        """The call is over: let go of what belongs to it, but for the functions with these numbers."""
        self.inherited = None
        with self.lock:
            self.functions = {n: call for n, call in self.functions.items() if n in known}
            copied, self._copied = self._copied, {}
        if copied:
            hang_up(copied)


class Seat:
    """One place at which a worker runs tasks.

    Args:
        channel: to its supervisor.
        status: seen by both.
        state: what it shares with other seats.
        alone: whether there are none. Among others it does not weigh what items take: nobody could tell whose
            it is, and each of the three system calls for it would wait for the GIL.
    """

    def __init__(
        self, channel: Channel, status: StatusPage, state: WorkerState, *, alone: bool = True
    ) -> None:
        self._channel, self._status, self._state = channel, status, state
        self._serial = self._count = 0
        self._apart = Apart()
        self._refused: BaseException | None = None  # why the last result could not be sent
        self._alone = alone
        self._first = self._peak = 0  # bytes before a call's first item, and the most there ever were by then

    def serve(self) -> None:
        """Answer frames until the socket ends."""
        patience: float | None = None
        while True:
            try:
                if patience is not None and not self._channel.wait(patience):
                    return
                frame = self._channel.receive()
                patience = REST_S if frame.kind == messages.REST else None
                self._answer(frame)
            except (EOFError, OSError):
                return
            del frame

    def _answer(self, frame: Frame) -> None:
        if frame.kind == messages.TASK:
            self._task(frame)
        elif frame.kind == messages.FUNCTION:
            self._learn(frame)
        elif frame.kind == messages.SCENE:
            set_scene(*frame.load())
        elif frame.kind == messages.REST:
            resources.close_here()
            for spec in self._state.functions.values():
                if type(spec) is CallSpec and spec.surround is not None:
                    spec.surround.rest()
            self._state.rest(frame.load())
            self._first = 0
            self._status.weigh(0, 0)

    def _learn(self, frame: Frame) -> None:
        """A function that the tasks to come will call."""
        number = frame.serial
        self._status.loading(frame.first, function=True)
        with self._state.lock:
            if number not in self._state.functions:
                try:
                    self._state.functions[number] = frame.load()
                except BaseException as error:
                    self._state.functions[number] = Error(error)
        self._status.loading(0)

    def _task(self, frame: Frame) -> None:
        self._status.loading(frame.serial)
        self._serial, self._count, self._refused = frame.serial, 0, None
        try:
            number, start, items, *more = frame.load()
            spec = self._state.functions[number]
            if isinstance(items, int):
                assert self._state.inherited is not None
                items = self._state.inherited[start:items]
        except BaseException as error:
            self._status.take(frame.serial)
            self._done(error, 0.0, 0.0, messages.ITEMS_UNFIT)
            return
        self._status.loading(frame.serial, function=True)  # the initializer is not the item's own time
        unprepared = _prepared(spec)
        self._status.take(frame.serial)
        if type(spec) is Error:
            self._done(spec.error, 0.0, 0.0, messages.FUNCTION_UNFIT)
        elif unprepared is not None:
            self._done(unprepared, 0.0, 0.0)
        else:
            self._run(spec, start, items, *more)

    def _run(self, spec: CallSpec, place: int, items: Sequence[Any], values: Any = None) -> None:
        if self._alone and not self._first:
            self._first, self._peak = resident()
        cpu, wall = time.thread_time(), time.perf_counter()
        fresh = copy_context if spec.context is None else spec.in_worker
        if values is not None:  # of a call of its own
            fresh = partial(of_call, taken_up(values))
        surround = spec.surround
        if surround is not None and len(items):
            first = items[0] if spec.star else (items[0],)
            surround.begin(first if type(first) is tuple else ())
        run_items(spec, self._wanted(items), self, fresh, place=place)
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
        self._status.end()
        if self._first and wall > WEIGHED_S and (most := resident()[1]) > self._peak:
            self._status.weigh(self._first, most - self._first)
        flush()
        self._done(None, wall, cpu, lost="" if surround is None else surround.end())

    def _wanted(self, items: Sequence[Any]) -> Iterator[Any]:
        """The items, as long as the caller does not want the rest of the task back."""
        begin = self._status.begin
        for place, item in enumerate(items):
            if not begin(place):
                return
            yield item

    def append(self, value: Any) -> None:
        """Write an outcome down, or send it where it is large.

        Raises:
            TypeError: if it cannot be pickled.
        """
        if type(value) is Error:
            _hint(value.error)
            if value.error is self._refused:
                value = Unsent(value.error)
        apart = self._apart
        try:
            data = dumps(value, protocol=5, buffer_callback=apart)
        except Exception:  # a local class, a lambda: by value, perhaps
            apart.taken.clear()
            self._send(self._packed(value))
        else:
            taken, apart.taken = apart.taken, []  # now: what cannot be sent must not go with the next one
            if taken or not self._status.keep(data):
                self._send(Payload(data, taken))
        self._count += 1

    def _send(self, payload: Payload) -> None:
        """Send a result that has buffers, does not fit on the page, or took another pickler."""
        if payload.buffers or not self._status.keep(payload.data):
            self._send_log()
            if payload.buffers or not self._status.keep(payload.data):
                self._channel.send(messages.VALUE, payload, self._serial, self._count)
                payload.close()
                self._status.sent(self._count + 1)

    def _packed(self, value: Any) -> Payload:
        try:
            return _pack(value)
        except Exception as error:
            from ...unpicklable import refused

            self._status.stop()  # whether the rest may run here is for the caller to say
            self._refused = refused(value, "result", error, UNSENT)
            raise self._refused from error

    def _send_log(self) -> None:
        log = self._status.written()
        if len(log):
            self._channel.send(messages.LOG, Payload(log), self._serial, self._count)
            self._status.sent(self._count)

    def _done(
        self, error: BaseException | None, wall_s: float, cpu_s: float, unfit: int = 0, lost: str = ""
    ) -> None:
        problem = portable(error) if error is not None else None
        payload = _pack((problem, wall_s, cpu_s, unfit, lost))
        payload = Payload(payload.data, [*payload.buffers, self._status.written()])
        self._channel.send(messages.DONE, payload, self._serial, self._count)
        payload.close()


def _prepared(spec: Any) -> BaseException | None:
    """Run the initializer, if there is one and it has not run here; what it raised."""
    try:
        if type(spec) is CallSpec:
            prepare(spec)
    except BaseException as error:
        return error
    return None


def _pack(value: Any) -> Payload:
    try:
        return pack(value)
    except Exception:
        return by_value(value)


def _hint(error: BaseException) -> None:
    """Say how to get an array that can be written to, where that may be what failed."""
    if isinstance(error, (ValueError, TypeError, BufferError)):
        text = str(error)
        if "read-only" in text or "readonly" in text:
            from ...errors import add_note

            add_note(error, HINT)
