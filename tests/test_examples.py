"""Every example runs as a user would run it, on little input."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"

EXPECTED = {
    "as_executor": ["20 digests", "divisors at most in 20 numbers", "again, in order: True"],
    "count_nuclei": ["nuclei in", "20 cuts of it"],
    "crunch_numbers": ["200 widths in", "highest density 0."],
    "scrape_api": ["40 answers"],
}
NEEDED = {
    "count_nuclei": ("scipy", "skimage"),
    "scrape_api": ("requests", "httpbin", "waitress"),
}


def run(name, *arguments):
    """Run an example in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_example_is_left_out():
    """Each file in examples/ has its expectations here."""
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_example(name):
    """The example ends well and prints what it is about."""
    missing = [package for package in NEEDED.get(name, ()) if find_spec(package) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install 'autoexec-futures[demo]'")
    printed = run(name, "--small")
    for text in EXPECTED[name]:
        assert text in printed


@pytest.mark.slow
def test_readme(tmp_path):
    """The README's Python blocks, in order, are one program that works."""
    text = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    script = tmp_path / "readme.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=45, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "for-code-that-expects-one" in done.stdout
