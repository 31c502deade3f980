"""The public types, judged by mypy as a user's checker would judge them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check(path: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Let mypy judge a file."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}"]
    skip = ["--ignore-missing-imports", "--follow-imports=silent"]
    return subprocess.run(
        [*command, *skip, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_api_keeps_the_types(tmp_path: Path) -> None:
    """Every `assert_type` in `api.py` holds, and every misuse there is an error."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    found = check(ROOT / "tests" / "typing" / "api.py", tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_check_can_fail(tmp_path: Path) -> None:
    """A wrong claim is noticed: the check above does not pass because nothing is known."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from typing import assert_type\nimport autoexec\n"
        "assert_type(list(autoexec.map(len, ['a'])), list[str])\n"
    )
    found = check(wrong, tmp_path / "cache")
    assert found.returncode == 1
    assert "assert_type" in found.stdout or "list[int]" in found.stdout
