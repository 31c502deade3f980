"""Each row of the tables of names: said here once more, so that a row that is lost is missed."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from autoexec.safety.captures import foreign, is_mutable
from autoexec.safety.hazards import find_hazards
from autoexec.safety.item_state import item_state
from autoexec.safety.process_names import NAMES

# Kind -> modules -> names
NAMED = {
    (False, "sets", True): """
contextlib: chdir redirect_stdout redirect_stderr
os: fchdir chroot dup2 chdir umask putenv unsetenv nice setpriority seteuid setegid setuid setgid
random: seed setstate
numpy.random: seed set_state
warnings: catch_warnings simplefilter filterwarnings resetwarnings
unittest.mock: patch
calendar: LocaleTextCalendar LocaleHTMLCalendar different_locale
locale: resetlocale setlocale
time: tzset
gc: disable
sys: settrace setprofile setrecursionlimit setswitchinterval set_int_max_str_digits setdlopenflags
threading: settrace setprofile settrace_all_threads setprofile_all_threads
tracemalloc: start stop reset_peak clear_traces
cProfile: Profile run runctx
profile: Profile run runctx
faulthandler: dump_traceback_later cancel_dump_traceback_later enable disable
logging: Logger.removeHandler Logger.removeFilter disable captureWarnings Logger.setLevel Logger.addHandler
logging: Logger.addFilter setLoggerClass
freezegun: freeze_time
freezegun.api: freeze_time
time_machine: travel
pandas: option_context set_option
pandas._config.config: option_context
torch: manual_seed set_num_threads set_default_dtype
tensorflow.random: set_seed
socket: setdefaulttimeout
csv: field_size_limit
resource: setrlimit
numpy: set_printoptions
""",
    (False, "needs", True): """
signal: signal siginterrupt set_wakeup_fd pause
threading: main_thread
""",
    (False, "needs", False): "asyncio.events: get_event_loop get_event_loop_policy",
    (False, "reads", False): """
builtins: input
sys: stdin __stdin__
fileinput: input FileInput
getpass: getpass
""",
}
ROWS = [
    (module, name, meaning)
    for meaning, lines in NAMED.items()
    for module, names in (line.split(": ") for line in lines.strip().splitlines())
    for name in names.split()
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the modules
@pytest.mark.parametrize(("module", "name", "meaning"), ROWS, ids=lambda one: str(one))
def test_names_of_the_whole_process(
    module: str, name: str, meaning: tuple[bool, str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the object that stands there, whatever a program calls it; also where nobody has installed it."""
    try:
        owner: Any = importlib.import_module(module)
    except ImportError:
        owner = types.ModuleType(module)
        monkeypatch.setitem(sys.modules, module, owner)
    path = name.split(".")
    for part in path[:-1]:
        owner = getattr(owner, part)
    monkeypatch.setattr("numpy.__version__", "1.26")
    thing = type("Thing", (), {"__call__": lambda self, x: x})()
    scope = {"thing": thing, "__name__": "job"}
    exec("def work(x): thing(x)\n", scope)
    with monkeypatch.context() as there:
        there.setattr(owner, path[-1], thing, raising=False)
        found = item_state(scope["work"])  # type: ignore[arg-type]
    assert {path[-1], "environ", "environb"} <= NAMES
    if name == "catch_warnings" and getattr(sys.flags, "context_aware_warnings", 0):
        assert not found
        return
    said = [(hazard.threads_ok, hazard.kind.split()[0], hazard.processes_ok) for hazard in found]
    assert said == [meaning] and found[0].name == (name if module == "builtins" else f"{module}.{name}")


@pytest.mark.parametrize("name", ["signal.alarm", "signal.setitimer"])
def test_alarms_need_the_main_thread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether another process may have them, the program's handler tells."""
    import signal

    scope: dict[str, Any] = {"signal": signal, "__name__": "job"}
    exec(f"def work(x): {name}(x)\n", scope)
    assert [(hazard.name, hazard.threads_ok) for hazard in item_state(scope["work"])] == [(name, False)]


# Kind and whether threads may share it -> modules -> classes
UNFIT = """
lock 1: _thread lock RLock; threading _RLock Condition Semaphore BoundedSemaphore Event Barrier
lock 1: multiprocessing.synchronize SemLock Condition Event
lock 1: asyncio.locks Lock Event Condition Semaphore Barrier
thread-local 1: _thread _local
queue 1: queue Queue; _queue SimpleQueue; asyncio.queues Queue; multiprocessing.queues Queue SimpleQueue
open_file 0: _io _IOBase; tempfile _TemporaryFileWrapper; zipfile ZipFile; tarfile TarFile; mmap mmap
open_file 0: _csv writer Writer; csv DictWriter
socket 0: _socket socket; http.client HTTPConnection; multiprocessing.connection _ConnectionBase
database_connection 0: sqlite3 Connection Cursor
thread,_process_or_pool 0: threading Thread; concurrent.futures._base Executor Future
thread,_process_or_pool 0: multiprocessing.process BaseProcess; multiprocessing.pool Pool; subprocess Popen
event_loop 0: asyncio.events AbstractEventLoop; _asyncio Future
window 0: tkinter Misc Variable
weak_reference 1: weakref ReferenceType ref ProxyType CallableProxyType WeakValueDictionary
weak_reference 1: weakref WeakKeyDictionary finalize; _weakref ReferenceType ref; _weakrefset WeakSet
random_generator 1: random Random; numpy.random._generator Generator; numpy.random.mtrand RandomState
progress_bar 1: tqdm.std tqdm
generator 0: builtins generator async_generator
coroutine 0: builtins coroutine
"""
CLASSES = [
    (module, name, f"captured {kind.split()[0].replace('_', ' ')}", kind.endswith("1"))
    for kind, homes in (line.split(": ") for line in UNFIT.strip().splitlines())
    for module, names in (home.split(" ", 1) for home in homes.split("; "))
    for name in names.split()
]


@pytest.mark.parametrize(("module", "name", "kind", "threads_ok"), CLASSES)
def test_what_must_not_cross(module: str, name: str, kind: str, threads_ok: bool) -> None:
    """By the name of its class, or of one above."""
    base = type(name, (), {"__module__": module})
    assert foreign(base()) == foreign(type("Mine", (base,), {})()) == (kind, threads_ok)


@pytest.mark.parametrize(
    "methods", ["cursor commit close", "execute fetchone close", "commit rollback close"]
)
def test_databases_of_any_kind(methods: str) -> None:
    """By what they can do."""
    shape = {name: lambda self: None for name in methods.split()}
    assert foreign(type("Database", (), shape)()) == ("captured database connection", False)
    for name in methods.split():
        less = {key: value for key, value in shape.items() if key != name}
        assert foreign(type("Database", (), less)()) is None


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("builtins", name) for name in ("list", "dict", "set", "bytearray")),
        *(("collections", name) for name in ("deque", "UserDict", "UserList", "ChainMap")),
        ("array", "array"), ("numpy", "ndarray"), ("queue", "Queue"), ("_queue", "SimpleQueue"),
        ("os", "_Environ"), ("any", "MutableMapping"), ("any", "MutableSequence"), ("any", "MutableSet"),
        ("_hashlib", "HASH"), ("_sha2", "Any"), ("_md5", "Any"), ("_blake2", "Any"),
    ],
)  # fmt: skip
def test_what_its_methods_change(module: str, name: str) -> None:
    """By the name of its class."""
    assert is_mutable(type(name, (), {"__module__": module})())
    assert not is_mutable(type(f"{name}s", (), {"__module__": "any"})())


METHODS = """
append add appendleft put put_nowait pop popleft popitem setdefault
extend extendleft insert remove discard clear sort reverse update fill
resize write writelines rotate itemset partition setflags byteswap frombytes fromlist
difference_update intersection_update symmetric_difference_update move_to_end subtract
__setitem__ __delitem__ __iadd__ __isub__ __imul__ __ior__ __iand__ __ixor__
"""
ATOMIC = ["append", "add", "appendleft", "put", "put_nowait"]
ANYWHERE = ["pop", "popleft", "popitem", "setdefault"]
NO_RESULT = "append add appendleft extend extendleft insert remove discard clear sort reverse update fill"


@pytest.mark.parametrize("name", METHODS.split())
def test_methods_that_change_their_object(name: str, module: Callable[..., Any]) -> None:
    """Of containers by name alone; of others where the result says that it is no other type's method."""
    held = module(f"ROWS = []\ndef work(x): ROWS.{name}(x)\n")
    found = find_hazards(held.work)
    assert [(hazard.name, hazard.threads_ok) for hazard in found] == [("ROWS", name in ATOMIC)]
    unknown = module(f"ROWS = []\ndef work(x):\n    x.{name}(1)\n")
    used = module(f"ROWS = []\ndef work(x):\n    return x.{name}(1)\n")
    assert bool(find_hazards(unknown.work)) == (name in ANYWHERE or name in NO_RESULT.split())
    assert bool(find_hazards(used.work)) == (name in ANYWHERE)


@pytest.mark.parametrize("name", ["get", "setdefault", "values", "items", "__getitem__", "__iter__"])
def test_methods_that_lend_what_is_inside(name: str, module: Callable[..., Any]) -> None:
    """To be changed there."""
    text = f"ROWS = {{1: []}}\ndef work(x):\n    part = ROWS.{name}(1)\n    part.append(x)\n"
    assert "ROWS" in {hazard.name for hazard in find_hazards(module(text).work)}


@pytest.mark.parametrize(
    "name",
    [
        "shuffle",
        "heappush",
        "heappop",
        "heapreplace",
        "heappushpop",
        "heapify",
        "insort",
        "insort_left",
        "insort_right",
        "setattr",
        "delattr",
        "setitem",
        "delitem",
        "iadd",
        "isub",
        "imul",
        "ior",
        "iand",
        "ixor",
        "iconcat",
        "copyto",
        "putmask",
        "place",
        "put_along_axis",
        "fill_diagonal",
        "at",
    ],
)
def test_functions_that_change_their_first_argument(name: str, module: Callable[..., Any]) -> None:
    """Of libraries, whose code is not read."""
    module(f"def {name}(*args): pass\n", "rules_changing", installed=True)
    text = f"import rules_changing\nROWS = []\ndef work(x): rules_changing.{name}(ROWS, x)\n"
    assert [hazard.name for hazard in find_hazards(module(text).work)] == ["ROWS"]
