"""Rates, retries and errors as the user asks for them and as the server counts them."""

from __future__ import annotations

import http.server
import logging
import threading
import time
from collections import Counter
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

import autoexec
from tests.io import clients
from tests.io.clients import Diary, aiohttp_raises, need, requests_raises
from tests.servers.behaving import stats

requests = pytest.importorskip("requests")
tenacity = pytest.importorskip("tenacity")


def quickly(attempts):
    """A policy that hardly waits."""
    return tenacity.Retrying(stop=tenacity.stop_after_attempt(attempts), wait=tenacity.wait_fixed(0.005))


def by_name(address):
    """The same server under its other name: another host, with its own limits."""
    return address.replace("127.0.0.1", "localhost")


class TestRate:
    """`rate=`, `burst=` and `per=`."""

    @pytest.mark.parametrize("func", [requests_raises, aiohttp_raises])
    def test_no_more_begin_than_the_rate_allows(self, behaving, func):
        """Thirty calls at 60 a second, one at a time: the last begins 29/60 s after the first."""
        need("aiohttp")
        diary, began = Diary(), time.monotonic()
        results = autoexec.map(diary.keeping(func), [f"{behaving}/constant"] * 30, rate="60/s", burst=1)
        assert list(results) == [{"ok": True}] * 30
        last = max(when for when, _ in diary.begun)
        assert last - began >= 29 / 60 * 0.98
        (host,) = results.stats().hosts
        assert host.calls == 30 and host.waited_s > 0
        assert host.host == urlsplit(behaving).netloc

    def test_a_burst_begins_at_once(self, behaving):
        """At one a second with a burst of 8, nine calls wait for the ninth only."""
        diary = Diary()
        urls = [f"{behaving}/constant?ms=1"] * 9
        results = autoexec.map(diary.keeping(requests_raises), urls, rate="1/s", burst=8)
        assert len(list(results)) == 9
        times = sorted(when for when, _ in diary.begun)
        assert times[8] - times[0] >= 0.9
        assert times[7] - times[0] < 7  # what it takes at that rate

    def test_every_host_has_its_own(self, behaving):
        """Two hosts at 20 a second: both are held back, and neither waits for the other's turn."""
        urls = [f"{address}/constant" for _ in range(12) for address in (behaving, by_name(behaving))]
        results = autoexec.map(requests_raises, urls, rate="20/s", burst=1)
        assert len(list(results)) == 24
        hosts = {host.host.partition(":")[0]: host for host in results.stats().hosts}
        assert set(hosts) == {"127.0.0.1", "localhost"}
        assert [host.calls for host in hosts.values()] == [12, 12]
        assert all(host.waited_s > 0 for host in hosts.values())

    def test_per_a_function(self, behaving):
        """Two halves of the items by a function of the user's."""
        urls = [f"{behaving}/constant?id={i}" for i in range(10)]
        results = autoexec.map(
            requests_raises, urls, rate="100/s", per=lambda url: "even" if int(url[-1]) % 2 == 0 else "odd"
        )
        assert len(list(results)) == 10
        assert {host.host: host.calls for host in results.stats().hosts} == {"even": 5, "odd": 5}

    def test_per_an_attribute_and_a_key(self):
        """An attribute of objects, a key of mappings."""
        things = [SimpleNamespace(tenant=f"t{i % 3}") for i in range(9)]
        results = autoexec.map(lambda thing: thing.tenant, things, per="tenant")
        assert list(results) == ["t0", "t1", "t2"] * 3
        assert {host.host for host in results.stats().hosts} == {"t0", "t1", "t2"}
        rows = autoexec.map(lambda row: row["tenant"], [{"tenant": "a"}, {"tenant": "b"}], per="tenant")
        assert list(rows) == ["a", "b"] and len(rows.stats().hosts) == 2

    def test_an_executor_and_the_decorator_obey_too(self, behaving):
        """The same options at the other doors."""
        url = f"{behaving}/constant"
        began = time.monotonic()
        with autoexec.Executor(rate="40/s", burst=1) as executor:
            assert executor.submit(requests_raises, url).result() == {"ok": True}
            assert len(list(executor.map(requests_raises, [url] * 12))) == 12
        assert time.monotonic() - began >= 12 / 40 * 0.98
        began = time.monotonic()
        assert len(list(autoexec.parallel(rate="40/s", burst=1)(requests_raises).map([url] * 12))) == 12
        assert time.monotonic() - began >= 11 / 40 * 0.98
        assert stats(behaving)["/constant"]["calls"] == 25


class TestRetries:
    """`retries=`, `retry_on=`, `retry_budget=`: as often as allowed, by the server's own count."""

    @pytest.mark.parametrize("name", clients.RAISING)
    def test_flaky_items_are_called_until_they_answer(self, behaving, name):
        """Each of 12 items fails twice, and is called three times."""
        need(name)
        urls = [f"{behaving}/fail?id={i}&times=2&status=503" for i in range(12)]
        results = autoexec.map(clients.RAISING[name], urls, retries=quickly(4))
        assert [row["id"] for row in results] == [str(i) for i in range(12)]
        assert stats(behaving)["/fail"]["ids"] == {str(i): 3 for i in range(12)}
        seen = results.stats()
        assert (seen.calls, seen.retries, seen.refusals, seen.errors) == (36, 24, 0, 24)

    @pytest.mark.parametrize("name", clients.RETURNING)
    def test_responses_that_are_returned_count_as_well(self, behaving, name):
        """Nobody raises, and the item runs again all the same."""
        need(name)
        urls = [f"{behaving}/fail?id={i}&times=1&status=502" for i in range(6)]
        results = autoexec.map(clients.RETURNING[name], urls, retries=2)
        statuses = [getattr(row, "status_code", None) or row.status for row in results]
        assert statuses == [200] * 6
        assert stats(behaving)["/fail"]["ids"] == {str(i): 2 for i in range(6)}

    def test_a_number_of_retries(self, behaving):
        """retries=1: two calls each, and the last error tells both attempts."""
        urls = [f"{behaving}/fail?id={i}&times=9&status=504" for i in range(4)]
        results = list(autoexec.map(requests_raises, urls, retries=1, on_error="return"))
        assert stats(behaving)["/fail"]["ids"] == {str(i): 2 for i in range(4)}
        for index, error in enumerate(results):
            assert isinstance(error, requests.HTTPError)
            notes = "\n".join(error.__notes__)
            assert "attempt 1: HTTPError: 504" in notes and "attempt 2: HTTPError: 504" in notes
            assert f"item {index} (" in notes

    def test_every_attempt_is_told_when_it_is_raised(self, behaving):
        """The same with on_error="raise": in its place, with the results before it."""
        urls = [f"{behaving}/constant?id={i}" for i in range(3)]
        urls.append(f"{behaving}/status/502")
        results, got = autoexec.map(requests_raises, urls, retries=quickly(3)), []
        with pytest.raises(requests.HTTPError) as caught:
            got.extend(results)
        assert got == [{"ok": True}] * 3
        assert sum("attempt" in note for note in caught.value.__notes__) == 3
        assert stats(behaving)["/status/502"]["calls"] == 3

    @pytest.mark.parametrize("name", clients.RAISING)
    @pytest.mark.parametrize("code", [400, 404, 500])
    def test_other_statuses_are_final(self, behaving, name, code):
        """No other 4xx, and no 500, is called again."""
        need(name)
        urls = [f"{behaving}/status/{code}?id={i}" for i in range(4)]
        results = autoexec.map(clients.RAISING[name], urls, retries=3, on_error="return")
        assert all(isinstance(value, Exception) for value in results)
        assert stats(behaving)[f"/status/{code}"]["ids"] == {str(i): 1 for i in range(4)}

    @pytest.mark.parametrize("code", [401, 403, 405, 408, 409, 410, 418, 422, 425, 451])
    def test_never_another_4xx(self, behaving, code):
        """The rest of them, with one library."""
        results = autoexec.map(requests_raises, [f"{behaving}/status/{code}"], retries=3, on_error="return")
        assert [str(error)[:3] for error in results] == [str(code)]
        assert stats(behaving)[f"/status/{code}"]["calls"] == 1

    def test_retry_on_widens_and_narrows(self, behaving):
        """A class or a function of the error replaces the defaults."""
        policy, url = quickly(3), f"{behaving}/fail?times=2&status=404&id="
        assert list(autoexec.map(requests_raises, [url + "a"], retries=policy, retry_on=requests.HTTPError))
        wanted = autoexec.map(
            requests_raises,
            [url + "b"],
            retries=policy,
            retry_on=lambda error: error.response.status_code == 404,
        )
        assert [row["id"] for row in wanted] == ["b"]
        narrow = autoexec.map(
            requests_raises,
            [f"{behaving}/fail?times=2&status=503&id=c"],
            retries=policy,
            retry_on=KeyError,
            on_error="return",
        )
        assert isinstance(next(narrow), requests.HTTPError)
        assert stats(behaving)["/fail"]["ids"] == {"a": 3, "b": 3, "c": 1}

    @pytest.mark.parametrize(("code", "ms"), [(502, 0), (503, 0), (429, 0), (502, 15), (503, 15)])
    def test_an_outage_is_not_multiplied(self, behaving, code, ms):
        """All of 60 items fail, and 180 retries would be allowed: 100 are made, wherever the calls run."""
        urls = [f"{behaving}/status/{code}?ms={ms}&id={i}" for i in range(60)]
        results = autoexec.map(requests_raises, urls, retries=quickly(4), on_error="return")
        assert all(isinstance(value, requests.HTTPError) for value in results)
        seen = results.stats()
        assert stats(behaving)[f"/status/{code}"]["calls"] == seen.calls == 160
        assert seen.retries == 100 and seen.refusals + seen.errors == 160

    def test_good_answers_earn_retries(self, behaving):
        """With half of the items well and nothing earned, 100 retries; the default earns one for each."""
        urls = [f"{behaving}/{('status/502', 'constant')[i % 2]}?ms=5&id={i}" for i in range(300)]
        results = autoexec.map(requests_raises, urls, retries=quickly(3), retry_budget=0.0, on_error="return")
        assert sum(isinstance(value, Exception) for value in results) == 150
        assert stats(behaving)["/status/502"]["calls"] == 250
        results = autoexec.map(requests_raises, urls, retries=quickly(3), on_error="return")
        assert sum(isinstance(value, Exception) for value in results) == 150
        assert results.stats().retries <= 100 + 150
        assert stats(behaving)["/constant"]["calls"] == 300

    def test_nothing_runs_again_unasked(self, behaving):
        """Without retries= each item is called once, whatever it says."""
        urls = [f"{behaving}/status/{code}?id={code}" for code in (429, 502, 503, 504)]
        assert len(list(autoexec.map(requests_raises, urls, on_error="return"))) == 4
        for code in (429, 502, 503, 504):
            assert stats(behaving)[f"/status/{code}"]["calls"] == 1

    def test_submitted_calls_run_again_too(self, behaving):
        """Through an executor, and an async function there."""
        pytest.importorskip("aiohttp")
        with autoexec.Executor(retries=quickly(3)) as executor:
            url = f"{behaving}/fail?times=2&status=502&id="
            futures = [executor.submit(requests_raises, f"{url}{i}") for i in range(5)]
            futures += [executor.submit(aiohttp_raises, f"{url}{i}") for i in range(5, 10)]
            assert [future.result()["id"] for future in futures] == [str(i) for i in range(10)]
        assert stats(behaving)["/fail"]["ids"] == {str(i): 3 for i in range(10)}


class TestErrors:
    """`on_error=`, the summary, `stats()`."""

    @pytest.mark.parametrize("ordered", [True, False])
    @pytest.mark.parametrize("func", [requests_raises, aiohttp_raises])
    def test_errors_stand_in_their_place_or_are_left_out(self, behaving, func, ordered, caplog):
        """As many results as items with "return", the good ones with "skip"; told once in the log."""
        need("aiohttp")
        urls = [f"{behaving}/{'status/404' if i % 5 == 0 else 'constant'}?ms=3&id={i}" for i in range(40)]
        with caplog.at_level(logging.WARNING, "autoexec"):
            results = autoexec.map(func, urls, on_error="return", ordered=ordered)
            values = list(results)
        wrong = [i for i, value in enumerate(values) if isinstance(value, Exception)]
        assert len(values) == 40 and len(wrong) == 8
        assert not ordered or wrong == list(range(0, 40, 5))
        lines = [record.getMessage() for record in caplog.records]
        (line,) = [line for line in lines if "event loop" not in line]  # which a crowded machine may hold up
        assert "8 " in line and "404" in line and urlsplit(behaving).netloc in line
        (failure,) = results.stats().failures
        assert (failure.count, failure.host) == (8, urlsplit(behaving).netloc)
        good = list(autoexec.map(func, urls, on_error="skip", ordered=ordered))
        assert good == [{"ok": True}] * 32

    def test_errors_of_several_kinds_are_told_apart(self, behaving, caplog):
        """By kind and host, most frequent first, in one line."""
        urls = [f"{behaving}/status/404"] * 3 + [f"{by_name(behaving)}/status/500"] * 2
        with caplog.at_level(logging.WARNING, "autoexec"):
            results = autoexec.map(requests_raises, urls, on_error="skip")
            assert list(results) == []
        kinds = [(row.kind, row.host.partition(":")[0], row.count) for row in results.stats().failures]
        assert kinds == [("HTTPError 404", "127.0.0.1", 3), ("HTTPError 500", "localhost", 2)]
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("ms", [0, 10])
    def test_stats_add_up_with_the_servers_own_counts(self, behaving, ms):
        """Calls, retries, refusals and errors, wherever the calls ran."""
        urls = [f"{behaving}/constant?ms={ms}&id={i}" for i in range(60)]
        urls += [f"{behaving}/fail?ms={ms}&times=1&status=429&id={i}" for i in range(10)]
        urls += [f"{behaving}/status/404?ms={ms}&id={i}" for i in range(5)]
        results = autoexec.map(requests_raises, urls, retries=2, on_error="return")
        assert len(list(results)) == 75
        seen, served = results.stats(), stats(behaving)
        assert seen.items == 75
        assert seen.calls == sum(row["calls"] for row in served.values()) == 85
        assert seen.refusals == sum(row["refused"] for row in served.values()) == 10
        assert (seen.retries, seen.errors, seen.at_once) == (10, 5, 0)
        assert sum(host.calls for host in seen.hosts) == 85
        assert [share for share, _ in seen.latency_s] == [0.5, 0.9, 0.99, 1.0]
        seconds = [value for _, value in seen.latency_s]
        assert seconds == sorted(seconds) and seconds[0] > 0
        assert seen.concurrency


class Server(http.server.ThreadingHTTPServer):
    """Keeps connections and counts them."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections = 0

    def process_request(self, request, client_address):
        """One more connection."""
        self.connections += 1
        super().process_request(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with two bytes, on a connection that stays."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answer."""
        time.sleep(0.003)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def counting():
    """A server in this process that counts connections."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class TestPerWorker:
    """`per_worker`: one session for each worker, closed at the end."""

    def test_sessions_are_made_once_and_closed(self, counting):
        """Not more connections than workers, and as many sessions closed as were made."""
        events = Counter()

        class Session(requests.Session):
            def __init__(self):
                super().__init__()
                events["made"] += 1

            def close(self):
                super().close()
                events["closed"] += 1

        session = autoexec.per_worker(Session)
        url = f"http://127.0.0.1:{counting.server_port}/"
        call = lambda _: session().get(url, timeout=20).json()  # noqa: E731
        results = autoexec.map(call, range(200), max_workers=8, backend="threads")
        assert list(results) == [{}] * 200
        assert 1 <= events["made"] == events["closed"] <= 9  # the caller's own thread runs the first items
        assert counting.connections <= events["made"]

    @pytest.mark.parametrize("name", ["aiohttp", "async httpx"])
    def test_a_loop_shares_one_client(self, counting, name):
        """Its pool is as large as the concurrency, so connections are kept."""
        need(name)
        url = f"http://127.0.0.1:{counting.server_port}/"

        async def fetch(_):
            if name == "aiohttp":
                async with clients.aiohttp_sessions().get(url) as answer:
                    return await answer.read()
            return (await clients.async_clients().get(url)).content

        assert list(autoexec.map(fetch, range(150), max_workers=6)) == [b"{}"] * 150
        assert counting.connections <= 6
