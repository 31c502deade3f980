"""What became of a call: went well, failed, was refused, or took too long; and is it worth another try?

HTTP libraries are known by name only. A class counts as the first class of its family (its MRO) that
`VERDICTS` names: a new subclass of a connection error is one too, and no library is imported to ask.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from enum import Enum

from ..records import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from ..frozen import dataclass

__all__ = [
    "PLAIN",
    "VERDICTS",
    "Answer",
    "Verdict",
    "judge_error",
    "judge_value",
    "member",
    "parse_retry_after",
    "status_of",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """How one call ended.

    Attributes:
        ending: in one word.
        status: the HTTP status, if one is known.
        retry_after_s: seconds that the other side asks to be left alone, if it says so.
        transient: whether the same call may well succeed when made again.
    """

    ending: Ending
    status: int | None = None
    retry_after_s: float | None = None
    transient: bool = False


class Verdict(Enum):
    """What the class of an error says."""

    TRANSIENT = "the connection failed or broke off"
    TIMEOUT = "no answer in time"
    PERMANENT = "would fail again: a certificate, an invalid URL"


_NAMES = {
    Verdict.TRANSIENT: """
        autoexec.errors.WorkerDied
        builtins.ConnectionError asyncio.exceptions.IncompleteReadError socket.gaierror socket.herror
        ssl.SSLEOFError ssl.SSLZeroReturnError
        http.client.BadStatusLine http.client.IncompleteRead http.client.RemoteDisconnected
        urllib.error.ContentTooShortError
        requests.exceptions.ConnectionError requests.exceptions.ChunkedEncodingError
        urllib3.exceptions.ProtocolError urllib3.exceptions.ProxyError urllib3.exceptions.IncompleteRead
        urllib3.exceptions.NewConnectionError
        httpx.TransportError httpcore.NetworkError httpcore.RemoteProtocolError httpcore.ProxyError
        aiohttp.client_exceptions.ClientConnectionError aiohttp.client_exceptions.ClientPayloadError""",
    Verdict.TIMEOUT: """
        builtins.TimeoutError
        requests.exceptions.Timeout requests.exceptions.ConnectTimeout
        urllib3.exceptions.TimeoutError urllib3.exceptions.EmptyPoolError
        httpx.TimeoutException httpcore.TimeoutException
        aiohttp.client_exceptions.ServerTimeoutError""",
    Verdict.PERMANENT: """
        ssl.SSLError http.client.InvalidURL http.client.UnknownProtocol
        requests.exceptions.SSLError requests.exceptions.InvalidURL requests.exceptions.InvalidSchema
        requests.exceptions.MissingSchema requests.exceptions.URLRequired requests.exceptions.InvalidHeader
        urllib3.exceptions.SSLError urllib3.exceptions.LocationValueError urllib3.exceptions.InvalidHeader
        urllib3.exceptions.ProxySchemeUnsupported urllib3.exceptions.ResponseNotChunked
        httpx.InvalidURL httpx.LocalProtocolError httpx.UnsupportedProtocol
        httpcore.LocalProtocolError httpcore.UnsupportedProtocol
        aiohttp.client_exceptions.ClientSSLError aiohttp.client_exceptions.ServerFingerprintMismatch
        aiohttp.client_exceptions.InvalidURL aiohttp.client_exceptions.NonHttpUrlClientError""",
}
VERDICTS = {name: verdict for verdict, names in _NAMES.items() for name in names.split()}

# No subclass of ConnectionError stands for these.
_UNREACHABLE = {
    getattr(errno, name)
    for name in ("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH")
    if hasattr(errno, name)
}
_TRANSIENT_STATUS = frozenset({429, 502, 503, 504})
_TOO_MANY, _UNAVAILABLE = 429, 503
# Values of these types say nothing of the other side.
PLAIN = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, bytearray),
        *(dict, list, tuple, set, frozenset, range, memoryview, object, type),
    }
)
_DEPTH = 6  # errors that wrap errors: requests over urllib3 over http.client over ssl makes four
_FINE = Answer(Ending.OK)
_FAILED = Answer(Ending.ERROR)


def judge_value(value: object, now: float) -> Answer:
    """What a returned value says: refusals that a library hands over as a response and does not raise.

    A response is an object with a whole-number `status_code` or `status` and with `headers`. Everything else,
    and every response that is no server's error, went well. Never raises.

    Args:
        value: what the function returned.
        now: seconds since the epoch, for a date in `Retry-After`.
    """
    try:
        if type(value) in PLAIN:
            return _FINE
        status = _status(value, ("status_code", "status"))
        if status is None or (headers := member(value, "headers")) is None:
            return _FINE
        return _judge_status(status, headers, now, raised=False)
    except Exception:  # a foreign object may do anything; what it is asked here must not lose its result
        return _FINE


def judge_error(error: BaseException, now: float) -> Answer:
    """What an error says, judged by the HTTP status that it carries, else by its class. Never raises.

    An error raised `from` another one counts as that one if it says nothing by itself.

    Args:
        error: what the function raised.
        now: seconds since the epoch, for a date in `Retry-After`.

    >>> judge_error(TimeoutError(), 0.0).transient, judge_error(KeyError("x"), 0.0).transient
    (True, False)
    """
    if not isinstance(error, Exception):
        return _FAILED
    try:
        return _judge_raised(error, now)
    except Exception:  # as above
        return _FAILED


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error carries, if it does. Never raises.

    >>> status_of(ValueError("no"))
    """
    try:
        return _raised_status(error)[0]
    except Exception:  # as above
        return None


def parse_retry_after(text: object, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3), or None for nonsense.

    Args:
        text: the header's value: seconds, or an HTTP date.
        now: seconds since the epoch.

    >>> parse_retry_after("120", 0.0), parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 45.0)
    (120.0, 15.0)
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        seconds: float | None = float(text) if abs(text) < 1e15 else None  # neither infinite nor nan
    elif isinstance(text, str) and len(text) < 100:
        seconds = _seconds(text.strip(), now)
    else:
        return None
    return None if seconds is None else max(0.0, seconds)


def member(value: object, name: str) -> object:
    """An attribute that the object really has, or None; a made-up one (`__getattr__`) does not count.

    Mocks have every attribute and data frames those of their columns.
    """
    for cls in type(value).__mro__:
        if name in cls.__dict__:
            try:
                return getattr(value, name, None)
            except Exception:  # a property that fails
                return None
    try:
        own = object.__getattribute__(value, "__dict__")
    except Exception:  # none, or a property that fails
        return None
    return own.get(name) if isinstance(own, dict) else None


def _seconds(text: str, now: float) -> float | None:
    if text.isascii() and text.removeprefix("-").replace(".", "", 1).isdigit():
        return float(text)
    if not any(mark in text for mark in (":", "-")):
        return None
    from calendar import timegm
    from email.utils import parsedate_tz

    try:
        date = parsedate_tz(text)
        return None if date is None else timegm((*date[:6], 0, 0, 0)) - (date[9] or 0) - now
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _judge_status(status: int, headers: object, now: float, raised: bool) -> Answer:
    if status < 400:
        return Answer(Ending.OK, status)
    try:
        after = parse_retry_after(_header(headers, "Retry-After"), now)
    except Exception:
        if not raised:  # it may be no response at all
            raise
        after = None
    ending = Ending.ERROR if raised or status >= 500 else Ending.OK
    if status == _TOO_MANY or (status == _UNAVAILABLE and after is not None):
        ending = Ending.REFUSED  # a 503 that does not say when to return may have any reason
    return Answer(ending, status, after, status in _TRANSIENT_STATUS)


def _header(headers: object, name: str) -> object:
    get = getattr(headers, "get", None)
    if get is None:
        return None
    found = get(name)
    return get(name.lower()) if found is None else found


def _status(value: object, names: tuple[str, ...]) -> int | None:
    for name in names:
        found = member(value, name)
        if isinstance(found, int) and 100 <= found <= 599:
            return int(found)
    return None


def _judge_raised(error: Exception, now: float) -> Answer:
    chain = list(_chain(error))
    for link in chain:
        status, headers = _raised_status(link)
        if status is not None and status >= 400:
            return _judge_status(status, headers, now, raised=True)
    verdicts = [_verdict(link) for link in chain]
    if Verdict.PERMANENT in verdicts or any(_verdict(link) is Verdict.PERMANENT for link in _context(error)):
        return _FAILED
    if Verdict.TIMEOUT in verdicts:
        return Answer(Ending.TIMEOUT, transient=True)
    return Answer(Ending.ERROR, transient=Verdict.TRANSIENT in verdicts)


def _raised_status(error: BaseException) -> tuple[int | None, object]:
    """The status of the response that an error stands for, and its headers."""
    response = member(error, "response")
    if response is not None:
        status = _status(response, ("status_code", "status"))
        if status is not None:
            return status, member(response, "headers")
    return _status(error, ("status_code", "status", "code")), member(error, "headers")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from or wraps, a few levels deep."""
    seen: set[int] = set()
    level: list[BaseException] = [error]
    for _ in range(_DEPTH):
        level = [link for link in level if id(link) not in seen]
        seen.update(map(id, level))
        yield from level
        level = [inner for link in level for inner in _wrapped(link)]


def _wrapped(error: BaseException) -> list[BaseException]:
    try:
        parts = (error.__cause__, member(error, "reason"), *error.args[:3])
        return [inner for inner in parts if isinstance(inner, BaseException)]
    except Exception:  # `args` is a property of theirs, or a part of them is no more than a proxy
        return []


def _context(error: BaseException) -> Iterator[BaseException]:
    """What was being handled when the error was raised: enough to rule a retry out, not to rule it in."""
    for _ in range(_DEPTH):
        inner = error.__context__
        if inner is None or error.__suppress_context__:
            return
        yield inner
        error = inner


def _verdict(error: BaseException) -> Verdict | None:
    for cls in type(error).__mro__:
        found = VERDICTS.get(f"{cls.__module__}.{cls.__qualname__}")
        if found is not None:
            return found
    if isinstance(error, OSError):
        number = member(error, "errno")
        return Verdict.TRANSIENT if type(number) is int and number in _UNREACHABLE else None
    return None
