"""Both ways to start workers."""

from __future__ import annotations

import sys

import pytest

from autoexec.backends import start as starting

if not sys.platform.startswith("linux"):
    collect_ignore_glob = ["test_*"]


@pytest.fixture(params=["fork", "fresh"])
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How workers are started: as copies of this process, or as fresh interpreters."""
    words = "" if request.param == "fork" else "this test wants fresh interpreters"
    monkeypatch.setattr(starting, "may_fork", lambda helpers=0: words)
    return str(request.param)
