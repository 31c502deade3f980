"""One row for each backend: names stand there alone, facts are right, others add their own."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import autoexec
from autoexec import registry
from autoexec.backends import base
from autoexec.backends.executors import ExecutorBackend, executor_backend
from autoexec.backends.guard import Guard
from autoexec.errors import AutoexecError, OptionError
from autoexec.records import Calibration
from autoexec.registry import BackendInfo, Costs, find, names, register_backend, row
from autoexec.testing import FakeBackend

HOUSE = Path(autoexec.__file__).parent
NAMES = {"auto", *registry._ROWS}


def literals(tree: ast.AST) -> Iterator[ast.Constant]:
    """Text that is data: no docstrings, no doctests in them, no names of slots."""
    for node in ast.iter_child_nodes(tree):
        slots = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__"
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Constant):
            yield node
        elif not (slots or docstring):
            yield from literals(node)


def test_names_of_backends_stand_in_the_registry_alone() -> None:
    """Whoever wants to know something about a backend asks its row."""
    found = []
    for path in HOUSE.rglob("*.py"):
        if path.name != "registry.py" and "demo" not in path.parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{path.name}:{node.lineno}" for node in literals(tree) if node.value in NAMES]
    assert found == []


def test_a_name_elsewhere_would_be_found() -> None:
    """But not in docstrings, nor in slots."""
    source = '"""threads"""\n__slots__ = ("serial",)\nif plan == "threads":\n    pass'
    assert [node.value for node in literals(ast.parse(source)) if node.value in NAMES] == ["threads"]


def test_the_contract_of_a_backend_is_declared() -> None:
    """What is checked of every backend is what the protocol says."""
    declared = {name for name in vars(base.Backend) if not name.startswith("_")}
    assert set(registry.METHODS) == declared | set(base.Backend.__annotations__)


def test_facts() -> None:
    """What other rooms ask for."""
    assert [name for name in names() if name != "auto" and row(name).in_process] == ["serial", "threads"]
    assert row("processes").forks and row("processes").can_kill and not row("joblib").forks
    assert row("ThreadPoolExecutor") is registry.THEIRS
    assert "asyncio" not in names()  # async functions say so themselves


# Other people's ---------------------------------------------------------------------------------------------


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, BackendInfo]:
    """The table, whose additions go with the test."""
    table = dict(registry._ROWS)
    monkeypatch.setattr(registry, "_ROWS", table)
    return table


def named(value: object) -> str:
    """The same name in every process: no addresses."""
    return value if isinstance(value, str) else type(value).__name__


def open_two(opening: Any) -> ExecutorBackend:
    """Two threads of the standard library, as somebody else's backend."""
    from concurrent.futures import ThreadPoolExecutor

    return executor_backend(opening, ThreadPoolExecutor(2))


def test_somebody_elses_backend(rows: dict[str, BackendInfo]) -> None:
    """Named, it runs the items, whatever the door; the plan says so."""
    register_backend(BackendInfo("two", open_two))
    results = autoexec.map(abs, range(-50, 0), backend="two")
    assert list(results) == list(range(50, 0, -1)) and results.plan.backend == "two"
    with autoexec.Executor(backend="two") as executor:
        assert executor.submit(abs, -3).result() == 3
    assert "two" in names()


class Faulty(FakeBackend):
    """Runs tasks, but for one method."""

    def __init__(self, opening: Any, part: str, outcome: object = None) -> None:
        super().__init__(opening)
        setattr(self, part, self._fail)
        self._outcome = outcome

    def _fail(self, *args: object, **options: object) -> object:
        if self._outcome is not None:
            return self._outcome
        raise LookupError("oh")


def test_what_fails_after_the_results_is_a_warning(
    rows: dict[str, BackendInfo], caplog: pytest.LogCaptureFixture
) -> None:
    """They are there, and right; the backend is named."""
    register_backend(BackendInfo("mine", lambda opening: Faulty(opening, "close")))
    assert list(autoexec.map(abs, [-1, -2], backend="mine")) == [1, 2]
    assert "backend 'mine' is at fault: its close()" in caplog.text


@pytest.mark.parametrize("outcome", [None, 5, {"fork_start": "short"}])
def test_costs_that_are_none(caplog: pytest.LogCaptureFixture, outcome: object) -> None:
    """Nothing is learned from them."""
    opening: Any = SimpleNamespace(tasks=None)
    assert Guard(Faulty(opening, "costs", outcome), "mine").costs() == {}
    assert "backend 'mine' is at fault: its costs()" in caplog.text


@pytest.mark.parametrize("door", ["map", "submit"])
def test_what_fails_on_the_way_ends_the_run(rows: dict[str, BackendInfo], door: str) -> None:
    """As an error of the backend's, not of ours."""
    register_backend(BackendInfo("mine", lambda opening: Faulty(opening, "ring")))

    def through() -> None:
        if door == "map":
            list(autoexec.map(abs, [-1, -2], backend="mine"))
        with autoexec.Executor(backend="mine") as executor:
            executor.submit(abs, -1).result()

    with pytest.raises(AutoexecError, match=r"backend 'mine' is at fault: its ring\(\) raised LookupError"):
        through()


def test_an_executor_that_takes_nothing_is_no_backend(rows: dict[str, BackendInfo]) -> None:
    """It was asked for by name: nothing runs elsewhere under that name."""

    def shut_down(opening: Any) -> ExecutorBackend:
        from concurrent.futures import ThreadPoolExecutor

        executor = ThreadPoolExecutor(1)
        executor.shutdown()
        return executor_backend(opening, executor)

    register_backend(BackendInfo("shut", shut_down))
    called: list[int] = []
    with pytest.raises(RuntimeError, match="after shutdown"):
        list(autoexec.map(called.append, [1, 2], backend="shut"))
    assert not called


def test_auto_weighs_what_says_its_costs(rows: dict[str, BackendInfo]) -> None:
    """Others are never chosen."""
    register_backend(BackendInfo("two", open_two))
    register_backend(BackendInfo("three", open_two, Costs(1.0, 2.0, 3.0)))
    register_backend(BackendInfo("four", open_two, lambda calibration: Costs(calibration.byte, 0.0, 0.0)))
    found = dict(registry.weighed(Calibration(byte=7.0)))
    assert found.keys() - {"joblib", "interpreters"} == {"three", "four"}
    assert found["four"].start_s == 7.0


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (None, "takes a BackendInfo"),
        (BackendInfo("threads", open_two), "there is a backend 'threads' already"),
        (BackendInfo("auto", open_two), "there is a backend 'auto' already"),
        (BackendInfo("two words", open_two), "must be an identifier"),
        (BackendInfo(3, open_two), "must be an identifier"),  # type: ignore[arg-type]
        (BackendInfo("two"), "open of backend 'two' must be a function"),
        (BackendInfo("two", "no.function"), "open of backend 'two' must be a function"),
        (BackendInfo("two", open_two, refuses=3), "refuses of backend 'two'"),  # type: ignore[arg-type]
        (BackendInfo("two", open_two, 3.0), "costs of backend 'two'"),  # type: ignore[arg-type]
        (BackendInfo("two", open_two, Costs(-1.0, 0.0, 0.0)), "costs of backend 'two'"),
        (BackendInfo("two", open_two, Costs(float("nan"), 0.0, 0.0)), "costs of backend 'two'"),
        (
            BackendInfo("two", open_two, ahead=0),
            "ahead of backend 'two' must be a whole number of at least 1",
        ),
        (BackendInfo("two", open_two, elastic=1), "elastic of backend"),  # type: ignore[arg-type]
        (BackendInfo("two", open_two, package=3), "package of backend"),  # type: ignore[arg-type]
    ],
    ids=named,
)
def test_rows_that_cannot_be_meant(rows: dict[str, BackendInfo], info: Any, words: str) -> None:
    """Each is refused in words, and the table stays what it was."""
    before = dict(rows)
    with pytest.raises(OptionError, match=words):
        register_backend(info)
    assert rows == before


def fails(opening: Any) -> Any:
    """A backend that cannot be opened."""
    raise LookupError("no cluster here")


def lacks(opening: Any) -> Any:
    """A backend without methods."""
    return object()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (fails, "backend 'two' could not be opened: LookupError: no cluster here"),
        (lacks, "backend 'two' cannot be used: what it opened has no name, starting, start"),
        ("no.such.module:function", "backend 'two' could not be opened: ModuleNotFoundError"),
        ("autoexec.registry:nothing", "backend 'two' could not be opened: AttributeError"),
    ],
)
def test_backends_that_do_not_open(rows: dict[str, BackendInfo], code: Any, words: str) -> None:
    """By name it is an error that says so, at every door; nothing has run."""
    register_backend(BackendInfo("two", code))
    called: list[int] = []
    with pytest.raises(AutoexecError, match=words):
        list(autoexec.map(called.append, range(5), backend="two"))
    with autoexec.Executor(backend="two") as executor, pytest.raises(AutoexecError, match=words):
        executor.submit(called.append, 1).result()
    assert called == []


class EntryPoint:
    """What an installed package announces."""

    group = registry.GROUP

    def __init__(self, name: str, found: Any) -> None:
        self.name, self.value, self.found = name, "package.module:INFO", found

    def load(self) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch, rows: dict[str, BackendInfo]) -> list[EntryPoint]:
    """Entry points that a test makes up."""
    found: list[EntryPoint] = []
    monkeypatch.setattr(registry, "_entry_points", lambda: iter(found))
    return found


def test_an_entry_point_is_loaded_when_it_is_named(announced: list[EntryPoint]) -> None:
    """And is one of the rows from then on."""
    announced.append(EntryPoint("two", BackendInfo("two", open_two)))
    assert "two" not in names()
    assert list(autoexec.map(abs, [-1], backend="two")) == [1]
    assert "two" in names()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            ImportError("no dask"),
            "announced by package.module:INFO, which does not import: ImportError: no dask",
        ),
        (BackendInfo("three", open_two), "must be the BackendInfo of 'two'"),
        (open_two, "must be the BackendInfo of 'two'"),
    ],
    ids=named,
)
def test_entry_points_that_cannot_be_meant(announced: list[EntryPoint], found: Any, words: str) -> None:
    """Whoever names it hears why; others do not."""
    announced.append(EntryPoint("two", found))
    with pytest.raises(OptionError, match=words):
        autoexec.map(abs, [1], backend="two")
    assert list(autoexec.map(abs, [-1])) == [1]


def test_an_unknown_name_lists_what_there_is(
    announced: list[EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the extras that are missing, and what others announce."""
    monkeypatch.setitem(sys.modules, "joblib", None)
    announced.append(EntryPoint("two", None))
    with pytest.raises(OptionError) as caught:
        find("thread")
    assert "unknown backend 'thread'; choose from auto, serial, threads, processes, joblib (needs the" in str(
        caught.value
    )
    assert "two, or pass a concurrent.futures.Executor" in str(caught.value)


def open_processes(opening: Any) -> ExecutorBackend:
    """Worker processes of the standard library, as somebody else's backend."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return executor_backend(opening, ProcessPoolExecutor(2, mp_context=get_context("spawn")))


def test_somebody_elses_processes(rows: dict[str, BackendInfo]) -> None:
    """What is sent there is sent as to our own: lambdas, and calls of an executor."""
    register_backend(BackendInfo("far", open_processes))
    assert list(autoexec.map(lambda x: x + 1, range(5), backend="far")) == [1, 2, 3, 4, 5]
    with autoexec.Executor(backend="far") as executor:
        assert executor.submit(abs, -3).result() == 3


def refused(opening: Any) -> Any:
    """There are no workers to be had."""
    raise RuntimeError("no workers today")


def test_a_backend_by_name_is_used_or_is_an_error(rows: dict[str, BackendInfo]) -> None:
    """At every door, whatever kept it from being opened."""
    register_backend(BackendInfo("two", refused))
    with pytest.raises(RuntimeError, match="no workers today"):
        list(autoexec.map(abs, [1], backend="two"))
    with autoexec.Executor(backend="two") as executor, pytest.raises(RuntimeError, match="no workers today"):
        executor.submit(abs, 1).result()


@pytest.mark.parametrize("costs", [lambda _: 1 / 0, lambda _: None, lambda _: Costs(-1.0, 0.0, 0.0)])
def test_costs_that_cannot_be_used(
    rows: dict[str, BackendInfo], costs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are weighed without it, and it is named."""
    register_backend(BackendInfo("two", open_two, costs))
    assert "two" not in dict(registry.weighed(Calibration()))
    assert "backend 'two' is left out" in caplog.text


def test_refusals_that_fail(rows: dict[str, BackendInfo]) -> None:
    """Whoever names it hears of that; whoever names another one does not."""
    register_backend(BackendInfo("two", open_two, refuses=lambda _: 1 / 0))  # type: ignore[arg-type,return-value]
    with pytest.raises(OptionError, match=r"it cannot tell what it can run \(ZeroDivisionError"):
        autoexec.map(abs, [1], backend="two")
    with pytest.raises(OptionError, match="unknown backend 'nope'"):
        autoexec.map(abs, [1], backend="nope")
    register_backend(BackendInfo("three", open_two, refuses=lambda _: None))  # type: ignore[arg-type,return-value]
    assert list(autoexec.map(abs, [-1], backend="three")) == [1]
