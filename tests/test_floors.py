"""Imports point downwards: a test of the house's statics.

A module may import what stands on a lower floor, and what shares its own room. The records are the
ground, the options and the call itself (worker) stand on it; measure, decide, backends, report and journal
are rooms of one floor that do not know one another; safety looks at functions and objects with their help;
the engine joins them all; its results, the verbs and the other doors stand on top, in this order.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import autoexec

HOUSE = Path(autoexec.__file__).parent
ROOT = "autoexec"

# Room of a top-level module or package -> its floor.
ROOMS = {
    "ground": 0,
    "options": 1,
    "measure": 2,
    "safety": 3,
    "decide": 2,
    "worker": 1,
    "backends": 2,
    "report": 2,
    "journal": 2,
    "engine": 4,
    "results": 5,
    "testing": 5,
    "api": 6,
    "doors": 7,
}
# Modules that share a room; every other one is a room of its own name.
SHARED = {
    "brief": "ground",
    "by_value": "ground",
    "known_objects": "ground",
    "own_thread": "ground",
    "python_program": "ground",
    "own_time": "ground",
    "errors": "ground",
    "file_maps": "ground",
    "frozen": "ground",
    "introspect": "ground",
    "records": "ground",
    "registry": "ground",
    "resident": "ground",
    "async_results": "results",
    "checks": "options",
    "resources": "ground",
    "role": "ground",
    "statistics": "ground",
    "unpicklable": "ground",
    "__main__": "doors",
    "cli": "doors",
    "decorator": "doors",
    "demo": "doors",
    "executor": "doors",
}
MAY_IMPORT_ROOT = ("cli", "demo", "__main__")  # they use the library as its users do


def modules() -> dict[str, str]:
    """Every module of the package by its full name, with its source; the packages' `__init__` too."""
    found = {}
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE).with_suffix("").parts
        name = ".".join((ROOT, *parts)).removesuffix(".__init__")
        found[name] = path.read_text(encoding="utf-8")
    return found


MODULES = modules()
PACKAGES = {name for name in MODULES if any(other.startswith(f"{name}.") for other in MODULES)}


def imported(name: str, source: str, *, types: bool = True, lazy: bool = True) -> Iterator[tuple[str, int]]:
    """The modules of ours that `source`, as module `name`, imports, each with its line.

    Args:
        name: its full name.
        source: its text.
        types: whether imports for type checkers count.
        lazy: whether imports inside functions count.
    """
    package = name if name in PACKAGES else name.rpartition(".")[0]
    for node in _import_nodes(ast.parse(source), types, lazy):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join(parents[: len(parents) - node.level + 1] + base.split(".") * bool(base))
            targets = [full if (full := f"{base}.{alias.name}") in MODULES else base for alias in node.names]
        yield from ((target, node.lineno) for target in targets if target.split(".")[0] == ROOT)


def _import_nodes(tree: ast.AST, types: bool, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for part in (node.body if types else []) + node.orelse:
                yield from _import_nodes(ast.Module([part], []), types, lazy)
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _import_nodes(node, types, lazy)


def room(name: str) -> str:
    """The room of a module: `autoexec.decide.planner` is in "decide"."""
    top = name.split(".")[1]
    return SHARED.get(top, top)


def violations(name: str, source: str) -> list[str]:
    """What `source`, as module `name`, imports and must not; the root itself may name everything."""
    if name == ROOT:
        return []
    found = []
    for target, line in imported(name, source):
        if target == ROOT:
            if name.split(".")[1] not in MAY_IMPORT_ROOT:
                found.append(f"line {line}: {name} imports the package root")
        elif room(target) != room(name) and ROOMS[room(target)] >= ROOMS[room(name)]:
            found.append(f"line {line}: {name} imports {target}")
    return found


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One way around a cycle, or nothing."""
    done: set[str] = set()

    def search(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph.get(name, ())):
            if found := search(target, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := search(name, []))), [])


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name: str) -> None:
    """Each module imports from lower floors and from its own room only, late imports and types included."""
    assert violations(name, MODULES[name]) == []


def test_every_module_has_a_room() -> None:
    """A new module at the top must be given its floor here."""
    assert {room(name) for name in MODULES if name != ROOT} == set(ROOMS)


def test_no_cycles_at_import_time() -> None:
    """No module needs itself in order to be imported."""
    graph = {
        name: {target for target, _ in imported(name, source, types=False, lazy=False)}
        for name, source in MODULES.items()
    }
    assert sum(map(len, graph.values())) > 30
    assert cycle(graph) == []


def test_the_root_imports_nothing_at_import_time() -> None:
    """`import autoexec` brings its names when they are used."""
    assert list(imported(ROOT, MODULES[ROOT], types=False, lazy=False)) == []


PLANNER = "autoexec.decide.planner"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (PLANNER, "from ..backends import inline"),
        (PLANNER, "from ..backends.threads import open_backend"),
        (PLANNER, "from autoexec.backends import threads"),
        (PLANNER, "import autoexec.backends.threads"),
        (PLANNER, "from .. import backends"),
        (PLANNER, "def f():\n    from ..measure.machine import look"),
        (PLANNER, "if TYPE_CHECKING:\n    from ..engine.run import Run"),
        (PLANNER, "if not TYPE_CHECKING:\n    pass\nelse:\n    from ..engine.run import Run"),
        (PLANNER, "class A:\n    try:\n        from .. import api\n    except ImportError:\n        pass"),
        (PLANNER, "import autoexec"),
        (PLANNER, "from autoexec import Plan"),
        (PLANNER, "from .. import __version__"),
        ("autoexec.records", "from .options import Options"),
        ("autoexec.options", "def f():\n    from .measure.machine import look"),
        ("autoexec.results", "from .api import map"),
        ("autoexec.measure.machine", "from ..report.machine import machine_text"),
        ("autoexec.report.text", "from ..decide.planner import choose"),
        ("autoexec.backends", "from ..decide import costs"),
        ("autoexec.engine.run", "from ..api import map"),
        ("autoexec.engine.run", "from ..results import Results"),
        ("autoexec.api", "from .executor import Executor"),
        ("autoexec.executor", "from autoexec import Plan"),
    ],
)
def test_a_wrong_import_is_found(name: str, source: str) -> None:
    """Made-up sources, each with one import that must not be: this test would notice."""
    (found,) = violations(name, source)
    assert f"{name} imports" in found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (PLANNER, "from ..records import Plan"),
        (PLANNER, "from . import costs, sizing"),
        (PLANNER, "from .. import errors, role"),
        (PLANNER, "import math, autoexec.records"),
        (PLANNER, '"""\n>>> import autoexec\n"""'),
        ("autoexec.engine.planning", "from ..backends import inline\nfrom ..decide import costs"),
        ("autoexec.api", "from .engine.run import Run\nfrom .results import Results"),
        ("autoexec.decorator", "from . import api\nfrom .executor import Executor"),
        ("autoexec.demo.run", "import autoexec"),
        ("autoexec.cli", "from autoexec import machine"),
    ],
)
def test_right_imports_pass(name: str, source: str) -> None:
    """What the plan allows is not complained about."""
    assert violations(name, source) == []


def test_a_made_up_cycle_is_found() -> None:
    """Two steps around are found, a diamond is none."""
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}) == []


ROOMS_WITH_A_MAP = (
    ".",
    "engine",
    "decide",
    "measure",
    "safety",
    "backends",
    "backends/processes",
    "introspect",
    "worker",
    "journal",
)


@pytest.mark.parametrize("place", ROOMS_WITH_A_MAP)
def test_each_room_says_at_its_door_what_lives_there(place: str) -> None:
    """Its `__init__` names every file in it."""
    said = ast.get_docstring(ast.parse((HOUSE / place / "__init__.py").read_text(encoding="utf-8"))) or ""
    words = set(re.findall(r"\w+", said))
    files = {path.stem for path in (HOUSE / place).glob("*.py")} - {"__init__", "__main__"}
    assert files - words == set()


# Facts are handed in ----------------------------------------------------------------------------------------

# These wait for processes of the operating system, or run in one that no clock can be handed to.
OWN_CLOCK = {
    "backends/executors.py",
    "backends/processes/child.py",
    "backends/processes/endpoints.py",
    "backends/processes/reaper.py",
    "backends/processes/server.py",
    "backends/processes/start.py",
    "backends/processes/status_page.py",
    "backends/processes/written.py",
}
CLOCKS = re.compile(r"\btime\.(monotonic|perf_counter|time)(_ns)?\(|\bdatetime\.now\(")
FACTS = re.compile(r"\b(calibration\.(load|learn)|machine\.look|facts\.here)\(")


def _engine_and_backends() -> list[Path]:
    return sorted(path for room in ("engine", "backends") for path in (HOUSE / room).rglob("*.py"))


def test_the_engine_and_its_backends_ask_for_no_facts() -> None:
    """The clock, the machine and what pools cost come with the call, so that a test can make them up."""
    asking = {
        path.relative_to(HOUSE).as_posix()
        for path in _engine_and_backends()
        if CLOCKS.search(text := path.read_text(encoding="utf-8")) or FACTS.search(text)
    }
    assert asking == OWN_CLOCK
