"""How much memory a process has in use, and what items have added to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec import resident as module
from autoexec.resident import LEAST_BYTES, grown, resident

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
STATUS = "Name:\tpython\nVmPeak:\t  900 kB\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\nRssAnon:\t  100 kB\n"


def status(root: Path, text: str) -> Path:
    """A made-up /proc."""
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/status").write_text(text)
    return root


@needs_linux
def test_both_figures_of_the_status_file(tmp_path: Path) -> None:
    """In memory now, and the most ever, in bytes."""
    assert resident(status(tmp_path, STATUS)) == (200 * 1024, 300 * 1024)


@needs_linux
@pytest.mark.parametrize("text", ["", "VmRSS:", "VmRSS: much kB\nVmHWM: -3 kB\n", "VmRSS:\n\n"])
def test_what_is_not_told_is_0(tmp_path: Path, text: str) -> None:
    """A garbled or missing file says nothing."""
    assert resident(status(tmp_path, text)) == (0, 0)
    assert resident(tmp_path / "nowhere") == (0, 0)


@needs_linux
def test_memory_that_is_touched_is_seen() -> None:
    """The peak rises with what is in use, and stays when that is given back."""
    before = resident()
    size = 64 << 20
    block = b"x" * (before[1] - before[0] + size)  # above whatever this process has needed so far
    during = resident()
    slack = 2 << 20  # what else this process gives back meanwhile, and the kernel's own rounding
    assert during[0] - before[0] >= size - slack
    del block
    after = resident()
    assert grown(before, after) >= size - slack
    assert after[1] + slack >= during[0] > after[0]


@pytest.mark.parametrize(("platform", "factor"), [("darwin", 1), ("freebsd14", 1024)])
def test_elsewhere_only_the_most(monkeypatch: pytest.MonkeyPatch, platform: str, factor: int) -> None:
    """Bytes on macOS, kibibytes on the BSDs."""
    resource = pytest.importorskip("resource")
    usage = type("Usage", (), {"ru_maxrss": 5_000_000})
    monkeypatch.setattr(module.sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda who: usage)
    assert resident() == (0, 5_000_000 * factor)


def test_windows_asks_psutil_if_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing it only for this would take longer than most samples."""
    pytest.importorskip("psutil")
    monkeypatch.setattr(module.sys, "platform", "win32")
    now, most = resident()
    assert 0 < now <= most
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert resident() == (0, 0)


MIB = 1 << 20


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((100, 100), (100, 100), 0),
        ((100, 100), (110, 180), 80),  # a peak, most of it given back
        ((100, 300), (110, 300), 10),  # a peak below an earlier one cannot be seen, what is held can
        ((100, 300), (110, 310), 210),  # above it, it counts from what was in use
        ((100, 300), (50, 300), 0),
        ((0, 300), (0, 340), 40),  # where only the most ever is told
        ((0, 0), (0, 0), 0),
        ((0, 0), (100, 100), 0),  # nothing was told before
    ],
)
def test_growth(before: tuple[int, int], after: tuple[int, int], expected: int) -> None:
    """In mebibytes: from what was in use to the new peak, or to what is held."""
    scaled = [tuple(part * MIB for part in pair) for pair in (before, after)]
    assert grown(*scaled) == expected * MIB  # type: ignore[arg-type]


@given(*[st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40))] * 2)
def test_growth_is_nothing_or_enough_to_tell(before: tuple[int, int], after: tuple[int, int]) -> None:
    """Never negative, never the allocator's own coming and going."""
    found = grown(before, after)
    assert found == 0 or found >= LEAST_BYTES
