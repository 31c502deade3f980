"""The mail of slots: who waits for a task, and who is told what. All under the scheduler's lock."""

from __future__ import annotations

from functools import partial

from .ledger import Ledger
from .tracks import END, Naming, Slot, Track, TrackState
from .turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..worker.invoke import Task
    from .tracks import End

__all__ = ["Mail"]


class Mail:
    """What slots are told.

    Args:
        ledger: the tables.
        turns: the lock, and what is done after it.
    """

    def __init__(self, ledger: Ledger, turns: Turns) -> None:
        self._ledger, self._turns = ledger, turns

    def park(self, slot: Slot) -> None:
        """A slot has nothing to do: it gets a task by and by, or is told that there will be none."""
        track = slot.track
        if slot.left or self._ledger.closing or track.state not in (TrackState.OPEN, TrackState.OPENING):
            self.tell(slot, END)
        else:
            slot.parked = True
            track.parked.append(slot)

    def tell(self, slot: Slot, mail: Task | End | Naming) -> None:
        """The answer for a slot."""
        slot.parked = False
        slot.mail = mail
        if slot.gate is not None:
            slot.open_gate()
        else:
            assert slot.track.backend is not None
            slot.track.rung.append(slot)  # here, under the lock, lest one overtake another
            self._turns.acts.append(partial(slot.track.backend.ring, slot.track.rung))

    def free_one(self, track: Track) -> None:
        """A slot has no task any more."""
        self._ledger.busy -= not track.bounded
        track.busy -= 1

    def on_leaving(self, now: float, slot: Slot) -> None:
        """A slot does not wait for a task that is not there."""
        if slot.parked:
            slot.track.parked.remove(slot)
            slot.track.slots.discard(slot)
            self.tell(slot, END)

    def dismiss(self, track: Track) -> None:
        """Tell the slots that wait that there will be no more tasks."""
        parked, track.parked = track.parked, []
        for slot in parked:
            self.tell(slot, END)
        if self._turns.torn:
            self._free_all(track)

    def _free_all(self, track: Track) -> None:
        """What some slots wait for may have been lost: they all are told that this is the end."""
        for slot in track.slots:
            if slot.gate is not None:
                slot.mail = slot.mail or END
                slot.open_gate()
