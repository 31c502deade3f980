"""Async functions through `map`, `amap`, `Executor` and `@parallel`: same care, no noise."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import autoexec
from autoexec import OptionError
from tests.io.clients import aiohttp_raises, async_httpx_raises, need, requests_raises
from tests.servers.behaving import stats

ROOT = str(Path(__file__).parents[2])


def collected(results):
    """All results of an `amap`, in a loop of their own."""

    async def main():
        return [value async for value in results()]

    return asyncio.run(main())


class TestDoors:
    """The same options mean the same."""

    @pytest.mark.parametrize("func", [aiohttp_raises, async_httpx_raises])
    def test_every_door(self, behaving, func):
        """`map`, `amap`, `submit`, `Executor.map`, the decorator."""
        need("aiohttp" if func is aiohttp_raises else "httpx")
        urls = [f"{behaving}/fail?id={i}&times=1&status=502" for i in range(5)]

        def ids(values):
            return [value["id"] for value in values]

        wanted = [str(i) for i in range(5)]
        assert ids(autoexec.map(func, urls[:1], retries=1)) == wanted[:1]
        assert ids(collected(lambda: autoexec.amap(func, urls[1:2], retries=1))) == wanted[1:2]
        with autoexec.Executor(retries=1) as executor:
            assert ids([executor.submit(func, urls[2]).result()]) == wanted[2:3]
            assert ids(executor.map(func, urls[3:4])) == wanted[3:4]
        assert ids(autoexec.parallel(retries=1)(func).map(urls[4:])) == wanted[4:]
        assert set(stats(behaving)["/fail"]["ids"].values()) == {2}

    def test_amap_takes_plain_functions_and_async_items(self, behaving):
        """Neither holds up the loop."""
        pytest.importorskip("requests")

        async def items():
            for i in range(20):
                await asyncio.sleep(0)
                yield f"{behaving}/constant?ms=10&id={i}"

        async def main():
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.001)

            ticking = asyncio.create_task(tick())
            values = [value async for value in autoexec.amap(requests_raises, items())]
            ticking.cancel()
            return values, ticks

        values, ticks = asyncio.run(main())
        assert values == [{"ok": True}] * 20 and ticks > 5

    def test_errors_and_order(self, behaving):
        """Returned in their place, or raised there with a note."""
        pytest.importorskip("aiohttp")
        urls = [f"{behaving}/{'status/404' if i == 3 else 'constant'}?ms={(7 - i) * 3}" for i in range(6)]
        values = collected(lambda: autoexec.amap(aiohttp_raises, urls, on_error="return"))
        assert [isinstance(value, Exception) for value in values] == [i == 3 for i in range(6)]
        got = []

        async def main():
            async for value in autoexec.amap(aiohttp_raises, urls):
                got.append(value)  # noqa: PERF401 (what comes before the error stays)

        with pytest.raises(Exception, match="404") as caught:
            asyncio.run(main())
        assert len(got) == 3 and any("item 3 (" in note for note in caught.value.__notes__)

    def test_unordered(self, behaving):
        """The quick ones first."""
        pytest.importorskip("aiohttp")

        async def fetch(ms):
            await aiohttp_raises(f"{behaving}/constant?ms={ms}")
            return ms

        options = {"ordered": False}
        assert collected(lambda: autoexec.amap(fetch, [500, 1, 2], **options))[-1] == 500

    def test_the_concurrency_is_capped(self, behaving):
        """By the server's own count."""
        pytest.importorskip("aiohttp")
        urls = [f"{behaving}/constant?ms=5"] * 60
        assert len(list(autoexec.map(aiohttp_raises, urls, max_workers=7))) == 60
        assert stats(behaving)["/constant"]["most_at_once"] <= 7

    def test_it_needs_a_loop(self):
        """Ordinary code is told to use `map`."""
        with pytest.raises(OptionError, match=r"use autoexec\.map"):
            autoexec.amap(aiohttp_raises, ["x"])

    def test_inside_a_running_loop_map_still_works(self):
        """It blocks that loop, as any call would, and runs its own."""

        async def double(number):
            await asyncio.sleep(0.001)
            return 2 * number

        async def main():
            return list(autoexec.map(double, range(5)))

        assert asyncio.run(main()) == [0, 2, 4, 6, 8]


class TestBlocking:
    """CPU work inside an async function is noticed and said."""

    def test_it_is_said_once(self, caplog):
        """In the log, with what to do; in the stats, with how long."""

        async def computes(number):
            await asyncio.sleep(0)
            until = time.thread_time() + 0.08
            while time.thread_time() < until:
                pass
            return number

        with caplog.at_level(logging.WARNING, "autoexec"):
            results = autoexec.map(computes, range(3))
            assert list(results) == [0, 1, 2]
        (line,) = [record.getMessage() for record in caplog.records]
        assert "computes" in line and "asyncio.to_thread" in line
        assert results.stats().blocked_s >= 0.2

    def test_waiting_is_not_blocking(self, caplog):
        """Nothing is said of calls that wait."""

        async def waits(number):
            await asyncio.sleep(0.08)
            return number

        with caplog.at_level(logging.WARNING, "autoexec"):
            results = autoexec.map(waits, range(3))
            assert list(results) == [0, 1, 2]
        assert not caplog.records and results.stats().blocked_s == 0


class TestCancelling:
    """Leaving early cancels the tasks and waits until they are gone."""

    def test_leaving_the_block(self):
        """Every call that began has ended when the block is left."""
        begun, ended = [], []

        async def work(number):
            begun.append(number)
            try:
                await asyncio.sleep(0.001 if number < 3 else 60)
            finally:
                ended.append(number)
            return number

        async def main():
            async with autoexec.amap(work, range(50), max_workers=8) as results:
                return [await anext(results) for _ in range(3)]

        assert asyncio.run(main()) == [0, 1, 2]
        assert sorted(begun) == sorted(ended) and len(begun) <= 3 + 8

    def test_cancelling_the_task_around_it(self):
        """A consumer that is cancelled while it waits takes its calls with it."""
        begun, ended = [], []

        async def work(number):
            begun.append(number)
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(number)

        async def consume():
            async for _ in autoexec.amap(work, range(10)):
                pass

        async def main():
            task = asyncio.create_task(consume())
            while not begun:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return [other for other in asyncio.all_tasks() if other is not asyncio.current_task()]

        asyncio.run(main())
        assert begun and sorted(begun) == sorted(ended)

    def test_closing_a_map(self):
        """From ordinary code, the loop in its own thread ends with it."""
        started = threading.Event()
        begun, ended = [], []

        async def work(number):
            begun.append(number)
            if len(begun) > 1:
                started.set()
            try:
                await asyncio.sleep(0 if number == 0 else 60)
            finally:
                ended.append(number)
            return number

        with autoexec.map(work, range(20), max_workers=5) as results:
            assert next(results) == 0 and started.wait(20)
        assert sorted(begun) == sorted(ended) and len(ended) >= 2
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("autoexec")]


NOISY = {
    "runs to its end": """
        async def main():
            async for value in autoexec.amap(work, range(30)):
                pass
        asyncio.run(main())
    """,
    "is left early": """
        async def main():
            async with autoexec.amap(work, range(30)) as results:
                await anext(results)
        asyncio.run(main())
    """,
    "is dropped in the middle": """
        async def main():
            async for value in autoexec.amap(work, range(30)):
                break
        asyncio.run(main())
    """,
    "is never begun": """
        async def main():
            autoexec.amap(work, range(30))
        asyncio.run(main())
    """,
    "is cancelled": """
        async def consume():
            async for value in autoexec.amap(hang, range(30)):
                pass
        async def main():
            task = asyncio.create_task(consume())
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        asyncio.run(main())
    """,
    "has a deadline around it": """
        async def main():
            try:
                async with asyncio.timeout(0.05):
                    async for value in autoexec.amap(hang, range(30)):
                        pass
            except TimeoutError:
                print("late")
        asyncio.run(main())
    """,
    "fails": """
        async def main():
            try:
                async for value in autoexec.amap(fail, range(30)):
                    pass
            except ZeroDivisionError:
                print("failed")
        asyncio.run(main())
    """,
    "gives calls up": """
        async def main():
            async for value in autoexec.amap(hang, range(5), item_timeout=0.02, on_error="return"):
                pass
        asyncio.run(main())
    """,
    "is a map": """
        print(sum(autoexec.map(work, range(30))))
        with autoexec.map(hang, range(30)):
            pass
        try:
            list(autoexec.map(fail, range(30)))
        except ZeroDivisionError:
            print("failed")
        list(autoexec.map(hang, range(5), item_timeout=0.02, on_error="skip"))
    """,
    "is an executor": """
        with autoexec.Executor() as executor:
            futures = [executor.submit(work, 1), executor.submit(fail, 1)]
            print(futures[0].result(), futures[1].exception())
    """,
}
HEAD = """
import asyncio, logging
import autoexec

logging.getLogger("autoexec").setLevel(logging.ERROR)

async def work(number):
    await asyncio.sleep(0.001)
    return number

async def hang(number):
    await asyncio.sleep(60)

async def fail(number):
    await asyncio.sleep(0.001)
    return number / 0 if number else number

"""


@pytest.mark.parametrize("what", NOISY)
def test_no_noise(what):
    """With every warning on and an error, nothing is written to standard error."""
    code = HEAD + textwrap.dedent(NOISY[what])
    environment = {**os.environ, "PYTHONPATH": ROOT}
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=40)
    # What asyncio says in debug mode of a machine that is busy is no noise of ours.
    said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, said) == (0, [])
