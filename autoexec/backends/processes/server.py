"""What a worker does with its tasks: load them, run their items, send back what became of each.

A worker has one seat, or several: threads that take tasks from sockets of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextvars import copy_context
from functools import partial

from ... import resources
from ...errors import EffectLost
from ...file_maps import dumps
from ...introspect import name_of
from ...known_objects import at_hand, results
from ...own_time import time
from ...resident import WEIGHED_S, resident
from ...worker.context import of_call, prepare, taken_up
from ...worker.generators import give_entropy
from ...worker.invoke import CallSpec, Error, run_items
from ...worker.packed import pack_home
from ...worker.process_state import settle, take_over
from ...worker.remote_errors import Unsent, portable
from . import handles, messages
from .payload import Apart, Payload, by_value, pack
from .status_page import StatusPage
from .surroundings import flush
from .written import Writes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...known_objects import Known
    from .channel import Channel, Frame

__all__ = ["Seat", "WorkerState"]

REST_S = 30.0  # seconds without a call after which a kept worker ends
UNSENT = "a result cannot be sent back from a worker process"
WROTE = "writes to an array that reached it through shared memory"
INSTEAD = "Give writable='copy' for a private copy, return what is to be kept, or use backend='threads'"
HINT = (
    "autoexec: arrays that come to a worker through shared memory are read-only; give writable='copy' "
    "for a private copy, or copy the array in the function"
)


class WorkerState:
    """What the seats of a worker share.

    Args:
        functions: functions known by number already (a forked worker inherits them).
        inherited: the input, where a forked worker inherits it.
        copied: the caller's descriptors that a fork has copied.
    """

    def __init__(
        self,
        functions: dict[int, CallSpec] | None = None,
        inherited: Sequence[Any] | None = None,
        copied: handles.Copied | None = None,
    ) -> None:
        self.functions: dict[int, Any] = functions or {}
        self.inherited = inherited
        self._copied = copied
        self.lock = threading.Lock()

    def rest(self, known: Collection[int]) -> None:
        """The call is over: let go of what belongs to it, but for the functions with these numbers."""
        self.inherited = None
        with self.lock:
            self.functions = {n: call for n, call in self.functions.items() if n in known}
            copied, self._copied = self._copied, None
        if copied is not None:
            copied.let_go()


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
        self._writes = Writes()
        self._spec: CallSpec | None = None
        self._known: Known | None = None  # the table of the function that runs
        self._dumps: Callable[..., bytes] = dumps
        self._unsettled: dict[str, Any] = {}  # of what the caller has set for its process
        self._unfit: Exception | None = None  # why this worker cannot have that
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
            self._take_over(frame)
        elif frame.kind == messages.REST:
            resources.close_here()
            for spec in self._state.functions.values():
                if type(spec) is CallSpec and spec.surround is not None:
                    spec.surround.rest()
            self._state.rest(frame.load())
            self._known, self._dumps = None, dumps
            self._first = 0
            self._status.weigh(0, 0)

    def _take_over(self, frame: Frame) -> None:
        """What the caller has set for its process; some of it only makes sense once a function is there."""
        try:
            self._unfit = None
            self._unsettled = take_over(frame.load())
        except Exception as error:
            self._unfit = error

    def _settle(self, spec: Any) -> None:
        """Set what has waited for the function and its modules.

        Items find it in the context of their call, which was made before.
        """
        scene, self._unsettled = self._unsettled, {}
        context = spec.context if type(spec) is CallSpec else None
        try:
            with self._state.lock:
                settle(scene, () if context is None else (context,))
        except Exception as error:
            self._unfit = error

    def _learn(self, frame: Frame) -> None:
        """A function that the tasks to come will call."""
        number = frame.serial
        self._status.loading(frame.first, function=True)
        with self._state.lock:
            known = self._state.functions.get(number)
            if known is None or type(known) is Error:  # which may have passed
                try:
                    self._state.functions[number] = spec = frame.load()
                    give_entropy(getattr(spec, "call", None))
                except BaseException as error:
                    self._state.functions[number] = Error(error)
        self._status.loading(0)

    def _task(self, frame: Frame) -> None:
        self._status.loading(frame.serial)
        self._serial, self._count, self._refused = frame.serial, 0, None
        try:
            spec: Any = self._state.functions.get(frame.first)  # so far only whose table its items go by
            self._known = spec.known if type(spec) is CallSpec else None
            with at_hand(self._known):
                number, start, items, *more = frame.load()
            spec = self._state.functions[number]
            if isinstance(items, int):
                assert self._state.inherited is not None
                items = self._state.inherited[start:items]
        except BaseException as error:
            self._status.take(frame.serial)
            self._done(error, 0.0, 0.0, messages.ITEMS_UNFIT)
            return
        if self._unsettled:
            self._settle(spec)
        if self._unfit is not None:
            spec = Error(self._unfit)
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
        self._dumps = results(self._known)
        cpu, wall = time.thread_time(), time.perf_counter()
        fresh = copy_context if spec.context is None else spec.in_worker
        if values is not None:  # of a call of its own
            fresh = partial(of_call, taken_up(values))
        surround = spec.surround
        if len(items):
            spec.begin(items[0])
        self._spec = spec
        run_items(spec, self._wanted(items), self, fresh, place=place)
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
        self._status.end()
        if self._first and wall > WEIGHED_S and (most := resident()[1]) > self._peak:
            self._status.weigh(self._first, most - self._first)
        flush()
        lost, home = ("", []) if surround is None else surround.end()
        if not lost and self._writes.found(last=True):
            lost, home = self._wrote(), []
        self._spec = None  # at rest nothing holds the function's data
        self._done(None, wall, cpu, left=(lost, home))

    def _wrote(self) -> str:
        return f"{'an item' if self._spec is None else name_of(self._spec.call)} {WROTE}"

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
        if type(value) is Error and value.error is self._refused:
            value = Unsent(value.error)
        elif type(value) is not Error and self._writes.found():
            value = Error(EffectLost(f"{self._wrote()}, in a worker process: that is lost. {INSTEAD}"))
        apart = self._apart
        try:
            if type(value) is Error:
                _hint(value.error)
                with at_hand(self._known):
                    data = dumps(value, protocol=5)
            else:
                data = self._dumps(value, protocol=5, buffer_callback=apart)
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
            with at_hand(self._known):
                return by_value(value)
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
        self,
        error: BaseException | None,
        wall_s: float,
        cpu_s: float,
        unfit: int = 0,
        left: tuple[str, list[Any]] | None = None,
    ) -> None:
        lost, entries = left or ("", [])
        with at_hand(self._known):
            problem = portable(error) if error is not None else None
            unsent, home = pack_home(entries)  # by themselves: they may not load, and spoil nothing then
        payload = pack((problem, wall_s, cpu_s, unfit, lost or unsent, home))
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


def _hint(error: BaseException) -> None:
    """Say what to do, where an array that cannot be written to or a lost connection may be what failed."""
    handles.explain(error)
    if isinstance(error, (ValueError, TypeError, BufferError)):
        text = str(error)
        if "read-only" in text or "readonly" in text:
            from ...errors import add_note

            add_note(error, HINT)
