"""The demo's pieces: the service, the images, the functions, and what is printed about each case."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import urllib.request
from contextlib import nullcontext
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.demo import api, extra, nuclei, run, service, work
from autoexec.errors import AutoexecError, MissingExtra
from autoexec.records import Plan, Profile, WorkKind


def needs(*packages):
    """Skip the test, with the reason, unless all of `packages` are installed."""
    try:
        extra.require(*packages)
    except MissingExtra as missing:
        pytest.skip(str(missing))


def open_directly(url):
    """Open `url` past any proxy that the environment names."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20)


@pytest.fixture
def processes(monkeypatch):
    """Collect the service processes that a test starts."""
    started = []
    start = service._start
    monkeypatch.setattr(service, "_start", lambda *a, **k: started.append(start(*a, **k)) or started[-1])
    return started


class TestExtra:
    """`require` names what is missing and how to get it."""

    def test_present_packages_pass(self):
        """Nothing happens when all is there."""
        extra.require("json", "email")

    def test_missing_packages_are_named_with_the_extra(self):
        """The message holds the missing names only, and the command that brings them."""
        with pytest.raises(
            MissingExtra, match=r"needs no_such_a, no_such_b: pip install 'autoexec-futures\[demo\]'"
        ):
            extra.require("no_such_a", "json", "no_such_b")

    def test_the_demo_asks_before_it_starts(self, monkeypatch, processes):
        """Without its packages the demo raises, and has started nothing."""
        monkeypatch.setattr(extra, "find_spec", lambda name: None)
        with pytest.raises(MissingExtra, match="requests"):
            run.main(quick=True)
        assert not processes


@pytest.mark.slow
class TestService:
    """The HTTP service serves, and is gone afterwards however the block ended."""

    def test_it_serves_and_stops(self, processes):
        """A call is answered while the block runs; then the process has ended."""
        needs("httpbin", "waitress")
        with service.httpbin_service() as address:
            assert open_directly(f"{address}/delay/0?item=7").status == 200
            assert processes[0].poll() is None
        assert processes[0].returncode is not None

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
    def test_it_stops_when_the_block_fails(self, error, processes):
        """Ctrl-C and errors stop it too, and pass through."""
        needs("httpbin", "waitress")
        with pytest.raises(error), service.httpbin_service():
            raise error
        assert processes[0].returncode is not None

    def test_it_leaves_with_its_parent(self, processes):
        """When the pipe from the parent closes (the parent was killed, say), the service ends by itself."""
        needs("httpbin", "waitress")
        with service.httpbin_service():
            processes[0].stdin.close()
            assert processes[0].wait(20) == 0

    def test_a_service_that_cannot_start_is_an_error(self, monkeypatch):
        """No port in the first line: an error at once, and no process left."""
        needs("httpbin", "waitress")
        child = subprocess.Popen(
            [sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        monkeypatch.setattr(service, "_start", lambda *_, **__: child)
        with pytest.raises(AutoexecError, match="did not start"), service.httpbin_service():
            pass
        assert child.returncode is not None

    def test_fetch_returns_the_item_that_the_service_echoes(self):
        """The API workload's function, against the real service."""
        needs("httpbin", "waitress", "requests")
        with service.httpbin_service() as address:
            assert work.fetch(f"{address}/delay/0?item=7") == "7"

    def test_the_api_stands_beside_httpbin(self):
        """Both answer at one address."""
        needs("httpbin", "waitress")
        with service.httpbin_service() as address:
            assert json.load(open_directly(f"{address}/api/articles?page=2"))["page"] == 2
            assert json.load(open_directly(f"{address}/get?item=7"))["args"] == {"item": "7"}


class Client:
    """Calls the API as a WSGI server would, with time made up."""

    def __init__(self):
        self.now, self.waits = 0.0, []
        self.application = validator(api.Api(lambda: self.now, self.waits.append))

    def call(self, path, posted=None):
        """Return the status, the headers and the body."""
        path, _, query = path.partition("?")
        environ = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query}
        if posted is not None:
            body = posted if isinstance(posted, bytes) else json.dumps(posted).encode()
            environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
            environ["REQUEST_METHOD"] = "POST"
        setup_testing_defaults(environ)
        begun = []
        parts = self.application(environ, lambda status, headers, *_: begun.extend((status, headers)))
        body = b"".join(parts)
        parts.close()
        return int(begun[0].split()[0]), dict(begun[1]), body

    def json(self, path, posted=None):
        """Return the status and what the JSON says."""
        status, _, body = self.call(path, posted)
        return status, json.loads(body)


@pytest.fixture
def client():
    """A client of a fresh API."""
    return Client()


class TestArticles:
    """Pages of articles, up to a rate."""

    def test_all_pages_hold_different_articles(self, client):
        """Forty pages of 25, each article once, each call after 50 ms."""
        pages = [client.json(f"/api/articles?page={page}")[1] for page in range(1, 41)]
        assert [page["page"] for page in pages] == list(range(1, 41))
        assert {page["pages"] for page in pages} == {40}
        articles = [article for page in pages for article in page["articles"]]
        assert [article["id"] for article in articles] == list(range(1, 1001))
        assert len({article["title"] for article in articles}) == 1000
        assert all(article.keys() == {"id", "title", "words"} for article in articles)
        assert client.waits == [0.05] * 40

    @pytest.mark.parametrize(("page", "status"), [("0", 404), ("41", 404), ("two", 400), ("-1", 400)])
    def test_other_pages_are_errors(self, page, status, client):
        """A page that is not there, and a page that is no number."""
        assert client.json(f"/api/articles?page={page}")[0] == status

    def test_more_than_a_hundred_a_second_are_refused(self, client):
        """The 101st call within a second gets a 429 that says when to come again, and then is answered."""
        assert {client.json("/api/articles")[0] for _ in range(100)} == {200}
        status, headers, _ = client.call("/api/articles")
        assert (status, headers["Retry-After"]) == (429, "1")
        client.now = 1.0
        assert client.json("/api/articles")[0] == 200

    @given(st.lists(st.floats(0, 0.4), max_size=60), st.integers(1, 6))
    def test_no_second_holds_more_than_the_rate(self, gaps, rate):
        """Whenever calls come: any second has at most that many admitted, and none is refused for nothing."""
        now, admitted = 0.0, []
        limit = api.RateLimit(rate, lambda: now)
        for gap in gaps:
            now += gap
            recent = [moment for moment in admitted if now - moment < 1.0]
            assert limit.admit() == (len(recent) < rate)
            admitted += [now] * (len(recent) < rate)


class TestFiles:
    """Downloads."""

    def test_a_file_depends_on_its_name_alone(self, client):
        """Two services give the same bytes, other names give others, all of 10 to 200 kB."""
        names = [f"picture-{number}.bin" for number in range(80)]
        first = {name: client.call(f"/files/{name}") for name in names}
        shaky = [name for name, (status, _, _) in first.items() if status == 503]
        assert 2 <= len(shaky) <= 20
        bodies = [client.call(f"/files/{name}")[2] for name in names]
        assert bodies == [api.content(name) for name in names]
        assert len(set(bodies)) == 80
        assert all(10_000 <= len(body) <= 200_000 for body in bodies)
        assert {Client().call(f"/files/{name}")[0] for name in shaky} == {503}


class TestAnnotate:
    """Five steps, each with the token of the one before."""

    IMAGE = base64.b64encode(b"an image").decode()

    def annotate(self, client):
        """Take the five steps and return the last answer."""
        given = {"image": self.IMAGE}
        for step in range(1, 6):
            status, given = client.json(f"/annotate/{step}", given)
            assert status == 200
            assert given["token"].startswith(f"{step}-")
        return given

    def test_five_steps_make_a_label(self, client):
        """The label depends on the image alone."""
        assert self.annotate(client) == self.annotate(Client())
        assert self.annotate(client)["label"] in api.LABELS
        assert set(client.waits) == {0.02}

    @pytest.mark.parametrize(
        ("step", "posted"),
        [
            (1, {"image": "no base64!"}),
            (1, {}),
            (1, b"no JSON"),
            (1, [1]),
            (2, {"token": "2-0123"}),
            (2, {"token": 7}),
            (2, {"image": IMAGE}),
        ],
    )
    def test_what_a_step_cannot_use_is_an_error(self, step, posted, client):
        """A 400 that names the step."""
        status, answer = client.json(f"/annotate/{step}", posted)
        assert status == 400
        assert f"step {step}" in answer["error"]

    @pytest.mark.parametrize("step", ["0", "6", "two", ""])
    def test_there_are_five_steps(self, step, client):
        """Others are not there."""
        assert client.json(f"/annotate/{step}", {})[0] == 404


@pytest.mark.parametrize(
    ("path", "posted", "allowed"), [("/api/articles", {}, "GET"), ("/annotate/1", None, "POST")]
)
def test_the_wrong_method_is_told_the_right_one(path, posted, allowed, client):
    """A 405 with what is allowed."""
    status, headers, _ = client.call(path, posted)
    assert (status, headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/files/"])
def test_other_paths_are_not_there(path, client):
    """A 404, as JSON."""
    assert client.json(path)[0] == 404


class TestNuclei:
    """Real images, many of them, counted."""

    def test_the_real_image_has_many_nuclei(self):
        """The fluorescence image is there, and about 300 nuclei are found in it."""
        needs("mahotas", "scipy")
        image, source = nuclei.load()
        assert "mahotas" in source
        assert 200 < nuclei.count_nuclei(image) < 400

    def test_without_mahotas_another_real_image_serves_and_is_named(self, monkeypatch):
        """The demo says which image it shows instead, and why."""
        needs("skimage", "scipy")
        monkeypatch.setattr(nuclei, "find_spec", lambda name: None)
        image, source = nuclei.load()
        assert "mahotas is not installed" in source
        assert nuclei.count_nuclei(image) > 100

    def test_known_blobs_are_counted(self):
        """Nine bright blobs on dark ground are nine, whichever way the image is turned."""
        needs("scipy")
        import numpy as np

        image = np.zeros((120, 120), np.uint8)
        for top in (20, 60, 100):
            for left in (20, 60, 100):
                image[top - 4 : top + 5, left - 4 : left + 5] = 200
        assert [nuclei.count_nuclei(np.rot90(image, turns)) for turns in range(4)] == [9] * 4

    def test_the_images_differ_and_cost_no_memory(self):
        """Cuts are views of the one image, and no two of them are equal."""
        needs("numpy")
        import numpy as np

        image = np.random.default_rng(1).integers(0, 255, (80, 120), np.uint8)
        images = nuclei.varied(image, 40)
        assert len({one.tobytes() for one in images}) == 40
        assert all(one.base is not None for one in images)


class TestWork:
    """The pure-Python functions."""

    def test_the_longest_chain_is_the_known_one(self):
        """27 is the famous slow starter; none begins a longer chain among the first 4,000 than 3,711."""
        assert work.chain(27) == 111
        assert work.longest_collatz(0) == (237, 3711)

    def test_cube(self):
        """Third powers are third powers."""
        assert [work.cube(number) for number in (0, 2, -3)] == [0, 8, -27]


class FakeStream:
    """What `autoexec.map` returns, with facts made up."""

    def __init__(self, results):
        self.values = iter(results)
        self.plan = Plan("threads", 8, seconds=0.0125, reason="it waits")
        self.profile = Profile("f", 1, 1.0, 0.0, 0.0, 1.0, kind=WorkKind.IO, evidence="no CPU was used")

    def __iter__(self):
        return self.values


@pytest.fixture
def pretend(monkeypatch):
    """Return a function that makes `autoexec.map` deliver the given results."""

    def deliver(results):
        monkeypatch.setattr("autoexec.map", lambda *_, **__: FakeStream(results))

    return deliver


class TestReport:
    """What is printed of a case."""

    CASE = run.Case("Cubing three numbers", work.cube, [1, 2, 3])

    def test_all_that_was_promised_is_shown(self, pretend, capsys):
        """Class, evidence, plan, reason, forecast beside measured time, serial time, speed-up, equality."""
        pretend([1, 8, 27])
        assert run.run_case(4, self.CASE)
        printed = capsys.readouterr().out
        for text in (
            "4. Cubing three numbers",
            "class      IO-bound",
            "no CPU was used",
            "plan       threads × 8: it waits",
            "forecast   12.5 ms for the rest; measured ",
            "serial     ",
            "speed-up   ",
            "all 3 equal the loop's",
        ):
            assert text in printed

    def test_a_difference_is_shouted(self, pretend, capsys):
        """Results that differ from the loop's are said to, and counted as a failure."""
        pretend([1, 8, 28])
        assert not run.run_case(1, self.CASE)
        assert "DIFFER" in capsys.readouterr().out

    @pytest.mark.parametrize(("delivered", "code"), [([1, 8, 27], 0), ([1, 8], 1)])
    def test_the_exit_code_tells(self, delivered, code, pretend, monkeypatch):
        """Exit code 1 if any result differs, 0 otherwise."""
        pretend(delivered)
        monkeypatch.setattr(run, "require", lambda *_: None)
        monkeypatch.setattr(run, "httpbin_service", lambda: nullcontext())
        monkeypatch.setattr(run, "cases", lambda *_: [self.CASE])
        assert run.main(quick=True) == code

    def test_a_changed_plan_is_shown_too(self):
        """When the work changed on the way, both plans are printed."""
        first, last = Plan("serial", reason="tiny"), Plan("processes", 2, reason="no longer tiny")
        shown = dict(run.found(run.Outcome(None, first, last, 1.0, [])))
        assert shown["plan"] == "serial: tiny"
        assert shown["then"] == "processes × 2: no longer tiny"


@pytest.mark.slow
def test_the_cases_are_four_and_real():
    """API calls, nuclei, number crunching and a function too small, with bars where they cost nothing."""
    needs("scipy", "skimage")
    cases = list(run.cases("http://127.0.0.1:1", quick=True))
    assert [case.function for case in cases] == [
        work.fetch,
        nuclei.count_nuclei,
        work.longest_collatz,
        work.cube,
    ]
    assert [case.bar for case in cases] == [True, True, True, False]


# The command, with the first twelve items of each case.
DEMO = """
import dataclasses, sys
from autoexec import cli
from autoexec.demo import run

made = run.cases
run.cases = lambda *given: (dataclasses.replace(case, items=case.items[:12]) for case in made(*given))
sys.exit(cli.main(["demo", "--quick"]))
"""


@pytest.mark.slow
def test_the_demo_agrees_with_the_plain_loop():
    """The whole demo, shorter still than a user can have it: exit code 0 and a fourfold agreement."""
    needs("httpbin", "waitress", "requests", "tqdm", "scipy", "skimage")
    command = [sys.executable, "-c", DEMO]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("equal the loop's") == 4
