"""`Retry-After`, in every form and from every library: the host is left alone, the others are not."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from urllib.parse import quote, urlsplit

import pytest

import autoexec
from autoexec import ItemTimeout, Refused
from tests.io import clients
from tests.io.clients import Diary, need, requests_raises
from tests.servers.behaving import stats

requests = pytest.importorskip("requests")
tenacity = pytest.importorskip("tenacity")

WAYS = [(f"{name} raises", func) for name, func in clients.RAISING.items()]
WAYS += [(f"{name} returns", func) for name, func in clients.RETURNING.items()]
NEVER = 604_800  # a week


def refused_once(address, text, name="x"):
    """A URL whose first call is refused."""
    return f"{address}/fail?id={name}&times=1&status=429&retry_after={quote(text)}"


def steady(address, count=40):
    """Calls that go well."""
    return [f"{address}/constant?ms=15&n={i}" for i in range(count)]


def pause_seen(diary):
    """The seconds after the first refusal in which no call began, leaving out those under way by then."""
    refused = diary.refused[0]
    after = sorted(when - refused for when, _ in diary.begun if when - refused > 0.25)
    return after[0] if after else None


class TestPause:
    """All workers keep away from a host for as long as it asks."""

    @pytest.mark.parametrize(("way", "func"), WAYS)
    def test_seconds(self, behaving, way, func):
        """One refusal among forty calls: no call begins for a second, and every item is answered."""
        need(way.rpartition(" ")[0])
        diary, urls = Diary(), steady(behaving)
        urls.insert(10, refused_once(behaving, "1"))
        results = autoexec.map(diary.keeping(func), urls, retries=2, max_workers=4)
        assert len(list(results)) == 41
        pause = pause_seen(diary)
        assert pause is not None and pause >= 0.98
        (host,) = results.stats().hosts
        assert (host.refusals, host.retries, host.calls) == (1, 1, 42)
        assert stats(behaving)["/fail"]["calls"] == 2

    @pytest.mark.parametrize("name", ["requests", "aiohttp"])
    def test_a_date(self, behaving, name):
        """An HTTP date two seconds from now, of which whole seconds are told."""
        need(name)
        diary, urls = Diary(), steady(behaving)
        urls.insert(5, refused_once(behaving, formatdate(time.time() + 2, usegmt=True)))
        assert (
            len(list(autoexec.map(diary.keeping(clients.RAISING[name]), urls, retries=1, max_workers=4)))
            == 41
        )
        pause = pause_seen(diary)
        assert pause is not None and pause >= 0.75

    def test_it_holds_without_retries(self, behaving):
        """Whoever was refused fails, and the others wait all the same."""
        diary, urls = Diary(), steady(behaving)
        urls.insert(10, refused_once(behaving, "1"))
        fetch = diary.keeping(requests_raises)
        results = list(autoexec.map(fetch, urls, on_error="return", max_workers=4))
        assert [i for i, value in enumerate(results) if isinstance(value, Exception)] == [10]
        pause = pause_seen(diary)
        assert pause is not None and pause >= 0.98

    def test_plain_threads_and_processes_hear_of_it(self, behaving):
        """Calls so short that they count as computing may run in processes: refusals come back with them."""
        urls = [f"{behaving}/constant?n={i}" for i in range(100)]
        urls.insert(50, refused_once(behaving, "1"))
        results = autoexec.map(requests_raises, urls, retries=1, backend="processes", max_workers=2)
        assert len(list(results)) == 101
        (host,) = results.stats().hosts
        assert (host.refusals, host.retries, host.calls) == (1, 1, 102)

    def test_other_hosts_go_on(self, behaving):
        """While one host is left alone for a second, everything of the other one is done."""
        other = behaving.replace("127.0.0.1", "localhost")
        diary = Diary()
        urls = [refused_once(behaving, "1")]
        urls += [url for pair in zip(steady(behaving, 30), steady(other, 30), strict=True) for url in pair]
        results = autoexec.map(diary.keeping(requests_raises), urls, retries=1)
        assert len(list(results)) == 61
        refused = diary.refused[0]
        again = min(when for when, url in diary.begun if url.startswith(behaving) and when > refused + 0.25)
        elsewhere = [when for when, url in diary.begun if url.startswith(other)]
        assert len(elsewhere) == 30
        assert sum(refused < when < again for when in elsewhere) >= 25
        waited = {host.host: host.waited_s for host in results.stats().hosts}
        assert waited[urlsplit(behaving).netloc] > 0.5
        assert waited[urlsplit(other).netloc] < waited[urlsplit(behaving).netloc]

    def test_it_is_no_slow_call(self, behaving):
        """A pause shows neither in the latencies nor among the errors."""
        urls = [refused_once(behaving, "1"), *steady(behaving, 20)]
        results = autoexec.map(requests_raises, urls, retries=1)
        assert len(list(results)) == 21
        seen = results.stats()
        assert (seen.refusals, seen.errors) == (1, 0)
        assert seen.latency_s[-1][1] < 1.0


class TestTooLong:
    """Who asks for a week is not called again, and nobody waits."""

    @pytest.mark.parametrize("name", clients.RAISING)
    def test_a_week(self, behaving, name):
        """The item's own error, then `Refused` for all that had not begun."""
        need(name)
        urls = [f"{behaving}/retry-after?value={NEVER}&ms=10&n={i}" for i in range(80)]
        results = autoexec.map(clients.RAISING[name], urls, retries=3, on_error="return", max_workers=4)
        values = list(results)
        kinds = [type(value) is Refused for value in values]
        assert len(values) == 80 and not kinds[0] and kinds[-1]
        called = stats(behaving)["/retry-after"]["calls"]
        assert called == kinds.count(False) <= 5
        refused = next(value for value in values if type(value) is Refused)
        assert "asked to be left alone for" in str(refused) and urlsplit(behaving).netloc in str(refused)
        assert {row.kind for row in results.stats().failures} >= {"Refused"}

    def test_a_far_date_raised(self, behaving):
        """With on_error="raise" the first error arrives as it is, told with its item."""
        text = quote(formatdate(time.time() + NEVER, usegmt=True))
        url = f"{behaving}/retry-after?value={text}&status=503"
        with pytest.raises(requests.HTTPError) as caught:
            list(autoexec.map(requests_raises, [url] * 5, retries=2))
        assert any("item 0" in note for note in caught.value.__notes__)
        assert stats(behaving)["/retry-after"]["calls"] <= 2

    def test_another_host_does_not_suffer(self, behaving):
        """Its items are called, between those that are not."""
        other = behaving.replace("127.0.0.1", "localhost")
        urls = []
        for i in range(20):
            urls += [f"{behaving}/retry-after?value={NEVER}&n={i}", f"{other}/constant?ms=5&n={i}"]
        values = list(autoexec.map(requests_raises, urls, on_error="return"))
        assert values[1::2] == [{"ok": True}] * 20
        assert all(isinstance(value, (Refused, requests.HTTPError)) for value in values[::2])
        assert stats(behaving)["/constant"]["calls"] == 20

    def test_nor_do_items_of_the_same_task(self, behaving):
        """Tasks of several items in processes: each item falls under its own host."""
        other = behaving.replace("127.0.0.1", "localhost")
        urls = []
        for i in range(20):
            urls += [f"{behaving}/retry-after?value={NEVER}&n={i}", f"{other}/constant?n={i}"]
        options = {"backend": "processes", "max_workers": 2, "chunksize": 8}
        results = autoexec.map(requests_raises, urls, on_error="return", **options)
        values = list(results)
        assert values[1::2] == [{"ok": True}] * 20
        assert all(isinstance(value, (Refused, requests.HTTPError)) for value in values[::2])
        assert {host.host.partition(":")[0] for host in results.stats().hosts} == {"127.0.0.1", "localhost"}
        alone = list(autoexec.map(requests_raises, urls[::2], on_error="return", **options))
        assert len(alone) == 20 and len({id(value) for value in alone}) == 20
        assert all(isinstance(value, (Refused, requests.HTTPError)) for value in alone)

    @pytest.mark.parametrize("text", ["soon", "-5", "1e3000", "NaN", "Wed, 99 Foo 2026", "1, 2", "", "٣"])
    def test_nonsense_is_as_good_as_nothing(self, behaving, text):
        """The ordinary back-off, and the items are answered."""
        urls = [refused_once(behaving, text, str(i)) for i in range(5)]
        policy = tenacity.Retrying(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(0.01))
        results = autoexec.map(requests_raises, urls, retries=policy)
        assert [row["id"] for row in results] == [str(i) for i in range(5)]
        assert stats(behaving)["/fail"]["ids"] == {str(i): 2 for i in range(5)}

    def test_an_interrupted_pause(self, behaving):
        """Closing the results in the middle of a pause does not wait for its end."""
        urls = [*steady(behaving, 5), f"{behaving}/retry-after?value=500", *steady(behaving, 50)]
        gate = threading.Event()

        def fetch(url):
            try:
                return requests_raises(url)
            finally:
                if "retry-after" in url:
                    gate.set()

        # item_timeout= keeps the calls in threads: in the caller's own none would run unless asked for.
        with autoexec.map(fetch, urls, on_error="return", item_timeout=60) as results:
            got = [next(results) for _ in range(3)]
            assert gate.wait(20)
        assert got == [{"ok": True}] * 3
        assert ItemTimeout not in map(type, got)
