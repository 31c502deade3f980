"""Both ways to start workers, and scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoexec.backends import start as starting
from tests.processes.scripts import Script

if not sys.platform.startswith("linux"):
    collect_ignore_glob = ["test_*"]


@pytest.fixture(params=["fork", "fresh"])
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How workers are started: as copies of this process, or as fresh interpreters."""
    words = "" if request.param == "fork" else "this test wants fresh interpreters"
    monkeypatch.setattr(starting, "may_fork", lambda helpers=0: words)
    return str(request.param)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """A script, of which nothing is left at the end of the test."""
    made = Script(tmp_path)
    yield made
    made.clear()
