"""What the first items have shown, and what is made of an early guess when they have ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autoexec.engine.director import Seen
from autoexec.engine.loop import Block
from autoexec.engine.measured import Measured
from autoexec.frozen import replace
from autoexec.records import Profile, WorkKind

GUESS = Profile("f", 0, 0.04, 0.0, 0.0, 0.04, remaining=9, partial=True)


def ended(wall_s: float, cpu_s: float) -> Measured:
    """One item that was guessed about while it ran, and has ended."""
    measured = Measured(abs)
    running = Seen()
    running.running_s = wall_s / 2
    measured.sample(SimpleNamespace(children_s=0.0), 9, running)  # type: ignore[arg-type]
    block = Block(0, [1])
    block.run(abs, False)
    block.wall_s, block.cpu_s = wall_s, cpu_s
    measured.add(block)
    return measured


@pytest.mark.parametrize(
    ("kind", "cpu_share", "became"),
    [
        (WorkKind.IO, 0.1, None),
        (WorkKind.IO, 0.6, WorkKind.MIXED),
        (WorkKind.MIXED, 0.6, None),
        (WorkKind.MIXED, 0.8, None),
        (WorkKind.PYTHON, 1.0, None),
    ],
)
def test_an_early_guess_is_set_right(kind: WorkKind, cpu_share: float, became: WorkKind | None) -> None:
    """What seemed to wait and then computed needs another plan; else only the figures change."""
    found, wrong = ended(0.1, 0.1 * cpu_share).refreshed(replace(GUESS, kind=kind), gil=True)
    assert (found.kind, wrong) == (became or kind, became is not None)
    assert found.wall_s == pytest.approx(0.1) and found.remaining == 9


def test_without_an_item_the_guess_stands() -> None:
    """There is nothing to set it right with."""
    assert Measured(abs).refreshed(GUESS, gil=True) == (GUESS, False)


def test_imports_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first call that computed while it imported says nothing about the others."""
    measured: Any = ended(0.1, 0.1)
    measured._modules -= 1
    assert not measured.refreshed(replace(GUESS, kind=WorkKind.IO), gil=True)[1]
