"""Async functions: tasks in a loop of our own or of the caller's, timed, cancelled, and quiet about it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

import autoexec
from autoexec.backends import aio
from autoexec.backends.aio import AioBackend
from autoexec.backends.base import Chunk, Failure, Finished
from autoexec.resources import per_worker

PATIENCE_S = 20.0

pytestmark = pytest.mark.usefixtures("quiet_loops")


def backend(workers: int = 4, **more: Any) -> tuple[AioBackend, SimpleQueue[Finished]]:
    """A backend and where its finished tasks arrive."""
    inbox: SimpleQueue[Finished] = SimpleQueue()
    return AioBackend(workers, inbox.put, **more), inbox


async def double(x: int) -> int:
    """Wait a little and double."""
    await asyncio.sleep(0)
    return 2 * x


# Where and when ---------------------------------------------------------------------------------------------


def test_tasks_run_in_a_loop_of_its_own() -> None:
    """In a thread of its own, which ends with the backend."""

    async def where(x: int) -> str:
        return threading.current_thread().name

    made, inbox = backend()
    for i in range(5):
        made.submit(Chunk(i, [i], where))
    made.close()
    assert [inbox.get_nowait().values for _ in range(5)] == [["autoexec-loop"]] * 5
    assert not any(thread.name == "autoexec-loop" for thread in threading.enumerate())


def test_tasks_run_in_a_given_loop() -> None:
    """Whether they are submitted in its thread or in another one."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def same(x: int) -> bool:
            return asyncio.get_running_loop() is loop

        made, inbox = backend(loop=loop)
        made.submit(Chunk(0, [0], same))
        await asyncio.to_thread(made.submit, Chunk(1, [1], same))
        await asyncio.to_thread(made.close)
        assert [inbox.get_nowait().values for _ in range(2)] == [[True], [True]]

    asyncio.run(main())


def test_tasks_are_delivered_as_they_end() -> None:
    """Each waits for its successor, so the last ends first."""
    doors = [asyncio.Event() for _ in range(5)]

    async def after(x: int) -> int:
        if x < 4:
            await doors[x + 1].wait()
        doors[x].set()
        return x

    made, inbox = backend()
    for i in range(5):
        made.submit(Chunk(i, [i], after))
    made.close()
    assert [inbox.get_nowait().values[0] for _ in range(5)] == [4, 3, 2, 1, 0]


def test_several_arguments() -> None:
    """With `star` an item is unpacked."""

    async def add(x: int, y: int) -> int:
        return x + y

    made, inbox = backend()
    made.submit(Chunk(0, [(1, 2)], add, star=True))
    made.close()
    finished = inbox.get_nowait()
    assert finished.values == [3] and finished.wall_s > 0 and finished.where


def test_a_task_may_decline() -> None:
    """One whose `begin` says no is never made."""
    made, inbox = backend()
    made.submit(Chunk(0, [1], double, begin=lambda: False))
    made.submit(Chunk(1, [2], double, begin=lambda: True))
    made.close()
    assert inbox.get_nowait().values == [4] and inbox.empty()


def test_context_variables() -> None:
    """Items see the values from where the backend was made; what one sets the others do not see."""
    var = contextvars.ContextVar("var", default=0)

    async def seen(x: int) -> int:
        before = var.get()
        var.set(x)
        await asyncio.sleep(0)
        return before

    token = var.set(7)
    made, inbox = backend()
    var.reset(token)
    for i in range(3):
        made.submit(Chunk(i, [i], seen))
    made.close()
    assert [inbox.get_nowait().values for _ in range(3)] == [[7]] * 3 and var.get() == 0


# Errors -----------------------------------------------------------------------------------------------------


def test_an_error_is_a_value() -> None:
    """It stands in its place as a `Failure`."""

    async def fail(x: int) -> None:
        raise ValueError(x)

    made, inbox = backend()
    made.submit(Chunk(0, [3], fail))
    made.close()
    (value,) = inbox.get_nowait().values
    assert isinstance(value, Failure) and value.error.args == (3,)


def test_an_item_that_cancels_itself_fails_alone() -> None:
    """As with `asyncio.gather`, its CancelledError is one result among others."""

    async def leave(number: int) -> int:
        await asyncio.sleep(0)
        if number == 3:
            raise asyncio.CancelledError("mine")
        return number

    found = list(autoexec.map(leave, range(6), on_error="return"))
    assert [type(value) for value in found] == [int, int, int, asyncio.CancelledError, int, int]
    assert list(autoexec.map(leave, range(6), on_error="skip")) == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_would_end_the_loop_belongs_to_the_item(kind: type[BaseException]) -> None:
    """It is the error of its task, and the loop goes on."""

    async def leave(x: int) -> None:
        await asyncio.sleep(0)
        raise kind

    made, inbox = backend()
    made.submit(Chunk(0, [1], leave))
    finished = inbox.get(timeout=PATIENCE_S)
    assert isinstance(finished.error, kind) and finished.values == []
    made.submit(Chunk(1, [2], double))
    made.close()
    assert inbox.get_nowait().values == [4]


# The end of a task ------------------------------------------------------------------------------------------


class Stubborn:
    """An async function that swallows some cancellations while it waits for ever.

    Args:
        times: how many.
        value: returned after these; None goes on waiting.
    """

    def __init__(self, times: int, value: object = None) -> None:
        self.times, self.value = times, value
        self.began, self.ended = threading.Event(), threading.Event()
        self.cancelled = 0

    async def __call__(self, x: int) -> object:
        self.began.set()
        try:
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    if self.cancelled > self.times:
                        raise
                    if self.value is not None:
                        return self.value
        finally:
            self.ended.set()


def test_a_task_that_is_given_up_is_cancelled() -> None:
    """Nothing is delivered for it; the others go on."""
    item = Stubborn(0)
    made, inbox = backend()
    chunk = Chunk(0, [1], item)
    made.submit(chunk)
    assert item.began.wait(PATIENCE_S)
    made.abandon(chunk)
    made.abandon(chunk)
    assert item.ended.wait(PATIENCE_S)
    made.submit(Chunk(1, [2], double))
    made.close()
    assert inbox.get_nowait().values == [4] and inbox.empty()
    assert item.cancelled == 1


def test_tasks_that_swallow_the_first_cancellation_end_all_the_same() -> None:
    """They are cancelled again until they are gone."""
    items = [Stubborn(1), Stubborn(0), Stubborn(1, "late")]
    made, _ = backend()
    for i, item in enumerate(items):
        made.submit(Chunk(i, [i], item))
    assert all(item.began.wait(PATIENCE_S) for item in items)
    made.close(kill=True)
    assert [item.cancelled for item in items] == [2, 1, 1]
    assert all(item.ended.is_set() for item in items)


def test_closing_waits_for_the_tasks() -> None:
    """Without `kill` all of them end by themselves."""
    made, inbox = backend()
    for i in range(50):
        made.submit(Chunk(i, [i], double))
    made.close(wait=False)
    made.close()
    assert sorted(inbox.get_nowait().values[0] for _ in range(50)) == list(range(0, 100, 2))


def test_killing_after_closing() -> None:
    """Whoever has closed and lost patience may still cancel."""
    item = Stubborn(0)
    made, _ = backend()
    made.submit(Chunk(0, [1], item))
    assert item.began.wait(PATIENCE_S)
    made.close(wait=False)
    made.close(kill=True)
    assert item.ended.is_set()


def test_nothing_begins_after_the_end() -> None:
    """A task that comes too late is dropped, with the loop gone or while others are being cancelled."""
    made, inbox = backend()
    made.close(kill=True)
    made.submit(Chunk(0, [1], double))
    assert inbox.empty() and made.withdraw() == []

    async def main() -> None:
        shared, _ = backend(loop=asyncio.get_running_loop())
        first, late = Stubborn(1), Stubborn(0)
        shared.submit(Chunk(0, [1], first))
        while not first.began.is_set():
            await asyncio.sleep(0)
        shared.close(wait=False, kill=True)
        while not first.cancelled:
            await asyncio.sleep(0)
        shared.submit(Chunk(1, [1], late))
        await asyncio.to_thread(shared.close)
        assert not late.began.is_set()

    asyncio.run(main())


def test_a_loop_that_ends_under_its_tasks() -> None:
    """Where the caller's loop is closed first, its tasks are cancelled with it, and closing returns."""
    item = Stubborn(0)
    made: list[AioBackend] = []

    async def main() -> None:
        shared, _ = backend(loop=asyncio.get_running_loop())
        made.append(shared)
        shared.submit(Chunk(0, [1], item))
        shared.submit(Chunk(1, [1], Stubborn(0)))
        while not item.began.is_set():
            await asyncio.sleep(0)

    asyncio.run(main())
    assert item.ended.is_set()
    made[0].close()


# Blocking ---------------------------------------------------------------------------------------------------


def test_a_step_that_blocks_the_loop_is_told(
    burn: Callable[[float], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its item and for how long; one that only waits is not."""
    told: list[tuple[int, float]] = []
    monkeypatch.setattr(aio, "BLOCKED_S", 0.02)

    async def compute(x: int) -> None:
        await asyncio.sleep(0)
        burn(0.04)
        await asyncio.sleep(0)

    made, inbox = backend(blocked=lambda chunk, seconds: told.append((chunk.start, seconds)))
    made.submit(Chunk(5, [1], compute))
    made.close()
    assert [start for start, _ in told] == [5] and told[0][1] >= 0.04
    finished = inbox.get_nowait()
    assert 0.04 <= finished.cpu_s <= finished.wall_s + 1e-3


def test_waiting_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a task waits, its steps are short."""
    monkeypatch.setattr(aio, "BLOCKED_S", 5.0)
    told: list[object] = []

    async def idle(x: int) -> None:
        await asyncio.sleep(0.05)

    made, inbox = backend(blocked=lambda *what: told.append(what))
    made.submit(Chunk(0, [1], idle))
    made.close()
    finished = inbox.get_nowait()
    assert told == [] and finished.cpu_s < finished.wall_s


def test_what_is_made_once_for_all_does_not_count(burn: Callable[[float], int]) -> None:
    """A client that loads certificates is no fault of the item that asks for it first."""
    told: list[object] = []
    client = per_worker(burn, 0.2)

    async def use(x: int) -> None:
        client()
        await asyncio.sleep(0)

    made, inbox = backend(blocked=lambda *what: told.append(what))
    made.submit(Chunk(0, [1], use))
    made.close()
    finished = inbox.get_nowait()
    assert told == [] and finished.cpu_s < 0.2 <= finished.wall_s


# Resources --------------------------------------------------------------------------------------------------


class Client:
    """A client as async libraries have them."""

    def __init__(self) -> None:
        self.closed_in: object = None
        self.loop = asyncio.get_running_loop()

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed_in = asyncio.get_running_loop()

    def close(self) -> None:
        raise AssertionError("not this one: nobody would wait for it")


class Session(Client):
    """One that calls it `close` and wants it awaited."""

    aclose = None  # type: ignore[assignment]

    async def close(self) -> None:  # type: ignore[override]
        await Client.aclose(self)


class Broken(Client):
    """One that cannot be closed."""

    async def aclose(self) -> None:
        raise OSError("no")


@pytest.mark.parametrize("kind", [Client, Session])
@pytest.mark.parametrize("kill", [False, True])
def test_what_tasks_share_is_closed_with_await(kind: type[Client], kill: bool) -> None:
    """It is made once for the loop and closed in it when the tasks are gone."""
    mine = per_worker(kind)

    async def use(x: int) -> Client:
        client = mine()
        await asyncio.sleep(0)
        return client

    made, inbox = backend()
    for i in range(6):
        made.submit(Chunk(i, [i], use))
    clients = {inbox.get(timeout=PATIENCE_S).values[0] for _ in range(6)}
    made.close(kill=kill)
    (client,) = clients
    assert client.closed_in is client.loop


def test_what_cannot_be_closed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """And keeps nothing else open."""
    bad, good = per_worker(Broken), per_worker(Client)

    async def use(x: int) -> Client:
        client = good()
        bad()
        return client

    made, inbox = backend()
    made.submit(Chunk(0, [1], use))
    made.close()
    assert inbox.get_nowait().values[0].closed_in is not None
    assert "Broken" in caplog.text and "OSError" in caplog.text
