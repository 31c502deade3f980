"""What a cohort's latency says about the number of calls in flight: free, queueing, or slower by itself."""

from __future__ import annotations

import math

from .cohorts import Base, Cohort

__all__ = ["LatencyLimit"]

GROWTH, GROWTH_CROWDED = 0.6, 1.0  # what a good answer of the opening lets out besides its successor, ...
CROWDED = 64  # ... below and above this number: most limits on connections lie below
TOLERATED = 0.02  # a rise of latency that nobody would call a queue
DOUBTFUL = 2.2  # a rise of up to so many times the noise needs a second cohort to be believed
ABOVE, MORE = 1.05, 1.2  # share of the capacity, and calls, in flight: a service just full shows no queue
STEP = 1.4  # growth while nothing queues; 1.2 finds lost capacity late, 2.0 overruns what degrades
NEAR = 1.5  # up to so many times the known capacity growth is by `ABOVE` and `MORE` only
SHY, CALM, CALM_MOST = 0.9, 2, 16  # after a queue, cohorts spent at this share of the number that queued, ...
AGAIN = 1.25  # ... twice as many if it queues again within 25 % of that number
HICCUP_S = 0.010  # a rise that two switch intervals explain may be this process's own: one cohort is no proof
UNEXPLAINED = 0.35  # of the fall in latency that fewer calls should have brought; less says it was no queue
FEWER = 0.75  # a number that much smaller should show
BACK = 0.8  # of the number before, when the queue turned out to be none
LOOK, LOOK_EVERY, PATIENCE = 0.7, 24, 4  # how far down, and after how many cohorts or queues, to look


class LatencyLimit:
    """Holds the number of calls in flight that latency allows, and moves it, cohort by cohort.

    Attributes:
        number: calls that may be in flight; it follows `goal` with the answers.
        opening: whether nothing has held it back yet, so that every answer adds to it.
        capacity: calls the other side serves at once, or 0.0 while none is known.
    """

    __slots__ = (
        "_back", "_calm", "_calm_for", "_doubted", "_look_after", "_over", "_patience", "_queues", "_then",
        "base", "cap", "capacity", "goal", "number", "opening",
    )  # fmt: skip

    def __init__(self, cap: int, number: float) -> None:
        self.base = Base()
        self.cap, self.number, self.goal = cap, number, number
        self.opening = True
        self.capacity = 0.0
        self._over = 0.0  # the number that queued last
        self._calm = self._queues = self._look_after = 0
        self._patience = PATIENCE
        self._calm_for = CALM
        self._doubted: float | None = None  # when a rise was seen that may be chance
        self._then: tuple[float, float, float] | None = None  # level, value and number before a squeeze
        self._back = 0.0  # the number to come back to after a look

    def answered(self) -> None:
        """A call that was needed has ended well."""
        if not self.opening:
            self.number = min(self.goal, self.number + 1.0)
        elif self._doubted is None:
            growth = GROWTH if self.number < CROWDED else GROWTH_CROWDED
            self.number = min(self.cap, self.number + growth)
            if self.number >= self.cap:
                self.settle(self.number)

    def settle(self, number: float) -> None:
        """The opening is over; go on from `number`."""
        self.number = self.goal = max(1.0, min(number, self.cap))
        self.opening, self._back, self._then = False, 0.0, None

    def cut(self, number: float, *, come_back: bool) -> None:
        """Refused: go on from `number`, and with good answers back to where it was if told so."""
        goal = self.number if self.opening else self.goal
        self.settle(min(self.number, number))
        if come_back:
            self.goal = goal

    def judge(self, cohort: Cohort, level: float, now: float) -> bool:
        """A cohort has been answered.

        Args:
            cohort: its sums.
            level: mean number of calls in flight meanwhile.
            now: when.

        Returns:
            Whether the number has moved at once, so that calls under way say nothing about it.
        """
        base, size, value = self.base, cohort.size, cohort.total / cohort.ended
        base.spread(cohort)
        if not base.weight:
            base.pool(value, size)
            return False
        rise, noise = value - base.value, base.noise(size)
        if self._back:
            return self._looked(value, size, rise, noise)
        if rise < -noise * 5 / 3 or level <= 1.05:  # three errors, or alone: nobody to queue behind
            base.become(value, size)
            rise = 0.0
        near = 0 < self.number < NEAR * self.capacity
        if rise <= TOLERATED + noise:
            if rise <= 0 or not near:  # else the base would drift up with its own queue
                base.pool(value, size)
            self._free(near)
        elif self._doubtful(cohort.begun, now, rise, noise):
            return False
        elif not cohort.opening and self._not_ours(value):
            self._slower_by_itself(value, size)
            return True
        else:
            self._queue(value, level, rise - noise / 2, cohort.opening)
            self._consider_a_look(value)
            return True
        return near and self._consider_a_look(value)

    def _doubtful(self, begun: float, now: float, rise: float, noise: float) -> bool:
        """Whether a rise is so small that it takes a second cohort, begun after the first was judged."""
        extra_s = self.base.latency_s * math.expm1(min(rise, 50.0))
        if rise >= TOLERATED + DOUBTFUL * noise and extra_s >= HICCUP_S:
            return False
        if self._doubted is None:
            self._doubted = now
            return True
        return begun < self._doubted

    def _free(self, near: bool) -> None:
        """Nothing queues: grow, shyly where a queue is known to begin."""
        self._doubted, self._queues, self._then = None, 0, None
        if self.opening:
            return
        if near:
            self.goal = ABOVE * self.number + MORE
            self._calm += 1
            if self._calm <= self._calm_for:
                self.goal = min(self.goal, max(self.number, SHY * self._over))
        else:
            self.capacity = 0.0
            self.goal = STEP * self.number + MORE
        self.goal = min(self.goal, self.cap)

    def _queue(self, value: float, level: float, rise: float, in_opening: bool) -> None:
        """Little's law: of `level` calls in flight, all but the capacity queue."""
        self._doubted = None
        if not self._then and not in_opening:
            self._then = level, value, self.number
        then = self._then
        self._queues += 1
        self._calm = 0
        again = self._over / AGAIN < level < self._over * AGAIN
        self._calm_for = min(CALM_MOST, 2 * self._calm_for) if again else CALM
        self._over = level
        self.capacity = level * math.exp(-rise)
        self.settle(max(level / 2, ABOVE * self.capacity + MORE))
        self._then = then

    def _not_ours(self, value: float) -> bool:
        """Whether latency hardly fell with the number: then the other side is slower by itself."""
        if self._then is None:
            return False
        level, before, _ = self._then
        fewer = self.number <= FEWER * level
        return fewer and before - value < UNEXPLAINED * math.log(level / self.number)

    def _slower_by_itself(self, value: float, size: int) -> None:
        assert self._then is not None
        self.base.become(value, size)
        self.capacity, self._queues, self._doubted = 0.0, 0, None
        self.settle(max(self.number, BACK * self._then[2]))

    def _consider_a_look(self, value: float) -> bool:
        """Now and then, try fewer: a base learned in a queue of our own would keep that queue for ever."""
        self._look_after += 1
        patient = self._queues < self._patience
        if self.opening or (patient and self._look_after < LOOK_EVERY):
            return False
        if not patient:
            self._patience *= 2
        self._queues = self._look_after = 0
        before = self.number
        self.settle(LOOK * before)
        self._back, self._then = before, (before, value, before)
        return True

    def _looked(self, value: float, size: int, rise: float, noise: float) -> bool:
        """A cohort at the smaller number has been answered: come back, or stay down if that is a queue."""
        back = self._back
        if rise <= noise or self._not_ours(value):
            self.base.become(value, size)
        else:
            back = min(back, ABOVE * self.number * math.exp(noise / 2 - rise) + MORE)
        self.settle(back)
        return True
