"""The demo's pieces: the service, the images, the functions, and what is printed about each case."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from contextlib import nullcontext

import pytest

from autoexec.demo import extra, nuclei, run, service, work
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
    monkeypatch.setattr(service, "_start", lambda: started.append(start()) or started[-1])
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
        monkeypatch.setattr(service, "_start", lambda: child)
        with pytest.raises(AutoexecError, match="did not start"), service.httpbin_service():
            pass
        assert child.returncode is not None

    def test_fetch_returns_the_item_that_the_service_echoes(self):
        """The API workload's function, against the real service."""
        needs("httpbin", "waitress", "requests")
        with service.httpbin_service() as address:
            assert work.fetch(f"{address}/delay/0?item=7") == "7"


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


@pytest.mark.slow
def test_the_quick_demo_agrees_with_the_plain_loop():
    """The whole demo, short, as a user starts it: exit code 0 and a fourfold agreement."""
    needs("httpbin", "waitress", "requests", "tqdm", "scipy", "skimage")
    done = subprocess.run(
        [sys.executable, "-m", "autoexec", "demo", "--quick"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("equal the loop's") == 4
