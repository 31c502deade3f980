"""Once more, and when? The policies are tenacity's; they are asked one question, and nothing sleeps here."""

from __future__ import annotations

import operator
from collections.abc import Callable

from .. import checks
from ..errors import MissingExtra, OptionError, add_note
from .answers import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import TypeAlias

    from tenacity import BaseRetrying, RetryCallState

    RetryOn: TypeAlias = (
        type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool] | None
    )
else:
    from ..frozen import dataclass

__all__ = ["Budget", "Retries", "attempt_note"]

FIRST_S = 0.5  # upper end of the first wait; each further one is twice as long at most
LONGEST_S = 30.0  # what a person watching still takes for progress


@dataclass(frozen=True, slots=True)
class Retries:
    """When to try again. Immutable and thread-safe; make one with `Retries.of`.

    Attributes:
        policy: whose `stop` and `wait` are asked.
        retry_on: the errors worth it, or None.
        by_answer: without `retry_on`: judge by `Answer.transient`, rather than by the policy's own `retry`.
    """

    policy: BaseRetrying
    retry_on: RetryOn = None
    by_answer: bool = True

    @classmethod
    def of(cls, retries: int | BaseRetrying, retry_on: RetryOn = None) -> Retries:
        """A policy from what the user gave.

        A number means so many retries with exponential back-off and full jitter: a random time from 0 to
        min(30 s, 0.5 s · 2^(attempt - 1)), which spreads the callers best (M. Brooker, "Exponential Backoff
        And Jitter", AWS Architecture Blog, 2015). Of a tenacity policy, `stop`, `wait` and, where it was
        given, `retry` count; its hooks (`before_sleep` and the like) are not called.

        Args:
            retries: how often to try again at most, or a tenacity policy such as `tenacity.Retrying(...)`.
            retry_on: exception classes, or a function of the exception; replaces what would decide otherwise.

        Raises:
            OptionError: if either cannot be meant.
            MissingExtra: if tenacity is not installed.
        """
        try:
            import tenacity
        except ImportError as error:
            raise MissingExtra("retries= needs tenacity: pip install 'autoexec-futures[io]'") from error
        wanted = retry_on if retry_on is None or retry_on == () else checks.retry_on("retry_on", retry_on)
        if isinstance(retries, tenacity.BaseRetrying):
            _refuse_coroutines(retries)
            # Left alone, a policy of tenacity tries again whatever was raised, a 404 or a bug.
            usual = isinstance(retries.retry, tenacity.retry_if_exception_type)
            usual = usual and getattr(retries.retry, "exception_types", None) is Exception
            return cls(retries, wanted, by_answer=usual)
        wait = tenacity.wait_random_exponential(multiplier=FIRST_S, max=LONGEST_S)
        stop = tenacity.stop_after_attempt(_count(retries) + 1)
        return cls(tenacity.Retrying(stop=stop, wait=wait), wanted)

    def next_delay(
        self,
        attempt: int,
        error: BaseException | None,
        answer: Answer,
        started: float,
        now: float,
        value: object = None,
    ) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        A policy that fails itself means giving up; the error gets a note of that.

        Args:
            attempt: the attempt that has just ended; the first is 1.
            error: what it raised, or None if it returned a value that is a refusal.
            answer: what became of it; the wait is `answer.retry_after_s` at least.
            started: monotonic seconds at which the first attempt began.
            now: monotonic seconds.
            value: what it returned, for policies that look at results.
        """
        if error is not None and not isinstance(error, Exception):
            return None  # Ctrl-C, a cancelled task, an exit
        try:
            state = self._state(attempt, error, value, started, now)
            if not self.policy.enabled or not self._wanted(error, answer, state):
                return None
            delay = max(0.0, float(self.policy.wait(state)), answer.retry_after_s or 0.0)
            state.upcoming_sleep = delay
            return None if self.policy.stop(state) else delay
        except Exception as failure:
            if error is not None:
                add_note(error, f"autoexec: not retried, as the policy failed: {_described(failure)}")
            return None

    def _wanted(self, error: Exception | None, answer: Answer, state: RetryCallState) -> bool:
        if error is not None and self.retry_on is not None:
            if isinstance(self.retry_on, (type, tuple)):
                return isinstance(error, self.retry_on)
            return bool(self.retry_on(error))
        if self.by_answer or self.retry_on is not None:
            return answer.transient
        from tenacity import TryAgain

        return isinstance(error, TryAgain) or bool(self.policy.retry(state))

    def _state(
        self, attempt: int, error: BaseException | None, value: object, started: float, now: float
    ) -> RetryCallState:
        from tenacity import Future, RetryCallState

        state = RetryCallState(self.policy, None, (), {})
        state.start_time, state.attempt_number, state.outcome_timestamp = started, attempt, now
        state.outcome = Future.construct(attempt, value if error is None else error, error is not None)
        return state


class Budget:
    """Retries allowed in all, so that an outage is not multiplied by them. Not thread-safe.

    A bucket of tokens that starts full: a good answer earns `ratio`, up to `reserve`; a retry spends one. The
    idea is that of gRPC's retry throttling (proposal A6) and of Finagle's `RetryBudget`.

    >>> budget = Budget(ratio=0.5, reserve=1)
    >>> budget.spend(), budget.spend(), budget.earn(), budget.earn(), budget.spend()
    (True, False, None, None, True)
    """

    __slots__ = ("_ratio", "_reserve", "_tokens")

    def __init__(self, ratio: float = 1.0, reserve: float = 100.0) -> None:
        self._ratio, self._reserve, self._tokens = ratio, reserve, reserve

    @property
    def tokens(self) -> float:
        """Retries that could be spent now."""
        return self._tokens

    def earn(self) -> None:
        """A call was answered well."""
        self._tokens = min(self._reserve, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Whether a retry may be made, which then counts."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def attempt_note(attempt: int, error: BaseException, waited_s: float) -> str:
    """One line about an attempt that failed, for the notes of the last error.

    >>> attempt_note(2, ConnectionError("refused"), 0.31)
    'attempt 2: ConnectionError: refused (after 0.31 s)'
    """
    return f"attempt {attempt}: {_described(error)} (after {waited_s:.2f} s)"


def _described(error: BaseException) -> str:
    name = type(error).__name__
    try:
        said = " ".join(str(error).split())
    except Exception:  # a `__str__` that fails
        said = ""
    text = f"{name}: {said}" if said else name
    return text if len(text) <= 150 else text[:149] + "…"


def _count(retries: object) -> int:
    try:
        number = -1 if isinstance(retries, bool) else operator.index(retries)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if number < 0:
        raise OptionError(
            f"retries must be a whole number from 0 or a tenacity policy such as tenacity.Retrying(...), "
            f"not {retries!r}"
        )
    return number


def _refuse_coroutines(policy: BaseRetrying) -> None:
    from inspect import iscoroutinefunction

    for name in ("stop", "wait", "retry"):
        ask = getattr(policy, name)
        if iscoroutinefunction(ask) or iscoroutinefunction(type(ask).__call__):
            raise OptionError(
                f"the {name}= of a policy in retries= must be a plain function, not a coroutine"
            )
