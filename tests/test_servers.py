"""The servers that the tests of waiting work rely on do what they promise."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.demo import service as demo
from tests.servers import behaving as behaving_module
from tests.servers.behaviours import Call, Service, answer
from tests.servers.broken import broken_service
from tests.servers.tally import Gate, Tally

SHORT_S = 0.2  # long enough for half a body on loopback


class Clock:
    """Time that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def ask(service, path, **query):
    """One call without a socket."""
    return asyncio.run(answer(service, path, {name: str(value) for name, value in query.items()}))


class TestTally:
    """Counting."""

    def test_it_counts_and_averages(self):
        """Two calls for a second and one for three more: 5/4 at once in the mean, two at most."""
        clock = Clock()
        tally = Tally(clock)
        tally.began("a")
        tally.began("a")
        clock.now = 1.0
        tally.ended(200)
        clock.now = 4.0
        tally.ended(429)
        assert tally.facts() == {
            "calls": 2,
            "at_once": 0,
            "most_at_once": 2,
            "mean_at_once": 1.25,
            "refused": 1,
            "statuses": {"200": 1, "429": 1},
            "ids": {"a": 2},
        }

    def test_nothing_yet_is_nothing(self):
        """No call, no division by zero."""
        assert Tally(Clock()).facts()["mean_at_once"] == 0.0


class TestGate:
    """Queueing."""

    @given(st.integers(1, 5), st.integers(0, 20))
    def test_never_more_than_the_width_and_in_order(self, width, calls):
        """So many are inside at most, they come in as they came, and all get through."""
        entered, most = [], 0

        async def one(gate, number):
            nonlocal most
            async with gate:
                entered.append(number)
                most = max(most, gate.inside)
                await asyncio.sleep(0)

        async def everyone():
            gate = Gate(lambda: width)
            await asyncio.gather(*(one(gate, number) for number in range(calls)))
            return gate.inside

        assert asyncio.run(everyone()) == 0
        assert entered == list(range(calls))
        assert most == min(width, calls)

    def test_a_wider_gate_lets_more_in_when_one_leaves(self):
        """One inside and three waiting; the gate widens to three, one leaves, three come in."""

        async def scene():
            width = 1
            gate, seen, leave = Gate(lambda: width), [], asyncio.Event()

            async def one():
                async with gate:
                    seen.append(gate.inside)
                    await leave.wait()

            await gate.__aenter__()
            others = [asyncio.create_task(one()) for _ in range(3)]
            await asyncio.sleep(0)
            width = 3
            await gate.__aexit__()
            await asyncio.sleep(0)
            inside = gate.inside
            leave.set()
            await asyncio.gather(*others)
            return inside, seen

        assert asyncio.run(scene()) == (3, [3, 3, 3])


class TestBehaviours:
    """Each behaviour, without sockets and without waiting."""

    def test_failing_stops_after_so_many_times_for_each_id(self):
        """Two ids fail twice each, with the status and the header asked for, and are then answered."""
        service = Service()
        for name in "ab":
            given = [ask(service, "/fail", id=name, times=2, status=502, retry_after=3) for _ in range(3)]
            assert [one.status for one in given] == [502, 502, 200]
            assert [one.headers.get("Retry-After") for one in given] == ["3", "3", None]
        assert service.facts()["/fail"]["ids"] == {"a": 3, "b": 3}

    def test_more_than_the_rate_is_refused_until_a_second_has_passed(self):
        """Three a second: the fourth gets a 429, and is answered a second later."""
        clock = Clock()
        service = Service(clock)
        statuses = [ask(service, "/limited", per_second=3, retry_after=7) for _ in range(4)]
        assert [one.status for one in statuses] == [200, 200, 200, 429]
        assert statuses[-1].headers == {"Retry-After": "7"}
        clock.now = 1.0
        assert ask(service, "/limited", per_second=3).status == 200

    def test_more_at_once_than_allowed_is_refused(self):
        """Five at once where three may be: two are refused."""

        async def five():
            calls = [answer(service, "/limited", {"at_once": "3"}) for _ in range(5)]
            return sorted([one.status for one in await asyncio.gather(*calls)])

        service = Service()
        assert asyncio.run(five()) == [200, 200, 200, 429, 429]

    def test_too_many_at_once_are_all_slower(self, monkeypatch):
        """With twice as many as it can bear the last one takes four times as long."""
        factors = []

        async def wait(call, factor=1.0):
            factors.append(factor)
            await asyncio.sleep(0)

        async def eight():
            await asyncio.gather(*(answer(service, "/degrade", {"above": "4"}) for _ in range(8)))

        monkeypatch.setattr(Call, "wait", wait)
        service = Service()
        asyncio.run(eight())
        assert factors[:4] == [1.0] * 4
        assert factors[-1] == 4.0

    def test_capacity_falls_and_comes_back(self):
        """The gate of `/dip` is narrow between its two moments only, counted from the first call."""
        clock = Clock()
        service = Service(clock)
        clock.now = 100.0
        assert ask(service, "/dip", width=10, low=2, begin=1, end=2).status == 200
        (gate,) = service.gates.values()
        widths = []
        for clock.now in (100.0, 100.9, 101.0, 101.9, 102.0):
            widths.append(gate.width())
        assert widths == [10, 10, 2, 2, 10]

    def test_log_normal_times_repeat(self, monkeypatch):
        """Two services wait alike, call by call."""
        factors = []

        async def wait(call, factor=1.0):
            factors.append(factor)

        monkeypatch.setattr(Call, "wait", wait)
        for service in (Service(), Service()):
            for _ in range(20):
                ask(service, "/lognormal", sigma=0.5)
        assert factors[:20] == factors[20:]
        assert len(set(factors)) == 20

    def test_pages_lead_from_one_to_the_next(self):
        """Following `next` gives every item once."""
        service, path, names = Service(), "/json?size=3&pages=4", []
        while path:
            place, _, query = path.partition("?")
            page = ask(service, place, **dict(pair.split("=") for pair in query.split("&"))).body
            names += [item["name"] for item in page["items"]]
            path = page["next"]
        assert names == [f"item {number}" for number in range(12)]
        assert ask(service, "/json", page=6).status == 404

    @pytest.mark.parametrize("count", [0, 1, 255, 256, 1000])
    def test_bytes_are_as_many_as_asked_for(self, count):
        """From none to more than one round."""
        assert ask(Service(), f"/bytes/{count}").body == (bytes(range(256)) * 4)[:count]

    @pytest.mark.parametrize("value", ["604800", "soon", "-5", "Wed, 21 Oct 2065 07:28:00 GMT"])
    def test_any_text_may_stand_in_retry_after(self, value):
        """Sense and nonsense alike, with the status asked for."""
        given = ask(Service(), "/retry-after", value=value, status=503)
        assert (given.status, given.headers) == (503, {"Retry-After": value})

    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("/status/99", {}),
            ("/status/", {}),
            ("/bytes/-1", {}),
            ("/bytes/many", {}),
            ("/constant", {"ms": "nan"}),
            ("/constant", {"ms": -1}),
            ("/knee", {"width": "wide"}),
            ("/retry-after", {"value": "two\r\nlines"}),
        ],
    )
    def test_what_cannot_be_meant_is_a_400(self, path, query):
        """And it is counted as one."""
        service = Service()
        assert ask(service, path, **query).status == 400
        assert service.facts()[path]["statuses"] == {"400": 1}

    def test_an_unknown_path_is_a_404(self):
        """As everywhere."""
        assert ask(Service(), "/nothing").status == 404


def get(url):
    """Status, headers and body of a real call."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=20) as found:
            return found.status, found.headers, found.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.slow
class TestBehavingServer:
    """The real one."""

    def test_it_answers_and_counts(self, behaving):
        """Statuses, headers and bodies come through; the statistics tell by path and id."""
        assert get(f"{behaving}/status/404?id=x")[0] == 404
        status, headers, _ = get(f"{behaving}/retry-after?value=soon")
        assert (status, headers["Retry-After"]) == (429, "soon")
        assert get(f"{behaving}/bytes/1000")[2] == (bytes(range(256)) * 4)[:1000]
        assert json.loads(get(f"{behaving}/json?page=5")[2])["next"] is None
        found = behaving_module.stats(behaving)
        assert found["/status/404"]["ids"] == {"x": 1}
        assert found["/retry-after"]["refused"] == 1

    def test_each_test_begins_at_zero(self, behaving):
        """The calls of other tests are forgotten."""
        assert behaving_module.stats(behaving) == {}

    def test_calls_run_side_by_side(self, behaving):
        """Twelve calls at a knee of four: all answered, and the server saw more than one at once."""
        with ThreadPoolExecutor(12) as pool:
            urls = [f"{behaving}/knee?width=4&ms=50&id={number}" for number in range(12)]
            assert [status for status, _, _ in pool.map(get, urls)] == [200] * 12
        found = behaving_module.stats(behaving)["/knee"]
        assert found["calls"] == len(found["ids"]) == 12
        assert 1 < found["most_at_once"] <= 12

    def test_it_leaves_with_its_parent(self, monkeypatch):
        """When the pipe from the parent closes, the server ends by itself."""
        pytest.importorskip("aiohttp")
        started, start = [], demo._start
        monkeypatch.setattr(demo, "_start", lambda *a, **k: started.append(start(*a, **k)) or started[-1])
        with behaving_module.behaving_service():
            started[0].stdin.close()
            assert started[0].wait(20) == 0


def connect(address, timeout=20.0):
    """A connection of the standard library's client."""
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=timeout)


def fetch(address, timeout=20.0):
    """The body, or the client's own error."""
    connection = connect(address, timeout)
    try:
        connection.request("POST", "/anything", b"some body")
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.slow
class TestBrokenServer:
    """Each way to break the rules shows as the error that it stands for."""

    @pytest.mark.parametrize(
        ("way", "error", "timeout"),
        [
            ("reset", ConnectionResetError, 20),
            ("silent", TimeoutError, SHORT_S),
            ("hang", TimeoutError, SHORT_S),
            ("short", http.client.IncompleteRead, 20),
            ("garbage", http.client.BadStatusLine, 20),
            ("close", http.client.RemoteDisconnected, 20),
            ("refused", ConnectionRefusedError, 20),
            ("unknown", socket.gaierror, 20),
        ],
    )
    def test_the_client_sees_it(self, way, error, timeout, broken):
        """Again and again: the server does not tire."""
        for _ in range(3):
            with pytest.raises(error) as caught:
                fetch(asdict(broken)[way], timeout)
            assert caught.type is error or way == "unknown"

    def test_half_a_body_comes_before_the_silence(self, broken):
        """The client got the head and half of what was promised."""
        connection = connect(broken.hang)
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.length == 1000
        assert len(response.read(500)) == 500
        response.close()
        connection.close()

    def test_a_self_signed_certificate_is_refused_and_can_be_accepted(self, broken):
        """Refused by a client that checks; one that does not gets an answer."""
        if not broken.tls:
            pytest.skip("trustme is not installed")
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
            fetch(broken.tls)
        parts = urlsplit(broken.tls)
        blind = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=20, context=blind)
        connection.request("GET", "/")
        assert len(connection.getresponse().read()) == 500
        connection.close()

    def test_what_hangs_is_let_go_at_the_end(self):
        """A client in the midst of a body is not kept when the server stops."""
        with broken_service() as addresses:
            connection = connect(addresses.hang)
            connection.request("GET", "/")
            response = connection.getresponse()
            assert len(response.read(500)) == 500
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
        response.close()
        connection.close()


@pytest.mark.slow
def test_httpbin_answers(httpbin_url):
    """The shared httpbin, and the examples' API at the same address."""
    assert json.loads(get(f"{httpbin_url}/get?item=7")[2])["args"] == {"item": "7"}
    assert json.loads(get(f"{httpbin_url}/api/articles")[2])["pages"] == 40
