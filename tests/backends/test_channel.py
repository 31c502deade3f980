"""Frames over a socket: whole, in order, of any size, both ways at once, and an end that is noticed."""

from __future__ import annotations

import _socket
import mmap
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.backends.processes import payload as payloads
from autoexec.backends.processes.channel import DESCRIPTOR, HEAD, Channel, open_channels
from autoexec.backends.processes.payload import Payload, pack

Endpoints = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Endpoints]:
    """Two connected channels."""
    made = open_channels(mmap.ACCESS_READ)
    yield made
    for end in made:
        end.close()


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for segments: everything goes through the socket."""
    monkeypatch.setattr(payloads, "share", lambda parts, size: None)


@settings(max_examples=40)
@given(
    frames=st.lists(
        st.tuples(
            st.integers(0, 255),
            st.binary(max_size=200),
            st.lists(st.binary(max_size=100), max_size=4),
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**64 - 1),
        ),
        max_size=15,
    )
)
def test_frames_arrive_whole_and_in_order(
    frames: list[tuple[int, bytes, list[bytes], int, int]],
) -> None:
    """Kind, numbers and every part come out as they went in, empty parts too."""
    ours, theirs = open_channels(mmap.ACCESS_READ)
    try:
        for kind, data, buffers, serial, first in frames:
            ours.send(kind, Payload(data, [memoryview(b) for b in buffers]), serial, first)
        for kind, data, buffers, serial, first in frames:
            frame = theirs.receive()
            assert (frame.kind, frame.serial, frame.first) == (kind, serial, first)
            assert [bytes(frame.part(i)) for i in range(1 + len(buffers))] == [data, *buffers]
            assert bytes(frame.part(1 + len(buffers))) == b""
    finally:
        ours.close()
        theirs.close()


@pytest.mark.parametrize("size", [0, 1, payloads.INLINE - 64, payloads.INLINE + 64, 5 << 20])
def test_frames_of_any_size_cross_both_ways(ends: Endpoints, size: int) -> None:
    """Small ones in the message, large ones in a segment."""
    ours, theirs = ends
    data = os.urandom(size)

    def echo() -> None:
        theirs.send(2, pack(theirs.receive().load()))

    thread = threading.Thread(target=echo)
    thread.start()
    ours.send(1, pack(data))
    assert ours.receive().load() == data
    thread.join(20)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("size", [300_000, 5 << 20])
def test_both_ends_send_at_once(ends: Endpoints, size: int) -> None:
    """The end that is told what to do meanwhile takes frames while it sends: nobody waits for ever."""
    ours, theirs = ends
    data, taken, answers = os.urandom(size), [], 3

    def worker() -> None:
        for place in range(answers):  # blocks until somebody reads
            theirs.send(7, pack(data), 1, place)
        for _ in range(2):
            assert theirs.receive().load() == data

    thread = threading.Thread(target=worker, daemon=True)
    thread.start()

    def take() -> None:
        frame = ours.receive()
        taken.append((frame.first, frame.load() == data))

    for _ in range(2):
        ours.send(1, pack(data), busy=take)
    while len(taken) < answers:
        take()
    thread.join(20)
    assert not thread.is_alive() and taken == [(place, True) for place in range(answers)]


def test_a_segment_and_inline_frames_mixed(ends: Endpoints) -> None:
    """A descriptor belongs to its own frame, however many wait in the socket."""
    ours, theirs = ends
    contents = [b"a", bytes([1]) * 300_000, b"b", b"c", bytes([2]) * 200_000, bytes([3]) * 200_000, b"d"]
    for place, content in enumerate(contents):
        ours.send(1, pack(content), place)
    assert [theirs.receive().load() for _ in contents] == contents


def test_no_descriptor_stays_behind(ends: Endpoints) -> None:
    """After a large frame was received and dropped both processes have what they had before."""
    ours, theirs = ends
    before = set(os.listdir("/proc/self/fd"))
    ours.send(1, payload := pack(bytes(1 << 20)))
    payload.close()
    theirs.receive().load()
    assert set(os.listdir("/proc/self/fd")) == before


# The end of the other side ----------------------------------------------------------------------------------


def test_the_end_is_noticed(ends: Endpoints) -> None:
    """Reading from a closed end is an EOFError, writing to one an OSError; closing twice is fine."""
    ours, theirs = ends
    theirs.close()
    with pytest.raises(EOFError):
        ours.receive()
    with pytest.raises(OSError, match="Broken pipe"):
        ours.send(1, pack(1))
    ours.close()
    ours.close()


def _raw(kind: int, sizes: list[int], data: bytes) -> bytes:
    return (
        HEAD.pack(kind, False, 0, len(sizes), 1, 0, sum(sizes))
        + b"".join(size.to_bytes(8, "little") for size in sizes)
        + data
    )


@pytest.mark.parametrize("length", [1, HEAD.size - 1, HEAD.size, HEAD.size + 3, HEAD.size + 8, HEAD.size + 9])
def test_an_end_within_a_frame_is_noticed(ends: Endpoints, length: int) -> None:
    """A sender that dies in the middle of a frame is an EOFError, not half a frame."""
    ours, theirs = ends
    os.write(theirs.fileno(), _raw(1, [100], b"half")[:length])
    theirs.close()
    with pytest.raises(EOFError):
        ours.receive()


def test_a_frame_that_stops_coming_while_somebody_keeps_the_socket(ends: Endpoints) -> None:
    """In a hurry, half a frame from a sender that is dead is given up, not waited for."""
    ours, theirs = ends
    os.write(theirs.fileno(), _raw(1, [100], b"half"))
    ours.hurry()
    ours._sock.settimeout(0.01)
    with pytest.raises(OSError, match="timed out"):
        ours.receive()


def test_a_sender_whose_receiver_goes_away_in_the_middle(ends: Endpoints, inline: None) -> None:
    """Writing ends with an OSError, also when it was told what to do meanwhile."""
    ours, theirs = ends
    thread = threading.Thread(target=lambda: (theirs.wait(20), theirs.close()))
    thread.start()
    with pytest.raises((OSError, EOFError)):
        ours.send(1, pack(bytes(8 << 20)), busy=lambda: ours.receive())
    thread.join(20)


def test_a_segment_that_got_lost(ends: Endpoints) -> None:
    """A frame that announces a segment but brings none is the end of the other side."""
    ours, theirs = ends
    os.write(theirs.fileno(), HEAD.pack(1, True, 0, 1, 1, 0, 64) + (5).to_bytes(8, "little"))
    with pytest.raises(EOFError, match="segment"):
        ours.receive()


def test_a_descriptor_nobody_announced_is_closed(ends: Endpoints) -> None:
    """It is not kept open by who did not ask for it."""
    ours, theirs = ends
    before = set(os.listdir("/proc/self/fd"))
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, DESCRIPTOR.pack(0))]
    theirs._sock.sendmsg([_raw(1, [4], b"\x80\x05N.")], rights)
    assert ours.receive().load() is None
    assert set(os.listdir("/proc/self/fd")) == before


def test_waiting_has_an_end(ends: Endpoints) -> None:
    """Nothing comes: 0; something is there: not 0."""
    ours, theirs = ends
    assert ours.wait(0.001) == 0
    theirs.send(1, pack(1))
    assert ours.wait(20)


def test_the_programs_default_timeout_is_not_for_our_sockets() -> None:
    """Scrapers set one; it holds for sockets that are made, and for those made from a descriptor."""
    before = _socket.getdefaulttimeout()
    _socket.setdefaulttimeout(0.01)
    try:
        ours, theirs = open_channels(mmap.ACCESS_READ)
        again = Channel(_socket.socket(fileno=os.dup(theirs.fileno())), mmap.ACCESS_READ)
        try:
            assert [end._sock.gettimeout() for end in (ours, theirs, again)] == [None] * 3
            assert all(os.get_blocking(end.fileno()) for end in (ours, theirs, again))
        finally:
            for end in (ours, theirs, again):
                end.close()
    finally:
        _socket.setdefaulttimeout(before)
