"""What it costs to cross a process border."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.safety.serialization import Crossing, crossing, dumps


def test_bytes_and_seconds_of_a_value() -> None:
    """Larger values are larger, and nothing takes no time."""
    small, large = crossing([1, 2, 3]), crossing(bytes(100_000))
    assert small is not None and large is not None
    assert 0 < small.size < 100 < 100_000 < large.size < 100_100 and small.seconds > 0 < large.seconds


@given(st.lists(st.integers() | st.text() | st.none(), max_size=30))
def test_the_size_is_that_of_the_pickle(value: list[Any]) -> None:
    """Protocol 5, as it is sent."""
    found = crossing(value)
    assert found is not None and found.size == len(pickle.dumps(value, protocol=5))


def test_what_cannot_travel_has_no_cost() -> None:
    """None, whether it fails to be pickled or to be loaded again."""
    assert crossing(threading.Lock()) is None
    assert crossing([threading.Lock()], load=False) is None
    assert crossing(Unloadable()) is None
    assert crossing(Unloadable(), load=False) is not None


class Unloadable:
    """Raises where it is loaded."""

    loads = 0

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    Unloadable.loads += 1
    raise LookupError("not again")


def test_loading_can_be_left_out() -> None:
    """It may run code of the value's own; then the trip counts double."""
    before = Unloadable.loads
    assert isinstance(crossing(Unloadable(), load=False), Crossing) and Unloadable.loads == before


@pytest.mark.parametrize("make", [lambda: lambda x: x, lambda: type("Local", (), {})()])
def test_what_has_no_importable_name_goes_by_value(make: Any) -> None:
    """Lambdas, and objects of local classes."""
    assert pickle.loads(dumps(make())) is not None and crossing(make()) is not None


def test_an_array_counts_with_all_its_bytes() -> None:
    """Though it may be shared rather than copied."""
    found = crossing(np.zeros(50_000))
    assert found is not None and found.size > 400_000


def test_the_users_own_error_comes_out() -> None:
    """When no pickler manages."""

    class Stubborn:
        def __reduce__(self) -> Any:
            raise LookupError("stays here")

    with pytest.raises(LookupError, match="stays here"):
        dumps(Stubborn())
