"""Numbers of the standard streams, in programs that have closed them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are started otherwise there")

ROOT = str(Path(__file__).parents[2])
HEAD = """
import json, os, sys, threading
from autoexec.backends.processes.streams import beside_the_streams, copies
told = os.dup(1)
def tell(what): os.write(told, json.dumps(what).encode())
def close():
    for stream in range(3): os.close(stream)
"""


def told(body: str) -> object:
    """What a program of its own tells: it may close its streams."""
    code = HEAD + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, timeout=60, check=True
    )
    return json.loads(done.stdout)


def test_what_is_opened_gets_no_number_of_a_stream() -> None:
    """Nor does what holds the numbers meanwhile stay."""
    body = """
    close()
    with beside_the_streams():
        found = os.open("/", os.O_RDONLY)
    with copies() as streams:
        tell([found > 2, list(streams)])
    """
    assert told(body) == [True, []]


def test_two_threads_do_not_take_each_others_for_streams() -> None:
    """What one holds the numbers with is no stream to another, and does not go while that one opens."""
    body = """
    close()
    found, there = [], threading.Event()
    def other():
        there.set()
        with copies() as streams:
            found.append(list(streams))
        with beside_the_streams():
            found.append(os.open("/", os.O_RDONLY) > 2)
    thread = threading.Thread(target=other)
    with beside_the_streams():
        thread.start()
        there.wait()
        thread.join(0.2)
        early = list(found)
    thread.join()
    tell([early, found])
    """
    assert told(body) == [[], [[], True]]


@pytest.mark.parametrize(
    ("opened", "there"),
    [
        ("os.open('/', os.O_RDONLY)", False),
        ("os.open(__import__('json').__file__, os.O_RDONLY)", False),
        ("os.open('/dev/null', os.O_RDWR)", False),
        ("os.memfd_create('autoexec')", False),
        ("os.pipe()[0] and 1", False),
        ("os.open(PATH, os.O_CREAT | os.O_WRONLY)", True),
        ("os.dup2(2, 1)", True),
    ],
)
def test_what_is_a_stream(opened: str, there: bool, tmp_path: Path) -> None:
    """What an exec would leave there, or a log; nothing that a thread has opened there for a moment."""
    if "memfd" in opened and sys.platform != "linux":
        pytest.skip("only Linux has them")
    body = f"""
    PATH = {str(tmp_path / "log")!r}
    os.close(1)
    assert {opened} == 1
    with copies() as streams:
        tell([1 in streams, 2 in streams])
    """
    assert told(body) == [there, True]


def test_a_fork_amid_an_opening() -> None:
    """The child can open, whoever held the lock in its parent."""
    body = """
    inside, leave = threading.Event(), threading.Event()
    def hold():
        with beside_the_streams():
            inside.set()
            leave.wait()
    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        with beside_the_streams():
            os._exit(7)
    leave.set()
    tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert told(body) == 7
