"""Ways in which an item does not simply return, and errors of users that are hard to handle."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["KINDS", "PASSING", "RESPONSES", "Keyword", "Locked", "Refusal", "Response", "Rude", "reveal"]


class Rude(Exception):
    """An error that raises whatever it is asked."""

    @property
    def response(self) -> object:
        raise RuntimeError("no response was set")

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Locked(Exception):
    """An error that does not pickle."""

    def __init__(self, place: int) -> None:
        super().__init__("locked", place)
        self.lock = threading.Lock()


class Keyword(Exception):
    """An error that cannot be made again from its `args`."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Response:
    """What a client of HTTP returns."""

    def __init__(self, status: int, place: int, after_s: float = 0.0) -> None:
        self.status_code, self.place = status, place
        self.headers = {"Retry-After": f"{after_s}"} if after_s else {}


class Refusal(Exception):
    """An answer 503 that is raised."""

    def __init__(self, place: int) -> None:
        super().__init__("refused", place)
        self.response = Response(503, place, 0.002)


# Kind -> the error that is raised, made for a place. "die" and "hang" are no errors of the item's own.
KINDS: dict[str, Callable[[int], BaseException]] = {
    "value": lambda place: ValueError("bad", place),
    "lookup": KeyError,
    "rude": Rude,
    "locked": Locked,
    "keyword": lambda place: Keyword(code=place),
    "group": lambda place: ExceptionGroup("many", [ValueError(place), KeyError(place)]),
    "cancelled": concurrent.futures.CancelledError,
    "stop": StopIteration,
    "exit": SystemExit,
    "timeout": TimeoutError,
    "lost": ConnectionError,
    "raised 503": Refusal,
}
RESPONSES = {"503": 503, "429": 429}  # kind -> the status of a response that is returned
# Kinds that are worth another try without `retry_on`.
PASSING = ("timeout", "lost", "raised 503", "503", "429", "hang", "die")


def reveal(value: Any) -> Any:
    """A value or an error as plain data that can be compared and shown.

    >>> reveal(7), reveal(KeyError("x"))
    (7, ('error', 'KeyError', ('x',)))
    """
    if isinstance(value, BaseException):
        args = BaseException.args.__get__(value)  # type: ignore[attr-defined]
        return "error", _name(type(value)), tuple(map(reveal, args))
    if isinstance(value, Response):
        return "response", value.status_code, value.place
    if isinstance(value, (list, tuple)):
        return tuple(map(reveal, value))
    if isinstance(value, bytes):
        return "bytes", len(value), value[:2]
    if value is None or isinstance(value, (int, float, str)):
        return value
    return "a", type(value).__name__


def _name(kind: type) -> str:
    """The name of an error's class; of those that share one, with the library that it is of."""
    home = kind.__module__.partition(".")[0]
    return f"{home}.{kind.__name__}" if home in ("asyncio", "concurrent") else kind.__name__
