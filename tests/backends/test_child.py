"""A child process is never taken for another one that has its number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from autoexec.backends.processes import child as child_module
from autoexec.backends.processes.child import Child
from tests.forking import in_child

SLEEPS = [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]


@pytest.fixture(params=["descriptor", "number"], autouse=True)
def known_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With descriptors for processes, and on systems without any."""
    if request.param == "number":
        monkeypatch.delattr(child_module.os, "pidfd_open")


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is none of ours."""
    with subprocess.Popen(SLEEPS) as process:
        yield process
        process.kill()


def _start(code: str = "import signal; signal.pause()") -> Child:
    return Child(os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", code], {}))


def test_it_is_reaped_with_its_exit_code() -> None:
    """However it ends."""
    for code, words in ((3, "raise SystemExit(3)"), (-9, "import os; os.kill(os.getpid(), 9)")):
        child = _start(words)
        child.wait(30.0)
        assert child.over and child.code == code
        child.close()
        assert not os.path.exists(f"/proc/{child.pid}")


def test_it_is_killed_when_patience_ends() -> None:
    """And nothing is left of it."""
    child = _start()
    assert not child.poll() and child.code is None
    child.wait(0.0)
    assert child.over and child.code == -signal.SIGKILL
    child.close()


def test_one_that_somebody_else_has_reaped(stranger: subprocess.Popen[bytes]) -> None:
    """It is over, nobody knows how, and who has its number now is left alone."""
    child = _start()
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    if child.descriptor is not None:
        child.pid = stranger.pid
    assert child.signal(signal.SIGKILL) is False
    assert child.over and child.code is None
    assert stranger.poll() is None
    child.close()


def test_while_the_program_ignores_the_ends_of_its_children() -> None:
    """The kernel reaps them at once."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        child = _start()
        assert not child.poll() and child.signal(signal.SIGKILL)
        child.wait(30.0)
        assert child.over and child.code is None and child.signal(signal.SIGTERM) is False
        child.close()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_child_of_the_program_ends_none_of_ours() -> None:
    """To it, the workers of its parent are over."""
    child = _start()
    assert in_child(lambda: (child.signal(signal.SIGKILL), child.poll())) == (False, True)
    assert not child.poll()
    child.wait(0.0)
    child.close()
