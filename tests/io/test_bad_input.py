"""What cannot be meant is refused at the call; what goes wrong on the way stands in its place."""

from __future__ import annotations

import pytest

import autoexec
from autoexec import JournalError, OptionError
from tests.io.clients import need
from tests.servers.behaving import stats

requests = pytest.importorskip("requests")

PATIENCE_S = 0.3  # for servers that say no more


def by_requests(url):
    """Read the whole body, with a limit on how long nothing may come."""
    with requests.Session() as session:
        answer = session.get(url, timeout=PATIENCE_S)
        answer.raise_for_status()
        return len(answer.content)


def by_httpx(url):
    """The same with httpx."""
    import httpx

    with httpx.Client(timeout=PATIENCE_S) as client:
        return len(client.get(url).raise_for_status().content)


def by_urllib(url):
    """The same with the standard library."""
    import urllib.request

    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return len(answer.read())


async def by_aiohttp(url):
    """The same with aiohttp."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(PATIENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
        answer.raise_for_status()
        return len(await answer.read())


CALLERS = {"requests": by_requests, "httpx": by_httpx, "urllib": by_urllib, "aiohttp": by_aiohttp}
BROKEN = ("reset", "silent", "hang", "short", "garbage", "close", "refused", "tls", "unknown")


class TestAtTheCall:
    """Nothing has run when an option cannot be meant, and the message says what can."""

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"rate": "fast"}, '"10/s"'),
            ({"rate": "-3/s"}, '"10/s"'),
            ({"rate": 0}, "above zero"),
            ({"rate": float("nan")}, "rate must"),
            ({"rate": "10/fortnight"}, '"10/s"'),
            ({"burst": 3}, "burst= belongs to rate="),
            ({"rate": "5/s", "burst": 0}, "burst must be at least 1"),
            ({"rate": "5/s", "backend": "processes"}, "rate= works in threads"),
            ({"retries": -1}, "retries must be at least 0"),
            ({"retries": 1.5}, "retries must be a whole number"),
            ({"retries": 2, "retry_budget": -1}, "retry_budget must not be negative"),
            ({"retries": 2, "retry_budget": "much"}, "retry_budget must be a number"),
            ({"retries": 2, "retry_on": 503}, "retry_on must be an exception class"),
            ({"retries": 2, "retry_on": ()}, "retry_on must be an exception class"),
            ({"per": 7}, "per must be a function"),
            ({"item_timeout": 0}, "item_timeout must be more than 0"),
            ({"item_timeout": -2}, "item_timeout must be more than 0"),
            ({"item_timeout": 1, "backend": "serial"}, "item_timeout= works in threads, in processes"),
            ({"size": 3}, "size must be callable"),
            ({"size": len, "buffersize": 9}, "leave buffersize= out"),
            ({"writable": "yes"}, "writable must be 'copy'"),
            ({"on_error": "ignore"}, "on_error must be 'raise' or 'return' or 'skip'"),
            ({"key": str}, "key= names items in a journal"),
            ({"journal": 7}, "journal must be the path"),
            ({"journal": "x.sqlite", "codec": "yaml"}, "codec must be 'pickle' or 'json'"),
            ({"initializer": 3}, "initializer must be callable"),
        ],
    )
    def test_options(self, options, words):
        """At every door, before any item."""
        called = []
        for door in (
            lambda: autoexec.map(called.append, [1], **options),
            lambda: autoexec.starmap(called.append, [(1,)], **options),
            lambda: autoexec.parallel(**options),
            lambda: autoexec.parallel(called.append).map([1], **options),
        ):
            with pytest.raises(OptionError) as caught:
                door()
            assert words in str(caught.value)
        assert not called

    def test_an_executor_has_no_journal(self, tmp_path):
        """What means something for a whole map only is refused there."""
        for options in ({"journal": tmp_path / "x"}, {"on_error": "skip"}, {"rate": "fast"}):
            with pytest.raises(OptionError):
                autoexec.Executor(**options)

    def test_a_journal_without_its_directory(self, tmp_path):
        """Named, with what to do; nothing has run, nothing was made."""
        called = []
        with pytest.raises(JournalError, match="does not exist; create it"):
            autoexec.map(called.append, [1], journal=tmp_path / "no" / "such" / "run.sqlite")
        assert not called and not list(tmp_path.iterdir())

    def test_an_async_generator(self):
        """It has many results or none."""

        async def many(_):
            yield 1

        with pytest.raises(OptionError, match="async generator"):
            autoexec.map(many, [1])


class TestPer:
    """A `per=` that raises costs the items for which it does."""

    def per(self, number):
        """Fails on every third."""
        if number % 3 == 0:
            raise LookupError(f"no tenant for {number}")
        return "tenant"

    @pytest.mark.parametrize("options", [{}, {"backend": "processes", "max_workers": 2, "chunksize": 4}])
    def test_it_raises_for_some(self, options):
        """Its error in their place, and they are never called."""

        def double(number):
            assert number % 3
            return 2 * number

        results = autoexec.map(double, range(30), per=self.per, on_error="return", **options)
        for number, value in enumerate(results):
            if number % 3:
                assert value == 2 * number
            else:
                assert isinstance(value, LookupError)
                assert "raised by per=" in "".join(value.__notes__)
                assert f"item {number} ({number})" in "".join(value.__notes__)
        (failures,) = results.stats().failures
        assert (failures.kind, failures.count) == ("LookupError", 10)

    def test_it_raises_where_it_stands(self):
        """With on_error="raise", after the results before it."""
        got = []
        with pytest.raises(LookupError, match="no tenant for 3"):
            got.extend(autoexec.map(str, range(1, 9), per=self.per))
        assert got == ["1", "2"]

    def test_a_name_that_items_do_not_have(self):
        """Told, with what to give instead."""
        values = list(autoexec.map(str, [1, 2], per="tenant", on_error="return"))
        assert all(isinstance(value, OptionError) and "no attribute or key" in str(value) for value in values)


class TestOnTheWay:
    """Servers that break the rules: a clear error for their items, and the others' results."""

    def urls(self, behaving, broken):
        """Each kind of trouble once, between calls that go well."""
        urls = []
        for i, kind in enumerate(BROKEN):
            urls += [f"{behaving}/bytes/7?id={i}", getattr(broken, kind)]
        return [*urls, f"{behaving}/bytes/7?id=last"]

    @pytest.mark.parametrize("name", CALLERS)
    def test_the_rest_goes_on(self, behaving, broken, name):
        """With on_error="return", each error in its place, named with its item."""
        need(name)
        urls = self.urls(behaving, broken)
        if not broken.tls:
            urls = [url for url in urls if url]
        results = autoexec.map(CALLERS[name], urls, on_error="return")
        values = list(results)
        assert len(values) == len(urls)
        for index, (url, value) in enumerate(zip(urls, values, strict=True)):
            if url.startswith(behaving):
                assert value == 7
            else:
                assert isinstance(value, Exception), url
                assert any(f"item {index} (" in note for note in value.__notes__)
        assert stats(behaving)["/bytes/7"]["calls"] == len(BROKEN) + 1
        assert results.stats().errors == len(urls) - len(BROKEN) - 1

    @pytest.mark.parametrize("kind", BROKEN)
    def test_it_raises_in_its_place(self, behaving, broken, kind):
        """With on_error="raise": the results before it, then the library's own error with a note."""
        url = getattr(broken, kind)
        if not url:
            pytest.skip("needs trustme")
        got = []
        with pytest.raises(requests.RequestException) as caught:
            got.extend(autoexec.map(by_requests, [f"{behaving}/bytes/7?ms=5"] * 2 + [url] + [url]))
        assert got == [7, 7]
        assert any("item 2 (" in note for note in caught.value.__notes__)

    @pytest.mark.parametrize("kind", ["tls"])
    def test_what_will_not_change_is_not_tried_again(self, broken, kind):
        """A certificate does not get better; a URL that is none neither."""
        pytest.importorskip("tenacity")
        urls = ["no url at all", "http://", "ftp://127.0.0.1/x", *([broken.tls] if broken.tls else [])]
        results = autoexec.map(by_requests, urls, retries=5, on_error="return")
        assert all(isinstance(value, (requests.RequestException, ValueError)) for value in results)
        assert results.stats().retries == 0 and results.stats().calls == len(urls)

    @pytest.mark.parametrize("kind", ["reset", "short", "close", "refused", "unknown"])
    def test_lost_connections_are_tried_again(self, broken, kind):
        """As often as allowed, and the last error tells it."""
        tenacity = pytest.importorskip("tenacity")
        policy = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(0.01), retry=tenacity.retry_never
        )
        url = getattr(broken, kind)
        results = autoexec.map(by_requests, [url], retries=1, on_error="return")
        (error,) = results
        assert sum("attempt" in note for note in error.__notes__) == 2
        assert results.stats().calls == 2
        never = autoexec.map(by_requests, [url], retries=policy, on_error="return")
        assert len(list(never)) == 1 and never.stats().calls == 1

    def test_urls_that_are_none(self, behaving):
        """Whatever they are, they are the function's business, and they stop nobody."""
        bad = ["", "nonsense", "http://[::1", "http://exa mple/", None, 7, b"\xff\xfe", "://", object()]
        urls = [url for item in bad for url in (item, f"{behaving}/bytes/7")]
        values = list(autoexec.map(by_requests, urls, on_error="return", rate="1000/s"))
        assert all(isinstance(value, Exception) for value in values[::2])
        assert values[1::2] == [7] * len(bad)

    def test_items_whose_repr_raises(self):
        """The note does without."""

        class Shy:
            def __repr__(self):
                raise RuntimeError("no")

        def fail(_):
            raise ValueError("x")

        (value,) = autoexec.map(fail, [Shy()], on_error="return")
        assert "whose repr raises" in value.__notes__[-1]
