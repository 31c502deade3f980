"""What pools cost: learned, clamped, kept, and never in the way."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoexec.measure import calibration, machine
from autoexec.records import Calibration

DEFAULTS = Calibration()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own, and no figures in memory before or after."""
    monkeypatch.setenv("AUTOEXEC_CACHE_DIR", str(tmp_path / "cache"))
    calibration.forget()
    yield tmp_path / "cache" / "calibration.txt"
    calibration.forget()


def rewrite(path: Path, old: str, new: str) -> None:
    """Change some text of a file that has it."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_nothing_kept_means_defaults(cache: Path) -> None:
    """Without a file the defaults hold, and reading creates nothing."""
    assert calibration.load() == DEFAULTS
    assert not cache.parent.exists()


def test_learned_figures_come_back(cache: Path) -> None:
    """What was learned is there for the next process."""
    calibration.learn(fork_start=0.02)
    known = calibration.load()
    calibration.flush()
    calibration.forget()
    assert calibration.load().fork_start == pytest.approx(known.fork_start)
    assert DEFAULTS.fork_start < known.fork_start < 0.02
    assert known.source != DEFAULTS.source


def test_the_file_is_read_once(cache: Path) -> None:
    """Later loads answer from memory."""
    calibration.learn(byte=2e-9)
    calibration.flush()
    known = calibration.load()
    cache.unlink()
    assert calibration.load() is known


def test_the_file_is_private_and_whole(cache: Path) -> None:
    """Only the user can read it, and no draft stays behind."""
    calibration.learn(byte=2e-9)
    calibration.flush()
    assert [entry.name for entry in cache.parent.iterdir()] == ["calibration.txt"]
    if os.name == "posix":
        assert cache.stat().st_mode & 0o777 == 0o600
        assert cache.parent.stat().st_mode & 0o077 == 0


def test_learning_converges() -> None:
    """The same observation again and again becomes the figure."""
    for _ in range(60):
        calibration.learn(thread_task=50e-6)
    assert calibration.load().thread_task == pytest.approx(50e-6, rel=1e-3)


def test_one_outlier_moves_a_known_figure_little() -> None:
    """A fifth of the way, and never beyond the span around the default."""
    for _ in range(60):
        calibration.learn(spawn_start=0.06)
    calibration.learn(spawn_start=0.1)
    before = calibration.load().spawn_start
    calibration.learn(spawn_start=3600.0)
    assert calibration.load().spawn_start <= before + 0.2 * (20 * DEFAULTS.spawn_start)


@given(st.lists(st.floats(), max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_figures_stay_in_their_span(seen: list[float]) -> None:
    """Whatever is seen, a figure stays between a tenth and twenty times its default."""
    calibration.forget()
    for value in seen:
        calibration.learn(byte=value)
    assert DEFAULTS.byte / 10 <= calibration.load().byte <= 20 * DEFAULTS.byte * (1 + 1e-9)
    calibration.forget()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_nonsense_teaches_nothing(value: float) -> None:
    """Not a number, infinite, negative: ignored."""
    calibration.learn(fork_start=value)
    assert calibration.load() == DEFAULTS


def test_unknown_names_are_mistakes() -> None:
    """A figure that does not exist is the caller's error, `source` included."""
    with pytest.raises(TypeError, match="fork_stop"):
        calibration.learn(fork_stop=1.0)
    with pytest.raises(TypeError, match="source"):
        calibration.learn(source=1.0)


@pytest.mark.parametrize("old", [f"calibration {calibration.VERSION}", "autoexec"])
def test_another_version_is_not_read(cache: Path, old: str) -> None:
    """The heading must be this version's; the file is then replaced, not mended."""
    calibration.learn(fork_start=0.02)
    calibration.flush()
    rewrite(cache, old, old + "0")
    calibration.forget()
    assert calibration.load() == DEFAULTS


def test_another_host_is_not_read_and_not_lost(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that share a home folder keep their figures side by side."""
    calibration.learn(fork_start=0.02)
    calibration.flush()
    here = calibration.load()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(calibration, "_host", lambda: ("elsewhere", "6.0"))
        calibration.forget()
        assert calibration.load() == DEFAULTS
        calibration.learn(fork_start=0.004)
        calibration.flush()
    calibration.forget()
    assert calibration.load().fork_start == pytest.approx(here.fork_start)


def test_the_file_does_not_grow_without_end(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers invent a host name each time; the oldest lines go."""
    for number in range(80):
        monkeypatch.setattr(calibration, "_host", lambda name=f"host{number}": (name, "6.0"))
        calibration.forget()
        calibration.learn(fork_start=0.02)
        calibration.flush()
    lines = cache.read_text().splitlines()
    assert len(lines) == 65
    assert lines[-1].startswith("host79/")
    assert lines[1].startswith("host16/")


def test_host_key_has_all_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, cores, Python and kernel each change it; blanks in a name cannot break the file."""
    monkeypatch.setattr(calibration, "_host", lambda: ("my host\tname", "6.1"))
    monkeypatch.setattr(machine, "usable_cores", lambda: 3)
    key = calibration.host_key()
    assert key.startswith("my-host-name/3/")
    assert "\t" not in key
    assert str(sys.version_info[1]) in key
    monkeypatch.setattr(calibration, "_host", lambda: ("my host\tname", "6.2"))
    assert calibration.host_key() != key


def test_missing_and_odd_entries_keep_their_defaults(cache: Path) -> None:
    """A line is used for what it holds that makes sense, within the span."""
    cache.parent.mkdir()
    line = f"{calibration.host_key()}\there\tfork_start=0.01\tbyte=nan\tspawn_start=9e9\tother=1\tsource=2\tx"
    cache.write_text(f"autoexec calibration {calibration.VERSION}\n{line}\n")
    known = calibration.load()
    assert (known.fork_start, known.byte, known.source) == (0.01, DEFAULTS.byte, "here")
    assert known.spawn_start == pytest.approx(20 * DEFAULTS.spawn_start)


@given(st.binary(max_size=300), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_loads(cache: Path, content: bytes, headed: bool) -> None:
    """Whatever bytes the file holds, figures come out, and the next save works."""
    cache.parent.mkdir(exist_ok=True)
    heading = f"autoexec calibration {calibration.VERSION}\n{calibration.host_key()}\t".encode()
    cache.write_bytes((heading if headed else b"") + content)
    calibration.forget()
    assert calibration.load().fork_start > 0
    calibration.learn(fork_start=0.01)
    calibration.flush()
    calibration.forget()
    assert calibration.load().source.startswith("learned")


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the folder should be: the figures live in memory, nothing raises."""
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("AUTOEXEC_CACHE_DIR", str(tmp_path / "blocked" / "cache"))
    calibration.learn(fork_start=0.02)
    calibration.flush()
    assert calibration.load().fork_start > DEFAULTS.fork_start


def test_a_full_disk_leaves_the_old_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the draft cannot be put in place it goes away, and the old file stays whole."""
    calibration.learn(fork_start=0.02)
    calibration.flush()
    before = cache.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "replace", full)
        calibration.learn(fork_start=0.001)
        calibration.flush()
    assert cache.read_bytes() == before
    assert [entry.name for entry in cache.parent.iterdir()] == ["calibration.txt"]


def test_nobody_home_means_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an absolute place there is no file, and all else works."""
    monkeypatch.setenv("AUTOEXEC_CACHE_DIR", "relative/folder")
    assert calibration.cache_file() is None
    calibration.learn(fork_start=0.02)
    calibration.flush()
    calibration.forget()
    assert calibration.load() == DEFAULTS


def test_workers_do_not_write(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the process that plans keeps figures."""
    monkeypatch.setattr("autoexec.role.in_worker", True)
    calibration.learn(fork_start=0.02)
    calibration.flush()
    assert not cache.exists()


@pytest.mark.parametrize("xdg", [None, "", "relative", "/somewhere/else"])
def test_the_place_is_platformdirs_place(monkeypatch: pytest.MonkeyPatch, xdg: str | None) -> None:
    """The short way that spares an import must agree with the library it stands for."""
    platformdirs = pytest.importorskip("platformdirs")
    monkeypatch.delenv("AUTOEXEC_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if xdg is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    expected = platformdirs.user_cache_path("autoexec", appauthor=False) / "calibration.txt"
    assert calibration.cache_file() == str(expected)


def test_exit_saves_once(cache: Path) -> None:
    """A process that learned leaves its figures when it ends, a forked child of it does not."""
    code = """
import os
from autoexec.measure import calibration
calibration.learn(fork_start=0.02)
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        calibration.learn()  # nothing seen, so the child owns nothing
        raise SystemExit
    os.waitpid(child, 0)
    assert not os.path.exists(calibration.cache_file())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert calibration.load().fork_start > DEFAULTS.fork_start


def test_measuring_leaves_figures_and_nothing_else(cache: Path) -> None:
    """The real trial: every figure in its span, saved, no thread left."""
    threads = set(threading.enumerate())
    found = calibration.measure()
    assert found.source.startswith("measured")
    assert cache.exists()
    assert set(threading.enumerate()) <= threads
    for name, default in calibration._DEFAULTS.items():
        assert default / 10.001 <= getattr(found, name) <= default * 20.001
    calibration.forget()
    assert calibration.load().spawn_start == pytest.approx(found.spawn_start, rel=1e-4)


def test_measuring_does_not_fork_with_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any second thread, native ones included, forbids the fork trial."""
    monkeypatch.setattr(calibration, "_threads", lambda: 2)
    assert calibration._try_fork() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_measuring_forks_where_it_is_alone() -> None:
    """In a process of one thread the fork is tried, without a warning and without a child left."""
    code = """
import os
from autoexec.measure import calibration
seen = calibration._try_fork()
assert sorted(seen) == ["fork_start", "process_task"] and min(seen.values()) > 0, seen
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("alone")
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "alone", done.stderr


def test_measuring_survives_a_broken_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a Python to start, the figures for it stay as they were."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    multiprocessing = pytest.importorskip("multiprocessing.spawn")
    monkeypatch.setattr(multiprocessing, "_python_exe", os.fsencode(tmp_path / "missing"))
    assert calibration.measure().spawn_start == DEFAULTS.spawn_start
