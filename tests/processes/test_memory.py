"""Real shortage, in a control group with a limit: one item is lost, and the others no longer run together."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.scripts import Script

GROUPS = Path("/sys/fs/cgroup")
LIMIT = 320 << 20
HEAVY = 160 << 20  # two such items are one too many

WORK = f"""
open({{group!r}} + "/cgroup.procs", "w").write(str(os.getpid()))

def item(x):
    data = bytearray({HEAVY} if x >= 8 else 1 << 20)
    for at in range(0, len(data), 4096):
        data[at] = 1
    return x + sum(range(300_000)) * 0
"""
MAP = """
results = autoexec.map(item, range(24), backend="processes", max_workers=2, on_error="return"{options})
found = list(results)
lost = [value for value in found if not isinstance(value, int)]
assert [value for value in found if isinstance(value, int)] == [
    x for x, value in enumerate(found) if isinstance(value, int)
]
print(len(lost), all("out of memory" in str(error) for error in lost), str(results.plan.reason))
"""


def _made() -> tuple[Path, str]:
    """A new control group below ours, and the name of its limit."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            group, limit = GROUPS / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
        elif not controllers and "memory" in _switched_on(GROUPS / path.lstrip("/")):
            group, limit = GROUPS / path.lstrip("/"), "memory.max"
        else:
            continue
        made = group / f"autoexec-{os.getpid()}"
        made.mkdir()
        return made, limit
    raise OSError("no control group counts memory here")


def _switched_on(group: Path) -> list[str]:
    try:
        return (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return []


def _remove(group: Path) -> None:
    """A process that has just ended may still be counted for a moment."""
    until = time.monotonic() + 10.0
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            os.sched_yield()
        else:
            return


@pytest.fixture
def group() -> Iterator[str]:
    """The folder of a control group that allows too little memory for two heavy items at once."""
    try:
        made, limit = _made()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (made / limit).write_text(str(LIMIT))
        swap = made / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
        yield str(made)
    finally:
        _remove(made)


@pytest.mark.parametrize(("options", "most"), [("", 1), (", retries=3", 0)], ids=["", "retries"])
def test_the_kernel_ends_one_worker_and_no_more(options: str, most: int, group: str, script: Script) -> None:
    """Without the lesson of the first death, every other heavy item would be lost."""
    code, out, err = script.run(WORK.format(group=group) + MAP.format(options=options))
    assert code == 0, err
    lost, named, words = out.split(None, 2)
    assert int(lost) <= most and named == "True"
    assert "memory ran out" in words or "memory was short" in words
