"""What a function uses of this process that no worker can be given."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from autoexec.safety.globals_read import module_state
from autoexec.safety.ties import ties


def prints(x: int) -> None:
    """Writes."""
    print(x)


def through(x: int) -> None:
    """Calls what writes."""
    prints(x)


def writes(x: int) -> None:
    """Writes another way."""
    sys.stderr.write(str(x))


def hashes(x: str) -> int:
    """Another number in each interpreter."""
    return hash(x)


def silent(x: int) -> int:
    """Neither."""
    return x + 1


def _found(call: Callable[..., Any], *, forks: bool = False) -> list[str]:
    return [hazard.name for hazard in ties(call, lambda: module_state(call).names, forks=forks)]


@pytest.mark.parametrize(("call", "held"), [(prints, True), (through, True), (writes, True), (silent, False)])
def test_what_is_printed_elsewhere(call: Callable[..., Any], held: bool) -> None:
    """Copies of this process have a stream of their own, and fresh interpreters have none."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for forks in (True, False):
            assert bool(_found(call, forks=forks)) == held


def test_a_stream_that_leads_where_output_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one with another encoding: what workers print comes there, too."""
    with open(1, "w", encoding="latin-1", closefd=False) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", sys.__stderr__)
        assert _found(prints) == []


@pytest.mark.skipif(not sys.flags.hash_randomization, reason="hashes are the same everywhere")
def test_the_hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy has it; a fresh interpreter only where it was given by the environment."""
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    assert _found(hashes) == ["hash"] and _found(hashes, forks=True) == [] and _found(silent) == []
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert _found(hashes) == []
