"""Programs of the user's, made for a test."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes a module of the user's, or one that looks installed."""
    made: list[str] = []

    def make(text: str, name: str = "", *, installed: bool = False) -> Any:
        name = name or f"made_{len(made)}"
        folder = tmp_path / "site-packages" if installed else tmp_path
        folder.mkdir(exist_ok=True)
        if installed:  # an installer has been there
            (folder / f"{name or 'made'}-1.0.dist-info").mkdir(exist_ok=True)
        file = folder / f"{name}.py"
        file.write_text(text, encoding="utf-8")
        found = types.ModuleType(name)
        found.__file__ = str(file)
        sys.modules[name] = found
        made.append(name)
        exec(compile(text, str(file), "exec"), vars(found))
        return found

    yield make
    for name in made:
        file = getattr(sys.modules.pop(name), "F", None)
        if file is not None:
            file.close()
