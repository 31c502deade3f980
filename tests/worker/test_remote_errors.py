"""Errors that cross a process border: whole, in parts, or as a plain error that says what they were."""

from __future__ import annotations

import json
import pickle
import threading
from typing import Any

import pytest

from autoexec.errors import AutoexecError, JournalError
from autoexec.worker.invoke import Error
from autoexec.worker.remote_errors import RemoteTraceback, portable


class Keyword(Exception):
    """Its arguments do not make it again."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


class Locked(Keyword):
    """It holds something that stays here."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=7)
        self.lock = threading.Lock()


class Stuck(Exception):
    """What cannot travel is among its arguments."""

    def __init__(self, message: str) -> None:
        super().__init__(message, threading.Lock())

    def __str__(self) -> str:
        return str(self.args[0])


def raised(error: BaseException) -> BaseException:
    """The error with a traceback and a cause."""
    try:
        try:
            raise KeyError("why")
        except KeyError as cause:
            raise error from cause
    except BaseException as caught:
        return caught


def travelled(error: BaseException) -> Any:
    """What arrives at the other side."""
    return pickle.loads(pickle.dumps(Error(error))).error


def test_an_error_that_pickles_arrives_as_it_is() -> None:
    """Class, arguments, attributes and notes."""
    error = ValueError("wrong", 3)
    error.add_note("a note")
    error.extra = {"a": 1}  # type: ignore[attr-defined]
    found = travelled(raised(error))
    assert type(found) is ValueError and found.args == ("wrong", 3)
    assert found.__notes__ == ["a note"] and found.extra == {"a": 1}


@pytest.mark.parametrize(
    "error",
    [
        json.JSONDecodeError("no JSON", "{", 1),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        FileNotFoundError(2, "No such file", "a.txt"),
        SystemExit(3),
        ExceptionGroup("two", [ValueError(1), KeyError(2)]),
        JournalError("not kept", value=[1]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_with_state_of_their_own(error: BaseException) -> None:
    """Those of the standard library tell the same afterwards."""
    found = travelled(raised(error))
    assert (
        type(found) is type(error) and str(found) == str(error) and vars(found) == vars(error) | vars(found)
    )
    assert repr(found) == repr(error)


def test_the_remote_traceback_is_the_cause() -> None:
    """As text: with the lines of the other side, and with what it was raised from."""
    found = travelled(raised(ValueError("wrong")))
    cause = found.__cause__
    assert isinstance(cause, RemoteTraceback)
    for words in ("in raised", "ValueError: wrong", "KeyError: 'why'", "direct cause"):
        assert words in str(cause)


def test_a_remote_traceback_may_travel_on() -> None:
    """It is an error like any other."""
    cause = RemoteTraceback("line 1\n")
    found = pickle.loads(pickle.dumps(cause))
    assert found.text == "line 1\n" and str(found) == str(cause)


def test_an_error_that_its_arguments_do_not_make() -> None:
    """It travels in parts, and is not initialised a second time."""
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(Keyword("wrong", code=4)))
    found = travelled(raised(Keyword("wrong", code=4)))
    assert type(found) is Keyword and (found.args, found.code) == (("wrong",), 4)
    assert isinstance(found.__cause__, RemoteTraceback)


def test_parts_that_stay_behind() -> None:
    """What cannot be pickled is left out; the rest arrives."""
    found = travelled(Locked("wrong"))
    assert type(found) is Locked and (str(found), found.code) == ("wrong", 7)
    assert not hasattr(found, "lock")


def test_the_status_errors_of_httpx() -> None:
    """They need keywords to be made; the status is what retries and counts go by."""
    httpx = pytest.importorskip("httpx")
    request = httpx.Request("GET", "http://example.org/a")
    response = httpx.Response(503, headers={"Retry-After": "3"}, content=b"later", request=request)
    found = travelled(raised(httpx.HTTPStatusError("busy", request=request, response=response)))
    assert type(found) is httpx.HTTPStatusError and str(found) == "busy"
    assert found.response.status_code == 503 and found.response.headers["Retry-After"] == "3"


def test_the_status_errors_of_requests() -> None:
    """They arrive with their response."""
    requests = pytest.importorskip("requests")
    response = requests.Response()
    response.status_code, response._content = 429, b""
    found = travelled(raised(requests.HTTPError("busy", response=response)))
    assert type(found) is requests.HTTPError and found.response.status_code == 429


def test_an_error_that_cannot_travel() -> None:
    """A plain one tells its name and what it said; its traceback arrives all the same."""
    found = travelled(raised(Stuck("wrong")))
    assert type(found) is AutoexecError
    assert str(found) == "Stuck: wrong (the error itself cannot be pickled)"
    assert "Stuck: wrong" in str(found.__cause__)


def test_an_error_of_a_local_class() -> None:
    """It can travel by value."""
    cloudpickle = pytest.importorskip("cloudpickle")

    class Local(Exception):
        """Nobody can import it."""

    error = raised(Local("wrong"))
    sent, text = portable(error)
    assert sent is error and "Local: wrong" in text
    found = cloudpickle.loads(cloudpickle.dumps(Error(error))).error
    assert type(found).__name__ == "Local" and isinstance(found.__cause__, RemoteTraceback)
