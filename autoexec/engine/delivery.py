"""What the consumer gets, and when it is woken: its bell, and the end, early or not.

To wake a thread costs more than to call a short function. So where results come thick and fast, a consumer
that has just taken some is left alone for a moment, in which others gather, unless it is wanted for more than
that: an error, the end, a window that fills, an iterator to be pulled.
"""

from __future__ import annotations

import math
from _thread import allocate_lock
from functools import partial

from ..errors import AutoexecError
from .ledger import Ledger
from .result_order import Failed
from .slot_mail import Mail
from .tracks import END
from .turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..worker.invoke import Task
    from .tracks import End

__all__ = ["GATHER_S", "Delivery"]

GATHER_S = 0.001  # the moment
ENOUGH = 64  # results that end it


class Delivery:
    """What the consumer is told.

    Args:
        ledger: the tables.
        turns: the lock, and what is done after it.
        mail: what slots are told.
        resolve: tells the future of an executor's call what became of it; None for a map.

    Attributes:
        wants: whether a consumer waits.
    """

    def __init__(
        self, ledger: Ledger, turns: Turns, mail: Mail, resolve: Callable[..., object] | None = None
    ) -> None:
        self._ledger, self._turns, self._mail = ledger, turns, mail
        self._resolve: Any = resolve
        self._bell = allocate_lock()
        self._bell.acquire()
        self.wants = self._finishing = self._gathering = False
        self._took, self._enough = -math.inf, 0  # when something was taken last; results that are enough

    # The bell ---------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> bool:
        """Until there may be something to take, or for so many seconds; whether it was the former."""
        if self._gathering:
            if not self._bell.acquire(timeout=max(0.0, min(seconds, GATHER_S))):
                self._gathering = False
            return True
        return self._bell.acquire(timeout=max(0.0, seconds))

    def want(self, now: float = math.inf) -> None:
        """A consumer is going to wait."""
        self._bell.acquire(False)
        self._gathering = now < self._took + GATHER_S
        self._enough = min(ENOUGH, self._ledger.room // 2)
        self.wants = True

    def look(self) -> None:
        """Ring if there is something to do for a consumer that waits."""
        if self._gathering and self._may_gather():
            return
        if self._ledger.news or self._something():
            self.wants = self._ledger.news = False
            self._bell.release()

    def _may_gather(self) -> bool:
        """Whether nobody but the consumer itself misses what it would do now."""
        ledger, source = self._ledger, self._ledger.source
        if ledger.news or not ledger.out or source is None or ledger.window.ready >= self._enough:
            return False
        return source.ended or source.at_hand > 0

    def _something(self) -> bool:
        """Whether a consumer that waits has something to do."""
        ledger = self._ledger
        if ledger.window.due or ledger.error is not None or ledger.over():
            return True
        if self._finishing and not ledger.under_way():
            return True
        source = ledger.source
        if source is None or source.ended or source.at_hand:
            return False
        return ledger.to_pull() > 0

    def on_news(self, now: float) -> None:
        """The consumer is to look."""
        self._ledger.news = True

    # Results ----------------------------------------------------------------------------------------------

    def take(self, now: float) -> list[Any] | End | BaseException | None:
        """Finished items, `END`, what ended the run, or None if there is nothing yet."""
        ledger = self._ledger
        ledger.delivered = ledger.window.handed
        self._resume()
        if block := ledger.window.pop():
            self._took = now
            return block
        if ledger.error is not None:
            return ledger.error
        if ledger.closing:  # what is missing was dropped, by whoever closed it
            return END
        if ledger.source is None or ledger.over():
            return ledger.checked() or END
        self.want(now)
        return None

    def _resume(self) -> None:
        """The consumer comes again after an error: what lies behind that may begin."""
        window = self._ledger.window
        if window.handed > self._ledger.below if window.ordered else not window.ready:
            self._ledger.below = math.inf

    # The end ----------------------------------------------------------------------------------------------

    def on_close(self, now: float, finish: bool) -> None:
        """Nothing more begins, or with `finish` nothing more than what is there already."""
        self._finishing = self._finishing or finish
        if finish:
            return
        ledger = self._ledger
        ledger.withdrawn += sum(queue.clear() for queue in ledger.queues)
        ledger.withdrawn += sum(len(task.items) for _, _, task, _ in ledger.retries)
        ledger.retries.clear()
        ledger.timed.clear()
        ledger.dropped += ledger.window.drop()
        for track in ledger.tracks:
            self._mail.dismiss(track)
        ledger.news = True

    def crash(self, error: BaseException) -> None:
        """The run ends with an error."""
        ledger = self._ledger
        if ledger.error is None:
            ledger.error = error
        ledger.closing = ledger.news = True
        if ledger.source is None:
            self._fail_calls()

    def _fail_calls(self) -> None:
        """An executor cannot go on: whoever waits for a call hears of it."""
        ledger = self._ledger
        ledger.withdrawn += sum(queue.clear() for queue in ledger.queues) + len(ledger.retries)
        ledger.retries.clear()
        self._turns.acts += [partial(self.fail_call, task) for task in ledger.calls]

    def fail_call(self, task: Task) -> None:
        """The same for one call; without the lock."""
        error = self._ledger.error
        broken = AutoexecError(f"the executor cannot go on: {error!r}")
        broken.__cause__ = error
        self._resolve(self._ledger, task, Failed(broken, 0, None, False, "", []))
