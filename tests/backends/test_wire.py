"""Messages over pipes: whole, in order, of any size, and an end that is noticed."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.backends.wire import open_pipes


@settings(max_examples=25)
@given(messages=st.lists(st.binary(max_size=200), max_size=20))
def test_messages_arrive_whole_and_in_order(messages: list[bytes]) -> None:
    """Each message comes out as it went in, empty ones too."""
    ours, theirs = open_pipes()
    try:
        for message in messages:
            ours.send(message)
        assert [bytes(theirs.receive()) for _ in messages] == messages
    finally:
        ours.close()
        theirs.close()


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 5 << 20])
def test_messages_of_any_size_cross_both_ways(size: int) -> None:
    """Messages larger than the pipe pass while the other end reads."""
    ours, theirs = open_pipes()
    data = os.urandom(size)

    def echo() -> None:
        theirs.send(bytes(theirs.receive()))

    thread = threading.Thread(target=echo)
    thread.start()
    ours.send(data)
    assert bytes(ours.receive()) == data
    thread.join()
    ours.close()
    theirs.close()


def test_the_end_is_noticed() -> None:
    """Reading from a closed end is an EOFError, writing to one an OSError; closing twice is fine."""
    ours, theirs = open_pipes()
    theirs.close()
    with pytest.raises(EOFError):
        ours.receive()
    with pytest.raises(OSError):
        ours.send(b"x")
    ours.close()
    ours.close()
    theirs.close()


def test_an_end_within_a_message_is_noticed() -> None:
    """A sender that dies in the middle of a message is an EOFError, not half a message."""
    ours, theirs = open_pipes()
    os.write(theirs.descriptors[1], (100).to_bytes(8, "little") + b"half")
    theirs.close()
    with pytest.raises(EOFError):
        ours.receive()
    ours.close()
