"""A small web API for the examples: pages of articles, downloads, and a job in five steps.

A WSGI application on the standard library alone, served beside httpbin by `autoexec.demo.service`:

- `GET /api/articles?page=N`, 1 to 40: `{"articles": [{"id", "title", "words"}, ...], "pages": 40, "page": N}`
  after 50 ms. A page beyond that is a 404. More than 100 calls in any one second are refused with
  429 and `Retry-After: 1`; what is refused does not count.
- `GET /files/{name}`: 10 to 200 kB that depend on the name alone, after 30 ms. One name in eight answers
  503 the first time that it is asked for.
- `POST /annotate/{step}`, 1 to 5, after 20 ms: step 1 takes `{"image": base64}`, each later one
  `{"token": ...}` with what the step before returned; all return a `"token"`, the last one a `"label"` too.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["PATHS", "Api", "RateLimit", "content"]

PATHS = ("/api/", "/files/", "/annotate/")
"""What this application answers; everything else is httpbin's."""

PAGES, PER_PAGE, CALLS_PER_S = 40, 25, 100
PAGE_S, FILE_S, STEP_S = 0.050, 0.030, 0.020
SHAKY = 8
"""One file in so many is not there at once."""

SUBJECTS = ("Threads", "Queues", "Rate limits", "Long waits", "Small files", "Slow servers", "Short answers")
LABELS = ("nucleus", "membrane", "vesicle", "background")
STEPS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: `body` as bytes goes out as it is, anything else as JSON."""

    body: Any
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = ()


class RateLimit:
    """Admits so many calls in any one second; those that it refuses do not count."""

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._admitted: deque[float] = deque()
        self._lock = threading.Lock()

    def admit(self) -> bool:
        """Whether one more call may pass now."""
        with self._lock:
            now = self._clock()
            while self._admitted and now - self._admitted[0] >= 1.0:
                self._admitted.popleft()
            if len(self._admitted) >= self._per_second:
                return False
            self._admitted.append(now)
            return True


class Api:
    """The application; `clock` (seconds) and `wait` stand in for real time in tests."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._wait, self._limit = wait, RateLimit(CALLS_PER_S, clock)
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """Answer one call, as WSGI wants it."""
        answer, kind = self._answer(environ), "application/octet-stream"
        body = answer.body
        if not isinstance(body, bytes):
            body, kind = _json(body), "application/json"
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), *answer.headers]
        start_response(f"{answer.status.value} {answer.status.phrase}", headers)
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        """Find who answers; a path is a word and what follows it."""
        _, place, rest = environ["PATH_INFO"].split("/", 2)
        method = "POST" if place == "annotate" else "GET"
        if environ["REQUEST_METHOD"] != method:
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, f"use {method} here", ("Allow", method))
        if place == "annotate":
            return self._annotate(rest, environ)
        if place == "files" and rest:
            return self._file(rest)
        if (place, rest) == ("api", "articles"):
            return self._articles(environ.get("QUERY_STRING", ""))
        return _error(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _articles(self, query: str) -> Answer:
        from urllib.parse import parse_qs

        if not self._limit.admit():
            message = f"more than {CALLS_PER_S} calls a second"
            return _error(HTTPStatus.TOO_MANY_REQUESTS, message, ("Retry-After", "1"))
        self._wait(PAGE_S)
        text = parse_qs(query).get("page", ["1"])[0]
        if not text.isdecimal():
            return _error(HTTPStatus.BAD_REQUEST, f"page must be a whole number, not {text!r}")
        if not 1 <= (page := int(text)) <= PAGES:
            return _error(HTTPStatus.NOT_FOUND, f"there are {PAGES} pages, and no page {page}")
        first = (page - 1) * PER_PAGE + 1
        articles = [_article(number) for number in range(first, first + PER_PAGE)]
        return Answer({"articles": articles, "pages": PAGES, "page": page})

    def _file(self, name: str) -> Answer:
        self._wait(FILE_S)
        with self._lock:
            first = name not in self._asked
            self._asked.add(name)
        if first and _seed(name) % SHAKY == 0:
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, f"{name} is being fetched; ask again")
        return Answer(content(name))

    def _annotate(self, step: str, environ: WSGIEnvironment) -> Answer:
        import hashlib

        if step not in map(str, range(1, STEPS + 1)):
            return _error(HTTPStatus.NOT_FOUND, f"the steps are 1 to {STEPS}")
        self._wait(STEP_S)
        try:
            given = _image(environ) if step == "1" else _token(environ, int(step) - 1)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return _error(HTTPStatus.BAD_REQUEST, f"step {step} cannot use this: {error!r}")
        digest = hashlib.sha256(given)
        last = {"label": LABELS[digest.digest()[0] % len(LABELS)]} if int(step) == STEPS else {}
        return Answer({"token": f"{step}-{digest.hexdigest()[:16]}"} | last)


def content(name: str) -> bytes:
    """The file of this name, 10 to 200 kB of noise, as `/files/{name}` serves it.

    >>> len(content("a.bin")), content("a.bin") == content("a.bin")
    (153330, True)
    """
    from random import Random

    random = Random(_seed(name))
    return random.randbytes(random.randint(10_000, 200_000))


def _seed(name: str) -> int:
    from zlib import crc32

    return crc32(name.encode())


def _article(number: int) -> dict[str, object]:
    title = f"{SUBJECTS[number % len(SUBJECTS)]}, part {number // len(SUBJECTS) + 1}"
    return {"id": number, "title": title, "words": 100 + number * 7919 % 1900}


def _image(environ: WSGIEnvironment) -> bytes:
    from base64 import b64decode

    return b64decode(_posted(environ)["image"], validate=True)


def _token(environ: WSGIEnvironment, step: int) -> bytes:
    token: str = _posted(environ)["token"]
    if not token.startswith(f"{step}-"):
        raise ValueError(f"{token!r} is no token of step {step}")
    return token.encode()


def _posted(environ: WSGIEnvironment) -> Any:
    import json

    return json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def _error(status: HTTPStatus, message: str, *headers: tuple[str, str]) -> Answer:
    return Answer({"error": message}, status, headers)


def _json(value: object) -> bytes:
    import json

    return json.dumps(value).encode()
