"""What `import autoexec` offers, and what it costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import autoexec

NAMES = sorted(autoexec.__all__)
HOUSE = Path(autoexec.__file__).parent
HEAVY = {"numpy", "joblib", "psutil", "requests", "multiprocessing", "dataclasses", "asyncio", "sqlite3"}
VERBS = ["map", "starmap", "amap", "per_worker", "profile", "explain", "machine"]
CLERKS = ["Options", "Results", "Stats", "PerWorker"]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(autoexec, name))]


def in_a_fresh_interpreter(code: str) -> list[str]:
    """The words that `code` prints in an interpreter that has imported nothing of ours yet."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(HOUSE.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    return done.stdout.split()


NEW_MODULES = "import sys; before = set(sys.modules); {}; print(*sorted(set(sys.modules) - before))"


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name: str) -> None:
    """Each public name can be had, has a docstring of its own and says which module it lives in."""
    thing = getattr(autoexec, name)
    assert (vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__ or "").strip()
    home = importlib.import_module(thing.__module__)
    assert getattr(home, name) is thing
    assert name in home.__all__


def test_nothing_else_is_public() -> None:
    """Once everything was used, `__all__` is all there is, besides modules and what Python itself adds."""
    for name in NAMES:
        getattr(autoexec, name)
    public = {
        name
        for name, value in vars(autoexec).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public - {"TYPE_CHECKING", "annotations"} == set(NAMES)


def test_the_list_is_in_order() -> None:
    """Sorted, nothing twice, and the same for type checkers, for `dir` and for the late imports."""
    assert len(set(NAMES)) == len(autoexec.__all__)
    assert set(NAMES) <= set(dir(autoexec))
    assert sorted(name for names in autoexec._HOME.values() for name in names) == NAMES
    for_checkers = [
        alias.asname or alias.name
        for node in ast.walk(ast.parse((HOUSE / "__init__.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    ]
    assert sorted(for_checkers) == NAMES


def test_star_import_brings_the_names() -> None:
    """`from autoexec import *` finds every name of `__all__`."""
    found: dict[str, object] = {}
    exec("from autoexec import *", found)
    assert set(NAMES) <= set(found)


def test_a_name_that_is_not_there() -> None:
    """The usual error, so that `hasattr` and misspellings behave as everywhere."""
    with pytest.raises(AttributeError, match="module 'autoexec' has no attribute 'paralell'"):
        autoexec.paralell  # noqa: B018
    with pytest.raises(ImportError):
        exec("from autoexec import paralell")


@pytest.mark.parametrize("name", CLASSES)
def test_methods_are_documented(name: str) -> None:
    """Every public method and property of a public class has a docstring, its own or its base's."""
    cls = getattr(autoexec, name)
    bare = [
        key
        for key, value in vars(cls).items()
        if not key.startswith("_")
        and (inspect.isroutine(value) or isinstance(value, property))
        and not inspect.getdoc(getattr(cls, key))
    ]
    assert bare == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CLASSES])
def test_functions_are_typed(name: str) -> None:
    """Every parameter and the result of the public functions have a type."""
    signature = inspect.signature(getattr(autoexec, name))
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name


def test_types_are_shipped() -> None:
    """Type checkers are told that the package has types."""
    assert (HOUSE / "py.typed").exists()


def test_the_version_is_the_package_s() -> None:
    """One number in the code and in the metadata."""
    project = HOUSE.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("not run from a source tree")
    import tomllib

    assert tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"] == autoexec.__version__


def test_importing_is_cheap() -> None:
    """`import autoexec` brings nothing heavy; in fact next to nothing at all."""
    new = in_a_fresh_interpreter(NEW_MODULES.format("import autoexec"))
    assert "autoexec" in new
    assert HEAVY.isdisjoint(word.split(".")[0] for word in new)
    assert len(new) < 10, new


@pytest.mark.parametrize("name", VERBS + CLERKS)
def test_the_verbs_are_cheap(name: str) -> None:
    """Naming a verb brings what it needs to start and none of what it may need later."""
    new = in_a_fresh_interpreter(NEW_MODULES.format(f"from autoexec import {name}"))
    assert HEAVY.isdisjoint(word.split(".")[0] for word in new)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_heavy(name: str) -> None:
    """No public name needs a package from outside the standard library to be imported."""
    new = in_a_fresh_interpreter(NEW_MODULES.format(f"import autoexec; autoexec.{name}"))
    outside = {
        "numpy",
        "joblib",
        "psutil",
        "requests",
        "cloudpickle",
        "platformdirs",
        "threadpoolctl",
        "tqdm",
        "aiohttp",
        "httpx",
        "pyrate_limiter",
        "tenacity",
        "urllib3",
    }
    assert outside.isdisjoint(word.split(".")[0] for word in new)
