"""What items leave behind in worker processes goes with the program, as after a `ProcessPoolExecutor`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from autoexec.backends.processes import left_behind

HEADER = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

KEEP = []
WAY = multiprocessing.get_context("fork")

def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]

def daemon(x):
    child = WAY.Process(target=WAY.Queue().get, daemon=True)
    child.start()
    return child.pid

def plain(x):
    child = WAY.Process(target=note, args=("done",))
    child.start()
    return child.pid

def pool(x):
    KEEP.append(WAY.Pool(1))
    return KEEP[-1].apply(os.getpid)

def manager(x):
    KEEP.append(multiprocessing.Manager())
    return children()[0]

def executor(x):
    KEEP.append(ProcessPoolExecutor(1, mp_context=WAY))
    return KEEP[-1].submit(os.getpid).result()

def daemon_and_fork(x):
    pid = daemon(x)
    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)
    os.kill(pid, 0)
    with open(f"/proc/{pid}/stat") as file:
        assert " Z " not in file.read(), "a child of its item has ended it"
    return pid
"""
MAP = "list(autoexec.map(FUNCTION, range(2), backend='processes', max_workers=2, chunksize=1))"
ONCE = MAP.replace("chunksize=1", "chunksize=1, initializer=abs, initargs=(1,)")
EXECUTOR = "list(autoexec.Executor(2, backend='processes').map(FUNCTION, range(2)))"
FORKED, FRESH = "", "threading.Thread(target=threading.Event().wait, daemon=True).start()"


@pytest.mark.parametrize("way", [FORKED, FRESH], ids=["forked", "fresh"])
@pytest.mark.parametrize("call", [MAP, ONCE, EXECUTOR], ids=["kept", "once", "executor"])
@pytest.mark.parametrize("kind", ["daemon", "plain", "pool", "manager", "executor", "daemon_and_fork"])
def test_nothing_is_left_when_the_program_has_ended(script: Any, kind: str, call: str, way: str) -> None:
    """Daemons are ended, others have ended, pools and managers are closed."""
    body = f"""
{HEADER}
if __name__ == "__main__":
    {way}
    note(len({call.replace("FUNCTION", kind)}))
"""
    code, _, err = script.run(body)
    assert (code, err) == (0, "") and "2" in script.lines()
    assert script.lines().count("done") == (2 if kind == "plain" else 0)
    assert script.left(10.0) == []


def test_the_callers_own_children_are_left_alone(script: Any) -> None:
    """A forked worker has copies of the caller's books; what stands there is the caller's to end."""
    body = f"""
{HEADER}
if __name__ == "__main__":
    pid = daemon(0)
    KEEP.append(multiprocessing.Manager())
    shared = KEEP[-1].list()
    list(autoexec.map(abs, range(2), backend="processes", max_workers=2))
    autoexec.shutdown()
    shared.append(1)
    note([child.pid for child in multiprocessing.active_children()].count(pid))
"""
    code, _, err = script.run(body)
    assert (code, err, script.lines()) == (0, "", ["1"])
    assert script.left(10.0) == []


KILLED = """
def killed(x):
    import multiprocessing
    way = multiprocessing.get_context(WAY)
    KEEP.append(WHAT(way))
    {note("left") for child in multiprocessing.active_children()}
    os.kill(os.getpid(), signal.SIGKILL)
"""
LEFT = {
    "daemon": "way.Process(target=time.sleep, args=(600,), daemon=True)",
    "plain": "way.Process(target=time.sleep, args=(600,))",
    "manager": "way.Manager()",
    "pool": "way.Pool(2)",
    "executor": "ProcessPoolExecutor(2, mp_context=way)",
}
STARTED = {"executor": "made.submit(abs, 1).result()", "daemon": "made.start()", "plain": "made.start()"}


@pytest.mark.parametrize(
    ("kind", "method", "way"),
    [
        *((kind, "fork", FORKED) for kind in LEFT),
        ("daemon", "spawn", FORKED),
        ("daemon", "forkserver", FRESH),
    ],
)
def test_a_worker_that_is_killed_leaves_nothing(script: Any, kind: str, method: str, way: str) -> None:
    """It cannot end what its items have started: its caller does, whenever multiprocessing was imported."""
    body = f"""
import signal
KEEP = []
def make(way):
    from concurrent.futures import ProcessPoolExecutor
    made = {LEFT[kind]}
    {STARTED.get(kind, "")}
    return made
{KILLED.replace("WAY", repr(method)).replace("WHAT", "make")}
if __name__ == "__main__":
    {way}
    found = list(autoexec.map(killed, range(2), backend="processes", max_workers=1, on_error="return"))
    note([type(each).__name__ for each in found])
"""
    code, _, _ = script.run(body)
    assert code == 0 and script.lines()[-1] == "['WorkerDied', 'WorkerDied']"
    assert "left" in script.lines() and script.left(10.0) == []


def test_programs_that_an_item_started_outlive_it(script: Any) -> None:
    """As in the loop: whoever starts a program and does not wait for it wants it to run on."""
    body = """
import signal, subprocess
NONE = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
def work(x):
    note(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **NONE).pid)
    os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    list(autoexec.map(work, range(1), backend="processes", max_workers=1, on_error="return"))
"""
    code, _, _ = script.run(body)
    assert code == 0
    (pid,) = map(int, script.lines())
    os.kill(pid, signal.SIGKILL)  # it was there
    assert script.left(10.0) == []


def test_a_stranger_with_the_number_of_a_child_is_left_alone() -> None:
    """A number alone may be anybody's by now; with the time of its beginning it is nobody else's."""
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    since = left_behind.begun(child.pid)
    left_behind.end([(child.pid, since - 1), (child.pid, 0)])
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait() == 0
    left_behind.end([(child.pid, since)])  # gone
