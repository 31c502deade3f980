"""Results to bytes and back."""

from __future__ import annotations

import collections
import enum
import json
import math
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.errors import JournalError, OptionError
from autoexec.journal.codecs import codec_named

PICKLE, JSON = codec_named("pickle"), codec_named("json")


class Level(enum.IntEnum):
    LOW = 1


class Stubborn(Exception):
    """It pickles, and refuses to come back."""

    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(code)


def test_unknown_codec() -> None:
    """The error names the codecs there are."""
    for wrong in ("yaml", None, 3, ["json"]):
        with pytest.raises(OptionError, match="one of pickle, json"):
            codec_named(wrong)


JSONABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSONABLE)
def test_plain_data_comes_back(value: Any) -> None:
    """Value and types survive either codec, the order of keys too."""
    for codec in (PICKLE, JSON):
        assert repr(codec.decode(codec.encode(value))) == repr(value)


def test_json_keeps_what_is_not_a_number_and_odd_text() -> None:
    """Infinities, nan and lone surrogates survive."""
    back = JSON.decode(JSON.encode([math.inf, -math.inf, math.nan, "\ud800"]))
    assert back[:2] == [math.inf, -math.inf]
    assert math.isnan(back[2])
    assert back[3] == "\ud800"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ((1, 2), "the result is 'tuple' and would come back as a list"),
        ({"a": [1, (2,)]}, r"the result\['a'\]\[1\] is 'tuple'"),
        ({1: 2}, "the key 1 of type 'int', which becomes a str"),
        ({"a": {None: 2}}, r"the result\['a'\] has the key None"),
        ([Level.LOW], "'Level' and would come back as a plain int"),
        (collections.OrderedDict(a=1), "'OrderedDict' and would come back as a plain dict"),
        (b"x", "'bytes', for which JSON has nothing"),
        ({1, 2}, "'set', for which JSON has nothing"),
    ],
)
def test_json_refuses_what_would_come_back_otherwise(value: Any, words: str) -> None:
    """The error says where it stands, what it would become and what to do, and holds the value."""
    with pytest.raises(JournalError, match=words) as caught:
        JSON.encode(value)
    assert caught.value.value is value
    assert "codec='pickle'" in str(caught.value)


def test_json_refuses_a_list_within_itself_and_endless_numbers() -> None:
    """No other kind of error comes out."""
    value: list[Any] = []
    value.append(value)
    for wrong in (value, 10**5000):
        with pytest.raises(JournalError, match="cannot be written as JSON"):
            JSON.encode(wrong)


def test_pickle_by_value() -> None:
    """A lambda and an instance of a local class come back."""

    class Local:
        x = 3

    assert PICKLE.decode(PICKLE.encode(lambda: 7))() == 7
    assert PICKLE.decode(PICKLE.encode(Local())).x == 3


@pytest.mark.parametrize(
    "value", [threading.Lock(), [1, threading.Lock()], (i for i in "a"), Stubborn(1, text="no")]
)
def test_what_does_not_pickle(value: Any) -> None:
    """The error holds the value, names its type and says what to do; coming back counts too."""
    kind = type(value).__qualname__
    with pytest.raises(JournalError, match=f"type {kind} cannot be kept.*return plain data") as caught:
        PICKLE.encode(value)
    assert caught.value.value is value
    assert caught.value.__cause__ is not None


def test_json_is_json() -> None:
    """Anyone can read it."""
    assert json.loads(JSON.encode({"a": [1, 2.5, None, True, "é"]})) == {"a": [1, 2.5, None, True, "é"]}
