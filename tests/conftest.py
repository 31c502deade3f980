"""What every test gets: a private cache folder, and a check that nothing is left behind."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:  # workers that are fresh interpreters find the test modules by name
    sys.path.append(ROOT)

pytest_plugins = ("tests.servers.fixtures", "tests.processes.scripts")

# Fixtures are shared by the examples of one test on purpose: they only look for what is left at its end.
settings.register_profile(
    "autoexec",
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("autoexec")

# Who runs the suite in the background, or under nohup, may have it ignore these; children would, too.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (getattr(signal, "SIGHUP", None), signal.SIG_DFL),
    (getattr(signal, "SIGQUIT", None), signal.SIG_DFL),
):
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

PATIENCE_S = 10.0  # threads that are being let go may take a moment on a busy machine
KEPT = ("resource_tracker", "forkserver")  # the standard library's and loky's own helpers live on by design


@given(strategies.none())
def _nothing(value: None) -> None:
    """Holds for any value."""


def pytest_collection_finish() -> None:
    """Thousands of tests that have been found need not be looked through in each collection of garbage."""
    _nothing()  # Hypothesis looks for what refers to its generator: since CPython 3.14 not in frozen objects
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What pools cost is neither read from the user's cache nor written to it."""
    from autoexec.measure import calibration

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOEXEC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("AUTOEXEC_STRICT", "1")  # a run that stands still raises, where it would only say so
        calibration.forget()
        # What a crowded test run makes pools cost must not decide the plans of the tests that follow.
        patch.setattr("autoexec.engine.planning.Planner.learn", lambda planner: None)
        if find_spec("tqdm"):
            from tqdm import tqdm

            tqdm.get_lock()  # it makes a semaphore once and keeps it
        yield
        calibration.forget()


@pytest.fixture(autouse=True)
def usual_costs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans rest on the documented costs of pools, not on what a crowded test run made of them."""
    from autoexec.measure import calibration
    from autoexec.records import Calibration

    if not {"test_calibration", "test_cli"} & set(Path(request.node.path).stem.split(".")):
        monkeypatch.setattr(calibration, "load", Calibration)


@dataclass
class Surroundings:
    """What this process has: threads, children, descriptors, shared memory, switch interval."""

    threads: set[int] = field(default_factory=set)
    children: dict[int, str] = field(default_factory=dict)
    descriptors: dict[str, str] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)
    switch_s: float = 0.0


def _look() -> Surroundings:
    threads = {id(t) for t in threading.enumerate() if t.name.startswith("autoexec")}
    return Surroundings(threads, _children(), _descriptors(), _shared(), sys.getswitchinterval())


def _children() -> dict[int, str]:
    found = {}
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in path.read_text().split():
                command = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                if not any(name in command for name in KEPT):
                    found[int(pid)] = command[:200]
    return found


def _descriptors() -> dict[str, str]:
    """Open descriptors, without those to the helpers that live on."""
    kept = _helpers_descriptors()
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if int(name) not in kept:
                found[name] = os.readlink(f"/proc/self/fd/{name}")
    # The dynamic loader of some builds keeps libffi open; a library is nothing that a test left behind.
    return {name: to for name, to in found.items() if not to.endswith("/fd") and ".so." not in to}


def _helpers_descriptors() -> set[int]:
    kept: set[int] = set()
    for module, holder, names in (
        ("multiprocessing.resource_tracker", "_resource_tracker", ("_fd",)),
        ("joblib.externals.loky.backend.resource_tracker", "_resource_tracker", ("_fd",)),
        ("multiprocessing.forkserver", "_forkserver", ("_forkserver_alive_fd",)),
    ):
        found = getattr(sys.modules.get(module), holder, None)
        kept |= {getattr(found, name, None) for name in names} - {None}
    return kept


def _shared() -> set[str]:
    """Shared memory that belongs to this process."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return set()
    return {p.name for p in folder.iterdir() if f"{os.getpid()}" in p.name or "autoexec" in p.name}


def _left(before: Surroundings, now: Surroundings) -> str:
    words = []
    if now.threads - before.threads:
        words.append(
            f"threads {[t.name for t in threading.enumerate() if id(t) in now.threads - before.threads]}"
        )
    if extra := {pid: what for pid, what in now.children.items() if pid not in before.children}:
        words.append(f"processes {extra}")
    if len(now.descriptors) > len(before.descriptors):
        extra_fds = Counter(now.descriptors.values()) - Counter(before.descriptors.values())
        words.append(f"descriptors {dict(extra_fds)}")
    if now.shared - before.shared:
        words.append(f"shared memory {now.shared - before.shared}")
    if now.switch_s != before.switch_s:
        words.append(f"a switch interval of {now.switch_s}")
    return ", ".join(words)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a thread of ours, a process, a descriptor or shared memory."""
    if not sys.platform.startswith("linux"):
        yield
        return
    before = _look()
    yield
    if kept := sys.modules.get("autoexec.backends.processes.idle"):
        kept.shutdown()  # workers that rest until the next call are kept by design
    until = time.monotonic() + PATIENCE_S
    while left := _left(before, _look()):
        gc.collect()
        if time.monotonic() > until:
            pytest.fail(f"left behind: {left}")
        time.sleep(0.01)


@pytest.fixture
def quiet_loops(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Loops run in debug mode and must not complain: nothing pending is destroyed, no error overlooked."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    yield
    gc.collect()
    loud = [r.getMessage() for r in caplog.records if r.name == "asyncio" and r.levelno >= logging.ERROR]
    assert loud == []


# Tools ------------------------------------------------------------------------------------------------------


@dataclass
class Journal:
    """A file to which items write a line each, from whichever process they run in.

    `note` is a nested function on purpose: it reaches a worker by value, without this module.
    """

    path: str
    note: Callable[[object], None]

    def lines(self) -> list[str]:
        """What was written so far."""
        try:
            return Path(self.path).read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def counts(self) -> Counter[str]:
        """How often each line was written."""
        return Counter(self.lines())

    def wait_for(self, count: int, patience_s: float = PATIENCE_S) -> bool:
        """Whether so many lines appear before patience ends."""
        until = time.monotonic() + patience_s
        while len(self.lines()) < count:
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True


def _noter(path: str) -> Callable[[object], None]:
    def note(what: object) -> None:
        descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        try:
            os.write(descriptor, f"{what}\n".encode())
        finally:
            os.close(descriptor)

    return note


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A fresh journal."""
    path = str(tmp_path / "journal")
    return Journal(path, _noter(path))


def _burner() -> Callable[[float], int]:
    def burn(seconds: float) -> int:
        until, total = time.thread_time() + seconds, 0
        while time.thread_time() < until:
            for i in range(200):
                total ^= i
        return total

    return burn


@pytest.fixture
def burn() -> Callable[[float], int]:
    """Pure-Python work of so many CPU seconds, as a function that travels by value."""
    return _burner()


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are made as on a machine of eight cores, where processes pay off clearly."""
    from autoexec.measure import machine

    real = machine.look

    def look() -> Any:
        return replace(real(), usable=8, physical=8, logical=8, affinity=8, memory_available=8 << 30)

    monkeypatch.setattr(machine, "look", look)
    # How many modules the tests before this one have imported must not decide, either.
    monkeypatch.setattr("autoexec.engine.planning.MODULE_S", 0.0)


@pytest.fixture
def known_costs(eight_cores: None, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The same, and functions cost what their names say, however busy the machine is or gets.

    Those whose names begin with "wait" wait, and all others compute with the GIL held; `held_share` is what
    the probe says of these.
    """
    from autoexec.engine import planning

    real, told = planning.profile_of, SimpleNamespace(held_share=1.0)

    def profile_of(sample: Any, **more: Any) -> Any:
        waits = sample.function.startswith("wait")
        walls = tuple(max(wall, 0.2) for wall in sample.walls)  # worth other processes, however few are left
        known = replace(
            sample,
            walls=walls,
            cpus=(0.0,) * len(walls) if waits else walls,
            running_cpu_s=0.0 if waits else sample.running_s,
            held_share=0.0 if waits else told.held_share,
            looked_s=0.05,
            pressed_cores=None if waits else 1.0,
            native_share=0.0,
            queued_s=0.0,
            child_waited=False,
        )
        return real(known, **more)

    monkeypatch.setattr(planning, "profile_of", profile_of)
    monkeypatch.setattr("autoexec.engine.pool.Pool.drifted", lambda pool, remaining: None)
    return told


def _fork_pool() -> Executor:
    import multiprocessing

    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))


def _spawn_pool() -> Executor:
    import multiprocessing

    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


EXECUTORS: dict[str, Callable[[], Executor]] = {
    "ThreadPoolExecutor": lambda: ThreadPoolExecutor(2),
    "ProcessPoolExecutor-fork": _fork_pool,
    "ProcessPoolExecutor-spawn": _spawn_pool,
}
NAMED = ("auto", "serial", "threads", "processes", "joblib")


@pytest.fixture(params=[*NAMED, *EXECUTORS])
def way(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The options for every way to run, the caller's own executors included."""
    if request.param == "joblib":
        pytest.importorskip("joblib")
    if request.param in EXECUTORS:
        with EXECUTORS[request.param]() as executor:
            yield {"backend": executor}
    else:
        yield {"backend": request.param, "max_workers": 2}
