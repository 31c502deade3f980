"""`item_timeout=`: a call that hangs costs its own result, and nothing else."""

from __future__ import annotations

import asyncio
import threading

import pytest

import autoexec
from autoexec import ItemTimeout
from tests.io import clients
from tests.io.clients import need
from tests.servers.behaving import stats

requests = pytest.importorskip("requests")

HANGS_S = 1.5  # patience of the library with a server that says nothing: then its thread ends


def patient(url):
    """A call whose library gives up much later than `item_timeout=`."""
    return requests.get(url, timeout=HANGS_S).status_code


@pytest.fixture
def gate():
    """An event that is set when the test is over, so that no thread stays behind."""
    event = threading.Event()
    yield event
    event.set()


class TestThreads:
    """A thread cannot be killed: its call is given up, and another takes its place."""

    def test_a_hanging_server_does_not_starve_the_others(self, behaving, broken):
        """Eight calls hang in four workers; the other forty are answered."""
        urls = [broken.silent if i % 6 == 0 else f"{behaving}/constant?ms=2&id={i}" for i in range(48)]
        results = autoexec.map(patient, urls, item_timeout=0.2, max_workers=4, on_error="return")
        values = list(results)
        assert all(type(value) is ItemTimeout for value in values[::6])
        assert [value for i, value in enumerate(values) if i % 6] == [200] * 40
        assert stats(behaving)["/constant"]["calls"] == 40
        seen = results.stats()
        assert seen.calls == 48 and seen.errors == 8 and seen.at_once == 0
        assert {(row.kind, row.count) for row in seen.failures} == {("ItemTimeout", 8)}

    def test_it_says_what_it_means(self, gate):
        """The message names the option, the notes the item and that the worker was given up."""
        results = autoexec.map(lambda _: gate.wait(), ["x"], item_timeout=0.05)
        with pytest.raises(ItemTimeout, match=r"item_timeout=0\.05 s") as caught:
            list(results)
        assert isinstance(caught.value, TimeoutError)
        assert any("item 0 ('x')" in note and "given up" in note for note in caught.value.__notes__)

    def test_late_results_are_dropped(self, gate, tmp_path):
        """What comes after all is nobody's result, neither now nor in the journal."""
        done = threading.Semaphore(0)

        def slow(number):
            if number % 2:
                gate.wait(20)
                done.release()
            return number

        options = {"item_timeout": 0.1, "on_error": "return", "journal": tmp_path / "run.sqlite"}
        results = autoexec.map(slow, range(6), **options)
        values = []
        for value in results:
            values.append(value)
            if len(values) == 4:  # the first two late results come while the run goes on
                gate.set()
                assert done.acquire(timeout=20) and done.acquire(timeout=20)
        assert values[::2] == [0, 2, 4]
        assert [type(value) for value in values[1:4:2]] == [ItemTimeout] * 2
        again = list(autoexec.map(slow, range(6), **options))
        assert again == [0, 1, 2, 3, 4, 5]

    def test_threads_are_bounded_and_go(self, gate):
        """Twenty hanging calls in three workers hold a thread each, and no more; let go, they end."""
        before = threading.active_count()
        seen = []

        def hang(number):
            seen.append(threading.active_count())
            return number if number % 2 else gate.wait(20)

        results = list(autoexec.map(hang, range(40), item_timeout=0.05, max_workers=3, on_error="return"))
        assert [type(value) for value in results[::2]] == [ItemTimeout] * 20
        for number, value in zip(range(1, 40, 2), results[1::2], strict=True):
            assert value == number or type(value) is ItemTimeout  # on a crowded machine any call may be late
        assert max(seen) <= before + 20 + 3 + 2  # those that hang, the workers, the desk's own
        gate.set()  # that the threads end is what every test is held to

    def test_a_call_that_took_too_long_may_run_again(self, gate):
        """A timeout is worth a retry, where retries are allowed."""
        pytest.importorskip("tenacity")
        calls = []

        def first_hangs(number):
            calls.append(number)
            if calls.count(number) == 1:
                gate.wait(20)
            return number

        results = autoexec.map(first_hangs, range(4), item_timeout=0.1, retries=1)
        assert list(results) == [0, 1, 2, 3]
        assert sorted(calls) == [0, 0, 1, 1, 2, 2, 3, 3]
        assert results.stats().retries == 4

    def test_submitted_calls_too(self, gate):
        """A future gets the `ItemTimeout`."""
        with autoexec.Executor(item_timeout=0.05) as executor:
            hanging, quick = executor.submit(gate.wait), executor.submit(int, "7")
            assert quick.result(20) == 7
            assert type(hanging.exception(20)) is ItemTimeout

    def test_the_decorator_too(self, gate):
        """As an option of the function."""
        wait = autoexec.parallel(item_timeout=0.05)(lambda seconds: seconds or gate.wait(20))
        values = list(wait.map([1, 0, 2], on_error="return"))
        assert (values[0], type(values[1]), values[2]) == (1, ItemTimeout, 2)


class TestAsync:
    """A task is cancelled, and cleans up."""

    @pytest.mark.parametrize("name", ["aiohttp", "async httpx"])
    def test_hanging_calls_are_cancelled(self, behaving, broken, name):
        """With four at once, eight that hang, and forty answered."""
        need(name)
        urls = [broken.silent if i % 6 == 0 else f"{behaving}/constant?ms=2&id={i}" for i in range(48)]
        values = list(
            autoexec.map(clients.RAISING[name], urls, item_timeout=2.0, max_workers=4, on_error="return")
        )
        assert all(type(value) is ItemTimeout for value in values[::6])
        assert [value for i, value in enumerate(values) if i % 6] == [{"ok": True}] * 40

    def test_finally_runs(self):
        """A cancelled call sees the cancellation."""
        ends = []

        async def hang(number):
            try:
                await asyncio.sleep(0 if number % 2 else 60)
            except asyncio.CancelledError:
                ends.append(number)
                raise
            return number

        values = list(autoexec.map(hang, range(6), item_timeout=0.05, on_error="return"))
        assert values[1::2] == [1, 3, 5] and ends == [0, 2, 4]
        assert [type(value) for value in values[::2]] == [ItemTimeout] * 3

    def test_a_call_that_will_not_be_cancelled_is_not_waited_for_by_others(self):
        """It swallows the first cancellation; the others' results do not wait."""

        async def stubborn(number):
            for _ in range(2 if number == 0 else 0):
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    continue
            return number

        values = list(autoexec.map(stubborn, range(4), item_timeout=0.05, on_error="skip", max_workers=1))
        assert values == [1, 2, 3]
