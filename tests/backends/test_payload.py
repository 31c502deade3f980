"""Objects as bytes: small ones in the message, large buffers beside it, and the same object again."""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoexec.backends.processes import payload as payloads
from autoexec.backends.processes.channel import Frame, open_channels
from autoexec.backends.processes.payload import APART, INLINE, Payload, by_value, load, pack


def _cross(payload: Payload, access: int = mmap.ACCESS_READ) -> Any:
    """Send a payload through a socket pair and load what arrives."""
    import threading

    ours, theirs = open_channels(access)
    thread = threading.Thread(target=ours.send, args=(1, payload))
    thread.start()
    try:
        frame: Frame = theirs.receive()
        return frame.load()
    finally:
        thread.join(20)
        payload.close()
        ours.close()
        theirs.close()


def _structured() -> Any:
    made = np.zeros(5000, dtype=[("name", "U8"), ("value", "f8"), ("when", "M8[ms]")])
    made["name"], made["value"], made["when"] = "row", np.arange(5000), "2024-02-29"
    return made


def _read_only() -> Any:
    made = np.arange(50_000.0)
    made.setflags(write=False)
    return made


ARRAYS: dict[str, Callable[[], Any]] = {
    "large": lambda: np.arange(100_000.0),
    "small": lambda: np.arange(10),
    "empty": lambda: np.empty((0, 5)),
    "scalar": lambda: np.array(3.5),
    "Fortran": lambda: np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
    "every other": lambda: np.arange(100_000.0)[::2],
    "reversed": lambda: np.arange(50_000)[::-1],
    "transposed block": lambda: np.arange(90_000.0).reshape(300, 300).T[5:200, ::3],
    "structured": _structured,
    "objects": lambda: np.array([{"a": i} for i in range(5000)], dtype=object),
    "text": lambda: np.array(["x" * (i % 50) for i in range(3000)]),
    "dates": lambda: np.arange("2000-01", "2020-02", dtype="M8[D]"),
    "booleans": lambda: np.arange(200_000) % 3 == 0,
    "complex": lambda: np.arange(20_000) * 1j,
    "big endian": lambda: np.arange(40_000, dtype=">i4"),
    "masked": lambda: np.ma.masked_greater(np.arange(40_000), 39_000),
    "read-only": _read_only,
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_every_kind_arrive_as_they_were(name: str) -> None:
    """Values, type, shape and order of memory are the same."""
    array = ARRAYS[name]()
    found = _cross(pack(array))
    assert found.dtype == array.dtype and found.shape == array.shape
    assert (found == array).all()
    assert found.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc


@pytest.mark.parametrize("nbytes", [APART - 8, APART, INLINE - 4096, INLINE + 8, 3 << 20])
def test_where_the_bytes_of_an_array_lie(nbytes: int) -> None:
    """In the pickle, beside it in the message, or in a segment, by size."""
    payload = pack(np.zeros(nbytes // 8))
    assert len(payload.buffers) == (nbytes >= APART)
    assert (payload.segment is not None) == (nbytes > INLINE)
    assert (len(payload.data) < 1000) == (nbytes >= APART)
    payload.close()


def test_a_large_array_is_not_copied_into_the_pickle() -> None:
    """The buffer that is handed out is the array's own memory."""
    array = np.arange(100_000)
    payload = pack(array)
    assert np.shares_memory(np.frombuffer(payload.buffers[0], array.dtype), array)
    payload.close()


@pytest.mark.parametrize("size", [0, 1, INLINE - 100, INLINE, INLINE + 1, 5 << 20])
def test_bytes_of_any_size(size: int) -> None:
    """Large bytes lie in a segment although pickle gives them no buffer; they arrive all the same."""
    data = os.urandom(size)
    payload = pack(data)
    assert (payload.segment is not None) == (size > INLINE - 64)
    assert _cross(payload) == data


def test_a_bytearray_crosses_as_a_buffer() -> None:
    """Whatever offers a pickle buffer is taken apart."""
    data = bytearray(os.urandom(300_000))
    payload = pack(pickle.PickleBuffer(data))
    assert len(payload.buffers) == 1 and bytes(_cross(payload)) == data


def test_arrays_inside_other_things() -> None:
    """The same array twice is one buffer, and one array again."""
    array = np.arange(50_000.0)
    payload = pack({"a": [array, (1, array)], "b": array[:10], "c": array.reshape(500, 100)})
    assert len(payload.buffers) == 2
    found = _cross(payload)
    assert found["a"][0] is found["a"][1][1] and (found["c"] == array.reshape(500, 100)).all()


def test_a_buffer_that_is_not_contiguous_stays_in_the_pickle() -> None:
    """It cannot be handed out as it lies in memory."""

    class Odd:
        def __reduce_ex__(self, protocol: Any) -> Any:
            return bytes, (pickle.PickleBuffer(memoryview(bytearray(100_000))[::2]),)

    with pytest.raises(Exception, match=r"contiguous|PickleBuffer"):
        pack(Odd())  # nor can pickle copy it


# Who may write ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("access", "writable"), [(mmap.ACCESS_READ, False), (mmap.ACCESS_COPY, True)])
def test_who_may_write_to_what_arrives(access: int, writable: bool) -> None:
    """An array in shared memory is read-only, or private on request."""
    array = np.zeros(100_000)
    found = _cross(pack(array), access)
    assert found.flags.writeable == writable
    if writable:
        found += 1
        assert array.sum() == 0
    else:
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 1


def test_private_copies_are_private_to_each_receiver() -> None:
    """Two receivers of one segment do not see each other's changes."""
    payload = pack(np.zeros(100_000))
    channels = [open_channels(mmap.ACCESS_COPY) for _ in range(2)]
    for ours, _ in channels:
        ours.send(1, payload)
    first, second = (theirs.receive().load() for _, theirs in channels)
    first[:] = 7
    assert second.sum() == 0
    for ends in channels:
        for end in ends:
            end.close()
    payload.close()


def test_an_array_outlives_parcel_and_channel() -> None:
    """It holds its memory itself."""
    found = _cross(pack(np.arange(100_000)))
    assert found.sum() == sum(range(100_000))


# By value, and without room ---------------------------------------------------------------------------------


def test_functions_by_value_keep_their_arrays_apart() -> None:
    """A closure over a large array is a small pickle and a buffer."""
    array = np.arange(100_000.0)
    payload = by_value(lambda x: array[x])
    assert len(payload.data) < 5000 and len(payload.buffers) == 1
    assert _cross(payload)(3) == 3.0


def test_without_room_everything_is_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload too large for any place goes through the socket."""
    monkeypatch.setattr(payloads, "share", lambda parts, size: None)
    array = np.arange(400_000.0)
    payload = pack([array, "text"])
    assert payload.segment is None
    found, text = _cross(payload)
    assert (found == array).all() and text == "text"


def test_closing_twice_closes_one_descriptor() -> None:
    """The second time nothing happens, whatever has the number now."""
    payload = pack(np.zeros(100_000))
    descriptor = payload.segment
    assert descriptor is not None
    payload.close()
    again = os.dup(0)
    payload.close()
    os.fstat(again)
    os.close(again)


@pytest.mark.parametrize("dump", [pickle.dumps, None])
def test_what_pickling_raises_comes_out(dump: Any) -> None:
    """The user's own error is not hidden."""

    class Stubborn:
        def __reduce__(self) -> Any:
            raise LookupError("stays")

    with pytest.raises(LookupError, match="stays"):
        by_value(Stubborn()) if dump is None else pack(Stubborn(), dump)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=50)
    | st.sampled_from([b"\0" * 20_000, bytearray(b"\1" * 40_000), b"\2" * 150_000, "é" * 70_000]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(VALUES)
def test_any_value_makes_the_round_trip(value: Any) -> None:
    """Plain data of any shape and size arrives equal, with its types."""
    found = _cross(pack(value))
    assert found == value and type(found) is type(value)


@settings(max_examples=40)
@given(
    shape=st.lists(st.integers(0, 60), min_size=0, max_size=3),
    kind=st.sampled_from(["f8", "i2", "c16", "?", "S3", "U2", ">u4", "O", "f8,i1"]),
    order=st.sampled_from("CF"),
    step=st.sampled_from([1, 2, -1]),
)
def test_any_array_makes_the_round_trip(shape: list[int], kind: str, order: Any, step: int) -> None:
    """Every shape, type, order and stride, whatever its size."""
    array = np.zeros(shape, dtype=kind, order=order)
    if array.dtype.names is None and kind != "O":
        array.flat = np.arange(array.size).astype(kind)
    view = array[..., ::step] if shape else array
    found = _cross(pack(view))
    plain = pickle.loads(pickle.dumps(view))  # numpy itself swaps the bytes of some views
    assert found.dtype in (view.dtype, plain.dtype)
    assert found.shape == view.shape and (found == view).all()


def test_loading_takes_no_copy() -> None:
    """An array looks straight into the buffer that it was loaded from."""
    array = np.arange(30_000)
    payload = pack(array)
    data = [memoryview(bytearray(buffer)) for buffer in payload.buffers]
    assert np.shares_memory(load(payload.data, data), np.frombuffer(data[0], array.dtype))
