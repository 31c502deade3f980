"""What each worker makes once: who has its own, when it is closed, and how large its pool is."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import sys
import threading
import weakref
from typing import Any, ClassVar

import pytest

import autoexec
from autoexec.resources import Scope, close_here, per_worker
from tests.forking import in_child


class Thing:
    """Something that remembers who made and who closed it."""

    made: ClassVar[list[Thing]] = []

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.maker, self.closer = threading.get_ident(), 0
        self.process = os.getpid()
        Thing.made.append(self)

    def close(self) -> None:
        self.closer = threading.get_ident()


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing was made yet."""
    Thing.made.clear()


# A forked child ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_a_forked_child_makes_its_own(backend: str) -> None:
    """A connection is not shared between processes; nor is the parent's closed in the child."""
    mine = per_worker(Thing)

    def child() -> tuple[bool, ...]:
        own, theirs = mine(), Thing.made[-2]
        return own.process == os.getpid(), mine() is own, own is not theirs, not theirs.closer

    def item(_: int) -> tuple[bool, ...]:
        theirs = mine()
        found = in_child(child)
        assert mine() is theirs
        return found

    assert list(autoexec.map(item, range(3), backend=backend, max_workers=1)) == [(True,) * 4] * 3
    assert all(thing.closer and thing.process == os.getpid() for thing in Thing.made)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_does_not_let_go_of_its_parents() -> None:
    """Letting go of a connection may end it on the other side, too."""
    mine = per_worker(Thing)
    seen: list[weakref.ref[Thing]] = []

    def child() -> bool:
        mine()
        gc.collect()
        return seen[0]() is not None

    def item(_: int) -> bool:
        seen.append(weakref.ref(mine()))
        Thing.made.clear()
        return in_child(child)

    assert list(autoexec.map(item, range(1), backend="serial")) == [True]


# The caller's thread ----------------------------------------------------------------------------------------


def test_items_in_the_callers_thread_share_one() -> None:
    """It is made when it is first wanted, and closed when the run is over."""
    mine = per_worker(Thing, "own")
    found = list(autoexec.map(lambda x: mine(), range(5), backend="serial"))
    (thing,) = Thing.made
    assert found == [thing] * 5 and thing.name == "own"
    assert thing.maker == thing.closer == threading.get_ident()


def test_a_run_that_is_closed_early_closes_its_things() -> None:
    """So does one whose item raises."""
    mine = per_worker(Thing)
    with autoexec.map(lambda x: mine(), range(100_000), backend="serial") as results:
        next(results)
    with pytest.raises(ZeroDivisionError):
        list(autoexec.map(lambda x: mine() and 1 // x, [0], backend="serial"))
    assert len(Thing.made) == 2 and all(thing.closer for thing in Thing.made)


def test_the_next_run_makes_its_own() -> None:
    """Nothing that was closed is handed out again."""
    mine = per_worker(Thing)
    for _ in range(3):
        assert list(autoexec.map(lambda x: mine().closer, [1], backend="serial")) == [0]
    assert len(Thing.made) == 3


def test_a_map_inside_an_item_leaves_the_things_of_the_outer_one_open() -> None:
    """What the outer item holds is still open when the inner run is over."""
    mine = per_worker(Thing)

    def outer(x: int) -> bool:
        thing = mine()
        list(autoexec.map(lambda y: mine() and y, range(3), backend="serial"))
        return thing is mine() and not thing.closer

    assert all(autoexec.map(outer, range(3), backend="serial"))
    (thing,) = Thing.made
    assert thing.closer


def test_a_map_inside_a_worker_uses_the_workers_own() -> None:
    """It ends with the worker, not with the inner run."""
    mine = per_worker(Thing)

    def outer(x: int) -> bool:
        thing = mine()
        list(autoexec.map(lambda y: mine() and y, range(3), backend="serial"))
        return thing is mine() and not thing.closer

    assert all(autoexec.map(outer, range(6), item_timeout=30, max_workers=2))
    assert all(thing.closer == thing.maker for thing in Thing.made)


# Threads ----------------------------------------------------------------------------------------------------


def test_every_thread_has_its_own() -> None:
    """As many are made as threads ran at once, each closed by the thread that made it."""
    mine, together = per_worker(Thing), threading.Barrier(3)

    def work(x: int) -> tuple[int, int]:
        together.wait(20)
        return mine().maker, threading.get_ident()

    found = list(autoexec.map(work, range(9), item_timeout=30, max_workers=3))
    assert all(maker == worker for maker, worker in found)
    assert len(Thing.made) == 3
    assert all(thing.closer == thing.maker for thing in Thing.made)


def test_several_resources_are_closed_last_first() -> None:
    """A thing may rest on one that was made before it."""
    order: list[str] = []

    class Named(Thing):
        def close(self) -> None:
            order.append(self.name)

    first, second = per_worker(Named, "first"), per_worker(Named, "second")
    list(autoexec.map(lambda x: (first().name, second().name), [1], item_timeout=30))
    assert order == ["second", "first"]


# Processes --------------------------------------------------------------------------------------------------

SHARED = per_worker(dict, a=1)


def use_shared(x: int) -> tuple[int, int]:
    """A function that worker processes find by name, with what it uses."""
    own = SHARED()
    own["calls"] = own.get("calls", 0) + 1
    return os.getpid(), own["calls"]


@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "by value"])
def test_every_process_has_its_own(by_name: bool) -> None:
    """Made once in each and used by all its items, however the function got there."""
    mine = per_worker(dict, a=1)

    def nested(x: int) -> tuple[int, int]:
        own = mine()
        own["calls"] = own.get("calls", 0) + 1
        return os.getpid(), own["calls"]

    call = use_shared if by_name else nested
    found = list(autoexec.map(call, range(10), backend="processes", max_workers=2, chunksize=1))
    by_process: dict[int, list[int]] = {}
    for process, calls in found:
        assert process != os.getpid()
        by_process.setdefault(process, []).append(calls)
    assert all(sorted(calls) == list(range(1, len(calls) + 1)) for calls in by_process.values())


def test_processes_close_what_they_made(journal: Any) -> None:
    """When they end, each of them."""
    note = journal.note

    class Local:
        def __init__(self) -> None:
            note(f"made {os.getpid()}")

        def close(self) -> None:
            note(f"closed {os.getpid()}")

    mine = per_worker(Local)
    list(autoexec.map(lambda x: mine() and None, range(6), backend="processes", max_workers=2))
    made = {line.split()[1] for line in journal.lines() if line.startswith("made")}
    assert made and journal.wait_for(2 * len(made))
    assert {line.split()[1] for line in journal.lines() if line.startswith("closed")} == made


def test_it_pickles_by_what_makes_it() -> None:
    """A copy is the same resource: both give a worker the same thing."""
    made = pickle.loads(pickle.dumps(SHARED))
    assert made() is SHARED()
    assert repr(made) == repr(SHARED) == "autoexec.per_worker(dict)"
    close_here()


# Event loops ------------------------------------------------------------------------------------------------


def test_an_event_loop_is_one_worker() -> None:
    """All its tasks share one thing, which is closed in the end."""
    mine = per_worker(Thing)

    async def work(x: int) -> Thing:
        await asyncio.sleep(0)
        return mine()

    assert len(set(autoexec.map(work, range(20)))) == 1
    assert Thing.made[0].closer == Thing.made[0].maker != threading.get_ident()


@pytest.mark.parametrize("workers", [1, 7])
def test_a_session_of_aiohttp_has_a_pool_for_all_calls(workers: int) -> None:
    """As many connections as calls at once; one call alone needs nothing special."""
    aiohttp = pytest.importorskip("aiohttp")
    mine = per_worker(aiohttp.ClientSession)

    async def work(x: int) -> tuple[int, Any]:
        return mine().connector.limit, mine()

    ((limit, session),) = autoexec.map(work, [1], max_workers=workers)
    assert limit == (workers if workers > 1 else 100)
    assert session.closed


@pytest.mark.parametrize("workers", [1, 7])
def test_a_client_of_httpx_has_a_pool_for_all_calls(workers: int) -> None:
    """The same for the other library."""
    httpx = pytest.importorskip("httpx")
    mine = per_worker(httpx.AsyncClient, headers={"x": "y"})

    async def work(x: int) -> tuple[int, Any]:
        pool = mine()._transport._pool
        return pool._max_connections, mine()

    ((limit, client),) = autoexec.map(work, [1], max_workers=workers)
    assert limit == (workers if workers > 1 else 100)
    assert client.is_closed and client.headers["x"] == "y"


def test_a_pool_that_the_caller_chose_stays() -> None:
    """Own limits are not overruled."""
    httpx = pytest.importorskip("httpx")
    mine = per_worker(httpx.AsyncClient, limits=httpx.Limits(max_connections=3))

    async def work(x: int) -> int:
        return int(mine()._transport._pool._max_connections)

    assert list(autoexec.map(work, [1], max_workers=9)) == [3]


# A factory's own parameter ----------------------------------------------------------------------------------


class Pool:
    """A class that wants to know how many calls share it."""

    def __init__(self, size: int = 1, *, concurrency: int = 0) -> None:
        self.size, self.concurrency = size, concurrency


def make_pool(concurrency: int, size: int = 1) -> Pool:
    """A function that does."""
    return Pool(size, concurrency=concurrency)


@pytest.mark.parametrize("factory", [Pool, make_pool])
@pytest.mark.parametrize("workers", [1, 5])
def test_a_factory_is_told_the_concurrency(factory: Any, workers: int) -> None:
    """All calls of a loop, one in a thread."""
    mine = per_worker(factory, size=4)

    async def calls(x: int) -> tuple[int, int]:
        return mine().concurrency, mine().size

    assert list(autoexec.map(calls, [1], max_workers=workers)) == [(workers, 4)]
    assert list(autoexec.map(lambda x: mine().concurrency, [1], item_timeout=30, max_workers=workers)) == [1]


def test_a_concurrency_that_the_caller_gave_stays() -> None:
    """By name or by place."""
    own = per_worker(make_pool, 9), per_worker(make_pool, concurrency=9), per_worker(Pool, concurrency=9)
    for mine in own:
        assert list(autoexec.map(lambda x, mine=mine: mine().concurrency, [1], backend="serial")) == [9]  # type: ignore[misc]


# Errors -----------------------------------------------------------------------------------------------------


def test_an_error_of_the_factory_is_the_items() -> None:
    """The next item tries again."""
    attempts: list[int] = []

    def make() -> Thing:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("no server")
        return Thing()

    mine = per_worker(make)
    first, *rest = autoexec.map(lambda x: mine().name, range(3), backend="serial", on_error="return")
    assert isinstance(first, OSError) and rest == ["", ""]
    assert len(attempts) == 2


def test_an_error_in_closing_is_logged_and_keeps_nothing_open(caplog: pytest.LogCaptureFixture) -> None:
    """The work is done by then; the log says what could not be closed."""

    class Broken(Thing):
        def close(self) -> None:
            raise OSError("no")

    good, bad = per_worker(Thing), per_worker(Broken)
    assert list(autoexec.map(lambda x: good() and bad() and x, [1], item_timeout=30)) == [1]
    assert Thing.made[0].closer
    assert "Broken" in caplog.text and "no" in caplog.text


def test_things_that_cannot_be_closed_are_just_dropped() -> None:
    """A list or a number has no `close`."""
    mine = per_worker(list, (1, 2))
    assert list(autoexec.map(lambda i: mine()[i], [0, 1], backend="serial")) == [1, 2]


def test_outside_of_a_run_a_thread_has_its_own() -> None:
    """Whoever tries the function by hand gets one, too."""
    mine = per_worker(Thing)
    assert mine() is mine()
    found: list[Thing] = []
    thread = threading.Thread(target=lambda: found.append(mine()))
    thread.start()
    thread.join()
    assert found != [mine()]
    close_here()
    assert Thing.made[0].closer


def test_a_scope_forgets_what_it_closed() -> None:
    """Closing twice closes nothing twice; nothing is kept alive."""
    scope, thing = Scope(), Thing()
    scope.made["x"] = thing
    scope.close()
    thing.closer = 0
    scope.close()
    assert not thing.closer
    Thing.made.clear()
    gc.collect()
    assert sys.getrefcount(thing) <= 2
