"""A map at the top level of a module that is being imported ends: its workers do not wait for that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import autoexec

TABLES = """
import dataclasses, time, autoexec
from helpers import build
@dataclasses.dataclass
class Row:
    n: int
def make(i):
    end = time.thread_time() + 0.01
    while time.thread_time() < end: pass
    return Row(i)
def lazy(i):
    time.sleep(0.02)
    from tables import Row
    return Row(i)
def mapped(*args, **options):
    results = autoexec.map(*args, **options)
    found = [row.n for row in results]
    return found, str(results.plan)
def submitted():
    with autoexec.Executor() as executor:
        return [future.result().n for future in [executor.submit(make, i) for i in range(40)]], ""
RESULT = {call}
"""
HELPERS = """
import time
def build(row):
    end = time.thread_time() + 0.01
    while time.thread_time() < end: pass
    return row
"""


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ("mapped(make, range(40))", True),
        ("mapped(lazy, range(40))", True),
        ("mapped(build, [Row(i) for i in range(40)])", True),
        ("mapped(make, range(40), backend='processes', max_workers=2)", True),
        ("mapped(make, range(40), backend='threads')", False),
        ("submitted()", False),
    ],
)
def test_a_map_while_its_module_is_imported_ends(call: str, tmp_path: Path, *, named: bool) -> None:
    """With the results of a loop; the plan names the module."""
    (tmp_path / "tables.py").write_text(TABLES.replace("{call}", call))
    (tmp_path / "helpers.py").write_text(HELPERS)
    root = str(Path(autoexec.__file__).parents[1])
    code = (
        f"import sys; sys.path[:0] = [{root!r}, {str(tmp_path)!r}]\n"
        "import tables; found, plan = tables.RESULT\n"
        "assert found == list(range(40)), found\nprint(plan)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not named or "'tables'" in done.stdout
