"""Both ways to start workers."""

from __future__ import annotations

import sys

import pytest

from autoexec.backends.processes import idle
from autoexec.backends.processes import start as starting

if not sys.platform.startswith("linux"):
    collect_ignore_glob = ["test_*"]


@pytest.fixture(autouse=True)
def _however_large_this_process_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of a large caller are not kept, and the suite's process is one by then."""
    monkeypatch.setattr(idle, "FORKED_BYTES", 1 << 40)


@pytest.fixture(params=["fork", "fresh"])
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How workers are started: as copies of this process, or as fresh interpreters."""
    words = "" if request.param == "fork" else "this test wants fresh interpreters"
    monkeypatch.setattr(starting, "may_fork", lambda helpers=0: words)
    return str(request.param)
