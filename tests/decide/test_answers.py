"""What is said of responses and of errors: real ones of each library, made-up ones, and oddities."""

from __future__ import annotations

import asyncio
import errno
import io
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from email.utils import formatdate
from http import HTTPStatus
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from importlib import import_module
from typing import Any, ClassVar, NoReturn
from unittest.mock import MagicMock, Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.answers import (
    VERDICTS,
    Answer,
    Verdict,
    judge_error,
    judge_value,
    parse_retry_after,
    status_of,
)
from autoexec.errors import ItemTimeout, OptionError, WorkerDied
from autoexec.records import Ending

NOW = 1_700_000_000.0
FINE = Answer(Ending.OK)
BROKEN_OFF = Answer(Ending.ERROR, transient=True)
TOO_LATE = Answer(Ending.TIMEOUT, transient=True)
FAILED = Answer(Ending.ERROR)


class Response:
    """A response as far as anybody looks."""

    def __init__(self, status: object, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def caught(call: Callable[[], object]) -> Exception:
    """What the call raises."""
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def wrapped(outer: BaseException, inner: BaseException) -> BaseException:
    """The outer error as `raise outer from inner` leaves it."""
    outer.__cause__, outer.__suppress_context__ = inner, True
    return outer


# Values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        429,
        4.5,
        "429",
        b"",
        [429],
        (429,),
        {"status_code": 429, "headers": {}},
        {429},
        object(),
        int,
    ],
)
def test_ordinary_values_went_well(value: object) -> None:
    """Nothing is read into values that are no responses."""
    assert judge_value(value, NOW) == FINE


@pytest.mark.parametrize(
    ("status", "ending", "transient"),
    [
        (200, Ending.OK, False),
        (304, Ending.OK, False),
        (404, Ending.OK, False),
        (429, Ending.REFUSED, True),
        (500, Ending.ERROR, False),
        (502, Ending.ERROR, True),
        (503, Ending.ERROR, True),  # without Retry-After it may have any reason
        (504, Ending.ERROR, True),
        (HTTPStatus.TOO_MANY_REQUESTS, Ending.REFUSED, True),
    ],
)
def test_returned_responses(status: int, ending: Ending, transient: bool) -> None:
    """A refusal that is returned counts as one; an answer that the function handles itself went well."""
    assert judge_value(Response(status), NOW) == Answer(ending, int(status), None, transient)


def test_returned_responses_tell_when_to_return() -> None:
    """`Retry-After` is read from the headers, in either spelling if they are a plain mapping."""
    assert judge_value(Response(429, Retry_After="7"), NOW).retry_after_s == 7.0
    assert judge_value(Response(503, retry_after="7"), NOW).retry_after_s == 7.0
    assert (
        judge_value(Response(503, Retry_After=formatdate(NOW + 30, usegmt=True)), NOW).retry_after_s == 30.0
    )
    assert judge_value(Response(503, Retry_After="7"), NOW).ending is Ending.REFUSED
    assert judge_value(Response(503, Retry_After="in a while"), NOW).retry_after_s is None
    assert judge_value(Response(200, Retry_After="7"), NOW).retry_after_s is None


@pytest.mark.parametrize("status", [True, "429", 429.0, 42, 1000, None])
def test_a_status_is_a_whole_number(status: object) -> None:
    """What is no HTTP status makes no response."""
    assert judge_value(Response(status), NOW) == FINE


def test_a_status_alone_makes_no_response() -> None:
    """A job with a `status` is not taken for a response, as it has no headers."""
    job = Response(503)
    del job.headers
    assert judge_value(job, NOW) == FINE


def test_attributes_that_are_made_up_do_not_count() -> None:
    """Mocks answer to every name; only what was set on them counts."""
    assert judge_value(Mock(), NOW) == judge_value(MagicMock(), NOW) == FINE
    assert judge_value(Mock(status_code=429, headers={"Retry-After": "3"}), NOW).retry_after_s == 3.0


def test_objects_that_fail_when_asked_went_well() -> None:
    """A property of theirs must not cost them their result."""

    class Trap:
        status = 503

        @property
        def headers(self) -> NoReturn:
            raise RuntimeError("not now")

        def __getattr__(self, name: str) -> NoReturn:
            raise AssertionError(name)

    class Headers:
        def get(self, name: str) -> NoReturn:
            raise RuntimeError("not now")

    trap = Response(503)
    trap.headers = Headers()  # type: ignore[assignment]
    assert judge_value(Trap(), NOW) == judge_value(trap, NOW) == FINE


def test_slots_are_seen() -> None:
    """A response may keep its attributes in slots."""

    class Slotted:
        __slots__ = ("headers", "status")

    value = Slotted()
    assert judge_value(value, NOW) == FINE
    value.status, value.headers = 429, {"Retry-After": "2"}  # type: ignore[attr-defined]
    assert judge_value(value, NOW) == Answer(Ending.REFUSED, 429, 2.0, True)


def test_frames_and_arrays_went_well() -> None:
    """A column called like a status is not one."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"status_code": [429], "headers": [""]})
    assert judge_value(frame, NOW) == judge_value(frame["status_code"], NOW) == FINE
    assert judge_value(frame.to_numpy(), NOW) == FINE


def test_responses_of_requests() -> None:
    """A response of requests, its headers in any case."""
    requests = pytest.importorskip("requests")
    response = requests.Response()
    response.status_code = 429
    response.headers["retry-AFTER"] = "9"
    assert judge_value(response, NOW) == Answer(Ending.REFUSED, 429, 9.0, True)
    error = caught(response.raise_for_status)
    assert judge_error(error, NOW) == Answer(Ending.REFUSED, 429, 9.0, True)


def test_responses_of_httpx() -> None:
    """A response of httpx, returned and raised."""
    httpx = pytest.importorskip("httpx")
    response = httpx.Response(
        503, headers={"Retry-After": "9"}, request=httpx.Request("GET", "http://example.org")
    )
    assert judge_value(response, NOW) == Answer(Ending.REFUSED, 503, 9.0, True)
    assert judge_error(caught(response.raise_for_status), NOW) == Answer(Ending.REFUSED, 503, 9.0, True)


# Errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VERDICTS)
def test_the_table_names_real_classes(name: str) -> None:
    """Every name in the table is the full name of a class that there is, and decides about that class."""
    module, _, title = name.rpartition(".")
    pytest.importorskip(module.partition(".")[0])
    cls = getattr(import_module(module), title)
    assert f"{cls.__module__}.{cls.__qualname__}" == name
    assert issubclass(cls, Exception)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ConnectionError(), BROKEN_OFF),
        (ConnectionResetError(errno.ECONNRESET, "reset"), BROKEN_OFF),
        (BrokenPipeError(), BROKEN_OFF),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), BROKEN_OFF),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), BROKEN_OFF),
        (RemoteDisconnected(""), BROKEN_OFF),
        (BadStatusLine("x"), BROKEN_OFF),
        (IncompleteRead(b""), BROKEN_OFF),
        (asyncio.IncompleteReadError(b"", 3), BROKEN_OFF),
        (ssl.SSLEOFError(8, "EOF occurred"), BROKEN_OFF),
        (urllib.error.URLError(ConnectionRefusedError()), BROKEN_OFF),
        (TimeoutError(), TOO_LATE),
        (ItemTimeout("item 3 took more than 2 s"), TOO_LATE),
        (urllib.error.URLError(TimeoutError("timed out")), TOO_LATE),
        (urllib.error.URLError(ssl.SSLCertVerificationError(1, "self-signed")), FAILED),
        (urllib.error.URLError("unknown url type: gopher"), FAILED),
        (ssl.SSLCertVerificationError(1, "self-signed"), FAILED),
        (FileNotFoundError(errno.ENOENT, "no such file"), FAILED),
        (OSError(errno.EMFILE, "too many open files"), FAILED),
        (ValueError("timeout"), FAILED),
        (KeyError("status"), FAILED),
        (OptionError("no"), FAILED),
        (WorkerDied("gone"), BROKEN_OFF),
        (KeyboardInterrupt(), FAILED),
        (asyncio.CancelledError(), FAILED),
        (SystemExit(503), FAILED),
    ],
    ids=repr,
)
def test_errors_of_the_standard_library(error: BaseException, answer: Answer) -> None:
    """Connections, time-outs and dead workers are worth another try, certificates and mistakes are not."""
    assert judge_error(error, NOW) == answer


def names(kind: Answer, text: str) -> list[tuple[str, Answer]]:
    """Rows for many names at once."""
    return [(name, kind) for name in text.split()]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        *names(
            BROKEN_OFF,
            """requests.ConnectionError requests.exceptions.ProxyError
            requests.exceptions.ChunkedEncodingError
            httpx.ConnectError httpx.ReadError httpx.RemoteProtocolError httpx.ProxyError
            aiohttp.ServerDisconnectedError aiohttp.ClientPayloadError aiohttp.ClientOSError
            aiohttp.ClientConnectionResetError urllib3.exceptions.ProtocolError""",
        ),
        *names(
            TOO_LATE,
            """requests.Timeout requests.ConnectTimeout requests.ReadTimeout
            httpx.ConnectTimeout httpx.ReadTimeout httpx.PoolTimeout urllib3.exceptions.ConnectTimeoutError
            aiohttp.ServerTimeoutError aiohttp.ConnectionTimeoutError aiohttp.SocketTimeoutError""",
        ),
        *names(
            FAILED,
            """requests.exceptions.SSLError requests.exceptions.MissingSchema requests.exceptions.InvalidURL
            requests.exceptions.InvalidSchema requests.TooManyRedirects
            requests.exceptions.ContentDecodingError requests.JSONDecodeError
            requests.exceptions.InvalidProxyURL httpx.UnsupportedProtocol httpx.InvalidURL
            httpx.TooManyRedirects httpx.DecodingError httpx.LocalProtocolError
            aiohttp.InvalidURL aiohttp.ClientError
            urllib3.exceptions.LocationParseError urllib3.exceptions.SSLError""",
        ),
    ],
)
def test_errors_of_libraries(name: str, answer: Answer) -> None:
    """Each library's classes, made without looking into what they usually hold."""
    module, _, title = name.rpartition(".")
    pytest.importorskip(module.partition(".")[0])
    cls = getattr(import_module(module), title)
    error = cls.__new__(cls, "why")
    assert judge_error(error, NOW) == answer


def test_subclasses_count_as_their_family() -> None:
    """A class of the user's that descends from a connection error is one."""

    class OurOwn(ConnectionResetError):
        pass

    assert judge_error(OurOwn(), NOW) == BROKEN_OFF


def test_what_is_wrapped_decides() -> None:
    """An error that says nothing itself counts as what it was raised from, not as what was being handled."""
    assert judge_error(wrapped(RuntimeError("page 3"), TimeoutError()), NOW) == TOO_LATE
    assert judge_error(wrapped(RuntimeError("page 3"), Failure(429, "4")), NOW).retry_after_s == 4.0
    handled = RuntimeError("page 3")
    handled.__context__ = TimeoutError()
    assert judge_error(handled, NOW) == FAILED


def test_certificates_are_found_deep_inside() -> None:
    """A connection error over a certificate is none that another try would mend."""
    certificate = ssl.SSLCertVerificationError(1, "self-signed")
    assert judge_error(wrapped(ConnectionError(), wrapped(OSError(), certificate)), NOW) == FAILED
    assert judge_error(ConnectionError(OSError(certificate)), NOW) == FAILED
    handled = ConnectionError()
    handled.__context__ = certificate
    assert judge_error(handled, NOW) == FAILED
    handled.__suppress_context__ = True
    assert judge_error(handled, NOW) == BROKEN_OFF


def test_certificates_in_libraries() -> None:
    """The same in the classes of requests, httpx and aiohttp, which are connection errors there."""
    requests, httpx = pytest.importorskip("requests"), pytest.importorskip("httpx")
    aiohttp, urllib3 = pytest.importorskip("aiohttp"), pytest.importorskip("urllib3")
    certificate = ssl.SSLCertVerificationError(1, "self-signed")
    inner = urllib3.exceptions.MaxRetryError(Mock(), "/", urllib3.exceptions.SSLError(certificate))
    assert judge_error(requests.exceptions.SSLError(inner), NOW) == FAILED
    assert judge_error(requests.exceptions.ConnectionError(inner), NOW) == FAILED
    assert judge_error(inner, NOW) == FAILED
    assert judge_error(wrapped(httpx.ConnectError("certificate"), certificate), NOW) == FAILED
    key = Mock(ssl=True, host="example.org", port=443, is_ssl=True)
    assert judge_error(aiohttp.ClientConnectorCertificateError(key, certificate), NOW) == FAILED


def test_errors_inside_errors_of_urllib3() -> None:
    """A time-out that urllib3 hands up inside other errors still is one; a refused connection is none."""
    requests, urllib3 = pytest.importorskip("requests"), pytest.importorskip("urllib3")
    late = urllib3.exceptions.ReadTimeoutError(Mock(), "/", "Read timed out.")
    assert judge_error(requests.ConnectionError(late), NOW) == TOO_LATE
    refused = urllib3.exceptions.NewConnectionError(Mock(), "refused")
    assert judge_error(refused, NOW) == BROKEN_OFF
    gave_up = urllib3.exceptions.MaxRetryError(Mock(), "/", refused)
    assert judge_error(requests.ConnectionError(gave_up), NOW) == BROKEN_OFF


def test_circles_end() -> None:
    """Errors that refer to one another are walked once."""
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    one.args = (other, one)
    assert judge_error(one, NOW) == FAILED


class Failure(Exception):
    """An error that carries a response."""

    def __init__(self, status: int, after: str | None = None) -> None:
        self.response = Response(status, **({} if after is None else {"Retry_After": after}))


def test_raised_statuses() -> None:
    """Of all statuses from 400 up, four are worth another try, and two are refusals."""
    for status in range(400, 600):
        ending = Ending.REFUSED if status in {429, 503} else Ending.ERROR
        transient = status in {429, 502, 503, 504}
        assert judge_error(Failure(status, "5"), NOW) == Answer(ending, status, 5.0, transient)


def test_a_status_outranks_the_class() -> None:
    """A connection error that carries a 404 is none."""

    class Odd(ConnectionError):
        status_code = 404

    assert judge_error(Odd(), NOW) == Answer(Ending.ERROR, 404)


@pytest.mark.parametrize("name", ["status_code", "status", "code"])
def test_statuses_of_other_clients(name: str) -> None:
    """The errors of many an API's own client have the status as an attribute."""
    cls = type("ApiError", (Exception,), {name: HTTPStatus.SERVICE_UNAVAILABLE})
    assert judge_error(cls(), NOW) == Answer(Ending.ERROR, 503, None, True)


def test_status_errors_of_urllib_and_aiohttp() -> None:
    """They have their headers on themselves."""
    headers = Message()
    headers["retry-after"] = "6"
    error = urllib.error.HTTPError("http://example.org", 503, "busy", headers, io.BytesIO())
    assert judge_error(error, NOW) == Answer(Ending.REFUSED, 503, 6.0, True)
    error.close()
    aiohttp = pytest.importorskip("aiohttp")
    raised = aiohttp.ClientResponseError(Mock(), (), status=429, headers={"Retry-After": "6"})
    assert judge_error(raised, NOW) == Answer(Ending.REFUSED, 429, 6.0, True)
    # It was answered well, but not as expected.
    assert judge_error(aiohttp.ContentTypeError(Mock(), (), status=200), NOW) == FAILED


def test_errors_that_fail_when_asked() -> None:
    """A property that raises costs its answer, no more."""

    class Trap(ConnectionError):
        @property
        def response(self) -> NoReturn:
            raise RuntimeError("not now")

    assert judge_error(Trap(), NOW) == BROKEN_OFF


class Rude:
    """Whatever it is asked, it raises; even its class is a trap."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise LookupError(name)

    def __eq__(self, other: object) -> bool:
        raise LookupError("==")

    __hash__ = None  # type: ignore[assignment]


class RudeNumber(int):
    """A number that does not like to be compared."""

    def __eq__(self, other: object) -> bool:
        raise LookupError("==")

    def __le__(self, other: int) -> bool:
        raise LookupError("<=")

    __hash__ = None  # type: ignore[assignment]


class RudeClass(type):
    """A class that cannot be looked up."""

    def __hash__(cls) -> int:
        raise LookupError("hash")


RUDE: list[Callable[[], object]] = [Rude, lambda: RudeNumber(503), lambda: RudeClass("Odd", (), {})()]


def trap(base: type[BaseException], name: str) -> BaseException:
    """An error one of whose attributes raises whenever it is read."""

    def ask(self: object) -> NoReturn:
        raise LookupError(name)

    return type("Trap", (base,), {name: property(ask)})()


NAMES = ["response", "status", "status_code", "code", "headers", "reason", "args", "errno", "__cause__"]


@pytest.mark.parametrize("name", [*NAMES, "__context__", "__suppress_context__", "__dict__", "__class__"])
def test_whatever_raises_when_asked_leaves_the_class(name: str) -> None:
    """Of an error that breaks off a connection is known that it does, whichever of its attributes fails."""
    assert judge_error(trap(ConnectionResetError, name), NOW) in (BROKEN_OFF, FAILED)
    assert judge_error(trap(LookupError, name), NOW) == FAILED
    assert status_of(trap(ConnectionResetError, name)) is None
    if not name.startswith("__"):
        assert judge_error(trap(ConnectionResetError, name), NOW) == BROKEN_OFF


@pytest.mark.parametrize("name", ["response", "status", "status_code", "code", "reason", "headers", "errno"])
@pytest.mark.parametrize("make", RUDE)
def test_what_is_held_may_raise_when_asked(name: str, make: Callable[[], object]) -> None:
    """Attributes are objects of theirs, too."""
    part = make()
    error = type("Holder", (ConnectionResetError,), {name: part})()
    assert judge_error(error, NOW) in (BROKEN_OFF, FAILED)
    assert (
        judge_error(ValueError(part), NOW)
        == judge_error(wrapped(KeyError(), ValueError(part)), NOW)
        == FAILED
    )
    value = type("Answered", (), {"status": 503, "headers": {}, name: part})()
    assert judge_value(value, NOW).ending in (Ending.OK, Ending.ERROR)


def test_values_that_raise_when_asked_went_well() -> None:
    """A result is a result, whatever it or its class does when it is looked at."""
    for make in RUDE:
        assert judge_value(make(), NOW) == FINE


def test_a_raised_status_counts_though_its_headers_fail() -> None:
    """When to return is not known then, but that the server is busy is."""

    class Headers:
        def get(self, name: str) -> NoReturn:
            raise RuntimeError("not now")

    error = Failure(503)
    error.response.headers = Headers()  # type: ignore[assignment]
    assert judge_error(error, NOW) == Answer(Ending.ERROR, 503, None, True)
    assert status_of(error) == 503


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_only_ordinary_errors_are_swallowed(stop: type[BaseException]) -> None:
    """Ctrl-C in a property of theirs is Ctrl-C."""

    class Stopping(ConnectionError):
        @property
        def response(self) -> NoReturn:
            raise stop

    class Page:
        headers: ClassVar[dict[str, str]] = {}

        @property
        def status(self) -> NoReturn:
            raise stop

    with pytest.raises(stop):
        judge_error(Stopping(), NOW)
    with pytest.raises(stop):
        status_of(Stopping())
    with pytest.raises(stop):
        judge_value(Page(), NOW)


# Real connections -------------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> Iterator[str]:
    """A URL that nobody serves: the port is held, but not listened to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/"


@pytest.fixture
def rude_server() -> Iterator[str]:
    """A URL whose server hangs up on everybody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_hang_up, args=(server,), name="rude server")
        thread.start()
        port = server.getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
        with socket.create_connection(("127.0.0.1", port)) as last:
            last.sendall(b"stop")
        thread.join()


def _hang_up(server: socket.socket) -> None:
    said = b""
    while said != b"stop":
        connection, _ = server.accept()
        with connection:
            said = connection.recv(65536)


@pytest.fixture
def mute_server() -> Iterator[str]:
    """A URL whose server takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def ask_urllib(url: str, seconds: float = 10.0) -> None:
    """Fetch with the standard library."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=seconds):
        pass


def ask_requests(url: str, seconds: float = 10.0) -> None:
    """Fetch with requests."""
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.trust_env = False
        session.get(url, timeout=seconds)


def ask_httpx(url: str, seconds: float = 10.0) -> None:
    """Fetch with httpx."""
    httpx = pytest.importorskip("httpx")
    with httpx.Client(trust_env=False, timeout=seconds) as client:
        client.get(url)


def ask_aiohttp(url: str, seconds: float = 10.0) -> None:
    """Fetch with aiohttp."""
    aiohttp = pytest.importorskip("aiohttp")

    async def ask() -> None:
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url):
            pass

    asyncio.run(ask())


CLIENTS = [ask_urllib, ask_requests, ask_httpx, ask_aiohttp]


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_refused_connection(ask: Callable[[str], None], closed_port: str) -> None:
    """Whatever client meets a port that nobody serves, it is worth another try."""
    assert judge_error(caught(lambda: ask(closed_port)), NOW) == BROKEN_OFF


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_connection_that_breaks_off(ask: Callable[[str], None], rude_server: str) -> None:
    """Whatever client is hung up on, it is worth another try."""
    assert judge_error(caught(lambda: ask(rude_server)), NOW) == BROKEN_OFF


@pytest.mark.parametrize("ask", CLIENTS)
def test_an_answer_that_does_not_come(ask: Callable[[str, float], None], mute_server: str) -> None:
    """Whatever client waits in vain, it is a time-out."""
    assert judge_error(caught(lambda: ask(mute_server, 0.1)), NOW) == TOO_LATE


@pytest.mark.parametrize("ask", CLIENTS)
@pytest.mark.parametrize("url", ["gopher://127.0.0.1/", "127.0.0.1/x", "http://"])
def test_no_url_at_all(ask: Callable[[str], None], url: str) -> None:
    """Whatever client is given no valid URL, it is not tried again."""
    assert judge_error(caught(lambda: ask(url)), NOW).transient is False


# Retry-After ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        (b"4", 4.0),
        (5, 5.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0),
        ("Tue Nov 14 22:13:50 2023", 30.0),
        ("Tue, 14 Nov 2023 23:13:50 +0100", 30.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        *[(text, None) for text in ("", "soon", "nan", "inf", "1e3", "1_0", "٣", "--3", "12:00", "9" * 200)],
        *[(value, None) for value in (None, True, float("nan"), float("inf"), [], {}, Mock())],
    ],
    ids=lambda value: repr(value).split(" id=")[0],
)
def test_retry_after(text: object, seconds: float | None) -> None:
    """Seconds, the three forms of HTTP dates, and nonsense."""
    assert parse_retry_after(text, NOW) == seconds


@given(
    st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none(), st.text("0123456789:-, GMTJan"))
)
def test_retry_after_is_never_fatal(text: object) -> None:
    """Whatever the other side sends, there are seconds from 0, or None."""
    seconds = parse_retry_after(text, NOW)
    assert seconds is None or 0.0 <= seconds < float("inf")


def test_every_verdict_is_used() -> None:
    """The table has classes for all verdicts."""
    assert set(VERDICTS.values()) == set(Verdict)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_any_arguments_of_an_error(args: Any) -> None:
    """Errors hold anything; it is walked without harm."""
    assert judge_error(ValueError(args, args), NOW) == FAILED
