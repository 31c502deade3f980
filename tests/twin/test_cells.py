"""A share of the matrix: kinds that share programs, and some that stand alone, in each way to run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.processes.scripts import Script, script, warden
from tests.twin.cells import Cell, run
from tests.twin.kinds import KINDS, Kind
from tests.twin.program import WAYS

__all__ = ["script", "warden"]  # fixtures

if not sys.platform.startswith("linux"):
    pytest.skip("workers are forked on Linux", allow_module_level=True)

SHARED = [kind for kind in KINDS if not (kind.alone or kind.flags or kind.variables or kind.define)]
ALONE = (
    "signals blocked",
    "sys.breakpointhook",
    "filters of loggers",
    "log handlers of the program's",
    "log record factory",
    "copyreg",
    "encoder of json patched",
    "a function that a library calls patched",
    "PYTHONOPTIMIZE for children",
    "builtins added",
    "an importer of the program's",
    "a module made by hand",
    "an object in a module",
    "a generic function in a module",
    "a virtual subclass",
    "a virtual subclass of a library's",
)
NAMED = (
    "hash seed by chance",
    "signals handled",
    "codecs",
    "handlers of errors of codecs",
    "a class of a library replaced",
)


def _cells(kinds: list[Kind], ways: tuple[str, ...], folder: Path) -> dict[tuple[str, str, str], Cell]:
    found = run(kinds, ways, str(folder), python=sys.executable, jobs=1)
    return {place: cell for place, cell in found.items() if cell.word not in ("=", "=new", "skipped")}


@pytest.mark.parametrize("way", WAYS)
def test_kinds_that_share_a_program(way: str, tmp_path: Path) -> None:
    """Each is what the loop finds, before a map and between two."""
    assert _cells(SHARED, (way,), tmp_path) == {}


@pytest.mark.parametrize("name", ALONE)
def test_kinds_that_stand_alone(name: str, tmp_path: Path) -> None:
    """In fresh interpreters, which have nothing that they are not told."""
    kinds = [kind for kind in KINDS if kind.name == name]
    assert _cells(kinds, ("fresh",), tmp_path) == {}


@pytest.mark.parametrize("name", NAMED)
def test_what_no_other_process_can_have_is_named(name: str, tmp_path: Path) -> None:
    """By the plan of who asked for processes; who leaves it to autoexec gets the loop's answer."""
    kinds = [kind for kind in KINDS if kind.name == name]
    found = _cells(kinds, ("fresh",), tmp_path)
    assert {cell.word for cell in found.values()} == {"stays"}, found


def test_what_is_taken_back_is_gone(script: Script) -> None:
    """Workers that are kept are told what has gone, too."""
    code, _, err = script.run("""
        import csv, gettext, logging, mimetypes, signal, warnings
        import xml.etree.ElementTree as ET
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        def no(record): return False
        def item(x):
            record = logging.LogRecord("shop", 20, "shop.py", 1, "sold", (), None)
            own = signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, ())
            return (csv.list_dialects(), gettext.textdomain(), logging.getLevelName(25), own,
                bool(logging.getLogger("shop").filter(record)), mimetypes.guess_type("a.twin"),
                ET.tostring(ET.Element("{urn:twin}a")), warnings.formatwarning.__module__), os.getpid()
        def found():
            done = list(autoexec.map(item, range(6), backend="processes", max_workers=2, chunksize=1))
            return {repr(one) for one, _ in done}, {pid for _, pid in done}
        first = found()
        csv.register_dialect("twin", delimiter="|")
        gettext.textdomain("shop")
        logging.addLevelName(25, "NOTICE")
        logging.getLogger("shop").addFilter(no)
        mimetypes.add_type("twin/one", ".twin")
        ET.register_namespace("one", "urn:twin")
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        second = found()
        assert second[0] == {repr(item(0)[0])} and second[0] != first[0], second
        csv.unregister_dialect("twin")
        gettext.textdomain("messages")
        del logging._levelToName[25], logging._nameToLevel["NOTICE"]
        logging.getLogger("shop").removeFilter(no)
        del mimetypes.types_map[".twin"]
        del ET._namespace_map["urn:twin"]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        third = found()
        assert third[0] == {repr(item(0)[0])} == first[0], (first, third)
    """)
    assert code == 0, err


def test_what_cannot_be_sent_is_said(script: Script) -> None:
    """A log handler that holds a socket stays here; the plan says that workers have not got it."""
    code, out, err = script.run("""
        import logging, socket
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        class Wire(logging.Handler):
            def __init__(self): super().__init__(); self.ends = socket.socketpair()
            def emit(self, record): pass
        logging.getLogger("shop").addHandler(Wire())
        results = autoexec.map(abs, range(6), backend="processes", max_workers=2)
        print(list(results), "log handlers" in results.plan.reason)
    """)
    assert (code, out.strip()) == (0, "[0, 1, 2, 3, 4, 5] True"), err
