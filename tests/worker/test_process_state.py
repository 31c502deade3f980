"""What a program sets for its whole process: read here, set there, and nothing said twice."""

from __future__ import annotations

import contextvars
import decimal
import functools
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoexec.introspect import Same, loaded
from autoexec.worker import process_state
from autoexec.worker.process_state import ROWS, bound, difference, outputs, read, settle, take_over


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[logging.Logger]:
    """A logger with a file, as it was made afterwards."""
    found = logging.getLogger("state_of_test")
    yield found
    for handler in [*found.handlers]:
        found.removeHandler(handler)
        handler.close()
    found.setLevel(0)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_read_can_be_set_again(row: process_state.Row) -> None:
    """And then reads as it did."""
    module = loaded(row.module)
    if module is None:
        pytest.skip(f"{row.module} is not imported")
    value = row.read(module)
    row.set(module, value)
    assert row.read(module) == value


def test_only_what_differs_is_told() -> None:
    """From what a worker has; all of it where its items may have changed anything."""
    now = read()
    assert difference(now, now) == {} and difference(now, None) == now
    changed = {**now, "sys.argv": ("another",)}
    assert difference(changed, now) == {"sys.argv": ("another",)}
    left = difference(now, process_state.begun())
    assert {"sys.path", "the working directory"}.isdisjoint(left) and {"sys.argv", "os.environ"} <= {*left}


def test_what_is_usual_needs_no_module() -> None:
    """A worker does not import a library to be told what that has anyway."""
    libraries = ("pandas", "sklearn", "PIL")
    usual = {row.name: row.usual for row in ROWS if row.module.startswith(libraries)}
    before = set(sys.modules)
    settle(usual)
    assert {name.partition(".")[0] for name in sys.modules.keys() - before} == set()


def test_a_context_variable_is_set_where_items_find_it() -> None:
    """The decimal context lives in the context of the call, which was made before."""
    context = contextvars.copy_context()
    with decimal.localcontext(prec=11):
        now = {"the decimal context": read()["the decimal context"]}
    copy = contextvars.copy_context()
    copy.run(settle, now, (context,))
    assert context.run(decimal.getcontext).prec == 11 != decimal.getcontext().prec


def test_what_cannot_be_set_is_named(tmp_path: Path) -> None:
    """A directory that is gone, for one."""
    with pytest.raises(RuntimeError, match="the working directory"):
        take_over({"the working directory": str(tmp_path / "nowhere")})


def test_filters_of_modules_that_are_not_there() -> None:
    """A category is not imported for the sake of its filter; one that is there is found."""
    with warnings.catch_warnings():
        rows = (
            ("error", None, "a_module_that_nobody_has", "Odd", None, 0),
            ("ignore", None, "builtins", "UserWarning", None, 0),
        )
        settle({"the warning filters": rows})
        assert [(action, kind) for action, _, kind, _, _ in warnings.filters] == [("ignore", UserWarning)]


def test_a_log_file_is_opened_again(logger: logging.Logger, tmp_path: Path) -> None:
    """By its name, with level and format; records are added to it."""
    first = logging.FileHandler(tmp_path / "log")
    first.setFormatter(logging.Formatter("{levelname} {message}", style="{"))
    first.setLevel(logging.ERROR)
    logger.addHandler(first)
    logger.error("one")
    scene = {name: read()[name] for name in ("log levels", "log files")}
    logger.removeHandler(first)
    first.close()
    settle(scene)
    assert read()["log files"] == scene["log files"] and logger.handlers != [first]
    logger.warning("not this one")
    logger.error("two")
    assert (tmp_path / "log").read_text() == "ERROR one\nERROR two\n"


def test_levels_that_were_taken_back(logger: logging.Logger) -> None:
    """A logger that is not named any more is as it was made."""
    usual = read()["log levels"]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    assert read()["log levels"] != usual
    settle({"log levels": usual})
    assert (logger.level, logger.propagate) == (0, True)


def test_what_no_other_process_has(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams, hooks, handlers that keep records: by identity."""
    before = bound()
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    logger.addHandler(logging.NullHandler())
    found = bound()
    assert ("sys.stdout", Same(sys.stdout)) in found and ("sys.excepthook", Same(sys.excepthook)) in found
    assert [name for name, _ in found].count("a log handler") == (
        [name for name, _ in before].count("a log handler") + 1
    )
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert bound() != found


def test_hooks_of_libraries_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a test runner or a notebook serve their process; those of the program go along."""
    monkeypatch.setattr(sys, "displayhook", functools.partial(print, io.StringIO()))
    assert read()["hooks of sys"] == () or "displayhook" not in dict(read()["hooks of sys"])
    monkeypatch.setattr(sys, "displayhook", test_where_output_leads)
    assert ("displayhook", test_where_output_leads) in read()["hooks of sys"]


def test_a_copy_is_not_sent_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the very objects; others get copies of them."""
    monkeypatch.setattr(sys, "displayhook", test_where_output_leads)
    now = read()
    assert "hooks of sys" in difference(now, None) and "hooks of sys" not in difference(now, None, copy=True)


def test_where_output_leads(tmp_path: Path) -> None:
    """Another file behind descriptor 1 is another place."""
    before, kept = outputs(), os.dup(1)
    try:
        with open(tmp_path / "out", "w") as file:
            os.dup2(file.fileno(), 1)
        assert outputs() != before
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert outputs() == before
