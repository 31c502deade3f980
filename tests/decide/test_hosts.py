"""Whose limits does an item fall under? URLs in all forms, requests of all libraries, and oddities."""

from __future__ import annotations

import urllib.request
from collections import namedtuple
from dataclasses import dataclass
from typing import NoReturn
from unittest.mock import Mock
from urllib.parse import urlparse, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.hosts import host_of, key_function, plain_host
from autoexec.errors import OptionError


def shown(value: object) -> str:
    """A test's name, the same in every process."""
    return repr(value).split(" at 0x")[0]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://example.org", "example.org"),
        ("https://example.org/a?b=http://other.org#c", "example.org"),
        ("HTTPS://Example.ORG/A", "example.org"),
        ("https://example.org:8443/", "example.org:8443"),
        ("https://example.org:443/", "example.org"),
        ("http://example.org:80/", "example.org"),
        ("http://example.org:443/", "example.org:443"),
        ("https://user:pass@example.org/", "example.org"),
        ("https://user:p@ss@example.org/", "example.org"),
        ("https://example.org./", "example.org"),
        ("  https://example.org/\n", "example.org"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http://[::1]/", "[::1]"),
        ("ftp://example.org:21/x", "example.org"),
        ("git+ssh://example.org/x", "example.org"),
        ("s3://bucket/key", "bucket"),
        (b"https://example.org:8443/\xff", "example.org:8443"),
    ],
    ids=shown,
)
def test_urls(url: str | bytes, host: str) -> None:
    """The host in lower case, without the user, with a port that is not the scheme's own."""
    assert host_of(url) == host


@pytest.mark.parametrize(
    "item",
    [
        *(
            "",
            "example.org",
            "//example.org/x",
            "/a/b",
            "C:\\a\\b",
            "file:///etc/hosts",
            "mailto:me@example.org",
        ),
        *("http://", "http:///x", "://example.org", "see http://example.org", "http://[::1/", "http://a:b/"),
        *(
            "http://example.org:99999/",
            b"",
            b"\x00://\xff",
            None,
            True,
            3,
            4.5,
            {},
            {1},
            (),
            [],
            object(),
            int,
        ),
        *(("plain", "http://example.org"), [["http://example.org"]], {"url": "http://example.org"}),
    ],
    ids=shown,
)
def test_no_host(item: object) -> None:
    """What is no URL, or a malformed one, has no host."""
    assert host_of(item) == ""


def test_arguments() -> None:
    """The first of several arguments counts."""
    assert host_of(("http://a.org/", {"page": 2})) == "a.org"
    assert host_of(["http://a.org/", "http://b.org/"]) == "a.org"
    assert host_of((urllib.request.Request("http://a.org/"), 3)) == "a.org"


def test_requests_of_the_standard_library() -> None:
    """A request of urllib, and what `urlsplit` and `urlparse` make."""
    assert host_of(urllib.request.Request("http://a.org:81/")) == "a.org:81"
    assert host_of(urlsplit("http://a.org/")) == host_of(urlparse("http://a.org/")) == "a.org"


def test_requests_of_libraries() -> None:
    """Requests of requests and httpx, prepared or not, and the URL objects of httpx and yarl."""
    requests, httpx = pytest.importorskip("requests"), pytest.importorskip("httpx")
    yarl = pytest.importorskip("yarl")
    request = requests.Request("GET", "http://a.org/")
    assert host_of(request) == host_of(request.prepare()) == "a.org"
    assert host_of(httpx.Request("GET", "http://a.org:81/")) == "a.org:81"
    assert host_of(httpx.URL("http://me:secret@a.org/")) == "a.org"
    assert host_of(yarl.URL("http://me:secret@a.org:81/")) == "a.org:81"
    assert host_of(yarl.URL("relative/path")) == ""


def test_items_with_a_url() -> None:
    """Anything with a `url` that is one: a record, a row of a table, a property; a mock if it was set."""

    @dataclass(slots=True)
    class Page:
        url: object

    class Image:
        @property
        def url(self) -> str:
            return "http://a.org/i.png"

    Row = namedtuple("Row", "number url")  # noqa: PYI024 (what data frames make)
    assert host_of(Page("http://a.org/")) == host_of(Page(b"http://a.org/")) == "a.org"
    assert host_of(Page(urlsplit("http://a.org/"))) == "a.org"
    assert (
        host_of(Image()) == host_of(Row(1, "http://a.org/")) == host_of(Mock(url="http://a.org/")) == "a.org"
    )
    assert host_of(Page(None)) == host_of(Page(3)) == host_of(Page(Mock())) == host_of(Mock()) == ""


def test_objects_that_fail_when_asked() -> None:
    """They have no host, and whatever they make up is not asked for."""

    class Trap:
        @property
        def url(self) -> NoReturn:
            raise RuntimeError("not now")

        def __getattr__(self, name: str) -> NoReturn:
            raise AssertionError(name)

    class Odd:
        scheme = host = "http"

        def __str__(self) -> NoReturn:
            raise RuntimeError("not now")

    assert host_of(Trap()) == host_of(Odd()) == ""


def test_frames_have_no_host() -> None:
    """A column called `url` is not the frame's."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"url": ["http://a.org"], "host": ["a"]})
    assert host_of(frame) == host_of(frame.to_numpy()) == ""
    assert [host_of(row) for row in frame.itertuples()] == ["a.org"]


@given(st.one_of(st.text(), st.binary(), st.text("htps:/[]@.:%1a"), st.lists(st.text("htp:/[]@"))))
def test_any_text(item: object) -> None:
    """Whatever stands in the list, there is an answer without white space or user."""
    host = host_of(item)
    assert isinstance(host, str)
    assert not any(mark in host for mark in "/@?#")


# The short way ------------------------------------------------------------------------------------------

SCHEMES = st.sampled_from(["http", "https", "ws", "wss", "ftp", "s3", "HTTP", " https", "ht\ttp", "+", ""])
NAMES = st.sampled_from(["a", "a.org", "A-b.Org", "a_b", "a.", "..", "", "[::1]", "[::1", "ä.org", "a%2eb"])
PORTS = st.sampled_from(["", ":", ":80", ":443", ":0080", ":8000", ":65535", ":65536", ":1:2", ":x", ":٣"])
USERS = st.sampled_from(["", "", "me@", "me:secret@", "m@e@", "@"])
TAILS = st.sampled_from(
    ["", "/", "/v?q=http://b.org/", "?q=/x", "#x", "\\x", "\n", "/\n", " ", "//b.org", "/]"]
)
URLS = st.tuples(SCHEMES, st.just("://"), USERS, NAMES, PORTS, TAILS).map("".join)


def split(text: str) -> str:
    """The host in a text as the standard library sees it."""
    scheme, mark, _ = text[:40].partition("://")
    if not mark or not scheme.strip().translate({ord(sign): None for sign in "+-."}).isalnum():
        return ""
    try:
        parts = urlsplit(text.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return ""
    own = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}.get(parts.scheme)
    shown = f"[{host}]" if ":" in host else host
    return shown if not host or port in (None, own) else f"{shown}:{port}"


@given(st.one_of(URLS, st.text("htps:/[]@.:%1a?#\\\t "), st.text().map("http://{}".format), st.text()))
def test_the_short_way_finds_the_same_host(text: str) -> None:
    """Text of any form has the host that `urlsplit` finds in it, as bytes and as the first argument, too."""
    host = split(text)
    assert host_of(text) == plain_host(text) == plain_host((text, 1)) == plain_host([text]) == host
    if text.isascii():
        assert host_of(text.encode()) == plain_host(text.encode()) == host


class Shown(str):
    """Text of a class of the caller's."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("item", "host"),
    [
        *((item, "") for item in (None, True, 3, 2.5, 1j, b"", "x", (), [], {}, {1}, range(3), (None, "x"))),
        *(
            (item, "")
            for item in ([3, "http://a.org"], (("http://a.org",),), "http://[::1/", ["http://a:x/"])
        ),
        *((item, "a.org") for item in ("http://a.org/", b"http://a.org/", ("https://a.org", 2))),
        *(
            (item, None)
            for item in (object(), (object(),), Shown("x"), [Shown("x")], urlsplit("http://a.org"))
        ),
    ],
    ids=shown,
)
def test_what_can_be_told_without_running_their_code(item: object, host: str | None) -> None:
    """Built-in items, and nothing that a class of theirs may have made its own; it never raises."""
    assert plain_host(item) == host
    assert host is None or host_of(item) == host


# per= --------------------------------------------------------------------------------------------------


def test_by_default_the_host() -> None:
    """Without `per=`, items fall under the limits of their host."""
    assert key_function(None) is host_of


def test_a_function_of_the_item() -> None:
    """What it gives is turned into text; it may fail as the caller's own functions do."""
    key = key_function(lambda item: item % 3)
    assert [key(item) for item in range(4)] == ["0", "1", "2", "0"]
    assert key_function(lambda item: None)(1) == ""
    with pytest.raises(TypeError):
        key("x")


def test_an_attribute_or_a_key() -> None:
    """A name stands for an attribute, for a mapping's key, also of the first of several arguments."""

    class Job:
        account = 7

    assert key_function("account")(Job()) == "7"
    assert key_function("account")({"account": "a"}) == "a"
    assert key_function("account")((Job(), "more")) == "7"
    assert key_function("imag")(2j) == "2.0"


@pytest.mark.parametrize("item", [3, "x", {"b": 1}, (), ("x", {"account": 1})], ids=shown)
def test_an_attribute_that_is_not_there(item: object) -> None:
    """A misspelt name would put all items under one limit: it is an error that says what to do."""
    with pytest.raises(OptionError, match=r"^per='account': a \w+ has no attribute .* give a function"):
        key_function("account")(item)


@pytest.mark.parametrize("per", [3, "", b"url", [], True], ids=shown)
def test_neither_name_nor_function(per: object) -> None:
    """Anything else is refused before any item."""
    with pytest.raises(
        OptionError, match=r"^per must be a function of the item or the name of an attribute, not "
    ):
        key_function(per)  # type: ignore[arg-type]
