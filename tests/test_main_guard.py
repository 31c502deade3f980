"""Promise 7: no `if __name__ == "__main__"` needed, wherever the call stands."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[1])

DEFINITIONS = """
import autoexec, os, sys

FACTOR = 3

def work(x):
    return helper(x) * FACTOR, os.getpid() != CALLER

def helper(x):
    return x + 1

class Shape:
    def __init__(self, side):
        self.side = side
    def __call__(self, x):
        return Shape(self.side * x), os.getpid() != CALLER
    def area(self, x):
        return self.side * x, os.getpid() != CALLER
    def __eq__(self, other):
        return type(other) is Shape and other.side == self.side

CALLER = os.getpid()
RUNS = {}

def check(start, func, expected):
    found = list(autoexec.map(func, start(range(1, 7)), backend='processes', max_workers=2))
    assert [value for value, _ in found] == expected, found
    assert all(elsewhere for _, elsewhere in found), found

def main():
    for start in (list, iter):
        check(start, work, [(x + 1) * 3 for x in range(1, 7)])
        check(start, lambda x: (x * FACTOR, os.getpid() != CALLER), [3, 6, 9, 12, 15, 18])
        check(start, Shape(2), [Shape(2 * x) for x in range(1, 7)])
        check(start, Shape(5).area, [5 * x for x in range(1, 7)])
    print('fine', flush=True)
"""
PLAIN = DEFINITIONS + "main()\n"
IN_A_THREAD = (
    DEFINITIONS + "import threading\nthread = threading.Thread(target=main)\nthread.start()\nthread.join()\n"
)
BESIDE_A_THREAD = (
    DEFINITIONS
    + "import threading\ngate = threading.Event()\nthread = threading.Thread(target=gate.wait)\n"
    + "thread.start()\nmain()\ngate.set()\nthread.join()\n"
)
SPAWNING = DEFINITIONS + "import multiprocessing\nmultiprocessing.set_start_method('spawn')\nmain()\n"
TEXTS = {
    "plain": PLAIN,
    "in a thread": IN_A_THREAD,
    "beside a thread": BESIDE_A_THREAD,
    "start method spawn": SPAWNING,
}


def _python(*arguments: str, stdin: str | None = None) -> None:
    """Run Python; it must say "fine" once, and nothing else, and leave no process holding its output."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("fine\n", "", 0)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_script_without_a_guard(text: str, tmp_path: Path) -> None:
    """Functions, lambdas, objects and methods of a script run in processes; its top level runs once."""
    script = tmp_path / "script.py"
    script.write_text(text)
    _python(str(script))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_python_c(text: str) -> None:
    """The same from the command line."""
    _python("-c", text)


def test_standard_input() -> None:
    """The same from a pipe."""
    _python("-", stdin=PLAIN)


def test_a_module_run_with_m(tmp_path: Path) -> None:
    """The same as `python -m package.module`."""
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "program.py").write_text(PLAIN)
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "runpy._run_module_as_main('some_package.program')"
    )
    _python("-c", code)


CHILD = """
import multiprocessing, sys, os
sys.path.insert(0, {root!r})
import autoexec

def fill(x):
    total = 0
    for i in range(150_000):
        total += i * x
    return total

def child(backend, queue):
    results = autoexec.map(fill, range(12), backend=backend, max_workers=2)
    found = list(results)
    assert found == [fill(x) for x in range(12)]
    queue.put(results.plan.backend)

if __name__ == '__main__':
    context = multiprocessing.get_context({method!r})
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=({backend!r}, queue), daemon={daemon})
    process.start()
    process.join(40)
    assert process.exitcode == 0, process.exitcode
    found = queue.get()
    assert found != 'processes' or not {daemon} or {backend!r} == 'processes', found
    print('fine')
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("daemon", [False, True])
def test_in_a_child_of_multiprocessing(method: str, daemon: bool, tmp_path: Path) -> None:
    """Children of every start method give the right results; a daemon starts no processes itself."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this platform")
    script = tmp_path / "script.py"
    script.write_text(CHILD.format(root=ROOT, method=method, daemon=daemon, backend="auto"))
    _python(str(script))


@pytest.mark.parametrize("daemon", [False, True])
def test_processes_asked_for_in_a_child_of_multiprocessing(daemon: bool, tmp_path: Path) -> None:
    """What was asked for by name works there, too."""
    script = tmp_path / "script.py"
    script.write_text(CHILD.format(root=ROOT, method="spawn", daemon=daemon, backend="processes"))
    _python(str(script))


def test_the_decorator_in_a_script(tmp_path: Path) -> None:
    """A decorated function of a script runs in processes."""
    script = tmp_path / "script.py"
    script.write_text(
        "import autoexec, os\n"
        "CALLER = os.getpid()\n"
        "@autoexec.parallel(backend='processes', max_workers=2)\n"
        "def work(x):\n    return x + 1, os.getpid() != CALLER\n"
        "assert work(1) == (2, False)\n"
        "assert list(work.map(range(4))) == [(x + 1, True) for x in range(4)]\n"
        "print('fine')\n"
    )
    _python(str(script))


def test_automatic_processes_from_a_script(tmp_path: Path) -> None:
    """Heavy pure-Python work of a guardless script gives right results, whatever the plan."""
    script = tmp_path / "script.py"
    script.write_text(
        "import autoexec\n"
        "def work(x):\n    return sum(i * i for i in range(100_000)) + x\n"
        "results = autoexec.map(work, range(30))\n"
        "expected = work(0)\n"
        "assert list(results) == [expected + x for x in range(30)]\n"
        "print('fine')\n"
    )
    _python(str(script))
