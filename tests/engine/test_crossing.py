"""What the judge says of functions, arguments and results that cannot leave this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from autoexec.engine.feed import Feed
from autoexec.engine.judge import Judge
from autoexec.engine.loop import Block
from autoexec.engine.measured import Measured
from autoexec.options import Options
from autoexec.records import Hazard, Profile, WorkKind

LOCK = threading.Lock()
BUSY = Profile("work", 3, 0.1, 0.1, 0.0, 0.0, kind=WorkKind.PYTHON, remaining=1000)


def work(x: Any) -> Any:
    """Something to judge."""
    return x


def _stays(
    args: tuple[Any, ...] | None, value: Any = None, block: Block | None = None, star: bool = False
) -> str:
    measured = Measured(work)
    measured.last = None if args is None else (args, value)
    _, stays = Judge(work, Options(), Feed(([],), star))._with_crossing(BUSY, measured, block)
    return stays


@pytest.mark.parametrize(
    ("args", "value", "path"),
    [
        (({"handle": LOCK},), 1, "args[0]['handle']"),
        ((1, [LOCK]), 1, "args[1][0]"),
        ((1,), {"rows": [1, 2, LOCK]}, "result['rows'][2]"),
        ((1,), (x for x in "abc"), "result"),
    ],
)
def test_the_path_to_what_keeps_a_function_here(args: tuple[Any, ...], value: Any, path: str) -> None:
    """The reason names it, its type and the function."""
    stays = _stays(args, value)
    assert stays.startswith(f"{path} (")
    assert "cannot be pickled" in stays and stays.endswith("(work)")


@pytest.mark.parametrize(("item", "star"), [([1, LOCK], False), ((LOCK, 1), True)])
def test_an_item_that_still_runs(item: Any, star: bool) -> None:
    """Its arguments are looked at before there is any result."""
    path = "args[0] " if star else "args[0][1] "
    assert _stays(None, block=Block(0, [item]), star=star).startswith(path)


def test_what_can_cross_stays_nowhere() -> None:
    """No reason, and the bytes are known."""
    measured = Measured(work)
    measured.last = (("a",), "b")
    profile, stays = Judge(work, Options())._with_crossing(BUSY, measured, None)
    assert stays == "" and profile.bytes_in and profile.bytes_out


class Unloadable:
    """Pickles, but does not load again."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_a_result_that_does_not_load_again() -> None:
    """Nothing in it can be accused."""
    assert _stays((1,), Unloadable()).startswith("result (")
    assert "can be pickled here, but not sent and loaded again (work)" in _stays((1,), Unloadable())


def test_a_function_that_cannot_be_sent() -> None:
    """A backend that asks for its bytes gets the path in a `TypeError`."""

    def make() -> Callable[[int], Any]:
        conn = {"lock": LOCK}

        def func(x: int) -> Any:
            return conn, x

        return func

    func = make()
    judge = Judge(func, Options())
    with pytest.raises(
        TypeError, match=r"func cannot be sent to another process: func.__closure__\['conn'\]"
    ) as caught:
        judge._serialised(func)
    assert "autoexec.per_worker" in str(caught.value)
    assert isinstance(judge._serialised(work), bytes)


def test_copies_of_arguments_may_be_changed() -> None:
    """With `writable="copy"` that hazard says nothing against other processes; all others still do."""
    measured = Measured(work)
    argument = Hazard("changes its argument", "x", "here.py:1", True)
    other = Hazard("changes a captured object", "seen", "here.py:1", False)
    measured.hazards = (argument, other)
    assert Judge(work, Options())._against(measured) == (argument, other)
    assert Judge(work, Options(writable="copy"))._against(measured) == (other,)
