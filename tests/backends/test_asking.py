"""What backends may rely on when they ask the scheduler for tasks."""

from __future__ import annotations

import pytest

from autoexec.engine.limits import Limits
from autoexec.engine.scheduler import Scheduler
from autoexec.engine.source import Source
from autoexec.engine.tracks import END, Chunks, Track
from autoexec.options import resolve
from autoexec.records import Plan
from autoexec.worker.invoke import CallSpec, Task, run_task


class Slow:
    """An item whose host has to be asked for: that may run code of the user's."""


def _scheduler(items: list[object]) -> tuple[Scheduler, Track]:
    """A run that attends to single calls, with one track that is open."""
    made = Scheduler(CallSpec(id, capture=True), Source((items,)), ends_at_error=False)
    made.attend(Limits(resolve({"on_error": "return"})))
    chunks = Chunks(Plan("processes"), None, single=True, window=None)
    track = Track("processes", made.queue, 1, chunks)
    made.change(opens=[track])
    made.opened(track)
    return made, track


@pytest.mark.parametrize("items", [[1, Slow()], [1, 2, Slow(), 3], [Slow(), Slow(), 1]])
def test_what_nobody_has_named_is_not_lost_when_it_is_asked_for_ahead(items: list[object]) -> None:
    """Who has a task has no time to find out whom others concern: they wait until it asks again."""
    scheduler, track = _scheduler(items)
    slot = track.add()
    task, done = scheduler.next(slot, 0.0), []
    while isinstance(task, Task):
        ahead = scheduler.ahead(slot)
        for each in (task, ahead):
            if each is not None:
                done += each.items
                scheduler.completed(slot, each, run_task(each.spec, each, "here"), ask=False)
        task = scheduler.next(slot, 0.0)
        if len(done) == len(items):
            break
    assert done == items
    while isinstance(scheduler.take(), list):
        pass
    assert scheduler.take() is END
