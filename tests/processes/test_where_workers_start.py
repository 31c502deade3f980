"""Where workers can be started, what they are to the program, and what is odd about the program meanwhile."""

from __future__ import annotations

import sys
import textwrap

import pytest

from tests.processes.scripts import Script

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and looks into /proc")

HEAD = """
import signal
signal.alarm(45)
gate = threading.Event()

def crowd():
    thread = threading.Thread(target=gate.wait, daemon=True)
    thread.start()

def where(x):
    return os.getpid()

def burn(x):
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        sum(range(100))
    return x

def known_costs():
    # Items compute for 20 ms, however busy the machine is.
    from autoexec.engine import planning
    from autoexec.frozen import replace
    real = planning.profile_of
    def profile_of(sample, **more):
        count = len(sample.walls)
        known = dict(walls=(0.02,) * count, cpus=(0.02,) * count, running_s=0.0, running_cpu_s=0.0)
        return real(replace(sample, **known, held_share=1.0, looked_s=1.0, queued_s=0.0), **more)
    planning.profile_of = profile_of

def refused():
    try:
        list(autoexec.map(where, range(4), backend="processes", max_workers=2))
    except autoexec.AutoexecError as error:
        return str(error)
"""


@pytest.fixture
def program(script: Script) -> Script:
    """A script with a few functions, which may have another thread."""
    script.head = HEAD
    return script


def _fine(script: Script, body: str) -> None:
    whole = textwrap.dedent(body) + "\nprint('fine', flush=True)\n"
    assert script.run(whole) == (0, "fine\n", "")
    assert script.left() == []


NO_PYTHON = {
    "frozen": "sys.frozen = True",
    "empty": "sys.executable = ''",
    "missing": "sys.executable = '/no/such/python'",
    "none": "sys.executable = None",
    "another program": "sys.executable = '/bin/true'",
    "a folder": "sys.executable = '/usr'",
}


@pytest.mark.parametrize("how", NO_PYTHON)
def test_no_fresh_worker_where_there_is_no_python(program: Script, how: str) -> None:
    """The plan stays in the process and says so; who insists is told why; what can be forked, is forked."""
    _fine(
        program,
        f"""
        {NO_PYTHON[how]}
        pids = set(autoexec.map(where, range(8), backend="processes", max_workers=2))
        assert os.getpid() not in pids
        autoexec.shutdown()
        crowd()
        said = refused()
        assert said and ("sys.executable" in said or "frozen" in said), said
        known_costs()
        results = autoexec.map(burn, range(60))
        assert list(results) == list(range(60))
        plan = results.plan
        assert plan.backend != "processes", plan
        assert "sys.executable" in plan.reason or "frozen" in plan.reason, plan
        """,
    )


def test_a_worker_that_cannot_be_replaced(program: Script) -> None:
    """Where nothing fresh can be started, the others go on, and at last the error says why."""
    code, out, _ = program.run(
        """
        sys.executable = ""
        def deadly(x):
            if x % 10 == 3: os._exit(7)
            return x
        got = list(autoexec.map(deadly, range(40), backend="processes", max_workers=2, on_error="return"))
        print(len(got), *{type(value).__name__ for value in got if isinstance(value, Exception)})
        """
    )
    assert code == 0 and out.startswith("40 ") and "WorkerDied" in out and "OSError" not in out
    assert program.left() == []


@pytest.mark.parametrize("error", ["ValueError('odd')", "MemoryError()", "OSError(24, 'many')"])
@pytest.mark.parametrize("backend", ["auto", "processes"])
def test_whatever_keeps_workers_from_starting(program: Script, error: str, backend: str) -> None:
    """The map ends: here if autoexec has chosen, else with an error."""
    _fine(
        program,
        f"""
        from autoexec.backends.processes import worker_pool
        def refuse(config): raise {error}
        worker_pool.spawn_worker = refuse
        known_costs()
        crowd()
        try:
            results = autoexec.map(burn, range(60), backend={backend!r}, max_workers=2)
            got = list(results)
        except (autoexec.AutoexecError, OSError) as said:
            assert {backend!r} == "processes", said
        else:
            assert {backend!r} == "auto" and got == list(range(60))
            assert "can be started" in results.plan.reason or results.plan.backend == "serial", results.plan
        """,
    )


MODULE = """
import multiprocessing, pathlib
if multiprocessing.current_process().name == "MainProcess" or multiprocessing.parent_process() is None:
    with open(pathlib.Path(__file__).with_name("starts"), "a") as file:
        file.write("start ")
def facts(x):
    process = multiprocessing.current_process()
    return process.name, bytes(process.authkey), multiprocessing.parent_process().pid, process.daemon
"""


@pytest.mark.parametrize("crowded", [True, False])
@pytest.mark.parametrize("early", [True, False])
def test_workers_are_children_to_multiprocessing(program: Script, crowded: bool, early: bool) -> None:
    """With a name, a parent and the caller's key, whether it was imported before or by an item."""
    (program.folder / "service.py").write_text(MODULE)
    _fine(
        program,
        f"""
        sys.path.insert(0, {str(program.folder)!r})
        if {early}:
            import service
        if {crowded}: crowd()
        def ask(x):
            import service
            return (service.facts(x), sys.argv)
        got = list(autoexec.map(ask, range(8), backend="processes", max_workers=2))
        import multiprocessing
        for (name, key, parent, daemon), argv in got:
            assert "Process-" in name and name != "MainProcess" and parent == os.getpid(), (name, parent)
            assert argv == sys.argv and not daemon
            assert not {early} or key == bytes(multiprocessing.current_process().authkey)
        """,
    )
    starts = program.folder / "starts"
    assert (starts.read_text() if starts.exists() else "") == "start " * early


def test_a_fresh_worker_has_the_start_method_and_no_secret_in_its_arguments(program: Script) -> None:
    """Others may read what a process was started with."""
    _fine(
        program,
        """
        import multiprocessing
        multiprocessing.set_start_method("forkserver")
        def ask(x):
            import multiprocessing
            line = open("/proc/self/cmdline", "rb").read()
            key = bytes(multiprocessing.current_process().authkey)
            return multiprocessing.get_start_method(), key in line or repr(key).encode() in line
        assert set(autoexec.map(ask, range(4), backend="processes")) == {("forkserver", False)}
        """,
    )


@pytest.mark.parametrize("entry", ["pathlib.Path('lib')", "b'lib'", "None", "object()", "7", "Text('lib')"])
def test_anything_may_stand_in_sys_path(program: Script, entry: str) -> None:
    """Imports pass over what is no text; so do workers, and who looks there finds it, if it can be sent."""
    _fine(
        program,
        f"""
        import pathlib
        class Text(str):
            def __repr__(self): return "<odd>"
        entry = {entry}
        sys.path.insert(0, entry)
        crowd()
        def look(x): return [repr(each) for each in sys.path], os.getpid()
        got = list(autoexec.map(look, range(4), backend="processes", max_workers=2))
        assert os.getpid() not in [pid for _, pid in got]
        if isinstance(entry, (pathlib.Path, bytes)):
            assert got[0][0] == [repr(each) for each in sys.path], got[0]
        """,
    )


STREAMS = {
    "an object with write alone": (
        "class Out:\n    def write(self, text): pass\nsys.stdout = sys.stderr = Out()"
    ),
    "flush that raises": (
        "class Out:\n    def write(self, text): pass\n    def flush(self): raise KeyError('no')\n"
        "sys.stdout = sys.stderr = Out()"
    ),
    "none": "sys.stdin = sys.stdout = sys.stderr = None",
    "closed": "sys.stdout = open(os.devnull, 'w'); sys.stdout.close()",
    "without descriptors": "out = os.dup(1)\nfor fd in range(3): os.close(fd)",
}


@pytest.mark.parametrize("crowded", [True, False])
@pytest.mark.parametrize("streams", STREAMS)
def test_streams_may_be_anything(program: Script, streams: str, crowded: bool) -> None:
    """Neither who starts workers nor these expect files there; what they talk by is no stream."""
    code = (
        f"{STREAMS[streams]}\n"
        f"if {crowded}: crowd()\n"
        "def noisy(x):\n"
        "    for fd in (1, 2):\n"
        "        try: os.write(fd, b'')\n"
        "        except OSError: pass\n"
        "        try:\n"
        "            if not os.path.exists(f'/proc/self/fd/{fd}'): continue\n"
        "            assert 'socket' not in os.readlink(f'/proc/self/fd/{fd}')\n"
        "            assert 'autoexec' not in os.readlink(f'/proc/self/fd/{fd}')\n"
        "        except OSError: pass\n"
        "    return x\n"
        "got = list(autoexec.map(noisy, range(20), backend='processes', max_workers=2))\n"
        "autoexec.shutdown()\n"
        "note(got == list(range(20)))\n"
        "os._exit(0)\n"
    )
    program.run(code)
    assert program.lines() == ["True"]


def test_a_lack_of_descriptors_kills_no_worker(program: Script) -> None:
    """More results in shared memory than there may be descriptors: all of them come."""
    pytest.importorskip("numpy")
    _fine(
        program,
        """
        import resource
        import numpy as np
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        def make(x): return np.full(100_000, x), os.getpid()
        got = list(autoexec.map(make, range(60), backend="processes", max_workers=2))
        assert [int(array[7]) for array, _ in got] == list(range(60))
        assert len({pid for _, pid in got}) <= 2
        """,
    )


ONLY_HERE = """
import importlib.util, pathlib, types
path = pathlib.Path(FOLDER, "hidden", "plugin.py")
path.parent.mkdir(exist_ok=True)
path.write_text(
    "FACTOR = 2\\ndef helper(i): return FACTOR * i\\ndef run(i): return helper(i)\\n"
    "class Thing:\\n    def __init__(self, by): self.by = by\\n"
    "    def __call__(self, i): return helper(i) * self.by\\n"
)
spec = importlib.util.spec_from_file_location("my_plugin", path)
plugin = sys.modules["my_plugin"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugin)
made = sys.modules["made_by_hand"] = types.ModuleType("made_by_hand")
exec("STEP = 1\\ndef run(i): return 2 * i * STEP", vars(made))
"""
CALLS = ["plugin.run", "plugin.Thing(1)", "made.run", "lambda i: plugin.run(i)", "lambda i: made.run(i)"]


@pytest.mark.parametrize("call", CALLS)
def test_what_lives_in_a_module_that_is_only_here(program: Script, call: str) -> None:
    """It travels by value to fresh workers; and whether they could have it or not, forked ones come after."""
    _fine(
        program,
        f"FOLDER = {str(program.folder)!r}\n"
        + ONLY_HERE
        + f"""
call, wanted = {call}, [2 * i for i in range(20)]
thread = threading.Thread(target=gate.wait)
thread.start()
for _ in range(2):
    assert list(autoexec.map(call, range(20), backend="processes", max_workers=2)) == wanted
gate.set()
thread.join()
assert list(autoexec.map(call, range(20), backend="processes", max_workers=2)) == wanted
import cloudpickle
from cloudpickle.cloudpickle import list_registry_pickle_by_value
assert "my_plugin" not in list_registry_pickle_by_value()
""",
    )


def test_items_that_workers_cannot_load_run_here_and_the_plan_says_so(program: Script) -> None:
    """Each is run once, in the process that can have it."""
    _fine(
        program,
        """
        HOME = os.getpid()
        class Shy:
            def __init__(self, number): self.number = number
            def __reduce__(self): return arrive, (HOME, self.number)
        def arrive(home, number):
            if os.getpid() != home: raise ValueError("only at home")
            return Shy(number)
        def work(item):
            burn(0)
            return getattr(item, "number", item), os.getpid()
        crowd()
        items = [Shy(i) if i > 30 else i for i in range(60)]
        results = autoexec.map(work, items, effects="ignore")
        got = list(results)
        assert [number for number, _ in got] == list(range(60))
        assert {pid for _, pid in got[31:]} == {HOME}
        plan = results.plan
        assert plan.backend != "processes" or "ran in this process" in plan.reason, plan
        """,
    )


def test_nothing_is_submitted_when_the_interpreter_ends(program: Script) -> None:
    """Not by a hook that was registered before us, nor by one after us."""
    script = """
        import atexit
        def last():
            try:
                executor.submit(pow, 2, 10)
            except RuntimeError as error:
                print(error, flush=True)
        atexit.register(last)
        executor = autoexec.Executor(max_workers=2)
        executor.submit(pow, 2, 3).result()
    """
    assert program.run(script)[1] == "cannot schedule new futures after interpreter shutdown\n"
