"""Looks in worker processes: what only their items change is named; what each fills by itself is not."""

from __future__ import annotations

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
