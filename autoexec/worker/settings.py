"""Settings of libraries for the whole process: what differs from what they come with.

What may live here: rows of `process_state` whose reading takes more than a line.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["differing", "numpy_prints", "pandas_options", "set_numpy_prints", "set_pandas_options"]

_MISSING = object()
_PRINTS: dict[str, object] = {
    "edgeitems": 3,
    "threshold": 1000,
    "floatmode": "maxprec",
    "precision": 8,
    "suppress": False,
    "linewidth": 75,
    "nanstr": "nan",
    "infstr": "inf",
    "sign": "-",
    "formatter": None,
    "legacy": False,
    "override_repr": None,
}


def differing(found: Mapping[str, object], usual: Mapping[str, object]) -> tuple[Any, ...]:
    """The items that are not the usual ones.

    >>> differing({"a": 1, "b": 2}, {"a": 1, "b": 1})
    (('b', 2),)
    """
    return tuple((name, value) for name, value in found.items() if usual.get(name, _MISSING) != value)


def numpy_prints(numpy: Any) -> tuple[Any, ...]:
    """How arrays are printed."""
    return differing(numpy.get_printoptions(), _PRINTS)


def set_numpy_prints(numpy: Any, items: tuple[Any, ...]) -> None:
    """Print them so."""
    known = numpy.get_printoptions()
    wanted = {**_PRINTS, **dict(items)}
    numpy.set_printoptions(**{name: value for name, value in wanted.items() if name in known})


def pandas_options(config: Any) -> tuple[Any, ...]:
    """All options that were set."""
    found = []
    for key, option in config._registered_options.items():
        root, last = config._get_root(key)
        if root[last] is not option.defval and root[last] != option.defval:
            found.append((key, root[last]))
    return tuple(found)


def set_pandas_options(config: Any, items: tuple[Any, ...]) -> None:
    """Set these, and no others."""
    wanted = dict(items)
    for key, _ in pandas_options(config):
        if key not in wanted:
            config.set_option(key, config._registered_options[key].defval)
    for key, value in wanted.items():
        config.set_option(key, value)
