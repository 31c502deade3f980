"""Deaths in a row: how many are enough."""

from __future__ import annotations

import signal

import pytest

from autoexec.backends.processes.fuse import ENDED, KILLED, LONGEST_PAUSE_S, PERSISTENT_S, Fuse
from tests.engine.stage import Clock


@pytest.fixture
def clock() -> Clock:
    """One that the test sets."""
    return Clock()


def test_those_that_end_by_themselves(clock: Clock) -> None:
    """Three are enough, at once, and nobody waits."""
    fuse = Fuse(clock)
    for count in range(ENDED):
        assert not fuse.blown and count < ENDED
        fuse.add(1)
        assert fuse.pause_s == 0.0
    assert fuse.blown and not fuse.sent


@pytest.mark.parametrize("code", [-signal.SIGKILL, -signal.SIGTERM, None])
def test_those_that_are_killed(clock: Clock, code: int | None) -> None:
    """However many at once: only who kills for long is taken for their fate; the pauses grow meanwhile."""
    fuse, pauses = Fuse(clock), []
    for _ in range(5 * KILLED):
        fuse.add(code)
        pauses.append(fuse.pause_s)
        assert not fuse.blown and fuse.sent
    assert pauses == sorted(pauses) and pauses[0] < 0.1 and pauses[-1] == LONGEST_PAUSE_S
    clock.go(PERSISTENT_S)
    assert fuse.blown
    fuse.reset()
    assert not fuse.blown and fuse.pause_s == 0.0
    fuse.add(code)
    assert not fuse.blown  # it begins anew
