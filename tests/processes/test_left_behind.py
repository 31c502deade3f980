"""What items leave behind in worker processes goes with the program, as after a `ProcessPoolExecutor`."""

from __future__ import annotations

from typing import Any

import pytest

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
