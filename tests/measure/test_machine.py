"""The machine as a value: which limit wins, and what the cheap way may not do."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.measure import machine
from autoexec.resources import Crew, Scope, current

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux only")


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine of 8 cores with two threads each, all reachable, no quota, no override."""
    monkeypatch.setattr(machine.here, "affinity", lambda: (frozenset(range(16)), "made up"))
    monkeypatch.setattr(machine.here, "physical_cores", lambda: 8)
    monkeypatch.setattr(machine.here, "logical_cores", lambda: 16)
    monkeypatch.setattr(machine.here, "reachable_cores", lambda cpus: min(8, len(cpus)))
    monkeypatch.setattr(machine.here, "quota", lambda: None)
    monkeypatch.setattr(machine.here, "memory", lambda: (3 << 30, 4 << 30, "made up"))
    monkeypatch.setattr(machine, "_override", lambda: None)
    return monkeypatch


def run(code: str, *options: str, **env: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_physical_cores_decide(made_up: pytest.MonkeyPatch) -> None:
    """Two threads of a core are one usable core."""
    found = machine.look()
    assert (found.usable, found.physical, found.logical, found.affinity) == (8, 8, 16, 16)
    assert found.derivation[-1] == "usable: 8, decided by physical cores"
    assert (found.memory_available, found.memory_limit) == (3 << 30, 4 << 30)


def test_affinity_decides(made_up: pytest.MonkeyPatch) -> None:
    """A mask of three processors leaves the cores behind them."""
    made_up.setattr(machine.here, "affinity", lambda: (frozenset({1, 2, 3}), "made up"))
    found = machine.look()
    assert (found.usable, found.affinity) == (3, 3)
    assert "affinity: 3 of 16 logical processors (made up)" in found.derivation


@pytest.mark.parametrize(
    ("cpus", "usable"), [(0.1, 1), (0.5, 1), (1.0, 1), (1.49, 1), (1.5, 2), (2.4, 2), (64.0, 8)]
)
def test_quota_decides(made_up: pytest.MonkeyPatch, cpus: float, usable: int) -> None:
    """A fractional quota counts to the nearest whole core, never below one nor above the hardware."""
    made_up.setattr(machine.here, "quota", lambda: (cpus, "/groups/cpu.max"))
    found = machine.look()
    assert (found.usable, found.quota) == (usable, cpus)
    assert any(f"{cpus:g} CPUs" in line and "/groups/cpu.max" in line for line in found.derivation)


@pytest.mark.parametrize(("count", "usable"), [(1, 1), (5, 5), (100, 8)])
def test_override_can_only_lower(made_up: pytest.MonkeyPatch, count: int, usable: int) -> None:
    """The user's count is a limit like the others, not a promise of hardware."""
    made_up.setattr(machine, "_override", lambda: (count, "PYTHON_CPU_COUNT"))
    found = machine.look()
    assert (found.usable, found.python_cpu_count) == (usable, count)


def test_usable_cores_agrees_with_look() -> None:
    """The short way and the whole record tell the same number."""
    assert machine.usable_cores() == machine.look().usable


def test_every_limit_has_a_line(made_up: pytest.MonkeyPatch) -> None:
    """The derivation names each limit once, and the outcome last."""
    names = [line.partition(":")[0] for line in machine.look().derivation]
    assert names == [
        "physical cores",
        "affinity",
        "control group quota",
        "PYTHON_CPU_COUNT",
        "memory",
        "start method",
        "usable",
    ]


SHOW = "from autoexec.measure.machine import look; m = look(); print(m.python_cpu_count, m.usable)"


@pytest.mark.parametrize(
    ("options", "env", "expected"),
    [
        ((), {"PYTHON_CPU_COUNT": "1"}, "1 1"),
        (("-X", "cpu_count=1"), {"PYTHON_CPU_COUNT": "7"}, "1 1"),
    ],
)
def test_python_cpu_count_is_honoured(options: tuple[str, ...], env: dict[str, str], expected: str) -> None:
    """The variable and the option hold on every version, the option before the variable."""
    assert run(SHOW, *options, **env) == expected


def test_hardware_is_not_hidden_by_python_cpu_count() -> None:
    """The logical count is the hardware's, though os.cpu_count tells the override."""
    code = "from autoexec.measure.machine import look; print(look().logical)"
    assert run(code, PYTHON_CPU_COUNT="1") == run(code)


def test_garbled_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 3.13 nobody checks the variable, so nonsense must not stop a call."""
    monkeypatch.delattr(sys, "_get_cpu_count_config", raising=False)
    for text in ("", "many", "-3", "0", "1.5", "default"):
        monkeypatch.setenv("PYTHON_CPU_COUNT", text)
        assert machine._override() is None
    monkeypatch.setenv("PYTHON_CPU_COUNT", " 3 ")
    assert machine._override() == (3, "PYTHON_CPU_COUNT")


@needs_linux
def test_the_cheap_way_imports_nothing_heavy() -> None:
    """Every planned call looks at the machine, so it may not pay for anyone's import."""
    heavy = "{'json', 'psutil', 'numpy', 'multiprocessing', 'threadpoolctl', 'pathlib', 'platformdirs'}"
    code = (
        f"import sys\nfrom autoexec.measure import machine\nmachine.look()\nprint({heavy} & set(sys.modules))"
    )
    assert run(code) == "set()"


@needs_linux
def test_start_method_before_and_after_multiprocessing() -> None:
    """The assumed default is the one that multiprocessing then confirms."""
    code = """
from autoexec.measure.machine import look, look_closely
a, b = look(), look_closely()
assert (a.start_method, a.can_fork) == (b.start_method, b.can_fork), (a, b)
import multiprocessing
assert multiprocessing.get_start_method() == a.start_method
print(a.can_fork)
"""
    assert run(code) == "True"


@needs_linux
@pytest.mark.parametrize(("method", "can_fork"), [("fork", True), ("spawn", False), ("forkserver", False)])
def test_a_chosen_start_method_is_respected(method: str, can_fork: bool) -> None:
    """Whoever settled on another method than fork does not get forked."""
    code = f"""
import multiprocessing
from autoexec.measure.machine import look
multiprocessing.set_start_method({method!r})
print(look().start_method, look().can_fork)
"""
    assert run(code) == f"{method} {can_fork}"


def test_looking_settles_no_start_method() -> None:
    """The user may still choose after we looked."""
    machine.look_closely()
    settled = multiprocessing.get_start_method(allow_none=True)
    machine.look_closely()
    assert multiprocessing.get_start_method(allow_none=True) == settled


@pytest.mark.parametrize(("cores", "daemon"), [(None, True), (1, True), (2, False), (8, False)])
def test_daemons_and_our_own_workers(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, daemon: bool
) -> None:
    """A worker starts no processes unless it has cores for them."""
    assert machine.look().daemon is False
    monkeypatch.setattr("autoexec.role.in_worker", True)
    monkeypatch.setattr("autoexec.role.cores", cores)
    assert machine.look().daemon is daemon


@pytest.mark.parametrize(("cores", "usable"), [(1, 1), (3, 3), (8, 8), (64, 8)])
def test_a_workers_share_is_one_more_limit(made_up: pytest.MonkeyPatch, cores: int, usable: int) -> None:
    """What a worker process may use is its share, as the derivation says; other processes have none."""
    assert not any("share" in line for line in machine.look().derivation)
    made_up.setattr("autoexec.role.cores", cores)
    found = machine.look()
    assert found.usable == machine.usable_cores() == usable
    assert f"the worker's share: {usable}" in found.derivation
    decided = "the worker's share" if cores < 8 else "physical cores"
    assert found.derivation[-1] == f"usable: {usable}, decided by {decided}"


def test_a_thread_of_a_pool_has_its_share_too(made_up: pytest.MonkeyPatch) -> None:
    """Inside one of four threads a quarter of the cores is left, of a worker's share as of the machine."""
    token = current.set(Scope(crew=Crew(4, [])))
    try:
        assert machine.look().usable == machine.usable_cores() == 2
        assert "the worker's share: 2" in machine.look().derivation
        made_up.setattr("autoexec.role.cores", 4)
        assert machine.look().usable == 1
    finally:
        current.reset(token)


def test_memory_now_agrees_with_look(made_up: pytest.MonkeyPatch) -> None:
    """The short way tells what the record tells."""
    found = machine.look()
    assert machine.memory_now() == (found.memory_available, found.memory_limit)


def test_deaths_for_want_of_memory_are_counted() -> None:
    """A count that does not move while nothing dies."""
    assert machine.oom_kills() == machine.oom_kills() >= 0


@needs_linux
def test_a_daemon_process_knows(tmp_path: object) -> None:
    """A daemon of multiprocessing says so itself."""
    code = """
import multiprocessing
from autoexec.measure.machine import look
context = multiprocessing.get_context("fork")
ours, theirs = context.Pipe()
child = context.Process(target=lambda: theirs.send(look().daemon), daemon=True)
child.start()
print(ours.recv())
child.join()
"""
    assert run(code) == "True"


def test_gil_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the interpreter says; one that cannot say has it."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert machine.look().gil is False
    monkeypatch.delattr(sys, "_is_gil_enabled")
    assert machine.look().gil is True


def test_looking_closely_finds_native_pools() -> None:
    """A loaded BLAS shows up with its threads."""
    pytest.importorskip("threadpoolctl")
    numpy = pytest.importorskip("numpy")
    numpy.ones((2, 2)) @ numpy.ones((2, 2))
    pools = machine.look_closely().native_pools
    assert pools
    assert all(pool.threads >= 1 and pool.library for pool in pools)


def test_looking_closely_without_threadpoolctl(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional package may be missing."""
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert machine.look_closely().native_pools == ()


@pytest.mark.parametrize("name", ["darwin", "windows"])
def test_other_platforms_answer_the_same_questions(name: str) -> None:
    """Their modules work wherever psutil does, so they can be asked here too."""
    pytest.importorskip("psutil")
    there = importlib.import_module(f"autoexec.measure.{name}")
    if name == "darwin" and sys.platform == "win32":
        pytest.skip("asks for Unix limits")
    cpus, source = there.affinity()
    assert 1 <= there.reachable_cores(cpus) <= there.physical_cores() <= there.logical_cores()
    assert source
    available, limit, _ = there.memory()
    assert available > 0
    assert limit is None
    assert there.quota() is None
    assert there.descriptors() > 0
    assert there.oom_kills() == 0
    assert set(there.__all__) <= set(machine.here.__all__)


@given(st.floats(0, 1e6))
def test_rounding_stays_near(cpus: float) -> None:
    """At least one, and never half a core away otherwise."""
    assert machine.rounded(cpus) >= 1
    assert machine.rounded(cpus) == 1 or abs(machine.rounded(cpus) - cpus) <= 0.5
