"""Where the consumer waits: who wakes it, who does not, and that nothing is lost on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.engine.delivery import GATHER_S
from autoexec.engine.scheduler import Scheduler
from autoexec.engine.source import Source
from autoexec.engine.tracks import END, Chunks, Track
from autoexec.records import Plan
from autoexec.worker.invoke import CallSpec, TaskResult
from tests.engine.fakes import Scene, by_hand

PATIENCE_S = 20.0  # only a missed wake-up takes that long


def waiting(*items: object, ordered: bool = True, **wishes: object) -> Scene:
    """A scene whose items all run, while the consumer is about to wait."""
    scene = Scene(ordered=ordered, **wishes)  # type: ignore[arg-type]
    scene.give(*items)
    scene.finish()
    about_to_wait(scene)
    return scene


def about_to_wait(scene: Scene) -> None:
    """The consumer finds nothing, also when it has looked at what is new: that there is a backend."""
    scene.take()
    rung(scene)
    assert scene.take() == [] and not rung(scene)


def rung(scene: Scene) -> bool:
    """Whether the consumer would be woken, or has been."""
    return scene.scheduler.wait(0.0)


def test_the_next_result_wakes() -> None:
    """With it come all others that are there."""
    scene = waiting("a", "b", "c")
    scene.end("b")
    scene.end("a")
    assert rung(scene) and scene.take() == ["a", "b"]


def test_results_out_of_order_wake_nobody() -> None:
    """They are there when the next one is."""
    scene = waiting(*range(100))
    for item in range(99, 0, -1):
        scene.end(item)
    assert not rung(scene)
    scene.end(0)
    assert rung(scene) and scene.take() == list(range(100))


def test_any_result_wakes_who_takes_any() -> None:
    """Without an order the first one will do."""
    scene = waiting("a", "b", ordered=False)
    scene.end("b")
    assert rung(scene) and scene.take() == ["b"]


def test_waking_needs_no_result() -> None:
    """`ring` ends a wait with nothing, or with what happens to be there."""
    scene = waiting("a", "b")
    scene.scheduler.ring()
    assert rung(scene) and scene.take() == [] and not rung(scene)


def test_a_wait_that_is_over_hears_no_late_ring() -> None:
    """What comes while nobody waits is found without a bell."""
    scene = waiting("a", "b")
    scene.end("a")
    scene.scheduler.ring()
    scene.end("b")
    assert rung(scene) and not rung(scene)
    assert scene.take() == ["a", "b"]
    assert not rung(scene)


def test_room_for_more_of_the_input_wakes() -> None:
    """Only the consumer may pull from its iterator."""
    scene = Scene(ordered=True)
    scene.scheduler.room = 1
    scene.give("a")
    about_to_wait(scene)
    assert scene.scheduler.to_pull() == 0
    scene.scheduler.widen(2)
    assert rung(scene) and scene.scheduler.to_pull() == 1


@pytest.mark.parametrize(
    "happens",
    [lambda s: s.scheduler.crashed(OSError("x")), lambda s: s.scheduler.close()],
    ids=["an error of ours", "the end"],
)
def test_what_ends_the_run_wakes(happens: Callable[[Scene], object]) -> None:
    """Nobody waits for what will not come."""
    scene = waiting("a", "b")
    happens(scene)
    assert rung(scene)


def test_the_end_of_the_last_item_wakes() -> None:
    """There is nothing to hand out, and nothing more to come."""
    scene = waiting("a", on_error="skip")
    scene.end("a")
    assert rung(scene) and scene.take() == ["a"]
    assert scene.scheduler.take() is END


def gathering(count: int) -> Scene:
    """A scene whose consumer has just taken something, and wants more."""
    scene = waiting(*range(count))
    scene.end(0)
    assert rung(scene) and scene.take() == [0]
    return scene


def left_alone(scene: Scene) -> bool:
    """Whether the consumer would sleep on for the moment."""
    return scene.scheduler._delivery.wants


def test_who_has_just_taken_results_lets_others_gather() -> None:
    """A moment later it looks, without having been woken."""
    scene = gathering(9)
    for item in (1, 2, 3):
        scene.end(item)
    assert left_alone(scene)
    assert rung(scene) and scene.take() == [0, 1, 2, 3]


def test_results_that_come_now_and_then_wake_at_once() -> None:
    """Nobody waits even for a moment where that would not save anything."""
    scene = gathering(9)
    scene.clock.now += 2 * GATHER_S
    scene.end(1)
    scene.take()
    scene.clock.now += 2 * GATHER_S
    assert scene.take() == [0, 1]
    scene.end(2)
    assert not left_alone(scene) and rung(scene) and scene.take() == [0, 1, 2]


@pytest.mark.parametrize(
    "happens",
    [
        lambda s: s.scheduler.crashed(OSError("x")),
        lambda s: s.scheduler.close(),
        lambda s: s.scheduler.ring(),
        lambda s: [s.end(item) for item in range(1, 300)],
        lambda s: [s.end(item) for item in range(1, 66)],
    ],
    ids=["an error of ours", "the end", "a ring", "all results", "many"],
)
def test_what_cannot_wait_ends_the_gathering(happens: Callable[[Scene], object]) -> None:
    """The consumer is wanted for more than a result, or there are enough."""
    scene = gathering(300)
    happens(scene)
    assert not left_alone(scene) and rung(scene)


def test_a_small_window_is_not_left_to_fill() -> None:
    """With `buffersize=1` the next item begins only when this result is taken."""
    scene = Scene(ordered=True)
    scene.scheduler.room = 1
    scene.give(*range(3))
    about_to_wait(scene)
    for item in range(2):
        scene.end(item)
        assert not left_alone(scene) and rung(scene)
        assert scene.take() == list(range(item + 1))


# With threads -----------------------------------------------------------------------------------------------


def run(order: list[int], producers: int, *, ordered: bool) -> tuple[list[int], bool]:
    """What the consumer got of tasks that end in threads, in that order, and whether it came to the end."""
    count = len(order)
    scheduler = Scheduler(CallSpec(abs), Source((range(count),)), ordered=ordered)
    chunks = Chunks(Plan("threads", count), 1, single=False, window=None)
    track = Track("fake", scheduler.queue, count, chunks, elastic=True, threaded=False)
    backend = by_hand(scheduler)
    track.backend = backend
    scheduler.change(opens=[track])
    scheduler.opened(track)
    entries = {task.place: (slot, task) for slot, task in backend._out}
    got: list[int] = []
    together = threading.Barrier(producers + 1)

    def produce(own: list[int]) -> None:
        together.wait(PATIENCE_S)
        for place in own:
            slot, task = entries[place]
            scheduler.completed(slot, task, TaskResult([place], clean=True))

    def consume() -> None:
        together.wait(PATIENCE_S)
        while (found := scheduler.take()) is not END:
            if isinstance(found, list):
                got.extend(found)
            elif not scheduler.wait(PATIENCE_S):
                return

    threads = [threading.Thread(target=produce, args=(order[k::producers],)) for k in range(producers)]
    consumer = threading.Thread(target=consume, daemon=True)
    for thread in (consumer, *threads):
        thread.start()
    for thread in (*threads, consumer):
        thread.join(2 * PATIENCE_S)
    return got, scheduler.take() is END


@settings(max_examples=60)
@given(st.permutations(range(40)), st.integers(1, 3), st.booleans())
def test_no_wake_up_is_missed(order: list[int], producers: int, ordered: bool) -> None:
    """Whatever the order of arrival, the consumer gets each once, and never waits in vain."""
    got, ended = run(order, producers, ordered=ordered)
    assert ended, "the consumer waits although there is something"
    assert (got if ordered else sorted(got)) == list(range(40))
