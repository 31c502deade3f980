"""What becomes of tracks: they open, fail, lose workers, drain. All under the scheduler's lock."""

from __future__ import annotations

from functools import partial

from ..errors import AutoexecError
from ..worker.invoke import TaskResult
from .ledger import Ledger
from .settling import Settling
from .slot_mail import Mail
from .tracks import Naming, Slot, Track, TrackState
from .turns import Turns
from .waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Changes"]


class Changes:
    """What backends tell of their tracks, and what is made of it.

    Args:
        ledger: the tables.
        turns: the lock, and what is done after it.
        mail: what slots are told.
        waiting: where tasks wait.
        settling: what becomes of tasks that have ended.

    Attributes:
        told: told, without the lock, of a track that has no workers.
    """

    def __init__(
        self, ledger: Ledger, turns: Turns, mail: Mail, waiting: Waiting, settling: Settling
    ) -> None:
        self._ledger, self._turns, self._mail = ledger, turns, mail
        self._waiting, self._settling = waiting, settling
        self.told: Callable[[Track], object] | None = None

    def on_opened(self, now: float, track: Track) -> None:
        """Its workers may ask."""
        if track.state in (TrackState.PLANNED, TrackState.OPENING):
            track.state = TrackState.OPEN
        self._ledger.news = True

    def on_failed(self, now: float, track: Track, error: BaseException) -> None:
        """It has no workers, and never will: what they had waits again."""
        if track.state is TrackState.FAILED:
            return
        track.state, track.error = TrackState.FAILED, error
        self._mail.dismiss(track)
        self._take_back(now, track)
        self._ledger.news = True
        if self.told is not None:
            self._turns.acts.append(partial(self.told, track))

    def _take_back(self, now: float, track: Track) -> None:
        tasks = [task for slot in track.slots for task in slot.tasks.values()]
        for task in sorted(tasks, key=lambda task: -task.place):  # each goes before the others
            self._ledger.out.pop(task.serial, None)
            self._settling.tell_limits(now, task, TaskResult([]), [])
            self._waiting.back(track, task, 0)
        for slot in track.slots:
            if slot.tasks:
                self._mail.free_one(track)
            slot.tasks.clear()
        track.slots.clear()

    def on_unborn(self, now: float, slot: Slot, error: BaseException) -> None:
        """The worker of a slot could not be started."""
        track = slot.track
        track.slots.discard(slot)
        track.most = len(track.slots)
        for task in list(slot.tasks.values()):
            if self._ledger.out.pop(task.serial, None) is not None:
                self._mail.free_one(track)
                self._settling.tell_limits(now, task, TaskResult([]), [])
                self._waiting.back(track, task, 0)
        slot.tasks.clear()
        if isinstance(slot.mail, Naming):
            slot.mail.put_back()
            slot.mail = None
        if not track.slots and track.state is TrackState.OPEN:
            self.on_failed(now, track, error)

    def on_gone(self, now: float, slot: Slot) -> None:
        """The worker of a slot has ended."""
        track = slot.track
        if slot.tasks and not (slot.left or self._ledger.closing):
            count = len(slot.tasks)
            self._turns.crash(AutoexecError(f"a worker of {track.name} ended while it held {count} tasks"))
        track.slots.discard(slot)
        self._turns.acts += slot.todo  # there is some if it was told of the end too early
        slot.todo.clear()
        if slot.parked:
            slot.parked = False
            track.parked.remove(slot)
        if track.state is TrackState.DRAINING and not track.slots:
            track.state = TrackState.CLOSED
            self._ledger.news = True

    def drain(self, track: Track) -> None:
        """It gets no more tasks, and never reopens."""
        if track.state in (TrackState.CLOSED, TrackState.FAILED):
            return
        track.state = TrackState.DRAINING
        self._mail.dismiss(track)
        if not track.slots:
            track.state = TrackState.CLOSED
        elif track.backend is not None:
            self._turns.acts.append(track.backend.recall)
