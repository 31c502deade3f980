"""Errors that cross a process border: whole, in parts, or as a plain error that says what they were."""

from __future__ import annotations

import json
import pickle
import threading
import traceback
from dataclasses import dataclass
from typing import Any

import pytest

from autoexec.errors import AutoexecError, JournalError
from autoexec.worker.invoke import Error
from autoexec.worker.remote_errors import portable, restored


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


def raised_alone(error: BaseException) -> BaseException:
    """The error with a traceback."""
    try:
        raise error
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


def words_of(error: BaseException) -> str:
    """What is printed of it."""
    return "".join(traceback.format_exception(error))


def test_a_lone_error_gets_no_cause() -> None:
    """Nothing is added to its chain; its own traceback tells the places of the other side."""
    found = travelled(raised_alone(ValueError("wrong")))
    assert (found.__cause__, found.__context__, found.__suppress_context__) == (None, None, False)
    assert "in raised_alone" in words_of(found) and "ValueError: wrong" in words_of(found)
    hidden = ValueError("wrong")
    hidden.__suppress_context__ = True
    assert travelled(hidden).__suppress_context__


def test_an_error_that_was_never_raised() -> None:
    """It has no traceback here, either."""
    assert travelled(ValueError("wrong")).__traceback__ is None


def test_frames_of_the_other_side_hold_nothing() -> None:
    """Neither the frames that made them nor, of a long recursion, a thousand of their own."""
    found = travelled(raised_alone(ValueError("wrong")))
    assert found.__traceback__.tb_frame.f_back is None

    def endless() -> None:
        endless()

    try:
        endless()
    except RecursionError as error:
        found = travelled(error)
    frames = [frame for frame, _ in traceback.walk_tb(found.__traceback__)]
    assert len(frames) > 500 and len(set(frames)) < 10
    traceback.clear_frames(found.__traceback__)


@dataclass(frozen=True)
class Frozen(Exception):
    """It refuses to be assigned to."""

    code: int


def test_a_frozen_error_keeps_what_it_was_raised_from() -> None:
    """What belongs to it is not assigned by way of its class."""
    found = travelled(raised(Frozen(3)))
    assert type(found) is Frozen and found.code == 3
    assert type(found.__cause__) is KeyError and "in raised" in words_of(found)


def test_an_error_that_its_arguments_do_not_make() -> None:
    """It travels in parts, and is not initialised a second time."""
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(Keyword("wrong", code=4)))
    found = travelled(raised(Keyword("wrong", code=4)))
    assert type(found) is Keyword and (found.args, found.code) == (("wrong",), 4)


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


def test_an_argument_that_cannot_travel() -> None:
    """Words stand in its place, and the class is what it was."""
    found = travelled(raised(Stuck("wrong")))
    assert type(found) is Stuck and str(found) == "wrong"
    assert found.args == ("wrong", "<lock, which cannot be sent>")


def test_an_error_that_cannot_travel() -> None:
    """A plain one tells its name and what it said; its traceback arrives all the same."""

    class Bound(Exception):
        """Its class holds what stays here."""

        lock = threading.Lock()

    found = travelled(raised_alone(Bound("wrong")))
    assert type(found) is AutoexecError
    assert str(found) == f"{Bound.__qualname__}: wrong (the error itself cannot be pickled)"
    assert "in raised_alone" in words_of(found)


def test_an_error_of_a_local_class() -> None:
    """It can travel by value."""
    pytest.importorskip("cloudpickle")

    class Local(Exception):
        """Nobody can import it."""

    found = travelled(raised_alone(Local("wrong")))
    assert type(found) is Local and found.__cause__ is None
    assert restored(portable(Local("wrong"))).args == ("wrong",)


class Said(Exception):
    """Its arguments make something else of it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Slots(OSError):
    """Its attributes lie in slots."""

    __slots__ = ("__hidden", "code")

    def __init__(self, code: int) -> None:
        super().__init__(2, "gone", "a.txt")
        self.code, self.__hidden = code, -code

    def hidden(self) -> int:
        """What nobody else can name."""
        return self.__hidden


class Many(ExceptionGroup[Exception]):
    """A group of the user's own, with an attribute."""

    why = ""

    def derive(self, excs: Any) -> Many:
        """As `except*` makes parts of it."""
        return Many(self.message, excs)


def test_an_error_that_its_arguments_make_another_one() -> None:
    """It is not initialised a second time: its words are what they were."""
    found = travelled(Said(404))
    assert (str(found), found.args, found.status) == ("status 404", ("status 404",), 404)


def test_attributes_in_slots_and_of_c_code() -> None:
    """Those of the user's class, with private names, and those of the class that it is built on."""
    found = travelled(Slots(3))
    assert type(found) is Slots and (found.code, found.hidden()) == (3, -3)
    assert (found.errno, found.strerror, found.filename) == (2, "gone", "a.txt")
    lost = travelled(ImportError("no", name="module", path="there"))
    assert (lost.name, lost.path) == ("module", "there")


def test_a_group_arrives_with_its_members() -> None:
    """Each with its class and attributes, groups in groups too; only what cannot be sent is left out."""
    inner = ExceptionGroup("inner", [Locked("deep"), Said(500)])
    group = Many("many", [Keyword("wrong", code=3), inner, ValueError(threading.Lock())])
    group.why = "busy"
    group.add_note("a note")
    found = travelled(raised(group))
    assert type(found) is Many and (found.message, found.why) == ("many", "busy")
    assert found.__notes__ == ["a note"] and type(found.__cause__) is KeyError
    keyword, held, value = found.exceptions
    assert (type(keyword), keyword.code) == (Keyword, 3)
    assert [type(error) for error in held.exceptions] == [Locked, Said] and held.exceptions[1].status == 500
    assert type(value) is ValueError and found.subgroup(Said) is not None


def chained(how: str) -> BaseException:
    """An error raised in the handler of another one."""
    try:
        try:
            raise KeyError("why")
        except KeyError as first:
            if how == "from":
                raise Keyword("wrong", code=1) from first
            if how == "none":
                raise Keyword("wrong", code=1) from None
            raise Keyword("wrong", code=1)  # noqa: B904
    except Keyword as caught:
        return caught


@pytest.mark.parametrize("how", ["from", "none", "handler"])
def test_the_chain_is_what_it_was(how: str) -> None:
    """Cause, context, and whether the context is shown."""
    error = chained(how)
    found = travelled(error)
    for name in ("__cause__", "__context__"):
        there, here = getattr(error, name), getattr(found, name)
        assert type(there) is type(here) and repr(there) == repr(here)
    assert found.__suppress_context__ is error.__suppress_context__


def test_a_chain_in_a_ring() -> None:
    """Two errors, each the context of the other."""
    one, two = ValueError(1), KeyError(2)
    one.__context__, two.__cause__ = two, one
    found = travelled(one)
    assert found.__context__.__cause__ is found


def test_the_chain_tells_where_it_was_raised() -> None:
    """A traceback names files, functions and lines of the other side, for each of its errors."""
    error = chained("from")
    shown = "".join(traceback.format_exception(travelled(error)))
    for one in (error, error.__cause__):
        assert one is not None and one.__traceback__ is not None
        assert f'File "{__file__}", line {one.__traceback__.tb_lineno}, in chained' in shown
    assert 'raise KeyError("why")' in shown and "direct cause" in shown
