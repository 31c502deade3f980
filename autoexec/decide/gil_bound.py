"""How many waiting calls one GIL can feed: calls that also compute in Python gain nothing beyond that."""

from __future__ import annotations

__all__ = ["GilBound"]

SPARE = 1.25  # a quarter more than the mean needs: waits are uneven, and a GIL without a taker is time lost
MORE = 2.0  # one call holds the GIL while the others wait, and one is in line when it is handed over
NOISE_S = 0.0004  # GIL seconds that a call in a thread costs anyway (100 to 400 µs were measured)
BLOCK = 16  # calls judged together, begun after the last were: fewer say little about how busy the GIL was
BUSY = 0.85  # share of time from which calls visibly queue for the GIL
MEMORY = 0.25  # weight of one block: some tens of calls are remembered, as answers differ in what they hold


class GilBound:
    """The most calls that may wait at once before they queue for the GIL.

    While one call holds the GIL for h seconds, others wait w seconds for the other side: with 1 + w / h
    calls the GIL is always busy, and more of them only queue (the saturation point of a closed queueing
    network). While the GIL is busy the waits contain that queue, so they may lower the bound but not raise
    it. One bound may serve several controllers, as all their calls want the same GIL.

    Attributes:
        most: what `limit` gives.

    >>> bound = GilBound()
    >>> bound.note(0.020, 0.010)
    >>> bound.limit()
    3.25
    """

    __slots__ = (
        "_all_held", "_began", "_blocks", "_calls", "_held", "_known", "_sum_held", "_sum_wait", "_wait",
        "most",
    )  # fmt: skip

    def __init__(self) -> None:
        self._held = self._wait = 0.0
        self._known = False  # whether a wait was seen that contains no queue
        self.most = float("inf")
        self._blocks = 0
        self._fresh(None)

    def _fresh(self, now: float | None) -> None:
        self._began, self._calls = now, 0
        self._all_held = self._sum_held = self._sum_wait = 0.0

    def note(self, latency_s: float, held_s: float, now: float | None = None) -> None:
        """One call took `latency_s` seconds, `held_s` of them with the GIL held, and ended at `now`.

        Without `now` the call counts as one that nobody kept from the GIL, as the profiled item is.
        """
        began = self._began
        if now is None or began is None:
            self._note_first(max(0.0, latency_s - held_s), held_s, now)
            return
        self._all_held += held_s
        if now - latency_s < began:  # it may have waited in a crowd that is no longer let in
            return
        self._sum_held += held_s
        if latency_s > held_s:
            self._sum_wait += latency_s - held_s
        self._calls += 1
        if self._calls >= BLOCK:
            self._judge(now, began)

    def _note_first(self, wait: float, held: float, now: float | None) -> None:
        if now is None:
            self._learn(wait, held, known=True)
            return
        self._fresh(now)
        if not self._held:
            self._learn(wait, held, known=False)

    def limit(self) -> float:
        """The most calls at once; infinite while they hold the GIL no longer than any call in a thread."""
        return self.most

    @property
    def share(self) -> float:
        """Share of a call's own time in which it holds the GIL."""
        return self._held / (self._held + self._wait) if self._held else 0.0

    def _judge(self, now: float, began: float) -> None:
        """A block of calls has ended: what their waits say depends on how busy the GIL was."""
        held, wait = self._sum_held / self._calls, self._sum_wait / self._calls
        busy = self._all_held > BUSY * (now - began)
        self._blocks += 1
        if not busy:
            weight = max(MEMORY, 1 / self._blocks) if self._known else 1.0
            self._learn(self._wait + weight * (wait - self._wait), held, known=True)
        elif self._known:
            self._learn(min(wait, self._wait), held, known=True)
        else:  # never seen without a queue: come down until it is
            self._learn(min(wait, self._wait) / 2, held, known=False)
        self._fresh(now)

    def _learn(self, wait: float, held: float, *, known: bool) -> None:
        self._wait, self._known = wait, known
        self._held += (MEMORY if self._held else 1.0) * (held - self._held)
        self.most = float("inf") if self._held <= NOISE_S else MORE + SPARE * self._wait / self._held
