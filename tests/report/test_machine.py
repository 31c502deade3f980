"""The doctor's table."""

from __future__ import annotations

from autoexec.records import Calibration, Machine, NativePool
from autoexec.report.machine import machine_text

MACHINE = Machine(
    usable=2,
    physical=8,
    logical=16,
    affinity=4,
    quota=1.5,
    memory_limit=512 << 20,
    native_pools=(NativePool("openblas", 8, "0.3.27"), NativePool("openmp", 2)),
    derivation=("affinity: 4 of 16", "usable: 2, decided by control group quota"),
)


def test_every_fact_is_there() -> None:
    """Cores, quota, memory, GIL, start method and pools, each on its line."""
    text = machine_text(MACHINE)
    for words in (
        "usable cores 2",
        "physical cores 8",
        "logical processors 16, 4 of them for this process",
        "CPU quota 1.5 CPUs",
        "PYTHON_CPU_COUNT not set",
        "memory limit 512 MiB",
        "memory available 8.0 GiB",
        "GIL on",
        "start method fork",
        "openblas 8 (0.3.27)",
        "openmp 2",
    ):
        assert any(" ".join(line.split()) == words for line in text.splitlines()), words


def test_the_derivation_comes_last() -> None:
    """Where each limit was found, in the order given, the outcome at the end."""
    lines = machine_text(MACHINE, Calibration()).splitlines()
    assert [line.strip() for line in lines[-3:]] == ["how it was found", *MACHINE.derivation]


def test_values_stand_in_one_column() -> None:
    """All values of the table begin at the same place."""
    lines = machine_text(MACHINE, Calibration(source="measured here")).partition("\n\nhow")[0].splitlines()
    column = lines[0].index("2")
    rows = [line for line in lines if line and line != "native threads"]
    assert all(line[column - 1] == " " != line[column] for line in rows)


def test_costs_only_when_given() -> None:
    """The calibration is optional, and says where its figures come from."""
    assert "costs" not in machine_text(MACHINE)
    text = machine_text(MACHINE, Calibration())
    assert "defaults" in text
    assert "60 ms" in text
    assert "25 µs" in text


def test_plain_text() -> None:
    """No trailing blanks, no control characters, nothing wider than it must be."""
    for line in machine_text(MACHINE, Calibration()).splitlines():
        assert line == line.rstrip()
        assert line.isprintable()
        assert len(line) <= 100
