"""Where a call may stand: workers start without a main guard, and run what lives there, in every setting."""

from __future__ import annotations

import textwrap

import pytest

from tests.processes.scripts import Script

# Each prints "fine" if all values are right and were made elsewhere.
WORKS = {
    "function of the script": "work",
    "lambda": "lambda x: (helper(x) * FACTOR, os.getpid())",
    "closure": "closure(3)",
    "partial": "functools.partial(scaled, 3)",
    "bound method": "Scale(3).work",
    "callable object": "Scale(3)",
    "class method": "Scale.three",
    "function with defaults of its own": "defaulting",
    "recursive function": "recursive",
}
HEAD = """
import dataclasses, functools
FACTOR = 3
CALLER = os.getpid()

def helper(x):
    return x + 1

def work(x):
    return helper(x) * FACTOR, os.getpid()

def scaled(by, x):
    return helper(x) * by, os.getpid()

def closure(by):
    def inner(x):
        return helper(x) * by, os.getpid()
    return inner

def defaulting(x, *, by=[3], add=helper):
    return add(x) * by[0], os.getpid()

def recursive(x, depth=3):
    return recursive(x, depth - 1) if depth else work(x)

@dataclasses.dataclass
class Scale:
    by: int
    def work(self, x):
        return helper(x) * self.by, os.getpid()
    __call__ = work
    @classmethod
    def three(cls, x):
        return cls(3).work(x)

def check(func, backend="processes"):
    for items in (list(range(8)), iter(range(8))):
        found = list(autoexec.map(func, items, backend=backend, max_workers=2))
        assert [value for value, _ in found] == [3 * (x + 1) for x in range(8)], found
        assert CALLER not in {pid for _, pid in found}, found

def check_all():
WORKS
    print("fine", flush=True)
""".replace("WORKS", "\n".join(f"    check({work})" for work in WORKS.values()))

SETTINGS = {
    "plain": "check_all()",
    "in a thread": """
        thread = threading.Thread(target=check_all)
        thread.start()
        thread.join()
    """,
    "after a thread was started": """
        gate = threading.Event()
        thread = threading.Thread(target=gate.wait)
        thread.start()
        check_all()
        gate.set()
        thread.join()
    """,
    "after a thread has ended": """
        thread = threading.Thread(target=abs, args=(1,))
        thread.start()
        thread.join()
        check_all()
    """,
    "with spawn": "import multiprocessing; multiprocessing.set_start_method('spawn'); check_all()",
    "with forkserver": "import multiprocessing; multiprocessing.set_start_method('forkserver'); check_all()",
    "with fork": "import multiprocessing; multiprocessing.set_start_method('fork'); check_all()",
    "with numpy": "import numpy; check_all()",
    "in a function": """
        def main():
            local = lambda x: (helper(x) * FACTOR, os.getpid())
            check(local)
            check_all()
        main()
    """,
    "in a class body": """
        class Body:
            check_all()
    """,
    "behind a guard": """
        if __name__ == "__main__":
            check_all()
    """,
    "in an event loop": """
        import asyncio
        async def main():
            check_all()
        asyncio.run(main())
    """,
    "without standard streams": """
        out = os.dup(1)
        sys.stdin = None
        os.close(0)
        check_all()
    """,
    "after a change of directory": """
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            home = os.getcwd()
            os.chdir(folder)
            assert set(autoexec.map(lambda x: os.getcwd(), range(3), backend="processes")) == {os.getcwd()}
            os.chdir(home)
        check_all()
    """,
    "with an audit of warnings": "import warnings; warnings.simplefilter('error'); check_all()",
    "in a forked child": """
        list(autoexec.map(abs, range(4), backend="processes", max_workers=2))
        from autoexec.backends.processes.idle import helpers
        while len(os.listdir("/proc/self/task")) > 1 + helpers():  # which are gone before a fork
            pass  # a thread that was joined may be there a moment longer, of which CPython 3.12 would warn
        pid = os.fork()
        if pid == 0:
            try:
                CALLER = os.getpid()
                check_all()
            finally:
                autoexec.shutdown()
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        check(work)
    """,
    "in a daemon process": """
        import multiprocessing
        def child():
            global CALLER
            CALLER = os.getpid()
            check_all()
            autoexec.shutdown()
        process = multiprocessing.get_context("fork").Process(target=child, daemon=True)
        process.start()
        process.join()
        assert process.exitcode == 0
    """,
}


def program(setting: str) -> str:
    """A script that checks all functions in a setting."""
    return HEAD + textwrap.dedent(SETTINGS[setting])


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings(setting: str, script: Script) -> None:
    """Every kind of function runs in other processes; the script's top level runs once."""
    flags = () if setting in ("with an audit of warnings", "in an event loop") else ("-X", "dev")
    assert script.run(program(setting), *flags) == (0, "fine\n", "")
    assert script.left() == []


@pytest.mark.parametrize("flag", ["-c", "-"])
@pytest.mark.parametrize("setting", ["plain", "after a thread was started", "with spawn"])
def test_without_a_file(flag: str, setting: str, script: Script) -> None:
    """`python -c` and a program on standard input."""
    assert script.run(program(setting), flag) == (0, "fine\n", "")
    assert script.left() == []


@pytest.mark.parametrize("flags", [("-O",), ("-I", "-c"), ("-S",), ("-u",), ("-E",)], ids=" ".join)
def test_flags_of_the_interpreter(flags: tuple[str, ...], script: Script) -> None:
    """The interpreter's flags do not matter, as long as the caller itself can import what it needs."""
    from tests.processes.scripts import ROOT

    import_first = f"import site, sys; sys.path.insert(0, {ROOT!r}); site.main()\n"
    body = import_first + "import os, threading, time, autoexec\n" + program("after a thread was started")
    import os
    import subprocess
    import sys

    path = script.folder / "program.py"
    path.write_text(body)
    last = ["-c", body] if flags[-1] == "-c" else [str(path)]
    given = [flag for flag in flags if flag != "-c"]
    ended = subprocess.run(
        [sys.executable, *given, *last], capture_output=True, text=True, timeout=50, env=dict(os.environ)
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "fine\n", "")


def test_two_threads_map_at_once(script: Script) -> None:
    """Calls from several threads of one script do not meet."""
    body = (
        HEAD
        + """
failed = []
def one():
    try:
        for func in (work, closure(3), Scale(3).work):
            check(func)
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=one) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failed)
"""
    )
    assert script.run(body, "-X", "dev") == (0, "[]\n", "")
    assert script.left() == []
