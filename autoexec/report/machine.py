"""The machine as a table for people: what `python -m autoexec doctor` prints."""

from __future__ import annotations

from collections.abc import Iterator

from autoexec.records import Calibration, Machine

__all__ = ["machine_text"]

_NO, _YES = "no", "yes"


def machine_text(machine: Machine, calibration: Calibration | None = None) -> str:
    r"""The machine, how its usable cores were found and, if given, what pools cost on it; plain text.

    >>> print(machine_text(Machine(usable=1, physical=2, logical=4, affinity=4, quota=1.2)).split("\n")[0])
    usable cores         1
    """
    blocks = [list(_facts(machine))]
    if machine.native_pools:
        blocks.append([("native threads", ""), *_pools(machine)])
    if calibration is not None:
        blocks.append([("costs", calibration.source), *_costs(calibration)])
    if machine.derivation:
        blocks.append([("how it was found", ""), *(("", line) for line in machine.derivation)])
    width = max(len(name) for block in blocks for name, _ in block) + 2
    return "\n\n".join("\n".join(_row(name, value, width) for name, value in block) for block in blocks)


def _row(name: str, value: str, width: int) -> str:
    return (f"{name:<{width}}{value}" if name else f"  {value}").rstrip()


def _facts(machine: Machine) -> Iterator[tuple[str, str]]:
    yield "usable cores", str(machine.usable)
    yield "physical cores", str(machine.physical)
    yield "logical processors", f"{machine.logical}, {machine.affinity} of them for this process"
    yield "CPU quota", "none" if machine.quota is None else f"{machine.quota:g} CPUs"
    yield "PYTHON_CPU_COUNT", "not set" if machine.python_cpu_count is None else str(machine.python_cpu_count)
    yield "memory available", _size(machine.memory_available)
    yield "memory limit", "none" if machine.memory_limit is None else _size(machine.memory_limit)
    yield "GIL", "on" if machine.gil else "off"
    yield "start method", machine.start_method
    yield "may fork", _YES if machine.can_fork else _NO
    yield "may start processes", _NO if machine.daemon else _YES
    yield "file descriptors", f"{machine.descriptors} left"


def _pools(machine: Machine) -> Iterator[tuple[str, str]]:
    for pool in machine.native_pools:
        yield f"  {pool.library}", f"{pool.threads}{f' ({pool.version})' if pool.version else ''}"


def _costs(calibration: Calibration) -> Iterator[tuple[str, str]]:
    yield "  start a thread", _time(calibration.thread_start)
    yield "  fork a process", _time(calibration.fork_start)
    yield "  spawn a process", _time(calibration.spawn_start)
    yield "  start joblib", _time(calibration.joblib_start)
    yield "  task to a thread", _time(calibration.thread_task)
    yield "  task to a process", _time(calibration.process_task)
    yield "  send one MiB", _time(calibration.byte * 2**20)


def _size(count: int) -> str:
    """Bytes in the unit that keeps the number short.

    >>> _size(512 << 20), _size(3 << 30)
    ('512 MiB', '3.0 GiB')
    """
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _time(seconds: float) -> str:
    """Seconds in the unit that keeps the number short.

    >>> _time(25e-6), _time(0.0084), _time(1.5)
    ('25 µs', '8.4 ms', '1.5 s')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
