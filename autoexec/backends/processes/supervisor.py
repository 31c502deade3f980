"""A thread of the caller that serves one seat of a worker: it sends tasks and takes in what they come to.

At most two tasks are with the worker, so that it need not wait for this thread between them; the page that
both share says which of them it has begun. When the worker dies, only the item that was running is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from ...known_objects import at_hand
from ...own_time import time
from ...worker.invoke import TaskResult, run_items
from ...worker.packed import load_home
from ...worker.process_state import difference, holds, with_what_crosses
from ...worker.remote_errors import restored
from . import exit_messages as exits
from . import messages
from .fuse import Fuse
from .payload import Payload, by_value, load, pack
from .sent import Sent
from .standstill import Standstill
from .status_page import entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..base import Slot
    from .backend import ProcessBackend
    from .channel import Frame
    from .worker import Seat

__all__ = ["Supervisor"]

AHEAD_S = 0.05  # a task shorter than this is sent before the one that runs has ended
LOADING_S = 30.0  # seconds that a function, or a worker's first items, may take to load under item_timeout=
AGAIN_S = 0.2  # seconds until another try to start a worker
HUNG = 1  # stands for the exit code of a worker that we had to end
MOMENT_S = 0.02  # seconds in which the caller may hear that the rest is its own
LOOK_S = 1.0  # seconds between two looks whether anything moves


class Supervisor:
    """One seat's thread.

    Args:
        backend: whose tasks it takes.
        slot: what it asks for tasks by.
        seat: a seat that is there already, or None: one is found when the first task comes.

    Attributes:
        seeks: whether a worker is being started for it.
    """

    def __init__(self, backend: ProcessBackend, slot: Slot, seat: Seat | None) -> None:
        self._backend, self._slot, self._seat = backend, slot, seat
        self._sent: deque[Sent] = deque()
        self._pace = 1.0  # seconds of the last task
        self._began_s = 0.0  # when the task that runs was sent, or the one before it ended
        self._place = 0
        self._too_late = False
        self.seeks = self._stays = self._useless = False
        self._still = Standstill(backend.clock)
        self._fuse = Fuse(backend.clock)  # for workers that ended before they began anything

    @property
    def seat(self) -> Seat | None:
        """The seat it serves now."""
        return self._seat

    @property
    def running(self) -> Sent | None:
        """The task that its worker has, or is about to have."""
        try:
            return self._sent[0]
        except IndexError:
            return None

    def load(self, now: float) -> tuple[int | None, float]:
        """Items that its worker has still to begin of the task that it runs (None: it runs none), and for how
        many seconds it runs it.
        """
        task, seat = self.running, self._seat
        if task is None or seat is None:
            return None, 0.0
        place = seat.status.place if seat.status.serial == task.serial else None
        self._place = place or 0
        return (0 if place is None else len(task.task.items) - 1 - place), now - self._began_s

    def pace(self, ran_s: float) -> float:
        """Seconds per item of the task that runs."""
        return ran_s / (self._place + 1)

    def cut(self) -> None:
        """Have the worker stop after the item that it runs."""
        seat = self._seat
        if seat is not None:
            seat.status.stop()

    def run(self) -> None:
        """Serve until there are no more tasks."""
        try:
            if self._seat is None and self._backend.eager:
                self._find_seat(None)
            while self._serve():
                pass
        except BaseException as error:  # a fault of ours: nobody may wait for ever for what is under way
            self._backend.tasks.crashed(error)
        finally:
            self._leave()

    def _leave(self) -> None:
        seat, self._seat = self._seat, None
        try:
            self._backend.give_back(seat)
        except BaseException as error:
            self._backend.tasks.crashed(error)
        finally:
            self._slot.left = self._slot.left or self._backend.killed
            self._backend.tasks.gone(self._slot)

    def _serve(self) -> bool:
        """Send what may be sent, and wait for what comes; False when nothing more will."""
        try:
            if not self._feed():
                return False
            self._listen()
        except Exception as error:  # such as a lack of memory: nobody may wait for ever for what is under way
            if not self._sent:
                raise
            self._abandon(error)
        return True

    def _abandon(self, error: Exception) -> None:
        """This thread failed: so do its tasks, and its worker ends with them."""
        seat, self._seat = self._seat, None
        tasks, self._sent = list(self._sent), deque()
        if seat is not None:
            seat.worker.end(kill=True)
            self._backend.buried(seat)
        for task in tasks:
            task.stop(error)
            self._conclude(task, "the caller: it failed to serve a worker process")

    # Out --------------------------------------------------------------------------------------------------

    def _feed(self) -> bool:
        """Send what may be sent; False when nothing is under way and nothing will come."""
        while len(self._sent) < self._depth():
            if self._useless:
                return False
            if self._sent:
                task = self._backend.tasks.ahead(self._slot)
            else:
                task = self._backend.next_task(self._slot, self._seat)
            if task is None:
                return bool(self._sent) and not self._backend.killed
            if self._backend.halted:  # it has its turn elsewhere
                self._conclude(Sent(task), "")
                time.sleep(MOMENT_S)
            elif task.begin():
                self._send(Sent(task))
            else:
                result = TaskResult([], worker=self._where(), withdrawn=True)
                self._backend.tasks.completed(self._slot, task, result, ask=False)
        return True

    def _depth(self) -> int:
        if not self._sent or self._stays or self._backend.item_timeout is not None:
            return 1  # an item must not wait behind one that takes too long
        return 2 if self._pace < AHEAD_S else 1

    def _send(self, task: Sent) -> None:
        seat = self._seat or self._find_seat(task)
        if seat is None:
            return
        number = self._backend.functions.number(task.task.spec)
        try:
            function = None if number in seat.known else self._backend.functions.payload(task.task.spec)
        except BaseException as error:  # the user's code may raise SystemExit, too
            self._stay(task, error)
            return
        try:
            payload = self._backend.encode(task, number, seat)
        except BaseException as error:
            if len(task.rest) > 1:
                task.single = True  # which of the items is it?
                self._conclude(task, "")
            else:
                self._stay(task, self._backend.explained(error, task))
            return
        self._began_s = self._began_s if self._sent else self._backend.clock()
        self._sent.append(task)
        try:
            self._catch_up(seat)
            if function is not None:
                seat.channel.send(messages.FUNCTION, function, number, task.serial, busy=self._take)
                seat.known.add(number)
            seat.channel.send(messages.TASK, payload, task.serial, number, busy=self._take)
        except (OSError, EOFError):
            self._mourn()
        finally:
            payload.close()

    def _catch_up(self, seat: Seat) -> None:
        """Tell a worker of an earlier call where the caller works now."""
        scene = self._backend.scene
        if seat.scene is not scene:
            changes = difference(scene, seat.scene, copy=seat.worker.forked)
            if changes:
                payload = _packed(changes, self._backend.lacking)
                seat.channel.send(messages.SCENE, payload, busy=self._take)
            seat.scene = scene

    def _find_seat(self, task: Sent | None) -> Seat | None:
        self.seeks = True
        try:
            self._seat = self._backend.seat()
        except Exception as error:  # whatever it is: nobody may wait for a worker that does not come
            self.seeks = False
            if task is not None and self._backend.served:  # others are there for it
                self._conclude(task, "")
                self._useless = not isinstance(error, OSError)  # which may pass
                if not self._useless:
                    time.sleep(AGAIN_S)
            elif task is not None:
                self._nobody(task, error)
        finally:
            self.seeks = False
        return self._seat

    def _nobody(self, task: Sent, error: Exception) -> None:
        """No worker is there, nor can be started: the next plan is used, unless this one was asked for."""
        if self._backend.strict:
            task.fail_all(exits.not_started(error))
        self._conclude(task, "the caller: no worker could be started")
        if not self._backend.strict:
            self._backend.tasks.failed(self._slot, error)

    def _stay(self, task: Sent, error: BaseException) -> None:
        """What comes next cannot be sent: it runs here, where it has its meaning, unless that is refused."""
        self._stays = True
        if self._sent:  # the worker runs another one: that would be two at once
            self._conclude(task, "")
            return
        if self._backend.alone:  # this is no place for it either
            self._conclude(task, "")
            self._backend.tasks.failed(self._slot, error)
            return
        if self._backend.strict:
            task.fail_all(error)
        else:
            self._backend.stayed(len(task.rest), error)
            wall, cpu = self._backend.clock(), time.thread_time()
            run_items(task.task.spec, task.rest, Adding(task), place=task.index())
            task.wall_s += self._backend.clock() - wall
            task.cpu_s += time.thread_time() - cpu
        self._conclude(task, "the caller: it cannot be sent to a worker process")

    # In ---------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Wait for what comes next: a frame, the end of the worker, or the end of patience."""
        seat = self._seat
        if seat is None or not self._sent:
            return
        there = seat.wait(self._patience(seat))
        if there is None:
            self._look(seat)
            return
        try:
            if there:
                self._take()
                return
        except (EOFError, OSError):
            pass
        self._mourn()

    def _take(self) -> None:
        """Take in one frame."""
        assert self._seat is not None
        frame = self._seat.channel.receive()
        task = self._sent[0]
        self._fuse.reset()
        if frame.kind == messages.LOG:
            _add(task, entries(frame.part(0)))
        elif frame.kind == messages.VALUE:
            with at_hand(task.task.spec.known):
                _add_one(task, frame.load)
        elif frame.kind == messages.DONE:
            self._done(task, frame)

    def _done(self, task: Sent, frame: Frame) -> None:
        self._sent.popleft()
        self._began_s = self._backend.clock()
        _add(task, entries(frame.part(-1)))
        try:
            with at_hand(task.task.spec.known):
                problem, wall, cpu, unfit, lost, packed = frame.load()
        except BaseException as error:
            problem, wall, cpu, unfit, lost, packed = error, 0.0, 0.0, 0, "", b""
        unmade, home = load_home(packed, task.task.spec.known)
        lost = lost or unmade
        task.wall_s, task.cpu_s = task.wall_s + wall, task.cpu_s + cpu
        self._pace = wall
        if task.unsent is not None and (lost or not self._backend.calls_again(task, task.unsent)):
            task.fail(task.unsent)
        if lost or home:
            task.tell(lost, home)
        count = len(task.outcomes)
        self._backend.moved(self._seat, count, wall / max(1, count))
        if problem is not None:
            with at_hand(task.task.spec.known):
                raised = problem if isinstance(problem, BaseException) else restored(problem)
            if unfit == messages.ITEMS_UNFIT and len(task.rest) > 1:
                task.single = True  # which of the items is it?
            elif unfit:
                if (
                    unfit == messages.FUNCTION_UNFIT and self._seat is not None
                ):  # it does not know it after all
                    self._seat.known.discard(self._backend.functions.number(task.task.spec))
                self._stay(task, raised)
                return
            else:
                task.stop(raised)
        self._conclude(task, self._where())

    def _where(self) -> str:
        return f"process {self._seat.worker.pid}" if self._seat else "a worker process"

    def _conclude(self, task: Sent, where: str) -> None:
        """Say what has come of a task; what is left of it waits again."""
        result = task.result(where, self._backend.clock())
        self._backend.tasks.completed(self._slot, task.task, result, ask=False)

    # Time and death ---------------------------------------------------------------------------------------

    def _patience(self, seat: Seat) -> float:
        limit = self._limit(seat)
        if limit is None:
            return LOOK_S
        began = self._began(seat)
        return min(LOOK_S, limit if began is None else max(0.0, began + limit - self._backend.clock()))

    def _limit(self, seat: Seat) -> float | None:
        """Seconds for what the worker does now: the first items and the function bring their imports."""
        limit, status = self._backend.item_timeout, seat.status
        loading, function = status.loads
        first = loading and (function or not status.serial)
        return limit if limit is None or not first else max(limit, LOADING_S)

    def _began(self, seat: Seat) -> float | None:
        """When the worker began the item that it runs, or the task that it loads."""
        task, status = self._sent[0], seat.status
        runs = status.serial == task.serial and status.place is not None
        return status.since if runs or status.loads[0] == task.serial else None

    def _look(self, seat: Seat) -> None:
        """Nothing came for a while."""
        limit, began = self._limit(seat), self._began(seat)
        if limit is not None and began is not None and self._backend.clock() >= began + limit:
            self._too_late = True
            seat.worker.kill()
            return
        self._backend.look()
        task, status = self._sent[0], seat.status
        place = task.serial, status.serial, status.place, status.loads
        if self._still.look(seat.worker.pid, place) and not self._still.told:
            self._still.told = True
            begun = task.serial in (status.serial, status.loads[0])
            self._backend.still(self, begun=begun)
            if not begun:  # nothing is lost: another one has its tasks
                seat.worker.kill()

    def _mourn(self) -> None:
        """The worker has ended: what it was running is lost, everything else goes on."""
        seat, self._seat = self._seat, None
        assert seat is not None
        self._drain(seat)
        tasks, self._sent = list(self._sent), deque()
        code = seat.worker.end(kill=True, patience_s=1.0)
        ended = self._backend.how(code)
        if not self._backend.killed:
            began = [self._bury(task, seat, ended) for task in tasks]
            if any(began) or seat.worker.rested:
                self._fuse.reset()
            else:
                self._fuse.add(code)
            blown = self._fuse.blown
            if blown and self._backend.strict:
                self._give_up([task for task in tasks if not task.complete], ended)
            for task in reversed(tasks):
                self._conclude(task, f"process {seat.worker.pid}")
            if blown and not (self._backend.strict or self._backend.served):  # others may have what it takes
                self._backend.tasks.failed(self._slot, exits.never_began(ended))
        self._too_late = False
        self._backend.buried(seat)
        self._backend.pause(max(self._fuse.pause_s, self._backend.functions.pause_s))

    def _give_up(self, left: list[Sent], ended: str) -> None:
        """No worker lives long enough: all is lost, or one item for each that others have killed."""
        for task in left:
            if self._fuse.sent:
                task.fail(exits.never_began(ended))
            else:
                task.fail_all(exits.never_began(ended))

    def _drain(self, seat: Seat) -> None:
        """Take in what it sent before it ended."""
        self._seat = seat
        seat.channel.hurry()
        try:
            while self._sent and seat.wait(0):
                self._take()
        except (EOFError, OSError):
            pass
        self._seat = None

    def _bury(self, task: Sent, seat: Seat, ended: str) -> bool:
        """Rescue the results of a task and name its victim; whether it was begun."""
        status = seat.status
        loading, function = status.loads
        if loading == task.serial:
            self._died_loading(task, seat, ended, function=function)
            return True
        if status.serial != task.serial:
            return False
        first, rescued = status.rescued()
        _add(task, rescued[max(0, len(task.outcomes) - first) :])
        if task.unsent is not None:
            task.fail(task.unsent)
        elif status.place == len(task.outcomes) and not task.complete:
            task.fail(self._loss(task, seat, ended))
        return True

    def _died_loading(self, task: Sent, seat: Seat, ended: str, *, function: bool) -> None:
        if function:
            code = HUNG if self._too_late else seat.worker.end(kill=True)
            self._backend.functions.unready(seat.worker.pid, code, self._unready(ended))
        elif len(task.rest) > 1:
            task.single = True  # which of the items does it?
        else:
            task.fail(self._loss(task, seat, ended))

    def _unready(self, ended: str) -> Exception:
        return exits.late_to_load(LOADING_S) if self._too_late else exits.died_loading(ended)

    def _loss(self, task: Sent, seat: Seat, ended: str) -> Exception:
        limit = self._backend.item_timeout
        if self._too_late and limit is not None:
            return exits.late(seat.worker.pid, limit, task)
        return exits.worker_died(seat.worker.pid, ended, task)


def _packed(scene: dict[str, object], lacking: Callable[[list[str]], None]) -> Payload:
    """What the caller has set for its process; `lacking` is told what of it cannot be sent."""
    try:
        return by_value(scene) if holds(scene) else pack(scene)
    except Exception:  # a function that formats numbers, an object with a lock
        scene, names = with_what_crosses(scene, _crosses)
        lacking(names)
        return by_value(scene)


def _crosses(value: object) -> bool:
    try:
        by_value(value).close()
    except Exception:
        return False
    return True


def _add(task: Sent, results: Iterable[memoryview]) -> None:
    """Small results, as they stand in a log."""
    with at_hand(task.task.spec.known):
        for result in results:
            _add_one(task, partial(load, result))


def _add_one(task: Sent, loaded: Callable[[], Any]) -> None:
    """One more result; one that does not load is that item's failure."""
    try:
        task.add(loaded())
    except BaseException as error:
        from ...errors import add_note

        add_note(error, "autoexec: raised while a worker's result was loaded")
        task.fail(error)


class Adding:
    """Takes outcomes of items that run here instead."""

    __slots__ = ("_task",)

    def __init__(self, task: Sent) -> None:
        self._task = task

    def append(self, outcome: Any) -> None:
        """One more."""
        self._task.add(outcome)
