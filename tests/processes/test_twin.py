"""What an item finds in a worker is what it would find here: the state of the call, however the worker began.

Each test is a program of its own, for these states are the whole process's.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.processes.scripts import Script

STARTS = {
    "copies": "",
    "fresh": "threading.Thread(target=threading.Event().wait, daemon=True).start()\n",
}

# Each sets one thing; `ask` is what an item finds. The second column says what is there before.
STATES = {
    "decimal": ("import decimal", "decimal.getcontext().prec = 5", "str(decimal.Decimal(1) / 3)"),
    "traps": (
        "import decimal",
        "decimal.getcontext().traps[decimal.DivisionByZero] = False",
        "str(decimal.Decimal(1) / 0 if not decimal.getcontext().traps[decimal.DivisionByZero] else 0)",
    ),
    "argv": ("", "sys.argv = ['prog', '--rate=3']", "sys.argv[1:]"),
    "recursion": ("", "sys.setrecursionlimit(4321)", "sys.getrecursionlimit()"),
    "digits": ("", "sys.set_int_max_str_digits(0)", "sys.get_int_max_str_digits()"),
    "csv": ("import csv", "csv.field_size_limit(10**9)", "csv.field_size_limit()"),
    "umask": ("", "os.umask(0o77)", "(os.umask(0o77), os.umask(os.umask(0o77)))[1]"),
    "timeout": ("import socket", "socket.setdefaulttimeout(60)", "socket.getdefaulttimeout()"),
    "zone": (
        "import time",
        "os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
        "time.strftime('%H %Z', time.localtime(0))",
    ),
    "locale": (
        "import locale",
        "locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')",
        "locale.setlocale(locale.LC_NUMERIC)",
    ),
    "collector": ("import gc", "gc.disable()", "gc.isenabled()"),
    "warnings": (
        "import warnings",
        "warnings.simplefilter('error', UserWarning)",
        "[(f[0], f[2].__name__) for f in warnings.filters]",
    ),
    "level": (
        "import logging",
        "logging.getLogger('shop').setLevel(10); logging.disable(20)",
        "(logging.getLogger('shop').level, logging.root.manager.disable)",
    ),
    "temporary": ("import tempfile", "tempfile.tempdir = '/tmp/../tmp'", "tempfile.gettempdir()"),
    "key": (
        "import multiprocessing",
        "multiprocessing.current_process().authkey = b'a key'",
        "bytes(multiprocessing.current_process().authkey)",
    ),
    "method": (
        "import multiprocessing",
        "multiprocessing.set_start_method('spawn', force=True)",
        "multiprocessing.get_start_method(allow_none=True)",
    ),
    "numpy errors": ("import numpy", "numpy.seterr(divide='raise')", "numpy.geterr()['divide']"),
    "numpy prints": ("import numpy", "numpy.set_printoptions(precision=2)", "str(numpy.array([1 / 3]))"),
    "folder": ("", "os.chdir('/')", "os.getcwd()"),
    "environment": ("", "os.environ['COLOUR'] = 'red'", "os.environ.get('COLOUR')"),
}
MATRIX = """
def item(x):
    return repr([{asked}])

def maps():
    return set(autoexec.map(item, range(6), backend="processes", max_workers=2, chunksize=1))

wrong = []
if {between}:
    maps()
    maps()
for name, words in {settings}:
    exec(words)
here = item(0)
for _ in range(2):
    for found in maps() - {{here}}:
        wrong += [(n, w, g) for (n, _), w, g in zip({settings}, eval(here), eval(found)) if w != g]
print(wrong)
"""


@pytest.mark.parametrize("between", [False, True], ids=["before", "between"])
@pytest.mark.parametrize("start", STARTS)
def test_what_a_program_sets_for_its_process(script: Script, start: str, between: bool) -> None:
    """Before the first map, or between two: in copies, in fresh interpreters and in those that were kept."""
    imports = "\n".join({text for text, _, _ in STATES.values()})
    text = MATRIX.format(
        asked=", ".join(ask for _, _, ask in STATES.values()),
        settings=repr([(name, words) for name, (_, words, _) in STATES.items()]),
        between=between,
    )
    code, out, err = script.run(imports + "\n" + STARTS[start] + text)
    assert (code, out.strip()) == (0, "[]"), err


@pytest.mark.parametrize("start", STARTS)
def test_patches_of_functions_and_classes(script: Script, tmp_path: Path, start: str) -> None:
    """In the user's modules and in libraries; they are gone in the next map."""
    (tmp_path / "shop_of_twin.py").write_text(
        "class Config:\n    rate = 1\n    def limit(self): return 1\n"
        "def download(i): return 1\n"
        "def process(i): return download(i), Config.rate, Config().limit()\n"
    )
    text = STARTS[start] + f"sys.path.insert(0, {str(tmp_path)!r})\n"
    text += textwrap.dedent("""
        import json
        from unittest import mock
        import shop_of_twin as shop
        def item(i): return (*shop.process(i), json.loads("1"))
        def found(call=item): return set(autoexec.map(call, range(6), backend="processes", max_workers=2))
        print(found(), found(shop.process))
        with mock.patch("json.loads", lambda text: 2), mock.patch.object(shop, "download", lambda i: 2):
            Config = shop.Config
            with mock.patch.object(Config, "rate", 2), mock.patch.object(Config, "limit", lambda s: 2):
                print(found(), found(shop.process))
        print(found(), found(shop.process), found(lambda i: json.loads("1")))
    """)
    code, out, err = script.run(text)
    one, two = "{(1, 1, 1, 1)} {(1, 1, 1)}", "{(2, 2, 2, 2)} {(2, 2, 2)}"
    assert (code, out.splitlines()) == (0, [one, two, one + " {1}"]), err


def test_one_map_sees_one_state(script: Script) -> None:
    """That of the call, though its workers begin later; and no later map mistakes it for its own."""
    text = STARTS["fresh"] + textwrap.dedent("""
        FACTOR = 1
        def item(x): return x * FACTOR
        first = autoexec.map(item, range(1, 5), backend="processes", max_workers=2)
        FACTOR = 2
        print(list(first))
        FACTOR = 1
        print(list(autoexec.map(item, range(1, 5), backend="processes", max_workers=2)))
    """)
    code, out, err = script.run(text)
    assert (code, out.splitlines()) == (0, ["[1, 2, 3, 4]"] * 2), err


def test_things_are_found_by_name_in_main(script: Script) -> None:
    """A class by its pickle, a function by its name, a child of an item's own."""
    text = STARTS["fresh"] + textwrap.dedent("""
        import multiprocessing, pickle
        class Model:
            def predict(self, x): return x * x
        def square(x): return x * x
        DATA = pickle.dumps(Model())
        def load(i): return pickle.loads(pickle.dumps(pickle.loads(DATA))).predict(i)
        def handler(i): return getattr(sys.modules[__name__], "squ" + "are")(i)
        def pool(i):
            with multiprocessing.Pool(1) as workers: return workers.map(square, [i])[0]
        if __name__ == "__main__":  # for children of multiprocessing that are no copies
            for what in (load, handler, pool, lambda i, what=pool: what(i)):
                print(list(autoexec.map(what, range(4), backend="processes", max_workers=2)))
    """)
    code, out, err = script.run(text)
    assert (code, out.splitlines()) == (0, ["[0, 1, 4, 9]"] * 4), err


def test_what_cannot_be_sent_is_named(script: Script, tmp_path: Path) -> None:
    """A mock in the place of a function: the error says where it stands."""
    (tmp_path / "mocked_twin.py").write_text(
        "def download(i): return 1\ndef process(i): return download(i)\n"
    )
    text = STARTS["fresh"] + textwrap.dedent(f"""
        from unittest import mock
        sys.path.insert(0, {str(tmp_path)!r})
        import mocked_twin
        with mock.patch.object(mocked_twin, "download"):
            try:
                list(autoexec.map(mocked_twin.process, range(4), backend="processes", max_workers=2))
            except TypeError as error:
                print(error)
    """)
    code, out, err = script.run(text)
    assert code == 0 and "mocked_twin.download is a unittest.mock.MagicMock here" in out, err


def test_a_file_that_has_changed_since(script: Script, tmp_path: Path) -> None:
    """Workers run the code that the program has."""
    file = tmp_path / "edited_twin.py"
    file.write_text("def process(i): return 'old'\n")
    text = STARTS["fresh"] + textwrap.dedent(f"""
        import pathlib
        sys.path.insert(0, {str(tmp_path)!r})
        import edited_twin
        pathlib.Path({str(file)!r}).write_text("def process(i): return 'new'\\n")
        print(set(autoexec.map(edited_twin.process, range(4), backend="processes", max_workers=2)))
    """)
    code, out, err = script.run(text)
    assert (code, out.strip()) == (0, "{'old'}"), err


@pytest.mark.parametrize("start", STARTS)
def test_a_log_file(script: Script, tmp_path: Path, start: str) -> None:
    """Its lines come from all workers; one that is given between two maps, too."""
    text = STARTS[start] + textwrap.dedent(f"""
        import logging
        def item(x): logging.getLogger("app").info("item %d", x)
        def run(): list(autoexec.map(item, range(10), backend="processes", max_workers=2))
        run()
        logging.basicConfig(filename={str(tmp_path / "log")!r}, level=logging.INFO)
        run()
        run()
    """)
    code, _, err = script.run(text)
    assert code == 0, err
    assert (tmp_path / "log").read_text().count("INFO:app:item") == 20


def test_prints_under_a_redirection_stay(script: Script) -> None:
    """Chosen freely, they run here; asked for, the plan says what is lost. The next map prints as ever."""
    code, out, err = script.run("""
        import contextlib
        class Tee:
            def __init__(self): self.text = ""
            def write(self, text): self.text += text
            def flush(self): pass
        def item(x):
            sum(k * k for k in range(100_000))
            print("line", x)
            return os.getpid()
        tee = Tee()
        with contextlib.redirect_stdout(tee):
            pids = set(autoexec.map(item, range(60)))
        print(pids == {os.getpid()}, tee.text.count("line"))
        with contextlib.redirect_stdout(tee):
            results = autoexec.map(item, range(2), backend="processes", max_workers=2)
            list(results)
        print("printed goes elsewhere" in results.plan.reason)
        list(autoexec.map(item, range(4), backend="processes", max_workers=2))
    """)
    assert code == 0 and out.startswith("True 60\nTrue\n") and out.count("line") == 4, err
