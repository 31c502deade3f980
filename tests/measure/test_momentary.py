"""What is set amid an item: seen there, and told from what was set for good."""

from __future__ import annotations

import builtins
import io
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    chdir,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from typing import Any
from unittest import mock

import pytest

from autoexec.measure.momentary import Momentary


@contextmanager
def called(change: Callable[[Any], object], new: Any, old: Any) -> Iterator[None]:
    """Something that is set by a call, and set back."""
    change(new)
    try:
        yield
    finally:
        change(old)


@pytest.fixture(autouse=True)
def no_alarm() -> Iterator[None]:
    """Whoever has set one gets it back."""
    seconds, again = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, seconds, again)


def _alarm(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "the working directory": lambda: chdir("/"),
    "sys.stdin": lambda: mock.patch.object(sys, "stdin", io.StringIO()),
    "sys.stdout": lambda: redirect_stdout(io.StringIO()),
    "sys.stderr": lambda: redirect_stderr(io.StringIO()),
    "sys.argv": lambda: mock.patch.object(sys, "argv", []),
    "sys.path": lambda: mock.patch.object(sys, "path", [*sys.path, "/"]),
    "os.environ": lambda: mock.patch.dict(os.environ, {"AUTOEXEC_TEST_ONE": "1"}),
    "the recursion limit": lambda: called(sys.setrecursionlimit, 5432, sys.getrecursionlimit()),
    "time.time": lambda: mock.patch.object(time, "time", time.monotonic),
    "open": lambda: mock.patch.object(builtins, "open", io.open_code),
    "print": lambda: mock.patch.object(builtins, "print", len),
    "the socket timeout": lambda: called(socket.setdefaulttimeout, 3.0, socket.getdefaulttimeout()),
    "socket.socket": lambda: mock.patch.object(socket, "socket", object),
    "the folder for temporary files": lambda: mock.patch.object(tempfile, "tempdir", "/"),
    "the alarm": lambda: called(_alarm, 600.0, 0.0),
    "the log level": lambda: called(logging.disable, logging.CRITICAL, logging.root.manager.disable),
}
if not getattr(sys.flags, "context_aware_warnings", 0):
    SETTINGS["the warning filters"] = warnings.catch_warnings


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_set_and_set_back_is_told(name: str) -> None:
    """While it is set, and when it was set back."""
    process = Momentary()
    process.look()
    assert process.names == ()
    with SETTINGS[name]():
        process.look()
        assert process.names == (name,)
    process.settle()
    process.note()
    assert process.names == (name,)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_stays_is_not_for_an_items_item_state(name: str) -> None:
    """An import that sets something once and for all keeps nobody from running in threads."""
    with ExitStack() as stack:
        process = Momentary()
        stack.enter_context(SETTINGS[name]())
        process.look()
        assert process.names == (name,)
        process.settle()
        assert process.names == ()
        process.look()
        assert process.names == ()


def test_a_folder_that_was_removed(tmp_path: Any) -> None:
    """Where there is no working directory, everything else is still seen."""
    gone = tmp_path / "gone"
    gone.mkdir()
    with chdir(gone), ExitStack() as stack:
        stack.callback(os.chdir, tmp_path)
        gone.rmdir()
        process = Momentary()
        with redirect_stdout(io.StringIO()):
            process.look()
        assert process.names == ("sys.stdout",)
        gone.mkdir()  # to leave the block by
