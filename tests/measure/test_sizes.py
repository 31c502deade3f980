"""About how many bytes a result holds on to."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.measure.sizes import LOOKED_AT, weight

SMALL = 64  # what is taken where nothing can be known


class Response:
    """What HTTP libraries return: an object that holds the body."""

    def __init__(self, content: bytes) -> None:
        self.status_code, self.headers = 200, {"Content-Type": "text/plain"}
        self._content = content


class Slotted:
    """An object without a dictionary."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


class NoSize:
    """Its size cannot be told."""

    def __sizeof__(self) -> int:
        raise RuntimeError("no size")


class WrongSize:
    """Its size is no number of bytes."""

    def __sizeof__(self) -> int:
        return -1


class NoDictionary:
    """What it is made of cannot be seen."""

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        raise RuntimeError("no dictionary")


class NoAnswers:
    """Like proxies of remote objects: whatever it is asked, it raises."""

    def __getattribute__(self, name: str) -> Any:
        raise ConnectionError(name)


class NoLength(list[int]):
    """A list that cannot be counted."""

    def __len__(self) -> int:
        raise RuntimeError("no length")


@pytest.mark.parametrize("value", [b"", b"x" * 500, "ä" * 500, 10**1000, None, 1.5, bytearray(500), abs])
def test_what_has_no_parts_weighs_itself(value: object) -> None:
    """As much as the interpreter says."""
    assert weight(value) == sys.getsizeof(value)


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_containers_weigh_what_is_in_them(kind: Any) -> None:
    """Themselves and each of their parts."""
    value = kind(bytes([i]) * 1000 for i in range(50))
    assert weight(value) == sys.getsizeof(value) + sum(map(sys.getsizeof, value))


@pytest.mark.parametrize("kind", [list, tuple, set, dict])
def test_empty_containers(kind: Any) -> None:
    """They weigh themselves."""
    assert weight(kind()) == sys.getsizeof(kind())


def test_dictionaries_weigh_their_values() -> None:
    """Their keys are mostly shared names."""
    value = {"a": b"x" * 1000, "b": b"y" * 3000}
    assert weight(value) == sys.getsizeof(value) + sum(map(sys.getsizeof, value.values()))


def test_the_rest_of_a_long_container_is_like_its_beginning() -> None:
    """Only some parts are looked at; the others are taken to weigh as much."""
    part = b"x" * 1000
    value = [part] * (100 * LOOKED_AT)
    assert weight(value) == sys.getsizeof(value) + len(value) * sys.getsizeof(part)


def test_objects_weigh_their_attributes() -> None:
    """A response is as heavy as its body."""
    light, heavy = weight(Response(b"")), weight(Response(b"x" * 100_000))
    assert heavy - light == 100_000


def test_real_responses() -> None:
    """Those of requests hold the body once it is read."""
    requests = pytest.importorskip("requests")
    response = requests.Response()
    light = weight(response)
    response._content = b"x" * 100_000
    assert weight(response) >= light + 99_000


def test_objects_with_slots_weigh_little() -> None:
    """What is in slots is not seen: an estimate that is too low, but no error."""
    assert weight(Slotted(b"x" * 100_000)) == sys.getsizeof(Slotted(b""))


def test_arrays_weigh_their_data() -> None:
    """Numbers are not looked at one by one."""
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(10_000)
    assert array.nbytes < weight(array) < array.nbytes + 1000
    assert weight({"a": array, "b": array}) > 2 * array.nbytes


@pytest.mark.parametrize("kind", [NoSize, WrongSize, NoDictionary, NoAnswers])
def test_what_cannot_be_weighed_is_small(kind: type[Any]) -> None:
    """Nothing that a result does when it is looked at reaches the caller."""
    assert weight(kind()) == SMALL
    assert weight([kind()]) >= SMALL
    holder = Response(b"")
    holder._content = kind()
    assert weight(holder) >= SMALL


def test_what_cannot_be_counted_is_small() -> None:
    """A container may lie about being one."""
    assert weight(NoLength([1])) == SMALL


NESTED = st.recursive(
    st.one_of(
        st.none(), st.integers(), st.binary(), st.text(), st.builds(NoSize), st.builds(Response, st.binary())
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner), st.tuples(inner, inner)),
    max_leaves=20,
)


@given(NESTED)
def test_it_never_raises(value: object) -> None:
    """Whatever the result is, it weighs something."""
    assert weight(value) > 0
