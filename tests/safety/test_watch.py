"""Looks in worker processes: what only their items change is named; what each fills by itself is not."""

from __future__ import annotations

import functools
import pickle
from typing import Any

from autoexec.errors import EffectLost
from autoexec.safety.watch import Watch
from autoexec.worker.invoke import CallSpec, Error, Task

ROWS: list[int] = []
MODEL: Any = None


def seldom(x: int) -> int:
    """Changes something now and then."""
    if x > 2:
        ROWS.append(x)
    return x


def loads(x: int) -> Any:
    """Fills a place of its own."""
    global MODEL
    if MODEL is None:
        MODEL = (1, 2)
    return MODEL[0] + x


def around(watch: Watch, func: Any, *items: int) -> str:
    """One task."""
    watch.begin((items[0],))
    for item in items:
        func(item)
    return watch.end()[0]


def test_what_changed_is_said_once_for_each_task_that_did_it() -> None:
    """By function and object; the next task is compared with what is there then."""
    watch = Watch(seldom)
    assert around(watch, seldom, 0, 1) == ""
    assert around(watch, seldom, 2, 3) == "seldom changes what outlives it: 'ROWS'"
    assert around(watch, seldom, 0, 1) == ""
    assert "ROWS" in around(watch, seldom, 9)


def test_a_place_that_is_filled_there_is_no_loss() -> None:
    """A fresh worker loads its own model."""
    global MODEL
    MODEL = None
    assert around(Watch(loads), loads, 1, 2) == "" and MODEL == (1, 2)


def test_a_worker_at_rest_forgets_its_notes() -> None:
    """The next call may find another state, which is no item's doing."""
    watch = Watch(seldom)
    around(watch, seldom, 1)
    watch.rest()
    ROWS.append(-1)
    assert around(watch, seldom, 1) == ""


def test_it_goes_along_with_the_function() -> None:
    """Without its notes."""
    spec = CallSpec(seldom)
    spec.surround = Watch(seldom)
    spec.surround.begin((1,))
    there = pickle.loads(pickle.dumps(spec))
    assert type(there.surround) is Watch and there.surround.end() == ("", [])


def test_the_last_item_of_a_task_tells_of_it() -> None:
    """In its place; those before it are delivered. An item's own error comes first."""
    from autoexec.backends.processes.sent import Sent

    sent = Sent(Task(CallSpec(seldom, capture=True), 10, [1, 2, 3]))
    for value in (1, 2, 3):
        sent.add(value)
    sent.tell("seldom changes 'ROWS'", [])
    assert sent.outcomes[:2] == [1, 2] and type(sent.outcomes[2]) is Error
    error = sent.outcomes[2].error
    assert type(error) is EffectLost and "items 10 to 12" in str(error)
    failed = Sent(Task(CallSpec(seldom, capture=True), 10, [1]))
    failed.add(Error(ValueError("own")))
    failed.tell("seldom changes 'ROWS'", [])
    assert type(failed.outcomes[0].error) is ValueError
    assert "seldom changes 'ROWS'" in failed.outcomes[0].error.__notes__[0]


def test_a_worker_draws_its_own_random_numbers() -> None:
    """Its generators were seeded anew, as those of every worker are."""
    import numpy as np

    state = np.random.get_state()
    np.random.seed(3)

    def draws(x: int) -> float:
        return float(np.random.rand())

    try:
        assert around(Watch(draws), draws, 1, 2) == ""
    finally:
        np.random.set_state(state)


class Plain:
    """Items of a class without effects."""

    def handle(self) -> None:
        """Nothing."""


class Odd:
    """And of one that counts."""

    hits = 0

    def handle(self) -> None:
        """One more."""
        Odd.hits += 1


class Later(Plain):
    """One that only later items of a task are of."""

    hits = 0

    def handle(self) -> None:
        """One more."""
        Later.hits += 1


class Silent:
    """A class that has nothing to do with these."""

    def handle(self) -> None:
        """Nothing."""


def asks(row: tuple[Any, int]) -> int:
    """Leaves all to the item."""
    row[0].handle()
    return row[1]


def test_classes_that_only_later_items_have_are_watched() -> None:
    """Those that a task begins with, and in a task all that are derived from these."""
    watch = Watch(asks)
    assert around(watch, asks, (Plain(), 0), (Plain(), 1)) == ""  # type: ignore[arg-type]
    assert "Odd.hits" in around(watch, asks, (Odd(), 2))  # type: ignore[arg-type]
    assert "Later.hits" in around(watch, asks, (Plain(), 3), (Later(), 4))  # type: ignore[arg-type]
    watch = Watch(asks)
    assert around(watch, asks, (Plain(), 0)) == around(watch, asks, (Silent(), 1)) == ""  # type: ignore[arg-type]
    assert "Later.hits" in around(watch, asks, (Plain(), 3), (Later(), 4))  # type: ignore[arg-type]


def test_a_method_that_comes_again_with_its_class_is_no_change() -> None:
    """A later item may bring its class once more."""
    watch = Watch(asks)
    watch.begin(((Plain(), 0),))
    again = type(Plain.handle)(Plain.handle.__code__, globals(), "handle")
    Plain.handle = again  # type: ignore[method-assign]
    assert watch.end() == ("", [])
    watch.begin(((Plain(), 0),))
    Plain.handle = lambda self: None  # type: ignore[method-assign]
    assert "Plain.handle" in watch.end()[0]
    Plain.handle = again  # type: ignore[method-assign]


HEARD: list[int] = []


def quiet() -> int:
    """Changes nothing."""
    return 1


def noisy() -> int:
    """Is heard."""
    HEARD.append(1)
    return 2


def calls(call: Any) -> Any:
    """Leaves all to the item."""
    return call()


def test_functions_among_later_items_are_watched() -> None:
    """By themselves, in partials, in what stands in items."""
    for later in (noisy, functools.partial(noisy), (noisy,)):
        watch, call = Watch(calls), later[0] if isinstance(later, tuple) else later
        assert around(watch, calls, quiet) == ""  # type: ignore[arg-type]
        watch.begin((later,))
        call()
        assert "HEARD" in watch.end()[0]
