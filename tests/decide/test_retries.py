"""Once more, and when? Asked of policies as numbers and as tenacity's objects, under made-up clocks."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.answers import Answer
from autoexec.decide.retries import FIRST_S, LONGEST_S, Budget, Retries, attempt_note
from autoexec.errors import MissingExtra, OptionError
from autoexec.records import Ending


def shown(value: object) -> str:
    """A test's name, the same in every process."""
    return repr(value).split(" at 0x")[0]


tenacity = pytest.importorskip("tenacity")

BROKEN_OFF = Answer(Ending.ERROR, transient=True)
FAILED = Answer(Ending.ERROR)


def refused(after: float | None = None) -> Answer:
    """A 429, with or without `Retry-After`."""
    return Answer(Ending.REFUSED, 429, after, transient=True)


def asked(
    retries: Retries,
    attempt: int = 1,
    error: BaseException | None = None,
    answer: Answer = BROKEN_OFF,
    *,
    seconds: float = 0.0,
) -> float | None:
    """What the policy says after so many attempts and seconds."""
    return retries.next_delay(attempt, error or ConnectionError("reset"), answer, 100.0, 100.0 + seconds)


@given(st.integers(0, 20), st.integers(1, 30))
def test_so_many_retries(retries: int, attempt: int) -> None:
    """A number n allows n attempts after the first, each after a random time within a growing window."""
    delay = asked(Retries.of(retries), attempt)
    if attempt > retries:
        assert delay is None
    else:
        assert delay is not None
        assert 0.0 <= delay <= min(LONGEST_S, FIRST_S * 2 ** (attempt - 1))


def test_the_jitter_is_full() -> None:
    """The waits are spread over the whole window, not only around its end."""
    policy = Retries.of(9)
    delays = [asked(policy, 4) or 0.0 for _ in range(400)]
    window = FIRST_S * 2**3
    for quarter in range(4):
        share = sum(quarter <= 4 * delay / window < quarter + 1 for delay in delays) / len(delays)
        assert 0.1 < share < 0.4


def test_only_what_is_worth_it() -> None:
    """By default the answer decides, not the class."""
    policy = Retries.of(3)
    assert asked(policy, answer=FAILED) is None
    assert asked(policy, error=ValueError("odd"), answer=BROKEN_OFF) is not None


@given(st.floats(0, 1e6), st.integers(1, 3))
def test_not_before_the_other_side_says_so(after: float, attempt: int) -> None:
    """The wait is `Retry-After` at least."""
    delay = asked(Retries.of(3), attempt, answer=refused(after))
    assert delay is not None
    assert delay >= after


def test_retry_on_replaces_the_default() -> None:
    """Classes, several in a tuple, or a function of the exception decide instead of the answer."""
    for retry_on in (
        KeyError,
        (KeyError, IndexError),
        LookupError,
        lambda error: isinstance(error, KeyError),
    ):
        policy = Retries.of(1, retry_on)
        assert asked(policy, error=KeyError("x"), answer=FAILED) is not None
        assert asked(policy, error=ConnectionError("reset"), answer=BROKEN_OFF) is None
    assert asked(Retries.of(1, ()), answer=BROKEN_OFF) is None


def test_retry_on_replaces_the_policys_own() -> None:
    """The same beside a policy of tenacity."""
    policy = Retries.of(tenacity.Retrying(stop=tenacity.stop_after_attempt(2)), KeyError)
    assert asked(policy, error=KeyError("x"), answer=FAILED) == 0.0
    assert asked(policy, error=ConnectionError("reset")) is None
    assert asked(policy, 2, error=KeyError("x")) is None


def test_a_policy_of_tenacity_is_asked() -> None:
    """Its own stop, wait and retry decide, and see the attempt, the error and the time handed in."""
    seen: list[Any] = []

    def wait(state: Any) -> float:
        seen.append(state)
        return 2.0 * state.attempt_number

    policy = Retries.of(
        tenacity.Retrying(
            stop=tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(60),
            wait=wait,
            retry=tenacity.retry_if_exception_message(match="reset"),
        )
    )
    error = ConnectionError("reset")
    assert asked(policy, 3, error, FAILED, seconds=10.0) == 6.0
    assert seen[0].outcome.exception() is error
    assert seen[0].seconds_since_start == pytest.approx(10.0)
    assert asked(policy, 3, ConnectionError("other")) is None
    assert asked(policy, 5) is None
    assert asked(policy, 3, seconds=61.0) is None
    assert asked(policy, 3, answer=refused(9.0)) == 9.0


def test_a_stop_before_a_delay_knows_the_whole_delay() -> None:
    """A policy that must end in time counts the wait that the other side asks for."""
    policy = Retries.of(tenacity.Retrying(stop=tenacity.stop_before_delay(60), wait=tenacity.wait_fixed(1)))
    assert asked(policy, seconds=50.0) == 1.0
    assert asked(policy, seconds=50.0, answer=refused(20.0)) is None


def test_explicit_and_switched_off() -> None:
    """`TryAgain` asks for another attempt whatever `retry` says; a policy switched off allows none."""
    never = tenacity.Retrying(retry=tenacity.retry_never)
    assert asked(Retries.of(never), error=tenacity.TryAgain()) == 0.0
    assert asked(Retries.of(never)) is None
    assert asked(Retries.of(tenacity.Retrying(enabled=False))) is None


def test_policies_that_look_at_results() -> None:
    """They do not mind an error, and see a value that is a refusal."""
    policy = Retries.of(tenacity.Retrying(retry=tenacity.retry_if_result(lambda value: value == "busy")))
    assert asked(policy) is None
    assert policy.next_delay(1, None, refused(), 0.0, 0.0, "busy") == 0.0
    assert policy.next_delay(1, None, refused(), 0.0, 0.0, "done") is None


@pytest.mark.parametrize("retry_on", [None, KeyError])
def test_a_returned_refusal(retry_on: type[BaseException] | None) -> None:
    """Without an error to look at, the answer decides."""
    policy = Retries.of(1, retry_on)
    delay = policy.next_delay(1, None, refused(3.0), 0.0, 0.0)
    assert delay is not None
    assert delay >= 3.0
    assert policy.next_delay(1, None, FAILED, 0.0, 0.0) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()], ids=shown)
def test_an_end_is_an_end(error: BaseException) -> None:
    """Ctrl-C, an exit or a cancelled task is never tried again."""
    assert asked(Retries.of(3, BaseException), error=error) is None


def fails(*_: object) -> NoReturn:
    """A function of the user's with a mistake in it."""
    raise TypeError("a mistake of mine")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retries.of(3, fails),
        lambda: Retries.of(tenacity.Retrying(wait=fails)),
        lambda: Retries.of(tenacity.Retrying(stop=fails)),
        lambda: Retries.of(tenacity.Retrying(retry=fails)),
    ],
)
def test_a_policy_that_fails(make: Callable[[], Retries]) -> None:
    """It gives up, and the error that the user sees says why."""
    error = ConnectionError("reset")
    assert asked(make(), error=error) is None
    assert error.__notes__ == ["autoexec: not retried, as the policy failed: TypeError: a mistake of mine"]
    assert make().next_delay(1, None, FAILED, 0.0, 0.0) is None


@pytest.mark.parametrize("retries", [-1, True, 1.5, "3", None, [], KeyError, object()], ids=shown)
def test_neither_number_nor_policy(retries: object) -> None:
    """Anything else is refused before any item."""
    with pytest.raises(OptionError, match=r"^retries must be a whole number from 0 or a tenacity policy"):
        Retries.of(retries)  # type: ignore[arg-type]


@pytest.mark.parametrize("retry_on", [3, "x", [KeyError], int, (KeyError, int), (KeyError, "x")], ids=shown)
def test_neither_class_nor_function(retry_on: object) -> None:
    """The same for what decides which errors are worth it."""
    with pytest.raises(OptionError, match=r"^retry_on must be an exception class"):
        Retries.of(1, retry_on)  # type: ignore[arg-type]


async def later(_: object) -> bool:
    """A predicate that would have to be awaited."""
    return True


class Later:
    """The same as an object."""

    async def __call__(self, _: object) -> bool:
        return True


@pytest.mark.parametrize(
    "make",
    [
        lambda: tenacity.AsyncRetrying(retry=later),
        lambda: tenacity.AsyncRetrying(wait=Later()),
        lambda: tenacity.AsyncRetrying(retry=tenacity.asyncio.retry_if_exception(later)),
    ],
)
def test_coroutines_are_refused(make: Callable[[], Any]) -> None:
    """The policies are asked by ordinary code; an async one with ordinary functions will do."""
    with pytest.raises(OptionError, match="must be a plain function, not a coroutine"):
        Retries.of(make())
    assert asked(Retries.of(tenacity.AsyncRetrying())) == 0.0


def test_numbers_by_their_index() -> None:
    """Numbers of other libraries will do."""

    class Two:
        def __index__(self) -> int:
            return 2

    policy = Retries.of(Two())  # type: ignore[arg-type]
    assert asked(policy, 2) is not None
    assert asked(policy, 3) is None


def test_many_threads_may_ask() -> None:
    """One policy serves all workers at once, each with its own attempts."""
    policy = Retries.of(tenacity.Retrying(wait=lambda state: state.attempt_number))
    barrier, wrong = threading.Barrier(4), []

    def ask(attempt: int) -> None:
        barrier.wait()
        wrong.extend(delay for _ in range(200) if (delay := asked(policy, attempt)) != attempt)

    threads = [threading.Thread(target=ask, args=(attempt,)) for attempt in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_policies_travel() -> None:
    """A number's policy can be pickled."""
    copy = pickle.loads(pickle.dumps(Retries.of(2, KeyError)))
    assert asked(copy, 2, KeyError("x")) is not None
    assert asked(copy, 3, KeyError("x")) is None


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library, the error says what to install."""
    monkeypatch.setitem(sys.modules, "tenacity", None)
    with pytest.raises(
        MissingExtra, match=r"^retries= needs tenacity: pip install 'autoexec-futures\[io\]'$"
    ):
        Retries.of(3)


# The budget -------------------------------------------------------------------------------------------


@given(st.floats(0, 5), st.floats(0, 50), st.lists(st.booleans()))
def test_the_budget(ratio: float, reserve: float, story: list[bool]) -> None:
    """However good answers and retries alternate, no more is spent than was there and was earned."""
    budget, earned, spent = Budget(ratio, reserve), 0, 0
    for good in story:
        if good:
            budget.earn()
            earned += 1
        else:
            had = budget.tokens
            assert budget.spend() == (had >= 1)
            spent += had >= 1
        assert 0 <= budget.tokens <= reserve
        assert spent <= reserve + ratio * earned + 1e-6


def test_an_outage_is_not_multiplied() -> None:
    """With nothing but failures, so many retries are made as were in reserve."""
    budget = Budget(ratio=0.1, reserve=10)
    assert [budget.spend() for _ in range(1000)].count(True) == 10
    for _ in range(11):
        budget.earn()
    assert [budget.spend() for _ in range(10)].count(True) == 1


# Notes ------------------------------------------------------------------------------------------------


class Mute(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("not now")


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (ConnectionError("refused"), "attempt 2: ConnectionError: refused (after 0.31 s)"),
        (TimeoutError(), "attempt 2: TimeoutError (after 0.31 s)"),
        (ValueError("one\n  two\tthree"), "attempt 2: ValueError: one two three (after 0.31 s)"),
        (Mute(), "attempt 2: Mute (after 0.31 s)"),
    ],
    ids=["text", "no text", "lines", "mute"],
)
def test_notes(error: BaseException, note: str) -> None:
    """One line: which attempt, which error, after which wait."""
    assert attempt_note(2, error, 0.3101) == note


@given(st.text(), st.integers(1, 10**6), st.floats(0, 1e6))
def test_notes_are_short_lines(text: str, attempt: int, waited: float) -> None:
    """Whatever an error says, the note is one line of 200 characters at most."""
    note = attempt_note(attempt, ValueError(text * 50), waited)
    assert len(note) <= 200
    assert len(note.splitlines()) == 1
