"""What the first items have shown, and what is made of an early guess when they have ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from autoexec.backends.inline import Block
from autoexec.engine import sampling
from autoexec.engine.monitor import Seen
from autoexec.engine.sampling import Sampler
from autoexec.frozen import replace
from autoexec.records import Profile, WorkKind
from autoexec.safety.effects import Effects
from autoexec.worker.invoke import CallSpec, Task

GUESS = Profile("f", 0, 0.04, 0.0, 0.0, 0.04, remaining=9, partial=True)
MIB = 1 << 20


def ran(items: int, wall_s: float = 0.01, cpu_s: float = 0.0) -> Block:
    """A block that was run."""
    block = Block(Task(CallSpec(abs), 0, list(range(items))), 0.0)
    block.out += block.items
    block.wall_s, block.cpu_s = wall_s, cpu_s
    return block


def sample(sampler: Sampler, running: Seen | None = None) -> Any:
    """What a sampler tells of its items, and of the one that runs."""
    monitor: Any = SimpleNamespace(children_s=0.0, seen=Seen)
    return sampler.sample(monitor, 9, running)


def ended(wall_s: float, cpu_s: float) -> Sampler:
    """One item that was guessed about while it ran, and has ended."""
    sampler = Sampler(abs)
    running = Seen()
    running.running_s = wall_s / 2
    sample(sampler, running)
    sampler.add(ran(1, wall_s, cpu_s))
    return sampler


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
    assert Sampler(abs).refreshed(GUESS, gil=True) == (GUESS, False)


def test_imports_prove_nothing() -> None:
    """A first call that computed while it imported says nothing about the others."""
    sampler: Any = ended(0.1, 0.1)
    sampler._modules -= 1
    assert not sampler.refreshed(replace(GUESS, kind=WorkKind.IO), gil=True)[1]


# Memory -----------------------------------------------------------------------------------------------------


def looks(*answers: tuple[int, int]) -> Callable[[], tuple[int, int]]:
    """Tells what was in use and the most there ever was, in mebibytes; the last answer holds on."""
    left = list(answers)

    def resident() -> tuple[int, int]:
        used, most = left.pop(0) if len(left) > 1 else left[0]
        return used * MIB, most * MIB

    return resident


def weighed(sampler: Sampler, running: Seen | None = None) -> int:
    """The mebibytes of an item that a sample would tell."""
    return int(sample(sampler, running).memory_bytes) // MIB


def test_the_hungriest_item_counts() -> None:
    """Each block is compared with what was in use before it, and divided by its items."""
    sampler = Sampler(abs, memory=looks((100, 100), (110, 150), (110, 170), (130, 200), (130, 200)))
    for items, expected in ((1, 50), (1, 60), (3, 60), (1, 60)):
        sampler.add(ran(items))
        assert weighed(sampler) == expected
    assert sampler.brief(None).memory_bytes == 60 * MIB


def test_short_blocks_are_not_weighed() -> None:
    """Looking would cost more than they do; what they hold shows with the next one."""
    sampler = Sampler(abs, memory=looks((100, 100), (140, 150)))
    sampler.add(ran(1, wall_s=1e-5))
    assert weighed(sampler) == 0
    sampler.add(ran(1))
    assert weighed(sampler) == 50


def test_an_item_that_still_runs_counts() -> None:
    """A decision in the middle of the first item knows what it has taken so far."""
    assert weighed(Sampler(abs, memory=looks((100, 100), (400, 400))), Seen()) == 300


def test_a_restart_forgets() -> None:
    """A first item that imports says nothing of the next ones."""
    sampler = Sampler(abs, memory=looks((100, 100), (300, 300), (300, 300), (310, 310)))
    sampler.add(ran(1))
    sampler.restart()
    assert sampler.memory_bytes == 0
    sampler.add(ran(1))
    assert sampler.memory_bytes == 10 * MIB


HUNGRY = """
import autoexec, json
def work(x):
    block = bytearray(b"x") * (80 << 20)
    return sum(block[::4096])
found = autoexec.profile(work, range(20))
print(json.dumps(found.memory_bytes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only what is above all that was")
def test_real_items_are_weighed() -> None:
    """What an item takes and gives back is seen in its profile."""
    done = subprocess.run([sys.executable, "-c", HUNGRY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 75 * MIB < json.loads(done.stdout) < 120 * MIB


def test_own_imports_are_not_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """However blocks lie within one another; what comes outside of them is the item's."""
    modules = dict.fromkeys("abc")
    monkeypatch.setattr(sampling, "sys", SimpleNamespace(modules=modules))
    sampler = Sampler(abs)
    with sampler.own_imports():
        modules["outer"] = None
        with sampler.own_imports():
            modules["inner"] = None
        modules["after"] = None
        assert not sampler.importing(), "another thread may ask meanwhile"
    assert not sampler.importing()
    modules["theirs"] = None
    assert sampler.importing()
    with sampler.own_imports():
        modules["ours"] = None
        sampler.restart()
        modules["ours, too"] = None
    assert not sampler.importing()


def test_taking_over_imports_nothing_in_the_items_name() -> None:
    """In a fresh interpreter all that a pool of threads needs comes while the first item runs."""
    script = """
import time
from autoexec import map
from autoexec.engine import pool
told = []
first_ended = pool.Pool.first_ended
def tell(self, profile, *, importing):
    told.append(importing)
    return first_ended(self, profile, importing=importing)
pool.Pool.first_ended = tell
list(map(lambda x: time.sleep(0.1), range(40)))
print(any(told))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (found.stdout, found.stderr) == ("False\n", "")


def test_a_sample_amid_an_item_looks_at_what_it_has_changed() -> None:
    """And what the monitor has seen meanwhile forbids threads, not other processes."""
    told: list[str] = []

    class Amid(Effects):
        """Says that it was asked."""

        def amid(self) -> None:
            told.append("amid")

    sampler = Sampler(abs)
    sampler.effects = Amid(abs)
    seen = Seen()
    seen.meanwhile = ("the working directory",)
    monitor: Any = SimpleNamespace(children_s=0.0)
    sampler.sample(monitor, 10, seen)
    assert told == ["amid"]
    (hazard,) = sampler.against(())
    assert (hazard.name, hazard.threads_ok, hazard.processes_ok) == ("the working directory", False, True)
