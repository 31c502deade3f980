"""One check for the demo's optional packages."""

from __future__ import annotations

from importlib.util import find_spec

from autoexec.errors import MissingExtra

__all__ = ["require"]


def require(*packages: str) -> None:
    """Raise `MissingExtra` with what to install, unless all of `packages` can be imported."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise MissingExtra(f"the demo needs {', '.join(missing)}: pip install 'autoexec-futures[demo]'")
