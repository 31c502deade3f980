"""Runs with a journal: cut off anywhere, they go on where they were, with the same results."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

import autoexec
from autoexec import JournalError
from benchmarks.io.endurance import kill_run
from tests.io.clients import aiohttp_raises, requests_raises, requests_returns
from tests.servers.behaving import stats


@pytest.fixture
def path(tmp_path):
    """Where the journal goes."""
    return tmp_path / "run.sqlite"


def rows(path):
    """How many results it holds, of how many different items."""
    connection = sqlite3.connect(path)
    try:
        query = "SELECT count(*), count(DISTINCT function || hex(key)) FROM results"
        count, names = connection.execute(query).fetchone()
    finally:
        connection.close()
    assert count == names
    return count


class Stop(Exception):
    """What cuts a run off in these tests."""


def square(number):
    """A function that is found by name in every process."""
    return number * number


@pytest.mark.parametrize("options", [{"backend": "threads"}, {"backend": "serial"}, {}])
def test_results_that_an_item_closes(path, options):
    """What runs then, that item first of all, is kept: it has been run."""
    held, at = [], []

    def work(number):
        if number >= 3 and held and not at:  # the first ones may run before there are results to close
            at.append(number)
            held[0].close()
        return number

    def run():
        results = autoexec.map(work, range(9), max_workers=2, journal=path, key=str, **options)
        held.append(results)
        return results

    with run() as results:
        got = list(results)
    assert got == list(range(len(got))) and len(got) <= at[0] + 2
    assert rows(path) >= at[0] + 1


@pytest.mark.parametrize("where", ["the caller's thread", "a thread"])
def test_results_that_another_thread_closes(path, where):
    """While an item runs: it is waited for, and its result is kept."""
    begun, closing = threading.Event(), threading.Event()

    def work(number):
        if number == 2:
            begun.set()
            assert closing.wait(20)
        return number

    options = {"backend": "serial" if "caller" in where else "threads"}
    results = autoexec.map(work, range(9), max_workers=1, journal=path, key=str, **options)
    reader = threading.Thread(target=lambda: list(results))
    reader.start()
    assert begun.wait(20)
    closer = threading.Thread(target=results.close)
    closer.start()
    while not results._blocks.closed:
        threading.Event().wait(0.001)
    closing.set()
    closer.join(20)
    reader.join(20)
    assert not closer.is_alive() and not reader.is_alive()
    assert rows(path) == 3


def test_killed_three_times(tmp_path):
    """Every item is finished exactly once, in order, and only calls under way were made for nothing."""
    workers = 16
    run = kill_run(tmp_path, items=300, kills=3, seed=1, ms=5, workers=workers)
    assert run.right
    assert (run.rows, run.names) == (300, 300)
    assert list(run.kept) == sorted(run.kept) and run.kept[-1] < 300
    assert run.most_at_once <= workers
    # A worker has one call at a time, begun or ended and not yet kept: how many depends on the disk.
    assert run.open <= run.for_nothing <= run.kills * workers


def kinds(name):
    """The function and options of one kind of run, and calls counted."""
    calls = Counter()

    def plain(number):
        calls[number] += 1
        return square(number)

    async def waiting(number):
        calls[number] += 1
        await asyncio.sleep(0.001)
        return square(number)

    def two(number, more):
        calls[number] += 1
        return square(number) + more

    return {"plain": plain, "async": waiting, "two": two}[name], calls


class TestResuming:
    """The doors and shapes of input; each is cut off at item 20 of 40, and then goes on."""

    def broken_off(self, run, cut=20):
        """Take so many results, and stop."""
        with run() as results:
            return [value for value, _ in zip(results, range(cut), strict=False)]

    @pytest.mark.parametrize("name", ["plain", "async"])
    @pytest.mark.parametrize("ordered", [True, False])
    def test_map(self, path, name, ordered):
        """Finished items are not called again; the order is that of an uninterrupted run."""
        func, calls = kinds(name)

        def run():
            return autoexec.map(func, range(40), journal=path, ordered=ordered)

        self.broken_off(run)
        kept, before = rows(path), Counter(calls)
        assert kept >= 20
        values = list(run())
        wanted = [square(number) for number in range(40)]
        assert values == wanted if ordered else sorted(values) == wanted
        assert rows(path) == 40
        assert sum((calls - before).values()) == 40 - kept
        assert list(run()) and sum(calls.values()) == sum(before.values()) + 40 - kept

    def test_generators_starmap_and_several_iterables(self, path):
        """The same items by other ways are the same items."""
        func, calls = kinds("two")

        def run():
            return autoexec.map(func, (i for i in range(40)), iter(range(100)), journal=path)

        self.broken_off(run)
        kept = rows(path)
        wanted = [square(i) + i for i in range(40)]
        assert list(run()) == wanted
        assert list(autoexec.starmap(func, [(i, i) for i in range(40)], journal=path)) == wanted
        assert list(autoexec.starmap(func, ((i, i) for i in range(40)), journal=path)) == wanted
        assert set(calls) == set(range(40)) and rows(path) == 40 and kept >= 20

    def test_processes(self, path, journal):
        """Calls in other processes; the journal is written in this one."""
        note = journal.note

        def work(number):
            note(number)
            return number * number

        def run():
            return autoexec.map(work, range(200), journal=path, backend="processes", max_workers=2)

        self.broken_off(run, 50)
        kept, called = rows(path), len(journal.lines())
        assert list(run()) == [square(number) for number in range(200)]
        assert rows(path) == 200
        assert len(journal.lines()) - called == 200 - kept

    def test_the_decorator(self, path):
        """A journal as an option of the function."""
        calls = []

        @autoexec.parallel(journal=path)
        def work(number):
            calls.append(number)
            return number + 1

        assert list(work.map([1, 2])) == [2, 3]
        assert list(work.map([1, 2, 3])) == [2, 3, 4]
        assert sorted(calls) == [1, 2, 3]

    def test_amap(self, path):
        """In a running loop, from an async iterable."""
        func, calls = kinds("async")

        async def items():
            for number in range(30):
                yield number

        async def run(most):
            values = []
            async with autoexec.amap(func, items(), journal=path) as results:
                async for value in results:
                    values.append(value)
                    if len(values) == most:
                        break
            return values

        assert asyncio.run(run(10)) == [square(number) for number in range(10)]
        kept, before = rows(path), sum(calls.values())
        assert asyncio.run(run(99)) == [square(number) for number in range(30)]
        assert sum(calls.values()) - before == 30 - kept and rows(path) == 30

    def test_an_error_cuts_it_off(self, path):
        """What was finished before stays; the item that failed is called again."""
        calls, fine = Counter(), threading.Event()

        def fragile(number):
            calls[number] += 1
            if number == 7 and not fine.is_set():
                raise Stop
            return number

        with pytest.raises(Stop):
            list(autoexec.map(fragile, range(12), journal=path))
        kept = rows(path)
        assert kept >= 7
        fine.set()
        assert list(autoexec.map(fragile, range(12), journal=path)) == list(range(12))
        assert calls[7] == 2 and all(calls[number] == 1 for number in range(7))

    @pytest.mark.parametrize("wish", ["return", "skip"])
    def test_failures_are_not_kept(self, path, wish):
        """They are called again by the next run, each result in its place."""
        good = threading.Event()

        def fragile(number):
            if number % 4 == 1 and not good.is_set():
                raise Stop(number)
            return number

        first = list(autoexec.map(fragile, range(20), journal=path, on_error=wish))
        assert len(first) == (20 if wish == "return" else 15) and rows(path) == 15
        good.set()
        assert list(autoexec.map(fragile, range(20), journal=path, on_error=wish)) == list(range(20))

    def test_equal_items_have_a_result_each(self, path):
        """An input may name an item twice."""
        calls = []

        def work(number):
            calls.append(number)
            return len(calls)

        items = [3, 1, 3, 3]
        assert list(autoexec.map(work, items, journal=path, backend="serial")) == [1, 2, 3, 4]
        assert list(autoexec.map(work, items, journal=path)) == [1, 2, 3, 4]
        assert rows(path) == 4
        assert list(autoexec.map(work, [3, 3, 3, 3, 1], journal=path)) == [1, 3, 4, 5, 2]

    def test_keys_of_the_users(self, path):
        """Items that do not hash, by a function of them; without it the error says what to do."""
        items = [{"id": number, "noise": object()} for number in range(5)]
        with pytest.raises(JournalError, match="give key="):
            autoexec.map(lambda item: item["id"], items, journal=path)
        calls = []

        def work(item):
            calls.append(item["id"])
            return item["id"]

        for _ in range(2):
            assert list(autoexec.map(work, items, journal=path, key=lambda item: item["id"])) == list(
                range(5)
            )
        assert len(calls) == 5


class TestWithServers:
    """Journals and the other side."""

    def test_retries(self, behaving, path):
        """A response that says to try again is no result: neither now nor for the next run."""
        pytest.importorskip("requests")
        urls = [f"{behaving}/fail?id={i}&times=1&status=503" for i in range(8)]
        first = list(autoexec.map(requests_returns, urls, journal=path, retries=2))
        assert [answer.status_code for answer in first] == [200] * 8
        assert rows(path) == 8
        down = [f"{behaving}/fail?id=x{i}&times=1&status=503" for i in range(3)]
        answers = list(autoexec.map(requests_returns, down, journal=path))
        assert [answer.status_code for answer in answers] == [503] * 3 and rows(path) == 8
        answers = list(autoexec.map(requests_returns, down, journal=path))
        assert [answer.status_code for answer in answers] == [200] * 3 and rows(path) == 11

    def test_a_scrape_that_goes_on(self, behaving, path):
        """Rate, retries, errors returned and a journal together, twice."""
        pytest.importorskip("requests")
        urls = [f"{behaving}/{'status/404' if i % 10 == 0 else 'constant'}?id={i}" for i in range(40)]
        options = {"journal": path, "rate": "400/s", "retries": 2, "on_error": "return", "codec": "json"}
        for _ in range(2):
            values = list(autoexec.map(requests_raises, urls, **options))
            assert [isinstance(value, Exception) for value in values] == [i % 10 == 0 for i in range(40)]
        assert set(stats(behaving)["/constant"]["ids"].values()) == {1}
        assert set(stats(behaving)["/status/404"]["ids"].values()) == {2}

    def test_async_calls(self, behaving, path):
        """The same with a client in an event loop."""
        pytest.importorskip("aiohttp")
        urls = [f"{behaving}/constant?id={i}" for i in range(50)]
        for _ in range(2):
            assert list(autoexec.map(aiohttp_raises, urls, journal=path)) == [{"ok": True}] * 50
        assert stats(behaving)["/constant"]["calls"] == 50


class TestRefusals:
    """What cannot be used is refused before anything runs, and left as it is."""

    def test_a_changed_function(self, path):
        """Other code under the same name."""

        def make(source):
            names = {"__name__": "somewhere"}
            exec(source, names)
            return names["work"]

        assert list(autoexec.map(make("def work(n): return n + 1"), [1, 2], journal=path)) == [2, 3]
        before = path.read_bytes()
        with pytest.raises(JournalError, match="is not what it was") as caught:
            autoexec.map(make("def work(n): return n + 2"), [1, 2], journal=path)
        assert "journal= another path" in str(caught.value)
        assert path.read_bytes() == before
        assert list(autoexec.map(make("def work(n): return n + 1"), [1, 2], journal=path)) == [2, 3]

    def test_a_file_that_another_run_has(self, path):
        """In this process, and in another one."""
        with autoexec.map(square, range(9), journal=path) as results:
            assert next(results) == 0
            with pytest.raises(JournalError, match="in use by another run"):
                autoexec.map(square, range(9), journal=path)
            code = f"import autoexec; autoexec.map(abs, [1], journal={str(path)!r})"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
            assert done.returncode and "in use by another run" in done.stderr
        assert list(autoexec.map(square, range(9), journal=path)) == [square(n) for n in range(9)]

    @pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
    def test_a_file_that_is_no_journal(self, path, content):
        """It is not touched."""
        path.write_bytes(content)
        with pytest.raises(JournalError):
            autoexec.map(square, [1], journal=path)
        assert path.read_bytes() == content

    def test_a_damaged_journal(self, path):
        """The rest of the file is not touched either."""
        assert len(list(autoexec.map(square, range(3000), journal=path))) == 3000
        content = bytearray(path.read_bytes())
        content[8192:12288] = os.urandom(4096)
        path.write_bytes(content)
        with pytest.raises(JournalError):
            autoexec.map(square, range(3000), journal=path)
        assert path.read_bytes() == bytes(content)

    def test_the_file_is_private(self, path):
        """Readable by its owner only, and nothing stays beside it."""
        assert list(autoexec.map(square, range(5), journal=path)) == [0, 1, 4, 9, 16]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    @pytest.mark.parametrize("wish", ["raise", "return"])
    @pytest.mark.parametrize(
        ("codec", "bad", "words"),
        [("pickle", threading.Lock, "does not pickle"), ("json", lambda: (1, 2), "come back as a list")],
    )
    def test_results_that_cannot_be_kept(self, path, wish, codec, bad, words):
        """A clear error in its place, with the result in it; the others are kept."""
        made = bad()

        def work(number):
            return made if number == 5 else number

        results = autoexec.map(work, range(10), journal=path, codec=codec, on_error=wish)
        if wish == "return":
            values = list(results)
            error = values.pop(5)
            assert values == [0, 1, 2, 3, 4, 6, 7, 8, 9] and rows(path) == 9
        else:
            with pytest.raises(JournalError) as caught:
                for _ in results:
                    pass
            error = caught.value
            assert rows(path) >= 5
        assert isinstance(error, JournalError) and words in str(error)
        assert error.value is made
        assert any("item 5 (5)" in note for note in error.__notes__)

    def test_json_holds_no_pickles(self, path):
        """And another codec is refused."""
        assert list(autoexec.map(square, range(3), journal=path, codec="json")) == [0, 1, 4]
        assert b"\x80\x05" not in Path(path).read_bytes()
        with pytest.raises(JournalError, match="codec='json'"):
            autoexec.map(square, range(3), journal=path)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("shape", [list, iter])
def test_errors_name_their_place_in_the_whole_input(path, shape, ordered):
    """However many of the items before are held already."""

    def work(number):
        if number in (3, 7):
            raise ValueError(number)
        return number

    for _ in range(2):
        options = {"journal": path, "on_error": "return", "backend": "serial", "ordered": ordered}
        found = list(autoexec.map(work, shape(range(10)), **options))
        notes = [error.__notes__[0] for error in found if isinstance(error, ValueError)]
        assert [note.split(" ran ")[0] for note in notes] == ["autoexec: item 3 (3)", "autoexec: item 7 (7)"]
