"""autoexec's own errors, and the note on an item's error."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

import autoexec
from autoexec import errors
from autoexec.errors import AutoexecError, MissingExtra, OptionError, WorkerDied, blame


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (OptionError, (ValueError, TypeError)),
        (MissingExtra, (ImportError,)),
        (WorkerDied, (RuntimeError,)),
    ],
)
def test_each_error_is_also_what_people_catch(
    error: type[Exception], bases: tuple[type[Exception], ...]
) -> None:
    """One common base, and the standard library's nearest kin."""
    for base in (AutoexecError, *bases):
        assert issubclass(error, base)
    assert pickle.loads(pickle.dumps(error("why"))).args == ("why",)


def test_all_errors_are_ours() -> None:
    """What the module offers besides its helpers has the common base and a docstring."""
    for name in errors.__all__:
        thing = getattr(errors, name)
        assert thing.__doc__
        assert name in ("blame", "shown", "unpacked") or issubclass(thing, AutoexecError)


def test_blame_names_item_and_place() -> None:
    """The note has the index, the arguments and where it ran; the error is the item's own."""
    error = KeyError("k")
    assert blame(error, 7, (1, "two"), "process 12") is error
    assert error.__notes__ == ["autoexec: item 7 (1, 'two') ran in process 12"]


def test_blame_adds_to_other_notes() -> None:
    """A note of the function's own stays, before ours."""
    error = ValueError()
    error.add_note("mine")
    blame(error, 0, (), "thread")
    assert error.__notes__ == ["mine", "autoexec: item 0 () ran in thread"]


def test_long_items_are_cut() -> None:
    """A megabyte of item does not make a megabyte of note."""
    error = blame(ValueError(), 0, ("x" * 10**6, 2), "thread")
    (note,) = error.__notes__
    assert len(note) < 200
    assert "..." in note


def test_a_repr_that_raises_hides_nothing() -> None:
    """The item's own error comes through even where the item cannot be shown."""

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    error = blame(ValueError("own"), 3, (Shy(),), "thread")
    assert error.args == ("own",)
    assert error.__notes__ == ["autoexec: item 3 (an item whose repr raises) ran in thread"]


def test_one_argument_whose_repr_raises_hides_no_other() -> None:
    """The arguments are shown one by one."""

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    (note,) = blame(ValueError(), 3, ("a", Shy()), "thread").__notes__
    assert note == "autoexec: item 3 ('a', an item whose repr raises) ran in thread"


def test_many_arguments_are_cut() -> None:
    """Of a row of a million numbers the first are written, no more."""
    (note,) = blame(ValueError(), 0, tuple(range(10**6)), "thread").__notes__
    assert note.startswith("autoexec: item 0 (0, 1, 2, ") and note.endswith("...) ran in thread")
    assert len(note) < 200


def test_an_error_that_cannot_take_a_note() -> None:
    """A frozen exception comes through without a note rather than be replaced by another error."""

    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        code: int

    error = Frozen(3)
    assert blame(error, 0, (), "thread") is error


@pytest.mark.parametrize("home", ["process", "thread"])
@pytest.mark.parametrize("kind", [autoexec.WorkerDied, autoexec.BrokenWorker])
def test_programs_that_expect_a_broken_pool_catch_ours(kind: type[Exception], home: str) -> None:
    """By the base of these errors, and by that of the pool they know; also one that came from elsewhere."""
    import concurrent.futures
    import importlib
    import pickle

    module = importlib.import_module(f"concurrent.futures.{home}")
    own = {"process": "BrokenProcessPool", "thread": "BrokenThreadPool"}[home]
    for error in (kind("words"), pickle.loads(pickle.dumps(kind("words")))):
        for base in (getattr(module, own), concurrent.futures.BrokenExecutor, RuntimeError):
            with pytest.raises(base, match="words"):
                raise error
        assert isinstance(error, autoexec.AutoexecError)


def test_errors_that_nobody_raises_bring_no_module() -> None:
    """Pools of the standard library are imported when there is an error, not before."""
    import subprocess
    import sys

    code = (
        "import sys, autoexec.errors; print([name for name in sys.modules if name.startswith('concurrent')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
