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
    "annotate_images": ["16 images in", "80 calls", "nucleus"],
    "as_executor": ["20 digests", "divisors at most in 20 numbers", "again, in order: True"],
    "count_nuclei": ["nuclei in", "20 cuts of it"],
    "crawl_async": ["250 titles in", "'Slow servers, part 36'", "crawled 20 pages"],
    "crunch_numbers": ["200 widths in", "highest density 0."],
    "download_files": ["24 files", "1 failed", "/status/404: 404 Client Error"],
    "fetch_and_parse": ["54000 bold words in 60 pages", "7716 meadow"],
    "large_arrays": ["6 MB captured, 25 MB returned", "the stack is what it was: True"],
    "scrape_api": [": 10 calls, 0 of them retries", ": 0 calls, 0 of them retries", "250 articles"],
}
SERVICE = ("requests", "httpbin", "waitress", "tqdm", "tenacity", "pyrate_limiter")
NEEDED = {
    "annotate_images": SERVICE,
    "count_nuclei": ("scipy", "skimage"),
    "crawl_async": (*SERVICE, "httpx"),
    "download_files": SERVICE,
    "large_arrays": ("numpy",),
    "scrape_api": SERVICE,
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


PAGES = {
    "README.md": ["for-code-that-expects-one", "Small files, part 1", "it held item 42 (42)"],
    "docs/io.md": ["note 19", "/status/404 404", "0 retries, 0 refusals"],
    "docs/backends.md": ["['A', 'B']"],
    "docs/processes.md": ["62 MB of results", "it held item 13 (13)", "result['source'] (sqlite3"],
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_page(page, tmp_path, httpbin_url):
    """The Python blocks of a page, in order, are one program that works."""
    missing = [package for package in (*SERVICE, "httpx", "numpy") if find_spec(package) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install 'autoexec-futures[demo]'")
    text = (FOLDER.parent / page).read_text(encoding="utf-8").replace("https://example.org", httpbin_url)
    script = tmp_path / "page.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    for words in PAGES[page]:
        assert words in done.stdout
