"""Workers at rest: used again where that changes nothing, and ended in time."""

from __future__ import annotations

import importlib
import io
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import autoexec
from autoexec.backends.opening import WorkerConfig
from autoexec.backends.processes import idle, server, start
from tests.backends.opened import fork, opened

ROOT = str(Path(__file__).parents[2])
STATE = ("a state", 1)


def _map(call: Callable[..., Any], items: Any = range(6), **more: Any) -> list[Any]:
    return list(autoexec.map(call, items, backend="processes", **{"max_workers": 2, **more}))


def _resting() -> list[Any]:
    return idle._kept.resting


@pytest.fixture
def forking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither pytest's native thread, which watches the time, nor other tests keep anybody from forking."""
    monkeypatch.setattr(start, "_threads", lambda: 1)
    monkeypatch.setattr("autoexec.measure.machine._can_fork", lambda *_: True)


@pytest.fixture(params=["forked", "fresh"])
def started(request: pytest.FixtureRequest, forking: None) -> Iterator[str]:
    """Both ways to start workers: with another thread running nothing is forked."""
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait, args=(60,))
    if request.param == "fresh":
        thread.start()
    yield request.param
    gate.set()
    if request.param == "fresh":
        thread.join()


# Used again -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("started")
def test_ten_maps_in_a_row_have_the_same_workers() -> None:
    """They are started once."""
    call = lambda x: os.getpid()  # noqa: E731
    seen = [set(_map(call, range(20), chunksize=1)) for _ in range(10)]
    assert len(set.union(*seen)) <= 2 and len(_resting()) == len({w.pid for w in _resting()}) <= 2


def test_workers_are_kept_for_the_same_terms_only() -> None:
    """Seats, cores and private copies are decided when they start."""
    pids = []
    for config in (
        WorkerConfig(),
        WorkerConfig(cores=2),
        WorkerConfig(writable="copy"),
        WorkerConfig(threads=2),
        WorkerConfig(),
    ):
        with opened(os.getpid, fork=True, config=config, state=STATE) as pool:
            pids.append(pool.pids)
    assert pids[0] == pids[4] and len({min(found) for found in pids}) == 4


@pytest.mark.parametrize("travels", [True, False])
def test_workers_that_do_not_know_the_function(travels: bool) -> None:
    """They are asked only if it brings along all that it needs, and a fork would not do."""
    with opened(lambda x: os.getpid(), state=STATE) as pool:
        first = set(pool.run([0], 1).values())
    with opened(lambda x: os.getpid(), state="other", travels=travels) as pool:
        assert (set(pool.run([0], 1).values()) == first) == travels
    with opened(lambda x: os.getpid(), fork=True, state="third", travels=True) as pool:
        assert set(pool.run([0], 1).values()) != first


def test_a_copy_of_the_caller_serves_the_function_that_it_knows_only() -> None:
    """It has all that the caller had then, patches of libraries included."""
    with opened(_pid, fork=True, state=STATE) as pool:
        pids = pool.pids
    with opened(_pid, state="other", travels=True) as pool:
        pool.run([0], 1)
        assert not pool.pids & pids
    assert len(_resting()) == 2


def test_workers_with_streams_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a copy prints would go to a stream that the caller had then."""
    pids = []
    for stream in (io.StringIO(), io.StringIO(), None):
        if stream is not None:
            monkeypatch.setattr(sys, "stdout", stream)
        with opened(_pid, fork=True, state=STATE) as pool:
            pids.append(pool.pids)
    assert not pids[0] & pids[1] and pids[1] == pids[2]


def test_workers_whose_output_leads_elsewhere(tmp_path: Path) -> None:
    """Descriptor 1 of the caller is another file by now."""
    with opened(_pid, fork=True, state=STATE) as pool:
        pids, kept = pool.pids, os.dup(1)
    try:
        with open(tmp_path / "out", "w") as file:
            os.dup2(file.fileno(), 1)
        with opened(_pid, fork=True, state=STATE) as pool:
            assert not pool.pids & pids
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def test_forked_workers_with_the_input_are_not_used_for_another_one() -> None:
    """Who inherits the input must be forked after it was made."""
    for items in ([1, 2, 3], [4, 5, 6]):
        from dataclasses import replace

        from tests.backends.opened import SETTING

        with opened(abs, fork=True, state=STATE, setting=replace(SETTING, inherited=items)) as pool:
            assert list(pool.run(items, 3).values()) == items


def test_a_worker_that_is_kept_is_not_kept_twice() -> None:
    """Each call takes its own; the surplus is ended."""
    with (
        opened(abs, fork=True, state=STATE) as first,
        opened(abs, fork=True, state=STATE) as second,
    ):
        assert not first.pids & second.pids
    assert len(_resting()) == 2 and len({w.pid for w in _resting()}) == 2


def test_no_more_than_some_workers_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first."""
    monkeypatch.setattr(idle, "EACH", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    pids = []
    for state in range(4):
        with opened(abs, fork=True, state=state) as pool:
            pids += pool.pids
    assert [w.pid for w in _resting()] == pids[2:]


def test_a_copy_of_a_large_caller_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold on to the caller's memory."""
    monkeypatch.setattr(idle, "FORKED_BYTES", 1)
    with opened(abs, fork=True, state=STATE):
        pass
    assert _resting() == []


def test_no_worker_is_kept_after_an_early_close(journal: Any) -> None:
    """It may be in the middle of something."""
    note = journal.note

    def work(x: int) -> int:
        note(x)
        if x:
            threading.Event().wait()
        return x

    results = autoexec.map(work, range(6), backend="processes", max_workers=2)
    assert next(iter(results)) == 0 and journal.wait_for(2)
    results.close()
    assert _resting() == []


def test_no_worker_is_kept_where_that_is_not_wanted() -> None:
    """As for a call with an initializer."""
    with opened(abs, fork=True, state=STATE, keep=False) as pool:
        assert pool.run([-1], 1) == {0: 1}
    assert _resting() == []


def test_workers_with_seats_are_kept_whole() -> None:
    """All of their seats come back, also those that nobody used."""
    with opened(_pid, config=WorkerConfig(threads=3), state=STATE) as pool:
        (pid,) = pool.run([0], 1).values()
    with opened(_pid, config=WorkerConfig(threads=3), state=STATE) as pool:
        assert set(pool.run([0] * 6, 1).values()) == {pid}


def _pid(_: Any) -> int:
    return os.getpid()


def test_a_worker_that_died_at_rest_is_forgotten() -> None:
    """The next call does without it, and lets go of what belonged to it."""
    with opened(_pid, fork=True, state=STATE) as pool:
        (pid,) = pool.pids
    watched = os.pidfd_open(pid)
    os.kill(pid, 9)
    assert select.select([watched], [], [], 20)[0]
    os.close(watched)
    with opened(_pid, fork=True, state=STATE) as pool:
        assert pool.run([0], 1)[0] != pid
    assert [w.pid for w in _resting()] != [pid] and len(_resting()) == 1


# Never out of date ------------------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Writes a module, and loads it anew.

    Nobody keeps bytecode of it, here or in a fresh worker: another text of the same length in the same second
    would pass for what it was made from.
    """
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def write(text: str) -> ModuleType:
        (tmp_path / "changing_module.py").write_text(text)
        sys.modules.pop("changing_module", None)
        importlib.invalidate_caches()
        return importlib.import_module("changing_module")

    yield write
    sys.modules.pop("changing_module", None)


CASES = {
    "a function's own code": ("def work(x): return {}",),
    "a global": ("VALUE = {}\ndef work(x): return VALUE",),
    "a global container": ("VALUES = [{}]\ndef work(x): return VALUES[0]",),
    "a default": ("def work(x, y={}): return y",),
    "a keyword's default": ("def work(x, *, y={}): return y",),
    "a helper": ("def helper(): return {}\ndef work(x): return helper()",),
    "a helper's global": ("V = {}\ndef helper(): return V\ndef work(x): return helper()",),
    "a captured value": ("def make(v):\n    def work(x): return v\n    return work\nwork = make({})",),
    "a class": ("class C:\n    v = {}\ndef work(x): return C.v",),
    "a bound method": ("class C:\n    v = {}\n    def m(self, x): return self.v\nwork = C().m",),
    "an attribute of the function": ("def work(x): return work.v\nwork.v = {}",),
    "a partial": ("from functools import partial\ndef f(v, x): return v\nwork = partial(f, {})",),
    "a nested function": ("V = {}\ndef work(x):\n    def inner(): return V\n    return inner()",),
    "an import when it runs": ("V = {}\ndef work(x):\n    import changing_module as m\n    return m.V",),
    "an import from": ("V = {}\ndef work(x):\n    from changing_module import V\n    return V",),
}


@pytest.mark.parametrize("case", CASES)
def test_a_module_that_changed_gives_the_new_answer(
    module: Callable[[str], ModuleType], started: str, case: str
) -> None:
    """Whatever of it has changed between two calls, workers of the first one do not answer for it."""
    (text,) = CASES[case]
    for value in (1, 2, 1):
        assert _map(module(text.format(value)).work, max_workers=1) == [value] * 6


@pytest.mark.usefixtures("forking")
@pytest.mark.parametrize("case", ["a global", "a global container", "a helper's global", "a class"])
def test_a_state_that_changed_gives_the_new_answer(module: Callable[[str], ModuleType], case: str) -> None:
    """The same, where the caller sets it in its own memory: forked workers have it."""
    found = module(CASES[case][0].format(1))
    assert _map(found.work, max_workers=1) == [1] * 6
    if case == "a class":
        found.C.v = 2
    elif case == "a global container":
        found.VALUES[0] = 2
    else:
        setattr(found, "V" if "helper" in case else "VALUE", 2)
    assert _map(found.work, max_workers=1) == [2] * 6


def test_a_lambda_sent_from_main_gives_the_new_answer() -> None:
    """Two functions that differ in what they hold only."""
    for value in (1, 2):
        assert _map(lambda x, v=value: v) == [value] * 6
        held = {"value": value}
        assert _map(lambda x, held=held: held["value"]) == [value] * 6


def test_an_item_of_a_class_of_main_that_changed() -> None:
    """Items go by value to a worker that has an older `__main__`, as after a notebook cell ran again."""
    code = (
        "import autoexec\n"
        "for value in (1, 2):\n"
        "    exec(f'class P:\\n    def get(self): return {value}')\n"
        "    print(set(autoexec.map(lambda p: p.get(), [P() for _ in range(6)],\n"
        "          backend='processes', max_workers=1)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=30, check=False
    )
    assert ended.stdout == "{1}\n{2}\n", ended.stderr


# Scene ------------------------------------------------------------------------------------------------------


def _scene(_: int) -> tuple[str, str | None, str]:
    return os.getcwd(), os.environ.get("AUTOEXEC_TEST_SCENE"), sys.path[-1]


def test_a_kept_worker_works_where_the_caller_works_now(
    started: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directory, environment and import path follow the caller."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("AUTOEXEC_TEST_SCENE", name)
        monkeypatch.setattr(sys, "path", [*sys.path, f"/nowhere/{name}"])
        with opened(_scene, fork=started == "forked", state=STATE) as pool:
            assert pool.run([0], 1)[0] == (str(tmp_path / name), name, f"/nowhere/{name}")
            pids = pool.pids if name == "one" else pids  # noqa: F821
            assert pool.pids == pids
    monkeypatch.delenv("AUTOEXEC_TEST_SCENE")
    with opened(_scene, fork=started == "forked", state=STATE) as pool:
        assert pool.run([0], 1)[0][1] is None and pool.pids == pids


def test_where_an_item_moved_to_is_not_where_the_next_call_works(tmp_path: Path) -> None:
    """What items do to directory and environment ends with their call."""

    def wander(_: int) -> None:
        os.chdir(tmp_path)
        os.environ["AUTOEXEC_TEST_SCENE"] = "set by an item"
        sys.path.append("/nowhere")

    with opened(wander, state=STATE) as pool:
        pool.run([0], 1)
        pids = pool.pids
    with opened(_scene, state="other", travels=True) as pool:
        found = pool.run([0], 1)[0]
        assert pool.pids == pids
    assert found == (os.getcwd(), os.environ.get("AUTOEXEC_TEST_SCENE"), sys.path[-1])


def test_a_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller works in no directory at all: its workers stay where they were."""
    with opened(_pid, fork=True, state=STATE):
        pass
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with opened(_pid, fork=True, state=STATE) as pool:
        assert pool.run([0], 1)[0] in pool.pids


# Connections, and the end -----------------------------------------------------------------------------------


def test_a_worker_at_rest_keeps_no_connection_of_the_caller_open() -> None:
    """When the caller closes its end, the peer sees the end, although copies were made by a fork."""
    mine, peer = socket.socketpair()
    reading, writing = os.pipe()
    with opened(_pid, fork=True, state=STATE) as pool:
        pool.run([0], 1)
    assert len(_resting()) == 1
    mine.close()
    os.close(writing)
    assert select.select([peer], [], [], 20)[0] and peer.recv(1) == b""
    assert select.select([reading], [], [], 20)[0] and os.read(reading, 1) == b""
    peer.close()
    os.close(reading)
    with opened(_pid, fork=True, state=STATE) as again:
        assert again.run([0], 1)[0] in again.pids


def _ended(pids: set[int]) -> bool:
    """Whether these children have been waited for."""
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


@pytest.mark.usefixtures("started")
def test_shutdown_ends_all_that_rest() -> None:
    """At once; the next call starts new ones."""
    pids = set(_map(lambda x: os.getpid()))
    assert _resting()
    autoexec.shutdown()
    assert _resting() == [] and _ended(pids)
    assert not pids & set(_map(lambda x: os.getpid()))
    autoexec.shutdown()
    autoexec.shutdown()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_worker_ends_when_it_has_rested_for_long(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """A forked worker inherits the short patience of this test."""
    monkeypatch.setattr(server, "REST_S", 0.02)
    with opened(_pid, fork=True, state=STATE, config=WorkerConfig(threads=threads)) as pool:
        pool.run([0], 1)
        (pid,) = pool.pids
    watched = os.pidfd_open(pid)
    assert select.select([watched], [], [], 20)[0]
    os.close(watched)
    monkeypatch.setattr(server, "REST_S", 30.0)
    with opened(_pid, fork=True, state=STATE, config=WorkerConfig(threads=threads)) as pool:
        assert pool.run([0], 1)[0] != pid


def test_workers_end_with_their_caller() -> None:
    """At a normal exit nothing is waited for, and nobody stays."""
    code = (
        "import autoexec, os\n"
        "list(autoexec.map(lambda x: os.write(1, b'.'), range(4), backend='processes', max_workers=2))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        out = process.stdout.read()  # ends with the last process that has it
        assert process.wait(20) == 0 and out == b"...."


def test_a_forked_child_leaves_the_resting_to_its_parent() -> None:
    """It has none, and ending does not end them."""
    with opened(_pid, fork=True, state=STATE) as pool:
        pids = pool.pids
    child = fork()
    if child == 0:
        idle.shutdown()
        os._exit(len(idle._kept.resting))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with opened(_pid, fork=True, state=STATE) as pool:
        assert pool.pids == pids and pool.run([0], 1)[0] in pids


def test_whether_somebody_knows_a_function() -> None:
    """By its state."""
    assert not idle.knows(STATE) and not idle.knows(None)
    with opened(abs, fork=True, state=STATE):
        pass
    assert idle.knows(STATE) and not idle.knows("other")
